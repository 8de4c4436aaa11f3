//! Errors: what is wrong, and what to do.

mod command;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::error::{MediaError, SetupError, UnknownError};
use crate::v2::protocol::{MessageError, Refusal};

pub use command::{
    AddAddressError, CommandError, CreateProducerError, CreateTransportError, JoinError, ProducerError,
    ReplaceTrackError, RestartIceError, RoomError, SendError, TransportError,
};

/// An input that was not accepted. Nothing has changed.
///
/// Only what the application hands in can fail so: what comes from the network is never an error, but dropped and
/// counted (see [`RoomStats`](crate::v2::stats::RoomStats)).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Media.
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// Why something that takes time came to nothing: what [`Event::Settled`](crate::v2::Event::Settled) tells.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[error(transparent)]
pub enum Failure {
    /// [`Room::join`](crate::v2::Room::join).
    Join(#[from] JoinFailure),
    /// [`Producer::send`](crate::v2::Producer::send).
    Send(#[from] SendFailure),
    /// [`Transport::restart_ice`](crate::v2::Transport::restart_ice), and
    /// [`Room::restart_ice`](crate::v2::Room::restart_ice) for each transport.
    RestartIce(#[from] RestartIceFailure),
}

impl Failure {
    /// The request that has failed, if that is why.
    pub const fn request(&self) -> Option<&RequestFailure> {
        match self {
            Self::Join(JoinFailure::Request(failure))
            | Self::Send(SendFailure::Request(failure))
            | Self::RestartIce(RestartIceFailure::Request(failure)) => Some(failure),
            Self::Join(_) | Self::Send(_) | Self::RestartIce(_) => None,
        }
    }
}

/// Why the room was not joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum JoinFailure {
    /// The room has mandatory codecs that we do not support.
    #[error("the room demands codecs that this library does not have: {}", .0.join(", "))]
    MandatoryCodecs(Vec<String>),
    /// The room was closed meanwhile.
    #[error("the room was closed")]
    RoomClosed,
    /// `queryRoom` or `join` has failed.
    #[error(transparent)]
    #[cfg_attr(feature = "serde", serde(untagged))]
    Request(#[from] RequestFailure),
}

/// Why a producer was not sent. It can be sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum SendFailure {
    /// The room was closed meanwhile.
    #[error("the room was closed")]
    RoomClosed,
    /// The transport was closed meanwhile.
    #[error("the transport was closed")]
    TransportClosed,
    /// The producer was closed meanwhile.
    #[error("the producer was closed")]
    ProducerClosed,
    /// The transport could not be set up on this side.
    #[error("the transport could not be set up: {0}")]
    Setup(SetupError),
    /// `createTransport` or `createProducer` has failed.
    #[error(transparent)]
    #[cfg_attr(feature = "serde", serde(untagged))]
    Request(#[from] RequestFailure),
}

/// Why ICE was not restarted. Media goes on as it can.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum RestartIceFailure {
    /// The room was closed meanwhile.
    #[error("the room was closed")]
    RoomClosed,
    /// The transport was closed meanwhile, or came to nothing.
    #[error("the transport was closed")]
    TransportClosed,
    /// `restartTransport` has failed.
    #[error(transparent)]
    #[cfg_attr(feature = "serde", serde(untagged))]
    Request(#[from] RequestFailure),
}

/// Why a request to the server has failed.
///
/// # Late answers
///
/// The server makes transports and producers in a process of its own, and finds them only once that has answered: a close
/// that comes sooner is lost. So a transport or producer that is closed while it is being made is closed here at once, and
/// the server is told when it has answered, or when the time is over.
///
/// An operation that [timed out](Self::TimedOut) is over, but its request is remembered (see
/// [`Limits::late_answers`](crate::Limits::late_answers)), for the server may do it yet. What it makes is closed when
/// the time is over, in case that only the answer is lost, and once more when the answer comes, unless it is in use by then.
/// New ICE credentials are taken up whenever they come: the server takes no others. Everything can be tried again at
/// once, under the same id: if the server refuses that, what an older request has made is closed, and it is asked once more
/// before the refusal counts. Answers from before the room was closed mean nothing.
///
/// A server that gives up on its own worker (mediasoup does after 20 s) refuses, and may keep what its worker makes later
/// where nobody can close it. The id stays refused then, and what is tried again gets another one at the server.
///
/// The answer in this table is to the oldest request that has none:
///
#[doc = include_str!("../../states/late.md")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum RequestFailure {
    /// The server refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server did not answer in time (see [`RoomConfig::request_timeout`](crate::v2::RoomConfig::request_timeout)). What it
    /// does later is dealt with as said above; the same can be tried again at once.
    #[error("the server did not answer {method} in time")]
    TimedOut {
        /// The request.
        method: String,
    },
    /// The server's answer could not be read.
    #[error("the server's answer makes no sense: {0}")]
    InvalidResponse(InvalidResponse),
    /// Too many requests wait for an answer (see [`Limits::pending_requests`](crate::Limits::pending_requests)).
    #[error("{0} requests wait for an answer: the server does not keep up")]
    TooManyRequests(usize),
}

/// Why an answer of the server is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "String", try_from = "String"))]
#[non_exhaustive]
pub enum InvalidResponse {
    /// A field is missing or of the wrong type.
    #[error("malformed {method}: {what}")]
    Malformed {
        /// The request that was answered.
        method: String,
        /// What is wrong.
        what: String,
    },
    /// It is larger than [`Limits::message_bytes`](crate::Limits::message_bytes).
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Its bytes, counted as the limit counts them.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

// In recordings errors stand with their words.

impl From<MessageError> for InvalidResponse {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Field { method, what } => Self::Malformed { method, what },
            MessageError::Shape(what) => Self::Malformed { method: "answer".to_owned(), what: what.to_owned() },
        }
    }
}

impl From<InvalidResponse> for String {
    fn from(error: InvalidResponse) -> Self {
        error.to_string()
    }
}

impl TryFrom<String> for InvalidResponse {
    type Error = UnknownError;

    fn try_from(words: String) -> Result<Self, UnknownError> {
        let malformed = || {
            let (method, what) = words.strip_prefix("malformed ")?.split_once(": ")?;
            Some(Self::Malformed { method: method.to_owned(), what: what.to_owned() })
        };
        let too_large = || {
            let (bytes, limit) = words.split_once(" bytes are more than the limit of ")?;
            Some(Self::TooLarge { bytes: bytes.parse().ok()?, limit: limit.parse().ok()? })
        };
        malformed().or_else(too_large).ok_or(UnknownError(words))
    }
}
