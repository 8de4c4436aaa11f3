//! The one loop: inbox, transmit, receive, signalling, timer. It decides nothing about the protocol.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mediasoup_producer::adapter::{self, Outbox, Step};
use mediasoup_producer::{Event as RoomEvent, Receive, TransportId};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::error::SignallingError;
use crate::events::Event;
use crate::options::Options;
use crate::shared::{Shared, now};
use crate::signalling::Signalling;
use crate::socket::{Sent, Sockets};

/// Turns in one wake, before other tasks of the thread have theirs.
const TURNS: usize = 16;
/// How long the goodbyes may take.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Driver {
    shared: Arc<Shared>,
    signalling: Pin<Box<dyn Signalling>>,
    sockets: Sockets,
    timer: Pin<Box<Sleep>>,
    /// When the timer is to fire; None: it is not armed.
    deadline: Option<Instant>,
    outbox: Outbox,
    received: Vec<Receive>,
    /// Dropped when all is over.
    _running: watch::Sender<()>,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        options: Options,
        signalling: Pin<Box<dyn Signalling>>,
        running: watch::Sender<()>,
    ) -> Self {
        Self {
            shared,
            signalling,
            sockets: Sockets::new(options),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            deadline: None,
            outbox: Outbox::default(),
            received: Vec::new(),
            _running: running,
        }
    }

    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        // A peer that takes no goodbye does not keep us.
        let _ = tokio::time::timeout(LINGER, poll_fn(|cx| self.poll_goodbye(cx))).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.register(cx.waker());
        for _ in 0..TURNS {
            if self.poll_inbox() {
                return Poll::Ready(());
            }
            let busy = self.poll_transmit(cx) | self.poll_receive(cx) | self.poll_signalling(cx) | self.poll_timer(cx);
            if !busy {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The end: what is queued goes out, then the connection to the server is closed.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.register(cx.waker());
        loop {
            self.outbox.goodbye(&mut self.shared.lock().room, now());
            if !self.poll_transmit(cx) {
                break;
            }
        }
        let lost = self.outbox.is_lost();
        let said = lost || self.poll_to_server(cx).is_ready() && self.outbox.messages() == 0;
        let closed = said && (lost || self.signalling.as_mut().poll_close(cx).is_ready());
        if closed && self.outbox.is_done() && self.sockets.poll_flush(cx) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What the handles ask of us and not of the room. True: that we end.
    fn poll_inbox(&mut self) -> bool {
        let mut state = self.shared.lock();
        let (closing, rebind) = (state.closing, std::mem::take(&mut state.rebind));
        drop(state);
        for id in rebind {
            self.open_sockets(id);
        }
        closing
    }

    /// Does what the room wants done.
    fn poll_transmit(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = self.outbox.fill(&mut self.shared.lock().room);
        let mut stats = self.sockets.take_stats();
        while let Some(step) = self.outbox.next_step() {
            match step {
                Step::Send(transmit) => match self.sockets.poll_send(cx, &transmit) {
                    Sent::Yes => {
                        stats.datagrams_sent += 1;
                        stats.bytes_sent += transmit.contents.len() as u64;
                    }
                    Sent::Refused => stats.socket_errors += 1,
                    Sent::Dropped => stats.datagrams_dropped += 1,
                    Sent::Blocked => {
                        self.outbox.put_back(Step::Send(transmit));
                        break;
                    }
                },
                Step::Open(id) => self.open_sockets(id),
                Step::Close(id) => self.sockets.close(id),
                Step::Settle { operation, result } => self.shared.lock().settle(operation, result),
                Step::Emit(event) => self.shared.lock().emit(Event::Room(event)),
                _ => {}
            }
            busy = true;
        }
        self.shared.lock().stats += stats;
        if self.outbox.messages() > Outbox::TO_SERVER {
            self.lose(SignallingError::Overrun(self.outbox.messages()));
        }
        busy
    }

    /// Opens sockets towards the server's addresses, and withdraws those that a transport had before.
    fn open_sockets(&mut self, id: TransportId) {
        let mut state = self.shared.lock();
        let Some(mut transport) = state.room.transport(id) else { return };
        let targets = transport.socket_targets();
        if targets.is_empty() {
            return;
        }
        let opened = self.sockets.open(id, &targets);
        let addresses = transport.set_local_addresses(now(), opened.addresses);
        let refused = addresses.refused.iter().map(|(protocol, address, _)| (*protocol, *address));
        for (protocol, address) in refused.chain(addresses.removed) {
            self.sockets.withdraw(id, protocol, address);
        }
        if addresses.taken.is_empty() {
            let refusal = addresses.refused.last().map(|(.., error)| error.to_string());
            let reason = refusal.or(opened.failure).unwrap_or_default();
            state.emit(Event::Unreachable { transport: id, reason });
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let received = &mut self.received;
        while received.len() < Outbox::BATCH
            && let Poll::Ready(receive) = self.sockets.poll_receive(cx)
        {
            received.push(receive);
        }
        let mut state = self.shared.lock();
        let now = now();
        for receive in self.received.iter() {
            state.stats.datagrams_received += 1;
            state.stats.bytes_received += receive.contents.len() as u64;
            state.room.handle_receive(now, receive);
        }
        !self.received.drain(..).as_slice().is_empty()
    }

    fn poll_signalling(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        if let Poll::Ready(Err(error)) = self.poll_to_server(cx) {
            self.lose(error);
        }
        for _ in 0..Outbox::BATCH {
            if self.outbox.is_lost() {
                break;
            }
            let Poll::Ready(message) = self.signalling.as_mut().poll_next(cx) else { break };
            busy = true;
            match message {
                Some(Ok(message)) => self.shared.lock().hear(message),
                Some(Err(error)) => self.lose(error),
                None => self.lose(SignallingError::Closed { reason: None }),
            }
        }
        busy
    }

    /// Ready when all was written.
    fn poll_to_server(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        while self.outbox.messages() > 0 {
            match self.signalling.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            if let Some(message) = self.outbox.next_message()
                && let Err(error) = self.signalling.as_mut().start_send(message)
            {
                return Poll::Ready(Err(error));
            }
        }
        self.signalling.as_mut().poll_flush(cx)
    }

    fn lose(&mut self, error: SignallingError) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.emit(Event::Disconnected { error });
        self.outbox.lose(&mut state.room, now());
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.shared.lock().room.poll_timeout();
        if deadline != self.deadline {
            self.deadline = deadline;
            if let Some(at) = deadline {
                self.timer.as_mut().reset(at.into());
            }
        }
        if self.deadline.is_none() || self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.deadline = None;
        self.shared.lock().room.handle_timeout(now());
        true
    }
}

/// However the task ends (a runtime that shuts down drops it), nobody is left waiting.
impl Drop for Driver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        if !std::thread::panicking() {
            let events: Vec<_> = adapter::finish(&mut state.room, now()).collect();
            for event in events {
                match event {
                    RoomEvent::Settled { operation, result } => state.settle(operation, result),
                    event => state.emit(Event::Room(event)),
                }
            }
        }
        state.waiters.clear();
        state.events = None;
    }
}
