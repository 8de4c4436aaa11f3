//! Errors: what is wrong, and what to do.
//!
//! In parentheses stands what mediasoup-client throws for the same.

use std::net::SocketAddr;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::input::{Command, Refusal};
use crate::error::{MediaError, OutputsNotPolled, SetupError};
use crate::id::{ProducerId, TransportId};
use crate::rtp::{Codec, MediaKind};

/// An input that was not accepted. Nothing has changed.
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

/// A command that cannot be done, whichever it was. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum CommandError {
    /// To load a device.
    Load(#[from] LoadError),
    /// To make a transport.
    CreateSendTransport(#[from] CreateSendTransportError),
    /// To make a producer.
    Produce(#[from] ProduceError),
    /// To restart ICE.
    RestartIce(#[from] RestartIceError),
    /// To name an address.
    AddAddress(#[from] AddAddressError),
    /// What can be done to every transport.
    Transport(#[from] TransportError),
    /// To replace a track.
    ReplaceTrack(#[from] ReplaceTrackError),
    /// To bound the spatial layers.
    SetMaxSpatialLayer(#[from] SetMaxSpatialLayerError),
    /// What can be done to every producer.
    Producer(#[from] ProducerError),
}

/// A device cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is already (`InvalidStateError`).
    #[error("the device is loaded already: make another for another router")]
    AlreadyLoaded,
    /// Counted as messages are, they are larger than [`Limits::message_bytes`](crate::Limits::message_bytes).
    #[error("capabilities of {bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Their bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// A transport cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateSendTransportError {
    /// The device is not loaded (`InvalidStateError`).
    #[error("the device is not loaded")]
    NotLoaded,
    /// The parameters have no id (`TypeError`).
    #[error("the transport has no id: give the parameters as the server gave them")]
    EmptyId,
    /// No connection can be made with the parameters, or no certificate on this side.
    #[error("the transport could not be set up: {0}")]
    Setup(SetupError),
    /// Counted as messages are, they are larger than [`Limits::message_bytes`](crate::Limits::message_bytes).
    #[error("parameters of {bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Their bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There are so many already (see [`Limits::transports`](crate::Limits::transports)).
    #[error("the limit of {0} transports is reached")]
    Limit(usize),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// A producer cannot be made. The checks come in this order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// There is no such transport (any more) (`InvalidStateError`).
    #[error("transport {0} is not known or closed")]
    NotFound(TransportId),
    /// The router and we have no codec of this kind in common (`UnsupportedError`).
    #[error("cannot produce {0}: the router has no such codec in common with us")]
    CannotProduce(MediaKind),
    /// The track has ended: it will bring no media (`InvalidStateError`).
    #[error("the track has ended: give a live one")]
    TrackEnded,
    /// mediasoup 3 does not route this codec.
    #[error("mediasoup 3 does not route {0}")]
    UnsupportedCodec(Codec),
    /// The wanted codec is none of those in common of the track's kind (`TypeError`).
    #[error("no matching codec found: take one of the device's sending capabilities for {0}")]
    NoMatchingCodec(MediaKind),
    /// More encodings than one in a codec of which the server takes one stream: it would say that the codec is not supported
    /// for simulcast.
    #[error("the server takes no simulcast of {0}, only of VP8 and H264: give one encoding")]
    NoSimulcast(Codec),
    /// More than the server has spatial layers for.
    #[error("{count} encodings are more than the limit of {limit}")]
    TooManyEncodings {
        /// How many were given.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Spatial layers in two ways: several encodings, and several layers in one. The server refuses both at once.
    #[error("scalability mode {0:?} has several spatial layers in one stream: with several encodings it must have one")]
    SimulcastAndSpatialLayers(String),
    /// Several spatial layers in one stream, which this library does not send.
    #[error("scalability mode {0:?} has several spatial layers in one stream: give several encodings, of VP8 or H264")]
    SpatialLayers(String),
    /// More temporal layers than the server can be told of in this codec: those of VP8 and VP9 stand in their packets, up to
    /// three; those of H264 in a header extension that this library does not send, so that it has one.
    #[error("scalability mode {mode:?} has more temporal layers than the {limit} that can be told of {codec}")]
    TemporalLayers {
        /// The codec.
        codec: Codec,
        /// What was given.
        mode: String,
        /// How many there can be.
        limit: u8,
    },
    /// It does not begin with `L` or `S`, a number, `T` and a number (W3C webrtc-svc section 5).
    #[error("{0:?} is no scalability mode")]
    BadScalabilityMode(String),
    /// There are so many producers already (see [`Limits::producers`](crate::Limits::producers)).
    #[error("the limit of {0} producers is reached")]
    Limit(usize),
    /// So many operations wait for the transport already (see [`Limits::operations`](crate::Limits::operations)).
    #[error("the limit of {0} operations on a transport is reached")]
    Operations(usize),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// ICE cannot be restarted on a transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartIceError {
    /// There is no such transport (any more) (`InvalidStateError`).
    #[error("transport {0} is not known or closed")]
    NotFound(TransportId),
    /// Its DTLS session is over, which new ICE credentials do not bring back.
    #[error("DTLS of transport {0} has failed: make another transport")]
    DtlsFailed(TransportId),
    /// Counted as messages are, they are larger than [`Limits::message_bytes`](crate::Limits::message_bytes).
    #[error("parameters of {bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Their bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// So many operations wait for it already (see [`Limits::operations`](crate::Limits::operations)).
    #[error("the limit of {0} operations on a transport is reached")]
    Limit(usize),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// A transport does not take the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddAddressError {
    /// There is no such transport (any more).
    #[error("transport {0} is not known or closed")]
    NotFound(TransportId),
    /// The address is unspecified, or of a kind that ICE does not take.
    #[error("{0} cannot be a local address: name the address the socket really sends from")]
    BadAddress(SocketAddr),
    /// It has so many already (see [`Limits::local_addresses`](crate::Limits::local_addresses)).
    #[error("the limit of {0} local addresses is reached")]
    Limit(usize),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// Something cannot be done to a transport that can be done to every one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is no such transport (any more).
    #[error("transport {0} is not known or closed")]
    NotFound(TransportId),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// The track of a producer cannot be replaced by this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceTrackError {
    /// There is no such producer (any more) (`InvalidStateError`).
    #[error("producer {0} is not known or closed")]
    NotFound(ProducerId),
    /// The track has ended: it will bring no media (`InvalidStateError`).
    #[error("the track has ended: give a live one")]
    TrackEnded,
    /// A replacement must be of the kind of the producer.
    #[error("a producer of kind {0} cannot send a track of another kind")]
    TrackKind(MediaKind),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// The spatial layers of a producer cannot be bounded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetMaxSpatialLayerError {
    /// There is no such producer (any more) (`InvalidStateError`).
    #[error("producer {0} is not known or closed")]
    NotFound(ProducerId),
    /// Audio has none (`UnsupportedError`).
    #[error("producer {0} is no video producer")]
    NotVideo(ProducerId),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// Something cannot be done to a producer that can be done to every one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// There is no such producer (any more) (`InvalidStateError`, or only a line in the log).
    #[error("producer {0} is not known or closed")]
    NotFound(ProducerId),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// Why an operation that was begun has failed.
///
/// # Late answers
///
/// A `produce` whose request was refused, or not answered in time, is over, and so is its producer. The request is
/// remembered (see [`Limits::late_answers`](crate::Limits::late_answers)): if the server has made the producer all the same,
/// [`Event::Orphan`](super::Event::Orphan) tells its id when the answer comes. A late answer to `connect` is taken as if it had
/// come in time: the server takes no second one.
///
/// When the answer to `connect` is lost for good, the next `produce` asks for it again. If the first had not reached the
/// server, all is well. Else the server refuses: whether it has our side of DTLS cannot be told from its words, so that the
/// transport is closed ([`ConnectLost`](Self::ConnectLost)), and the application makes another. One that knows better, or
/// whose server lets `connect` be repeated, answers [`Connected`](super::Answer::Connected).
///
/// The late answer in this table is to a request that was given up, the other answers are to the oldest that is out:
///
#[doc = include_str!("../../states/v3-late.md")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum OperationError {
    /// The server or the application refused (the application's own error).
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The application did not answer in time (see [`DeviceConfig::request_timeout`](super::DeviceConfig::request_timeout)).
    #[error("{request} was not answered in time")]
    TimedOut {
        /// `connect` or `produce`.
        request: String,
    },
    /// The answer is of no use.
    #[error("the answer makes no sense: {0}")]
    InvalidAnswer(InvalidAnswer),
    /// `connect` was refused after one that was not answered. The transport is
    /// [closed](super::TransportEvent::ConnectLost) with it.
    #[error("connect was refused after one that was not answered, and the transport is closed: make another. {0}")]
    ConnectLost(Refusal),
    /// The transport was closed meanwhile (`AwaitQueueStoppedError`).
    #[error("the transport was closed")]
    TransportClosed,
    /// The producer was closed meanwhile.
    #[error("the producer was closed")]
    ProducerClosed,
    /// The transport could not be set up on this side.
    #[error("the transport could not be set up: {0}")]
    Setup(SetupError),
    /// Too many requests wait for an answer (see [`Limits::pending_requests`](crate::Limits::pending_requests)).
    #[error("{0} requests wait for an answer: the server does not keep up")]
    TooManyRequests(usize),
}

impl OperationError {
    /// Whether the server may have done what it was asked for all the same.
    pub(crate) const fn leaves_open(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::InvalidAnswer(_) => true,
            Self::Refused(_)
            | Self::ConnectLost(_)
            | Self::TransportClosed
            | Self::ProducerClosed
            | Self::Setup(_)
            | Self::TooManyRequests(_) => false,
        }
    }
}

/// Why an answer is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum InvalidAnswer {
    /// It is the answer to another kind of request.
    #[error("it is the answer to another kind of request")]
    Mismatch,
    /// The server has given the producer no id.
    #[error("the producer has no id")]
    EmptyId,
    /// It is larger than [`Limits::message_bytes`](crate::Limits::message_bytes).
    #[error("{bytes} bytes are more than the limit of {limit}")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

/// Too many outputs wait: as the error of a command.
pub(crate) fn outputs_not_polled(error: OutputsNotPolled, command: &Command) -> CommandError {
    match command {
        Command::Load { .. } => LoadError::from(error).into(),
        Command::CreateSendTransport { .. } => CreateSendTransportError::from(error).into(),
        Command::Produce { .. } => ProduceError::from(error).into(),
        Command::RestartIce { .. } => RestartIceError::from(error).into(),
        Command::AddLocalAddress { .. } => AddAddressError::from(error).into(),
        Command::CloseTransport { .. } | Command::RemoveLocalAddress { .. } | Command::SetTransportAppData { .. } => {
            TransportError::from(error).into()
        }
        Command::ReplaceTrack { .. } => ReplaceTrackError::from(error).into(),
        Command::SetMaxSpatialLayer { .. } => SetMaxSpatialLayerError::from(error).into(),
        Command::CloseProducer { .. }
        | Command::Pause { .. }
        | Command::Resume { .. }
        | Command::EndTrack { .. }
        | Command::SetEncodingParameters { .. }
        | Command::SetProducerAppData { .. } => ProducerError::from(error).into(),
    }
}

impl CommandError {
    /// As the error of the command that was given, which has no other.
    pub(crate) fn of<E: TryFrom<Self, Error = Self>>(self) -> E {
        E::try_from(self).unwrap_or_else(|other| unreachable!("a command was refused with another's error: {other:?}"))
    }
}

macro_rules! of_command {
    ($($variant:ident: $error:ty,)*) => {$(
        impl TryFrom<CommandError> for $error {
            type Error = CommandError;

            /// Fails with what it was if another command failed.
            fn try_from(error: CommandError) -> Result<Self, CommandError> {
                if let CommandError::$variant(error) = error { Ok(error) } else { Err(error) }
            }
        }
    )*};
}

of_command! {
    Load: LoadError,
    CreateSendTransport: CreateSendTransportError,
    Produce: ProduceError,
    RestartIce: RestartIceError,
    AddAddress: AddAddressError,
    Transport: TransportError,
    ReplaceTrack: ReplaceTrackError,
    SetMaxSpatialLayer: SetMaxSpatialLayerError,
    Producer: ProducerError,
}
