//! Words that both dialects have for what happens.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Originator {
    /// This side.
    Local,
    /// The server.
    Remote,
}

/// State of a transport's connection, as mediasoup-client v2 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ConnectionState {
    /// Nothing was sent over it yet.
    New,
    /// ICE or DTLS is under way.
    Connecting,
    /// Media flows.
    Connected,
    /// It did not connect; [`restart_ice`](crate::v2::Transport::restart_ice) may help.
    Failed,
    /// It was connected, and the server is not heard any more.
    Disconnected,
    /// It was closed.
    Closed,
}

impl ConnectionState {
    /// mediasoup-client's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
            Self::Closed => "closed",
        }
    }
}

impl std::fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
