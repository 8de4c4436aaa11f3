//! The one queue of what comes out, with its bounds.
//!
//! Datagrams have a bound of their own: what commands are taken must not depend on how much the engines send, or a
//! recorded run would not repeat.

use std::collections::VecDeque;

use serde_json::Value;

use super::peers::peer_weight;
use crate::json::weight;
use crate::net::Transmit;
use crate::v2::output::{Event, Output, ProducerEvent, TransportEvent};
use crate::v2::protocol::Notification;

#[derive(Debug)]
pub(crate) struct Outputs {
    queue: VecDeque<Output>,
    /// How many of the queue are datagrams.
    transmits: usize,
    /// How much the lesser events in the queue weigh.
    bytes: usize,
    limit: usize,
    byte_limit: usize,
    pub(crate) events_dropped: u64,
    pub(crate) transmits_dropped: u64,
}

impl Outputs {
    pub(crate) const fn new(limit: usize, byte_limit: usize) -> Self {
        let queue = VecDeque::new();
        Self { queue, transmits: 0, bytes: 0, limit, byte_limit, events_dropped: 0, transmits_dropped: 0 }
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        let output = self.queue.pop_front();
        match &output {
            Some(Output::Transmit(_)) => self.transmits -= 1,
            Some(Output::Event(event)) => self.bytes -= lesser(event).unwrap_or(0),
            Some(Output::Request { .. } | Output::Notification(_)) | None => {}
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

    pub(crate) fn transmit(&mut self, transmit: Transmit) {
        if self.clogged(0) {
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

    /// Lesser events are dropped at a limit. The others are bounded by the number of objects and commands.
    pub(crate) fn event(&mut self, event: Event) {
        if let Some(bytes) = lesser(&event) {
            if self.full() || self.bytes.saturating_add(bytes) > self.byte_limit {
                self.events_dropped += 1;
                return;
            }
            self.bytes += bytes;
        }
        self.queue.push_back(Output::Event(event));
    }
}

/// What an event weighs that the server or the network can cause without end; none for the others.
fn lesser(event: &Event) -> Option<usize> {
    let data = |app_data: &Option<Value>| Some(app_data.as_ref().map_or(0, weight));
    match event {
        Event::NewPeer { peer } => Some(peer_weight(peer)),
        Event::PeerClosed { name, app_data } => Some(name.len() + data(app_data)?),
        Event::Notification { message } => Some(weight(message)),
        Event::Joined { .. } | Event::Closed { .. } | Event::Settled { .. } => None,
        Event::Transport { event, .. } => match event {
            TransportEvent::Stats { stats } => Some(stats.iter().map(|stats| weight(&stats.raw)).sum()),
            TransportEvent::ConnectionStateChange { .. } => Some(0),
            TransportEvent::Close { .. } | TransportEvent::RemoteCandidates { .. } | TransportEvent::Failed { .. } => {
                None
            }
        },
        Event::Producer { event, .. } => match event {
            ProducerEvent::Pause { app_data, .. } | ProducerEvent::Resume { app_data, .. } => data(app_data),
            ProducerEvent::Stats { stats } => Some(stats.iter().map(|stats| weight(&stats.raw)).sum()),
            ProducerEvent::KeyFrameRequest { .. }
            | ProducerEvent::TargetBitrate { .. }
            | ProducerEvent::TimeWentBack { .. } => Some(0),
            ProducerEvent::Close { .. }
            | ProducerEvent::TrackEnded
            | ProducerEvent::Handled
            | ProducerEvent::Unhandled => None,
        },
    }
}
