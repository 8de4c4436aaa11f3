//! What comes out of a room.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connection::engine::crypto::DtlsFailure;
use crate::event::{ConnectionState, Originator};
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::json::Redacted;
use crate::net::IceCandidate;
use crate::net::Transmit;
use crate::v2::error::Failure;
use crate::v2::protocol::{Notification, Peer, Request};
use crate::v2::rtp::Profile;
use crate::v2::stats::{ProducerStats, TransportStats};

/// Something to be acted on, from [`Room::poll_output`](crate::v2::Room::poll_output). There is nothing else: a loop that
/// forgets one does not compile.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
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
        result: Result<(), Failure>,
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
    /// [`add_local_address`](crate::v2::Transport::add_local_address).
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
    /// (REMB), or before that of [`RoomConfig::initial_bitrate_bps`](crate::v2::RoomConfig::initial_bitrate_bps). 0: pause the
    /// encoder.
    TargetBitrate {
        /// The layer.
        profile: Profile,
        /// Bits per second.
        bitrate_bps: u64,
    },
}
