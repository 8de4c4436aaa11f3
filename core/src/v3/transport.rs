//! What a transport is, the queue of what is to be done on it, and every transition it can make.
//!
//! ```text
//!   New --first produce: connect asked, answered--> Connecting --ICE, DTLS--> Connected <--> Disconnected
//!    ^ |                                                |                         |              |
//!    +-+ refused, or not answered in time               +----- Failed <-----------+--------------+
//!                                                              (restart_ice: Connecting again, unless DTLS has failed)
//!   refused after one that was not answered: the transport is gone
//!   close, from anywhere: the transport is gone
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use serde_json::{Map, Value};
use tracing::{Span, info, info_span};

use super::error::OperationError;
use super::input::Refusal;
use super::parameters::{IceCandidate, TransportParameters};
use crate::connection::Connection;
use crate::connection::engine::SelectedPath;
use crate::error::SetupError;
use crate::event::ConnectionState;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::net::{IceParameters, IceProtocol};

/// A send transport as it stands.
///
/// # Every transition
///
/// What a transport (with one producer to be made on it) does in each state with each input: `monospace` is a request of
/// ours. A test keeps this table true.
///
#[doc = include_str!("../../states/v3-transport.md")]
#[derive(Debug)]
pub struct TransportInfo {
    /// For what is logged of it.
    pub(crate) span: Span,
    pub(crate) id: TransportId,
    /// As the server gave them; a restart of ICE changes the credentials.
    pub(crate) parameters: TransportParameters,
    pub(crate) app_data: Map<String, Value>,
    pub(crate) machine: Machine,
    pub(crate) connection: Connection,
    /// The request that is out.
    pub(crate) in_flight: Option<RequestId>,
    pub(crate) local_addresses: BTreeSet<(IceProtocol, SocketAddr)>,
    /// Datagrams that wait for its sockets, if they are too many for more media.
    pub(crate) backlog: usize,
    pub(crate) next_mid: u32,
    /// SSRCs in use, so that no two meet.
    pub(crate) ssrcs: BTreeSet<u32>,
}

impl TransportInfo {
    pub(crate) fn new(
        id: TransportId,
        parameters: TransportParameters,
        app_data: Map<String, Value>,
        connection: Connection,
    ) -> Self {
        Self {
            span: info_span!("transport", %id),
            id,
            parameters,
            app_data,
            machine: Machine::default(),
            connection,
            in_flight: None,
            local_addresses: BTreeSet::new(),
            backlog: 0,
            next_mid: 0,
            ssrcs: BTreeSet::new(),
        }
    }

    /// Our handle of it.
    pub const fn id(&self) -> TransportId {
        self.id
    }

    /// By which the server knows it: mediasoup-client's `transport.id`.
    pub fn server_id(&self) -> &str {
        &self.parameters.id
    }

    /// Always `send`.
    pub const fn direction(&self) -> &'static str {
        "send"
    }

    /// The application's data.
    pub const fn app_data(&self) -> &Map<String, Value> {
        &self.app_data
    }

    /// As mediasoup-client names it.
    pub const fn connection_state(&self) -> ConnectionState {
        self.machine.state.connection_state()
    }

    /// The server's addresses, best first.
    pub fn remote_candidates(&self) -> &[IceCandidate] {
        &self.parameters.ice_candidates
    }

    /// What sockets are wanted for: the server's best address of each protocol and family. The local address that the
    /// system's routes choose towards each is the one to open a socket on and to
    /// [add](super::Transport::add_local_address).
    pub fn socket_targets(&self) -> Vec<(IceProtocol, SocketAddr)> {
        let mut targets: Vec<(IceProtocol, SocketAddr)> = Vec::new();
        for candidate in &self.parameters.ice_candidates {
            let Some(ip) = candidate.ip() else { continue };
            let like = |(protocol, other): &(IceProtocol, SocketAddr)| {
                *protocol == candidate.protocol && other.is_ipv4() == ip.is_ipv4()
            };
            if !targets.iter().any(like) {
                targets.push((candidate.protocol, SocketAddr::new(ip, candidate.port)));
            }
        }
        targets
    }

    /// Our addresses, as they were added.
    pub fn local_addresses(&self) -> impl Iterator<Item = (IceProtocol, SocketAddr)> {
        self.local_addresses.iter().copied()
    }

    /// The pair of addresses that ICE has selected (RFC 8445 section 8): where DTLS and media last went. None before there is
    /// one.
    pub fn selected_path(&self) -> Option<SelectedPath> {
        self.connection.selected_path()
    }
}

