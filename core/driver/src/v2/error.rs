//! Why something that takes time came to nothing.

use mediasoup_producer::ConnectionState;
use mediasoup_producer::v2::{Failure, JoinFailure, RestartIceFailure, SendFailure};

use crate::error::Ended;

/// Why something that takes time came to nothing: `C` says why it could not be begun, `F` why it has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error<C, F> {
    /// It could not be begun. Nothing has changed.
    #[error(transparent)]
    Command(C),
    /// It was begun and has failed.
    #[error(transparent)]
    Failed(F),
    /// The room has ended: it was closed, its connection to the server was lost, or the runtime was shut down. Make a
    /// new one.
    #[error("the room has ended: make a new one")]
    Stopped,
}

/// Why a transport is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectedError {
    /// It is in a state from which it does not connect by itself: closed or failed.
    #[error("the transport is {0}")]
    State(ConnectionState),
    /// The room has ended.
    #[error("the room has ended: make a new one")]
    Stopped,
}

macro_rules! from_ended {
    ($($of:ident: $failure:ty,)*) => {$(
        impl<C> From<Ended<C, Failure>> for Error<C, $failure> {
            fn from(ended: Ended<C, Failure>) -> Self {
                match ended {
                    Ended::NotBegun(error) => Self::Command(error),
                    Ended::Failed(Failure::$of(failure)) => Self::Failed(failure),
                    // A room settles an operation as what it is.
                    Ended::Failed(_) | Ended::Stopped => Self::Stopped,
                }
            }
        }
    )*};
}

from_ended! {
    Join: JoinFailure,
    Send: SendFailure,
    RestartIce: RestartIceFailure,
}
