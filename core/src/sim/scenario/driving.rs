//! What happens in a moment of virtual time.

use std::time::Instant;

use serde_json::Value;

use super::{CONNECTION, Scenario};
use crate::id::RequestId;
use crate::json::Redacted;
use crate::net::Receive;
use crate::sim::net::Direction;
use crate::sim::server::ServerOutput;
use crate::sim::source::SentFrame;
use crate::sim::timeline::{Timeline, is_rtp};
use crate::v2::Input;
use crate::v2::protocol::Refusal;
use crate::v2::{Event, Output, ProducerEvent};

/// A message on its way between room and server.
#[derive(derive_more::Debug, Clone)]
pub(super) enum Signal {
    Request {
        id: RequestId,
        message: Value,
    },
    Notification {
        message: Value,
    },
    Response {
        id: RequestId,
        #[debug("{:?}", result.as_ref().map(Redacted))]
        result: Result<Value, String>,
    },
    ServerNotification {
        message: Value,
    },
}

/// What is done with the requests of a method, or with their answers.
#[derive(derive_more::Debug, Clone, PartialEq)]
pub(super) enum Fault {
    Keep,
    Drop,
    Answer {
        #[debug("{:?}", result.as_ref().map(Redacted))]
        result: Result<Value, String>,
    },
    Patch {
        pointer: String,
        #[debug(skip)]
        value: Value,
    },
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
        [
            self.room.poll_timeout(),
            self.server.poll_timeout(),
            self.net.poll_timeout(),
            self.signalling.next_moment(),
            media,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn happen(&mut self) {
        let now = self.now;
        if self.room.poll_timeout().is_some_and(|at| at <= now) {
            self.room.handle_timeout(now);
        }
        if self.server.poll_timeout().is_some_and(|at| at <= now) {
            self.server.handle_timeout(now);
        }
        self.collect();
        while let Some((direction, transmit)) = self.net.poll_arrival(now) {
            let receive = Receive::from(transmit);
            match direction {
                Direction::Up => self.server.handle_receive(now, &receive),
                Direction::Down => self.room.handle_receive(now, &receive),
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
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    self.rtp_datagrams += u64::from(is_rtp(&transmit.contents));
                    self.net.send(now, Direction::Up, transmit);
                }
                Output::Request { id, request } => {
                    self.methods.insert(id, request.method().to_owned());
                    let message = request.to_json();
                    self.messages.push(message.clone());
                    match self.faults.get(request.method()) {
                        Some(Fault::Answer { result }) => {
                            let result = result.clone();
                            self.signalling.send(now, 2, Signal::Response { id, result });
                        }
                        Some(Fault::Keep | Fault::Drop | Fault::Patch { .. }) | None => {
                            self.signalling.send(now, 1, Signal::Request { id, message });
                        }
                    }
                }
                Output::Notification(notification) => {
                    let message = notification.to_json();
                    self.messages.push(message.clone());
                    self.signalling.send(now, 1, Signal::Notification { message });
                }
                Output::Event(event) => {
                    self.heed(&event);
                    self.events.push((now, event));
                }
            }
        }
        while let Some(output) = self.server.poll_output() {
            match output {
                ServerOutput::Transmit(transmit) => self.net.send(now, Direction::Down, transmit),
                ServerOutput::Response { connection: CONNECTION, id, result } => {
                    let id = RequestId::from(id);
                    let method = self.methods.remove(&id).unwrap_or_default();
                    match self.faults.get(&method) {
                        None | Some(Fault::Answer { .. }) => {
                            self.signalling.send(now, 1, Signal::Response { id, result })
                        }
                        Some(Fault::Keep) => self.held.push(Signal::Response { id, result }),
                        Some(Fault::Drop) => {}
                        Some(Fault::Patch { pointer, value }) => {
                            let mut result = result;
                            if let Some(place) = result.as_mut().ok().and_then(|answer| answer.pointer_mut(pointer)) {
                                *place = value.clone();
                            }
                            self.signalling.send(now, 1, Signal::Response { id, result });
                        }
                    }
                }
                ServerOutput::Notification { connection: CONNECTION, message } => {
                    self.signalling.send(now, 1, Signal::ServerNotification { message });
                }
                output @ (ServerOutput::Response { .. } | ServerOutput::Notification { .. }) => {
                    self.other_peers.push(output);
                }
                ServerOutput::Rtp(packet) => self.packets.push(packet),
                ServerOutput::Event(event) => self.server_events.push((now, event)),
            }
        }
    }

    fn state(&self) -> String {
        let transports: Vec<_> =
            self.room.transports().map(|transport| (transport.id(), transport.connection_state())).collect();
        let producers: Vec<_> =
            self.room.producers().map(|producer| (producer.id(), producer.handled(), producer.paused())).collect();
        let last: Vec<_> = self.events.iter().rev().take(8).map(|(_, event)| event).collect();
        format!(
            "room {}, transports {transports:?}, producers (handled, paused) {producers:?}, server knows {} transports \
             and {} producers, uplink {:?}, downlink {:?}, last events first {last:?}",
            self.room.state(),
            self.server.transports().count(),
            self.server.producers().count(),
            self.net.counters(Direction::Up),
            self.net.counters(Direction::Down),
        )
    }
}

impl Scenario {
    fn arrive(&mut self, signal: Signal) {
        let now = self.now;
        match signal {
            Signal::Request { id, message } => self.server.handle_request(now, CONNECTION, id.value(), &message),
            Signal::Notification { message } => self.server.handle_notification(now, CONNECTION, &message),
            Signal::Response { id, result } => {
                let result = result.map_err(Refusal::new);
                self.room.handle_input(now, Input::Response { id, result }).expect("answers never fail");
            }
            Signal::ServerNotification { message } => {
                self.room.handle_input(now, Input::Notification(message)).expect("notifications never fail");
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
            let Some(mut producer) = self.room.producer(id) else {
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

    /// The sources behave as encoders should.
    fn heed(&mut self, event: &Event) {
        let Event::Producer { id, event } = event else { return };
        let Some((source, _)) = self.sources.get_mut(id) else { return };
        match event {
            ProducerEvent::KeyFrameRequest { profile } => source.request_key_frame(*profile),
            ProducerEvent::TargetBitrate { profile, bitrate_bps } => source.set_target_bps(*profile, *bitrate_bps),
            _ => {}
        }
    }
}
