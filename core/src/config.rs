//! Options of a room, a transport and a producer, and the limits that bound memory.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connection::engine::crypto::{Certificate, DtlsBackend};
use crate::protocol::{DtlsRole, RoomSettings};
use crate::rtp::{Codec, Profile};

/// Options of a [`Room`](crate::Room).
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct RoomConfig {
    pub(crate) room_settings: Option<RoomSettings>,
    pub(crate) request_timeout: Duration,
    pub(crate) transport_options: TransportOptions,
    pub(crate) codec_preferences: Vec<Codec>,
    pub(crate) spy: bool,
    pub(crate) dtls_role: DtlsRole,
    pub(crate) burst: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) dtls_backend: DtlsBackend,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) certificate: Option<Certificate>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) initial_bitrate_bps: Option<u64>,
    pub(crate) limits: Limits,
    #[cfg(feature = "serde")]
    #[serde(skip)]
    pub(crate) record: Option<crate::record::RecordOptions>,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            room_settings: None,
            request_timeout: Duration::from_secs(10),
            transport_options: TransportOptions::default(),
            codec_preferences: Vec::new(),
            spy: false,
            dtls_role: DtlsRole::default(),
            burst: Duration::from_millis(100),
            dtls_backend: DtlsBackend::default(),
            certificate: None,
            initial_bitrate_bps: None,
            limits: Limits::default(),
            #[cfg(feature = "serde")]
            record: None,
        }
    }
}

impl RoomConfig {
    /// The room's settings, if the application has them already: `queryRoom` is then not sent. Default: none.
    pub fn room_settings(mut self, settings: RoomSettings) -> Self {
        self.room_settings = Some(settings);
        self
    }

    /// How long the server may take to answer a request; [`Duration::MAX`]: for ever. What becomes of a later answer: see
    /// [`OperationError`](crate::OperationError#late-answers). Default: 10 s.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// What the server is asked to offer for each transport. Default: the server's own choice.
    pub const fn transport_options(mut self, options: TransportOptions) -> Self {
        self.transport_options = options;
        self
    }

    /// Codecs to be used before the others of their kind, best first. Default: the room's own order.
    pub fn codec_preferences(mut self, codecs: impl Into<Vec<Codec>>) -> Self {
        self.codec_preferences = codecs.into();
        self
    }

    /// Joins without being announced to the other peers; a spy cannot send. Default: false.
    pub const fn spy(mut self, spy: bool) -> Self {
        self.spy = spy;
        self
    }

    /// Our side of the DTLS handshake. Default: client.
    pub const fn dtls_role(mut self, role: DtlsRole) -> Self {
        self.dtls_role = role;
        self
    }

    /// How much video of a transport leaves at once: what it sends in this time on average, and 12 kB at least. The rest of
    /// a larger frame follows in steps of 5 ms, within 30 ms. Default: 100 ms, three frames of usual size at 30 a second.
    pub const fn burst(mut self, burst: Duration) -> Self {
        self.burst = burst;
        self
    }

    /// What speaks DTLS. Default: [`DtlsBackend::Modern`], whatever features are on.
    pub const fn dtls_backend(mut self, backend: DtlsBackend) -> Self {
        self.dtls_backend = backend;
        self
    }

    /// Our certificate. One for many rooms spares each the making of its keys; those who see the traffic of two rooms can
    /// tell then that they have one owner. It is in no recording. Default: each room makes its own with its first transport.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// What each transport is taken to carry, in bits per second, until the server says what it can receive (REMB; mediasoup's
    /// first comes 5 s after video began). It is divided as the server's figure is, so that
    /// [`TargetBitrate`](crate::ProducerEvent::TargetBitrate) tells each video encoding's target as soon as its producer is
    /// handled and not paused, and again when another producer joins it on the transport. Default: none; encoders hear of no
    /// target until the server speaks.
    pub const fn initial_bitrate_bps(mut self, bitrate_bps: u64) -> Self {
        self.initial_bitrate_bps = Some(bitrate_bps);
        self
    }

    /// Bounds on memory. Default: see [`Limits`].
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Records the room from its beginning, wherever it is made: [`Room::poll_record`](crate::Room::poll_record) brings
    /// the lines. Default: not.
    #[cfg(feature = "serde")]
    pub const fn record(mut self, options: crate::record::RecordOptions) -> Self {
        self.record = Some(options);
        self
    }
}

