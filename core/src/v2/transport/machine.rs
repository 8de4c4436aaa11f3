//! Every transition of a transport, and the queue of what is to be done on it.
//!
//! ```text
//!   New --first send--> Creating --answer--> Connecting --ICE, DTLS--> Connected <--> Disconnected
//!    ^                     |                     |                         |              |
//!    +---- refused --------+                     +----- Failed <-----------+--------------+
//!                                                         (restart_ice: Connecting again)
//!   close, by either side, from anywhere: the transport is gone
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tracing::{Span, info, info_span};

use super::TransportInfo;
use crate::connection::engine::crypto::DtlsFailure;
use crate::error::SetupError;
use crate::event::Originator;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::net::{IceCandidate, IceParameters, IceProtocol, RemoteTransport};
use crate::v2::effect::{Close, Effect};
use crate::v2::error::{Failure, RequestFailure, RestartIceFailure, SendFailure};
use crate::v2::id::ServerId;
use crate::v2::output::TransportEvent;
use crate::v2::producer;
use crate::v2::protocol::{Notification, Request};
use crate::v2::room::inflight::Waiting;
use crate::v2::stats::stats_interval;

/// So many ids of one operation may be refused before it fails. With random ids even one is a rare thing.
const MAX_IDS_REFUSED: u8 = 4;

/// A transport that lives.
#[derive(Debug)]
pub(crate) struct Machine {
    /// For what is logged of it.
    span: Span,
    pub(crate) info: TransportInfo,
    /// Grows with each transport and producer of the room.
    pub(crate) order: u64,
    /// Datagrams that wait for its sockets, if they are too many for more media.
    pub(crate) backlog: usize,
    operations: VecDeque<Operation>,
    asking: Asking,
    /// Which request brought the ICE credentials in use, if not `createTransport`.
    restarted: Option<RequestId>,
    /// How many producers the server has made on it so far.
    producers_handled: u64,
}

/// Where a transport is in its life. Closed is being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Neither side has anything.
    New,
    /// `createTransport` is under way.
    Creating,
    /// The server knows it; ICE or DTLS is under way.
    Connecting,
    Connected,
    /// It was connected.
    Disconnected,
    /// It is not connected, and will not be by itself.
    Failed,
}

impl State {
    /// Whether the server has its side.
    pub(crate) const fn created(self) -> bool {
        match self {
            Self::New | Self::Creating => false,
            Self::Connecting | Self::Connected | Self::Disconnected | Self::Failed => true,
        }
    }
}

/// What the server is asked for the operation that is first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    Nothing,
    /// It is about to go out.
    Begun,
    Request(RequestId),
}

/// One thing to be done on a transport, after those before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    /// Sends a producer. The server may have refused ids for it that others have.
    Send { operation: OperationId, producer: ProducerId, ids_refused: u8 },
    /// Asks for new ICE credentials.
    RestartIce { operation: OperationId },
    /// A send whose producer was closed after its request went out: its answer is still to come, and may have to be
    /// undone.
    Abandoned { then: Option<Notification> },
}

impl Operation {
    /// What is to be settled when it ends, if it is not settled already.
    const fn id(&self) -> Option<OperationId> {
        match self {
            Self::Send { operation, .. } | Self::RestartIce { operation } => Some(*operation),
            Self::Abandoned { .. } => None,
        }
    }
}

/// What happens to a transport.
#[derive(Debug)]
pub(crate) enum Input {
    // The application.
    Enqueue(Operation),
    EnableStats {
        interval: Duration,
    },
    DisableStats,
    SetAppData(Option<Value>),
    AddAddress(IceProtocol, SocketAddr),
    RemoveAddress(IceProtocol, SocketAddr),
    /// `room_closed`: with all else.
    Close {
        originator: Originator,
        app_data: Option<Value>,
        tell_server: bool,
        room_closed: bool,
    },

    // What it is asked for.
    Asked(RequestId),
    NotAsked(SendFailure),
    /// The server has made its side, for this operation.
    Created {
        operation: OperationId,
        remote: RemoteTransport,
    },
    /// `taken`: the name is another's.
    NotCreated {
        operation: OperationId,
        error: RequestFailure,
        taken: bool,
    },
    /// It is to be asked for once more.
    CreateAgain,
    ProducerCreated {
        producer: ProducerId,
    },
    ProducerNotCreated {
        producer: ProducerId,
        error: RequestFailure,
        taken: bool,
    },
    /// What was in the way is undone.
    CreateProducerAgain {
        producer: ProducerId,
    },
    /// The server has new ICE credentials, from this request on. `late`: nobody waits for them any more.
    IceRestarted {
        request: RequestId,
        parameters: IceParameters,
        late: bool,
    },
    IceNotRestarted(RequestFailure),
    Renamed(ServerId),

