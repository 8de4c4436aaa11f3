//! Our counterpart of MediaStreamTrack (W3C mediacapture-streams).

use serde::{Deserialize, Serialize};

use crate::rtp::MediaKind;

/// A source of audio or video, as the application sees it.
///
/// The application makes it; a producer works on its own clone. Media is not written to a track but to the producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Track {
    #[serde(default)]
    id: String,
    kind: MediaKind,
    #[serde(default)]
    label: String,
    #[serde(default = "enabled")]
    enabled: bool,
    #[serde(default)]
    ready_state: TrackState,
}

/// What a track is unless something else is said.
const fn enabled() -> bool {
    true
}

/// Whether a track still brings media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrackState {
    /// It does.
    #[default]
    Live,
    /// It never will again.
    Ended,
}

impl Track {
    /// A live, enabled track. `id` is the application's; `label` is for people.
    pub fn new(kind: MediaKind, id: impl Into<String>, label: impl Into<String>) -> Self {
        Self { id: id.into(), kind, label: label.into(), enabled: true, ready_state: TrackState::Live }
    }

    /// Enables or disables it. A producer made with a disabled track starts locally paused.
    pub const fn with_enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Names it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// For people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Whether it brings media rather than silence. A producer keeps this of its own clone: enabled unless paused.
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Live or ended.
    pub const fn ready_state(&self) -> TrackState {
        self.ready_state
    }

    /// Ends it for good.
    pub const fn stop(&mut self) {
        self.ready_state = TrackState::Ended;
    }

    pub(crate) const fn ended(&self) -> bool {
        matches!(self.ready_state, TrackState::Ended)
    }

    pub(crate) const fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// The producer's own copy, with an id of its own as MediaStreamTrack.clone() gives it.
    pub(crate) fn clone_as(&self, id: String) -> Self {
        Self { id, ..self.clone() }
    }
}
