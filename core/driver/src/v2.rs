//! Rooms of mediasoup 2.

mod error;
mod event;
mod producer;
mod room;
mod transport;

use mediasoup_producer::TransportId;
use mediasoup_producer::v2::{Event as RoomEvent, Room as Conductor};

pub use crate::error::{ConnectedError, Error};
#[cfg(feature = "websocket")]
pub use crate::signalling::websocket::{ProtooConnector, ProtooWebSocket};
pub use event::Event;
pub use mediasoup_producer::v2::protocol::{FromServer, ToServer};
pub use producer::Producer;
pub use room::Room;
pub use transport::Transport;

use crate::dialect::Dialect;
use crate::error::SignallingError;
use crate::shared::Handle as AnyHandle;

/// A stream of [`Event`]s.
pub type Events = crate::events::Events<Event>;

type Handle<R> = AnyHandle<R, Conductor>;

impl Dialect for Conductor {
    type Heard = Event;

    fn said(event: RoomEvent) -> Event {
        Event::Room(event)
    }

    fn overheard(message: FromServer) -> Option<Event> {
        match message {
            FromServer::Application { method, data } => Some(Event::Application { method, data }),
            FromServer::Response { .. } | FromServer::Notification(_) | FromServer::Unreadable => None,
        }
    }

    fn disconnected(error: SignallingError) -> Event {
        Event::Disconnected { error }
    }

    fn unreachable(transport: TransportId, reason: String) -> Event {
        Event::Unreachable { transport, reason }
    }
}
