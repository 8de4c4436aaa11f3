//! A send transport.

mod machine;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::event::ConnectionState;
use crate::id::TransportId;
use crate::net::{IceCandidate, IceProtocol};
use crate::v2::id::ServerId;

pub(crate) use machine::{Input, Machine, Operation, State};

/// A send transport as it stands.
///
/// # Every transition
///
/// What a transport (with one producer to send over it) does in each state with each input: `monospace` is a message of ours or the server's, and an event is
/// named with who caused it. A test keeps this table true.
///
#[doc = include_str!("../../states/transport.md")]
#[derive(Debug, Clone)]
pub struct TransportInfo {
    id: TransportId,
    server_id: ServerId,
    app_data: Option<Value>,
    state: State,
    stats_interval: Option<Duration>,
    local_addresses: BTreeSet<(IceProtocol, SocketAddr)>,
    remote_candidates: Vec<IceCandidate>,
}

impl TransportInfo {
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

    /// The interval of the server's statistics, if they are enabled.
    pub const fn stats_interval(&self) -> Option<Duration> {
        self.stats_interval
    }

    pub(crate) fn has_address(&self, protocol: IceProtocol, address: SocketAddr) -> bool {
        self.local_addresses.contains(&(protocol, address))
    }
}
