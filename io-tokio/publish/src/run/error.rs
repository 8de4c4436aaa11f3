//! Why a run failed: one line each, what is wrong and what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mediasoup_producer::v2::{
    AddAddressError, CommandError, CreateProducerError, CreateTransportError, JoinError, JoinFailure, ProducerError,
    ReplaceTrackError, RequestFailure, RestartIceError, RoomError, SendError, SendFailure, TransportError,
};
use mediasoup_producer::{Codec, DtlsFailure, MediaKind};
use mediasoup_producer_tokio::SignallingError;
use mediasoup_producer_tokio::v2::Error;

use crate::embedded::StartError;
use crate::input::InputError;
use crate::page::OpenError;
use crate::source::SourceError;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// What is to be published.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file went wrong while it was played.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The embedded room.
    #[error(transparent)]
    Embedded(#[from] StartError),
    /// The recording.
    #[error("cannot record to {}: {source}; name a file in a folder that can be written to", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// The page.
    #[error(transparent)]
    Page(#[from] OpenError),
    /// Signals of the operating system.
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    /// There is no connection to the server.
    #[error("{}", connecting(.0))]
    Connect(SignallingError),
    /// The connection to the server was lost.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// The run was ended before anything was sent.
    #[error("ended before anything was sent")]
    TooEarly,
    /// The room does not let us in.
    #[error("cannot join the room: {}{}", .0, join_advice(.0))]
    Join(JoinFailure),
    /// The room has no such codec.
    #[error("the room takes no {codec}; give {kind} in a codec it takes, or another room")]
    Codec {
        /// The codec of the input.
        codec: Codec,
        /// Its kind.
        kind: MediaKind,
    },
    /// The room does not take a track.
    #[error("the room does not take our {kind}: {}{}", .error, send_advice(.error))]
    Send {
        /// The track.
        kind: MediaKind,
        /// Why.
        error: SendFailure,
    },
    /// Something could not even be begun.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The server cannot be reached with media.
    #[error(
        "no media connection to the server within {waited:?}; it offered {offered}: are these addresses reachable from \
         here, and open in every firewall?"
    )]
    NoConnection {
        /// How long it was tried.
        waited: Duration,
        /// The server's addresses.
        offered: String,
    },
    /// The media connection was lost.
    #[error("the media connection to the server was lost")]
    ConnectionLost,
    /// No socket towards the server's addresses.
    #[error("no socket towards the server's addresses: {0}; check the network and the server's announced addresses")]
    Unreachable(String),
    /// DTLS failed.
    #[error("{}", dtls(.0))]
    Dtls(DtlsFailure),
    /// The server has closed the room or sent us away.
    #[error("the server closed the room")]
    RoomClosed,
    /// The server has closed our transport.
    #[error("the server closed our transport")]
    TransportClosed,
    /// The server has closed a producer.
    #[error("the server closed our {0}")]
    ProducerClosed(MediaKind),
    /// The room has ended on our side.
    #[error("the connection to the server has ended")]
    Ended,
}

impl RunError {
    /// Whether what was commanded had ended already. The event that says why comes after it.
    pub(super) const fn is_overtaken(&self) -> bool {
        matches!(self, Self::Command(error) if overtaken(error))
    }

    /// Whether the same may go well later.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Input(_)
            | Self::Source(_)
            | Self::Embedded(_)
            | Self::Record { .. }
            | Self::Page(_)
            | Self::Signals(_)
            | Self::TooEarly
            | Self::Codec { .. } => false,
            Self::Dtls(failure) => match failure {
                DtlsFailure::WeakCertificate { .. } | DtlsFailure::FingerprintMismatch | DtlsFailure::NoSrtpProfile => {
                    false
                }
                // A server that restarts, a network that loses: the next handshake is another.
                _ => true,
            },
            Self::Command(error) => overtaken(error),
            Self::Connect(_)
            | Self::Signalling(_)
            | Self::Join(_)
            | Self::Send { .. }
            | Self::NoConnection { .. }
            | Self::ConnectionLost
            | Self::Unreachable(_)
            | Self::RoomClosed
            | Self::TransportClosed
            | Self::ProducerClosed(_)
            | Self::Ended => true,
        }
    }

    /// What is wrong, and what to do where `--reconnect` does not do it already.
    pub(super) fn with_remedy(&self, reconnect: bool) -> String {
        let remedy = match self {
            Self::Signalling(_) | Self::TransportClosed | Self::ProducerClosed(_) | Self::Ended => "join again",
            Self::Command(error) if overtaken(error) => "join again",
            Self::RoomClosed => "join again later",
            Self::ConnectionLost => "check the network",
            // They say it themselves.
            _ => return self.to_string(),
        };
        if reconnect { self.to_string() } else { format!("{self}; {remedy}, or run with --reconnect") }
    }

    pub(super) fn join(error: Error<JoinError, JoinFailure>) -> Self {
        match error {
            Error::Failed(error) => Self::Join(error),
            Error::Command(error) => Self::Command(error.into()),
            _ => Self::Ended,
        }
    }

    pub(super) fn send(kind: MediaKind, error: Error<SendError, SendFailure>) -> Self {
        match error {
            Error::Failed(error) => Self::Send { kind, error },
            Error::Command(error) => Self::Command(error.into()),
            _ => Self::Ended,
        }
    }
}

