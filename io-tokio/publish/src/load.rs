//! Load: many peers in one process, each of which publishes the same to a room.
//!
//! Every peer is a run of its own, as that of the program without `--rooms` is, and the frames are read once for all of
//! them. They begin one after the other ([`LoadArgs::ramp`](crate::args::LoadArgs::ramp)), and when all have begun what is
//! measured is the steady state: until then the handshakes take the most.

mod board;
mod distribution;
mod error;
mod limit;
mod media;
mod metrics;
mod peer;
mod process;
mod progress;
mod report;
mod shown;
mod target;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::args::{Args, MergeArgs};
use crate::embedded::Rooms;
use crate::report::{Event, Reporter, to_stdout};
use crate::run::{RunError, Stop, open_tracks};

use board::Board;
use media::Media;
use metrics::Metrics;
use peer::Peer;
use process::Meter;
use target::Target;

pub use distribution::Distribution;
pub use error::LoadError;
pub use limit::{Limit, Rule};
pub use process::{Machine, Process, Usage};
pub use progress::Progress;
pub use report::{Failure, Peers, Report};

/// How often numbers are shown.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How long peers may take to leave when all are told to. Each gives up by itself before that.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a load, writes what becomes of it to standard output and errors to standard error. True: every peer was connected
/// until the end, and the room received something of each encoding.
pub async fn run(args: Args, start: Instant) -> bool {
    let reporter = Reporter::new(to_stdout(args.json));
    let mut load = Load { args: args.into(), start, reporter };
    let result = load.run().await;
    if let Err(error) = &result {
        eprintln!("mediasoup-publish: {error}");
    }
    let ok = result.as_ref().is_ok_and(Report::ok);
    load.reporter.finish(result.map_err(|error| error.to_string())) && ok
}

/// Merges reports, and writes what they come to. True: it could be done.
pub async fn merge(args: MergeArgs) -> bool {
    let merged = Report::read_all(&args.reports).and_then(|merged| {
        if let Some(path) = &args.report {
            merged.write(path)?;
        }
        Ok(merged)
    });
    match merged {
        Ok(merged) => Reporter::<Progress, Result<Report, String>>::new(to_stdout(args.json)).finish(Ok(merged)),
        Err(error) => {
            eprintln!("mediasoup-publish: {error}");
            false
        }
    }
}

struct Load {
    args: Arc<Args>,
    start: Instant,
    /// The summary is the report, or why there is none.
    reporter: Reporter<Progress, Result<Report, String>>,
}

impl Load {
    async fn run(&mut self) -> Result<Report, LoadError> {
        let mut stop = Stop::new(self.args.seconds, self.reporter.broken())?;
        if let Some(path) = &self.args.load.report {
            // So that one that cannot be written is known before anything else.
            check_writable(path)?;
        }
        let load = &self.args.load;
        let rooms = load.rooms.unwrap_or(1);
        let peers = load.peers.unwrap_or(rooms);
        let looping = self.looping();
        let tracks = tokio::select! {
            tracks = open_tracks(&looping) => tracks?,
            () = stop.requested() => return Err(RunError::TooEarly.into()),
        };
        let media = Media::read(tracks, load.producers)?;
        process::raise_open_files();

        let dialect = self.args.room.dialect();
        let (target, embedded) = match &self.args.room.url {
            Some(url) => (Target::new(url, dialect, rooms)?, None),
            None => {
                // All that the machine has: whoever publishes shares them.
                let threads = std::thread::available_parallelism().map_or(1, usize::from);
                let places = usize::try_from(peers.div_ceil(rooms)).unwrap_or(usize::MAX);
                let started = Rooms::start(dialect, rooms as usize, places, threads).await?;
                let pattern = started.url_pattern();
                self.event(Event::new("rooms", format!("embedded rooms at {pattern}")).with("url", &*pattern));
                (Target::new(&pattern, dialect, rooms)?, Some(started))
            }
        };
        let board = Arc::new(Board::new(peers as usize));
        let _metrics = match load.metrics {
            Some(address) => {
                let metrics = Metrics::open(address, Arc::clone(&board)).await?;
                self.event(Event::new("metrics", format!("metrics at {}", metrics.url())).with("url", metrics.url()));
                Some(metrics)
            }
            None => None,
        };

        let mut meter = Meter::new(&self.args, &target, media.producers(), embedded);
        let (end, ended) = watch::channel(false);
        let mut running = JoinSet::new();
        let mut ramp = interval(Duration::from_secs_f64(1.0 / load.ramp));
        ramp.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut ticks = interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.reset();
        let mut begun = 0;
        loop {
            tokio::select! {
                () = stop.requested() => break,
                _ = ramp.tick(), if begun < peers => {
                    let peer = Peer::new(begun, &self.args, &target, &media, &board, ended.clone());
                    running.spawn(peer.run());
                    begun += 1;
                }
                _ = ticks.tick() => {
                    self.told(&board);
                    let progress = board.progress(meter.sample(board.connected_now()));
                    self.reporter.sample(self.start.elapsed(), progress);
                    if !meter.is_steady() && begun == peers && board.is_settled() {
                        meter.begin();
                        stop.begin();
                        let text = format!("{peers} peers have begun");
                        self.event(Event::new("steady", text).with("peers", peers));
                    }
                }
                Some(_) = running.join_next() => {
                    // Nobody is left to go on for.
                    if begun == peers && running.is_empty() {
                        break;
                    }
                }
            }
        }
        let process = meter.end(board.connected_now());
        // Nobody listens any more: they have all ended.
        let _ = end.send(true);
        let left = async { while running.join_next().await.is_some() {} };
        // What hangs then is dropped.
        let _ = tokio::time::timeout(LEAVE_TIMEOUT, left).await;
        self.told(&board);
        let report = board.report(process);
        if let Some(path) = &self.args.load.report {
            report.write(path)?;
        }
        Ok(report)
    }

    /// Files are played over and over, for as long as the load is on.
    fn looping(&self) -> Args {
        let mut args = Args::clone(&self.args);
        args.media.looping = true;
        args
    }

    /// Tells of causes of failure that were not there before.
    fn told(&self, board: &Board) {
        for (cause, words) in board.take_new_failures() {
            let text = format!("{}: {words}; more of the same are counted", cause.as_str());
            self.event(Event::new("failure", text).with("cause", cause.as_str()).with("error", words));
        }
    }

    fn event(&self, event: Event) {
        self.reporter.event(self.start.elapsed(), event);
    }
}

fn check_writable(path: &Path) -> Result<(), LoadError> {
    let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|source| LoadError::Write { path: path.to_owned(), source })
}
