//! The tables of all transitions, as they are: state and input, then state and outputs. They stand in the documentation;
//! a change of behaviour is a change of a table. `UPDATE_STATES=1 cargo test --test states` writes them anew.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::v2::protocol::{Refusal, Request};
use mediasoup_producer::v2::{
    Command, Event, Input, Output, ProducerEvent, ProducerOptions, Room, RoomConfig, TransportEvent,
};
use mediasoup_producer::{MediaKind, Originator, ProducerId, RequestId, Track, TransportId};
use serde_json::{Value, json};

/// A room that is brought into a state, then given one input.
struct World {
    room: Room,
    now: Instant,
    transport: Option<TransportId>,
    producer: Option<ProducerId>,
    open: Vec<(RequestId, Request)>,
    said: Vec<String>,
}

impl World {
    fn new() -> Self {
        let room = Room::scripted(RoomConfig::default(), 1);
        Self { room, now: Instant::now(), transport: None, producer: None, open: Vec::new(), said: Vec::new() }
    }

    fn joined() -> Self {
        Self::new().after(&["join", "answer", "answer"])
    }

    fn with_both() -> Self {
        let mut world = Self::joined();
        world.transport = Some(world.room.create_transport(world.now, None).unwrap());
        let track = Track::new(MediaKind::Video, "track", "");
        let options = ProducerOptions::default();
        world.producer = Some(world.room.create_producer(world.now, track, options, None).unwrap());
        world
    }

    fn after(mut self, inputs: &[&str]) -> Self {
        for input in inputs {
            self.input(input);
        }
        self.said.clear();
        self
    }

    /// Hands in an input by its name in the tables; what comes out of it is noted.
    fn input(&mut self, name: &str) {
        let none = None::<Value>;
        let (transport, producer) = (self.transport, self.producer);
        let notice = |method: &str, id: Option<u32>| {
            Input::Notification(json!({ "method": method, "notification": true, "id": id }))
        };
        let of_transport = |method| notice(method, transport.map(TransportId::value));
        let of_producer = |method| notice(method, producer.map(ProducerId::value));
        let t = transport.unwrap_or(TransportId::from(1));
        let p = producer.unwrap_or(ProducerId::from(1));
        let second = Duration::from_secs(1);
        let input = match name {
            "join" => Input::Command(Command::Join { peer_name: "me".to_owned(), app_data: none }),
            "leave" => Input::Command(Command::Leave { app_data: none }),
            "connection to the server lost" => Input::Command(Command::RemoteClose { app_data: none }),
            "create transport" => Input::Command(Command::CreateTransport { app_data: none }),
            "`closed`" => notice("closed", None),
            "answer" => {
                let (id, request) = self.open.remove(0);
                Input::Response { id, result: Ok(answer(&request)) }
            }
            "refusal" => Input::Response { id: self.open.remove(0).0, result: Err(Refusal::new("Error: no")) },
            "nonsense" => Input::Response { id: self.open.remove(0).0, result: Ok(json!({ "peers": 1 })) },
            "no answer in time" => {
                self.now += Duration::from_secs(10);
                Input::Timeout
            }
            "send" => Input::Command(Command::Send { id: p, transport: t }),
            "restart ICE" => Input::Command(Command::RestartTransportIce { id: t }),
            "enable transport stats" => Input::Command(Command::EnableTransportStats { id: t, interval: second }),
            "disable transport stats" => Input::Command(Command::DisableTransportStats { id: t }),
            "close transport" => Input::Command(Command::CloseTransport { id: t, app_data: none }),
            "`transportClosed`" => of_transport("transportClosed"),
            "pause" => Input::Command(Command::Pause { id: p, app_data: none }),
            "resume" => Input::Command(Command::Resume { id: p, app_data: none }),
            "enable stats" => Input::Command(Command::EnableProducerStats { id: p, interval: second }),
            "disable stats" => Input::Command(Command::DisableProducerStats { id: p }),
            "replace track" => {
                Input::Command(Command::ReplaceTrack { id: p, track: Track::new(MediaKind::Video, "other", "") })
            }
            "track ends" => Input::Command(Command::EndTrack { id: p }),
            "close" => Input::Command(Command::CloseProducer { id: p, app_data: none }),
            "`producerPaused`" => of_producer("producerPaused"),
            "`producerResumed`" => of_producer("producerResumed"),
            "`producerClosed`" => of_producer("producerClosed"),
            "media plane connected" => return self.engine(EngineEvent::Connected),
            "media plane disconnected" => return self.engine(EngineEvent::Disconnected),
            "media plane closed by the server" => return self.engine(EngineEvent::Closed),
            "DTLS failed" => return self.engine(EngineEvent::Failed(mediasoup_producer::DtlsFailure::Timeout)),
            other => panic!("no input {other}"),
        };
        if let Err(error) = self.room.handle_input(self.now, input) {
            let error = format!("{error:?}");
            // The command's own error: `Command(Send(AlreadyHandled(..)))`.
            let inner = error.strip_prefix("Command(").and_then(|command| command.split_once('('));
            let name = inner.map_or(&*error, |(_, inner)| inner).split(['(', ')', ' ']).next().unwrap();
            self.said.push(format!("refused: {name}"));
        }
        self.drain();
    }

