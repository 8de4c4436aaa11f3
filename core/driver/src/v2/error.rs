//! Why something that takes time came to nothing.

use mediasoup_producer::v2::{
    AddAddressError, CommandError, CreateProducerError, CreateTransportError, JoinError, OperationError, ProducerError,
    ReplaceTrackError, RestartIceError, RoomError, SendError, TransportError,
};
use mediasoup_producer::{ConnectionState, OutputsNotPolled};

use crate::error::Ended;

/// Why something that takes time (join, send, ICE restart, waiting for a connection) came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It could not be begun. Nothing has changed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It was begun and has failed.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The transport is in a state from which it does not connect by itself: closed or failed.
    #[error("the transport is {0}")]
    Connection(ConnectionState),
    /// The room has ended: it was closed, its connection to the server was lost, or the runtime was shut down. Make a
    /// new one.
    #[error("the room has ended: make a new one")]
    Stopped,
}

macro_rules! from_command {
    ($($error:ty,)*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Command(error.into())
            }
        }
    )*};
}

from_command! {
    JoinError,
    RoomError,
    OutputsNotPolled,
    CreateTransportError,
    CreateProducerError,
    TransportError,
    AddAddressError,
    RestartIceError,
    ProducerError,
    SendError,
    ReplaceTrackError,
}

impl<B: Into<CommandError>> From<Ended<B, OperationError>> for Error {
    fn from(ended: Ended<B, OperationError>) -> Self {
        match ended {
            Ended::NotBegun(error) => Self::Command(error.into()),
            Ended::Failed(error) => Self::Operation(error),
            Ended::Stopped => Self::Stopped,
        }
    }
}
