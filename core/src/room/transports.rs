//! Transports: their queues of operations, and how they come and go.

use std::time::Instant;

use serde_json::Value;

use super::inflight::Waiting;
use super::{Room, RoomState};
use crate::connection::engine::{EngineAnswer, EngineOutput};
use crate::error::{CommandError, OperationError};
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::output::{Event, Originator, TransportEvent};
use crate::producer::state::Lifecycle;
use crate::protocol::{self, DtlsParameters, Notification, Request};
use crate::transport::TransportInfo;
use crate::transport::state::{Operation, State};

impl Room {
    pub(super) fn new_transport(&mut self, app_data: Option<Value>) -> Result<TransportId, CommandError> {
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

    pub(super) fn transport_mut(&mut self, id: TransportId) -> Result<&mut TransportInfo, CommandError> {
        self.transports.get_mut(&id).ok_or(CommandError::TransportNotFound(id))
    }

    pub(super) fn notify_transport_stats(&mut self, id: TransportId) {
        if let Some(interval) = self.transports.get(&id).and_then(|transport| transport.stats_interval) {
            let interval_ms = interval.as_millis() as u64;
            self.outputs.notification(Notification::EnableTransportStats { id, interval_ms });
        }
    }

    pub(super) fn restart_transport_ice(&mut self, now: Instant, id: TransportId) -> Result<OperationId, CommandError> {
        let transport = self.transport_mut(id)?;
        if transport.state == State::New {
            return Err(CommandError::NotStarted(id));
        }
        self.enqueue(now, id, |operation| Operation::RestartIce { operation })
    }

    pub(super) fn enqueue(
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
    pub(super) fn next_operation_of(&mut self, now: Instant, id: TransportId) {
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
    pub(super) fn operation_done(&mut self, now: Instant, id: TransportId) {
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

    pub(super) fn operation_failed(&mut self, now: Instant, id: TransportId, error: OperationError) {
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
    pub(super) fn unsent(&mut self, now: Instant, id: TransportId, producer: ProducerId) {
        let Some(producer) = self.producers.get_mut(&producer) else { return };
        if let Lifecycle::Pending { announced: Some(announced), .. } = &producer.lifecycle {
            let parameters = announced.rtp_parameters.clone();
            producer.not_created();
            self.remove_streams(now, id, &parameters);
        } else {
            producer.not_created();
        }
    }

    pub(super) fn create_transport_at_server(&mut self, now: Instant, id: TransportId) -> Option<RequestId> {
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

    pub(super) fn transport_created(&mut self, now: Instant, id: TransportId, mut remote: protocol::RemoteTransport) {
        let role = self.config.dtls_role;
        remote.ice_candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        let candidates = &mut remote.ice_candidates;
        let dropped = candidates.len().saturating_sub(self.config.limits.remote_candidates);
        candidates.truncate(candidates.len() - dropped);
        self.stats.candidates_dropped += dropped as u64;
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.in_flight = None;
        let Some(engine) = &mut transport.engine else { return };
        for (protocol, address) in &transport.local_addresses {
            engine.add_local_address(now, *protocol, *address);
        }
        if let Err(error) = engine.connect(now, &remote, role) {
            transport.state = State::New;
            transport.engine = None;
            self.journal.answer(now, id, || EngineAnswer::NotStarted(error.clone()));
            self.outputs.notification(Notification::CloseTransport { id, app_data: None });
            self.operation_failed(now, id, OperationError::Setup(error));
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

    pub(super) fn ice_restarted(&mut self, now: Instant, id: TransportId, parameters: &protocol::IceParameters) {
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

    pub(super) fn set_transport_state(&mut self, id: TransportId, state: State) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        let before = transport.connection_state();
        transport.state = state;
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
}
