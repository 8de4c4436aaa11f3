//! What a load costs the machine it runs on.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::target::Target;
use crate::args::{Args, Dialect};
use crate::embedded::Rooms;

/// One process of a load, and what it took. Processor time is counted while the load is steady, from when all peers had begun
/// to when they were told to leave; where that was never so, from the beginning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// `v2` or `v3`.
    pub dialect: String,
    /// The server's host and port, or `embedded`.
    pub server: String,
    /// Rooms that were published to.
    pub rooms: u32,
    /// Producers of each peer.
    pub producers: usize,
    /// Peers that began in a second.
    pub ramp: f64,
    /// The machine.
    pub machine: Machine,
    /// How long the load was steady.
    pub seconds: f64,
    /// For how long peers were connected meanwhile, all together.
    pub peer_seconds: f64,
    /// Processor time of the process meanwhile, without that of embedded rooms where it can be told apart.
    pub cpu_seconds: f64,
    /// Processor time of embedded rooms meanwhile.
    pub rooms_cpu_seconds: Option<f64>,
    /// That of the busiest of their threads.
    pub busiest_room_thread_seconds: Option<f64>,
    /// Bytes of memory (resident) before the first peer began.
    pub memory_before: u64,
    /// At the end, with these peers connected; embedded rooms' share is in it.
    pub memory_full: u64,
    /// How many they were.
    pub peers_full: usize,
}

/// What kind of machine it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that the process may use.
    pub cores: usize,
    /// The operating system and its version.
    pub system: String,
    /// Its kernel.
    pub kernel: String,
}

/// What the process takes at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Usage {
    /// Processors that are busy with it, embedded rooms included.
    pub cpu_cores: f64,
    /// Of them those that are busy with embedded rooms.
    pub rooms_cpu_cores: Option<f64>,
    /// Bytes of memory (resident).
    pub memory: u64,
}

impl Process {
    /// How busy it was: processors, without those of embedded rooms.
    pub fn cores_busy(&self) -> f64 {
        self.cpu_seconds / self.seconds.max(f64::MIN_POSITIVE)
    }
}

impl Machine {
    fn this() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            system: System::long_os_version().unwrap_or_else(unknown),
            kernel: System::kernel_version().unwrap_or_else(unknown),
        }
    }
}

/// Measures this process.
#[derive(Debug)]
pub(super) struct Meter {
    system: System,
    pid: Option<Pid>,
    rooms: Option<Rooms>,
    process: Process,
    steady: bool,
    /// When what is counted began, and what was taken until then.
    since: Reading,
    last: Reading,
}

/// What was taken up to a time.
#[derive(Debug, Clone)]
struct Reading {
    at: Instant,
    cpu: Duration,
    memory: u64,
    /// Of each thread of embedded rooms.
    rooms: Option<Vec<Duration>>,
}

impl Meter {
    /// To be made before the first peer begins. Embedded rooms are kept open.
    pub(super) fn new(args: &Args, target: &Target, producers: usize, rooms: Option<Rooms>) -> Self {
        let dialect = match target.dialect() {
            Dialect::V2 => "v2",
            Dialect::V3 => "v3",
        };
        let (mut system, pid) = (System::new(), sysinfo::get_current_pid().ok());
        let first = read(&mut system, pid, rooms.as_ref());
        let process = Process {
            dialect: dialect.to_owned(),
            server: if rooms.is_some() { "embedded".to_owned() } else { target.host() },
            rooms: target.rooms(),
            producers,
            ramp: args.load.ramp,
            machine: Machine::this(),
            seconds: 0.0,
            peer_seconds: 0.0,
            cpu_seconds: 0.0,
            rooms_cpu_seconds: None,
            busiest_room_thread_seconds: None,
            memory_before: first.memory,
            memory_full: first.memory,
            peers_full: 0,
        };
        Self { system, pid, rooms, process, steady: false, since: first.clone(), last: first }
    }

    /// Whether all peers have begun.
    pub(super) const fn is_steady(&self) -> bool {
        self.steady
    }

    /// From here on it is counted.
    pub(super) fn begin(&mut self) {
        self.steady = true;
        self.since = read(&mut self.system, self.pid, self.rooms.as_ref());
        self.last = self.since.clone();
        self.process.peer_seconds = 0.0;
    }

    /// What is taken since the last time, with so many peers connected.
    pub(super) fn sample(&mut self, connected: usize) -> Usage {
        let now = read(&mut self.system, self.pid, self.rooms.as_ref());
        let elapsed = now.at.duration_since(self.last.at).as_secs_f64();
        self.process.peer_seconds += elapsed * connected as f64;
        let cores = |taken: Duration| taken.as_secs_f64() / elapsed.max(f64::MIN_POSITIVE);
        let usage = Usage {
            cpu_cores: cores(now.cpu.saturating_sub(self.last.cpu)),
            rooms_cpu_cores: now.rooms_since(&self.last).map(|threads| cores(threads.iter().sum())),
            memory: now.memory,
        };
        self.last = now;
        usage
    }

    /// The peers are about to leave: nothing is counted any more. Gives what was.
    pub(super) fn end(&mut self, connected: usize) -> Process {
        self.sample(connected);
        let now = &self.last;
        let rooms = now.rooms_since(&self.since);
        let of_rooms: Option<Duration> = rooms.as_ref().map(|threads| threads.iter().sum());
        let cpu = now.cpu.saturating_sub(self.since.cpu).saturating_sub(of_rooms.unwrap_or_default());
        self.process.seconds = now.at.duration_since(self.since.at).as_secs_f64();
        self.process.cpu_seconds = cpu.as_secs_f64();
        self.process.rooms_cpu_seconds = of_rooms.map(|cpu| cpu.as_secs_f64());
        self.process.busiest_room_thread_seconds =
            rooms.and_then(|threads| threads.iter().max().map(Duration::as_secs_f64));
        self.process.memory_full = now.memory;
        self.process.peers_full = connected;
        self.process.clone()
    }
}

impl Reading {
    fn rooms_since(&self, before: &Self) -> Option<Vec<Duration>> {
        let (now, before) = (self.rooms.as_ref()?, before.rooms.as_ref()?);
        Some(now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect())
    }
}

/// Where the system tells nothing it is nothing.
fn read(system: &mut System, pid: Option<Pid>, rooms: Option<&Rooms>) -> Reading {
    let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    let process = pid.and_then(|pid| {
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
        system.process(pid)
    });
    let cpu = process.map_or(0, sysinfo::Process::accumulated_cpu_time);
    Reading {
        at: Instant::now(),
        cpu: Duration::from_millis(cpu),
        memory: process.map_or(0, sysinfo::Process::memory),
        rooms: rooms.and_then(Rooms::cpu),
    }
}

/// A peer has a socket for signalling and one for media, an embedded room as many: more than systems allow by default.
#[cfg(unix)]
pub(super) fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, what cannot be opened says so.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(not(unix))]
pub(super) fn raise_open_files() {}
