//! What came in the last second.

use std::collections::VecDeque;

use super::Worker;

const WINDOW_MS: u64 = 1_000;

/// The bits of the last second, to the millisecond.
#[derive(Debug)]
pub(super) struct ReceivedRate {
    worker: Worker,
    /// Where the window begins; none before the first packet.
    since: Option<u64>,
    /// Milliseconds in which something came: bytes, and packets.
    arrived: VecDeque<(u64, u64, u64)>,
    bytes: u64,
    packets: u64,
    /// Whether there was a rate when last asked.
    known: bool,
}

impl ReceivedRate {
    pub(super) const fn new(worker: Worker) -> Self {
        Self { worker, since: None, arrived: VecDeque::new(), bytes: 0, packets: 0, known: false }
    }

    pub(super) fn add(&mut self, now: u64, bytes: u64) {
        let known = self.bits_per_second(now).is_some();
        if self.known && !known {
            // After a silence the window grows anew.
            *self = Self::new(self.worker);
        }
        self.known = known;
        self.since.get_or_insert(now);
        match self.arrived.back_mut() {
            Some((at, of, packets)) if *at == now => (*of, *packets) = (*of + bytes, *packets + 1),
            Some(_) | None => self.arrived.push_back((now, bytes, 1)),
        }
        self.bytes += bytes;
        self.packets += 1;
    }

    /// None: too little came to tell.
    pub(super) fn bits_per_second(&mut self, now: u64) -> Option<u64> {
        let window = (now + 1).saturating_sub(WINDOW_MS);
        let since = self.since.map(|since| since.max(window))?;
        self.since = Some(since);
        while let Some((_, bytes, packets)) = self.arrived.front().copied().filter(|(at, ..)| *at < since) {
            self.arrived.pop_front();
            self.bytes -= bytes;
            self.packets -= packets;
        }
        if self.worker.counts_a_whole_second() {
            return Some(self.bytes * 8).filter(|bits| *bits > 0);
        }
        let length = now - since + 1;
        let too_little = self.packets == 0 || length == 1 || (self.packets == 1 && length < WINDOW_MS);
        (!too_little).then(|| (self.bytes * 8 * WINDOW_MS + length / 2) / length)
    }
}
