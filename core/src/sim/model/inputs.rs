//! Steps in full: the commands, messages, frames and datagrams that they stand for, once the ids are known.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::step::{Answer, App, Notice, ProducerOp, Says, TrackKind, TransportOp};
use crate::connection::engine::EngineEvent;
use crate::connection::engine::crypto::DtlsFailure;
use crate::id::{ProducerId, TransportId};
use crate::media::Frame;
use crate::net::IceProtocol;
use crate::net::Receive;
use crate::rtp::MediaKind;
use crate::track::Track;
use crate::v2::Command;
use crate::v2::InvalidResponse;
use crate::v2::ServerId;
use crate::v2::protocol::Refusal;

impl App {
    /// As it is handed in.
    pub fn value(self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Null => Some(Value::Null),
            Self::Some(number) => Some(json!({ "n": number })),
        }
    }
}

impl TrackKind {
    /// As it is handed in.
    pub fn track(self) -> Track {
        let kind = if self == Self::Audio { MediaKind::Audio } else { MediaKind::Video };
        let mut track = Track::new(kind, "track", "").with_enabled(self != Self::Disabled);
        if self == Self::Ended {
            track.stop();
        }
        track
    }
}

impl TransportOp {
    /// As it is handed in.
    pub fn command(self, id: TransportId) -> Command {
        let protocol = IceProtocol::Udp;
        match self {
            Self::Close(app) => Command::CloseTransport { id, app_data: app.value() },
            Self::EnableStats { milliseconds } => {
                Command::EnableTransportStats { id, interval: interval(milliseconds) }
            }
            Self::DisableStats => Command::DisableTransportStats { id },
            Self::SetAppData(app) => Command::SetTransportAppData { id, app_data: app.value() },
            Self::RestartIce => Command::RestartTransportIce { id },
            Self::AddAddress(number) => Command::AddLocalAddress { id, protocol, address: address(number) },
            Self::RemoveAddress(number) => Command::RemoveLocalAddress { id, protocol, address: address(number) },
        }
    }
}

impl ProducerOp {
    /// As it is handed in.
    pub fn command(self, id: ProducerId) -> Command {
        match self {
            Self::Close(app) => Command::CloseProducer { id, app_data: app.value() },
            Self::Pause(app) => Command::Pause { id, app_data: app.value() },
            Self::Resume(app) => Command::Resume { id, app_data: app.value() },
            Self::ReplaceTrack(kind) => Command::ReplaceTrack { id, track: kind.track() },
            Self::EndTrack => Command::EndTrack { id },
            Self::EnableStats { milliseconds } => Command::EnableProducerStats { id, interval: interval(milliseconds) },
            Self::DisableStats => Command::DisableProducerStats { id },
            Self::SetAppData(app) => Command::SetProducerAppData { id, app_data: app.value() },
        }
    }
}

impl Answer {
    /// The answer to a request of this method; `""` stands for a request that is not open.
    pub fn payload(self, method: &str) -> Result<Value, Refusal> {
        match (self, method) {
            (Self::Taken, "createTransport" | "createProducer") => Err(taken(method)),
            (Self::Refused | Self::Taken, _) => Err(refusal()),
            (Self::Malformed, _) => Ok(json!({ "rtpCapabilities": 7, "peers": 7 })),
            (_, "queryRoom") => Ok(room_settings(self)),
            (Self::Good, "join") => Ok(json!({ "peers": [{ "name": "alice", "appData": 1 }, { "name": "bob" }] })),
            (_, "createTransport") => Ok(json!({
                "iceParameters": { "usernameFragment": "u", "password": "p" },
                "iceCandidates": [{ "ip": "192.0.2.7", "port": 40000, "protocol": "udp" }],
                "dtlsParameters": { "role": "server", "fingerprints": [
                    { "algorithm": "sha-256", "value": (["AB"; 32].join(":")) },
                ] },
            })),
            (_, "restartTransport") => Ok(json!({ "iceParameters": { "usernameFragment": "v", "password": "q" } })),
            _ => Ok(Value::Null),
        }
    }
}

