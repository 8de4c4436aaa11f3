//! What goes into a device. Nothing enters any other way, so a list of inputs with their times is the whole story of a run.

use std::net::SocketAddr;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::options::{EncodingUpdate, ProduceOptions, TransportOptions};
use super::parameters::TransportParameters;
use super::rtp::RtpCapabilities;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::media::Media;
use crate::net::Receive;
use crate::net::{IceParameters, IceProtocol};
use crate::track::Track;

/// Something that happened, for [`Device::handle_input`](super::Device::handle_input).
#[derive(Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Input {
    /// The deadline of [`Device::poll_timeout`](super::Device::poll_timeout) was reached, or simply: time went on.
    Timeout,
    /// A datagram came in.
    Receive(Receive),
    /// The application wants something done.
    Command(Command),
    /// The application answers a request.
    Answer {
        /// The request.
        id: RequestId,
        /// What the server said to it.
        result: Result<Answer, Refusal>,
    },
    /// The application has encoded media.
    Media {
        /// The producer it belongs to.
        producer: ProducerId,
        /// The media.
        media: Media,
    },
}

impl std::fmt::Debug for Input {
    /// Leaves out what is long: media and datagrams.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => f.write_str("Timeout"),
            Self::Receive(receive) => receive.fmt(f),
            Self::Command(command) => command.fmt(f),
            Self::Answer { id, result } => write!(f, "Answer {{ id: {id}, {result:?} }}"),
            Self::Media { producer, media: Media::Frame(frame) } => {
                write!(f, "Media {{ producer: {producer}, frame of {} bytes }}", frame.data.len())
            }
            Self::Media { producer, media: Media::Packet(packet) } => {
                write!(f, "Media {{ producer: {producer}, packet of {} bytes }}", packet.payload.len())
            }
        }
    }
}

/// What the server said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Answer {
    /// To [`Request::Connect`](super::Request::Connect): done.
    Connected,
    /// To [`Request::Produce`](super::Request::Produce): done.
    Produced {
        /// By which the server knows the producer.
        id: String,
    },
}

/// What a request was refused with, by the server or by the application itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[error("{reason}")]
pub struct Refusal {
    /// The words. They are for people: what is said differs from server to server.
    pub reason: String,
}

impl Refusal {
    /// With these words.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// What the application wants done. Each has a typed method on [`Device`](super::Device), [`Transport`](super::Transport) or
/// [`Producer`](super::Producer), which says what it does and how it can fail.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
#[allow(missing_docs)] // each is the method of the same name
pub enum Command {
    Load {
        router_rtp_capabilities: RtpCapabilities,
        #[cfg_attr(feature = "serde", serde(default))]
        prefer_local_codecs_order: bool,
    },
    CreateSendTransport {
        parameters: TransportParameters,
        #[cfg_attr(feature = "serde", serde(default))]
        options: TransportOptions,
        #[cfg_attr(feature = "serde", serde(default))]
        app_data: Map<String, Value>,
    },

    CloseTransport {
        id: TransportId,
    },
    Produce {
        transport: TransportId,
        track: Track,
        #[cfg_attr(feature = "serde", serde(default))]
        options: ProduceOptions,
    },
    RestartIce {
        id: TransportId,
        ice_parameters: IceParameters,
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
    SetTransportAppData {
        id: TransportId,
        app_data: Map<String, Value>,
    },

    CloseProducer {
        id: ProducerId,
    },
    Pause {
        id: ProducerId,
    },
    Resume {
        id: ProducerId,
    },
    ReplaceTrack {
        id: ProducerId,
        track: Option<Track>,
    },
    EndTrack {
        id: ProducerId,
    },
    SetMaxSpatialLayer {
        id: ProducerId,
        layer: usize,
    },
    SetEncodingParameters {
        id: ProducerId,
        parameters: EncodingUpdate,
    },
    SetProducerAppData {
        id: ProducerId,
        app_data: Map<String, Value>,
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
    /// A producer is being made.
    Producing(Producing),
    /// It takes time: [`Event::Settled`](super::Event::Settled) will tell its end.
    Operation(OperationId),
}

/// A producer that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producing {
    /// Our handle of it.
    pub producer: ProducerId,
    /// [`Event::Settled`](super::Event::Settled) will tell whether the server has it. If it has not, it is gone.
    pub operation: OperationId,
}

impl Accepted {
    pub(crate) fn transport(self) -> TransportId {
        match self {
            Self::Transport(id) => id,
            other => unreachable!("making a transport was answered with {other:?}"),
        }
    }

    pub(crate) fn producing(self) -> Producing {
        match self {
            Self::Producing(producing) => producing,
            other => unreachable!("making a producer was answered with {other:?}"),
        }
    }

    pub(crate) fn operation(self) -> OperationId {
        match self {
            Self::Operation(id) => id,
            other => unreachable!("a command that takes time was answered with {other:?}"),
        }
    }
}
