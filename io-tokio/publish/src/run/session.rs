//! One stay in a room: join, send, end in good order.

use std::future::pending;
use std::time::{Duration, Instant};

use mediasoup_producer::v2::Profile;
use mediasoup_producer::{ConnectionState, Frame, MediaError, MediaTime, Originator, ProducerId};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::feed::{Feeds, Media, TrackInfo};
use super::line::{Ear, Line, News, OfProducer, Sending};
use super::recording::Recording;
use super::{Run, RunError, SAMPLE_EVERY, Stop, Teller, told};
use crate::report::{Event, Sockets};

/// How long we wait at the end for the room to confirm what was sent. It reports once a second.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(2500);

/// When DTLS ends, the server's words on it may still be on their way.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long the server may say nothing to a goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What there is of us in the room.
struct Stay<L: Line> {
    line: L,
    ear: L::Ear,
    transport: Option<L::Transport>,
    tracks: Vec<TrackInfo>,
    /// Numbered as tracks are, and made one after the other.
    producers: Vec<L::Producer>,
    /// Media does not get through, and when that will be the end.
    lost: Option<Instant>,
    /// Media that was refused for what it is, by track; only the first is told.
    refused: Vec<bool>,
    recording: Option<Recording>,
}

impl<T: Teller> Run<T> {
    /// Publishes until all files are over or the end is requested.
    pub(super) async fn session<L: Line>(
        &mut self,
        url: &str,
        peer: &str,
        feeds: &mut Feeds,
        stop: &mut Stop,
    ) -> Result<(), RunError> {
        let (line, ear) = tokio::select! {
            connected = L::connect(&self.args, url, self.count_every) => connected?,
            () = stop.requested() => return Ok(()),
        };
        let recorded = line.clone();
        let recording = self.recordings.as_mut().map(|recordings| recordings.begin(move || recorded.take_record()));
        let tracks = feeds.tracks().to_vec();
        let refused = vec![false; tracks.len()];
        let mut stay =
            Stay { line, ear, transport: None, tracks, producers: Vec::new(), lost: None, refused, recording };
        let ready = tokio::select! {
            ready = self.enter(&mut stay, peer) => ready.map(|()| true),
            () = stop.requested() => Ok(false),
        };
        let result = match ready {
            Ok(true) => {
                self.stays += 1;
                stop.begin();
                feeds.begin();
                self.encodings.begin(Instant::now());
                self.send(&mut stay, feeds, stop).await
            }
            Ok(false) => Ok(()),
            Err(error) if error.is_overtaken() => match self.meanwhile(&mut stay, sleep(LAST_WORDS)).await {
                Ok(()) => Err(error),
                Err(cause) => Err(cause),
            },
            Err(error) => Err(error),
        };
        self.count(&stay);
        if result.is_ok() && self.connect.is_some() {
            self.confirm(&mut stay).await;
        }
        (self.sockets.0, self.sockets.1) = (self.sockets(), Sockets::default());
        // The driver spends no more than a second; a runtime that hangs must not hang us.
        let _ = timeout(CLOSE_TIMEOUT, stay.line.leave(&stay.producers)).await;
        if let Some(recording) = stay.recording
            && let Some(error) = recording.finish().await
        {
            self.not_recorded(error);
        }
        result
    }

    /// Joins, and sends every track over a transport that connects.
    async fn enter<L: Line>(&mut self, stay: &mut Stay<L>, peer: &str) -> Result<(), RunError> {
        let line = stay.line.clone();
        let (transport, others) = self.meanwhile(stay, line.enter(peer)).await??;
        stay.transport = Some(transport.clone());
        self.event(told::joined(peer, others));
        for (index, track) in stay.tracks.clone().iter().enumerate() {
            let producer = self.meanwhile(stay, line.produce(&transport, index, track)).await??;
            self.event(of_producer("handled", track, producer.id(), "is sent"));
            self.encodings.produced(index, producer.id());
            stay.producers.push(producer);
        }
        let patience = self.args.room.timeout;
        let connected = timeout(patience, L::connected(&transport));
        match self.meanwhile(stay, connected).await? {
            Ok(true) => {}
            Ok(false) => {
                self.meanwhile(stay, sleep(LAST_WORDS)).await?;
                return Err(RunError::ConnectionLost);
            }
            Err(_) => {
                let offered = L::offered(&transport);
                let offered = if offered.is_empty() { "no address".to_owned() } else { offered.join(", ") };
                return Err(RunError::NoConnection { waited: patience, offered });
            }
        }
        Ok(())
    }

