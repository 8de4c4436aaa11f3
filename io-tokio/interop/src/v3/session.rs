//! The application's signalling: questions and answers over a WebSocket, in words of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::v3::{Answer, Refusal, Request};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

/// Changes a question before the server gets it, by its method.
type Tamper = Box<dyn Fn(&str, &mut Value) + Send>;

/// What the server says of its own accord: a method and its data.
pub(crate) type Told = mpsc::UnboundedReceiver<(String, Value)>;

/// A connection to the server. Ends when it and the clones of it are dropped, or the server's side does.
#[derive(Clone)]
pub(crate) struct Session {
    questions: mpsc::UnboundedSender<Question>,
    tamper: Arc<Mutex<Tamper>>,
}

struct Question {
    method: String,
    data: Value,
    /// Who waits for the server's answer, or its words of refusal.
    waiter: oneshot::Sender<Result<Value, String>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) async fn connect(url: String) -> (Self, Told) {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("the server is there");
        let (questions, mut asked) = mpsc::unbounded_channel::<Question>();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let (mut last, mut waiting) = (0_u64, BTreeMap::new());
            loop {
                tokio::select! {
                    question = asked.recv() => {
                        let Some(Question { method, data, waiter }) = question else { break };
                        last += 1;
                        waiting.insert(last, waiter);
                        let text = json!({ "id": last, "method": method, "data": data }).to_string();
                        if socket.send(Message::text(text)).await.is_err() {
                            break;
                        }
                    }
                    message = socket.next() => match message {
                        Some(Ok(Message::Text(text))) => {
                            let mut message: Value = serde_json::from_str(&text).expect("the server speaks JSON");
                            let Some(id) = message["id"].as_u64() else {
                                let method = message["method"].as_str().unwrap_or_default().to_owned();
                                // The test may have ended.
                                let _ = tell.send((method, message["data"].take()));
                                continue;
                            };
                            let result = match message["ok"] == true {
                                true => Ok(message["data"].take()),
                                false => Err(message["error"].as_str().unwrap_or_default().to_owned()),
                            };
                            // It may be waited for no more.
                            let _ = waiting.remove(&id).map(|waiter| waiter.send(result));
                        }
                        Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                        Some(Ok(_)) => {}
                    },
                }
            }
            // The other side waits for this, if it is there.
            let _ = socket.close(None).await;
        });
        (Self { questions, tamper: Arc::new(Mutex::new(Box::new(|_, _| {}))) }, told)
    }

    /// Asks the server something: its answer, or its words of refusal.
    ///
    /// # Panics
    /// When the connection is lost.
    pub(crate) async fn ask(&self, method: &str, data: Value) -> Result<Value, String> {
        self.try_ask(method, data).await.expect("the WebSocket is open")
    }

    /// The same; nothing when the connection is lost.
    async fn try_ask(&self, method: &str, mut data: Value) -> Option<Result<Value, String>> {
        self.tamper.lock().expect("no panic under the lock")(method, &mut data);
        let (waiter, answer) = oneshot::channel();
        self.questions.send(Question { method: method.to_owned(), data, waiter }).ok()?;
        answer.await.ok()
    }

    /// Has the server answer what the device asks.
    pub(crate) async fn answer(self, request: Request) -> Result<Answer, Refusal> {
        match self.try_ask(request.name(), request.to_json()).await {
            Some(Ok(data)) => Ok(match request {
                Request::Produce { .. } => Answer::Produced { id: data["id"].as_str().unwrap_or_default().to_owned() },
                _ => Answer::Connected,
            }),
            Some(Err(reason)) => Err(Refusal::new(reason)),
            None => Err(Refusal::new("the WebSocket is lost")),
        }
    }

    /// Has questions changed on their way from now on.
    pub(crate) fn tamper(&self, tamper: impl Fn(&str, &mut Value) + Send + 'static) {
        *self.tamper.lock().expect("no panic under the lock") = Box::new(tamper);
    }
}