    // Its connection.
    ConnectionBegun {
        candidates: Vec<IceCandidate>,
    },
    ConnectionNotBegun {
        operation: OperationId,
        error: SetupError,
    },
    Connected,
    Disconnected,
    /// The server ended DTLS.
    Ended,
    DtlsFailed(DtlsFailure),

    // Its producers.
    /// One was closed while it was being sent. `announced`: its request is out, and `then` follows the answer; if not,
    /// nothing is ever said of it.
    Abandon {
        operation: OperationId,
        announced: bool,
        then: Option<Notification>,
    },
}

impl Machine {
    pub(crate) fn new(id: TransportId, server_id: ServerId, order: u64, app_data: Option<Value>) -> Self {
        let info = TransportInfo {
            id,
            server_id,
            app_data,
            state: State::New,
            stats_interval: None,
            local_addresses: BTreeSet::new(),
            remote_candidates: Vec::new(),
        };
        Self {
            span: info_span!("transport", %id),
            info,
            order,
            backlog: 0,
            operations: VecDeque::new(),
            asking: Asking::Nothing,
            restarted: None,
            producers_handled: 0,
        }
    }

    /// Whether media can be written.
    pub(crate) const fn flows(&self) -> bool {
        matches!(self.info.state, State::Connected | State::Disconnected)
    }

    /// Whether there is something to restart, or will be.
    pub(crate) const fn begun(&self) -> bool {
        !matches!(self.info.state, State::New)
    }

    /// Whether the server has its side.
    pub(crate) const fn created(&self) -> bool {
        self.info.state.created()
    }

    /// How many operations wait for it.
    pub(crate) fn operations(&self) -> usize {
        self.operations.len()
    }

    pub(crate) fn handle(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let id = self.info.id;
        match input {
            Input::Enqueue(operation) => {
                self.operations.push_back(operation);
                self.ask(effects);
            }
            Input::EnableStats { interval } => {
                // The server ignores that they are enabled when they are (mediasoup's WebRtcTransport.js).
                self.disable_stats(effects);
                self.info.stats_interval = Some(stats_interval(interval));
                if self.created() {
                    self.tell_stats(effects);
                }
            }
            Input::DisableStats => self.disable_stats(effects),
            Input::SetAppData(app_data) => self.info.app_data = app_data,
            Input::AddAddress(protocol, address) => _ = self.info.local_addresses.insert((protocol, address)),
            Input::RemoveAddress(protocol, address) => _ = self.info.local_addresses.remove(&(protocol, address)),
            Input::Close { originator, app_data, tell_server, room_closed } => {
                let error = if room_closed { SendFailure::RoomClosed } else { SendFailure::TransportClosed };
                self.close(originator, app_data, tell_server, &error, effects);
            }

            Input::Asked(request) => {
                self.asking = Asking::Request(request);
                if !self.created() {
                    self.enter(State::Creating);
                }
            }
            Input::NotAsked(error) => {
                if !self.created() {
                    effects.push(Effect::DropConnection(id));
                }
                self.end(Err(error), effects);
                self.ask(effects);
            }
            Input::Created { operation, remote } => {
                self.asking = Asking::Nothing;
                effects.push(Effect::Connect { id, operation, remote });
            }
            Input::NotCreated { operation, error, taken } => {
                if taken && self.may_draw_again() {
                    self.not_created(effects);
                    effects.push(Effect::RenameTransport(id));
                    self.ask(effects);
                } else {
                    self.creating_failed(operation, error.into(), effects);
                }
            }
            Input::CreateAgain => {
                self.not_created(effects);
                self.ask(effects);
            }
            Input::ProducerCreated { producer } => {
                self.producers_handled += 1;
                let order = self.producers_handled;
                effects.push(Effect::Producer(producer, producer::Input::Created { order }));
                self.end(Ok(()), effects);
                self.ask(effects);
            }
            Input::ProducerNotCreated { producer, error, taken } => {
                if taken && self.may_draw_again() {
                    effects.push(Effect::RenameProducer(producer));
                    self.create_producer_again(producer, effects);
                } else {
                    self.end(Err(error.into()), effects);
                    self.ask(effects);
                }
            }
            Input::CreateProducerAgain { producer } => self.create_producer_again(producer, effects),
            Input::IceRestarted { request, parameters, late } => {
                self.ice_restarted(request, parameters, effects);
                if !late {
                    self.end(Ok(()), effects);
                    self.ask(effects);
                }
            }
            Input::IceNotRestarted(error) => {
                self.end(Err(error.into()), effects);
                self.ask(effects);
            }
            Input::Renamed(server_id) => self.info.server_id = server_id,

            Input::ConnectionBegun { candidates } => {
                self.info.remote_candidates.clone_from(&candidates);
                effects.push(Effect::of_transport(id, TransportEvent::RemoteCandidates { candidates }));
                self.change(State::Connecting, effects);
                self.tell_stats(effects);
                effects.push(Effect::Drain(id));
                // The operation that brought the transport about is still first in its queue.
                self.ask(effects);
            }
            Input::ConnectionNotBegun { operation, error } => {
                let close = Notification::CloseTransport { id: self.info.server_id, app_data: None };
                effects.push(Effect::Notify(close));
                self.creating_failed(operation, SendFailure::Setup(error), effects);
            }
            Input::Connected => {
                self.change(State::Connected, effects);
                effects.push(Effect::KeyFramesOn(id));
            }
            Input::Disconnected => {
                let state = if self.flows() { State::Disconnected } else { State::Failed };
                self.change(state, effects);
            }
            Input::Ended => self.change(State::Failed, effects),
            Input::DtlsFailed(cause) => {
                info!(parent: &self.span, %cause, "DTLS failed");
                effects.push(Effect::of_transport(id, TransportEvent::Failed { cause }));
                self.change(State::Failed, effects);
                let originator = Originator::Local;
                effects.push(Effect::CloseTransport { id, originator, app_data: None, tell_server: true });
            }

            Input::Abandon { operation, announced, then } => {
                match self.operations.front_mut() {
                    // Its transport is being created for it; the next in the queue will use that.
                    Some(front) if front.id() == Some(operation) && announced => *front = Operation::Abandoned { then },
                    _ => self.operations.retain(|queued| queued.id() != Some(operation)),
                }
                effects.push(Effect::settled(operation, Err(Failure::Send(SendFailure::ProducerClosed))));
                self.ask(effects);
            }
        }
    }

