//! A room on a scripted media plane, in step with the model, and what must hold after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::protocol::IceProtocol;
use mediasoup_producer::{
    Accepted, Command, EngineEvent, Event, Frame, Input, Limits, Media, MediaKind, OperationError, OperationId, Output,
    ProducerEvent, ProducerId, ProducerOptions, RequestId, Room, RoomConfig, RoomState, Track, TrackState, TransportId,
};
use serde_json::{Value, json};

use super::op::{Notice, Op, ProducerOp, Says, TrackKind, TransportOp};
use super::{
    ADDRESSES, Model, OPERATIONS, PEERS, PRODUCERS, REQUEST_TIMEOUT, Said, TRANSPORTS, app_data, failure, foreign,
    layer, pick,
};

/// A room, and what a test must remember of it.
#[derive(Debug)]
pub struct Lockstep {
    room: Room,
    /// The media plane does as it is told.
    scripted: bool,
    start: Instant,
    /// In the order of creation, as the model names them.
    transports: Vec<TransportId>,
    producers: Vec<ProducerId>,
    said: Vec<Said>,
    /// Packets that were seen to leave, by SSRC.
    sent: BTreeMap<u32, u64>,
    /// Whose SSRC it is, while RTP may leave under it.
    flowing: BTreeMap<u32, usize>,
    begun: BTreeSet<OperationId>,
    settled: BTreeSet<OperationId>,
    closed: BTreeSet<usize>,
}

impl Lockstep {
    /// A room on a scripted media plane, to which nothing has happened.
    pub fn new(start: Instant, seed: u64) -> Self {
        Self::with(start, Room::scripted(config(), seed), true)
    }

    /// A room on the real media plane. It has nobody to connect to: what the engine would say must not be in the
    /// sequence, nor enough time for ICE to give up.
    pub fn real(start: Instant, seed: u64) -> Self {
        Self::with(start, Room::new(config(), seed), false)
    }

