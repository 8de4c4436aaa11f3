//! The conductor's work: what goes in becomes effects, and effects are applied from one queue in one loop until there are
//! none. What follows from an effect is done before what comes after it.

use std::time::Instant;

use super::Room;
use super::inflight::Waiting;
use crate::connection::Connection;
use crate::connection::engine::EngineAnswer;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::net::{DtlsParameters, RemoteTransport};
use crate::rtp::MediaKind;
use crate::v2::effect::Effect;
use crate::v2::error::{Failure, JoinFailure, RequestFailure, SendFailure};
use crate::v2::join::RoomState;
use crate::v2::output::{Event, Output, ProducerEvent};
use crate::v2::producer::{Input as ProducerInput, ProducerInfo};
use crate::v2::protocol::Request;
use crate::v2::rtp::Profile;
use crate::v2::transport::{self, Input as TransportInput};

impl Room {
    pub(super) fn run(&mut self, now: Instant, effects: impl IntoIterator<Item = Effect>) {
        self.effects.extend(effects);
        while let Some(effect) = self.effects.pop_front() {
            let mut then = Vec::new();
            self.apply(now, effect, &mut then);
            for effect in then.into_iter().rev() {
                self.effects.push_front(effect);
            }
        }
    }

    /// Does one thing. What follows from it goes to `then`.
    fn apply(&mut self, now: Instant, effect: Effect, then: &mut Vec<Effect>) {
        match effect {
            Effect::Notify(notification) => self.outputs.notification(notification),
            Effect::Emit(event) => self.outputs.event(event),
            Effect::Ask { request, waiting } => self.ask(now, request, waiting, then),

            Effect::Join(input) => self.join.handle(input, then),
            Effect::Transport(id, input) => {
                if let Some(transport) = self.transports.get_mut(&id) {
                    transport.handle(input, then);
                }
            }
            Effect::Producer(id, input) => {
                if let Some(producer) = self.producers.get_mut(&id) {
                    producer.handle(input, then);
                }
            }

            Effect::CreateTransport { id, operation } => self.create_transport_at_server(now, id, operation, then),
            Effect::CreateProducer { id, transport } => self.create_producer_at_server(now, id, transport, then),
            Effect::RenameTransport(id) => {
                let name = self.transport_names.rename(id, &mut self.rng);
                then.extend(name.map(|name| Effect::Transport(id, TransportInput::Renamed(name))));
            }
            Effect::RenameProducer(id) => {
                let name = self.producer_names.rename(id, &mut self.rng);
                then.extend(name.map(|name| Effect::Producer(id, ProducerInput::Renamed(name))));
            }
            Effect::Unhandle(id) => {
                let closed = |producer| Effect::Producer(producer, ProducerInput::TransportClosed);
                then.extend(self.producers_on(id).into_iter().map(closed));
            }
            Effect::CloseTransport { id, originator, app_data, tell_server } => {
                // What waits leaves first: no RTP follows the word that its producer is un-handled.
                self.media.send_all(now, id, &mut self.outputs);
                let Some(mut transport) = self.transports.remove(&id) else { return };
                self.transport_names.remove(id);
                let room_closed = self.state() == RoomState::Closed;
                transport.handle(TransportInput::Close { originator, app_data, tell_server, room_closed }, then);
            }
            Effect::CloseProducer { id, originator, app_data } => {
                let Some(transport) = self.producers.get(&id).map(|producer| producer.info.transport()) else { return };
                if let Some(transport) = transport {
                    self.media.send_all(now, transport, &mut self.outputs);
                }
                let Some(mut producer) = self.producers.remove(&id) else { return };
                self.producer_names.remove(id);
                self.media.forget_streams(id);
                let silently = self.state() == RoomState::Closed;
                producer.handle(ProducerInput::Close { by: originator, app_data, silently }, then);
            }
            Effect::CloseAtServer { asked, close } => {
                let held = close.as_ref().zip(asked).is_some_and(|(close, asked)| self.inflight.hold(asked, close));
                if held {
                    return;
                }
                if let Some(request) = asked {
                    self.inflight.cancel(request);
                }
                then.extend(close.and_then(|close| close.now()).map(Effect::Notify));
            }
            Effect::CloseAll { originator } => {
                let failed = |join| Effect::settled(join, Err(Failure::Join(JoinFailure::RoomClosed)));
                then.extend(self.inflight.cancel_all().filter_map(Waiting::join).map(failed));
                for id in self.transports_in_order(|_| true) {
                    then.push(Effect::CloseTransport { id, originator, app_data: None, tell_server: false });
                }
                for id in self.producers_in_order(|_| true) {
                    then.push(Effect::CloseProducer { id, originator, app_data: None });
                }
            }

            Effect::SendAll(id) => self.media.send_all(now, id, &mut self.outputs),
            Effect::Connect { id, operation, remote } => self.connect(now, id, operation, remote, then),
            Effect::RestartIce { id, parameters } => {
                if let Some(connection) = self.media.connection_mut(id) {
                    connection.restart_ice(now, &parameters);
                }
            }
            Effect::DropConnection(id) => self.media.drop_connection(id),
            Effect::CloseConnection(id) => self.media.close_connection(now, id, &mut self.outputs),
            Effect::RemoveStreams { producer, transport } => {
                self.media.remove_streams(now, producer, transport);
                if !self.producers.contains_key(&producer) {
                    self.media.forget_streams(producer);
                }
                self.media.drain(transport, &mut self.outputs);
            }
            Effect::Drain(id) => self.media.drain(id, &mut self.outputs),
            Effect::NewSource(id) => {
                if let Some(streams) = self.media.streams_mut(id) {
                    streams.new_source();
                }
            }
            Effect::KeyFrames(id) => self.key_frames_needed(now, id),
            Effect::KeyFramesOn(id) => {
                let on_it = self.producers_in_order(|info| info.sends() && info.transport() == Some(id));
                then.extend(on_it.into_iter().map(Effect::KeyFrames));
            }
            Effect::Reallocate(id) => self.reallocate(id),
        }
    }

