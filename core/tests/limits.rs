//! Every limit is driven far past its figure: what is more is refused and counted, all of it, and a hundred times the limit
//! holds no more memory than twice the limit. The limits and their figures are in the documentation of `Limits`.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod common;

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use common::{answer, bytes_held, scenario};
use mediasoup_producer::IceProtocol;
use mediasoup_producer::framing::{self, Decoder};
use mediasoup_producer::protoo::{MAX_MESSAGE_BYTES, Protoo, ProtooError};
use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::sim::{ConnectionId, Direction, RoomServer, RoomServerConfig, Scenario, ScenarioConfig};
use mediasoup_producer::sim::{ServerLimits, ServerOutput, Source};
use mediasoup_producer::v2::protocol::Request;
use mediasoup_producer::v2::{
    AddAddressError, CreateProducerError, CreateTransportError, Event, Failure, Input, Output, ProducerOptions,
    RequestFailure, RestartIceError, Room, RoomConfig, TransportError,
};
use mediasoup_producer::{
    Frame, Limits, MediaError, MediaKind, OutputsNotPolled, ProducerId, RtpPacket, Track, TransportId,
};
use serde_json::{Value, json};

/// One limit.
struct Row {
    name: &'static str,
    /// The figure it is tested with, where the default would only take longer.
    figure: usize,
    /// Holds up so many times the figure to it.
    drive: fn(figure: usize, times: usize) -> Driven,
}

/// What came of it.
struct Driven {
    /// Refused with a typed error, or dropped and counted.
    refused: usize,
    /// How much should have been.
    beyond: usize,
    /// All that is still there.
    held: Box<dyn Any>,
}

fn main() {
    let row = |name, figure, drive| Row { name, figure, drive };
    let rows = [
        row("transports", default_of("transports"), transports),
        row("producers", default_of("producers"), producers),
        row("peers", default_of("peers"), peers),
        row("peer_bytes", 64 << 10, peer_bytes),
        row("message_bytes", 64 << 10, message_bytes),
        row("message_bytes of an answer", 64 << 10, answer_bytes),
        row("pending_requests", default_of("pending_requests"), pending_requests),
        row("operations", default_of("operations"), operations),
        row("frame_bytes", 64 << 10, frame_bytes),
        row("bytes of an RTP packet", 1400, packet_bytes),
        row("packets_waiting", default_of("packets_waiting"), packets_waiting),
        row("repair_packets", 1024, repair_packets),
        row("local_addresses", default_of("local_addresses"), local_addresses),
        row("remote_candidates", default_of("remote_candidates"), remote_candidates),
        row("outputs: events", default_of("outputs"), outputs_of_events),
        row("outputs: commands", default_of("outputs"), outputs_of_commands),
        row("outputs: datagrams", default_of("outputs"), outputs_of_datagrams),
        row("output_bytes", 256 << 10, output_bytes),
        row("seconds of a lost path", 60, lost_path),
        row("framing: bytes of a datagram", 65_535, framed),
        row("protoo: bytes of a text frame", MAX_MESSAGE_BYTES, text_frame),
        row("room server: peers", 256, server_peers),
        row("room server: transports", 16, server_transports),
        row("room server: producers", 64, server_producers),
        row("room server: encodings", 8, server_encodings),
        row("room server: message_bytes", 256 << 10, server_message_bytes),
        row("room server: outputs", 1024, server_outputs),
    ];
    for Row { name, figure, drive } in rows {
        let held = [2, 100].map(|times| {
            let before = bytes_held();
            let driven = drive(figure, times);
            assert_eq!(driven.refused, driven.beyond, "{name}: {times} times {figure}");
            let held = bytes_held().saturating_sub(before);
            drop(driven.held);
            held
        });
        println!("{name}: {figure}; {} bytes held at twice that, {} at a hundred times", held[0], held[1]);
        assert!(held[1] <= held[0] + held[0] / 50 + 8192, "{name}: {held:?} bytes held");
    }
    a_closed_room_server_holds_nothing();
}

/// A limit of a room that nobody has set, as a recording names it.
fn default_of(limit: &str) -> usize {
    let figures = serde_json::to_value(Limits::default()).unwrap();
    usize::try_from(figures[limit].as_u64().unwrap()).unwrap()
}

