//! The one loop: inbox, transmit, receive, signalling, timer. It decides nothing about the protocol.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mediasoup_producer::protocol::{FromServer, ToServer};
use mediasoup_producer::{Event as RoomEvent, Input, Output, Receive, RoomState, TransportEvent, TransportId};
use smol::Timer;
use smol::channel::Sender;
use smol::future::FutureExt;

use crate::room::{Event, Shared, Signalling};
use crate::socket::{Sent, Sockets};

/// Work of one kind done at a time, before another kind has its turn.
const BATCH: usize = 64;
/// Turns in one wake, before other tasks of the thread have theirs.
const TURNS: usize = 16;
/// Messages that wait for the server at most.
const TO_SERVER: usize = 4096;
/// How long the goodbyes may take.
const LINGER: Duration = Duration::from_secs(1);

pub(crate) struct Driver<S> {
    shared: Arc<Shared>,
    signalling: Pin<Box<S>>,
    sockets: Sockets,
    timer: Timer,
    /// When the timer is to fire; None: it is not armed.
    deadline: Option<Instant>,
    /// Outputs taken and not done yet: the first may be a datagram that its socket does not take now.
    outputs: VecDeque<Output>,
    to_server: VecDeque<ToServer>,
    received: Vec<Receive>,
    /// The signalling has ended.
    lost: bool,
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
            let mut state = self.shared.lock();
            let _ = match state.room.state() {
                RoomState::Joining | RoomState::Joined if self.lost => state.room.remote_close(Instant::now(), None),
                RoomState::Joining | RoomState::Joined => state.room.leave(Instant::now(), None),
                RoomState::New | RoomState::Closed => Ok(()),
            };
            drop(state);
            if !self.poll_transmit(cx) {
                break;
            }
        }
        let said = self.lost || self.poll_to_server(cx).is_ready() && self.to_server.is_empty();
        let closed = said && (self.lost || self.signalling.as_mut().poll_close(cx).is_ready());
        if closed && self.outputs.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Does what the room wants done.
    fn poll_transmit(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outputs.is_empty() {
            let room = &mut self.shared.lock().room;
            self.outputs.extend(std::iter::from_fn(|| room.poll_output()).take(BATCH));
        }
        let mut busy = false;
        while let Some(output) = self.outputs.pop_front() {
            match output {
                Output::Transmit(transmit) => match self.sockets.poll_send(cx, &transmit) {
                    Sent::Done => {}
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
        if self.to_server.len() > TO_SERVER && !self.lost {
            self.lose();
        }
        busy
    }

    fn event(&mut self, event: RoomEvent) {
        match &event {
            RoomEvent::Settled { operation, result } => {
                self.shared.lock().settle(*operation, result.clone());
                return;
            }
            RoomEvent::Transport { id, event: TransportEvent::RemoteCandidates { .. } } => self.open_sockets(*id),
            RoomEvent::Transport { id, event: TransportEvent::Close { .. } } => self.sockets.close(*id),
            _ => {}
        }
        self.shared.lock().emit(Event::Room(event));
    }

    /// Opens sockets towards the server's addresses.
    fn open_sockets(&mut self, id: TransportId) {
        let mut state = self.shared.lock();
        let Some(mut transport) = state.room.transport(id) else { return };
        let opened = self.sockets.open(id, &transport.socket_targets());
        for (protocol, address) in &opened.addresses {
            let _ = transport.add_local_address(Instant::now(), *protocol, *address);
        }
        if let Some(reason) = opened.failure.filter(|_| opened.addresses.is_empty()) {
            state.emit(Event::Unreachable { transport: id, reason });
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> bool {
        let received = &mut self.received;
        while received.len() < BATCH
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
        for _ in 0..BATCH {
            if self.lost {
                break;
            }
            let Poll::Ready(message) = self.signalling.as_mut().poll_next(cx) else { break };
            busy = true;
            let mut state = self.shared.lock();
            let input = match message {
                Some(FromServer::Response { id, result }) => Input::Response { id, result },
                Some(FromServer::Notification(message)) => Input::Notification(message),
                Some(FromServer::Application { method, data }) => {
                    state.emit(Event::Application { method, data });
                    continue;
                }
                Some(FromServer::Unreadable) => {
                    state.messages_unreadable += 1;
                    continue;
                }
                None => {
                    drop(state);
                    self.lose();
                    break;
                }
            };
            // What comes from the server is never refused.
            let _ = state.room.handle_input(Instant::now(), input);
        }
        busy
    }

    /// Ready when all was written.
    fn poll_to_server(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
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

    fn lose(&mut self) {
        self.lost = true;
        self.to_server.clear();
        let mut state = self.shared.lock();
        state.closing = true;
        state.emit(Event::Disconnected);
        // Refused when outputs must be polled first: it is tried again then.
        let _ = state.room.remote_close(Instant::now(), None);
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
            while state.room.poll_output().is_some() {}
            let _ = state.room.remote_close(Instant::now(), None);
            while let Some(output) = state.room.poll_output() {
                match output {
                    Output::Event(RoomEvent::Settled { operation, result }) => state.settle(operation, result),
                    Output::Event(event) => state.emit(Event::Room(event)),
                    _ => {}
                }
            }
        }
        state.waiters.clear();
        state.events = None;
    }
}
