//! What comes out of a device.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::OperationError;
use super::input::Refusal;
use super::parameters::DtlsParameters;
use super::rtp::RtpParameters;
use crate::connection::engine::crypto::DtlsFailure;
use crate::event::ConnectionState;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::net::Transmit;
use crate::outputs::{Class, Classed};
use crate::rtp::MediaKind;

/// Something to be acted on, from [`Device::poll_output`](super::Device::poll_output).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum Output {
    /// A datagram to be sent.
    Transmit(Transmit),
    /// Something that the server is to be asked, in whatever words the application has with it. The answer is to be handed in
    /// with the same id.
    Request {
        /// Pairs it with its answer.
        id: RequestId,
        /// The request.
        request: Request,
    },
    /// Something the application should know.
    Event(Event),
}

impl Classed for Output {
    fn class(&self) -> Class {
        match self {
            Self::Transmit(_) => Class::Transmit,
            Self::Request { .. } => Class::Bounded,
            Self::Event(Event::Settled { .. } | Event::Orphan { .. }) => Class::Bounded,
            Self::Event(Event::Transport { event, .. }) => match event {
                TransportEvent::ConnectionStateChange { .. } => Class::Lesser(0),
                TransportEvent::DtlsFailed { .. } | TransportEvent::ConnectLost { .. } | TransportEvent::Close => {
                    Class::Bounded
                }
            },
            Self::Event(Event::Producer { event, .. }) => match event {
                ProducerEvent::KeyFrameRequest { .. }
                | ProducerEvent::TargetBitrate { .. }
                | ProducerEvent::TimeWentBack { .. } => Class::Lesser(0),
                ProducerEvent::Produced { .. }
                | ProducerEvent::Close
                | ProducerEvent::TransportClose
                | ProducerEvent::Pause
                | ProducerEvent::Resume
                | ProducerEvent::TrackEnded
                | ProducerEvent::TrackStopped { .. } => Class::Bounded,
            },
        }
    }
}

/// Something that the server is to be asked: it needs one answer, handed in as [`Input::Answer`](super::Input::Answer).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Request {
    /// The transport's event `connect`, for mediasoup's `transport.connect()`. Answered with
    /// [`Answer::Connected`](super::Answer::Connected).
    Connect {
        /// Our handle of the transport.
        transport: TransportId,
        /// By which the server knows it.
        transport_id: String,
        /// Our side of DTLS.
        dtls_parameters: DtlsParameters,
    },
    /// The transport's event `produce`, for mediasoup's `transport.produce()`. Answered with
    /// [`Answer::Produced`](super::Answer::Produced).
    Produce {
        /// Our handle of the transport.
        transport: TransportId,
        /// By which the server knows it.
        transport_id: String,
        /// Our handle of the producer.
        producer: ProducerId,
        /// Audio or video.
        kind: MediaKind,
        /// How it is sent.
        rtp_parameters: RtpParameters,
        /// The application's.
        app_data: Map<String, Value>,
    },
}

impl Request {
    /// mediasoup-client's name of the event: `connect` or `produce`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Produce { .. } => "produce",
        }
    }

    /// The transport it is about.
    pub const fn transport(&self) -> TransportId {
        match self {
            Self::Connect { transport, .. } | Self::Produce { transport, .. } => *transport,
        }
    }

    /// What mediasoup-client's event holds, and beside it `transportId`, as mediasoup's demo and most applications send it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Connect { transport_id, dtls_parameters, .. } => {
                json!({ "transportId": transport_id, "dtlsParameters": dtls_parameters })
            }
            Self::Produce { transport_id, kind, rtp_parameters, app_data, .. } => json!({
                "transportId": transport_id, "kind": kind, "rtpParameters": rtp_parameters, "appData": app_data,
            }),
        }
    }
}

/// Something the application should know.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Event {
    /// A command that takes time has come to its end. Each does exactly once.
    Settled {
        /// As the command returned it.
        operation: OperationId,
        /// How it ended.
        result: Result<(), OperationError>,
    },
    /// The server has made a producer that nobody waits for any more: its request had timed out, or it was closed here
    /// meanwhile. The application should have the server close it.
    Orphan {
        /// By which the server knows its transport.
        transport_id: String,
        /// By which the server knows it.
        producer_id: String,
    },
    /// Something about a transport.
    Transport {
        /// The transport.
        id: TransportId,
        /// What.
        event: TransportEvent,
    },
    /// Something about a producer.
    Producer {
        /// The producer.
        id: ProducerId,
        /// What.
        event: ProducerEvent,
    },
}

/// Something about a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum TransportEvent {
    /// `connectionstatechange`.
    ConnectionStateChange {
        /// The new state.
        state: ConnectionState,
    },
    /// DTLS failed for good. The state is [`Failed`](ConnectionState::Failed), and to close it is all that can be done.
    DtlsFailed {
        /// The cause and the remedy.
        cause: DtlsFailure,
    },
    /// `connect` was refused after one that was not answered in time, or not with sense. A mediasoup server takes it once, so
    /// this may be the refusal of a second. Whether the server has our side of DTLS is not known, and nothing can come of the
    /// transport: [`Close`](Self::Close) follows. Have the server make another.
    ConnectLost {
        /// The words of the refusal.
        refusal: Refusal,
    },
    /// `close`: it was closed. Nothing about it follows. The server's side stays until the application has it closed.
    Close,
}

/// Something about a producer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum ProducerEvent {
    /// `newproducer`: the server has it. Media may be written as soon as its transport is connected. If it was paused
    /// meanwhile, or its track is not enabled, the server does not know that: the application has it pause its side.
    Produced {
        /// By which the server knows it.
        producer_id: String,
    },
    /// `close`: it was closed on this side. Nothing about it follows. The server's side stays until the application has it
    /// closed.
    Close,
    /// `transportclose`: its transport was closed, and so is it. Nothing about it follows.
    TransportClose,
    /// `pause`: nothing is sent any more. The server hears of it only from the application.
    Pause,
    /// `resume`: media may be sent again. The server hears of it only from the application.
    Resume,
    /// `trackended`: its track has ended. The producer stays; the application decides whether to close it.
    TrackEnded,
    /// Nothing is to come of this track any more: the producer is closed or has another one, or nothing came of it, and its
    /// options said so. Whoever feeds it can stop.
    TrackStopped {
        /// The track.
        track_id: String,
    },
    /// The next frame of this encoding should be a key frame: the server asked (PLI, FIR), or a decoder cannot go on
    /// without one (after connection, resume, replaced track, or a frame that was refused).
    KeyFrameRequest {
        /// The encoding, counted from 0.
        layer: usize,
    },
    /// Media time went back in this encoding, for the first time since its track was set: encode without B-frames.
    TimeWentBack {
        /// The encoding, counted from 0.
        layer: usize,
    },
    /// The encoder of this encoding should aim at this bitrate: its share of what the server says it can receive (REMB). 0:
    /// pause the encoder.
    TargetBitrate {
        /// The encoding, counted from 0.
        layer: usize,
        /// Bits per second.
        bitrate_bps: u64,
    },
}
