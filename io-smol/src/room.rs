//! The handle of a room, and what it shares with the driver: the room behind one lock, held for as long as a call into it
//! takes and never across an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use futures_util::{Sink, Stream};
use mediasoup_producer as core;
use mediasoup_producer::protocol::{FromServer, ToServer};
use mediasoup_producer::{CommandError, Input, OperationError, OperationId, RoomConfig};
use smol::channel::{Receiver, Sender, bounded};

use crate::driver::Driver;

/// Events that wait for a slow reader before it loses the oldest.
const EVENTS: usize = 256;

/// A channel to the server: a [`Stream`] of what it says and a [`Sink`] for what we say. Everything that is both is a
/// `Signalling`. An error, or the end of the stream, ends the room as if the server had closed it.
pub trait Signalling: Stream<Item = FromServer> + Sink<ToServer> + Send + 'static {}

impl<T> Signalling for T where T: Stream<Item = FromServer> + Sink<ToServer> + Send + 'static {}

/// Something the application should know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What the state machine says, all but [`Settled`](mediasoup_producer::Event::Settled): the futures that wait for
    /// that say it.
    Room(core::Event),
    /// A message of the application above mediasoup.
    Application {
        /// Its name.
        method: String,
        /// Its payload.
        data: serde_json::Value,
    },
    /// The connection to the server is lost. The room closes, as if the server had closed it, and the driver ends.
    Disconnected,
    /// No UDP socket could be opened towards the server's addresses.
    Unreachable {
        /// The transport.
        transport: core::TransportId,
        /// The system's words.
        reason: String,
    },
}

/// Why something that takes time came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It could not be begun. Nothing has changed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It was begun and has failed.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The room has ended: make a new one.
    #[error("the room has ended: make a new one")]
    Stopped,
}

/// A mediasoup room, driven by a task of its own. A cheap handle; when the last is dropped, or with
/// [`close`](Self::close), the room is left in good order and the task ends.
#[derive(Debug, Clone)]
pub struct Room {
    handle: Arc<Handle>,
}

impl Room {
    /// A room over a channel of the application's own, and its events; a reader that is too slow loses the oldest of 256,
    /// which [`events_dropped`](Self::events_dropped) counts. For `seed` see [`mediasoup_producer::Room::new`].
    pub fn new(config: RoomConfig, seed: u64, signalling: impl Signalling) -> (Self, Receiver<Event>) {
        let (sender, events) = bounded(EVENTS);
        let (running, done) = bounded(1);
        let state = State {
            room: core::Room::new(config, seed),
            waiters: BTreeMap::new(),
            events: Some(sender),
            events_dropped: 0,
            messages_unreadable: 0,
            closing: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), waker: AtomicWaker::new() });
        smol::spawn(Driver::new(Arc::clone(&shared), Box::pin(signalling), running).run()).detach();
        (Self { handle: Arc::new(Handle { shared, done }) }, events)
    }

    /// Does something with the room itself, which is locked meanwhile: keep it short, and call nothing of this handle
    /// from within. Its outputs are the driver's: leave
    /// [`poll_output`](core::Room::poll_output) alone, and what it returns an operation for to
    /// [`operation`](Self::operation).
    pub fn with<R>(&self, act: impl FnOnce(&mut core::Room, Instant) -> R) -> R {
        let result = act(&mut self.handle.shared.lock().room, Instant::now());
        self.handle.shared.waker.wake();
        result
    }

    /// Does something that takes time, for example `join`. Once begun it goes on, whether or not somebody waits for it.
    pub async fn operation(
        &self,
        begin: impl FnOnce(&mut core::Room, Instant) -> Result<OperationId, CommandError>,
    ) -> Result<(), Error> {
        let end = {
            let mut state = self.handle.shared.lock();
            if state.closing {
                return Err(Error::Stopped);
            }
            let operation = begin(&mut state.room, Instant::now())?;
            let (sender, receiver) = bounded(1);
            state.waiters.insert(operation, sender);
            receiver
        };
        self.handle.shared.waker.wake();
        end.recv().await.map_err(|_| Error::Stopped)?.map_err(Error::Operation)
    }

    /// Leaves the room if that was not done yet, says all goodbyes, closes the sockets and ends. At most a second is
    /// spent on that.
    pub async fn close(&self) {
        self.handle.shared.lock().close();
        self.handle.shared.waker.wake();
        // Nothing is ever sent: it ends with the driver.
        let _ = self.handle.done.recv().await;
    }

    /// Events lost because they were read too slowly.
    pub fn events_dropped(&self) -> u64 {
        self.handle.shared.lock().events_dropped
    }

    /// Messages of the server that could not be read.
    pub fn messages_unreadable(&self) -> u64 {
        self.handle.shared.lock().messages_unreadable
    }
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    done: Receiver<()>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().close();
        self.shared.waker.wake();
    }
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
    pub(crate) waiters: BTreeMap<OperationId, Sender<Result<(), OperationError>>>,
    /// None when the driver has ended.
    pub(crate) events: Option<Sender<Event>>,
    events_dropped: u64,
    messages_unreadable: u64,
    /// The driver is to come to its end.
    pub(crate) closing: bool,
}

impl Shared {
    /// A panic elsewhere does not make the room useless: what it breaks is found out by the calls that follow.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(crate) fn emit(&mut self, event: Event) {
        if let Some(events) = &self.events
            && let Ok(Some(_)) = events.force_send(event)
        {
            self.events_dropped += 1;
        }
    }

    /// The server said something.
    pub(crate) fn hear(&mut self, message: FromServer) {
        match Input::try_from(message) {
            // What comes from the server is never refused.
            Ok(input) => drop(self.room.handle_input(Instant::now(), input)),
            Err(FromServer::Application { method, data }) => self.emit(Event::Application { method, data }),
            Err(_) => self.messages_unreadable += 1,
        }
    }

    pub(crate) fn settle(&mut self, operation: OperationId, result: Result<(), OperationError>) {
        if let Some(waiter) = self.waiters.remove(&operation) {
            // Nobody may wait any more.
            let _ = waiter.try_send(result);
        }
    }

    /// Leaves the room and has the driver end.
    fn close(&mut self) {
        self.closing = true;
        // Refused when never joined, or when outputs must be polled first: the driver tries again then.
        let _ = self.room.leave(Instant::now(), None);
    }
}
