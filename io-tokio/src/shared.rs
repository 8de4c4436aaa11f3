//! What the handles and the driver share: the room behind one lock, held for as long as a call into it takes and never
//! across an await.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use mediasoup_producer as core;
use mediasoup_producer::protocol::FromServer;
use mediasoup_producer::{
    CommandError, Input, MediaError, OperationError, OperationId, ProducerId, RoomState, TransportId,
};
use tokio::sync::{broadcast, oneshot, watch};

use crate::error::Error;
use crate::events::{Event, Events};
use crate::options::{IoStats, Options};

/// The time as the runtime has it, so that a test can pause it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes the driver.
    pub(crate) waker: AtomicWaker,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) room: core::Room,
    pub(crate) waiters: BTreeMap<OperationId, oneshot::Sender<Result<(), OperationError>>>,
    /// None when the driver has ended.
    pub(crate) events: Option<broadcast::Sender<Event>>,
    /// What the first stream of the application begins with: the driver may have much to say before it is asked for.
    first_events: Option<broadcast::Receiver<Event>>,
    /// Transports whose sockets are to be opened anew.
    pub(crate) rebind: BTreeSet<TransportId>,
    /// The driver is to come to its end.
    pub(crate) closing: bool,
    pub(crate) stats: IoStats,
}

impl Shared {
    pub(crate) fn new(room: core::Room, options: &Options) -> Self {
        let (events, first_events) = broadcast::channel(options.events.max(1));
        let state = State {
            room,
            waiters: BTreeMap::new(),
            events: Some(events),
            first_events: Some(first_events),
            rebind: BTreeSet::new(),
            closing: false,
            stats: IoStats::default(),
        };
        Self { state: Mutex::new(state), waker: AtomicWaker::new() }
    }

    /// A panic elsewhere does not make the room useless: what it breaks is found out by the calls that follow.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The server said something.
    pub(crate) fn hear(&mut self, message: FromServer) {
        match Input::try_from(message) {
            // What comes from the server is never refused.
            Ok(input) => drop(self.room.handle_input(now(), input)),
            Err(FromServer::Application { method, data }) => self.emit(Event::Application { method, data }),
            Err(_) => self.stats.messages_unreadable += 1,
        }
    }

    pub(crate) fn settle(&mut self, operation: OperationId, result: Result<(), OperationError>) {
        if let Some(waiter) = self.waiters.remove(&operation) {
            // Nobody may wait any more.
            let _ = waiter.send(result);
        }
    }

    pub(crate) const fn stopped(&self) -> bool {
        self.events.is_none()
    }

    pub(crate) fn emit(&self, event: Event) {
        if let Some(events) = &self.events {
            // Nobody listens: that is the application's choice.
            let _ = events.send(event);
        }
    }

    /// Leaves the room and has the driver end.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        if !self.stopped() {
            // Refused when never joined, or when outputs must be polled first: the driver tries again then.
            let _ = self.room.leave(now(), None);
        }
    }
}

/// What every handle holds. When the last is dropped the room is left.
#[derive(Debug)]
pub(crate) struct Handle {
    shared: Arc<Shared>,
    done: watch::Receiver<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().close();
        self.shared.waker.wake();
    }
}

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>, done: watch::Receiver<()>) -> Self {
        Self { shared, done }
    }

    /// Looks at the room.
    pub(crate) fn look<R>(&self, at: impl FnOnce(&core::Room) -> R) -> R {
        at(&self.shared.lock().room)
    }

    /// Does something that the room does at once.
    pub(crate) fn command<R>(
        &self,
        command: impl FnOnce(&mut core::Room, Instant) -> Result<R, CommandError>,
    ) -> Result<R, CommandError> {
        let mut state = self.shared.lock();
        if state.stopped() {
            return Err(CommandError::RoomState(RoomState::Closed));
        }
        let result = command(&mut state.room, now());
        drop(state);
        self.shared.waker.wake();
        result
    }

    /// Does something that takes time. Once begun it goes on, whether or not somebody waits for it.
    pub(crate) async fn operation(
        &self,
        begin: impl FnOnce(&mut core::Room, Instant) -> Result<OperationId, CommandError>,
    ) -> Result<(), Error> {
        let end = {
            let mut state = self.shared.lock();
            if state.closing || state.stopped() {
                return Err(Error::Stopped);
            }
            let operation = begin(&mut state.room, now())?;
            let (sender, receiver) = oneshot::channel();
            state.waiters.insert(operation, sender);
            receiver
        };
        self.shared.waker.wake();
        end.await.map_err(|_| Error::Stopped)?.map_err(Error::Operation)
    }

    /// Hands media in. Never waits for the network: what leaves is queued in the room, which bounds it.
    pub(crate) fn write(
        &self,
        id: ProducerId,
        write: impl FnOnce(&mut core::Producer<'_>, Instant) -> Result<(), MediaError>,
    ) -> Result<(), MediaError> {
        let mut state = self.shared.lock();
        if state.stopped() {
            return Err(MediaError::ProducerNotFound(id));
        }
        let mut producer = state.room.producer(id).ok_or(MediaError::ProducerNotFound(id))?;
        let result = write(&mut producer, now());
        drop(state);
        self.shared.waker.wake();
        result
    }

    pub(crate) fn rebind(&self, ids: impl IntoIterator<Item = TransportId>) {
        self.shared.lock().rebind.extend(ids);
        self.shared.waker.wake();
    }

    /// The events from now on.
    pub(crate) fn events(&self) -> Events {
        Events::new(self.shared.lock().events.as_ref().map(broadcast::Sender::subscribe))
    }

    /// The events from the beginning the first time, from now on after that.
    pub(crate) fn all_events(&self) -> Events {
        let first = self.shared.lock().first_events.take();
        first.map_or_else(|| self.events(), |first| Events::new(Some(first)))
    }

    pub(crate) fn stats(&self) -> IoStats {
        self.shared.lock().stats
    }

    pub(crate) fn begin_close(&self) {
        self.shared.lock().close();
        self.shared.waker.wake();
    }

    /// Waits until the driver has ended.
    pub(crate) async fn ended(&self) {
        let mut done = self.done.clone();
        while done.changed().await.is_ok() {}
    }
}
