//! Spreads large frames over a little time.
//!
//! v2 gives no pace to keep to (its one feedback is REMB), but a key frame of a few hundred packets in one burst overruns
//! socket buffers and the queues of slow links. So the packets of video frames leave in steps: most frames whole in the
//! first, the largest within [`SPREAD`].
//!
//! How much is let out at once follows from what is sent anyway: what the connection sends on average in the time `burst`.
//! With 100 ms and 30 frames a second that is three frames of usual size, so that only key frames and cuts are spread, and
//! the loop around is not woken for the others.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::engine::OutgoingPacket;

/// From one step to the next.
const STEP: Duration = Duration::from_millis(5);
/// What waits has left after this many steps.
const STEPS: usize = 6;
/// A step has at least this many packets, as long as nothing is known of the average: 12 kB, about what libwebrtc's pacer
/// lets out at once.
const MIN_PACKETS: usize = 10;
/// Over which the average is taken.
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Pacer {
    queue: VecDeque<OutgoingPacket>,
    /// When the next step is due; none while nothing was sent lately.
    next_step: Option<Instant>,
    per_step: usize,
    burst: Duration,
    /// Thousandths of packets in about the last [`WINDOW`], and when they were counted.
    recent: u64,
    counted_at: Option<Instant>,
}

impl Pacer {
    pub(crate) const fn new(burst: Duration) -> Self {
        Self { queue: VecDeque::new(), next_step: None, per_step: 0, burst, recent: 0, counted_at: None }
    }

    /// Takes the packets of a frame.
    pub(crate) fn push(&mut self, now: Instant, packets: &mut Vec<OutgoingPacket>) {
        let burst = self.burst_packets(now);
        self.recent += 1000 * packets.len() as u64;
        self.queue.extend(packets.drain(..));
        self.per_step = self.per_step.max(self.queue.len().div_ceil(STEPS)).max(burst);
        self.next_step.get_or_insert(now);
    }

    /// What leaves at once.
    fn burst_packets(&mut self, now: Instant) -> usize {
        let passed = self.counted_at.map_or(WINDOW, |at| now.saturating_duration_since(at).min(WINDOW));
        self.counted_at = Some(now);
        let left = (WINDOW - passed).as_micros() as u64;
        self.recent = self.recent.saturating_mul(left) / WINDOW.as_micros() as u64;
        let share = u128::from(self.recent) * self.burst.as_micros() / WINDOW.as_micros() / 1000;
        usize::try_from(share).unwrap_or(usize::MAX).max(MIN_PACKETS)
    }

    /// Writes what is due. Steps that were missed are made up for, and what is left after one, if it is less than half a
    /// step, is not worth waking for.
    pub(crate) fn release(&mut self, now: Instant, mut write: impl FnMut(OutgoingPacket)) {
        while let Some(step) = self.next_step.filter(|step| *step <= now) {
            let left = self.queue.len().saturating_sub(self.per_step);
            let count = if left <= self.per_step / 2 { self.queue.len() } else { self.per_step };
            self.queue.drain(..count).for_each(&mut write);
            if self.queue.is_empty() {
                // The next frame may begin at once: frames come at their own pace.
                self.next_step = None;
                self.per_step = 0;
            } else {
                self.next_step = Some(step + STEP);
            }
        }
    }

    pub(crate) fn release_all(&mut self, write: impl FnMut(OutgoingPacket)) {
        self.queue.drain(..).for_each(write);
        self.next_step = None;
        self.per_step = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.next_step
    }
}
