//! A room of mediasoup v2, as its demo has it on protoo.

use std::net::SocketAddr;
use std::time::Instant;

use mediasoup_producer::protoo::{Failure, Message};
use mediasoup_producer::sim::{ConnectionId, ReceivedPacket, RoomServer, RoomServerConfig, ServerEvent, ServerOutput};
use mediasoup_producer::{IceProtocol, Receive};
use serde_json::{Value, json};

use super::driver::{Output, Server, Views};
use super::{Command, LayerView, Packet, ProducerKey, ProducerView};

const REQUEST: &str = "mediasoup-request";
const NOTIFICATION: &str = "mediasoup-notification";

#[derive(Debug)]
pub(super) struct Room {
    server: RoomServer,
    notifications: u64,
    /// Answers to what is not mediasoup's.
    answers: Vec<(ConnectionId, Message)>,
}

impl Room {
    /// `forwards`: somebody listens to the packets.
    pub(super) fn new(address: SocketAddr, seed: u64, forwards: bool) -> Self {
        let config = RoomServerConfig::default().address(IceProtocol::Udp, address).forward_media(forwards);
        Self { server: RoomServer::new(config, seed), notifications: 0, answers: Vec::new() }
    }

    fn answer(&mut self, to: ConnectionId, id: u64, result: Result<Value, String>) {
        self.answers.push((to, response(id, result)));
    }
}

impl Server for Room {
    fn came(&mut self, _: ConnectionId, _: Option<String>) {}

    fn said(&mut self, now: Instant, from: ConnectionId, message: Message) {
        match message {
            Message::Request { id, method, data } => match method.as_str() {
                REQUEST => self.server.handle_request(now, from, id, &data),
                NOTIFICATION => {
                    self.server.handle_notification(now, from, &data);
                    self.answer(from, id, Ok(json!({})));
                }
                _ => self.answer(from, id, Err(format!("unknown method \"{method}\""))),
            },
            Message::Notification { method, data } if method == NOTIFICATION => {
                self.server.handle_notification(now, from, &data);
            }
            // The peer's answers to what we said mean nothing more.
            Message::Notification { .. } | Message::Response { .. } => {}
        }
    }

    fn left(&mut self, now: Instant, id: ConnectionId) {
        self.server.handle_disconnect(now, id, None);
    }

    fn obey(&mut self, now: Instant, command: Command) {
        let _known = match command {
            Command::Pause(key) => self.server.pause_producer(now, key.producer, None),
            Command::Resume(key) => self.server.resume_producer(now, key.producer, None),
            Command::RequestKeyFrame(key, profile) => self.server.request_key_frame(now, key.producer, Some(profile)),
            Command::Close(_) => false,
        };
    }

    fn close(&mut self, now: Instant) {
        self.server.close(now, None);
    }

    fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        self.server.handle_receive(now, receive);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some((to, answer)) = self.answers.pop() {
            return Some(Output::Say(to, answer));
        }
        Some(match self.server.poll_output()? {
            ServerOutput::Transmit(transmit) => Output::Transmit(transmit),
            ServerOutput::Response { connection, id, result } => Output::Say(connection, response(id, result)),
            // A mediasoup notification is a protoo request as the v2 demo has it.
            ServerOutput::Notification { connection, message } => {
                self.notifications += 1;
                let (id, method) = (self.notifications, NOTIFICATION.to_owned());
                Output::Say(connection, Message::Request { id, method, data: message })
            }
            ServerOutput::Rtp(packet) => Output::Packet(packet.into()),
            ServerOutput::Event(
                ServerEvent::ProducerCreated { .. }
                | ServerEvent::ProducerPaused { .. }
                | ServerEvent::ProducerResumed { .. }
                | ServerEvent::ProducerClosed { .. },
            ) => Output::Changed,
            _ => Output::Nothing,
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }

    fn views(&self) -> Views {
        let producers = self.server.producers().map(|producer| {
            let layers = self.server.encodings(producer.id()).into_iter().map(|counters| LayerView {
                profile: counters.profile,
                ssrc: counters.ssrc,
                packets: counters.packets,
                bytes: counters.bytes,
                lost: counters.packets_lost.cast_signed(),
                bitrate_bps: counters.bitrate_bps,
            });
            let view = ProducerView {
                kind: producer.kind(),
                codec: producer.codec(),
                paused_by_peer: producer.paused_by_peer(),
                paused_by_room: producer.paused_by_room(),
                layers: layers.collect(),
            };
            (ProducerKey { peer: producer.peer().into(), producer: producer.id() }, view)
        });
        producers.collect()
    }
}

fn response(id: u64, result: Result<Value, String>) -> Message {
    Message::Response { id, result: result.map_err(|reason| Failure { code: 500, reason }) }
}

impl From<ReceivedPacket> for Packet {
    fn from(packet: ReceivedPacket) -> Self {
        Self {
            producer: ProducerKey { peer: packet.peer, producer: packet.producer },
            profile: packet.profile,
            codec: packet.codec,
            ssrc: packet.ssrc,
            payload_type: packet.payload_type,
            sequence_number: packet.sequence_number,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: packet.payload,
        }
    }
}
