//! The words that mediasoup's demo application (version 3) and its descendants have with their clients, over protoo.
//!
//! They are the application's, and no part of mediasoup. There are two sets of them ([`Words`]): servers of the older demo, in
//! JavaScript, answer `getRouterRtpCapabilities` with the capabilities themselves, those of the newer one, in TypeScript, with an
//! object that has them as `routerRtpCapabilities`. That answer comes first, and tells which it is. (The newest servers differ
//! from those in what they want to know of SCTP, of which a sender of media says nothing.)
//!
//! | | JavaScript | TypeScript |
//! | --- | --- | --- |
//! | answers | bare, or `{id}` | `{routerRtpCapabilities}`, `{transportId}`, `{producerId}`, `{iceParameters}`, `{stats}` |
//! | `createWebRtcTransport` | `producing`, `consuming` | `appData: {direction: "producer"}` |
//! | `produce` | any `appData` | `appData: {source: "audio"}` or `"video"` |
//! | `closeProducer` | a request | a notification |
//! | `newPeer` | `{id, displayName}` | `{peer: {peerId, displayName}}` |

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::IceParameters;
use mediasoup_producer::protoo::{Failure, Message};
use mediasoup_producer::v3::{Answer, Refusal, Request, RtpCapabilities, TransportParameters};
use mediasoup_producer_tokio::{SignallingError, Tokio, driver};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use driver::signalling::{Messages, ProtooConnector, ProtooWebSocket};

/// What we say that waits to be taken; past it we wait.
const ASKED_WAITING: usize = 64;

/// Requests that wait for an answer. One that is given up leaves its place.
const UNANSWERED: usize = 256;

/// What the server told that waits to be heard; past it the server is given up.
const SAID_WAITING: usize = 1024;

/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// One side of a connection to a demo server. Cheap to clone; the connection ends when the last is dropped.
#[derive(Debug, Clone)]
pub struct Demo {
    to_server: mpsc::Sender<Say>,
    /// As they were named, or are found out.
    words: Arc<OnceLock<Words>>,
    patience: Duration,
}

/// Which words a demo has, by the language that it is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Up to 2025.
    JavaScript,
    /// From then on.
    TypeScript,
}

/// What the server tells by itself.
#[derive(Debug)]
pub enum Said {
    /// A notification: its method and data.
    Notification(String, Value),
    /// The connection is over.
    Ended(SignallingError),
}

/// A stream of a producer as the server counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamCount {
    /// The stream.
    pub ssrc: u32,
    /// Packets received.
    pub packet_count: u64,
    /// Their bytes.
    pub byte_count: u64,
    /// Packets lost for good.
    #[serde(default)]
    pub packets_lost: i64,
}

