//! Sequences of commands, answers and events of the media plane, as they come: whatever they are, what the dialect promises
//! holds.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod v3_common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::v3::{
    Answer, Command, Device, DeviceConfig, EncodingOptions, EncodingUpdate, Event, Input, Output, ProduceOptions,
    ProducerEvent, Refusal, Request, TransportEvent, TransportOptions,
};
use mediasoup_producer::{
    ConnectionState, DtlsFailure, IceParameters, Limits, Media, MediaError, MediaKind, OperationId, ProducerId,
    RequestId, Track, TransportId,
};
use proptest::prelude::*;
use serde_json::{Map, json};
use v3_common::{key_frame, parameters, router};

#[derive(Debug, Clone)]
enum Step {
    CreateTransport,
    CloseTransport(usize),
    Produce {
        transport: usize,
        video: bool,
        enabled: bool,
    },
    RestartIce(usize),
    CloseProducer(usize),
    Pause(usize),
    Resume(usize),
    ReplaceTrack(usize, bool),
    EndTrack(usize),
    MaxSpatialLayer(usize, usize),
    Activate(usize, bool),
    Write(usize, usize),
    /// Of the requests that ever were, so that some answers are late, and some come twice.
    Answer {
        request: usize,
        how: u8,
    },
    /// The oldest that is open.
    AnswerNext(bool),
    Engine(usize, u8),
    Time(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let one = 0..6usize;
    prop_oneof![
        1 => Just(Step::CreateTransport),
        1 => one.clone().prop_map(Step::CloseTransport),
        6 => (one.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(transport, video, enabled)| Step::Produce { transport, video, enabled }),
        2 => one.clone().prop_map(Step::RestartIce),
        2 => one.clone().prop_map(Step::CloseProducer),
        2 => one.clone().prop_map(Step::Pause),
        2 => one.clone().prop_map(Step::Resume),
        2 => (one.clone(), any::<bool>()).prop_map(|(producer, some)| Step::ReplaceTrack(producer, some)),
        1 => one.clone().prop_map(Step::EndTrack),
        2 => (one.clone(), 0..3usize).prop_map(|(producer, layer)| Step::MaxSpatialLayer(producer, layer)),
        2 => (one.clone(), any::<bool>()).prop_map(|(producer, on)| Step::Activate(producer, on)),
        4 => (one.clone(), 0..3usize).prop_map(|(producer, layer)| Step::Write(producer, layer)),
        3 => (0..20usize, 0..4u8).prop_map(|(request, how)| Step::Answer { request, how }),
        8 => any::<bool>().prop_map(Step::AnswerNext),
        4 => (one, 0..5u8).prop_map(|(transport, what)| Step::Engine(transport, what)),
        1 => (0..12_000u64).prop_map(Step::Time),
    ]
}

/// What is known of a request: whether it waits for its answer.
struct Asked {
    id: RequestId,
    request: Request,
    open: bool,
}

struct World {
    device: Device,
    now: Instant,
    transports: Vec<TransportId>,
    producers: Vec<ProducerId>,
    asked: Vec<Asked>,
    /// Not settled yet.
    operations: BTreeSet<OperationId>,
    /// In the order in which they were asked for, by transport.
    produced: BTreeMap<TransportId, Vec<ProducerId>>,
    gone_transports: BTreeSet<TransportId>,
    gone_producers: BTreeSet<ProducerId>,
    states: BTreeMap<TransportId, ConnectionState>,
}

impl World {
    fn new() -> Self {
        let limits = Limits::default().transports(3).producers(8).operations(4).pending_requests(4).late_answers(3);
        let now = Instant::now();
        let mut device = Device::scripted(DeviceConfig::default().limits(limits), 1);
        device.load(now, router(), false).unwrap();
        Self {
            device,
            now,
            transports: Vec::new(),
            producers: Vec::new(),
            asked: Vec::new(),
            operations: BTreeSet::new(),
            produced: BTreeMap::new(),
            gone_transports: BTreeSet::new(),
            gone_producers: BTreeSet::new(),
            states: BTreeMap::new(),
        }
    }

    /// One of those that ever were, or one that never was.
    fn transport(&self, index: usize) -> TransportId {
        self.transports.get(index).copied().unwrap_or(TransportId::from(99))
    }

    fn producer(&self, index: usize) -> ProducerId {
        self.producers.iter().rev().nth(index).copied().unwrap_or(ProducerId::from(99))
    }

