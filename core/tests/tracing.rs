//! What `tracing` is told: a span for each transport and producer, and an event for each transition of theirs.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use common::answer;
use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::v2::{Output, ProducerOptions, Room, RoomConfig};
use mediasoup_producer::{MediaKind, Track};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Writes down each event of ours, after the span that it belongs to.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    spans: BTreeMap<u64, String>,
    events: Vec<String>,
}

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &match field.name() {
            "message" => format!(" {value:?}"),
            name => format!(" {name}={value:?}"),
        };
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("mediasoup_producer") && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut words = Words(span.metadata().name().to_owned());
        span.record(&mut words);
        let spans = &mut self.0.lock().unwrap().spans;
        let id = spans.len() as u64 + 1;
        spans.insert(id, words.0);
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut heard = self.0.lock().unwrap();
        let span = event.parent().map(|id| heard.spans[&id.into_u64()].clone());
        let mut words = Words(format!("{}:", span.unwrap_or_default()));
        event.record(&mut words);
        heard.events.push(words.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A short life of a transport and a producer. Returns their ids and all that came out.
fn life(now: Instant) -> (String, String, Vec<Output>) {
    let mut room = Room::scripted(RoomConfig::default(), 1);
    let mut outputs = Vec::new();
    let mut drain = |room: &mut Room| {
        while let Some(output) = room.poll_output() {
            if let Output::Request { id, request } = &output {
                let result = Ok(answer(request));
                room.handle_input(now, mediasoup_producer::v2::Input::Response { id: *id, result }).unwrap();
            }
            outputs.push(output);
        }
    };
    room.join(now, "listener", None).unwrap();
    drain(&mut room);
    let transport = room.create_transport(now, None).unwrap();
    let track = Track::new(MediaKind::Video, "camera", "Camera");
    let producer = room.create_producer(now, track, ProducerOptions::default(), None).unwrap();
    room.producer(producer).unwrap().send(now, transport).unwrap();
    drain(&mut room);
    room.engine_event(now, transport, EngineEvent::Connected);
    room.producer(producer).unwrap().pause(now, None).unwrap();
    room.transport(transport).unwrap().close(now, None).unwrap();
    room.producer(producer).unwrap().close(now, None).unwrap();
    drain(&mut room);
    (transport.to_string(), producer.to_string(), outputs)
}

#[test]
fn each_transition_is_an_event_in_the_span_of_its_object_and_changes_nothing() {
    let now = Instant::now();
    let unheard = life(now);
    let listener = Listener::default();
    let heard = tracing::subscriber::with_default(listener.clone(), || life(now));
    assert_eq!(heard, unheard);

    let (transport, producer, _) = heard;
    let expected = [
        format!("producer id={producer}: producer is to be sent transport={transport}"),
        format!("transport id={transport}: transport changes from=New to=Creating"),
        format!("transport id={transport}: transport changes from=Creating to=Connecting"),
        format!("producer id={producer}: producer announced to the server paused=false"),
        format!("producer id={producer}: producer handled transport={transport}"),
        format!("transport id={transport}: transport changes from=Connecting to=Connected"),
        format!("producer id={producer}: producer pauses or resumes paused=true by=Local"),
        format!("transport id={transport}: transport closed from=Connected by=Local"),
        format!("producer id={producer}: producer unhandled"),
        format!("producer id={producer}: producer closed by=Local"),
    ];
    let listener = listener.0.lock().unwrap();
    assert_eq!(listener.events, expected);
    assert_eq!(listener.spans.len(), 2, "one of the transport, one of the producer");
}
