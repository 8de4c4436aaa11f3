//! What is asked of the application, when, and what comes of each answer: one thing at a time on a transport, each to the end
//! of its answer, and nothing twice.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod v3_common;

use std::time::Duration;

use mediasoup_producer::sim::{EngineAnswer, EngineEvent};
use mediasoup_producer::v3::{
    Answer, Event, Input, InvalidAnswer, OperationError, ProduceOptions, ProducerEvent, Refusal, Request,
    TransportEvent,
};
use mediasoup_producer::{ConnectionState, IceParameters, MediaError, MediaKind, OperationId, RequestId, SetupError};
use serde_json::json;
use v3_common::{World, key_frame, track};

fn connecting(world: &World) -> Event {
    let event = TransportEvent::ConnectionStateChange { state: ConnectionState::Connecting };
    Event::Transport { id: world.transport, event }
}

fn settled(operation: OperationId, result: Result<(), OperationError>) -> Event {
    Event::Settled { operation, result }
}

#[test]
fn connect_is_asked_by_the_first_produce_alone_and_before_it() {
    let mut world = World::new();
    assert_eq!(world.requests(), []);
    let first = world.produce(MediaKind::Audio);
    let second = world.produce(MediaKind::Video);
    assert_eq!(world.names(), ["connect"]);
    assert_eq!(world.events(), []);
    world.answer(Ok(Answer::Connected));
    assert_eq!(world.names(), ["produce"]);
    assert_eq!(world.events(), [connecting(&world)]);
    world.answer(Ok(Answer::Produced { id: "a".to_owned() }));
    let produced =
        Event::Producer { id: first.producer, event: ProducerEvent::Produced { producer_id: "a".to_owned() } };
    assert_eq!(world.events(), [produced, settled(first.operation, Ok(()))]);
    let Request::Produce { producer, kind, .. } = &world.requests()[0].1 else { panic!("produce is next") };
    assert_eq!((*producer, *kind), (second.producer, MediaKind::Video));
    world.answer(Ok(Answer::Produced { id: "b".to_owned() }));
    assert_eq!(world.requests(), []);
    let producer = world.device.producer(second.producer).unwrap();
    assert_eq!((producer.server_id(), producer.local_id()), (Some("b"), Some("1")));
}

#[test]
fn a_refused_connect_fails_its_produce_and_the_next_asks_again() {
    let mut world = World::new();
    let first = world.produce(MediaKind::Audio);
    let second = world.produce(MediaKind::Audio);
    let refusal = Refusal::new("worker closed");
    world.answer(Err(refusal.clone()));
    assert_eq!(world.names(), ["connect"]);
    let stopped = Event::Producer {
        id: first.producer,
        event: ProducerEvent::TrackStopped { track_id: track(MediaKind::Audio).id().to_owned() },
    };
    assert_eq!(world.events(), [stopped, settled(first.operation, Err(OperationError::Refused(refusal)))]);
    assert!(world.device.producer(first.producer).is_none());
    world.answer(Ok(Answer::Connected));
    assert_eq!(world.names(), ["produce"]);
    assert!(world.device.producer(second.producer).is_some());
}

