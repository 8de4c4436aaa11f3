//! What can happen to a device.

use crate::connection::engine::EngineEvent;
use crate::connection::engine::crypto::DtlsFailure;
use crate::rtp::MediaKind;

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