    fn ask(&mut self, now: Instant, request: Request, waiting: Waiting, then: &mut Vec<Effect>) {
        let limit = self.config.limits.pending_requests;
        if self.inflight.len() >= limit {
            then.extend(waiting.not_asked(RequestFailure::TooManyRequests(limit)));
            return;
        }
        let id = self.inflight.begin(request.method(), waiting.clone(), now, self.config.request_timeout);
        then.extend(waiting.asked(id));
        self.outputs.push(Output::Request { id, request });
    }

    fn create_transport_at_server(
        &mut self,
        now: Instant,
        id: TransportId,
        operation: OperationId,
        then: &mut Vec<Effect>,
    ) {
        let Some(transport) = self.transports.get(&id) else { return };
        let engine = match self.media.engines.engine(now, &self.join.capabilities.agreed()) {
            Ok(engine) => engine,
            Err(error) => {
                self.journal.answer(now, id, || EngineAnswer::NotMade(error));
                then.push(Effect::Transport(id, TransportInput::NotAsked(SendFailure::Setup(error))));
                return;
            }
        };
        let connection = Connection::new(engine, self.config.burst, self.config.initial_bitrate_bps);
        let fingerprint = connection.fingerprint();
        self.journal.answer(now, id, || EngineAnswer::Made(fingerprint.clone()));
        self.media.add_connection(id, connection);
        let request = Request::CreateTransport {
            id: transport.info.server_id(),
            options: self.config.transport_options,
            dtls_parameters: DtlsParameters { role: self.config.dtls_role, fingerprints: vec![fingerprint] },
            app_data: transport.info.app_data().cloned(),
        };
        let waiting = Waiting::CreateTransport { transport: id, id: transport.info.server_id(), operation };
        then.push(Effect::Ask { request, waiting });
    }

    fn create_producer_at_server(
        &mut self,
        now: Instant,
        id: ProducerId,
        transport: TransportId,
        then: &mut Vec<Effect>,
    ) {
        let cannot = |error| Effect::Transport(transport, TransportInput::NotAsked(error));
        let Some(on) = self.transports.get(&transport) else { return };
        let Some(producer) = self.producers.get(&id) else {
            then.push(cannot(SendFailure::ProducerClosed));
            return;
        };
        let info = &producer.info;
        let kind = info.kind();
        let Some(shared) = self.join.capabilities.codec(kind, Some(info.codec())) else {
            then.push(cannot(SendFailure::ProducerClosed));
            return;
        };
        let layers: Vec<_> = info.profiles().iter().map(|profile| info.simulcast().map(|_| *profile)).collect();
        let Some(sending) = self.media.send(id, transport, (shared, kind, &layers), &mut self.rng) else {
            then.push(cannot(SendFailure::TransportClosed));
            return;
        };
        self.journal.answer(now, transport, || EngineAnswer::Cname(sending.cname.clone()));
        let rtp_parameters = self.join.capabilities.sending(shared, sending.mux_id, sending.cname, sending.encodings);
        let request = Request::CreateProducer {
            id: info.server_id(),
            kind,
            transport_id: on.info.server_id(),
            rtp_parameters: rtp_parameters.clone(),
            paused: info.locally_paused(),
            app_data: info.app_data().cloned(),
        };
        let waiting = Waiting::CreateProducer { transport, producer: id, id: info.server_id() };
        then.push(Effect::Producer(id, ProducerInput::Announce(rtp_parameters)));
        then.push(Effect::Ask { request, waiting });
    }