/// Where a transport is in its life, and what is to be done on it, one thing at a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Machine {
    state: State,
    queue: VecDeque<Operation>,
    asked: Option<Asked>,
}

/// Closed is being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// `connect` was not answered yet. So many were given up: the server may have done what they ask for.
    New {
        unanswered: u32,
    },
    /// The server has our side of DTLS; ICE or DTLS is under way.
    Connecting,
    Connected,
    /// It was connected.
    Disconnected,
    /// It is not connected, and will not be by itself.
    Failed,
    /// It never will be again.
    DtlsFailed,
}

impl Default for State {
    fn default() -> Self {
        Self::New { unanswered: 0 }
    }
}

impl State {
    const fn connection_state(self) -> ConnectionState {
        match self {
            Self::New { .. } => ConnectionState::New,
            Self::Connecting => ConnectionState::Connecting,
            Self::Connected => ConnectionState::Connected,
            Self::Disconnected => ConnectionState::Disconnected,
            Self::Failed | Self::DtlsFailed => ConnectionState::Failed,
        }
    }
}

/// What is out, or is just being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// `connect`, for this operation.
    Connect(OperationId),
    /// ICE is being begun.
    Ice,
    /// `produce`, for the first of the queue.
    Produce,
}

/// One thing to be done on a transport, after those before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    Produce {
        operation: OperationId,
        producer: ProducerId,
    },
    RestartIce {
        operation: OperationId,
        parameters: IceParameters,
    },
    /// A `produce` whose producer was closed after it went out: its answer is still to come.
    Abandoned,
}

impl Operation {
    /// What is to be settled when it ends, if it is not settled already.
    const fn id(&self) -> Option<OperationId> {
        match self {
            Self::Produce { operation, .. } | Self::RestartIce { operation, .. } => Some(*operation),
            Self::Abandoned => None,
        }
    }
}

/// What happens to a transport.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// Something is to be done.
    Queued(Operation),
    /// `connect` was answered: in time, or after it was given up.
    ConnectAnswered { late: bool },
    /// `connect` was refused, was not answered in time, or could not be asked.
    ConnectFailed(OperationError),
    /// `connect` was refused after it was given up.
    ConnectRefusedLate,
    /// What came of beginning ICE.
    IceBegun(Result<(), SetupError>),
    /// `produce` was answered; the server calls the producer so.
    ProduceAnswered { server_id: String },
    /// `produce` was refused, was not answered in time, or could not be asked.
    ProduceFailed(OperationError),
    /// A producer was closed that the server has not made yet.
    ProducerClosed(ProducerId),
    /// ICE and DTLS are up.
    Up,
    /// The server is not heard.
    Lost,
    /// DTLS is over.
    DtlsOver,
    /// It was closed.
    Closed,
}

/// What a transition brings about, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    AskConnect,
    BeginIce,
    AskProduce(ProducerId),
    /// The server has made a producer.
    Produced {
        producer: ProducerId,
        server_id: String,
    },
    /// The server has made a producer that nobody waits for.
    Orphan {
        server_id: String,
    },
    /// It has not made one, as far as we know.
    NotProduced(ProducerId),
    /// These are the credentials, whenever ICE begins.
    KeepIceParameters(IceParameters),
    RestartIce(IceParameters),
    Settle(OperationId, Result<(), OperationError>),
    StateChange(ConnectionState),
    /// Whether the server has our side of DTLS will never be known.
    ConnectLost(Refusal),
    /// Media flows from here on: a decoder cannot begin without a key frame.
    KeyFrames,
    /// It is gone: the goodbye is said, and its producers hear of it.
    Gone,
    /// Nobody of it is left.
    EmitClose,
}

