//! A whole session of mediasoup 2 through the functions, against the simulated room, in virtual time.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod common;

use std::time::{Duration, Instant};

use common::{Came, FRAME, MILLISECOND, Session, address, socket};
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
use mediasoup_producer::{IceProtocol, ProducerId, Receive};
use mediasoup_producer_ffi::{Frame, MSP_KEY_FRAME, Status};
use serde_json::{Value, json};

const PEER: ConnectionId = ConnectionId(1);

struct World {
    session: Session,
    server: RoomServer,
    start: Instant,
    now: u64,
    events: Vec<Value>,
    key_frame_wanted: bool,
}

impl World {
    fn new() -> Self {
        let config = RoomServerConfig::default().address(IceProtocol::Udp, "203.0.113.1:40000".parse().unwrap());
        Self {
            session: Session::new(r#"{"dialect":"v2","seed":1}"#),
            server: RoomServer::new(config, 1),
            start: Instant::now(),
            now: 0,
            events: Vec::new(),
            key_frame_wanted: false,
        }
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_nanos(self.now)
    }

    fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now += MILLISECOND;
            assert_eq!(self.session.handle_timeout(self.now), Status::Ok);
            self.server.handle_timeout(self.at());
            self.act();
        }
    }

    /// Acts on all that comes out of both.
    fn act(&mut self) {
        while self.act_for_the_session() | self.act_for_the_room() {}
    }

    fn act_for_the_session(&mut self) -> bool {
        let now = self.at();
        let Some(came) = self.session.poll_output() else { return false };
        match came {
            Came::Transmit { data, source, destination } => {
                let (source, destination) = (socket(source), socket(destination));
                let receive = Receive { protocol: IceProtocol::Udp, source, destination, contents: data.into() };
                self.server.handle_receive(now, &receive);
            }
            Came::Request { id, name, data } => {
                assert_eq!(data["method"], name);
                self.server.handle_request(now, PEER, id, &data);
            }
            Came::Notification { name, data } => {
                assert_eq!(data["method"], name);
                self.server.handle_notification(now, PEER, &data);
            }
            Came::Event(event) => {
                self.key_frame_wanted |= event["Producer"]["event"].get("KeyFrameRequest").is_some();
                if event["Transport"]["event"].get("RemoteCandidates").is_some() {
                    let id = &event["Transport"]["id"];
                    let local = json!({ "id": id, "protocol": "udp", "address": "192.0.2.1:5000" });
                    self.session.command(self.now, &json!({ "AddLocalAddress": local }));
                }
                self.events.push(event);
            }
        }
        true
    }

    fn act_for_the_room(&mut self) -> bool {
        let Some(output) = self.server.poll_output() else { return false };
        let status = match output {
            ServerOutput::Transmit(transmit) => {
                let (source, destination) = (address(transmit.source), address(transmit.destination));
                self.session.receive(self.now, &transmit.contents, source, destination)
            }
            ServerOutput::Response { id, result: Ok(data), .. } => self.session.response(self.now, id, &data),
            ServerOutput::Response { id, result: Err(words), .. } => self.session.refusal(self.now, id, &words),
            ServerOutput::Notification { message, .. } => self.session.notification(self.now, &message),
            _ => Status::Ok,
        };
        assert_eq!(status, Status::Ok);
        true
    }
}

#[test]
fn every_frame_arrives_in_the_room_and_its_pause_is_heard() {
    let mut world = World::new();
    world.session.command(world.now, &json!({ "Join": { "peer_name": "me" } }));
    world.pass(10);
    let transport = world.session.command(world.now, &json!({ "CreateTransport": {} })).transport;
    let track = json!({ "id": "camera", "kind": "video" });
    let camera = world.session.command(world.now, &json!({ "CreateProducer": { "track": track } })).producer;
    let sent = world.session.command(world.now, &json!({ "Send": { "id": camera, "transport": transport } }));
    world.pass(500);
    let settled = json!({ "Settled": { "operation": sent.operation, "result": { "Ok": null } } });
    assert!(world.events.contains(&settled), "{:?}", world.events);

    for number in 0..30u64 {
        let key_frame = std::mem::take(&mut world.key_frame_wanted);
        // RFC 6386 section 9.1: the lowest bit is 0 for a key frame.
        let data = vec![u8::from(!key_frame); 3000];
        let flags = if key_frame { MSP_KEY_FRAME } else { 0 };
        let frame = Frame { time: number * 33 * MILLISECOND, flags, ..FRAME };
        assert_eq!(world.session.write_frame(world.now, camera, &data, frame), Status::Ok);
        world.pass(33);
    }
    let received: u64 = world.server.encodings(ProducerId::from(camera)).iter().map(|encoding| encoding.packets).sum();
    assert_eq!(world.session.outbound_stats(camera)[0]["packets_sent"], received);
    assert!(received >= 90, "{received}");

    assert!(world.server.pause_producer(world.at(), ProducerId::from(camera), None));
    world.act();
    let paused = &world.events.last().unwrap()["Producer"]["event"]["Pause"];
    assert_eq!(paused["originator"], "remote", "{:?}", world.events);
    assert_eq!(world.session.write_frame(world.now, camera, &[1], FRAME), Status::Refused);
}
