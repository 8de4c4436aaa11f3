//! Statistics of a device. Those of streams are the connection's ([`OutboundRtpStats`](crate::stats::OutboundRtpStats)).

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// What a device dropped, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct DeviceStats {
    /// Datagrams handed in from where no transport expects any, or that are no STUN, DTLS, RTP or RTCP.
    pub datagrams_discarded: u64,
    /// STUN messages that answer no check of ours (RFC 8445 section 7.2.5).
    pub stun_refused: u64,
    /// DTLS datagrams from the server's address that are no use (RFC 6347 section 4.1.2.7).
    pub dtls_refused: u64,
    /// RTP packets from the server's address: none has business here.
    pub rtp_refused: u64,
    /// RTCP packets that are not made with the transport's keys, or come before there are keys (RFC 3711 section 3.4).
    pub rtcp_forged: u64,
    /// RTCP packets that were taken before, or are too old to tell (RFC 3711 section 3.3.2).
    pub rtcp_replayed: u64,
    /// Answers to no request that waits for one, or was given up of late.
    pub answers_unexpected: u64,
    /// Answers to requests that were given up of late, and to which nothing was to be done.
    pub answers_late: u64,
    /// Events dropped because outputs were not polled.
    pub events_dropped: u64,
    /// Datagrams to be sent that were dropped because outputs were not polled.
    pub transmits_dropped: u64,
    /// Addresses of the server not tried because there were too many
    /// ([`Limits::remote_candidates`](crate::Limits::remote_candidates)).
    pub candidates_dropped: u64,
    /// Addresses of the server not tried because they are host names that nobody has
    /// [resolved](super::TransportParameters::resolve).
    pub candidates_unresolved: u64,
    /// Requests that were given up and then forgotten, because there were too many
    /// ([`Limits::late_answers`](crate::Limits::late_answers)): what a late answer brings is not told.
    pub requests_forgotten: u64,
    /// Outputs that wait to be polled.
    pub outputs_waiting: usize,
    /// Requests that wait for an answer.
    pub requests_pending: usize,
}