    fn with(start: Instant, room: Room, scripted: bool) -> Self {
        Self {
            room,
            scripted,
            start,
            transports: Vec::new(),
            producers: Vec::new(),
            said: Vec::new(),
            sent: BTreeMap::new(),
            flowing: BTreeMap::new(),
            begun: BTreeSet::new(),
            settled: BTreeSet::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Does what the model has done, from `before` to `after`, and compares.
    pub fn step(&mut self, before: &Model, op: &Op, after: &Model) {
        self.said.clear();
        let result = self.act(before, op, after);
        self.drain();
        assert_eq!(result, after.result, "what came of {op:?}");
        assert_eq!(self.said, after.said, "what was said at {op:?}");
        self.compare(after);
        self.check(after);
    }

    fn act(&mut self, before: &Model, op: &Op, after: &Model) -> Result<(), &'static str> {
        let transport = |number| pick(&before.transports, before.transports_made, number);
        let producer = |number| pick(&before.producers, before.producers_made, number);
        let now = self.start + Duration::from_millis(before.now);
        match *op {
            Op::Join { nameless, app } => {
                let peer_name = if nameless { "" } else { "model" }.to_owned();
                self.command(now, Command::Join { peer_name, app_data: app_data(app) })
            }
            Op::Leave { app } => self.command(now, Command::Leave { app_data: app_data(app) }),
            Op::RemoteClose { app } => self.command(now, Command::RemoteClose { app_data: app_data(app) }),
            Op::CreateTransport { app } => self.command(now, Command::CreateTransport { app_data: app_data(app) }),
            Op::CreateProducer { track, simulcast, app } => {
                let (track, app_data) = (track_of(track), app_data(app));
                let options = ProducerOptions::default().simulcast(simulcast);
                self.command(now, Command::CreateProducer { track, options, app_data })
            }
            Op::RestartIce => self.command(now, Command::RestartIce),
            Op::Transport { pick, op } => {
                let id = self.transport(transport(pick));
                let protocol = IceProtocol::Udp;
                let command = match op {
                    TransportOp::Close(app) => Command::CloseTransport { id, app_data: app_data(app) },
                    TransportOp::EnableStats { milliseconds } => {
                        Command::EnableTransportStats { id, interval: Duration::from_millis(milliseconds.into()) }
                    }
                    TransportOp::DisableStats => Command::DisableTransportStats { id },
                    TransportOp::SetAppData(app) => Command::SetTransportAppData { id, app_data: app_data(app) },
                    TransportOp::RestartIce => Command::RestartTransportIce { id },
                    TransportOp::AddAddress(number) => {
                        Command::AddLocalAddress { id, protocol, address: address(number % 8) }
                    }
                    TransportOp::RemoveAddress(number) => {
                        Command::RemoveLocalAddress { id, protocol, address: address(number % 8) }
                    }
                };
                self.command(now, command)
            }
            Op::Producer { pick, op } => {
                let id = self.producer(producer(pick));
                let command = match op {
                    ProducerOp::Close(app) => Command::CloseProducer { id, app_data: app_data(app) },
                    ProducerOp::Pause(app) => Command::Pause { id, app_data: app_data(app) },
                    ProducerOp::Resume(app) => Command::Resume { id, app_data: app_data(app) },
                    ProducerOp::ReplaceTrack(kind) => Command::ReplaceTrack { id, track: track_of(kind) },
                    ProducerOp::EndTrack => Command::EndTrack { id },
                    ProducerOp::EnableStats { milliseconds } => {
                        Command::EnableProducerStats { id, interval: Duration::from_millis(milliseconds.into()) }
                    }
                    ProducerOp::DisableStats => Command::DisableProducerStats { id },
                    ProducerOp::SetAppData(app) => Command::SetProducerAppData { id, app_data: app_data(app) },
                };
                self.command(now, command)
            }
            Op::Send { producer: p, transport: t } => {
                let (id, transport) = (self.producer(producer(p)), self.transport(transport(t)));
                self.command(now, Command::Send { id, transport })
            }
            Op::Answer { to, how } => {
                let request = before.answered(to);
                let result = before.payload(request, how);
                self.input(now, Input::Response { id: RequestId::from(request), result });
                Ok(())
            }
            Op::Server(notice) => {
                let message = self.message(before, notice);
                self.input(now, Input::Notification(message));
                Ok(())
            }
            Op::Engine { pick, says } => {
                let id = self.transport(transport(pick));
                let event = match says {
                    Says::Connected => EngineEvent::Connected,
                    Says::Disconnected => EngineEvent::Disconnected,
                    Says::Closed => EngineEvent::Closed,
                    Says::Failed => EngineEvent::Failed(failure()),
                    Says::Limit(bitrate_bps) => EngineEvent::BitrateLimit { bitrate_bps: bitrate_bps.into() },
                };
                self.room.engine_event(now, id, event);
                Ok(())
            }
            Op::KeyFrame { producer: p, layer: number } => {
                let id = self.producer(producer(p));
                let profile = layer(before.producers.get(&producer(p)), number);
                let wanted = self.room.producer_info(id).and_then(|info| {
                    let encodings = &info.rtp_parameters()?.encodings;
                    let of_layer = encodings.iter().find(|e| e.profile.unwrap_or_default() == profile)?;
                    Some((info.transport()?, of_layer.ssrc))
                });
                if let Some((transport, ssrc)) = wanted {
                    self.room.engine_event(now, transport, EngineEvent::KeyFrameRequest { ssrc });
                }
                Ok(())
            }
            Op::Media { producer: p, layer: number, bytes } => {
                let known = before.producers.get(&producer(p));
                let data = Bytes::from(vec![0x55; bytes.into()]);
                let frame = Frame::new(data, Duration::from_millis(before.now)).profile(layer(known, number));
                let (producer, media) = (self.producer(producer(p)), Media::Frame(frame));
                let result = self.room.handle_input(now, Input::Media { producer, media });
                result.map(drop).map_err(|error| name_of(&error))
            }
            Op::Pass { jump, .. } => {
                self.pass(self.start + Duration::from_millis(after.now), jump);
                Ok(())
            }
        }
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), &'static str> {
        let bulk = matches!(command, Command::RestartIce);
        match self.room.handle_input(now, Input::Command(command)) {
            Ok(Accepted::Transport(id)) => {
                assert!(!self.transports.contains(&id), "an id twice");
                self.transports.push(id);
            }
            Ok(Accepted::Producer(id)) => {
                assert!(!self.producers.contains(&id), "an id twice");
                self.producers.push(id);
            }
            Ok(Accepted::Operation(id)) => assert!(self.begun.insert(id), "an operation twice"),
            Ok(Accepted::Done) => {}
            Ok(_) => unreachable!("all that there is"),
            Err(error) => return Err(name_of(&error)),
        }
        // Operations that nobody asked for one by one are known by their ends alone.
        if bulk {
            self.begun.clear();
        }
        Ok(())
    }

    /// What comes from outside is never an error.
    fn input(&mut self, now: Instant, input: Input) {
        self.room.handle_input(now, input).expect("not from the application");
    }

