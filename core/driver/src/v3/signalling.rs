//! Signalling by a function.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Sink, Stream};
use mediasoup_producer::RequestId;
use mediasoup_producer::v3::{Answer, Refusal, Request};

use super::{FromServer, ToServer};
use crate::error::SignallingError;

/// Signalling by a function that has each request answered. Those of one transport come one at a time, those of several
/// beside each other. The driver's task polls what it makes: it must not block, and should come to an end by itself, since
/// nobody waits for it after [`DeviceConfig::request_timeout`](mediasoup_producer::v3::DeviceConfig::request_timeout). Past
/// [`AnsweredBy::WAITING`] that have not, others wait.
pub fn answered_by<A>(mut answer: impl FnMut(Request) -> A + Send + 'static) -> AnsweredBy
where
    A: Future<Output = Result<Answer, Refusal>> + Send + 'static,
{
    let answer = move |id, request| answer(request).map(move |result| (id, result)).boxed();
    AnsweredBy { answer: Box::new(answer), waiting: FuturesUnordered::new() }
}

/// What [`answered_by`] makes: a [`Signalling`](crate::Signalling) that never ends by itself.
#[derive(derive_more::Debug)]
pub struct AnsweredBy {
    #[debug(skip)]
    answer: Box<dyn FnMut(RequestId, Request) -> BoxFuture<'static, FromServer> + Send>,
    /// What is asked and not answered yet, that which was given up meanwhile among it.
    waiting: FuturesUnordered<BoxFuture<'static, FromServer>>,
}

impl AnsweredBy {
    /// Requests that are being answered at most, 1024.
    pub const WAITING: usize = 1024;
}

impl Stream for AnsweredBy {
    type Item = Result<FromServer, SignallingError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match Pin::new(&mut self.waiting).poll_next(cx) {
            Poll::Ready(Some(answer)) => Poll::Ready(Some(Ok(answer))),
            // There may be requests later.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Sink<ToServer> for AnsweredBy {
    type Error = SignallingError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        // Whoever polls for answers is woken by one, and there is room then.
        if self.waiting.len() < Self::WAITING { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn start_send(mut self: Pin<&mut Self>, (id, request): ToServer) -> Result<(), SignallingError> {
        let answer = (self.answer)(id, request);
        self.waiting.push(answer);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }
}
