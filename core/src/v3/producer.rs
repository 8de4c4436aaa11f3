//! What a producer is, and every transition it can make.
//!
//! ```text
//!   produce            answered
//!   --------> Waiting ----------> Live
//!                |
//!                +-- refused, timed out, cancelled: the producer is gone
//!
//!   close, or that of its transport, from anywhere: the producer is gone
//! ```
//!
//! Paused is a boolean beside this, and so is whether an encoding is active: all are legal in both states.

use serde_json::{Map, Value};
use tracing::{Span, info, info_span};

use super::options::{CodecOptions, EncodingOptions, EncodingUpdate};
use super::output::ProducerEvent;
use super::rtp::RtpParameters;
use crate::id::{ProducerId, TransportId};
use crate::rtp::{Codec, MediaKind};
use crate::track::Track;

/// A producer as it stands.
///
/// # Every transition
///
/// What a producer does in each state with each input: `monospace` is a request of ours. A test keeps this table true.
///
#[doc = include_str!("../../states/v3-producer.md")]
#[derive(Debug)]
pub struct ProducerInfo {
    /// For what is logged of it.
    pub(crate) span: Span,
    pub(crate) id: ProducerId,
    pub(crate) transport: TransportId,
    pub(crate) kind: MediaKind,
    pub(crate) codec: Codec,
    /// Which of the device's codecs it is.
    pub(crate) payload_type: u8,
    pub(crate) codec_options: Option<CodecOptions>,
    /// What the application said of each encoding, if it said anything.
    pub(crate) encodings: Vec<EncodingOptions>,
    /// The first half of the msid.
    pub(crate) stream_id: String,
    pub(crate) app_data: Map<String, Value>,
    pub(crate) machine: Machine,
    /// As they were sent to the server.
    pub(crate) rtp_parameters: Option<RtpParameters>,
}

impl ProducerInfo {
    /// Our handle of it.
    pub const fn id(&self) -> ProducerId {
        self.id
    }

    /// The transport it is made on.
    pub const fn transport(&self) -> TransportId {
        self.transport
    }

    /// By which the server knows it: mediasoup-client's `producer.id`. None before the server has it.
    pub fn server_id(&self) -> Option<&str> {
        match &self.machine.state {
            State::Waiting => None,
            State::Live { server_id } => Some(server_id),
        }
    }

    /// The MID: mediasoup-client's `producer.localId`. None before the server was asked.
    pub fn local_id(&self) -> Option<&str> {
        self.rtp_parameters.as_ref()?.mid.as_deref()
    }

    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// What its media must be encoded with.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The track, if it has one.
    pub const fn track(&self) -> Option<&Track> {
        self.machine.track.as_ref()
    }

    /// How it is sent. None before the server was asked.
    pub const fn rtp_parameters(&self) -> Option<&RtpParameters> {
        self.rtp_parameters.as_ref()
    }

    /// Whether it is paused.
    pub const fn paused(&self) -> bool {
        self.machine.paused
    }

    /// The highest encoding that is sent, if that was [bounded](super::Producer::set_max_spatial_layer).
    pub const fn max_spatial_layer(&self) -> Option<usize> {
        self.machine.max_spatial_layer
    }

    /// Whether an encoding is sent. False for one that it has not.
    pub fn is_active(&self, layer: usize) -> bool {
        self.machine.layers.get(layer).is_some_and(|layer| layer.active)
    }

    /// The application's data.
    pub const fn app_data(&self) -> &Map<String, Value> {
        &self.app_data
    }
}

/// What changes of a producer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Machine {
    state: State,
    track: Option<Track>,
    stop_tracks: bool,
    paused: bool,
    max_spatial_layer: Option<usize>,
    layers: Vec<Layer>,
}

/// Closed is being gone.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// For the server's answer, or for its turn to ask.
    Waiting,
    Live {
        server_id: String,
    },
}

/// One encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layer {
    active: bool,
    max_bitrate: Option<u32>,
}

/// What happens to a producer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The server has made it.
    Produced {
        server_id: String,
    },
    /// The server has not.
    NotProduced,
    Pause,
    Resume,
    ReplaceTrack(Option<Track>),
    TrackEnded,
    SetMaxSpatialLayer(usize),
    SetEncodingParameters(EncodingUpdate),
    Close,
    TransportClosed,
}

/// What a transition brings about, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    Emit(ProducerEvent),
    /// Media of this encoding may flow from here on: a decoder cannot begin without a key frame.
    KeyFrame(usize),
    /// Media comes from another source from here on.
    NewSource,
    /// What the server can take is shared out anew.
    Reallocate,
    /// It is gone: its streams end.
    Gone,
}

impl Machine {
    pub(crate) fn new(track: Track, stop_tracks: bool, encodings: &[EncodingOptions]) -> Self {
        let layer = |encoding: &EncodingOptions| Layer { active: encoding.active, max_bitrate: encoding.max_bitrate };
        let layers = match encodings {
            [] => vec![layer(&EncodingOptions::default())],
            encodings => encodings.iter().map(layer).collect(),
        };
        // As mediasoup-client does: a track that is not enabled makes a paused producer.
        let paused = !track.enabled();
        Self { state: State::Waiting, track: Some(track), stop_tracks, paused, max_spatial_layer: None, layers }
    }

