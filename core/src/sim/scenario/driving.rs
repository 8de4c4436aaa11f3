//! What happens in a moment of virtual time.

use std::time::Instant;

use serde_json::Value;

use super::{CONNECTION, Scenario, SentFrame};
use crate::id::RequestId;
use crate::json::Redacted;
use crate::net::Receive;
use crate::sim::net::Direction;
use crate::sim::server::ServerOutput;
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

impl Scenario {
    pub(super) fn next_moment(&self) -> Option<Instant> {
        let media = if self.media_stopped { None } else { self.sources.values().map(|(_, at)| *at).min() };
        [
            self.room.poll_timeout(),
            self.server.poll_timeout(),
            self.net.poll_timeout(),
            self.signals.front().map(|(at, _)| *at),
            media,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due now.
    pub(super) fn happen(&mut self) {
        let now = self.now;
        if self.room.poll_timeout().is_some_and(|at| at <= now) {
            self.room.handle_timeout(now);
        }
        if self.server.poll_timeout().is_some_and(|at| at <= now) {
            self.server.handle_timeout(now);
        }
        self.collect();
        while let Some((direction, transmit)) = self.net.poll_arrival(now) {
            let receive = Receive {
                protocol: transmit.protocol,
                source: transmit.source,
                destination: transmit.destination,
                contents: transmit.contents,
            };
            match direction {
                Direction::Up => self.server.handle_receive(now, &receive),
                Direction::Down => self.room.handle_receive(now, &receive),
            }
            self.collect();
        }
        while self.signals.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, signal)) = self.signals.pop_front() {
                self.arrive(signal);
                self.collect();
            }
        }
        self.write_media();
        self.collect();
    }

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

    /// Takes what both sides have to say, and sends it on its way.
    pub(super) fn collect(&mut self) {
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
                            self.signal(2, Signal::Response { id, result });
                        }
                        Some(Fault::Keep | Fault::Drop | Fault::Patch { .. }) | None => {
                            self.signal(1, Signal::Request { id, message });
                        }
                    }
                }
                Output::Notification(notification) => {
                    let message = notification.to_json();
                    self.messages.push(message.clone());
                    self.signal(1, Signal::Notification { message });
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
                        None | Some(Fault::Answer { .. }) => self.signal(1, Signal::Response { id, result }),
                        Some(Fault::Keep) => self.held.push(Signal::Response { id, result }),
                        Some(Fault::Drop) => {}
                        Some(Fault::Patch { pointer, value }) => {
                            let mut result = result;
                            if let Some(place) = result.as_mut().ok().and_then(|answer| answer.pointer_mut(pointer)) {
                                *place = value.clone();
                            }
                            self.signal(1, Signal::Response { id, result });
                        }
                    }
                }
                ServerOutput::Notification { connection: CONNECTION, message } => {
                    self.signal(1, Signal::ServerNotification { message });
                }
                output @ (ServerOutput::Response { .. } | ServerOutput::Notification { .. }) => {
                    self.other_peers.push(output);
                }
                ServerOutput::Rtp(packet) => self.packets.push(packet),
                ServerOutput::Event(event) => self.server_events.push((now, event)),
            }
        }
    }

    /// Sends a message on its way, which is so many ways long. One that arrives later than `Instant` can say never does.
    pub(super) fn signal(&mut self, ways: u32, signal: Signal) {
        let at = self.now.checked_add(self.signalling_delay.saturating_mul(ways));
        if let Some(at) = at.filter(|_| !self.signalling_cut) {
            let place = self.signals.partition_point(|(before, _)| *before <= at);
            self.signals.insert(place, (at, signal));
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

/// RFC 7983, and RFC 5761 section 4 for RTCP.
fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if first >> 6 == 2 && !(64..96).contains(&(second & 0x7f)))
}
