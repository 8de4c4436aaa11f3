//! The one queue of what comes out, with its bounds.
//!
//! Datagrams have a bound of their own: what commands are taken must not depend on how much the engines send, or a
//! recorded run would not repeat.

use std::collections::VecDeque;

use crate::output::{Event, Output, ProducerEvent, Transmit, TransportEvent};
use crate::protocol::Notification;

#[derive(Debug)]
pub(crate) struct Outputs {
    queue: VecDeque<Output>,
    /// How many of the queue are datagrams.
    transmits: usize,
    limit: usize,
    pub(crate) events_dropped: u64,
    pub(crate) transmits_dropped: u64,
}

impl Outputs {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { queue: VecDeque::new(), transmits: 0, limit, events_dropped: 0, transmits_dropped: 0 }
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front();
        self.transmits -= usize::from(matches!(output, Some(Output::Transmit(_))));
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

    /// Whether datagrams wait up to the limit.
    pub(crate) fn clogged(&self) -> bool {
        self.transmits >= self.limit
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        if self.clogged() {
            self.transmits_dropped += 1;
        } else {
            self.transmits += 1;
            self.queue.push_back(Output::Transmit(transmit));
        }
    }

    /// Messages answer to commands and to messages, and those are bounded.
    pub(crate) fn message(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn notification(&mut self, notification: Notification) {
        self.message(Output::Notification(notification));
    }

    /// Events that the server or the network can cause without end are dropped at the limit. The others are bounded by
    /// the number of objects and commands.
    pub(crate) fn event(&mut self, event: Event) {
        let unbounded = match &event {
            Event::NewPeer { .. } | Event::PeerClosed { .. } | Event::Notification { .. } => true,
            Event::Joined { .. } | Event::Closed { .. } | Event::Settled { .. } => false,
            Event::Transport { event, .. } => match event {
                TransportEvent::Stats { .. } | TransportEvent::ConnectionStateChange { .. } => true,
                TransportEvent::Close { .. }
                | TransportEvent::RemoteCandidates { .. }
                | TransportEvent::Failed { .. } => false,
            },
            Event::Producer { event, .. } => match event {
                ProducerEvent::Pause { .. }
                | ProducerEvent::Resume { .. }
                | ProducerEvent::Stats { .. }
                | ProducerEvent::KeyFrameRequest { .. }
                | ProducerEvent::TargetBitrate { .. } => true,
                ProducerEvent::Close { .. }
                | ProducerEvent::TrackEnded
                | ProducerEvent::Handled
                | ProducerEvent::Unhandled => false,
            },
        };
        if unbounded && self.full() {
            self.events_dropped += 1;
        } else {
            self.queue.push_back(Output::Event(event));
        }
    }
}
