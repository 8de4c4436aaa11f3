//! What goes into a room becomes effects.

use std::time::Instant;

use serde_json::Value;

use super::Room;
use super::inflight::Makes;
use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::connection::streams::Streams;
use crate::event::Originator;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::json;
use crate::rtp::{Codec, MediaKind};
use crate::track::Track;
use crate::v2::config::{ProducerOptions, SimulcastOptions};
use crate::v2::effect::Effect;
use crate::v2::error::{
    AddAddressError, CommandError, CreateProducerError, CreateTransportError, InvalidResponse, ProducerError,
    ReplaceTrackError, RequestFailure, RestartIceError, RoomError, SendError, TransportError,
};
use crate::v2::input::{Accepted, Command};
use crate::v2::join::RoomState;
use crate::v2::output::{Event, ProducerEvent, TransportEvent};
use crate::v2::producer::{Input as ProducerInput, ProducerInfo};
use crate::v2::protocol::{Refusal, ServerNotification, wire};
use crate::v2::stats::{ProducerStats, TransportStats};
use crate::v2::transport::{Input as TransportInput, Operation};
use crate::v2::{join, producer, transport};

/// What the application commands.
impl Room {
    pub(super) fn command(&mut self, now: Instant, command: Command) -> Result<Accepted, CommandError> {
        match command {
            Command::Join { peer_name, app_data } => {
                self.join.may_join(&peer_name)?;
                let operation = self.next_operation();
                self.run(now, [Effect::Join(join::Input::Join { operation, peer_name, app_data })]);
                return Ok(Accepted::Operation(operation));
            }
            Command::Leave { app_data } => {
                if self.state() == RoomState::New {
                    return Err(RoomError::RoomState(RoomState::New).into());
                }
                self.run(now, [Effect::Join(join::Input::Leave { app_data })]);
            }
            Command::RemoteClose { app_data } => {
                self.run(now, [Effect::Join(join::Input::RemoteClose { app_data })]);
            }
            Command::CreateTransport { app_data } => return Ok(Accepted::Transport(self.new_transport(app_data)?)),
            Command::CreateProducer { track, options, app_data } => {
                let codec = self.codec_for(&track, &options)?;
                return Ok(Accepted::Producer(self.new_producer(track, codec, options.simulcast, app_data)?));
            }
            Command::RestartIce => {
                self.join.require_joined().map_err(RoomError::RoomState)?;
                let ids = self.transports_in_order(transport::Machine::begun);
                // A queue that is full takes none; those on the other transports go on.
                let begun = ids.into_iter().filter_map(|id| self.restart_ice_on(now, id).ok());
                return Ok(Accepted::Operations(begun.collect()));
            }
            Command::CloseTransport { id, app_data } => {
                self.transport_info(id).ok_or(TransportError::NotFound(id))?;
                let originator = Originator::Local;
                self.run(now, [Effect::CloseTransport { id, originator, app_data, tell_server: true }]);
            }
            Command::EnableTransportStats { id, interval } => {
                self.tell_transport(now, id, TransportInput::EnableStats { interval })?;
            }
            Command::DisableTransportStats { id } => self.tell_transport(now, id, TransportInput::DisableStats)?,
            Command::SetTransportAppData { id, app_data } => {
                self.tell_transport(now, id, TransportInput::SetAppData(app_data))?;
            }
            Command::RestartTransportIce { id } => return Ok(Accepted::Operation(self.restart_ice_on(now, id)?)),
            Command::AddLocalAddress { id, protocol, address } => {
                let limit = self.config.limits.local_addresses;
                let transport = self.transports.get(&id).ok_or(AddAddressError::NotFound(id))?;
                if address.ip().is_unspecified() || address.ip().is_multicast() {
                    return Err(AddAddressError::BadAddress(address).into());
                }
                let known = transport.info.has_address(protocol, address);
                if transport.info.local_addresses().count() >= limit && !known {
                    return Err(AddAddressError::Limit(limit).into());
                }
                let connection = self.media.connection_mut(id);
                if !connection.is_none_or(|connection| connection.add_local_address(now, protocol, address)) && !known {
                    self.journal.answer(now, id, || EngineAnswer::AddressRefused);
                    return Err(AddAddressError::BadAddress(address).into());
                }
                let added = Effect::Transport(id, TransportInput::AddAddress(protocol, address));
                self.run(now, [added, Effect::Drain(id)]);
            }
            Command::RemoveLocalAddress { id, protocol, address } => {
                let info = self.transport_info(id).ok_or(TransportError::NotFound(id))?;
                if info.has_address(protocol, address) {
                    if let Some(connection) = self.media.connection_mut(id) {
                        connection.remove_local_address(now, protocol, address);
                    }
                    let removed = Effect::Transport(id, TransportInput::RemoveAddress(protocol, address));
                    self.run(now, [removed, Effect::Drain(id)]);
                }
            }
            Command::CloseProducer { id, app_data } => {
                self.producer_info(id).ok_or(ProducerError::NotFound(id))?;
                self.run(now, [Effect::CloseProducer { id, originator: Originator::Local, app_data }]);
            }
            Command::Send { id, transport } => return Ok(Accepted::Operation(self.send(now, id, transport)?)),
            Command::Pause { id, app_data } => {
                self.tell_producer(now, id, ProducerInput::Pause { by: Originator::Local, app_data })?;
            }
            Command::Resume { id, app_data } => {
                self.tell_producer(now, id, ProducerInput::Resume { by: Originator::Local, app_data })?;
            }
            Command::ReplaceTrack { id, track } => self.replace_track(now, id, track)?,
            Command::EndTrack { id } => self.tell_producer(now, id, ProducerInput::EndTrack)?,
            Command::EnableProducerStats { id, interval } => {
                self.tell_producer(now, id, ProducerInput::EnableStats { interval })?;
            }
            Command::DisableProducerStats { id } => self.tell_producer(now, id, ProducerInput::DisableStats)?,
            Command::SetProducerAppData { id, app_data } => {
                self.tell_producer(now, id, ProducerInput::SetAppData(app_data))?;
            }
        }
        Ok(Accepted::Done)
    }