    fn engine(&mut self, event: EngineEvent) {
        self.room.engine_event(self.now, self.transport.unwrap(), event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    self.said.push(format!("`{}`", request.method()));
                    self.open.push((id, request));
                }
                Output::Notification(notification) => self.said.push(format!("`{}`", notification.method())),
                Output::Event(event) => self.said.push(short(&event)),
                _ => {}
            }
        }
    }

    fn has_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn room_state(&self) -> String {
        self.room.state().to_string()
    }

    fn transport_state(&self) -> String {
        let transport = self.transport.and_then(|id| self.room.transport_info(id));
        transport.map_or("gone".to_owned(), |transport| transport.connection_state().to_string())
    }

    fn both_states(&self) -> String {
        format!("room {}, transport {}, producer {}", self.room_state(), self.transport_state(), self.producer_state())
    }

    fn producer_state(&self) -> String {
        let Some(producer) = self.producer.and_then(|id| self.room.producer_info(id)) else { return "gone".to_owned() };
        let life = match (producer.handled(), producer.transport()) {
            (true, _) => "handled",
            (false, Some(_)) => "pending",
            (false, None) => "unhandled",
        };
        let paused = match (producer.locally_paused(), producer.remotely_paused()) {
            (false, false) => "",
            (true, false) => ", paused locally",
            (false, true) => ", paused remotely",
            (true, true) => ", paused by both",
        };
        format!("{life}{paused}")
    }
}

