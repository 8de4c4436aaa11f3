//! What can happen to a device.

use crate::connection::engine::EngineEvent;
use crate::connection::engine::crypto::DtlsFailure;
use crate::id::{ProducerId, TransportId};
use crate::rtp::MediaKind;
use crate::track::Track;
use crate::v3::{Command, EncodingOptions, ProduceOptions};

/// Something that happens. Transports, producers and requests are counted in the order in which they were made; there need not
/// be one of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
#[allow(missing_docs)] // each is the command or the input of the same name
pub enum Step {
    Load,
    CreateTransport {
        nameless: bool,
    },
    Produce {
        transport: u8,
        track: TrackKind,
        encodings: u8,
    },
    RestartIce {
        transport: u8,
    },
    CloseTransport {
        transport: u8,
    },
    CloseProducer {
        producer: u8,
    },
    Pause {
        producer: u8,
    },
    Resume {
        producer: u8,
    },
    EndTrack {
        producer: u8,
    },
    ReplaceTrack {
        producer: u8,
        track: Option<TrackKind>,
    },
    SetMaxSpatialLayer {
        producer: u8,
        layer: u8,
    },
    /// A frame of the lowest encoding, always a key frame.
    Write {
        producer: u8,
    },
    Answer {
        request: u16,
        answer: AnswerKind,
    },
    /// The media plane says something.
    Engine {
        transport: u8,
        says: Engine,
    },
    /// Time goes by.
    Pass {
        milliseconds: u16,
    },
}

impl Step {
    /// The number of the track that a step brings, after so many operations: a step that is repeated brings the same one
    /// again, unless something was asked for meanwhile.
    pub(in crate::sim::v3) const fn track_number(&self, operations: u64) -> u64 {
        operations
    }

    /// What it commands, if it commands anything that needs nothing of the server.
    pub(in crate::sim::v3) fn command(
        &self,
        track: &str,
        transport: impl Fn(u8) -> TransportId,
        producer: impl Fn(u8) -> ProducerId,
    ) -> Option<Command> {
        Some(match *self {
            Self::Produce { transport: on, track: kind, encodings } => {
                let encodings = vec![EncodingOptions::default(); usize::from(encodings)];
                let options = ProduceOptions::default().encodings(encodings);
                Command::Produce { transport: transport(on), track: kind.track(track), options }
            }
            Self::CloseTransport { transport: on } => Command::CloseTransport { id: transport(on) },
            Self::CloseProducer { producer: of } => Command::CloseProducer { id: producer(of) },
            Self::Pause { producer: of } => Command::Pause { id: producer(of) },
            Self::Resume { producer: of } => Command::Resume { id: producer(of) },
            Self::EndTrack { producer: of } => Command::EndTrack { id: producer(of) },
            Self::ReplaceTrack { producer: of, track: kind } => {
                Command::ReplaceTrack { id: producer(of), track: kind.map(|kind| kind.track(track)) }
            }
            Self::SetMaxSpatialLayer { producer: of, layer } => {
                Command::SetMaxSpatialLayer { id: producer(of), layer: layer.into() }
            }
            Self::Load
            | Self::CreateTransport { .. }
            | Self::RestartIce { .. }
            | Self::Write { .. }
            | Self::Answer { .. }
            | Self::Engine { .. }
            | Self::Pass { .. } => return None,
        })
    }

    pub(super) const fn track_is_disabled(&self) -> bool {
        matches!(self, Self::Produce { track: TrackKind::DisabledVideo, .. })
    }
}

/// A track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum TrackKind {
    Audio,
    Video,
    /// Video that is not enabled.
    DisabledVideo,
    /// Video that has ended.
    Ended,
}

impl TrackKind {
    pub(in crate::sim::v3) const fn kind(self) -> MediaKind {
        match self {
            Self::Audio => MediaKind::Audio,
            Self::Video | Self::DisabledVideo | Self::Ended => MediaKind::Video,
        }
    }

    fn track(self, id: &str) -> Track {
        let mut track = Track::new(self.kind(), id, "");
        if self == Self::Ended {
            track.stop();
        }
        track.with_enabled(self != Self::DisabledVideo)
    }
}

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum AnswerKind {
    /// With what was asked for.
    Well,
    /// With a refusal.
    Refused,
    /// As another request would be.
    Mismatched,
    /// With an empty id.
    Nameless,
}

impl AnswerKind {
    /// Of each refusal.
    pub(in crate::sim::v3) const WORDS: &'static str = "no";
}

/// What a media plane can say of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
#[allow(missing_docs)] // each is the event of the same name
pub enum Engine {
    Connected,
    Disconnected,
    Failed,
    Closed,
}

impl Engine {
    pub(in crate::sim::v3) fn cause() -> DtlsFailure {
        DtlsFailure::Handshake("as the test would have it".to_owned())
    }

    pub(in crate::sim::v3) fn event(self) -> EngineEvent {
        match self {
            Self::Connected => EngineEvent::Connected,
            Self::Disconnected => EngineEvent::Disconnected,
            Self::Failed => EngineEvent::Failed(Self::cause()),
            Self::Closed => EngineEvent::Closed,
        }
    }
}
