//! Producers: how they come, are sent, and go.

use std::time::Instant;

use serde_json::Value;
use tracing::info_span;

use super::inflight::Waiting;
use super::{Room, RoomState};
use crate::connection::engine::EngineAnswer;
use crate::connection::streams::Streams;
use crate::connection::{Connection, SenderParameters};
use crate::event::Originator;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::rtp::MediaKind;
use crate::track::Track;
use crate::v2::error::{CreateProducerError, OperationError, ProducerError, ReplaceTrackError, SendError};
use crate::v2::id::ServerId;
use crate::v2::output::{Event, ProducerEvent};
use crate::v2::producer::ProducerInfo;
use crate::v2::producer::state::{Effect, Lifecycle, Paused};
use crate::v2::protocol::{Notification, Request};
use crate::v2::rtp::Profile;
use crate::v2::rtp::{RtpEncodingParameters, RtxParameters};
use crate::v2::transport::TransportInfo;
use crate::v2::transport::state::Operation;

impl Room {
    pub(super) fn codec_for(
        &self,
        track: &Track,
        options: &crate::v2::config::ProducerOptions,
    ) -> Result<crate::rtp::Codec, CreateProducerError> {
        self.require(RoomState::Joined).map_err(CreateProducerError::RoomState)?;
        if self.config.spy {
            return Err(CreateProducerError::Spy);
        }
        if track.ended() {
            return Err(CreateProducerError::TrackEnded);
        }
        let kind = track.kind();
        if options.codec.is_some_and(|codec| codec.kind() != kind) {
            return Err(CreateProducerError::OptionsMismatch(kind));
        }
        let shared = self.capabilities.codec(kind, options.codec);
        shared.map(|shared| shared.codec).ok_or(CreateProducerError::CannotSend { kind, codec: options.codec })
    }

    pub(super) fn new_producer(
        &mut self,
        track: Track,
        codec: crate::rtp::Codec,
        simulcast: Option<crate::v2::config::SimulcastOptions>,
        app_data: Option<Value>,
    ) -> Result<ProducerId, CreateProducerError> {
        let limit = self.config.limits.producers;
        if self.producers.len() >= limit {
            return Err(CreateProducerError::Limit(limit));
        }
        let id = self.draw_producer_id();
        // mediasoup-client: of audio there is one stream, whatever is asked for.
        let simulcast = simulcast.filter(|_| track.kind() == MediaKind::Video);
        let clone = track.clone_as(self.track_id());
        self.created += 1;
        let producer = ProducerInfo {
            span: info_span!("producer", %id),
            id,
            server_id: ServerId::new(id.value()),
            order: self.created,
            codec,
            simulcast,
            paused: Paused { local: !track.enabled(), remote: false },
            track: clone,
            original_track: track,
            app_data,
            lifecycle: Lifecycle::Unhandled,
            stats_interval: None,
            streams: Some(Streams::new(codec, Profile::of(simulcast.is_some()).len(), &mut self.rng)),
        };
        self.producers_at_server.insert(producer.server_id, id);
        self.producers.insert(id, producer);
        Ok(id)
    }

