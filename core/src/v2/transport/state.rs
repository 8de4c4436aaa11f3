//! What a transport is, the queue of what is to be done on it, and its transitions.
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
use std::time::{Duration, Instant};

use serde_json::Value;
use tracing::{Span, info, info_span};

use crate::connection::Connection;
use crate::connection::engine::SelectedPath;
use crate::event::{ConnectionState, Originator};
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::net::{IceCandidate, IceProtocol};
use crate::v2::id::ServerId;
use crate::v2::protocol::Notification;

/// A send transport as it stands.
///
/// # Every transition
///
/// What a transport (with one producer to send over it) does in each state with each input: `monospace` is a message of ours or the server's, and an event is
/// named with who caused it. A test keeps this table true.
///
#[doc = include_str!("../../../states/transport.md")]
#[derive(Debug)]
pub struct TransportInfo {
    /// For what is logged of it.
    pub(crate) span: Span,
    pub(crate) id: TransportId,
    pub(crate) server_id: ServerId,
    /// Grows with each transport and producer of the room.
    pub(crate) order: u64,
    pub(crate) app_data: Option<Value>,
    pub(crate) state: State,
    pub(crate) stats_interval: Option<Duration>,
    pub(crate) local_addresses: BTreeSet<(IceProtocol, SocketAddr)>,
    pub(crate) remote_candidates: Vec<IceCandidate>,
    pub(crate) connection: Option<Connection>,
    /// Datagrams that wait for its sockets, if they are too many for more media.
    pub(crate) backlog: usize,
    pub(crate) operations: VecDeque<Operation>,
    pub(crate) in_flight: Option<RequestId>,
    /// Which request brought the ICE credentials in use, if not `createTransport`.
    pub(crate) restarted: Option<RequestId>,
    pub(crate) next_mux_id: u32,
    /// How many producers the server has made on it so far.
    pub(crate) producers_handled: u64,
    /// SSRCs in use, so that no two meet.
    pub(crate) ssrcs: BTreeSet<u32>,
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
    pub(crate) const fn id(&self) -> Option<OperationId> {
        match self {
            Self::Send { operation, .. } | Self::RestartIce { operation } => Some(*operation),
            Self::Abandoned { .. } => None,
        }
    }
}

/// What a transport has to ask the server for next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Its own counterpart, for this operation.
    CreateTransport { operation: OperationId },
    /// That of a producer.
    CreateProducer { producer: ProducerId },
    /// New ICE credentials.
    RestartTransport,
    /// Nothing: a `send` that failed has left nothing to restart.
    Fail,
}

impl TransportInfo {
    pub(crate) fn new(id: TransportId, order: u64, app_data: Option<Value>) -> Self {
        Self {
            span: info_span!("transport", %id),
            id,
            server_id: ServerId::new(id.value()),
            order,
            app_data,
            state: State::New,
            stats_interval: None,
            local_addresses: BTreeSet::new(),
            remote_candidates: Vec::new(),
            connection: None,
            backlog: 0,
            operations: VecDeque::new(),
            in_flight: None,
            restarted: None,
            next_mux_id: 0,
            producers_handled: 0,
            ssrcs: BTreeSet::new(),
        }
    }

    /// Unique identifier.
    pub const fn id(&self) -> TransportId {
        self.id
    }

    /// By which the server knows it, or will: as [`id`](Self::id), until the server says that another has that name.
    pub const fn server_id(&self) -> ServerId {
        self.server_id
    }

    /// Always `send`.
    pub const fn direction(&self) -> &'static str {
        "send"
    }

    /// The application's data.
    pub const fn app_data(&self) -> Option<&Value> {
        self.app_data.as_ref()
    }

    /// As mediasoup-client names it.
    pub const fn connection_state(&self) -> ConnectionState {
        match self.state {
            State::New | State::Creating => ConnectionState::New,
            State::Connecting => ConnectionState::Connecting,
            State::Connected => ConnectionState::Connected,
            State::Disconnected => ConnectionState::Disconnected,
            State::Failed => ConnectionState::Failed,
        }
    }

    /// The server's addresses, once it has answered.
    pub fn remote_candidates(&self) -> &[IceCandidate] {
        &self.remote_candidates
    }

    /// What sockets are wanted for: the server's best address of each protocol and family. The local address that the
    /// system's routes choose towards each is the one to open a socket on and to
    /// [add](crate::v2::Transport::add_local_address). None before the server has answered.
    pub fn socket_targets(&self) -> Vec<(IceProtocol, SocketAddr)> {
        let mut targets: Vec<(IceProtocol, SocketAddr)> = Vec::new();
        for candidate in &self.remote_candidates {
            let address = SocketAddr::new(candidate.ip, candidate.port);
            let like = |(protocol, other): &(IceProtocol, SocketAddr)| {
                *protocol == candidate.protocol && other.is_ipv4() == address.is_ipv4()
            };
            if !targets.iter().any(like) {
                targets.push((candidate.protocol, address));
            }
        }
        targets
    }

    /// Our addresses, as they were added.
    pub fn local_addresses(&self) -> impl Iterator<Item = (IceProtocol, SocketAddr)> {
        self.local_addresses.iter().copied()
    }

    /// The pair of addresses that ICE has selected (RFC 8445 section 8): where DTLS and media last went. None before there is
    /// one. It changes when the network does; while the server is not heard it is the one that was used last.
    pub fn selected_path(&self) -> Option<SelectedPath> {
        self.connection.as_ref()?.selected_path()
    }

    /// The interval of the server's statistics, if they are enabled.
    pub const fn stats_interval(&self) -> Option<Duration> {
        self.stats_interval
    }

    /// What is to be asked for the operation that is first in the queue; nothing while an answer is waited for.
    pub(crate) fn next(&self) -> Option<Next> {
        if self.in_flight.is_some() {
            return None;
        }
        Some(match (self.operations.front()?, self.state.created()) {
            (Operation::Send { operation, .. }, false) => Next::CreateTransport { operation: *operation },
            (Operation::Send { producer, .. }, true) => Next::CreateProducer { producer: *producer },
            (Operation::RestartIce { .. }, true) => Next::RestartTransport,
            (Operation::RestartIce { .. }, false) => Next::Fail,
            // Only ever first while its request is out.
            (Operation::Abandoned { .. }, _) => return None,
        })
    }

    pub(crate) fn enter(&mut self, state: State) {
        if state != self.state {
            info!(parent: &self.span, from = ?self.state, to = ?state, "transport changes");
            self.state = state;
        }
    }

    /// It is gone.
    pub(crate) fn closed(&self, by: Originator) {
        info!(parent: &self.span, from = ?self.state, ?by, "transport closed");
    }

    /// The server has not made its side, or it is of no use. What was made on ours is given up.
    pub(crate) fn not_created(&mut self) -> Option<Connection> {
        self.enter(State::New);
        self.in_flight = None;
        self.connection.take()
    }

    /// This request has brought new ICE credentials. False: a later one has before.
    pub(crate) fn restarted(&mut self, request: RequestId) -> bool {
        let newer = self.restarted < Some(request);
        if newer {
            self.restarted = Some(request);
        }
        newer
    }

    /// Whether media can be written.
    pub(crate) const fn flows(&self) -> bool {
        matches!(self.state, State::Connected | State::Disconnected)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.connection.as_ref()?.poll_timeout()
    }
}
