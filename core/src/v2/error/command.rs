//! Why a command was refused: an error for each, or for those that fail alike.

use std::net::SocketAddr;

use crate::error::OutputsNotPolled;
use crate::id::{ProducerId, TransportId};
use crate::rtp::{Codec, MediaKind};
use crate::v2::input::Command;
use crate::v2::join::RoomState;

/// A command that cannot be done, whichever it was. Nothing has changed.
///
/// For those who hand in a [`Command`] with [`Room::handle_input`](crate::v2::Room::handle_input), or do several things
/// and want one error of all: each typed method's error becomes this with `?`. How each can fail, and no way else:
///
/// ```
/// use mediasoup_producer::OutputsNotPolled;
/// use mediasoup_producer::v2::*;
///
/// fn join(error: JoinError) {
///     match error {
///         JoinError::RoomState(_) | JoinError::EmptyPeerName | JoinError::OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn leave_and_restart_every_ice(error: RoomError) {
///     match error {
///         RoomError::RoomState(_) | RoomError::OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn create_transport(error: CreateTransportError) {
///     use CreateTransportError::*;
///     match error {
///         RoomState(_) | Spy | Limit(_) | OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn create_producer(error: CreateProducerError) {
///     use CreateProducerError::*;
///     match error {
///         RoomState(_) | Spy | TrackEnded | OptionsMismatch(_) | CannotSend { .. } | Limit(_) | OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn close_stats_and_data_of_a_transport(error: TransportError) {
///     match error {
///         TransportError::NotFound(_) | TransportError::OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn add_local_address(error: AddAddressError) {
///     use AddAddressError::*;
///     match error {
///         NotFound(_) | BadAddress(_) | Limit(_) | OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn restart_ice_of_a_transport(error: RestartIceError) {
///     use RestartIceError::*;
///     match error {
///         NotFound(_) | NotStarted(_) | Limit(_) | OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn pause_resume_close_end_track_stats_and_data_of_a_producer(error: ProducerError) {
///     match error {
///         ProducerError::NotFound(_) | ProducerError::OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn send(error: SendError) {
///     use SendError::*;
///     match error {
///         ProducerNotFound(_) | AlreadyHandled(_) | TransportNotFound(_) | Limit(_) | OutputsNotPolled(_) => {}
///     }
/// }
///
/// fn replace_track(error: ReplaceTrackError) {
///     use ReplaceTrackError::*;
///     match error {
///         NotFound(_) | TrackEnded | TrackKind(_) | OutputsNotPolled(_) => {}
///     }
/// }
///
/// // And `remote_close` with nothing but this.
/// fn remote_close(error: OutputsNotPolled) {
///     let OutputsNotPolled(_) = error;
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
#[non_exhaustive]
pub enum CommandError {
    /// To join.
    Join(#[from] JoinError),
    /// To leave, or to restart ICE everywhere.
    Room(#[from] RoomError),
    /// To say that the connection to the server is lost.
    RemoteClose(#[from] OutputsNotPolled),
    /// To make a transport.
    CreateTransport(#[from] CreateTransportError),
    /// To make a producer.
    CreateProducer(#[from] CreateProducerError),
    /// What can be done to every transport.
    Transport(#[from] TransportError),
    /// To name an address.
    AddAddress(#[from] AddAddressError),
    /// To restart ICE on a transport.
    RestartIce(#[from] RestartIceError),
    /// What can be done to every producer.
    Producer(#[from] ProducerError),
    /// To send a producer.
    Send(#[from] SendError),
    /// To replace a track.
    ReplaceTrack(#[from] ReplaceTrackError),
}

/// The room cannot be joined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// It was joined, or is being joined: leave first.
    #[error("not possible while the room is {0}")]
    RoomState(RoomState),
    /// A peer needs a name.
    #[error("the peer name is empty")]
    EmptyPeerName,
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// The room cannot be left, or ICE not restarted everywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoomError {
    /// It was not joined: join first.
    #[error("not possible while the room is {0}")]
    RoomState(RoomState),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// No transport can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateTransportError {
    /// The room was not joined: join first.
    #[error("not possible while the room is {0}")]
    RoomState(RoomState),
    /// A spy cannot send.
    #[error("a spy cannot send: join without the spy option")]
    Spy,
    /// There are so many already (see [`Limits::transports`](crate::Limits::transports)).
    #[error("the limit of {0} transports is reached")]
    Limit(usize),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// No producer can be made of the track.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateProducerError {
    /// The room was not joined: join first.
    #[error("not possible while the room is {0}")]
    RoomState(RoomState),
    /// A spy cannot send.
    #[error("a spy cannot send: join without the spy option")]
    Spy,
    /// The track has ended: it will bring no media.
    #[error("the track has ended: give a live one")]
    TrackEnded,
    /// The wanted codec is of the other kind.
    #[error("these options are not for a track of kind {0}")]
    OptionsMismatch(MediaKind),
    /// The room has no codec of this kind, or not the wanted one, that we could send.
    #[error("cannot send {}: the room has no such codec in common with us", codec.map_or(kind.as_str(), Codec::name))]
    CannotSend {
        /// The kind of the track.
        kind: MediaKind,
        /// The wanted codec, if the options name one.
        codec: Option<Codec>,
    },
    /// There are so many already (see [`Limits::producers`](crate::Limits::producers)).
    #[error("the limit of {0} producers is reached")]
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

/// ICE cannot be restarted on a transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestartIceError {
    /// There is no such transport (any more).
    #[error("transport {0} is not known or closed")]
    NotFound(TransportId),
    /// The transport has nothing to restart yet.
    #[error("transport {0} was not connected yet: send a producer over it first")]
    NotStarted(TransportId),
    /// So many operations wait for it already (see [`Limits::operations`](crate::Limits::operations)).
    #[error("the limit of {0} operations on a transport is reached")]
    Limit(usize),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// Something cannot be done to a producer that can be done to every one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// There is no such producer (any more).
    #[error("producer {0} is not known or closed")]
    NotFound(ProducerId),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// A producer cannot be sent over a transport.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no such producer (any more).
    #[error("producer {0} is not known or closed")]
    ProducerNotFound(ProducerId),
    /// The producer has a transport already.
    #[error("producer {0} is already sent over a transport: close that first")]
    AlreadyHandled(ProducerId),
    /// There is no such transport (any more).
    #[error("transport {0} is not known or closed")]
    TransportNotFound(TransportId),
    /// So many operations wait for it already (see [`Limits::operations`](crate::Limits::operations)).
    #[error("the limit of {0} operations on a transport is reached")]
    Limit(usize),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

/// The track of a producer cannot be replaced by this one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceTrackError {
    /// There is no such producer (any more).
    #[error("producer {0} is not known or closed")]
    NotFound(ProducerId),
    /// The track has ended: it will bring no media.
    #[error("the track has ended: give a live one")]
    TrackEnded,
    /// A replacement must be of the kind of the producer.
    #[error("a producer of kind {0} cannot send a track of another kind")]
    TrackKind(MediaKind),
    /// Too many outputs wait.
    #[error(transparent)]
    OutputsNotPolled(#[from] OutputsNotPolled),
}

impl From<ProducerError> for ReplaceTrackError {
    fn from(error: ProducerError) -> Self {
        match error {
            ProducerError::NotFound(id) => Self::NotFound(id),
            ProducerError::OutputsNotPolled(error) => Self::OutputsNotPolled(error),
        }
    }
}

impl OutputsNotPolled {
    /// As the error of a command.
    pub(crate) fn of(self, command: &Command) -> CommandError {
        match command {
            Command::Join { .. } => JoinError::from(self).into(),
            Command::Leave { .. } | Command::RestartIce => RoomError::from(self).into(),
            Command::RemoteClose { .. } => self.into(),
            Command::CreateTransport { .. } => CreateTransportError::from(self).into(),
            Command::CreateProducer { .. } => CreateProducerError::from(self).into(),
            Command::CloseTransport { .. }
            | Command::EnableTransportStats { .. }
            | Command::DisableTransportStats { .. }
            | Command::SetTransportAppData { .. }
            | Command::RemoveLocalAddress { .. } => TransportError::from(self).into(),
            Command::AddLocalAddress { .. } => AddAddressError::from(self).into(),
            Command::RestartTransportIce { .. } => RestartIceError::from(self).into(),
            Command::CloseProducer { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::EndTrack { .. }
            | Command::EnableProducerStats { .. }
            | Command::DisableProducerStats { .. }
            | Command::SetProducerAppData { .. } => ProducerError::from(self).into(),
            Command::Send { .. } => SendError::from(self).into(),
            Command::ReplaceTrack { .. } => ReplaceTrackError::from(self).into(),
        }
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
    Join: JoinError,
    Room: RoomError,
    RemoteClose: OutputsNotPolled,
    CreateTransport: CreateTransportError,
    CreateProducer: CreateProducerError,
    Transport: TransportError,
    AddAddress: AddAddressError,
    RestartIce: RestartIceError,
    Producer: ProducerError,
    Send: SendError,
    ReplaceTrack: ReplaceTrackError,
}
