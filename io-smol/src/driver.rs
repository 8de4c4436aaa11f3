//! The one loop: inbox, transmit, receive, signalling, timer. It decides nothing about the protocol.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mediasoup_producer::adapter::{self, Outbox, Step};
use mediasoup_producer::{Event as RoomEvent, Receive, TransportId};
use smol::Timer;
use smol::channel::Sender;
use smol::future::FutureExt;

use crate::room::{Event, Shared, Signalling};
use crate::socket::{Sent, Sockets};

/// Turns in one wake, before other tasks of the thread have theirs.
const TURNS: usize = 16;
/// How long the goodbyes may take.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Driver<S> {
    shared: Arc<Shared>,
    signalling: Pin<Box<S>>,
    sockets: Sockets,
    timer: Timer,
    /// When the timer is to fire; None: it is not armed.
    deadline: Option<Instant>,
    outbox: Outbox,
    received: Vec<Receive>,
    /// Dropped when all is over.
    _running: Sender<()>,
}

impl<S: Signalling> Driver<S> {
    pub(crate) fn new(shared: Arc<Shared>, signalling: Pin<Box<S>>, running: Sender<()>) -> Self {
        Self {
            shared,
            signalling,
            sockets: Sockets::default(),
            timer: Timer::never(),
            deadline: None,
            outbox: Outbox::default(),
            received: Vec::new(),
            _running: running,
        }
    }

    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        // A peer that takes no goodbye does not keep us.
        let linger = async {
            Timer::after(LINGER).await;
        };
        poll_fn(|cx| self.poll_goodbye(cx)).or(linger).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.waker.register(cx.waker());
        for _ in 0..TURNS {
            if self.shared.lock().closing {
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
            self.outbox.goodbye(&mut self.shared.lock().room, Instant::now());
            if !self.poll_transmit(cx) {
                break;
            }
        }
        let lost = self.outbox.is_lost();
        let said = lost || self.poll_to_server(cx).is_ready() && self.outbox.messages() == 0;
        let closed = said && (lost || self.signalling.as_mut().poll_close(cx).is_ready());
        if closed && self.outbox.is_done() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Does what the room wants done.
    fn poll_transmit(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = self.outbox.fill(&mut self.shared.lock().room);
        while let Some(step) = self.outbox.next_step() {
            match step {
                Step::Send(transmit) => match self.sockets.poll_send(cx, &transmit) {
                    Sent::Done => {}
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
        if self.outbox.messages() > Outbox::TO_SERVER {
            self.lose();
        }
        busy
    }

    /// Opens sockets towards the server's addresses.
    fn open_sockets(&mut self, id: TransportId) {
        let mut state = self.shared.lock();
        let Some(mut transport) = state.room.transport(id) else { return };
        let opened = self.sockets.open(id, &transport.socket_targets());
        let addresses = transport.set_local_addresses(Instant::now(), opened.addresses);
        let refused = addresses.refused.iter().map(|(_, address, _)| *address);
        for address in refused.chain(addresses.removed.iter().map(|(_, address)| *address)) {
            self.sockets.withdraw(id, address);
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
        let room = &mut self.shared.lock().room;
        for receive in &self.received {
            room.handle_receive(Instant::now(), receive);
        }
        !self.received.drain(..).as_slice().is_empty()
    }

    fn poll_signalling(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        if let Poll::Ready(Err(_)) = self.poll_to_server(cx) {
            self.lose();
        }
        for _ in 0..Outbox::BATCH {
            if self.outbox.is_lost() {
                break;
            }
            let Poll::Ready(message) = self.signalling.as_mut().poll_next(cx) else { break };
            busy = true;
            match message {
                Some(message) => self.shared.lock().hear(message),
                None => self.lose(),
            }
        }
        busy
    }

    /// Ready when all was written.
    fn poll_to_server(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
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

    fn lose(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        state.emit(Event::Disconnected);
        self.outbox.lose(&mut state.room, Instant::now());
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.shared.lock().room.poll_timeout();
        if deadline != self.deadline {
            self.deadline = deadline;
            self.timer = deadline.map_or_else(Timer::never, Timer::at);
        }
        if self.deadline.is_none() || Pin::new(&mut self.timer).poll(cx).is_pending() {
            return false;
        }
        self.deadline = None;
        self.shared.lock().room.handle_timeout(Instant::now());
        true
    }
}

/// However the task ends, nobody is left waiting.
impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closing = true;
        if !std::thread::panicking() {
            let events: Vec<_> = adapter::finish(&mut state.room, Instant::now()).collect();
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
