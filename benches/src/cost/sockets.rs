//! CPU time of a packet on its way through the system, by turns in one process: what the threads of the sender take, and not
//! those of the other end. Linux only: it reads `/proc`.

mod adapters;
mod server;

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use mediasoup_producer_benches::{FRAME_INTERVAL, Ours, Raw, Sender};
use quinn_udp::{Transmit, UdpSocketState};

/// How many times each sender has its turn.
const TURNS: usize = 5;

/// What is sent, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Packets in a frame.
    pub(crate) packets: usize,
    /// Producers.
    pub(crate) tracks: usize,
    /// 30 frames a second, or as many as go.
    pub(crate) paced: bool,
    /// Frames on each track.
    frames: usize,
}

impl Load {
    /// 30 frames a second, for two seconds.
    pub(crate) const fn paced(packets: usize, tracks: usize) -> Self {
        Self { packets, tracks, paced: true, frames: 60 }
    }

    /// As many frames as go.
    pub(crate) fn saturated(packets: usize) -> Self {
        Self { packets, tracks: 1, paced: false, frames: (30_000 / packets).max(50) }
    }

    /// To connect is all.
    const NOTHING: Self = Self { packets: 1, tracks: 1, paced: false, frames: 0 };
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// str0m alone, a system call a packet.
    RawSendTo,
    /// str0m alone, with a system call for each run of equal datagrams.
    RawGso,
    /// The library by hand, a system call a packet.
    HandSendTo,
    /// The library by hand, with GSO.
    HandGso,
    /// The adapter for tokio.
    Tokio,
    /// The adapter for smol.
    Smol,
}

pub(crate) const EVERYBODY: [Who; 6] =
    [Who::RawSendTo, Who::RawGso, Who::HandSendTo, Who::HandGso, Who::Tokio, Who::Smol];

impl Who {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::RawSendTo => "str0m, `send_to`",
            Self::RawGso => "str0m, GSO",
            Self::HandSendTo => "by hand, `send_to`",
            Self::HandGso => "by hand, GSO",
            Self::Tokio => "tokio",
            Self::Smol => "smol",
        }
    }

    /// Microseconds of CPU a packet.
    fn cost(self, load: Load) -> f64 {
        let raw = || Box::new(Raw::connected(load.tracks));
        let ours = || Box::new(Ours::connected(load.tracks));
        match self {
            Self::RawSendTo => by_hand(&mut *raw(), load, false).0,
            Self::RawGso => by_hand(&mut *raw(), load, true).0,
            Self::HandSendTo => by_hand(&mut *ours(), load, false).0,
            Self::HandGso => by_hand(&mut *ours(), load, true).0,
            Self::Tokio => adapters::tokio(load).cost,
            Self::Smol => adapters::smol(load).cost,
        }
    }

    /// From handing a frame in to each of its datagrams at the other end, in order.
    pub(crate) fn latencies(self, load: Load) -> Vec<Duration> {
        let raw = || Box::new(Raw::connected(load.tracks));
        let ours = || Box::new(Ours::connected(load.tracks));
        let mut latencies = match self {
            Self::RawSendTo => by_hand(&mut *raw(), load, false).1,
            Self::RawGso => by_hand(&mut *raw(), load, true).1,
            Self::HandSendTo => by_hand(&mut *ours(), load, false).1,
            Self::HandGso => by_hand(&mut *ours(), load, true).1,
            Self::Tokio => adapters::tokio(load).latencies,
            Self::Smol => adapters::smol(load).latencies,
        };
        latencies.sort_unstable();
        latencies
    }
}

/// Microseconds of CPU a packet of a load: least, median, most, for everybody.
pub(crate) fn costs(load: Load) -> [[f64; 3]; EVERYBODY.len()] {
    let mut costs = EVERYBODY.map(|_| Vec::new());
    for _ in 0..TURNS {
        for (costs, who) in costs.iter_mut().zip(EVERYBODY) {
            costs.push(who.cost(load));
        }
    }
    costs.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        [costs[0], costs[TURNS / 2], costs[TURNS - 1]]
    })
}

