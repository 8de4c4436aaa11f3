//! Statistics of the server, as they arrive, and what a room counts. Fields follow W3C webrtc-stats where it has the thing.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One stream of a producer as the server counts it (`producerStats`).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ProducerStats {
    /// The fields we know, where the entry has them with the right types.
    pub stream: Option<InboundRtpStats>,
    /// The entry as it came.
    pub raw: Value,
}

/// mediasoup v2's `inbound-rtp` entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InboundRtpStats {
    /// The stream.
    pub ssrc: u32,
    /// For example `video/VP8`.
    #[serde(default)]
    pub mime_type: String,
    /// Received rate in bits per second.
    #[serde(default, rename = "bitrate")]
    pub bitrate_bps: u64,
    /// Packets received, without duplicates and without those that retransmission brought.
    #[serde(default)]
    pub packet_count: u64,
    /// Bytes received.
    #[serde(default)]
    pub byte_count: u64,
    /// Packets that did not come by themselves so far, those that were repaired among them; may shrink when late ones
    /// come.
    #[serde(default)]
    pub packets_lost: i64,
    /// Packets discarded.
    #[serde(default)]
    pub packets_discarded: u64,
    /// Packets that retransmission brought.
    #[serde(default)]
    pub packets_repaired: u64,
    /// Loss since the last report, 0 to 255 for 0 to 1 (RFC 3550 section 6.4.1).
    #[serde(default)]
    pub fraction_lost: u32,
    /// Interarrival jitter in RTP time units.
    #[serde(default)]
    pub jitter: u32,
    /// NACKs the server sent.
    #[serde(default)]
    pub nack_count: u64,
    /// Picture loss indications the server sent.
    #[serde(default)]
    pub pli_count: u64,
    /// Full intra requests the server sent.
    #[serde(default)]
    pub fir_count: u64,
}

/// A transport as the server counts it (`transportStats`).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TransportStats {
    /// The fields we know, where the entry has them with the right types.
    pub transport: Option<RemoteTransportStats>,
    /// The entry as it came.
    pub raw: Value,
}

/// mediasoup v2's `transport` entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RemoteTransportStats {
    /// Bytes the server received on this transport.
    #[serde(default)]
    pub bytes_received: u64,
    /// Bytes the server sent on this transport.
    #[serde(default)]
    pub bytes_sent: u64,
    /// For example `connected`.
    #[serde(default)]
    pub dtls_state: String,
    /// For example `completed`.
    #[serde(default)]
    pub ice_connection_state: String,
}

/// What a room dropped, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct RoomStats {
    /// Datagrams handed in from where no transport expects any, or that are no STUN, DTLS, RTP or RTCP.
    pub datagrams_discarded: u64,
    /// STUN messages that answer no check of ours, have been answered before, come from elsewhere than the check went, or
    /// are not made with the server's ICE password (RFC 8445 section 7.2.5, RFC 8489 section 9.1); all requests among them,
    /// as nobody knows our own password, and whatever begins like STUN and is none.
    pub stun_refused: u64,
    /// DTLS datagrams from the server's address that are no use: during the handshake the first words of a second one,
    /// after it everything but its end, which is what is forged or replayed (RFC 6347 section 4.1.2.7), or a last flight
    /// that the server sends again.
    pub dtls_refused: u64,
    /// RTP packets from the server's address: none has business here.
    pub rtp_refused: u64,
    /// RTCP packets from the server's address that are not made with the transport's keys or not encrypted (RFC 3711
    /// section 3.4, RFC 5764 section 4.1.2), or that come before there are keys.
    pub rtcp_forged: u64,
    /// RTCP packets that were taken before, or are too old to tell (RFC 3711 section 3.3.2; the window is 128 packets).
    pub rtcp_replayed: u64,
    /// Messages of the server that could not be read.
    pub messages_malformed: u64,
    /// Messages of the server that were larger than [`Limits::message_bytes`](crate::Limits::message_bytes); an answer then
    /// counts as one that makes no sense.
    pub messages_too_large: u64,
    /// Messages of the server about something that we do not know (or no longer): an id, a second answer, one from before
    /// the room was closed.
    pub messages_unexpected: u64,
    /// Events dropped because outputs were not polled.
    pub events_dropped: u64,
    /// Datagrams to be sent that were dropped because outputs were not polled.
    pub transmits_dropped: u64,
    /// Addresses of the server not tried because there were too many
    /// ([`Limits::remote_candidates`](crate::Limits::remote_candidates)).
    pub candidates_dropped: u64,
    /// Peers not remembered because there were too many, or too much with them.
    pub peers_dropped: u64,
    /// Requests that were given up and then forgotten, because there were too many
    /// ([`Limits::late_answers`](crate::Limits::late_answers)): what a late answer brings is not undone.
    pub requests_forgotten: u64,
    /// Outputs that wait to be polled.
    pub outputs_waiting: usize,
    /// Requests that wait for an answer.
    pub requests_pending: usize,
}

/// What the server keeps to: whole milliseconds, a second at least (mediasoup-client), and at most what its timer takes: a
/// longer one would fire without a pause (Node's `setInterval`).
pub(crate) fn stats_interval(interval: Duration) -> Duration {
    const LONGEST_MS: u32 = i32::MAX as u32;
    let milliseconds = u32::try_from(interval.as_millis()).unwrap_or(LONGEST_MS);
    Duration::from_millis(milliseconds.clamp(1000, LONGEST_MS).into())
}
