//! Every transition of the room and, through it, of transports and producers.

use std::time::Instant;

use serde_json::Value;

use super::Room;
use super::inflight::Waiting;
use crate::crypto::DtlsFailure;
use crate::error::{CommandError, OperationError};
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::input::{Accepted, Command};
use crate::ortc::SharedCapabilities;
use crate::output::{Event, Originator, Output, ProducerEvent, TransportEvent};
use crate::producer::state::{Effect, Lifecycle, Paused, stats_interval};
use crate::producer::stream::Streams;
use crate::producer::{ProducerInfo, Track};
use crate::protocol::{self, DtlsParameters, Notification, Refusal, Request, RoomSettings, ServerNotification, v2};
use crate::rtp::{MediaKind, Profile, RtpEncodingParameters, RtxParameters};
use crate::stats::{ProducerStats, TransportStats};
use crate::transport::TransportInfo;
use crate::transport::allocation::allocate;
use crate::transport::engine::{EngineAnswer, EngineEvent, EngineOutput};
use crate::transport::state::{Operation, State};

/// Where a room is in its life.
///
/// # Every transition
///
/// What a room does in each state with each input: `monospace` is a message of ours or the server's, and an event is
/// named with who caused it. A test keeps this table true.
///
#[doc = include_str!("../../states/room.md")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoomState {
    /// Never joined, or a join has failed.
    New,
    /// `join` is under way.
    Joining,
    /// In the room.
    Joined,
    /// Left, or closed by the server. It can be joined again.
    Closed,
}

impl std::fmt::Display for RoomState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Joining => "joining",
            Self::Joined => "joined",
            Self::Closed => "closed",
        })
    }
}

impl Room {
    pub(super) fn command(&mut self, now: Instant, command: Command) -> Result<Accepted, CommandError> {
        match command {
            Command::Join { peer_name, app_data } => return self.begin_join(now, peer_name, app_data),
            Command::Leave { app_data } => self.leave_room(now, app_data)?,
            Command::RemoteClose { app_data } => self.close_room(now, Originator::Remote, app_data),
            Command::CreateTransport { app_data } => return self.new_transport(app_data).map(Accepted::Transport),
            Command::CreateProducer { track, options, app_data } => {
                let codec = self.codec_for(&track, &options)?;
                return self.new_producer(track, codec, options.simulcast, app_data).map(Accepted::Producer);
            }
            Command::RestartIce => {
                self.require(RoomState::Joined)?;
                let ids = self.transports_in_order(|transport| transport.state != State::New);
                for id in ids {
                    // A queue that is full has an ICE restart waiting behind it soon enough.
                    let _ = self.restart_transport_ice(now, id);
                }
            }
            Command::CloseTransport { id, app_data } => {
                self.transport_mut(id)?;
                self.close_transport(now, id, Originator::Local, app_data, true);
            }
            Command::EnableTransportStats { id, interval } => {
                let transport = self.transport_mut(id)?;
                let interval = stats_interval(interval);
                transport.stats_interval = Some(interval);
                if transport.state.created() {
                    self.notify_transport_stats(id);
                }
            }
            Command::DisableTransportStats { id } => {
                let transport = self.transport_mut(id)?;
                if transport.stats_interval.take().is_some() && transport.state.created() {
                    self.outputs.notification(Notification::DisableTransportStats { id });
                }
            }
            Command::SetTransportAppData { id, app_data } => self.transport_mut(id)?.app_data = app_data,
            Command::RestartTransportIce { id } => {
                return self.restart_transport_ice(now, id).map(Accepted::Operation);
            }
            Command::AddLocalAddress { id, protocol, address } => {
                let limit = self.config.limits.local_addresses;
                let transport = self.transport_mut(id)?;
                if address.ip().is_unspecified() || address.ip().is_multicast() {
                    return Err(CommandError::BadAddress(address));
                }
                if transport.local_addresses.len() >= limit && !transport.local_addresses.contains(&(protocol, address))
                {
                    return Err(CommandError::Limit { what: "local addresses", limit });
                }
                let taken = transport.engine.as_mut().is_none_or(|e| e.add_local_address(now, protocol, address));
                if !taken && !transport.local_addresses.contains(&(protocol, address)) {
                    self.journal.answer(now, id, || EngineAnswer::AddressRefused);
                    return Err(CommandError::BadAddress(address));
                }
                transport.local_addresses.insert((protocol, address));
                self.settle(id);
            }
            Command::RemoveLocalAddress { id, protocol, address } => {
                let transport = self.transport_mut(id)?;
                if transport.local_addresses.remove(&(protocol, address))
                    && let Some(engine) = &mut transport.engine
                {
                    engine.remove_local_address(now, protocol, address);
                    self.settle(id);
                }
            }
            Command::CloseProducer { id, app_data } => {
                self.producer_mut(id)?;
                self.close_producer(now, id, Originator::Local, app_data);
            }
            Command::Send { id, transport } => return self.send(now, id, transport).map(Accepted::Operation),
            Command::Pause { id, app_data } => self.with_producer(now, id, |p, effects| p.pause(app_data, effects))?,
            Command::Resume { id, app_data } => {
                self.with_producer(now, id, |p, effects| p.resume(app_data, effects))?
            }
            Command::ReplaceTrack { id, track } => self.replace_track(now, id, track)?,
            Command::EndTrack { id } => self.with_producer(now, id, ProducerInfo::end_track)?,
            Command::EnableProducerStats { id, interval } => {
                self.with_producer(now, id, |p, effects| p.enable_stats(interval, effects))?;
            }
            Command::DisableProducerStats { id } => self.with_producer(now, id, ProducerInfo::disable_stats)?,
            Command::SetProducerAppData { id, app_data } => self.producer_mut(id)?.app_data = app_data,
        }
        Ok(Accepted::Done)
    }