/// A room that has joined, with a server that answers at once.
struct Session {
    room: Room,
    now: Instant,
    settled: Vec<Result<(), Failure>>,
}

impl Session {
    fn new(limits: impl FnOnce(Limits) -> Limits) -> Self {
        let room = Room::scripted(RoomConfig::default().limits(limits(Limits::default())), 1);
        let mut session = Self { room, now: Instant::now(), settled: Vec::new() };
        session.room.join(session.now, "limits", None).unwrap();
        session.drain();
        session
    }

    fn drain(&mut self) {
        self.drain_with(|request| Some(answer(request)));
    }

    fn drain_with(&mut self, answer: impl Fn(&Request) -> Option<Value>) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    if let Some(data) = answer(&request) {
                        self.room.handle_input(self.now, Input::Response { id, result: Ok(data) }).unwrap();
                    }
                }
                Output::Event(Event::Settled { result, .. }) => self.settled.push(result),
                _ => {}
            }
        }
    }

    fn transport(&mut self) -> TransportId {
        self.room.create_transport(self.now, None).unwrap()
    }

    fn producer(&mut self) -> Result<ProducerId, CreateProducerError> {
        let track = Track::new(MediaKind::Video, "camera", "");
        self.room.create_producer(self.now, track, ProducerOptions::default(), None)
    }

    /// A producer whose media leaves.
    fn sending(&mut self) -> (TransportId, ProducerId) {
        let transport = self.transport();
        let producer = self.producer().unwrap();
        self.room.producer(producer).unwrap().send(self.now, transport).unwrap();
        self.drain();
        self.room.engine_event(self.now, transport, EngineEvent::Connected);
        self.drain();
        (transport, producer)
    }

    fn hears(&mut self, message: Value) {
        self.room.handle_input(self.now, Input::Notification(message)).unwrap();
    }

    fn driven(self, refused: usize, beyond: usize) -> Driven {
        Driven { refused, beyond, held: Box::new(self) }
    }
}

/// How many of so many tries end in this error.
fn count<E: PartialEq + std::fmt::Debug>(
    tries: usize,
    refusal: &E,
    mut one: impl FnMut(usize) -> Result<(), E>,
) -> usize {
    let refused = (0..tries).filter_map(|n| one(n).err());
    refused.inspect(|error| assert_eq!(error, refusal)).count()
}

fn transports(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.transports(limit));
    let refusal = CreateTransportError::Limit(limit);
    let refused = count(limit * times, &refusal, |_| session.room.create_transport(session.now, None).map(drop));
    session.driven(refused, limit * (times - 1))
}

fn producers(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.producers(limit));
    let refusal = CreateProducerError::Limit(limit);
    let refused = count(limit * times, &refusal, |_| session.producer().map(drop));
    session.driven(refused, limit * (times - 1))
}

fn new_peer(n: usize, app_data: Value) -> Value {
    json!({ "method": "newPeer", "target": "room", "notification": true, "name": format!("{n:8}"), "appData": app_data })
}

/// A notification that is none of ours, and goes to the application.
fn other(data: &str) -> Value {
    json!({ "method": "newConsumer", "target": "peer", "notification": true, "data": data })
}

fn peers(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.peers(limit));
    for n in 0..limit * times {
        session.hears(new_peer(n, Value::Null));
        session.drain();
    }
    assert_eq!(session.room.peers().count(), limit);
    let refused = session.room.stats().peers_dropped as usize;
    session.driven(refused, limit * (times - 1))
}

fn peer_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.peer_bytes(limit));
    // The name has eight bytes, a JSON value 32.
    let data = Value::from("x".repeat(1024 - 8 - 32));
    for n in 0..limit / 1024 * times {
        session.hears(new_peer(n, data.clone()));
        session.drain();
    }
    let refused = session.room.stats().peers_dropped as usize;
    session.driven(refused, limit / 1024 * (times - 1))
}

fn message_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.message_bytes(limit));
    let large = |times: usize| json!({ "method": "newConsumer", "target": "peer", "notification": true, "data": vec![0; limit / 32 * times] });
    for _ in 0..10 {
        session.hears(large(times));
    }
    assert_eq!(session.room.stats().outputs_waiting, 0);
    let refused = session.room.stats().messages_too_large as usize;
    session.driven(refused, 10)
}

