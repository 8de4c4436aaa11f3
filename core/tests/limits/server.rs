//! The simulated room, whose clients are hostile.

use std::time::Instant;

use mediasoup_producer::IceProtocol;
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, Scenario, ServerLimits, ServerOutput};
use serde_json::{Value, json};

use crate::Driven;
use crate::common::bytes_held;

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

pub(crate) fn server_peers(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.peers(limit));
    let refused = refusals(limit * times, |n| server.join(n));
    server.driven(refused, limit * (times - 1))
}

pub(crate) fn server_transports(limit: usize, times: usize) -> Driven {
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

pub(crate) fn server_producers(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.producers(limit));
    server.join(1).unwrap();
    server.transport(1, 7).unwrap();
    let refused = refusals(limit * times, |n| {
        server.ask(1, &create_producer(n, vec![json!({ "ssrc": n, "rtx": { "ssrc": n + (1 << 24) } })]))
    });
    server.driven(refused, limit * (times - 1))
}

pub(crate) fn server_encodings(limit: usize, times: usize) -> Driven {
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

pub(crate) fn server_message_bytes(limit: usize, times: usize) -> Driven {
    let mut server = Server::new(|limits| limits.message_bytes(limit));
    server.join(1).unwrap();
    let large = json!({ "method": "createTransport", "target": "peer", "appData": "x".repeat(limit * times) });
    let refused = refusals(10, |_| server.ask(1, &large));
    server.room.handle_notification(server.now, ConnectionId(1), &large);
    assert_eq!(server.room.counters().notifications_refused, 1);
    server.driven(refused, 10)
}

/// The owner of the room does not poll.
pub(crate) fn server_outputs(limit: usize, times: usize) -> Driven {
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
pub(crate) fn a_closed_room_server_holds_nothing() {
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
