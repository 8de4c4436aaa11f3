//! For authors of adapters: what lies between a [`Room`] and its sockets, timer and channel to the server, whatever
//! runtime they are of.
//!
//! An adapter's loop is: [`fill`](Outbox::fill), do each [`Step`], [`send`](Outbox::send) the datagrams, write each
//! [message](Outbox::next_message), and hand in what came over the sockets, what the server said
//! ([`Input::try_from`](crate::v2::Input)) and the time. It ends with [`goodbye`](Outbox::goodbye), or, when the channel to the
//! server is gone, with [`lose`](Outbox::lose); [`finish`] settles what is left when the loop is simply dropped. The crate
//! `mediasoup-producer-driver` is made of this.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::id::{OperationId, TransportId};
use crate::net::IceProtocol;
use crate::net::Transmit;
use crate::rtp::MediaKind;
use crate::v2::OperationError;
use crate::v2::protocol::ToServer;
use crate::v2::{Event, Output, TransportEvent};
use crate::v2::{Room, RoomState};

/// What an adapter is to do for the room.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Open sockets towards the [targets](crate::v2::TransportInfo::socket_targets) of a transport, and
    /// [name](crate::v2::Transport::set_local_addresses) their addresses.
    Open(TransportId),
    /// Close the sockets of a transport, each when nothing [waits](Outbox::waiting) for it any more.
    Close(TransportId),
    /// Tell whoever waits for an operation how it ended.
    Settle {
        /// The operation.
        operation: OperationId,
        /// How it ended.
        result: Result<(), OperationError>,
    },
    /// Tell the application; all events but [`Settled`](Event::Settled).
    Emit(Event),
}

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
#[derive(Debug, Default)]
pub struct Outbox {
    steps: VecDeque<Step>,
    lanes: Vec<Lane>,
    to_server: VecDeque<ToServer>,
    datagrams_dropped: u64,
    /// The channel to the server is gone.
    lost: bool,
}

impl Outbox {
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
    pub fn fill(&mut self, room: &mut Room) -> bool {
        if !self.steps.is_empty() {
            return false;
        }
        let video = if self.is_blocked() { video_ssrcs(room) } else { BTreeSet::new() };
        self.sort_blocked(&video);
        let mut busy = false;
        for output in std::iter::from_fn(|| room.poll_output()).take(Self::BATCH) {
            busy = true;
            match output {
                Output::Transmit(transmit) => self.transmit(transmit, &video),
                Output::Request { id, request } => self.tell(ToServer::Request { id, request }),
                Output::Notification(notification) => self.tell(ToServer::Notification(notification)),
                Output::Event(Event::Settled { operation, result }) => {
                    self.steps.push_back(Step::Settle { operation, result });
                }
                Output::Event(event) => {
                    self.steps.extend(match &event {
                        Event::Transport { id, event: TransportEvent::RemoteCandidates { .. } } => {
                            Some(Step::Open(*id))
                        }
                        Event::Transport { id, event: TransportEvent::Close { .. } } => Some(Step::Close(*id)),
                        _ => None,
                    });
                    self.steps.push_back(Step::Emit(event));
                }
            }
        }
        busy
    }

    fn tell(&mut self, message: ToServer) {
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
    pub fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Has the datagrams sent that wait: `send` is given those of one path, in order, until it has taken all or the path is
    /// [blocked](Sent::Blocked), which holds up no other. True if it took any.
    pub fn send(&mut self, mut send: impl FnMut(Path, &VecDeque<Bytes>) -> Sent) -> bool {
        let mut busy = false;
        for lane in &mut self.lanes {
            lane.blocked = false;
            while lane.len() > 0 {
                if lane.waiting.is_empty() {
                    std::mem::swap(&mut lane.waiting, &mut lane.video);
                }
                match send(lane.path, &lane.waiting) {
                    Sent::Taken(count) => {
                        busy = true;
                        lane.waiting.drain(..count.clamp(1, lane.waiting.len()));
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
    pub fn next_message(&mut self) -> Option<ToServer> {
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
    pub fn lose(&mut self, room: &mut Room, now: Instant) {
        self.lost = true;
        self.to_server.clear();
        self.goodbye(room, now);
    }

    /// Ends the room: it is left, or closed where nobody is there to be told. While outputs wait a room may refuse that
    /// ([`OutputsNotPolled`](crate::OutputsNotPolled)): go on with [`fill`](Self::fill) and call again
    /// until that gives nothing more.
    pub fn goodbye(&mut self, room: &mut Room, now: Instant) {
        match room.state() {
            RoomState::Joining | RoomState::Joined if self.lost => drop(room.remote_close(now, None)),
            RoomState::Joining | RoomState::Joined => drop(room.leave(now, None)),
            RoomState::New | RoomState::Closed => {}
        }
    }
}

/// Closes a room whose loop will not go on, and gives the events that tell of it, so that nobody is left waiting. What it
/// still had to say is dropped.
pub fn finish(room: &mut Room, now: Instant) -> impl Iterator<Item = Event> {
    while room.poll_output().is_some() {}
    let _ = room.remote_close(now, None);
    std::iter::from_fn(|| room.poll_output()).filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
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

fn video_ssrcs(room: &Room) -> BTreeSet<u32> {
    room.producers()
        .filter(|producer| producer.kind() == MediaKind::Video)
        .filter_map(|producer| producer.rtp_parameters())
        .flat_map(|parameters| &parameters.encodings)
        .flat_map(|encoding| [Some(encoding.ssrc), encoding.rtx.map(|rtx| rtx.ssrc)])
        .flatten()
        .collect()
}

/// Whether a datagram is an RTP packet of one of these streams. RFC 7983 section 7: those that begin with 128 to 191 are RTP
/// or RTCP; RFC 5761 section 4: which of the two, the payload type says. Its SSRC is in clear (RFC 3711 section 3.1).
fn is_of(datagram: &Bytes, ssrcs: &BTreeSet<u32>) -> bool {
    let [128..=191, kind, _, _, _, _, _, _, s0, s1, s2, s3, ..] = datagram[..] else { return false };
    !(64..96).contains(&(kind & 0x7f)) && ssrcs.contains(&u32::from_be_bytes([s0, s1, s2, s3]))
}
