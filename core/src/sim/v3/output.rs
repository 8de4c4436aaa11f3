//! What comes out of a router.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::connection::engine::crypto::DtlsFailure;
use crate::media::{AudioLevel, Rotation};
use crate::net::Transmit;
use crate::rtp::Codec;
use crate::sim::StreamCounters;

/// Something to be acted on, from [`Router::poll_output`](super::Router::poll_output).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RouterOutput {
    /// A datagram to be sent.
    Transmit(Transmit),
    /// A packet was received; only with [`forward_media`](super::RouterConfig::forward_media).
    Rtp(ReceivedPacket),
    /// Something the application may want to know.
    Event(RouterEvent),
}

/// An RTP packet that a router received: each once, and in the order of arrival, which retransmission upsets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReceivedPacket {
    /// What it came over.
    pub transport: Arc<str>,
    /// Whose it is.
    pub producer: Arc<str>,
    /// The producer's codec; none: one that this library does not send.
    pub codec: Option<Codec>,
    /// Which of the producer's encodings, counted from 0.
    pub layer: usize,
    /// The stream: that of the encoding, for a packet that came by way of its RTX stream too.
    pub ssrc: u32,
    /// The router's payload type for the codec.
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

/// One encoding of a producer as the router counts it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EncodingCounters {
    /// Its place among the producer's encodings, counted from 0: the real router's spatial layer.
    pub layer: usize,
    /// Its RTP stream id, if it was signalled.
    pub rid: Option<String>,
    /// Its stream; none before the first packet.
    pub ssrc: Option<u32>,
    /// The stream that repairs it; none if there is none, or it was not heard of yet.
    pub rtx_ssrc: Option<u32>,
    /// What came.
    pub received: StreamCounters,
}

/// Something the application that owns a router may want to know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RouterEvent {
    /// ICE and DTLS of a transport are up, for the first time or again.
    TransportConnected {
        /// The transport.
        id: Arc<str>,
    },
    /// A transport hears nothing of its peer any more.
    TransportDisconnected {
        /// The transport.
        id: Arc<str>,
    },
    /// DTLS of a transport has failed for good.
    TransportFailed {
        /// The transport.
        id: Arc<str>,
        /// Why.
        cause: DtlsFailure,
    },
    /// The peer ended DTLS (close_notify).
    TransportEnded {
        /// The transport.
        id: Arc<str>,
    },
    /// RTCP BYE; only with [`report_goodbyes`](super::RouterConfig::report_goodbyes).
    Goodbye {
        /// The transport.
        id: Arc<str>,
        /// The streams that end.
        ssrcs: Vec<u32>,
    },
    /// The first packet of an encoding has come.
    StreamStarted {
        /// The producer.
        producer: Arc<str>,
        /// The encoding, counted from 0.
        layer: usize,
        /// The stream.
        ssrc: u32,
    },
    /// A producer was closed; its transport may have been.
    ProducerClosed {
        /// The producer.
        id: Arc<str>,
        /// The final count.
        encodings: Vec<EncodingCounters>,
    },
}
