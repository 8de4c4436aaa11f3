//! A device over a scripted media plane, with the application's part played by hand.

#![allow(dead_code, clippy::disallowed_methods)] // each test file uses a part of it; a test may ask for the time once

use std::time::{Duration, Instant};

use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::v3::{
    Answer, Device, DeviceConfig, Event, Input, Output, ProduceOptions, Producing, Refusal, Request, RtpCapabilities,
    TransportOptions, TransportParameters,
};
use mediasoup_producer::{Frame, IceParameters, MediaKind, OperationId, ProducerId, RequestId, Track, TransportId};
use serde_json::{Map, Value, json};

pub(crate) struct World {
    pub(crate) device: Device,
    pub(crate) now: Instant,
    pub(crate) transport: TransportId,
    requests: Vec<(RequestId, Request)>,
    events: Vec<Event>,
    transmits: usize,
}

impl World {
    /// A transport on which nothing was done.
    pub(crate) fn new() -> Self {
        Self::with(DeviceConfig::default())
    }

    pub(crate) fn with(config: DeviceConfig) -> Self {
        let now = Instant::now();
        let mut device = Device::scripted(config, 1);
        device.load(now, router(), false).unwrap();
        let transport =
            device.create_send_transport(now, parameters(), TransportOptions::default(), Map::new()).unwrap();
        Self { device, now, transport, requests: Vec::new(), events: Vec::new(), transmits: 0 }
    }

    /// A transport that the server has our side of, by way of a producer that is gone.
    pub(crate) fn connected() -> Self {
        let mut world = Self::new();
        world.connect();
        world
    }

    pub(crate) fn connect(&mut self) {
        let producing = self.produce(MediaKind::Audio);
        self.answer(Ok(Answer::Connected));
        // Its request is out; a refusal ends it.
        let Some((id, _)) = self.requests().first().cloned() else { panic!("produce follows connect") };
        self.answer_to(id, Err(Refusal::new("not this one")));
        assert!(self.device.producer(producing.producer).is_none());
        self.events();
    }

    /// A producer that the server has, of which `connect` is asked first.
    pub(crate) fn live_after_connect(&mut self) -> ProducerId {
        let producing = self.produce(MediaKind::Audio);
        assert_eq!(self.names(), ["connect"]);
        self.answer(Ok(Answer::Connected));
        self.answer(Ok(Answer::Produced { id: "live".to_owned() }));
        assert!(self.device.producer(producing.producer).unwrap().server_id().is_some());
        producing.producer
    }

    pub(crate) fn another_transport(&mut self) -> TransportId {
        self.device.create_send_transport(self.now, parameters(), TransportOptions::default(), Map::new()).unwrap()
    }

    pub(crate) fn produce(&mut self, kind: MediaKind) -> Producing {
        self.produce_with(kind, ProduceOptions::default())
    }

    pub(crate) fn produce_with(&mut self, kind: MediaKind, options: ProduceOptions) -> Producing {
        let producing = self.device.transport(self.transport).unwrap().produce(self.now, track(kind), options).unwrap();
        self.poll();
        producing
    }

    /// A producer that the server has, on a transport that it has our side of.
    pub(crate) fn live(&mut self, kind: MediaKind) -> ProducerId {
        self.live_with(kind, ProduceOptions::default())
    }

    pub(crate) fn live_with(&mut self, kind: MediaKind, options: ProduceOptions) -> ProducerId {
        let producing = self.produce_with(kind, options);
        self.answer(Ok(Answer::Produced { id: format!("server's {}", producing.producer) }));
        self.events();
        producing.producer
    }

    pub(crate) fn restart_ice(&mut self) -> OperationId {
        let parameters: IceParameters = serde_json::from_value(ice("restarted")).unwrap();
        self.device.transport(self.transport).unwrap().restart_ice(self.now, parameters).unwrap()
    }

    /// Answers the oldest request that is open.
    pub(crate) fn answer(&mut self, result: Result<Answer, Refusal>) {
        self.poll();
        let (id, _) = self.requests[0];
        self.answer_to(id, result);
    }

    pub(crate) fn answer_to(&mut self, id: RequestId, result: Result<Answer, Refusal>) {
        self.device.handle_input(self.now, Input::Answer { id, result }).unwrap();
        self.requests.retain(|(of, _)| *of != id);
        self.poll();
    }

    pub(crate) fn engine(&mut self, event: EngineEvent) {
        assert!(self.device.engine_event(self.now, self.transport, event));
        self.poll();
    }

    pub(crate) fn time_goes_on(&mut self, by: Duration) {
        self.now += by;
        self.poll();
        let before = self.requests.len();
        self.device.handle_timeout(self.now);
        // What was open is given up.
        self.requests.drain(..before);
        self.poll();
    }

    /// The requests that are open.
    pub(crate) fn requests(&mut self) -> &[(RequestId, Request)] {
        self.poll();
        &self.requests
    }

    pub(crate) fn names(&mut self) -> Vec<&'static str> {
        self.requests().iter().map(|(_, request)| request.name()).collect()
    }

    /// They were cancelled.
    pub(crate) fn forget_requests(&mut self) {
        self.poll();
        self.requests.clear();
    }

    /// The events since they were asked for last.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.poll();
        std::mem::take(&mut self.events)
    }

    /// The datagrams since they were asked for last.
    pub(crate) fn transmits(&mut self) -> usize {
        self.poll();
        std::mem::take(&mut self.transmits)
    }

    fn poll(&mut self) {
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(_) => self.transmits += 1,
                Output::Request { id, request } => self.requests.push((id, request)),
                Output::Event(event) => self.events.push(event),
            }
        }
    }
}

pub(crate) fn track(kind: MediaKind) -> Track {
    Track::new(kind, format!("{kind}-track"), "")
}

/// A VP8 key frame, as far as its first bytes tell.
pub(crate) fn key_frame() -> Frame {
    let data = vec![0x10, 0x00, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00];
    Frame::new(data, Duration::ZERO).key_frame(true)
}

/// What the router of the recordings can route.
pub(crate) fn router() -> RtpCapabilities {
    let recording = include_str!("../captures/v3/vp8.jsonl");
    let line: Value = serde_json::from_str(recording.lines().next().unwrap()).unwrap();
    serde_json::from_value(line["response"].clone()).unwrap()
}

fn ice(name: &str) -> Value {
    json!({ "usernameFragment": name, "password": "of the server", "iceLite": true })
}

pub(crate) fn parameters() -> TransportParameters {
    let fingerprint = vec!["AB"; 32].join(":");
    serde_json::from_value(json!({
        "id": "transport",
        "iceParameters": ice("first"),
        "iceCandidates": [{ "foundation": "udpcandidate", "priority": 1, "ip": "192.0.2.1", "protocol": "udp", "port": 40000 }],
        "dtlsParameters": { "role": "auto", "fingerprints": [{ "algorithm": "sha-256", "value": fingerprint }] },
    }))
    .unwrap()
}