fn answer_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.message_bytes(limit));
    session.room.remote_close(session.now, None).unwrap();
    session.settled.clear();
    for _ in 0..10 {
        session.room.join(session.now, "again", None).unwrap();
        session.drain_with(|_| Some(Value::from("x".repeat(limit * times))));
    }
    let settled = std::mem::take(&mut session.settled);
    let refused = settled.iter().filter_map(|result| result.as_ref().err()?.request());
    let refused = refused.filter(|failure| matches!(failure, RequestFailure::InvalidResponse(_))).count();
    assert_eq!(session.room.stats().messages_too_large, 10);
    session.driven(refused, 10)
}

/// With one request for each transport; those that fail are closed again.
fn pending_requests(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.pending_requests(limit).transports(limit + 1).producers(limit + 1));
    session.settled.clear();
    for n in 0..limit * times {
        let (transport, producer) = (session.transport(), session.producer().unwrap());
        session.room.producer(producer).unwrap().send(session.now, transport).unwrap();
        session.drain_with(|_| None);
        assert_eq!(session.room.stats().requests_pending, limit.min(n + 1));
        if n >= limit {
            session.room.transport(transport).unwrap().close(session.now, None).unwrap();
            session.room.producer(producer).unwrap().close(session.now, None).unwrap();
            session.drain_with(|_| None);
        }
    }
    let settled = std::mem::take(&mut session.settled);
    let refused = settled.iter().filter_map(|result| result.as_ref().err()?.request());
    let refused = refused.filter(|failure| **failure == RequestFailure::TooManyRequests(limit)).count();
    session.driven(refused, limit * (times - 1))
}

fn operations(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.operations(limit));
    let (transport, _) = session.sending();
    let refusal = RestartIceError::Limit(limit);
    let refused = count(limit * times, &refusal, |_| {
        let restarted = session.room.transport(transport).unwrap().restart_ice(session.now).map(drop);
        session.drain_with(|_| None);
        restarted
    });
    session.driven(refused, limit * (times - 1))
}

fn frame_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.frame_bytes(limit));
    let (_, producer) = session.sending();
    let refusal = MediaError::TooLarge { bytes: limit * times, limit };
    let refused = count(10, &refusal, |_| {
        let frame = Frame::new(vec![0x10; limit * times], Duration::ZERO);
        session.room.producer(producer).unwrap().write_frame(session.now, frame)
    });
    session.driven(refused, 10)
}

fn packet_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits);
    let (_, producer) = session.sending();
    let refusal = MediaError::TooLarge { bytes: limit * times, limit };
    let refused = count(10, &refusal, |n| {
        let header = [&[0x80, 96][..], &(n as u16).to_be_bytes(), &[0; 8]].concat();
        let packet = RtpPacket::parse([header, vec![0x10; limit * times]].concat().into()).unwrap();
        session.room.producer(producer).unwrap().write_packet(session.now, packet)
    });
    session.driven(refused, 10)
}