    fn step(&mut self, step: &Step) {
        let command = match *step {
            Step::CreateTransport => {
                let (options, app_data) = (TransportOptions::default().initial_bitrate_bps(1_000_000), Map::new());
                if let Ok(id) = self.device.create_send_transport(self.now, parameters(), options, app_data) {
                    self.transports.push(id);
                    self.states.insert(id, ConnectionState::New);
                }
                return self.poll(false);
            }
            Step::CloseTransport(index) => Command::CloseTransport { id: self.transport(index) },
            Step::Produce { transport, video, enabled } => {
                let id = self.transport(transport);
                let kind = if video { MediaKind::Video } else { MediaKind::Audio };
                let layers = vec![EncodingOptions::default(); if video { 2 } else { 1 }];
                let options = ProduceOptions::default().encodings(layers);
                let track = Track::new(kind, "track", "").with_enabled(enabled);
                if let Some(mut on) = self.device.transport(id)
                    && let Ok(producing) = on.produce(self.now, track, options)
                {
                    self.producers.push(producing.producer);
                    self.operations.insert(producing.operation);
                    self.produced.entry(id).or_default().push(producing.producer);
                }
                return self.poll(false);
            }
            Step::RestartIce(index) => {
                let given: IceParameters =
                    serde_json::from_value(json!({ "usernameFragment": "u", "password": "p" })).unwrap();
                let id = self.transport(index);
                if let Some(mut on) = self.device.transport(id)
                    && let Ok(operation) = on.restart_ice(self.now, given)
                {
                    self.operations.insert(operation);
                }
                return self.poll(false);
            }
            Step::CloseProducer(index) => Command::CloseProducer { id: self.producer(index) },
            Step::Pause(index) => Command::Pause { id: self.producer(index) },
            Step::Resume(index) => Command::Resume { id: self.producer(index) },
            Step::ReplaceTrack(index, some) => {
                let id = self.producer(index);
                let kind = self.device.producer_info(id).map_or(MediaKind::Audio, |producer| producer.kind());
                Command::ReplaceTrack { id, track: some.then(|| Track::new(kind, "other", "")) }
            }
            Step::EndTrack(index) => Command::EndTrack { id: self.producer(index) },
            Step::MaxSpatialLayer(index, layer) => Command::SetMaxSpatialLayer { id: self.producer(index), layer },
            Step::Activate(index, on) => {
                let parameters = EncodingUpdate::default().active(on).max_bitrate(300_000);
                Command::SetEncodingParameters { id: self.producer(index), parameters }
            }
            Step::Write(index, layer) => return self.write(self.producer(index), layer),
            Step::Answer { request, how } => {
                let Some(asked) = self.asked.get_mut(request) else { return };
                asked.open = false;
                let (id, unique) = (asked.id, format!("p{}", asked.id));
                let result = match how {
                    0 => Ok(Answer::Connected),
                    1 => Ok(Answer::Produced { id: unique }),
                    2 => Ok(Answer::Produced { id: String::new() }),
                    _ => Err(Refusal::new("no")),
                };
                self.device.handle_input(self.now, Input::Answer { id, result }).unwrap();
                return self.poll(false);
            }
            Step::AnswerNext(yes) => {
                let Some(asked) = self.asked.iter_mut().find(|asked| asked.open) else { return };
                asked.open = false;
                let result = match (yes, &asked.request) {
                    (true, Request::Connect { .. }) => Ok(Answer::Connected),
                    (true, _) => Ok(Answer::Produced { id: format!("p{}", asked.id) }),
                    (false, _) => Err(Refusal::new("no")),
                };
                let id = asked.id;
                self.device.handle_input(self.now, Input::Answer { id, result }).unwrap();
                return self.poll(false);
            }
            Step::Engine(index, what) => {
                let event = match what {
                    0 | 1 => EngineEvent::Connected,
                    2 => EngineEvent::Disconnected,
                    3 => EngineEvent::BitrateLimit { bitrate_bps: 500_000 },
                    _ => EngineEvent::Failed(DtlsFailure::Timeout),
                };
                let id = self.transport(index);
                self.device.engine_event(self.now, id, event);
                return self.poll(false);
            }
            Step::Time(milliseconds) => {
                self.now += Duration::from_millis(milliseconds);
                self.device.handle_timeout(self.now);
                let due = self.device.poll_timeout();
                assert!(due.is_none_or(|at| at > self.now), "a deadline that is honoured is over");
                // Those that were overdue are given up.
                let pending = self.device.stats().requests_pending;
                self.poll(true);
                assert_eq!(self.asked.iter().filter(|asked| asked.open).count(), pending);
                return;
            }
        };
        // Whether it can be done depends; nothing else fails.
        drop(self.device.handle_input(self.now, Input::Command(command)));
        self.poll(false);
    }

