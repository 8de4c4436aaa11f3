//! A room, or a loop around one, in step with the model.

mod both_sides;
mod compare;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::embedding::Embedding;
use super::model::{Model, Said, Step, datagram, frame, garbled, layer, pick};
use crate::connection::engine::EngineEvent;
use crate::id::{OperationId, RequestId, TransportId};
use crate::media::Media;
use crate::v2::Room;
use crate::v2::{Accepted, Command, Input};
use crate::v2::{Event, Output, ProducerEvent, TransportEvent};
use crate::v2::{Failure, InputError, JoinFailure, RequestFailure, RestartIceFailure, SendFailure};

pub use both_sides::BothSides;
use names::{Names, error_name};

/// Where an implementation and the model part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Difference(String);

/// Returns with a [`Difference`] if something does not hold.
macro_rules! holds {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            return Err(Difference(format!($($why)+)));
        }
    };
}

/// Returns with a [`Difference`] if something is not as the model has it.
macro_rules! same {
    ($actual:expr, $model:expr, $($what:tt)+) => {
        let (actual, model) = (&$actual, &$model);
        if *actual != *model {
            let what = format!($($what)+);
            return Err(Difference(format!("{what}: the model says {model:?}, it is {actual:?}")));
        }
    };
}
use {holds, same};

/// A [`Room`] or an [`Embedding`] of one, the [`Model`], and what must be remembered to compare them.
///
/// After every step these are compared: what came of it, the events with their originators and app data, the messages to
/// the server with their content, every property of the room, its transports and its producers, and the deadline. And
/// these are checked, whatever the model says:
///
/// - a producer is paused exactly while one side or the other pauses it;
/// - there is one close of each thing, and nothing follows it;
/// - no RTP leaves of a producer that is paused, closed or unhandled, and none that was taken gets lost;
/// - each operation settles once, those of a transport succeed in their order, and none is left when the room is closed;
/// - the deadline lies in the future, a deadline that is honoured is over, and the loop does not sleep past it;
/// - nothing waits to be polled, and nothing is held when the room is closed.
#[derive(Debug)]
pub struct Lockstep<E = Room> {
    embedding: E,
    model: Model,
    plane: Plane,
    /// Messages and events come in one order.
    one_order: bool,
    start: Instant,
    names: Names,
    said: Vec<Said>,
    /// Datagrams that were handed in and are no use.
    datagrams: u64,
    /// Packets that were seen to leave, by SSRC.
    sent: BTreeMap<u32, u64>,
    /// Whose SSRC it is, while RTP may leave under it.
    flowing: BTreeMap<u32, usize>,
    /// Operations that were begun one by one, with their transport.
    begun: BTreeMap<OperationId, Option<TransportId>>,
    settled: BTreeSet<OperationId>,
    closed_transports: BTreeSet<usize>,
    closed_producers: BTreeSet<usize>,
    story: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Plane {
    Scripted,
    Real,
}

/// A step, with its numbers resolved.
enum Happening {
    Input(Input),
    Engine(TransportId, EngineEvent),
    Pass { milliseconds: u64, jump: bool },
    Nothing,
}

impl Lockstep {
    /// A room on a scripted media plane, to which nothing has happened.
    pub fn new(start: Instant, seed: u64) -> Self {
        let room = Room::scripted(Model::config(), seed);
        Self { one_order: true, ..Self::with(start, room, Plane::Scripted) }
    }

    /// A room on the real media plane. It has nobody to connect to: what the engine would say must not be in the
    /// sequence, nor enough time for ICE to give up.
    pub fn real(start: Instant, seed: u64) -> Self {
        let room = Room::new(Model::config(), seed);
        Self { one_order: true, ..Self::with(start, room, Plane::Real) }
    }
}

impl<E: Embedding> Lockstep<E> {
    /// A loop around a scripted room, to which nothing has happened.
    pub fn embedding(start: Instant, seed: u64, make: impl FnOnce(Room) -> E) -> Self {
        Self::with(start, make(Room::scripted(Model::config(), seed)), Plane::Scripted)
    }

