//! What a room wants done, and what waits to be sent.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::conductor::{Conductor, Output, Step};
use crate::net::{IceProtocol, Transmit};

/// Which way datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// What carries them.
    pub protocol: IceProtocol,
    /// Which of our addresses they are to be sent from.
    pub source: SocketAddr,
    /// Where they are to be sent.
    pub destination: SocketAddr,
}

/// What became of datagrams that were to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// So many, from the first on, are done with: sent, or lost for good.
    Taken(usize),
    /// The socket takes no more now.
    Blocked,
}

/// The datagrams of one path that wait to be sent.
#[derive(Debug)]
struct Lane {
    path: Path,
    waiting: VecDeque<Bytes>,
    /// Video, while the path is blocked: it goes when nothing else waits.
    video: VecDeque<Bytes>,
    blocked: bool,
}

impl Lane {
    fn len(&self) -> usize {
        self.waiting.len() + self.video.len()
    }
}

/// What a room wants done, taken from it and not yet done.
#[derive(derive_more::Debug)]
pub struct Outbox<C: Conductor> {
    steps: VecDeque<Step<C>>,
    lanes: Vec<Lane>,
    to_server: VecDeque<C::ToServer>,
    datagrams_dropped: u64,
    /// The channel to the server is gone.
    lost: bool,
}

impl<C: Conductor> Default for Outbox<C> {
    fn default() -> Self {
        Self {
            steps: VecDeque::new(),
            lanes: Vec::new(),
            to_server: VecDeque::new(),
            datagrams_dropped: 0,
            lost: false,
        }
    }
}

impl<C: Conductor> Outbox<C> {
    /// Outputs taken from the room at a time, 128: work of another kind has its turn in between.
    pub const BATCH: usize = 128;
    /// Messages that wait for the server at most, 4096. A server that has not taken so many is as good as gone.
    pub const TO_SERVER: usize = 4096;
    /// Datagrams that wait on one path, 256, from which on no more media should be handed in for it.
    pub const BACKLOG: usize = 256;
    /// Datagrams that wait on one path at most, 1024. Past it they are dropped, video first.
    pub const WAITING: usize = 1024;
    /// Paths remembered while nothing waits on them.
    const IDLE_LANES: usize = 16;

    /// Takes the next outputs of `room`, [`BATCH`](Self::BATCH) at most, and none while steps are left. True if it took
    /// any.
    pub fn fill(&mut self, room: &mut C) -> bool {
        if !self.steps.is_empty() {
            return false;
        }
        let video = if self.is_blocked() { room.video_ssrcs() } else { BTreeSet::new() };
        self.sort_blocked(&video);
        let mut busy = false;
        for output in std::iter::from_fn(|| room.poll_output()).take(Self::BATCH) {
            busy = true;
            match output {
                Output::Transmit(transmit) => self.transmit(transmit, &video),
                Output::Message(message) => self.tell(message),
                Output::Step { first, step } => self.steps.extend(first.into_iter().chain([step])),
            }
        }
        busy
    }

    fn tell(&mut self, message: C::ToServer) {
        if !self.lost {
            self.to_server.push_back(message);
        }
    }

    fn transmit(&mut self, transmit: Transmit, video: &BTreeSet<u32>) {
        let Transmit { protocol, source, destination, contents } = transmit;
        let path = Path { protocol, source, destination };
        let index = self.lanes.iter().position(|lane| lane.path == path).unwrap_or_else(|| {
            if self.lanes.len() >= Self::IDLE_LANES {
                self.lanes.retain(|lane| lane.len() > 0);
            }
            self.lanes.push(Lane { path, waiting: VecDeque::new(), video: VecDeque::new(), blocked: false });
            self.lanes.len() - 1
        });
        let lane = &mut self.lanes[index];
        let is_video = lane.blocked && is_of(&contents, video);
        if lane.len() >= Self::WAITING {
            self.datagrams_dropped += 1;
            if is_video || lane.video.pop_front().is_none() {
                return;
            }
        }
        if is_video { lane.video.push_back(contents) } else { lane.waiting.push_back(contents) }
    }

