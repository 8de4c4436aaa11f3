//! What a device must do: the reference that the v3 dialect is tested against.
//!
//! It is written after what mediasoup-client does, not after the library: one list of what is to be done for each transport,
//! one thing at a time, and a rule for each thing that can happen. Of media it knows only when it is refused; key frames and
//! bitrates are not in it.

mod requests;
mod steps;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::event::ConnectionState;
use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::rtp::MediaKind;
use crate::v3::{Event, OperationError, ProducerEvent, TransportEvent};

pub use steps::{AnswerKind, Engine, Step, TrackKind};

/// How long a request waits for its answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The limits that sequences run into.
pub(super) const TRANSPORTS: usize = 3;
pub(super) const PRODUCERS: usize = 6;
pub(super) const OPERATIONS: usize = 4;
pub(super) const LATE_ANSWERS: usize = 3;

/// What a device says, but for media and what belongs to it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Said {
    /// It asks for `connect`.
    Connect {
        /// Pairs it with its answer.
        request: RequestId,
        /// Of which transport.
        transport: TransportId,
    },
    /// It asks for `produce`.
    Produce {
        /// Pairs it with its answer.
        request: RequestId,
        /// On which transport.
        transport: TransportId,
        /// Which producer.
        producer: ProducerId,
    },
    /// It tells the application.
    Event(Event),
}

/// What a step leads to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Expected {
    /// How the `Debug` of the error begins, if the step is refused.
    pub refused: Option<&'static str>,
    /// What is said.
    pub said: Vec<Said>,
}

/// A device, as it must be.
#[derive(Debug, Clone, Default)]
pub struct Model {
    loaded: bool,
    time: Duration,
    /// By id; none: it is closed.
    transports: Vec<Option<Transport>>,
    producers: Vec<Option<Producer>>,
    /// Requests by id.
    asked: Vec<Asked>,
    /// Those that were given up, the oldest first, as far as they are remembered.
    given_up: Vec<usize>,
    operations: u64,
    said: Vec<Said>,
}

#[derive(Debug, Clone)]
struct Transport {
    state: ConnectionState,
    /// DTLS is over.
    over: bool,
    /// What is to be done, the first of which is under way if something is out.
    to_do: VecDeque<ToDo>,
    /// The request that is out.
    out: Option<usize>,
    /// How many requests for `connect` were given up, or answered without sense: the server may know our side of DTLS.
    doubts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum ToDo {
    Produce {
        operation: u64,
        producer: usize,
    },
    RestartIce {
        operation: u64,
    },
    /// Its producer is closed, and its request is out.
    Nothing,
}

#[derive(Debug, Clone)]
struct Producer {
    transport: usize,
    kind: MediaKind,
    live: bool,
    paused: bool,
    /// Number and whether it has ended.
    track: Option<(u64, bool)>,
}

#[derive(Debug, Clone)]
struct Asked {
    transport: usize,
    /// None: `connect`, for this operation.
    what: Result<usize, u64>,
    due: Duration,
    state: AskedState,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum AskedState {
    Waits,
    GivenUp,
    /// Answered, or forgotten.
    Over,
}

fn transport_id(index: usize) -> TransportId {
    TransportId::new(index as u32 + 1)
}

fn producer_id(index: usize) -> ProducerId {
    ProducerId::new(index as u32 + 1)
}

fn request_id(index: usize) -> RequestId {
    RequestId::new(index as u64 + 1)
}

/// What the server calls a producer that was asked for with this request.
pub(super) fn server_id(request: RequestId) -> String {
    format!("producer-{request}")
}

/// What the server calls a transport.
pub(super) fn server_transport_id(id: TransportId) -> String {
    format!("transport-{id}")
}

/// The id of a track by its number; those of each step have two.
pub(super) fn track_id(number: u64) -> String {
    format!("track-{number}")
}

impl Model {
    /// Lets a step happen.
    pub fn step(&mut self, step: &Step) -> Expected {
        let refused = self.happen(step).err();
        Expected { refused, said: std::mem::take(&mut self.said) }
    }

