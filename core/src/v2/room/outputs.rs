//! What comes out, as the [queue](crate::outputs) of it takes it.

use serde_json::Value;

use super::peers::peer_weight;
use crate::json::weight;
use crate::outputs::{Class, Classed, Outputs};
use crate::v2::output::{Event, Output, ProducerEvent, TransportEvent};
use crate::v2::protocol::Notification;

impl Classed for Output {
    /// What is bounded by the number of objects and commands comes out for certain, as messages do: they answer to commands
    /// and to messages.
    fn class(&self) -> Class {
        match self {
            Self::Transmit(_) => Class::Transmit,
            Self::Request { .. } | Self::Notification(_) => Class::Bounded,
            Self::Event(event) => lesser(event).map_or(Class::Bounded, Class::Lesser),
        }
    }
}

impl Outputs<Output> {
    pub(crate) fn notification(&mut self, notification: Notification) {
        self.push(Output::Notification(notification));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.push(Output::Event(event));
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