/// Frames of which ten packets leave at once and the rest a little later.
fn packets_waiting(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits);
    let (_, producer) = session.sending();
    let frame = Frame::new(vec![0x10; 1110 * limit / 8], Duration::ZERO);
    let mut refused = 0;
    let mut taken = 0;
    while refused + taken < 8 * times {
        match session.room.producer(producer).unwrap().write_frame(session.now, frame.clone()) {
            Ok(()) => taken += 1,
            Err(MediaError::TooManyPackets(waiting)) => {
                assert!((limit..limit * 9 / 8).contains(&waiting), "{waiting}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        session.drain();
    }
    // The sixth part of what waits leaves with each step.
    assert!((8..=11).contains(&taken), "{taken} frames were taken");
    session.driven(refused, 8 * times - taken)
}

/// On the real media plane: what is older is forgotten, which a NACK for it finds out.
fn repair_packets(limit: usize, times: usize) -> Driven {
    let limits = Limits::default().repair_packets(limit);
    let config =
        ScenarioConfig::default().room(RoomConfig::default().repair_time(Duration::from_secs(60)).limits(limits));
    let mut scenario = scenario(config, 1).sending_with([Source::vp8(300_000)]);
    scenario.stop_media();
    let producer = scenario.producer_id(MediaKind::Video).unwrap();
    // As much as the figure within a second and a half.
    for n in 0..limit / 8 * times {
        let now = scenario.now();
        let frame = Frame::new(vec![0x10; 8 * 1110], Duration::from_millis(n as u64 * 12));
        scenario.room.producer(producer).unwrap().write_frame(now, frame).unwrap();
        scenario.drive(Duration::from_millis(12));
        scenario.take_packets();
        scenario.take_events();
    }
    let stats = &scenario.room.outbound_stats(producer)[0];
    let sent = stats.packets_sent as usize;
    assert!(sent >= limit * times, "{sent}");
    Driven { refused: 0, beyond: 0, held: Box::new(scenario) }
}

fn local_addresses(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.local_addresses(limit));
    let transport = session.transport();
    let refusal = AddAddressError::Limit(limit);
    let refused = count(limit * times, &refusal, |n| {
        let address = SocketAddr::new(IpAddr::from([10, 0, 0, 1]), n as u16 + 1);
        session.room.transport(transport).unwrap().add_local_address(session.now, IceProtocol::Udp, address)
    });
    session.driven(refused, limit * (times - 1))
}

/// On the real media plane, where each would be a pair.
fn remote_candidates(limit: usize, times: usize) -> Driven {
    assert_eq!(default_of("remote_candidates"), limit);
    let mut session = Session::new(|limits| limits);
    session.room = Room::new(RoomConfig::default(), 1);
    session.room.join(session.now, "limits", None).unwrap();
    session.drain();
    let (transport, producer) = (session.transport(), session.producer().unwrap());
    session.room.producer(producer).unwrap().send(session.now, transport).unwrap();
    session.drain_with(|request| {
        let mut answer = answer(request);
        if let Some(candidates) = answer.get_mut("iceCandidates") {
            *candidates = (0..limit * times)
                .map(|n| json!({ "ip": "192.0.2.7", "port": n + 1, "protocol": "udp", "priority": n }))
                .collect();
        }
        Some(answer)
    });
    assert_eq!(session.room.transport_info(transport).unwrap().remote_candidates().len(), limit);
    let refused = session.room.stats().candidates_dropped as usize;
    session.driven(refused, limit * (times - 1))
}

fn outputs_of_events(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.outputs(limit));
    for _ in 0..limit * times {
        session.hears(other("x"));
    }
    assert_eq!(session.room.stats().outputs_waiting, limit);
    let refused = session.room.stats().events_dropped as usize;
    session.driven(refused, limit * (times - 1))
}

fn outputs_of_commands(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.outputs(limit));
    let (transport, _) = session.sending();
    let refusal = TransportError::from(OutputsNotPolled(limit));
    let refused = count(limit * times, &refusal, |n| {
        let mut transport = session.room.transport(transport).unwrap();
        let (on, interval) = (n.is_multiple_of(2), Duration::from_secs(1));
        if on { transport.enable_stats(session.now, interval) } else { transport.disable_stats(session.now) }
    });
    session.driven(refused, limit * (times - 1))
}

/// Media is refused before a datagram would have to be dropped; those that were waiting already are dropped.
fn outputs_of_datagrams(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.outputs(limit));
    let (_, producer) = session.sending();
    let write = |session: &mut Session, n: usize, bytes: usize| {
        let frame = Frame::new(vec![0x10; bytes], Duration::from_millis(n as u64));
        session.room.producer(producer).unwrap().write_frame(session.now, frame)
    };
    for n in 0..limit - 1 {
        write(&mut session, n, 100).unwrap();
    }
    // Ten packets more than there is space for, and the rest later.
    write(&mut session, limit, 1110 * 100).unwrap();
    session.now += Duration::from_secs(1);
    session.room.handle_timeout(session.now);
    let stats = session.room.stats();
    assert_eq!(stats.outputs_waiting, limit);
    assert!((98..=102).contains(&stats.transmits_dropped), "{stats:?}");
    let refusal = MediaError::OutputsNotPolled(limit);
    let refused = count(limit * (times - 1), &refusal, |n| write(&mut session, limit + n, 100));
    session.driven(refused, limit * (times - 1))
}

