//! Why a router refuses.

/// A refusal: mediasoup's class of error, with its words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// `TypeError`: what was given is wrong in itself.
    #[error("{0}")]
    Type(String),
    /// `UnsupportedError`: the router does not have what it would take.
    #[error("{0}")]
    Unsupported(String),
    /// `NotFoundError`: there is no such thing (any more).
    #[error("{0}")]
    NotFound(String),
    /// `Error`: all else.
    #[error("{0}")]
    Other(String),
}

impl RouterError {
    /// The name of mediasoup's class.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Type(_) => "TypeError",
            Self::Unsupported(_) => "UnsupportedError",
            Self::NotFound(_) => "NotFoundError",
            Self::Other(_) => "Error",
        }
    }

    pub(super) fn type_error(words: impl Into<String>) -> Self {
        Self::Type(words.into())
    }

    pub(super) fn no_transport(id: &str) -> Self {
        Self::NotFound(format!("WebRtcTransport with id \"{id}\" not found"))
    }

    pub(super) fn no_producer(id: &str) -> Self {
        Self::NotFound(format!("Producer with id \"{id}\" not found"))
    }
}
