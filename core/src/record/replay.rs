//! Running a recording again.

mod v2;
mod v3;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{MAX_LINE_BYTES, RecordOptions, VERSION};
use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::journal::Recorded;
use crate::journal::recorder::{HEADER, output_value};
use crate::media::Media;
use crate::rtp::Codec;

/// What came of a replay.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Replay {
    /// The replay's own recording: for a recording of this version that was not written by hand the same lines
    /// again, byte for byte.
    pub recording: Vec<String>,
    /// How many outputs were compared; 0 for a file without outputs.
    pub compared: usize,
    /// The first output, or refusal of a command, that differs. The replay ends there.
    pub difference: Option<Difference>,
}

/// Where a replay differs from its recording.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The line of the recording, from 1; the last for what comes after its end.
    pub line: usize,
    /// What the recording has; `null` for nothing.
    pub recorded: Value,
    /// What came now; `null` for nothing.
    pub replayed: Value,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} differs\nexpected: {}\n     got: {}", self.line, self.recorded, self.replayed)
    }
}

/// A recording that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no line.
    #[error("the file is empty")]
    Empty,
    /// The first line is not a header.
    #[error("line {line}: no header of a recording: {what}")]
    Header {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The recording has a version that this library does not read.
    #[error("line {line}: the recording has version {version}; this library reads 1 to {VERSION}")]
    Version {
        /// The line, from 1.
        line: usize,
        /// Its version.
        version: Value,
    },
    /// A line that cannot be read.
    #[error("line {line}: {what}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// Runs a recording of either dialect again on a scripted media plane, and compares what comes out. `start` stands for its
/// time 0: any moment will do.
pub fn replay(start: Instant, recording: &str) -> Result<Replay, ReplayError> {
    let mut lines = recording.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let (index, first) = lines.next().ok_or(ReplayError::Empty)?;
    let header = header(index + 1, first)?;
    let lines = lines.map(|(index, line)| (index + 1, line));
    match header.dialect {
        Dialect::V2 => run::<crate::v2::Room>(start, header, index + 1, lines),
        Dialect::V3 => run::<crate::v3::Device>(start, header, index + 1, lines),
    }
}

/// A dialect, as far as its recordings are run again.
trait Replayed: Recorded {
    /// What is asked of the server.
    type Request;

    /// On a media plane that does as it is told, and transmits nothing.
    fn silent(config: Self::Config, seed: u64) -> Self;

    fn start_recording(&mut self, options: RecordOptions);

    fn poll_record(&mut self) -> Option<String>;

    /// Does what was commanded, or says why it is refused.
    fn command(&mut self, now: Instant, command: Self::Command) -> Result<Made, String>;

    fn handle_timeout(&mut self, now: Instant);

    /// The answer to a request, or the refusal.
    fn respond(&mut self, now: Instant, id: RequestId, result: Result<Self::Answer, Self::Refusal>);

    /// A refusal of which the words alone are given.
    fn refusal(words: String) -> Self::Refusal;

    /// What a server with Opus and VP8 answers.
    fn usual_answer(request: &Self::Request) -> Self::Answer;

    /// Something the server says of its own accord.
    fn notify(&mut self, now: Instant, message: Value) -> Result<(), &'static str>;

    fn media(&mut self, now: Instant, producer: ProducerId, media: Media);

    fn repeat_media(&mut self, now: Instant, producer: ProducerId, media: &Media);

    fn refuse_media(&mut self, now: Instant, producer: ProducerId, media: &Media, why: &str);

    fn engine_event(&mut self, now: Instant, transport: TransportId, event: EngineEvent);

    fn engine_answer(&mut self, transport: TransportId, answer: EngineAnswer);

    fn poll_output(&mut self) -> Option<Self::Output>;

    fn request(output: &Self::Output) -> Option<(RequestId, Self::Request)>;

    fn codec(&self, producer: ProducerId) -> Option<Codec>;

    /// The SSRC of a layer, by its name in a recording that was written by hand.
    fn ssrc(&self, producer: ProducerId, layer: &str) -> Option<u32>;
}

/// What came of a command.
enum Made {
    Transport(TransportId),
    Producer(ProducerId),
    /// Nothing that later lines could name.
    Other,
}

fn run<'a, D>(
    start: Instant,
    header: Header,
    header_line: usize,
    lines: impl Iterator<Item = (usize, &'a str)>,
) -> Result<Replay, ReplayError>
where
    D: Replayed<
            Config: DeserializeOwned,
            Command: DeserializeOwned,
            Answer: DeserializeOwned,
            Refusal: DeserializeOwned,
        >,
{
    let wrong = |error: serde_json::Error| ReplayError::Header { line: header_line, what: error.to_string() };
    let config = header.config.map_or_else(|| Ok(D::Config::default()), serde_json::from_value).map_err(wrong)?;
    let mut parsed = Vec::new();
    for (number, line) in lines {
        let mut line = parse::<Line>(line).map_err(|what| failure(number, what))?;
        if header.version == 1 {
            v2::update(&mut line);
        }
        parsed.push((number, line));
    }
    // Media is recorded as in the original, so that the two recordings can be compared.
    let media = parsed.iter().any(|(_, line)| line.media.as_ref().is_some_and(has_bytes));
    let compares = parsed.iter().any(|(_, line)| line.output.is_some());
    let mut replayed = D::silent(config, header.seed);
    replayed.start_recording(RecordOptions::default().media(media));
    let mut player = Player {
        version: header.version,
        replayed,
        start,
        now: start,
        transports: Vec::new(),
        producers: Vec::new(),
        unanswered: BTreeMap::new(),
        recording: Vec::new(),
        compared: 0,
    };
    let mut difference = None;
    let last = parsed.last().map_or(1, |(number, _)| *number);
    for (number, line) in parsed {
        difference = player.play(number, line, compares)?;
        if !compares {
            while player.output().is_some() {}
        }
        player.collect();
        if difference.is_some() {
            break;
        }
    }
    if compares && difference.is_none() {
        let replayed = player.output();
        difference = replayed.map(|replayed| Difference { line: last, recorded: Value::Null, replayed });
    }
    player.collect();
    Ok(Replay { recording: player.recording, compared: player.compared, difference })
}

/// The version comes first: what else another version has is its own affair.
fn header(line: usize, text: &str) -> Result<Header, ReplayError> {
    let wrong = |what| ReplayError::Header { line, what };
    let value: Value = parse(text).map_err(wrong)?;
    match value.get(HEADER) {
        None => Err(wrong(format!("it has no {HEADER:?}"))),
        Some(version) if version.as_u64().is_none_or(|version| !(1..=VERSION).contains(&version)) => {
            Err(ReplayError::Version { line, version: version.clone() })
        }
        Some(_) => {
            let header: Header = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
            match (header.version, header.dialect) {
                (1, Dialect::V3) => Err(wrong("version 1 has the dialect v2 alone".to_owned())),
                (_, Dialect::V2 | Dialect::V3) => Ok(header),
            }
        }
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("{} bytes are more than the limit of {MAX_LINE_BYTES}", line.len()));
    }
    // To serde_json it is the only line.
    serde_json::from_str(line).map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(rename = "mediasoup-producer-record")]
    version: u64,
    #[serde(default)]
    dialect: Dialect,
    #[serde(default)]
    seed: u64,
    config: Option<Value>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Dialect {
    #[default]
    V2,
    V3,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Line {
    t: Option<f64>,
    command: Option<Value>,
    refused: Option<String>,
    timeout: Option<Value>,
    response: Option<ResponseLine>,
    answer: Option<Value>,
    #[serde(deserialize_with = "present")]
    notification: Option<Value>,
    media: Option<Value>,
    engine: Option<Value>,
    output: Option<Value>,
    cut: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseLine {
    id: RequestId,
    #[serde(default, deserialize_with = "present")]
    ok: Option<Value>,
    /// The words, or all of it.
    refusal: Option<Value>,
}

/// Present and null is not absent: some answers are null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineLine {
    transport: TransportId,
    event: Option<EngineEvent>,
    answer: Option<EngineAnswer>,
}

struct Player<D: Replayed> {
    /// Of the recording.
    version: u64,
    replayed: D,
    start: Instant,
    now: Instant,
    transports: Vec<TransportId>,
    producers: Vec<ProducerId>,
    unanswered: BTreeMap<RequestId, D::Request>,
    recording: Vec<String>,
    compared: usize,
}

impl<D> Player<D>
where
    D: Replayed<Command: DeserializeOwned, Answer: DeserializeOwned, Refusal: DeserializeOwned>,
{
    fn play(&mut self, number: usize, line: Line, compares: bool) -> Result<Option<Difference>, ReplayError> {
        if let Some(t) = line.t {
            let t = time(t).and_then(|t| self.start.checked_add(t));
            self.now = t.ok_or_else(|| failure(number, "t is no time in milliseconds"))?;
        }
        if let Some(command) = line.command {
            let refused = self.command(number, command)?;
            if compares && refused != line.refused {
                let (recorded, replayed) = (line.refused.into(), refused.into());
                return Ok(Some(Difference { line: number, recorded, replayed }));
            }
        } else if line.timeout.is_some() {
            self.replayed.handle_timeout(self.now);
        } else if let Some(response) = line.response {
            let read = |error: serde_json::Error| failure(number, error);
            let result = match (response.ok, response.refusal) {
                (Some(data), None) => Ok(serde_json::from_value(data).map_err(read)?),
                (None, Some(Value::String(words))) => Err(D::refusal(words)),
                (None, Some(refusal)) => Err(serde_json::from_value(refusal).map_err(read)?),
                _ => return Err(failure(number, "a response has either ok or refusal")),
            };
            self.unanswered.remove(&response.id);
            self.replayed.respond(self.now, response.id, result);
        } else if line.answer.is_some() {
            let (id, request) =
                self.unanswered.pop_first().ok_or_else(|| failure(number, "no request waits for an answer"))?;
            self.replayed.respond(self.now, id, Ok(D::usual_answer(&request)));
        } else if let Some(mut message) = line.notification {
            self.name(&mut message);
            self.replayed.notify(self.now, message).map_err(|what| failure(number, what))?;
        } else if let Some(media) = line.media {
            self.media(number, media, line.refused.filter(|_| compares), compares)?;
        } else if let Some(engine) = line.engine {
            let engine: EngineLine = self.read(number, engine)?;
            match (engine.event, engine.answer) {
                (Some(event), None) => self.replayed.engine_event(self.now, engine.transport, event),
                (None, Some(answer)) => self.replayed.engine_answer(engine.transport, answer),
                _ => return Err(failure(number, "the media plane has either an event or an answer")),
            }
        } else if let Some(recorded) = line.output {
            self.compared += 1;
            let replayed = self.output().unwrap_or_default();
            let of_then = if self.version == 1 { v2::as_in_version_1(replayed.clone()) } else { replayed.clone() };
            if recorded != of_then {
                return Ok(Some(Difference { line: number, recorded, replayed }));
            }
        } else if line.cut.is_none() {
            return Err(failure(number, "neither input nor output"));
        }
        Ok(None)
    }

    /// Returns why it was refused, if it was.
    fn command(&mut self, number: usize, command: Value) -> Result<Option<String>, ReplayError> {
        let command: D::Command = self.read(number, command)?;
        match self.replayed.command(self.now, command) {
            Ok(Made::Transport(id)) => self.transports.push(id),
            Ok(Made::Producer(id)) => self.producers.push(id),
            Ok(Made::Other) => {}
            Err(error) => return Ok(Some(error)),
        }
        Ok(None)
    }

    /// Media that was refused is refused: why, may have been in bytes or datagrams that are not recorded. And what was taken
    /// is taken.
    fn media(
        &mut self,
        number: usize,
        mut line: Value,
        refused: Option<String>,
        compares: bool,
    ) -> Result<(), ReplayError> {
        self.name(&mut line);
        let producer = line.as_object_mut().and_then(|fields| fields.remove("producer"));
        let producer: ProducerId = self.read(number, producer.unwrap_or_default())?;
        let codec = self.replayed.codec(producer).unwrap_or(Codec::Vp8);
        let mut bytes = Bytes::new();
        for (name, key) in [("Frame", "data"), ("Packet", "payload")] {
            if let Some(given) = line.get_mut(name).and_then(|media| media.get_mut(key)) {
                bytes = content(given, codec).ok_or_else(|| failure(number, format!("{key} are no bytes")))?;
                *given = json!([]);
            }
        }
        let mut media: Media = self.read(number, line)?;
        match &mut media {
            Media::Frame(frame) => frame.data = bytes,
            Media::Packet(packet) => packet.payload = bytes,
        }
        match refused {
            Some(why) => self.replayed.refuse_media(self.now, producer, &media, &why),
            None if compares => self.replayed.repeat_media(self.now, producer, &media),
            None => self.replayed.media(self.now, producer, media),
        }
        Ok(())
    }

    /// The next output that is no datagram.
    fn output(&mut self) -> Option<Value> {
        loop {
            let output = self.replayed.poll_output()?;
            self.unanswered.extend(D::request(&output));
            if let Some(value) = output_value(&output) {
                return Some(value);
            }
        }
    }

    fn collect(&mut self) {
        while let Some(line) = self.replayed.poll_record() {
            self.recording.push(line);
        }
    }

    fn read<T: DeserializeOwned>(&self, number: usize, mut value: Value) -> Result<T, ReplayError> {
        self.name(&mut value);
        serde_json::from_value(value).map_err(|error| failure(number, error))
    }

    /// Puts ids and SSRCs in the place of their names.
    fn name(&self, value: &mut Value) {
        match value {
            Value::String(name) => {
                if let Some(number) = name.strip_prefix('$').and_then(|name| self.number(name)) {
                    *value = number.into();
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.name(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.name(field)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn number(&self, name: &str) -> Option<u32> {
        let (name, layer) = name.split_once('.').map_or((name, None), |(name, layer)| (name, Some(layer)));
        let index = |name: &str| name.parse::<usize>().ok()?.checked_sub(1);
        if let Some(name) = name.strip_prefix('T') {
            return self.transports.get(index(name)?).map(|id| id.value());
        }
        let id = *self.producers.get(index(name.strip_prefix('P')?)?)?;
        let Some(layer) = layer else { return Some(id.value()) };
        self.replayed.ssrc(id, layer)
    }
}

fn failure(line: usize, what: impl std::fmt::Display) -> ReplayError {
    ReplayError::Line { line, what: what.to_string() }
}

/// From milliseconds with decimals.
fn time(milliseconds: f64) -> Option<Duration> {
    let nanoseconds = (milliseconds * 1e6).round();
    (0.0..1e19).contains(&nanoseconds).then(|| Duration::from_nanos(nanoseconds as u64))
}

fn has_bytes(line: &Value) -> bool {
    line["Frame"]["data"].is_string() || line["Packet"]["payload"].is_string()
}

/// The longest frame that is made up from its length.
const MAX_LENGTH: u64 = 64 << 20;

/// Bytes that are given in hexadecimal, or as many as are said, with a beginning that the codec's packetizer takes.
fn content(given: &Value, codec: Codec) -> Option<Bytes> {
    let bytes = match given {
        Value::Number(length) => {
            let length = length.as_u64().filter(|length| *length <= MAX_LENGTH)? as usize;
            let beginning: &[u8] = match codec {
                Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Vp8 => &[],
                Codec::Vp9 => &[0x86],
                Codec::H264 => &[0, 0, 0, 1, 0x41],
                Codec::H265 => &[0, 0, 0, 1, 2, 1],
            };
            let mut bytes = beginning[..beginning.len().min(length)].to_vec();
            bytes.resize(length, 0x55);
            bytes
        }
        Value::String(hex) if hex.len() % 2 == 0 && hex.is_ascii() => (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
            .collect::<Option<Vec<u8>>>()?,
        _ => return None,
    };
    Some(bytes.into())
}
