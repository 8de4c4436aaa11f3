//! Requests to the server: each is answered, refused, or overdue.

use serde_json::{Value, json};

use super::inputs::{garbled, refusal};
use super::producer::Life;
use super::step::Answer;
use super::transport::Queued;
use super::{IDS_TAKEN, LATE, Model, PENDING, REQUEST_TIMEOUT, Said, to_peer, with_app};
use crate::event::ConnectionState;
use crate::v2::RoomState;
use crate::v2::protocol::{Peer, Refusal};
use crate::v2::{Event, ProducerEvent, TransportEvent};
use crate::v2::{JoinFailure, RequestFailure};

#[derive(Debug, Clone)]
pub(crate) struct Open {
    pub(crate) deadline: u64,
    pub(crate) what: What,
    /// An older request for the same has succeeded since this one was sent.
    pub(crate) obstructed: bool,
}

/// A request that was given up.
#[derive(Debug, Clone)]
pub(crate) struct Late {
    makes: Makes,
    /// What it may have made was undone, because a later one was refused.
    blamed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    QueryRoom {
        operation: u64,
    },
    Join {
        operation: u64,
    },
    CreateTransport {
        transport: usize,
        name: u32,
        operation: u64,
    },
    RestartTransport {
        transport: usize,
    },
    CreateProducer {
        transport: usize,
        producer: usize,
        name: u32,
    },
    /// Its transport was closed, which the server is told when it has answered.
    Closed {
        makes: Makes,
        close: Value,
    },
}

/// What the server makes; a transport or producer under one of its names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Makes {
    Peer,
    Transport(usize, u32),
    Producer(usize, u32),
    Credentials(usize),
}

impl Makes {
    fn method(self) -> &'static str {
        match self {
            Self::Peer => "join",
            Self::Transport(..) => "createTransport",
            Self::Producer(..) => "createProducer",
            Self::Credentials(_) => "restartTransport",
        }
    }

    /// What takes it back.
    pub(super) fn undo(self) -> Option<Value> {
        match self {
            Self::Peer => Some(to_peer("leave", json!({}), &None)),
            Self::Transport(id, _) => Some(to_peer("closeTransport", json!({ "id": id }), &None)),
            Self::Producer(id, _) => Some(to_peer("closeProducer", json!({ "id": id }), &None)),
            Self::Credentials(_) => None,
        }
    }
}

impl What {
    pub(super) fn makes(&self) -> Option<Makes> {
        match self {
            Self::QueryRoom { .. } => None,
            Self::Join { .. } => Some(Makes::Peer),
            Self::CreateTransport { transport, name, .. } => Some(Makes::Transport(*transport, *name)),
            Self::RestartTransport { transport } => Some(Makes::Credentials(*transport)),
            Self::CreateProducer { producer, name, .. } => Some(Makes::Producer(*producer, *name)),
            Self::Closed { makes, .. } => Some(*makes),
        }
    }

    fn method(&self) -> &'static str {
        self.makes().map_or("queryRoom", Makes::method)
    }
}

impl Model {
    /// The request that a number picks; it may be closed, or not there yet.
    pub(crate) fn answered(&self, number: u8) -> u64 {
        let open = match number {
            0..128 => self.open.keys().next(),
            128..160 => self.open.keys().next_back(),
            160..224 => self.late.keys().next(),
            224.. => None,
        };
        open.copied().unwrap_or(u64::from(number) % (self.requests + 2))
    }

    /// What the server sends for a request.
    pub(crate) fn payload(&self, request: u64, how: Answer) -> Result<Value, Refusal> {
        let open = self.open.get(&request).map(|open| open.what.method());
        let late = || self.late.get(&request).map(|late| late.makes.method());
        how.payload(open.or_else(late).unwrap_or(""))
    }

    /// Asks the server, unless too much is asked already.
    pub(super) fn request(&mut self, what: What, message: Value) -> Result<u64, RequestFailure> {
        if self.open.len() == PENDING {
            return Err(RequestFailure::TooManyRequests(PENDING));
        }
        self.requests += 1;
        self.open.insert(self.requests, Open { deadline: self.now + REQUEST_TIMEOUT, what, obstructed: false });
        self.said.push(Said::Request(self.requests, message));
        Ok(self.requests)
    }

    fn ask_to_join(&mut self, operation: u64) {
        let message = json!({
            "method": "join", "target": "room", "peerName": "model", "spy": false, "rtpCapabilities": "ours",
        });
        let message = with_app(message, &self.join_app);
        if let Err(error) = self.request(What::Join { operation }, message) {
            self.join_failed(operation, error.into());
        }
    }

    /// Nobody waits for this any more, but it may still be answered. Only so many are remembered.
    pub(super) fn give_up(&mut self, request: u64) -> Option<Open> {
        let open = self.open.remove(&request)?;
        if let Some(makes) = open.what.makes() {
            self.late.insert(request, Late { makes, blamed: false });
            if self.late.len() > LATE {
                self.late.pop_first();
                self.forgotten += 1;
            }
        }
        Some(open)
    }

    /// Whether the same was asked for again; the answer to that will tell whether this is still there.
    fn obstruct(&mut self, made: Makes) -> bool {
        let mut asked_again = false;
        for open in self.open.values_mut().filter(|open| open.what.makes() == Some(made)) {
            open.obstructed = true;
            asked_again = true;
        }
        asked_again
    }