    fn with(start: Instant, embedding: E, plane: Plane) -> Self {
        Self {
            embedding,
            model: Model::default(),
            plane,
            one_order: false,
            start,
            names: Names::default(),
            said: Vec::new(),
            datagrams: 0,
            sent: BTreeMap::new(),
            flowing: BTreeMap::new(),
            begun: BTreeMap::new(),
            settled: BTreeSet::new(),
            closed_transports: BTreeSet::new(),
            closed_producers: BTreeSet::new(),
            story: None,
        }
    }

    /// Writes down what is handed in from here on, a line each, for [`story`](Self::story).
    pub fn told(mut self) -> Self {
        self.story = Some(Vec::new());
        self
    }

    /// What was handed in so far: milliseconds since the start, and the input.
    pub fn story(&self) -> &[String] {
        self.story.as_deref().unwrap_or_default()
    }

    /// The model, after the last step.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// The embedding, which keeps nothing of the test.
    pub fn into_embedding(self) -> E {
        self.embedding
    }

    /// The same thing happens to both, and they are compared.
    pub fn step(&mut self, step: &Step) -> Result<(), Difference> {
        let happening = self.resolve(step);
        let now = self.now();
        self.said.clear();
        self.model.step(step);
        let result = match happening {
            Happening::Nothing => Ok(Accepted::Done),
            Happening::Input(input) => self.input(now, input)?,
            Happening::Engine(transport, event) => {
                self.tell(now, || format!("{event:?} of transport {transport}"));
                self.embedding.room().engine_event(now, transport, event);
                self.input(now, Input::Receive(datagram(0, 0)))?
            }
            Happening::Pass { milliseconds, jump } => {
                self.pass(now, now + Duration::from_millis(milliseconds), jump)?;
                Ok(Accepted::Done)
            }
        };
        self.drain()?;
        same!(result.map(drop).map_err(|error| error_name(&error)), self.model.result, "what came of it");
        self.compare_said()?;
        self.compare_properties()?;
        self.check()
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.model.now)
    }

    /// What a step means, before it is taken.
    fn resolve(&mut self, step: &Step) -> Happening {
        let Self { model, names, embedding, .. } = self;
        let transport = |number| names.transport(pick(&model.transports, model.transports_made, number));
        let index = |number| pick(&model.producers, model.producers_made, number);
        let producer = |number| names.producer(index(number));
        let command = |command| Happening::Input(Input::Command(command));
        match *step {
            Step::Join { nameless, app } => {
                let peer_name = if nameless { "" } else { "model" }.to_owned();
                command(Command::Join { peer_name, app_data: app.value() })
            }
            Step::Leave { app } => command(Command::Leave { app_data: app.value() }),
            Step::RemoteClose { app } => command(Command::RemoteClose { app_data: app.value() }),
            Step::CreateTransport { app } => command(Command::CreateTransport { app_data: app.value() }),
            Step::CreateProducer { track, simulcast, app } => {
                let options = crate::v2::ProducerOptions::default().simulcast(simulcast);
                command(Command::CreateProducer { track: track.track(), options, app_data: app.value() })
            }
            Step::RestartIce => command(Command::RestartIce),
            Step::Transport { pick, op } => command(op.command(transport(pick))),
            Step::Producer { pick, op } => command(op.command(producer(pick))),
            Step::Send { producer: id, transport: over } => {
                command(Command::Send { id: producer(id), transport: transport(over) })
            }
            Step::Answer { to, how } => {
                let request = model.answered(to);
                Happening::Input(Input::Response { id: RequestId::from(request), result: model.payload(request, how) })
            }
            Step::Server(notice) => {
                let room = embedding.room();
                let of_transport = |number| {
                    let id = transport(number);
                    room.transport_info(id).map_or(id.value().into(), |info| info.server_id())
                };
                let of_producer = |number| {
                    let id = producer(number);
                    room.producer_info(id).map_or(id.value().into(), |info| info.server_id())
                };
                Happening::Input(Input::Notification(notice.message(of_transport, of_producer)))
            }
            Step::Engine { pick, says } => Happening::Engine(transport(pick), says.event()),
            Step::KeyFrame { producer: number, layer: of } => {
                let layer = layer(model.producers.get(&index(number)), of);
                let room = embedding.room();
                let wanted = room.producer_info(producer(number)).and_then(|info| {
                    let of_layer = info.rtp_parameters()?.encodings.get(layer)?;
                    Some((info.transport()?, of_layer.ssrc))
                });
                wanted.map_or(Happening::Nothing, |(transport, ssrc)| {
                    Happening::Engine(transport, EngineEvent::KeyFrameRequest { ssrc })
                })
            }
            Step::Media { producer: number, layer: of, bytes, key_frame } => {
                let layer = layer(model.producers.get(&index(number)), of);
                let media = Media::Frame(frame(bytes, Duration::from_millis(model.now), layer, key_frame));
                Happening::Input(Input::Media { producer: producer(number), media })
            }
            Step::Datagram { first, bytes } => Happening::Input(Input::Receive(datagram(first, bytes))),
            Step::Pass { milliseconds, jump } => Happening::Pass { milliseconds: milliseconds.into(), jump },
        }
    }

