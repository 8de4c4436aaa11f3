//! The tables of all transitions of the v3 dialect, as they are: state and input, then state and outputs. They stand in the
//! documentation; a change of behaviour is a change of a table. `UPDATE_STATES=1 cargo test --test v3_states` writes them
//! anew.

mod v3_common;

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::v3::{
    Answer, EncodingOptions, EncodingUpdate, Event, ProduceOptions, ProducerEvent, Refusal, Request, TransportEvent,
};
use mediasoup_producer::{DtlsFailure, MediaKind, ProducerId, RequestId, Track};
use v3_common::{World, key_frame, track};

/// A transport, and the producer that is made on it, or none.
struct Case {
    world: World,
    producer: Option<ProducerId>,
    /// The oldest request, which was given up.
    late: Option<(RequestId, &'static str)>,
    said: Vec<String>,
}

impl Case {
    fn after(inputs: &[&str]) -> Self {
        let mut case = Self { world: World::new(), producer: None, late: None, said: Vec::new() };
        for input in inputs {
            case.input(input);
        }
        case.said.clear();
        case
    }

    /// Hands in an input by its name in the tables; what comes out of it is noted.
    fn input(&mut self, name: &str) {
        let world = &mut self.world;
        let before: Vec<_> = world.requests().iter().map(|(id, _)| *id).collect();
        world.transmits();
        let (now, id) = (world.now, self.producer);
        let open = world.requests().first().map(|(id, request)| (*id, request.name()));
        let yes = |name| match name {
            "connect" => Answer::Connected,
            _ => Answer::Produced { id: "P".to_owned() },
        };
        match name {
            "produce" => {
                let layers = [EncodingOptions::default(), EncodingOptions::default()];
                let options = ProduceOptions::default().encodings(layers);
                let producing = world.device.transport(world.transport).unwrap();
                let producing = { producing }.produce(now, track(MediaKind::Video), options).unwrap();
                self.producer.get_or_insert(producing.producer);
            }
            "answer" => world.answer(Ok(yes(open.unwrap().1))),
            "refusal" => world.answer(Err(Refusal::new("no"))),
            "nonsense" => {
                let other = if open.unwrap().1 == "connect" { "produce" } else { "connect" };
                world.answer(Ok(yes(other)));
            }
            "no answer in time" => {
                self.late = self.late.or(open);
                world.time_goes_on(Duration::from_secs(10));
            }
            "late answer" => {
                let (id, name) = self.late.unwrap();
                world.answer_to(id, Ok(yes(name)));
            }
            "late refusal" => world.answer_to(self.late.unwrap().0, Err(Refusal::new("no"))),
            "restart ICE" => drop(world.restart_ice()),
            "close transport" => {
                self.late = self.late.or(open);
                world.device.transport(world.transport).unwrap().close(now).unwrap();
                world.forget_requests();
            }
            "media plane connected" => world.engine(EngineEvent::Connected),
            "media plane disconnected" => world.engine(EngineEvent::Disconnected),
            "DTLS closed by the server" => world.engine(EngineEvent::Closed),
            "DTLS failed" => world.engine(EngineEvent::Failed(DtlsFailure::Timeout)),
            of_producer => {
                let mut producer = world.device.producer(id.unwrap()).unwrap();
                match of_producer {
                    "pause" => producer.pause(now).unwrap(),
                    "resume" => producer.resume(now).unwrap(),
                    "replace track" => {
                        producer.replace_track(now, Some(Track::new(MediaKind::Video, "other", ""))).unwrap();
                    }
                    "take track away" => producer.replace_track(now, None).unwrap(),
                    "track ends" => producer.end_track(now).unwrap(),
                    "max spatial layer 0" => producer.set_max_spatial_layer(now, 0).unwrap(),
                    "all encodings active" => {
                        producer.set_encoding_parameters(now, EncodingUpdate::default().active(true)).unwrap();
                    }
                    "frame" => {
                        if let Err(error) = producer.write_frame(now, key_frame()) {
                            self.said.push(format!("refused: {}", name_of(&error)));
                        }
                    }
                    "close" => producer.close(now).unwrap(),
                    other => panic!("{other} is no input"),
                }
            }
        }
        self.said.extend(self.world.events().iter().map(short));
        let asked = self.world.requests().iter().filter(|(id, _)| !before.contains(id));
        self.said.extend(asked.map(|(_, request)| format!("`{}`", request.name())));
        if self.world.transmits() > 0 {
            self.said.push("RTP".to_owned());
        }
    }