    fn happen(&mut self, step: &Step) -> Result<(), &'static str> {
        match *step {
            Step::Load => {
                refuse(self.loaded, "Load(AlreadyLoaded")?;
                self.loaded = true;
            }
            Step::CreateTransport { nameless } => {
                refuse(!self.loaded, "CreateSendTransport(NotLoaded")?;
                refuse(nameless, "CreateSendTransport(EmptyId")?;
                let open = self.transports.iter().flatten().count();
                refuse(open >= TRANSPORTS, "CreateSendTransport(Limit")?;
                let state = ConnectionState::New;
                let to_do = VecDeque::new();
                self.transports.push(Some(Transport { state, over: false, to_do, out: None, doubts: 0 }));
            }
            Step::Produce { transport, track, encodings } => self.produce(step, transport, track, encodings)?,
            Step::RestartIce { transport } => {
                let index = usize::from(transport);
                let of = self.transport(index).ok_or("RestartIce(NotFound")?;
                refuse(of.over, "RestartIce(DtlsFailed")?;
                refuse(of.to_do.len() >= OPERATIONS, "RestartIce(Limit")?;
                let operation = self.next_operation();
                self.queue(index, ToDo::RestartIce { operation });
            }
            Step::CloseTransport { transport } => {
                let index = usize::from(transport);
                self.transport(index).ok_or("Transport(NotFound")?;
                self.close_transport(index);
            }
            Step::CloseProducer { producer } => {
                let index = usize::from(producer);
                self.producer(index).ok_or("Producer(NotFound")?;
                self.close_producer(index);
            }
            Step::Pause { producer } => self.set_paused(usize::from(producer), true)?,
            Step::Resume { producer } => self.set_paused(usize::from(producer), false)?,
            Step::EndTrack { producer } => {
                let index = usize::from(producer);
                let of = self.producer_mut(index).ok_or("Producer(NotFound")?;
                if let Some((_, ended @ false)) = &mut of.track {
                    *ended = true;
                    self.tell(index, ProducerEvent::TrackEnded);
                }
            }
            Step::ReplaceTrack { producer, track } => self.replace_track(step, usize::from(producer), track)?,
            Step::SetMaxSpatialLayer { producer, .. } => {
                let of = self.producer(usize::from(producer)).ok_or("SetMaxSpatialLayer(NotFound")?;
                refuse(of.kind == MediaKind::Audio, "SetMaxSpatialLayer(NotVideo")?;
            }
            Step::Write { producer } => {
                let of = self.producer(usize::from(producer)).ok_or("ProducerNotFound")?;
                refuse(!of.live, "NotProduced")?;
                refuse(of.track.is_none(), "NoTrack")?;
                refuse(of.paused, "Paused")?;
                let transport = self.transport(of.transport).ok_or("ProducerNotFound")?;
                let flows = matches!(transport.state, ConnectionState::Connected | ConnectionState::Disconnected);
                refuse(!flows, "NotConnected")?;
            }
            Step::Answer { request, answer } => self.answer(usize::from(request), answer),
            Step::Engine { transport, says } => self.engine(usize::from(transport), says),
            Step::Pass { milliseconds } => {
                self.time += Duration::from_millis(milliseconds.into());
                self.expire();
            }
        }
        Ok(())
    }

    // Commands.

    fn produce(&mut self, step: &Step, transport: u8, track: TrackKind, encodings: u8) -> Result<(), &'static str> {
        let index = usize::from(transport);
        self.transport(index).ok_or("Produce(NotFound")?;
        refuse(track == TrackKind::Ended, "Produce(TrackEnded")?;
        let kind = track.kind();
        // The sequences ask for no other codec than Opus and VP8.
        refuse(kind == MediaKind::Audio && encodings > 1, "Produce(NoSimulcast")?;
        refuse(encodings > 4, "Produce(TooManyEncodings")?;
        refuse(self.producers.iter().flatten().count() >= PRODUCERS, "Produce(Limit")?;
        refuse(self.transport(index).is_some_and(|of| of.to_do.len() >= OPERATIONS), "Produce(Operations")?;
        let operation = self.next_operation();
        let producer = self.producers.len();
        let track = (step.track_number(self.operations), false);
        let paused = step.track_is_disabled();
        self.producers.push(Some(Producer { transport: index, kind, live: false, paused, track: Some(track) }));
        self.queue(index, ToDo::Produce { operation, producer });
        Ok(())
    }

