//! Every transition of a producer.
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
use tracing::{Span, debug, info, info_span};

use super::{Announced, Lifecycle, Paused, ProducerInfo};
use crate::event::Originator;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::rtp::Codec;
use crate::track::Track;
use crate::v2::config::SimulcastOptions;
use crate::v2::effect::Effect;
use crate::v2::id::ServerId;
use crate::v2::output::ProducerEvent;
use crate::v2::protocol::Notification;
use crate::v2::rtp::RtpParameters;
use crate::v2::stats::stats_interval;
use crate::v2::transport;

/// A producer that lives.
#[derive(Debug)]
pub(crate) struct Machine {
    /// For what is logged of it.
    span: Span,
    pub(crate) info: ProducerInfo,
    /// Grows with each transport and producer of the room.
    pub(crate) order: u64,
}

/// What happens to a producer.
#[derive(Debug)]
pub(crate) enum Input {
    // The application and the server.
    Pause {
        by: Originator,
        app_data: Option<Value>,
    },
    Resume {
        by: Originator,
        app_data: Option<Value>,
    },
    /// `clone`: what it works on.
    ReplaceTrack {
        original: Track,
        clone: Track,
    },
    EndTrack,
    EnableStats {
        interval: Duration,
    },
    DisableStats,
    SetAppData(Option<Value>),
    /// `silently`: the server is not to be told, as it has no room.
    Close {
        by: Originator,
        app_data: Option<Value>,
        silently: bool,
    },

    // Its way to a transport.
    /// A transport was given; its queue will do the rest.
    Send {
        transport: TransportId,
        operation: OperationId,
    },
    /// `createProducer` goes out.
    Announce(RtpParameters),
    /// It is to be announced once more.
    Unannounce,
    /// The server has made its side. `order` grows with each producer of the transport.
    Created {
        order: u64,
    },
    /// `send` came to nothing: it can be tried again.
    NotCreated,
    TransportClosed,
    Renamed(ServerId),
}

impl Machine {
    pub(crate) fn new(
        (id, server_id): (ProducerId, ServerId),
        order: u64,
        (codec, simulcast): (Codec, Option<SimulcastOptions>),
        (original_track, track): (Track, Track),
        app_data: Option<Value>,
    ) -> Self {
        let info = ProducerInfo {
            id,
            server_id,
            codec,
            simulcast,
            paused: Paused { local: !original_track.enabled(), remote: false },
            track,
            original_track,
            app_data,
            lifecycle: Lifecycle::Unhandled,
            stats_interval: None,
        };
        Self { span: info_span!("producer", %id), info, order }
    }

    pub(crate) fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Pause { by, app_data } => self.set_paused(true, by, app_data, effects),
            Input::Resume { by, app_data } => self.set_paused(false, by, app_data, effects),
            Input::ReplaceTrack { original, clone } => self.replace_track(original, clone, effects),
            Input::EndTrack => self.end_track(effects),
            Input::EnableStats { interval } => {
                // The server ignores that they are enabled when they are, whatever the interval (mediasoup's Producer.js).
                self.disable_stats(effects);
                self.info.stats_interval = Some(stats_interval(interval));
                if self.info.handled() {
                    self.tell_stats(effects);
                }
            }
            Input::DisableStats => self.disable_stats(effects),
            Input::SetAppData(app_data) => self.info.app_data = app_data,
            Input::Close { by, app_data, silently } => self.close(by, app_data, silently, effects),

