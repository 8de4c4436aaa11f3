//! What the handles and the driver share: the room and its sockets behind one lock, held for as long as a call into them
//! takes and never across an await.
//!
//! A handle does what follows from its call itself, where it is: datagrams leave before the call returns, and the driver's
//! task is woken only for what it alone can do (messages for the server, and the end).

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::Shared as SharedFuture;
use futures_util::task::AtomicWaker;
use mediasoup_producer::adapter::{self, Outbox, Step};
use mediasoup_producer::{ConnectionState, MediaKind, OperationId, ProducerId, TransportId};

use crate::dialect::Dialect;
use crate::error::{ConnectedError, Error, SignallingError};
use crate::events::{EventLog, Events};
use crate::options::{IoStats, Options};
use crate::runtime::{Runtime, Timer};
use crate::socket::Sockets;

/// Turns that are taken at a time, of [`Outbox::BATCH`] outputs or datagrams each, before others have theirs.
pub(crate) const TURNS: usize = 16;

#[derive(derive_more::Debug)]
pub(crate) struct Shared<R: Runtime, D: Dialect> {
    pub(crate) runtime: R,
    #[debug(skip)]
    state: Mutex<State<R, D>>,
    #[debug(skip)]
    events: Arc<EventLog<D::Heard>>,
    task: Arc<Task>,
    /// Wakes the driver's task.
    waker: Waker,
}

/// Wakes the driver's task, whoever polls.
#[derive(Debug, Default)]
struct Task(AtomicWaker);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

pub(crate) struct State<R: Runtime, D: Dialect> {
    pub(crate) conductor: D,
    pub(crate) outbox: Outbox<D>,
    pub(crate) sockets: Sockets<R>,
    pub(crate) stats: IoStats,
    runtime: R,
    events: Arc<EventLog<D::Heard>>,
    timer: Pin<Box<R::Timer>>,
    /// When the timer fires; None: it is not armed.
    armed: Option<Instant>,
    /// Timers fire at multiples of `granularity` since then.
    start: Instant,
    granularity: Duration,
    /// A transport was told that it is blocked, and perhaps not yet that it no longer is.
    backlogged: bool,
    waiters: BTreeMap<OperationId, oneshot::Sender<Result<(), D::Failure>>>,
    /// Transports whose sockets are to be opened anew.
    rebind: BTreeSet<TransportId>,
    /// The driver is to come to its end.
    pub(crate) closing: bool,
    /// It has.
    ended: bool,
}

impl<R: Runtime, D: Dialect> Shared<R, D> {
    pub(crate) fn new(runtime: R, conductor: D, options: Options) -> Self {
        let (events, start, granularity) = (EventLog::new(options.events), runtime.now(), options.granularity);
        let state = State {
            conductor,
            outbox: Outbox::default(),
            sockets: Sockets::new(runtime.clone(), options),
            stats: IoStats::default(),
            runtime: runtime.clone(),
            events: Arc::clone(&events),
            timer: Box::pin(runtime.timer(start)),
            armed: None,
            start,
            granularity,
            backlogged: false,
            waiters: BTreeMap::new(),
            rebind: BTreeSet::new(),
            closing: false,
            ended: false,
        };
        let task = Arc::new(Task::default());
        Self { runtime, state: Mutex::new(state), events, waker: Waker::from(Arc::clone(&task)), task }
    }

    /// A panic elsewhere does not make the room useless: what it breaks is found out by the calls that follow.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<R, D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The task that is to be woken from now on.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.task.0.register(cx.waker());
    }

    /// The context in which sockets and the timer are polled, whoever does it: that of the driver's task.
    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    fn wake(&self) {
        self.waker.wake_by_ref();
    }
}

impl<R: Runtime, D: Dialect> State<R, D> {
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
    ///
    /// The timer is only ever set earlier: one that fires too soon costs less than one that is set whenever a deadline
    /// moves.
    pub(crate) fn time(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.runtime.now();
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        if due {
            self.conductor.handle_timeout(now);
            self.sockets.handle_timeout(now);
        }
        if self.armed.is_some() && self.timer.as_mut().poll(cx).is_ready() {
            self.armed = None;
        }
        if let Some(deadline) = self.deadline() {
            let at = self.on_grid(deadline);
            if self.armed.is_none_or(|armed| at < armed) {
                self.armed = Some(at);
                self.timer.as_mut().reset(at);
                if self.timer.as_mut().poll(cx).is_ready() {
                    self.armed = None;
                    return true;
                }
            }
        }
        due
    }

    fn deadline(&self) -> Option<Instant> {
        self.conductor.poll_timeout().into_iter().chain(self.sockets.poll_timeout()).min()
    }

    /// When the timer is to fire for a deadline.
    fn on_grid(&self, at: Instant) -> Instant {
        let since = at.saturating_duration_since(self.start).as_nanos();
        let steps = match self.granularity.as_nanos() {
            0 => return at,
            granularity => since.div_ceil(granularity),
        };
        let grid = u32::try_from(steps).ok().and_then(|steps| self.granularity.checked_mul(steps));
        // After 49 days of milliseconds each is for itself.
        grid.and_then(|since| self.start.checked_add(since)).unwrap_or(at)
    }