    /// Video that waited already when its path was found blocked is put behind the rest.
    fn sort_blocked(&mut self, video: &BTreeSet<u32>) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.blocked && lane.video.is_empty()) {
            let (video, waiting) = lane.waiting.drain(..).partition(|datagram| is_of(datagram, video));
            (lane.video, lane.waiting) = (video, waiting);
        }
    }

    /// The next thing to do.
    pub fn next_step(&mut self) -> Option<Step<C>> {
        self.steps.pop_front()
    }

    /// Has the datagrams sent that wait: `send` is given those of one path, in order, until it has taken all or the path is
    /// [blocked](Sent::Blocked), which holds up no other. True if it took any.
    pub fn send(&mut self, mut send: impl FnMut(Path, &VecDeque<Bytes>) -> Sent) -> bool {
        let mut busy = false;
        for lane in &mut self.lanes {
            lane.blocked = false;
            while lane.len() > 0 {
                let next = if lane.waiting.is_empty() { &mut lane.video } else { &mut lane.waiting };
                match send(lane.path, next) {
                    Sent::Taken(count) => {
                        busy = true;
                        next.drain(..count.clamp(1, next.len()));
                    }
                    Sent::Blocked => {
                        lane.blocked = true;
                        break;
                    }
                }
            }
        }
        busy
    }

    /// Datagrams that wait to be sent from one of our addresses.
    pub fn waiting(&self, source: SocketAddr) -> usize {
        self.lanes.iter().filter(|lane| lane.path.source == source).map(Lane::len).sum()
    }

    /// Those of them that go before video.
    pub fn waiting_before_video(&self, source: SocketAddr) -> usize {
        self.lanes.iter().filter(|lane| lane.path.source == source).map(|lane| lane.waiting.len()).sum()
    }

    /// Whether any path is blocked.
    pub fn is_blocked(&self) -> bool {
        self.lanes.iter().any(|lane| lane.blocked)
    }

    /// Datagrams dropped since the last call because too many waited on their path.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.datagrams_dropped)
    }

    /// Everything taken from the room was done. Messages for the server may be left.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.lanes.iter().all(|lane| lane.len() == 0)
    }

    /// The next message for the server.
    pub fn next_message(&mut self) -> Option<C::ToServer> {
        self.to_server.pop_front()
    }

    /// Messages that wait for the server. More than [`TO_SERVER`](Self::TO_SERVER): [`lose`](Self::lose) the channel.
    pub fn messages(&self) -> usize {
        self.to_server.len()
    }

    /// Whether the channel to the server is gone.
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// The channel to the server is gone. The room closes as if the server had closed it.
    pub fn lose(&mut self, room: &mut C, now: Instant) {
        self.lost = true;
        self.to_server.clear();
        self.goodbye(room, now);
    }

    /// Ends the room: it is left, or closed where nobody is there to be told. While outputs wait a room may refuse that
    /// ([`OutputsNotPolled`](crate::OutputsNotPolled)): go on with [`fill`](Self::fill) and call again
    /// until that gives nothing more.
    pub fn goodbye(&mut self, room: &mut C, now: Instant) {
        if self.lost { room.lose(now) } else { room.leave(now) }
    }
}

/// Closes a room whose loop will not go on, and gives the steps that tell of it, so that nobody is left waiting. What it
/// still had to say is dropped.
pub fn finish<C: Conductor>(room: &mut C, now: Instant) -> impl Iterator<Item = Step<C>> {
    while room.poll_output().is_some() {}
    room.lose(now);
    std::iter::from_fn(|| room.poll_output()).filter_map(|output| match output {
        Output::Step { step, .. } => Some(step),
        Output::Transmit(_) | Output::Message(_) => None,
    })
}

/// How many of these datagrams, from the first on, one system call can send (generic segmentation offload): they are of one
/// size, but for the last, which may be smaller. At most `max_segments`, and not more bytes than one datagram can have.
pub fn segments<'a>(datagrams: impl IntoIterator<Item = &'a Bytes>, max_segments: usize) -> usize {
    /// RFC 768: a length of 16 bits, and IPv4's header and its own.
    const MAX_BYTES: usize = 65_535 - 28;
    let mut size = None;
    let (mut count, mut bytes) = (0, 0);
    for datagram in datagrams {
        let length = datagram.len();
        let first = *size.get_or_insert(length);
        bytes += length;
        if count > 0 && (count >= max_segments || length > first || length == 0 || bytes > MAX_BYTES) {
            break;
        }
        count += 1;
        if length < first {
            break;
        }
    }
    count
}

/// Whether a datagram is an RTP packet of one of these streams. RFC 7983 section 7: those that begin with 128 to 191 are RTP
/// or RTCP; RFC 5761 section 4: which of the two, the payload type says. Its SSRC is in clear (RFC 3711 section 3.1).
fn is_of(datagram: &Bytes, ssrcs: &BTreeSet<u32>) -> bool {
    let [128..=191, kind, _, _, _, _, _, _, s0, s1, s2, s3, ..] = datagram[..] else { return false };
    !(64..96).contains(&(kind & 0x7f)) && ssrcs.contains(&u32::from_be_bytes([s0, s1, s2, s3]))
}
