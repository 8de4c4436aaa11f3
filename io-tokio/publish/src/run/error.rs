//! Why a run failed: one line each, what is wrong and what to do.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use mediasoup_producer::v2::{
    AddAddressError, CommandError, CreateProducerError, CreateTransportError, JoinError, JoinFailure, ProducerError,
    ReplaceTrackError, RequestFailure, RestartIceError, RoomError, SendError, SendFailure, TransportError,
};
use mediasoup_producer::v3::{LoadError, OperationError, ProduceError};
use mediasoup_producer::{Codec, DtlsFailure, MediaKind};
use mediasoup_producer_tokio::v2::Error;
use mediasoup_producer_tokio::{SignallingError, v3};

use crate::args::{CodecWish, Dialect};
use crate::demo::DemoError;
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
    /// Rooms of v3 are not recorded.
    #[error("--record is for rooms of v2: leave it out for a room of v3")]
    CannotRecord,
    /// Rooms of v2 have each codec once.
    #[error("--codec is for rooms of v3: a room of v2 has each codec once")]
    CannotChoose,
    /// Nothing of this codec is published.
    #[error("--codec {0}: no input is in this codec; give the codec of an input")]
    NoInput(CodecWish),
    /// There is no connection to the server.
    #[error("{}", connecting(.error, *.dialect))]
    Connect {
        /// What we speak.
        dialect: Dialect,
        /// Why.
        error: SignallingError,
    },
    /// The connection to the server was lost.
    #[error(transparent)]
    Signalling(#[from] SignallingError),
    /// The run was ended before anything was sent.
    #[error("ended before anything was sent")]
    TooEarly,
    /// The room does not let us in.
    #[error("cannot join the room: {}{}", .0, join_advice(.0))]
    Join(JoinFailure),
    /// The demo's server does not let us in.
    #[error("cannot join the room: {}{}", .0, demo_advice(.0))]
    Demo(#[from] DemoError),
    /// The server's capabilities.
    #[error("the router's capabilities are of no use: {0}")]
    Load(LoadError),
    /// The server's transport.
    #[error(transparent)]
    Transport(#[from] v3::CreateTransportError),
    /// The room has no such profile of a codec.
    #[error("--codec {wish}: the room has no such codec; it has {}", list(.offered))]
    Profile {
        /// What was wanted.
        wish: CodecWish,
        /// What there is of it.
        offered: Vec<String>,
    },
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
    /// A track cannot be sent to a room of v3.
    #[error("cannot send our {kind}: {error}")]
    CannotProduce {
        /// The track.
        kind: MediaKind,
        /// Why.
        error: ProduceError,
    },
    /// A room of v3 does not take a track.
    #[error("the room does not take our {kind}: {error}{}", produce_advice(.error))]
    Produce {
        /// The track.
        kind: MediaKind,
        /// Why.
        error: OperationError,
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
            | Self::CannotRecord
            | Self::CannotChoose
            | Self::NoInput(_)
            | Self::Load(_)
            | Self::Profile { .. }
            | Self::Codec { .. } => false,
            Self::Dtls(failure) => match failure {
                DtlsFailure::WeakCertificate { .. } | DtlsFailure::FingerprintMismatch | DtlsFailure::NoSrtpProfile => {
                    false
                }
                // A server that restarts, a network that loses: the next handshake is another.
                _ => true,
            },
            Self::Command(error) => overtaken(error),
            Self::CannotProduce { error, .. } => matches!(error, ProduceError::NotFound(_)),
            Self::Connect { .. }
            | Self::Signalling(_)
            | Self::Join(_)
            | Self::Send { .. }
            | Self::Demo(_)
            | Self::Transport(_)
            | Self::Produce { .. }
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

    pub(super) const fn connect(dialect: Dialect) -> impl FnOnce(SignallingError) -> Self {
        move |error| Self::Connect { dialect, error }
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

    pub(super) fn load(error: v3::Error<LoadError, Infallible>) -> Self {
        match error {
            v3::Error::Command(error) => Self::Load(error),
            _ => Self::Ended,
        }
    }

    pub(super) fn produce(codec: Codec, error: v3::Error<ProduceError, OperationError>) -> Self {
        let kind = codec.kind();
        match error {
            v3::Error::Command(ProduceError::CannotProduce(_) | ProduceError::NoMatchingCodec(_)) => {
                Self::Codec { codec, kind }
            }
            v3::Error::Command(error) => Self::CannotProduce { kind, error },
            v3::Error::Failed(error) => Self::Produce { kind, error },
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

fn connecting(error: &SignallingError, dialect: Dialect) -> String {
    let advice = match error {
        SignallingError::Tls { .. } => "; for a self-signed certificate there is --insecure",
        SignallingError::Refused { .. }
        | SignallingError::Broken(_)
        | SignallingError::Closed { .. }
        | SignallingError::ConnectTimeout(_) => is_this_the_url(dialect),
        _ => "",
    };
    // What the library advises is not for users of the program.
    let words = match error {
        SignallingError::Tls { host, reason } => format!("no TLS with {host}: {reason}"),
        error => error.to_string(),
    };
    format!("{words}{advice}")
}

const fn is_this_the_url(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V2 => "; is this the URL of a mediasoup v2 room?",
        Dialect::V3 => "; is this the URL of a mediasoup v3 room?",
    }
}

fn demo_advice(error: &DemoError) -> &'static str {
    match error {
        DemoError::TimedOut(_) | DemoError::Answer { .. } => is_this_the_url(Dialect::V3),
        DemoError::Refused { .. } | DemoError::Ended => "",
    }
}

fn produce_advice(error: &OperationError) -> &'static str {
    match error {
        OperationError::TimedOut { .. } => is_this_the_url(Dialect::V3),
        _ => "",
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { "none of that name with a profile".to_owned() } else { words.join(", ") }
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
        RequestFailure::TimedOut { .. } => is_this_the_url(Dialect::V2),
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
