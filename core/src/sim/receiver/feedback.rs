//! What a server tells its peers to send at most (REMB).

use std::time::{Duration, Instant};

/// As the real server: this often, and this much more than is received.
const EVERY: Duration = Duration::from_millis(200);
const HEADROOM_PERCENT: u64 = 150;
const MIN_BPS: u64 = 10_000;
/// When more than this is lost over the last ticks, the path is taken to be too narrow.
const CONGESTED_PERCENT: u64 = 10;
const BACKOFF_PERCENT: u64 = 85;
/// How fast the estimate climbs with each tick after that.
const CLIMB_PERCENT: u64 = 105;
const TICKS: usize = 5;

/// When REMB goes out, and with what. Simpler than the real server, which looks at how delays change.
#[derive(Debug)]
pub(in crate::sim) struct BitrateFeedback {
    /// From the first packet to the first REMB; none: no REMB at all.
    after: Option<Duration>,
    pub(in crate::sim) cap_bps: Option<u64>,
    due: Option<Instant>,
    pub(in crate::sim) last_bps: u64,
    /// After congestion, until it is back at what is free.
    climbing_bps: Option<u64>,
    /// Packets expected and arrived at first sending, at the last ticks, the latest first.
    history: [(u64, u64); TICKS],
}

impl BitrateFeedback {
    pub(in crate::sim) const fn new(after: Option<Duration>, cap_bps: Option<u64>) -> Self {
        Self { after, cap_bps, due: None, last_bps: 0, climbing_bps: None, history: [(0, 0); TICKS] }
    }

    pub(in crate::sim) const fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(in crate::sim) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// A packet has come.
    pub(in crate::sim) fn media(&mut self, now: Instant) {
        if self.due.is_none() {
            self.due = self.after.and_then(|after| now.checked_add(after));
        }
    }

    /// Sends REMB from so long after the next packet, if it does not do so yet.
    pub(in crate::sim) const fn begin_after(&mut self, after: Option<Duration>) {
        if self.after.is_none() {
            self.after = after;
        }
    }

    pub(in crate::sim) const fn stop(&mut self) {
        self.after = None;
        self.due = None;
    }

    /// The next figure, from what was received in the last second and the packets so far.
    pub(in crate::sim) fn next(&mut self, now: Instant, received_bps: u64, expected: u64, arrived: u64) -> u64 {
        self.due = Some(now + EVERY);
        let (expected_before, arrived_before) = self.history[TICKS - 1];
        self.history.rotate_right(1);
        self.history[0] = (expected, arrived);
        let expected = expected.saturating_sub(expected_before);
        let lost = expected.saturating_sub(arrived.saturating_sub(arrived_before));
        let congested = expected_before > 0 && lost * 100 > expected * CONGESTED_PERCENT;
        let room = received_bps * HEADROOM_PERCENT / 100;
        self.climbing_bps = if congested {
            Some(received_bps * BACKOFF_PERCENT / 100)
        } else {
            self.climbing_bps.map(|last| last.max(MIN_BPS) * CLIMB_PERCENT / 100).filter(|climbed| *climbed < room)
        };
        let estimate = self.climbing_bps.unwrap_or(room).max(MIN_BPS);
        self.last_bps = self.cap_bps.map_or(estimate, |cap| cap.min(estimate));
        self.last_bps
    }
}
