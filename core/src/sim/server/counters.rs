//! What a room counts.

use crate::sim::receiver::counters::StreamCounters;
use crate::v2::Profile;

/// One encoding of a producer as the room counts it.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EncodingCounters {
    /// The layer.
    pub profile: Profile,
    /// The stream.
    pub ssrc: u32,
    /// Packets received, each once, those that were repaired among them.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that retransmission brought.
    pub packets_repaired: u64,
    /// Packets that have not come, of those between the first and the last: lost, unless they are under way.
    pub packets_lost: u64,
    /// Packets received while the producer was paused; counted in `packets` too.
    pub packets_while_paused: u64,
    /// NACKs sent; brought up to date once a second.
    pub nack_count: u64,
    /// Key frames asked for with PLI.
    pub pli_count: u64,
    /// Interarrival jitter in RTP time units (RFC 3550 section 6.4.1).
    pub jitter: u32,
    /// What was received in the last second, headers included, in bits per second.
    pub bitrate_bps: u64,
}

impl EncodingCounters {
    pub(super) fn new(profile: Profile, ssrc: u32, of_stream: StreamCounters) -> Self {
        let StreamCounters {
            packets,
            bytes,
            packets_repaired,
            packets_lost,
            packets_while_paused,
            nack_count,
            pli_count,
            jitter,
            bitrate_bps,
        } = of_stream;
        Self {
            profile,
            ssrc,
            packets,
            bytes,
            packets_repaired,
            packets_lost,
            packets_while_paused,
            nack_count,
            pli_count,
            jitter,
            bitrate_bps,
        }
    }
}
