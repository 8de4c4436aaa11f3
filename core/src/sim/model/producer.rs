//! Producers: paused by either side, sent, closed; and their media.

use serde_json::{Value, json};

use super::inputs::interval_taken;
use super::step::{ProducerOp, TrackKind};
use super::transport::Queued;
use super::{Model, OPERATIONS, PRODUCERS, to_peer};
use crate::event::Originator;
use crate::v2::ProducerEvent;
use crate::v2::Profile;
use crate::v2::RoomState;
use crate::v2::{Failure, SendFailure};

/// Key frame requests closer together than this are one, in milliseconds.
const KEY_FRAME_GAP: u64 = 500;
/// The longest audio packet that fits.
const AUDIO_BYTES: u16 = 1_120;

#[derive(Debug, Clone)]
pub(crate) struct Producer {
    pub(crate) video: bool,
    pub(crate) simulcast: bool,
    pub(crate) app: Option<Value>,
    /// How often the server's name for it was taken.
    pub(crate) name: u32,
    pub(crate) locally_paused: bool,
    pub(crate) remotely_paused: bool,
    pub(crate) track_ended: bool,
    pub(crate) stats: Option<u64>,
    pub(crate) life: Life,
    /// When a key frame was last asked for, by layer.
    pub(crate) asked: [Option<u64>; 3],
    /// Whether its decoder lacks a frame, by layer.
    pub(crate) incomplete: [bool; 3],
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Life {
    Unhandled,
    Pending {
        transport: usize,
        operation: u64,
        told: Option<Told>,
    },
    /// `order`: that in which producers were handled.
    Handled {
        transport: usize,
        order: u64,
    },
}

/// What the server was told of a producer it has not made yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) paused: bool,
    pub(crate) app: Option<Value>,
}

impl Producer {
    pub(crate) fn paused(&self) -> bool {
        self.locally_paused || self.remotely_paused
    }

    pub(crate) fn transport(&self) -> Option<usize> {
        match self.life {
            Life::Unhandled => None,
            Life::Pending { transport, .. } | Life::Handled { transport, .. } => Some(transport),
        }
    }

    pub(crate) fn handled(&self) -> bool {
        matches!(self.life, Life::Handled { .. })
    }

    pub(crate) fn layers(&self) -> &'static [Profile] {
        if self.simulcast { &Profile::SIMULCAST } else { &[Profile::Default] }
    }
}

/// The layer a number picks; the fourth does not exist.
pub(crate) fn layer(producer: Option<&Producer>, number: u8) -> usize {
    let layers = producer.map_or(1, |producer| producer.layers().len());
    match usize::from(number % 4) {
        3 => layers,
        layer if layer < layers => layer,
        _ => 0,
    }
}