    fn close_transport(&mut self, index: usize) {
        let Some(of) = self.transports[index].take() else { return };
        if let Some(out) = of.out {
            self.give_up(out);
        }
        for to_do in of.to_do {
            match to_do {
                ToDo::Produce { operation, producer } => {
                    self.not_produced(producer);
                    self.settle(operation, Err(OperationError::TransportClosed));
                }
                ToDo::RestartIce { operation } => self.settle(operation, Err(OperationError::TransportClosed)),
                ToDo::Nothing => {}
            }
        }
        for producer in 0..self.producers.len() {
            if self.producer(producer).is_some_and(|of| of.transport == index) {
                self.stop_track(producer);
                self.producers[producer] = None;
                self.tell(producer, ProducerEvent::TransportClose);
            }
        }
        self.say_of(index, TransportEvent::Close);
    }

    fn close_producer(&mut self, index: usize) {
        let Some(transport) = self.producer(index).map(|of| of.transport) else { return };
        self.stop_track(index);
        self.producers[index] = None;
        self.tell(index, ProducerEvent::Close);
        let asked = &self.asked;
        let Some(of) = self.transports[transport].as_mut() else { return };
        let its = |to_do: &ToDo| matches!(to_do, ToDo::Produce { producer, .. } if *producer == index);
        let Some(at) = of.to_do.iter().position(its) else { return };
        let ToDo::Produce { operation, .. } = of.to_do[at] else { return };
        if of.out.is_some_and(|out| asked[out].what == Ok(index)) {
            of.to_do[at] = ToDo::Nothing;
        } else {
            of.to_do.remove(at);
        }
        self.settle(operation, Err(OperationError::ProducerClosed));
        self.go_on(transport);
    }