            Input::Send { transport, operation } => {
                debug!(parent: &self.span, %transport, "producer is to be sent");
                self.info.lifecycle = Lifecycle::Pending { transport, operation, announced: None };
            }
            Input::Announce(rtp_parameters) => self.announce(rtp_parameters),
            Input::Unannounce => self.unannounce(effects),
            Input::Created { order } => self.created(order, effects),
            Input::NotCreated => {
                self.unannounce(effects);
                self.not_created();
            }
            Input::TransportClosed => self.transport_closed(effects),
            Input::Renamed(server_id) => self.info.server_id = server_id,
        }
    }

    fn emit(&self, event: ProducerEvent) -> Effect {
        Effect::of_producer(self.info.id, event)
    }

    // Paused.

    fn set_paused(&mut self, paused: bool, by: Originator, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        let side = match by {
            Originator::Local => &mut self.info.paused.local,
            Originator::Remote => &mut self.info.paused.remote,
        };
        if std::mem::replace(side, paused) == paused {
            return;
        }
        info!(parent: &self.span, paused, ?by, "producer pauses or resumes");
        self.info.track.set_enabled(!self.info.paused());
        match by {
            Originator::Local => self.tell_paused(paused, app_data.clone(), effects),
            Originator::Remote => {}
        }
        effects.push(self.emit(paused_event(paused, by, app_data)));
        self.may_flow(paused, effects);
    }

    fn tell_paused(&mut self, paused: bool, app_data: Option<Value>, effects: &mut Vec<Effect>) {
        match &mut self.info.lifecycle {
            Lifecycle::Unhandled | Lifecycle::Pending { announced: None, .. } => {}
            // The server may not know the producer yet: what it should know follows its answer.
            Lifecycle::Pending { announced: Some(announced), .. } => announced.app_data = app_data,
            Lifecycle::Handled { .. } => {
                effects.push(Effect::Notify(pause_or_resume(self.info.server_id, paused, app_data)));
            }
        }
    }

    /// Media may flow from here on.
    fn may_flow(&self, paused: bool, effects: &mut Vec<Effect>) {
        if !paused && self.info.sends() {
            let id = self.info.id;
            effects.push(Effect::KeyFrames(id));
            effects.extend(self.info.transport().map(Effect::Reallocate));
        }
    }

    // On its way to a transport.

    fn announce(&mut self, rtp_parameters: RtpParameters) {
        let paused = self.info.paused.local;
        debug!(parent: &self.span, paused, "producer announced to the server");
        if let Lifecycle::Pending { announced, .. } = &mut self.info.lifecycle {
            *announced = Some(Announced { rtp_parameters, paused, app_data: None });
        }
    }

    /// The server has not made its side: its streams are of no use.
    fn unannounce(&mut self, effects: &mut Vec<Effect>) {
        match &mut self.info.lifecycle {
            Lifecycle::Pending { transport, announced, .. } => {
                if announced.take().is_some() {
                    effects.push(Effect::RemoveStreams { producer: self.info.id, transport: *transport });
                }
            }
            Lifecycle::Unhandled | Lifecycle::Handled { .. } => {}
        }
    }

    /// The server is told what has changed meanwhile.
    fn created(&mut self, order: u64, effects: &mut Vec<Effect>) {
        let Lifecycle::Pending { transport, announced: Some(announced), .. } = &self.info.lifecycle else { return };
        let (transport, announced) = (*transport, announced.clone());
        let paused = self.info.paused.local;
        if announced.paused != paused {
            effects.push(Effect::Notify(pause_or_resume(self.info.server_id, paused, announced.app_data)));
        }
        self.info.lifecycle = Lifecycle::Handled { transport, order, rtp_parameters: announced.rtp_parameters };
        info!(parent: &self.span, %transport, "producer handled");
        effects.push(self.emit(ProducerEvent::Handled));
        self.tell_stats(effects);
        self.may_flow(false, effects);
    }

    fn not_created(&mut self) {
        debug!(parent: &self.span, "producer not sent");
        self.info.lifecycle = Lifecycle::Unhandled;
    }

    fn transport_closed(&mut self, effects: &mut Vec<Effect>) {
        match self.info.lifecycle {
            Lifecycle::Unhandled => {}
            Lifecycle::Pending { .. } => self.not_created(),
            Lifecycle::Handled { .. } => {
                info!(parent: &self.span, "producer unhandled");
                self.info.lifecycle = Lifecycle::Unhandled;
                effects.push(self.emit(ProducerEvent::Unhandled));
            }
        }
    }

    fn close(&mut self, by: Originator, app_data: Option<Value>, silently: bool, effects: &mut Vec<Effect>) {
        let ProducerInfo { id, server_id, .. } = self.info;
        info!(parent: &self.span, ?by, "producer closed");
        self.info.track.stop();
        let close = Notification::CloseProducer { id: server_id, app_data: app_data.clone() };
        let tells = match by {
            Originator::Local => !silently,
            Originator::Remote => false,
        };
        match &self.info.lifecycle {
            Lifecycle::Unhandled => {}
            Lifecycle::Handled { transport, .. } => {
                effects.push(Effect::RemoveStreams { producer: id, transport: *transport });
                effects.push(Effect::Reallocate(*transport));
                if tells {
                    self.disable_stats(effects);
                    effects.push(Effect::Notify(close));
                }
            }
            Lifecycle::Pending { transport, operation, announced } => {
                let then = match by {
                    Originator::Local => Some(close),
                    Originator::Remote => None,
                };
                let (transport, announced) = (*transport, announced.is_some());
                let abandon = transport::Input::Abandon { operation: *operation, announced, then };
                effects.push(Effect::Transport(transport, abandon));
                if announced {
                    effects.push(Effect::RemoveStreams { producer: id, transport });
                }
            }
        }
        effects.push(self.emit(ProducerEvent::Close { originator: by, app_data }));
    }

    // Its track.

    /// Puts another track in place; ids, streams and paused state stay.
    fn replace_track(&mut self, original: Track, mut clone: Track, effects: &mut Vec<Effect>) {
        debug!(parent: &self.span, "track replaced");
        clone.set_enabled(!self.info.paused());
        self.info.original_track = original;
        self.info.track = clone;
        effects.push(Effect::NewSource(self.info.id));
        self.may_flow(false, effects);
    }

    fn end_track(&mut self, effects: &mut Vec<Effect>) {
        if !self.info.track.ended() {
            debug!(parent: &self.span, "track ended");
            self.info.track.stop();
            effects.push(self.emit(ProducerEvent::TrackEnded));
        }
    }

    // Statistics.

    fn tell_stats(&self, effects: &mut Vec<Effect>) {
        if let Some(interval) = self.info.stats_interval {
            let (id, interval_ms) = (self.info.server_id, interval.as_millis() as u64);
            effects.push(Effect::Notify(Notification::EnableProducerStats { id, interval_ms }));
        }
    }

    fn disable_stats(&mut self, effects: &mut Vec<Effect>) {
        if self.info.stats_interval.take().is_some() && self.info.handled() {
            effects.push(Effect::Notify(Notification::DisableProducerStats { id: self.info.server_id }));
        }
    }
}

fn pause_or_resume(id: ServerId, paused: bool, app_data: Option<Value>) -> Notification {
    if paused { Notification::PauseProducer { id, app_data } } else { Notification::ResumeProducer { id, app_data } }
}

fn paused_event(paused: bool, originator: Originator, app_data: Option<Value>) -> ProducerEvent {
    if paused { ProducerEvent::Pause { originator, app_data } } else { ProducerEvent::Resume { originator, app_data } }
}
