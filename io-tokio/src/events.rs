//! What the application hears.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use mediasoup_producer::TransportId;
use mediasoup_producer::protocol::Redacted;
use serde_json::Value;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use crate::error::SignallingError;

/// Something the application should know.
#[derive(derive_more::Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What the state machine says, all but [`Settled`](mediasoup_producer::Event::Settled): the futures that wait for
    /// that say it.
    Room(mediasoup_producer::Event),
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
    /// No socket could be opened towards the server's addresses. The transport stays as it is: when the network is back,
    /// call [`Transport::rebind`](crate::Transport::rebind).
    Unreachable {
        /// The transport.
        transport: TransportId,
        /// The system's words.
        reason: String,
    },
}

/// A stream of [`Event`]s, from [`Room::events`](crate::Room::events). It ends when the room has ended.
///
/// It holds so many events as [`Options::events`](crate::Options::events) says. One that is read too slowly loses the
/// oldest; [`missed`](Self::missed) counts them.
#[derive(Debug)]
pub struct Events {
    inner: Option<BroadcastStream<Event>>,
    missed: u64,
}

impl Events {
    pub(crate) fn new(receiver: Option<broadcast::Receiver<Event>>) -> Self {
        Self { inner: receiver.map(BroadcastStream::new), missed: 0 }
    }

    /// The next event; `None` when the room has ended. Nothing is lost if the future is dropped.
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

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
            match ready!(Pin::new(inner).poll_next(cx)) {
                Some(Ok(event)) => return Poll::Ready(Some(event)),
                Some(Err(BroadcastStreamRecvError::Lagged(missed))) => self.missed += missed,
                None => self.inner = None,
            }
        }
    }
}
