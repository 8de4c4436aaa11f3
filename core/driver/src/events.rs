//! What the application hears.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use mediasoup_producer::Redacted;
use mediasoup_producer::TransportId;
use serde_json::Value;

use crate::error::SignallingError;

/// Something the application should know.
#[derive(derive_more::Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What the state machine says, all but [`Settled`](mediasoup_producer::v2::Event::Settled): the futures that wait for
    /// that say it.
    Room(mediasoup_producer::v2::Event),
    /// A message of the application above mediasoup, for example `active-speaker`.
    Application {
        /// Its name.
        method: String,
        /// Its payload.
        #[debug("{:?}", Redacted(data))]
        data: Value,
    },
    /// The connection to the server is lost. The room closes, as if the server had closed it, and the driver ends.
    Disconnected {
        /// Why.
        error: SignallingError,
    },
    /// No socket could be opened towards the server's addresses, or none is left that works. The transport stays as it is:
    /// when the network is back, call [`Transport::rebind`](crate::Transport::rebind).
    Unreachable {
        /// The transport.
        transport: TransportId,
        /// The system's words.
        reason: String,
    },
}

/// The newest events, for any number of readers.
#[derive(Debug)]
pub(crate) struct EventLog {
    state: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    events: VecDeque<Event>,
    capacity: usize,
    /// The number of the first of `events`.
    first: u64,
    /// Readers that wait.
    waiting: BTreeMap<u64, Waker>,
    last_reader: u64,
    /// The first reader begins with the first event: there may be many before it is asked for.
    asked: bool,
    ended: bool,
}

impl EventLog {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let capacity = capacity.max(1);
        let log = Log {
            events: VecDeque::new(),
            capacity,
            first: 0,
            waiting: BTreeMap::new(),
            last_reader: 0,
            asked: false,
            ended: false,
        };
        Arc::new(Self { state: Mutex::new(log) })
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Log)) {
        let mut log = self.lock();
        change(&mut log);
        let waiting = std::mem::take(&mut log.waiting);
        drop(log);
        waiting.into_values().for_each(Waker::wake);
    }

    pub(crate) fn push(&self, event: Event) {
        self.change(|log| {
            if log.ended {
                return;
            }
            if log.events.len() == log.capacity {
                log.events.pop_front();
                log.first += 1;
            }
            log.events.push_back(event);
        });
    }

    /// There will be no more.
    pub(crate) fn end(&self) {
        self.change(|log| log.ended = true);
    }

    /// The events from now on.
    pub(crate) fn reader(self: &Arc<Self>) -> Events {
        let mut log = self.lock();
        log.last_reader += 1;
        let next = log.first + log.events.len() as u64;
        Events { log: Arc::clone(self), reader: log.last_reader, next, missed: 0 }
    }

    /// The events from the beginning the first time, from now on after that.
    pub(crate) fn first_reader(self: &Arc<Self>) -> Events {
        let first = !std::mem::replace(&mut self.lock().asked, true);
        let mut reader = self.reader();
        if first {
            reader.next = 0;
        }
        reader
    }
}

/// A stream of [`Event`]s, from [`Room::events`](crate::Room::events). It ends when the room has ended.
///
/// So many events are kept as [`Options::events`](crate::Options::events) says. One that is read too slowly loses the
/// oldest; [`missed`](Self::missed) counts them.
#[derive(Debug)]
pub struct Events {
    log: Arc<EventLog>,
    reader: u64,
    /// The number of the event to be read next.
    next: u64,
    missed: u64,
}

impl Events {
    /// The next event; `None` when the room has ended.
    ///
    /// Cancel safe: nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// How many events were lost because this stream was read too slowly.
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = self.get_mut();
        let mut log = this.log.lock();
        let lost = log.first.saturating_sub(this.next);
        this.missed += lost;
        this.next += lost;
        match log.events.get((this.next - log.first) as usize) {
            Some(event) => {
                this.next += 1;
                Poll::Ready(Some(event.clone()))
            }
            None if log.ended => Poll::Ready(None),
            None => {
                log.waiting.insert(this.reader, cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.log.lock().waiting.remove(&self.reader);
    }
}