    /// Asks for what the operation that is first needs, unless an answer is waited for. What has nothing to ask for fails,
    /// and the next has its turn.
    fn ask(&mut self, effects: &mut Vec<Effect>) {
        let id = self.info.id;
        while self.asking == Asking::Nothing {
            let Some(first) = self.operations.front() else { return };
            match (first, self.info.state.created()) {
                (Operation::Send { operation, .. }, false) => {
                    effects.push(Effect::CreateTransport { id, operation: *operation });
                }
                (Operation::Send { producer, .. }, true) => {
                    effects.push(Effect::CreateProducer { id: *producer, transport: id });
                }
                (Operation::RestartIce { .. }, true) => {
                    let request = Request::RestartTransport { id: self.info.server_id };
                    effects.push(Effect::Ask { request, waiting: Waiting::RestartTransport { transport: id } });
                }
                // A `send` that failed has left nothing to restart.
                (Operation::RestartIce { .. }, false) => {
                    self.end(Err(SendFailure::TransportClosed), effects);
                    continue;
                }
                // Only ever first while its request is out.
                (Operation::Abandoned { .. }, _) => return,
            }
            self.asking = Asking::Begun;
        }
    }

    /// Ends what is first in the queue.
    fn end(&mut self, result: Result<(), SendFailure>, effects: &mut Vec<Effect>) {
        self.asking = Asking::Nothing;
        match self.operations.pop_front() {
            Some(Operation::Send { operation, producer, .. }) => {
                if result.is_err() {
                    effects.push(Effect::Producer(producer, producer::Input::NotCreated));
                }
                effects.push(Effect::settled(operation, result.map_err(Failure::Send)));
            }
            Some(Operation::RestartIce { operation }) => {
                let result = result.map_err(|error| Failure::RestartIce(not_restarted(error)));
                effects.push(Effect::settled(operation, result));
            }
            Some(Operation::Abandoned { then: Some(notification) }) if result.is_ok() => {
                effects.push(Effect::Notify(notification));
            }
            Some(Operation::Abandoned { .. }) | None => {}
        }
    }

    /// The server has not made its side, or it is of no use. What was made on ours is given up.
    fn not_created(&mut self, effects: &mut Vec<Effect>) {
        self.enter(State::New);
        self.asking = Asking::Nothing;
        effects.push(Effect::DropConnection(self.info.id));
    }

