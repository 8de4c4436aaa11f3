//! One JSON object a line.

use std::io::{self, Write};
use std::time::Duration;

use mediasoup_producer::v2::Profile;
use mediasoup_producer::{MediaKind, ProducerId};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Event, Report, RoomCount, Row, Summary, write_line};

/// For programs.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out }
    }

    pub(crate) fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        let line = serde_json::to_string(value)?;
        write_line(&mut self.out, &line)
    }

    pub(crate) fn event_line(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.line(&EventLine { t: thousandths(t.as_secs_f64()), event: event.name, fields: &event.fields })
    }
}

/// Times are seconds since the start of the program.
#[derive(Serialize)]
struct EventLine<'a> {
    t: f64,
    event: &'a str,
    #[serde(flatten)]
    fields: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct SampleLine {
    t: f64,
    producer: ProducerId,
    kind: MediaKind,
    profile: Profile,
    codec: &'static str,
    frames: u64,
    packets: u64,
    bytes: u64,
    bitrate_bps: u64,
    target_bps: Option<u64>,
    rtt_ms: Option<f64>,
    lost: u64,
    nacks: u64,
    retransmitted: u64,
    plis: u64,
    room: Option<RoomCount>,
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    summary: SummaryBody<'a>,
}

#[derive(Serialize)]
struct SummaryBody<'a> {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    connect_ms: Option<f64>,
    encodings: Vec<SummaryEncoding>,
}

#[derive(Serialize)]
struct SummaryEncoding {
    producer: ProducerId,
    kind: MediaKind,
    profile: Profile,
    codec: &'static str,
    frames: u64,
    packets: u64,
    bytes: u64,
    retransmitted: u64,
    room: Option<RoomCount>,
}

impl<W: Write + Send> Report<Vec<Row>, Summary> for Json<W> {
    fn event(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.event_line(t, event)
    }

    fn sample(&mut self, t: Duration, rows: &Vec<Row>) -> io::Result<()> {
        for row in rows {
            self.line(&SampleLine {
                t: thousandths(t.as_secs_f64()),
                producer: row.producer,
                kind: row.kind(),
                profile: row.profile,
                codec: row.codec.name(),
                frames: row.sent.frames,
                packets: row.sent.packets,
                bytes: row.sent.bytes,
                bitrate_bps: row.bitrate_bps,
                target_bps: row.target_bps,
                rtt_ms: row.rtt.map(milliseconds),
                lost: row.sent.lost,
                nacks: row.sent.nacks,
                retransmitted: row.sent.retransmitted,
                plis: row.sent.key_frame_requests,
                room: row.room,
            })?;
        }
        Ok(())
    }

    fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let encodings = summary
            .rows
            .iter()
            .map(|row| SummaryEncoding {
                producer: row.producer,
                kind: row.kind(),
                profile: row.profile,
                codec: row.codec.name(),
                frames: row.sent.frames,
                packets: row.sent.packets,
                bytes: row.sent.bytes,
                retransmitted: row.sent.retransmitted,
                room: row.room,
            })
            .collect();
        let connect_ms = summary.connect.map(milliseconds);
        let error = summary.error.as_deref();
        self.line(&SummaryLine { summary: SummaryBody { ok: summary.ok, error, connect_ms, encodings } })
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    thousandths(duration.as_secs_f64() * 1e3)
}

/// Nobody reads more digits.
pub(crate) fn thousandths(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
