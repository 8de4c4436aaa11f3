//! A run of the program, from the command line to the exit status.

mod cause;
mod encoding;
mod error;
mod feed;
mod line;
mod recording;
mod session;
mod stop;
mod teller;
mod told;
mod v2;
mod v3;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use url::Url;

use crate::args::{Args, Dialect, RoomArgs, RoomDialect};
use crate::embedded;
use crate::input::{self, Track};
use crate::page::Page;
use crate::report::{Event, Reporter, Row, Sockets, Summary, to_stdout};

use encoding::Encodings;
use recording::Recordings;
use teller::User;

pub use cause::Cause;
pub use error::RunError;
pub(crate) use feed::Feeds;
pub(crate) use stop::Stop;
pub(crate) use teller::Teller;

/// How often numbers are shown.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Between two attempts to join again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MOST: Duration = Duration::from_secs(15);

/// Runs the program: publishes until the end, writes the report to standard output and errors to standard error. True:
/// the room has received every encoding, and nothing failed.
pub async fn run(args: Args, start: Instant) -> bool {
    let user = User(Reporter::new(to_stdout(args.json)));
    let mut run = Run::new(args.into(), start, user, SAMPLE_EVERY);
    let result = run.publish().await.map_err(|error| error.with_remedy(run.args.room.reconnect));
    if let Err(error) = &result {
        run.teller.complain(error);
    }
    let rows = run.encodings.rows();
    let received = !rows.is_empty() && rows.iter().all(Row::received);
    if result.is_ok() && run.connect.is_some() {
        for row in rows.iter().filter(|row| !row.received()) {
            run.teller.complain(&format!("the room received nothing of {}", row.name()));
        }
    }
    let error = result.err().or(run.unrecorded);
    let summary = Summary { ok: error.is_none() && received, error, connect: run.connect, rows };
    let ok = summary.ok;
    run.teller.0.finish(summary) && ok
}

/// One peer's run.
pub(crate) struct Run<T> {
    args: Arc<Args>,
    start: Instant,
    teller: T,
    /// How often the room is asked what it counts.
    count_every: Duration,
    encodings: Encodings,
    /// What sockets have refused, in stays before this one and in this one.
    sockets: (Sockets, Sockets),
    /// When the stay was begun with, until it is connected.
    since: Option<Instant>,
    /// How long the first connection took.
    connect: Option<Duration>,
    recordings: Option<Recordings>,
    /// Why a recording is not complete.
    unrecorded: Option<String>,
    /// Tracks of which was said that their pictures come in another order than they are shown in.
    reordered: BTreeSet<usize>,
    /// How often we were in the room and connected.
    stays: u64,
}

impl Run<User> {
    async fn publish(&mut self) -> Result<(), RunError> {
        let dialect = self.args.room.dialect();
        let mut stop = Stop::new(self.args.seconds, self.teller.0.broken())?;
        self.recordings = self.args.record.clone().map(Recordings::create).transpose()?;
        // A pipe is waited for.
        let tracks = tokio::select! {
            tracks = open_tracks(&self.args) => tracks?,
            () = stop.requested() => return Err(RunError::TooEarly),
        };
        for (index, track) in tracks.iter().enumerate() {
            for file in &track.reordered {
                self.event(told::reordered(file).with("file", &**file));
                self.reordered.insert(index);
            }
        }
        self.encodings = Encodings::new(&tracks);
        let mut feeds = Feeds::new(tracks)?;

        // Kept until the end: dropping them closes them.
        let (url, _embedded, _page) = match self.args.room.url.clone() {
            Some(url) => (url, None, None),
            None => {
                let room = embedded::Room::start_for(dialect, self.args.allow_origin.clone()).await?;
                self.event(Event::new("room", format!("embedded room at {}", room.ws_url)).with("url", &*room.ws_url));
                let page = if self.args.no_page {
                    None
                } else {
                    let page = Page::open_as(self.args.page, self.args.page_host.clone(), room.handle.clone()).await?;
                    self.event(Event::new("page", format!("watch it at {}", page.url())).with("url", page.url()));
                    Some(page)
                };
                (room.ws_url, Some(room.handle), page)
            }
        };
        for (address, label) in feeds.ports() {
            let text = format!("{label}: send it to {address}");
            self.event(Event::new("listening", text).with("address", address.to_string()));
        }
        let (url, peer) = with_peer(&url, dialect);
        self.stay_on(dialect, &url, &peer, &mut feeds, &mut stop).await
    }
}

impl<T: Teller> Run<T> {
    fn new(args: Arc<Args>, start: Instant, teller: T, count_every: Duration) -> Self {
        Self {
            args,
            start,
            teller,
            count_every,
            encodings: Encodings::default(),
            sockets: Default::default(),
            since: None,
            connect: None,
            recordings: None,
            unrecorded: None,
            reordered: BTreeSet::new(),
            stays: 0,
        }
    }

    /// A run that publishes these tracks. The room is asked what it counts so often.
    pub(crate) fn of(args: Arc<Args>, tracks: &[Track], teller: T, count_every: Duration) -> Self {
        let reordered = (0..tracks.len()).filter(|index| !tracks[*index].reordered.is_empty()).collect();
        let encodings = Encodings::new(tracks);
        Self { encodings, reordered, ..Self::new(args, Instant::now(), teller, count_every) }
    }

