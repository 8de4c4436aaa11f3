//! What happens in a moment of virtual time.

use std::time::Instant;

use serde_json::json;

use super::Scenario;
use crate::id::{ProducerId, RequestId, TransportId};
use crate::net::{IceParameters, Receive};
use crate::sim::net::Direction;
use crate::sim::source::SentFrame;
use crate::sim::timeline::{Timeline, is_rtp};
use crate::sim::v3::RouterOutput;
use crate::v3::{Answer, Event, Input, Output, ProducerEvent, Refusal, Request, TransportEvent};

/// What the application says to its server, and hears from it.
#[derive(Debug, Clone)]
pub(super) enum Signal {
    Request { id: RequestId, request: Request },
    RestartIce { transport: TransportId, name: String },
    Pause { name: String },
    Resume { name: String },
    CloseProducer { name: String },
    CloseTransport { name: String },
    Answer { id: RequestId, result: Result<Answer, String> },
    IceRestarted { transport: TransportId, parameters: IceParameters },
    ProducerClosed { id: ProducerId },
    TransportClosed { id: TransportId },
}

/// What is done with a request, or with its answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fault {
    Keep,
    Drop,
    Answer(Result<Answer, String>),
}

impl Timeline for Scenario {
    fn time(&self) -> Instant {
        self.now
    }

    fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    fn next_moment(&self) -> Option<Instant> {
        let media = if self.media_stopped { None } else { self.sources.values().map(|(_, at)| *at).min() };
        let sides = [self.device.poll_timeout(), self.router.poll_timeout(), self.net.poll_timeout()];
        sides.into_iter().chain([self.signalling.next_moment(), media]).flatten().min()
    }

    fn happen(&mut self) {
        let now = self.now;
        if self.device.poll_timeout().is_some_and(|at| at <= now) {
            self.device.handle_timeout(now);
        }
        if self.router.poll_timeout().is_some_and(|at| at <= now) {
            self.router.handle_timeout(now);
        }
        self.collect();
        while let Some((direction, transmit)) = self.net.poll_arrival(now) {
            let receive = Receive::from(transmit);
            match direction {
                Direction::Up => self.router.handle_receive(now, &receive),
                Direction::Down => self.device.handle_receive(now, &receive),
            }
            self.collect();
        }
        while let Some(signal) = self.signalling.arrived(now) {
            self.arrive(signal);
            self.collect();
        }
        self.write_media();
        self.collect();
    }

    fn collect(&mut self) {
        let now = self.now;
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.rtp_datagrams += u64::from(is_rtp(&transmit.contents));
                    self.net.send(now, Direction::Up, transmit);
                }
                Output::Request { id, request } => {
                    self.messages.push(json!({ "method": request.name(), "data": request.to_json() }));
                    match self.faults.get(request.name()) {
                        Some(Fault::Answer(result)) => {
                            let result = result.clone();
                            self.signalling.send(now, 2, Signal::Answer { id, result });
                        }
                        Some(Fault::Keep | Fault::Drop) | None => {
                            self.signalling.send(now, 1, Signal::Request { id, request });
                        }
                    }
                }
                Output::Event(event) => {
                    self.heed(&event);
                    self.events.push((now, event));
                }
            }
        }
        while let Some(output) = self.router.poll_output() {
            match output {
                RouterOutput::Transmit(transmit) => self.net.send(now, Direction::Down, transmit),
                RouterOutput::Rtp(packet) => self.packets.push(packet),
                RouterOutput::Event(event) => self.router_events.push((now, event)),
            }
        }
    }

    fn state(&self) -> String {
        let transports: Vec<_> =
            self.device.transports().map(|transport| (transport.id(), transport.connection_state())).collect();
        let producers: Vec<_> =
            self.device.producers().map(|producer| (producer.id(), producer.server_id(), producer.paused())).collect();
        let last: Vec<_> = self.events.iter().rev().take(8).map(|(_, event)| event).collect();
        format!(
            "transports {transports:?}, producers (id, router's id, paused) {producers:?}, the router knows {} transports \
             and {} producers, uplink {:?}, downlink {:?}, last events first {last:?}",
            self.router.transports().count(),
            self.router.producers().count(),
            self.net.counters(Direction::Up),
            self.net.counters(Direction::Down),
        )
    }
}

