//! Whatever happens in whatever order, a room does what the reference model says it must.
//!
//! `MODEL_SEQUENCES` says how many sequences are tried, 200 unless it is set, each of up to 100 steps.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

#[path = "../../fuzz/src/model/mod.rs"]
#[allow(dead_code, unreachable_pub)] // fuzzing uses more of it
mod model;

use std::time::Instant;

use mediasoup_producer::{ConnectionState, RoomState};
use model::Model;
use model::lockstep::Lockstep;
use model::op::{Answer, App, Notice, Op, ProducerOp, Says, TrackKind, TransportOp};
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

struct Reference;

/// The model, and what it was before the last step: the ids that were picked are to be found in that.
#[derive(Clone, Default)]
struct States {
    before: Model,
    after: Model,
}

impl std::fmt::Debug for States {
    /// The steps of a failed sequence are what one wants to read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.after.state)
    }
}

impl ReferenceStateMachine for Reference {
    type State = States;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<States> {
        Just(States::default()).boxed()
    }

    fn transitions(states: &States) -> BoxedStrategy<Op> {
        // Making them takes longer than most steps.
        thread_local!(static OPS: [BoxedStrategy<Op>; Stage::COUNT] = Stage::ALL.map(Stage::ops));
        OPS.with(|ops| ops[Stage::of(&states.after) as usize].clone())
    }

    fn apply(mut states: States, op: &Op) -> States {
        states.before.clone_from(&states.after);
        states.after.step(op);
        states
    }
}

struct Implementation;

impl StateMachineTest for Implementation {
    type SystemUnderTest = Lockstep;
    type Reference = Reference;

    fn init_test(_: &States) -> Lockstep {
        Lockstep::new(Instant::now(), 1)
    }

    fn apply(mut room: Lockstep, states: &States, op: Op) -> Lockstep {
        room.step(&states.before, &op, &states.after);
        room
    }
}

/// The same sequences on the real media plane, as far as nobody need be there for it.
struct OnRealMediaPlane;

impl ReferenceStateMachine for OnRealMediaPlane {
    type State = States;
    type Transition = Op;

    fn init_state() -> BoxedStrategy<States> {
        Reference::init_state()
    }

    fn transitions(states: &States) -> BoxedStrategy<Op> {
        let alone = |op| match op {
            Op::Engine { .. } | Op::KeyFrame { .. } => Op::Pass { milliseconds: 5, jump: false },
            // Without its last address ICE says at once that nothing is left to try, which is the engine's to say.
            Op::Transport { op: TransportOp::RemoveAddress(_), .. } => Op::Pass { milliseconds: 5, jump: false },
            Op::Pass { milliseconds, jump } => Op::Pass { milliseconds: milliseconds % 200, jump },
            other => other,
        };
        Reference::transitions(states).prop_map(alone).boxed()
    }

    fn apply(states: States, op: &Op) -> States {
        Reference::apply(states, op)
    }
}

impl StateMachineTest for OnRealMediaPlane {
    type SystemUnderTest = Lockstep;
    type Reference = Self;

    fn init_test(_: &States) -> Lockstep {
        Lockstep::real(Instant::now(), 1)
    }

    fn apply(mut room: Lockstep, states: &States, op: Op) -> Lockstep {
        room.step(&states.before, &op, &states.after);
        room
    }
}

fn app() -> impl Strategy<Value = App> + Clone {
    prop_oneof![4 => Just(App::None), 1 => Just(App::Null), 3 => any::<u8>().prop_map(App::Some)]
}

fn track() -> impl Strategy<Value = TrackKind> + Clone {
    prop_oneof![
        3 => Just(TrackKind::Audio),
        6 => Just(TrackKind::Video),
        2 => Just(TrackKind::Disabled),
        1 => Just(TrackKind::Ended),
    ]
}

/// How far a session has come: at each point anything may happen, but most often what leads on.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Outside,
    Waiting,
    Empty,
    Idle,
    Connecting,
    Sending,
}

impl Stage {
    const COUNT: usize = 6;
    const ALL: [Self; Self::COUNT] =
        [Self::Outside, Self::Waiting, Self::Empty, Self::Idle, Self::Connecting, Self::Sending];

    fn of(model: &Model) -> Self {
        if matches!(model.state, RoomState::New | RoomState::Closed) {
            return Self::Outside;
        }
        if model.pending() > 0 {
            return Self::Waiting;
        }
        if model.transports.is_empty() || model.producers.is_empty() {
            return Self::Empty;
        }
        let connected = |connection| connection == ConnectionState::Connected;
        if !model.producers.values().any(|producer| producer.handled()) {
            return Self::Idle;
        }
        if !model.transports.values().any(|transport| connected(transport.connection)) {
            return Self::Connecting;
        }
        Self::Sending
    }

    fn ops(self) -> BoxedStrategy<Op> {
        let pick = 0..200u8;
        let app = App::None;
        let onwards = match self {
            Self::Outside => Just(Op::Join { nameless: false, app }).boxed(),
            Self::Waiting => Just(Op::Answer { to: 0, how: Answer::Good }).boxed(),
            Self::Empty => prop_oneof![
                Just(Op::CreateTransport { app }),
                any::<bool>().prop_map(move |simulcast| Op::CreateProducer { track: TrackKind::Video, simulcast, app }),
                Just(Op::CreateProducer { track: TrackKind::Audio, simulcast: false, app }),
            ]
            .boxed(),
            Self::Idle => {
                (pick.clone(), pick).prop_map(|(producer, transport)| Op::Send { producer, transport }).boxed()
            }
            Self::Connecting => pick.prop_map(|pick| Op::Engine { pick, says: Says::Connected }).boxed(),
            Self::Sending => (pick, 0..3u8, 1..9000u16)
                .prop_map(|(producer, layer, bytes)| Op::Media { producer, layer, bytes })
                .boxed(),
        };
        let weight = match self {
            Self::Outside | Self::Empty => 4,
            Self::Idle | Self::Connecting => 1,
            Self::Waiting | Self::Sending => 0,
        };
        // Outside nearly nothing is possible, and it need not be tried more often than now and then.
        prop_oneof![2 * weight + 1 => onwards, 2 => op()].boxed()
    }
}

