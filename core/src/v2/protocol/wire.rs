//! mediasoup v2's wire names: the only place that has them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{MessageError, Notification, Peer, RefusalKind, Request, RoomSettings, ServerNotification};
use crate::json::without_contents;
use crate::net::{DtlsParameters, IceParameters, RemoteTransport};
use crate::v2::id::ServerId;

pub(super) fn request(request: &Request) -> Value {
    let (target, body) = match request {
        Request::QueryRoom => ("room", json!({})),
        Request::Join { peer_name, rtp_capabilities, spy, app_data } => (
            "room",
            with_app_data(json!({ "peerName": peer_name, "rtpCapabilities": rtp_capabilities, "spy": spy }), app_data),
        ),
        Request::CreateTransport { id, options, dtls_parameters, app_data } => (
            "peer",
            with_app_data(
                json!({ "id": id, "direction": "send", "options": options, "dtlsParameters": dtls_parameters }),
                app_data,
            ),
        ),
        Request::RestartTransport { id } => ("peer", json!({ "id": id })),
        Request::CreateProducer { id, kind, transport_id, rtp_parameters, paused, app_data } => (
            "peer",
            with_app_data(
                json!({
                    "id": id, "kind": kind, "transportId": transport_id, "rtpParameters": rtp_parameters,
                    "paused": paused,
                }),
                app_data,
            ),
        ),
    };
    message(request.method(), target, body)
}

pub(super) fn notification(notification: &Notification) -> Value {
    let body = match notification {
        Notification::Leave { app_data } => with_app_data(json!({}), app_data),
        Notification::CloseTransport { id, app_data } => with_app_data(json!({ "id": id }), app_data),
        Notification::PauseProducer { id, app_data }
        | Notification::ResumeProducer { id, app_data }
        | Notification::CloseProducer { id, app_data } => with_app_data(json!({ "id": id }), app_data),
        Notification::EnableTransportStats { id, interval_ms } => json!({ "id": id, "interval": interval_ms }),
        Notification::EnableProducerStats { id, interval_ms } => json!({ "id": id, "interval": interval_ms }),
        Notification::DisableTransportStats { id } => json!({ "id": id }),
        Notification::DisableProducerStats { id } => json!({ "id": id }),
    };
    let mut message = message(notification.method(), "peer", body);
    message["notification"] = Value::Bool(true);
    message
}

fn message(method: &str, target: &str, body: Value) -> Value {
    let mut message = Map::new();
    message.insert("method".to_owned(), method.into());
    message.insert("target".to_owned(), target.into());
    if let Value::Object(body) = body {
        message.extend(body);
    }
    Value::Object(message)
}

/// Absent app data is absent from the message; JSON null is carried as null.
fn with_app_data(mut body: Value, app_data: &Option<Value>) -> Value {
    if let Some(app_data) = app_data {
        body["appData"] = app_data.clone();
    }
    body
}

/// Reads a notification from the server.
pub(crate) fn server_notification(message: &Value) -> Result<ServerNotification, MessageError> {
    if !message.is_object() {
        return Err(MessageError::Shape("not an object"));
    }
    if message.get("notification") != Some(&Value::Bool(true)) {
        return Err(MessageError::Shape("not a notification"));
    }
    let method = message.get("method").and_then(Value::as_str).ok_or(MessageError::Shape("no method"))?;

    Ok(match method {
        "closed" => ServerNotification::Closed { app_data: app_data(message) },
        "transportClosed" => {
            ServerNotification::TransportClosed { id: id(method, message)?, app_data: app_data(message) }
        }
        "transportStats" => {
            ServerNotification::TransportStats { id: id(method, message)?, stats: stats(method, message)? }
        }
        "producerPaused" => {
            ServerNotification::ProducerPaused { id: id(method, message)?, app_data: app_data(message) }
        }
        "producerResumed" => {
            ServerNotification::ProducerResumed { id: id(method, message)?, app_data: app_data(message) }
        }
        "producerClosed" => {
            ServerNotification::ProducerClosed { id: id(method, message)?, app_data: app_data(message) }
        }
        "producerStats" => {
            ServerNotification::ProducerStats { id: id(method, message)?, stats: stats(method, message)? }
        }
        "newPeer" => ServerNotification::NewPeer { peer: peer(method, message)? },
        "peerClosed" => {
            ServerNotification::PeerClosed { name: peer(method, message)?.name, app_data: app_data(message) }
        }
        other => ServerNotification::Other { method: other.to_owned() },
    })
}

