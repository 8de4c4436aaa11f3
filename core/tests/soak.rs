//! Memory after many cycles is what it was after the first hundred, counted by the allocator.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod common;

use std::time::{Duration, Instant};

use common::{answer, bytes_held};
use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::sim::Lockstep;
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::sim::model::{App, Step};
use mediasoup_producer::sim::strategies::Reference;
use mediasoup_producer::v2::{Input, Output, ProducerOptions, Profile, Room, RoomConfig};
use mediasoup_producer::{Frame, MediaKind, Track, TransportId};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use proptest_state_machine::ReferenceStateMachine;
use serde_json::json;

struct Session {
    room: Room,
    now: Instant,
    packets: u64,
}

impl Session {
    fn new(room: Room) -> Self {
        Self { room, now: Instant::now(), packets: 0 }
    }

    /// Answers all that is asked; forgets the rest.
    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    let result = Ok(answer(&request));
                    self.room.handle_input(self.now, Input::Response { id, result }).unwrap();
                }
                Output::Transmit(_) => self.packets += 1,
                _ => {}
            }
        }
    }

    fn join(&mut self) -> TransportId {
        self.room.join(self.now, "soak", None).unwrap();
        self.drain();
        self.room.create_transport(self.now, None).unwrap()
    }

    fn publish_and_unpublish(&mut self, transport: TransportId) {
        self.now += Duration::from_millis(40);
        let track = Track::new(MediaKind::Video, "camera", "");
        let options = ProducerOptions::default().simulcast(true);
        let id = self.room.create_producer(self.now, track, options, Some(json!({ "n": 1 }))).unwrap();
        self.room.producer(id).unwrap().send(self.now, transport).unwrap();
        self.drain();
        self.room.engine_event(self.now, transport, EngineEvent::Connected);
        let frame = Frame::new(vec![1; 20_000], Duration::ZERO).layer(Profile::High);
        // On the real media plane nobody answers, and it never connects.
        let _ = self.room.producer(id).unwrap().write_frame(self.now, frame);
        self.room.handle_timeout(self.now);
        self.drain();
        self.room.producer(id).unwrap().close(self.now, None).unwrap();
        self.drain();
    }
}

/// Runs a cycle so many times; the memory held is the same after the first hundred and after the last.
fn soak(what: &str, cycles: usize, mut cycle: impl FnMut()) {
    let mut after_hundred = 0;
    for done in 1..=cycles {
        cycle();
        if done == 100 {
            after_hundred = bytes_held();
        }
    }
    let end = bytes_held();
    println!("{what}: {after_hundred} bytes held after 100 cycles, {end} after {cycles}");
    assert!(end <= after_hundred + after_hundred / 100, "{what}: {after_hundred} became {end}");
}

/// Without the usual harness: what is counted is the whole process's, and that has threads of its own.
fn main() {
    publishing();
    publishing_on_the_real_media_plane();
    joining();
    anything();
}

/// Whatever happens to a room, session after session: when it is closed it holds nothing but the room's capabilities and
/// an empty queue, which keeps room for up to 256 outputs.
fn anything() {
    let mut runner = TestRunner::deterministic();
    let sequences = Reference::sequential_strategy(1..=100);
    // A seed with which no id comes twice in all of them: there are ninety million.
    let mut lockstep = Lockstep::new(Instant::now(), 3);
    for _ in 0..2000 {
        let (_, steps, _) = sequences.new_tree(&mut runner).unwrap().current();
        steps.iter().chain([&Step::Leave { app: App::None }]).for_each(|step| lockstep.step(step).unwrap());
    }
    let room = lockstep.into_embedding();
    let before = bytes_held();
    drop(room);
    let held = before - bytes_held();
    println!("anything: {held} bytes held after 2000 sequences");
    assert!(held < 40_000, "{held}");
}

fn publishing() {
    let mut session = Session::new(Room::scripted(RoomConfig::default(), 1));
    let transport = session.join();
    soak("publish and unpublish", 10_000, || session.publish_and_unpublish(transport));
    assert!(session.packets > 100_000, "media went out");
}

fn publishing_on_the_real_media_plane() {
    let mut session = Session::new(Room::new(RoomConfig::default(), 1));
    let transport = session.join();
    soak("publish and unpublish over str0m", 10_000, || session.publish_and_unpublish(transport));
}

fn joining() {
    for (what, room) in [
        ("join and leave", Room::scripted(RoomConfig::default(), 1)),
        ("join and leave over str0m", Room::new(RoomConfig::default(), 1)),
    ] {
        let mut session = Session::new(room);
        soak(what, 1_000, || {
            let transport = session.join();
            session.publish_and_unpublish(transport);
            session.room.leave(session.now, None).unwrap();
            session.drain();
        });
    }
}
