//! A whole session of mediasoup 3 through the functions, against the simulated router, in virtual time.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod common;

use std::time::{Duration, Instant};

use common::{Came, FRAME, MILLISECOND, PACKET, Session, address, socket};
use mediasoup_producer::sim::v3::{Router, RouterConfig, RouterOutput, WebRtcTransportOptions};
use mediasoup_producer::{IceProtocol, Receive};
use mediasoup_producer_ffi::{Frame, MSP_KEY_FRAME, MSP_ROTATION, Status};
use serde_json::{Value, from_value, json};

struct World {
    session: Session,
    router: Router,
    start: Instant,
    now: u64,
    events: Vec<Value>,
    rotations: Vec<String>,
    key_frame_wanted: bool,
}

impl World {
    fn new() -> Self {
        let server = "203.0.113.1:40000".parse().unwrap();
        let config = RouterConfig::default().address(IceProtocol::Udp, server).forward_media(true);
        Self {
            session: Session::new(r#"{"dialect":"v3","config":{"request_timeout":{"secs":5,"nanos":0}},"seed":1}"#),
            router: Router::new(config, 1),
            start: Instant::now(),
            now: 0,
            events: Vec::new(),
            rotations: Vec::new(),
            key_frame_wanted: false,
        }
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_nanos(self.now)
    }

    /// Acts on all that comes out of both.
    fn act(&mut self) {
        loop {
            let mut busy = false;
            while let Some(came) = self.session.poll_output() {
                busy = true;
                match came {
                    Came::Transmit { data, source, destination } => {
                        let (source, destination) = (socket(source), socket(destination));
                        let protocol = IceProtocol::Udp;
                        let receive = Receive { protocol, source, destination, contents: data.into() };
                        self.router.handle_receive(self.at(), &receive);
                    }
                    Came::Request { id, name, data } => self.answer(id, &name, data),
                    Came::Notification { name, .. } => panic!("{name}: mediasoup 3 has none"),
                    Came::Event(event) => {
                        self.key_frame_wanted |= event["Producer"]["event"].get("KeyFrameRequest").is_some();
                        self.events.push(event);
                    }
                }
            }
            while let Some(output) = self.router.poll_output() {
                busy = true;
                match output {
                    RouterOutput::Transmit(transmit) => {
                        let (source, destination) = (address(transmit.source), address(transmit.destination));
                        let status = self.session.receive(self.now, &transmit.contents, source, destination);
                        assert_eq!(status, Status::Ok);
                    }
                    RouterOutput::Rtp(packet) => self.rotations.extend(packet.rotation.map(|turn| format!("{turn:?}"))),
                    _ => {}
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn answer(&mut self, id: u64, name: &str, mut data: Value) {
        let (now, transport) = (self.at(), data["transportId"].as_str().unwrap().to_owned());
        let answer = match name {
            "connect" => {
                let dtls = from_value(data["dtlsParameters"].take()).unwrap();
                self.router.connect(now, &transport, &dtls).map(|()| json!({}))
            }
            "produce" => {
                let kind = from_value(data["kind"].take()).unwrap();
                let parameters = from_value(data["rtpParameters"].take()).unwrap();
                self.router.produce(now, &transport, kind, &parameters).map(|id| json!({ "id": id }))
            }
            other => panic!("{other} is no request of mediasoup 3"),
        };
        let status = match answer {
            Ok(data) => self.session.response(self.now, id, &data),
            Err(error) => self.session.refusal(self.now, id, &error.to_string()),
        };
        assert_eq!(status, Status::Ok);
    }

    fn pass(&mut self, milliseconds: u64) {
        for _ in 0..milliseconds {
            self.now += MILLISECOND;
            if self.session.poll_timeout().is_some_and(|at| at <= self.now) {
                assert_eq!(self.session.handle_timeout(self.now), Status::Ok);
            }
            self.router.handle_timeout(self.at());
            self.act();
        }
    }

    fn produce(&mut self, kind: &str, codec: &str) -> u32 {
        let capabilities = json!(self.router.rtp_capabilities());
        self.session.command(self.now, &json!({ "Load": { "router_rtp_capabilities": capabilities } }));
        let parameters = self.router.create_web_rtc_transport(self.at(), WebRtcTransportOptions::default()).unwrap();
        let create = json!({ "CreateSendTransport": { "parameters": parameters } });
        let transport = self.session.command(self.now, &create).transport;
        assert_ne!(transport, 0);
        let local = json!({ "id": transport, "protocol": "udp", "address": "192.0.2.1:5000" });
        self.session.command(self.now, &json!({ "AddLocalAddress": local }));
        let (track, options) = (json!({ "id": "t", "kind": kind }), json!({ "codec": { "Name": codec } }));
        let produce = json!({ "Produce": { "transport": transport, "track": track, "options": options } });
        let made = self.session.command(self.now, &produce);
        assert_eq!((made.operations, made.operation > 0), (1, true));
        self.act();
        self.pass(500);
        let settled = json!({ "Settled": { "operation": made.operation, "result": { "Ok": null } } });
        assert!(self.events.contains(&settled), "{:?}", self.events);
        made.producer
    }

    fn received(&self) -> u64 {
        let encodings = self.router.producers().flat_map(|producer| self.router.encodings(producer.id()));
        encodings.map(|encoding| encoding.received.packets).sum()
    }
}

#[test]
fn every_frame_arrives_at_the_router() {
    let mut world = World::new();
    let camera = world.produce("video", "VP8");
    assert!(world.key_frame_wanted, "{:?}", world.events);
    for number in 0..60u64 {
        let key_frame = std::mem::take(&mut world.key_frame_wanted);
        // RFC 6386 section 9.1: the lowest bit is 0 for a key frame.
        let data = vec![u8::from(!key_frame); 3000];
        let flags = MSP_ROTATION | if key_frame { MSP_KEY_FRAME } else { 0 };
        let frame = Frame { time: number * 33 * MILLISECOND, flags, rotation: 90, ..FRAME };
        assert_eq!(world.session.write_frame(world.now, camera, &data, frame), Status::Ok);
        world.pass(33);
    }
    let stats = world.session.outbound_stats(camera);
    assert_eq!(stats[0]["frames_sent"], 60);
    assert_eq!((stats[0]["packets_sent"].as_u64(), stats[1].is_null()), (Some(world.received()), true));
    assert!(!world.rotations.is_empty() && world.rotations.iter().all(|turn| turn == "Deg90"), "{:?}", world.rotations);

    world.session.command(world.now, &json!({ "Pause": { "id": camera } }));
    assert_eq!(world.session.write_frame(world.now, camera, &[1], FRAME), Status::Refused);
    world.session.command(world.now, &json!({ "CloseProducer": { "id": camera } }));
    world.act();
    assert_eq!(world.events.last(), Some(&json!({ "Producer": { "id": camera, "event": "Close" } })));
}

#[test]
fn packets_made_elsewhere_arrive_too() {
    let mut world = World::new();
    let microphone = world.produce("audio", "opus");
    for number in 0..50u8 {
        let packet = [0x80, 0x6f, 0, number, 0, 0, number, 0, 1, 2, 3, 4, 0xfc, 0xff, 0xfe];
        assert_eq!(world.session.write_packet(world.now, microphone, &packet, PACKET), Status::Ok);
        world.pass(20);
    }
    assert_eq!(world.received(), 50);
}
