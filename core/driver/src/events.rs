//! What the application hears.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;

/// The newest events, for any number of readers.
#[derive(Debug)]
pub(crate) struct EventLog<E> {
    state: Mutex<Log<E>>,
}

#[derive(Debug)]
struct Log<E> {
    events: VecDeque<E>,
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

impl<E> EventLog<E> {
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

    fn lock(&self) -> MutexGuard<'_, Log<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Log<E>)) {
        let mut log = self.lock();
        change(&mut log);
        let waiting = std::mem::take(&mut log.waiting);
        drop(log);
        waiting.into_values().for_each(Waker::wake);
    }

    pub(crate) fn push(&self, event: E) {
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
    pub(crate) fn reader(self: &Arc<Self>) -> Events<E> {
        let mut log = self.lock();
        log.last_reader += 1;
        let next = log.first + log.events.len() as u64;
        Events { log: Arc::clone(self), reader: log.last_reader, next, missed: 0 }
    }

    /// The events from the beginning the first time, from now on after that.
    pub(crate) fn first_reader(self: &Arc<Self>) -> Events<E> {
        let first = !std::mem::replace(&mut self.lock().asked, true);
        let mut reader = self.reader();
        if first {
            reader.next = 0;
        }
        reader
    }
}

/// A stream of events, from [`v2::Room::events`](crate::v2::Room::events) or
/// [`v3::Device::events`](crate::v3::Device::events). It ends when the room or device has ended.
///
/// So many events are kept as [`Options::events`](crate::Options::events) says. One that is read too slowly loses the
/// oldest; [`missed`](Self::missed) counts them.
#[derive(Debug)]
pub struct Events<E> {
    log: Arc<EventLog<E>>,
    reader: u64,
    /// The number of the event to be read next.
    next: u64,
    missed: u64,
}

impl<E: Clone> Events<E> {
    /// The next event; `None` when all has ended.
    ///
    /// Cancel safe: nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<E> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// How many events were lost because this stream was read too slowly.
    pub const fn missed(&self) -> u64 {
        self.missed
    }
}

impl<E: Clone> Stream for Events<E> {
    type Item = E;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<E>> {
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

impl<E> Drop for Events<E> {
    fn drop(&mut self) {
        self.log.lock().waiting.remove(&self.reader);
    }
}