fn output_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.output_bytes(limit));
    // Each weighs 4096: four names and values of 32 bytes each in an object, and the text.
    let text = 4096 - 9 * 32 - "methodnewConsumertargetpeernotificationdata".len();
    for _ in 0..limit / 4096 * times {
        session.hears(other(&"x".repeat(text)));
    }
    let refused = session.room.stats().events_dropped as usize;
    session.driven(refused, limit / 4096 * (times - 1))
}

/// On the real media plane: paths are tried as long as it takes.
fn lost_path(seconds: usize, times: usize) -> Driven {
    let mut scenario = scenario(ScenarioConfig::default(), 2).sending_with([Source::opus(32_000)]);
    scenario.stop_media();
    for direction in [Direction::Up, Direction::Down] {
        scenario.net.set_cut(direction, true);
    }
    for _ in 0..seconds * times {
        scenario.drive(Duration::from_secs(1));
        scenario.take_events();
    }
    Driven { refused: 0, beyond: 0, held: Box::new(scenario) }
}

fn framed(limit: usize, times: usize) -> Driven {
    let mut out = bytes::BytesMut::new();
    let refused = (0..10).filter(|_| !framing::encode(&vec![0; limit * times], &mut out)).count();
    assert!(out.is_empty());
    // A stream of the longest frames, in pieces.
    let mut decoder = Decoder::default();
    let stream = [&[0xff; 2][..], &vec![0; limit]].concat();
    for _ in 0..times {
        for piece in stream.chunks(10_000) {
            decoder.push(piece);
            while decoder.poll().is_some() {}
        }
    }
    decoder.push(&stream[..limit]);
    assert_eq!(decoder.poll(), None);
    Driven { refused, beyond: 10, held: Box::new(decoder) }
}

fn text_frame(limit: usize, times: usize) -> Driven {
    let mut protoo = Protoo::new();
    let text = "[".repeat(limit * times);
    let refused = (0..10).filter(|_| matches!(protoo.receive(&text), Err(ProtooError::TooLong(_)))).count();
    Driven { refused, beyond: 10, held: Box::new(protoo) }
}

/// A room with a hostile client.
struct Server {
    room: RoomServer,
    now: Instant,
    requests: u64,
}

impl Server {
    fn new(limits: impl FnOnce(ServerLimits) -> ServerLimits) -> Self {
        let limits = limits(ServerLimits::default());
        let config = RoomServerConfig::default().address(IceProtocol::Udp, Scenario::SERVER).limits(limits);
        Self { room: RoomServer::new(config, 1), now: Instant::now(), requests: 0 }
    }

    /// As `name` on a connection of its own.
    fn join(&mut self, connection: u64) -> Result<Value, String> {
        let name = format!("peer{connection}");
        let capabilities = json!({ "codecs": [], "headerExtensions": [], "fecMechanisms": [] });
        let join = json!({ "method": "join", "target": "room", "peerName": name, "rtpCapabilities": capabilities });
        self.ask(connection, &join)
    }

    fn ask(&mut self, connection: u64, request: &Value) -> Result<Value, String> {
        self.requests += 1;
        self.room.handle_request(self.now, ConnectionId(connection), self.requests, request);
        let asked = self.requests;
        let answers = std::iter::from_fn(|| self.room.poll_output()).filter_map(|output| match output {
            ServerOutput::Response { id, result, .. } if id == asked => Some(result),
            _ => None,
        });
        answers.last().expect("an answer")
    }

    fn transport(&mut self, connection: u64, id: u64) -> Result<Value, String> {
        self.ask(connection, &json!({ "method": "createTransport", "target": "peer", "id": id, "direction": "send" }))
    }

    fn driven(self, refused: usize, beyond: usize) -> Driven {
        assert_eq!(self.room.counters().requests_refused, refused as u64);
        Driven { refused, beyond, held: Box::new(self) }
    }
}

/// How many of so many are refused.
fn refusals(tries: usize, mut one: impl FnMut(u64) -> Result<Value, String>) -> usize {
    (0..tries as u64).filter(|n| one(n + 1).is_err()).count()
}

fn server_peers(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.peers(limit));
    let refused = refusals(limit * times, |n| server.join(n));
    server.driven(refused, limit * (times - 1))
}