impl Model {
    pub(super) fn create_producer(
        &mut self,
        track: TrackKind,
        simulcast: bool,
        app: Option<Value>,
    ) -> Result<(), &'static str> {
        let video = track != TrackKind::Audio;
        if self.state != RoomState::Joined {
            return Err("RoomState");
        }
        if track == TrackKind::Ended {
            return Err("TrackEnded");
        }
        if !(if video { self.sends_video } else { self.sends_audio }) {
            return Err("CannotSend");
        }
        if self.producers.len() == PRODUCERS {
            return Err("Limit");
        }
        let producer = Producer {
            video,
            simulcast: simulcast && video,
            app,
            name: 0,
            locally_paused: track == TrackKind::Disabled,
            remotely_paused: false,
            track_ended: false,
            stats: None,
            life: Life::Unhandled,
            asked: [None; 3],
            incomplete: [false; 3],
        };
        self.producers.insert(self.producers_made, producer);
        self.producers_made += 1;
        Ok(())
    }

    pub(super) fn send(&mut self, producer: usize, transport: usize) -> Result<(), &'static str> {
        let Some(known) = self.producers.get(&producer) else { return Err("ProducerNotFound") };
        if known.life != Life::Unhandled {
            return Err("AlreadyHandled");
        }
        let Some(over) = self.transports.get(&transport) else { return Err("TransportNotFound") };
        if over.queue.len() >= OPERATIONS {
            return Err("Limit");
        }
        let operation = self.operation();
        self.producer(producer).life = Life::Pending { transport, operation, told: None };
        self.queue(transport, Queued::Send { operation, producer, taken: 0 });
        Ok(())
    }

    pub(super) fn producer_op(&mut self, id: usize, op: ProducerOp) -> Result<(), &'static str> {
        let Some(producer) = self.producers.get_mut(&id) else { return Err("ProducerNotFound") };
        match op {
            ProducerOp::Close(app) => self.close_producer(id, Originator::Local, app.value()),
            ProducerOp::Pause(app) => self.pause(id, true, app.value()),
            ProducerOp::Resume(app) => self.pause(id, false, app.value()),
            ProducerOp::ReplaceTrack(TrackKind::Ended) => return Err("TrackEnded"),
            ProducerOp::ReplaceTrack(kind) => {
                if (kind != TrackKind::Audio) != producer.video {
                    return Err("TrackKind");
                }
                producer.track_ended = false;
                self.want_key_frames(id);
            }
            ProducerOp::EndTrack => {
                if !std::mem::replace(&mut producer.track_ended, true) {
                    self.emit_producer(id, ProducerEvent::TrackEnded);
                }
            }
            ProducerOp::EnableStats { milliseconds } => {
                let again = producer.stats.replace(interval_taken(milliseconds)).is_some();
                if producer.handled() {
                    if again {
                        self.tell(to_peer("disableProducerStats", json!({ "id": id }), &None));
                    }
                    self.tell_stats(id);
                }
            }
            ProducerOp::DisableStats => {
                if producer.stats.take().is_some() && producer.handled() {
                    self.tell(to_peer("disableProducerStats", json!({ "id": id }), &None));
                }
            }
            ProducerOp::SetAppData(app) => producer.app = app.value(),
        }
        Ok(())
    }

    pub(super) fn pause(&mut self, id: usize, pause: bool, app: Option<Value>) {
        let producer = self.producer(id);
        if producer.locally_paused == pause {
            return;
        }
        producer.locally_paused = pause;
        match &mut producer.life {
            Life::Handled { .. } => self.tell_paused(id, pause, &app),
            Life::Pending { told: Some(told), .. } => told.app.clone_from(&app),
            Life::Pending { told: None, .. } | Life::Unhandled => {}
        }
        self.emit_producer(id, paused(pause, Originator::Local, app));
        if !pause {
            self.want_key_frames(id);
        }
    }

    pub(super) fn tell_paused(&mut self, id: usize, pause: bool, app: &Option<Value>) {
        let method = if pause { "pauseProducer" } else { "resumeProducer" };
        self.tell(to_peer(method, json!({ "id": id }), app));
    }

    pub(super) fn tell_stats(&mut self, id: usize) {
        if let Some(interval) = self.producers[&id].stats {
            self.tell(to_peer("enableProducerStats", json!({ "id": id, "interval": interval }), &None));
        }
    }

    pub(super) fn close_producer(&mut self, id: usize, originator: Originator, app: Option<Value>) {
        let Some(producer) = self.producers.remove(&id) else { return };
        let farewell = to_peer("closeProducer", json!({ "id": id }), &app);
        let here = originator == Originator::Local;
        match producer.life {
            Life::Handled { .. } if here => {
                if producer.stats.is_some() {
                    self.tell(to_peer("disableProducerStats", json!({ "id": id }), &None));
                }
                self.tell(farewell);
            }
            Life::Pending { transport, operation, told } => {
                let queue = &mut self.transport(transport).queue;
                let of_it = |queued: &Queued| matches!(queued, Queued::Send { operation: o, .. } if *o == operation);
                let at = queue.iter().position(of_it).expect("it is being sent");
                if told.is_some() {
                    queue[at] = Queued::Closed { then: here.then_some(farewell) };
                } else {
                    queue.remove(at);
                }
                self.settle(operation, Err(Failure::Send(SendFailure::ProducerClosed)));
                self.work(transport);
            }
            Life::Handled { .. } | Life::Unhandled => {}
        }
        self.emit_producer(id, ProducerEvent::Close { originator, app_data: app });
    }

    pub(super) fn remote_pause(&mut self, id: usize, pause: bool, app: Option<Value>) {
        let Some(producer) = self.producers.get_mut(&id) else {
            self.unexpected += 1;
            return;
        };
        if std::mem::replace(&mut producer.remotely_paused, pause) == pause {
            return;
        }
        self.emit_producer(id, paused(pause, Originator::Remote, app));
        if !pause {
            self.want_key_frames(id);
        }
    }

    // Media.

    /// A decoder cannot begin, or go on, without a key frame of every layer.
    pub(super) fn want_key_frames(&mut self, id: usize) {
        let producer = &self.producers[&id];
        let flows = producer.handled() && producer.transport().is_some_and(|id| self.transports[&id].flows());
        if flows && producer.video {
            for index in 0..producer.layers().len() {
                self.want_key_frame(id, index, true);
            }
        }
    }

    /// On our own account a key frame is always wanted; the server's requests come in bursts.
    pub(super) fn want_key_frame(&mut self, id: usize, index: usize, ours: bool) {
        let now = self.now;
        let producer = self.producer(id);
        let profile = producer.layers()[index];
        if !producer.paused() && (ours || producer.asked[index].is_none_or(|at| now >= at + KEY_FRAME_GAP)) {
            producer.asked[index] = Some(now);
            self.emit_producer(id, ProducerEvent::KeyFrameRequest { profile });
        }
    }

    pub(super) fn key_frame(&mut self, id: usize, number: u8) {
        if let Some(producer) = self.producers.get(&id).filter(|producer| producer.handled()) {
            let index = layer(Some(producer), number);
            if index < producer.layers().len() {
                self.want_key_frame(id, index, false);
            }
        }
    }

    pub(super) fn media(&mut self, id: usize, number: u8, bytes: u16, key_frame: bool) -> Result<(), &'static str> {
        let result = self.frame(id, number, bytes, key_frame);
        if let Some(producer) = self.producers.get_mut(&id).filter(|producer| producer.video) {
            let index = layer(Some(producer), number);
            if index < producer.layers().len() {
                producer.incomplete[index] = result.is_err();
                if result == Err("KeyFrameNeeded") {
                    self.want_key_frame(id, index, false);
                }
            }
        }
        result
    }

    fn frame(&self, id: usize, number: u8, bytes: u16, key_frame: bool) -> Result<(), &'static str> {
        let Some(producer) = self.producers.get(&id) else { return Err("ProducerNotFound") };
        let Life::Handled { transport, .. } = producer.life else { return Err("Unhandled") };
        if producer.paused() {
            return Err("Paused");
        }
        if !self.transports[&transport].flows() {
            return Err("NotConnected");
        }
        let index = layer(Some(producer), number);
        if index >= producer.layers().len() {
            return Err("UnknownLayer");
        }
        if producer.incomplete[index] && !key_frame {
            return Err("KeyFrameNeeded");
        }
        if bytes == 0 || (!producer.video && bytes > AUDIO_BYTES) {
            return Err("Malformed");
        }
        Ok(())
    }
}

fn paused(pause: bool, originator: Originator, app_data: Option<Value>) -> ProducerEvent {
    if pause { ProducerEvent::Pause { originator, app_data } } else { ProducerEvent::Resume { originator, app_data } }
}
