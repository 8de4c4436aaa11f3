//! A server that says what the test tells it to.

use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::v2::protocol::{Refusal, Request, RoomSettings};
use serde_json::{Value, json};

use crate::error::SignallingError;
use crate::signalling::{self, Signalling};
use crate::v2::{FromServer, ToServer};

/// The server's end of an in-process channel.
pub(crate) struct Server {
    pub(crate) from_client: mpsc::Receiver<ToServer>,
    pub(crate) to_client: mpsc::Sender<FromServer>,
}

/// A channel that holds `capacity` messages each way.
pub(crate) fn channel(capacity: usize) -> (impl Signalling<ToServer, FromServer>, Server) {
    let (to_server, from_client) = mpsc::channel(capacity);
    let (to_client, from_server) = mpsc::channel(capacity);
    let to_server = to_server.sink_map_err(|_| SignallingError::Closed { reason: None });
    (signalling::join(from_server.map(Ok), to_server), Server { from_client, to_client })
}

impl Server {
    /// The next message; None when the client is gone.
    pub(crate) async fn next(&mut self) -> Option<ToServer> {
        self.from_client.next().await
    }

    pub(crate) async fn say(&mut self, message: FromServer) {
        self.to_client.send(message).await.unwrap();
    }

    /// Answers the next request, which must be of this name.
    pub(crate) async fn answer(&mut self, method: &str, result: Result<Value, Refusal>) -> Request {
        loop {
            match self.next().await.expect("the client is gone") {
                ToServer::Request { id, request } => {
                    assert_eq!(request.method(), method);
                    self.say(FromServer::Response { id, result }).await;
                    return request;
                }
                ToServer::Notification(_) => {}
            }
        }
    }

    /// Lets the client into the room.
    pub(crate) async fn admit(&mut self) {
        self.answer("queryRoom", Ok(serde_json::to_value(settings()).unwrap())).await;
        self.answer("join", Ok(json!({ "peers": [] }))).await;
    }

    /// The methods of all that is still said, to the end.
    pub(crate) async fn rest(&mut self) -> Vec<&'static str> {
        let mut methods = Vec::new();
        while let Some(message) = self.next().await {
            methods.push(match message {
                ToServer::Request { request, .. } => request.method(),
                ToServer::Notification(notification) => notification.method(),
            });
        }
        methods
    }
}

/// A room with Opus and VP8.
pub(crate) fn settings() -> RoomSettings {
    serde_json::from_value(json!({
        "rtpCapabilities": {
            "codecs": [
                { "name": "opus", "mimeType": "audio/opus", "kind": "audio", "clockRate": 48000,
                  "preferredPayloadType": 100, "channels": 2, "rtcpFeedback": [], "parameters": {} },
                { "name": "VP8", "mimeType": "video/VP8", "kind": "video", "clockRate": 90000,
                  "preferredPayloadType": 101, "rtcpFeedback": [{ "type": "nack" }, { "type": "nack", "parameter": "pli" },
                  { "type": "ccm", "parameter": "fir" }, { "type": "goog-remb" }], "parameters": {} },
                { "name": "rtx", "mimeType": "video/rtx", "kind": "video", "clockRate": 90000,
                  "preferredPayloadType": 102, "rtcpFeedback": [], "parameters": { "apt": 101 } },
            ],
            "headerExtensions": [],
            "fecMechanisms": [],
        },
    }))
    .unwrap()
}
