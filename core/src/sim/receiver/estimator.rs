//! What a path can carry, as its receiving end finds out from how delays change: the figure that mediasoup's workers tell by
//! REMB.
//!
//! ```text
//!   packet --> groups --> delay filter --> over-use detector --> rate control --> estimate
//!          \--> received rate, probes ------------------------------^
//! ```
//!
//! Google's congestion control at the receiver (draft-ietf-rmcat-gcc-02), which goes by the absolute send time of all packets
//! of a transport, whatever stream they belong to: retransmissions are packets like others. The draft leaves much open; constants,
//! probes and the order of the steps are those of the workers of mediasoup 2.6.19 and 3.27.1, which both brought the
//! estimator of libwebrtc along, several years apart ([`Worker`]).
//!
//! Nothing happens between packets: what is heard no more is not reckoned with, and no time is waited for. Loss plays no
//! part.

mod control;
mod delay;
mod groups;
mod probes;
mod rate;

use std::collections::BTreeMap;
use std::time::Instant;

use control::RateControl;
use delay::{DelayFilter, OveruseDetector, Usage};
use groups::PacketGroups;
use probes::Probes;
use rate::ReceivedRate;

/// A stream that is silent for longer is not reckoned with.
const STREAM_SILENT_MS: u64 = 2_000;

/// Whose estimator it is. They differ in little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum Worker {
    /// Of mediasoup 2.6.19.
    V2,
    /// Of mediasoup 3.27.1.
    V3,
}

impl Worker {
    /// No estimate is lower, in bits per second.
    const fn least_bps(self) -> f64 {
        match self {
            Self::V2 => 10_000.0,
            Self::V3 => 5_000.0,
        }
    }

    /// How long packets that come in one burst are taken for one group.
    const fn longest_burst_ms(self) -> Option<u64> {
        match self {
            Self::V2 => None,
            Self::V3 => Some(100),
        }
    }

    /// What is added to a distance in milliseconds before its fraction is cut off. (V2 means to round, and does so twice.)
    const fn rounding_ms(self) -> f64 {
        match self {
            Self::V2 => 1.0,
            Self::V3 => 0.5,
        }
    }

    /// Whether less than a second after the first packet the rate is what came in a second, and not what came per second.
    const fn counts_a_whole_second(self) -> bool {
        match self {
            Self::V2 => true,
            Self::V3 => false,
        }
    }
}

/// A packet, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct TimedPacket {
    pub(in crate::sim) ssrc: u32,
    /// Absolute send time: seconds, modulo 64, times 2^18.
    pub(in crate::sim) send_time: u32,
    /// Without header and padding.
    pub(in crate::sim) payload_bytes: u64,
}

/// The estimate of one transport.
#[derive(Debug)]
pub(in crate::sim) struct Estimator {
    worker: Worker,
    /// When the first packet came: all times are milliseconds since then.
    began_at: Option<Instant>,
    /// When each stream was last heard.
    heard: BTreeMap<u32, u64>,
    rate: ReceivedRate,
    groups: PacketGroups,
    filter: DelayFilter,
    detector: OveruseDetector,
    probes: Probes,
    control: RateControl,
    /// When the last estimate was made.
    estimated_at: Option<u64>,
}

impl Estimator {
    pub(in crate::sim) fn new(worker: Worker) -> Self {
        Self {
            worker,
            began_at: None,
            heard: BTreeMap::new(),
            rate: ReceivedRate::new(worker),
            groups: PacketGroups::new(worker),
            filter: DelayFilter::default(),
            detector: OveruseDetector::default(),
            probes: Probes::new(worker),
            control: RateControl::new(worker),
            estimated_at: None,
        }
    }

    /// The streams heard of late: those that an estimate is of.
    pub(in crate::sim) fn ssrcs(&self) -> impl Iterator<Item = u32> {
        self.heard.keys().copied()
    }

    /// Takes a packet. Returns the estimate, in bits per second, when it is time to tell it: five times a second (less often
    /// where that would take more than a twentieth of so little), and at once when the path is found to be overused.
    pub(in crate::sim) fn packet(&mut self, now: Instant, packet: TimedPacket) -> Option<u64> {
        let TimedPacket { ssrc, send_time, payload_bytes } = packet;
        let since = now.saturating_duration_since(*self.began_at.get_or_insert(now));
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.rate.add(now, payload_bytes);
        self.hear(now, ssrc);
        let probed = self.probes.packet(now, send_time, payload_bytes, self.control.estimate_bps());
        if let Some(bitrate_bps) = probed {
            self.control.set(now, bitrate_bps);
        }
        if let Some(delta) = self.groups.packet(now, send_time, payload_bytes) {
            let offset = self.filter.update(&delta, self.detector.usage());
            self.detector.detect(now, offset, self.filter.deltas(), &delta);
        }
        if probed.is_none() && !self.is_due(now) {
            return None;
        }
        let rate = self.rate.bits_per_second(now);
        self.control.update(now, self.detector.usage(), rate);
        let estimate = self.control.estimate_bps()?;
        self.estimated_at = Some(now);
        Some(estimate)
    }

    fn hear(&mut self, now: u64, ssrc: u32) {
        self.heard.retain(|_, at| now.saturating_sub(*at) <= STREAM_SILENT_MS);
        if self.heard.is_empty() {
            self.groups = PacketGroups::new(self.worker);
            self.filter = DelayFilter::default();
        }
        self.heard.insert(ssrc, now);
    }

    fn is_due(&mut self, now: u64) -> bool {
        let Some(last) = self.estimated_at else { return true };
        if now - last > self.control.feedback_interval_ms() {
            return true;
        }
        self.detector.usage() == Usage::Over
            && self.rate.bits_per_second(now).is_some_and(|rate| self.control.may_reduce(now, rate))
    }
}

#[cfg(test)]
mod tests;
