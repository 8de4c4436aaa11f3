//! What a server counts of a stream.

use std::time::{Duration, Instant};

use super::listener::Heard;
use crate::connection::engine::endpoint::Refused;

/// What a server received and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Datagrams that no transport knows.
    pub datagrams_discarded: u64,
    /// STUN messages that are no binding requests made with the ICE user name and password of a transport (RFC 8489 section
    /// 9.1).
    pub stun_refused: u64,
    /// Authentic binding requests from one address more than its limit.
    pub addresses_refused: u64,
    /// DTLS datagrams after the handshake, but for its end: forged, replayed (RFC 6347 section 4.1.2.7), or a last flight
    /// sent again.
    pub dtls_refused: u64,
    /// RTP packets that are forged, were received before (RFC 3711 section 3.3.2), or belong to no stream.
    pub rtp_refused: u64,
    /// RTCP packets not made with the transport's keys, or not encrypted (RFC 3711 section 3.4).
    pub rtcp_forged: u64,
    /// RTCP packets that were received before (RFC 3711 section 3.3.2).
    pub rtcp_replayed: u64,
    /// Requests refused.
    pub requests_refused: u64,
    /// Notifications that made no sense; the real server only logs them.
    pub notifications_refused: u64,
    /// Datagrams, packets, statistics, and requests and notifications of peers, dropped because outputs were not polled.
    pub outputs_dropped: u64,
}

impl ServerCounters {
    pub(in crate::sim) const fn count(&mut self, heard: Heard) {
        match heard {
            Heard::Taken => {}
            Heard::NotOurs => self.datagrams_discarded += 1,
            Heard::OneAddressMore => self.addresses_refused += 1,
            Heard::Refused(Refused::Stun) => self.stun_refused += 1,
            Heard::Refused(Refused::Dtls) => self.dtls_refused += 1,
            Heard::Refused(Refused::Rtp) => self.rtp_refused += 1,
            Heard::Refused(Refused::RtcpForged) => self.rtcp_forged += 1,
            Heard::Refused(Refused::RtcpReplayed) => self.rtcp_replayed += 1,
        }
    }
}

/// What a server received of one RTP stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct StreamCounters {
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
pub(in crate::sim) struct StreamCounter {
    clock_rate: u32,
    range: Option<(u64, u64)>,
    pub(in crate::sim) packets: u64,
    /// Payloads alone.
    pub(in crate::sim) bytes: u64,
    /// With headers, as mediasoup's `byteCount`.
    pub(in crate::sim) wire_bytes: u64,
    pub(in crate::sim) repaired: u64,
    pub(in crate::sim) while_paused: u64,
    pub(in crate::sim) nacks: u64,
    pub(in crate::sim) plis: u64,
    transit: Option<(u32, Instant)>,
    jitter: f64,
    pub(in crate::sim) rate: Rate,
    /// Expected and received at the last report.
    reported: (u64, u64),
}

impl StreamCounter {
    pub(in crate::sim) fn new(clock_rate: u32) -> Self {
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
    pub(in crate::sim) fn count(
        &mut self,
        now: Instant,
        sequence_number: u64,
        timestamp: u32,
        sizes: Sizes,
        repaired: bool,
    ) {
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

    pub(in crate::sim) fn expected(&self) -> u64 {
        self.range.map_or(0, |(first, last)| last - first + 1)
    }

    pub(in crate::sim) fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.packets)
    }

    pub(in crate::sim) fn jitter_units(&self) -> u32 {
        self.jitter as u32
    }

    /// Loss since the last call, 0 to 255 for 0 to 1 (RFC 3550 appendix A.3).
    pub(in crate::sim) fn fraction_lost(&mut self) -> u64 {
        let (expected, received) = (self.expected(), self.packets);
        let (of, got) = (expected - self.reported.0.min(expected), received - self.reported.1);
        self.reported = (expected, received);
        (of.saturating_sub(got) * 256).checked_div(of).unwrap_or(0).min(255)
    }

    pub(in crate::sim) fn counters(&self, now: Instant) -> StreamCounters {
        StreamCounters {
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
pub(in crate::sim) struct Sizes {
    pub(in crate::sim) header: u64,
    pub(in crate::sim) payload: u64,
}

const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_millis(100);

/// Bytes over the last second, in tenths.
#[derive(Debug, Default)]
pub(in crate::sim) struct Rate {
    origin: Option<Instant>,
    slots: [(u64, u64); SLOTS],
}

impl Rate {
    fn slot(&self, now: Instant) -> u64 {
        let since = self.origin.map_or(Duration::ZERO, |origin| now.saturating_duration_since(origin));
        (since.as_millis() / SLOT.as_millis()) as u64
    }

    pub(in crate::sim) fn add(&mut self, now: Instant, bytes: u64) {
        self.origin.get_or_insert(now);
        let number = self.slot(now);
        let slot = &mut self.slots[number as usize % SLOTS];
        *slot = if slot.0 == number { (number, slot.1 + bytes) } else { (number, bytes) };
    }

    pub(in crate::sim) fn bits_per_second(&self, now: Instant) -> u64 {
        let number = self.slot(now);
        let recent = self.slots.iter().filter(|(slot, _)| *slot <= number && number - slot < SLOTS as u64);
        recent.map(|(_, bytes)| bytes * 8).sum()
    }
}
