//! The protoo envelope, as the mediasoup demo applications and their descendants use it over WebSocket: [`Message`], and for
//! rooms of mediasoup v2 [`Protoo`].
//!
//! In v2 mediasoup requests travel as the `data` of protoo requests named `mediasoup-request`. mediasoup notifications travel,
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

/// A text frame of protoo, in either direction.
#[derive(derive_more::Debug, Clone, PartialEq)]
pub enum Message {
    /// Wants one response.
    Request {
        /// Pairs it with its response.
        id: u64,
        /// What is wanted.
        method: String,
        /// Its payload.
        #[debug("{:?}", Redacted(data))]
        data: Value,
    },
    /// The response to a request.
    Response {
        /// The request's.
        id: u64,
        /// What came of it; null if that is nothing.
        #[debug("{:?}", result.as_ref().map(Redacted))]
        result: Result<Value, Failure>,
    },
    /// Wants none.
    Notification {
        /// What is told.
        method: String,
        /// Its payload.
        #[debug("{:?}", Redacted(data))]
        data: Value,
    },
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// As HTTP's status codes; 500 for what was thrown.
    pub code: u64,
    /// In words.
    pub reason: String,
}

impl Message {
    /// Reads a text frame.
    pub fn read(text: &str) -> Result<Self, ProtooError> {
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(ProtooError::TooLong(text.len()));
        }
        let mut message: Value = serde_json::from_str(text).map_err(|error| ProtooError::Json(error.to_string()))?;
        let id = message["id"].as_u64();
        if message["response"] == true {
            let id = id.ok_or(ProtooError::Shape("a response without id"))?;
            let result = if message["ok"] == true {
                Ok(message["data"].take())
            } else {
                let reason = message["errorReason"].as_str().unwrap_or("no reason given").to_owned();
                Err(Failure { code: message["errorCode"].as_u64().unwrap_or(500), reason })
            };
            return Ok(Self::Response { id, result });
        }
        let is_request = message["request"] == true;
        if !is_request && message["notification"] != true {
            return Err(ProtooError::Shape("neither request, response nor notification"));
        }
        let method = message["method"].as_str().ok_or(ProtooError::Shape("no method"))?.to_owned();
        let data = message["data"].take();
        match (is_request, id) {
            (false, _) => Ok(Self::Notification { method, data }),
            (true, Some(id)) => Ok(Self::Request { id, method, data }),
            (true, None) => Err(ProtooError::Shape("a request without id")),
        }
    }

    /// The text frame.
    pub fn to_text(&self) -> String {
        match self {
            Self::Request { id, method, data } => {
                json!({ "request": true, "id": id, "method": method, "data": data })
            }
            // Some answers have no payload at all.
            Self::Response { id, result: Ok(Value::Null) } => json!({ "response": true, "id": id, "ok": true }),
            Self::Response { id, result: Ok(data) } => json!({ "response": true, "id": id, "ok": true, "data": data }),
            Self::Response { id, result: Err(Failure { code, reason }) } => {
                json!({ "response": true, "id": id, "ok": false, "errorCode": code, "errorReason": reason })
            }
            Self::Notification { method, data } => json!({ "notification": true, "method": method, "data": data }),
        }
        .to_string()
    }

    fn request(id: u64, method: &str, data: Value) -> Self {
        Self::Request { id, method: method.to_owned(), data }
    }
}

/// One side of a protoo connection to a v2 room: turns our messages into text frames, and the server's text frames into inputs.
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
        Message::request(id.value(), REQUEST, request.to_json()).to_text()
    }

    /// The frame that carries a notification: a protoo request, as the v2 demo has it.
    pub fn notification(&mut self, notification: &Notification) -> String {
        let id = FIRST_NOTIFICATION_ID + self.notifications_sent;
        self.notifications_sent += 1;
        Message::request(id, NOTIFICATION, notification.to_json()).to_text()
    }

    /// Reads a text frame from the server.
    pub fn receive(&mut self, text: &str) -> Result<Received, ProtooError> {
        let (asked, method, data) = match Message::read(text)? {
            // The acknowledgement of a notification.
            Message::Response { id, .. } if id >= FIRST_NOTIFICATION_ID => return Ok(Received::default()),
            Message::Response { id, result } => {
                let result = result.map_err(|failure| Refusal::new(failure.reason));
                let input = Input::Response { id: RequestId::new(id), result };
                return Ok(Received { input: Some(input), ..Received::default() });
            }
            Message::Request { id, method, data } => (Some(id), method, data),
            Message::Notification { method, data } => (None, method, data),
        };
        let reply = asked.map(|id| Message::Response { id, result: Ok(json!({})) }.to_text());
        let (input, application) =
            if method == NOTIFICATION { (Some(Input::Notification(data)), None) } else { (None, Some((method, data))) };
        Ok(Received { input, reply, application })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_as_it_was_written() {
        let failure = Failure { code: 403, reason: "no".to_owned() };
        for message in [
            Message::request(1, "join", json!({ "displayName": "x" })),
            Message::Response { id: 1, result: Ok(json!({ "peers": [] })) },
            Message::Response { id: 2, result: Ok(Value::Null) },
            Message::Response { id: 3, result: Err(failure) },
            Message::Notification { method: "newPeer".to_owned(), data: json!({}) },
        ] {
            assert_eq!(Message::read(&message.to_text()), Ok(message));
        }
    }

    #[test]
    fn no_password_is_shown() {
        let data = json!({ "iceParameters": { "usernameFragment": "u", "password": "hush" } });
        let request = Message::request(1, "m", data.clone());
        let response = Message::Response { id: 1, result: Ok(data) };
        assert!(!format!("{request:?}{response:?}").contains("hush"));
    }

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
