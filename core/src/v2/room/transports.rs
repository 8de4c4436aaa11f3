//! Transports: their queues of operations, and how they come and go.

use std::time::Instant;

use serde_json::Value;

use super::inflight::Waiting;
use super::{Room, RoomState};
use crate::connection::Connection;
use crate::connection::engine::{EngineAnswer, EngineOutput};
use crate::event::Originator;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::net::{DtlsParameters, IceParameters, RemoteTransport};
use crate::v2::error::{CreateTransportError, OperationError, RestartIceError, TransportError};
use crate::v2::id::ServerId;
use crate::v2::output::{Event, Output, TransportEvent};
use crate::v2::producer::ProducerInfo;
use crate::v2::protocol::{Notification, Request};
use crate::v2::transport::TransportInfo;
use crate::v2::transport::state::{Next, Operation, State};

impl Room {
    pub(super) fn new_transport(&mut self, app_data: Option<Value>) -> Result<TransportId, CreateTransportError> {
        self.require(RoomState::Joined).map_err(CreateTransportError::RoomState)?;
        if self.config.spy {
            return Err(CreateTransportError::Spy);
        }
        let limit = self.config.limits.transports;
        if self.transports.len() >= limit {
            return Err(CreateTransportError::Limit(limit));
        }
        let id = self.draw_transport_id();
        self.created += 1;
        let transport = TransportInfo::new(id, self.created, app_data);
        self.transports_at_server.insert(transport.server_id, id);
        self.transports.insert(id, transport);
        Ok(id)
    }

    pub(super) fn transport_mut(&mut self, id: TransportId) -> Result<&mut TransportInfo, TransportError> {
        self.transports.get_mut(&id).ok_or(TransportError::NotFound(id))
    }

    pub(super) fn notify_transport_stats(&mut self, id: TransportId) {
        let Some(transport) = self.transports.get(&id) else { return };
        if let Some(interval) = transport.stats_interval {
            let (id, interval_ms) = (transport.server_id, interval.as_millis() as u64);
            self.outputs.notification(Notification::EnableTransportStats { id, interval_ms });
        }
    }

    pub(super) fn restart_transport_ice(
        &mut self,
        now: Instant,
        id: TransportId,
    ) -> Result<OperationId, RestartIceError> {
        let transport = self.transports.get(&id).ok_or(RestartIceError::NotFound(id))?;
        if transport.state == State::New {
            return Err(RestartIceError::NotStarted(id));
        }
        self.has_room(transport).map_err(RestartIceError::Limit)?;
        Ok(self.enqueue(now, id, |operation| Operation::RestartIce { operation }))
    }

    /// Whether another operation can wait for this transport; else how many do.
    pub(super) fn has_room(&self, transport: &TransportInfo) -> Result<(), usize> {
        let limit = self.config.limits.operations;
        if transport.operations.len() < limit { Ok(()) } else { Err(limit) }
    }

    /// Has an operation wait for a transport that is there and [has room](Self::has_room).
    pub(super) fn enqueue(
        &mut self,
        now: Instant,
        id: TransportId,
        operation: impl FnOnce(OperationId) -> Operation,
    ) -> OperationId {
        let next = self.next_operation();
        let operation = operation(next);
        if let Operation::Send { operation, producer, .. } = &operation
            && let Some(producer) = self.producers.get_mut(producer)
        {
            producer.send(id, *operation);
        }
        if let Some(transport) = self.transports.get_mut(&id) {
            transport.operations.push_back(operation);
        }
        self.next_operation_of(now, id);
        next
    }

    /// Begins what is first in a transport's queue, unless something is under way. What cannot be begun fails, and the next
    /// has its turn.
    pub(super) fn next_operation_of(&mut self, now: Instant, id: TransportId) {
        while let Some((server_id, next)) =
            self.transports.get(&id).and_then(|info| Some((info.server_id, info.next()?)))
        {
            let begun = match next {
                Next::CreateTransport { operation } => self.create_transport_at_server(now, id, server_id, operation),
                Next::CreateProducer { producer } => self.create_producer_at_server(now, id, producer),
                Next::RestartTransport => {
                    let request = Request::RestartTransport { id: server_id };
                    self.request(now, request, Waiting::RestartTransport { transport: id })
                }
                Next::Fail => Err(OperationError::TransportClosed),
            };
            match begun {
                Ok(request) => {
                    if let Some(transport) = self.transports.get_mut(&id) {
                        transport.in_flight = Some(request);
                    }
                }
                Err(error) => self.end_operation(now, id, Err(error)),
            }
        }
    }