    // Room.

    fn begin_join(
        &mut self,
        now: Instant,
        peer_name: String,
        app_data: Option<Value>,
    ) -> Result<Accepted, CommandError> {
        match self.state {
            RoomState::New | RoomState::Closed => {}
            RoomState::Joining | RoomState::Joined => return Err(CommandError::RoomState(self.state)),
        }
        if peer_name.is_empty() {
            return Err(CommandError::EmptyPeerName);
        }
        self.state = RoomState::Joining;
        self.announced = false;
        self.peers.clear();
        self.peer_name = Some(peer_name.clone());
        let join = self.next_operation();
        match self.config.room_settings.clone() {
            Some(settings) => self.settings_known(now, join, peer_name, app_data, settings),
            None => {
                let waiting = Waiting::QueryRoom { join, peer_name, app_data };
                self.request(now, Request::QueryRoom, waiting);
            }
        }
        Ok(Accepted::Operation(join))
    }

    fn settings_known(
        &mut self,
        now: Instant,
        join: OperationId,
        peer_name: String,
        app_data: Option<Value>,
        settings: RoomSettings,
    ) {
        self.capabilities = SharedCapabilities::new(&settings.rtp_capabilities, &self.config.codec_preferences);
        let missing = self.capabilities.missing(&settings.mandatory_codec_payload_types);
        if !missing.is_empty() {
            let name = |pt: u8| {
                let of_room = settings.rtp_capabilities.codecs.iter().find(|codec| codec.preferred_payload_type == pt);
                of_room.map_or_else(|| format!("payload type {pt}"), |codec| codec.mime_type.clone())
            };
            let names = missing.into_iter().map(name).collect();
            self.join_failed(join, OperationError::MandatoryCodecs(names));
            return;
        }
        let rtp_capabilities = self.capabilities.receiving();
        let request = Request::Join { peer_name, rtp_capabilities, spy: self.config.spy, app_data };
        self.announced = true;
        self.request(now, request, Waiting::Join { join });
    }

    fn join_failed(&mut self, join: OperationId, error: OperationError) {
        self.state = RoomState::New;
        self.announced = false;
        self.settled(join, Err(error));
    }

    fn leave_room(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), CommandError> {
        match self.state {
            RoomState::New => return Err(CommandError::RoomState(self.state)),
            RoomState::Closed => {}
            RoomState::Joining | RoomState::Joined => {
                if self.announced {
                    self.outputs.notification(Notification::Leave { app_data: app_data.clone() });
                }
                self.close_room(now, Originator::Local, app_data);
            }
        }
        Ok(())
    }

    /// Closes everything, without further messages. The order is mediasoup-client's: room, transports, producers.
    fn close_room(&mut self, now: Instant, originator: Originator, app_data: Option<Value>) {
        match self.state {
            RoomState::New | RoomState::Closed => return,
            RoomState::Joining | RoomState::Joined => {}
        }
        self.state = RoomState::Closed;
        self.announced = false;
        self.outputs.event(Event::Closed { originator, app_data });
        let joins: Vec<_> = self
            .inflight
            .cancel_all()
            .filter_map(|waiting| match waiting {
                Waiting::QueryRoom { join, .. } | Waiting::Join { join } => Some(join),
                Waiting::CreateTransport { .. } | Waiting::RestartTransport { .. } | Waiting::CreateProducer { .. } => {
                    None
                }
            })
            .collect();
        for join in joins {
            self.settled(join, Err(OperationError::RoomClosed));
        }
        for id in self.transports_in_order(|_| true) {
            self.close_transport(now, id, originator, None, false);
        }
        for id in self.producers_in_order(|_| true) {
            self.close_producer(now, id, originator, None);
        }
        self.peers.clear();
    }

    /// Ids are random; what happens to several at once happens in the order of their creation, as in mediasoup-client.
    fn transports_in_order(&self, of_interest: impl Fn(&TransportInfo) -> bool) -> Vec<TransportId> {
        let mut found: Vec<_> = self.transports.values().filter(|transport| of_interest(transport)).collect();
        found.sort_by_key(|transport| transport.order);
        found.into_iter().map(TransportInfo::id).collect()
    }

