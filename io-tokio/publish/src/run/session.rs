//! One stay in a room: join, send, end in good order.

use std::future::pending;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use mediasoup_producer::record::RecordOptions;
use mediasoup_producer::v2::{
    CommandError, CreateProducerError, Event as RoomEvent, ProducerEvent, ProducerOptions, RoomConfig, TransportEvent,
    TransportOptions,
};
use mediasoup_producer::{ConnectionState, Frame, MediaError, MediaTime, Originator, ProducerId, Track, random_seed};
use mediasoup_producer::{DtlsRole as CoreDtlsRole, Redacted};
use mediasoup_producer_tokio::Options;
use mediasoup_producer_tokio::v2::{Event as IoEvent, Events, Producer, ProtooConnector, Room, Transport};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::feed::{Feeds, Media, TrackInfo};
use super::recording::Recording;
use super::{Run, RunError, Stop, reordered};
use crate::args::DtlsRole;
use crate::report::Event;

/// How often numbers are shown, and asked for.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How long we wait at the end for the room to confirm what was sent. It reports once a second.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(2500);

/// When DTLS ends, the server's words on it may still be on their way.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long the server may say nothing to a goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What there is of us in the room. Producers are numbered as tracks are.
struct Stay {
    room: Room,
    events: Events,
    transport: Option<Transport>,
    producers: Vec<Producer>,
    /// Media does not get through, and when that will be the end.
    lost: Option<Instant>,
    /// Media that was refused for what it is, by track; only the first is told.
    refused: Vec<bool>,
    recording: Option<Recording>,
}