    fn tell_transport(&mut self, now: Instant, id: TransportId, input: TransportInput) -> Result<(), TransportError> {
        self.transport_info(id).ok_or(TransportError::NotFound(id))?;
        self.run(now, [Effect::Transport(id, input)]);
        Ok(())
    }

    /// What waits of its media leaves first.
    fn tell_producer(&mut self, now: Instant, id: ProducerId, input: ProducerInput) -> Result<(), ProducerError> {
        let transport = self.producer_info(id).ok_or(ProducerError::NotFound(id))?.transport();
        self.run(now, transport.map(Effect::SendAll).into_iter().chain([Effect::Producer(id, input)]));
        Ok(())
    }

    fn new_transport(&mut self, app_data: Option<Value>) -> Result<TransportId, CreateTransportError> {
        self.join.require_joined().map_err(CreateTransportError::RoomState)?;
        if self.config.spy {
            return Err(CreateTransportError::Spy);
        }
        let limit = self.config.limits.transports;
        if self.transports.len() >= limit {
            return Err(CreateTransportError::Limit(limit));
        }
        let (id, name) = self.transport_names.add(&mut self.rng);
        self.created += 1;
        let transport = transport::Machine::new(id, name, self.created, app_data);
        self.transports.insert(id, Box::new(transport));
        Ok(id)
    }

    fn codec_for(&self, track: &Track, options: &ProducerOptions) -> Result<Codec, CreateProducerError> {
        self.join.require_joined().map_err(CreateProducerError::RoomState)?;
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
        let shared = self.join.capabilities.codec(kind, options.codec);
        shared.map(|shared| shared.codec).ok_or(CreateProducerError::CannotSend { kind, codec: options.codec })
    }

    fn new_producer(
        &mut self,
        track: Track,
        codec: Codec,
        simulcast: Option<SimulcastOptions>,
        app_data: Option<Value>,
    ) -> Result<ProducerId, CreateProducerError> {
        let limit = self.config.limits.producers;
        if self.producers.len() >= limit {
            return Err(CreateProducerError::Limit(limit));
        }
        let ids @ (id, _) = self.producer_names.add(&mut self.rng);
        // mediasoup-client: of audio there is one stream, whatever is asked for.
        let simulcast = simulcast.filter(|_| track.kind() == MediaKind::Video);
        let clone = track.clone_as(self.track_id());
        self.created += 1;
        let producer = producer::Machine::new(ids, self.created, (codec, simulcast), (track, clone), app_data);
        self.media.add_streams(id, Streams::new(codec, producer.info.profiles().len(), &mut self.rng));
        self.producers.insert(id, Box::new(producer));
        Ok(id)
    }

