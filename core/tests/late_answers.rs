//! What the server makes in its own time: closed before it is there, or there after everybody has stopped waiting. Neither
//! side is left with something that the other does not know.

mod common;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use common::{answer, audio, producer_events, scenario, transport};
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::sim::{RoomServerConfig, Scenario, ScenarioConfig, Source};
use mediasoup_producer::v2::protocol::{Refusal, Request};
use mediasoup_producer::v2::{
    Event, Failure, Input, Output, ProducerEvent, ProducerOptions, RequestFailure, RestartIceFailure, Room, RoomConfig,
    SendFailure, TransportEvent,
};
use mediasoup_producer::{ConnectionState, Limits, MediaKind, Originator, ProducerId, RequestId, Track, TransportId};
use serde_json::Value;

/// A worker that is stopped for longer than our patience, which is 10 s.
const STOPPED: Duration = Duration::from_secs(11);
const BRISK: Duration = Duration::from_millis(5);

fn slow(delay: Duration, seed: u64) -> Scenario {
    let server = RoomServerConfig::default().worker_delay(delay);
    scenario(ScenarioConfig::default().server(server), seed).joined()
}

fn methods(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["method"].as_str().unwrap()).collect()
}

fn settled(events: &[Event]) -> Vec<Result<(), Failure>> {
    let result = |event: &Event| match event {
        Event::Settled { result, .. } => Some(result.clone()),
        _ => None,
    };
    events.iter().filter_map(result).collect()
}

fn timed_out(method: &str) -> RequestFailure {
    RequestFailure::TimedOut { method: method.to_owned() }
}

fn at_server(scenario: &Scenario) -> (usize, usize) {
    (scenario.server.transports().count(), scenario.server.producers().count())
}

fn close(scenario: &mut Scenario, id: TransportId) {
    let now = scenario.now();
    scenario.room.transport(id).unwrap().close(now, None).unwrap();
}

fn send(scenario: &mut Scenario, id: ProducerId, over: TransportId) {
    let now = scenario.now();
    scenario.room.producer(id).unwrap().send(now, over).unwrap();
}

#[test]
fn a_transport_closed_while_it_is_made_is_closed_when_it_is() {
    let mut scenario = slow(Duration::from_millis(300), 1);
    let on = scenario.create_transport();
    scenario.send(on, Source::opus(32_000));
    scenario.take_messages();
    close(&mut scenario, on);
    let events = scenario.take_events();
    assert_eq!(
        settled(&events).last(),
        Some(&Err(Failure::Send(SendFailure::TransportClosed))),
        "it is closed here at once"
    );
    assert!(matches!(events.last(), Some(Event::Transport { event: TransportEvent::Close { .. }, .. })));
    assert!(scenario.room.transport_info(on).is_none());
    scenario.drive(Duration::from_secs(1));
    assert_eq!(methods(&scenario.take_messages()), ["closeTransport"]);
    assert_eq!(at_server(&scenario), (0, 0));
    assert_eq!(scenario.server.counters().notifications_refused, 0);
}

#[test]
fn a_transport_closed_while_a_producer_is_made_on_it_takes_it_along() {
    let mut scenario = slow(Duration::from_millis(300), 2);
    let on = scenario.create_transport();
    let id = scenario.send(on, Source::opus(32_000));
    scenario.drive_until("createProducer", |scenario| scenario.server.transports().count() == 1);
    scenario.drive(Duration::from_millis(400));
    assert_eq!(at_server(&scenario), (1, 0));
    scenario.take_messages();
    close(&mut scenario, on);
    // It need not wait: it goes over another transport at once.
    let on = scenario.create_transport();
    send(&mut scenario, id, on);
    scenario.drive(Duration::from_secs(3));
    assert_eq!(methods(&scenario.take_messages())[..3], ["createTransport", "closeTransport", "createProducer"]);
    assert_eq!(at_server(&scenario), (1, 1));
    assert_eq!(scenario.server.producer(id).unwrap().transport(), on);
    assert!(scenario.room.producer_info(id).unwrap().handled());
}

