//! What goes into a room. Nothing enters any other way, so a list of inputs with their times is the whole story of a run.

use std::net::SocketAddr;
use std::time::Duration;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::media::Media;
use crate::net::IceProtocol;
use crate::net::Receive;
use crate::track::Track;
use crate::v2::config::ProducerOptions;
use crate::v2::protocol::Refusal;

/// Something that happened, for [`Room::handle_input`](crate::v2::Room::handle_input).
#[derive(Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Input {
    /// The deadline of [`Room::poll_timeout`](crate::v2::Room::poll_timeout) was reached, or simply: time went on.
    Timeout,
    /// A datagram came in.
    Receive(Receive),
    /// The application wants something done.
    Command(Command),
    /// The server answered a request.
    Response {
        /// The request.
        id: RequestId,
        /// The payload (`null` where it has none), or the refusal.
        result: Result<Value, Refusal>,
    },
    /// The server sent a mediasoup notification.
    Notification(Value),
    /// The application has encoded media.
    Media {
        /// The producer it belongs to.
        producer: ProducerId,
        /// The media.
        media: Media,
    },
}

impl std::fmt::Debug for Input {
    /// Leaves out what may hold secrets (the server's ICE password) or is long (media, datagrams).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => f.write_str("Timeout"),
            Self::Receive(receive) => receive.fmt(f),
            Self::Command(command) => command.fmt(f),
            Self::Response { id, result: Ok(_) } => write!(f, "Response {{ id: {id}, Ok(..) }}"),
            Self::Response { id, result: Err(refusal) } => write!(f, "Response {{ id: {id}, {refusal:?} }}"),
            Self::Notification(message) => write!(f, "Notification({})", message["method"]),
            Self::Media { producer, media: Media::Frame(frame) } => {
                write!(f, "Media {{ producer: {producer}, frame of {} bytes }}", frame.data.len())
            }
            Self::Media { producer, media: Media::Packet(packet) } => {
                write!(f, "Media {{ producer: {producer}, packet of {} bytes }}", packet.payload.len())
            }
        }
    }
}

/// What the application wants done. Each has a typed method on [`Room`](crate::v2::Room), [`Transport`](crate::v2::Transport) or
/// [`Producer`](crate::v2::Producer), which says what it does and how it can fail.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
#[allow(missing_docs)] // each is the method of the same name
pub enum Command {
    Join {
        peer_name: String,
        app_data: Option<Value>,
    },
    Leave {
        app_data: Option<Value>,
    },
    RemoteClose {
        app_data: Option<Value>,
    },
    CreateTransport {
        app_data: Option<Value>,
    },
    CreateProducer {
        track: Track,
        #[cfg_attr(feature = "serde", serde(default))]
        options: ProducerOptions,
        app_data: Option<Value>,
    },
    RestartIce,

    CloseTransport {
        id: TransportId,
        app_data: Option<Value>,
    },
    EnableTransportStats {
        id: TransportId,
        interval: Duration,
    },
    DisableTransportStats {
        id: TransportId,
    },
    SetTransportAppData {
        id: TransportId,
        app_data: Option<Value>,
    },
    RestartTransportIce {
        id: TransportId,
    },
    AddLocalAddress {
        id: TransportId,
        protocol: IceProtocol,
        address: SocketAddr,
    },
    RemoveLocalAddress {
        id: TransportId,
        protocol: IceProtocol,
        address: SocketAddr,
    },

    CloseProducer {
        id: ProducerId,
        app_data: Option<Value>,
    },
    Send {
        id: ProducerId,
        transport: TransportId,
    },
    Pause {
        id: ProducerId,
        app_data: Option<Value>,
    },
    Resume {
        id: ProducerId,
        app_data: Option<Value>,
    },
    ReplaceTrack {
        id: ProducerId,
        track: Track,
    },
    EndTrack {
        id: ProducerId,
    },
    EnableProducerStats {
        id: ProducerId,
        interval: Duration,
    },
    DisableProducerStats {
        id: ProducerId,
    },
    SetProducerAppData {
        id: ProducerId,
        app_data: Option<Value>,
    },
}

/// What an accepted input gave rise to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// It is done.
    Done,
    /// A transport was made.
    Transport(TransportId),
    /// A producer was made.
    Producer(ProducerId),
    /// It takes time: [`Event::Settled`](crate::v2::Event::Settled) will tell its end.
    Operation(OperationId),
    /// It takes time in several places, each of which ends by itself.
    Operations(Vec<OperationId>),
}

impl Accepted {
    pub(crate) fn operation(self) -> OperationId {
        match self {
            Self::Operation(id) => id,
            other => unreachable!("a command that takes time was answered with {other:?}"),
        }
    }

    pub(crate) fn operations(self) -> Vec<OperationId> {
        match self {
            Self::Operations(ids) => ids,
            other => unreachable!("a command that takes time in several places was answered with {other:?}"),
        }
    }

    pub(crate) fn transport(self) -> TransportId {
        match self {
            Self::Transport(id) => id,
            other => unreachable!("making a transport was answered with {other:?}"),
        }
    }

    pub(crate) fn producer(self) -> ProducerId {
        match self {
            Self::Producer(id) => id,
            other => unreachable!("making a producer was answered with {other:?}"),
        }
    }
}