    /// `createTransport` has come to nothing. So has the operation that asked for it, if it is still wanted; whoever is next
    /// asks again.
    fn creating_failed(&mut self, operation: OperationId, error: SendFailure, effects: &mut Vec<Effect>) {
        self.not_created(effects);
        if self.operations.front().and_then(Operation::id) == Some(operation) {
            self.end(Err(error), effects);
        }
        self.ask(effects);
    }

    fn create_producer_again(&mut self, producer: ProducerId, effects: &mut Vec<Effect>) {
        self.asking = Asking::Nothing;
        match self.operations.front().and_then(Operation::id) {
            Some(_) => effects.push(Effect::Producer(producer, producer::Input::Unannounce)),
            // It was closed meanwhile.
            None => self.end(Err(SendFailure::ProducerClosed), effects),
        }
        self.ask(effects);
    }

    /// Whether a send that is first in the queue may have another id; it is counted.
    fn may_draw_again(&mut self) -> bool {
        let Some(Operation::Send { ids_refused, .. }) = self.operations.front_mut() else { return false };
        let may = *ids_refused < MAX_IDS_REFUSED;
        *ids_refused += u8::from(may);
        may
    }

    /// In time or late: the server takes no others any more, unless a later request has replaced them in turn.
    fn ice_restarted(&mut self, request: RequestId, parameters: IceParameters, effects: &mut Vec<Effect>) {
        if self.restarted >= Some(request) {
            return;
        }
        self.restarted = Some(request);
        let id = self.info.id;
        effects.push(Effect::RestartIce { id, parameters });
        if self.info.state == State::Failed {
            self.change(State::Connecting, effects);
        }
        effects.push(Effect::Drain(id));
    }

    /// What waits for it fails, its producers are un-handled, and its connection says goodbye.
    fn close(
        &mut self,
        originator: Originator,
        app_data: Option<Value>,
        tell_server: bool,
        error: &SendFailure,
        effects: &mut Vec<Effect>,
    ) {
        info!(parent: &self.span, from = ?self.info.state, by = ?originator, "transport closed");
        let TransportInfo { id, server_id, .. } = self.info;
        if tell_server {
            self.disable_stats(effects);
        }
        let asked = match self.asking {
            Asking::Nothing | Asking::Begun => None,
            Asking::Request(request) => Some(request),
        };
        let heard_of = self.info.state != State::New;
        let close = tell_server.then(|| Close { transport: server_id, app_data: app_data.clone(), heard_of });
        effects.push(Effect::CloseAtServer { asked, close });
        for operation in self.operations.drain(..) {
            effects.extend(match operation {
                Operation::Send { operation, .. } => {
                    Some(Effect::settled(operation, Err(Failure::Send(error.clone()))))
                }
                Operation::RestartIce { operation } => {
                    Some(Effect::settled(operation, Err(Failure::RestartIce(not_restarted(error.clone())))))
                }
                Operation::Abandoned { .. } => None,
            });
        }
        effects.push(Effect::Unhandle(id));
        effects.push(Effect::CloseConnection(id));
        effects.push(Effect::of_transport(id, TransportEvent::Close { originator, app_data }));
    }

    fn tell_stats(&self, effects: &mut Vec<Effect>) {
        if let Some(interval) = self.info.stats_interval {
            let (id, interval_ms) = (self.info.server_id, interval.as_millis() as u64);
            effects.push(Effect::Notify(Notification::EnableTransportStats { id, interval_ms }));
        }
    }

    fn disable_stats(&mut self, effects: &mut Vec<Effect>) {
        if self.info.stats_interval.take().is_some() && self.created() {
            effects.push(Effect::Notify(Notification::DisableTransportStats { id: self.info.server_id }));
        }
    }

    fn change(&mut self, state: State, effects: &mut Vec<Effect>) {
        let before = self.info.connection_state();
        self.enter(state);
        let state = self.info.connection_state();
        if state != before {
            effects.push(Effect::of_transport(self.info.id, TransportEvent::ConnectionStateChange { state }));
        }
    }

    fn enter(&mut self, state: State) {
        if state != self.info.state {
            info!(parent: &self.span, from = ?self.info.state, to = ?state, "transport changes");
            self.info.state = state;
        }
    }
}

/// What a failure on a transport means to an ICE restart: without the server's side there is nothing to restart.
fn not_restarted(failure: SendFailure) -> RestartIceFailure {
    match failure {
        SendFailure::RoomClosed => RestartIceFailure::RoomClosed,
        SendFailure::TransportClosed | SendFailure::ProducerClosed | SendFailure::Setup(_) => {
            RestartIceFailure::TransportClosed
        }
        SendFailure::Request(failure) => RestartIceFailure::Request(failure),
    }
}