    /// MediaStreamTrack.clone() gives a new id, a UUID (W3C mediacapture-streams section 4.3.1).
    pub(super) fn track_id(&mut self) -> String {
        let (high, low) = (self.rng.next_u64(), self.rng.next_u64());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    pub(super) fn producer_mut(&mut self, id: ProducerId) -> Result<&mut ProducerInfo, ProducerError> {
        self.producers.get_mut(&id).ok_or(ProducerError::NotFound(id))
    }

    /// Makes a transition of a producer, and does what follows from it.
    pub(super) fn with_producer(
        &mut self,
        now: Instant,
        id: ProducerId,
        transition: impl FnOnce(&mut ProducerInfo, &mut Vec<Effect>),
    ) -> Result<(), ProducerError> {
        let mut effects = Vec::new();
        self.send_paced(now, id);
        transition(self.producer_mut(id)?, &mut effects);
        self.apply(now, id, &mut effects);
        Ok(())
    }

    /// The same, of what the server calls so. False: there is no such producer.
    pub(super) fn with_producer_at_server(
        &mut self,
        now: Instant,
        id: ServerId,
        transition: impl FnOnce(&mut ProducerInfo, &mut Vec<Effect>),
    ) -> bool {
        let known = self.producers_at_server.get(&id).copied();
        known.is_some_and(|id| self.with_producer(now, id, transition).is_ok())
    }

    pub(super) fn send_paced(&mut self, now: Instant, id: ProducerId) {
        let Some(transport) = self.producers.get(&id).and_then(ProducerInfo::transport) else { return };
        self.send_all(now, transport);
    }

    /// Lets all leave that waits on a transport.
    pub(super) fn send_all(&mut self, now: Instant, transport: TransportId) {
        if let Some(connection) = self.connection_mut(transport) {
            connection.send_all(now);
            self.settle(transport);
        }
    }

    pub(super) fn connection_mut(&mut self, transport: TransportId) -> Option<&mut Connection> {
        self.transports.get_mut(&transport)?.connection.as_mut()
    }

    /// The streams of a producer, wherever they are.
    pub(super) fn streams_mut(&mut self, id: ProducerId) -> Option<&mut Streams> {
        let producer = self.producers.get(&id)?;
        if producer.streams.is_some() {
            return self.producers.get_mut(&id)?.streams.as_mut();
        }
        let transport = producer.transport()?;
        self.connection_mut(transport)?.streams_mut(id)
    }

    pub(super) fn apply(&mut self, now: Instant, id: ProducerId, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Notify(notification) => self.outputs.notification(notification),
                Effect::Emit(event) => self.outputs.event(Event::Producer { id, event }),
                Effect::KeyFrames => {
                    self.request_key_frames(now, id);
                    if let Some(transport) = self.producers.get(&id).and_then(ProducerInfo::transport) {
                        self.reallocate(transport);
                    }
                }
                Effect::NewSource => {
                    if let Some(streams) = self.streams_mut(id) {
                        streams.new_source();
                    }
                }
            }
        }
    }

    /// Asks for a key frame of every layer, if media can flow.
    pub(super) fn request_key_frames(&mut self, now: Instant, id: ProducerId) {
        let Some(producer) = self.producers.get_mut(&id) else { return };
        let flows = producer.transport().and_then(|id| self.transports.get(&id)).is_some_and(TransportInfo::flows);
        if !flows || producer.kind() != MediaKind::Video {
            return;
        }
        let Some(streams) = self.streams_mut(id) else { return };
        let layers = streams.layers();
        for layer in layers.clone() {
            if let Some(stream) = streams.stream_mut(layer) {
                stream.key_frame_needed(now);
            }
        }
        for layer in layers {
            let Some(profile) = self.profile(id, layer) else { continue };
            self.outputs.event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { profile } });
        }
    }

    pub(super) fn send(
        &mut self,
        now: Instant,
        id: ProducerId,
        transport: TransportId,
    ) -> Result<OperationId, SendError> {
        let producer = self.producers.get(&id).ok_or(SendError::ProducerNotFound(id))?;
        match producer.lifecycle {
            Lifecycle::Unhandled => {}
            Lifecycle::Pending { .. } | Lifecycle::Handled { .. } => return Err(SendError::AlreadyHandled(id)),
        }
        let on = self.transports.get(&transport).ok_or(SendError::TransportNotFound(transport))?;
        self.has_room(on).map_err(SendError::Limit)?;
        let send = |operation| Operation::Send { operation, producer: id, ids_refused: 0 };
        Ok(self.enqueue(now, transport, send))
    }

    pub(super) fn create_producer_at_server(
        &mut self,
        now: Instant,
        id: TransportId,
        producer: ProducerId,
    ) -> Result<RequestId, OperationError> {
        let transport = self.transports.get_mut(&id).ok_or(OperationError::TransportClosed)?;
        let info = self.producers.get_mut(&producer).ok_or(OperationError::ProducerClosed)?;
        let shared = self.capabilities.codec(info.kind(), Some(info.codec)).ok_or(OperationError::ProducerClosed)?;
        let connection = transport.connection.as_mut().ok_or(OperationError::TransportClosed)?;
        let streams = info.streams.take().ok_or(OperationError::ProducerClosed)?;
        let mut ssrc = || loop {
            let ssrc = self.rng.next_u32();
            if ssrc != 0 && transport.ssrcs.insert(ssrc) {
                break ssrc;
            }
        };
        let encodings: Vec<_> = info
            .profiles()
            .iter()
            .map(|profile| RtpEncodingParameters {
                ssrc: ssrc(),
                rtx: shared.rtx_payload_type.map(|_| RtxParameters { ssrc: ssrc() }),
                profile: info.simulcast.map(|_| *profile),
            })
            .collect();
        let mux_id = transport.next_mux_id.to_string();
        transport.next_mux_id += 1;
        let payload_type = shared.capability.preferred_payload_type;
        let kind = info.kind();
        let streams_to_be: Vec<_> = encodings.iter().map(RtpEncodingParameters::encoding).collect();
        let parameters = SenderParameters { mux_id: &mux_id, kind, payload_type, encodings: &streams_to_be };
        let cname = connection.add_sender(producer, streams, parameters, &mut self.rng);
        self.journal.answer(now, id, || EngineAnswer::Cname(cname.clone()));
        let rtp_parameters = self.capabilities.sending(shared, mux_id, cname, encodings);
        let request = Request::CreateProducer {
            id: info.server_id,
            kind,
            transport_id: transport.server_id,
            rtp_parameters: rtp_parameters.clone(),
            paused: info.announce(rtp_parameters),
            app_data: info.app_data.clone(),
        };
        let waiting = Waiting::CreateProducer { transport: id, producer, id: info.server_id };
        self.request(now, request, waiting)
    }

    pub(super) fn producer_created(&mut self, now: Instant, transport: TransportId, id: ProducerId) {
        let mut effects = Vec::new();
        if let (Some(producer), Some(on)) = (self.producers.get_mut(&id), self.transports.get_mut(&transport)) {
            on.producers_handled += 1;
            producer.created(on.producers_handled, &mut effects);
        }
        self.apply(now, id, &mut effects);
        self.operation_ended(now, transport, Ok(()));
    }

    /// `createProducer` was refused because of its id. What was in the way is undone by now, or the id is another.
    pub(super) fn create_producer_again(&mut self, now: Instant, id: TransportId, producer: ProducerId) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.in_flight = None;
        match transport.operations.front().and_then(Operation::id) {
            Some(_) => {
                self.unannounce(now, id, producer);
                self.next_operation_of(now, id);
            }
            // It was closed meanwhile.
            None => self.operation_ended(now, id, Err(OperationError::ProducerClosed)),
        }
    }

    /// Ends the streams of a producer on a transport. They are the producer's again, if it is still there.
    pub(super) fn remove_streams(
        &mut self,
        now: Instant,
        transport: TransportId,
        producer: ProducerId,
        parameters: &crate::v2::rtp::RtpParameters,
    ) {
        let Some(info) = self.transports.get_mut(&transport) else { return };
        for encoding in &parameters.encodings {
            info.ssrcs.remove(&encoding.ssrc);
            if let Some(rtx) = encoding.rtx {
                info.ssrcs.remove(&rtx.ssrc);
            }
        }
        let streams = info.connection.as_mut().and_then(|connection| connection.remove_sender(now, producer));
        if let (Some(producer), Some(streams)) = (self.producers.get_mut(&producer), streams) {
            producer.streams = Some(streams);
        }
        self.settle(transport);
    }

    pub(super) fn close_producer(
        &mut self,
        now: Instant,
        id: ProducerId,
        originator: Originator,
        app_data: Option<Value>,
    ) {
        self.send_paced(now, id);
        let Some(mut producer) = self.producers.remove(&id) else { return };
        self.producers_at_server.remove(&producer.server_id);
        let mut effects = Vec::new();
        let silently = self.state == RoomState::Closed;
        match originator {
            Originator::Local => producer.close(silently, app_data.clone(), &mut effects),
            Originator::Remote => producer.remote_close(app_data.clone(), &mut effects),
        }
        match producer.lifecycle {
            Lifecycle::Unhandled => {}
            Lifecycle::Handled { transport, rtp_parameters, .. } => {
                self.remove_streams(now, transport, id, &rtp_parameters);
                self.reallocate(transport);
            }
            Lifecycle::Pending { transport, operation, announced } => {
                let then = match originator {
                    Originator::Local => Some(Notification::CloseProducer { id: producer.server_id, app_data }),
                    Originator::Remote => None,
                };
                self.abandon(now, transport, operation, announced.is_some(), then);
                if let Some(announced) = announced {
                    self.remove_streams(now, transport, id, &announced.rtp_parameters);
                }
            }
        }
        self.apply(now, id, &mut effects);
    }

    /// A producer was closed while it was being sent. If its request is out, `then` follows the answer; if not, nothing
    /// is ever said of it.
    pub(super) fn abandon(
        &mut self,
        now: Instant,
        transport: TransportId,
        operation: OperationId,
        announced: bool,
        then: Option<Notification>,
    ) {
        let Some(info) = self.transports.get_mut(&transport) else { return };
        match info.operations.front_mut() {
            // Its transport is being created for it; the next in the queue will use that.
            Some(front) if front.id() == Some(operation) && announced => *front = Operation::Abandoned { then },
            _ => info.operations.retain(|queued| queued.id() != Some(operation)),
        }
        self.settled(operation, Err(OperationError::ProducerClosed));
        self.next_operation_of(now, transport);
    }

    pub(super) fn replace_track(
        &mut self,
        now: Instant,
        id: ProducerId,
        track: Track,
    ) -> Result<(), ReplaceTrackError> {
        let kind = self.producer_mut(id)?.kind();
        if track.ended() {
            return Err(ReplaceTrackError::TrackEnded);
        }
        if track.kind() != kind {
            return Err(ReplaceTrackError::TrackKind(kind));
        }
        let clone = track.clone_as(self.track_id());
        Ok(self.with_producer(now, id, |producer, effects| producer.replace_track(track, clone, effects))?)
    }
}