    /// As a loop would that is on time, or one that overslept. A deadline that is honoured is over: nothing spins.
    fn pass(&mut self, until: Instant, jump: bool) {
        let mut last = None;
        while let Some(deadline) = self.room.poll_timeout().filter(|deadline| !jump && *deadline <= until) {
            assert!(last.is_none_or(|last| last < deadline), "a deadline that was honoured comes again");
            last = Some(deadline);
            self.room.handle_timeout(deadline);
            self.drain();
        }
        self.room.handle_timeout(until);
        self.drain();
        assert!(self.room.poll_timeout().is_none_or(|deadline| deadline > until), "time that is over is waited for");
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                // ICE and DTLS.
                Output::Transmit(_) if !self.scripted => {}
                Output::Transmit(transmit) => {
                    let header = transmit.contents.get(8..12).expect("an RTP packet");
                    let ssrc = u32::from_be_bytes(header.try_into().expect("four bytes"));
                    assert!(self.flowing.contains_key(&ssrc), "RTP of a producer that is paused, closed or unhandled");
                    *self.sent.entry(ssrc).or_default() += 1;
                }
                Output::Request { id, request } => {
                    let message = self.normal(request.to_json());
                    self.said.push(Said::Request(id.value(), message));
                }
                Output::Notification(notification) => {
                    let message = self.normal(notification.to_json());
                    self.said.push(Said::Notification(message));
                }
                Output::Event(event) => self.event(event),
                _ => unreachable!("all that there is"),
            }
        }
    }

    fn event(&mut self, event: Event) {
        let event = match event {
            Event::Settled { operation, result } => {
                assert!(self.settled.insert(operation), "{operation} is settled twice");
                let result = result.map_err(|error| match error {
                    OperationError::InvalidResponse(_) => OperationError::InvalidResponse(String::new()),
                    other => other,
                });
                Event::Settled { operation, result }
            }
            Event::Transport { id, event } => Event::Transport { id: (self.transport_index(id) as u32).into(), event },
            Event::Producer { id, event } => {
                let index = self.producer_index(id);
                assert!(!self.closed.contains(&index), "{event:?} after the close");
                match event {
                    ProducerEvent::Close { .. } => {
                        self.closed.insert(index);
                        self.flowing.retain(|_, of| *of != index);
                    }
                    ProducerEvent::Pause { .. } | ProducerEvent::Unhandled => self.flowing.retain(|_, of| *of != index),
                    ProducerEvent::TargetBitrate { profile, .. } => {
                        // The sums are tested where they are made. Here: only for what can send.
                        let producer = self.room.producer_info(id);
                        if let Some(producer) = producer.filter(|producer| producer.handled()) {
                            let encodings = &producer.rtp_parameters().expect("it is handled").encodings;
                            assert!(encodings.iter().any(|e| e.profile.unwrap_or_default() == profile));
                        }
                        return;
                    }
                    _ => {}
                }
                Event::Producer { id: (index as u32).into(), event }
            }
            other => other,
        };
        self.said.push(Said::Event(event));
    }

    /// A message with the model's names for things, and without what is ours to choose.
    fn normal(&self, mut message: Value) -> Value {
        let method = message["method"].as_str().expect("a method").to_owned();
        let value = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
        if !message["id"].is_null() {
            let id = value(&message["id"]);
            message["id"] = if method.contains("Transport") {
                self.transport_index(id.into()).into()
            } else {
                self.producer_index(id.into()).into()
            };
        }
        if !message["transportId"].is_null() {
            message["transportId"] = self.transport_index(value(&message["transportId"]).into()).into();
        }
        for ours in ["rtpCapabilities", "dtlsParameters"] {
            if message[ours].is_object() {
                message[ours] = "ours".into();
            }
        }
        if method == "createProducer" {
            let encodings = message["rtpParameters"]["encodings"].as_array().expect("encodings").clone();
            message["rtpParameters"] = encodings.into_iter().map(|encoding| encoding["profile"].clone()).collect();
        }
        // Reading a field that is not there leaves a null behind.
        if let Some(fields) = message.as_object_mut() {
            for absent in ["id", "transportId", "rtpCapabilities", "dtlsParameters"] {
                if fields.get(absent) == Some(&Value::Null) {
                    fields.remove(absent);
                }
            }
        }
        message
    }

    fn message(&self, before: &Model, notice: Notice) -> Value {
        let transport = |number| self.transport(pick(&before.transports, before.transports_made, number));
        let producer = |number| self.producer(pick(&before.producers, before.producers_made, number));
        let (method, fields, app) = match notice {
            Notice::Closed(app) => ("closed", json!({}), app_data(app)),
            Notice::TransportClosed(number, app) => {
                ("transportClosed", json!({ "id": transport(number) }), app_data(app))
            }
            Notice::TransportStats(number) => {
                let stats = json!([{ "type": "unheard of", "dtlsState": 5 }]);
                ("transportStats", json!({ "id": transport(number), "stats": stats }), None)
            }
            Notice::ProducerPaused(number, app) => ("producerPaused", json!({ "id": producer(number) }), app_data(app)),
            Notice::ProducerResumed(number, app) => {
                ("producerResumed", json!({ "id": producer(number) }), app_data(app))
            }
            Notice::ProducerClosed(number, app) => ("producerClosed", json!({ "id": producer(number) }), app_data(app)),
            Notice::ProducerStats(number) => {
                let stats = json!([{ "type": "unheard of" }]);
                ("producerStats", json!({ "id": producer(number), "stats": stats }), None)
            }
            Notice::NewPeer(number) => {
                ("newPeer", json!({ "name": format!("peer {}", number % 8) }), Some(json!(number)))
            }
            Notice::PeerClosed(number) => ("peerClosed", json!({ "name": format!("peer {}", number % 8) }), None),
            Notice::Foreign => return foreign(),
            Notice::Malformed => ("producerPaused", json!({ "id": "seven" }), None),
        };
        let mut message = fields;
        message["method"] = method.into();
        message["notification"] = true.into();
        if let Some(app) = app {
            message["appData"] = app;
        }
        message
    }

    fn compare(&self, model: &Model) {
        let room = &self.room;
        assert_eq!(room.state(), model.state);
        assert_eq!(
            (room.joined(), room.closed()),
            (model.state == RoomState::Joined, model.state == RoomState::Closed)
        );
        let joined = model.state == RoomState::Joined;
        assert_eq!(room.can_send(MediaKind::Audio), joined && model.sends_audio);
        assert_eq!(room.can_send(MediaKind::Video), joined && model.sends_video);
        let peers: Vec<_> = room.peers().map(|peer| (&peer.name, &peer.app_data)).collect();
        assert_eq!(peers, model.peers.iter().collect::<Vec<_>>());
        let stats = room.stats();
        assert_eq!(stats.requests_pending, model.pending());
        assert_eq!((stats.messages_malformed, stats.messages_unexpected), (model.malformed, model.unexpected));
        assert_eq!(stats.peers_dropped, model.peers_dropped);
        assert_eq!((stats.outputs_waiting, stats.events_dropped, stats.transmits_dropped), (0, 0, 0));

        assert_eq!(room.transports().count(), model.transports.len());
        for (index, known) in &model.transports {
            let transport = room.transport_info(self.transports[*index]).expect("the model has it");
            assert_eq!(transport.id(), self.transports[*index]);
            assert!(!transport.closed());
            assert_eq!(transport.direction(), "send");
            assert_eq!(transport.app_data(), known.app.as_ref());
            assert_eq!(transport.connection_state(), known.connection);
            assert_eq!(transport.stats_interval(), known.stats.map(Duration::from_millis));
            let addresses: Vec<_> = known.addresses.iter().map(|number| (IceProtocol::Udp, address(*number))).collect();
            assert_eq!(transport.local_addresses().collect::<Vec<_>>(), addresses);
        }

        assert_eq!(room.producers().count(), model.producers.len());
        for (index, known) in &model.producers {
            let producer = room.producer_info(self.producers[*index]).expect("the model has it");
            assert_eq!(producer.id(), self.producers[*index]);
            assert!(!producer.closed());
            assert_eq!(producer.app_data(), known.app.as_ref());
            assert_eq!(producer.kind() == MediaKind::Video, known.video);
            assert_eq!(producer.simulcast().is_some(), known.simulcast);
            assert_eq!(producer.locally_paused(), known.locally_paused);
            assert_eq!(producer.remotely_paused(), known.remotely_paused);
            assert_eq!(producer.paused(), known.locally_paused || known.remotely_paused);
            assert_eq!(producer.transport(), known.transport().map(|index| self.transports[index]));
            assert_eq!(producer.handled(), known.handled());
            assert_eq!(producer.rtp_parameters().is_some(), known.handled());
            assert_eq!(producer.stats_interval(), known.stats.map(Duration::from_millis));
            assert_eq!(producer.track().ready_state() == TrackState::Ended, known.track_ended);
            assert_eq!(producer.track().enabled(), !producer.paused(), "its clone is enabled unless it is paused");
            assert_ne!(producer.track().id(), producer.original_track().id());
            assert_eq!(producer.original_track().id(), "track");
        }
    }

    /// What must hold whatever happens, and what is needed for the next step.
    fn check(&mut self, model: &Model) {
        let now = self.start + Duration::from_millis(model.now);
        self.flowing.clear();
        let mut waiting = 0;
        let mut names = BTreeSet::new();
        for producer in self.room.producers() {
            let Some(parameters) = producer.rtp_parameters() else { continue };
            assert!(names.insert((producer.transport(), parameters.mux_id.clone())), "a MID twice on a transport");
            for stats in self.room.outbound_stats(producer.id()) {
                let ssrc = stats.ssrc;
                waiting += stats.packets_sent - self.sent.get(&ssrc).copied().unwrap_or(0);
                let index = self.producer_index(producer.id());
                assert_eq!(self.flowing.insert(ssrc, index), None, "an SSRC twice");
            }
            if producer.paused() {
                assert_eq!(
                    self.room.outbound_stats(producer.id()).iter().map(|stats| stats.packets_sent).sum::<u64>(),
                    self.flowing
                        .iter()
                        .filter(|(_, of)| **of == self.producer_index(producer.id()))
                        .map(|(ssrc, _)| { self.sent.get(ssrc).copied().unwrap_or(0) })
                        .sum::<u64>(),
                    "packets of a paused producer still wait"
                );
                let index = self.producer_index(producer.id());
                self.flowing.retain(|_, of| *of != index);
            }
        }
        let deadline = model.deadline().map(|deadline| self.start + Duration::from_millis(deadline));
        let actual = self.room.poll_timeout();
        if !self.scripted {
            assert!(deadline.is_none_or(|deadline| actual.is_some_and(|actual| actual <= deadline)));
        } else if waiting == 0 {
            assert_eq!(actual, deadline, "the deadline is that of the oldest request");
        } else {
            let actual = actual.expect("packets wait to leave");
            assert!(now < actual && actual <= now + Duration::from_millis(5), "the pace of large frames");
        }
        if model.state == RoomState::Closed {
            assert_eq!((actual, self.room.transports().count(), self.room.producers().count()), (None, 0, 0));
            assert!(self.begun.is_subset(&self.settled), "operations that never end");
        }
    }

    fn transport(&self, index: usize) -> TransportId {
        // Ours have eight digits.
        self.transports.get(index).copied().unwrap_or(TransportId::from(7))
    }

    fn producer(&self, index: usize) -> ProducerId {
        self.producers.get(index).copied().unwrap_or(ProducerId::from(7))
    }

    fn transport_index(&self, id: TransportId) -> usize {
        self.transports.iter().position(|known| *known == id).expect("a transport that was made")
    }

    fn producer_index(&self, id: ProducerId) -> usize {
        self.producers.iter().position(|known| *known == id).expect("a producer that was made")
    }
}

