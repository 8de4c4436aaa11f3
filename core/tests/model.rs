//! Whatever happens in whatever order, a room does what the reference model says it must.
//!
//! `MODEL_SEQUENCES` says how many sequences are tried, 200 unless it is set, each of up to 100 steps.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::ops::DerefMut;
use std::time::{Duration, Instant};

use mediasoup_producer::sim::model::{App, Model, Step, TransportOp};
use mediasoup_producer::sim::strategies::{self, Reference};
use mediasoup_producer::sim::{BothSides, Embedding, Lockstep, check, check_reference};
use mediasoup_producer::v2::{
    Accepted, CommandError, Event, Failure, Input, InputError, Output, ProducerEvent, Room, RoomState, TransportEvent,
};
use mediasoup_producer::{ProducerId, RequestId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
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
    let config = Config::with_cases(sequences().div_ceil(4));
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

#[test]
fn when_all_is_said_both_sides_have_the_same() {
    let start = Instant::now();
    let steps = proptest::collection::vec(strategies::step(), 1..100);
    // Each tenth step joins, if that is still, or again, to be done.
    let join = Step::Join { nameless: false, app: App::None };
    let config = Config { failure_persistence: None, ..Config::with_cases(2 * sequences()) };
    proptest!(config, |(steps in steps)| {
        let mut both = BothSides::new(start, 1);
        for (at, step) in steps.iter().enumerate() {
            if at % 10 == 0 {
                both.step(&join)?;
                both.step(&Step::Pass { milliseconds: 30, jump: false })?;
            }
            both.step(step)?;
        }
        both.settled()?;
    });
}

/// What the sequences are meant to reach. That the model agrees says nothing about what never happens.
const REACHED: &[&str] = &[
    // Answers.
    "answer: on time",
    "answer: late",
    "answer: forgotten",
    "answer: duplicate",
    "answer: unasked",
    "answer: refused",
    "answer: malformed",
    "settled: well",
    "settled: Refused",
    "settled: TimedOut",
    "settled: InvalidResponse",
    "settled: MandatoryCodecs",
    "settled: RoomClosed",
    "settled: TransportClosed",
    "settled: ProducerClosed",
    "settled: TooManyRequests",
    // Notifications.
    "notification: before join",
    "notification: while joining",
    "notification: in the room",
    "notification: after the end",
    "notification: about what is closed",
    "notification: about what never was",
    "notification: malformed",
    // Commands.
    "command: taken",
    "command: Join(RoomState)",
    "command: Join(EmptyPeerName)",
    "command: Room(RoomState)",
    "command: CreateTransport(RoomState)",
    "command: CreateTransport(Limit)",
    "command: CreateProducer(RoomState)",
    "command: CreateProducer(CannotSend)",
    "command: CreateProducer(TrackEnded)",
    "command: Transport(NotFound)",
    "command: AddAddress(NotFound)",
    "command: AddAddress(BadAddress)",
    "command: RestartIce(NotFound)",
    "command: RestartIce(NotStarted)",
    "command: Producer(NotFound)",
    "command: Send(ProducerNotFound)",
    "command: Send(TransportNotFound)",
    "command: Send(AlreadyHandled)",
    "command: ReplaceTrack(NotFound)",
    "command: ReplaceTrack(TrackEnded)",
    "command: ReplaceTrack(TrackKind)",
    // Media, datagrams and time.
    "media: taken",
    "media: ProducerNotFound",
    "media: Unhandled",
    "media: Paused",
    "media: NotConnected",
    "media: UnknownLayer",
    "media: KeyFrameNeeded",
    "media: Malformed",
    "a packet leaves",
    "datagram: stun",
    "datagram: dtls",
    "datagram: rtp",
    "datagram: other",
    "time: the deadline",
    "time: before the deadline",
    "time: past the deadline",
    // Connections.
    "transport: connecting",
    "transport: connected",
    "transport: disconnected",
    "transport: failed",
    "transport: Failed",
    "transport: RemoteCandidates",
    "transport: Stats",
    "transport: Close Local",
    "transport: Close Remote",
    // The rest of what an application hears.
    "room: Joined",
    "room: Closed Local",
    "room: Closed Remote",
    "room: NewPeer",
    "room: PeerClosed",
    "room: Notification",
    "producer: Handled",
    "producer: Unhandled",
    "producer: Pause Local",
    "producer: Pause Remote",
    "producer: Resume Local",
    "producer: Resume Remote",
    "producer: Close Local",
    "producer: Close Remote",
    "producer: TrackEnded",
    "producer: Stats",
    "producer: KeyFrameRequest",
];

#[test]
fn the_sequences_reach_what_they_are_meant_to() {
    let seen = RefCell::new(BTreeSet::new());
    let config = Config { rng_seed: RngSeed::Fixed(1), ..Config::with_cases(1000) };
    check(Instant::now(), config, |room| Watched {
        room,
        now: None,
        asked: BTreeMap::new(),
        answered: BTreeSet::new(),
        seen: &seen,
    })
    .unwrap();
    let seen = seen.into_inner();
    let missing: Vec<_> = REACHED.iter().filter(|what| !seen.contains(**what)).collect();
    assert!(missing.is_empty(), "{missing:?} never happens, of {seen:#?}");
}

/// A room, and what was seen to go in and out.
struct Watched<'a> {
    room: Room,
    now: Option<Instant>,
    asked: BTreeMap<RequestId, Instant>,
    answered: BTreeSet<RequestId>,
    seen: &'a RefCell<BTreeSet<String>>,
}

