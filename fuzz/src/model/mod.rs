//! What a room, its transports and its producers promise, written from the documentation of the v2 API and the notes on its
//! behaviour, not from the implementation. It has no engines, no streams and no clever parts: a few tables, and what is said
//! when they change.
//!
//! The model names transports and producers by the order of their creation. [`lockstep`] runs it beside a room.

pub mod lockstep;
pub mod op;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mediasoup_producer::protocol::{Peer, Refusal};
use mediasoup_producer::stats::{ProducerStats, TransportStats};
use mediasoup_producer::{
    ConnectionState, DtlsFailure, Event, OperationError, Originator, ProducerEvent, Profile, RoomState, TransportEvent,
};
use serde_json::{Value, json};

use op::{Answer, App, Notice, Op, ProducerOp, Says, TrackKind, TransportOp};

/// Limits of the rooms that run beside the model.
pub const TRANSPORTS: usize = 3;
pub const PRODUCERS: usize = 5;
pub const OPERATIONS: usize = 4;
pub const ADDRESSES: usize = 2;
pub const PEERS: usize = 3;
/// How long the server may take, in milliseconds.
pub const REQUEST_TIMEOUT: u64 = 2_000;
/// Key frame requests closer together than this are one, in milliseconds.
const KEY_FRAME_GAP: u64 = 500;
/// The longest audio packet that fits.
const AUDIO_BYTES: u16 = 1_120;

/// What the server or the application hears.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Request(u64, Value),
    Notification(Value),
    Event(Event),
}

/// A room as it must be.
#[derive(Debug, Clone)]
pub struct Model {
    /// Milliseconds since the beginning.
    pub now: u64,
    pub state: RoomState,
    /// `join` went out, and the room is not closed.
    known_to_server: bool,
    pub peers: BTreeMap<String, Option<Value>>,
    pub transports: BTreeMap<usize, Transport>,
    pub producers: BTreeMap<usize, Producer>,
    pub transports_made: usize,
    pub producers_made: usize,
    pub sends_audio: bool,
    pub sends_video: bool,
    join_app: Option<Value>,
    open: BTreeMap<u64, Open>,
    pub requests: u64,
    operations: u64,
    pub malformed: u64,
    pub unexpected: u64,
    pub peers_dropped: u64,
    /// What the last step said, in order.
    pub said: Vec<Said>,
    /// How the last step's command ended: done, or the name of its error.
    pub result: Result<(), &'static str>,
}

#[derive(Debug, Clone)]
pub struct Transport {
    pub app: Option<Value>,
    /// `createTransport` is under way.
    creating: bool,
    pub connection: ConnectionState,
    /// Milliseconds.
    pub stats: Option<u64>,
    pub addresses: BTreeSet<u8>,
    queue: VecDeque<Queued>,
    busy: Option<u64>,
}

#[derive(Debug, Clone)]
enum Queued {
    Send {
        operation: u64,
        producer: usize,
    },
    Restart {
        operation: u64,
    },
    /// The producer was closed after the server was asked to make it; what it is to be told when it has.
    Closed {
        then: Option<Value>,
    },
}

#[derive(Debug, Clone)]
pub struct Producer {
    pub video: bool,
    pub simulcast: bool,
    pub app: Option<Value>,
    pub locally_paused: bool,
    pub remotely_paused: bool,
    pub track_ended: bool,
    pub stats: Option<u64>,
    pub life: Life,
    /// When a key frame was last asked for, by layer.
    asked: [Option<u64>; 3],
}

#[derive(Debug, Clone, PartialEq)]
pub enum Life {
    Unhandled,
    Pending { transport: usize, operation: u64, told: Option<Told> },
    Handled { transport: usize },
}

/// What the server was told of a producer it has not made yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    paused: bool,
    app: Option<Value>,
}

#[derive(Debug, Clone)]
struct Open {
    deadline: u64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    QueryRoom { operation: u64 },
    Join { operation: u64 },
    CreateTransport { transport: usize },
    RestartTransport { transport: usize },
    CreateProducer { transport: usize, producer: usize },
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
            requests: 0,
            operations: 0,
            malformed: 0,
            unexpected: 0,
            peers_dropped: 0,
            said: Vec::new(),
            result: Ok(()),
        }
    }
}

impl Producer {
    pub fn paused(&self) -> bool {
        self.locally_paused || self.remotely_paused
    }

    pub fn transport(&self) -> Option<usize> {
        match self.life {
            Life::Unhandled => None,
            Life::Pending { transport, .. } | Life::Handled { transport } => Some(transport),
        }
    }

