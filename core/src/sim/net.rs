//! A network path in virtual time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::net::IceProtocol;
use crate::net::Transmit;
use crate::rng::Rng;

/// Overhead of a datagram on the wire: IPv4 and UDP headers.
const HEADERS: u64 = 28;

/// One direction of a [`Net`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    delay: Duration,
    jitter: Duration,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    bandwidth_bps: Option<u64>,
    queue: Duration,
}

impl Default for Link {
    /// Without loss, and as fast as light over a short distance: 5 ms.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            bandwidth_bps: None,
            queue: Duration::from_millis(200),
        }
    }
}

impl Link {
    /// How long every datagram takes. Default: 5 ms.
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// How much longer a datagram may take, evenly spread; the order is kept. Default: none.
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// The share of datagrams that are lost, 0 to 1. Default: 0.
    pub const fn loss(mut self, share: f64) -> Self {
        self.loss = share;
        self
    }

    /// The share of datagrams that come twice, 0 to 1. Default: 0.
    pub const fn duplicate(mut self, share: f64) -> Self {
        self.duplicate = share;
        self
    }

    /// The share of datagrams that are overtaken: they take twice the delay, and 10 ms at least. Default: 0.
    pub const fn reorder(mut self, share: f64) -> Self {
        self.reorder = share;
        self
    }

    /// A bottleneck in bits per second, headers included. Default: none.
    pub const fn bandwidth_bps(mut self, bandwidth: Option<u64>) -> Self {
        self.bandwidth_bps = bandwidth;
        self
    }

    /// How long a datagram may wait for the bottleneck; past it, it is dropped. Default: 200 ms.
    pub const fn queue(mut self, longest: Duration) -> Self {
        self.queue = longest;
        self
    }
}

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the server.
    Up,
    /// From the server.
    Down,
}

/// What became of the datagrams of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Handed in.
    pub sent: u64,
    /// Handed out, duplicates too.
    pub delivered: u64,
    /// Lost by chance, because [`Net::lose_next`] asked for it, or on the way for longer than `Instant` can say.
    pub lost: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Overtaken.
    pub reordered: u64,
    /// Dropped before the bottleneck.
    pub overflowed: u64,
    /// Dropped because the path was cut, or an address gone.
    pub cut: u64,
}

/// A network path between two sides. The same seed and the same datagrams at the same times give the same fate.
///
/// TCP, of which the datagrams are messages here, knows delay, bottleneck and cuts alone.
#[derive(Debug)]
pub struct Net {
    rng: Rng,
    up: Line,
    down: Line,
    /// In the order of arrival; numbered, as several may arrive at once.
    in_flight: BTreeMap<(Instant, u64), (Direction, Transmit)>,
    last_number: u64,
    gone: BTreeSet<SocketAddr>,
    /// The last so many datagrams that arrived.
    tap: usize,
    tapped: VecDeque<(Direction, Transmit)>,
}

#[derive(Debug)]
struct Line {
    link: Link,
    cut: bool,
    lose_next: u64,
    /// When the bottleneck is free again.
    free_at: Option<Instant>,
    /// When the last one in order arrives.
    last_arrival: Option<Instant>,
    counters: LinkCounters,
}

impl Net {
    /// A path with a link each way.
    pub const fn new(seed: u64, up: Link, down: Link) -> Self {
        Self {
            rng: Rng::new(seed),
            up: Line::new(up),
            down: Line::new(down),
            in_flight: BTreeMap::new(),
            last_number: 0,
            gone: BTreeSet::new(),
            tap: 0,
            tapped: VecDeque::new(),
        }
    }

    /// Changes a link. What is under way is not affected.
    pub const fn set_link(&mut self, direction: Direction, link: Link) {
        self.line(direction).link = link;
    }

    /// Cuts a direction, or joins it again. What is under way still arrives.
    pub const fn set_cut(&mut self, direction: Direction, cut: bool) {
        self.line(direction).cut = cut;
    }

    /// Loses the next so many datagrams of a direction.
    pub const fn lose_next(&mut self, direction: Direction, count: u64) {
        self.line(direction).lose_next = count;
    }

    /// Says that an address is gone, or back: nothing comes from it or reaches it.
    pub fn set_gone(&mut self, address: SocketAddr, gone: bool) {
        if gone {
            self.gone.insert(address);
        } else {
            self.gone.remove(&address);
        }
    }

    /// Listens in: keeps a copy of the last so many datagrams that arrive from here on. 0: of none.
    pub fn tap(&mut self, kept: usize) {
        self.tap = kept;
        self.tapped.truncate(kept);
    }

