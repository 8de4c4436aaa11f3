//! The estimate: up slowly, down at once (draft-ietf-rmcat-gcc-02 section 5.5).

use super::Worker;
use super::delay::Usage;

/// Where it would be without an estimate: feedback may come as often as that allows.
const UNKNOWN_BPS: f64 = 30_000_000.0;
/// Until then the first estimate waits, unless the path is overused.
const FIRST_ESTIMATE_MS: u64 = 5_000;
/// What is left of what was received, when it was too much.
const BACKOFF: f64 = 0.85;
/// Each second, while the path is not known to be full.
const RAMP_UP: f64 = 1.08;
const SMALLEST_RAMP_BPS: f64 = 1_000.0;
/// When it may be near full: a packet for each time that it takes to see what came of the last one.
const FRAMES_PER_SECOND: f64 = 30.0;
const PACKET_BITS: f64 = 8.0 * 1_200.0;
const RESPONSE_MS: f64 = 2.0 * (ROUND_TRIP_MS as f64 + 100.0);
const SMALLEST_STEP_BPS: f64 = 4_000.0;
/// The workers measure none here.
const ROUND_TRIP_MS: u64 = 200;
/// Feedback may take a twentieth of the estimate, in packets of 80 bytes.
const FEEDBACK_BITS: f64 = 8.0 * 80.0 * 20.0;
const FEEDBACK_MS: (f64, f64) = (200.0, 1_000.0);

/// Additive increase, multiplicative decrease.
#[derive(Debug)]
pub(super) struct RateControl {
    worker: Worker,
    bps: f64,
    /// Whether that is an estimate.
    known: bool,
    /// The received rate that was last known.
    received_bps: f64,
    /// When one was first known.
    received_at: Option<u64>,
    capacity: LinkCapacity,
    increasing: bool,
    changed_at: Option<u64>,
}

impl RateControl {
    pub(super) const fn new(worker: Worker) -> Self {
        Self {
            worker,
            bps: UNKNOWN_BPS,
            known: false,
            received_bps: UNKNOWN_BPS,
            received_at: None,
            capacity: LinkCapacity::new(),
            increasing: false,
            changed_at: None,
        }
    }

    /// None yet: nothing is known.
    pub(super) fn estimate_bps(&self) -> Option<u64> {
        self.known.then_some(self.bps as u64)
    }

    /// How often it is told.
    pub(super) fn feedback_interval_ms(&self) -> u64 {
        let (shortest, longest) = FEEDBACK_MS;
        (FEEDBACK_BITS * 1_000.0 / self.bps).clamp(shortest, longest) as u64
    }

    /// Whether it may be reduced out of turn: what was last done has had time to show, or is far from enough.
    pub(super) fn may_reduce(&self, now: u64, received_bps: u64) -> bool {
        let settled = self.changed_at.is_none_or(|at| now - at >= ROUND_TRIP_MS);
        settled || (self.known && (received_bps as f64) < 0.5 * self.bps)
    }

    /// A probe came through.
    pub(super) fn set(&mut self, now: u64, bps: u64) {
        self.bps = (bps as f64).max(self.worker.least_bps());
        self.known = true;
        self.changed_at = Some(now);
    }

    pub(super) fn update(&mut self, now: u64, usage: Usage, received_bps: Option<u64>) {
        let received = received_bps.map_or(self.received_bps, |received| received as f64);
        self.received_bps = received;
        if !self.known && received_bps.is_some() {
            let first = *self.received_at.get_or_insert(now);
            if now - first > FIRST_ESTIMATE_MS {
                self.bps = received;
                self.known = true;
            }
        }
        match usage {
            Usage::Over => self.decrease(now, received),
            Usage::Normal if self.known => self.increase(now, received),
            // Queues are let drain.
            Usage::Under if self.known => self.increasing = false,
            Usage::Normal | Usage::Under => return,
        }
        self.bps = self.bps.max(self.worker.least_bps());
    }

    fn increase(&mut self, now: u64, received: f64) {
        if !self.increasing {
            self.increasing = true;
            self.changed_at = Some(now);
        }
        if received > self.capacity.highest_bps() {
            self.capacity.kbps = None;
        }
        let seconds = self.changed_at.map_or(1.0, |at| (now - at) as f64 / 1_000.0);
        let more = match self.capacity.kbps {
            Some(_) => self.step_bps_per_second() * seconds,
            None => (self.bps * (RAMP_UP.powf(seconds.min(1.0)) - 1.0)).max(SMALLEST_RAMP_BPS),
        };
        // A sender that has no more to send does not show what the path can carry.
        let shown = 1.5 * received + 10_000.0;
        self.bps = (self.bps + more).min(shown.max(self.bps));
        self.changed_at = Some(now);
    }

    fn step_bps_per_second(&self) -> f64 {
        let frame_bits = self.bps / FRAMES_PER_SECOND;
        let packets = (frame_bits / PACKET_BITS).ceil();
        (frame_bits / packets * 1_000.0 / RESPONSE_MS).max(SMALLEST_STEP_BPS)
    }

    fn decrease(&mut self, now: u64, received: f64) {
        let mut bps = BACKOFF * received;
        if bps > self.bps
            && let Some(kbps) = self.capacity.kbps
        {
            bps = BACKOFF * kbps * 1_000.0;
        }
        self.bps = bps.min(self.bps);
        self.known = true;
        if received < self.capacity.lowest_bps() {
            self.capacity.kbps = None;
        }
        self.capacity.was_full(received / 1_000.0);
        self.increasing = false;
        self.changed_at = Some(now);
    }
}

/// What was received whenever the path was full: a mean, in kbit/s, and its deviation.
#[derive(Debug, Clone, Copy)]
struct LinkCapacity {
    kbps: Option<f64>,
    /// Squared, for each kbit/s.
    deviation: f64,
}

impl LinkCapacity {
    const fn new() -> Self {
        Self { kbps: None, deviation: 0.4 }
    }

    fn was_full(&mut self, kbps: f64) {
        const NEW: f64 = 0.05;
        let mean = self.kbps.map_or(kbps, |mean| (1.0 - NEW) * mean + NEW * kbps);
        let error = mean - kbps;
        self.kbps = Some(mean);
        self.deviation = ((1.0 - NEW) * self.deviation + NEW * error * error / mean.max(1.0)).clamp(0.4, 2.5);
    }

    fn highest_bps(&self) -> f64 {
        self.kbps.map_or(f64::INFINITY, |mean| 1_000.0 * (mean + 3.0 * (self.deviation * mean).sqrt()))
    }

    fn lowest_bps(&self) -> f64 {
        self.kbps.map_or(0.0, |mean| 1_000.0 * (mean - 3.0 * (self.deviation * mean).sqrt()))
    }
}
