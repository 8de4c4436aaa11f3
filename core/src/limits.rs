//! The limits that bound memory.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Bounds on what a room holds. At a limit a command is refused with a typed error, and what comes from outside is
/// dropped and counted in [`RoomStats`](crate::v2::stats::RoomStats).
///
/// # Every limit
///
/// Those that can be set, each by the method of its name:
///
/// | limit | default | past it |
/// | --- | --- | --- |
/// | `transports` | 16 | [`CreateTransportError::Limit`](crate::v2::CreateTransportError::Limit) |
/// | `producers` | 256 | [`CreateProducerError::Limit`](crate::v2::CreateProducerError::Limit) |
/// | `operations` of a transport | 256 | [`SendError::Limit`](crate::v2::SendError::Limit), [`RestartIceError::Limit`](crate::v2::RestartIceError::Limit) |
/// | `local_addresses` of a transport | 16 | [`AddAddressError::Limit`](crate::v2::AddAddressError::Limit) |
/// | `remote_candidates` of a transport | 64 | `candidates_dropped` |
/// | `peers` | 4096 | `peers_dropped` |
/// | `peer_bytes` | 8 MiB | `peers_dropped` |
/// | `message_bytes` | 8 MiB | `messages_too_large`; a request settles with [`InvalidResponse`](crate::v2::RequestFailure::InvalidResponse) |
/// | `pending_requests` | 256 | settles with [`TooManyRequests`](crate::v2::RequestFailure::TooManyRequests) |
/// | `late_answers` | 256 | the oldest are forgotten: `requests_forgotten` |
/// | `frame_bytes` | 4 MiB | [`MediaError::TooLarge`](crate::MediaError::TooLarge) |
/// | `packets_waiting` of a transport | 4096, and those of one frame more | [`MediaError::TooManyPackets`](crate::MediaError::TooManyPackets) |
/// | `repair_packets` of a stream | 1024, and 3 s | the oldest are forgotten; a NACK for them goes unanswered |
/// | `outputs`, messages and events | 8192 | [`OutputsNotPolled`](crate::OutputsNotPolled), [`MediaError::OutputsNotPolled`](crate::MediaError::OutputsNotPolled), `events_dropped` |
/// | `outputs`, datagrams | 8192 | `MediaError::OutputsNotPolled`, `transmits_dropped` |
/// | `output_bytes` | 32 MiB | `events_dropped` |
///
/// What is fixed, because nobody needs it otherwise:
///
/// | limit | figure | past it |
/// | --- | --- | --- |
/// | payload of an RTP packet handed in | 1400 bytes | [`MediaError::TooLarge`](crate::MediaError::TooLarge) |
/// | payload of an RTP packet made of a frame | 1120 bytes | the frame is split |
/// | parameter sets remembered of an H.264 or H.265 stream | 8192 bytes of a kind | none are remembered |
/// | connectivity checks awaiting an answer, of a transport | 256 | the oldest is given up: its answer counts in `stun_refused` |
/// | senders of RTCP told apart, of a transport | 64 | the one not heard for longest is forgotten |
/// | RTCP packets that may come late | 128 | `rtcp_replayed` |
/// | certificate of the server | 2000 bytes | [`DtlsFailure::Handshake`](crate::DtlsFailure::Handshake) |
/// | SRTP keys kept expanded, of a thread | 64 | the rest are expanded for each packet |
/// | text frame of [`protoo`](crate::protoo) | 1 MiB | [`ProtooError::TooLong`](crate::protoo::ProtooError::TooLong) |
/// | datagram over TCP ([`framing`](crate::framing)) | 65,535 bytes | cannot be encoded, nor claimed |
/// | frame in a recording given by its length (`record`) | 64 MiB | `ReplayError::Line` |
///
/// The simulated room has limits of its own, `sim::ServerLimits`; they are those of the embedded room of
/// `mediasoup-publish`, too. The adapters add, per room:
///
/// | limit | figure | past it |
/// | --- | --- | --- |
/// | messages waiting for the server | 4096 | the connection is given up: `SignallingError::Overrun` |
/// | events waiting for a reader | 256 (`Options::events`) | the oldest are lost: `Events::missed` |
/// | datagrams waiting for one path of a blocked UDP socket or TCP connection | 256 | media is refused: [`MediaError::Blocked`](crate::MediaError::Blocked), `IoStats::media_refused`; audio when so many wait without the video |
/// | the same | 1024 | dropped, video first: `IoStats::datagrams_dropped` |
/// | bytes written ahead to a TCP connection | 16 KiB, and 32 KiB unsent in the system | the datagrams wait, as above |
/// | WebSocket message, and frame | 1 MiB | the connection breaks: `SignallingError::Broken` |
/// | bytes written ahead to a WebSocket | 4 MiB | the messages wait |
/// | answers to a WebSocket server waiting to be written | 64 | nothing more is read |
/// | errors of a UDP socket in a row, but those that tell of the network | 64 | the socket is closed: `IoStats::socket_errors`, and `Event::Unreachable` if it was the last |
///
/// And `mediasoup-publish`: frames of files up to 16 MiB, parameter sets up to 64 KiB, 128 tracks in a file (more is an error
/// that names the file); 64 connections to its room, of 256 messages each way and 5 s to take each; 16 browsers; 64 KiB in an
/// HTTP request (413).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct Limits {
    pub(crate) transports: usize,
    pub(crate) producers: usize,
    pub(crate) peers: usize,
    pub(crate) peer_bytes: usize,
    pub(crate) message_bytes: usize,
    pub(crate) pending_requests: usize,
    pub(crate) late_answers: usize,
    pub(crate) operations: usize,
    pub(crate) frame_bytes: usize,
    pub(crate) packets_waiting: usize,
    pub(crate) repair_packets: usize,
    pub(crate) remote_candidates: usize,
    pub(crate) local_addresses: usize,
    pub(crate) outputs: usize,
    pub(crate) output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transports: 16,
            producers: 256,
            peers: 4096,
            peer_bytes: 8 << 20,
            message_bytes: 8 << 20,
            pending_requests: 256,
            late_answers: 256,
            operations: 256,
            frame_bytes: 4 << 20,
            packets_waiting: 4096,
            repair_packets: 1024,
            remote_candidates: 64,
            local_addresses: 16,
            outputs: 8192,
            output_bytes: 32 << 20,
        }
    }
}