    pub(crate) const fn live(&self) -> bool {
        matches!(self.state, State::Live { .. })
    }

    /// Whether media is to be had of it, if its transport is connected.
    pub(crate) const fn sends(&self) -> bool {
        self.live() && !self.paused && self.track.is_some()
    }

    /// Whether there is such an encoding and nothing is sent of it.
    pub(crate) fn is_inactive(&self, layer: usize) -> bool {
        self.layers.get(layer).is_some_and(|layer| !layer.active)
    }

    /// The most that an encoding should take, in bits per second; 0 if it is not active.
    pub(crate) fn max_bitrate(&self, layer: usize) -> Option<u64> {
        match self.layers.get(layer) {
            Some(Layer { active: true, max_bitrate }) => max_bitrate.map(u64::from),
            Some(Layer { active: false, .. }) | None => Some(0),
        }
    }

    /// The only way in.
    pub(crate) fn handle(&mut self, event: Event, span: &Span) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Produced { server_id } => {
                info!(parent: span, server_id, "producer is made");
                self.state = State::Live { server_id: server_id.clone() };
                effects.push(Effect::Emit(ProducerEvent::Produced { producer_id: server_id }));
                self.may_flow(&mut effects);
            }
            Event::Pause if !self.paused => {
                self.set_paused(true, span);
                effects.push(Effect::Emit(ProducerEvent::Pause));
                effects.push(Effect::Reallocate);
            }
            Event::Resume if self.paused => {
                self.set_paused(false, span);
                effects.push(Effect::Emit(ProducerEvent::Resume));
                self.may_flow(&mut effects);
            }
            Event::Pause | Event::Resume => {}
            Event::ReplaceTrack(track) => self.replace_track(track, &mut effects),
            Event::TrackEnded => {
                if let Some(track) = self.track.as_mut().filter(|track| !track.ended()) {
                    track.stop();
                    effects.push(Effect::Emit(ProducerEvent::TrackEnded));
                }
            }
            Event::SetMaxSpatialLayer(max) => {
                if self.max_spatial_layer != Some(max) {
                    self.max_spatial_layer = Some(max);
                    self.set_layers(&mut effects, |index, layer| layer.active = index <= max);
                }
            }
            Event::SetEncodingParameters(EncodingUpdate { active, max_bitrate }) => {
                self.set_layers(&mut effects, |_, layer| {
                    layer.active = active.unwrap_or(layer.active);
                    layer.max_bitrate = max_bitrate.or(layer.max_bitrate);
                });
            }
            Event::Close => self.gone(Some(ProducerEvent::Close), span, &mut effects),
            Event::TransportClosed => self.gone(Some(ProducerEvent::TransportClose), span, &mut effects),
            Event::NotProduced => self.gone(None, span, &mut effects),
        }
        effects
    }

    fn set_paused(&mut self, paused: bool, span: &Span) {
        info!(parent: span, paused, "producer pauses or resumes");
        self.paused = paused;
        if let Some(track) = &mut self.track {
            track.set_enabled(!paused);
        }
    }

    /// The track that it has already changes nothing.
    fn replace_track(&mut self, track: Option<Track>, effects: &mut Vec<Effect>) {
        if self.track.as_ref().map(Track::id) == track.as_ref().map(Track::id) {
            return;
        }
        self.stop_track(effects);
        self.track = track;
        if let Some(track) = &mut self.track {
            track.set_enabled(!self.paused);
        }
        effects.push(Effect::NewSource);
        self.may_flow(effects);
    }

    fn set_layers(&mut self, effects: &mut Vec<Effect>, set: impl Fn(usize, &mut Layer)) {
        let sends = self.sends();
        for (index, layer) in (0..).zip(&mut self.layers) {
            let before = *layer;
            set(index, layer);
            if layer.active && !before.active && sends {
                effects.push(Effect::KeyFrame(index));
            }
        }
        effects.push(Effect::Reallocate);
    }

    fn may_flow(&self, effects: &mut Vec<Effect>) {
        if self.sends() {
            effects.extend(self.key_frames());
        }
        effects.push(Effect::Reallocate);
    }

    /// A key frame of each encoding that is sent.
    pub(crate) fn key_frames(&self) -> impl Iterator<Item = Effect> {
        let active = (0..).zip(&self.layers).filter(|(_, layer)| layer.active);
        active.map(|(index, _)| Effect::KeyFrame(index)).filter(|_| self.sends())
    }

    fn stop_track(&mut self, effects: &mut Vec<Effect>) {
        if let Some(track) = self.track.as_mut().filter(|track| self.stop_tracks && !track.ended()) {
            track.stop();
            effects.push(Effect::Emit(ProducerEvent::TrackStopped { track_id: track.id().to_owned() }));
        }
    }

    fn gone(&mut self, event: Option<ProducerEvent>, span: &Span, effects: &mut Vec<Effect>) {
        info!(parent: span, ?event, "producer is gone");
        self.stop_track(effects);
        effects.push(Effect::Gone);
        effects.extend(event.map(Effect::Emit));
    }
}

impl ProducerInfo {
    pub(crate) fn span(id: ProducerId) -> Span {
        info_span!("producer", %id)
    }
}
