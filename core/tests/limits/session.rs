//! A room that has joined, and its engines scripted.

use std::time::Instant;

use mediasoup_producer::sim::{EngineEvent, Scripted};
use mediasoup_producer::v2::protocol::Request;
use mediasoup_producer::v2::{CreateProducerError, Event, Failure, Input, Output, ProducerOptions, Room, RoomConfig};
use mediasoup_producer::{Limits, MediaKind, ProducerId, Track, TransportId};
use serde_json::{Value, json};

use crate::Driven;
use crate::common::answer;

/// A room that has joined, with a server that answers at once.
pub(crate) struct Session {
    pub(crate) room: Room,
    pub(crate) now: Instant,
    pub(crate) settled: Vec<Result<(), Failure>>,
}

impl Session {
    pub(crate) fn new(limits: impl FnOnce(Limits) -> Limits) -> Self {
        let room = Room::scripted(RoomConfig::default().limits(limits(Limits::default())), 1);
        let mut session = Self { room, now: Instant::now(), settled: Vec::new() };
        session.room.join(session.now, "limits", None).unwrap();
        session.drain();
        session
    }

    pub(crate) fn drain(&mut self) {
        self.drain_with(|request| Some(answer(request)));
    }

    pub(crate) fn drain_with(&mut self, answer: impl Fn(&Request) -> Option<Value>) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    if let Some(data) = answer(&request) {
                        self.room.handle_input(self.now, Input::Response { id, result: Ok(data) }).unwrap();
                    }
                }
                Output::Event(Event::Settled { result, .. }) => self.settled.push(result),
                _ => {}
            }
        }
    }

    pub(crate) fn transport(&mut self) -> TransportId {
        self.room.create_transport(self.now, None).unwrap()
    }

    pub(crate) fn producer(&mut self) -> Result<ProducerId, CreateProducerError> {
        let track = Track::new(MediaKind::Video, "camera", "");
        self.room.create_producer(self.now, track, ProducerOptions::default(), None)
    }

    /// A producer whose media leaves.
    pub(crate) fn sending(&mut self) -> (TransportId, ProducerId) {
        let transport = self.transport();
        let producer = self.producer().unwrap();
        self.room.producer(producer).unwrap().send(self.now, transport).unwrap();
        self.drain();
        self.room.engine_event(self.now, transport, EngineEvent::Connected);
        self.drain();
        (transport, producer)
    }

    pub(crate) fn hears(&mut self, message: Value) {
        self.room.handle_input(self.now, Input::Notification(message)).unwrap();
    }

    pub(crate) fn driven(self, refused: usize, beyond: usize) -> Driven {
        Driven { refused, beyond, held: Box::new(self) }
    }
}

/// How many of so many tries end in this error.
pub(crate) fn count<E: PartialEq + std::fmt::Debug>(
    tries: usize,
    refusal: &E,
    mut one: impl FnMut(usize) -> Result<(), E>,
) -> usize {
    let refused = (0..tries).filter_map(|n| one(n).err());
    refused.inspect(|error| assert_eq!(error, refusal)).count()
}

/// A notification that is none of ours, and goes to the application.
pub(crate) fn other(data: &str) -> Value {
    json!({ "method": "newConsumer", "target": "peer", "notification": true, "data": data })
}