    /// Tells whether media for a producer finds its transport blocked: so it knows of the frame that is missing. Audio does
    /// not wait behind video, and is not refused for it.
    fn tell_backlog(&mut self, id: ProducerId, kind: MediaKind) {
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
    fn close(&mut self) {
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

/// What every handle holds. When the last is dropped all is left in good order.
#[derive(Debug)]
pub(crate) struct Handle<R: Runtime, D: Dialect> {
    shared: Arc<Shared<R, D>>,
    done: SharedFuture<oneshot::Receiver<()>>,
}

impl<R: Runtime, D: Dialect> Drop for Handle<R, D> {
    fn drop(&mut self) {
        self.begin_close();
    }
}

impl<R: Runtime, D: Dialect> Handle<R, D> {
    pub(crate) fn new(shared: Arc<Shared<R, D>>, done: oneshot::Receiver<()>) -> Self {
        Self { shared, done: done.shared() }
    }

    #[cfg(feature = "suite")]
    pub(crate) fn is_gone(&self) -> impl Fn() -> bool + use<R, D> {
        let shared = Arc::downgrade(&self.shared);
        move || shared.strong_count() == 0
    }

    /// Looks at what there is.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&D) -> T) -> T {
        at(&self.shared.lock().conductor)
    }

    /// Takes something out that nothing follows from.
    #[cfg(feature = "record")]
    pub(crate) fn take<T>(&self, take: impl FnOnce(&mut D) -> T) -> T {
        take(&mut self.shared.lock().conductor)
    }

    /// Does what follows from a call, as far as it can be done here.
    fn follow_up(&self, mut state: MutexGuard<'_, State<R, D>>) {
        let mut cx = self.shared.context();
        let mut turns = 0..TURNS;
        let mut busy = true;
        while busy && turns.next().is_some() {
            busy = state.transmit(&mut cx) | state.time(&mut cx);
        }
        let task = busy || state.outbox.messages() > 0;
        drop(state);
        if task {
            self.shared.wake();
        }
    }

    /// Does something that is done at once; `gone` says that all has ended.
    pub(crate) fn command<T, E>(&self, gone: E, command: impl FnOnce(&mut D, Instant) -> Result<T, E>) -> Result<T, E> {
        let mut state = self.shared.lock();
        if state.ended {
            return Err(gone);
        }
        let result = command(&mut state.conductor, self.shared.runtime.now());
        self.follow_up(state);
        result
    }

    /// Does something that takes time. Once begun it goes on, whether or not somebody waits for it.
    pub(crate) async fn operation<B, E: From<Error<B, D::Failure>>>(
        &self,
        begin: impl FnOnce(&mut D, Instant) -> Result<OperationId, B>,
    ) -> Result<(), E> {
        self.operations(|conductor, now| Ok(((), vec![begin(conductor, now)?]))).await
    }

    /// The same, in several places: done when all have ended. Of several that fail, it is the first that is told.
    pub(crate) async fn operations<T, B, E: From<Error<B, D::Failure>>>(
        &self,
        begin: impl FnOnce(&mut D, Instant) -> Result<(T, Vec<OperationId>), B>,
    ) -> Result<T, E> {
        let (begun, ends) = {
            let mut state = self.shared.lock();
            if state.closing || state.ended {
                return Err(Error::Stopped.into());
            }
            let (begun, operations) = begin(&mut state.conductor, self.shared.runtime.now()).map_err(Error::Command)?;
            let wait = |operation| {
                let (sender, receiver) = oneshot::channel();
                state.waiters.insert(operation, sender);
                receiver
            };
            let ends: Vec<_> = operations.into_iter().map(wait).collect();
            self.follow_up(state);
            (begun, ends)
        };
        let mut result = Ok(begun);
        for end in ends {
            let end = end.await.map_or(Err(Error::Stopped), |ended| ended.map_err(Error::Failed));
            result = result.and_then(|begun| end.map(|()| begun));
        }
        result.map_err(E::from)
    }

    /// Hands media in. Never waits for the network: what the sockets do not take at once waits, within bounds.
    pub(crate) fn write<E>(
        &self,
        (id, kind): (ProducerId, MediaKind),
        gone: E,
        is_blocked: impl FnOnce(&E) -> bool,
        write: impl FnOnce(&mut D, Instant) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut state = self.shared.lock();
        if state.ended {
            return Err(gone);
        }
        state.tell_backlog(id, kind);
        let result = write(&mut state.conductor, self.shared.runtime.now());
        state.stats.media_refused += u64::from(result.as_ref().is_err_and(is_blocked));
        self.follow_up(state);
        result
    }

    /// Waits until a transport is connected, whose state this is.
    pub(crate) async fn connected(&self, state: impl Fn(&D) -> ConnectionState) -> Result<(), ConnectedError> {
        let mut events = self.shared.events.reader();
        loop {
            match self.look(&state) {
                ConnectionState::Connected => return Ok(()),
                state @ (ConnectionState::Closed | ConnectionState::Failed) => {
                    return Err(ConnectedError::State(state));
                }
                ConnectionState::New | ConnectionState::Connecting | ConnectionState::Disconnected => {}
            }
            events.next().await.ok_or(ConnectedError::Stopped)?;
        }
    }

    pub(crate) fn rebind(&self, ids: impl IntoIterator<Item = TransportId>) {
        self.shared.lock().rebind.extend(ids);
        self.shared.wake();
    }

    /// The events from the beginning the first time, from now on after that.
    pub(crate) fn events(&self) -> Events<D::Heard> {
        self.shared.events.first_reader()
    }

    pub(crate) fn runtime(&self) -> &R {
        &self.shared.runtime
    }

    pub(crate) fn stats(&self) -> IoStats {
        self.shared.lock().stats
    }

    pub(crate) fn begin_close(&self) {
        self.shared.lock().close();
        self.shared.wake();
    }

    /// Waits until the driver has ended.
    pub(crate) async fn ended(&self) {
        // Nothing is ever sent: it ends with the driver.
        let _ = self.done.clone().await;
    }
}
