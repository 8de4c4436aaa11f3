//! For authors of adapters: what lies between a [`Room`] and its sockets, timer and channel to the server, whatever
//! runtime they are of.
//!
//! An adapter's loop is: [`fill`](Outbox::fill), do each [`Step`], write each [message](Outbox::next_message), and hand in
//! what came over the sockets, what the server said ([`Input::try_from`](crate::Input)) and the time. It ends with
//! [`goodbye`](Outbox::goodbye), or, when the channel to the server is gone, with [`lose`](Outbox::lose); [`finish`] settles
//! what is left when the loop is simply dropped. The crates for tokio and smol are made of this.

use std::collections::VecDeque;
use std::time::Instant;

use crate::error::OperationError;
use crate::id::{OperationId, TransportId};
use crate::output::{Event, Output, Transmit, TransportEvent};
use crate::protocol::ToServer;
use crate::room::{Room, RoomState};

/// What an adapter is to do for the room.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// Send a datagram. If its socket takes no more now, [put it back](Outbox::put_back).
    Send(Transmit),
    /// Open sockets towards the [targets](crate::TransportInfo::socket_targets) of a transport, and
    /// [name](crate::Transport::set_local_addresses) their addresses.
    Open(TransportId),
    /// Close the sockets of a transport.
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

/// What a room wants done, taken from it and not yet done.
#[derive(Debug, Default)]
pub struct Outbox {
    steps: VecDeque<Step>,
    to_server: VecDeque<ToServer>,
    /// The channel to the server is gone.
    lost: bool,
}

impl Outbox {
    /// Outputs taken from the room at a time, 64: work of another kind has its turn in between.
    pub const BATCH: usize = 64;
    /// Messages that wait for the server at most, 4096. A server that has not taken so many is as good as gone.
    pub const TO_SERVER: usize = 4096;

    /// Takes the next outputs of `room`, [`BATCH`](Self::BATCH) at most, and none while steps are left. True if it took
    /// any.
    pub fn fill(&mut self, room: &mut Room) -> bool {
        if !self.steps.is_empty() {
            return false;
        }
        let mut busy = false;
        for output in std::iter::from_fn(|| room.poll_output()).take(Self::BATCH) {
            busy = true;
            match output {
                Output::Transmit(transmit) => self.steps.push_back(Step::Send(transmit)),
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

    /// The next thing to do.
    pub fn next_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Puts back what cannot be done now: it is the next step again.
    pub fn put_back(&mut self, step: Step) {
        self.steps.push_front(step);
    }

    /// Everything taken from the room was done. Messages for the server may be left.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty()
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
    /// ([`CommandError::OutputsNotPolled`](crate::CommandError::OutputsNotPolled)): go on with [`fill`](Self::fill) and call again
    /// until that gives nothing more.
    pub fn goodbye(&mut self, room: &mut Room, now: Instant) {
        let _ = match room.state() {
            RoomState::Joining | RoomState::Joined if self.lost => room.remote_close(now, None),
            RoomState::Joining | RoomState::Joined => room.leave(now, None),
            RoomState::New | RoomState::Closed => Ok(()),
        };
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