    fn connect(
        &mut self,
        now: Instant,
        id: TransportId,
        operation: OperationId,
        mut remote: RemoteTransport,
        then: &mut Vec<Effect>,
    ) {
        let candidates = &mut remote.ice_candidates;
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        let dropped = candidates.len().saturating_sub(self.config.limits.remote_candidates);
        candidates.truncate(candidates.len() - dropped);
        self.stats.candidates_dropped += dropped as u64;
        let (Some(transport), Some(connection)) = (self.transports.get(&id), self.media.connection_mut(id)) else {
            return;
        };
        for (protocol, address) in transport.info.local_addresses() {
            connection.add_local_address(now, protocol, address);
        }
        let input = match connection.connect(now, &remote, self.config.dtls_role) {
            Ok(()) => TransportInput::ConnectionBegun { candidates: remote.ice_candidates },
            Err(error) => {
                self.journal.answer(now, id, || EngineAnswer::NotStarted(error));
                TransportInput::ConnectionNotBegun { operation, error }
            }
        };
        then.push(Effect::Transport(id, input));
    }

    /// Asks for a key frame of every layer, if media can flow.
    fn key_frames_needed(&mut self, now: Instant, id: ProducerId) {
        let Some(producer) = self.producers.get(&id) else { return };
        let transport = producer.info.transport().and_then(|id| self.transports.get(&id));
        if !transport.is_some_and(|transport| transport.flows()) || producer.info.kind() != MediaKind::Video {
            return;
        }
        let Some(streams) = self.media.streams_mut(id) else { return };
        for (layer, profile) in streams.layers().zip(producer.info.profiles()) {
            if let Some(stream) = streams.stream_mut(layer) {
                stream.key_frame_needed(now);
            }
            let event = ProducerEvent::KeyFrameRequest { profile: *profile };
            self.outputs.event(Event::Producer { id, event });
        }
    }

    /// Divides what the server can take among the video layers of a transport, and tells the encoders what is new.
    fn reallocate(&mut self, id: TransportId) {
        let Some(connection) = self.media.connection_mut(id) else { return };
        let on_it = self.producers.values().map(|producer| &producer.info);
        let sending = on_it.filter(|info| info.sends() && info.transport() == Some(id)).map(|info| {
            let (simulcast, profiles) = (info.simulcast(), info.profiles());
            let max = move |layer: usize| simulcast?.bitrate_bps(*profiles.get(layer)?).map(u64::from);
            (info.id(), max)
        });
        for (id, layer, bitrate_bps) in connection.reallocate(sending) {
            let Some(profile) = self.profile(id, layer) else { continue };
            let event = ProducerEvent::TargetBitrate { profile, bitrate_bps };
            self.outputs.event(Event::Producer { id, event });
        }
    }

    /// v2's word for a layer.
    pub(super) fn profile(&self, id: ProducerId, layer: usize) -> Option<Profile> {
        self.producers.get(&id)?.info.profiles().get(layer).copied()
    }

    // Ids are random; what happens to several at once happens in the order of their creation, as in mediasoup-client.

    pub(super) fn transports_in_order(&self, of_interest: impl Fn(&transport::Machine) -> bool) -> Vec<TransportId> {
        let mut found: Vec<_> = self.transports.values().filter(|transport| of_interest(transport)).collect();
        found.sort_by_key(|transport| transport.order);
        found.into_iter().map(|transport| transport.info.id()).collect()
    }

    fn producers_in_order(&self, of_interest: impl Fn(&ProducerInfo) -> bool) -> Vec<ProducerId> {
        let mut found: Vec<_> = self.producers.values().filter(|producer| of_interest(&producer.info)).collect();
        found.sort_by_key(|producer| producer.order);
        found.into_iter().map(|producer| producer.info.id()).collect()
    }

    /// The producers of a transport, in the order in which they were handled; those that are not yet come first.
    fn producers_on(&self, transport: TransportId) -> Vec<ProducerId> {
        let of_it = |info: &&ProducerInfo| info.transport() == Some(transport);
        let mut found: Vec<_> = self.producers.values().map(|producer| &producer.info).filter(of_it).collect();
        found.sort_by_key(|info| info.handled_at());
        found.into_iter().map(ProducerInfo::id).collect()
    }
}