    /// MediaStreamTrack.clone() gives a new id, a UUID (W3C mediacapture-streams section 4.3.1).
    fn track_id(&mut self) -> String {
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

    fn replace_track(&mut self, now: Instant, id: ProducerId, track: Track) -> Result<(), ReplaceTrackError> {
        let kind = self.producer_info(id).ok_or(ReplaceTrackError::NotFound(id))?.kind();
        if track.ended() {
            return Err(ReplaceTrackError::TrackEnded);
        }
        if track.kind() != kind {
            return Err(ReplaceTrackError::TrackKind(kind));
        }
        let clone = track.clone_as(self.track_id());
        Ok(self.tell_producer(now, id, ProducerInput::ReplaceTrack { original: track, clone })?)
    }

    fn send(&mut self, now: Instant, id: ProducerId, transport: TransportId) -> Result<OperationId, SendError> {
        let producer = self.producer_info(id).ok_or(SendError::ProducerNotFound(id))?;
        if producer.transport().is_some() {
            return Err(SendError::AlreadyHandled(id));
        }
        let on = self.transports.get(&transport).ok_or(SendError::TransportNotFound(transport))?;
        self.has_room(on).map_err(SendError::Limit)?;
        let operation = self.next_operation();
        let sent = Effect::Producer(id, ProducerInput::Send { transport, operation });
        let send = Operation::Send { operation, producer: id, ids_refused: 0 };
        self.run(now, [sent, Effect::Transport(transport, TransportInput::Enqueue(send))]);
        Ok(operation)
    }

    fn restart_ice_on(&mut self, now: Instant, id: TransportId) -> Result<OperationId, RestartIceError> {
        let transport = self.transports.get(&id).ok_or(RestartIceError::NotFound(id))?;
        if !transport.begun() {
            return Err(RestartIceError::NotStarted(id));
        }
        self.has_room(transport).map_err(RestartIceError::Limit)?;
        let operation = self.next_operation();
        let restart = TransportInput::Enqueue(Operation::RestartIce { operation });
        self.run(now, [Effect::Transport(id, restart)]);
        Ok(operation)
    }

    /// Whether another operation can wait for this transport; else how many do.
    fn has_room(&self, transport: &transport::Machine) -> Result<(), usize> {
        let limit = self.config.limits.operations;
        if transport.operations() < limit { Ok(()) } else { Err(limit) }
    }

    fn next_operation(&mut self) -> OperationId {
        self.last_operation += 1;
        OperationId::new(self.last_operation)
    }
}

/// What the server says.
impl Room {
    pub(super) fn response(&mut self, now: Instant, id: RequestId, result: Result<Value, Refusal>) {
        let bytes = result.as_ref().map_or_else(|refusal| refusal.reason.len(), json::weight);
        let limit = self.config.limits.message_bytes;
        let result = if bytes <= limit {
            result.map_err(RequestFailure::from)
        } else {
            Err(RequestFailure::InvalidResponse(InvalidResponse::TooLarge { bytes, limit }))
        };
        let (join, transports, producers) = (&self.join, &self.transports, &self.producers);
        let in_use = |made| match made {
            Makes::Peer => join.state == RoomState::Joined,
            Makes::Transport(name) => {
                let transport = self.transport_names.handle(name).and_then(|id| transports.get(&id));
                transport.is_some_and(|transport| transport.created())
            }
            Makes::Producer(name) => {
                let producer = self.producer_names.handle(name).and_then(|id| producers.get(&id));
                producer.is_some_and(|producer| producer.info.handled())
            }
            // The server takes no others.
            Makes::Credentials(_) => true,
        };
        let mut effects = Vec::new();
        self.inflight.answered(id, result, in_use, &mut self.stats, &mut effects);
        self.run(now, effects);
    }

    /// Requests that are overdue have failed.
    pub(super) fn expire_requests(&mut self, now: Instant) {
        while let Some((id, pending)) = self.inflight.expire(now) {
            let method = pending.method.to_owned();
            let mut effects = Vec::new();
            self.inflight.failed(id, pending, RequestFailure::TimedOut { method }, &mut effects);
            self.run(now, effects);
        }
    }

    pub(super) fn server_notification(&mut self, now: Instant, message: Value) {
        if json::weight(&message) > self.config.limits.message_bytes {
            self.stats.messages_too_large += 1;
            return;
        }
        let Ok(notification) = wire::server_notification(&message) else {
            self.stats.messages_malformed += 1;
            return;
        };
        if !self.join.announced {
            self.stats.messages_unexpected += 1;
            return;
        }
        match self.heard_from_server(notification, message) {
            Some(effect) => {
                let sent_over = match effect {
                    Effect::Producer(id, _) => self.producer_info(id).and_then(ProducerInfo::transport),
                    _ => None,
                };
                self.run(now, sent_over.map(Effect::SendAll).into_iter().chain([effect]));
            }
            None => self.stats.messages_unexpected += 1,
        }
    }

