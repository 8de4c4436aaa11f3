//! Steps to be generated. Feature `proptest`.

use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

use super::model::{AnswerKind, Engine, Model, Step, TrackKind};

/// The model as proptest wants it: what may happen next, as it stands. Most is about what there is; what is closed, and what
/// never was, is met too.
#[derive(Debug)]
pub struct Reference;

impl ReferenceStateMachine for Reference {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Step> {
        let number = |id: u32| u8::try_from(id.saturating_sub(1)).unwrap_or(u8::MAX);
        let transports: Vec<_> = model.open_transports().keys().map(|id| number(id.value())).collect();
        let producers: Vec<_> = model.open_producers().keys().map(|id| number(id.value())).collect();
        if transports.is_empty() {
            let create = Just(Step::CreateTransport { nameless: false });
            return prop_oneof![4 => Just(Step::Load), 4 => create, 1 => step()].boxed();
        }
        let some = |known: Vec<u8>| match known.is_empty() {
            true => any::<u8>().boxed(),
            false => prop_oneof![15 => select(known), 1 => 0..20u8].boxed(),
        };
        step_of(some(transports), some(producers), select_request(model)).boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.step(step);
        model
    }
}

fn select_request(model: &Model) -> BoxedStrategy<u16> {
    let known: Vec<_> = model.requests().collect();
    match known.is_empty() {
        true => (0..40u16).boxed(),
        false => prop_oneof![12 => select(known), 1 => 0..40u16].boxed(),
    }
}

/// Any step, whatever there is. Numbers count from the first that ever was.
pub fn step() -> impl Strategy<Value = Step> {
    step_of((0..6u8).boxed(), (0..16u8).boxed(), (0..40u16).boxed())
}

fn step_of(
    transport: BoxedStrategy<u8>,
    producer: BoxedStrategy<u8>,
    request: BoxedStrategy<u16>,
) -> impl Strategy<Value = Step> {
    let transport = || transport.clone();
    let producer = || producer.clone();
    let track = || {
        prop_oneof![
            4 => Just(TrackKind::Audio),
            4 => Just(TrackKind::Video),
            1 => Just(TrackKind::DisabledVideo),
            1 => Just(TrackKind::Ended),
        ]
    };
    let encodings = prop_oneof![6 => Just(0u8), 2 => Just(1), 2 => Just(3), 1 => Just(5)];
    let answer = prop_oneof![
        8 => Just(AnswerKind::Well),
        2 => Just(AnswerKind::Refused),
        1 => Just(AnswerKind::Mismatched),
        1 => Just(AnswerKind::Nameless),
    ];
    let says = prop_oneof![
        8 => Just(Engine::Connected),
        3 => Just(Engine::Disconnected),
        1 => Just(Engine::Failed),
        1 => Just(Engine::Closed),
    ];
    let milliseconds = prop_oneof![4 => 0..100u16, 1 => 100..5000u16, 1 => 9_000..21_000u16];
    prop_oneof![
        1 => Just(Step::Load),
        2 => prop::bool::weighted(0.1).prop_map(|nameless| Step::CreateTransport { nameless }),
        9 => (transport(), track(), encodings)
            .prop_map(|(transport, track, encodings)| Step::Produce { transport, track, encodings }),
        2 => transport().prop_map(|transport| Step::RestartIce { transport }),
        1 => transport().prop_map(|transport| Step::CloseTransport { transport }),
        3 => producer().prop_map(|producer| Step::CloseProducer { producer }),
        2 => producer().prop_map(|producer| Step::Pause { producer }),
        2 => producer().prop_map(|producer| Step::Resume { producer }),
        2 => producer().prop_map(|producer| Step::EndTrack { producer }),
        2 => (producer(), prop::option::weighted(0.8, track()))
            .prop_map(|(producer, track)| Step::ReplaceTrack { producer, track }),
        1 => (producer(), 0..4u8).prop_map(|(producer, layer)| Step::SetMaxSpatialLayer { producer, layer }),
        5 => producer().prop_map(|producer| Step::Write { producer }),
        14 => (request, answer).prop_map(|(request, answer)| Step::Answer { request, answer }),
        5 => (transport(), says).prop_map(|(transport, says)| Step::Engine { transport, says }),
        5 => milliseconds.prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}