/// Why a request to the server came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DemoError {
    /// The server refused it.
    #[error("{method} was refused: {failure}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// The server's words.
        failure: Failure,
    },
    /// The server did not answer.
    #[error("the server did not answer {0}")]
    TimedOut(&'static str),
    /// The answer is not what the demo answers.
    #[error("the server's answer to {method} makes no sense: {reason}")]
    Answer {
        /// What was asked.
        method: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// The connection is over, of which [`Said::Ended`] has the cause.
    #[error("the connection to the server has ended")]
    Ended,
}

#[derive(Debug)]
enum Say {
    Request(&'static str, Value, oneshot::Sender<Result<Value, Failure>>),
    Notification(&'static str, Value),
    /// The connection is to be closed; the answer comes when it is.
    Goodbye(oneshot::Sender<()>),
}

impl Demo {
    /// Connects to the server. `words`: what is spoken, whatever its first answer looks like. Each request may take it as long
    /// as `patience`.
    pub async fn connect(
        connector: &ProtooConnector<Tokio>,
        url: &str,
        words: Option<Words>,
        patience: Duration,
    ) -> Result<(Self, mpsc::Receiver<Said>), SignallingError> {
        // The newer demos take no program that does not pose as a page of theirs; the older do not look.
        let connector = connector.clone().origin(true);
        let socket = connector.connect_with(Tokio::default(), url, Messages).await?;
        let (to_server, asked) = mpsc::channel(ASKED_WAITING);
        let (said, hear) = mpsc::channel(SAID_WAITING);
        tokio::spawn(carry(socket, asked, said));
        let words = Arc::new(words.map_or_else(OnceLock::new, OnceLock::from));
        Ok((Self { to_server, words, patience }, hear))
    }

    /// What the router routes. To be asked first.
    pub async fn router_rtp_capabilities(&self) -> Result<RtpCapabilities, DemoError> {
        const METHOD: &str = "getRouterRtpCapabilities";
        let mut answer = self.ask(METHOD, json!({})).await?;
        let (words, capabilities) = if answer["routerRtpCapabilities"].is_object() {
            (Words::TypeScript, answer["routerRtpCapabilities"].take())
        } else if answer["codecs"].is_array() {
            (Words::JavaScript, answer)
        } else {
            return Err(DemoError::Answer { method: METHOD, reason: "it has no capabilities".to_owned() });
        };
        self.words.get_or_init(|| words);
        read(METHOD, capabilities)
    }

    /// Has a transport made for us to send on, over TCP alone if need be.
    pub async fn create_transport(&self, force_tcp: bool) -> Result<TransportParameters, DemoError> {
        const METHOD: &str = "createWebRtcTransport";
        let data = match self.words() {
            Words::JavaScript => json!({ "forceTcp": force_tcp, "producing": true, "consuming": false }),
            Words::TypeScript => json!({ "forceTcp": force_tcp, "appData": { "direction": "producer" } }),
        };
        let mut answer = self.ask(METHOD, data).await?;
        match self.words() {
            Words::TypeScript if answer.is_object() => answer["id"] = answer["transportId"].take(),
            Words::JavaScript | Words::TypeScript => {}
        }
        read(METHOD, answer)
    }

    /// Joins the room, and gives the names of those who are there. We take no media, and say so by leaving our receiving
    /// capabilities out.
    pub async fn join(&self, name: &str) -> Result<Vec<String>, DemoError> {
        let device =
            json!({ "flag": "broadcaster", "name": "mediasoup-publish", "version": env!("CARGO_PKG_VERSION") });
        let answer = self.ask("join", json!({ "displayName": name, "device": device })).await?;
        Ok(answer["peers"].as_array().into_iter().flatten().filter_map(peer_id).collect())
    }

    /// Has a request of the state machine answered.
    pub async fn answer(self, request: Request) -> Result<Answer, Refusal> {
        let refused = |error: DemoError| match error {
            DemoError::Refused { failure, .. } => Refusal::new(failure.reason),
            error => Refusal::new(error.to_string()),
        };
        let mut data = request.to_json();
        match request {
            Request::Connect { .. } => {
                self.ask("connectWebRtcTransport", data).await.map_err(refused)?;
                Ok(Answer::Connected)
            }
            Request::Produce { kind, .. } => {
                data["appData"]["source"] = json!(kind);
                let answer = self.ask("produce", data).await.map_err(refused)?;
                let id = &answer[match self.words() {
                    Words::JavaScript => "id",
                    Words::TypeScript => "producerId",
                }];
                Ok(Answer::Produced { id: id.as_str().unwrap_or_default().to_owned() })
            }
            other => Err(Refusal::new(format!("the demo has no words for {}", other.name()))),
        }
    }

    /// Has new ICE credentials made for a transport.
    pub async fn restart_ice(&self, transport_id: &str) -> Result<IceParameters, DemoError> {
        const METHOD: &str = "restartIce";
        let answer = self.ask(METHOD, json!({ "transportId": transport_id })).await?;
        read(METHOD, self.within(answer, "iceParameters"))
    }

    /// Has a producer closed.
    pub async fn close_producer(&self, producer_id: &str) -> Result<(), DemoError> {
        const METHOD: &str = "closeProducer";
        let data = json!({ "producerId": producer_id });
        match self.words() {
            Words::JavaScript => self.ask(METHOD, data).await.map(drop),
            Words::TypeScript => {
                self.to_server.send(Say::Notification(METHOD, data)).await.map_err(|_| DemoError::Ended)
            }
        }
    }

    /// What the server counts of a producer.
    pub async fn producer_stats(&self, producer_id: &str) -> Result<Vec<StreamCount>, DemoError> {
        const METHOD: &str = "getProducerStats";
        let answer = self.ask(METHOD, json!({ "producerId": producer_id })).await?;
        read(METHOD, self.within(answer, "stats"))
    }

    /// Closes the connection. At most a second is spent on that.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.to_server.send(Say::Goodbye(done)).await.is_ok() {
            // Dropped without an answer: it has ended by itself.
            let _ = closed.await;
        }
    }

    fn words(&self) -> Words {
        // Nothing that differs is said before the first answer.
        self.words.get().copied().unwrap_or(Words::JavaScript)
    }

    /// What an answer has under this name, in the words that name it.
    fn within(&self, mut answer: Value, name: &str) -> Value {
        match self.words() {
            Words::JavaScript => answer,
            Words::TypeScript => answer[name].take(),
        }
    }

    async fn ask(&self, method: &'static str, data: Value) -> Result<Value, DemoError> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.to_server.send(Say::Request(method, data, answer)).await.map_err(|_| DemoError::Ended)?;
            let result = answered.await.map_err(|_| DemoError::Ended)?;
            result.map_err(|failure| DemoError::Refused { method, failure })
        };
        timeout(self.patience, asked).await.unwrap_or(Err(DemoError::TimedOut(method)))
    }
}

