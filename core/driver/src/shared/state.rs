//! The room and its sockets, and what is done with them while the lock is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use futures_channel::oneshot;
use mediasoup_producer::adapter::{self, Outbox, Step};
use mediasoup_producer::{MediaKind, OperationId, ProducerId, TransportId};

use super::alarm::Alarm;
use crate::dialect::Dialect;
use crate::error::SignallingError;
use crate::events::EventLog;
use crate::options::{IoStats, Options};
use crate::runtime::Runtime;
use crate::socket::Sockets;

pub(crate) struct State<R: Runtime, D: Dialect> {
    pub(crate) conductor: D,
    pub(crate) outbox: Outbox<D>,
    pub(crate) sockets: Sockets<R>,
    pub(crate) stats: IoStats,
    runtime: R,
    events: Arc<EventLog<D::Heard>>,
    alarm: Alarm<R>,
    /// A transport was told that it is blocked, and perhaps not yet that it no longer is.
    backlogged: bool,
    pub(super) waiters: BTreeMap<OperationId, oneshot::Sender<Result<(), D::Failure>>>,
    /// Transports whose sockets are to be opened anew.
    pub(super) rebind: BTreeSet<TransportId>,
    /// The driver is to come to its end.
    pub(crate) closing: bool,
    /// It has.
    pub(super) ended: bool,
}

impl<R: Runtime, D: Dialect> State<R, D> {
    pub(super) fn new(runtime: R, conductor: D, options: Options, events: Arc<EventLog<D::Heard>>) -> Self {
        Self {
            conductor,
            outbox: Outbox::default(),
            alarm: Alarm::new(&runtime, options.granularity),
            sockets: Sockets::new(runtime.clone(), options),
            stats: IoStats::default(),
            runtime,
            events,
            backlogged: false,
            waiters: BTreeMap::new(),
            rebind: BTreeSet::new(),
            closing: false,
            ended: false,
        }
    }

    /// Does what the room wants done. True if there was anything.
    pub(crate) fn transmit(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = self.outbox.fill(&mut self.conductor);
        let (sockets, stats) = (&mut self.sockets, &mut self.stats);
        // Before their sockets are closed.
        busy |= self.outbox.send(|path, datagrams| sockets.poll_send(cx, path, datagrams, stats));
        while let Some(step) = self.outbox.next_step() {
            match step {
                Step::Open(id) => self.open_sockets(id),
                Step::Close(id) => {
                    let outbox = &self.outbox;
                    self.sockets.close(id, |address| outbox.waiting(address) > 0);
                }
                Step::Settle { operation, result } => self.settle(operation, result),
                Step::Emit(event) => self.emit(D::said(event)),
            }
        }
        self.stats.datagrams_dropped += self.outbox.take_dropped();
        if self.outbox.messages() > Outbox::<D>::TO_SERVER {
            self.lose(SignallingError::Overrun(self.outbox.messages()));
        }
        busy
    }

    /// Does what transports want of their sockets that handles have asked for.
    pub(crate) fn rebind(&mut self) {
        for id in std::mem::take(&mut self.rebind) {
            self.open_sockets(id);
        }
    }

    /// Opens sockets towards the server's addresses, and withdraws those that a transport had before.
    fn open_sockets(&mut self, id: TransportId) {
        let now = self.runtime.now();
        let targets = self.conductor.socket_targets(id);
        if targets.is_empty() {
            return;
        }
        let opened = self.sockets.open(id, &targets);
        let Some(addresses) = self.conductor.set_local_addresses(now, id, opened.addresses) else { return };
        let refused = addresses.refused.iter().map(|(protocol, address, _)| (*protocol, *address));
        for (protocol, address) in refused.chain(addresses.removed) {
            self.sockets.withdraw(id, protocol, address);
        }
        if addresses.taken.is_empty() {
            let refusal = addresses.refused.last().map(|(.., error)| error.to_string());
            let reason = refusal.or(opened.failure).unwrap_or_default();
            self.emit(D::unreachable(id, reason));
        }
    }

