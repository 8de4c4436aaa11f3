//! What is said to and heard from the server.
//!
//! The types here are mediasoup's, free of spelling; one private module, `v2`, alone knows the wire names. How requests and responses are
//! paired on the wire is the application's: [`protoo`] is the envelope of the v2 demo and of what was built on it.

pub mod protoo;
pub(crate) mod redacted;
mod signalling;
pub(crate) mod v2;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::TransportOptions;
use crate::id::ServerId;
use crate::rtp::{MediaKind, RtpCapabilities, RtpParameters};

pub use redacted::Redacted;
pub use signalling::{FromServer, ToServer};

/// A request to the server: it needs one response, handed in as [`Input::Response`](crate::Input::Response).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Request {
    /// `queryRoom`: asks for the room's settings.
    QueryRoom,
    /// `join`: enters the room.
    Join {
        /// Our name, unique in the room.
        peer_name: String,
        /// What we could receive: the room's capabilities as far as we share them.
        rtp_capabilities: RtpCapabilities,
        /// A spy is not announced to the others, and cannot send.
        spy: bool,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `createTransport`: makes the server's side of a send transport.
    CreateTransport {
        /// Chosen by us; see [`ServerId`].
        id: ServerId,
        /// What the server is to offer.
        options: TransportOptions,
        /// Our side of DTLS.
        dtls_parameters: DtlsParameters,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `restartTransport`: asks for new ICE credentials.
    RestartTransport {
        /// The transport.
        id: ServerId,
    },
    /// `createProducer`: makes the server's side of a producer.
    CreateProducer {
        /// Chosen by us; see [`ServerId`].
        id: ServerId,
        /// Audio or video.
        kind: MediaKind,
        /// The transport it is sent over.
        transport_id: ServerId,
        /// How it is sent.
        rtp_parameters: RtpParameters,
        /// Whether it starts paused.
        paused: bool,
        /// The application's.
        app_data: Option<Value>,
    },
}

impl Request {
    /// mediasoup's name of the method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::QueryRoom => "queryRoom",
            Self::Join { .. } => "join",
            Self::CreateTransport { .. } => "createTransport",
            Self::RestartTransport { .. } => "restartTransport",
            Self::CreateProducer { .. } => "createProducer",
        }
    }

    /// The mediasoup v2 message, to be sent in whatever envelope the application uses.
    pub fn to_json(&self) -> Value {
        v2::request(self)
    }
}

/// A notification to the server: it has no response.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Notification {
    /// `leave`: leaves the room.
    Leave {
        /// The application's.
        app_data: Option<Value>,
    },
    /// `closeTransport`.
    CloseTransport {
        /// The transport.
        id: ServerId,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `enableTransportStats`.
    EnableTransportStats {
        /// The transport.
        id: ServerId,
        /// Milliseconds between two reports, at least 1000.
        interval_ms: u64,
    },
    /// `disableTransportStats`.
    DisableTransportStats {
        /// The transport.
        id: ServerId,
    },
    /// `pauseProducer`.
    PauseProducer {
        /// The producer.
        id: ServerId,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `resumeProducer`.
    ResumeProducer {
        /// The producer.
        id: ServerId,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `closeProducer`.
    CloseProducer {
        /// The producer.
        id: ServerId,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `enableProducerStats`.
    EnableProducerStats {
        /// The producer.
        id: ServerId,
        /// Milliseconds between two reports, at least 1000.
        interval_ms: u64,
    },
    /// `disableProducerStats`.
    DisableProducerStats {
        /// The producer.
        id: ServerId,
    },
}

impl Notification {
    /// mediasoup's name of the method.
    pub const fn method(&self) -> &'static str {
        match self {
            Self::Leave { .. } => "leave",
            Self::CloseTransport { .. } => "closeTransport",
            Self::EnableTransportStats { .. } => "enableTransportStats",
            Self::DisableTransportStats { .. } => "disableTransportStats",
            Self::PauseProducer { .. } => "pauseProducer",
            Self::ResumeProducer { .. } => "resumeProducer",
            Self::CloseProducer { .. } => "closeProducer",
            Self::EnableProducerStats { .. } => "enableProducerStats",
            Self::DisableProducerStats { .. } => "disableProducerStats",
        }
    }

    /// The mediasoup v2 message, to be sent in whatever envelope the application uses.
    pub fn to_json(&self) -> Value {
        v2::notification(self)
    }
}

/// A notification from the server, as far as a sender has a use for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ServerNotification {
    Closed {
        app_data: Option<Value>,
    },
    TransportClosed {
        id: ServerId,
        app_data: Option<Value>,
    },
    TransportStats {
        id: ServerId,
        stats: Vec<Value>,
    },
    ProducerPaused {
        id: ServerId,
        app_data: Option<Value>,
    },
    ProducerResumed {
        id: ServerId,
        app_data: Option<Value>,
    },
    ProducerClosed {
        id: ServerId,
        app_data: Option<Value>,
    },
    ProducerStats {
        id: ServerId,
        stats: Vec<Value>,
    },
    NewPeer {
        peer: Peer,
    },
    PeerClosed {
        name: String,
        app_data: Option<Value>,
    },
    /// Meant for receivers, or unknown to us: the application's.
    Other {
        method: String,
    },
}

/// The room's settings: the answer to `queryRoom`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomSettings {
    /// What the room can route.
    pub rtp_capabilities: RtpCapabilities,
    /// Payload types (of `rtp_capabilities`) of the codecs every peer must support.
    #[serde(default)]
    pub mandatory_codec_payload_types: Vec<u8>,
}