    /// What was listened in to, the latest first.
    pub fn tapped(&self) -> impl Iterator<Item = (Direction, &Transmit)> {
        self.tapped.iter().map(|(direction, transmit)| (*direction, transmit))
    }

    /// What became of the datagrams of a direction.
    pub const fn counters(&self, direction: Direction) -> LinkCounters {
        match direction {
            Direction::Up => self.up.counters,
            Direction::Down => self.down.counters,
        }
    }

    /// How long a datagram that is handed in now waits for the bottleneck.
    pub fn waiting(&self, now: Instant, direction: Direction) -> Duration {
        let line = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        line.free_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// Takes a datagram.
    pub fn send(&mut self, now: Instant, direction: Direction, transmit: Transmit) {
        let gone = self.gone.contains(&transmit.source) || self.gone.contains(&transmit.destination);
        let reliable = transmit.protocol == IceProtocol::Tcp;
        // Drawn always, so that the fate of one datagram does not depend on the settings for another.
        let [loss, duplicate, reorder, jitter] = std::array::from_fn(|_| self.rng.unit());
        let line = self.line(direction);
        let link = line.link;
        line.counters.sent += 1;
        if line.cut || gone {
            line.counters.cut += 1;
            return;
        }
        let forced = line.lose_next > 0 && !reliable;
        line.lose_next = line.lose_next.saturating_sub(1);
        if forced || (loss < link.loss && !reliable) {
            line.counters.lost += 1;
            return;
        }
        let start = match link.bandwidth_bps {
            None => now,
            Some(bandwidth) => {
                let free_at = line.free_at.map_or(now, |at| at.max(now));
                if free_at.saturating_duration_since(now) > link.queue {
                    line.counters.overflowed += 1;
                    return;
                }
                let bits = (transmit.contents.len() as u64 + HEADERS) * 8;
                let takes = Duration::from_nanos(bits.saturating_mul(1_000_000_000) / bandwidth.max(1));
                // Beyond what `Instant` can say the bottleneck is never free again.
                let Some(sent_at) = free_at.checked_add(takes) else {
                    line.counters.overflowed += 1;
                    return;
                };
                line.free_at = Some(sent_at);
                sent_at
            }
        };
        let arrival = if reorder < link.reorder && !reliable {
            line.counters.reordered += 1;
            start.checked_add(link.delay.saturating_mul(2).max(link.delay.saturating_add(Duration::from_millis(10))))
        } else {
            let arrival = start.checked_add(link.delay.saturating_add(link.jitter.mul_f64(jitter)));
            let arrival = arrival.map(|arrival| line.last_arrival.map_or(arrival, |last| last.max(arrival)));
            line.last_arrival = arrival.or(line.last_arrival);
            arrival
        };
        let Some(arrival) = arrival else {
            line.counters.lost += 1;
            return;
        };
        let twice = duplicate < link.duplicate && !reliable;
        line.counters.duplicated += u64::from(twice);
        if twice {
            self.fly(arrival, direction, transmit.clone());
        }
        self.fly(arrival, direction, transmit);
    }

    /// When the next datagram arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.in_flight.keys().next().map(|(at, _)| *at)
    }

    /// The next datagram that has arrived by now.
    pub fn poll_arrival(&mut self, now: Instant) -> Option<(Direction, Transmit)> {
        let entry = self.in_flight.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (direction, transmit) = entry.remove();
        let gone = self.gone.contains(&transmit.destination);
        let counters = &mut self.line(direction).counters;
        if gone {
            counters.cut += 1;
            return self.poll_arrival(now);
        }
        counters.delivered += 1;
        if self.tap > 0 {
            self.tapped.truncate(self.tap - 1);
            self.tapped.push_front((direction, transmit.clone()));
        }
        Some((direction, transmit))
    }

    fn fly(&mut self, arrival: Instant, direction: Direction, transmit: Transmit) {
        self.last_number += 1;
        self.in_flight.insert((arrival, self.last_number), (direction, transmit));
    }

    const fn line(&mut self, direction: Direction) -> &mut Line {
        match direction {
            Direction::Up => &mut self.up,
            Direction::Down => &mut self.down,
        }
    }
}

impl Line {
    const fn new(link: Link) -> Self {
        let counters =
            LinkCounters { sent: 0, delivered: 0, lost: 0, duplicated: 0, reordered: 0, overflowed: 0, cut: 0 };
        Self { link, cut: false, lose_next: 0, free_at: None, last_arrival: None, counters }
    }
}
