//! Recordings: what went into a room and what came out of it, as lines of JSON, to be run again.
//!
//! [`RoomConfig::record`](crate::RoomConfig::record) or [`Room::start_recording`](crate::Room::start_recording) begins one,
//! [`Room::poll_record`](crate::Room::poll_record) brings its lines. With the feature `sim`, `replay` runs one again on a
//! scripted media plane and says what differs; so does `cargo run -p mediasoup-producer --example replay -- FILE`. A run of
//! real media repeats too: what the media plane told the control plane is in the recording, so that neither keys nor
//! datagrams are needed. `core/tests/recordings` has sessions of `mediasoup-publish --record` with a mediasoup 2.6.19; the
//! first line of each says how it was made.
//!
//! # Format, version 1
//!
//! The first line is the header. Every other line is one input, one thing the media plane was asked, or one output, in the
//! order in which they happened, with `t`: milliseconds since the first input, with decimals down to nanoseconds. A line
//! without `t` happens at the time of the line before. Empty lines, and lines that begin with `#`, are passed over; lines
//! longer than [`MAX_LINE_BYTES`] are refused.
//!
//! | line | meaning |
//! | --- | --- |
//! | `{"mediasoup-producer-record":1,"seed":42,"config":{}}` | header: version, the room's seed, its [`RoomConfig`] as far as it is not the default |
//! | `{"t":0,"command":{"Join":{"peer_name":"a"}}}` | a [`Command`](crate::Command) by its name, with its fields; `"refused":"..."` beside it if it was |
//! | `{"t":0,"timeout":{}}` | [`Input::Timeout`](crate::Input::Timeout) |
//! | `{"t":0,"response":{"id":1,"ok":{..}}}` | the server's answer to request 1; in place of `ok`, `"refusal":"Error: ..."` |
//! | `{"t":0,"notification":{..}}` | a notification of the server, as it came |
//! | `{"t":0,"media":{"producer":1,"Frame":{..}}}` | a [`Frame`](crate::Frame), or with `"Packet"` an [`RtpPacket`](crate::RtpPacket), and `"refused"` as above; where the bytes belong, their number, or themselves in hexadecimal |
//! | `{"t":0,"engine":{"transport":1,"event":"Connected"}}` | the media plane said something: an [`EngineEvent`](crate::EngineEvent) |
//! | `{"t":0,"engine":{"transport":1,"answer":{"Cname":"x"}}}` | it answered something other than the usual while the next input was dealt with: an [`EngineAnswer`] |
//! | `{"t":0,"output":{..}}` | an [`Output`] was polled |
//! | `{"t":0,"cut":{}}` | nobody polled the recording, and it ends here |
//!
//! Values have the form that serde gives the types named above: an enum variant by its name, a
//! [`Duration`](std::time::Duration) as `{"secs":1,"nanos":0}`, `null` or nothing for what is absent.
//!
//! Datagrams are not in it, neither way. Strings in fields named `password` or `credential`, at any depth, and those of
//! `iceParameters` other than `usernameFragment` are replaced by `***` on their way into the recording ([`Redacted`]); ICE
//! passwords are the only secrets a room is given.
//!
//! # Written by hand
//!
//! So that a bug report can be a file of ten lines, a replay also takes
//!
//! - `"$T1"` in place of the id of the first transport made, `"$P2"` of the second producer, `"$P2.low"` of the SSRC of its
//!   layer (`default` without simulcast);
//! - `{"t":9,"answer":{}}`: the server answers the oldest request it has not answered, as a room with Opus and VP8 does;
//! - a file without any output: what comes out is shown, and nothing compared.
//!
//! For example, a producer that is paused while the server is still making it:
#![doc = concat!("```text\n", include_str!("../tests/recordings/by-hand.jsonl"), "```")]

#[cfg(feature = "sim")]
mod replay;

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};

use crate::config::RoomConfig;
use crate::connection::engine::EngineAnswer;
use crate::id::TransportId;
use crate::media::Media;
use crate::output::Output;
use crate::protocol::Redacted;
use crate::room::journal::Entered;

#[cfg(feature = "sim")]
pub use replay::{Difference, Replay, ReplayError, replay};

/// The version of the format that this library writes, and the only one it reads.
pub const VERSION: u64 = 1;

/// No line is longer, in what is read: 16 MiB.
pub const MAX_LINE_BYTES: usize = 16 << 20;

const HEADER: &str = "mediasoup-producer-record";

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

/// A recording begins with the room: this one was given something already, or is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a recording begins before the first input of a room, and once")]
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
    pub(crate) fn new(options: RecordOptions, config: &RoomConfig, seed: u64) -> Self {
        let mut recorder = Self { options, start: None, last: None, lines: VecDeque::new(), bytes: 0, cut: false };
        let config = difference(to_value(config), &to_value(&RoomConfig::default()));
        recorder.push(format!(r#"{{"{HEADER}":{VERSION},"seed":{seed},"config":{config}}}"#));
        recorder
    }

    pub(crate) fn input(&self, input: Entered<'_>) -> Line {
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
    pub(crate) fn output(&mut self, output: &Output) {
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
pub(crate) fn output_value(output: &Output) -> Option<Value> {
    if matches!(output, Output::Transmit(_)) {
        return None;
    }
    Some(Redacted(&to_value(output)).to_value())
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