#[test]
fn a_transport_that_is_made_too_late_is_closed() {
    let mut scenario = slow(STOPPED, 3);
    let on = scenario.create_transport();
    scenario.send(on, Source::opus(32_000));
    scenario.drive(STOPPED);
    assert_eq!(settled(&scenario.take_events()).last(), Some(&Err(Failure::Send(timed_out("createTransport").into()))));
    scenario.drive(2 * STOPPED);
    assert_eq!(at_server(&scenario), (0, 0));
    assert_eq!(scenario.room.stats().messages_unexpected, 0);
}

#[test]
fn a_transport_asked_for_again_is_not_in_its_own_way() {
    let mut scenario = slow(STOPPED, 4);
    let on = scenario.create_transport();
    let id = scenario.send(on, Source::opus(32_000));
    scenario.drive(Duration::from_millis(10_500));
    scenario.take_events();
    scenario.server.set_worker_delay(BRISK);
    send(&mut scenario, id, on);
    scenario.drive(Duration::from_secs(3));
    assert_eq!(settled(&scenario.take_events()), [Ok(())]);
    assert_eq!(at_server(&scenario), (1, 1));
    assert!(scenario.server.encodings(id)[0].packets > 10);
}

#[test]
fn a_producer_asked_for_again_is_not_in_its_own_way() {
    for elsewhere in [false, true] {
        let mut scenario = slow(BRISK, 5).sending_with([Source::vp8(300_000)]);
        let first = transport(&scenario);
        scenario.server.set_worker_delay(STOPPED);
        let id = scenario.send(first, Source::opus(32_000));
        scenario.drive(Duration::from_millis(10_500));
        assert_eq!(
            settled(&scenario.take_events()).last(),
            Some(&Err(Failure::Send(timed_out("createProducer").into())))
        );
        scenario.server.set_worker_delay(BRISK);
        let on = if elsewhere { scenario.create_transport() } else { first };
        send(&mut scenario, id, on);
        scenario.drive(Duration::from_secs(3));
        assert_eq!(settled(&scenario.take_events()), [Ok(())]);
        assert_eq!(scenario.server.producer(id).map(|producer| producer.transport()), Some(on));
        assert!(scenario.server.encodings(id)[0].packets > 10);
        assert_eq!(scenario.room.transports().count(), scenario.server.transports().count());
    }
}

#[test]
fn a_producer_that_is_made_too_late_is_closed() {
    let mut scenario = slow(BRISK, 6).sending_with([Source::vp8(300_000)]);
    let on = transport(&scenario);
    scenario.server.set_worker_delay(STOPPED);
    let id = scenario.send(on, Source::opus(32_000));
    scenario.drive(2 * STOPPED);
    assert_eq!(at_server(&scenario), (1, 1), "a producer that nobody sends is in the room");
    assert!(!scenario.room.producer_info(id).unwrap().handled());

    // One that was closed meanwhile, too; and one whose transport was.
    for closes_transport in [false, true] {
        let id = scenario.send(on, Source::opus(32_000));
        scenario.drive(Duration::from_secs(1));
        let now = scenario.now();
        if closes_transport {
            scenario.room.transport(on).unwrap().close(now, None).unwrap();
        } else {
            scenario.room.producer(id).unwrap().close(now, None).unwrap();
        }
        scenario.drive(2 * STOPPED);
        assert_eq!(at_server(&scenario), if closes_transport { (0, 0) } else { (1, 1) });
    }
}

#[test]
fn new_ice_credentials_that_come_too_late_are_used_all_the_same() {
    let mut scenario = slow(BRISK, 7).sending_with([Source::opus(32_000)]);
    let (on, id) = (transport(&scenario), audio(&scenario));
    scenario.server.set_worker_delay(STOPPED);
    let now = scenario.now();
    scenario.room.transport(on).unwrap().restart_ice(now).unwrap();
    scenario.take_events();
    scenario.drive(STOPPED);
    assert_eq!(settled(&scenario.take_events()), [Err(Failure::RestartIce(timed_out("restartTransport").into()))]);
    // The server takes no others any more.
    scenario.drive(Duration::from_secs(60));
    let before = scenario.server.encodings(id)[0].packets;
    scenario.drive(Duration::from_secs(5));
    assert_eq!(scenario.room.transport_info(on).unwrap().connection_state(), ConnectionState::Connected);
    assert!(scenario.server.encodings(id)[0].packets > before + 200);
}

