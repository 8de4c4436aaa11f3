//! Spreads large frames over a little time.
//!
//! v2 gives no pace to keep to (its one feedback is REMB), but a key frame of a few hundred packets in one burst overruns
//! socket buffers and the queues of slow links. So the packets of video frames leave in steps: most frames whole in the
//! first, the largest within [`SPREAD`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::engine::OutgoingPacket;

/// From one step to the next.
const STEP: Duration = Duration::from_millis(5);
/// What waits has left after this long.
const SPREAD: Duration = Duration::from_millis(30);
/// A step has at least this many packets: 12 kB, about what libwebrtc's pacer lets out at once.
const MIN_PACKETS: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct Pacer {
    queue: VecDeque<OutgoingPacket>,
    /// When the next step is due; none while nothing was sent lately.
    next_step: Option<Instant>,
    per_step: usize,
}

impl Pacer {
    pub(crate) fn push(&mut self, now: Instant, packets: Vec<OutgoingPacket>) {
        self.queue.extend(packets);
        let steps = (SPREAD.as_millis() / STEP.as_millis()) as usize;
        self.per_step = self.per_step.max(self.queue.len().div_ceil(steps)).max(MIN_PACKETS);
        self.next_step.get_or_insert(now);
    }

    /// Writes what is due. Steps that were missed are made up for.
    pub(crate) fn release(&mut self, now: Instant, mut write: impl FnMut(OutgoingPacket)) {
        while let Some(step) = self.next_step.filter(|step| *step <= now) {
            for packet in self.queue.drain(..self.queue.len().min(self.per_step)) {
                write(packet);
            }
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

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.next_step
    }
}
