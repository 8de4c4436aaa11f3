//! How things in a room come to an end or pause, and who is told.

use std::time::Instant;

use serde_json::{Value, json};

use super::entities::{ServerProducer, ServerTransport};
use super::output::{ServerEvent, ServerOutput, Side};
use super::requests::with_app_data;
use super::{RoomServer, stats};
use crate::id::{ProducerId, TransportId};
use crate::sim::receiver::ReceiverOutput;

impl RoomServer {
    pub(super) fn set_paused(&mut self, id: ProducerId, by: Side, paused: bool, app_data: Option<Value>) -> bool {
        let Some(producer) = self.producers.get_mut(&id) else { return false };
        let flag = match by {
            Side::Room => &mut producer.paused_by_room,
            Side::Peer => &mut producer.paused_by_peer,
        };
        if std::mem::replace(flag, paused) == paused {
            return true;
        }
        let (now_paused, on, peer) = (producer.paused(), producer.transport, producer.peer.clone());
        if let Some(transport) = self.transports.get_mut(&on) {
            for stream in transport.receiver.streams_mut().filter(|stream| stream.producer == id) {
                stream.paused = now_paused;
            }
        }
        if by == Side::Room {
            let method = if paused { "producerPaused" } else { "producerResumed" };
            let body = with_app_data(json!({ "id": id, "peerName": &*peer }), app_data.as_ref());
            self.notify_peer(&peer, method, body);
        }
        self.event(if paused {
            ServerEvent::ProducerPaused { id, by, app_data }
        } else {
            ServerEvent::ProducerResumed { id, by, app_data }
        });
        true
    }

    pub(super) fn remove_producer(&mut self, now: Instant, id: ProducerId, by: Side, app_data: Option<Value>) -> bool {
        let encodings = self.encodings(id);
        let Some(producer) = self.producers.remove(&id) else { return false };
        if let Some(transport) = self.transports.get_mut(&producer.transport) {
            transport.receiver.remove_streams(id);
            transport.receiver.flush(now);
        }
        if by == Side::Room {
            let body = with_app_data(json!({ "id": id, "peerName": &*producer.peer }), app_data.as_ref());
            self.notify_peer(&producer.peer, "producerClosed", body);
        }
        self.event(ServerEvent::ProducerClosed { id, by, app_data, encodings });
        self.settle(now, producer.transport);
        true
    }

    /// `tell`: whether the peer is told; it is never told of the producers on the transport.
    pub(super) fn remove_transport(
        &mut self,
        now: Instant,
        id: TransportId,
        by: Side,
        app_data: Option<Value>,
        tell: bool,
    ) -> bool {
        if !self.transports.contains_key(&id) {
            return false;
        }
        let on_it: Vec<_> =
            self.producers.values().filter(|producer| producer.transport == id).map(ServerProducer::id).collect();
        for producer in on_it {
            let encodings = self.encodings(producer);
            self.producers.remove(&producer);
            self.event(ServerEvent::ProducerClosed { id: producer, by: Side::Room, app_data: None, encodings });
        }
        let Some(mut transport) = self.transports.remove(&id) else { return false };
        if tell {
            let body = with_app_data(json!({ "id": id }), app_data.as_ref());
            self.notify_peer(&transport.peer, "transportClosed", body);
        }
        transport.receiver.close(now);
        while let Some(output) = transport.receiver.poll_output() {
            if let ReceiverOutput::Transmit(transmit) = output {
                self.lesser_output(ServerOutput::Transmit(transmit));
            }
        }
        self.listener.remove(id);
        self.event(ServerEvent::TransportClosed { id, by, app_data });
        true
    }

    pub(super) fn remove_peer(&mut self, now: Instant, name: &str, by: Side, app_data: Option<Value>) {
        if by == Side::Room {
            self.notify_peer(name, "closed", with_app_data(json!({}), app_data.as_ref()));
        }
        let Some(peer) = self.peers.remove(name) else { return };
        self.connections.remove(&peer.connection);
        if !peer.spy {
            let news = with_app_data(json!({ "name": name }), app_data.as_ref());
            for other in self.peers.values().map(|other| other.connection).collect::<Vec<_>>() {
                self.notify(other, "peerClosed", news.clone());
            }
        }
        let transports: Vec<_> =
            self.transports.values().filter(|transport| &*transport.peer == name).map(ServerTransport::id).collect();
        for id in transports {
            self.remove_transport(now, id, by, None, false);
        }
        // Those that a transport left behind.
        let producers: Vec<_> =
            self.producers.values().filter(|producer| &*producer.peer == name).map(ServerProducer::id).collect();
        for id in producers {
            self.remove_producer(now, id, by, None);
        }
        self.event(ServerEvent::PeerClosed { peer: name.to_owned(), by, app_data });
    }

    /// Sends the statistics that are due.
    pub(super) fn report_stats(&mut self, now: Instant) {
        let timestamp = self.origin.map_or(0, |origin| now.saturating_duration_since(origin).as_millis() as u64);
        let mut reports = Vec::new();
        for transport in self.transports.values_mut() {
            if let Some(subscription) = transport.stats.as_mut().filter(|subscription| subscription.due <= now) {
                subscription.due = now + subscription.interval;
                let body = json!({ "id": transport.id, "stats": [stats::transport(transport, timestamp)] });
                reports.push((transport.peer.clone(), "transportStats", body));
            }
        }
        for producer in self.producers.values_mut().filter(|producer| !producer.paused()) {
            let Some(subscription) = producer.stats.as_mut().filter(|subscription| subscription.due <= now) else {
                continue;
            };
            subscription.due = now + subscription.interval;
            let Some(transport) = self.transports.get_mut(&producer.transport) else { continue };
            let body = json!({ "id": producer.id, "stats": stats::producer(now, producer, transport, timestamp) });
            reports.push((producer.peer.clone(), "producerStats", body));
        }
        for (peer, method, body) in reports {
            if self.outputs.len() < self.config.limits.outputs {
                self.notify_peer(&peer, method, body);
            } else {
                self.counters.outputs_dropped += 1;
            }
        }
    }
}