    fn producers_in_order(&self, of_interest: impl Fn(&ProducerInfo) -> bool) -> Vec<ProducerId> {
        let mut found: Vec<_> = self.producers.values().filter(|producer| of_interest(producer)).collect();
        found.sort_by_key(|producer| producer.order);
        found.into_iter().map(ProducerInfo::id).collect()
    }

    fn require(&self, state: RoomState) -> Result<(), CommandError> {
        if self.state == state { Ok(()) } else { Err(CommandError::RoomState(self.state)) }
    }

    // Requests and their answers.

    fn request(&mut self, now: Instant, request: Request, waiting: Waiting) -> Option<RequestId> {
        let limit = self.config.limits.pending_requests;
        if self.inflight.len() >= limit {
            self.failed(now, waiting, OperationError::TooManyRequests(limit));
            return None;
        }
        let timeout = self.config.request_timeout;
        let id = self.inflight.begin(request.method(), waiting, now, timeout);
        self.outputs.message(Output::Request { id, request });
        Some(id)
    }

    pub(super) fn response(&mut self, now: Instant, id: RequestId, result: Result<Value, Refusal>) {
        let Some((waiting, _)) = self.inflight.end(id) else {
            self.stats.messages_unexpected += 1;
            return;
        };
        match result {
            Ok(data) => self.answered(now, waiting, data),
            Err(refusal) => self.failed(now, waiting, refusal.into()),
        }
    }