    fn answer_late(&mut self, request: u64, how: Answer) {
        let Some(Late { makes: made, .. }) = self.late.remove(&request) else {
            self.unexpected += 1;
            return;
        };
        if matches!(how, Answer::Refused | Answer::Taken) {
            return;
        }
        let used = match made {
            Makes::Peer => self.state == RoomState::Joined,
            Makes::Transport(id, name) => {
                self.transports.get(&id).is_some_and(|known| known.made() && known.name == name)
            }
            Makes::Producer(id, name) => {
                self.producers.get(&id).is_some_and(|known| known.handled() && known.name == name)
            }
            Makes::Credentials(_) if how == Answer::Malformed => {
                self.malformed += 1;
                return;
            }
            Makes::Credentials(id) => return self.restarted(id, request),
        };
        if !used
            && !self.obstruct(made)
            && let Some(message) = made.undo()
        {
            self.tell(message);
        }
    }

    pub(super) fn answer(&mut self, request: u64, how: Answer) {
        let Some(open) = self.open.remove(&request) else { return self.answer_late(request, how) };
        match how {
            Answer::Good | Answer::Bare | Answer::Demanding | Answer::Malformed => {}
            Answer::Refused | Answer::Taken => {
                let refusal = how.payload(open.what.method()).expect_err("a refusal");
                self.request_failed(request, open, RequestFailure::Refused(refusal));
                return;
            }
        }
        let garbled = || RequestFailure::InvalidResponse(garbled());
        match open.what {
            What::CreateProducer { transport, producer, .. } => self.producer_made(transport, producer),
            What::Closed { makes, close } => {
                self.tell(close);
                self.obstruct(makes);
            }
            what if how == Answer::Malformed => {
                self.malformed += 1;
                self.request_failed(request, Open { what, ..open }, garbled());
            }
            What::QueryRoom { operation } => {
                if how == Answer::Demanding {
                    let demand = JoinFailure::MandatoryCodecs(vec!["payload type 77".to_owned()]);
                    self.join_failed(operation, demand);
                    return;
                }
                self.sends_audio = true;
                self.sends_video = how == Answer::Good;
                self.known_to_server = true;
                self.ask_to_join(operation);
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
            What::CreateTransport { transport: id, .. } => {
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
                self.restarted(transport, request);
                self.done(transport);
            }
        }
    }

    /// The server takes no other ICE credentials from now on, unless a later request has brought newer ones.
    fn restarted(&mut self, id: usize, request: u64) {
        let Some(transport) = self.transports.get_mut(&id).filter(|transport| transport.restarted < request) else {
            return;
        };
        transport.restarted = request;
        if transport.connection == ConnectionState::Failed {
            self.connection(id, ConnectionState::Connecting);
        }
    }

    /// What is being sent has another name, if the last was taken, until too many were.
    fn named_anew(&mut self, what: &What, error: &RequestFailure) -> bool {
        let (What::CreateTransport { transport, .. } | What::CreateProducer { transport, .. }) = what else {
            return false;
        };
        let on = self.transport(*transport);
        let (Some(Queued::Send { taken, .. }), RequestFailure::Refused(words)) = (on.queue.front_mut(), error) else {
            return false;
        };
        if *words == refusal() || *taken == IDS_TAKEN {
            return false;
        }
        *taken += 1;
        match what {
            What::CreateProducer { producer, .. } => self.producer(*producer).name += 1,
            _ => on.name += 1,
        }
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

    /// It was refused, not answered, or answered with nonsense. In the last two cases the server may have done it all the
    /// same, and must not keep what nobody uses. A refusal is not final as long as something that an older request has made
    /// may be its cause.
    pub(super) fn request_failed(&mut self, request: u64, open: Open, error: RequestFailure) {
        let refused = matches!(error, RequestFailure::Refused(_));
        let makes = open.what.makes();
        let undo = makes.and_then(Makes::undo);
        let mut again = refused && undo.is_some() && open.obstructed;
        if refused && undo.is_some() {
            let older = self.late.iter_mut().filter(|(other, late)| **other < request && Some(late.makes) == makes);
            for (_, late) in older {
                again |= !std::mem::replace(&mut late.blamed, true);
            }
        }
        if let What::Closed { makes, close } = open.what {
            if !refused || again || !matches!(makes, Makes::Transport(..)) {
                self.tell(close);
            }
            return;
        }
        if let Some(undo) = undo
            && (!refused || again)
        {
            self.tell(undo);
        }
        let again = again || self.named_anew(&open.what, &error);
        match open.what {
            What::QueryRoom { operation } => self.join_failed(operation, error.into()),
            What::Join { operation } if again => self.ask_to_join(operation),
            What::Join { operation } => self.join_failed(operation, error.into()),
            What::CreateTransport { transport: id, operation, .. } => {
                let transport = self.transport(id);
                transport.creating = false;
                transport.busy = None;
                // It is the failure of who asked. For the others it is tried again.
                let asked = matches!(transport.queue.front(),
                    Some(Queued::Send { operation: first, .. } | Queued::Restart { operation: first }) if *first == operation);
                if asked && !again {
                    self.failed(id, error.into());
                } else {
                    self.work(id);
                }
            }
            What::CreateProducer { transport: id, .. } if again => {
                self.transport(id).busy = None;
                match self.transports[&id].queue.front() {
                    Some(Queued::Closed { .. }) => drop(self.transport(id).queue.pop_front()),
                    Some(Queued::Send { operation, producer, .. }) => {
                        let life = Life::Pending { transport: id, operation: *operation, told: None };
                        let producer = *producer;
                        self.producer(producer).life = life;
                    }
                    Some(Queued::Restart { .. }) | None => {}
                }
                self.work(id);
            }
            What::RestartTransport { transport } | What::CreateProducer { transport, .. } => {
                self.failed(transport, error.into());
            }
            What::Closed { .. } => {}
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
            let overdue = overdue.expect("it has the deadline");
            let method = self.open[&overdue].what.method().to_owned();
            let open = self.give_up(overdue).expect("it is open");
            self.request_failed(overdue, open, RequestFailure::TimedOut { method });
        }
        self.now = until;
    }
}