/// The id of a peer as it is told of, in either dialect.
pub fn peer_id(peer: &Value) -> Option<String> {
    let id = peer["peerId"].as_str().or_else(|| peer["id"].as_str())?;
    Some(id.to_owned())
}

fn read<T: DeserializeOwned>(method: &'static str, answer: Value) -> Result<T, DemoError> {
    serde_json::from_value(answer).map_err(|error| DemoError::Answer { method, reason: error.to_string() })
}

/// Carries what is said, both ways, until either side ends it.
async fn carry(mut socket: ProtooWebSocket<Tokio, Messages>, mut asked: mpsc::Receiver<Say>, said: mpsc::Sender<Said>) {
    let mut unanswered: BTreeMap<u64, oneshot::Sender<Result<Value, Failure>>> = BTreeMap::new();
    let mut last = 0;
    let error = loop {
        // What is fed leaves with the next look at what comes.
        let message = tokio::select! {
            say = asked.recv() => match say {
                None => {
                    let _ = timeout(GOODBYE, socket.close()).await;
                    return;
                }
                Some(Say::Goodbye(done)) => {
                    let _ = timeout(GOODBYE, socket.close()).await;
                    // Nobody waits any more: as well.
                    let _ = done.send(());
                    return;
                }
                Some(Say::Notification(method, data)) => Message::Notification { method: method.to_owned(), data },
                Some(Say::Request(method, data, answer)) => {
                    unanswered.retain(|_, answer| !answer.is_closed());
                    if unanswered.len() >= UNANSWERED {
                        let reason = "too many requests wait for an answer".to_owned();
                        let _ = answer.send(Err(Failure { code: 503, reason }));
                        continue;
                    }
                    last += 1;
                    unanswered.insert(last, answer);
                    Message::Request { id: last, method: method.to_owned(), data }
                }
            },
            message = socket.next() => match message {
                Some(Ok(Message::Response { id, result })) => {
                    if let Some(answer) = unanswered.remove(&id) {
                        // Nobody waits for it any more: as well.
                        let _ = answer.send(result);
                    }
                    continue;
                }
                Some(Ok(Message::Notification { method, data })) => {
                    if said.try_send(Said::Notification(method, data)).is_err() {
                        break SignallingError::Broken("it says more than is heard".to_owned());
                    }
                    continue;
                }
                // We are asked to receive (newConsumer, newDataConsumer), which we do not.
                Some(Ok(Message::Request { id, method, .. })) => {
                    let reason = format!("{method}: this peer only sends");
                    Message::Response { id, result: Err(Failure { code: 403, reason }) }
                }
                Some(Err(error)) => break error,
                None => break SignallingError::Closed { reason: None },
            },
        };
        if let Err(error) = socket.feed(message).await {
            break error;
        }
    };
    // Nobody hears it any more: as well.
    let _ = said.send(Said::Ended(error)).await;
}