    /// Publishes until the end, joining again as often as it takes, if that is wanted.
    pub(crate) async fn stay_on(
        &mut self,
        dialect: Dialect,
        url: &str,
        peer: &str,
        feeds: &mut Feeds,
        stop: &mut Stop,
    ) -> Result<(), RunError> {
        let mut wait = RETRY_FIRST;
        loop {
            let stays = self.stays;
            self.since = Some(Instant::now());
            let stay = match dialect {
                Dialect::V2 => self.session::<v2::Line>(url, peer, feeds, stop).await,
                Dialect::V3 => self.session::<v3::Line>(url, peer, feeds, stop).await,
            };
            let error = match stay {
                Ok(()) if self.connect.is_none() => return Err(RunError::TooEarly),
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // At first one wants to know what is wrong; later the room may come back.
            if !(self.args.room.reconnect && self.connect.is_some() && error.may_pass()) {
                return Err(error);
            }
            if stays != self.stays {
                wait = RETRY_FIRST;
            }
            self.teller.lost(self.start.elapsed(), &error, wait);
            tokio::select! {
                () = stop.requested() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(RETRY_MOST);
        }
    }

    /// The encodings as they stand, over all stays.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.encodings.rows()
    }

    /// What sockets have refused, over all stays.
    pub(crate) fn sockets(&self) -> Sockets {
        let (mut sockets, latest) = self.sockets;
        sockets += latest;
        sockets
    }

    /// Who is told.
    pub(crate) fn teller(&mut self) -> &mut T {
        &mut self.teller
    }

    /// A recording has failed. The session goes on; the end of the run says so again.
    fn not_recorded(&mut self, error: String) {
        self.teller.complain(&error);
        self.event(Event::new("record", &*error).with("error", &*error));
        self.unrecorded.get_or_insert(error);
    }

    fn event(&mut self, event: Event) {
        self.teller.event(self.start.elapsed(), event);
    }
}

/// Opens what is to be published, and sees whether the options for it fit.
pub(crate) async fn open_tracks(args: &Args) -> Result<Vec<Track>, RunError> {
    if args.room.dialect() == Dialect::V2 && !args.room.codec.is_empty() {
        return Err(RunError::CannotChoose);
    }
    let tracks = input::open(&args.media).await?;
    match args.room.codec.iter().find(|wish| tracks.iter().all(|track| !wish.is_of(track.codec))) {
        Some(wish) => Err(RunError::NoInput(wish.clone())),
        None => Ok(tracks),
    }
}

impl RoomArgs {
    /// What is spoken: as named, or as the URL's query has it.
    pub(crate) fn dialect(&self) -> Dialect {
        let given = self.url.as_deref().and_then(|url| {
            let url = Url::parse(url).ok()?;
            url.query_pairs()
                .find_map(|(name, _)| [Dialect::V2, Dialect::V3].into_iter().find(|d| name == peer_key(*d)))
        });
        self.dialect.map(RoomDialect::generation).or(self.embedded).or(given).unwrap_or(Dialect::V2)
    }
}

/// What a peer is called by in the demo's URLs.
pub(crate) const fn peer_key(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V2 => "peerName",
        Dialect::V3 => "peerId",
    }
}

/// The name in the URL; or a new one, and the URL with it: the demos want it there.
fn with_peer(url: &str, dialect: Dialect) -> (String, String) {
    // What is wrong with a URL is said when it is used.
    let Some(mut parsed) = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "ws" | "wss")) else {
        return (url.to_owned(), String::new());
    };
    let key = peer_key(dialect);
    let given = parsed.query_pairs().find(|(name, value)| name == key && !value.is_empty());
    if let Some(name) = given.map(|(_, value)| value.into_owned()) {
        return (url.to_owned(), name);
    }
    let name = format!("publish-{}", std::process::id());
    parsed.query_pairs_mut().append_pair(key, &name);
    (parsed.into(), name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn the_peers_name_in_the_url_is_used_and_a_missing_one_added() {
        let given = "wss://example.org:3443/?roomId=r&peerName=a%20b";
        assert_eq!(with_peer(given, Dialect::V2), (given.to_owned(), "a b".to_owned()));
        let (url, name) = with_peer("ws://example.org:3443/?roomId=r", Dialect::V2);
        assert_eq!(url, format!("ws://example.org:3443/?roomId=r&peerName={name}"));
        assert!(with_peer("ws://example.org", Dialect::V2).0.contains("/?peerName=publish-"));
        assert!(with_peer("ws://example.org", Dialect::V3).0.contains("/?peerId=publish-"));
    }

    #[test]
    fn the_urls_query_tells_the_dialect_unless_it_is_named() {
        let dialect = |args: &[&str]| {
            Args::parse_from(std::iter::once("mediasoup-publish").chain(args.iter().copied())).room.dialect()
        };
        assert_eq!(dialect(&[]), Dialect::V2);
        assert_eq!(dialect(&["--embedded", "v3"]), Dialect::V3);
        assert_eq!(dialect(&["--room", "wss://host:4443/?roomId=r&peerId=p"]), Dialect::V3);
        assert_eq!(dialect(&["--room", "wss://host:3443/?roomId=r&peerName=p"]), Dialect::V2);
        assert_eq!(dialect(&["--room", "wss://host/"]), Dialect::V2);
        for named in ["v3", "v3-js", "v3-ts"] {
            assert_eq!(dialect(&["--dialect", named, "--room", "wss://host/"]), Dialect::V3);
        }
        assert_eq!(dialect(&["--dialect", "v2", "--room", "wss://host/?peerId=p"]), Dialect::V2);
    }
}
