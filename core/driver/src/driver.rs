//! The one loop: inbox, transmit, receive, timer, signalling. It decides nothing about the protocol.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_channel::oneshot;
use mediasoup_producer::adapter::Outbox;

use crate::dialect::Dialect;
use crate::error::SignallingError;
use crate::options::Options;
use crate::runtime::{Runtime, until};
use crate::shared::{Handle, Shared, TURNS};
use crate::signalling::Signalling;

/// How long the goodbyes may take.
const LINGER: Duration = Duration::from_secs(1);

/// Begins to drive it, with a task of its own.
pub(crate) fn spawn<R: Runtime, D: Dialect>(
    runtime: R,
    conductor: D,
    options: Options,
    signalling: impl Signalling<D::ToServer, D::FromServer>,
) -> Arc<Handle<R, D>> {
    let shared = Arc::new(Shared::new(runtime.clone(), conductor, options));
    let (running, done) = oneshot::channel();
    let driver = Driver { shared: Arc::clone(&shared), signalling: Box::pin(signalling), _running: running };
    runtime.spawn(driver.run());
    Arc::new(Handle::new(shared, done))
}

struct Driver<R: Runtime, D: Dialect> {
    shared: Arc<Shared<R, D>>,
    /// Polled without the lock: it may be the application's, and call our handles.
    signalling: Pin<Box<dyn Signalling<D::ToServer, D::FromServer>>>,
    /// Dropped when all is over.
    _running: oneshot::Sender<()>,
}

impl<R: Runtime, D: Dialect> Driver<R, D> {
    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        let runtime = self.shared.runtime.clone();
        // A peer that takes no goodbye does not keep us.
        until(&runtime, runtime.now() + LINGER, poll_fn(|cx| self.poll_goodbye(cx))).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.register(cx);
        for _ in 0..TURNS {
            let mut state = self.shared.lock();
            if state.closing {
                return Poll::Ready(());
            }
            let own = &mut self.shared.context();
            state.rebind();
            let busy = state.receive(own) | state.transmit(own) | state.time(own);
            drop(state);
            let busy = busy | self.poll_signalling(cx);
            if !busy {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The end: what is queued goes out, then the connection to the server is closed.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.shared.register(cx);
        let own = &mut self.shared.context();
        let mut state = self.shared.lock();
        let now = self.shared.runtime.now();
        loop {
            let state = &mut *state;
            state.outbox.goodbye(&mut state.conductor, now);
            if !state.transmit(own) {
                break;
            }
        }
        let sent = state.outbox.is_done() & state.sockets.poll_flush(own);
        let lost = state.outbox.is_lost();
        drop(state);
        let said = lost || self.poll_to_server(cx).is_ready() && self.shared.lock().outbox.messages() == 0;
        let closed = said && (lost || self.signalling.as_mut().poll_close(cx).is_ready());
        if closed && sent { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_signalling(&mut self, cx: &mut Context<'_>) -> bool {
        let mut busy = false;
        if let Poll::Ready(Err(error)) = self.poll_to_server(cx) {
            self.shared.lock().lose(error);
        }
        for _ in 0..Outbox::<D>::BATCH {
            if self.shared.lock().outbox.is_lost() {
                break;
            }
            let Poll::Ready(message) = self.signalling.as_mut().poll_next(cx) else { break };
            busy = true;
            let mut state = self.shared.lock();
            match message {
                Some(Ok(message)) => state.hear(message),
                Some(Err(error)) => state.lose(error),
                None => state.lose(SignallingError::Closed { reason: None }),
            }
        }
        busy
    }

    /// Ready when all was written.
    fn poll_to_server(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        while self.shared.lock().outbox.messages() > 0 {
            match self.signalling.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            let message = self.shared.lock().outbox.next_message();
            if let Some(message) = message
                && let Err(error) = self.signalling.as_mut().start_send(message)
            {
                return Poll::Ready(Err(error));
            }
        }
        self.signalling.as_mut().poll_flush(cx)
    }
}

impl<R: Runtime, D: Dialect> Drop for Driver<R, D> {
    fn drop(&mut self) {
        self.shared.lock().end();
    }
}