    pub fn handled(&self) -> bool {
        matches!(self.life, Life::Handled { .. })
    }

    pub fn layers(&self) -> &'static [Profile] {
        if self.simulcast { &Profile::SIMULCAST } else { &[Profile::Default] }
    }
}

impl Transport {
    /// The server has made its side.
    fn made(&self) -> bool {
        self.connection != ConnectionState::New
    }

    /// Media can go out: it was connected, and is not given up.
    fn flows(&self) -> bool {
        matches!(self.connection, ConnectionState::Connected | ConnectionState::Disconnected)
    }
}

/// The one to pick: mostly of those that live, sometimes of all there ever were, and one that never was.
pub fn pick<T>(living: &BTreeMap<usize, T>, made: usize, number: u8) -> usize {
    let number = usize::from(number);
    if number < 224 && !living.is_empty() {
        return *living.keys().nth(number % living.len()).expect("less than the length");
    }
    number % (made + 1)
}

pub fn app_data(app: App) -> Option<Value> {
    match app {
        App::None => None,
        App::Null => Some(Value::Null),
        App::Some(number) => Some(json!({ "n": number })),
    }
}

/// The layer a number picks; the fourth does not exist.
pub fn layer(producer: Option<&Producer>, number: u8) -> Profile {
    let layers = producer.map_or(&[Profile::Default][..], Producer::layers);
    let wrong = if layers.len() == 1 { Profile::High } else { Profile::Default };
    layers.get(usize::from(number % 4)).copied().unwrap_or(if number % 4 == 3 { wrong } else { layers[0] })
}

/// The server's refusal, in one of its wordings.
pub fn refusal() -> Refusal {
    Refusal::new("TypeError: WebRtcTransport not found")
}