    fn answered(&mut self, now: Instant, waiting: Waiting, data: Value) {
        let outcome = match &waiting {
            Waiting::QueryRoom { join, peer_name, app_data } => v2::room_settings(data).map(|settings| {
                self.settings_known(now, *join, peer_name.clone(), app_data.clone(), settings);
            }),
            Waiting::Join { join } => v2::joined(&data).map(|peers| self.joined_room(*join, peers)),
            Waiting::CreateTransport { transport } => {
                v2::remote_transport(data).map(|remote| self.transport_created(now, *transport, &remote))
            }
            Waiting::RestartTransport { transport } => {
                v2::restarted(data).map(|parameters| self.ice_restarted(now, *transport, &parameters))
            }
            Waiting::CreateProducer { transport, producer } => {
                self.producer_created(now, *transport, *producer);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            self.stats.messages_malformed += 1;
            self.failed(now, waiting, OperationError::InvalidResponse(error.to_string()));
        }
    }

    /// A request has failed: refused, timed out, or its answer makes no sense.
    pub(super) fn failed(&mut self, now: Instant, waiting: Waiting, error: OperationError) {
        match waiting {
            Waiting::QueryRoom { join, .. } | Waiting::Join { join } => self.join_failed(join, error),
            Waiting::CreateTransport { transport } => {
                if error_is_silence(&error) {
                    // The server may have made it all the same: it must not keep what nobody uses.
                    self.outputs.notification(Notification::CloseTransport { id: transport, app_data: None });
                }
                if let Some(info) = self.transports.get_mut(&transport) {
                    info.state = State::New;
                    info.engine = None;
                }
                self.operation_failed(now, transport, error);
            }
            Waiting::RestartTransport { transport } => self.operation_failed(now, transport, error),
            Waiting::CreateProducer { transport, producer } => {
                if error_is_silence(&error) {
                    self.outputs.notification(Notification::CloseProducer { id: producer, app_data: None });
                }
                self.operation_failed(now, transport, error);
            }
        }
    }

    fn joined_room(&mut self, join: OperationId, peers: Vec<protocol::Peer>) {
        self.state = RoomState::Joined;
        for peer in &peers {
            self.remember(peer.clone());
        }
        self.outputs.event(Event::Joined { peers });
        self.settled(join, Ok(()));
    }

    fn remember(&mut self, peer: protocol::Peer) {
        if self.peers.len() < self.config.limits.peers || self.peers.contains_key(&peer.name) {
            self.peers.insert(peer.name.clone(), peer);
        } else {
            self.stats.peers_dropped += 1;
        }
    }

    // Notifications of the server.

    pub(super) fn server_notification(&mut self, now: Instant, message: Value) {
        let notification = match v2::server_notification(&message) {
            Ok(notification) => notification,
            Err(_) => {
                self.stats.messages_malformed += 1;
                return;
            }
        };
        if !self.announced {
            self.stats.messages_unexpected += 1;
            return;
        }
        let known = match notification {
            ServerNotification::Closed { app_data } => {
                self.close_room(now, Originator::Remote, app_data);
                true
            }
            ServerNotification::TransportClosed { id, app_data } => {
                let known = self.transports.contains_key(&id);
                if known {
                    self.close_transport(now, id, Originator::Remote, app_data, false);
                }
                known
            }
            ServerNotification::TransportStats { id, stats } => {
                let known = self.transports.contains_key(&id);
                if known {
                    let stats = stats.into_iter().map(transport_stats).collect();
                    self.outputs.event(Event::Transport { id, event: TransportEvent::Stats { stats } });
                }
                known
            }
            ServerNotification::ProducerPaused { id, app_data } => {
                self.with_producer(now, id, |p, effects| p.remote_pause(app_data, effects)).is_ok()
            }
            ServerNotification::ProducerResumed { id, app_data } => {
                self.with_producer(now, id, |p, effects| p.remote_resume(app_data, effects)).is_ok()
            }
            ServerNotification::ProducerClosed { id, app_data } => {
                let known = self.producers.contains_key(&id);
                if known {
                    self.close_producer(now, id, Originator::Remote, app_data);
                }
                known
            }
            ServerNotification::ProducerStats { id, stats } => {
                let known = self.producers.contains_key(&id);
                if known {
                    let stats = stats.into_iter().map(producer_stats).collect();
                    self.outputs.event(Event::Producer { id, event: ProducerEvent::Stats { stats } });
                }
                known
            }
            ServerNotification::NewPeer { peer } => {
                self.remember(peer.clone());
                self.outputs.event(Event::NewPeer { peer });
                true
            }
            ServerNotification::PeerClosed { name, app_data } => {
                self.peers.remove(&name);
                self.outputs.event(Event::PeerClosed { name, app_data });
                true
            }
            ServerNotification::Other { .. } => {
                self.outputs.event(Event::Notification { message });
                true
            }
        };
        if !known {
            self.stats.messages_unexpected += 1;
        }
    }

    // Transports.

    fn new_transport(&mut self, app_data: Option<Value>) -> Result<TransportId, CommandError> {
        self.require(RoomState::Joined)?;
        if self.config.spy {
            return Err(CommandError::Spy);
        }
        let limit = self.config.limits.transports;
        if self.transports.len() >= limit {
            return Err(CommandError::Limit { what: "transports", limit });
        }
        let id = loop {
            let id = TransportId::new(self.rng.eight_digits());
            if !self.transports.contains_key(&id) {
                break id;
            }
        };
        self.created += 1;
        self.transports.insert(id, TransportInfo::new(id, self.created, app_data));
        Ok(id)
    }

    fn transport_mut(&mut self, id: TransportId) -> Result<&mut TransportInfo, CommandError> {
        self.transports.get_mut(&id).ok_or(CommandError::TransportNotFound(id))
    }

    fn notify_transport_stats(&mut self, id: TransportId) {
        if let Some(interval) = self.transports.get(&id).and_then(|transport| transport.stats_interval) {
            let interval_ms = interval.as_millis() as u64;
            self.outputs.notification(Notification::EnableTransportStats { id, interval_ms });
        }
    }

    fn restart_transport_ice(&mut self, now: Instant, id: TransportId) -> Result<OperationId, CommandError> {
        let transport = self.transport_mut(id)?;
        if transport.state == State::New {
            return Err(CommandError::NotStarted(id));
        }
        self.enqueue(now, id, |operation| Operation::RestartIce { operation })
    }

    fn enqueue(
        &mut self,
        now: Instant,
        id: TransportId,
        operation: impl FnOnce(OperationId) -> Operation,
    ) -> Result<OperationId, CommandError> {
        let limit = self.config.limits.operations;
        if self.transport_mut(id)?.operations.len() >= limit {
            return Err(CommandError::Limit { what: "operations on a transport", limit });
        }
        let next = self.next_operation();
        let operation = operation(next);
        if let Operation::Send { operation, producer } = &operation
            && let Some(producer) = self.producers.get_mut(producer)
        {
            producer.send(id, *operation);
        }
        self.transport_mut(id)?.operations.push_back(operation);
        self.next_operation_of(now, id);
        Ok(next)
    }

    /// Begins what is first in a transport's queue, unless something is under way.
    fn next_operation_of(&mut self, now: Instant, id: TransportId) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        if transport.in_flight.is_some() {
            return;
        }
        let Some(operation) = transport.operations.front().cloned() else { return };
        let in_flight = match operation {
            Operation::Send { producer, .. } => match transport.state {
                State::New | State::Creating => self.create_transport_at_server(now, id),
                State::Connecting | State::Connected | State::Disconnected | State::Failed => {
                    self.create_producer_at_server(now, id, producer)
                }
            },
            // Only ever first in the queue while its request is out.
            Operation::Abandoned { .. } => None,
            Operation::RestartIce { .. } => match transport.state {
                // A `send` that failed has left nothing to restart.
                State::New | State::Creating => {
                    self.operation_failed(now, id, OperationError::TransportClosed);
                    None
                }
                State::Connecting | State::Connected | State::Disconnected | State::Failed => {
                    self.request(now, Request::RestartTransport { id }, Waiting::RestartTransport { transport: id })
                }
            },
        };
        if let Some(transport) = self.transports.get_mut(&id)
            && in_flight.is_some()
        {
            transport.in_flight = in_flight;
        }
    }

