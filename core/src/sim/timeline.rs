//! What the scenarios of both dialects share: time that goes by as far as is asked for, and a signalling channel.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many steps one moment may take before it is taken for an endless loop.
const STEPS_AT_ONCE: u32 = 100_000;

/// What happens at moments of virtual time.
pub(in crate::sim) trait Timeline {
    fn time(&self) -> Instant;
    fn set_time(&mut self, now: Instant);

    /// When anything happens next.
    fn next_moment(&self) -> Option<Instant>;

    /// Does what is due now.
    fn happen(&mut self);

    /// Takes what all sides have to say, and sends it on its way.
    fn collect(&mut self);

    /// How things stand, for people.
    fn state(&self) -> String;

    /// Goes to the next moment at which anything happens, at most to `until`, and does all of it. False: nothing happens
    /// before `until`, which is now reached.
    fn go_to_next(&mut self, until: Instant) -> bool {
        self.collect();
        let next = self.next_moment().filter(|next| *next <= until);
        self.set_time(next.unwrap_or(until).max(self.time()));
        self.happen();
        next.is_some()
    }

    /// Goes to the next moment at which anything happens, and does all of it. False: nothing will ever happen.
    fn go_on(&mut self) -> bool {
        self.collect();
        match self.next_moment() {
            Some(next) => self.go_to_next(next.max(self.time())),
            None => false,
        }
    }

    /// Lets so much time go by; panics if it stands still.
    fn go_for(&mut self, time: Duration) {
        let until = self.time() + time;
        let mut stuck = 0;
        while self.time() < until {
            let before = self.time();
            self.go_to_next(until);
            stuck = if self.time() == before { stuck + 1 } else { 0 };
            assert!(stuck < STEPS_AT_ONCE, "time stands still: {}", self.state());
        }
    }

    /// Lets time go by until `condition` holds, or for `longest`; the error says how things stand then.
    fn go_until(&mut self, longest: Duration, mut condition: impl FnMut(&Self) -> bool) -> Result<(), String> {
        let until = self.time() + longest;
        let mut stuck = 0;
        self.collect();
        while !condition(self) {
            if self.time() >= until || stuck > STEPS_AT_ONCE {
                return Err(self.state());
            }
            let before = self.time();
            self.go_to_next(until);
            stuck = if self.time() == before { stuck + 1 } else { 0 };
        }
        Ok(())
    }
}

/// Messages on their way, in order.
#[derive(Debug)]
pub(in crate::sim) struct Channel<S> {
    delay: Duration,
    cut: bool,
    under_way: VecDeque<(Instant, S)>,
}

impl<S> Channel<S> {
    pub(in crate::sim) const fn new(delay: Duration) -> Self {
        Self { delay, cut: false, under_way: VecDeque::new() }
    }

    /// Loses what is sent from here on, without either side being told, or not any more.
    pub(in crate::sim) const fn set_cut(&mut self, cut: bool) {
        self.cut = cut;
    }

    /// Sends a message on its way, which is so many ways long. One that arrives later than `Instant` can say never does.
    pub(in crate::sim) fn send(&mut self, now: Instant, ways: u32, message: S) {
        let at = now.checked_add(self.delay.saturating_mul(ways));
        if let Some(at) = at.filter(|_| !self.cut) {
            let place = self.under_way.partition_point(|(before, _)| *before <= at);
            self.under_way.insert(place, (at, message));
        }
    }

    /// When the next one arrives.
    pub(in crate::sim) fn next_moment(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, _)| *at)
    }

    /// The next one that has arrived by now.
    pub(in crate::sim) fn arrived(&mut self, now: Instant) -> Option<S> {
        let arrived = self.next_moment().is_some_and(|at| at <= now);
        if arrived { self.under_way.pop_front().map(|(_, message)| message) } else { None }
    }
}

/// RFC 7983, and RFC 5761 section 4 for RTCP.
pub(in crate::sim) fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if first >> 6 == 2 && !(64..96).contains(&(second & 0x7f)))
}
