//! A producer: an audio or video track sent to the room.

mod machine;

use std::time::Duration;

use serde_json::Value;

use crate::id::{OperationId, ProducerId, TransportId};
use crate::rtp::{Codec, MediaKind};
use crate::track::Track;
use crate::v2::config::SimulcastOptions;
use crate::v2::id::ServerId;
use crate::v2::rtp::{Profile, RtpParameters};

pub(crate) use machine::{Input, Machine};

/// A producer as it stands.
///
/// # Every transition
///
/// What a producer does in each state with each input: `monospace` is a message of ours or the server's, and an event is
/// named with who caused it. A test keeps this table true.
///
#[doc = include_str!("../../states/producer.md")]
#[derive(Debug, Clone)]
pub struct ProducerInfo {
    id: ProducerId,
    server_id: ServerId,
    codec: Codec,
    simulcast: Option<SimulcastOptions>,
    track: Track,
    original_track: Track,
    app_data: Option<Value>,
    paused: Paused,
    lifecycle: Lifecycle,
    stats_interval: Option<Duration>,
}

/// Who pauses a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Paused {
    local: bool,
    remote: bool,
}

impl Paused {
    const fn any(self) -> bool {
        self.local || self.remote
    }
}

/// Where a producer is on its way to a transport.
#[derive(Debug, Clone, PartialEq)]
enum Lifecycle {
    Unhandled,
    Pending {
        transport: TransportId,
        operation: OperationId,
        /// What `createProducer` said, once it went out; the difference to what is true by then follows the answer.
        announced: Option<Announced>,
    },
    Handled {
        transport: TransportId,
        /// Grows with each producer that is handled on the transport.
        order: u64,
        rtp_parameters: RtpParameters,
    },
}

#[derive(Debug, Clone, PartialEq)]
struct Announced {
    rtp_parameters: RtpParameters,
    paused: bool,
    /// The app data of the last pause or resume since.
    app_data: Option<Value>,
}

impl ProducerInfo {
    /// Unique identifier.
    pub const fn id(&self) -> ProducerId {
        self.id
    }

    /// By which the server knows it, or will: as [`id`](Self::id), until the server says that another has that name.
    pub const fn server_id(&self) -> ServerId {
        self.server_id
    }

    /// The application's data.
    pub const fn app_data(&self) -> Option<&Value> {
        self.app_data.as_ref()
    }

    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.track.kind()
    }

    /// What its media must be encoded with.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The simulcast settings, if it has layers.
    pub const fn simulcast(&self) -> Option<SimulcastOptions> {
        self.simulcast
    }

    /// The clone it works on.
    pub const fn track(&self) -> &Track {
        &self.track
    }

    /// The track it was given.
    pub const fn original_track(&self) -> &Track {
        &self.original_track
    }

    /// The transport it is sent over, or about to be.
    pub const fn transport(&self) -> Option<TransportId> {
        match &self.lifecycle {
            Lifecycle::Unhandled => None,
            Lifecycle::Pending { transport, .. } | Lifecycle::Handled { transport, .. } => Some(*transport),
        }
    }

    /// Whether the server knows it.
    pub const fn handled(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Handled { .. })
    }

    /// The effective RTP parameters, while it is handled.
    pub const fn rtp_parameters(&self) -> Option<&RtpParameters> {
        match &self.lifecycle {
            Lifecycle::Unhandled | Lifecycle::Pending { .. } => None,
            Lifecycle::Handled { rtp_parameters, .. } => Some(rtp_parameters),
        }
    }

    /// Whether this side paused it.
    pub const fn locally_paused(&self) -> bool {
        self.paused.local
    }

    /// Whether the server paused it.
    pub const fn remotely_paused(&self) -> bool {
        self.paused.remote
    }

    /// Whether either side paused it.
    pub const fn paused(&self) -> bool {
        self.paused.any()
    }

    /// The interval of the server's statistics, if they are enabled.
    pub const fn stats_interval(&self) -> Option<Duration> {
        self.stats_interval
    }

    /// Its layers by their index.
    pub(crate) const fn profiles(&self) -> &'static [Profile] {
        Profile::of(self.simulcast.is_some())
    }

    /// When it was handled on its transport, as a number that grows with each; 0 if it is not.
    pub(crate) const fn handled_at(&self) -> u64 {
        match self.lifecycle {
            Lifecycle::Unhandled | Lifecycle::Pending { .. } => 0,
            Lifecycle::Handled { order, .. } => order,
        }
    }

    /// Whether its media leaves when its transport is connected.
    pub(crate) const fn sends(&self) -> bool {
        self.handled() && !self.paused()
    }
}