/// A room without media and a test that is its server.
struct ByHand {
    room: Room,
    now: Instant,
    requests: VecDeque<(RequestId, Request)>,
    said: Vec<&'static str>,
    events: Vec<Event>,
}

impl ByHand {
    fn new(limits: Limits) -> Self {
        #[allow(clippy::disallowed_methods)] // a test may ask for the time once
        let now = Instant::now();
        let room = Room::scripted(RoomConfig::default().limits(limits), 1);
        let mut test = Self { room, now, requests: VecDeque::new(), said: Vec::new(), events: Vec::new() };
        test.join();
        test
    }

    fn joined(limits: Limits) -> Self {
        let mut test = Self::new(limits);
        test.respond(Ok(()));
        test.respond(Ok(()));
        assert!(test.room.joined());
        test
    }

    fn join(&mut self) {
        self.room.join(self.now, "camera-1", None).unwrap();
        self.drain();
    }

    fn transport(&mut self) -> TransportId {
        self.room.create_transport(self.now, None).unwrap()
    }

    fn producer(&mut self) -> ProducerId {
        let track = Track::new(MediaKind::Video, "camera", "");
        self.room.create_producer(self.now, track, ProducerOptions::default(), None).unwrap()
    }

    fn send(&mut self, producer: ProducerId, on: TransportId) {
        self.room.producer(producer).unwrap().send(self.now, on).unwrap();
        self.drain();
    }

    /// Answers the oldest request, in time or not.
    fn respond(&mut self, result: Result<(), &str>) {
        let (id, request) = self.requests.pop_front().expect("a request waits");
        let result = result.map(|()| answer(&request)).map_err(Refusal::new);
        self.room.handle_input(self.now, Input::Response { id, result }).unwrap();
        self.drain();
    }

    /// Nobody answers for so long that we give up.
    fn wait(&mut self) {
        self.now += Duration::from_secs(10);
        self.room.handle_timeout(self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    self.said.push(request.method());
                    self.requests.push_back((id, request));
                }
                Output::Notification(notification) => self.said.push(notification.method()),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }

    fn take_said(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.said)
    }

    fn take_settled(&mut self) -> Vec<Result<(), Failure>> {
        let events = std::mem::take(&mut self.events);
        settled(&events)
    }
}

#[test]
fn a_join_that_is_answered_too_late_is_taken_back() {
    let mut test = ByHand::new(Limits::default());
    test.respond(Ok(()));
    test.wait();
    assert_eq!(test.take_said(), ["queryRoom", "join", "leave"]);
    test.respond(Ok(()));
    assert_eq!(test.take_said(), ["leave"], "the first came before there was anything to leave");
    assert_eq!(test.room.stats().messages_unexpected, 0);

    // Nor does it bar the next.
    test.join();
    test.respond(Ok(()));
    test.wait();
    test.join();
    let join = test.requests.pop_front().unwrap();
    test.respond(Ok(()));
    test.requests.push_front(join);
    test.take_said();
    test.respond(Ok(()));
    assert_eq!(test.take_said(), [""; 0], "it may be the peer of the join under way");
    test.take_settled();
    test.respond(Err("Error: duplicated Peer [peerName:\"camera-1\"]"));
    assert_eq!(test.take_said(), ["leave", "join"]);
    test.respond(Ok(()));
    assert_eq!(test.take_settled(), [Ok(())]);
    assert!(test.room.joined());
}

#[test]
fn what_is_in_use_by_now_is_not_undone() {
    let mut test = ByHand::joined(Limits::default());
    let (on, producer) = (test.transport(), test.producer());
    test.send(producer, on);
    test.wait();
    test.send(producer, on);
    // The server made it in time, and has heeded our close: its answer was late, no more.
    test.take_said();
    test.respond(Ok(()));
    assert_eq!(test.take_said(), [""; 0], "the one under way would be closed");
    test.respond(Ok(()));
    assert_eq!(test.take_said(), ["createProducer"]);
    test.wait();
    test.send(producer, on);
    let late = test.requests.pop_front().unwrap();
    test.respond(Ok(()));
    test.take_said();
    test.requests.push_back(late);
    test.respond(Ok(()));
    assert_eq!(test.take_said(), [""; 0], "the answers came in another order");
    assert!(test.room.producer_info(producer).unwrap().handled());
}