impl Machine {
    /// Whether media can be written.
    pub(crate) const fn flows(&self) -> bool {
        match self.state {
            State::Connected | State::Disconnected => true,
            State::New { .. } | State::Connecting | State::Failed | State::DtlsFailed => false,
        }
    }

    /// Whether ICE has begun.
    #[cfg(feature = "sim")]
    pub(crate) fn begun(&self) -> bool {
        !self.is_new()
    }

    const fn is_new(&self) -> bool {
        matches!(self.state, State::New { .. })
    }

    pub(crate) fn dtls_failed(&self) -> bool {
        self.state == State::DtlsFailed
    }

    /// Operations that wait, and the one that is under way.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// The only way in.
    pub(crate) fn handle(&mut self, event: Event, span: &Span) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Queued(operation) => self.queue.push_back(operation),
            Event::ConnectAnswered { late } => {
                if self.is_new() {
                    self.enter(State::Connecting, span, &mut effects);
                    // What was asked meanwhile is answered in its turn.
                    self.asked = self.asked.filter(|_| late).or(Some(Asked::Ice));
                    effects.push(Effect::BeginIce);
                } else if !late {
                    self.asked = None;
                }
            }
            Event::ConnectFailed(error) => {
                let asked = self.asked.take();
                // The server may have said yes to the request before.
                if let State::New { unanswered } = &mut self.state {
                    let first = self.queue.front().and_then(Operation::id);
                    // The one that asked may be closed.
                    let asked = first.is_some_and(|first| asked == Some(Asked::Connect(first)));
                    match error {
                        OperationError::Refused(refusal) if *unanswered > 0 => {
                            self.connect_lost(asked, refusal, span, &mut effects);
                        }
                        error => {
                            *unanswered = unanswered.saturating_add(error.leaves_open().into());
                            if asked {
                                self.fail_first(error, &mut effects);
                            }
                        }
                    }
                }
            }
            Event::ConnectRefusedLate => {
                if let State::New { unanswered } = &mut self.state {
                    *unanswered = unanswered.saturating_sub(1);
                }
            }
            Event::IceBegun(result) => {
                if self.asked == Some(Asked::Ice) {
                    self.asked = None;
                }
                if let Err(error) = result {
                    self.enter(State::DtlsFailed, span, &mut effects);
                    while self.asked.is_none() && !self.queue.is_empty() {
                        self.fail_first(OperationError::Setup(error), &mut effects);
                    }
                }
            }
            Event::ProduceAnswered { server_id } => {
                self.asked = None;
                match self.queue.pop_front() {
                    Some(Operation::Produce { operation, producer }) => {
                        effects.push(Effect::Produced { producer, server_id });
                        effects.push(Effect::Settle(operation, Ok(())));
                    }
                    Some(Operation::Abandoned) => effects.push(Effect::Orphan { server_id }),
                    // Never first while `produce` is out.
                    Some(Operation::RestartIce { .. }) | None => {}
                }
            }
            Event::ProduceFailed(error) => {
                self.asked = None;
                self.fail_first(error, &mut effects);
            }
            Event::ProducerClosed(closed) => self.producer_closed(closed, &mut effects),
            Event::Up => match self.state {
                State::Connecting | State::Connected | State::Disconnected | State::Failed => {
                    self.enter(State::Connected, span, &mut effects);
                    effects.push(Effect::KeyFrames);
                }
                State::New { .. } | State::DtlsFailed => {}
            },
            Event::Lost => match self.state {
                State::Connected | State::Disconnected => self.enter(State::Disconnected, span, &mut effects),
                State::Connecting | State::Failed => self.enter(State::Failed, span, &mut effects),
                State::New { .. } | State::DtlsFailed => {}
            },
            Event::DtlsOver => match self.state {
                State::Connecting | State::Connected | State::Disconnected | State::Failed | State::DtlsFailed => {
                    self.enter(State::DtlsFailed, span, &mut effects);
                }
                State::New { .. } => {}
            },
            Event::Closed => self.close(span, &mut effects),
        }
        self.next(span, &mut effects);
        effects
    }

    fn enter(&mut self, state: State, span: &Span, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.state, state);
        if state != before {
            info!(parent: span, from = ?before, to = ?state, "transport changes");
        }
        let state = state.connection_state();
        if state != before.connection_state() {
            effects.push(Effect::StateChange(state));
        }
    }

    /// Begins what is first in the queue, unless something is under way.
    fn next(&mut self, span: &Span, effects: &mut Vec<Effect>) {
        while self.asked.is_none()
            && let Some(first) = self.queue.front().cloned()
        {
            match (first, self.state) {
                (Operation::Produce { operation, .. }, State::New { .. }) => {
                    self.asked = Some(Asked::Connect(operation));
                    effects.push(Effect::AskConnect);
                }
                (
                    Operation::Produce { producer, .. },
                    State::Connecting | State::Connected | State::Disconnected | State::Failed | State::DtlsFailed,
                ) => {
                    self.asked = Some(Asked::Produce);
                    effects.push(Effect::AskProduce(producer));
                }
                (Operation::RestartIce { operation, parameters }, state) => {
                    self.queue.pop_front();
                    match state {
                        State::New { .. } => effects.push(Effect::KeepIceParameters(parameters)),
                        State::Connecting | State::Connected | State::Disconnected => {
                            effects.push(Effect::RestartIce(parameters));
                        }
                        State::Failed => {
                            self.enter(State::Connecting, span, effects);
                            effects.push(Effect::RestartIce(parameters));
                        }
                        // There is nothing left to restart; it may have failed while this waited.
                        State::DtlsFailed => {}
                    }
                    effects.push(Effect::Settle(operation, Ok(())));
                }
                // Only ever first while its request is out.
                (Operation::Abandoned, _) => drop(self.queue.pop_front()),
            }
        }
    }

    /// A mediasoup server takes `connect` once. This refusal may be that of a second, or a refusal of its own: media over
    /// such a transport could vanish without a word.
    fn connect_lost(&mut self, asked: bool, refusal: Refusal, span: &Span, effects: &mut Vec<Effect>) {
        if asked {
            self.fail_first(OperationError::ConnectLost(refusal.clone()), effects);
        }
        effects.push(Effect::ConnectLost(refusal));
        self.close(span, effects);
    }

    fn close(&mut self, span: &Span, effects: &mut Vec<Effect>) {
        self.asked = None;
        while !self.queue.is_empty() {
            self.fail_first(OperationError::TransportClosed, effects);
        }
        info!(parent: span, from = ?self.state, "transport closed");
        effects.extend([Effect::Gone, Effect::EmitClose]);
    }

    /// What is first in the queue has come to nothing.
    fn fail_first(&mut self, error: OperationError, effects: &mut Vec<Effect>) {
        match self.queue.pop_front() {
            Some(Operation::Produce { operation, producer }) => {
                effects.push(Effect::NotProduced(producer));
                effects.push(Effect::Settle(operation, Err(error)));
            }
            Some(Operation::RestartIce { operation, .. }) => effects.push(Effect::Settle(operation, Err(error))),
            Some(Operation::Abandoned) | None => {}
        }
    }

    fn producer_closed(&mut self, closed: ProducerId, effects: &mut Vec<Effect>) {
        let its = |operation: &Operation| match operation {
            Operation::Produce { producer, .. } => *producer == closed,
            Operation::RestartIce { .. } | Operation::Abandoned => false,
        };
        let Some(index) = self.queue.iter().position(its) else { return };
        let operation = self.queue[index].id();
        if index == 0 && self.asked == Some(Asked::Produce) {
            // The server may be making it: its answer is waited for, as strictly as any.
            self.queue[0] = Operation::Abandoned;
        } else {
            self.queue.remove(index);
        }
        effects.extend(operation.map(|operation| Effect::Settle(operation, Err(OperationError::ProducerClosed))));
    }
}
