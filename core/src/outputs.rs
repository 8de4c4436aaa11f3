//! The one queue of what comes out, with its bounds.
//!
//! Datagrams have a bound of their own: what commands are taken must not depend on how much the engines send, or a
//! recorded run would not repeat.

use std::collections::VecDeque;

/// What an output is to the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A datagram. It is dropped at a limit.
    Transmit,
    /// It answers to a command or to a message, and those are bounded, as is the number of objects.
    Bounded,
    /// The server or the network can cause it without end. It is dropped at a limit; this is what it weighs.
    Lesser(usize),
}

/// What comes out of a dialect.
pub(crate) trait Classed {
    fn class(&self) -> Class;
}

#[derive(Debug)]
pub(crate) struct Outputs<O> {
    queue: VecDeque<O>,
    /// How many of the queue are datagrams.
    transmits: usize,
    /// How much the lesser outputs in the queue weigh.
    bytes: usize,
    limit: usize,
    byte_limit: usize,
    pub(crate) events_dropped: u64,
    pub(crate) transmits_dropped: u64,
}

impl<O: Classed> Outputs<O> {
    pub(crate) const fn new(limit: usize, byte_limit: usize) -> Self {
        let queue = VecDeque::new();
        Self { queue, transmits: 0, bytes: 0, limit, byte_limit, events_dropped: 0, transmits_dropped: 0 }
    }

    pub(crate) fn pop(&mut self) -> Option<O> {
        let output = self.queue.pop_front();
        match output.as_ref().map(Classed::class) {
            Some(Class::Transmit) => self.transmits -= 1,
            Some(Class::Lesser(bytes)) => self.bytes -= bytes,
            Some(Class::Bounded) | None => {}
        }
        // A burst that is over does not keep its memory.
        if self.queue.is_empty() && self.queue.capacity() > 256 {
            self.queue = VecDeque::new();
        }
        output
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether messages and events wait up to the limit.
    pub(crate) fn full(&self) -> bool {
        self.queue.len() - self.transmits >= self.limit
    }

    /// Whether datagrams wait up to the limit, with those that are on their way here.
    pub(crate) fn clogged(&self, coming: usize) -> bool {
        self.transmits + coming >= self.limit
    }

    pub(crate) fn push(&mut self, output: O) {
        match output.class() {
            Class::Transmit if self.clogged(0) => {
                self.transmits_dropped += 1;
                return;
            }
            Class::Transmit => self.transmits += 1,
            Class::Lesser(bytes) if self.full() || self.bytes.saturating_add(bytes) > self.byte_limit => {
                self.events_dropped += 1;
                return;
            }
            Class::Lesser(bytes) => self.bytes += bytes,
            Class::Bounded => {}
        }
        self.queue.push_back(output);
    }
}
