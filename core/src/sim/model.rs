//! The reference model: what a room, its transports and its producers promise, written from the documentation of the v2
//! API and the notes on its behaviour, not from the implementation. It has no engines, no streams and no clever parts: a few
//! tables, and what is said when they change.
//!
//! The model names transports and producers by the order of their creation. [`Lockstep`](super::Lockstep) runs it beside a
//! room, or beside a loop that drives one.

mod inputs;
mod producer;
mod requests;
mod room;
mod step;
mod transport;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

#[cfg(feature = "proptest")]
use crate::event::ConnectionState;
use crate::event::Originator;
use crate::limits::Limits;
use crate::v2::Failure;
use crate::v2::RoomConfig;
use crate::v2::RoomState;
use crate::v2::{Event, ProducerEvent, TransportEvent};

pub(super) use inputs::{address, datagram, frame, garbled};
use producer::Producer;
pub(super) use producer::layer;
use requests::{Late, Open};
pub use step::{Answer, App, Notice, ProducerOp, Says, Step, TrackKind, TransportOp};
use transport::Transport;

const TRANSPORTS: usize = 3;
const PRODUCERS: usize = 5;
const OPERATIONS: usize = 4;
const ADDRESSES: usize = 2;
const PEERS: usize = 3;
/// Requests without an answer: fewer than there may be transports to ask for.
const PENDING: usize = 2;
/// So many ids of one send may be taken.
const IDS_TAKEN: u8 = 4;
/// Requests that were given up, and may still be answered.
const LATE: usize = 2;
/// How long the server may take, in milliseconds.
const REQUEST_TIMEOUT: u64 = 2_000;

/// What the server or the application hears.
#[derive(Clone, PartialEq)]
pub(super) enum Said {
    Request(u64, Value),
    Notification(Value),
    Event(Event),
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Request(id, message) => write!(f, "request {id} {message}"),
            Self::Notification(message) => write!(f, "notification {message}"),
            Self::Event(event) => event.fmt(f),
        }
    }
}

/// A room as it must be.
///
/// Its limits are small, so that a sequence of steps reaches them: see [`config`](Self::config).
#[derive(Debug, Clone)]
pub struct Model {
    /// Milliseconds since the beginning.
    pub(super) now: u64,
    pub(super) state: RoomState,
    /// `join` went out, and the room is not closed.
    known_to_server: bool,
    pub(super) peers: BTreeMap<String, Option<Value>>,
    pub(super) transports: BTreeMap<usize, Transport>,
    pub(super) producers: BTreeMap<usize, Producer>,
    pub(super) transports_made: usize,
    pub(super) producers_made: usize,
    pub(super) sends_audio: bool,
    pub(super) sends_video: bool,
    join_app: Option<Value>,
    open: BTreeMap<u64, Open>,
    late: BTreeMap<u64, Late>,
    pub(super) forgotten: u64,
    pub(super) requests: u64,
    operations: u64,
    /// How often a producer was handled.
    handled: u64,
    pub(super) malformed: u64,
    pub(super) unexpected: u64,
    pub(super) peers_dropped: u64,
    /// What the last step said, in order.
    pub(super) said: Vec<Said>,
    /// How the last step's command ended: done, or the name of its error.
    pub(super) result: Result<(), &'static str>,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            now: 0,
            state: RoomState::New,
            known_to_server: false,
            peers: BTreeMap::new(),
            transports: BTreeMap::new(),
            producers: BTreeMap::new(),
            transports_made: 0,
            producers_made: 0,
            sends_audio: false,
            sends_video: false,
            join_app: None,
            open: BTreeMap::new(),
            late: BTreeMap::new(),
            forgotten: 0,
            requests: 0,
            operations: 0,
            handled: 0,
            malformed: 0,
            unexpected: 0,
            peers_dropped: 0,
            said: Vec::new(),
            result: Ok(()),
        }
    }
}

/// How far a session has come.
#[cfg(feature = "proptest")]
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Outside,
    Waiting,
    Empty,
    Idle,
    Connecting,
    Sending,
}

#[cfg(feature = "proptest")]
impl Stage {
    pub(super) const ALL: [Self; 6] =
        [Self::Outside, Self::Waiting, Self::Empty, Self::Idle, Self::Connecting, Self::Sending];
}

/// The one to pick: mostly of those that live, sometimes of all there ever were, and one that never was.
pub(super) fn pick<T>(living: &BTreeMap<usize, T>, made: usize, number: u8) -> usize {
    let number = usize::from(number);
    if number < 224 && !living.is_empty() {
        return *living.keys().nth(number % living.len()).expect("less than the length");
    }
    number % (made + 1)
}

