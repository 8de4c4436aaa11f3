//! The same script through the runtime and by hand, for a device.

use std::time::Instant;

use futures_channel::mpsc;
use futures_util::{FutureExt, SinkExt, StreamExt};
use mediasoup_producer::v3::{
    Answer, Device as ByHand, DeviceConfig, Event as DeviceEvent, Input, Output, ProduceOptions, Refusal, Request,
    RtpCapabilities, TransportOptions, TransportParameters,
};
use mediasoup_producer::{IceParameters, MediaKind, ProducerId, Track};
use serde_json::{Map, Value, json};

use crate::error::SignallingError;
use crate::options::Options;
use crate::runtime::Runtime;
use crate::signalling;
use crate::v3::{Device, Event, FromServer, Producer, ToServer};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Produce(MediaKind),
    /// The producer asked for so far of this number.
    Pause(usize),
    Resume(usize),
    WithoutTrack(usize),
    Close(usize),
    RestartIce,
    /// The application answers the oldest open request.
    Answer,
    /// Or refuses it.
    Refuse(&'static str),
    CloseTransport,
}

fn script() -> Vec<Act> {
    use Act::*;
    vec![
        Produce(MediaKind::Audio),
        Refuse("no DTLS today"),
        Produce(MediaKind::Audio),
        Produce(MediaKind::Video),
        Produce(MediaKind::Video),
        Produce(MediaKind::Audio),
        Pause(2),
        Answer,
        Answer,
        Refuse("no more ports"),
        RestartIce,
        Answer,
        Resume(2),
        Pause(1),
        WithoutTrack(1),
        Close(1),
        Close(4),
        Answer,
        Produce(MediaKind::Video),
        CloseTransport,
    ]
}

/// What was said after one act, in order.
#[derive(Debug, Default, PartialEq)]
struct Said {
    to_server: Vec<Value>,
    to_application: Vec<String>,
}

impl Said {
    /// What is random in it (the fingerprints) is left out.
    fn asked(&mut self, request: &Request) {
        let mut json = request.to_json();
        if let Some(dtls) = json.pointer_mut("/dtlsParameters").and_then(Value::as_object_mut) {
            dtls.remove("fingerprints");
        }
        if let Some(rtcp) = json.pointer_mut("/rtpParameters/rtcp").and_then(Value::as_object_mut) {
            rtcp.remove("cname");
        }
        self.to_server.push(json!([request.name(), json]));
    }
}

