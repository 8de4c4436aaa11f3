//! The channel to the server: what goes over it, and what it must be able to do.
//!
//! No secret is in what this crate logs (nothing) or shows with `Debug`. The WebSocket library, `tungstenite`, logs each
//! message as it is at trace level, the server's ICE passwords with it: leave that level off for it.

#[cfg(feature = "websocket")]
mod tls;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;

#[cfg(feature = "websocket")]
pub use websocket::{Envelope, Messages, ProtooConnector, ProtooWebSocket};

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Sink, Stream};

use crate::error::SignallingError;

/// A channel to the server: a [`Stream`] of what it says and a [`Sink`] for what we say. Everything that is both is a
/// `Signalling`; [`join`] makes one of two halves. An error of either half, or the end of the stream, ends all as if the server
/// had closed it.
///
/// | | `ToServer` | `FromServer` | |
/// | --- | --- | --- | --- |
/// | v2 | [`v2::ToServer`](crate::v2::ToServer) | [`v2::FromServer`](crate::v2::FromServer) | `v2::ProtooWebSocket` is one |
/// | v3 | [`v3::ToServer`](crate::v3::ToServer) | [`v3::FromServer`](crate::v3::FromServer) | [`v3::answered_by`](crate::v3::answered_by) makes one of a function |
///
/// Back-pressure: while the sink is not ready messages wait, up to
/// [`Outbox::TO_SERVER`](mediasoup_producer::adapter::Outbox::TO_SERVER); past it the channel is given up.
pub trait Signalling<ToServer, FromServer>:
    Stream<Item = Result<FromServer, SignallingError>> + Sink<ToServer, Error = SignallingError> + Send + 'static
{
}

impl<T, ToServer, FromServer> Signalling<ToServer, FromServer> for T where
    T: Stream<Item = Result<FromServer, SignallingError>> + Sink<ToServer, Error = SignallingError> + Send + 'static
{
}

/// Makes a [`Signalling`] of two halves, for example of two channels.
pub const fn join<St, Si>(from_server: St, to_server: Si) -> Halves<St, Si> {
    Halves { from_server, to_server }
}

/// What [`join`] makes.
#[derive(Debug)]
pub struct Halves<St, Si> {
    from_server: St,
    to_server: Si,
}

impl<St: Stream + Unpin, Si: Unpin> Stream for Halves<St, Si> {
    type Item = St::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<St::Item>> {
        Pin::new(&mut self.from_server).poll_next(cx)
    }
}

impl<Item, St: Unpin, Si: Sink<Item> + Unpin> Sink<Item> for Halves<St, Si> {
    type Error = Si::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Si::Error>> {
        Pin::new(&mut self.to_server).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: Item) -> Result<(), Si::Error> {
        Pin::new(&mut self.to_server).start_send(item)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Si::Error>> {
        Pin::new(&mut self.to_server).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Si::Error>> {
        Pin::new(&mut self.to_server).poll_close(cx)
    }
}
