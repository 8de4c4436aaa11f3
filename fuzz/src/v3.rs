//! The same of mediasoup 3.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Result, Unstructured};
use mediasoup_producer::sim::v3::model::Step;
use mediasoup_producer::sim::v3::{
    BothSides, Lockstep, Router, RouterConfig, RouterError, Scenario, ScenarioConfig, WebRtcTransportOptions,
};
use mediasoup_producer::sim::{Direction, Source};
use mediasoup_producer::v3::{
    Answer, Device, DeviceConfig, EncodingOptions, Input, Output, ProduceOptions, Refusal, Request, TransportOptions,
};
use mediasoup_producer::{Codec, IceProtocol, MediaKind, Receive, RequestId, Track, TransportId};
use serde_json::{Map, Value, json};

use crate::json::{any, damaged};

/// Anything happens to a device, and the model says what must come of it. When the same happens between a device and a
/// router, with an application that is slow, loses answers and refuses, both have the same in the end.
pub fn operations(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let start = Instant::now();
    let mut lockstep = Lockstep::new(start, 1);
    let mut both = BothSides::new(start, 1);
    for _ in 0..200 {
        if u.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut u) else { break };
        if let Err(difference) = lockstep.step(&step) {
            panic!("{:#?}\n{difference}", lockstep.story());
        }
        both.step(&step);
    }
    both.settled().expect("nothing is left behind on either side");
}

/// A router says what it can route, and takes what is sent to it because of that.
pub fn capabilities(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let good = json!(Router::new(RouterConfig::default(), 1).rtp_capabilities());
    let Ok(Ok(capabilities)) = damaged(&mut u, good).map(serde_json::from_value) else { return };
    let mut world = World::new(RouterConfig::default().rtp_capabilities(capabilities));
    let capabilities = world.router.rtp_capabilities().clone();
    if world.device.load(world.now, capabilities, u.arbitrary().unwrap_or_default()).is_err() {
        return;
    }
    let parameters = world.transport();
    let Some(transport) = world.create(parameters) else { return };
    for codec in Codec::ALL {
        for encodings in [0, 3] {
            world.produce(transport, codec, encodings);
        }
    }
    while let Some((id, request)) = world.asked() {
        let result = match request {
            Request::Connect { .. } => Ok(Answer::Connected),
            Request::Produce { transport_id, kind, rtp_parameters, .. } => {
                match world.router.produce(world.now, &transport_id, kind, &rtp_parameters) {
                    Ok(id) => Ok(Answer::Produced { id }),
                    // Its own entries contradict one another, or are more than it takes.
                    Err(RouterError::Type(words) | RouterError::Other(words)) => Err(Refusal::new(words)),
                    Err(error) => panic!("{error}, of {rtp_parameters:?}"),
                }
            }
            other => panic!("{other:?}"),
        };
        world.device.handle_input(world.now, Input::Answer { id, result }).expect("answers never fail");
    }
}

/// A server says anything of its transports, and answers whatever it likes.
pub fn answers(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut world = World::new(RouterConfig::default());
    let capabilities = world.router.rtp_capabilities().clone();
    world.device.load(world.now, capabilities, false).expect("good capabilities");
    while !u.is_empty() {
        if answer(&mut u, &mut world).is_err() {
            break;
        }
    }
    // On a transport one is asked after the other, for each producer perhaps two, and each has its time.
    for _ in 0..=2 * world.device.producers().count() {
        world.pass(10_000);
    }
    assert_eq!(world.device.stats().requests_pending, 0, "each request comes to its end");
}

