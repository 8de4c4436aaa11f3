//! Why runs fail, in a few kinds, to count by.

use mediasoup_producer::v2::{JoinFailure, RequestFailure, SendFailure};
use mediasoup_producer::v3::OperationError;
use mediasoup_producer_tokio::SignallingError;
use serde::{Deserialize, Serialize};

use super::RunError;
use crate::demo::DemoError;

/// Of what kind a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cause {
    /// Nobody answers at the server's address, or no socket can be opened towards it.
    Unreachable,
    /// The server does not take up the connection in time.
    ConnectTimeout,
    /// The server does not want the connection: TLS, an HTTP status, no protoo.
    ConnectRefused,
    /// The connection for signalling is lost.
    SignallingLost,
    /// The server does not answer a request in time.
    RequestTimeout,
    /// The server refuses a request, or its answer makes no sense.
    RequestRefused,
    /// ICE or DTLS do not get through in time.
    MediaTimeout,
    /// The DTLS handshake fails.
    Dtls,
    /// The connection for media is lost.
    MediaLost,
    /// The server closes the room, the transport or a producer.
    ClosedByServer,
    /// Anything else.
    #[serde(other)]
    Other,
}

impl Cause {
    /// As it stands in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect-timeout",
            Self::ConnectRefused => "connect-refused",
            Self::SignallingLost => "signalling-lost",
            Self::RequestTimeout => "request-timeout",
            Self::RequestRefused => "request-refused",
            Self::MediaTimeout => "media-timeout",
            Self::Dtls => "dtls",
            Self::MediaLost => "media-lost",
            Self::ClosedByServer => "closed-by-server",
            Self::Other => "other",
        }
    }
}

impl RunError {
    /// Of what kind it is.
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Connect { error, .. } | Self::Signalling(error) => of_signalling(error),
            Self::Join(JoinFailure::Request(failure)) => of_request(failure),
            Self::Join(JoinFailure::RoomClosed) => Cause::ClosedByServer,
            Self::Join(_) => Cause::Other,
            Self::Send { error: SendFailure::Request(failure), .. } => of_request(failure),
            Self::Send { error: SendFailure::Setup(_), .. } => Cause::Other,
            Self::Send { .. } => Cause::ClosedByServer,
            Self::Demo(DemoError::TimedOut(_)) => Cause::RequestTimeout,
            Self::Demo(DemoError::Refused { .. } | DemoError::Answer { .. }) => Cause::RequestRefused,
            Self::Demo(DemoError::Ended) | Self::Ended => Cause::SignallingLost,
            Self::Produce { error, .. } => of_operation(error),
            Self::Unreachable(_) => Cause::Unreachable,
            Self::NoConnection { .. } => Cause::MediaTimeout,
            Self::ConnectionLost => Cause::MediaLost,
            Self::Dtls(_) => Cause::Dtls,
            Self::RoomClosed | Self::TransportClosed | Self::ProducerClosed(_) => Cause::ClosedByServer,
            Self::Input(_)
            | Self::Source(_)
            | Self::Embedded(_)
            | Self::Record { .. }
            | Self::Page(_)
            | Self::Signals(_)
            | Self::CannotChoose
            | Self::NoInput(_)
            | Self::TooEarly
            | Self::Load(_)
            | Self::Transport(_)
            | Self::Profile { .. }
            | Self::Codec { .. }
            | Self::CannotProduce { .. }
            | Self::Command(_) => Cause::Other,
        }
    }
}

const fn of_signalling(error: &SignallingError) -> Cause {
    match error {
        SignallingError::Unreachable { .. } => Cause::Unreachable,
        SignallingError::ConnectTimeout(_) => Cause::ConnectTimeout,
        SignallingError::InvalidUrl { .. }
        | SignallingError::Tls { .. }
        | SignallingError::Refused { .. }
        | SignallingError::NotProtoo => Cause::ConnectRefused,
        SignallingError::Closed { .. }
        | SignallingError::Broken(_)
        | SignallingError::Silent(_)
        | SignallingError::Overrun(_) => Cause::SignallingLost,
        _ => Cause::Other,
    }
}

const fn of_request(failure: &RequestFailure) -> Cause {
    match failure {
        RequestFailure::TimedOut { .. } => Cause::RequestTimeout,
        RequestFailure::Refused(_) | RequestFailure::InvalidResponse(_) => Cause::RequestRefused,
        RequestFailure::TooManyRequests(_) => Cause::Other,
        #[allow(unreachable_patterns)]
        _ => Cause::Other,
    }
}

const fn of_operation(error: &OperationError) -> Cause {
    match error {
        OperationError::TimedOut { .. } => Cause::RequestTimeout,
        OperationError::Refused(_) | OperationError::InvalidAnswer(_) | OperationError::ConnectLost(_) => {
            Cause::RequestRefused
        }
        OperationError::TransportClosed | OperationError::ProducerClosed => Cause::ClosedByServer,
        OperationError::Setup(_) | OperationError::TooManyRequests(_) => Cause::Other,
        _ => Cause::Other,
    }
}
