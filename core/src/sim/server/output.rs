//! What comes out of a room.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;

use super::ConnectionId;
use super::counters::EncodingCounters;
use crate::connection::engine::crypto::DtlsFailure;
use crate::id::{ProducerId, TransportId};
use crate::json::Redacted;
use crate::media::{AudioLevel, Rotation};
use crate::net::Transmit;
use crate::rtp::{Codec, MediaKind};
use crate::v2::Profile;

/// Something to be acted on, from [`RoomServer::poll_output`](super::RoomServer::poll_output).
#[derive(derive_more::Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ServerOutput {
    /// A datagram to be sent.
    Transmit(Transmit),
    /// The answer to a request.
    Response {
        /// Where the request came from.
        connection: ConnectionId,
        /// The id it was handed in with.
        id: u64,
        /// The payload (`null` where it has none), or mediasoup's words.
        #[debug("{:?}", result.as_ref().map(Redacted))]
        result: Result<Value, String>,
    },
    /// A mediasoup notification to be sent.
    Notification {
        /// Where to.
        connection: ConnectionId,
        /// The message.
        message: Value,
    },
    /// A packet was received; only with [`forward_media`](super::RoomServerConfig::forward_media).
    Rtp(ReceivedPacket),
    /// Something the room's owner may want to know.
    Event(ServerEvent),
}

/// An RTP packet that a room received: each once, and in the order of arrival, which retransmission upsets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReceivedPacket {
    /// Who sent it.
    pub peer: std::sync::Arc<str>,
    /// Whose it is.
    pub producer: ProducerId,
    /// The producer's codec.
    pub codec: Codec,
    /// The layer.
    pub profile: Profile,
    /// The stream: that of the encoding, for a packet that came by way of its RTX stream too.
    pub ssrc: u32,
    /// The room's payload type for the codec.
    pub payload_type: u8,
    /// Extended: does not wrap.
    pub sequence_number: u64,
    /// In the codec's clock rate.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload.
    pub payload: Bytes,
    /// Whether retransmission brought it.
    pub repaired: bool,
    /// The MID it carried.
    pub mid: Option<String>,
    /// The loudness it carried.
    pub audio_level: Option<AudioLevel>,
    /// The rotation it carried.
    pub rotation: Option<Rotation>,
    /// The latest sender report of its stream before it: the sender's wall clock, and the RTP time that goes with it.
    pub sender_report: Option<(SystemTime, u32)>,
}

/// Which side did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The peer it belongs to.
    Peer,
    /// The room: its owner asked for it, or what it belongs to was closed.
    Room,
}

/// Something the owner of a room may want to know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A peer has joined.
    PeerJoined {
        /// Its name.
        peer: String,
    },
    /// A peer has left, or was closed.
    PeerClosed {
        /// Its name.
        peer: String,
        /// Who did it.
        by: Side,
        /// The application's.
        app_data: Option<Value>,
    },
    /// A transport was made.
    TransportCreated {
        /// Whose.
        peer: String,
        /// The transport.
        id: TransportId,
        /// The application's.
        app_data: Option<Value>,
    },
    /// ICE and DTLS of a transport are up, for the first time or again.
    TransportConnected {
        /// The transport.
        id: TransportId,
    },
    /// A transport hears nothing of its peer any more.
    TransportDisconnected {
        /// The transport.
        id: TransportId,
    },
    /// DTLS of a transport has failed for good.
    TransportFailed {
        /// The transport.
        id: TransportId,
        /// Why.
        cause: DtlsFailure,
    },
    /// The peer ended DTLS (close_notify).
    TransportEnded {
        /// The transport.
        id: TransportId,
    },
    /// RTCP BYE; only with [`report_goodbyes`](super::RoomServerConfig::report_goodbyes).
    Goodbye {
        /// The transport.
        id: TransportId,
        /// The streams that end.
        ssrcs: Vec<u32>,
    },
    /// A transport was closed.
    TransportClosed {
        /// The transport.
        id: TransportId,
        /// Who did it.
        by: Side,
        /// The application's.
        app_data: Option<Value>,
    },
    /// A producer was made.
    ProducerCreated {
        /// Whose.
        peer: String,
        /// The producer.
        id: ProducerId,
        /// Audio or video.
        kind: MediaKind,
        /// Whether its peer has it paused.
        paused: bool,
        /// The application's.
        app_data: Option<Value>,
    },
    /// A producer was paused.
    ProducerPaused {
        /// The producer.
        id: ProducerId,
        /// Who did it.
        by: Side,
        /// The application's.
        app_data: Option<Value>,
    },
    /// A producer was resumed.
    ProducerResumed {
        /// The producer.
        id: ProducerId,
        /// Who did it.
        by: Side,
        /// The application's.
        app_data: Option<Value>,
    },
    /// A producer was closed.
    ProducerClosed {
        /// The producer.
        id: ProducerId,
        /// Who did it.
        by: Side,
        /// The application's.
        app_data: Option<Value>,
        /// The final count.
        encodings: Vec<EncodingCounters>,
    },
}
