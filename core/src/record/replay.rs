//! Running a recording again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{MAX_LINE_BYTES, RecordOptions, VERSION};
use crate::connection::engine::{EngineAnswer, EngineEvent};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::media::Media;
use crate::rtp::Codec;
use crate::v2::InputError;
use crate::v2::Output;
use crate::v2::Profile;
use crate::v2::Room;
use crate::v2::RoomConfig;
use crate::v2::protocol::{Refusal, Request};
use crate::v2::room::recorder::{HEADER, output_value};
use crate::v2::{Accepted, Command, Input};

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

/// Runs a recording again on a scripted media plane, and compares what comes out. `start` stands for its time 0: any
/// moment will do.
pub fn replay(start: Instant, recording: &str) -> Result<Replay, ReplayError> {
    let mut lines = recording.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let (index, first) = lines.next().ok_or(ReplayError::Empty)?;
    let header = header(index + 1, first)?;
    let mut parsed = Vec::new();
    for (index, line) in lines {
        let mut line = parse::<Line>(line).map_err(|what| failure(index + 1, what))?;
        if header.version == 1 {
            line.update();
        }
        parsed.push((index + 1, line));
    }
    // Media is recorded as in the original, so that the two recordings can be compared.
    let media = parsed.iter().any(|(_, line)| line.media.as_ref().is_some_and(has_bytes));
    let compares = parsed.iter().any(|(_, line)| line.output.is_some());
    let mut room = Room::silent(header.config, header.seed);
    room.start_recording(RecordOptions::default().media(media)).expect("the room is new");
    let mut player = Player {
        version: header.version,
        room,
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
        Some(_) => serde_json::from_value(value).map_err(|error| wrong(error.to_string())),
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
    seed: u64,
    #[serde(default)]
    config: RoomConfig,
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

impl Line {
    /// From version 1, in which layers had the names of v2's profiles.
    fn update(&mut self) {
        let Some(media) = &mut self.media else { return };
        for name in ["Frame", "Packet"] {
            let Some(fields) = media.get_mut(name).and_then(Value::as_object_mut) else { continue };
            let Some(profile) = fields.remove("profile") else { continue };
            // What is none is refused as a layer.
            let layer = Profile::deserialize(&profile).map_or(profile, |profile| profile.layer().into());
            fields.insert("layer".to_owned(), layer);
        }
        if let Some(words) = &mut self.refused {
            for profile in Profile::SIMULCAST.into_iter().chain([Profile::Default]) {
                *words = words.replace(&format!("layer {profile},"), &format!("layer {},", profile.layer()));
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseLine {
    id: RequestId,
    #[serde(default, deserialize_with = "present")]
    ok: Option<Value>,
    refusal: Option<RefusalLine>,
}

/// Present and null is not absent: some answers are null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RefusalLine {
    Words(String),
    Whole(Refusal),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EngineLine {
    transport: TransportId,
    event: Option<EngineEvent>,
    answer: Option<EngineAnswer>,
}

struct Player {
    /// Of the recording.
    version: u64,
    room: Room,
    start: Instant,
    now: Instant,
    transports: Vec<TransportId>,
    producers: Vec<ProducerId>,
    unanswered: BTreeMap<RequestId, Request>,
    recording: Vec<String>,
    compared: usize,
}

impl Player {
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
            self.room.handle_timeout(self.now);
        } else if let Some(response) = line.response {
            let result = match (response.ok, response.refusal) {
                (Some(data), None) => Ok(data),
                (None, Some(RefusalLine::Words(words))) => Err(Refusal::new(words)),
                (None, Some(RefusalLine::Whole(refusal))) => Err(refusal),
                _ => return Err(failure(number, "a response has either ok or refusal")),
            };
            self.unanswered.remove(&response.id);
            self.input(Input::Response { id: response.id, result });
        } else if line.answer.is_some() {
            let (id, request) =
                self.unanswered.pop_first().ok_or_else(|| failure(number, "no request waits for an answer"))?;
            self.input(Input::Response { id, result: Ok(usual_answer(&request)) });
        } else if let Some(mut message) = line.notification {
            self.name(&mut message);
            self.input(Input::Notification(message));
        } else if let Some(media) = line.media {
            self.media(number, media, line.refused.filter(|_| compares), compares)?;
        } else if let Some(engine) = line.engine {
            let engine: EngineLine = self.read(number, engine)?;
            match (engine.event, engine.answer) {
                (Some(event), None) => drop(self.room.engine_event(self.now, engine.transport, event)),
                (None, Some(answer)) => drop(self.room.engine_answer(engine.transport, answer)),
                _ => return Err(failure(number, "the media plane has either an event or an answer")),
            }
        } else if let Some(recorded) = line.output {
            self.compared += 1;
            let replayed = self.output().unwrap_or_default();
            let of_then = if self.version == 1 { as_in_version_1(replayed.clone()) } else { replayed.clone() };
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
        let command: Command = self.read(number, command)?;
        match self.room.handle_input(self.now, Input::Command(command)) {
            Ok(Accepted::Transport(id)) => self.transports.push(id),
            Ok(Accepted::Producer(id)) => self.producers.push(id),
            Ok(Accepted::Done | Accepted::Operation(_) | Accepted::Operations(_)) => {}
            Err(error) => return Ok(Some(error.to_string())),
        }
        Ok(None)
    }

    fn input(&mut self, input: Input) {
        match self.room.handle_input(self.now, input) {
            // What media is refused is nothing to the control plane.
            Ok(_) | Err(InputError::Media(_)) => {}
            Err(InputError::Command(error)) => unreachable!("not a command, and refused as one: {error}"),
        }
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
        let codec = self.room.producer_info(producer).map_or(Codec::Vp8, |producer| producer.codec());
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
            Some(why) => self.room.refuse_media(self.now, producer, &media, &why),
            None if compares => self.room.repeat_media(self.now, producer, &media),
            None => self.input(Input::Media { producer, media }),
        }
        Ok(())
    }

    /// The next output that is no datagram.
    fn output(&mut self) -> Option<Value> {
        loop {
            let output = self.room.poll_output()?;
            if let Output::Request { id, request } = &output {
                self.unanswered.insert(*id, request.clone());
            }
            if let Some(value) = output_value(&output) {
                return Some(value);
            }
        }
    }

    fn collect(&mut self) {
        while let Some(line) = self.room.poll_record() {
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
        let layer: Profile = serde_json::from_value(layer.into()).ok()?;
        let encodings = &self.room.producer_info(id)?.rtp_parameters()?.encodings;
        encodings.iter().find(|encoding| encoding.profile.unwrap_or_default() == layer).map(|encoding| encoding.ssrc)
    }
}

/// An operation failed without saying what it was.
fn as_in_version_1(mut output: Value) -> Value {
    if let Some(failure) = output.pointer_mut("/Event/Settled/result/Err")
        && let Value::Object(of) = failure.take()
        && let Some((_, error)) = of.into_iter().next()
    {
        *failure = error;
    }
    output
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

/// What a room with Opus and VP8 answers.
fn usual_answer(request: &Request) -> Value {
    match request {
        Request::QueryRoom => json!({
            "rtpCapabilities": {
                "codecs": [
                    { "kind": "audio", "name": "opus", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2,
                      "parameters": { "useinbandfec": 1 }, "rtcpFeedback": [], "preferredPayloadType": 100 },
                    { "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "parameters": {},
                      "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" },
                                       { "type": "ccm", "parameter": "fir" }, { "type": "goog-remb" }],
                      "preferredPayloadType": 101 },
                    { "kind": "video", "name": "rtx", "mimeType": "video/rtx", "clockRate": 90000,
                      "parameters": { "apt": 101 }, "preferredPayloadType": 102 },
                ],
                "headerExtensions": [],
                "fecMechanisms": [],
            },
            "mandatoryCodecPayloadTypes": [],
        }),
        Request::Join { .. } => json!({ "peers": [] }),
        Request::CreateTransport { .. } => json!({
            "iceParameters": { "usernameFragment": "room", "password": "***", "iceLite": true },
            "iceCandidates": [{ "family": "ipv4", "foundation": "udpcandidate", "ip": "192.0.2.1", "port": 40000,
                                "priority": 1, "protocol": "udp", "type": "host" }],
            "dtlsParameters": { "role": "server", "fingerprints": [] },
        }),
        Request::RestartTransport { .. } => {
            json!({ "iceParameters": { "usernameFragment": "room", "password": "***", "iceLite": true } })
        }
        Request::CreateProducer { .. } => Value::Null,
    }
}