fn capabilities() -> RtpCapabilities {
    serde_json::from_value(json!({
        "codecs": [
            { "kind": "audio", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "preferredPayloadType": 100 },
            { "kind": "video", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 101,
              "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }, { "type": "goog-remb" }] },
        ],
        "headerExtensions": [
            { "kind": "audio", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1, "direction": "sendrecv" },
            { "kind": "video", "uri": "urn:ietf:params:rtp-hdrext:sdes:mid", "preferredId": 1, "direction": "sendrecv" },
        ],
    }))
    .unwrap()
}

/// A transport at whose address nobody is.
fn parameters() -> TransportParameters {
    let fingerprint = ["AB"; 32].join(":");
    serde_json::from_value(json!({
        "id": "t",
        "iceParameters": ice("first"),
        "iceCandidates": [
            { "foundation": "udp", "priority": 1, "address": "127.0.0.1", "protocol": "udp", "port": 9, "type": "host" },
        ],
        "dtlsParameters": { "role": "auto", "fingerprints": [{ "algorithm": "sha-256", "value": fingerprint }] },
    }))
    .unwrap()
}

fn ice(name: &str) -> Value {
    json!({ "usernameFragment": name, "password": "of the server, long enough", "iceLite": true })
}

fn restarted() -> IceParameters {
    serde_json::from_value(ice("second")).unwrap()
}

fn track(kind: MediaKind) -> Track {
    Track::new(kind, "t", "")
}

/// The server numbers its producers.
fn answer(request: &Request, made: &mut u32) -> Answer {
    match request {
        Request::Connect { .. } => Answer::Connected,
        Request::Produce { .. } => {
            *made += 1;
            Answer::Produced { id: format!("p{made}") }
        }
        other => unreachable!("{other:?}"),
    }
}

fn by_hand() -> Vec<Said> {
    let mut device = ByHand::new(DeviceConfig::default(), 7);
    let now = Instant::now();
    device.load(now, capabilities(), false).unwrap();
    let transport = device.create_send_transport(now, parameters(), TransportOptions::default(), Map::new()).unwrap();
    let (mut all, mut open, mut made) = (Vec::new(), Vec::<(_, Request)>::new(), 0);
    let mut producers: Vec<ProducerId> = Vec::new();
    for act in script() {
        match act {
            Act::Produce(kind) => {
                let mut transport = device.transport(transport).unwrap();
                producers.push(transport.produce(now, track(kind), ProduceOptions::default()).unwrap().producer);
            }
            Act::Pause(n) => drop(device.producer(producers[n]).map(|mut producer| producer.pause(now))),
            Act::Resume(n) => drop(device.producer(producers[n]).map(|mut producer| producer.resume(now))),
            Act::WithoutTrack(n) => {
                let _ = device.producer(producers[n]).map(|mut producer| producer.replace_track(now, None));
            }
            Act::Close(n) => drop(device.producer(producers[n]).map(|producer| producer.close(now))),
            Act::RestartIce => drop(device.transport(transport).unwrap().restart_ice(now, restarted())),
            Act::Answer => {
                let (id, request) = open.remove(0);
                let _ = device.handle_input(now, Input::Answer { id, result: Ok(answer(&request, &mut made)) });
            }
            Act::Refuse(words) => {
                let (id, _) = open.remove(0);
                let _ = device.handle_input(now, Input::Answer { id, result: Err(Refusal::new(words)) });
            }
            Act::CloseTransport => drop(device.transport(transport).map(|transport| transport.close(now))),
        }
        let mut said = Said::default();
        while let Some(output) = device.poll_output() {
            match output {
                Output::Request { id, request } => {
                    said.asked(&request);
                    open.push((id, request));
                }
                Output::Event(DeviceEvent::Settled { .. }) | Output::Transmit(_) => {}
                Output::Event(event) => said.to_application.push(format!("{event:?}")),
            }
        }
        all.push(said);
    }
    all
}

/// Waits for as much as is `expected` after each act; what is too much is found after the next, or at the end.
async fn through<R: Runtime>(runtime: R, expected: &[Said]) -> Vec<Said> {
    let (to_server, mut from_client) = mpsc::channel::<ToServer>(64);
    let (mut to_client, from_server) = mpsc::channel::<FromServer>(64);
    let to_server = to_server.sink_map_err(|_| SignallingError::Closed { reason: None });
    let signalling = signalling::join(from_server.map(Ok), to_server);
    let device = Device::on(runtime, DeviceConfig::default(), 7, Options::default(), signalling);
    device.load(capabilities(), false).unwrap();
    let mut heard = device.events();
    let made = device.create_send_transport(parameters(), TransportOptions::default(), Map::new()).await;
    let transport = made.unwrap();
    let (mut all, mut open, mut made) = (Vec::new(), Vec::<(_, Request)>::new(), 0);
    let mut producers: Vec<Producer<R>> = Vec::new();
    for (act, expected) in script().into_iter().zip(expected) {
        match act {
            Act::Produce(kind) => {
                // What nobody waits for goes on.
                assert!(transport.produce(track(kind), ProduceOptions::default()).now_or_never().is_none());
                producers.extend(device.producers().pop());
            }
            Act::Pause(n) => drop(producers[n].pause()),
            Act::Resume(n) => drop(producers[n].resume()),
            Act::WithoutTrack(n) => drop(producers[n].replace_track(None)),
            Act::Close(n) => drop(producers[n].close()),
            Act::RestartIce => drop(transport.restart_ice(restarted()).now_or_never()),
            Act::Answer => {
                let (id, request) = open.remove(0);
                to_client.send((id, Ok(answer(&request, &mut made)))).await.unwrap();
            }
            Act::Refuse(words) => {
                let (id, _) = open.remove(0);
                to_client.send((id, Err(Refusal::new(words)))).await.unwrap();
            }
            Act::CloseTransport => drop(transport.close()),
        }
        let mut said = Said::default();
        while said.to_application.len() < expected.to_application.len() {
            match heard.next().await.unwrap() {
                Event::Device(event) => said.to_application.push(format!("{event:?}")),
                event => panic!("{event:?}"),
            }
        }
        while said.to_server.len() < expected.to_server.len() {
            let (id, request) = from_client.next().await.unwrap();
            said.asked(&request);
            open.push((id, request));
        }
        all.push(said);
    }
    device.close().await;
    assert_eq!(heard.next().await, None, "more than by hand");
    assert_eq!(from_client.next().await, None, "more than by hand");
    all
}

pub async fn the_same_script_gives_the_same_outputs_as_by_hand<R: Runtime>(runtime: R) {
    let expected = by_hand();
    let requests: usize = expected.iter().map(|said| said.to_server.len()).sum();
    let events: usize = expected.iter().map(|said| said.to_application.len()).sum();
    assert!(requests > 6 && events > 8, "{expected:#?}");
    for (act, (said, expected)) in through(runtime, &expected).await.into_iter().zip(expected).enumerate() {
        assert_eq!(said, expected, "act {act}: {:?}", script()[act]);
    }
}