impl Watched<'_> {
    fn see(&self, what: impl Into<String>) {
        self.seen.borrow_mut().insert(what.into());
    }

    fn answer(&mut self, id: RequestId, unexpected: bool, refused: bool) {
        let first = self.answered.insert(id);
        let asked = self.asked.get(&id).copied();
        let late = asked.is_some_and(|at| self.now.is_some_and(|now| now >= at + Duration::from_secs(2)));
        self.see(match (unexpected, first) {
            (false, _) if late => "answer: late",
            (false, _) => "answer: on time",
            (true, false) => "answer: duplicate",
            (true, true) if asked.is_some() => "answer: forgotten",
            (true, true) => "answer: unasked",
        });
        if refused {
            self.see("answer: refused");
        }
    }

    fn event(&self, event: &Event) {
        self.see(match event {
            Event::Settled { result: Ok(()), .. } => "settled: well".to_owned(),
            Event::Settled { result: Err(failure), .. } => format!("settled: {}", innermost(failure)),
            Event::Closed { originator, .. } => format!("room: Closed {originator:?}"),
            Event::Transport { event, .. } => match event {
                TransportEvent::ConnectionStateChange { state } => format!("transport: {state}"),
                TransportEvent::Close { originator, .. } => format!("transport: Close {originator:?}"),
                other => format!("transport: {}", name(other)),
            },
            Event::Producer { event, .. } => match event {
                ProducerEvent::Close { originator, .. }
                | ProducerEvent::Pause { originator, .. }
                | ProducerEvent::Resume { originator, .. } => format!("producer: {} {originator:?}", name(event)),
                other => format!("producer: {}", name(other)),
            },
            other => format!("room: {}", name(other)),
        });
    }
}

impl Embedding for Watched<'_> {
    fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError> {
        self.now = Some(now);
        let (before, state, deadline) = (self.room.stats(), self.room.state(), self.room.poll_timeout());
        let result = Room::handle_input(&mut self.room, now, input.clone());
        let after = self.room.stats();
        let unexpected = after.messages_unexpected > before.messages_unexpected;
        let malformed = after.messages_malformed > before.messages_malformed;
        let end = match &result {
            Ok(_) => "taken".to_owned(),
            Err(InputError::Command(error)) => command_name(error),
            Err(InputError::Media(error)) => name(error),
            Err(other) => name(other),
        };
        match input {
            Input::Command(_) => self.see(format!("command: {end}")),
            Input::Media { .. } => self.see(format!("media: {end}")),
            Input::Response { .. } if malformed => self.see("answer: malformed"),
            Input::Response { id, result } => self.answer(id, unexpected, result.is_err()),
            Input::Notification(_) if malformed => self.see("notification: malformed"),
            Input::Notification(message) => self.see(match (state, unexpected) {
                (RoomState::New, _) => "notification: before join",
                (RoomState::Joining, _) => "notification: while joining",
                (RoomState::Closed, _) => "notification: after the end",
                (RoomState::Joined, true) if message["id"] == 7 => "notification: about what never was",
                (RoomState::Joined, true) => "notification: about what is closed",
                (RoomState::Joined, false) => "notification: in the room",
            }),
            Input::Receive(receive) => self.see(match receive.contents.first() {
                Some(0..=3) => "datagram: stun",
                Some(20..=63) => "datagram: dtls",
                Some(128..=191) => "datagram: rtp",
                _ => "datagram: other",
            }),
            Input::Timeout => self.see(match deadline.map(|deadline| now.cmp(&deadline)) {
                Some(std::cmp::Ordering::Equal) => "time: the deadline",
                Some(std::cmp::Ordering::Greater) => "time: past the deadline",
                Some(std::cmp::Ordering::Less) | None => "time: before the deadline",
            }),
            _ => {}
        }
        result
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        let outputs: Vec<_> = std::iter::from_fn(|| self.room.poll_output()).collect();
        for output in &outputs {
            match output {
                Output::Request { id, .. } => drop(self.asked.insert(*id, self.now.expect("something came in"))),
                Output::Transmit(_) => self.see("a packet leaves"),
                Output::Event(event) => self.event(event),
                _ => {}
            }
        }
        outputs
    }

    fn deadline(&self) -> Option<Instant> {
        self.room.poll_timeout()
    }

    fn room(&mut self) -> impl DerefMut<Target = Room> {
        &mut self.room
    }
}

