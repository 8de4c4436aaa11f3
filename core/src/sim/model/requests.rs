//! Requests to the server: each is answered, refused, or overdue.

use serde_json::{Value, json};

use super::producer::Life;
use super::step::Answer;
use super::transport::Queued;
use super::{IDS_TAKEN, Model, PENDING, REQUEST_TIMEOUT, Said, to_peer, with_app};
use crate::error::OperationError;
use crate::output::{ConnectionState, Event, ProducerEvent, TransportEvent};
use crate::protocol::{Peer, Refusal};
use crate::room::RoomState;

#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) deadline: u64,
    pub(crate) what: What,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum What {
    QueryRoom { operation: u64 },
    Join { operation: u64 },
    CreateTransport { transport: usize },
    RestartTransport { transport: usize },
    CreateProducer { transport: usize, producer: usize },
}

impl What {
    fn method(self) -> &'static str {
        match self {
            Self::QueryRoom { .. } => "queryRoom",
            Self::Join { .. } => "join",
            Self::CreateTransport { .. } => "createTransport",
            Self::RestartTransport { .. } => "restartTransport",
            Self::CreateProducer { .. } => "createProducer",
        }
    }
}

impl Model {
    /// The request that a number picks; it may be closed, or not there yet.
    pub(crate) fn answered(&self, number: u8) -> u64 {
        let open = match number {
            0..128 => self.open.keys().next(),
            128..192 => self.open.keys().next_back(),
            192.. => None,
        };
        open.copied().unwrap_or(u64::from(number) % (self.requests + 2))
    }

    /// What the server sends for a request.
    pub(crate) fn payload(&self, request: u64, how: Answer) -> Result<Value, Refusal> {
        how.payload(self.open.get(&request).map_or("", |open| open.what.method()))
    }

    /// Asks the server, unless too much is asked already: then it has failed when this returns.
    pub(super) fn request(&mut self, what: What, message: Value) -> Option<u64> {
        if self.open.len() == PENDING {
            self.request_failed(what, OperationError::TooManyRequests(PENDING));
            return None;
        }
        self.requests += 1;
        self.open.insert(self.requests, Open { deadline: self.now + REQUEST_TIMEOUT, what });
        self.said.push(Said::Request(self.requests, message));
        Some(self.requests)
    }

    pub(super) fn answer(&mut self, request: u64, how: Answer) {
        let Some(open) = self.open.remove(&request) else {
            self.unexpected += 1;
            return;
        };
        match how {
            Answer::Good | Answer::Bare | Answer::Demanding | Answer::Malformed => {}
            Answer::Taken if self.asked_again(open.what) => return,
            Answer::Refused | Answer::Taken => {
                let refusal = how.payload(open.what.method()).expect_err("a refusal");
                self.request_failed(open.what, OperationError::Refused(refusal));
                return;
            }
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

    /// Another id is drawn for what is being sent, until too many were taken.
    fn asked_again(&mut self, what: What) -> bool {
        let (What::CreateTransport { transport } | What::CreateProducer { transport, .. }) = what else { return false };
        let on = self.transport(transport);
        let Some(Queued::Send { producer, taken, .. }) = on.queue.front_mut() else { return false };
        if *taken == IDS_TAKEN {
            return false;
        }
        *taken += 1;
        let producer = *producer;
        on.busy = None;
        on.creating = false;
        if let Life::Pending { told, .. } = &mut self.producer(producer).life {
            *told = None;
        }
        self.work(transport);
        true
    }

    pub(super) fn producer_made(&mut self, transport: usize, id: usize) {
        if let Some(producer) = self.producers.get_mut(&id)
            && let Life::Pending { told: Some(told), .. } = producer.life.clone()
        {
            let pause = producer.locally_paused;
            self.handled += 1;
            producer.life = Life::Handled { transport, order: self.handled };
            if told.paused != pause {
                self.tell_paused(id, pause, &told.app);
            }
            self.emit_producer(id, ProducerEvent::Handled);
            self.tell_stats(id);
            self.want_key_frames(id);
        }
        self.done(transport);
    }

    /// It was not asked, refused, not answered, or answered with nonsense. In the last two cases the server may have done
    /// it all the same, and must not keep what nobody uses.
    pub(super) fn request_failed(&mut self, what: What, error: OperationError) {
        let undone = matches!(error, OperationError::Refused(_) | OperationError::TooManyRequests(_));
        match what {
            What::QueryRoom { operation } => self.join_failed(operation, error),
            What::Join { operation } => {
                if !undone {
                    self.tell(to_peer("leave", json!({}), &None));
                }
                self.join_failed(operation, error);
            }
            What::CreateTransport { transport: id } => {
                if !undone {
                    self.tell(to_peer("closeTransport", json!({ "id": id }), &None));
                }
                self.transport(id).creating = false;
                self.failed(id, error);
            }
            What::RestartTransport { transport } => self.failed(transport, error),
            What::CreateProducer { transport, producer } => {
                if !undone {
                    self.tell(to_peer("closeProducer", json!({ "id": producer }), &None));
                }
                self.failed(transport, error);
            }
        }
    }

    pub(super) fn pass(&mut self, milliseconds: u64, jump: bool) {
        let until = self.now + milliseconds;
        if jump {
            self.now = until;
        }
        while let Some(deadline) = self.deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            let overdue = self.open.iter().find(|(_, open)| open.deadline <= deadline).map(|(request, _)| *request);
            let what = self.open.remove(&overdue.expect("it has the deadline")).expect("it is open").what;
            let method = what.method().to_owned();
            self.request_failed(what, OperationError::TimedOut { method });
        }
        self.now = until;
    }
}
