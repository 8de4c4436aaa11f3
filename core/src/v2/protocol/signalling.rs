//! What goes over the channel to the server, whatever carries it: the adapters' common currency.

use serde_json::Value;

use crate::id::RequestId;
use crate::json::Redacted;
use crate::v2::input::Input;
use crate::v2::protocol::{Notification, Refusal, Request};

/// A message for the server: there are no other kinds. [`Request::to_json`] and [`Notification::to_json`] give it as mediasoup spells it.
#[derive(Debug, Clone, PartialEq)]
pub enum ToServer {
    /// A request; [`FromServer::Response`] with the same id is to follow.
    Request {
        /// Pairs it with its response.
        id: RequestId,
        /// The request.
        request: Request,
    },
    /// A notification.
    Notification(Notification),
}

/// A message from the server: there are no other kinds.
#[derive(derive_more::Debug, Clone, PartialEq)]
pub enum FromServer {
    /// The answer to a request: [`Input::Response`](crate::v2::Input::Response).
    Response {
        /// The request.
        id: RequestId,
        /// The payload (`null` where it has none), or the refusal.
        #[debug("{:?}", result.as_ref().map(Redacted))]
        result: Result<Value, Refusal>,
    },
    /// A mediasoup notification, as it came: [`Input::Notification`](crate::v2::Input::Notification).
    Notification(#[debug("{:?}", Redacted(_0))] Value),
    /// A message of the application above mediasoup: none of the room's business.
    Application {
        /// Its name.
        method: String,
        /// Its payload.
        #[debug("{:?}", Redacted(data))]
        data: Value,
    },
    /// A message that cannot be read.
    Unreadable,
}

/// What is for the room; the rest comes back.
impl TryFrom<FromServer> for Input {
    type Error = FromServer;

    fn try_from(message: FromServer) -> Result<Self, FromServer> {
        match message {
            FromServer::Response { id, result } => Ok(Self::Response { id, result }),
            FromServer::Notification(message) => Ok(Self::Notification(message)),
            other @ (FromServer::Application { .. } | FromServer::Unreadable) => Err(other),
        }
    }
}
