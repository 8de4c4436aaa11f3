//! The room: who is in it, and what the server says without being asked.

use serde_json::{Value, json};

use super::inputs::foreign;
use super::requests::What;
use super::step::Notice;
use super::{Model, PEERS, pick, to_peer};
use crate::event::Originator;
use crate::v2::RoomState;
use crate::v2::protocol::Peer;
use crate::v2::stats::{ProducerStats, TransportStats};
use crate::v2::{Event, ProducerEvent, TransportEvent};
use crate::v2::{Failure, JoinFailure, SendFailure};

impl Model {
    pub(super) fn join(&mut self, nameless: bool, app: Option<Value>) -> Result<(), &'static str> {
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
        let message = json!({ "method": "queryRoom", "target": "room" });
        if let Err(error) = self.request(What::QueryRoom { operation }, message) {
            self.join_failed(operation, error.into());
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, app: Option<Value>) -> Result<(), &'static str> {
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
    pub(super) fn close_room(&mut self, originator: Originator, app_data: Option<Value>) {
        if matches!(self.state, RoomState::New | RoomState::Closed) {
            return;
        }
        self.state = RoomState::Closed;
        self.known_to_server = false;
        self.emit(Event::Closed { originator, app_data });
        self.late.clear();
        for (_, open) in std::mem::take(&mut self.open) {
            if let What::QueryRoom { operation } | What::Join { operation } = open.what {
                self.settle(operation, Err(Failure::Join(JoinFailure::RoomClosed)));
            }
        }
        for id in self.transports.keys().copied().collect::<Vec<_>>() {
            self.close_transport(id, originator, None, SendFailure::RoomClosed);
        }
        for id in self.producers.keys().copied().collect::<Vec<_>>() {
            self.producers.remove(&id);
            self.emit_producer(id, ProducerEvent::Close { originator, app_data: None });
        }
        self.peers.clear();
    }

    pub(super) fn join_failed(&mut self, operation: u64, error: JoinFailure) {
        self.state = RoomState::New;
        self.known_to_server = false;
        self.settle(operation, Err(Failure::Join(error)));
    }

    pub(super) fn notice(&mut self, notice: Notice) {
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
            Notice::Closed(app) => self.close_room(Originator::Remote, app.value()),
            Notice::TransportClosed(number, app) => {
                let id = transport(number);
                if !self.transports.contains_key(&id) {
                    self.unexpected += 1;
                    self.closed_by_server(id);
                }
                self.close_transport(id, Originator::Remote, app.value(), SendFailure::TransportClosed);
            }
            Notice::TransportStats(number) => match transport(number) {
                id if self.transports.contains_key(&id) => {
                    let raw = json!({ "type": "unheard of", "dtlsState": 5 });
                    let stats = vec![TransportStats { transport: None, raw }];
                    self.emit_transport(id, TransportEvent::Stats { stats });
                }
                _ => self.unexpected += 1,
            },
            Notice::ProducerPaused(number, app) => self.remote_pause(producer(number), true, app.value()),
            Notice::ProducerResumed(number, app) => self.remote_pause(producer(number), false, app.value()),
            Notice::ProducerClosed(number, app) => {
                let id = producer(number);
                self.unexpected += u64::from(!self.producers.contains_key(&id));
                self.close_producer(id, Originator::Remote, app.value());
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

    pub(super) fn remember(&mut self, peer: Peer) {
        if self.peers.len() < PEERS || self.peers.contains_key(&peer.name) {
            self.peers.insert(peer.name, peer.app_data);
        } else {
            self.peers_dropped += 1;
        }
    }
}
