//! Errors: what is wrong, and what to do.

use std::time::Duration;

use mediasoup_producer::ConnectionState;

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
    /// The room or device has ended: it was closed, its connection to the server was lost, or the runtime was shut down. Make a
    /// new one.
    #[error("it has ended: make a new one")]
    Stopped,
}

/// Why a transport is not connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectedError {
    /// It is in a state from which it does not connect by itself: closed or failed.
    #[error("the transport is {0}")]
    State(ConnectionState),
    /// The room or device has ended.
    #[error("it has ended: make a new one")]
    Stopped,
}

/// What is wrong with the connection to the server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignallingError {
    /// Not a URL of a WebSocket.
    #[error(
        "{url} is not the URL of a room: {reason}; it looks like wss://host:3443/?roomId=R&peerName=P, or with mediasoup 3 \
         like wss://host:4443/?roomId=R&peerId=P"
    )]
    InvalidUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers at this address.
    #[error("cannot connect to {host}: {reason}; is the server running there?")]
    Unreachable {
        /// Host and port.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// TLS could not be set up; for a self-signed certificate see
    /// `v2::ProtooConnector::accept_any_certificate`.
    #[error("no TLS with {host}: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// What is wrong.
        reason: String,
    },
    /// The server answered with something else than a WebSocket.
    #[error("the server refused the WebSocket: HTTP status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The server speaks WebSocket, but not the sub-protocol `protoo`.
    #[error("the server does not speak protoo: is this the URL of a mediasoup room?")]
    NotProtoo,
    /// The connection was not set up in time.
    #[error("the server did not take up the connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The server closed the connection.
    #[error("the server closed the connection{}", .reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Closed {
        /// Its words, if it gave any.
        reason: Option<String>,
    },
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Broken(String),
    /// Nothing was heard from the server, not even the answer to a ping.
    #[error("nothing was heard from the server for {0:?}")]
    Silent(Duration),
    /// The server does not read what it is sent.
    #[error("{0} messages wait for the server: it does not read them")]
    Overrun(usize),
}