fn answer(request: &Request) -> Value {
    match request {
        Request::QueryRoom => json!({ "rtpCapabilities": { "codecs": [
            { "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 101 },
        ] } }),
        Request::CreateTransport { .. } | Request::RestartTransport { .. } => json!({
            "iceParameters": { "usernameFragment": "u", "password": "p" },
            "iceCandidates": [{ "ip": "192.0.2.7", "port": 40000, "protocol": "udp" }],
            "dtlsParameters": { "role": "server", "fingerprints": [] },
        }),
        _ => Value::Null,
    }
}

fn short(event: &Event) -> String {
    let by = |originator: &Originator| if *originator == Originator::Local { "local" } else { "remote" };
    match event {
        Event::Joined { .. } => "joined".to_owned(),
        Event::Closed { originator, .. } => format!("room closed ({})", by(originator)),
        Event::Settled { result: Ok(()), .. } => "settled".to_owned(),
        Event::Settled { result: Err(failure), .. } => {
            // The innermost: `Send(Request(TimedOut { .. }))`.
            let words =
                failure.request().map_or_else(|| format!("{failure:?}"), |request| format!("Request({request:?}"));
            let (_, words) = words.split_once('(').unwrap();
            format!("settled: {}", words.split(['(', ')', ' ']).next().unwrap())
        }
        Event::Transport { event, .. } => match event {
            TransportEvent::Close { originator, .. } => format!("transport: close ({})", by(originator)),
            TransportEvent::ConnectionStateChange { state } => format!("transport: {state}"),
            TransportEvent::RemoteCandidates { .. } => "transport: remote candidates".to_owned(),
            TransportEvent::Failed { .. } => "transport: failed for good".to_owned(),
            other => format!("{other:?}"),
        },
        Event::Producer { event, .. } => match event {
            ProducerEvent::Close { originator, .. } => format!("producer: close ({})", by(originator)),
            ProducerEvent::Pause { originator, .. } => format!("producer: pause ({})", by(originator)),
            ProducerEvent::Resume { originator, .. } => format!("producer: resume ({})", by(originator)),
            ProducerEvent::TrackEnded => "producer: trackended".to_owned(),
            ProducerEvent::Handled => "producer: handled".to_owned(),
            ProducerEvent::Unhandled => "producer: unhandled".to_owned(),
            ProducerEvent::KeyFrameRequest { .. } => "producer: key frame request".to_owned(),
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    }
}

/// A state with how it is reached.
type Case = (&'static str, fn() -> World);

fn table(cases: &[Case], inputs: &[&str], state: fn(&World) -> String) -> String {
    let mut table = "| state | input | state after it | what comes out |\n| --- | --- | --- | --- |\n".to_owned();
    for (name, reach) in cases {
        for input in inputs {
            let mut world = reach();
            let answers = ["answer", "refusal", "nonsense", "no answer in time"].contains(input);
            if answers && !world.has_open() {
                continue;
            }
            world.input(input);
            let after = state(&world);
            let said = if world.said.is_empty() { "nothing".to_owned() } else { world.said.join(", ") };
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

#[test]
fn room() {
    let cases: [Case; 5] = [
        ("new", World::new),
        ("joining (`queryRoom`)", || World::new().after(&["join"])),
        ("joining (`join`)", || World::new().after(&["join", "answer"])),
        ("joined", World::joined),
        ("closed", || World::joined().after(&["leave"])),
    ];
    let inputs = [
        "join",
        "answer",
        "refusal",
        "nonsense",
        "no answer in time",
        "create transport",
        "leave",
        "connection to the server lost",
        "`closed`",
    ];
    snapshot("room.md", &table(&cases, &inputs, World::room_state));
}

#[test]
fn transport() {
    let cases: [Case; 7] = [
        ("new", World::with_both),
        ("new (`createTransport`)", || World::with_both().after(&["send"])),
        ("connecting", || World::with_both().after(&["send", "answer", "answer"])),
        ("connected", || World::with_both().after(&["send", "answer", "answer", "media plane connected"])),
        ("connected (`restartTransport`)", || {
            World::with_both().after(&["send", "answer", "answer", "media plane connected", "restart ICE"])
        }),
        ("disconnected", || {
            let path = ["send", "answer", "answer", "media plane connected", "media plane disconnected"];
            World::with_both().after(&path)
        }),
        ("failed (`restartTransport`)", || {
            World::with_both().after(&["send", "answer", "answer", "media plane disconnected", "restart ICE"])
        }),
    ];
    let inputs = [
        "send",
        "answer",
        "refusal",
        "nonsense",
        "no answer in time",
        "restart ICE",
        "enable transport stats",
        "media plane connected",
        "media plane disconnected",
        "media plane closed by the server",
        "DTLS failed",
        "close transport",
        "`transportClosed`",
        "leave",
    ];
    snapshot("transport.md", &table(&cases, &inputs, World::transport_state));
}

/// The answer is to the oldest request that has none.
#[test]
fn late() {
    const TRANSPORT: [&str; 2] = ["send", "no answer in time"];
    const PRODUCER: [&str; 3] = ["send", "answer", "no answer in time"];
    let cases: [Case; 10] = [
        ("`join` timed out", || World::new().after(&["join", "answer", "no answer in time"])),
        ("`createTransport` timed out", || World::with_both().after(&TRANSPORT)),
        ("`createTransport` timed out, and is asked again", || World::with_both().after(&TRANSPORT).after(&["send"])),
        ("`createTransport` timed out, then transport closed", || {
            World::with_both().after(&TRANSPORT).after(&["close transport"])
        }),
        ("transport closed during `createTransport`", || World::with_both().after(&["send", "close transport"])),
        ("`createProducer` timed out", || World::with_both().after(&PRODUCER)),
        ("`createProducer` timed out, and is asked again", || World::with_both().after(&PRODUCER).after(&["send"])),
        ("producer closed during `createProducer`", || World::with_both().after(&["send", "answer", "close"])),
        ("transport closed during `createProducer`", || {
            World::with_both().after(&["send", "answer", "close transport"])
        }),
        ("failed, `restartTransport` timed out", || {
            let path = ["send", "answer", "answer", "media plane disconnected", "restart ICE", "no answer in time"];
            World::with_both().after(&path)
        }),
    ];
    let inputs = ["answer", "refusal", "nonsense", "no answer in time", "leave"];
    snapshot("late.md", &table(&cases, &inputs, World::both_states));
}

#[test]
fn producer() {
    const HANDLED: [&str; 4] = ["send", "answer", "answer", "media plane connected"];
    let cases: [Case; 8] = [
        ("unhandled", World::with_both),
        ("pending (`createTransport`)", || World::with_both().after(&["send"])),
        ("pending (`createProducer`)", || World::with_both().after(&["send", "answer"])),
        ("pending (`createProducer`), paused locally", || World::with_both().after(&["send", "answer", "pause"])),
        ("handled", || {
            let mut world = World::with_both().after(&HANDLED);
            // The last key frame request is long ago.
            world.now += Duration::from_secs(1);
            world
        }),
        ("handled, paused locally", || World::with_both().after(&HANDLED).after(&["pause"])),
        ("handled, paused remotely", || World::with_both().after(&HANDLED).after(&["`producerPaused`"])),
        ("handled, paused by both", || World::with_both().after(&HANDLED).after(&["pause", "`producerPaused`"])),
    ];
    let inputs = [
        "send",
        "answer",
        "refusal",
        "no answer in time",
        "pause",
        "resume",
        "`producerPaused`",
        "`producerResumed`",
        "replace track",
        "track ends",
        "enable stats",
        "close transport",
        "`transportClosed`",
        "close",
        "`producerClosed`",
        "leave",
    ];
    snapshot("producer.md", &table(&cases, &inputs, World::producer_state));
}