impl Scenario {
    fn arrive(&mut self, signal: Signal) {
        let now = self.now;
        match signal {
            Signal::Request { id, request } => {
                let name = request.name();
                let result = self.ask_router(request).map_err(|error| error.to_string());
                let answer = Signal::Answer { id, result };
                match self.faults.get(name) {
                    None | Some(Fault::Answer(_)) => self.signalling.send(now, 1, answer),
                    Some(Fault::Keep) => self.held.push(answer),
                    Some(Fault::Drop) => {
                        if let Signal::Answer { result: Ok(Answer::Produced { id }), .. } = answer {
                            self.untold.push(id);
                        }
                    }
                }
            }
            Signal::RestartIce { transport, name } => {
                if let Ok(parameters) = self.router.restart_ice(now, &name) {
                    self.signalling.send(now, 1, Signal::IceRestarted { transport, parameters });
                }
            }
            // What the other side has closed meanwhile is not found.
            Signal::Pause { name } => drop(self.router.pause_producer(now, &name)),
            Signal::Resume { name } => drop(self.router.resume_producer(now, &name)),
            Signal::CloseProducer { name } => drop(self.router.close_producer(now, &name)),
            Signal::CloseTransport { name } => drop(self.router.close_transport(now, &name)),
            Signal::Answer { id, result } => {
                let result = result.map_err(Refusal::new);
                self.device.handle_input(now, Input::Answer { id, result }).expect("answers never fail");
            }
            Signal::IceRestarted { transport, parameters } => {
                if let Some(mut transport) = self.device.transport(transport) {
                    drop(transport.restart_ice(now, parameters));
                }
            }
            Signal::ProducerClosed { id } => {
                if let Some(producer) = self.device.producer(id) {
                    drop(producer.close(now));
                }
            }
            Signal::TransportClosed { id } => {
                if let Some(transport) = self.device.transport(id) {
                    drop(transport.close(now));
                }
            }
        }
    }

    fn ask_router(&mut self, request: Request) -> Result<Answer, crate::sim::v3::RouterError> {
        let now = self.now;
        match request {
            Request::Connect { transport_id, dtls_parameters, .. } => {
                self.router.connect(now, &transport_id, &dtls_parameters).map(|()| Answer::Connected)
            }
            Request::Produce { transport_id, kind, mut rtp_parameters, .. } => {
                if self.leave_out_ssrcs {
                    for encoding in &mut rtp_parameters.encodings {
                        (encoding.ssrc, encoding.rtx) = (None, None);
                    }
                }
                let produced = self.router.produce(now, &transport_id, kind, &rtp_parameters);
                produced.map(|id| Answer::Produced { id })
            }
        }
    }

    fn write_media(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.sources.iter().filter(|(_, (_, at))| *at <= now).map(|(id, _)| *id).collect();
        for id in due {
            let Some((source, at)) = self.sources.get_mut(&id) else { continue };
            *at += source.interval();
            if self.media_stopped {
                *at = (*at).max(now);
                continue;
            }
            let Some(mut producer) = self.device.producer(id) else {
                self.sources.remove(&id);
                continue;
            };
            for frame in source.frames() {
                let (layer, key_frame) = (frame.layer, frame.key_frame);
                match producer.write_frame(now, frame.clone()) {
                    Ok(()) => self.sent.push(SentFrame { at: now, producer: id, frame }),
                    // What a decoder needs first must not be lost with what was refused.
                    Err(_) if key_frame => source.request_key_frame(layer),
                    Err(_) => {}
                }
            }
            self.collect();
        }
    }

    /// The application tells its server, and the sources behave as encoders should.
    fn heed(&mut self, event: &Event) {
        let now = self.now;
        let signal = match event {
            Event::Orphan { producer_id, .. } => Some(Signal::CloseProducer { name: producer_id.clone() }),
            Event::Transport { id, event: TransportEvent::Close } => {
                self.transport_names.remove(id).map(|name| Signal::CloseTransport { name })
            }
            Event::Producer { id, event } => self.heed_producer(*id, event),
            _ => None,
        };
        if let Some(signal) = signal {
            self.signalling.send(now, 1, signal);
        }
    }

    fn heed_producer(&mut self, id: ProducerId, event: &ProducerEvent) -> Option<Signal> {
        let name = self.producer_names.get(&id).cloned();
        match event {
            ProducerEvent::Produced { producer_id } => {
                self.producer_names.insert(id, producer_id.clone());
                // The server takes it that media flows. What was done before it had an id could not be told.
                let paused = self.device.producer_info(id).is_some_and(crate::v3::ProducerInfo::paused);
                paused.then(|| Signal::Pause { name: producer_id.clone() })
            }
            ProducerEvent::Pause => name.map(|name| Signal::Pause { name }),
            ProducerEvent::Resume => name.map(|name| Signal::Resume { name }),
            ProducerEvent::Close => name.map(|name| Signal::CloseProducer { name }),
            ProducerEvent::KeyFrameRequest { layer } => {
                self.source(id)?.request_key_frame(*layer);
                None
            }
            ProducerEvent::TargetBitrate { layer, bitrate_bps } => {
                self.source(id)?.set_target_bps(*layer, *bitrate_bps);
                None
            }
            _ => None,
        }
    }
}
