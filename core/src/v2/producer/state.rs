//! What a producer is, and every transition it can make.
//!
//! ```text
//!                 send            answer
//!   Unhandled ----------> Pending --------> Handled
//!       ^ ^                 |                  |
//!       | +-----------------+                  |
//!       |   refused, timed out,                |
//!       |   transport closed                   |
//!       +--------------------------------------+      close, by either side, from anywhere:
//!                   transport closed                  the producer is gone
//! ```
//!
//! Paused is two booleans beside this, since all four combinations are legal in every state.

use std::time::Duration;

use serde_json::Value;
use tracing::{Span, debug, info};

use crate::connection::streams::Streams;
use crate::event::Originator;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::rtp::{Codec, MediaKind};
use crate::track::Track;
use crate::v2::config::SimulcastOptions;
use crate::v2::id::ServerId;
use crate::v2::output::ProducerEvent;
use crate::v2::protocol::Notification;
use crate::v2::rtp::{Profile, RtpParameters};

/// A producer as it stands.
///
/// # Every transition
///
/// What a producer does in each state with each input: `monospace` is a message of ours or the server's, and an event is
/// named with who caused it. A test keeps this table true.
///
#[doc = include_str!("../../../states/producer.md")]
#[derive(Debug)]
pub struct ProducerInfo {
    /// For what is logged of it.
    pub(crate) span: Span,
    pub(crate) id: ProducerId,
    pub(crate) server_id: ServerId,
    /// Grows with each transport and producer of the room.
    pub(crate) order: u64,
    pub(crate) codec: Codec,
    pub(crate) simulcast: Option<SimulcastOptions>,
    pub(crate) track: Track,
    pub(crate) original_track: Track,
    pub(crate) app_data: Option<Value>,
    pub(crate) paused: Paused,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) stats_interval: Option<Duration>,
    /// None while a connection has them.
    pub(crate) streams: Option<Streams>,
}

/// Who pauses a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Paused {
    pub(crate) local: bool,
    pub(crate) remote: bool,
}

impl Paused {
    pub(crate) const fn any(self) -> bool {
        self.local || self.remote
    }
}

/// Where a producer is on its way to a transport.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Lifecycle {
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
pub(crate) struct Announced {
    pub(crate) rtp_parameters: RtpParameters,
    pub(crate) paused: bool,
    /// The app data of the last pause or resume since.
    pub(crate) app_data: Option<Value>,
}

