//! The peers, transports and producers of a room, as its owner may look at them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ConnectionId;
use crate::id::{ProducerId, TransportId};
use crate::net::IceProtocol;
use crate::rtp::{Codec, MediaKind};
use crate::sim::receiver::packet::ExtensionIds;
use crate::sim::receiver::{IceState, Receiver};
use crate::v2::Profile;

/// A peer in a room.
#[derive(Debug)]
pub struct ServerPeer {
    pub(super) name: Arc<str>,
    pub(super) connection: ConnectionId,
    pub(super) spy: bool,
    pub(super) app_data: Option<Value>,
}

impl ServerPeer {
    /// Unique in the room.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its way to us.
    pub const fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Whether it joined unannounced.
    pub const fn spy(&self) -> bool {
        self.spy
    }

    /// The application's.
    pub const fn app_data(&self) -> Option<&Value> {
        self.app_data.as_ref()
    }
}

/// A transport of a peer.
pub struct ServerTransport {
    pub(super) id: TransportId,
    pub(super) peer: Arc<str>,
    pub(super) app_data: Option<Value>,
    pub(super) receiver: Receiver,
    pub(super) dtls_started: bool,
    pub(super) stats: Option<Subscription>,
}

impl std::fmt::Debug for ServerTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTransport").field("id", &self.id).field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl ServerTransport {
    /// Chosen by the peer.
    pub const fn id(&self) -> TransportId {
        self.id
    }

    /// Whose it is.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The application's.
    pub const fn app_data(&self) -> Option<&Value> {
        self.app_data.as_ref()
    }

    /// Whether ICE and DTLS are up.
    pub fn connected(&self) -> bool {
        self.receiver.secured && self.receiver.ice_state == IceState::Connected
    }

    /// The path in use: what carries it, our address, and the peer's.
    pub const fn path(&self) -> Option<(IceProtocol, SocketAddr, SocketAddr)> {
        self.receiver.path
    }

    /// Bytes of datagrams received.
    pub const fn bytes_received(&self) -> u64 {
        self.receiver.bytes_received
    }

    /// Bytes of datagrams sent.
    pub const fn bytes_sent(&self) -> u64 {
        self.receiver.bytes_sent
    }

    /// What the last REMB allowed, in bits per second; 0 before the first.
    pub const fn bitrate_allowed_bps(&self) -> u64 {
        self.receiver.feedback.last().bitrate_bps
    }
}

/// A producer of a peer.
#[derive(Debug)]
pub struct ServerProducer {
    pub(super) id: ProducerId,
    pub(super) peer: Arc<str>,
    pub(super) transport: TransportId,
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) mux_id: Option<String>,
    pub(super) app_data: Option<Value>,
    pub(super) rtp_parameters: Value,
    pub(super) extensions: ExtensionIds,
    /// Of each encoding: its profile, and what names it in statistics.
    pub(super) encodings: Vec<(Profile, String)>,
    pub(super) paused_by_room: bool,
    pub(super) paused_by_peer: bool,
    pub(super) stats: Option<Subscription>,
}

impl ServerProducer {
    /// Chosen by the peer.
    pub const fn id(&self) -> ProducerId {
        self.id
    }

    /// Whose it is.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// What it is sent over.
    pub const fn transport(&self) -> TransportId {
        self.transport
    }

    pub(super) fn profile(&self, layer: usize) -> Profile {
        self.encodings.get(layer).map_or(Profile::Default, |(profile, _)| *profile)
    }

    pub(super) fn stats_id(&self, layer: usize) -> &str {
        self.encodings.get(layer).map_or("", |(_, stats_id)| stats_id)
    }

    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.codec.kind()
    }

    /// What it is encoded with.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The application's.
    pub const fn app_data(&self) -> Option<&Value> {
        self.app_data.as_ref()
    }

    /// As `createProducer` gave them.
    pub const fn rtp_parameters(&self) -> &Value {
        &self.rtp_parameters
    }

    /// Whether the room has paused it.
    pub const fn paused_by_room(&self) -> bool {
        self.paused_by_room
    }

    /// Whether its peer has paused it.
    pub const fn paused_by_peer(&self) -> bool {
        self.paused_by_peer
    }

    /// Whether either has paused it.
    pub const fn paused(&self) -> bool {
        self.paused_by_room || self.paused_by_peer
    }
}

/// Statistics that are sent again and again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subscription {
    pub(super) interval: Duration,
    pub(super) due: Instant,
}

impl Subscription {
    /// The first report is due at once. mediasoup ignores another while there is one, whatever its interval.
    pub(super) fn new(now: Instant, interval_ms: Option<u64>) -> Self {
        // mediasoup: a second at least.
        Self { interval: Duration::from_millis(interval_ms.unwrap_or(1000).clamp(1000, 3_600_000)), due: now }
    }
}