    /// Waits for something, and takes events all the while. An event that ends the session ends the wait.
    async fn meanwhile<L: Line, W>(
        &mut self,
        stay: &mut Stay<L>,
        wanted: impl Future<Output = W>,
    ) -> Result<W, RunError> {
        let mut wanted = std::pin::pin!(wanted);
        loop {
            tokio::select! {
                // Events say why something fails, and so come first.
                biased;
                news = stay.ear.next() => self.take(stay, news)?,
                wanted = &mut wanted => return Ok(wanted),
            }
        }
    }

    async fn send<L: Line>(&mut self, stay: &mut Stay<L>, feeds: &mut Feeds, stop: &mut Stop) -> Result<(), RunError> {
        let mut ticks = interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks.reset();
        loop {
            let lost = stay.lost;
            let given_up = async {
                match lost {
                    Some(at) => sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = given_up => return Err(RunError::ConnectionLost),
                media = feeds.next() => match media? {
                    Some(media) => self.write(stay, feeds, media),
                    None => return Ok(()),
                },
                news = stay.ear.next() => self.take(stay, news)?,
                _ = ticks.tick() => {
                    self.count(stay);
                    self.encodings.sample(Instant::now());
                    self.teller.sample(self.start.elapsed(), self.encodings.rows(), self.sockets());
                    if let Some(error) = stay.recording.as_mut().and_then(Recording::failed) {
                        self.not_recorded(error);
                    }
                }
                () = stop.requested() => return Ok(()),
            }
        }
    }

    fn write<L: Line>(&mut self, stay: &mut Stay<L>, feeds: &mut Feeds, media: Media) {
        let (track, result) = match media {
            Media::Frame(due, late) => {
                self.teller.late(late);
                let frame = Frame::new(due.frame.data, MediaTime::Duration(due.frame.time))
                    .layer(due.profile)
                    .key_frame(due.frame.key_frame);
                let result = stay.producers[due.track].write_frame(frame);
                if result.is_err() {
                    feeds.not_sent(due.track, due.profile);
                }
                (due.track, result)
            }
            Media::Packet { track, packet } => (track, stay.producers[track].write_packet(packet)),
            Media::Junk { track, error } => {
                let text = format!("{} gets what is no RTP: {error}", feeds.tracks()[track].label);
                return self.event(Event::new("junk", text).with("error", error.to_string()));
            }
            Media::Socket { track, error } => {
                let text = format!("{}: {error}", feeds.tracks()[track].label);
                return self.event(Event::new("socket", text).with("error", error.to_string()));
            }
        };
        let Err(error) = result else { return };
        match error {
            // It passes, and events tell of it.
            MediaError::Paused(_)
            | MediaError::NotConnected(_)
            | MediaError::Unhandled(_)
            | MediaError::ProducerNotFound(_)
            | MediaError::KeyFrameNeeded { .. }
            | MediaError::Blocked(_)
            | MediaError::OutputsNotPolled(_)
            | MediaError::DuplicatePacket
            | MediaError::OutOfSequence => {}
            error => {
                if !std::mem::replace(&mut stay.refused[track], true) {
                    let label = &feeds.tracks()[track].label;
                    self.teller.complain(&format!("{label}: {error}; this and others like it are left out"));
                    let event = Event::new("refused", format!("{label}: {error}"));
                    self.event(
                        event.with("producer", stay.producers[track].id().value()).with("error", error.to_string()),
                    );
                }
            }
        }
    }

    /// Brings our own counts up to date.
    fn count<L: Line>(&mut self, stay: &Stay<L>) {
        for (track, producer) in stay.producers.iter().enumerate() {
            self.encodings.update(track, &producer.outbound_stats());
        }
        self.sockets.1 = stay.line.sockets();
    }

    /// Waits until the room has confirmed what was sent, so that the last numbers are whole. Of a paused producer it
    /// says nothing.
    async fn confirm<L: Line>(&mut self, stay: &mut Stay<L>) {
        stay.line.recount(&stay.producers);
        let waited = timeout(CONFIRM_TIMEOUT, async {
            loop {
                let paused: Vec<_> = stay.producers.iter().filter(|p| p.paused()).map(Sending::id).collect();
                if self.encodings.all_received(|producer| !paused.contains(&producer)) {
                    return;
                }
                let news = stay.ear.next().await;
                if self.take(stay, news).is_err() {
                    return;
                }
            }
        });
        // Then the room has not received everything, and the numbers say so.
        let _ = waited.await;
        self.count(stay);
    }

    fn take<L: Line>(&mut self, stay: &mut Stay<L>, news: News) -> Result<(), RunError> {
        match news {
            News::Told(event) => self.event(event),
            News::Connection(state) => self.connection(stay, state),
            News::Producer(id, news) => return self.producer_news(stay, id, news),
            News::Untold => self.encodings.untold(),
            News::Over(error) => return Err(error),
            News::Nothing => {}
        }
        Ok(())
    }

    fn connection<L: Line>(&mut self, stay: &mut Stay<L>, state: ConnectionState) {
        if state == ConnectionState::Connected {
            self.connect.get_or_insert(self.start.elapsed());
            // Once a stay: it may be connected again after an ICE restart.
            if let Some(since) = self.since.take() {
                self.teller.connected(since.elapsed());
            }
        }
        let text = format!("transport {state}");
        self.event(Event::new("connectionstatechange", text).with("state", state.as_str()));
        match state {
            ConnectionState::Connected => stay.lost = None,
            ConnectionState::Disconnected => {
                // The path may be gone and not the server: new credentials make ICE look for another.
                if let Some(transport) = &stay.transport {
                    stay.line.restart_ice(transport);
                }
                stay.lost = Some(Instant::now() + self.args.room.timeout);
            }
            ConnectionState::Failed => stay.lost = Some(Instant::now() + LAST_WORDS),
            ConnectionState::New | ConnectionState::Connecting | ConnectionState::Closed => {}
        }
    }

    fn producer_news<L: Line>(&mut self, stay: &Stay<L>, id: ProducerId, news: OfProducer) -> Result<(), RunError> {
        // One that is not known yet is the one that is being made.
        let known = stay.producers.iter().position(|producer| producer.id() == id);
        let index = known.unwrap_or(stay.producers.len());
        let Some(track) = stay.tracks.get(index) else { return Ok(()) };
        let profile = |layer: usize| Profile::of(track.simulcast).get(layer).copied().unwrap_or_default();
        let told = |name, text: String| of_producer(name, track, id, &text);
        let event = match news {
            OfProducer::Received(counts) => {
                self.encodings.heard(id, counts);
                return Ok(());
            }
            OfProducer::Closed => return Err(RunError::ProducerClosed(track.kind())),
            OfProducer::Paused(originator) => {
                told("pause", format!("paused by {}", who(originator))).with("originator", word(originator))
            }
            OfProducer::Resumed(originator) => {
                told("resume", format!("resumed by {}", who(originator))).with("originator", word(originator))
            }
            // The next key frame of the file is the answer: it cannot make one.
            OfProducer::KeyFrameRequest(layer) => {
                let profile = profile(layer);
                told("keyframerequest", format!("key frame wanted ({profile})")).with("profile", profile.as_str())
            }
            // Of files it was said at the start.
            OfProducer::TimeWentBack(layer) if self.reordered.insert(index) => told::reordered(track.kind().as_str())
                .with("producer", id.value())
                .with("profile", profile(layer).as_str()),
            OfProducer::TimeWentBack(_) => return Ok(()),
            OfProducer::TargetBitrate { layer, bitrate_bps } => {
                let profile = profile(layer);
                told("targetbitrate", format!("may take {} kbit/s ({profile})", bitrate_bps / 1000))
                    .with("profile", profile.as_str())
                    .with("bitrate_bps", bitrate_bps)
            }
        };
        self.event(event);
        Ok(())
    }
}

fn of_producer(name: &'static str, track: &TrackInfo, id: ProducerId, text: &str) -> Event {
    Event::new(name, format!("{} {text}", track.kind())).with("producer", id.value())
}

const fn word(originator: Originator) -> &'static str {
    match originator {
        Originator::Local => "local",
        Originator::Remote => "remote",
    }
}

const fn who(originator: Originator) -> &'static str {
    match originator {
        Originator::Local => "us",
        Originator::Remote => "the room",
    }
}