    /// Media is taken exactly if it can flow, and is one packet then.
    fn write(&mut self, id: ProducerId, layer: usize) {
        let frame = Media::Frame(key_frame().layer(layer));
        let flows = self.device.producer_info(id).map(|producer| {
            let state = self.device.transport_info(producer.transport()).unwrap().connection_state();
            let connected = matches!(state, ConnectionState::Connected | ConnectionState::Disconnected);
            let sends = producer.server_id().is_some() && !producer.paused() && producer.track().is_some();
            connected && sends && producer.is_active(layer)
        });
        let written = self.device.handle_input(self.now, Input::Media { producer: id, media: frame });
        assert_eq!(written.is_ok(), flows == Some(true), "{written:?}");
        if flows.is_none() {
            let gone = mediasoup_producer::v3::InputError::Media(MediaError::ProducerNotFound(id));
            assert_eq!(written, Err(gone));
        }
        let mut transmits = 0;
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(_) => transmits += 1,
                other => assert!(matches!(other, Output::Event(Event::Producer { .. })), "{other:?}"),
            }
        }
        assert_eq!(transmits, u32::from(written.is_ok()));
    }

    fn poll(&mut self, time: bool) {
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(_) => panic!("nothing was written"),
                Output::Request { id, request } => {
                    // What was asked before on this transport is over.
                    for asked in self.asked.iter_mut().filter(|asked| asked.request.transport() == request.transport())
                    {
                        assert!(!asked.open || time, "two requests at once");
                        asked.open = false;
                    }
                    assert!(!self.gone_transports.contains(&request.transport()));
                    if let Request::Produce { transport, producer, .. } = &request {
                        let state = self.states[transport];
                        assert_ne!(state, ConnectionState::New, "produce follows connect");
                        assert!(!self.gone_producers.contains(producer));
                    }
                    self.asked.push(Asked { id, request, open: true });
                }
                Output::Event(event) => self.event(event),
            }
        }
        // What is given up is not open any more.
        let pending = self.device.stats().requests_pending;
        let mut open: Vec<_> = self.asked.iter_mut().filter(|asked| asked.open).collect();
        if open.len() > pending {
            open.iter_mut()
                .filter(|asked| {
                    let id = asked.request.transport();
                    self.device.transport_info(id).is_none()
                })
                .for_each(|asked| asked.open = false);
        }
        if time {
            let over: Vec<_> = self.asked.iter().filter(|asked| asked.open).map(|asked| asked.id).collect();
            let excess = over.len().saturating_sub(pending);
            // The oldest are overdue first.
            for id in over.into_iter().take(excess) {
                self.asked.iter_mut().filter(|asked| asked.id == id).for_each(|asked| asked.open = false);
            }
        }
        assert_eq!(self.asked.iter().filter(|asked| asked.open).count(), pending);
        assert_eq!(self.device.stats().outputs_waiting, 0);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Settled { operation, .. } => assert!(self.operations.remove(&operation), "settled twice"),
            Event::Orphan { producer_id, .. } => assert!(producer_id.starts_with('p')),
            Event::Transport { id, event } => {
                assert!(!self.gone_transports.contains(&id), "nothing follows a close");
                match event {
                    TransportEvent::Close => drop(self.gone_transports.insert(id)),
                    TransportEvent::ConnectionStateChange { state } => {
                        assert_ne!(self.states.insert(id, state), Some(state), "a change changes something");
                    }
                    _ => {}
                }
            }
            Event::Producer { id, event } => {
                assert!(!self.gone_producers.contains(&id), "nothing follows a close");
                match event {
                    ProducerEvent::Close | ProducerEvent::TransportClose => drop(self.gone_producers.insert(id)),
                    ProducerEvent::Produced { .. } => {
                        // In the order in which they were asked for.
                        let list = self.produced.values_mut().find(|list| list.contains(&id)).unwrap();
                        let index = list.iter().position(|of| *of == id).unwrap();
                        list.drain(..=index);
                    }
                    _ => {}
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_promises_hold(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        world.step(&Step::CreateTransport);
        for step in &steps {
            world.step(step);
        }
        // In the end nothing is left.
        for index in 0..world.transports.len() {
            world.step(&Step::CloseTransport(index));
        }
        prop_assert!(world.operations.is_empty(), "{:?}", world.operations);
        prop_assert_eq!(world.device.producers().count() + world.device.transports().count(), 0);
        prop_assert_eq!(world.device.stats().requests_pending, 0);
        prop_assert_eq!(world.device.poll_timeout(), None);
    }

    /// The same inputs give the same outputs.
    #[test]
    fn a_run_can_be_repeated(steps in prop::collection::vec(step(), 1..40)) {
        let run = || {
            let mut world = World::new();
            world.step(&Step::CreateTransport);
            steps.iter().for_each(|step| world.step(step));
            world.asked.into_iter().map(|asked| asked.request.to_json()).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}
