//! What stands behind the application's handles.

use std::sync::{Arc, MutexGuard};
use std::time::Instant;

use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::Shared as SharedFuture;
use mediasoup_producer::{ConnectionState, MediaKind, OperationId, ProducerId, TransportId};

use super::{Shared, State, TURNS};
use crate::dialect::Dialect;
use crate::error::{ConnectedError, Error};
use crate::events::Events;
use crate::options::IoStats;
use crate::runtime::Runtime;

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