    /// What a notification brings about. None: it is about what we do not know (any more).
    fn heard_from_server(&mut self, notification: ServerNotification, message: Value) -> Option<Effect> {
        let (originator, by) = (Originator::Remote, Originator::Remote);
        Some(match notification {
            ServerNotification::Closed { app_data } => Effect::Join(join::Input::RemoteClose { app_data }),
            ServerNotification::TransportClosed { id: name, app_data } => match self.transport_names.handle(name) {
                Some(id) => Effect::CloseTransport { id, originator, app_data, tell_server: false },
                None => {
                    self.inflight.closed_by_server(name);
                    return None;
                }
            },
            ServerNotification::TransportStats { id, stats } => {
                let stats = stats.into_iter().map(transport_stats).collect();
                Effect::of_transport(self.transport_names.handle(id)?, TransportEvent::Stats { stats })
            }
            ServerNotification::ProducerPaused { id, app_data } => {
                Effect::Producer(self.producer_names.handle(id)?, ProducerInput::Pause { by, app_data })
            }
            ServerNotification::ProducerResumed { id, app_data } => {
                Effect::Producer(self.producer_names.handle(id)?, ProducerInput::Resume { by, app_data })
            }
            ServerNotification::ProducerClosed { id, app_data } => {
                Effect::CloseProducer { id: self.producer_names.handle(id)?, originator, app_data }
            }
            ServerNotification::ProducerStats { id, stats } => {
                let stats = stats.into_iter().map(producer_stats).collect();
                Effect::of_producer(self.producer_names.handle(id)?, ProducerEvent::Stats { stats })
            }
            ServerNotification::NewPeer { peer } => Effect::Join(join::Input::NewPeer(peer)),
            ServerNotification::PeerClosed { name, app_data } => {
                Effect::Join(join::Input::PeerClosed { name, app_data })
            }
            ServerNotification::Other { .. } => Effect::Emit(Event::Notification { message }),
        })
    }
}

/// What the media plane says.
impl Room {
    pub(super) fn engine_says(&mut self, now: Instant, id: TransportId, event: EngineEvent) {
        let input = match event {
            EngineEvent::Connected => TransportInput::Connected,
            EngineEvent::Disconnected => TransportInput::Disconnected,
            EngineEvent::Closed => TransportInput::Ended,
            EngineEvent::Failed(cause) => TransportInput::DtlsFailed(cause),
            EngineEvent::KeyFrameRequest { ssrc } => {
                let connection = self.media.connection_mut(id);
                let wanted = connection.and_then(|connection| connection.key_frame_wanted(ssrc));
                let Some((id, layer)) = wanted else { return };
                // One that cannot be heeded yet is not passed on: it is asked for again when media can flow.
                if self.producer_info(id).is_some_and(ProducerInfo::sends) {
                    self.request_key_frame(now, id, layer);
                }
                return;
            }
            EngineEvent::BitrateLimit { bitrate_bps } => {
                let connection = self.media.connection_mut(id);
                if connection.is_some_and(|connection| connection.set_limit(now, bitrate_bps)) {
                    self.run(now, [Effect::Reallocate(id)]);
                }
                return;
            }
            EngineEvent::StreamFeedback { ssrc, feedback } => {
                if let Some(connection) = self.media.connection_mut(id) {
                    connection.set_feedback(ssrc, feedback);
                }
                return;
            }
        };
        self.run(now, [Effect::Transport(id, input)]);
    }

    /// A frame was refused. `deltas`: for want of a key frame, which is asked for then, as the server's requests are: not
    /// more often than they, and not while there is nobody to send it to.
    pub(super) fn frame_refused(&mut self, now: Instant, id: ProducerId, layer: usize, deltas: bool) {
        if let Some(streams) = self.media.streams_mut(id) {
            streams.frame_refused(layer);
        }
        if deltas {
            self.request_key_frame(now, id, layer);
        }
    }

    /// Asks the application for a key frame, unless it was asked just now.
    fn request_key_frame(&mut self, now: Instant, id: ProducerId, layer: usize) {
        let stream = self.media.streams_mut(id).and_then(|streams| streams.stream_mut(layer));
        let news = stream.is_some_and(|stream| stream.request_key_frame(now));
        if let Some(profile) = self.profile(id, layer).filter(|_| news) {
            self.outputs.event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { profile } });
        }
    }
}

fn producer_stats(raw: Value) -> ProducerStats {
    ProducerStats { stream: serde_json::from_value(raw.clone()).ok(), raw }
}

fn transport_stats(raw: Value) -> TransportStats {
    TransportStats { transport: serde_json::from_value(raw.clone()).ok(), raw }
}