/// Reads the answer to `queryRoom`.
pub(crate) fn room_settings(data: Value) -> Result<RoomSettings, MessageError> {
    read("queryRoom", data)
}

/// Reads the answer to `join`: the peers that are in the room already.
pub(crate) fn joined(data: &Value) -> Result<Vec<Peer>, MessageError> {
    match data.get("peers") {
        None => Ok(Vec::new()),
        Some(Value::Array(peers)) => peers.iter().map(|value| peer("join", value)).collect(),
        Some(_) => Err(field("join", "peers is not an array")),
    }
}

/// Reads the answer to `createTransport`. A candidate that cannot be read (an mDNS name, a protocol of the future) is
/// passed over: the others may do.
pub(crate) fn remote_transport(data: Value) -> Result<RemoteTransport, MessageError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        ice_parameters: IceParameters,
        #[serde(default)]
        ice_candidates: Vec<Value>,
        dtls_parameters: DtlsParameters,
    }
    let answer: Answer = read("createTransport", data)?;
    let ice_candidates: Vec<_> =
        answer.ice_candidates.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
    if ice_candidates.is_empty() {
        return Err(field("createTransport", "no ICE candidate that can be used"));
    }
    Ok(RemoteTransport {
        ice_parameters: answer.ice_parameters,
        ice_candidates,
        dtls_parameters: answer.dtls_parameters,
    })
}

/// Reads the answer to `restartTransport`.
pub(crate) fn restarted(data: Value) -> Result<IceParameters, MessageError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        ice_parameters: IceParameters,
    }
    read::<Answer>("restartTransport", data).map(|answer| answer.ice_parameters)
}

/// The server speaks in strings; about twenty are known (mediasoup 2.6.19, lib/*.js and the worker).
pub(super) fn refusal_kind(reason: &str) -> RefusalKind {
    // From the particular to the general: several wrap others in "wrong RTP parameters: ...".
    const WORDS: [(&str, RefusalKind); 17] = [
        ("duplicated Peer", RefusalKind::DuplicatedPeer),
        ("peerName must be a string", RefusalKind::InvalidPeerName),
        ("a Transport with same transportId already exists", RefusalKind::DuplicatedTransport),
        ("a Producer with same producerId already exists", RefusalKind::DuplicatedProducer),
        ("ssrc already exists", RefusalKind::SsrcInUse),
        ("muxId already exists", RefusalKind::MuxIdInUse),
        ("Transport not found", RefusalKind::TransportNotFound),
        ("unsupported codec", RefusalKind::UnsupportedCodec),
        ("unsupported header extension", RefusalKind::UnsupportedHeaderExtension),
        ("empty rtpParameters.encodings", RefusalKind::EmptyEncodings),
        ("unsupported kind", RefusalKind::UnsupportedKind),
        ("unsupported remote fingerprint algorithm", RefusalKind::InvalidDtlsParameters),
        ("invalid remote role", RefusalKind::InvalidDtlsParameters),
        ("unknown request method", RefusalKind::UnknownMethod),
        ("wrong RTP parameters", RefusalKind::InvalidRtpParameters),
        ("wrong codec", RefusalKind::InvalidRtpParameters),
        ("invalid rtpParameters", RefusalKind::InvalidRtpParameters),
    ];
    WORDS.iter().find(|(words, _)| reason.contains(words)).map_or(RefusalKind::Other, |(_, kind)| *kind)
}

fn read<T: DeserializeOwned>(method: &str, data: Value) -> Result<T, MessageError> {
    serde_json::from_value(data).map_err(|error| field(method, without_contents(&error)))
}

fn field(method: &str, what: impl Into<String>) -> MessageError {
    MessageError::Field { method: method.to_owned(), what: what.into() }
}

fn id(method: &str, message: &Value) -> Result<ServerId, MessageError> {
    message
        .get("id")
        .and_then(Value::as_u64)
        .and_then(|id| u32::try_from(id).ok())
        .map(ServerId::new)
        .ok_or_else(|| field(method, "id is not an integer"))
}

fn app_data(message: &Value) -> Option<Value> {
    message.get("appData").cloned()
}

fn stats(method: &str, message: &Value) -> Result<Vec<Value>, MessageError> {
    message.get("stats").and_then(Value::as_array).cloned().ok_or_else(|| field(method, "stats is not an array"))
}

fn peer(method: &str, value: &Value) -> Result<Peer, MessageError> {
    let name = value.get("name").and_then(Value::as_str).ok_or_else(|| field(method, "name is not a string"))?;
    Ok(Peer { name: name.to_owned(), app_data: app_data(value) })
}
