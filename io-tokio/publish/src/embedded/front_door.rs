//! The room's WebSocket: protoo, the server's side of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mediasoup_producer::protocol::protoo::{MAX_MESSAGE_BYTES, SUBPROTOCOL};
use mediasoup_producer::sim::ConnectionId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;

/// Texts that wait for a peer to read them. One that does not is shut out.
const TEXTS_WAITING: usize = 256;

/// What peers say waits here for the room; past it they are not read.
const SAID_WAITING: usize = 256;

/// How long a peer may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

const REQUEST: &str = "mediasoup-request";
const NOTIFICATION: &str = "mediasoup-notification";

/// What happens at the door.
#[derive(Debug)]
pub(super) enum Visitor {
    /// Somebody came. Texts go back through the channel; dropping it shuts them out.
    Came(ConnectionId, mpsc::Sender<String>),
    /// A mediasoup request, with protoo's id.
    Asked(ConnectionId, u64, Value),
    /// A mediasoup notification.
    Said(ConnectionId, Value),
    /// The connection is over.
    Left(ConnectionId),
}

#[derive(Debug, Clone)]
struct Door {
    visitors: mpsc::Sender<Visitor>,
    places: Arc<Semaphore>,
    last: Arc<AtomicU64>,
}

/// Serves the WebSocket on any path. It goes on until the task is aborted.
pub(super) fn open(listener: TcpListener) -> (mpsc::Receiver<Visitor>, JoinHandle<()>) {
    let (visitors, inbox) = mpsc::channel(SAID_WAITING);
    let door = Door { visitors, places: Arc::new(Semaphore::new(MAX_CONNECTIONS)), last: Arc::default() };
    let router = Router::new().fallback(get(enter)).with_state(door);
    let task = tokio::spawn(async move {
        // axum's server retries what fails, and ends never.
        let _ = axum::serve(listener, router).await;
    });
    (inbox, task)
}

async fn enter(State(door): State<Door>, upgrade: WebSocketUpgrade) -> Response {
    let Ok(place) = door.places.clone().try_acquire_owned() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let upgrade =
        upgrade.protocols([SUBPROTOCOL]).max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    if upgrade.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, "this is a mediasoup room: speak protoo").into_response();
    }
    upgrade.on_upgrade(async move |socket| {
        let id = ConnectionId(door.last.fetch_add(1, Ordering::Relaxed));
        // The room is gone: so is the connection.
        let _ = attend(id, socket, &door.visitors).await;
        let _ = door.visitors.send(Visitor::Left(id)).await;
        drop(place);
    })
}

/// Carries texts until either side ends it.
async fn attend(
    id: ConnectionId,
    mut socket: WebSocket,
    visitors: &mpsc::Sender<Visitor>,
) -> Result<(), mpsc::error::SendError<Visitor>> {
    let (texts, mut outbox) = mpsc::channel(TEXTS_WAITING);
    visitors.send(Visitor::Came(id, texts)).await?;
    loop {
        tokio::select! {
            text = outbox.recv() => {
                let Some(text) = text else {
                    let _ = timeout(GOODBYE, part(socket)).await;
                    return Ok(());
                };
                if socket.send(Message::Text(text.into())).await.is_err() {
                    return Ok(());
                }
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    let (visitor, answer) = understand(id, &text);
                    if let Some(visitor) = visitor {
                        visitors.send(visitor).await?;
                    }
                    if let Some(answer) = answer
                        && socket.send(Message::Text(answer.to_string().into())).await.is_err()
                    {
                        return Ok(());
                    }
                }
                // axum answers pings and the goodbye.
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
            },
        }
    }
}

/// Ends a connection so that all that was said is heard: what a socket closed at once has not delivered is lost with it.
async fn part(mut socket: WebSocket) {
    if socket.send(Message::Close(None)).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}

/// What a text means to the room, and what is answered at once. The peer's answers to what we said mean nothing more.
fn understand(id: ConnectionId, text: &str) -> (Option<Visitor>, Option<Value>) {
    let Ok(mut message) = serde_json::from_str::<Value>(text) else { return (None, None) };
    let data = message["data"].take();
    let method = message["method"].as_str().unwrap_or_default();
    if message["notification"] == true {
        return ((method == NOTIFICATION).then_some(Visitor::Said(id, data)), None);
    }
    let (true, Some(request)) = (message["request"] == true, message["id"].as_u64()) else { return (None, None) };
    match method {
        REQUEST => (Some(Visitor::Asked(id, request, data)), None),
        NOTIFICATION => (Some(Visitor::Said(id, data)), Some(answer(request, Ok(json!({}))))),
        _ => (None, Some(answer(request, Err(format!("unknown method \"{method}\""))))),
    }
}

/// protoo's response.
pub(super) fn answer(id: u64, result: Result<Value, String>) -> Value {
    match result {
        // The answer to createProducer has no payload at all.
        Ok(Value::Null) => json!({ "response": true, "id": id, "ok": true }),
        Ok(data) => json!({ "response": true, "id": id, "ok": true, "data": data }),
        Err(reason) => json!({ "response": true, "id": id, "ok": false, "errorCode": 500, "errorReason": reason }),
    }
}

/// A mediasoup notification, which is a protoo request as the v2 demo has it.
pub(super) fn notification(id: u64, message: &Value) -> Value {
    json!({ "request": true, "id": id, "method": NOTIFICATION, "data": message })
}
