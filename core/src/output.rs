//! What comes out of a room.

use std::net::SocketAddr;

use bytes::Bytes;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connection::engine::crypto::DtlsFailure;
use crate::error::OperationError;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::protocol::{IceCandidate, IceProtocol, Notification, Peer, Redacted, Request};
use crate::rtp::Profile;
use crate::stats::{ProducerStats, TransportStats};

/// Something to be acted on, from [`Room::poll_output`](crate::Room::poll_output).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Output {
    /// A datagram to be sent.
    Transmit(Transmit),
    /// A request for the server; its answer is to be handed in with the same id.
    Request {
        /// Pairs it with its response.
        id: RequestId,
        /// The request.
        request: Request,
    },
    /// A notification for the server.
    Notification(Notification),
    /// Something the application should know.
    Event(Event),
}

/// A datagram to be sent: over UDP as it is; over TCP with RFC 4571 framing (see [`framing`](crate::framing)) on a
/// connection to `destination` that the application opens when it meets a new one.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Transmit {
    /// What carries it.
    pub protocol: IceProtocol,
    /// Which of our addresses it is to be sent from.
    pub source: SocketAddr,
    /// Where it is to be sent.
    pub destination: SocketAddr,
    /// The bytes.
    pub contents: Bytes,
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transmit")
            .field("protocol", &self.protocol)
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("bytes", &self.contents.len())
            .finish()
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Originator {
    /// This side.
    Local,
    /// The server.
    Remote,
}

/// Something the application should know.
#[derive(derive_more::Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum Event {
    /// We are in the room.
    Joined {
        /// The peers that were there already.
        peers: Vec<Peer>,
    },
    /// The room was left (local), or it or our peer was closed by the server (remote). It can be joined again.
    Closed {
        /// Who closed it.
        originator: Originator,
        /// The application's.
        app_data: Option<Value>,
    },
    /// A command that takes time has come to its end. Each does exactly once.
    Settled {
        /// As the command returned it.
        operation: OperationId,
        /// How it ended.
        result: Result<(), OperationError>,
    },
    /// A peer came into the room.
    NewPeer {
        /// The peer.
        peer: Peer,
    },
    /// A peer left the room.
    PeerClosed {
        /// The peer's name.
        name: String,
        /// Its application's.
        app_data: Option<Value>,
    },
    /// A notification of the server that is none of a sender's business (`newConsumer`, ...), as it came.
    Notification {
        /// The mediasoup message.
        #[debug("{:?}", Redacted(message))]
        message: Value,
    },
    /// Something about a transport.
    Transport {
        /// The transport.
        id: TransportId,
        /// What.
        event: TransportEvent,
    },
    /// Something about a producer.
    Producer {
        /// The producer.
        id: ProducerId,
        /// What.
        event: ProducerEvent,
    },
}

/// Something about a transport.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum TransportEvent {
    /// `close`: it was closed. Nothing about it follows.
    Close {
        /// Who closed it.
        originator: Originator,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `connectionstatechange`.
    ConnectionStateChange {
        /// The new state.
        state: ConnectionState,
    },
    /// `stats`: the server's statistics.
    Stats {
        /// One entry.
        stats: Vec<TransportStats>,
    },
    /// The server's addresses: open sockets towards them, and name each of your own with
    /// [`add_local_address`](crate::Transport::add_local_address).
    RemoteCandidates {
        /// Best first.
        candidates: Vec<IceCandidate>,
    },
    /// DTLS failed for good. The transport closes.
    Failed {
        /// The cause and the remedy.
        cause: DtlsFailure,
    },
}

/// State of a transport's connection, as mediasoup-client v2 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum ConnectionState {
    /// Nothing was sent over it yet.
    New,
    /// ICE or DTLS is under way.
    Connecting,
    /// Media flows.
    Connected,
    /// It did not connect; [`restart_ice`](crate::Transport::restart_ice) may help.
    Failed,
    /// It was connected, and the server is not heard any more.
    Disconnected,
    /// It was closed.
    Closed,
}

impl ConnectionState {
    /// mediasoup-client's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Disconnected => "disconnected",
            Self::Closed => "closed",
        }
    }
}

impl std::fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something about a producer.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum ProducerEvent {
    /// `close`: it was closed. Nothing about it follows.
    Close {
        /// Who closed it.
        originator: Originator,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `pause`: it was paused by this side or that; the other may have done so before.
    Pause {
        /// Who paused it.
        originator: Originator,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `resume`: this side or that no longer pauses it; the other may still do so.
    Resume {
        /// Who resumed it.
        originator: Originator,
        /// The application's.
        app_data: Option<Value>,
    },
    /// `trackended`: its track was stopped. The producer goes on: the application decides whether to close it.
    TrackEnded,
    /// `handled`: it is sent over a transport.
    Handled,
    /// `unhandled`: its transport was closed. It can be sent over another.
    Unhandled,
    /// `stats`: the server's statistics.
    Stats {
        /// One entry for each stream.
        stats: Vec<ProducerStats>,
    },
    /// The next frame of this layer should be a key frame: the server asked (PLI, FIR), or a decoder cannot go on
    /// without one (after connection, resume, replaced track, or a frame that was refused).
    KeyFrameRequest {
        /// The layer.
        profile: Profile,
    },
    /// Media time went back in this layer, for the first time since its track was set: its frames do not come in the order in
    /// which they were captured, or its clock was set back. WebRTC receivers show pictures as they come and drop what is
    /// late, so that of a stream with B-frames little is seen: encode without (`-bf 0` for x264).
    TimeWentBack {
        /// The layer.
        profile: Profile,
    },
    /// The encoder of this layer should aim at this bitrate: the layer's share of what the server says it can receive
    /// (REMB), or before that of [`RoomConfig::initial_bitrate_bps`](crate::RoomConfig::initial_bitrate_bps). 0: pause the
    /// encoder.
    TargetBitrate {
        /// The layer.
        profile: Profile,
        /// Bits per second.
        bitrate_bps: u64,
    },
}