/// A room with something wrong about it that no comparison with the model is needed to see.
struct Tampered {
    room: Room,
    how: Tamper,
    last_packet: Option<Output>,
    /// The producer of the last packet has just been paused.
    paused: bool,
    now: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Tamper {
    ClosesTwice,
    SettlesTwice,
    SendsWhilePaused,
    LosesPackets,
    Spins,
    Oversleeps,
}

#[test]
fn each_invariant_is_seen_to_break() {
    for (how, difference) in [
        (Tamper::ClosesTwice, "of a producer after its close"),
        (Tamper::SettlesTwice, "settles twice"),
        (Tamper::SendsWhilePaused, "RTP of a producer that is paused, closed or unhandled"),
        (Tamper::LosesPackets, "packets wait, and are not to leave"),
        (Tamper::Spins, "the loop spins"),
        (Tamper::Oversleeps, "but the room is due"),
    ] {
        let now = Instant::now();
        let tampered = |room| Tampered { room, how, last_packet: None, paused: false, now };
        let failure = check(now, Config::with_cases(1000), tampered).expect_err("it is broken");
        assert!(failure.difference().contains(difference), "{how:?}: {failure}");
    }
}

impl Tampered {
    /// Whether the last packet was one of this producer.
    fn is_last(&mut self, producer: ProducerId) -> bool {
        let Some(Output::Transmit(packet)) = &self.last_packet else { return false };
        let producer = self.room.producer(producer);
        let encodings = producer.as_ref().and_then(|producer| producer.rtp_parameters()).map(|sent| &sent.encodings);
        encodings.into_iter().flatten().any(|encoding| packet.contents.get(8..12) == Some(&encoding.ssrc.to_be_bytes()))
    }
}

impl Embedding for Tampered {
    fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError> {
        self.now = now;
        Room::handle_input(&mut self.room, now, input)
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        if self.how == Tamper::SendsWhilePaused && std::mem::take(&mut self.paused) {
            outputs.extend(self.last_packet.take());
        }
        while let Some(output) = self.room.poll_output() {
            let packet = matches!(output, Output::Transmit(_));
            if packet {
                self.last_packet = Some(output.clone());
            }
            match (&output, self.how) {
                (Output::Event(Event::Producer { id, event: ProducerEvent::Pause { .. } }), _) => {
                    self.paused = self.is_last(*id);
                }
                (Output::Event(Event::Producer { event: ProducerEvent::Close { .. }, .. }), Tamper::ClosesTwice)
                | (Output::Event(Event::Settled { .. }), Tamper::SettlesTwice) => outputs.push(output.clone()),
                _ => {}
            }
            if !(packet && self.how == Tamper::LosesPackets) {
                outputs.push(output);
            }
        }
        outputs
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.room.poll_timeout();
        match self.how {
            Tamper::Spins => Some(due.map_or(self.now, |due| due.min(self.now)) + Duration::from_micros(10)),
            Tamper::Oversleeps => due.map(|due| due + Duration::from_millis(1)),
            _ => due,
        }
    }

    fn room(&mut self) -> impl DerefMut<Target = Room> {
        &mut self.room
    }
}

/// `Send(AlreadyHandled)`: the command, and its own error.
fn command_name(error: &CommandError) -> String {
    let words = format!("{error:?}");
    let mut names = words.split(|character: char| !character.is_alphanumeric());
    format!("{}({})", names.next().unwrap_or_default(), names.next().unwrap_or_default())
}

/// The name of a variant.
/// `Send(Request(TimedOut { .. }))` is `TimedOut`.
fn innermost(failure: &Failure) -> String {
    match (failure.request(), failure) {
        (Some(request), _) => name(request),
        (None, Failure::Join(failure)) => name(failure),
        (None, Failure::Send(failure)) => name(failure),
        (None, Failure::RestartIce(failure)) => name(failure),
    }
}

fn name(value: &impl Debug) -> String {
    format!("{value:?}").chars().take_while(|character| character.is_alphanumeric()).collect()
}
