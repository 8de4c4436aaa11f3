//! The room's WebSocket: protoo, the server's side of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use mediasoup_producer::protoo::{MAX_MESSAGE_BYTES, Message as Protocol, SUBPROTOCOL};
use mediasoup_producer::sim::ConnectionId;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;

/// Texts that wait for a peer to read them. One that does not is shut out.
const TEXTS_WAITING: usize = 256;

/// What peers say waits here for the room; past it they are not read.
pub(super) const SAID_WAITING: usize = 256;

/// How long a peer may let what is said to it wait before it reads on. One that does not is shut out.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a peer may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// What happens at the door.
#[derive(Debug)]
pub(super) enum Visitor {
    /// Somebody came, with the `peerId` of the URL. Texts go back through the channel; dropping it shuts them out.
    Came(ConnectionId, Option<String>, mpsc::Sender<String>),
    /// They said something.
    Said(ConnectionId, Protocol),
    /// The connection is over.
    Left(ConnectionId),
}

#[derive(Debug, Clone)]
struct Door {
    rooms: Rooms,
    /// Web pages whose scripts are let in.
    origins: Arc<[String]>,
    places: Arc<Semaphore>,
    last: Arc<AtomicU64>,
}

/// What is behind a door.
#[derive(Debug, Clone)]
enum Rooms {
    /// A room for everybody, whatever name they have for it.
    One(mpsc::Sender<Visitor>),
    /// Rooms that are called by their numbers, from 1.
    Numbered(Arc<[mpsc::Sender<Visitor>]>),
}

impl Rooms {
    fn find(&self, name: Option<&str>) -> Option<mpsc::Sender<Visitor>> {
        match self {
            Self::One(room) => Some(room.clone()),
            Self::Numbered(rooms) => {
                let number: usize = name?.parse().ok()?;
                rooms.get(number.checked_sub(1)?).cloned()
            }
        }
    }
}

/// The part of the URL's query that a room looks at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wishes {
    room_id: Option<String>,
    peer_id: Option<String>,
}

/// Serves the WebSocket on any path, to programs and to scripts of web pages with these origins. It goes on until the task
/// is aborted.
pub(super) fn open(listener: TcpListener, origins: Vec<String>) -> (mpsc::Receiver<Visitor>, JoinHandle<()>) {
    let (visitors, inbox) = mpsc::channel(SAID_WAITING);
    (inbox, serve(listener, Rooms::One(visitors), origins, MAX_CONNECTIONS))
}

/// The same for many rooms, with so many places together. Only programs are let in.
pub(super) fn open_many(listener: TcpListener, rooms: Vec<mpsc::Sender<Visitor>>, places: usize) -> JoinHandle<()> {
    serve(listener, Rooms::Numbered(rooms.into()), Vec::new(), places)
}

fn serve(listener: TcpListener, rooms: Rooms, mut origins: Vec<String>, places: usize) -> JoinHandle<()> {
    // What a program names that poses as a page of the room's own, as clients of mediasoup 3's demo do. There is none.
    if let Ok(address) = listener.local_addr() {
        origins.extend([format!("http://{address}"), format!("http://localhost:{}", address.port())]);
    }
    let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    let door = Door { rooms, origins: origins.into(), places, last: Arc::default() };
    let router = Router::new().fallback(get(enter)).with_state(door);
    tokio::spawn(async move {
        // axum's server retries what fails, and ends never.
        let _ = axum::serve(listener, router).await;
    })
}

async fn enter(
    State(door): State<Door>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    // A browser names the page behind each WebSocket (RFC 6455 section 10.2), whatever address its site's name leads to.
    let origin = headers.get(ORIGIN);
    if origin.is_some_and(|origin| !door.origins.iter().any(|known| origin == known.as_str())) {
        let remedy = "scripts of this web page are not let in: name its origin with --allow-origin";
        return (StatusCode::FORBIDDEN, remedy).into_response();
    }
    let Some(visitors) = door.rooms.find(wishes.room_id.as_deref()) else {
        return (StatusCode::NOT_FOUND, "there is no such room").into_response();
    };
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
        let _ = attend(id, wishes.peer_id, socket, &visitors).await;
        let _ = visitors.send(Visitor::Left(id)).await;
        drop(place);
    })
}

/// Carries texts until either side ends it.
async fn attend(
    id: ConnectionId,
    peer_id: Option<String>,
    mut socket: WebSocket,
    visitors: &mpsc::Sender<Visitor>,
) -> Result<(), mpsc::error::SendError<Visitor>> {
    let (texts, mut outbox) = mpsc::channel(TEXTS_WAITING);
    visitors.send(Visitor::Came(id, peer_id, texts)).await?;
    loop {
        tokio::select! {
            text = outbox.recv() => {
                let Some(text) = text else {
                    let _ = timeout(GOODBYE, part(socket)).await;
                    return Ok(());
                };
                if !say(&mut socket, text).await {
                    return Ok(());
                }
            }
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    // What is no protoo says nothing.
                    if let Ok(message) = Protocol::read(&text) {
                        visitors.send(Visitor::Said(id, message)).await?;
                    }
                }
                // axum answers pings and the goodbye.
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
            },
        }
    }
}

/// False: the peer does not read, or is gone.
async fn say(socket: &mut WebSocket, text: String) -> bool {
    matches!(timeout(SEND_TIMEOUT, socket.send(Message::Text(text.into()))).await, Ok(Ok(())))
}

/// Ends a connection so that all that was said is heard: what a socket closed at once has not delivered is lost with it.
async fn part(mut socket: WebSocket) {
    if socket.send(Message::Close(None)).await.is_ok() {
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