pub fn failure() -> DtlsFailure {
    DtlsFailure::Timeout
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
    /// One thing happens.
    pub fn step(&mut self, op: &Op) {
        self.said.clear();
        self.result = match *op {
            Op::Join { nameless, app } => self.join(nameless, app_data(app)),
            Op::Leave { app } => self.leave(app_data(app)),
            Op::RemoteClose { app } => {
                self.close_room(Originator::Remote, app_data(app));
                Ok(())
            }
            Op::CreateTransport { app } => self.create_transport(app_data(app)),
            Op::CreateProducer { track, simulcast, app } => self.create_producer(track, simulcast, app_data(app)),
            Op::RestartIce => self.restart_all(),
            Op::Transport { pick: number, op } => {
                self.transport_op(pick(&self.transports, self.transports_made, number), op)
            }
            Op::Producer { pick: number, op } => {
                self.producer_op(pick(&self.producers, self.producers_made, number), op)
            }
            Op::Send { producer, transport } => self.send(
                pick(&self.producers, self.producers_made, producer),
                pick(&self.transports, self.transports_made, transport),
            ),
            Op::Answer { to, how } => {
                self.answer(self.answered(to), how);
                Ok(())
            }
            Op::Server(notice) => {
                self.notice(notice);
                Ok(())
            }
            Op::Engine { pick: number, says } => {
                self.engine(pick(&self.transports, self.transports_made, number), says);
                Ok(())
            }
            Op::KeyFrame { producer, layer } => {
                self.key_frame(pick(&self.producers, self.producers_made, producer), layer);
                Ok(())
            }
            Op::Media { producer, layer, bytes } => {
                self.media(pick(&self.producers, self.producers_made, producer), layer, bytes)
            }
            Op::Pass { milliseconds, jump } => {
                self.pass(milliseconds.into(), jump);
                Ok(())
            }
        };
    }

    /// When the next request is overdue.
    pub fn deadline(&self) -> Option<u64> {
        self.open.values().map(|open| open.deadline).min()
    }

    pub fn pending(&self) -> usize {
        self.open.len()
    }

    /// The request that a number picks; it may be closed, or not there yet.
    pub fn answered(&self, number: u8) -> u64 {
        let open = match number {
            0..128 => self.open.keys().next(),
            128..192 => self.open.keys().next_back(),
            192.. => None,
        };
        open.copied().unwrap_or(u64::from(number) % (self.requests + 2))
    }

    /// What the server sends for a request.
    pub fn payload(&self, request: u64, how: Answer) -> Result<Value, Refusal> {
        let what = self.open.get(&request).map(|open| open.what);
        match (how, what) {
            (Answer::Refused, _) => Err(refusal()),
            (Answer::Malformed, _) => Ok(json!({ "rtpCapabilities": 7, "peers": 7 })),
            (_, Some(What::QueryRoom { .. })) => Ok(room_settings(how)),
            (Answer::Good, Some(What::Join { .. })) => {
                Ok(json!({ "peers": [{ "name": "alice", "appData": 1 }, { "name": "bob" }] }))
            }
            (_, Some(What::CreateTransport { .. })) => Ok(json!({
                "iceParameters": { "usernameFragment": "u", "password": "p" },
                "iceCandidates": [{ "ip": "192.0.2.7", "port": 40000, "protocol": "udp" }],
                "dtlsParameters": { "role": "server", "fingerprints": [
                    { "algorithm": "sha-256", "value": (["AB"; 32].join(":")) },
                ] },
            })),
            (_, Some(What::RestartTransport { .. })) => {
                Ok(json!({ "iceParameters": { "usernameFragment": "v", "password": "q" } }))
            }
            _ => Ok(Value::Null),
        }
    }

    // Room.

    fn join(&mut self, nameless: bool, app: Option<Value>) -> Result<(), &'static str> {
        if matches!(self.state, RoomState::Joining | RoomState::Joined) {
            return Err("RoomState");
        }
        if nameless {
            return Err("EmptyPeerName");
        }
        self.state = RoomState::Joining;
        self.peers.clear();
        self.join_app = app;
        let operation = self.operation();
        self.request(What::QueryRoom { operation }, json!({ "method": "queryRoom", "target": "room" }));
        Ok(())
    }

    fn leave(&mut self, app: Option<Value>) -> Result<(), &'static str> {
        if self.state == RoomState::New {
            return Err("RoomState");
        }
        if self.known_to_server {
            self.tell(to_peer("leave", json!({}), &app));
        }
        self.close_room(Originator::Local, app);
        Ok(())
    }

    /// Everything is closed, the room first, and the server hears nothing more.
    fn close_room(&mut self, originator: Originator, app_data: Option<Value>) {
        if matches!(self.state, RoomState::New | RoomState::Closed) {
            return;
        }
        self.state = RoomState::Closed;
        self.known_to_server = false;
        self.emit(Event::Closed { originator, app_data });
        for (_, open) in std::mem::take(&mut self.open) {
            if let What::QueryRoom { operation } | What::Join { operation } = open.what {
                self.settle(operation, Err(OperationError::RoomClosed));
            }
        }
        for id in self.transports.keys().copied().collect::<Vec<_>>() {
            self.close_transport(id, originator, None, OperationError::RoomClosed);
        }
        for id in self.producers.keys().copied().collect::<Vec<_>>() {
            self.producers.remove(&id);
            self.emit_producer(id, ProducerEvent::Close { originator, app_data: None });
        }
        self.peers.clear();
    }

    fn join_failed(&mut self, operation: u64, error: OperationError) {
        self.state = RoomState::New;
        self.known_to_server = false;
        self.settle(operation, Err(error));
    }

    // What the application wants of transports.

    fn create_transport(&mut self, app: Option<Value>) -> Result<(), &'static str> {
        if self.state != RoomState::Joined {
            return Err("RoomState");
        }
        if self.transports.len() == TRANSPORTS {
            return Err("Limit");
        }
        let transport = Transport {
            app,
            creating: false,
            connection: ConnectionState::New,
            stats: None,
            addresses: BTreeSet::new(),
            queue: VecDeque::new(),
            busy: None,
        };
        self.transports.insert(self.transports_made, transport);
        self.transports_made += 1;
        Ok(())
    }

    fn restart_all(&mut self) -> Result<(), &'static str> {
        if self.state != RoomState::Joined {
            return Err("RoomState");
        }
        for id in self.transports.keys().copied().collect::<Vec<_>>() {
            let _ = self.restart(id);
        }
        Ok(())
    }

    fn restart(&mut self, id: usize) -> Result<(), &'static str> {
        let transport = &self.transports[&id];
        if !transport.made() && !transport.creating {
            return Err("NotStarted");
        }
        if transport.queue.len() >= OPERATIONS {
            return Err("Limit");
        }
        let operation = self.operation();
        self.queue(id, Queued::Restart { operation });
        Ok(())
    }

    fn transport_op(&mut self, id: usize, op: TransportOp) -> Result<(), &'static str> {
        let Some(transport) = self.transports.get_mut(&id) else { return Err("TransportNotFound") };
        match op {
            TransportOp::Close(app) => self.close_transport_here(id, app_data(app)),
            TransportOp::EnableStats { milliseconds } => {
                let interval = u64::from(milliseconds).max(1000);
                transport.stats = Some(interval);
                if transport.made() {
                    self.tell(to_peer("enableTransportStats", json!({ "id": id, "interval": interval }), &None));
                }
            }
            TransportOp::DisableStats => {
                if transport.stats.take().is_some() && transport.made() {
                    self.tell(to_peer("disableTransportStats", json!({ "id": id }), &None));
                }
            }
            TransportOp::SetAppData(app) => transport.app = app_data(app),
            TransportOp::RestartIce => return self.restart(id),
            TransportOp::AddAddress(number) => {
                if number.is_multiple_of(8) {
                    return Err("BadAddress");
                }
                if transport.addresses.len() == ADDRESSES && !transport.addresses.contains(&(number % 8)) {
                    return Err("Limit");
                }
                transport.addresses.insert(number % 8);
            }
            TransportOp::RemoveAddress(number) => drop(transport.addresses.remove(&(number % 8))),
        }
        Ok(())
    }

    fn close_transport_here(&mut self, id: usize, app: Option<Value>) {
        let transport = &self.transports[&id];
        if transport.made() || transport.creating {
            if transport.made() && transport.stats.is_some() {
                self.tell(to_peer("disableTransportStats", json!({ "id": id }), &None));
            }
            self.tell(to_peer("closeTransport", json!({ "id": id }), &app));
        }
        self.close_transport(id, Originator::Local, app, OperationError::TransportClosed);
    }

    /// Its operations fail, its producers are free again, and nothing follows its close.
    fn close_transport(&mut self, id: usize, originator: Originator, app: Option<Value>, error: OperationError) {
        let Some(transport) = self.transports.remove(&id) else { return };
        if let Some(request) = transport.busy {
            self.open.remove(&request);
        }
        for queued in transport.queue {
            if let Queued::Send { operation, .. } | Queued::Restart { operation } = queued {
                self.settle(operation, Err(error.clone()));
            }
        }
        let mut unhandled = Vec::new();
        for (producer, known) in &mut self.producers {
            if known.transport() == Some(id) {
                if known.handled() {
                    unhandled.push(*producer);
                }
                known.life = Life::Unhandled;
            }
        }
        for producer in unhandled {
            self.emit_producer(producer, ProducerEvent::Unhandled);
        }
        self.emit_transport(id, TransportEvent::Close { originator, app_data: app });
    }

    // The operations of a transport, one after another.

    fn queue(&mut self, id: usize, queued: Queued) {
        self.transport(id).queue.push_back(queued);
        self.work(id);
    }

    fn work(&mut self, id: usize) {
        let Some(transport) = self.transports.get(&id) else { return };
        if transport.busy.is_some() {
            return;
        }
        match transport.queue.front() {
            None | Some(Queued::Closed { .. }) => {}
            Some(Queued::Send { .. }) if !transport.made() => {
                let message = json!({
                    "method": "createTransport", "target": "peer", "id": id, "direction": "send", "options": {},
                    "dtlsParameters": "ours",
                });
                let message = with_app(message, &transport.app);
                let request = self.request(What::CreateTransport { transport: id }, message);
                let transport = self.transport(id);
                transport.creating = true;
                transport.busy = Some(request);
            }
            Some(Queued::Send { producer, .. }) => self.ask_for_producer(id, *producer),
            Some(Queued::Restart { .. }) if !transport.made() => self.failed(id, OperationError::TransportClosed),
            Some(Queued::Restart { .. }) => {
                let message = json!({ "method": "restartTransport", "target": "peer", "id": id });
                let request = self.request(What::RestartTransport { transport: id }, message);
                self.transport(id).busy = Some(request);
            }
        }
    }

    fn ask_for_producer(&mut self, id: usize, producer: usize) {
        let known = self.producers.get_mut(&producer).expect("a closed one leaves the queue");
        let layers: Vec<_> = if known.simulcast {
            known.layers().iter().map(|layer| Value::from(layer.as_str())).collect()
        } else {
            vec![Value::Null]
        };
        let message = json!({
            "method": "createProducer", "target": "peer", "id": producer, "transportId": id,
            "kind": if known.video { "video" } else { "audio" },
            "paused": known.locally_paused,
            "rtpParameters": layers,
        });
        let message = with_app(message, &known.app);
        known.asked = [None; 3];
        if let Life::Pending { told, .. } = &mut known.life {
            *told = Some(Told { paused: known.locally_paused, app: None });
        }
        let request = self.request(What::CreateProducer { transport: id, producer }, message);
        self.transport(id).busy = Some(request);
    }

    fn done(&mut self, id: usize) {
        let transport = self.transport(id);
        transport.busy = None;
        match transport.queue.pop_front() {
            Some(Queued::Send { operation, .. } | Queued::Restart { operation }) => self.settle(operation, Ok(())),
            Some(Queued::Closed { then: Some(message) }) => self.tell(message),
            Some(Queued::Closed { then: None }) | None => {}
        }
        self.work(id);
    }

    fn failed(&mut self, id: usize, error: OperationError) {
        let transport = self.transport(id);
        transport.busy = None;
        match transport.queue.pop_front() {
            Some(Queued::Send { operation, producer }) => {
                self.producers.get_mut(&producer).expect("a closed one leaves the queue").life = Life::Unhandled;
                self.settle(operation, Err(error));
            }
            Some(Queued::Restart { operation }) => self.settle(operation, Err(error)),
            Some(Queued::Closed { .. }) | None => {}
        }
        self.work(id);
    }

    // What the application wants of producers.

    fn create_producer(&mut self, track: TrackKind, simulcast: bool, app: Option<Value>) -> Result<(), &'static str> {
        let video = track != TrackKind::Audio;
        if self.state != RoomState::Joined {
            return Err("RoomState");
        }
        if track == TrackKind::Ended {
            return Err("TrackEnded");
        }
        if simulcast && !video {
            return Err("OptionsMismatch");
        }
        if !(if video { self.sends_video } else { self.sends_audio }) {
            return Err("CannotSend");
        }
        if self.producers.len() == PRODUCERS {
            return Err("Limit");
        }
        let producer = Producer {
            video,
            simulcast,
            app,
            locally_paused: track == TrackKind::Disabled,
            remotely_paused: false,
            track_ended: false,
            stats: None,
            life: Life::Unhandled,
            asked: [None; 3],
        };
        self.producers.insert(self.producers_made, producer);
        self.producers_made += 1;
        Ok(())
    }

    fn send(&mut self, producer: usize, transport: usize) -> Result<(), &'static str> {
        let Some(known) = self.producers.get(&producer) else { return Err("ProducerNotFound") };
        if known.life != Life::Unhandled {
            return Err("AlreadyHandled");
        }
        let Some(over) = self.transports.get(&transport) else { return Err("TransportNotFound") };
        if over.queue.len() >= OPERATIONS {
            return Err("Limit");
        }
        let operation = self.operation();
        self.producer(producer).life = Life::Pending { transport, operation, told: None };
        self.queue(transport, Queued::Send { operation, producer });
        Ok(())
    }

    fn producer_op(&mut self, id: usize, op: ProducerOp) -> Result<(), &'static str> {
        let Some(producer) = self.producers.get_mut(&id) else { return Err("ProducerNotFound") };
        match op {
            ProducerOp::Close(app) => self.close_producer(id, Originator::Local, app_data(app)),
            ProducerOp::Pause(app) => self.pause(id, true, app_data(app)),
            ProducerOp::Resume(app) => self.pause(id, false, app_data(app)),
            ProducerOp::ReplaceTrack(TrackKind::Ended) => return Err("TrackEnded"),
            ProducerOp::ReplaceTrack(kind) => {
                if (kind != TrackKind::Audio) != producer.video {
                    return Err("TrackKind");
                }
                producer.track_ended = false;
                self.want_key_frames(id);
            }
            ProducerOp::EndTrack => {
                if !std::mem::replace(&mut producer.track_ended, true) {
                    self.emit_producer(id, ProducerEvent::TrackEnded);
                }
            }
            ProducerOp::EnableStats { milliseconds } => {
                producer.stats = Some(u64::from(milliseconds).max(1000));
                if producer.handled() {
                    self.tell_stats(id);
                }
            }
            ProducerOp::DisableStats => {
                if producer.stats.take().is_some() && producer.handled() {
                    self.tell(to_peer("disableProducerStats", json!({ "id": id }), &None));
                }
            }
            ProducerOp::SetAppData(app) => producer.app = app_data(app),
        }
        Ok(())
    }

    fn pause(&mut self, id: usize, pause: bool, app: Option<Value>) {
        let producer = self.producer(id);
        if producer.locally_paused == pause {
            return;
        }
        producer.locally_paused = pause;
        match &mut producer.life {
            Life::Handled { .. } => self.tell_paused(id, pause, &app),
            Life::Pending { told: Some(told), .. } => told.app.clone_from(&app),
            Life::Pending { told: None, .. } | Life::Unhandled => {}
        }
        self.emit_producer(id, paused(pause, Originator::Local, app));
        if !pause {
            self.want_key_frames(id);
        }
    }

    fn tell_paused(&mut self, id: usize, pause: bool, app: &Option<Value>) {
        let method = if pause { "pauseProducer" } else { "resumeProducer" };
        self.tell(to_peer(method, json!({ "id": id }), app));
    }

    fn tell_stats(&mut self, id: usize) {
        if let Some(interval) = self.producers[&id].stats {
            self.tell(to_peer("enableProducerStats", json!({ "id": id, "interval": interval }), &None));
        }
    }

    fn close_producer(&mut self, id: usize, originator: Originator, app: Option<Value>) {
        let Some(producer) = self.producers.remove(&id) else { return };
        let farewell = to_peer("closeProducer", json!({ "id": id }), &app);
        let here = originator == Originator::Local;
        match producer.life {
            Life::Handled { .. } if here => {
                if producer.stats.is_some() {
                    self.tell(to_peer("disableProducerStats", json!({ "id": id }), &None));
                }
                self.tell(farewell);
            }
            Life::Pending { transport, operation, told } => {
                let queue = &mut self.transport(transport).queue;
                let of_it = |queued: &Queued| matches!(queued, Queued::Send { operation: o, .. } if *o == operation);
                let at = queue.iter().position(of_it).expect("it is being sent");
                if told.is_some() {
                    queue[at] = Queued::Closed { then: here.then_some(farewell) };
                } else {
                    queue.remove(at);
                }
                self.settle(operation, Err(OperationError::ProducerClosed));
                self.work(transport);
            }
            Life::Handled { .. } | Life::Unhandled => {}
        }
        self.emit_producer(id, ProducerEvent::Close { originator, app_data: app });
    }

    // What the server says.

    fn answer(&mut self, request: u64, how: Answer) {
        let Some(open) = self.open.remove(&request) else {
            self.unexpected += 1;
            return;
        };
        if how == Answer::Refused {
            self.request_failed(open.what, OperationError::Refused(refusal()));
            return;
        }
        let garbled = || OperationError::InvalidResponse(String::new());
        match open.what {
            What::CreateProducer { transport, producer } => self.producer_made(transport, producer),
            what if how == Answer::Malformed => {
                self.malformed += 1;
                self.request_failed(what, garbled());
            }
            What::QueryRoom { operation } => {
                if how == Answer::Demanding {
                    let demand = OperationError::MandatoryCodecs(vec!["payload type 77".to_owned()]);
                    self.join_failed(operation, demand);
                    return;
                }
                self.sends_audio = true;
                self.sends_video = how == Answer::Good;
                self.known_to_server = true;
                let message = json!({
                    "method": "join", "target": "room", "peerName": "model", "spy": false, "rtpCapabilities": "ours",
                });
                let message = with_app(message, &self.join_app);
                self.request(What::Join { operation }, message);
            }
            What::Join { operation } => {
                self.state = RoomState::Joined;
                let mut peers = Vec::new();
                if how == Answer::Good {
                    peers.push(Peer { name: "alice".to_owned(), app_data: Some(json!(1)) });
                    peers.push(Peer { name: "bob".to_owned(), app_data: None });
                }
                for peer in &peers {
                    self.remember(peer.clone());
                }
                self.emit(Event::Joined { peers });
                self.settle(operation, Ok(()));
            }
            What::CreateTransport { transport: id } => {
                let transport = self.transport(id);
                transport.busy = None;
                transport.creating = false;
                let candidate = json!({ "ip": "192.0.2.7", "port": 40000, "protocol": "udp" });
                let candidates = vec![serde_json::from_value(candidate).expect("a candidate")];
                self.emit_transport(id, TransportEvent::RemoteCandidates { candidates });
                self.connection(id, ConnectionState::Connecting);
                if let Some(interval) = self.transports[&id].stats {
                    self.tell(to_peer("enableTransportStats", json!({ "id": id, "interval": interval }), &None));
                }
                self.work(id);
            }
            What::RestartTransport { transport } => {
                if self.transports[&transport].connection == ConnectionState::Failed {
                    self.connection(transport, ConnectionState::Connecting);
                }
                self.done(transport);
            }
        }
    }

    fn producer_made(&mut self, transport: usize, id: usize) {
        if let Some(producer) = self.producers.get_mut(&id)
            && let Life::Pending { told: Some(told), .. } = producer.life.clone()
        {
            let pause = producer.locally_paused;
            producer.life = Life::Handled { transport };
            if told.paused != pause {
                self.tell_paused(id, pause, &told.app);
            }
            self.emit_producer(id, ProducerEvent::Handled);
            self.tell_stats(id);
            self.want_key_frames(id);
        }
        self.done(transport);
    }

    /// It was refused, not answered, or answered with nonsense. In the last two cases the server may have done it all the
    /// same, and must not keep what nobody uses.
    fn request_failed(&mut self, what: What, error: OperationError) {
        let refused = matches!(error, OperationError::Refused(_));
        match what {
            What::QueryRoom { operation } | What::Join { operation } => self.join_failed(operation, error),
            What::CreateTransport { transport: id } => {
                if !refused {
                    self.tell(to_peer("closeTransport", json!({ "id": id }), &None));
                }
                self.transport(id).creating = false;
                self.failed(id, error);
            }
            What::RestartTransport { transport } => self.failed(transport, error),
            What::CreateProducer { transport, producer } => {
                if !refused {
                    self.tell(to_peer("closeProducer", json!({ "id": producer }), &None));
                }
                self.failed(transport, error);
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        if notice == Notice::Malformed {
            self.malformed += 1;
            return;
        }
        if !self.known_to_server {
            self.unexpected += 1;
            return;
        }
        let transport = |number| pick(&self.transports, self.transports_made, number);
        let producer = |number| pick(&self.producers, self.producers_made, number);
        match notice {
            Notice::Closed(app) => self.close_room(Originator::Remote, app_data(app)),
            Notice::TransportClosed(number, app) => {
                let id = transport(number);
                self.unexpected += u64::from(!self.transports.contains_key(&id));
                self.close_transport(id, Originator::Remote, app_data(app), OperationError::TransportClosed);
            }
            Notice::TransportStats(number) => match transport(number) {
                id if self.transports.contains_key(&id) => {
                    let raw = json!({ "type": "unheard of", "dtlsState": 5 });
                    let stats = vec![TransportStats { transport: None, raw }];
                    self.emit_transport(id, TransportEvent::Stats { stats });
                }
                _ => self.unexpected += 1,
            },
            Notice::ProducerPaused(number, app) => self.remote_pause(producer(number), true, app_data(app)),
            Notice::ProducerResumed(number, app) => self.remote_pause(producer(number), false, app_data(app)),
            Notice::ProducerClosed(number, app) => {
                let id = producer(number);
                self.unexpected += u64::from(!self.producers.contains_key(&id));
                self.close_producer(id, Originator::Remote, app_data(app));
            }
            Notice::ProducerStats(number) => match producer(number) {
                id if self.producers.contains_key(&id) => {
                    let stats = vec![ProducerStats { stream: None, raw: json!({ "type": "unheard of" }) }];
                    self.emit_producer(id, ProducerEvent::Stats { stats });
                }
                _ => self.unexpected += 1,
            },
            Notice::NewPeer(number) => {
                let peer = Peer { name: format!("peer {}", number % 8), app_data: Some(json!(number)) };
                self.remember(peer.clone());
                self.emit(Event::NewPeer { peer });
            }
            Notice::PeerClosed(number) => {
                let name = format!("peer {}", number % 8);
                self.peers.remove(&name);
                self.emit(Event::PeerClosed { name, app_data: None });
            }
            Notice::Foreign => self.emit(Event::Notification { message: foreign() }),
            Notice::Malformed => unreachable!("dealt with"),
        }
    }

    fn remote_pause(&mut self, id: usize, pause: bool, app: Option<Value>) {
        let Some(producer) = self.producers.get_mut(&id) else {
            self.unexpected += 1;
            return;
        };
        if std::mem::replace(&mut producer.remotely_paused, pause) == pause {
            return;
        }
        self.emit_producer(id, paused(pause, Originator::Remote, app));
        if !pause {
            self.want_key_frames(id);
        }
    }

    fn remember(&mut self, peer: Peer) {
        if self.peers.len() < PEERS || self.peers.contains_key(&peer.name) {
            self.peers.insert(peer.name, peer.app_data);
        } else {
            self.peers_dropped += 1;
        }
    }

    // Media, and time.

    fn engine(&mut self, id: usize, says: Says) {
        if !self.transports.get(&id).is_some_and(Transport::made) {
            return;
        }
        match says {
            Says::Connected => {
                self.connection(id, ConnectionState::Connected);
                let on_it =
                    |(producer, known): (&usize, &Producer)| (known.transport() == Some(id)).then_some(*producer);
                for producer in self.producers.iter().filter_map(on_it).collect::<Vec<_>>() {
                    self.want_key_frames(producer);
                }
            }
            Says::Disconnected if self.transports[&id].flows() => self.connection(id, ConnectionState::Disconnected),
            Says::Disconnected | Says::Closed => self.connection(id, ConnectionState::Failed),
            Says::Failed => {
                self.emit_transport(id, TransportEvent::Failed { cause: failure() });
                self.connection(id, ConnectionState::Failed);
                self.close_transport_here(id, None);
            }
            // What it means for encoders is not the model's business.
            Says::Limit(_) => {}
        }
    }

    fn connection(&mut self, id: usize, state: ConnectionState) {
        let before = std::mem::replace(&mut self.transport(id).connection, state);
        if before != state {
            self.emit_transport(id, TransportEvent::ConnectionStateChange { state });
        }
    }

    /// A decoder cannot begin, or go on, without a key frame of every layer.
    fn want_key_frames(&mut self, id: usize) {
        let producer = &self.producers[&id];
        let flows = producer.handled() && producer.transport().is_some_and(|id| self.transports[&id].flows());
        if flows && producer.video {
            for index in 0..producer.layers().len() {
                self.want_key_frame(id, index, true);
            }
        }
    }

    /// On our own account a key frame is always wanted; the server's requests come in bursts.
    fn want_key_frame(&mut self, id: usize, index: usize, ours: bool) {
        let now = self.now;
        let producer = self.producer(id);
        let profile = producer.layers()[index];
        if !producer.paused() && (ours || producer.asked[index].is_none_or(|at| now >= at + KEY_FRAME_GAP)) {
            producer.asked[index] = Some(now);
            self.emit_producer(id, ProducerEvent::KeyFrameRequest { profile });
        }
    }

    fn key_frame(&mut self, id: usize, number: u8) {
        if let Some(producer) = self.producers.get(&id).filter(|producer| producer.handled()) {
            let profile = layer(Some(producer), number);
            if let Some(index) = producer.layers().iter().position(|layer| *layer == profile) {
                self.want_key_frame(id, index, false);
            }
        }
    }

    fn media(&mut self, id: usize, number: u8, bytes: u16) -> Result<(), &'static str> {
        let Some(producer) = self.producers.get(&id) else { return Err("ProducerNotFound") };
        let Life::Handled { transport } = producer.life else { return Err("Unhandled") };
        if producer.paused() {
            return Err("Paused");
        }
        if !self.transports[&transport].flows() {
            return Err("NotConnected");
        }
        if !producer.layers().contains(&layer(Some(producer), number)) {
            return Err("UnknownProfile");
        }
        if bytes == 0 || (!producer.video && bytes > AUDIO_BYTES) {
            return Err("Malformed");
        }
        Ok(())
    }

    fn pass(&mut self, milliseconds: u64, jump: bool) {
        let until = self.now + milliseconds;
        if jump {
            self.now = until;
        }
        while let Some(deadline) = self.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            let overdue = self.open.iter().find(|(_, open)| open.deadline <= deadline).map(|(request, _)| *request);
            let what = self.open.remove(&overdue.expect("it has the deadline")).expect("it is open").what;
            let method = match what {
                What::QueryRoom { .. } => "queryRoom",
                What::Join { .. } => "join",
                What::CreateTransport { .. } => "createTransport",
                What::RestartTransport { .. } => "restartTransport",
                What::CreateProducer { .. } => "createProducer",
            };
            self.request_failed(what, OperationError::TimedOut { method: method.to_owned() });
        }
        self.now = until;
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

    fn request(&mut self, what: What, message: Value) -> u64 {
        self.requests += 1;
        self.open.insert(self.requests, Open { deadline: self.now + REQUEST_TIMEOUT, what });
        self.said.push(Said::Request(self.requests, message));
        self.requests
    }

    fn settle(&mut self, operation: u64, result: Result<(), OperationError>) {
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

fn paused(pause: bool, originator: Originator, app_data: Option<Value>) -> ProducerEvent {
    if pause { ProducerEvent::Pause { originator, app_data } } else { ProducerEvent::Resume { originator, app_data } }
}

/// Something for receivers.
pub fn foreign() -> Value {
    json!({ "method": "newConsumer", "notification": true, "id": 5, "appData": [1] })
}

fn room_settings(how: Answer) -> Value {
    let mut codecs = vec![json!({
        "kind": "audio", "name": "opus", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2,
        "preferredPayloadType": 100,
    })];
    if how != Answer::Bare {
        codecs.push(json!({
            "kind": "video", "name": "VP8", "mimeType": "video/VP8", "clockRate": 90000, "preferredPayloadType": 101,
            "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" }],
        }));
        codecs.push(json!({
            "kind": "video", "name": "rtx", "mimeType": "video/rtx", "clockRate": 90000, "preferredPayloadType": 102,
            "parameters": { "apt": 101 },
        }));
    }
    let mandatory = if how == Answer::Demanding { vec![100, 77] } else { vec![100] };
    json!({ "rtpCapabilities": { "codecs": codecs }, "mandatoryCodecPayloadTypes": mandatory })
}