fn answer(u: &mut Unstructured<'_>, world: &mut World) -> Result<()> {
    let transport = TransportId::from(u.int_in_range(1..=4u32)?);
    match u.int_in_range(0..=5u8)? {
        0 => {
            let good = world.transport();
            let parameters = damaged(u, good)?;
            world.create(parameters);
        }
        1 => {
            let (codec, encodings) = (*u.choose(&Codec::ALL)?, u.int_in_range(0..=4)?);
            world.produce(transport, codec, encodings);
        }
        2 | 3 => {
            let latest = world.latest.map_or(1, RequestId::value);
            let id = RequestId::from(latest.saturating_sub(u.int_in_range(0..=2)?));
            let result = match u.int_in_range(0..=3u8)? {
                0 => Err(Refusal::new(u.arbitrary::<&str>()?)),
                1 => Ok(Answer::Connected),
                _ => Ok(Answer::Produced { id: u.arbitrary::<&str>()?.to_owned() }),
            };
            world.device.handle_input(world.now, Input::Answer { id, result }).expect("answers never fail");
        }
        4 => {
            let good = world.transport()["iceParameters"].take();
            if let Ok(parameters) = serde_json::from_value(damaged(u, good)?)
                && let Some(mut on) = world.device.transport(transport)
            {
                let _ = on.restart_ice(world.now, parameters);
            }
        }
        _ => world.pass(u.int_in_range(0..=12_000)?),
    }
    while world.asked().is_some() {}
    Ok(())
}

/// Peers give a router whatever they like. It refuses, or has exactly what it said it has.
pub fn router(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut world = World::new(RouterConfig::default());
    let id = world.transport()["id"].as_str().expect("it has one").to_owned();
    let mut known = Vec::new();
    while !u.is_empty() {
        let Ok(made) = ask_router(&mut u, &mut world, &id, &mut known) else { break };
        known.extend(made);
        assert_eq!(world.router.producers().count(), known.len());
    }
    world.router.close_transport(world.now, &id).expect("it is there");
    assert_eq!(world.router.producers().count(), 0);
}