impl Limits {
    /// Transports at a time. Default: 16.
    pub const fn transports(mut self, transports: usize) -> Self {
        self.transports = transports;
        self
    }

    /// Producers at a time. Default: 256.
    pub const fn producers(mut self, producers: usize) -> Self {
        self.producers = producers;
        self
    }

    /// Other peers remembered. Default: 4096.
    pub const fn peers(mut self, peers: usize) -> Self {
        self.peers = peers;
        self
    }

    /// Bytes of their names and application data together, counted as those of a message. Default: 8 MiB.
    pub const fn peer_bytes(mut self, peer_bytes: usize) -> Self {
        self.peer_bytes = peer_bytes;
        self
    }

    /// Bytes of one message of the server: 32 for each JSON value and name, and the text of both. Default: 8 MiB.
    pub const fn message_bytes(mut self, message_bytes: usize) -> Self {
        self.message_bytes = message_bytes;
        self
    }

    /// Requests without an answer. Default: 256.
    pub const fn pending_requests(mut self, pending_requests: usize) -> Self {
        self.pending_requests = pending_requests;
        self
    }

    /// Requests that timed out or were cancelled and are remembered, so that what their late answer brings is undone or used.
    /// Default: 256.
    pub const fn late_answers(mut self, late_answers: usize) -> Self {
        self.late_answers = late_answers;
        self
    }

    /// Operations waiting on one transport. Default: 256.
    pub const fn operations(mut self, operations: usize) -> Self {
        self.operations = operations;
        self
    }

    /// Bytes of one frame or RTP payload handed in. Default: 4 MiB.
    pub const fn frame_bytes(mut self, frame_bytes: usize) -> Self {
        self.frame_bytes = frame_bytes;
        self
    }

    /// Packets of large frames that wait to leave on one transport (they do within 30 ms), before another frame is refused.
    /// Default: 4096.
    pub const fn packets_waiting(mut self, packets_waiting: usize) -> Self {
        self.packets_waiting = packets_waiting;
        self
    }

    /// Packets of one stream kept for retransmission, at most 1.4 kB each and none for longer than 3 s. Default: 1024.
    pub const fn repair_packets(mut self, repair_packets: usize) -> Self {
        self.repair_packets = repair_packets;
        self
    }

    /// Addresses of the server that one transport tries, the best. Default: 64.
    pub const fn remote_candidates(mut self, remote_candidates: usize) -> Self {
        self.remote_candidates = remote_candidates;
        self
    }

    /// Local addresses of one transport. Default: 16.
    pub const fn local_addresses(mut self, local_addresses: usize) -> Self {
        self.local_addresses = local_addresses;
        self
    }

    /// Messages and events not yet polled, and datagrams not yet polled: past the one commands and media are refused and
    /// lesser events dropped, past the other media is refused and datagrams are dropped. Default: 8192 of each.
    pub const fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }

    /// Bytes in the lesser events not yet polled, counted as those of a message. Default: 32 MiB.
    pub const fn output_bytes(mut self, output_bytes: usize) -> Self {
        self.output_bytes = output_bytes;
        self
    }
}
