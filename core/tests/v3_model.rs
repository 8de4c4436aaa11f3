//! Whatever happens in whatever order, a device does what the reference model says it must.
//!
//! `MODEL_SEQUENCES` says how many sequences are tried, 200 unless it is set, each of up to 100 steps.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Instant;

use mediasoup_producer::sim::v3::model::{Said, Step};
use mediasoup_producer::sim::v3::strategies::{self, Reference};
use mediasoup_producer::sim::v3::{BothSides, Lockstep};
use mediasoup_producer::v3::{Event, ProducerEvent, TransportEvent};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use proptest_state_machine::ReferenceStateMachine;

fn sequences() -> u32 {
    std::env::var("MODEL_SEQUENCES").map_or(200, |number| number.parse().expect("MODEL_SEQUENCES is a number"))
}

fn config(cases: u32) -> Config {
    Config { failure_persistence: None, ..Config::with_cases(cases) }
}

#[test]
fn a_device_does_what_the_model_says() {
    let start = Instant::now();
    proptest!(config(sequences()), |((_, steps, _) in Reference::sequential_strategy(1..=100))| {
        let mut lockstep = Lockstep::new(start, 1);
        for step in &steps {
            if let Err(difference) = lockstep.step(step) {
                prop_assert!(false, "{difference}\n{:#?}", lockstep.story());
            }
        }
    });
}

/// Nobody is there: what an engine would say is left out, and there is no time for ICE to give up.
#[test]
fn so_it_does_on_the_real_media_plane() {
    let start = Instant::now();
    proptest!(config(sequences().div_ceil(4)), |((_, steps, _) in Reference::sequential_strategy(1..=100))| {
        let mut lockstep = Lockstep::real(start, 1);
        for step in &steps {
            let step = match *step {
                Step::Engine { .. } => Step::Pass { milliseconds: 5 },
                Step::Pass { milliseconds } => Step::Pass { milliseconds: milliseconds % 200 },
                other => other,
            };
            if let Err(difference) = lockstep.step(&step) {
                prop_assert!(false, "{difference}\n{:#?}", lockstep.story());
            }
        }
    });
}

#[test]
fn when_all_is_said_both_sides_have_the_same() {
    let start = Instant::now();
    let steps = proptest::collection::vec(strategies::step(), 1..100);
    proptest!(config(2 * sequences()), |(steps in steps)| {
        let mut both = BothSides::new(start, 1);
        play(&mut both, &steps)?;
    });
}

/// With ICE, DTLS, SRTP and frames; what has begun is connected at both ends.
#[test]
fn so_they_have_on_the_real_media_plane() {
    let start = Instant::now();
    let steps = proptest::collection::vec(strategies::step(), 1..100);
    proptest!(config(sequences().div_ceil(4)), |(steps in steps)| {
        let mut both = BothSides::real(start, 1);
        play(&mut both, &steps)?;
    });
}

fn play(both: &mut BothSides, steps: &[Step]) -> Result<(), TestCaseError> {
    for (at, step) in steps.iter().enumerate() {
        // Else most would be about nothing.
        if at % 10 == 0 {
            both.step(&Step::CreateTransport { nameless: false });
            both.step(&Step::Pass { milliseconds: 30 });
        }
        both.step(step);
    }
    both.settled().map_err(TestCaseError::fail)
}

/// What the sequences are meant to reach. That the model agrees says nothing about what never happens.
const REACHED: &[&str] = &[
    "refused: Load(AlreadyLoaded",
    "refused: CreateSendTransport(EmptyId",
    "refused: CreateSendTransport(Limit",
    "refused: Produce(NotFound",
    "refused: Produce(TrackEnded",
    "refused: Produce(NoSimulcast",
    "refused: Produce(TooManyEncodings",
    "refused: Produce(Limit",
    "refused: Produce(Operations",
    "refused: RestartIce(NotFound",
    "refused: RestartIce(DtlsFailed",
    "refused: RestartIce(Limit",
    "refused: Transport(NotFound",
    "refused: Producer(NotFound",
    "refused: ReplaceTrack(NotFound",
    "refused: ReplaceTrack(TrackEnded",
    "refused: ReplaceTrack(TrackKind",
    "refused: SetMaxSpatialLayer(NotFound",
    "refused: SetMaxSpatialLayer(NotVideo",
    "refused: ProducerNotFound",
    "refused: NotProduced",
    "refused: NoTrack",
    "refused: Paused",
    "refused: NotConnected",
    "written",
    "connect",
    "connect again",
    "produce",
    "settled: well",
    "settled: Refused",
    "settled: TimedOut",
    "settled: InvalidAnswer",
    "settled: ConnectLost",
    "settled: TransportClosed",
    "settled: ProducerClosed",
    "orphan",
    "transport: Connecting",
    "transport: Connected",
    "transport: Disconnected",
    "transport: Failed",
    "transport: DtlsFailed",
    "transport: ConnectLost",
    "transport: Close",
    "producer: Produced",
    "producer: Close",
    "producer: TransportClose",
    "producer: Pause",
    "producer: Resume",
    "producer: TrackEnded",
    "producer: TrackStopped",
];

#[test]
fn the_sequences_reach_what_they_are_meant_to() {
    let seen = RefCell::new(BTreeSet::new());
    let start = Instant::now();
    let config = Config { rng_seed: RngSeed::Fixed(1), ..config(1000) };
    proptest!(config, |((_, steps, _) in Reference::sequential_strategy(1..=100))| {
        let mut lockstep = Lockstep::new(start, 1);
        let mut connects = BTreeSet::new();
        for step in &steps {
            let expected = lockstep.step(step).map_err(TestCaseError::fail)?;
            let mut seen = seen.borrow_mut();
            match expected.refused {
                Some(refused) => drop(seen.insert(format!("refused: {refused}"))),
                None if matches!(step, Step::Write { .. }) => drop(seen.insert("written".to_owned())),
                None => {}
            }
            for said in &expected.said {
                seen.insert(match said {
                    Said::Connect { transport, .. } if !connects.insert(*transport) => "connect again".to_owned(),
                    Said::Connect { .. } => "connect".to_owned(),
                    Said::Produce { .. } => "produce".to_owned(),
                    Said::Event(event) => name(event),
                    other => panic!("{other:?}"),
                });
            }
        }
    });
    let seen = seen.into_inner();
    let missing: Vec<_> = REACHED.iter().filter(|what| !seen.contains(**what)).collect();
    assert!(missing.is_empty(), "{missing:?} never happens, of {seen:#?}");
}

fn name(event: &Event) -> String {
    let first = |debug: String| debug.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
    match event {
        Event::Settled { result: Ok(()), .. } => "settled: well".to_owned(),
        Event::Settled { result: Err(error), .. } => format!("settled: {}", first(format!("{error:?}"))),
        Event::Orphan { .. } => "orphan".to_owned(),
        Event::Transport { event: TransportEvent::ConnectionStateChange { state }, .. } => {
            format!("transport: {state:?}")
        }
        Event::Transport { event, .. } => format!("transport: {}", first(format!("{event:?}"))),
        Event::Producer { event: ProducerEvent::Produced { .. }, .. } => "producer: Produced".to_owned(),
        Event::Producer { event, .. } => format!("producer: {}", first(format!("{event:?}"))),
        other => panic!("{other:?}"),
    }
}