/// Anything.
fn op() -> impl Strategy<Value = Op> {
    let pick = any::<u8>();
    let transport_op = prop_oneof![
        2 => app().prop_map(TransportOp::Close),
        2 => (0..4000u16).prop_map(|milliseconds| TransportOp::EnableStats { milliseconds }),
        2 => Just(TransportOp::DisableStats),
        1 => app().prop_map(TransportOp::SetAppData),
        3 => Just(TransportOp::RestartIce),
        2 => pick.prop_map(TransportOp::AddAddress),
        1 => pick.prop_map(TransportOp::RemoveAddress),
    ];
    let producer_op = prop_oneof![
        2 => app().prop_map(ProducerOp::Close),
        5 => app().prop_map(ProducerOp::Pause),
        5 => app().prop_map(ProducerOp::Resume),
        2 => track().prop_map(ProducerOp::ReplaceTrack),
        1 => Just(ProducerOp::EndTrack),
        2 => (0..4000u16).prop_map(|milliseconds| ProducerOp::EnableStats { milliseconds }),
        2 => Just(ProducerOp::DisableStats),
        1 => app().prop_map(ProducerOp::SetAppData),
    ];
    let answer = prop_oneof![
        20 => Just(Answer::Good), 2 => Just(Answer::Bare), 1 => Just(Answer::Demanding), 3 => Just(Answer::Malformed),
        4 => Just(Answer::Refused),
    ];
    let notice = prop_oneof![
        1 => app().prop_map(Notice::Closed),
        4 => (pick, app()).prop_map(|(pick, app)| Notice::TransportClosed(pick, app)),
        3 => pick.prop_map(Notice::TransportStats),
        14 => (pick, app()).prop_map(|(pick, app)| Notice::ProducerPaused(pick, app)),
        14 => (pick, app()).prop_map(|(pick, app)| Notice::ProducerResumed(pick, app)),
        4 => (pick, app()).prop_map(|(pick, app)| Notice::ProducerClosed(pick, app)),
        3 => pick.prop_map(Notice::ProducerStats),
        2 => pick.prop_map(Notice::NewPeer),
        2 => pick.prop_map(Notice::PeerClosed),
        1 => Just(Notice::Foreign),
        1 => Just(Notice::Malformed),
    ];
    let says = prop_oneof![
        8 => Just(Says::Connected), 3 => Just(Says::Disconnected), 1 => Just(Says::Closed), 1 => Just(Says::Failed),
        3 => any::<u32>().prop_map(|limit| Says::Limit(limit % 3_000_000)),
    ];
    let milliseconds = prop_oneof![9 => 0..300u16, 2 => 300..1500u16, 2 => 1500..20_000u16];
    let bytes = prop_oneof![1 => Just(0u16), 8 => 1..1200u16, 2 => 1200..8000u16, 1 => 8000..40_000u16];
    prop_oneof![
        4 => (proptest::bool::weighted(0.2), app()).prop_map(|(nameless, app)| Op::Join { nameless, app }),
        1 => app().prop_map(|app| Op::Leave { app }),
        1 => app().prop_map(|app| Op::RemoteClose { app }),
        12 => app().prop_map(|app| Op::CreateTransport { app }),
        24 => (track(), any::<bool>(), app())
            .prop_map(|(track, simulcast, app)| Op::CreateProducer { track, simulcast, app }),
        4 => Just(Op::RestartIce),
        32 => (pick, transport_op).prop_map(|(pick, op)| Op::Transport { pick, op }),
        70 => (pick, producer_op).prop_map(|(pick, op)| Op::Producer { pick, op }),
        50 => (pick, pick).prop_map(|(producer, transport)| Op::Send { producer, transport }),
        50 => (pick, answer).prop_map(|(to, how)| Op::Answer { to, how }),
        36 => notice.prop_map(Op::Server),
        30 => (pick, says).prop_map(|(pick, says)| Op::Engine { pick, says }),
        8 => (pick, pick).prop_map(|(producer, layer)| Op::KeyFrame { producer, layer }),
        40 => (pick, 0..12u8, bytes).prop_map(|(producer, layer, bytes)| Op::Media { producer, layer, bytes }),
        30 => (milliseconds, any::<bool>()).prop_map(|(milliseconds, jump)| Op::Pass { milliseconds, jump }),
    ]
}

fn config(cases: u32) -> Config {
    Config { cases, max_shrink_iters: 20_000, failure_persistence: None, ..Config::default() }
}

fn sequences() -> u32 {
    std::env::var("MODEL_SEQUENCES").map_or(200, |number| number.parse().expect("MODEL_SEQUENCES is a number"))
}

prop_state_machine! {
    #![proptest_config(config(sequences()))]

    #[test]
    fn a_room_does_what_the_model_says(sequential 1..=100 => Implementation);
}

prop_state_machine! {
    #![proptest_config(config(sequences().div_ceil(20)))]

    #[test]
    fn so_it_does_on_the_real_media_plane(sequential 1..=100 => OnRealMediaPlane);
}