    /// Hands in what came over the sockets. True if there was anything.
    pub(crate) fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.runtime.now();
        let (conductor, mut datagrams, mut bytes) = (&mut self.conductor, 0, 0);
        let busy = self.sockets.poll_receive(cx, Outbox::<D>::BATCH, &mut self.stats, |receive| {
            datagrams += 1;
            bytes += receive.contents.len() as u64;
            conductor.handle_receive(now, &receive);
        });
        self.stats.datagrams_received += datagrams;
        self.stats.bytes_received += bytes;
        for transport in self.sockets.give_up() {
            let reason = "its sockets do nothing but fail".to_owned();
            self.emit(D::unreachable(transport, reason));
        }
        busy
    }

    /// Does what is due, and sees to it that the task is woken when something is. True if anything was due.
    pub(crate) fn time(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.runtime.now();
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.conductor.handle_timeout(now);
            self.sockets.handle_timeout(now);
        }
        let deadline = self.deadline();
        self.alarm.set(cx, deadline) || due
    }

    fn deadline(&self) -> Option<Instant> {
        self.conductor.poll_timeout().into_iter().chain(self.sockets.poll_timeout()).min()
    }

    /// Tells whether media for a producer finds its transport blocked: so it knows of the frame that is missing. Audio does
    /// not wait behind video, and is not refused for it.
    pub(super) fn tell_backlog(&mut self, id: ProducerId, kind: MediaKind) {
        if !self.backlogged && !self.outbox.is_blocked() {
            return;
        }
        let Some(id) = self.conductor.transport_of(id) else { return };
        let waiting = |address| match kind {
            MediaKind::Audio => self.outbox.waiting_before_video(address),
            MediaKind::Video => self.outbox.waiting(address),
        };
        let waiting: usize = self.sockets.addresses(id).map(waiting).sum();
        let backlog = if waiting >= Outbox::<D>::BACKLOG { waiting } else { 0 };
        self.backlogged |= backlog > 0;
        self.conductor.set_backlog(id, backlog);
    }

    /// The server said something.
    pub(crate) fn hear(&mut self, message: D::FromServer) {
        let Err(message) = self.conductor.handle_message(self.runtime.now(), message) else { return };
        match D::overheard(message) {
            Some(event) => self.emit(event),
            None => self.stats.messages_unreadable += 1,
        }
    }

    /// The connection to the server is gone.
    pub(crate) fn lose(&mut self, error: SignallingError) {
        self.closing = true;
        self.emit(D::disconnected(error));
        self.outbox.lose(&mut self.conductor, self.runtime.now());
    }

    fn settle(&mut self, operation: OperationId, result: Result<(), D::Failure>) {
        if let Some(waiter) = self.waiters.remove(&operation) {
            // Nobody may wait any more.
            let _ = waiter.send(result);
        }
    }

    fn emit(&self, event: D::Heard) {
        self.events.push(event);
    }

    /// Has all be left in good order, and the driver end.
    pub(super) fn close(&mut self) {
        self.closing = true;
        if !self.ended {
            // Refused when outputs must be polled first: the driver tries again then.
            self.conductor.leave(self.runtime.now());
        }
    }

    /// However the task ends (a runtime that shuts down drops it), nobody is left waiting.
    pub(crate) fn end(&mut self) {
        self.closing = true;
        if !std::thread::panicking() {
            let steps: Vec<_> = adapter::finish(&mut self.conductor, self.runtime.now()).collect();
            for step in steps {
                match step {
                    Step::Settle { operation, result } => self.settle(operation, result),
                    Step::Emit(event) => self.emit(D::said(event)),
                    Step::Open(_) | Step::Close(_) => {}
                }
            }
        }
        self.ended = true;
        self.waiters.clear();
        self.sockets.close_all();
        self.events.end();
    }
}