    fn set_paused(&mut self, index: usize, paused: bool) -> Result<(), &'static str> {
        let of = self.producer_mut(index).ok_or("Producer(NotFound")?;
        if std::mem::replace(&mut of.paused, paused) != paused {
            self.tell(index, if paused { ProducerEvent::Pause } else { ProducerEvent::Resume });
        }
        Ok(())
    }

    fn replace_track(&mut self, step: &Step, index: usize, track: Option<TrackKind>) -> Result<(), &'static str> {
        let kind = self.producer(index).ok_or("ReplaceTrack(NotFound")?.kind;
        let operations = self.operations;
        if let Some(track) = track {
            refuse(track == TrackKind::Ended, "ReplaceTrack(TrackEnded")?;
            refuse(track.kind() != kind, "ReplaceTrack(TrackKind")?;
        }
        let new = track.map(|_| step.track_number(operations));
        let old = self.producer(index).and_then(|of| of.track).map(|(number, _)| number);
        if new != old {
            self.stop_track(index);
            if let Some(of) = self.producer_mut(index) {
                of.track = new.map(|number| (number, false));
            }
        }
        Ok(())
    }

    // The media plane.

    fn engine(&mut self, index: usize, says: Engine) {
        use ConnectionState::{Connected, Connecting, Disconnected, Failed, New};
        let Some(of) = self.transport(index).filter(|of| of.state != New) else { return };
        // Nothing comes after the end.
        if of.over {
            return;
        }
        match (says, of.state) {
            (Engine::Connected, _) => self.set_state(index, Connected),
            (Engine::Disconnected, Connected | Disconnected) => self.set_state(index, Disconnected),
            (Engine::Disconnected, Connecting | Failed) => self.set_state(index, Failed),
            (Engine::Disconnected, _) => {}
            (Engine::Failed | Engine::Closed, _) => {
                if says == Engine::Failed {
                    self.say_of(index, TransportEvent::DtlsFailed { cause: Engine::cause() });
                }
                if let Some(of) = self.transports[index].as_mut() {
                    of.over = true;
                }
                self.set_state(index, Failed);
            }
        }
    }

    /// Whether an engine has begun and is not at its end.
    pub(super) fn engine_speaks(&self, transport: u8) -> bool {
        self.transport(usize::from(transport)).is_some_and(|of| of.state != ConnectionState::New && !of.over)
    }

    // What is said.

    fn set_state(&mut self, index: usize, state: ConnectionState) {
        let Some(of) = self.transports[index].as_mut() else { return };
        if std::mem::replace(&mut of.state, state) != state {
            self.say_of(index, TransportEvent::ConnectionStateChange { state });
        }
    }

    fn stop_track(&mut self, producer: usize) {
        if let Some((number, ended @ false)) = self.producer_mut(producer).and_then(|of| of.track.as_mut()) {
            *ended = true;
            let track_id = track_id(*number);
            self.tell(producer, ProducerEvent::TrackStopped { track_id });
        }
    }

    fn not_produced(&mut self, producer: usize) {
        self.stop_track(producer);
        self.producers[producer] = None;
    }

    fn orphan(&mut self, request: usize) {
        let transport_id = server_transport_id(transport_id(self.asked[request].transport));
        let producer_id = server_id(request_id(request));
        self.said.push(Said::Event(Event::Orphan { transport_id, producer_id }));
    }

    fn settle(&mut self, operation: u64, result: Result<(), OperationError>) {
        let operation = OperationId::new(operation);
        self.said.push(Said::Event(Event::Settled { operation, result }));
    }

    fn tell(&mut self, producer: usize, event: ProducerEvent) {
        self.said.push(Said::Event(Event::Producer { id: producer_id(producer), event }));
    }

    fn say_of(&mut self, transport: usize, event: TransportEvent) {
        self.said.push(Said::Event(Event::Transport { id: transport_id(transport), event }));
    }

    // What there is.

    fn transport(&self, index: usize) -> Option<&Transport> {
        self.transports.get(index)?.as_ref()
    }

    fn producer(&self, index: usize) -> Option<&Producer> {
        self.producers.get(index)?.as_ref()
    }

    fn producer_mut(&mut self, index: usize) -> Option<&mut Producer> {
        self.producers.get_mut(index)?.as_mut()
    }

    const fn next_operation(&mut self) -> u64 {
        self.operations += 1;
        self.operations
    }

    /// How many operations there were: the numbers of tracks follow from it.
    pub(super) const fn operations(&self) -> u64 {
        self.operations
    }

    /// What the next thing asked for with `request` is about, if it is `produce`.
    pub(super) fn asks_produce(&self, request: u16) -> Option<bool> {
        self.asked.get(usize::from(request)).map(|asked| asked.what.is_ok())
    }

    /// The requests that wait for an answer, and those that were given up and are remembered; by number.
    pub fn requests(&self) -> impl Iterator<Item = u16> {
        let known = self.asked.iter().zip(0..).filter(|(asked, _)| asked.state != AskedState::Over);
        known.map(|(_, number)| number)
    }

    /// How many transports and producers there were, the closed ones too.
    pub fn made(&self) -> (usize, usize) {
        (self.transports.len(), self.producers.len())
    }

    /// The state of each transport that is open.
    pub fn open_transports(&self) -> BTreeMap<TransportId, ConnectionState> {
        let open = self.transports.iter().enumerate();
        open.filter_map(|(index, of)| Some((transport_id(index), of.as_ref()?.state))).collect()
    }

    /// Of each producer that is not closed: whether the server has it, whether it is paused, and the id of its track.
    pub fn open_producers(&self) -> BTreeMap<ProducerId, (bool, bool, Option<String>)> {
        let open = self.producers.iter().enumerate();
        open.filter_map(|(index, of)| {
            let of = of.as_ref()?;
            Some((producer_id(index), (of.live, of.paused, of.track.map(|(number, _)| track_id(number)))))
        })
        .collect()
    }
}

const fn refuse(when: bool, with: &'static str) -> Result<(), &'static str> {
    if when { Err(with) } else { Ok(()) }
}