fn with_app(mut message: Value, app: &Option<Value>) -> Value {
    if let Some(app) = app {
        message["appData"] = app.clone();
    }
    message
}

fn to_peer(method: &str, rest: Value, app: &Option<Value>) -> Value {
    let mut message = json!({ "method": method, "target": "peer", "notification": true });
    for (name, value) in rest.as_object().expect("fields") {
        message[name] = value.clone();
    }
    with_app(message, app)
}

impl Model {
    /// The options of a room that keeps to the model.
    pub fn config() -> RoomConfig {
        let limits = Limits::default()
            .transports(TRANSPORTS)
            .producers(PRODUCERS)
            .operations(OPERATIONS)
            .local_addresses(ADDRESSES)
            .peers(PEERS)
            .pending_requests(PENDING)
            .late_answers(LATE);
        RoomConfig::default().limits(limits).request_timeout(Duration::from_millis(REQUEST_TIMEOUT))
    }

    /// One thing happens.
    pub fn step(&mut self, step: &Step) {
        self.said.clear();
        self.result = match *step {
            Step::Join { nameless, app } => self.join(nameless, app.value()),
            Step::Leave { app } => self.leave(app.value()),
            Step::RemoteClose { app } => {
                self.close_room(Originator::Remote, app.value());
                Ok(())
            }
            Step::CreateTransport { app } => self.create_transport(app.value()),
            Step::CreateProducer { track, simulcast, app } => self.create_producer(track, simulcast, app.value()),
            Step::RestartIce => self.restart_all(),
            Step::Transport { pick: number, op } => {
                self.transport_op(pick(&self.transports, self.transports_made, number), op)
            }
            Step::Producer { pick: number, op } => {
                self.producer_op(pick(&self.producers, self.producers_made, number), op)
            }
            Step::Send { producer, transport } => self.send(
                pick(&self.producers, self.producers_made, producer),
                pick(&self.transports, self.transports_made, transport),
            ),
            Step::Answer { to, how } => {
                self.answer(self.answered(to), how);
                Ok(())
            }
            Step::Server(notice) => {
                self.notice(notice);
                Ok(())
            }
            Step::Engine { pick: number, says } => {
                self.engine(pick(&self.transports, self.transports_made, number), says);
                Ok(())
            }
            Step::KeyFrame { producer, layer } => {
                self.key_frame(pick(&self.producers, self.producers_made, producer), layer);
                Ok(())
            }
            Step::Media { producer, layer, bytes, key_frame } => {
                self.media(pick(&self.producers, self.producers_made, producer), layer, bytes, key_frame)
            }
            Step::Datagram { .. } => Ok(()),
            Step::Pass { milliseconds, jump } => {
                self.pass(milliseconds.into(), jump);
                Ok(())
            }
        };
    }

    /// When the next request is overdue.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.open.values().map(|open| open.deadline).min()
    }

    pub(super) fn pending(&self) -> usize {
        self.open.len()
    }
    #[cfg(feature = "proptest")]
    pub(super) fn stage(&self) -> Stage {
        if matches!(self.state, RoomState::New | RoomState::Closed) {
            Stage::Outside
        } else if self.pending() > 0 {
            Stage::Waiting
        } else if self.transports.is_empty() || self.producers.is_empty() {
            Stage::Empty
        } else if !self.producers.values().any(Producer::handled) {
            Stage::Idle
        } else if !self.transports.values().any(|transport| transport.connection == ConnectionState::Connected) {
            Stage::Connecting
        } else {
            Stage::Sending
        }
    }

    // Small parts.

    fn transport(&mut self, id: usize) -> &mut Transport {
        self.transports.get_mut(&id).expect("the model keeps its own tables in order")
    }

    fn producer(&mut self, id: usize) -> &mut Producer {
        self.producers.get_mut(&id).expect("the model keeps its own tables in order")
    }

    fn operation(&mut self) -> u64 {
        self.operations += 1;
        self.operations
    }

    fn settle(&mut self, operation: u64, result: Result<(), Failure>) {
        self.emit(Event::Settled { operation: operation.into(), result });
    }

    fn tell(&mut self, message: Value) {
        self.said.push(Said::Notification(message));
    }

    fn emit(&mut self, event: Event) {
        self.said.push(Said::Event(event));
    }

    fn emit_transport(&mut self, id: usize, event: TransportEvent) {
        self.emit(Event::Transport { id: (id as u32).into(), event });
    }

    fn emit_producer(&mut self, id: usize, event: ProducerEvent) {
        self.emit(Event::Producer { id: (id as u32).into(), event });
    }
}