impl Notice {
    /// The message, with the ids that its numbers pick.
    pub fn message(self, transport: impl Fn(u8) -> ServerId, producer: impl Fn(u8) -> ServerId) -> Value {
        let peer = |number| format!("peer {}", number % 8);
        let (method, mut message, app) = match self {
            Self::Closed(app) => ("closed", json!({}), app.value()),
            Self::TransportClosed(number, app) => ("transportClosed", json!({ "id": transport(number) }), app.value()),
            Self::TransportStats(number) => {
                let stats = json!([{ "type": "unheard of", "dtlsState": 5 }]);
                ("transportStats", json!({ "id": transport(number), "stats": stats }), None)
            }
            Self::ProducerPaused(number, app) => ("producerPaused", json!({ "id": producer(number) }), app.value()),
            Self::ProducerResumed(number, app) => ("producerResumed", json!({ "id": producer(number) }), app.value()),
            Self::ProducerClosed(number, app) => ("producerClosed", json!({ "id": producer(number) }), app.value()),
            Self::ProducerStats(number) => {
                let stats = json!([{ "type": "unheard of" }]);
                ("producerStats", json!({ "id": producer(number), "stats": stats }), None)
            }
            Self::NewPeer(number) => ("newPeer", json!({ "name": peer(number) }), Some(json!(number))),
            Self::PeerClosed(number) => ("peerClosed", json!({ "name": peer(number) }), None),
            Self::Foreign => return foreign(),
            Self::Malformed => ("producerPaused", json!({ "id": "seven" }), None),
        };
        message["method"] = method.into();
        message["notification"] = true.into();
        if let Some(app) = app {
            message["appData"] = app;
        }
        message
    }
}

impl Says {
    /// As it is handed in.
    pub fn event(self) -> EngineEvent {
        match self {
            Self::Connected => EngineEvent::Connected,
            Self::Disconnected => EngineEvent::Disconnected,
            Self::Closed => EngineEvent::Closed,
            Self::Failed => EngineEvent::Failed(failure()),
            Self::Limit(u32::MAX) => EngineEvent::BitrateLimit { bitrate_bps: u64::MAX },
            Self::Limit(bitrate_bps) => EngineEvent::BitrateLimit { bitrate_bps: bitrate_bps.into() },
        }
    }
}

/// As a step has it: the largest number stands for the longest time there is.
fn interval(milliseconds: u16) -> Duration {
    if milliseconds == u16::MAX { Duration::MAX } else { Duration::from_millis(milliseconds.into()) }
}

/// What becomes of it, in milliseconds: a second at least, and at most what the server's timer takes.
pub(crate) fn interval_taken(milliseconds: u16) -> u64 {
    if milliseconds == u16::MAX { i32::MAX as u64 } else { u64::from(milliseconds).max(1000) }
}

/// Its bytes are no key frame's.
pub(crate) fn frame(bytes: u16, at: Duration, layer: usize, key_frame: bool) -> Frame {
    Frame::new(vec![0x55; bytes.into()], at).layer(layer).key_frame(key_frame)
}

pub(crate) fn datagram(first: u8, bytes: u16) -> Receive {
    let mut contents = vec![0x55; bytes.into()];
    if let Some(byte) = contents.first_mut() {
        *byte = first;
    }
    let (source, destination) = (SocketAddr::from(([203, 0, 113, 9], 9)), address(1));
    Receive { protocol: IceProtocol::Udp, source, destination, contents: Bytes::from(contents) }
}

/// Address 0 is none.
pub(crate) fn address(number: u8) -> SocketAddr {
    let ip = if number.is_multiple_of(8) { [0; 4] } else { [192, 0, 2, number % 8] };
    (ip, 5000).into()
}

/// The server's refusal, in one of its wordings.
pub(crate) fn refusal() -> Refusal {
    Refusal::new("TypeError: WebRtcTransport not found")
}

/// The room knows what is wrong with an answer; the model does not.
pub(crate) fn garbled() -> InvalidResponse {
    InvalidResponse::Malformed { method: String::new(), what: String::new() }
}

/// As the server says of a request that another has the id.
pub(crate) fn taken(method: &str) -> Refusal {
    Refusal::new(if method == "createTransport" {
        "Error: a Transport with same transportId already exists"
    } else {
        "Error: a Producer with same producerId already exists"
    })
}

pub(crate) fn failure() -> DtlsFailure {
    DtlsFailure::Timeout
}

/// Something for receivers.
pub(crate) fn foreign() -> Value {
    json!({ "method": "newConsumer", "notification": true, "id": 5, "appData": [1] })
}

fn room_settings(how: Answer) -> Value {
    let mut codecs = vec![json!({
        "kind": "audio", "name": "opus", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2,
        "preferredPayloadType": 100,
    })];
    if how != Answer::Bare {
        codecs.push(json!({
            "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 101,
            "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }],
        }));
        codecs.push(json!({
            "kind": "video", "name": "rtx", "mimeType": "video/rtx", "clockRate": 90000, "preferredPayloadType": 102,
            "parameters": { "apt": 101 },
        }));
    }
    let mandatory = if how == Answer::Demanding { vec![100, 77] } else { vec![100] };
    json!({ "rtpCapabilities": { "codecs": codecs }, "mandatoryCodecPayloadTypes": mandatory })
}
