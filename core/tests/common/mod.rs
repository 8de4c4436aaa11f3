//! What the tests over the simulated room share.

#![allow(dead_code, clippy::disallowed_methods)] // each test file uses a part of it; a test may ask for the time once

use std::alloc::System;
use std::time::Instant;

use mediasoup_producer::sim::{EncodingCounters, Scenario, ScenarioConfig};
use mediasoup_producer::v2::protocol::Request;
use mediasoup_producer::v2::{Event, ProducerEvent, TransportEvent};
use mediasoup_producer::{ConnectionState, MediaKind, ProducerId, TransportId};
use serde_json::{Value, json};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// By the whole process: only a test without the usual harness, which has threads of its own, can make sense of it.
pub(crate) fn bytes_held() -> usize {
    let stats = ALLOCATOR.stats();
    // `bytes_reallocated` is part of the other two.
    stats.bytes_allocated - stats.bytes_deallocated
}

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

/// What a server answers, where there is none.
pub(crate) fn answer(request: &Request) -> Value {
    match request {
        Request::QueryRoom => json!({ "rtpCapabilities": { "codecs": [
            { "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 101 },
        ] } }),
        Request::CreateTransport { .. } => json!({
            "iceParameters": { "usernameFragment": "ufrag", "password": "0123456789abcdef01234567" },
            "iceCandidates": [{ "ip": "192.0.2.7", "port": 40000, "protocol": "udp" }],
            "dtlsParameters": { "role": "server", "fingerprints": [
                { "algorithm": "sha-256", "value": (["AB"; 32].join(":")) },
            ] },
        }),
        _ => Value::Null,
    }
}
