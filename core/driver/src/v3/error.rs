//! Why a transport could not be made.

use mediasoup_producer::v3::CreateSendTransportError;

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
