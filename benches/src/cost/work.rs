//! The paths that are measured, each as a piece of work that can be repeated.

use std::fmt;
use std::str::FromStr;

use std::time::{Duration, Instant};

use mediasoup_producer::sim::{Scenario, ScenarioConfig};
use mediasoup_producer_benches::{Idle, Inbound, Ours, Raw, Rooms, Sender};

/// One path through the library, or the same through str0m alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Frames of so many packets, on so many producers in turn; the unit is a packet.
    Frames { raw: bool, packets: usize, tracks: usize },
    /// Packets made elsewhere, so many in a row, on so many producers in turn; the unit is a packet.
    Packets { raw: bool, packets: usize, tracks: usize },
    /// Frames of three packets in so many rooms in turn; the unit is a packet.
    Rooms { rooms: usize },
    /// What the server sends while media flows; the unit is a datagram.
    Datagrams,
    /// Notifications of the server; the unit is a message.
    Messages,
    /// Deadlines of an idle room; the unit is a deadline.
    Timers,
    /// A session of Opus and VP8 in three layers with both its ends; the unit is a second of virtual time.
    Session,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |raw: bool| if raw { "raw" } else { "ours" };
        match *self {
            Self::Frames { raw, packets, tracks } => write!(f, "{}:frames:{packets}:{tracks}", who(raw)),
            Self::Packets { raw, packets, tracks } => write!(f, "{}:packets:{packets}:{tracks}", who(raw)),
            Self::Rooms { rooms } => write!(f, "ours:rooms:{rooms}"),
            Self::Datagrams => f.write_str("ours:datagrams"),
            Self::Messages => f.write_str("ours:messages"),
            Self::Timers => f.write_str("ours:timers"),
            Self::Session => f.write_str("ours:session"),
        }
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(':').collect();
        let number = |index: usize| parts.get(index).and_then(|part| part.parse().ok()).ok_or("a number is missing");
        match *parts {
            [who @ ("ours" | "raw"), "frames", _, _] => {
                Ok(Self::Frames { raw: who == "raw", packets: number(2)?, tracks: number(3)? })
            }
            [who @ ("ours" | "raw"), "packets", _, _] => {
                Ok(Self::Packets { raw: who == "raw", packets: number(2)?, tracks: number(3)? })
            }
            ["ours", "rooms", _] => Ok(Self::Rooms { rooms: number(2)? }),
            ["ours", "datagrams"] => Ok(Self::Datagrams),
            ["ours", "messages"] => Ok(Self::Messages),
            ["ours", "timers"] => Ok(Self::Timers),
            ["ours", "session"] => Ok(Self::Session),
            _ => Err(format!("{text} is no work")),
        }
    }
}

/// Packets of a piece of work, about.
const PACKETS: usize = 3000;
/// Frames between two exchanges with the other end, which keep the connection alive.
const BETWEEN_EXCHANGES: usize = 50;

impl Work {
    /// Does it, each piece that counts through `count`; returns the units.
    pub(crate) fn run(self, count: &mut dyn FnMut(&mut dyn FnMut())) -> usize {
        match self {
            Self::Frames { raw, packets, tracks } => send(&mut *sender(raw, tracks), count, packets, tracks, false),
            Self::Packets { raw, packets, tracks } => send(&mut *sender(raw, tracks), count, packets, tracks, true),
            Self::Rooms { rooms } => {
                let mut rooms = Rooms::connected(rooms);
                let units = rooms.iter_mut().count() * 3;
                let mut once = || {
                    for room in rooms.iter_mut() {
                        room.frame(0, 3);
                        room.pass(&mut |datagram| _ = std::hint::black_box(datagram));
                    }
                };
                once();
                let rounds = (PACKETS * 10).div_ceil(units);
                (0..rounds).for_each(|_| count(&mut once));
                units * rounds
            }
            Self::Datagrams => {
                let mut inbound = Inbound::connected();
                let mut units = 0;
                for _ in 0..40 {
                    inbound.listen();
                    units += inbound.arrived();
                    count(&mut || (0..inbound.arrived()).for_each(|_| inbound.receive()));
                }
                units
            }
            Self::Messages => {
                let mut inbound = Inbound::connected();
                let mut messages: Vec<_> = (0..1000).map(|_| inbound.notification()).collect();
                let units = messages.len();
                count(&mut || messages.drain(..).for_each(|message| inbound.notify(message)));
                units
            }
            Self::Timers => {
                let mut idle = Idle::connected();
                for _ in 0..100 {
                    count(&mut || (0..5).for_each(|_| _ = idle.timeout()));
                    idle.exchange();
                }
                500
            }
            Self::Session => {
                let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).sending();
                count(&mut || scenario.drive(Duration::from_secs(10)));
                10
            }
        }
    }
}

fn sender(raw: bool, tracks: usize) -> Box<dyn Sender> {
    if raw { Box::new(Raw::connected(tracks)) } else { Box::new(Ours::connected(tracks)) }
}

fn send(
    sender: &mut dyn Sender,
    count: &mut dyn FnMut(&mut dyn FnMut()),
    packets: usize,
    tracks: usize,
    ready_made: bool,
) -> usize {
    let rounds = PACKETS.div_ceil(packets * tracks).max(20);
    for round in 0..rounds {
        if round % BETWEEN_EXCHANGES == 0 {
            sender.exchange();
            // What the exchange left is no part of the first frame's cost.
            sender.pass(&mut |_| {});
        }
        count(&mut || {
            for track in 0..tracks {
                if ready_made {
                    sender.packets(track, packets)
                } else {
                    sender.frame(track, packets)
                }
                sender.drain(&mut |datagram| _ = std::hint::black_box(datagram));
            }
            sender.pass(&mut |datagram| _ = std::hint::black_box(datagram));
        });
    }
    rounds * packets * tracks
}