/// What a transition brings about, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Notify(Notification),
    Emit(ProducerEvent),
    /// Media may flow from here on: a decoder cannot begin without a key frame.
    KeyFrames,
    /// Media comes from another source from here on.
    NewSource,
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

    pub(crate) fn pause(&mut self, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        if self.paused.local {
            return;
        }
        self.set_local(true, app_data, effects);
    }

    pub(crate) fn resume(&mut self, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        if !self.paused.local {
            return;
        }
        self.set_local(false, app_data, effects);
    }

    fn set_local(&mut self, paused: bool, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        info!(parent: &self.span, paused, by = ?Originator::Local, "producer pauses or resumes");
        self.paused.local = paused;
        self.track.set_enabled(!self.paused.any());
        match &mut self.lifecycle {
            Lifecycle::Unhandled | Lifecycle::Pending { announced: None, .. } => {}
            // The server may not know the producer yet: what it should know follows its answer.
            Lifecycle::Pending { announced: Some(announced), .. } => announced.app_data = app_data.clone(),
            Lifecycle::Handled { .. } => {
                effects.push(Effect::Notify(pause_or_resume(self.server_id, paused, app_data.clone())));
            }
        }
        effects.push(Effect::Emit(paused_event(paused, Originator::Local, app_data)));
        self.may_flow(paused, effects);
    }

    pub(crate) fn remote_pause(&mut self, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        if !self.paused.remote {
            self.set_remote(true, app_data, effects);
        }
    }

    pub(crate) fn remote_resume(&mut self, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        if self.paused.remote {
            self.set_remote(false, app_data, effects);
        }
    }

    fn set_remote(&mut self, paused: bool, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        info!(parent: &self.span, paused, by = ?Originator::Remote, "producer pauses or resumes");
        self.paused.remote = paused;
        self.track.set_enabled(!self.paused.any());
        effects.push(Effect::Emit(paused_event(paused, Originator::Remote, app_data)));
        self.may_flow(paused, effects);
    }

    fn may_flow(&self, paused: bool, effects: &mut Vec<Effect>) {
        if !paused && !self.paused.any() && self.handled() {
            effects.push(Effect::KeyFrames);
        }
    }

    /// A transport was given; its queue will do the rest.
    pub(crate) fn send(&mut self, transport: TransportId, operation: OperationId) {
        debug!(parent: &self.span, %transport, "producer is to be sent");
        self.lifecycle = Lifecycle::Pending { transport, operation, announced: None };
    }

    /// `createProducer` goes out; returns its `paused`.
    pub(crate) fn announce(&mut self, rtp_parameters: RtpParameters) -> bool {
        let paused = self.paused.local;
        debug!(parent: &self.span, paused, "producer announced to the server");
        if let Lifecycle::Pending { announced, .. } = &mut self.lifecycle {
            *announced = Some(Announced { rtp_parameters, paused, app_data: None });
        }
        paused
    }

    /// The server has made its side: it is told what has changed meanwhile. `order` grows with each producer of the
    /// transport.
    pub(crate) fn created(&mut self, order: u64, effects: &mut Vec<Effect>) {
        let Lifecycle::Pending { transport, announced: Some(announced), .. } = &self.lifecycle else { return };
        let (transport, announced) = (*transport, announced.clone());
        if announced.paused != self.paused.local {
            effects.push(Effect::Notify(pause_or_resume(self.server_id, self.paused.local, announced.app_data)));
        }
        self.lifecycle = Lifecycle::Handled { transport, order, rtp_parameters: announced.rtp_parameters };
        info!(parent: &self.span, %transport, "producer handled");
        effects.push(Effect::Emit(ProducerEvent::Handled));
        if let Some(interval) = self.stats_interval {
            effects.push(Effect::Notify(enable_stats(self.server_id, interval)));
        }
        self.may_flow(false, effects);
    }

    /// The server has not made its side. Gives what is to be removed of ours.
    pub(crate) fn unannounced(&mut self) -> Option<RtpParameters> {
        match &mut self.lifecycle {
            Lifecycle::Pending { announced, .. } => announced.take().map(|announced| announced.rtp_parameters),
            Lifecycle::Unhandled | Lifecycle::Handled { .. } => None,
        }
    }

    /// `send` came to nothing: it can be tried again.
    pub(crate) fn not_created(&mut self) {
        debug!(parent: &self.span, "producer not sent");
        self.lifecycle = Lifecycle::Unhandled;
    }

    /// Its transport was closed.
    pub(crate) fn transport_closed(&mut self, effects: &mut Vec<Effect>) {
        match self.lifecycle {
            Lifecycle::Unhandled => {}
            Lifecycle::Pending { .. } => self.not_created(),
            Lifecycle::Handled { .. } => {
                info!(parent: &self.span, "producer unhandled");
                self.lifecycle = Lifecycle::Unhandled;
                effects.push(Effect::Emit(ProducerEvent::Unhandled));
            }
        }
    }

    /// Closes it from this side. `silently`: the server is not to be told (it has no room, or no producer).
    pub(crate) fn close(&mut self, silently: bool, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        if self.handled() && !silently {
            if self.stats_interval.is_some() {
                effects.push(Effect::Notify(Notification::DisableProducerStats { id: self.server_id }));
            }
            effects
                .push(Effect::Notify(Notification::CloseProducer { id: self.server_id, app_data: app_data.clone() }));
        }
        self.end(Originator::Local, app_data, effects);
    }

    /// The server closed it.
    pub(crate) fn remote_close(&mut self, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        self.end(Originator::Remote, app_data, effects);
    }

    fn end(&mut self, originator: Originator, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        info!(parent: &self.span, by = ?originator, "producer closed");
        self.track.stop();
        effects.push(Effect::Emit(ProducerEvent::Close { originator, app_data }));
    }

    /// Puts another track in place; ids, streams and paused state stay.
    pub(crate) fn replace_track(&mut self, original: Track, mut clone: Track, effects: &mut Vec<Effect>) {
        debug!(parent: &self.span, "track replaced");
        clone.set_enabled(!self.paused.any());
        self.original_track = original;
        self.track = clone;
        effects.push(Effect::NewSource);
        self.may_flow(false, effects);
    }

    /// Its track was stopped.
    pub(crate) fn end_track(&mut self, effects: &mut Vec<Effect>) {
        if !self.track.ended() {
            debug!(parent: &self.span, "track ended");
            self.track.stop();
            effects.push(Effect::Emit(ProducerEvent::TrackEnded));
        }
    }

    /// The server ignores that they are enabled when they are, whatever the interval (mediasoup's Producer.js).
    pub(crate) fn enable_stats(&mut self, interval: Duration, effects: &mut Vec<Effect>) {
        self.disable_stats(effects);
        let interval = stats_interval(interval);
        self.stats_interval = Some(interval);
        if self.handled() {
            effects.push(Effect::Notify(enable_stats(self.server_id, interval)));
        }
    }

    pub(crate) fn disable_stats(&mut self, effects: &mut Vec<Effect>) {
        if self.stats_interval.take().is_some() && self.handled() {
            effects.push(Effect::Notify(Notification::DisableProducerStats { id: self.server_id }));
        }
    }
}

/// What the server keeps to: whole milliseconds, a second at least (mediasoup-client), and at most what its timer takes: a
/// longer one would fire without a pause (Node's `setInterval`).
pub(crate) fn stats_interval(interval: Duration) -> Duration {
    const LONGEST_MS: u32 = i32::MAX as u32;
    let milliseconds = u32::try_from(interval.as_millis()).unwrap_or(LONGEST_MS);
    Duration::from_millis(milliseconds.clamp(1000, LONGEST_MS).into())
}

fn enable_stats(id: ServerId, interval: Duration) -> Notification {
    Notification::EnableProducerStats { id, interval_ms: interval.as_millis() as u64 }
}

fn pause_or_resume(id: ServerId, paused: bool, app_data: Option<Value>) -> Notification {
    if paused { Notification::PauseProducer { id, app_data } } else { Notification::ResumeProducer { id, app_data } }
}

fn paused_event(paused: bool, originator: Originator, app_data: Option<Value>) -> ProducerEvent {
    if paused { ProducerEvent::Pause { originator, app_data } } else { ProducerEvent::Resume { originator, app_data } }
}