    fn input(&mut self, now: Instant, input: Input) -> Result<Result<Accepted, InputError>, Difference> {
        self.tell(now, || format!("{input:?}"));
        self.datagrams += u64::from(matches!(input, Input::Receive(_)));
        let transport = match &input {
            Input::Command(Command::Send { transport, .. }) => Some(*transport),
            Input::Command(Command::RestartTransportIce { id }) => Some(*id),
            _ => None,
        };
        let accepted = self.embedding.handle_input(now, input);
        match &accepted {
            Ok(Accepted::Transport(id)) => {
                holds!(!self.names.transports.contains(id), "transport id {id} comes twice");
                self.names.transports.push(*id);
            }
            Ok(Accepted::Producer(id)) => {
                holds!(!self.names.producers.contains(id), "producer id {id} comes twice");
                self.names.producers.push(*id);
            }
            Ok(Accepted::Operation(id)) => {
                holds!(self.begun.insert(*id, transport).is_none(), "operation {id} is begun twice");
            }
            Ok(Accepted::Operations(ids)) => {
                for id in ids {
                    holds!(self.begun.insert(*id, None).is_none(), "operation {id} is begun twice");
                }
            }
            Ok(Accepted::Done) | Err(_) => {}
        }
        Ok(accepted)
    }

    /// As for a loop that is on time, or one that overslept. A deadline that is honoured is over: nothing spins.
    fn pass(&mut self, now: Instant, until: Instant, jump: bool) -> Result<(), Difference> {
        // More than the room can want, and less than a loop that spins.
        let mut wakes = 100 + 2 * (until - now).as_millis();
        let mut last = now;
        while let Some(deadline) = self.embedding.deadline().filter(|deadline| !jump && *deadline <= until) {
            holds!(deadline > last, "a deadline that was honoured comes again");
            holds!(wakes > 0, "the loop spins: it wakes more than twice in a millisecond");
            (last, wakes) = (deadline, wakes - 1);
            self.stray(deadline, wakes as usize)?;
            let _ = self.input(deadline, Input::Timeout)?;
            self.drain()?;
            self.check_deadline(deadline)?;
        }
        let _ = self.input(until, Input::Timeout)?;
        self.drain()
    }

    /// What is nobody's comes between a deadline and its timeout, every other time. What is due stays due; a loop may honour
    /// it at once.
    fn stray(&mut self, deadline: Instant, number: usize) -> Result<(), Difference> {
        // DTLS, RTP, and nothing known (RFC 7983).
        let Some(first) = [Some(22), None, Some(128), None, Some(255), None][number % 6] else { return Ok(()) };
        let due = self.embedding.room().poll_timeout();
        let _ = self.input(deadline, Input::Receive(datagram(first, 20)))?;
        if self.one_order {
            same!(self.embedding.room().poll_timeout(), due, "the deadline, after a stray datagram");
        }
        Ok(())
    }