    fn has_open(&mut self) -> bool {
        !self.world.requests().is_empty()
    }

    fn transport_state(&mut self) -> String {
        let transport = self.world.device.transport_info(self.world.transport);
        let state = transport.map_or("gone".to_owned(), |transport| transport.connection_state().to_string());
        match self.world.requests().first().map(|(_, request)| request) {
            Some(Request::Connect { .. }) => format!("{state} (`connect`)"),
            Some(Request::Produce { .. }) => format!("{state} (`produce`)"),
            Some(_) | None => state,
        }
    }

    fn producer_state(&mut self) -> String {
        let producer = self.producer.and_then(|id| self.world.device.producer_info(id));
        let Some(producer) = producer else { return "gone".to_owned() };
        let life = if producer.server_id().is_some() { "live" } else { "waiting" };
        let paused = if producer.paused() { ", paused" } else { "" };
        let track = if producer.track().is_some() { "" } else { ", no track" };
        let layers = if producer.is_active(1) { "" } else { ", encoding 0 alone" };
        format!("{life}{paused}{track}{layers}")
    }

    fn both_states(&mut self) -> String {
        format!("transport {}, producer {}", self.transport_state(), self.producer_state())
    }
}

/// The name of an error's variant.
fn name_of(error: &impl std::fmt::Debug) -> String {
    let error = format!("{error:?}");
    error.split(['(', ' ']).next().unwrap().to_owned()
}

fn short(event: &Event) -> String {
    match event {
        Event::Settled { result: Ok(()), .. } => "settled".to_owned(),
        Event::Settled { result: Err(error), .. } => format!("settled: {}", name_of(error)),
        Event::Orphan { .. } => "orphan".to_owned(),
        Event::Transport { event, .. } => match event {
            TransportEvent::ConnectionStateChange { state } => format!("transport: {state}"),
            TransportEvent::DtlsFailed { .. } => "transport: DTLS failed".to_owned(),
            TransportEvent::ConnectLost { .. } => "transport: connect lost".to_owned(),
            TransportEvent::Close => "transport: close".to_owned(),
            other => format!("{other:?}"),
        },
        Event::Producer { event, .. } => match event {
            ProducerEvent::Produced { .. } => "producer: produced".to_owned(),
            ProducerEvent::Close => "producer: close".to_owned(),
            ProducerEvent::TransportClose => "producer: transportclose".to_owned(),
            ProducerEvent::Pause => "producer: pause".to_owned(),
            ProducerEvent::Resume => "producer: resume".to_owned(),
            ProducerEvent::TrackEnded => "producer: trackended".to_owned(),
            ProducerEvent::TrackStopped { .. } => "producer: track stopped".to_owned(),
            ProducerEvent::KeyFrameRequest { layer } => format!("producer: key frame request {layer}"),
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

/// States by how each is reached.
type Reached<'a> = (&'a str, &'a [&'a str]);

fn table(cases: &[Reached<'_>], inputs: &[&str], state: fn(&mut Case) -> String) -> String {
    let mut table = "| state | input | state after it | what comes out |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, path) in cases {
        for input in inputs {
            let mut case = Case::after(path);
            let answers = ["answer", "refusal", "nonsense", "no answer in time"].contains(input);
            let late = ["late answer", "late refusal"].contains(input);
            let engine = ["media plane", "DTLS"].iter().any(|word| input.starts_with(word));
            let begun = case
                .world
                .device
                .transport_info(case.world.transport)
                .is_some_and(|transport| transport.connection_state() != mediasoup_producer::ConnectionState::New);
            if answers && !case.has_open() || late && case.late.is_none() || engine && !begun {
                continue;
            }
            case.input(input);
            let after = state(&mut case);
            let said = if case.said.is_empty() { "nothing".to_owned() } else { case.said.join(", ") };
            writeln!(table, "| {name} | {input} | {after} | {said} |").unwrap();
        }
    }
    table
}

fn snapshot(file: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("states").join(file);
    println!("{table}");
    if std::env::var_os("UPDATE_STATES").is_some() {
        std::fs::write(&path, table).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    for (kept, now) in kept.lines().zip(table.lines()) {
        assert_eq!(now, kept, "{file}: UPDATE_STATES=1 writes it anew, if this is meant");
    }
    assert_eq!(table.lines().count(), kept.lines().count(), "{file}");
}

const LIVE: [&str; 4] = ["produce", "answer", "answer", "media plane connected"];

fn then<'a>(first: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [first, rest].concat()
}

#[test]
fn transport() {
    let disconnected = then(&LIVE, &["media plane disconnected"]);
    let dtls_failed = then(&LIVE, &["DTLS failed"]);
    let produce = then(&LIVE, &["produce"]);
    let cases: [Reached<'_>; 8] = [
        ("new", &[]),
        ("new (`connect`)", &["produce"]),
        ("connecting (`produce`)", &["produce", "answer"]),
        ("connected", &LIVE),
        ("connected (`produce`)", &produce),
        ("disconnected", &disconnected),
        ("failed", &["produce", "answer", "answer", "media plane disconnected"]),
        ("failed, DTLS is over", &dtls_failed),
    ];
    let mut inputs = vec![
        "produce",
        "answer",
        "refusal",
        "nonsense",
        "no answer in time",
        "media plane connected",
        "media plane disconnected",
        "DTLS closed by the server",
        "DTLS failed",
        "close transport",
    ];
    let rows = table(&cases[..7], &then(&["restart ICE"], &inputs), Case::transport_state);
    // There it is refused.
    inputs.retain(|input| *input != "restart ICE");
    let last = table(&cases[7..], &inputs, Case::transport_state);
    snapshot("v3-transport.md", &(rows + last.split_once("--- |\n").unwrap().1));
}

#[test]
fn producer() {
    let paused = then(&LIVE, &["pause"]);
    let no_track = then(&LIVE, &["take track away"]);
    let one = then(&LIVE, &["max spatial layer 0"]);
    let cases: [Reached<'_>; 7] = [
        ("waiting (`connect`)", &["produce"]),
        ("waiting (`produce`)", &["produce", "answer"]),
        ("waiting (`produce`), paused", &["produce", "answer", "pause"]),
        ("live", &LIVE),
        ("live, paused", &paused),
        ("live, no track", &no_track),
        ("live, encoding 0 alone", &one),
    ];
    let inputs = [
        "answer",
        "refusal",
        "no answer in time",
        "frame",
        "pause",
        "resume",
        "replace track",
        "take track away",
        "track ends",
        "max spatial layer 0",
        "all encodings active",
        "close",
        "close transport",
    ];
    snapshot("v3-producer.md", &table(&cases, &inputs, Case::producer_state));
}

/// The late answer is to the oldest request that was given up, the other to the oldest that is out.
#[test]
fn late() {
    let cases: [Reached<'_>; 9] = [
        ("`connect` timed out", &["produce", "no answer in time"]),
        (
            "`connect` timed out, was refused late, and is asked again",
            &["produce", "no answer in time", "late refusal", "produce"],
        ),
        ("`connect` was answered without sense, and is asked again", &["produce", "nonsense", "produce"]),
        ("`connect` timed out, and is asked again", &["produce", "no answer in time", "produce"]),
        ("transport closed during `connect`", &["produce", "close transport"]),
        ("`produce` timed out", &["produce", "answer", "no answer in time"]),
        ("`produce` timed out, and another is asked for", &["produce", "answer", "no answer in time", "produce"]),
        ("producer closed during `produce`", &["produce", "answer", "close"]),
        ("transport closed during `produce`", &["produce", "answer", "close transport"]),
    ];
    let inputs = ["answer", "refusal", "no answer in time", "late answer", "late refusal"];
    snapshot("v3-late.md", &table(&cases, &inputs, Case::both_states));
}
