//! The protoo envelope, as the mediasoup v2 demo application and its descendants use it over WebSocket.
//!
//! mediasoup requests travel as the `data` of protoo requests named `mediasoup-request`. mediasoup notifications travel,
//! in both directions, as the `data` of protoo *requests* named `mediasoup-notification`, each answered with an empty
//! success; a server that sends them as protoo notifications is understood too. Whatever else the server asks
//! (`active-speaker`, `display-name-changed`, ...) is answered with success and handed to the application.

use serde_json::{Value, json};

use crate::id::RequestId;
use crate::json::Redacted;
use crate::v2::Input;
use crate::v2::protocol::{Notification, Refusal, Request};

/// The WebSocket sub-protocol to ask for.
pub const SUBPROTOCOL: &str = "protoo";

/// Text frames longer than this are refused: 1 MiB.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

const REQUEST: &str = "mediasoup-request";
const NOTIFICATION: &str = "mediasoup-notification";

/// One side of a protoo connection: turns our messages into text frames, and the server's text frames into inputs.
///
/// Holds one number, whatever the server says.
#[derive(Debug, Default)]
pub struct Protoo {
    notifications_sent: u64,
}

/// What a text frame from the server asks to be done.
#[derive(derive_more::Debug, Default)]
#[non_exhaustive]
pub struct Received {
    /// To be handed to [`Room::handle_input`](crate::v2::Room::handle_input).
    pub input: Option<Input>,
    /// To be sent back.
    pub reply: Option<String>,
    /// A message of the application above mediasoup: its method and data.
    #[debug("{:?}", application.as_ref().map(|(method, data)| (method, Redacted(data))))]
    pub application: Option<(String, Value)>,
}

/// A text frame that is not protoo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtooError {
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("a message of {0} bytes is longer than the limit of {MAX_MESSAGE_BYTES}")]
    TooLong(usize),
    /// Not JSON, or nested too deeply.
    #[error("not JSON: {0}")]
    Json(String),
    /// JSON, but not one of protoo's three shapes.
    #[error("not a protoo message: {0}")]
    Shape(&'static str),
}

/// Notifications take ids from here up, so that they never meet those of requests, which count from 1. Below 2^53: a
/// JavaScript server reads numbers as doubles.
const FIRST_NOTIFICATION_ID: u64 = 1 << 40;

impl Protoo {
    /// A connection on which nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frame that carries a request.
    pub fn request(&self, id: RequestId, request: &Request) -> String {
        json!({ "request": true, "id": id, "method": REQUEST, "data": request.to_json() }).to_string()
    }

    /// The frame that carries a notification: a protoo request, as the v2 demo has it.
    pub fn notification(&mut self, notification: &Notification) -> String {
        let id = FIRST_NOTIFICATION_ID + self.notifications_sent;
        self.notifications_sent += 1;
        json!({ "request": true, "id": id, "method": NOTIFICATION, "data": notification.to_json() }).to_string()
    }

    /// Reads a text frame from the server.
    pub fn receive(&mut self, text: &str) -> Result<Received, ProtooError> {
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(ProtooError::TooLong(text.len()));
        }
        let mut message: Value = serde_json::from_str(text).map_err(|error| ProtooError::Json(error.to_string()))?;
        if message["response"] == true {
            return Self::response(message);
        }
        let is_request = message["request"] == true;
        if !is_request && message["notification"] != true {
            return Err(ProtooError::Shape("neither request, response nor notification"));
        }
        let method = message["method"].as_str().ok_or(ProtooError::Shape("no method"))?.to_owned();
        let reply = match (is_request, message["id"].as_u64()) {
            (false, _) => None,
            (true, Some(id)) => Some(json!({ "response": true, "id": id, "ok": true, "data": {} }).to_string()),
            (true, None) => return Err(ProtooError::Shape("a request without id")),
        };
        let data = message["data"].take();
        let (input, application) =
            if method == NOTIFICATION { (Some(Input::Notification(data)), None) } else { (None, Some((method, data))) };
        Ok(Received { input, reply, application })
    }

    fn response(mut message: Value) -> Result<Received, ProtooError> {
        let id = message["id"].as_u64().ok_or(ProtooError::Shape("a response without id"))?;
        // The acknowledgement of a notification.
        if id >= FIRST_NOTIFICATION_ID {
            return Ok(Received::default());
        }
        let result = if message["ok"] == true {
            Ok(message["data"].take())
        } else {
            Err(Refusal::new(message["errorReason"].as_str().unwrap_or("no reason given")))
        };
        Ok(Received { input: Some(Input::Response { id: RequestId::new(id), result }), ..Received::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_becomes_an_input() {
        let received = Protoo::new().receive(r#"{"response":true,"id":3,"ok":true,"data":{"peers":[]}}"#).unwrap();
        let Some(Input::Response { id, result: Ok(data) }) = received.input else { panic!("{received:?}") };
        assert_eq!((id.value(), data), (3, json!({ "peers": [] })));
    }

    #[test]
    fn a_refusal_keeps_the_servers_words() {
        let text = r#"{"response":true,"id":3,"ok":false,"errorCode":500,"errorReason":"Error: Transport not found"}"#;
        let Some(Input::Response { result: Err(refusal), .. }) = Protoo::new().receive(text).unwrap().input else {
            panic!("not a refusal")
        };
        assert_eq!(refusal.kind, crate::v2::protocol::RefusalKind::TransportNotFound);
    }

    #[test]
    fn a_notification_is_understood_in_both_forms_and_acknowledged_when_it_asks() {
        let data = r#""method":"mediasoup-notification","data":{"method":"closed"}"#;
        let asked = Protoo::new().receive(&format!(r#"{{"request":true,"id":9,{data}}}"#)).unwrap();
        assert!(matches!(asked.input, Some(Input::Notification(_))));
        assert!(asked.reply.unwrap().contains("\"ok\":true"));
        let told = Protoo::new().receive(&format!(r#"{{"notification":true,{data}}}"#)).unwrap();
        assert!(matches!(told.input, Some(Input::Notification(_))) && told.reply.is_none());
    }

    #[test]
    fn an_acknowledgement_is_no_response() {
        let mut protoo = Protoo::new();
        let sent: Value = serde_json::from_str(&protoo.notification(&Notification::Leave { app_data: None })).unwrap();
        let ack = json!({ "response": true, "id": sent["id"], "ok": true, "data": {} }).to_string();
        assert!(protoo.receive(&ack).unwrap().input.is_none());
    }

    #[test]
    fn other_requests_are_acknowledged_and_handed_on() {
        let received =
            Protoo::new().receive(r#"{"request":true,"id":1,"method":"active-speaker","data":{"p":1}}"#).unwrap();
        assert_eq!(received.application, Some(("active-speaker".to_owned(), json!({ "p": 1 }))));
        assert!(received.reply.is_some() && received.input.is_none());
    }
}