fn ask_router(
    u: &mut Unstructured<'_>,
    world: &mut World,
    id: &str,
    known: &mut Vec<String>,
) -> Result<Option<String>> {
    let now = world.now;
    match u.int_in_range(0..=4u8)? {
        0 | 1 => {
            let parameters = json!({
                "mid": u.arbitrary::<u8>()?.to_string(),
                "codecs": [
                    { "mimeType": "video/VP8", "payloadType": 96, "clockRate": 90000, "rtcpFeedback": [{ "type": "nack" }] },
                    { "mimeType": "video/rtx", "payloadType": 97, "clockRate": 90000, "parameters": { "apt": 96 } },
                ],
                "headerExtensions": [{ "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "id": 1 }],
                "encodings": [
                    { "ssrc": u.arbitrary::<u16>()?, "rtx": { "ssrc": u.arbitrary::<u16>()? }, "rid": "r0" },
                    { "rid": "r1", "scalabilityMode": "L1T3" },
                ],
            });
            let Ok(parameters) = serde_json::from_value(damaged(u, parameters)?) else { return Ok(None) };
            let kind = if u.arbitrary()? { MediaKind::Video } else { MediaKind::Audio };
            return Ok(world.router.produce(now, id, kind, &parameters).ok());
        }
        2 => {
            let fingerprint = json!({ "algorithm": "sha-256", "value": (["AB"; 32].join(":")) });
            let good = json!({ "role": "client", "fingerprints": [fingerprint] });
            if let Ok(parameters) = serde_json::from_value(damaged(u, good)?) {
                let _ = world.router.connect(now, id, &parameters);
            }
        }
        3 => {
            if let Some(of) = known.pop() {
                world.router.close_producer(now, &of).expect("it is known");
            }
        }
        _ => {
            // What is no JSON of ours is none of the router's parameters either.
            let _ = serde_json::from_value::<mediasoup_producer::v3::RtpParameters>(any(u, 0)?);
            let _ = world.router.restart_ice(now, id);
        }
    }
    Ok(None)
}

/// Datagrams come that nobody sent, to both sides, before, during and after the handshake. What is no use is dropped, and
/// the session goes on.
pub fn datagrams(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).loaded();
    match u.int_in_range(0..=2u8) {
        Ok(0) => drop(scenario.create_transport()),
        Ok(1) => {
            let transport = scenario.create_transport();
            scenario.send(transport, Source::vp8(200_000));
        }
        _ => scenario = scenario.sending(),
    }
    let connected = scenario.connected();
    for _ in 0..64 {
        let Ok(true) = inject(&mut u, &mut scenario) else { break };
    }
    scenario.drive(Duration::from_millis(200));
    assert!(!connected || scenario.connected(), "nothing of this ends a session");
}

fn inject(u: &mut Unstructured<'_>, scenario: &mut Scenario) -> Result<bool> {
    if u.is_empty() {
        return Ok(false);
    }
    scenario.drive(Duration::from_millis(u.int_in_range(0..=30)?));
    let direction = if u.arbitrary()? { Direction::Up } else { Direction::Down };
    // STUN, DTLS application data, RTP, RTCP, anything (RFC 7983).
    let mut contents: Vec<u8> = match u.int_in_range(0..=4u8)? {
        0 => vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        1 => vec![23, 0xfe, 0xfd, 0, 1],
        2 => vec![0x90, 96],
        3 => vec![0x81, 206],
        _ => Vec::new(),
    };
    let length = u.int_in_range(0..=1600usize)?;
    contents.extend_from_slice(u.bytes(length.min(u.len()))?);
    let near: SocketAddr = if u.arbitrary()? { Scenario::CLIENT } else { Scenario::OTHER_CLIENT };
    let protocol = if u.arbitrary()? { IceProtocol::Udp } else { IceProtocol::Tcp };
    let now = scenario.now();
    match direction {
        Direction::Up => {
            let receive = Receive { protocol, source: near, destination: Scenario::SERVER, contents: contents.into() };
            scenario.router.handle_receive(now, &receive);
        }
        Direction::Down => {
            let receive = Receive { protocol, source: Scenario::SERVER, destination: near, contents: contents.into() };
            scenario.device.handle_receive(now, &receive);
        }
    }
    Ok(true)
}

/// A device and a router, and nothing between them.
struct World {
    device: Device,
    router: Router,
    now: Instant,
    latest: Option<RequestId>,
}

impl World {
    fn new(config: RouterConfig) -> Self {
        let config = config.address(IceProtocol::Udp, Scenario::SERVER);
        Self {
            device: Device::new(DeviceConfig::default(), 1),
            router: Router::new(config, 2),
            now: Instant::now(),
            latest: None,
        }
    }

    /// Another one of the router's, as JSON.
    fn transport(&mut self) -> Value {
        let made = self.router.create_web_rtc_transport(self.now, WebRtcTransportOptions::default());
        made.map_or(Value::Null, |parameters| json!(parameters))
    }

    fn create(&mut self, parameters: Value) -> Option<TransportId> {
        let parameters = serde_json::from_value(parameters).ok()?;
        let made = self.device.create_send_transport(self.now, parameters, TransportOptions::default(), Map::new());
        let id = made.ok()?;
        let _ = self.device.transport(id)?.add_local_address(self.now, IceProtocol::Udp, Scenario::CLIENT);
        Some(id)
    }

    fn produce(&mut self, on: TransportId, codec: Codec, encodings: usize) {
        let options = ProduceOptions::default().codec(codec).encodings(vec![EncodingOptions::default(); encodings]);
        if let Some(mut transport) = self.device.transport(on) {
            let _ = transport.produce(self.now, Track::new(codec.kind(), "track", ""), options);
        }
    }

    /// The next thing that the device wants to know.
    fn asked(&mut self) -> Option<(RequestId, Request)> {
        while let Some(output) = self.device.poll_output() {
            if let Output::Request { id, request } = output {
                self.latest = Some(id);
                return Some((id, request));
            }
        }
        None
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
        self.device.handle_timeout(self.now);
        while self.asked().is_some() {}
    }
}
