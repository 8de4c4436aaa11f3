//! Why something that takes time came to nothing.

use mediasoup_producer::ConnectionState;
use mediasoup_producer::v3::{CreateSendTransportError, OperationError};

use crate::error::Ended;

/// Why what takes time came to nothing; `E` says why it could not be begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// It could not be begun. Nothing has changed.
    #[error(transparent)]
    NotBegun(E),
    /// It was begun and has failed.
    #[error(transparent)]
    Failed(OperationError),
    /// The device has ended: it was closed, its channel to the server was lost, or the runtime was shut down. Make a new one.
    #[error("the device has ended: make a new one")]
    Stopped,
}

impl<E> From<Ended<E, OperationError>> for Error<E> {
    fn from(ended: Ended<E, OperationError>) -> Self {
        match ended {
            Ended::NotBegun(error) => Self::NotBegun(error),
            Ended::Failed(error) => Self::Failed(error),
            Ended::Stopped => Self::Stopped,
        }
    }
}

/// A transport could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateTransportError {
    /// By the device.
    #[error(transparent)]
    Device(#[from] CreateSendTransportError),
    /// The server has no address but names that the system cannot look up.
    #[error("no address of the server is known: {host} was not found: {reason}")]
    Unresolved {
        /// The last of the names.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// The device has ended. Make a new one.
    #[error("the device has ended: make a new one")]
    Stopped,
}

/// A transport does not connect by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// It is in a state from which it does not: closed or failed.
    #[error("the transport is {0}")]
    Connection(ConnectionState),
    /// The device has ended. Make a new one.
    #[error("the device has ended: make a new one")]
    Stopped,
}
