//! What is said to and heard from the server.
//!
//! The types here are mediasoup's, free of spelling; one private module, `wire`, alone knows the wire names. How requests and responses are
//! paired on the wire is the application's: [`protoo`](crate::protoo) is the envelope of the v2 demo and of what was built on it.

mod signalling;
pub(crate) mod wire;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::net::DtlsParameters;
use crate::rtp::MediaKind;
use crate::v2::config::TransportOptions;
use crate::v2::id::ServerId;
use crate::v2::rtp::{RtpCapabilities, RtpParameters};

pub use signalling::{FromServer, ToServer};

/// A request to the server: it needs one response, handed in as [`Input::Response`](crate::v2::Input::Response).
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
        wire::request(self)
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
        wire::notification(self)
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
        Self { kind: wire::refusal_kind(&reason), reason }
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