/// Whether the server has closed what the command was for.
const fn overtaken(error: &CommandError) -> bool {
    matches!(
        error,
        CommandError::Join(JoinError::RoomState(_))
            | CommandError::Room(RoomError::RoomState(_))
            | CommandError::CreateTransport(CreateTransportError::RoomState(_))
            | CommandError::CreateProducer(CreateProducerError::RoomState(_))
            | CommandError::Transport(TransportError::NotFound(_))
            | CommandError::AddAddress(AddAddressError::NotFound(_))
            | CommandError::RestartIce(RestartIceError::NotFound(_))
            | CommandError::Producer(ProducerError::NotFound(_))
            | CommandError::ReplaceTrack(ReplaceTrackError::NotFound(_))
            | CommandError::Send(SendError::ProducerNotFound(_) | SendError::TransportNotFound(_))
    )
}

fn connecting(error: &SignallingError) -> String {
    let advice = match error {
        SignallingError::Tls { .. } => "; for a self-signed certificate there is --insecure",
        SignallingError::Refused { .. }
        | SignallingError::Broken(_)
        | SignallingError::Closed { .. }
        | SignallingError::ConnectTimeout(_) => "; is this the URL of a mediasoup v2 room?",
        _ => "",
    };
    // What the library advises is not for users of the program.
    let words = match error {
        SignallingError::Tls { host, reason } => format!("no TLS with {host}: {reason}"),
        error => error.to_string(),
    };
    format!("{words}{advice}")
}

fn dtls(failure: &DtlsFailure) -> String {
    match failure {
        // What the library advises is not for users of the program.
        DtlsFailure::WeakCertificate { refusal } => format!(
            "the server's certificate is refused: {refusal}. A stock mediasoup v2 server makes itself one with an \
             RSA-1024 key, signed with SHA-1. Either configure the server with an ECDSA P-256 certificate \
             (dtlsCertificateFile, dtlsPrivateKeyFile) or build mediasoup-publish with --features legacy-dtls"
        ),
        failure => failure.to_string(),
    }
}

fn join_advice(failure: &JoinFailure) -> &'static str {
    match failure {
        JoinFailure::Request(failure) => request_advice(failure),
        _ => "",
    }
}

fn send_advice(failure: &SendFailure) -> &'static str {
    match failure {
        SendFailure::Request(failure) => request_advice(failure),
        _ => "",
    }
}

fn request_advice(failure: &RequestFailure) -> &'static str {
    use mediasoup_producer::v2::protocol::RefusalKind;
    match failure {
        RequestFailure::TimedOut { .. } => "; is this the URL of a mediasoup v2 room?",
        RequestFailure::Refused(refusal) if refusal.kind == RefusalKind::DuplicatedPeer => {
            "; give another peerName in the URL"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use mediasoup_producer::v2::RoomState;
    use mediasoup_producer::{CertificateRefusal, TransportId};

    use super::*;

    #[test]
    fn only_what_cannot_pass_is_final() {
        let weak = DtlsFailure::WeakCertificate { refusal: CertificateRefusal::NotEcdsa };
        for cause in [weak, DtlsFailure::FingerprintMismatch, DtlsFailure::NoSrtpProfile] {
            assert!(!RunError::Dtls(cause.clone()).may_pass(), "{cause}");
        }
        for cause in
            [DtlsFailure::Alert { description: 80 }, DtlsFailure::Timeout, DtlsFailure::Handshake(String::new())]
        {
            assert!(RunError::Dtls(cause.clone()).may_pass(), "{cause}");
        }
    }

    /// The server's close has come before what was asked for, of which its event tells a moment later.
    #[test]
    fn a_command_that_the_servers_close_overtook_may_go_well_in_the_next_room() {
        let closed = CreateTransportError::RoomState(RoomState::Closed);
        let not_found = SendError::TransportNotFound(TransportId::from(12_345_678));
        for error in [closed.into(), not_found.into()] {
            let error: CommandError = error;
            assert!(RunError::Command(error.clone()).may_pass(), "{error}");
        }
        assert!(!RunError::Command(JoinError::EmptyPeerName.into()).may_pass());
    }
}