#[test]
fn a_refusal_is_final_once_the_way_is_clear() {
    let mut test = ByHand::joined(Limits::default());
    let (on, producer) = (test.transport(), test.producer());
    test.send(producer, on);
    test.wait();
    let lost = test.requests.pop_front();
    test.take_settled();
    test.take_said();
    test.send(producer, on);
    test.respond(Err("Error: no"));
    assert_eq!(test.take_said(), ["createTransport", "closeTransport", "createTransport"]);
    assert_eq!(test.take_settled(), []);
    test.respond(Err("Error: no"));
    assert_eq!(test.take_said(), [""; 0]);
    assert_eq!(test.take_settled(), [Err(Failure::Send(RequestFailure::Refused(Refusal::new("Error: no")).into()))]);
    assert!(lost.is_some());
}

#[test]
fn answers_from_before_the_room_was_closed_mean_nothing() {
    let mut test = ByHand::joined(Limits::default());
    let (on, producer) = (test.transport(), test.producer());
    test.send(producer, on);
    test.wait();
    test.room.leave(test.now, None).unwrap();
    test.drain();
    test.take_said();
    test.respond(Ok(()));
    assert_eq!(test.take_said(), [""; 0]);
    assert_eq!(test.room.stats().messages_unexpected, 1);
}

#[test]
fn what_is_remembered_is_bounded_and_the_oldest_is_forgotten() {
    let mut test = ByHand::joined(Limits::default().late_answers(3));
    let (on, producer) = (test.transport(), test.producer());
    for _ in 0..5 {
        test.send(producer, on);
        test.wait();
    }
    assert_eq!(test.room.stats().requests_forgotten, 2);
    test.take_said();
    for _ in 0..5 {
        test.respond(Ok(()));
    }
    assert_eq!(test.take_said(), ["closeTransport"; 3]);
    assert_eq!(test.room.stats().messages_unexpected, 2);
}

#[test]
fn a_refused_transport_is_asked_for_again_for_the_producer_that_is_left() {
    let mut test = ByHand::joined(Limits::default());
    let (on, first, second) = (test.transport(), test.producer(), test.producer());
    test.send(first, on);
    test.room.producer(first).unwrap().close(test.now, None).unwrap();
    test.send(second, on);
    test.take_said();
    test.take_settled();
    test.respond(Err("Error: not for the first"));
    assert_eq!(test.take_said(), ["createTransport"]);
    assert_eq!(test.take_settled(), []);
    test.respond(Ok(()));
    test.respond(Ok(()));
    assert_eq!(test.take_settled(), [Ok(())]);
    assert!(producer_events(&test.events, first).is_empty());
}

#[test]
fn a_hundred_thousand_operations_fail_one_after_another() {
    const OPERATIONS: usize = 100_000;
    let mut test = ByHand::joined(Limits::default().operations(OPERATIONS));
    let (on, producer) = (test.transport(), test.producer());
    test.send(producer, on);
    for _ in 1..OPERATIONS {
        test.room.transport(on).unwrap().restart_ice(test.now).unwrap();
    }
    test.take_settled();
    test.respond(Err("Error: no"));
    let settled = test.take_settled();
    assert_eq!(settled.len(), OPERATIONS);
    let nothing_to_restart = Err(Failure::RestartIce(RestartIceFailure::TransportClosed));
    assert!(settled[1..].iter().all(|outcome| *outcome == nothing_to_restart));

    // Nor do those that may not even be asked for go deeper with each.
    let limits = Limits::default().operations(OPERATIONS).pending_requests(1).producers(OPERATIONS);
    let mut test = ByHand::joined(limits);
    let (one, other) = (test.transport(), test.transport());
    let producers: Vec<_> = (0..OPERATIONS / 100).map(|_| test.producer()).collect();
    test.send(producers[0], one);
    for producer in &producers[1..] {
        test.room.producer(*producer).unwrap().send(test.now, other).unwrap();
    }
    test.drain();
    let settled = test.take_settled();
    let too_many = Err(Failure::Send(RequestFailure::TooManyRequests(1).into()));
    assert!(settled[2..].iter().all(|outcome| *outcome == too_many), "{settled:?}");
    assert!(!test.events.iter().any(|event| matches!(
        event,
        Event::Producer { event: ProducerEvent::Close { originator: Originator::Remote, .. }, .. }
    )));
}