    /// Ends what is first in a transport's queue, and begins the next.
    pub(super) fn operation_ended(&mut self, now: Instant, id: TransportId, result: Result<(), OperationError>) {
        self.end_operation(now, id, result);
        self.next_operation_of(now, id);
    }

    fn end_operation(&mut self, now: Instant, id: TransportId, result: Result<(), OperationError>) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.in_flight = None;
        match transport.operations.pop_front() {
            Some(Operation::Send { operation, producer, .. }) => {
                if result.is_err() {
                    self.unsent(now, id, producer);
                }
                self.settled(operation, result);
            }
            Some(Operation::RestartIce { operation }) => self.settled(operation, result),
            Some(Operation::Abandoned { then: Some(notification) }) if result.is_ok() => {
                self.outputs.notification(notification);
            }
            Some(Operation::Abandoned { .. }) | None => {}
        }
    }

    /// A `send` came to nothing.
    pub(super) fn unsent(&mut self, now: Instant, id: TransportId, producer: ProducerId) {
        self.unannounce(now, id, producer);
        if let Some(producer) = self.producers.get_mut(&producer) {
            producer.not_created();
        }
    }

    /// The server has not made a producer that it was asked for.
    pub(super) fn unannounce(&mut self, now: Instant, id: TransportId, producer: ProducerId) {
        if let Some(parameters) = self.producers.get_mut(&producer).and_then(ProducerInfo::unannounced) {
            self.remove_streams(now, id, producer, &parameters);
        }
    }

    fn create_transport_at_server(
        &mut self,
        now: Instant,
        id: TransportId,
        server_id: ServerId,
        operation: OperationId,
    ) -> Result<RequestId, OperationError> {
        let connection = match self.engines.engine(now, &self.capabilities.agreed()) {
            Ok(engine) => {
                self.journal.answer(now, id, || EngineAnswer::Made(engine.fingerprint()));
                Connection::new(engine, self.config.burst, self.config.initial_bitrate_bps)
            }
            Err(error) => {
                self.journal.answer(now, id, || EngineAnswer::NotMade(error));
                return Err(OperationError::Setup(error));
            }
        };
        let dtls_parameters =
            DtlsParameters { role: self.config.dtls_role, fingerprints: vec![connection.fingerprint()] };
        let request = Request::CreateTransport {
            id: server_id,
            options: self.config.transport_options,
            dtls_parameters,
            app_data: self.transports.get(&id).and_then(|transport| transport.app_data.clone()),
        };
        let waiting = Waiting::CreateTransport { transport: id, id: server_id, operation };
        let request = self.request(now, request, waiting)?;
        if let Some(transport) = self.transports.get_mut(&id) {
            transport.connection = Some(connection);
            transport.enter(State::Creating);
        }
        Ok(request)
    }

    /// `createTransport` has come to nothing. So has the operation that asked for it, if it is still wanted; whoever is next
    /// asks again.
    pub(super) fn transport_not_created(
        &mut self,
        now: Instant,
        id: TransportId,
        operation: OperationId,
        error: OperationError,
    ) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        if let Some(connection) = transport.not_created() {
            self.take_back(connection);
        }
        let Some(transport) = self.transports.get(&id) else { return };
        if transport.operations.front().and_then(Operation::id) == Some(operation) {
            self.end_operation(now, id, Err(error));
        }
        self.next_operation_of(now, id);
    }

    /// Nothing will be sent over a connection any more: its streams are their producers' again.
    fn take_back(&mut self, connection: Connection) {
        for (id, streams) in connection.into_senders() {
            if let Some(producer) = self.producers.get_mut(&id) {
                producer.streams = Some(streams);
            }
        }
    }

    pub(super) fn transport_created(
        &mut self,
        now: Instant,
        id: TransportId,
        operation: OperationId,
        mut remote: RemoteTransport,
    ) {
        let role = self.config.dtls_role;
        remote.ice_candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        let candidates = &mut remote.ice_candidates;
        let dropped = candidates.len().saturating_sub(self.config.limits.remote_candidates);
        candidates.truncate(candidates.len() - dropped);
        self.stats.candidates_dropped += dropped as u64;
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.in_flight = None;
        let Some(connection) = &mut transport.connection else { return };
        for (protocol, address) in &transport.local_addresses {
            connection.add_local_address(now, *protocol, *address);
        }
        if let Err(error) = connection.connect(now, &remote, role) {
            self.journal.answer(now, id, || EngineAnswer::NotStarted(error));
            let server_id = transport.server_id;
            self.outputs.notification(Notification::CloseTransport { id: server_id, app_data: None });
            self.transport_not_created(now, id, operation, OperationError::Setup(error));
            return;
        }
        let candidates = remote.ice_candidates;
        transport.remote_candidates.clone_from(&candidates);
        self.outputs.event(Event::Transport { id, event: TransportEvent::RemoteCandidates { candidates } });
        self.set_transport_state(id, State::Connecting);
        self.notify_transport_stats(id);
        self.settle(id);
        // The operation that brought the transport about is still first in its queue.
        self.next_operation_of(now, id);
    }

    /// The server has new ICE credentials, from this request on. In time or late: it takes no others any more, unless a
    /// later request has replaced them in turn.
    pub(super) fn ice_restarted(
        &mut self,
        now: Instant,
        id: TransportId,
        request: RequestId,
        parameters: &IceParameters,
    ) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        if !transport.restarted(request) {
            return;
        }
        let lost = transport.state == State::Failed;
        if let Some(connection) = &mut transport.connection {
            connection.restart_ice(now, parameters);
        }
        if lost {
            self.set_transport_state(id, State::Connecting);
        }
        self.settle(id);
    }

    pub(super) fn set_transport_state(&mut self, id: TransportId, state: State) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        let before = transport.connection_state();
        transport.enter(state);
        let state = transport.connection_state();
        if state != before {
            self.outputs.event(Event::Transport { id, event: TransportEvent::ConnectionStateChange { state } });
        }
    }

    /// Closes a transport. Its producers are un-handled, and can be sent over another.
    pub(super) fn close_transport(
        &mut self,
        now: Instant,
        id: TransportId,
        originator: Originator,
        app_data: Option<Value>,
        tell_server: bool,
    ) {
        // What waits leaves first: no RTP follows the word that its producer is un-handled.
        self.send_all(now, id);
        let Some(mut transport) = self.transports.remove(&id) else { return };
        transport.closed(originator);
        self.transports_at_server.remove(&transport.server_id);
        let close = Notification::CloseTransport { id: transport.server_id, app_data: app_data.clone() };
        if tell_server && transport.stats_interval.is_some() && transport.state.created() {
            self.outputs.notification(Notification::DisableTransportStats { id: transport.server_id });
        }
        // The server finds neither what it is making, nor later what it made on a transport that is gone.
        let held = tell_server && transport.in_flight.is_some_and(|request| self.inflight.hold(request, &close));
        if !held {
            if let Some(request) = transport.in_flight {
                self.inflight.cancel(request);
            }
            if tell_server && transport.state != State::New {
                self.outputs.notification(close);
            }
        }
        let error = match self.state {
            RoomState::New | RoomState::Joining | RoomState::Joined => OperationError::TransportClosed,
            RoomState::Closed => OperationError::RoomClosed,
        };
        for operation in transport.operations.iter().filter_map(Operation::id) {
            self.settled(operation, Err(error.clone()));
        }
        let mut effects = Vec::new();
        for producer in self.producers_on(id) {
            if let Some(producer) = self.producers.get_mut(&producer) {
                producer.transport_closed(&mut effects);
            }
            self.apply(now, producer, &mut effects);
        }
        if let Some(mut connection) = transport.connection.take() {
            connection.close(now);
            while let Some(output) = connection.poll_output() {
                match output {
                    EngineOutput::Transmit(transmit) => self.outputs.push(Output::Transmit(transmit)),
                    EngineOutput::Event(_) => {}
                }
            }
            self.take_back(connection);
        }
        self.outputs.event(Event::Transport { id, event: TransportEvent::Close { originator, app_data } });
    }
}
