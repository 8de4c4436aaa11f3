//! Packets that were sent together, and how much later each group came than the one before it (draft-ietf-rmcat-gcc-02
//! section 5.1 and 5.2).

use super::Worker;

/// Send times are reckoned in 2^-26 s, so that 64 s fill 32 bits and wrap by themselves.
const UPSHIFT: u32 = 8;
const UNITS_PER_MS: f64 = (1_u32 << 26) as f64 / 1_000.0;

/// What was sent within this time after a group's first packet belongs to the group.
const GROUP: u32 = (5 << 26) / 1_000;
/// What comes this soon after the group's last packet, and sooner than it was sent, waited in the same queue: a burst.
const BURST_GAP_MS: u64 = 5;

/// A group against the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupDelta {
    /// Between their last packets, when they were sent and when they came.
    pub(super) sent_ms: f64,
    pub(super) arrived_ms: f64,
    /// How much larger it is.
    pub(super) bytes: f64,
}

#[derive(Debug)]
pub(super) struct PacketGroups {
    worker: Worker,
    current: Option<Group>,
    previous: Option<Group>,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    first_sent: u32,
    last_sent: u32,
    first_arrival: u64,
    last_arrival: u64,
    bytes: u64,
}

impl PacketGroups {
    pub(super) const fn new(worker: Worker) -> Self {
        Self { worker, current: None, previous: None }
    }

    /// Takes a packet. If it begins a group, the one before it is complete.
    pub(super) fn packet(&mut self, now: u64, send_time: u32, bytes: u64) -> Option<GroupDelta> {
        let sent = send_time << UPSHIFT;
        let begun = Group { first_sent: sent, last_sent: sent, first_arrival: now, last_arrival: now, bytes };
        let Some(current) = &mut self.current else {
            self.current = Some(begun);
            return None;
        };
        if !is_later(sent, current.first_sent) {
            return None;
        }
        if !current.is_over(self.worker, now, sent) {
            current.last_sent = if is_later(sent, current.last_sent) { sent } else { current.last_sent };
            current.last_arrival = now;
            current.bytes += bytes;
            return None;
        }
        let complete = std::mem::replace(current, begun);
        let before = self.previous.replace(complete)?;
        Some(GroupDelta {
            sent_ms: f64::from(complete.last_sent.wrapping_sub(before.last_sent)) / UNITS_PER_MS,
            arrived_ms: complete.last_arrival.saturating_sub(before.last_arrival) as f64,
            bytes: complete.bytes as f64 - before.bytes as f64,
        })
    }
}

impl Group {
    fn is_over(&self, worker: Worker, now: u64, sent: u32) -> bool {
        !self.is_burst(worker, now, sent) && sent.wrapping_sub(self.first_sent) > GROUP
    }

    fn is_burst(&self, worker: Worker, now: u64, sent: u32) -> bool {
        let arrived_ms = now - self.last_arrival;
        let sent_ms = f64::from(sent.wrapping_sub(self.last_sent)) / UNITS_PER_MS;
        let sent_ms = (sent_ms + worker.rounding_ms()) as u64;
        let fits = worker.longest_burst_ms().is_none_or(|longest| now - self.first_arrival < longest);
        sent_ms == 0 || (arrived_ms < sent_ms && arrived_ms <= BURST_GAP_MS && fits)
    }
}

/// Whether a time is not before another, as the one that is less than half the circle away.
const fn is_later(time: u32, than: u32) -> bool {
    time.wrapping_sub(than) < 1 << 31
}