    fn tell(&mut self, now: Instant, what: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>6} ms  {}", (now - self.start).as_millis(), what()));
        }
    }

    /// Takes what was passed on, in the model's words.
    fn drain(&mut self) -> Result<(), Difference> {
        let mut outputs = self.embedding.take_outputs();
        if !self.one_order {
            // What is sent on another way may be shown in any order: a packet is not late because an event came first.
            outputs.sort_by_key(|output| !matches!(output, Output::Transmit(_)));
        }
        for output in outputs {
            match output {
                // ICE and DTLS.
                Output::Transmit(_) if self.plane == Plane::Real => {}
                Output::Transmit(transmit) => {
                    let ssrc = transmit.contents.get(8..12).and_then(|bytes| bytes.try_into().ok());
                    let ssrc = u32::from_be_bytes(ssrc.ok_or_else(|| Difference("no RTP packet is sent".to_owned()))?);
                    holds!(self.flowing.contains_key(&ssrc), "RTP of a producer that is paused, closed or unhandled");
                    *self.sent.entry(ssrc).or_default() += 1;
                }
                Output::Request { id, request } => {
                    self.names.learn(&self.embedding.room(), &request)?;
                    let message = self.names.normal(request.to_json())?;
                    self.said.push(Said::Request(id.value(), message));
                }
                Output::Notification(notification) => {
                    let message = self.names.normal(notification.to_json())?;
                    self.said.push(Said::Notification(message));
                }
                Output::Event(event) => {
                    let said = self.event(event)?;
                    self.said.extend(said.map(Said::Event));
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<Option<Event>, Difference> {
        Ok(Some(match event {
            Event::Settled { operation, result } => {
                holds!(self.settled.insert(operation), "operation {operation} settles twice");
                if let Some(Some(transport)) = self.begun.get(&operation).filter(|_| result.is_ok()) {
                    let of_it = |other: &Option<TransportId>| *other == Some(*transport);
                    let mut before = self.begun.range(..operation).filter(|(_, other)| of_it(other));
                    let passed_over = before.find(|(other, _)| !self.settled.contains(other));
                    holds!(passed_over.is_none(), "operation {operation} overtakes {passed_over:?}");
                }
                Event::Settled { operation, result: result.map_err(normal) }
            }
            Event::Transport { id, event } => {
                let index = self.names.transport_index(id)?;
                holds!(!self.closed_transports.contains(&index), "{event:?} of a transport after its close");
                if let TransportEvent::Close { .. } = event {
                    self.closed_transports.insert(index);
                }
                Event::Transport { id: (index as u32).into(), event }
            }
            Event::Producer { id, event } => {
                let index = self.names.producer_index(id)?;
                holds!(!self.closed_producers.contains(&index), "{event:?} of a producer after its close");
                match event {
                    ProducerEvent::Close { .. } => {
                        self.closed_producers.insert(index);
                        self.flowing.retain(|_, of| *of != index);
                    }
                    ProducerEvent::Pause { .. } | ProducerEvent::Unhandled => self.flowing.retain(|_, of| *of != index),
                    ProducerEvent::TargetBitrate { profile, .. } => {
                        // The sums are tested where they are made. Here: only for what can send.
                        let room = self.embedding.room();
                        let producer = room.producer_info(id).filter(|producer| producer.handled());
                        if let Some(parameters) = producer.and_then(|producer| producer.rtp_parameters()) {
                            let has = parameters.encodings.iter().any(|e| e.profile.unwrap_or_default() == profile);
                            holds!(has, "a bitrate for layer {profile}, which producer {id} does not have");
                        }
                        return Ok(None);
                    }
                    _ => {}
                }
                Event::Producer { id: (index as u32).into(), event }
            }
            other => other,
        }))
    }
}

/// What is wrong with an answer the model does not say.
fn normal(mut failure: Failure) -> Failure {
    if let Failure::Join(JoinFailure::Request(request))
    | Failure::Send(SendFailure::Request(request))
    | Failure::RestartIce(RestartIceFailure::Request(request)) = &mut failure
        && let RequestFailure::InvalidResponse(what) = request
    {
        *what = garbled();
    }
    failure
}
