//! A room and the server it speaks to, whose worker takes its time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Difference;
use crate::event::ConnectionState;
use crate::id::{ProducerId, RequestId, TransportId};
use crate::net::IceProtocol;
use crate::sim::model::{Notice, Step, address};
use crate::sim::pick;
use crate::sim::server::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
use crate::v2::Output;
use crate::v2::Room;
use crate::v2::protocol::Refusal;
use crate::v2::{Accepted, Command, Input};
use crate::v2::{ProducerOptions, RoomConfig};

const CONNECTION: ConnectionId = ConnectionId(0);
const PEER: &str = "model";
/// How long a message takes.
const ON_THE_WAY: Duration = Duration::from_millis(5);
/// How long the server may take before we give up. Its worker may take twice that.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// What a number from 0 to 255 adds to the worker's time.
const WORKER_STEP: Duration = Duration::from_millis(16);
/// More wakes than one step can need.
const WAKES: u32 = 100_000;

/// A [scripted](crate::sim::Scripted) room and a [`RoomServer`], to which the [steps](Step) of the model happen in their own way.
///
/// Commands are the application's. [`Step::Answer`] says how long the server's worker takes from here on, up to twice as long
/// as we wait; what it answers is its own affair. A [`Step::Server`] that closes, pauses or resumes something is the server's
/// doing; other notices, frames and datagrams are passed over.
///
/// However it went, when everything has been said the server has what the room has, and nothing else:
/// [`settled`](Self::settled).
#[derive(Debug)]
pub struct BothSides {
    room: Room,
    server: RoomServer,
    now: Instant,
    transports: Vec<TransportId>,
    producers: Vec<ProducerId>,
    to_server: VecDeque<(Instant, Message)>,
    to_room: VecDeque<(Instant, Input)>,
}

#[derive(Debug)]
enum Message {
    Request(RequestId, Value),
    Notification(Value),
}

impl BothSides {
    /// A room that was not joined.
    pub fn new(start: Instant, seed: u64) -> Self {
        let server = RoomServerConfig::default().address(IceProtocol::Udp, address(2));
        Self {
            room: Room::scripted(RoomConfig::default().request_timeout(REQUEST_TIMEOUT), seed),
            server: RoomServer::new(server, seed),
            now: start,
            transports: Vec::new(),
            producers: Vec::new(),
            to_server: VecDeque::new(),
            to_room: VecDeque::new(),
        }
    }

    /// Something happens.
    pub fn step(&mut self, step: &Step) -> Result<(), Difference> {
        let transport = |number| {
            let living = |id: &TransportId| self.room.transport_info(*id).is_some();
            pick(&self.transports, living, 224, number).unwrap_or(7.into())
        };
        let producer = |number| {
            let living = |id: &ProducerId| self.room.producer_info(*id).is_some();
            pick(&self.producers, living, 224, number).unwrap_or(7.into())
        };
        match *step {
            Step::Join { app, .. } => {
                self.command(Command::Join { peer_name: PEER.to_owned(), app_data: app.value() });
            }
            Step::Leave { app } => self.command(Command::Leave { app_data: app.value() }),
            Step::RemoteClose { app } => {
                self.server.handle_disconnect(self.now, CONNECTION, None);
                self.command(Command::RemoteClose { app_data: app.value() });
                self.collect();
                self.to_server.clear();
                self.to_room.clear();
            }
            Step::CreateTransport { app } => self.command(Command::CreateTransport { app_data: app.value() }),
            Step::CreateProducer { track, simulcast, app } => {
                let options = ProducerOptions::default().simulcast(simulcast);
                self.command(Command::CreateProducer { track: track.track(), options, app_data: app.value() });
            }
            Step::RestartIce => self.command(Command::RestartIce),
            Step::Transport { pick, op } => self.command(op.command(transport(pick))),
            Step::Producer { pick, op } => self.command(op.command(producer(pick))),
            Step::Send { producer: id, transport: over } => {
                self.command(Command::Send { id: producer(id), transport: transport(over) });
            }
            Step::Answer { to, .. } => self.server.set_worker_delay(WORKER_STEP * u32::from(to)),
            Step::Server(notice) => match notice {
                Notice::Closed(app) => drop(self.server.close_peer(self.now, PEER, app.value())),
                Notice::TransportClosed(number, app) => {
                    self.server.close_transport(self.now, transport(number), app.value());
                }
                Notice::ProducerPaused(number, app) => {
                    self.server.pause_producer(self.now, producer(number), app.value());
                }
                Notice::ProducerResumed(number, app) => {
                    self.server.resume_producer(self.now, producer(number), app.value());
                }
                Notice::ProducerClosed(number, app) => {
                    self.server.close_producer(self.now, producer(number), app.value());
                }
                Notice::TransportStats(_)
                | Notice::ProducerStats(_)
                | Notice::NewPeer(_)
                | Notice::PeerClosed(_)
                | Notice::Foreign
                | Notice::Malformed => {}
            },
            Step::Engine { pick, says } => {
                self.room.engine_event(self.now, transport(pick), says.event());
            }
            Step::Pass { milliseconds, .. } => self.pass(Duration::from_millis(milliseconds.into()))?,
            Step::KeyFrame { .. } | Step::Media { .. } | Step::Datagram { .. } => {}
        }
        self.collect();
        Ok(())
    }

