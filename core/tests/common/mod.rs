//! What the tests over the simulated room share.

#![allow(dead_code, clippy::disallowed_methods)] // each test file uses a part of it; a test may ask for the time once

use std::time::Instant;

use mediasoup_producer::sim::{EncodingCounters, Scenario, ScenarioConfig};
use mediasoup_producer::{ConnectionState, Event, MediaKind, ProducerEvent, ProducerId, TransportEvent, TransportId};

pub(crate) fn scenario(config: ScenarioConfig, seed: u64) -> Scenario {
    Scenario::new(config, Instant::now(), seed)
}

pub(crate) fn plain(seed: u64) -> Scenario {
    scenario(ScenarioConfig::default(), seed)
}

pub(crate) fn audio(scenario: &Scenario) -> ProducerId {
    scenario.producer_id(MediaKind::Audio).expect("there is an audio producer")
}

pub(crate) fn video(scenario: &Scenario) -> ProducerId {
    scenario.producer_id(MediaKind::Video).expect("there is a video producer")
}

pub(crate) fn transport(scenario: &Scenario) -> TransportId {
    scenario.transport_id().expect("there is a transport")
}

pub(crate) fn packets(scenario: &Scenario, producer: ProducerId) -> Vec<u64> {
    scenario.server.encodings(producer).iter().map(|encoding| encoding.packets).collect()
}

pub(crate) fn all_lost(encodings: &[EncodingCounters]) -> u64 {
    encodings.iter().map(|encoding| encoding.packets_lost).sum()
}

pub(crate) fn producer_events(events: &[Event], id: ProducerId) -> Vec<ProducerEvent> {
    let of = |event: &Event| match event {
        Event::Producer { id: of, event } if *of == id => Some(event.clone()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

pub(crate) fn transport_events(events: &[Event], id: TransportId) -> Vec<TransportEvent> {
    let of = |event: &Event| match event {
        Event::Transport { id: of, event } if *of == id => Some(event.clone()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

pub(crate) fn connection_states(events: &[Event]) -> Vec<ConnectionState> {
    let state = |event: &Event| match event {
        Event::Transport { event: TransportEvent::ConnectionStateChange { state }, .. } => Some(*state),
        _ => None,
    };
    events.iter().filter_map(state).collect()
}
