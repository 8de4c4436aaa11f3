//! What a load comes to, and what several come to together.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::Process;
use super::{Distribution, Limit, LoadError};
use crate::report::{RoomCount, Sent, Sockets};
use crate::run::Cause;

/// No report is larger.
const MAX_REPORT: u64 = 64 << 20;

/// What a load comes to, in one process or in several. All but `processes` adds up, so that a report of several is what one
/// of all their peers together would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of this form: [`VERSION`](Self::VERSION).
    pub version: u32,
    /// The peers.
    pub peers: Peers,
    /// Failures by cause: of peers that were never connected, that were lost, or (with `--reconnect`) came back.
    pub failures: BTreeMap<Cause, Failure>,
    /// From a peer's first connection attempt to its DTLS being connected; joining again counts anew.
    pub connect: Distribution,
    /// Round-trip times as RTCP tells them: of each encoding once a second.
    pub round_trip: Distribution,
    /// How long after it was due a frame was handed in.
    pub late: Distribution,
    /// Encodings that were sent.
    pub encodings: u64,
    /// Those of which the room received nothing; where it does not tell, of which nothing was sent.
    pub unreceived: u64,
    /// Those of which the room does not tell what it received.
    pub untold: u64,
    /// What was sent.
    pub sent: Sent,
    /// What the rooms counted of it.
    pub received: RoomCount,
    /// What sockets did not take.
    pub sockets: Sockets,
    /// The processes, and what they took.
    pub processes: Vec<Process>,
}

/// How many peers there were, and how they fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Peers {
    /// To be begun.
    pub wanted: u64,
    /// Begun.
    pub begun: u64,
    /// Connected at least once.
    pub connected: u64,
    /// Never connected: they have failed before.
    pub failed: u64,
    /// Connected, and then lost for good.
    pub lost: u64,
}

/// Failures of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// How many.
    pub count: u64,
    /// The words of one of them: of those there were, the first in alphabetical order.
    pub words: String,
}

impl Failure {
    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        if other.words < self.words {
            self.words = other.words;
        }
    }
}

impl Default for Report {
    /// Of no peer.
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            peers: Peers::default(),
            failures: BTreeMap::new(),
            connect: Distribution::default(),
            round_trip: Distribution::default(),
            late: Distribution::default(),
            encodings: 0,
            unreceived: 0,
            untold: 0,
            sent: Sent::default(),
            received: RoomCount::default(),
            sockets: Sockets::default(),
            processes: Vec::new(),
        }
    }
}

impl Report {
    /// The form of what is written.
    pub const VERSION: u32 = 1;

    /// Adds another, of the same time.
    pub fn merge(&mut self, other: Self) {
        self.peers += other.peers;
        for (cause, failure) in other.failures {
            match self.failures.entry(cause) {
                Entry::Vacant(entry) => drop(entry.insert(failure)),
                Entry::Occupied(mut entry) => entry.get_mut().merge(failure),
            }
        }
        self.connect.merge(&other.connect);
        self.round_trip.merge(&other.round_trip);
        self.late.merge(&other.late);
        self.encodings += other.encodings;
        self.unreceived += other.unreceived;
        self.untold += other.untold;
        self.sent += other.sent;
        self.received += other.received;
        self.sockets += other.sockets;
        self.processes.extend(other.processes);
    }

    /// Whether every peer was connected and none was lost, and the rooms received something of every encoding.
    pub fn ok(&self) -> bool {
        let Peers { wanted, begun: _, connected, failed, lost } = self.peers;
        wanted > 0 && connected == wanted && failed == 0 && lost == 0 && self.unreceived == 0
    }

    /// What was the limit: everything that is told of by a rule of [`Limit`]. Empty: all that was asked for was carried.
    pub fn limits(&self) -> Vec<Limit> {
        Limit::of(self)
    }

    /// Packets of a hundred that were lost on the way, before they were repaired.
    pub fn loss_percent(&self) -> f64 {
        100.0 * self.sent.lost as f64 / self.sent.packets.max(1) as f64
    }

    /// Processors that one connected peer kept busy, embedded rooms not counted where they can be told apart.
    pub fn cpu_for_a_peer(&self) -> Option<f64> {
        let peer_seconds: f64 = self.processes.iter().map(|process| process.peer_seconds).sum();
        let cpu_seconds: f64 = self.processes.iter().map(|process| process.cpu_seconds).sum();
        (peer_seconds > 0.0).then(|| cpu_seconds / peer_seconds)
    }

    /// Bytes of memory that one connected peer took.
    pub fn memory_for_a_peer(&self) -> Option<u64> {
        let peers: u64 = self.processes.iter().map(|process| process.peers_full as u64).sum();
        let more = |process: &Process| process.memory_full.saturating_sub(process.memory_before);
        self.processes.iter().map(more).sum::<u64>().checked_div(peers)
    }

    /// Reads reports and adds them up.
    pub fn read_all(paths: &[PathBuf]) -> Result<Self, LoadError> {
        let mut merged = Self::default();
        for path in paths {
            merged.merge(Self::read(path)?);
        }
        Ok(merged)
    }

    fn read(path: &Path) -> Result<Self, LoadError> {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_REPORT).read_to_string(&mut text));
        read.map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let none = |reason: String| LoadError::NoReport { path: path.to_owned(), reason };
        let report: Self = serde_json::from_str(&text).map_err(|error| none(error.to_string()))?;
        if report.version != Self::VERSION {
            return Err(none(format!("it has version {}, not {}", report.version, Self::VERSION)));
        }
        Ok(report)
    }

    /// Writes it as [`read_all`](Self::read_all) reads it.
    pub fn write(&self, path: &Path) -> Result<(), LoadError> {
        let wrong = |source| LoadError::Write { path: path.to_owned(), source };
        let text = serde_json::to_string_pretty(&self.with_what_follows()).map_err(|error| wrong(error.into()))?;
        std::fs::write(path, text + "\n").map_err(wrong)
    }

    /// The report and what it comes to, for readers who do not want to reckon.
    pub(super) fn with_what_follows(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Complete<'a> {
            ok: bool,
            limits: Vec<Limit>,
            loss_percent: f64,
            cpu_for_a_peer: Option<f64>,
            memory_for_a_peer: Option<u64>,
            #[serde(flatten)]
            report: &'a Report,
        }
        Complete {
            ok: self.ok(),
            limits: self.limits(),
            loss_percent: self.loss_percent(),
            cpu_for_a_peer: self.cpu_for_a_peer(),
            memory_for_a_peer: self.memory_for_a_peer(),
            report: self,
        }
    }
}

impl std::ops::AddAssign for Peers {
    fn add_assign(&mut self, other: Self) {
        self.wanted += other.wanted;
        self.begun += other.begun;
        self.connected += other.connected;
        self.failed += other.failed;
        self.lost += other.lost;
    }
}