/// What the server is asked to offer for a transport (`createTransport`'s `options`). Unset: the server's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransportOptions {
    /// Offer UDP candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<bool>,
    /// Offer TCP candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<bool>,
    /// Give IPv4 candidates the higher priority.
    #[serde(rename = "preferIPv4", skip_serializing_if = "Option::is_none")]
    pub prefer_ipv4: Option<bool>,
    /// Give IPv6 candidates the higher priority.
    #[serde(rename = "preferIPv6", skip_serializing_if = "Option::is_none")]
    pub prefer_ipv6: Option<bool>,
    /// Give UDP candidates the higher priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_udp: Option<bool>,
    /// Give TCP candidates the higher priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_tcp: Option<bool>,
}

/// Options of a [`Producer`](crate::Producer).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct ProducerOptions {
    pub(crate) simulcast: Option<SimulcastOptions>,
    pub(crate) codec: Option<Codec>,
}

impl ProducerOptions {
    /// Sends three layers: `false`, `true` for the default bitrates, or [`SimulcastOptions`]. Of audio there is one stream,
    /// whatever is said here. Default: false.
    pub fn simulcast(mut self, simulcast: impl Into<Simulcast>) -> Self {
        self.simulcast = simulcast.into().0;
        self
    }

    /// The codec the media is encoded with. Default: the room's first of this kind, after
    /// [`RoomConfig::codec_preferences`].
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }
}

/// What [`ProducerOptions::simulcast`] takes: a bool or [`SimulcastOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulcast(Option<SimulcastOptions>);

impl From<bool> for Simulcast {
    fn from(enabled: bool) -> Self {
        Self(enabled.then(SimulcastOptions::default))
    }
}

impl From<SimulcastOptions> for Simulcast {
    fn from(options: SimulcastOptions) -> Self {
        Self(Some(options))
    }
}

/// The most each simulcast layer should take. The v2 documentation says kbps; what its defaults mean is bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct SimulcastOptions {
    /// The lowest layer, in bits per second. Default: 100 000.
    pub low_bps: u32,
    /// The middle layer, in bits per second. Default: 300 000.
    pub medium_bps: u32,
    /// The highest layer, in bits per second. Default: 1 500 000.
    pub high_bps: u32,
}

impl Default for SimulcastOptions {
    fn default() -> Self {
        Self { low_bps: 100_000, medium_bps: 300_000, high_bps: 1_500_000 }
    }
}

impl SimulcastOptions {
    /// The bitrate of a layer in bits per second; `None` for [`Profile::Default`], which is no layer.
    pub const fn bitrate_bps(&self, profile: Profile) -> Option<u32> {
        match profile {
            Profile::Default => None,
            Profile::Low => Some(self.low_bps),
            Profile::Medium => Some(self.medium_bps),
            Profile::High => Some(self.high_bps),
        }
    }
}

/// Bounds on what a room holds. At a limit a command is refused with a typed error, and what comes from outside is
/// dropped and counted in [`RoomStats`](crate::stats::RoomStats).
///
/// # Every limit
///
/// Those that can be set, each by the method of its name:
///
/// | limit | default | past it |
/// | --- | --- | --- |
/// | `transports` | 16 | [`CreateTransportError::Limit`](crate::CreateTransportError::Limit) |
/// | `producers` | 256 | [`CreateProducerError::Limit`](crate::CreateProducerError::Limit) |
/// | `operations` of a transport | 256 | [`SendError::Limit`](crate::SendError::Limit), [`RestartIceError::Limit`](crate::RestartIceError::Limit) |
/// | `local_addresses` of a transport | 16 | [`AddAddressError::Limit`](crate::AddAddressError::Limit) |
/// | `remote_candidates` of a transport | 64 | `candidates_dropped` |
/// | `peers` | 4096 | `peers_dropped` |
/// | `peer_bytes` | 8 MiB | `peers_dropped` |
/// | `message_bytes` | 8 MiB | `messages_too_large`; a request settles with [`InvalidResponse`](crate::OperationError::InvalidResponse) |
/// | `pending_requests` | 256 | settles with [`TooManyRequests`](crate::OperationError::TooManyRequests) |
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
/// | text frame of [`protoo`](crate::protocol::protoo) | 1 MiB | [`ProtooError::TooLong`](crate::protocol::protoo::ProtooError::TooLong) |
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
/// | datagrams waiting for one path of a blocked socket | 256 | media is refused: [`MediaError::Blocked`](crate::MediaError::Blocked), `IoStats::media_refused` |
/// | the same | 1024 | dropped, video first: `IoStats::datagrams_dropped` |
/// | bytes waiting for one TCP connection | 128 KiB | media is refused, as above |
/// | the same | 256 KiB | `IoStats::datagrams_dropped` |
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
