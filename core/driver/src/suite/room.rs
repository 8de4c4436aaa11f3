//! The simulated room of mediasoup 2, on real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_channel::mpsc;
use futures_util::{Sink, Stream, StreamExt};
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
use mediasoup_producer::v2::protocol::Refusal;
use mediasoup_producer::{IceProtocol, Receive, Transmit};

use super::bench::Bench;
use super::server::{Inbox, Machine, TestServer};
use crate::error::SignallingError;
use crate::runtime::Runtime;
use crate::signalling::Signalling;
use crate::v2::{FromServer, ToServer};

pub(crate) type TestRoom<R> = TestServer<R, Served>;

/// A room, and the ways back to its clients.
pub(crate) struct Served {
    room: RoomServer,
    clients: BTreeMap<ConnectionId, mpsc::UnboundedSender<FromServer>>,
}

pub(crate) enum Message {
    Connected(mpsc::UnboundedSender<FromServer>),
    Said(ToServer),
    Gone,
}

impl Deref for Served {
    type Target = RoomServer;

    fn deref(&self) -> &RoomServer {
        &self.room
    }
}

impl DerefMut for Served {
    fn deref_mut(&mut self) -> &mut RoomServer {
        &mut self.room
    }
}

impl Served {
    fn tell(&self, connection: ConnectionId, message: FromServer) {
        if let Some(client) = self.clients.get(&connection) {
            let _ = client.unbounded_send(message);
        }
    }
}

impl Machine for Served {
    type Message = (ConnectionId, Message);

    fn handle_message(&mut self, now: Instant, (from, message): Self::Message) {
        match message {
            Message::Connected(client) => drop(self.clients.insert(from, client)),
            Message::Said(ToServer::Request { id, request }) => {
                self.room.handle_request(now, from, id.value(), &request.to_json());
            }
            Message::Said(ToServer::Notification(notification)) => {
                self.room.handle_notification(now, from, &notification.to_json());
            }
            Message::Gone => {
                self.clients.remove(&from);
                self.room.handle_disconnect(now, from, None);
            }
        }
    }

    fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        self.room.handle_receive(now, receive);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.room.handle_timeout(now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        loop {
            match self.room.poll_output()? {
                ServerOutput::Transmit(transmit) => return Some(transmit),
                ServerOutput::Response { connection, id, result } => {
                    let result = result.map_err(Refusal::new);
                    self.tell(connection, FromServer::Response { id: id.into(), result });
                }
                ServerOutput::Notification { connection, message } => {
                    self.tell(connection, FromServer::Notification(message));
                }
                _ => {}
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.room.poll_timeout()
    }
}

impl<R: Runtime> TestRoom<R> {
    pub(crate) fn start(runtime: &Bench<R>, protocols: &[IceProtocol]) -> Self {
        Self::start_with(runtime, protocols, &[])
    }

    /// With UDP addresses where nobody is.
    pub(crate) fn start_with(runtime: &Bench<R>, protocols: &[IceProtocol], nowhere: &[SocketAddr]) -> Self {
        Self::serve(runtime, protocols, |addresses| {
            let nowhere = nowhere.iter().map(|address| (IceProtocol::Udp, *address));
            let config = nowhere
                .chain(addresses)
                .fold(RoomServerConfig::default(), |config, (protocol, address)| config.address(protocol, address));
            Served { room: RoomServer::new(config, 1), clients: BTreeMap::new() }
        })
    }

    /// A channel to it.
    pub(crate) fn connect(&self) -> impl Signalling<ToServer, FromServer> + use<R> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed));
        let (to_client, from_server) = mpsc::unbounded();
        let inbox = self.inbox();
        inbox.say((id, Message::Connected(to_client)));
        Channel { id, from_server, inbox }
    }
}

/// A client's end of the channel.
struct Channel {
    id: ConnectionId,
    from_server: mpsc::UnboundedReceiver<FromServer>,
    inbox: Inbox<(ConnectionId, Message)>,
}

impl Stream for Channel {
    type Item = Result<FromServer, SignallingError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.from_server.poll_next_unpin(cx).map(|message| message.map(Ok))
    }
}

impl Sink<ToServer> for Channel {
    type Error = SignallingError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: ToServer) -> Result<(), SignallingError> {
        let said = self.inbox.say((self.id, Message::Said(message)));
        if said { Ok(()) } else { Err(SignallingError::Closed { reason: None }) }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.inbox.say((self.id, Message::Gone));
    }
}