    /// Ends what is first in a transport's queue, and begins the next.
    fn operation_done(&mut self, now: Instant, id: TransportId) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.in_flight = None;
        match transport.operations.pop_front() {
            Some(Operation::Send { operation, .. } | Operation::RestartIce { operation }) => {
                self.settled(operation, Ok(()));
            }
            Some(Operation::Abandoned { then: Some(notification) }) => self.outputs.notification(notification),
            Some(Operation::Abandoned { then: None }) | None => {}
        }
        self.next_operation_of(now, id);
    }

    fn operation_failed(&mut self, now: Instant, id: TransportId, error: OperationError) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.in_flight = None;
        match transport.operations.pop_front() {
            Some(Operation::Send { operation, producer }) => {
                self.unsent(now, id, producer);
                self.settled(operation, Err(error));
            }
            Some(Operation::RestartIce { operation }) => self.settled(operation, Err(error)),
            Some(Operation::Abandoned { .. }) | None => {}
        }
        self.next_operation_of(now, id);
    }

    /// A `send` came to nothing.
    fn unsent(&mut self, now: Instant, id: TransportId, producer: ProducerId) {
        let Some(producer) = self.producers.get_mut(&producer) else { return };
        if let Lifecycle::Pending { announced: Some(announced), .. } = &producer.lifecycle {
            let parameters = announced.rtp_parameters.clone();
            producer.not_created();
            self.remove_streams(now, id, &parameters);
        } else {
            producer.not_created();
        }
    }

    fn create_transport_at_server(&mut self, now: Instant, id: TransportId) -> Option<RequestId> {
        let engine = match self.engines.engine(now, &self.capabilities) {
            Ok(engine) => {
                self.journal.answer(now, id, || EngineAnswer::Made(engine.fingerprint()));
                engine
            }
            Err(error) => {
                self.journal.answer(now, id, || EngineAnswer::NotMade(error.clone()));
                self.operation_failed(now, id, OperationError::Setup(error));
                return None;
            }
        };
        let transport = self.transports.get_mut(&id)?;
        let dtls_parameters = DtlsParameters { role: self.config.dtls_role, fingerprints: vec![engine.fingerprint()] };
        transport.engine = Some(engine);
        transport.state = State::Creating;
        let request = Request::CreateTransport {
            id,
            options: self.config.transport_options,
            dtls_parameters,
            app_data: transport.app_data.clone(),
        };
        self.request(now, request, Waiting::CreateTransport { transport: id })
    }

    fn transport_created(&mut self, now: Instant, id: TransportId, remote: &protocol::RemoteTransport) {
        let role = self.config.dtls_role;
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.in_flight = None;
        let Some(engine) = &mut transport.engine else { return };
        for (protocol, address) in &transport.local_addresses {
            engine.add_local_address(now, *protocol, *address);
        }
        if let Err(error) = engine.connect(now, remote, role) {
            transport.state = State::New;
            transport.engine = None;
            self.journal.answer(now, id, || EngineAnswer::NotStarted(error.clone()));
            self.outputs.notification(Notification::CloseTransport { id, app_data: None });
            self.operation_failed(now, id, OperationError::Setup(error));
            return;
        }
        let mut candidates = remote.ice_candidates.clone();
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        transport.remote_candidates.clone_from(&candidates);
        self.outputs.event(Event::Transport { id, event: TransportEvent::RemoteCandidates { candidates } });
        self.set_transport_state(id, State::Connecting);
        self.notify_transport_stats(id);
        self.settle(id);
        // The operation that brought the transport about is still first in its queue.
        self.next_operation_of(now, id);
    }

    fn ice_restarted(&mut self, now: Instant, id: TransportId, parameters: &protocol::IceParameters) {
        if let Some(transport) = self.transports.get_mut(&id) {
            let lost = transport.state == State::Failed;
            if let Some(engine) = &mut transport.engine {
                engine.restart_ice(now, parameters);
            }
            if lost {
                self.set_transport_state(id, State::Connecting);
            }
            self.settle(id);
        }
        self.operation_done(now, id);
    }

    fn set_transport_state(&mut self, id: TransportId, state: State) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        let before = transport.connection_state();
        transport.state = state;
        let state = transport.connection_state();
        if state != before {
            self.outputs.event(Event::Transport { id, event: TransportEvent::ConnectionStateChange { state } });
        }
    }

    /// Closes a transport. Its producers are un-handled, and can be sent over another.
    fn close_transport(
        &mut self,
        now: Instant,
        id: TransportId,
        originator: Originator,
        app_data: Option<Value>,
        tell_server: bool,
    ) {
        // What waits leaves first: no RTP follows the word that its producer is un-handled.
        if let Some(transport) = self.transports.get_mut(&id) {
            transport.send_paced(now);
            self.settle(id);
        }
        let Some(mut transport) = self.transports.remove(&id) else { return };
        if let Some(request) = transport.in_flight {
            self.inflight.end(request);
        }
        // While creating, the request is on its way, and the server reads in order.
        if tell_server && transport.state != State::New {
            if transport.stats_interval.is_some() && transport.state.created() {
                self.outputs.notification(Notification::DisableTransportStats { id });
            }
            self.outputs.notification(Notification::CloseTransport { id, app_data: app_data.clone() });
        }
        let error = match self.state {
            RoomState::New | RoomState::Joining | RoomState::Joined => OperationError::TransportClosed,
            RoomState::Closed => OperationError::RoomClosed,
        };
        for operation in transport.operations.iter().filter_map(Operation::id) {
            self.settled(operation, Err(error.clone()));
        }
        let mut effects = Vec::new();
        let on_it = self.producers_in_order(|producer| producer.transport() == Some(id));
        for producer in on_it {
            if let Some(producer) = self.producers.get_mut(&producer) {
                producer.transport_closed(&mut effects);
            }
            self.apply(now, producer, &mut effects);
        }
        if let Some(engine) = &mut transport.engine {
            engine.close(now);
            while let Some(output) = engine.poll_output() {
                match output {
                    EngineOutput::Transmit(transmit) => self.outputs.transmit(transmit),
                    EngineOutput::Event(_) => {}
                }
            }
        }
        self.outputs.event(Event::Transport { id, event: TransportEvent::Close { originator, app_data } });
    }

    // Producers.

    fn codec_for(
        &self,
        track: &Track,
        options: &crate::config::ProducerOptions,
    ) -> Result<crate::rtp::Codec, CommandError> {
        self.require(RoomState::Joined)?;
        if self.config.spy {
            return Err(CommandError::Spy);
        }
        if track.ended() {
            return Err(CommandError::TrackEnded);
        }
        let kind = track.kind();
        let mismatch = options.codec.is_some_and(|codec| codec.kind() != kind);
        if mismatch || (options.simulcast.is_some() && kind == MediaKind::Audio) {
            return Err(CommandError::OptionsMismatch(kind));
        }
        let shared = self.capabilities.codec(kind, options.codec);
        shared.map(|shared| shared.codec).ok_or(CommandError::CannotSend { kind, codec: options.codec })
    }

    fn new_producer(
        &mut self,
        track: Track,
        codec: crate::rtp::Codec,
        simulcast: Option<crate::config::SimulcastOptions>,
        app_data: Option<Value>,
    ) -> Result<ProducerId, CommandError> {
        let limit = self.config.limits.producers;
        if self.producers.len() >= limit {
            return Err(CommandError::Limit { what: "producers", limit });
        }
        let id = loop {
            let id = ProducerId::new(self.rng.eight_digits());
            if !self.producers.contains_key(&id) {
                break id;
            }
        };
        let clone = track.clone_as(self.track_id());
        self.created += 1;
        let producer = ProducerInfo {
            id,
            order: self.created,
            codec,
            simulcast,
            paused: Paused { local: !track.enabled(), remote: false },
            track: clone,
            original_track: track,
            app_data,
            lifecycle: Lifecycle::Unhandled,
            stats_interval: None,
            closed: false,
            streams: Streams::new(codec, &mut self.rng),
        };
        self.producers.insert(id, producer);
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

    fn producer_mut(&mut self, id: ProducerId) -> Result<&mut ProducerInfo, CommandError> {
        self.producers.get_mut(&id).ok_or(CommandError::ProducerNotFound(id))
    }

    /// Makes a transition of a producer, and does what follows from it.
    fn with_producer(
        &mut self,
        now: Instant,
        id: ProducerId,
        transition: impl FnOnce(&mut ProducerInfo, &mut Vec<Effect>),
    ) -> Result<(), CommandError> {
        let mut effects = Vec::new();
        self.send_paced(now, id);
        transition(self.producer_mut(id)?, &mut effects);
        self.apply(now, id, &mut effects);
        Ok(())
    }

    fn send_paced(&mut self, now: Instant, id: ProducerId) {
        let Some(transport) = self.producers.get(&id).and_then(ProducerInfo::transport) else { return };
        if let Some(info) = self.transports.get_mut(&transport) {
            info.send_paced(now);
            self.settle(transport);
        }
    }

    fn apply(&mut self, now: Instant, id: ProducerId, effects: &mut Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Notify(notification) => self.outputs.notification(notification),
                Effect::Emit(event) => self.outputs.event(Event::Producer { id, event }),
                Effect::KeyFrames => self.request_key_frames(now, id),
            }
        }
    }

    /// Asks for a key frame of every layer, if media can flow.
    fn request_key_frames(&mut self, now: Instant, id: ProducerId) {
        let Some(producer) = self.producers.get_mut(&id) else { return };
        let flows = producer.transport().and_then(|id| self.transports.get(&id)).is_some_and(TransportInfo::flows);
        if !flows || producer.kind() != MediaKind::Video {
            return;
        }
        for profile in producer.streams.profiles().collect::<Vec<_>>() {
            if let Some(stream) = producer.streams.stream_mut(profile) {
                stream.key_frame_needed(now);
                self.outputs.event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { profile } });
            }
        }
    }

    fn send(&mut self, now: Instant, id: ProducerId, transport: TransportId) -> Result<OperationId, CommandError> {
        let producer = self.producer_mut(id)?;
        match producer.lifecycle {
            Lifecycle::Unhandled => {}
            Lifecycle::Pending { .. } | Lifecycle::Handled { .. } => return Err(CommandError::AlreadyHandled(id)),
        }
        self.transport_mut(transport)?;
        self.enqueue(now, transport, |operation| Operation::Send { operation, producer: id })
    }

    fn create_producer_at_server(&mut self, now: Instant, id: TransportId, producer: ProducerId) -> Option<RequestId> {
        let transport = self.transports.get_mut(&id)?;
        let info = self.producers.get_mut(&producer)?;
        let shared = self.capabilities.codec(info.kind(), Some(info.codec))?;
        let profiles: &[Option<Profile>] = match info.simulcast {
            None => &[None],
            Some(_) => &[Some(Profile::Low), Some(Profile::Medium), Some(Profile::High)],
        };
        let mut ssrc = || loop {
            let ssrc = self.rng.next_u32();
            if ssrc != 0 && transport.ssrcs.insert(ssrc) {
                break ssrc;
            }
        };
        let encodings: Vec<_> = profiles
            .iter()
            .map(|profile| RtpEncodingParameters {
                ssrc: ssrc(),
                rtx: shared.rtx_payload_type.map(|_| RtxParameters { ssrc: ssrc() }),
                profile: *profile,
            })
            .collect();
        let mux_id = transport.next_mux_id.to_string();
        transport.next_mux_id += 1;
        let cname = transport.engine.as_mut()?.add_streams(&mux_id, info.kind(), &encodings);
        self.journal.answer(now, id, || EngineAnswer::Cname(cname.clone()));
        info.streams.start(shared.capability.preferred_payload_type, &encodings, &mut self.rng);
        let rtp_parameters = self.capabilities.sending(shared, mux_id, cname, encodings);
        let request = Request::CreateProducer {
            id: producer,
            kind: info.kind(),
            transport_id: id,
            rtp_parameters: rtp_parameters.clone(),
            paused: info.announce(rtp_parameters),
            app_data: info.app_data.clone(),
        };
        self.request(now, request, Waiting::CreateProducer { transport: id, producer })
    }

    fn producer_created(&mut self, now: Instant, transport: TransportId, id: ProducerId) {
        let mut effects = Vec::new();
        if let Some(producer) = self.producers.get_mut(&id) {
            producer.created(&mut effects);
        }
        self.apply(now, id, &mut effects);
        self.reallocate(transport);
        self.operation_done(now, transport);
    }

    fn remove_streams(&mut self, now: Instant, transport: TransportId, parameters: &crate::rtp::RtpParameters) {
        let Some(info) = self.transports.get_mut(&transport) else { return };
        for encoding in &parameters.encodings {
            info.ssrcs.remove(&encoding.ssrc);
            if let Some(rtx) = encoding.rtx {
                info.ssrcs.remove(&rtx.ssrc);
            }
        }
        if let Some(engine) = &mut info.engine {
            engine.remove_streams(&parameters.mux_id);
            engine.flush(now);
        }
        self.settle(transport);
    }

    fn close_producer(&mut self, now: Instant, id: ProducerId, originator: Originator, app_data: Option<Value>) {
        self.send_paced(now, id);
        let Some(mut producer) = self.producers.remove(&id) else { return };
        let mut effects = Vec::new();
        let silently = self.state == RoomState::Closed;
        match originator {
            Originator::Local => producer.close(silently, app_data.clone(), &mut effects),
            Originator::Remote => producer.remote_close(app_data.clone(), &mut effects),
        }
        match producer.lifecycle {
            Lifecycle::Unhandled => {}
            Lifecycle::Handled { transport, rtp_parameters } => {
                self.remove_streams(now, transport, &rtp_parameters);
                self.reallocate(transport);
            }
            Lifecycle::Pending { transport, operation, announced } => {
                let then = match originator {
                    Originator::Local => Some(Notification::CloseProducer { id, app_data }),
                    Originator::Remote => None,
                };
                self.abandon(now, transport, operation, announced.is_some(), then);
                if let Some(announced) = announced {
                    self.remove_streams(now, transport, &announced.rtp_parameters);
                }
            }
        }
        self.apply(now, id, &mut effects);
    }

    /// A producer was closed while it was being sent. If its request is out, `then` follows the answer; if not, nothing
    /// is ever said of it.
    fn abandon(
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

    fn replace_track(&mut self, now: Instant, id: ProducerId, track: Track) -> Result<(), CommandError> {
        let kind = self.producer_mut(id)?.kind();
        if track.ended() {
            return Err(CommandError::TrackEnded);
        }
        if track.kind() != kind {
            return Err(CommandError::TrackKind(kind));
        }
        let clone = track.clone_as(self.track_id());
        self.with_producer(now, id, |producer, effects| producer.replace_track(track, clone, effects))
    }

    // The media plane.

    /// Takes all that a transport's engine has to say.
    pub(super) fn settle(&mut self, id: TransportId) {
        while let Some(output) = self.transports.get_mut(&id).and_then(|t| t.engine.as_mut()?.poll_output()) {
            match output {
                EngineOutput::Transmit(transmit) => self.outputs.transmit(transmit),
                EngineOutput::Event(event) => self.heard.push_back((id, event)),
            }
        }
    }

    pub(super) fn engine_says(&mut self, now: Instant, id: TransportId, event: EngineEvent) {
        match event {
            EngineEvent::Connected => {
                self.set_transport_state(id, State::Connected);
                let on_it = self.producers_in_order(|producer| {
                    producer.handled() && producer.transport() == Some(id) && !producer.paused()
                });
                for producer in on_it {
                    self.request_key_frames(now, producer);
                }
            }
            EngineEvent::Disconnected => {
                let connected = self.transports.get(&id).is_some_and(TransportInfo::flows);
                self.set_transport_state(id, if connected { State::Disconnected } else { State::Failed });
            }
            EngineEvent::Closed => self.set_transport_state(id, State::Failed),
            EngineEvent::Failed(cause) => self.dtls_failed(now, id, cause),
            EngineEvent::KeyFrameRequest { ssrc } => {
                // One that cannot be heeded yet is not passed on: it is asked for again when media can flow.
                let able = |producer: &&mut ProducerInfo| producer.handled() && !producer.paused();
                let stream = self.producers.values_mut().filter(able).find_map(|producer| {
                    let id = producer.id;
                    producer.streams.by_ssrc(ssrc).map(|(profile, stream)| (id, profile, stream.request_key_frame(now)))
                });
                if let Some((id, profile, true)) = stream {
                    self.outputs.event(Event::Producer { id, event: ProducerEvent::KeyFrameRequest { profile } });
                }
            }
            EngineEvent::BitrateLimit { bitrate_bps } => {
                if let Some(transport) = self.transports.get_mut(&id)
                    && transport.limit_means_video(now)
                {
                    transport.bitrate_limit_bps = Some(bitrate_bps);
                    self.reallocate(id);
                }
            }
            EngineEvent::StreamFeedback { ssrc, feedback } => {
                let stream = self.producers.values_mut().find_map(|producer| producer.streams.by_ssrc(ssrc));
                if let Some((_, stream)) = stream {
                    stream.set_feedback(feedback);
                }
            }
        }
    }

    fn dtls_failed(&mut self, now: Instant, id: TransportId, cause: DtlsFailure) {
        self.outputs.event(Event::Transport { id, event: TransportEvent::Failed { cause } });
        self.set_transport_state(id, State::Failed);
        self.close_transport(now, id, Originator::Local, None, true);
    }

    /// Divides what the server can take among the video layers of a transport, and tells the encoders what is new.
    fn reallocate(&mut self, id: TransportId) {
        let Some(limit) = self.transports.get(&id).and_then(|transport| transport.bitrate_limit_bps) else { return };
        let mut layers = Vec::new();
        let mut audio = 0;
        for (index, producer) in self.producers.values().enumerate() {
            if !producer.handled() || producer.transport() != Some(id) || producer.paused() {
                continue;
            }
            match producer.kind() {
                MediaKind::Audio => audio += 1,
                MediaKind::Video => layers.extend(producer.streams.profiles().map(|profile| {
                    let max = producer.simulcast.and_then(|simulcast| simulcast.bitrate_bps(profile));
                    (index, producer.id, profile, max.map(u64::from))
                })),
            }
        }
        let wants: Vec<_> = layers.iter().map(|(index, _, _, max)| (*index, *max)).collect();
        for ((_, id, profile, _), bitrate_bps) in layers.into_iter().zip(allocate(limit, audio, &wants)) {
            let stream = self.producers.get_mut(&id).and_then(|producer| producer.streams.stream_mut(profile));
            if stream.is_some_and(|stream| stream.set_target_bitrate(bitrate_bps)) {
                let event = ProducerEvent::TargetBitrate { profile, bitrate_bps };
                self.outputs.event(Event::Producer { id, event });
            }
        }
    }
}

/// No answer, or one that makes no sense: the server may have done what it was asked.
fn error_is_silence(error: &OperationError) -> bool {
    matches!(error, OperationError::TimedOut { .. } | OperationError::InvalidResponse(_))
}

fn producer_stats(raw: Value) -> ProducerStats {
    ProducerStats { stream: serde_json::from_value(raw.clone()).ok(), raw }
}

fn transport_stats(raw: Value) -> TransportStats {
    TransportStats { transport: serde_json::from_value(raw.clone()).ok(), raw }
}