fn server_transports(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.transports(limit));
    server.join(1).unwrap();
    let refused = refusals(limit * times, |n| server.transport(1, n));
    server.driven(refused, limit * (times - 1))
}

fn create_producer(id: u64, encodings: Vec<Value>) -> Value {
    let codec =
        json!({ "name": "VP8", "mimeType": "video/VP8", "kind": "video", "clockRate": 90000, "payloadType": 101 });
    let parameters = json!({ "muxId": format!("m{id}"), "codecs": [codec], "encodings": encodings });
    json!({ "method": "createProducer", "target": "peer", "id": id, "kind": "video", "transportId": 7,
        "rtpParameters": parameters })
}

fn server_producers(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.producers(limit));
    server.join(1).unwrap();
    server.transport(1, 7).unwrap();
    let refused = refusals(limit * times, |n| {
        server.ask(1, &create_producer(n, vec![json!({ "ssrc": n, "rtx": { "ssrc": n + (1 << 24) } })]))
    });
    server.driven(refused, limit * (times - 1))
}

fn server_encodings(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.encodings(limit).message_bytes(usize::MAX));
    server.join(1).unwrap();
    server.transport(1, 7).unwrap();
    let encodings: Vec<_> = (1..=limit * times).map(|n| json!({ "ssrc": n })).collect();
    let refused = refusals(10, |n| {
        let answer = server.ask(1, &create_producer(n, encodings.clone()));
        assert_eq!(answer, Err(format!("Error: more than {limit} encodings")));
        answer
    });
    server.driven(refused, 10)
}

fn server_message_bytes(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.message_bytes(limit));
    server.join(1).unwrap();
    let large = json!({ "method": "createTransport", "target": "peer", "appData": "x".repeat(limit * times) });
    let refused = refusals(10, |_| server.ask(1, &large));
    server.room.handle_notification(server.now, ConnectionId(1), &large);
    assert_eq!(server.room.counters().notifications_refused, 1);
    server.driven(refused, 10)
}

/// The owner of the room does not poll.
fn server_outputs(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.outputs(limit));
    server.join(1).unwrap();
    let request = json!({ "method": "queryRoom", "target": "room" });
    for n in 0..(limit * times) as u64 {
        server.room.handle_request(server.now, ConnectionId(1), n, &request);
    }
    let refused = server.room.counters().outputs_dropped as usize;
    Driven { refused, beyond: limit * (times - 1), held: Box::new(server) }
}

/// Everybody is told, nothing stays, and nobody comes in again.
fn a_closed_room_server_holds_nothing() {
    let mut server = Server::new(|limits| limits);
    // What stays is made with the first transport: the certificate.
    server.join(0).unwrap();
    server.transport(0, 1).unwrap();
    server.room.handle_disconnect(server.now, ConnectionId(0), None);
    while server.room.poll_output().is_some() {}
    let mut held = vec![bytes_held()];
    for connection in 1..=3 {
        server.join(connection).unwrap();
        server.transport(connection, connection).unwrap();
    }
    let encodings = vec![json!({ "ssrc": 1 })];
    let mut request = create_producer(1, encodings);
    request["transportId"] = 1.into();
    server.ask(1, &request).unwrap();
    held.push(bytes_held());
    server.room.close(server.now, Some(json!({ "why": "night" })));
    let told = std::iter::from_fn(|| server.room.poll_output()).filter(|output| match output {
        ServerOutput::Notification { message, .. } => {
            message["method"] == "closed" && message["appData"]["why"] == "night"
        }
        _ => false,
    });
    assert_eq!(told.count(), 3, "each peer is told once");
    assert_eq!(server.room.peers().count() + server.room.transports().count() + server.room.producers().count(), 0);
    assert_eq!(server.join(4), Err("InvalidStateError: Room closed".to_owned()));
    assert_eq!(server.transport(1, 9), Err("InvalidStateError: Room closed".to_owned()));
    assert_eq!(server.room.poll_timeout(), None, "nothing is due");
    held.push(bytes_held());
    println!("a room server, empty, with three peers, and closed: {held:?} bytes held");
    assert!(held[2] < held[0] + 8192 && held[1] > held[0] + 50_000, "{held:?}");
}
