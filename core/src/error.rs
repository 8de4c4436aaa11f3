//! Errors that both dialects have: what is wrong, and what to do.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::id::ProducerId;
use crate::media::PacketizeError;
use crate::rtp::Codec;

/// Too many outputs wait (see [`Limits::outputs`](crate::Limits::outputs)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} outputs wait: poll them before the next command")]
pub struct OutputsNotPolled(pub usize);

/// Why a transport could not be set up on this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "String", try_from = "String"))]
#[non_exhaustive]
pub enum SetupError {
    /// The cryptography gave none.
    #[error("no DTLS certificate could be made")]
    NoCertificate,
    /// Another hash may be there, but this is the one that is checked (RFC 8122 section 5).
    #[error("the server gave no sha-256 fingerprint")]
    NoFingerprint,
    /// It is not hexadecimal bytes with colons.
    #[error("the server's sha-256 fingerprint cannot be read")]
    BadFingerprint,
    /// None can be read as a candidate (RFC 8839 section 5.1).
    #[error("the server gave no address that ICE takes")]
    NoAddress,
}

impl SetupError {
    const ALL: [Self; 4] = [Self::NoCertificate, Self::NoFingerprint, Self::BadFingerprint, Self::NoAddress];
}

/// A text that is none of this error's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an error of this library: {0:?}")]
pub struct UnknownError(pub(crate) String);

// In recordings errors stand with their words.

impl From<SetupError> for String {
    fn from(error: SetupError) -> Self {
        error.to_string()
    }
}

impl TryFrom<String> for SetupError {
    type Error = UnknownError;

    fn try_from(words: String) -> Result<Self, UnknownError> {
        Self::ALL.into_iter().find(|error| error.to_string() == words).ok_or(UnknownError(words))
    }
}

/// Media that was not taken. It is not sent later either.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaError {
    /// There is no such producer (any more).
    #[error("producer {0} is not known or closed")]
    ProducerNotFound(ProducerId),
    /// It is not sent over a transport.
    #[error("producer {0} has no transport: send it over one first")]
    Unhandled(ProducerId),
    /// It is paused, by this side or the server.
    #[error("producer {0} is paused: encode nothing until it is resumed")]
    Paused(ProducerId),
    /// The server has not answered yet, and would drop what it cannot assign. A key frame is asked for when it has.
    #[error("producer {0} is not known to the server yet: wait for the key frame request")]
    NotProduced(ProducerId),
    /// It has no track.
    #[error("producer {0} has no track: give it one first")]
    NoTrack(ProducerId),
    /// This layer is not active. A key frame is asked for when it is.
    #[error("layer {layer} of producer {producer} is not active: encode nothing for it")]
    Inactive {
        /// The producer.
        producer: ProducerId,
        /// What was given.
        layer: usize,
    },
    /// Its transport is not connected yet. A key frame is asked for as soon as it is.
    #[error("the transport of producer {0} is not connected yet: wait for the key frame request")]
    NotConnected(ProducerId),
    /// It has no such layer.
    #[error("producer {producer} has no layer {layer}: they are counted from 0, as its options say")]
    UnknownLayer {
        /// The producer.
        producer: ProducerId,
        /// What was given.
        layer: usize,
    },
    /// A frame of this layer was refused before, and this one decodes against it. A key frame is asked for
    /// ([`ProducerEvent::KeyFrameRequest`](crate::v2::ProducerEvent::KeyFrameRequest)); until it comes, others are refused.
    #[error("a frame of producer {producer}, layer {layer}, was refused: only a key frame can follow it")]
    KeyFrameNeeded {
        /// The producer.
        producer: ProducerId,
        /// The layer.
        layer: usize,
    },
    /// Its [temporal layer](crate::Frame::temporal_layer) is none of those that its encoding was
    /// [declared](crate::v3::EncodingOptions::scalability_mode) to have. A key frame, and any frame of another codec than VP8,
    /// is of the base layer.
    #[error("a frame of temporal layer {given}, where encoding {layer} of producer {producer} can have {declared}")]
    TemporalLayer {
        /// The producer.
        producer: ProducerId,
        /// The encoding.
        layer: usize,
        /// What was given.
        given: u8,
        /// How many there can be.
        declared: u8,
    },
    /// Its encoding was [declared](crate::v3::EncodingOptions::scalability_mode) to have several temporal layers, and it does
    /// not say of which it is.
    #[error(
        "the frame must say its temporal layer: encoding {layer} of producer {producer} was declared to have {declared}"
    )]
    NoTemporalLayer {
        /// The producer.
        producer: ProducerId,
        /// The encoding.
        layer: usize,
        /// How many were declared.
        declared: u8,
    },
    /// Longer than [`Limits::frame_bytes`](crate::Limits::frame_bytes), or a packet that fits no datagram.
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It is not what its codec says.
    #[error("not a {codec} frame: {error}")]
    Malformed {
        /// The producer's codec.
        codec: Codec,
        /// What is wrong.
        error: PacketizeError,
    },
    /// Ready-made packets must carry something.
    #[error("the RTP packet has no payload")]
    EmptyPacket,
    /// A packet whose sequence number went out before.
    #[error("an RTP packet that was handed in before, or that comes too late")]
    DuplicatePacket,
    /// A packet whose sequence number is far from those before it: late by a hundred or more, or the first of a source that
    /// began anew. If the next one is in sequence with it, the source did, and that is taken (RFC 3550 appendix A.1).
    #[error("an RTP packet far out of sequence: the next one tells whether its source began anew")]
    OutOfSequence,
    /// Too many packets wait to leave (see [`Limits::packets_waiting`](crate::Limits::packets_waiting)).
    #[error("{0} packets wait to leave: let time go on before handing in more")]
    TooManyPackets(usize),
    /// So many datagrams of its transport wait for sockets that take no more (see
    /// [`Transport::set_backlog`](crate::v2::Transport::set_backlog)).
    #[error("{0} datagrams wait for a socket that takes no more: encode less")]
    Blocked(usize),
    /// Too many outputs wait (see [`Limits::outputs`](crate::Limits::outputs)).
    #[error("{0} outputs wait: poll them before handing in more")]
    OutputsNotPolled(usize),
}

impl MediaError {
    pub(crate) const fn is_key_frame_needed(&self) -> bool {
        matches!(self, Self::KeyFrameNeeded { .. })
    }
}