/// Another peer of the room.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Peer {
    /// Unique in the room.
    pub name: String,
    /// Its application's.
    pub app_data: Option<Value>,
}

/// Which side opens the DTLS handshake (RFC 5763 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// Sends the ClientHello.
    #[default]
    Client,
    /// Waits for it.
    Server,
}

/// One side's part of DTLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsParameters {
    /// The side's role.
    pub role: DtlsRole,
    /// Hashes of the side's certificate (RFC 8122).
    pub fingerprints: Vec<DtlsFingerprint>,
}

/// A hash of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DtlsFingerprint {
    /// For example `sha-256`.
    pub algorithm: String,
    /// Upper-case hexadecimal bytes with colons.
    pub value: String,
}

/// The server's ICE credentials (RFC 8445).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceParameters {
    /// Names the session.
    pub username_fragment: String,
    /// Secret; left out of `Debug`.
    pub password: String,
    /// mediasoup is an ICE-lite agent.
    #[serde(default)]
    pub ice_lite: bool,
}

impl std::fmt::Debug for IceParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceParameters").field("username_fragment", &self.username_fragment).finish_non_exhaustive()
    }
}

/// An address of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IceCandidate {
    /// Groups candidates of the same kind.
    #[serde(default)]
    pub foundation: String,
    /// The address.
    pub ip: IpAddr,
    /// The port.
    pub port: u16,
    /// Higher is better (RFC 8445 section 5.1.2).
    #[serde(default)]
    pub priority: u32,
    /// UDP or TCP.
    pub protocol: IceProtocol,
}

/// What carries a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IceProtocol {
    /// A UDP socket.
    Udp,
    /// A TCP connection that we open, with RFC 4571 framing (see [`framing`](crate::framing)).
    Tcp,
}

/// The server's side of a transport: the answer to `createTransport`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RemoteTransport {
    pub(crate) ice_parameters: IceParameters,
    pub(crate) ice_candidates: Vec<IceCandidate>,
    pub(crate) dtls_parameters: DtlsParameters,
}

/// A request the server refused, with its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[error("the server refused: {reason}")]
pub struct Refusal {
    /// What the words mean.
    pub kind: RefusalKind,
    /// The server's own words.
    pub reason: String,
}

impl Refusal {
    /// Reads the meaning out of the server's words.
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { kind: v2::refusal_kind(&reason), reason }
    }
}

/// What a JSON value takes in memory, as limits count it: 32 bytes for each value and each name, and their text.
pub(crate) fn weight(value: &Value) -> usize {
    const EACH: usize = 32;
    EACH + match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(weight).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| EACH + name.len() + weight(value)).sum(),
    }
}

/// Why the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum RefusalKind {
    /// A peer of this name is in the room already.
    DuplicatedPeer,
    /// The peer name is not a string, or empty.
    InvalidPeerName,
    /// The id names another transport in the room, of whichever peer.
    DuplicatedTransport,
    /// The id names another producer in the room, of whichever peer.
    DuplicatedProducer,
    /// An SSRC is in use on this transport.
    SsrcInUse,
    /// A MID is in use on this transport.
    MuxIdInUse,
    /// The server does not know the transport.
    TransportNotFound,
    /// A codec that the room has not.
    UnsupportedCodec,
    /// A header extension that the room has not.
    UnsupportedHeaderExtension,
    /// RTP parameters without an encoding.
    EmptyEncodings,
    /// RTP parameters that the server cannot read.
    InvalidRtpParameters,
    /// Neither audio nor video.
    UnsupportedKind,
    /// A DTLS role or fingerprint that the server cannot use.
    InvalidDtlsParameters,
    /// A method that the server does not know.
    UnknownMethod,
    /// Anything else: read the words.
    Other,
}

/// A message that is not what the protocol says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not an object with `method`.
    #[error("not a mediasoup message: {0}")]
    Shape(&'static str),
    /// A field is missing or of the wrong type.
    #[error("malformed {method}: {what}")]
    Field {
        /// The message.
        method: String,
        /// What is wrong.
        what: String,
    },
}
