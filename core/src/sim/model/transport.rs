//! Transports: one operation after another, and their connection.

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::inputs::{failure, interval_taken};
use super::producer::{Life, Producer, Told};
use super::requests::{Makes, What};
use super::step::{Says, TransportOp};
use super::{ADDRESSES, Model, OPERATIONS, TRANSPORTS, to_peer, with_app};
use crate::event::{ConnectionState, Originator};
use crate::v2::RoomState;
use crate::v2::{Failure, RequestFailure, RestartIceFailure, SendFailure};
use crate::v2::{ProducerEvent, TransportEvent};

#[derive(Debug, Clone)]
pub(crate) struct Transport {
    pub(crate) app: Option<Value>,
    /// How often the server's name for it was taken.
    pub(crate) name: u32,
    /// `createTransport` is under way.
    pub(crate) creating: bool,
    pub(crate) connection: ConnectionState,
    /// Milliseconds.
    pub(crate) stats: Option<u64>,
    pub(crate) addresses: BTreeSet<u8>,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) busy: Option<u64>,
    /// Which request brought its ICE credentials; 0: `createTransport`.
    pub(crate) restarted: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Queued {
    Send {
        operation: u64,
        producer: usize,
        /// How many ids for it the server has refused.
        taken: u8,
    },
    Restart {
        operation: u64,
    },
    /// The producer was closed after the server was asked to make it; what it is to be told when it has.
    Closed {
        then: Option<Value>,
    },
}

impl Transport {
    /// The server has made its side.
    pub(crate) fn made(&self) -> bool {
        self.connection != ConnectionState::New
    }

    /// Media can go out: it was connected, and is not given up.
    pub(crate) fn flows(&self) -> bool {
        matches!(self.connection, ConnectionState::Connected | ConnectionState::Disconnected)
    }
}