    /// Waits until nothing is asked or answered any more, and compares what both sides have.
    pub fn settled(&mut self) -> Result<(), Difference> {
        while self.room.stats().requests_pending > 0
            || self.server.requests_waiting() > 0
            || !self.to_server.is_empty()
            || !self.to_room.is_empty()
        {
            self.pass(Duration::from_millis(100))?;
        }
        let transports =
            self.room.transports().filter(|transport| transport.connection_state() != ConnectionState::New);
        let mut ours = transports.map(|transport| transport.server_id().value()).collect::<Vec<_>>();
        let mut theirs = self.server.transports().map(|transport| transport.id().value()).collect::<Vec<_>>();
        ours.sort_unstable();
        theirs.sort_unstable();
        compare("transports", &ours, &theirs)?;
        let over = |id: TransportId| self.room.transport_info(id).map(|transport| transport.server_id().value());
        let producers = self.room.producers().filter(|producer| producer.handled());
        let ours: BTreeMap<_, _> = producers
            .map(|producer| {
                let transport = producer.transport().and_then(over);
                (producer.server_id().value(), (transport, producer.locally_paused()))
            })
            .collect();
        let theirs: BTreeMap<_, _> = self
            .server
            .producers()
            .map(|producer| (producer.id().value(), (Some(producer.transport().value()), producer.paused_by_peer())))
            .collect();
        compare("producers, their transports, and whether we pause them", &ours, &theirs)?;
        compare("peer", &self.room.joined(), &self.server.peers().any(|peer| peer.name() == PEER))
    }

    /// What cannot be done is refused, and nothing happens.
    fn command(&mut self, command: Command) {
        match self.room.handle_input(self.now, Input::Command(command)) {
            Ok(Accepted::Transport(id)) => self.transports.push(id),
            Ok(Accepted::Producer(id)) => self.producers.push(id),
            Ok(Accepted::Operation(_) | Accepted::Operations(_) | Accepted::Done) | Err(_) => {}
        }
    }

    fn pass(&mut self, time: Duration) -> Result<(), Difference> {
        let until = self.now + time;
        for _ in 0..WAKES {
            self.collect();
            let messages = [self.to_server.front().map(|(at, _)| *at), self.to_room.front().map(|(at, _)| *at)];
            let deadlines = [self.room.poll_timeout(), self.server.poll_timeout()];
            let Some(at) = messages.into_iter().chain(deadlines).flatten().min().filter(|at| *at <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(at);
            self.happen();
        }
        Err(Difference("time stands still".to_owned()))
    }

    fn happen(&mut self) {
        let now = self.now;
        self.server.handle_timeout(now);
        self.room.handle_timeout(now);
        self.collect();
        while let Some((_, message)) = arrived(&mut self.to_server, now) {
            match message {
                Message::Request(id, message) => self.server.handle_request(now, CONNECTION, id.value(), &message),
                Message::Notification(message) => self.server.handle_notification(now, CONNECTION, &message),
            }
        }
        while let Some((_, input)) = arrived(&mut self.to_room, now) {
            // Nothing that the server says is an error.
            let _ = self.room.handle_input(now, input);
        }
    }

    fn collect(&mut self) {
        let at = self.now + ON_THE_WAY;
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    self.to_server.push_back((at, Message::Request(id, request.to_json())));
                }
                Output::Notification(notification) => {
                    self.to_server.push_back((at, Message::Notification(notification.to_json())));
                }
                Output::Transmit(_) | Output::Event(_) => {}
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                ServerOutput::Response { id, result, .. } => {
                    let result = result.map_err(Refusal::new);
                    self.to_room.push_back((at, Input::Response { id: id.into(), result }));
                }
                ServerOutput::Notification { message, .. } => {
                    self.to_room.push_back((at, Input::Notification(message)));
                }
                ServerOutput::Transmit(_) | ServerOutput::Rtp(_) | ServerOutput::Event(_) => {}
            }
        }
    }
}

fn arrived<T>(queue: &mut VecDeque<(Instant, T)>, now: Instant) -> Option<(Instant, T)> {
    queue.front().filter(|(at, _)| *at <= now)?;
    queue.pop_front()
}

fn compare<T: PartialEq + std::fmt::Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), Difference> {
    if ours == theirs {
        Ok(())
    } else {
        Err(Difference(format!("{what}: the room has {ours:?}, the server {theirs:?}")))
    }
}
