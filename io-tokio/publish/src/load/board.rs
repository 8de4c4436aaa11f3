//! Where the peers of a load write down how they are.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::process::{Process, Usage};
use super::progress::Progress;
use super::report::{Peers, Report};
use super::{Distribution, Failure};
use crate::report::{RoomCount, Row, Sent, Sockets};
use crate::run::{Cause, RunError};

/// How all peers are.
#[derive(Debug)]
pub(super) struct Board(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    peers: Vec<Peer>,
    connect: Distribution,
    round_trip: Distribution,
    late: Distribution,
    failures: BTreeMap<Cause, Failure>,
    /// Those of a cause that was not there before, to be told.
    new_failures: Vec<(Cause, String)>,
    usage: Usage,
}

#[derive(Debug, Clone, Default)]
struct Peer {
    state: State,
    counts: Counts,
}

/// How a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Its turn has not come.
    #[default]
    Waiting,
    Connecting,
    Connected,
    /// It was connected, and tries to be again.
    Rejoining,
    /// It was never connected.
    Failed,
    /// It was connected, and then failed.
    Lost,
    /// It was connected and has left in good order; or was told to leave before it was.
    Left {
        connected: bool,
    },
}

/// What a peer has sent.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    sent: Sent,
    received: RoomCount,
    bitrate_bps: u64,
    encodings: u64,
    unreceived: u64,
    untold: u64,
    sockets: Sockets,
}

impl Board {
    pub(super) fn new(peers: usize) -> Self {
        Self(Mutex::new(Inner {
            peers: vec![Peer::default(); peers],
            connect: Distribution::default(),
            round_trip: Distribution::default(),
            late: Distribution::default(),
            failures: BTreeMap::new(),
            new_failures: Vec::new(),
            usage: Usage::default(),
        }))
    }

    /// A peer's turn has come.
    pub(super) fn begun(&self, peer: usize) {
        self.lock().set(peer, State::Connecting);
    }

    /// A peer is connected, and it took so long.
    pub(super) fn connected(&self, peer: usize, took: Duration) {
        let mut inner = self.lock();
        inner.connect.record(took);
        inner.set(peer, State::Connected);
    }

    /// A peer has lost its room, and will try again.
    pub(super) fn lost(&self, peer: usize, error: &RunError) {
        let mut inner = self.lock();
        inner.failure(error);
        inner.set(peer, State::Rejoining);
    }

    /// What a peer has sent so far, and how late frames were since the last time.
    pub(super) fn counted(&self, peer: usize, rows: &[Row], sockets: Sockets, late: &mut Vec<Duration>) {
        let counts = Counts::of(rows, sockets);
        let mut inner = self.lock();
        for row in rows {
            if let Some(rtt) = row.rtt {
                inner.round_trip.record(rtt);
            }
        }
        for late in late.drain(..) {
            inner.late.record(late);
        }
        if let Some(peer) = inner.peers.get_mut(peer) {
            peer.counts = counts;
        }
    }

    /// A peer is done.
    pub(super) fn ended(&self, peer: usize, result: Result<(), RunError>) {
        let mut inner = self.lock();
        let was = inner.peers.get(peer).map_or(State::Waiting, |peer| peer.state);
        let connected = match was {
            State::Connected | State::Rejoining => true,
            State::Waiting | State::Connecting | State::Failed | State::Lost | State::Left { .. } => false,
        };
        let state = match result {
            // It was told to leave before it was there, which is no fault of the server's.
            Ok(()) | Err(RunError::TooEarly) => State::Left { connected },
            Err(error) => {
                inner.failure(&error);
                if connected { State::Lost } else { State::Failed }
            }
        };
        inner.set(peer, state);
        if let Some(peer) = inner.peers.get_mut(peer) {
            peer.counts.bitrate_bps = 0;
        }
    }

    /// How many are connected.
    pub(super) fn connected_now(&self) -> usize {
        self.lock().peers.iter().filter(|peer| peer.state == State::Connected).count()
    }