/// Microseconds of CPU a packet over loopback, as many frames as go, of another sender and of the baselines beside it: least,
/// median, most.
#[cfg(feature = "peers")]
pub(crate) fn peers(packets: usize) -> [(&'static str, [f64; 3]); 3] {
    use mediasoup_producer_benches::Rtc;

    let load = Load::saturated(packets);
    let rtc = || by_hand(&mut Rtc::connected(), load, false).0;
    let turn = |_| [Who::RawSendTo.cost(load), Who::HandSendTo.cost(load), rtc()];
    let turns: [[f64; 3]; TURNS] = std::array::from_fn(turn);
    let names = [Who::RawSendTo.name(), Who::HandSendTo.name(), "`rtc` 0.21, `send_to`"];
    std::array::from_fn(|who| {
        let mut costs = turns.map(|turn| turn[who]);
        costs.sort_by(f64::total_cmp);
        (names[who], [costs[0], costs[TURNS / 2], costs[TURNS - 1]])
    })
}

/// From `send` to DTLS connected with an adapter: least, median, most of many.
pub(crate) fn connecting(smol: bool) -> [Duration; 3] {
    const TIMES: usize = 21;
    let session = |_| if smol { adapters::smol(Load::NOTHING) } else { adapters::tokio(Load::NOTHING) };
    let mut times: Vec<_> = (0..TIMES).map(session).map(|session| session.connecting).collect();
    times.sort_unstable();
    [times[0], times[TIMES / 2], times[TIMES - 1]]
}

/// What lies between each arrival and the last frame that was handed in before it.
fn latencies(written: &[Instant], arrivals: &[Instant]) -> Vec<Duration> {
    let before = |at: &Instant| written.partition_point(|written| written <= at).checked_sub(1);
    arrivals.iter().filter_map(|at| Some(*at - written[before(at)?])).collect()
}

/// CPU time of all threads but the other end's, in nanoseconds.
fn cpu() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter(|task| {
            std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() != server::THREAD)
        })
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Microseconds of CPU a packet, and latencies.
fn by_hand(sender: &mut dyn Sender, load: Load, gso: bool) -> (f64, Vec<Duration>) {
    let sink = server::Sink::start();
    let mut out = Out::new(sink.address(), gso);
    let (mut taken, mut packets, mut left) = (0, 0, load.frames);
    let mut written = Vec::new();
    while left > 0 {
        sender.exchange();
        sender.pass(&mut |_| {});
        let frames = left.min(50);
        let before = cpu();
        for _ in 0..frames {
            written.push(Instant::now());
            round(sender, &mut out, load);
        }
        taken += cpu() - before;
        packets += frames * load.tracks * load.packets;
        left -= frames;
    }
    (taken as f64 / packets as f64 / 1000.0, latencies(&written, &sink.arrivals()))
}

/// A frame on each track, and the time to the next.
fn round(sender: &mut dyn Sender, out: &mut Out, load: Load) {
    let (start, began) = (Instant::now(), sender.now());
    for track in 0..load.tracks {
        sender.frame(track, load.packets);
        sender.drain(&mut |datagram| out.push(datagram));
    }
    out.flush();
    let until = began + FRAME_INTERVAL;
    loop {
        let next = sender.timeout().map_or(until, |at| at.min(until));
        if load.paced {
            thread::sleep((start + (next - began)).saturating_duration_since(Instant::now()));
        }
        sender.wake(next);
        sender.drain(&mut |datagram| out.push(datagram));
        out.flush();
        if next >= until {
            return;
        }
    }
}

/// The socket, and the run of equal datagrams that is to leave in one system call.
struct Out {
    socket: UdpSocket,
    state: UdpSocketState,
    destination: SocketAddr,
    /// Datagrams in a run at most; 1: a system call each.
    most: usize,
    run: Vec<u8>,
    size: usize,
    count: usize,
}

impl Out {
    fn new(destination: SocketAddr, gso: bool) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket on loopback");
        let state = UdpSocketState::new((&socket).into()).expect("a UDP socket");
        // Waiting for the other end costs no CPU, and nothing is lost.
        socket.set_nonblocking(false).expect("a UDP socket");
        let most = if gso { state.max_gso_segments() } else { 1 };
        Self { socket, state, destination, most, run: Vec::with_capacity(1 << 16), size: 0, count: 0 }
    }

    fn push(&mut self, datagram: &[u8]) {
        if self.most == 1 {
            let _ = self.socket.send_to(datagram, self.destination);
            return;
        }
        let fits = self.count < self.most && self.run.len() + datagram.len() < 1 << 16;
        if self.count > 0 && (datagram.len() > self.size || !fits) {
            self.flush();
        }
        if self.count == 0 {
            self.size = datagram.len();
        }
        self.run.extend_from_slice(datagram);
        self.count += 1;
        if datagram.len() < self.size {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.count > 0 {
            let segment_size = (self.count > 1).then_some(self.size);
            let transmit =
                Transmit { destination: self.destination, ecn: None, contents: &self.run, segment_size, src_ip: None };
            let _ = self.state.try_send((&self.socket).into(), &transmit);
            self.run.clear();
            self.count = 0;
        }
    }
}
