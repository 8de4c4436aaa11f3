//! The one loop: inbox, transmit, receive, signalling, timer. It decides nothing about the protocol.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mediasoup_producer::{Event as RoomEvent, Input, Output, Receive, RoomState, TransportEvent, TransportId};
use tokio::sync::watch;
use tokio::time::Sleep;

use crate::error::SignallingError;
use crate::events::Event;
use crate::options::Options;
use crate::shared::{Shared, now};
use crate::signalling::{FromServer, Signalling, ToServer};
use crate::socket::{Sent, Sockets};

/// Work of one kind done at a time, before another kind has its turn.
const BATCH: usize = 64;
/// Turns in one wake, before other tasks of the thread have theirs.
const TURNS: usize = 16;
/// Messages that wait for the server at most.
const TO_SERVER: usize = 4096;
/// How long the goodbyes may take.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Driver {
    shared: Arc<Shared>,
    signalling: Pin<Box<dyn Signalling>>,
    sockets: Sockets,
    timer: Pin<Box<Sleep>>,
    /// When the timer is to fire; None: it is not armed.
    deadline: Option<Instant>,
    /// Outputs taken and not done yet: the first may be a datagram that its socket does not take now.
    outputs: VecDeque<Output>,
    to_server: VecDeque<ToServer>,
    received: Vec<Receive>,
    /// The signalling has ended.
    lost: bool,
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
            outputs: VecDeque::new(),
            to_server: VecDeque::new(),
            received: Vec::new(),
            lost: false,
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
            let mut state = self.shared.lock();
            let _ = match state.room.state() {
                RoomState::Joining | RoomState::Joined if self.lost => state.room.remote_close(now(), None),
                RoomState::Joining | RoomState::Joined => state.room.leave(now(), None),
                RoomState::New | RoomState::Closed => Ok(()),
            };
            drop(state);
            if !self.poll_transmit(cx) {
                break;
            }
        }
        let said = self.lost || self.poll_to_server(cx).is_ready() && self.to_server.is_empty();
        let closed = said && (self.lost || self.signalling.as_mut().poll_close(cx).is_ready());
        if closed && self.outputs.is_empty() && self.sockets.poll_flush(cx) { Poll::Ready(()) } else { Poll::Pending }
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
        if self.outputs.is_empty() {
            let room = &mut self.shared.lock().room;
            self.outputs.extend(std::iter::from_fn(|| room.poll_output()).take(BATCH));
        }
        let mut stats = self.sockets.take_stats();
        let mut busy = false;
        while let Some(output) = self.outputs.pop_front() {
            match output {
                Output::Transmit(transmit) => match self.sockets.poll_send(cx, &transmit) {
                    Sent::Yes => {
                        stats.datagrams_sent += 1;
                        stats.bytes_sent += transmit.contents.len() as u64;
                    }
                    Sent::Refused => stats.socket_errors += 1,
                    Sent::Dropped => stats.datagrams_dropped += 1,
                    Sent::Blocked => {
                        self.outputs.push_front(Output::Transmit(transmit));
                        break;
                    }
                },
                Output::Request { id, request } => self.to_server.push_back(ToServer::Request { id, request }),
                Output::Notification(notification) => self.to_server.push_back(ToServer::Notification(notification)),
                Output::Event(event) => self.event(event),
                _ => {}
            }
            busy = true;
        }
        self.shared.lock().stats += stats;
        if self.to_server.len() > TO_SERVER && !self.lost {
            self.lose(SignallingError::Overrun(self.to_server.len()));
        }
        busy
    }

    fn event(&mut self, event: RoomEvent) {
        match &event {
            RoomEvent::Settled { operation, result } => {
                if let Some(waiter) = self.shared.lock().waiters.remove(operation) {
                    // Nobody may wait any more.
                    let _ = waiter.send(result.clone());
                }
                return;
            }
            RoomEvent::Transport { id, event: TransportEvent::RemoteCandidates { .. } } => self.open_sockets(*id),
            RoomEvent::Transport { id, event: TransportEvent::Close { .. } } => self.sockets.close(*id),
            _ => {}
        }
        self.shared.lock().emit(Event::Room(event));
    }

    /// Opens sockets towards the server's addresses, and withdraws those that a transport had before.
    fn open_sockets(&mut self, id: TransportId) {
        let mut state = self.shared.lock();
        let Some(mut transport) = state.room.transport(id) else { return };
        let targets = transport.socket_targets();
        let before: Vec<_> = transport.local_addresses().collect();
        if targets.is_empty() {
            return;
        }
        let mut opened = self.sockets.open(id, &targets);
        opened.addresses.retain(|(protocol, address)| {
            let added = transport.add_local_address(now(), *protocol, *address);
            if let Err(error) = &added {
                self.sockets.withdraw(id, *protocol, *address);
                opened.failure = Some(error.to_string());
            }
            added.is_ok()
        });
        if opened.addresses.is_empty() {
            // What there was before stays: it may come back to life.
            let reason = opened.failure.unwrap_or_default();
            state.emit(Event::Unreachable { transport: id, reason });
            return;
        }
        for (protocol, address) in before.into_iter().filter(|address| !opened.addresses.contains(address)) {
            let _ = transport.remove_local_address(now(), protocol, address);
            self.sockets.withdraw(id, protocol, address);
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let received = &mut self.received;
        while received.len() < BATCH
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
        for _ in 0..BATCH {
            if self.lost {
                break;
            }
            let Poll::Ready(message) = self.signalling.as_mut().poll_next(cx) else { break };
            busy = true;
            let input = match message {
                Some(Ok(FromServer::Response { id, result })) => Input::Response { id, result },
                Some(Ok(FromServer::Notification(message))) => Input::Notification(message),
                Some(Ok(FromServer::Application { method, data })) => {
                    self.shared.lock().emit(Event::Application { method, data });
                    continue;
                }
                Some(Ok(FromServer::Unreadable)) => {
                    self.shared.lock().stats.messages_unreadable += 1;
                    continue;
                }
                Some(Err(error)) => {
                    self.lose(error);
                    break;
                }
                None => {
                    self.lose(SignallingError::Closed { reason: None });
                    break;
                }
            };
            // What comes from the server is never refused.
            let _ = self.shared.lock().room.handle_input(now(), input);
        }
        busy
    }

    /// Ready when all was written.
    fn poll_to_server(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        while !self.to_server.is_empty() {
            match self.signalling.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            if let Some(message) = self.to_server.pop_front()
                && let Err(error) = self.signalling.as_mut().start_send(message)
            {
                return Poll::Ready(Err(error));
            }
        }
        self.signalling.as_mut().poll_flush(cx)
    }

    fn lose(&mut self, error: SignallingError) {
        self.lost = true;
        self.to_server.clear();
        let mut state = self.shared.lock();
        state.closing = true;
        state.emit(Event::Disconnected { error });
        // Refused when outputs must be polled first: it is tried again then.
        let _ = state.room.remote_close(now(), None);
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
            while state.room.poll_output().is_some() {}
            let _ = state.room.remote_close(now(), None);
            while let Some(output) = state.room.poll_output() {
                if let Output::Event(event) = output {
                    match event {
                        RoomEvent::Settled { operation, result } => {
                            if let Some(waiter) = state.waiters.remove(&operation) {
                                let _ = waiter.send(result);
                            }
                        }
                        event => state.emit(Event::Room(event)),
                    }
                }
            }
        }
        state.waiters.clear();
        state.events = None;
    }
}