fn config() -> RoomConfig {
    let mut limits = Limits::default();
    limits.transports = TRANSPORTS;
    limits.producers = PRODUCERS;
    limits.operations = OPERATIONS;
    limits.local_addresses = ADDRESSES;
    limits.peers = PEERS;
    RoomConfig::default().limits(limits).request_timeout(Duration::from_millis(REQUEST_TIMEOUT))
}

fn track_of(kind: TrackKind) -> Track {
    let media = if kind == TrackKind::Audio { MediaKind::Audio } else { MediaKind::Video };
    let mut track = Track::new(media, "track", "").with_enabled(kind != TrackKind::Disabled);
    if kind == TrackKind::Ended {
        track.stop();
    }
    track
}

/// Address 0 is none.
fn address(number: u8) -> std::net::SocketAddr {
    let ip = if number == 0 { [0; 4] } else { [192, 0, 2, number] };
    (ip, 5000).into()
}

/// The name of an error's innermost variant.
fn name_of(error: &impl std::fmt::Debug) -> &'static str {
    const NAMES: [&str; 19] = [
        "RoomState",
        "EmptyPeerName",
        "Spy",
        "CannotSend",
        "OptionsMismatch",
        "TrackEnded",
        "TrackKind",
        "TransportNotFound",
        "ProducerNotFound",
        "AlreadyHandled",
        "NotStarted",
        "BadAddress",
        "Limit",
        "Unhandled",
        "Paused",
        "NotConnected",
        "UnknownProfile",
        "Malformed",
        "TooManyPackets",
    ];
    let text = format!("{error:?}");
    let text = text.strip_prefix("Command(").or(text.strip_prefix("Media(")).unwrap_or(&text);
    let name = text.split(['(', ' ', ')']).next().unwrap_or_default();
    NAMES.iter().find(|known| **known == name).copied().unwrap_or_else(|| panic!("no error of the model's: {text}"))
}
