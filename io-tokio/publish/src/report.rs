//! What the program tells of its run: a live table on a terminal, plain lines elsewhere, JSON on demand.

mod json;
mod lines;
mod table;
mod thread;

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Duration;

use mediasoup_producer::stats::OutboundRtpStats;
use mediasoup_producer::v2::Profile;
use mediasoup_producer::v2::stats::InboundRtpStats;
use mediasoup_producer::{Codec, MediaKind, ProducerId};
use mediasoup_producer_tokio::IoStats;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use json::Json;
pub(crate) use json::{milliseconds, thousandths};
pub use lines::Lines;
pub use table::Table;
pub use thread::Reporter;

/// How a run is told, whose samples and summary are such.
pub trait Report<Sample, Summary>: Send {
    /// Something happened, `t` after the start.
    fn event(&mut self, t: Duration, event: &Event) -> io::Result<()>;

    /// How things stand; once a second.
    fn sample(&mut self, t: Duration, sample: &Sample) -> io::Result<()>;

    /// The end.
    fn summary(&mut self, summary: &Summary) -> io::Result<()>;
}

/// The report for this standard output.
pub fn to_stdout<Sample, Summary>(json: bool) -> Box<dyn Report<Sample, Summary>>
where
    Json<Stdout>: Report<Sample, Summary>,
    Lines<Stdout>: Report<Sample, Summary>,
    Table<Stdout>: Report<Sample, Summary>,
{
    let stdout = io::stdout();
    match (json, stdout.is_terminal()) {
        (true, _) => Box::new(Json::new(stdout)),
        (false, true) => Box::new(Table::new(stdout)),
        (false, false) => Box::new(Lines::new(stdout)),
    }
}

/// Something that happened: a name and fields for programs, a sentence for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    name: &'static str,
    fields: Map<String, Value>,
    text: String,
}

impl Event {
    /// An event without fields.
    pub fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, fields: Map::new(), text: text.into() }
    }

    /// Adds a field.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

/// One encoding as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The producer; another after reconnection.
    pub producer: ProducerId,
    /// The layer.
    pub profile: Profile,
    /// The codec.
    pub codec: Codec,
    /// Width and height in pixels, where they are known.
    pub size: Option<(u32, u32)>,
    /// What we count.
    pub sent: Sent,
    /// What we sent since the last sample, in bits per second.
    pub bitrate_bps: u64,
    /// Round-trip time.
    pub rtt: Option<Duration>,
    /// What the encoder was last told to aim at, in bits per second.
    pub target_bps: Option<u64>,
    /// What the room counts, as it last said; none if it does not tell.
    pub room: Option<RoomCount>,
}

impl Row {
    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.codec.kind()
    }

    /// Whether the room has received any of it; where it does not tell, whether it was sent.
    pub fn received(&self) -> bool {
        self.room.map_or(self.sent.packets, |room| room.packets) > 0
    }

    /// For people.
    pub fn name(&self) -> String {
        match self.profile {
            Profile::Default => self.kind().to_string(),
            profile => format!("{} {profile}", self.kind()),
        }
    }
}

/// What we count of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sent {
    /// Frames; packets for audio.
    pub frames: u64,
    /// Packets, retransmissions not.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that the room reported lost before they were repaired.
    pub lost: u64,
    /// NACK messages received.
    pub nacks: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Key frame requests received: PLI and FIR.
    pub key_frame_requests: u64,
}

impl From<&OutboundRtpStats> for Sent {
    fn from(stats: &OutboundRtpStats) -> Self {
        Self {
            frames: stats.frames_sent,
            packets: stats.packets_sent,
            bytes: stats.bytes_sent,
            lost: stats.remote_packets_lost,
            nacks: stats.nack_count,
            retransmitted: stats.retransmitted_packets_sent,
            key_frame_requests: stats.pli_count + stats.fir_count,
        }
    }
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.frames += other.frames;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.lost += other.lost;
        self.nacks += other.nacks;
        self.retransmitted += other.retransmitted;
        self.key_frame_requests += other.key_frame_requests;
    }
}

/// What the room counts of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoomCount {
    /// Packets received.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets lost for good.
    pub lost: i64,
}

impl From<&InboundRtpStats> for RoomCount {
    fn from(stats: &InboundRtpStats) -> Self {
        Self { packets: stats.packet_count, bytes: stats.byte_count, lost: stats.packets_lost }
    }
}

impl std::ops::AddAssign for RoomCount {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.lost += other.lost;
    }
}

/// What sockets did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sockets {
    /// Frames and packets refused because datagrams before them still wait.
    pub media_refused: u64,
    /// Datagrams dropped because a socket is gone, or does not keep up.
    pub datagrams_dropped: u64,
    /// Datagrams that the system refused.
    pub errors: u64,
}

impl From<IoStats> for Sockets {
    fn from(stats: IoStats) -> Self {
        let errors = stats.socket_errors + stats.datagrams_too_large;
        Self { media_refused: stats.media_refused, datagrams_dropped: stats.datagrams_dropped, errors }
    }
}

impl std::ops::AddAssign for Sockets {
    fn add_assign(&mut self, other: Self) {
        self.media_refused += other.media_refused;
        self.datagrams_dropped += other.datagrams_dropped;
        self.errors += other.errors;
    }
}

/// How the run went.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Whether nothing failed and the room has received every encoding.
    pub ok: bool,
    /// What failed.
    pub error: Option<String>,
    /// From the start of the program to DTLS being connected.
    pub connect: Option<Duration>,
    /// Every encoding.
    pub rows: Vec<Row>,
}

/// Writes whole lines at once, so that nothing comes between.
fn write_line(out: &mut impl Write, line: &str) -> io::Result<()> {
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}

/// Bits per second, for people.
pub(crate) fn bitrate(bps: u64) -> String {
    match bps {
        0..10_000 => format!("{:.1} kbit/s", bps as f64 / 1e3),
        10_000..1_000_000 => format!("{:.0} kbit/s", bps as f64 / 1e3),
        _ => format!("{:.2} Mbit/s", bps as f64 / 1e6),
    }
}

/// Milliseconds, for people.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// What is to be said at the end, for people.
fn verdict(summary: &Summary) -> String {
    let connect = summary.connect.map_or_else(String::new, |took| format!("; connected in {}", millis(took)));
    match &summary.error {
        Some(_) => format!("failed{connect}"),
        None if summary.ok && summary.rows.iter().any(|row| row.room.is_none()) => {
            format!("ok: every encoding was sent, the room does not say what it receives{connect}")
        }
        None if summary.ok => format!("ok: the room received every encoding{connect}"),
        None => format!("failed: the room did not receive every encoding{connect}"),
    }
}