impl Model {
    pub(super) fn create_transport(&mut self, app: Option<Value>) -> Result<(), &'static str> {
        if self.state != RoomState::Joined {
            return Err("RoomState");
        }
        if self.transports.len() == TRANSPORTS {
            return Err("Limit");
        }
        let transport = Transport {
            app,
            name: 0,
            creating: false,
            connection: ConnectionState::New,
            stats: None,
            addresses: BTreeSet::new(),
            queue: VecDeque::new(),
            busy: None,
            restarted: 0,
        };
        self.transports.insert(self.transports_made, transport);
        self.transports_made += 1;
        Ok(())
    }

    pub(super) fn restart_all(&mut self) -> Result<(), &'static str> {
        if self.state != RoomState::Joined {
            return Err("RoomState");
        }
        for id in self.transports.keys().copied().collect::<Vec<_>>() {
            let _ = self.restart(id);
        }
        Ok(())
    }

    pub(super) fn restart(&mut self, id: usize) -> Result<(), &'static str> {
        let transport = &self.transports[&id];
        if !transport.made() && !transport.creating {
            return Err("NotStarted");
        }
        if transport.queue.len() >= OPERATIONS {
            return Err("Limit");
        }
        let operation = self.operation();
        self.queue(id, Queued::Restart { operation });
        Ok(())
    }

    pub(super) fn transport_op(&mut self, id: usize, op: TransportOp) -> Result<(), &'static str> {
        let Some(transport) = self.transports.get_mut(&id) else { return Err("TransportNotFound") };
        match op {
            TransportOp::Close(app) => self.close_transport_here(id, app.value()),
            TransportOp::EnableStats { milliseconds } => {
                let interval = interval_taken(milliseconds);
                let again = transport.stats.replace(interval).is_some();
                if transport.made() {
                    if again {
                        self.tell(to_peer("disableTransportStats", json!({ "id": id }), &None));
                    }
                    self.tell(to_peer("enableTransportStats", json!({ "id": id, "interval": interval }), &None));
                }
            }
            TransportOp::DisableStats => {
                if transport.stats.take().is_some() && transport.made() {
                    self.tell(to_peer("disableTransportStats", json!({ "id": id }), &None));
                }
            }
            TransportOp::SetAppData(app) => transport.app = app.value(),
            TransportOp::RestartIce => return self.restart(id),
            TransportOp::AddAddress(number) => {
                if number.is_multiple_of(8) {
                    return Err("BadAddress");
                }
                if transport.addresses.len() == ADDRESSES && !transport.addresses.contains(&(number % 8)) {
                    return Err("Limit");
                }
                transport.addresses.insert(number % 8);
            }
            TransportOp::RemoveAddress(number) => drop(transport.addresses.remove(&(number % 8))),
        }
        Ok(())
    }

    /// The server has closed one that was closed here, too: what it still makes on it is closed by itself.
    pub(super) fn closed_by_server(&mut self, id: usize) {
        for open in self.open.values_mut() {
            if let What::Closed { makes: makes @ Makes::Producer(..), close } = &mut open.what
                && close["method"] == "closeTransport"
                && close["id"] == json!(id)
            {
                *close = makes.undo().expect("a producer can be closed");
            }
        }
    }

    pub(super) fn close_transport_here(&mut self, id: usize, app: Option<Value>) {
        let transport = &self.transports[&id];
        if transport.made() || transport.creating {
            if transport.made() && transport.stats.is_some() {
                self.tell(to_peer("disableTransportStats", json!({ "id": id }), &None));
            }
            let close = to_peer("closeTransport", json!({ "id": id }), &app);
            // The server does not find what it is still making.
            let busy = self.transports[&id].busy;
            let makes = busy.and_then(|request| self.open[&request].what.makes());
            match (busy, makes) {
                (Some(request), Some(makes @ (Makes::Transport(..) | Makes::Producer(..)))) => {
                    let open = self.open.get_mut(&request).expect("it is open");
                    open.what = What::Closed { makes, close };
                    self.transport(id).busy = None;
                }
                _ => self.tell(close),
            }
        }
        self.close_transport(id, Originator::Local, app, SendFailure::TransportClosed);
    }

    /// Its operations fail, its producers are free again, and nothing follows its close.
    pub(super) fn close_transport(
        &mut self,
        id: usize,
        originator: Originator,
        app: Option<Value>,
        error: SendFailure,
    ) {
        let Some(transport) = self.transports.remove(&id) else { return };
        if let Some(request) = transport.busy {
            self.give_up(request);
        }
        for queued in transport.queue {
            match queued {
                Queued::Send { operation, .. } => self.settle(operation, Err(Failure::Send(error.clone()))),
                Queued::Restart { operation } => self.settle(operation, not_restarted(error.clone())),
                Queued::Closed { .. } => {}
            }
        }
        let mut unhandled = Vec::new();
        for (producer, known) in &mut self.producers {
            if known.transport() == Some(id)
                && let Life::Handled { order, .. } = std::mem::replace(&mut known.life, Life::Unhandled)
            {
                unhandled.push((order, *producer));
            }
        }
        unhandled.sort_unstable();
        for (_, producer) in unhandled {
            self.emit_producer(producer, ProducerEvent::Unhandled);
        }
        self.emit_transport(id, TransportEvent::Close { originator, app_data: app });
    }

    // The operations of a transport, one after another.

    pub(super) fn queue(&mut self, id: usize, queued: Queued) {
        self.transport(id).queue.push_back(queued);
        self.work(id);
    }

    pub(super) fn work(&mut self, id: usize) {
        while let Some(transport) = self.transports.get(&id).filter(|transport| transport.busy.is_none()) {
            let asked = match transport.queue.front() {
                None | Some(Queued::Closed { .. }) => return,
                Some(Queued::Send { operation, .. }) if !transport.made() => {
                    let message = json!({
                        "method": "createTransport", "target": "peer", "id": id, "direction": "send", "options": {},
                        "dtlsParameters": "ours",
                    });
                    let message = with_app(message, &transport.app);
                    let what = What::CreateTransport { transport: id, name: transport.name, operation: *operation };
                    let asked = self.request(what, message);
                    self.transport(id).creating = asked.is_ok();
                    asked.map_err(Into::into)
                }
                Some(Queued::Send { producer, .. }) => self.ask_for_producer(id, *producer).map_err(Into::into),
                Some(Queued::Restart { .. }) if !transport.made() => Err(SendFailure::TransportClosed),
                Some(Queued::Restart { .. }) => {
                    let message = json!({ "method": "restartTransport", "target": "peer", "id": id });
                    self.request(What::RestartTransport { transport: id }, message).map_err(Into::into)
                }
            };
            match asked {
                Ok(request) => self.transport(id).busy = Some(request),
                Err(error) => self.fail_first(id, error),
            }
        }
    }

    fn ask_for_producer(&mut self, id: usize, producer: usize) -> Result<u64, RequestFailure> {
        let known = self.producers.get_mut(&producer).expect("a closed one leaves the queue");
        let layers: Vec<_> = if known.simulcast {
            known.layers().iter().map(|layer| Value::from(layer.as_str())).collect()
        } else {
            vec![Value::Null]
        };
        let message = json!({
            "method": "createProducer", "target": "peer", "id": producer, "transportId": id,
            "kind": if known.video { "video" } else { "audio" },
            "paused": known.locally_paused,
            "rtpParameters": layers,
        });
        let message = with_app(message, &known.app);
        known.asked = [None; 3];
        if let Life::Pending { told, .. } = &mut known.life {
            *told = Some(Told { paused: known.locally_paused, app: None });
        }
        let name = known.name;
        self.request(What::CreateProducer { transport: id, producer, name }, message)
    }

    pub(super) fn done(&mut self, id: usize) {
        let transport = self.transport(id);
        transport.busy = None;
        match transport.queue.pop_front() {
            Some(Queued::Send { operation, .. }) => self.settle(operation, Ok(())),
            Some(Queued::Restart { operation }) => self.settle(operation, Ok(())),
            Some(Queued::Closed { then: Some(message) }) => self.tell(message),
            Some(Queued::Closed { then: None }) | None => {}
        }
        self.work(id);
    }

    pub(super) fn failed(&mut self, id: usize, error: SendFailure) {
        self.fail_first(id, error);
        self.work(id);
    }

    fn fail_first(&mut self, id: usize, error: SendFailure) {
        let transport = self.transport(id);
        transport.busy = None;
        match transport.queue.pop_front() {
            Some(Queued::Send { operation, producer, .. }) => {
                self.producers.get_mut(&producer).expect("a closed one leaves the queue").life = Life::Unhandled;
                self.settle(operation, Err(Failure::Send(error)));
            }
            Some(Queued::Restart { operation }) => self.settle(operation, not_restarted(error)),
            Some(Queued::Closed { .. }) | None => {}
        }
    }

    // The connection.

    pub(super) fn engine(&mut self, id: usize, says: Says) {
        if !self.transports.get(&id).is_some_and(Transport::made) {
            return;
        }
        match says {
            Says::Connected => {
                self.connection(id, ConnectionState::Connected);
                let on_it =
                    |(producer, known): (&usize, &Producer)| (known.transport() == Some(id)).then_some(*producer);
                for producer in self.producers.iter().filter_map(on_it).collect::<Vec<_>>() {
                    self.want_key_frames(producer);
                }
            }
            Says::Disconnected if self.transports[&id].flows() => self.connection(id, ConnectionState::Disconnected),
            Says::Disconnected | Says::Closed => self.connection(id, ConnectionState::Failed),
            Says::Failed => {
                self.emit_transport(id, TransportEvent::Failed { cause: failure() });
                self.connection(id, ConnectionState::Failed);
                self.close_transport_here(id, None);
            }
            // What it means for encoders is not the model's business.
            Says::Limit(_) => {}
        }
    }

    pub(super) fn connection(&mut self, id: usize, state: ConnectionState) {
        let before = std::mem::replace(&mut self.transport(id).connection, state);
        if before != state {
            self.emit_transport(id, TransportEvent::ConnectionStateChange { state });
        }
    }
}

/// What fails a transport fails a restart of ICE on it.
fn not_restarted(error: SendFailure) -> Result<(), Failure> {
    Err(Failure::RestartIce(match error {
        SendFailure::Request(failure) => failure.into(),
        SendFailure::RoomClosed => RestartIceFailure::RoomClosed,
        _ => RestartIceFailure::TransportClosed,
    }))
}