#[test]
fn a_refused_produce_leaves_nothing_and_the_next_goes_on() {
    let mut world = World::connected();
    let first = world.produce(MediaKind::Video);
    let second = world.produce(MediaKind::Video);
    let mids = |world: &mut World| match &world.requests()[0].1 {
        Request::Produce { rtp_parameters, .. } => rtp_parameters.mid.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(mids(&mut world), "1");
    world.answer(Err(Refusal::new("MID already exists in RTP listener")));
    // The server may have the first one all the same: a MID that was said once is not said again.
    assert_eq!(mids(&mut world), "2");
    assert!(world.device.outbound_stats(first.producer).is_empty());
    world.answer(Ok(Answer::Produced { id: "b".to_owned() }));
    assert_eq!(world.device.producer(second.producer).unwrap().server_id(), Some("b"));
}

#[test]
fn answers_that_make_no_sense_are_refusals() {
    for (answer, why) in [
        (Answer::Connected, InvalidAnswer::Mismatch),
        (Answer::Produced { id: String::new() }, InvalidAnswer::EmptyId),
        (Answer::Produced { id: "x".repeat(2000) }, InvalidAnswer::TooLarge { bytes: 2000, limit: 1024 }),
    ] {
        let mut world = World::connected();
        let producing = world.produce(MediaKind::Audio);
        world.answer(Ok(answer));
        let error = OperationError::InvalidAnswer(why);
        assert_eq!(world.events().last(), Some(&settled(producing.operation, Err(error))));
        assert!(world.device.producer(producing.producer).is_none());
    }
    let mut world = World::new();
    let producing = world.produce(MediaKind::Audio);
    world.answer(Ok(Answer::Produced { id: "a".to_owned() }));
    let error = OperationError::InvalidAnswer(InvalidAnswer::Mismatch);
    assert_eq!(world.events().last(), Some(&settled(producing.operation, Err(error))));
}

#[test]
fn an_answer_that_is_too_late_tells_of_the_producer_that_the_server_has() {
    let mut world = World::connected();
    let first = world.produce(MediaKind::Audio);
    let (late, _) = world.requests()[0].clone();
    let second = world.produce(MediaKind::Audio);
    world.time_goes_on(Duration::from_secs(10));
    let error = OperationError::TimedOut { request: "produce".to_owned() };
    assert_eq!(world.events().last(), Some(&settled(first.operation, Err(error))));
    world.answer(Ok(Answer::Produced { id: "second".to_owned() }));
    world.events();
    world.answer_to(late, Ok(Answer::Produced { id: "first".to_owned() }));
    assert_eq!(
        world.events(),
        [Event::Orphan { transport_id: "transport".to_owned(), producer_id: "first".to_owned() }]
    );
    assert_eq!(world.device.producer(second.producer).unwrap().server_id(), Some("second"));
    // Once.
    world.answer_to(late, Ok(Answer::Produced { id: "first".to_owned() }));
    assert_eq!(world.events(), []);
    assert_eq!(world.device.stats().answers_unexpected, 1);
}

#[test]
fn a_late_refusal_means_nothing() {
    let mut world = World::connected();
    world.produce(MediaKind::Audio);
    let (late, _) = world.requests()[0].clone();
    world.time_goes_on(Duration::from_secs(10));
    world.events();
    world.answer_to(late, Err(Refusal::new("no")));
    assert_eq!(world.events(), []);
    assert_eq!(world.device.stats().answers_late, 1);
}

/// The server takes one `connect` and says of a second that it was already called.
#[test]
fn a_late_connect_counts_and_the_refusal_of_its_repetition_does_not() {
    let mut world = World::new();
    let first = world.produce(MediaKind::Audio);
    let (late, _) = world.requests()[0].clone();
    world.time_goes_on(Duration::from_secs(10));
    let error = OperationError::TimedOut { request: "connect".to_owned() };
    assert_eq!(world.events().last(), Some(&settled(first.operation, Err(error))));
    let second = world.produce(MediaKind::Audio);
    assert_eq!(world.names(), ["connect"]);
    world.answer_to(late, Ok(Answer::Connected));
    assert_eq!(world.events(), [connecting(&world)]);
    assert_eq!(world.names(), ["connect"]);
    world.answer(Err(Refusal::new("connect() already called")));
    assert_eq!(world.names(), ["produce"]);
    world.answer(Ok(Answer::Produced { id: "a".to_owned() }));
    assert_eq!(world.events().last(), Some(&settled(second.operation, Ok(()))));
}

#[test]
fn a_late_connect_serves_the_next_produce() {
    let mut world = World::new();
    world.produce(MediaKind::Audio);
    let (late, _) = world.requests()[0].clone();
    world.time_goes_on(Duration::from_secs(10));
    world.events();
    world.answer_to(late, Ok(Answer::Connected));
    assert_eq!(world.events(), [connecting(&world)]);
    world.produce(MediaKind::Audio);
    assert_eq!(world.names(), ["produce"]);
}

/// A mediasoup server takes `connect` once, and its words are not to be read: nobody can tell a second from a refusal.
#[test]
fn a_refusal_after_a_connect_without_an_answer_closes_the_transport_with_the_cause() {
    let mut world = World::new();
    world.produce(MediaKind::Audio);
    world.time_goes_on(Duration::from_secs(10));
    world.events();
    let (second, third) = (world.produce(MediaKind::Audio), world.produce(MediaKind::Audio));
    assert_eq!(world.names(), ["connect"]);
    let refusal = Refusal::new("connect() already called");
    world.answer(Err(refusal.clone()));
    let id = world.transport;
    let events = world.events();
    let told: Vec<_> = events.iter().filter(|event| !matches!(event, Event::Producer { .. })).cloned().collect();
    let expected = [
        settled(second.operation, Err(OperationError::ConnectLost(refusal.clone()))),
        Event::Transport { id, event: TransportEvent::ConnectLost { refusal } },
        settled(third.operation, Err(OperationError::TransportClosed)),
        Event::Transport { id, event: TransportEvent::Close },
    ];
    assert_eq!(told, expected);
    assert_eq!((world.device.transports().count(), world.device.producers().count()), (0, 0));
    assert_eq!(world.requests(), []);
}

#[test]
fn a_connect_that_never_reached_the_server_is_asked_again_and_serves() {
    let mut world = World::new();
    world.produce(MediaKind::Audio);
    world.time_goes_on(Duration::from_secs(10));
    world.live_after_connect();
}

/// All that was given up is known to have been refused: so is what was asked for then.
#[test]
fn a_refusal_after_a_late_refusal_leaves_the_transport_as_it_is() {
    let mut world = World::new();
    world.produce(MediaKind::Audio);
    let (late, _) = world.requests()[0].clone();
    world.time_goes_on(Duration::from_secs(10));
    world.answer_to(late, Err(Refusal::new("not joined yet")));
    world.events();
    let second = world.produce(MediaKind::Audio);
    let refusal = Refusal::new("not joined yet");
    world.answer(Err(refusal.clone()));
    assert_eq!(world.events().last(), Some(&settled(second.operation, Err(OperationError::Refused(refusal)))));
    world.live_after_connect();
}

#[test]
fn a_producer_closed_in_the_queue_is_never_asked_for() {
    let mut world = World::connected();
    world.produce(MediaKind::Audio);
    let second = world.produce(MediaKind::Video);
    world.device.producer(second.producer).unwrap().close(world.now).unwrap();
    let events = world.events();
    assert!(events.contains(&settled(second.operation, Err(OperationError::ProducerClosed))), "{events:?}");
    world.answer(Ok(Answer::Produced { id: "a".to_owned() }));
    assert_eq!(world.requests(), []);
}

#[test]
fn a_producer_closed_while_it_is_asked_for_is_told_as_an_orphan_and_the_next_waits_for_its_answer() {
    let mut world = World::connected();
    let first = world.produce(MediaKind::Audio);
    let second = world.produce(MediaKind::Audio);
    world.device.producer(first.producer).unwrap().close(world.now).unwrap();
    let events = world.events();
    assert_eq!(
        events[1..],
        [
            Event::Producer { id: first.producer, event: ProducerEvent::Close },
            settled(first.operation, Err(OperationError::ProducerClosed))
        ]
    );
    assert_eq!(world.requests().len(), 1);
    world.answer(Ok(Answer::Produced { id: "first".to_owned() }));
    assert_eq!(
        world.events(),
        [Event::Orphan { transport_id: "transport".to_owned(), producer_id: "first".to_owned() }]
    );
    world.answer(Ok(Answer::Produced { id: "second".to_owned() }));
    assert_eq!(world.events().last(), Some(&settled(second.operation, Ok(()))));
}

#[test]
fn a_producer_closed_while_connect_is_out_does_not_take_the_answer_from_the_next() {
    for answer in [Ok(Answer::Connected), Err(Refusal::new("no"))] {
        let mut world = World::new();
        let first = world.produce(MediaKind::Audio);
        let second = world.produce(MediaKind::Audio);
        world.device.producer(first.producer).unwrap().close(world.now).unwrap();
        world.events();
        world.answer(answer.clone());
        // The refusal was the first one's; the second asks for itself.
        assert_eq!(world.names(), [if answer.is_ok() { "produce" } else { "connect" }]);
        assert!(world.device.producer(second.producer).is_some());
    }
}

#[test]
fn closing_a_transport_settles_all_that_waits_and_says_goodbye_in_order() {
    let mut world = World::connected();
    let live = world.live(MediaKind::Audio);
    let asked = world.produce(MediaKind::Audio);
    let waiting = world.produce(MediaKind::Audio);
    let restart = world.restart_ice();
    let (late, _) = world.requests()[0].clone();
    world.device.transport(world.transport).unwrap().close(world.now).unwrap();
    let cancelled = |operation| settled(operation, Err(OperationError::TransportClosed));
    let of = |id, event| Event::Producer { id, event };
    let stopped = || ProducerEvent::TrackStopped { track_id: track(MediaKind::Audio).id().to_owned() };
    assert_eq!(
        world.events(),
        [
            of(asked.producer, stopped()),
            cancelled(asked.operation),
            of(waiting.producer, stopped()),
            cancelled(waiting.operation),
            cancelled(restart),
            of(live, stopped()),
            of(live, ProducerEvent::TransportClose),
            Event::Transport { id: world.transport, event: TransportEvent::Close },
        ]
    );
    assert_eq!(world.device.producers().count() + world.device.transports().count(), 0);
    assert_eq!(world.device.stats().requests_pending, 0);
    assert_eq!(world.device.poll_timeout(), None);
    world.answer_to(late, Ok(Answer::Produced { id: "late".to_owned() }));
    assert_eq!(
        world.events(),
        [Event::Orphan { transport_id: "transport".to_owned(), producer_id: "late".to_owned() }]
    );
}

#[test]
fn a_connect_answered_after_its_transport_was_closed_means_nothing() {
    let mut world = World::new();
    world.produce(MediaKind::Audio);
    let (late, _) = world.requests()[0].clone();
    world.device.transport(world.transport).unwrap().close(world.now).unwrap();
    world.events();
    world.answer_to(late, Ok(Answer::Connected));
    assert_eq!(world.events(), []);
    assert_eq!(world.device.stats().answers_late, 1);
    world.answer_to(RequestId::from(99), Ok(Answer::Connected));
    assert_eq!(world.device.stats().answers_unexpected, 1);
}

#[test]
fn what_was_given_up_is_remembered_up_to_a_limit() {
    let config =
        mediasoup_producer::v3::DeviceConfig::default().limits(mediasoup_producer::Limits::default().late_answers(1));
    let mut world = World::with(config);
    world.connect();
    world.produce(MediaKind::Audio);
    let (first, _) = world.requests()[0].clone();
    world.time_goes_on(Duration::from_secs(10));
    world.produce(MediaKind::Audio);
    let (second, _) = world.requests()[0].clone();
    world.time_goes_on(Duration::from_secs(10));
    world.events();
    assert_eq!(world.device.stats().requests_forgotten, 1);
    world.answer_to(first, Ok(Answer::Produced { id: "1".to_owned() }));
    assert_eq!(world.events(), []);
    world.answer_to(second, Ok(Answer::Produced { id: "2".to_owned() }));
    assert_eq!(world.events().len(), 1);
}

#[test]
fn ice_restart_waits_for_its_turn_and_before_connect_only_replaces_the_parameters() {
    let mut world = World::new();
    let operation = world.restart_ice();
    assert_eq!(world.events(), [settled(operation, Ok(()))]);
    assert_eq!(world.requests(), []);
    let producing = world.produce(MediaKind::Audio);
    let restart = world.restart_ice();
    world.answer(Ok(Answer::Connected));
    assert_eq!(world.events(), [connecting(&world)]);
    world.answer(Ok(Answer::Produced { id: "a".to_owned() }));
    assert_eq!(world.events()[1..], [settled(producing.operation, Ok(())), settled(restart, Ok(()))]);
    // A path that is lost is tried anew.
    world.engine(EngineEvent::Disconnected);
    world.events();
    let restart = world.restart_ice();
    assert_eq!(world.events(), [connecting(&world), settled(restart, Ok(()))]);
}

#[test]
fn after_dtls_has_failed_only_close_is_left() {
    let mut world = World::connected();
    world.engine(EngineEvent::Closed);
    let state = TransportEvent::ConnectionStateChange { state: ConnectionState::Failed };
    assert_eq!(world.events(), [Event::Transport { id: world.transport, event: state }]);
    world.engine(EngineEvent::Connected);
    assert_eq!(world.events(), []);
    let parameters: IceParameters =
        serde_json::from_value(json!({ "usernameFragment": "u", "password": "p" })).unwrap();
    let refused = world.device.transport(world.transport).unwrap().restart_ice(world.now, parameters);
    assert_eq!(refused, Err(mediasoup_producer::v3::RestartIceError::DtlsFailed(world.transport)));
    world.device.transport(world.transport).unwrap().close(world.now).unwrap();
    assert_eq!(world.events(), [Event::Transport { id: world.transport, event: TransportEvent::Close }]);
}

#[test]
fn an_engine_that_cannot_begin_fails_what_waits() {
    let mut world = World::new();
    let first = world.produce(MediaKind::Audio);
    let second = world.produce(MediaKind::Audio);
    let answer = EngineAnswer::NotStarted(SetupError::NoAddress);
    assert!(world.device.engine_answer(world.transport, answer));
    world.answer(Ok(Answer::Connected));
    let events = world.events();
    let failed = || Err(OperationError::Setup(SetupError::NoAddress));
    assert!(events.contains(&settled(first.operation, failed())), "{events:?}");
    assert!(events.contains(&settled(second.operation, failed())), "{events:?}");
    assert_eq!(world.requests(), []);
    let state = world.device.transport(world.transport).unwrap().connection_state();
    assert_eq!(state, ConnectionState::Failed);
}

#[test]
fn media_is_refused_until_the_server_has_the_producer_and_a_key_frame_is_asked_for_then() {
    let mut world = World::connected();
    world.engine(EngineEvent::Connected);
    world.events();
    let producing = world.produce(MediaKind::Video);
    let write = |world: &mut World| {
        let now = world.now;
        world.device.producer(producing.producer).unwrap().write_frame(now, key_frame())
    };
    assert_eq!(write(&mut world), Err(MediaError::NotProduced(producing.producer)));
    world.answer(Ok(Answer::Produced { id: "v".to_owned() }));
    let wanted = Event::Producer { id: producing.producer, event: ProducerEvent::KeyFrameRequest { layer: 0 } };
    assert!(world.events().contains(&wanted));
    assert_eq!(write(&mut world), Ok(()));
    assert_eq!(world.transmits(), 1);
}

#[test]
fn two_transports_do_not_wait_for_each_other() {
    let mut world = World::new();
    world.produce(MediaKind::Audio);
    let other = world.another_transport();
    let options = ProduceOptions::default();
    world.device.transport(other).unwrap().produce(world.now, track(MediaKind::Audio), options).unwrap();
    let asked: Vec<_> = world.requests().iter().map(|(_, request)| request.transport()).collect();
    assert_eq!(asked, [world.transport, other]);
}

#[test]
fn too_many_requests_settle_what_asked() {
    let config = mediasoup_producer::v3::DeviceConfig::default()
        .limits(mediasoup_producer::Limits::default().pending_requests(1));
    let mut world = World::with(config);
    world.produce(MediaKind::Audio);
    let other = world.another_transport();
    let options = ProduceOptions::default();
    let producing =
        world.device.transport(other).unwrap().produce(world.now, track(MediaKind::Audio), options).unwrap();
    let error = OperationError::TooManyRequests(1);
    assert_eq!(world.events().last(), Some(&settled(producing.operation, Err(error))));
}

#[test]
fn a_second_answer_and_one_to_nothing_change_nothing() {
    let mut world = World::connected();
    world.produce(MediaKind::Audio);
    let (id, _) = world.requests()[0].clone();
    world.answer(Ok(Answer::Produced { id: "a".to_owned() }));
    world.events();
    for _ in 0..2 {
        world.device.handle_input(world.now, Input::Answer { id, result: Ok(Answer::Connected) }).unwrap();
    }
    assert_eq!(world.events(), []);
    assert_eq!(world.device.stats().answers_unexpected, 2);
}