    /// Whether every peer has been connected or has failed.
    pub(super) fn is_settled(&self) -> bool {
        let inner = self.lock();
        inner.peers.iter().all(|peer| match peer.state {
            State::Waiting | State::Connecting => false,
            State::Connected | State::Rejoining | State::Failed | State::Lost | State::Left { .. } => true,
        })
    }

    /// One failure of each cause that was not there the last time.
    pub(super) fn take_new_failures(&self) -> Vec<(Cause, String)> {
        std::mem::take(&mut self.lock().new_failures)
    }

    /// How things stand, while the process takes so much.
    pub(super) fn progress(&self, usage: Usage) -> Progress {
        let mut inner = self.lock();
        inner.usage = usage;
        inner.progress()
    }

    /// How things stood when the process was last measured, to be read by machines.
    pub(super) fn now(&self) -> (Progress, Report) {
        let inner = self.lock();
        (inner.progress(), inner.report(Vec::new()))
    }

    /// What it comes to.
    pub(super) fn report(&self, process: Process) -> Report {
        self.lock().report(vec![process])
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn set(&mut self, peer: usize, state: State) {
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.state = state;
        }
    }

    fn failure(&mut self, error: &RunError) {
        let failure = Failure { count: 1, words: error.to_string() };
        match self.failures.entry(error.cause()) {
            Entry::Vacant(entry) => {
                self.new_failures.push((error.cause(), failure.words.clone()));
                entry.insert(failure);
            }
            Entry::Occupied(mut entry) => entry.get_mut().merge(failure),
        }
    }

    fn progress(&self) -> Progress {
        let count = |wanted: &[State]| self.peers.iter().filter(|peer| wanted.contains(&peer.state)).count();
        let total = self.total();
        Progress {
            peers: self.peers.len(),
            waiting: count(&[State::Waiting]),
            connecting: count(&[State::Connecting, State::Rejoining]),
            connected: count(&[State::Connected]),
            failed: count(&[State::Failed, State::Lost]),
            packets: total.sent.packets,
            bitrate_bps: total.bitrate_bps,
            lost: total.sent.lost,
            retransmitted: total.sent.retransmitted,
            connect_p99: self.connect.percentile(99.0),
            round_trip_p99: self.round_trip.percentile(99.0),
            late_p99: self.late.percentile(99.0),
            usage: self.usage,
        }
    }

    fn report(&self, processes: Vec<Process>) -> Report {
        let count = |wanted: &[State]| self.peers.iter().filter(|peer| wanted.contains(&peer.state)).count() as u64;
        let total = self.total();
        let connected = count(&[State::Connected, State::Rejoining, State::Lost, State::Left { connected: true }]);
        Report {
            peers: Peers {
                wanted: self.peers.len() as u64,
                begun: self.peers.len() as u64 - count(&[State::Waiting]),
                connected,
                failed: count(&[State::Failed]),
                lost: count(&[State::Lost]),
            },
            failures: self.failures.clone(),
            connect: self.connect.clone(),
            round_trip: self.round_trip.clone(),
            late: self.late.clone(),
            encodings: total.encodings,
            unreceived: total.unreceived,
            untold: total.untold,
            sent: total.sent,
            received: total.received,
            sockets: total.sockets,
            processes,
            ..Report::default()
        }
    }

    fn total(&self) -> Counts {
        let mut total = Counts::default();
        for peer in &self.peers {
            total += peer.counts;
        }
        total
    }
}

impl Counts {
    fn of(rows: &[Row], sockets: Sockets) -> Self {
        let mut counts = Self { sockets, encodings: rows.len() as u64, ..Self::default() };
        for row in rows {
            counts.sent += row.sent;
            counts.bitrate_bps += row.bitrate_bps;
            counts.unreceived += u64::from(!row.received());
            match row.room {
                Some(room) => counts.received += room,
                None => counts.untold += 1,
            }
        }
        counts
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.bitrate_bps += other.bitrate_bps;
        self.encodings += other.encodings;
        self.unreceived += other.unreceived;
        self.untold += other.untold;
        self.sockets += other.sockets;
    }
}
