//! Whatever happens in whatever order, a room does what the reference model says it must.
//!
//! `MODEL_SEQUENCES` says how many sequences are tried, 200 unless it is set, each of up to 100 steps.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::Instant;

use mediasoup_producer::sim::model::{Model, Step, TransportOp};
use mediasoup_producer::sim::strategies::Reference;
use mediasoup_producer::sim::{Lockstep, check_reference};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::ReferenceStateMachine;

fn sequences() -> u32 {
    std::env::var("MODEL_SEQUENCES").map_or(200, |number| number.parse().expect("MODEL_SEQUENCES is a number"))
}

#[test]
fn a_room_does_what_the_model_says() {
    let start = Instant::now();
    check_reference::<Reference, _>(Config::with_cases(sequences()), || Lockstep::new(start, 1)).unwrap();
}

#[test]
fn so_it_does_on_the_real_media_plane() {
    let start = Instant::now();
    let config = Config::with_cases(sequences().div_ceil(20));
    check_reference::<Alone, _>(config, || Lockstep::real(start, 1)).unwrap();
}

/// The same, as far as nobody need be there for it.
struct Alone;

impl ReferenceStateMachine for Alone {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Reference::init_state()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let alone = |step| match step {
            Step::Engine { .. } | Step::KeyFrame { .. } => Step::Pass { milliseconds: 5, jump: false },
            // Without its last address ICE says at once that nothing is left to try, which is the engine's to say.
            Step::Transport { op: TransportOp::RemoveAddress(_), .. } => Step::Pass { milliseconds: 5, jump: false },
            Step::Pass { milliseconds, jump } => Step::Pass { milliseconds: milliseconds % 200, jump },
            other => other,
        };
        Reference::transitions(model).prop_map(alone).boxed()
    }

    fn apply(model: Model, step: &Step) -> Model {
        Reference::apply(model, step)
    }
}
