//! What turns a run into lines: [`record`](crate::record) says which.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Entered, Recorded};
use crate::connection::engine::EngineAnswer;
use crate::id::TransportId;
use crate::json::Redacted;
use crate::media::Media;
use crate::outputs::{Class, Classed};

/// The version of the format that this library writes. Those before are read, too.
pub const VERSION: u64 = 2;

pub(crate) const HEADER: &str = "mediasoup-producer-record";

/// What is to be recorded, and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordOptions {
    media: bool,
    waiting_bytes: usize,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self { media: false, waiting_bytes: 16 << 20 }
    }
}

impl RecordOptions {
    /// Whether media is recorded with its bytes rather than their number. Default: false.
    pub const fn media(mut self, media: bool) -> Self {
        self.media = media;
        self
    }

    /// How many bytes of lines may wait to be polled; a recording that nobody polls is cut off there. Default: 16 MiB.
    pub const fn waiting_bytes(mut self, bytes: usize) -> Self {
        self.waiting_bytes = bytes;
        self
    }
}

/// A recording begins with the room, or the device: this one was given something already, or is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a recording begins before the first input, and once")]
pub struct AlreadyStarted;

/// A line to come.
#[derive(Debug)]
pub(crate) struct Line {
    kind: &'static str,
    body: Value,
    pub(crate) refused: Option<String>,
}

/// Turns what passes by into lines.
#[derive(derive_more::Debug)]
pub(crate) struct Recorder {
    options: RecordOptions,
    start: Option<Instant>,
    /// When the last input was dealt with.
    last: Option<Instant>,
    #[debug(skip)]
    lines: VecDeque<String>,
    bytes: usize,
    cut: bool,
}

impl Recorder {
    pub(crate) fn new<D: Recorded>(options: RecordOptions, config: &D::Config, seed: u64) -> Self {
        let mut recorder = Self { options, start: None, last: None, lines: VecDeque::new(), bytes: 0, cut: false };
        let config = difference(to_value(config), &to_value(&D::Config::default()));
        let dialect = D::DIALECT.map_or_else(String::new, |name| format!(r#""dialect":"{name}","#));
        recorder.push(format!(r#"{{"{HEADER}":{VERSION},{dialect}"seed":{seed},"config":{config}}}"#));
        recorder
    }

    pub(crate) fn input<D: Recorded>(&self, input: Entered<'_, D>) -> Line {
        let (kind, body) = match input {
            Entered::Timeout => ("timeout", json!({})),
            Entered::Command(command) => ("command", to_value(command)),
            Entered::Response { id, result: Ok(data) } => ("response", json!({ "id": id, "ok": data })),
            Entered::Response { id, result: Err(refusal) } => ("response", json!({ "id": id, "refusal": refusal })),
            Entered::Notification(message) => ("notification", message.clone()),
            Entered::Media { producer, media } => ("media", self.media(producer.value(), media)),
            Entered::Engine { transport, event } => ("engine", json!({ "transport": transport, "event": event })),
        };
        Line { kind, body: Redacted(&body).to_value(), refused: None }
    }

    pub(crate) fn write(&mut self, now: Instant, line: &Line) {
        let start = *self.start.get_or_insert(now);
        self.last = Some(now);
        let time = now.saturating_duration_since(start).as_nanos();
        let time = format!("{}.{:06}", time / 1_000_000, time % 1_000_000);
        let time = time.trim_end_matches('0').trim_end_matches('.');
        let Line { kind, body, refused } = line;
        let refused = refused.as_ref().map_or_else(String::new, |why| format!(r#","refused":{}"#, Value::from(&**why)));
        self.push(format!(r#"{{"t":{time},"{kind}":{body}{refused}}}"#));
    }

    pub(crate) fn answer(&mut self, now: Instant, transport: TransportId, answer: &EngineAnswer) {
        let body = json!({ "transport": transport, "answer": answer });
        self.write(now, &Line { kind: "engine", body, refused: None });
    }

    /// An output has the time of the input that it follows from, not that of its being polled: datagrams, which are no inputs
    /// here, may have let time go on.
    pub(crate) fn output(&mut self, output: &(impl serde::Serialize + Classed)) {
        if let (Some(input), Some(body)) = (self.last, output_value(output)) {
            self.write(input, &Line { kind: "output", body, refused: None });
        }
    }

    pub(crate) fn poll(&mut self) -> Option<String> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }

    fn push(&mut self, mut line: String) {
        if self.cut {
            return;
        }
        if self.bytes + line.len() > self.options.waiting_bytes {
            self.cut = true;
            line = r#"{"cut":{}}"#.to_owned();
        }
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn media(&self, producer: u32, media: &Media) -> Value {
        let (name, key, bytes, mut empty) = match media {
            Media::Frame(frame) => ("Frame", "data", &frame.data, Media::Frame(frame.clone())),
            Media::Packet(packet) => ("Packet", "payload", &packet.payload, Media::Packet(packet.clone())),
        };
        match &mut empty {
            Media::Frame(frame) => frame.data.clear(),
            Media::Packet(packet) => packet.payload.clear(),
        }
        let mut body = to_value(&empty);
        body[name][key] = if self.options.media { hex(bytes).into() } else { bytes.len().into() };
        body["producer"] = producer.into();
        body
    }
}

/// An output as it stands in a recording; datagrams do not.
pub(crate) fn output_value(output: &(impl serde::Serialize + Classed)) -> Option<Value> {
    match output.class() {
        Class::Transmit => None,
        Class::Bounded | Class::Lesser(_) => Some(Redacted(&to_value(output)).to_value()),
    }
}

fn to_value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("our types have string keys and no serializer that fails")
}

/// The fields of an object that are not the default.
fn difference(value: Value, default: &Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().filter(|(name, value)| default[name] != *value).collect(),
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
