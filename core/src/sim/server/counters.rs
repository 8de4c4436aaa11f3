//! What a room counts of a stream.

use std::time::{Duration, Instant};

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

/// The running count of one stream.
#[derive(Debug)]
pub(super) struct StreamCounter {
    clock_rate: u32,
    range: Option<(u64, u64)>,
    pub(super) packets: u64,
    /// Payloads alone.
    pub(super) bytes: u64,
    /// With headers, as mediasoup's `byteCount`.
    pub(super) wire_bytes: u64,
    pub(super) repaired: u64,
    pub(super) while_paused: u64,
    pub(super) nacks: u64,
    pub(super) plis: u64,
    transit: Option<(u32, Instant)>,
    jitter: f64,
    pub(super) rate: Rate,
    /// Expected and received at the last report.
    reported: (u64, u64),
}

impl StreamCounter {
    pub(super) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            range: None,
            packets: 0,
            bytes: 0,
            wire_bytes: 0,
            repaired: 0,
            while_paused: 0,
            nacks: 0,
            plis: 0,
            transit: None,
            jitter: 0.0,
            rate: Rate::default(),
            reported: (0, 0),
        }
    }

    /// Counts a packet that was not received before. `sequence_number` is extended.
    pub(super) fn count(&mut self, now: Instant, sequence_number: u64, timestamp: u32, sizes: Sizes, repaired: bool) {
        let (first, last) = self.range.unwrap_or((sequence_number, sequence_number));
        self.range = Some((first.min(sequence_number), last.max(sequence_number)));
        self.packets += 1;
        self.bytes += sizes.payload;
        self.wire_bytes += sizes.payload + sizes.header;
        self.rate.add(now, sizes.payload + sizes.header);
        if repaired {
            self.repaired += 1;
        } else {
            self.jitter(now, timestamp);
        }
    }

    /// RFC 3550 appendix A.8.
    fn jitter(&mut self, now: Instant, timestamp: u32) {
        if let Some((last, at)) = self.transit {
            let arrival = now.saturating_duration_since(at).as_secs_f64() * f64::from(self.clock_rate);
            let sent = f64::from(timestamp.wrapping_sub(last).cast_signed());
            self.jitter += ((arrival - sent).abs() - self.jitter) / 16.0;
        }
        self.transit = Some((timestamp, now));
    }

    pub(super) fn expected(&self) -> u64 {
        self.range.map_or(0, |(first, last)| last - first + 1)
    }

    pub(super) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.packets)
    }

    pub(super) fn jitter_units(&self) -> u32 {
        self.jitter as u32
    }

    /// Loss since the last call, 0 to 255 for 0 to 1 (RFC 3550 appendix A.3).
    pub(super) fn fraction_lost(&mut self) -> u64 {
        let (expected, received) = (self.expected(), self.packets);
        let (of, got) = (expected - self.reported.0.min(expected), received - self.reported.1);
        self.reported = (expected, received);
        (of.saturating_sub(got) * 256).checked_div(of).unwrap_or(0).min(255)
    }

    pub(super) fn counters(&self, now: Instant, profile: Profile, ssrc: u32) -> EncodingCounters {
        EncodingCounters {
            profile,
            ssrc,
            packets: self.packets,
            bytes: self.bytes,
            packets_repaired: self.repaired,
            packets_lost: self.lost(),
            packets_while_paused: self.while_paused,
            nack_count: self.nacks,
            pli_count: self.plis,
            jitter: self.jitter_units(),
            bitrate_bps: self.rate.bits_per_second(now),
        }
    }
}

/// Of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) header: u64,
    pub(super) payload: u64,
}

const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_millis(100);

/// Bytes over the last second, in tenths.
#[derive(Debug, Default)]
pub(super) struct Rate {
    origin: Option<Instant>,
    slots: [(u64, u64); SLOTS],
}

impl Rate {
    fn slot(&self, now: Instant) -> u64 {
        let since = self.origin.map_or(Duration::ZERO, |origin| now.saturating_duration_since(origin));
        (since.as_millis() / SLOT.as_millis()) as u64
    }

    pub(super) fn add(&mut self, now: Instant, bytes: u64) {
        self.origin.get_or_insert(now);
        let number = self.slot(now);
        let slot = &mut self.slots[number as usize % SLOTS];
        *slot = if slot.0 == number { (number, slot.1 + bytes) } else { (number, bytes) };
    }

    pub(super) fn bits_per_second(&self, now: Instant) -> u64 {
        let number = self.slot(now);
        let recent = self.slots.iter().filter(|(slot, _)| *slot <= number && number - slot < SLOTS as u64);
        recent.map(|(_, bytes)| bytes * 8).sum()
    }
}