impl Run {
    /// Publishes until all files are over or the end is requested.
    pub(super) async fn session(
        &mut self,
        url: &str,
        peer: &str,
        feeds: &mut Feeds,
        stop: &mut Stop,
    ) -> Result<(), RunError> {
        let room = tokio::select! {
            room = self.connect_to(url) => room?,
            () = stop.requested() => return Ok(()),
        };
        let events = room.events();
        let refused = vec![false; feeds.tracks().len()];
        let recording = self.recordings.as_mut().map(|recordings| recordings.begin(&room));
        let mut stay = Stay { room, events, transport: None, producers: Vec::new(), lost: None, refused, recording };
        let ready = tokio::select! {
            ready = self.enter(&mut stay, peer, feeds.tracks()) => ready.map(|()| true),
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
        for producer in &stay.producers {
            // Closed by the server already, perhaps.
            let _ = producer.close(None);
        }
        // The driver spends no more than a second; a runtime that hangs must not hang us.
        let _ = timeout(CLOSE_TIMEOUT, stay.room.close()).await;
        if let Some(recording) = stay.recording
            && let Some(error) = recording.finish().await
        {
            self.not_recorded(error);
        }
        result
    }

    async fn connect_to(&self, url: &str) -> Result<Room, RunError> {
        let args = &self.args.room;
        let role = match args.dtls_role {
            DtlsRole::Client => CoreDtlsRole::Client,
            DtlsRole::Server => CoreDtlsRole::Server,
        };
        let mut offer = TransportOptions::default();
        if args.tcp {
            (offer.udp, offer.tcp) = (Some(false), Some(true));
        }
        let mut config = RoomConfig::default().dtls_role(role).transport_options(offer).request_timeout(args.timeout);
        // It takes every server's certificate, and whoever builds it in has a server that needs it.
        #[cfg(feature = "legacy-dtls")]
        {
            config = config.dtls_backend(mediasoup_producer::DtlsBackend::Legacy);
        }
        if self.recordings.is_some() {
            config = config.record(RecordOptions::default());
        }
        let connector = ProtooConnector::new().accept_any_certificate(args.insecure).timeout(args.timeout);
        let signalling = connector.connect(url).await.map_err(RunError::Connect)?;
        Ok(Room::with_options(config, random_seed(), Options::default().udp(!args.tcp), signalling))
    }

    /// Joins, and sends every track over a transport that connects.
    async fn enter(&mut self, stay: &mut Stay, peer: &str, tracks: &[TrackInfo]) -> Result<(), RunError> {
        let room = stay.room.clone();
        self.meanwhile(stay, room.join(peer, None)).await?.map_err(RunError::join)?;
        let transport = room.create_transport(None).map_err(CommandError::from)?;
        stay.transport = Some(transport.clone());
        for (index, track) in tracks.iter().enumerate() {
            let kind = track.kind();
            let options = ProducerOptions::default().simulcast(track.simulcast).codec(track.codec);
            let label = Track::new(kind, format!("{kind}-{index}"), &*track.label);
            let producer = room.create_producer(label, options, None).map_err(|error| match error {
                CreateProducerError::CannotSend { .. } => RunError::Codec { codec: track.codec, kind },
                error => RunError::Command(error.into()),
            })?;
            stay.producers.push(producer.clone());
            self.encodings.produced(index, producer.id());
            self.meanwhile(stay, producer.send(&transport)).await?.map_err(|error| RunError::send(kind, error))?;
            producer.enable_stats(SAMPLE_EVERY).map_err(CommandError::from)?;
        }
        let patience = self.args.room.timeout;
        let connected = timeout(patience, transport.connected());
        match self.meanwhile(stay, connected).await? {
            Ok(Ok(())) => {}
            Ok(Err(_)) => {
                self.meanwhile(stay, sleep(LAST_WORDS)).await?;
                return Err(RunError::ConnectionLost);
            }
            Err(_) => {
                let offered: Vec<_> = transport
                    .remote_candidates()
                    .iter()
                    .map(|candidate| format!("{} port {} ({:?})", candidate.ip, candidate.port, candidate.protocol))
                    .collect();
                let offered = if offered.is_empty() { "no address".to_owned() } else { offered.join(", ") };
                return Err(RunError::NoConnection { waited: patience, offered });
            }
        }
        Ok(())
    }

    /// Waits for something, and takes events all the while. An event that ends the session ends the wait.
    async fn meanwhile<T>(&mut self, stay: &mut Stay, wanted: impl Future<Output = T>) -> Result<T, RunError> {
        let mut wanted = std::pin::pin!(wanted);
        loop {
            tokio::select! {
                // Events say why something fails, and so come first.
                biased;
                event = stay.events.next() => self.take(stay, event)?,
                wanted = &mut wanted => return Ok(wanted),
            }
        }
    }

    async fn send(&mut self, stay: &mut Stay, feeds: &mut Feeds, stop: &mut Stop) -> Result<(), RunError> {
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
                event = stay.events.next() => self.take(stay, event)?,
                _ = ticks.tick() => {
                    self.count(stay);
                    self.encodings.sample(Instant::now());
                    self.reporter.sample(self.start.elapsed(), self.encodings.rows());
                    if let Some(error) = stay.recording.as_mut().and_then(Recording::failed) {
                        self.not_recorded(error);
                    }
                }
                () = stop.requested() => return Ok(()),
            }
        }
    }

    fn write(&self, stay: &mut Stay, feeds: &mut Feeds, media: Media) {
        let (track, result) = match media {
            Media::Frame(due) => {
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
                    eprintln!("mediasoup-publish: {label}: {error}; this and others like it are left out");
                    let event = Event::new("refused", format!("{label}: {error}"));
                    self.event(
                        event.with("producer", stay.producers[track].id().value()).with("error", error.to_string()),
                    );
                }
            }
        }
    }

    /// Brings our own counts up to date.
    fn count(&mut self, stay: &Stay) {
        for (track, producer) in stay.producers.iter().enumerate() {
            self.encodings.update(track, &producer.outbound_stats());
        }
    }

    /// Waits until the room has confirmed what was sent, so that the last numbers are whole. Of a paused producer it
    /// says nothing.
    async fn confirm(&mut self, stay: &mut Stay) {
        for producer in &stay.producers {
            // Enabled anew, statistics come at once.
            let _ = producer.enable_stats(SAMPLE_EVERY);
        }
        let waited = timeout(CONFIRM_TIMEOUT, async {
            loop {
                let paused: Vec<_> = stay.producers.iter().filter(|p| p.paused()).map(Producer::id).collect();
                if self.encodings.all_received(|producer| !paused.contains(&producer)) {
                    return;
                }
                let event = stay.events.next().await;
                if self.take(stay, event).is_err() {
                    return;
                }
            }
        });
        // Then the room has not received everything, and the numbers say so.
        let _ = waited.await;
        self.count(stay);
    }

    fn take(&mut self, stay: &mut Stay, event: Option<IoEvent>) -> Result<(), RunError> {
        match event {
            None => Err(RunError::Ended),
            Some(IoEvent::Room(event)) => self.room_event(stay, event),
            Some(IoEvent::Application { method, data }) => {
                let text = format!("the server's application says {method}");
                self.event(
                    Event::new("application", text).with("method", method).with("data", Redacted(&data).to_value()),
                );
                Ok(())
            }
            Some(IoEvent::Disconnected { error }) => Err(error.into()),
            Some(IoEvent::Unreachable { reason, .. }) => Err(RunError::Unreachable(reason)),
            Some(_) => Ok(()),
        }
    }

    fn room_event(&mut self, stay: &mut Stay, event: RoomEvent) -> Result<(), RunError> {
        match event {
            RoomEvent::Joined { peers } => {
                let names: Vec<_> = peers.into_iter().map(|peer| peer.name).collect();
                let me = stay.room.peer_name().unwrap_or_default();
                let text = format!("joined as {me}; {} other peers", names.len());
                self.event(Event::new("joined", text).with("peer", me).with("peers", names));
            }
            RoomEvent::Closed { originator: Originator::Remote, .. } => return Err(RunError::RoomClosed),
            RoomEvent::NewPeer { peer } => {
                self.event(Event::new("newpeer", format!("{} has come", peer.name)).with("peer", peer.name));
            }
            RoomEvent::PeerClosed { name, .. } => {
                self.event(Event::new("peerclosed", format!("{name} has left")).with("peer", name));
            }
            RoomEvent::Transport { event, .. } => return self.transport_event(stay, event),
            RoomEvent::Producer { id, event } => return self.producer_event(stay, id, event),
            RoomEvent::Closed { originator: Originator::Local, .. } | RoomEvent::Settled { .. } => {}
            // For receivers.
            RoomEvent::Notification { .. } => {}
            _ => {}
        }
        Ok(())
    }

    fn transport_event(&mut self, stay: &mut Stay, event: TransportEvent) -> Result<(), RunError> {
        match event {
            TransportEvent::ConnectionStateChange { state } => {
                if state == ConnectionState::Connected {
                    let took = self.start.elapsed();
                    self.connect.get_or_insert(took);
                }
                let text = format!("transport {state}");
                self.event(Event::new("connectionstatechange", text).with("state", state.as_str()));
                match state {
                    ConnectionState::Connected => stay.lost = None,
                    ConnectionState::Disconnected => {
                        // The path may be gone and not the server: new credentials make ICE look for another.
                        // Once begun it goes on, and the events tell whether it helps.
                        let _ = stay.room.restart_ice().now_or_never();
                        stay.lost = Some(Instant::now() + self.args.room.timeout);
                    }
                    ConnectionState::Failed => stay.lost = Some(Instant::now() + LAST_WORDS),
                    ConnectionState::New | ConnectionState::Connecting | ConnectionState::Closed => {}
                }
                Ok(())
            }
            TransportEvent::Failed { cause } => Err(RunError::Dtls(cause)),
            TransportEvent::Close { originator: Originator::Remote, .. } => Err(RunError::TransportClosed),
            _ => Ok(()),
        }
    }

    fn producer_event(&mut self, stay: &Stay, id: ProducerId, event: ProducerEvent) -> Result<(), RunError> {
        let Some(track) = stay.producers.iter().position(|producer| producer.id() == id) else { return Ok(()) };
        let kind = stay.producers[track].kind();
        let told = |name, text: String| Event::new(name, format!("{kind} {text}")).with("producer", id.value());
        let event = match event {
            ProducerEvent::Stats { stats } => {
                self.encodings.heard(id, &stats);
                return Ok(());
            }
            ProducerEvent::Close { originator: Originator::Remote, .. } => return Err(RunError::ProducerClosed(kind)),
            ProducerEvent::Pause { originator, .. } => {
                told("pause", format!("paused by {}", who(originator))).with("originator", word(originator))
            }
            ProducerEvent::Resume { originator, .. } => {
                told("resume", format!("resumed by {}", who(originator))).with("originator", word(originator))
            }
            ProducerEvent::Handled => told("handled", "is sent".to_owned()),
            // The next key frame of the file is the answer: it cannot make one.
            ProducerEvent::KeyFrameRequest { profile } => {
                told("keyframerequest", format!("key frame wanted ({profile})")).with("profile", profile.as_str())
            }
            // Of files it was said at the start.
            ProducerEvent::TimeWentBack { profile } if self.reordered.insert(track) => {
                reordered(kind.as_str()).with("producer", id.value()).with("profile", profile.as_str())
            }
            ProducerEvent::TargetBitrate { profile, bitrate_bps } => {
                told("targetbitrate", format!("may take {} kbit/s ({profile})", bitrate_bps / 1000))
                    .with("profile", profile.as_str())
                    .with("bitrate_bps", bitrate_bps)
            }
            _ => return Ok(()),
        };
        self.event(event);
        Ok(())
    }
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
