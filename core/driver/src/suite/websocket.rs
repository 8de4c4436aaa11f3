//! protoo over real WebSockets, on servers good and bad: threads with blocking sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::{self, Message, WebSocket};
use futures_channel::mpsc;
use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::protoo::Message as Protocol;
use mediasoup_producer::v2::protocol::Refusal;
use mediasoup_producer::v2::{RequestFailure, RoomConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::bench::Bench;
use super::channel::settings;
use crate::error::SignallingError;
use crate::options::Options;
use crate::runtime::Runtime;
use crate::signalling::Messages;
use crate::v2::{Error, Event, ProtooConnector, Room};

/// Runs a server for one connection; the URL to reach it.
fn serve(server: impl FnOnce(TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        server(stream);
    });
    format!("ws://{address}/?roomId=lobby&peerName=alice")
}

/// Takes up the WebSocket as protoo has it.
fn accept<S: Read + Write>(stream: S) -> WebSocket<S> {
    #[allow(clippy::result_large_err)] // it is the library's
    let protocol = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        assert_eq!(request.uri(), "/?roomId=lobby&peerName=alice");
        assert_eq!(request.headers()["sec-websocket-protocol"], "protoo");
        response.headers_mut().insert("sec-websocket-protocol", "protoo".parse().unwrap());
        Ok(response)
    };
    tungstenite::accept_hdr(stream, protocol).ok().unwrap()
}

/// Keeps a connection, and says nothing.
fn keep<T>(connection: T) {
    thread::park_timeout(Duration::from_secs(60));
    drop(connection);
}

async fn connect<R: Runtime>(runtime: &R, url: &str) -> Room<R> {
    let signalling = ProtooConnector::new().connect_on(runtime.clone(), url).await.unwrap();
    Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), signalling)
}

/// Answers what a peer asks until it goes.
fn be_a_room<S: Read + Write>(socket: &mut WebSocket<S>) {
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        let answer = match message["data"]["method"].as_str() {
            Some("queryRoom") => json!({ "response": true, "id": message["id"], "ok": true, "data": settings() }),
            Some("join") if message["data"]["peerName"] == "twin" => json!({ "response": true, "id": message["id"],
                "ok": false, "errorCode": 500, "errorReason": "Error: duplicated Peer [peerName:\"twin\"]" }),
            Some("join") => json!({ "response": true, "id": message["id"], "ok": true, "data": { "peers": [] } }),
            _ => continue,
        };
        socket.send(Message::text(answer.to_string())).unwrap();
    }
}

async fn error_of<R: Runtime>(runtime: &R, url: &str, connector: ProtooConnector<R>) -> SignallingError {
    connector.connect_on(runtime.clone(), url).await.expect_err("connected")
}

pub async fn a_room_is_joined_over_websocket<R: Runtime>(runtime: R) {
    let url = serve(|stream| be_a_room(&mut accept(stream)));
    let room = connect(&runtime, &url).await;
    let twin = room.join("twin", None).await;
    let refusal = Refusal::new("Error: duplicated Peer [peerName:\"twin\"]");
    assert_eq!(twin, Err(Error::Failed(RequestFailure::from(refusal).into())));
    room.join("alice", None).await.unwrap();
    room.close().await;
}

pub async fn the_goodbye_arrives_before_the_connection_ends<R: Runtime>(runtime: R) {
    let (said, mut hear) = mpsc::unbounded();
    let url = serve(move |stream| {
        let mut socket = accept(stream);
        while let Ok(message) = socket.read() {
            let Message::Text(text) = &message else {
                said.unbounded_send(format!("{message:?}").split('(').next().unwrap().to_owned()).unwrap();
                continue;
            };
            let message: Value = serde_json::from_str(text).unwrap();
            said.unbounded_send(message["data"]["method"].as_str().unwrap().to_owned()).unwrap();
            let data =
                if message["data"]["method"] == "queryRoom" { json!(settings()) } else { json!({ "peers": [] }) };
            let answer = json!({ "response": true, "id": message["id"], "ok": true, "data": data });
            let _ = socket.send(Message::text(answer.to_string()));
        }
    });
    let room = connect(&runtime, &url).await;
    room.join("alice", None).await.unwrap();
    drop(room);
    let mut all = Vec::new();
    while let Some(word) = hear.next().await {
        all.push(word);
    }
    assert_eq!(all, ["queryRoom", "join", "leave", "Close"]);
}

pub async fn the_servers_own_questions_are_answered_and_handed_on<R: Runtime>(runtime: R) {
    let url = serve(|stream| {
        let mut socket = accept(stream);
        let ask = json!({ "request": true, "id": 7, "method": "active-speaker", "data": { "peerName": "bob" } });
        socket.send(Message::text("not even JSON")).unwrap();
        socket.send(Message::binary(vec![1, 2, 3])).unwrap();
        socket.send(Message::Ping(vec![1].into())).unwrap();
        socket.send(Message::text(ask.to_string())).unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 {
            heard.push(socket.read().unwrap());
        }
        assert!(heard.contains(&Message::Pong(vec![1].into())), "{heard:?}");
        let answer = heard.iter().find_map(|message| message.to_text().ok().filter(|text| text.starts_with('{')));
        let answer: Value = serde_json::from_str(answer.unwrap()).unwrap();
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(7), &json!(true)));
        let done = json!({ "notification": true, "method": "done", "data": null });
        socket.send(Message::text(done.to_string())).unwrap();
        be_a_room(&mut socket);
    });
    let room = connect(&runtime, &url).await;
    let mut events = room.events();
    let data = json!({ "peerName": "bob" });
    assert_eq!(events.next().await, Some(Event::Application { method: "active-speaker".to_owned(), data }));
    assert!(matches!(events.next().await, Some(Event::Application { method, .. }) if method == "done"));
    assert_eq!(room.io_stats().messages_unreadable, 2);
}

pub async fn plain_protoo_is_carried_under_the_urls_own_origin<R: Runtime>(runtime: R) {
    let url = serve(|stream| {
        let host = stream.local_addr().unwrap();
        #[allow(clippy::result_large_err)] // it is the library's
        let handshake = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.headers()["origin"], format!("http://{host}"));
            response.headers_mut().insert("sec-websocket-protocol", "protoo".parse().unwrap());
            Ok(response)
        };
        let mut socket = tungstenite::accept_hdr(stream, handshake).ok().unwrap();
        socket.send(Message::text("not even JSON")).unwrap();
        // What it hears it says.
        while let Ok(message) = socket.read() {
            let _ = socket.send(message);
        }
    });
    // Of `user:password@host` an origin has the host alone (RFC 6454 section 4).
    let url = url.replace("ws://", "ws://alice:secret@");
    let connector = ProtooConnector::new().origin(true);
    let mut socket = connector.connect_with(runtime, &url, Messages).await.unwrap();
    let asked = Protocol::Request { id: 1, method: "join".to_owned(), data: json!({ "displayName": "alice" }) };
    socket.send(asked.clone()).await.unwrap();
    assert_eq!(socket.next().await, Some(Ok(asked)));
}

pub async fn nobody_there_is_said<R: Runtime>(runtime: R) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = error_of(&runtime, &format!("ws://{host}/"), ProtooConnector::new()).await;
    assert!(matches!(&error, SignallingError::Unreachable { host: at, .. } if *at == host), "{error}");
    let error = error_of(&runtime, "ws://no-such-host.invalid/", ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Unreachable { .. }), "{error}");
}

pub async fn a_url_that_is_none_is_said<R: Runtime>(runtime: R) {
    for url in ["", "lobby", "http://127.0.0.1/", "ws://", "ws:///path", "wss://:443/", "ws://a b/"] {
        let error = error_of(&runtime, url, ProtooConnector::new()).await;
        assert!(matches!(error, SignallingError::InvalidUrl { .. }), "{url}: {error}");
    }
}

pub async fn a_refused_upgrade_is_said<R: Runtime>(runtime: R) {
    let url = serve(|mut stream| {
        let mut request = [0; 2048];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").unwrap();
    });
    assert_eq!(error_of(&runtime, &url, ProtooConnector::new()).await, SignallingError::Refused { status: 403 });
}

pub async fn another_protocol_than_protoo_is_said<R: Runtime>(runtime: R) {
    let url = serve(|stream| drop(tungstenite::accept(stream)));
    assert_eq!(error_of(&runtime, &url, ProtooConnector::new()).await, SignallingError::NotProtoo);
    let url = serve(|mut stream| {
        let mut request = [0; 2048];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").unwrap();
    });
    let error = error_of(&runtime, &url, ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Broken(_)), "{error}");
}

pub async fn a_server_that_does_not_take_up_the_connection_is_given_up<R: Runtime>(runtime: R) {
    let runtime = Bench::faster(runtime, 10);
    let url = serve(keep);
    let timeout = Duration::from_secs(3);
    let error = error_of(&runtime, &url, ProtooConnector::new().timeout(timeout)).await;
    assert_eq!(error, SignallingError::ConnectTimeout(timeout));
}

pub async fn a_server_that_falls_silent_is_given_up<R: Runtime>(runtime: R) {
    let runtime = Bench::faster(runtime, 10);
    let url = serve(|stream| keep(accept(stream)));
    let keep_alive = Duration::from_secs(7);
    let socket = ProtooConnector::new().keep_alive(keep_alive).connect_on(runtime.clone(), &url).await.unwrap();
    let room = Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), socket);
    let error = SignallingError::Silent(2 * keep_alive);
    assert_eq!(room.events().next().await, Some(Event::Disconnected { error }));
}

pub async fn a_quiet_server_that_answers_pings_is_kept<R: Runtime>(runtime: R) {
    let runtime = Bench::faster(runtime, 10);
    let url = serve(|stream| {
        let mut socket = accept(stream);
        let mut pings = 0;
        while pings < 5 {
            pings += u32::from(socket.read().unwrap().is_ping());
        }
        let done = json!({ "notification": true, "method": "done", "data": null });
        socket.send(Message::text(done.to_string())).unwrap();
        be_a_room(&mut socket);
    });
    let socket =
        ProtooConnector::new().keep_alive(Duration::from_secs(7)).connect_on(runtime.clone(), &url).await.unwrap();
    let room = Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), socket);
    assert!(matches!(room.events().next().await, Some(Event::Application { .. })));
}

pub async fn a_server_may_be_silent_for_ever_if_the_application_likes<R: Runtime>(runtime: R) {
    let url = serve(|stream| be_a_room(&mut accept(stream)));
    let connector = ProtooConnector::new().keep_alive(Duration::MAX).timeout(Duration::MAX);
    let signalling = connector.connect_on(runtime.clone(), &url).await.unwrap();
    let room = Room::on(runtime, RoomConfig::default(), 1, Options::default(), signalling);
    room.join("alice", None).await.unwrap();
    room.close().await;
}

pub async fn a_server_that_closes_or_hangs_up_is_said<R: Runtime>(runtime: R) {
    let url = serve(|stream| {
        let frame = CloseFrame { code: CloseCode::from(4000), reason: "kicked".into() };
        accept(stream).close(Some(frame)).unwrap();
    });
    let room = connect(&runtime, &url).await;
    let reason = Some("code 4000, kicked".to_owned());
    let mut events = room.events();
    assert_eq!(events.next().await, Some(Event::Disconnected { error: SignallingError::Closed { reason } }));
    room.ended().await;

    let url = serve(|stream| drop(accept(stream)));
    let room = connect(&runtime, &url).await;
    room.ended().await;
    let mut events = room.events(); // asked for late, and still from the beginning
    let Some(Event::Disconnected { error }) = events.next().await else { panic!("not disconnected") };
    assert!(error.to_string().contains("closed the connection: it hung up"), "{error}");
}

pub async fn a_message_without_end_breaks_the_connection<R: Runtime>(runtime: R) {
    let url = serve(|stream| {
        let mut socket = accept(stream);
        let _ = socket.send(Message::text("x".repeat(2 << 20)));
        be_a_room(&mut socket);
    });
    let room = connect(&runtime, &url).await;
    let Some(Event::Disconnected { error }) = room.events().next().await else { panic!("not disconnected") };
    assert!(matches!(error, SignallingError::Broken(_)), "{error}");
}

fn serve_tls() -> String {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(include_bytes!("tls/cert.pem")).unwrap()],
            PrivateKeyDer::from_pem_slice(include_bytes!("tls/key.pem")).unwrap(),
        )
        .unwrap();
    let url = serve(move |mut stream| {
        let mut session = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        while session.is_handshaking() {
            if session.complete_io(&mut stream).is_err() {
                return;
            }
        }
        be_a_room(&mut accept(rustls::StreamOwned::new(session, stream)));
    });
    url.replace("ws://", "wss://")
}

pub async fn a_self_signed_certificate_is_refused_unless_any_is_accepted<R: Runtime>(runtime: R) {
    let error = error_of(&runtime, &serve_tls(), ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Tls { .. }), "{error}");

    let connector = ProtooConnector::new().accept_any_certificate(true);
    let signalling = connector.connect_on(runtime.clone(), &serve_tls()).await.unwrap();
    let room = Room::on(runtime, RoomConfig::default(), 1, Options::default(), signalling);
    room.join("alice", None).await.unwrap();
}

pub async fn tls_with_a_server_that_has_none_is_said<R: Runtime>(runtime: R) {
    let url = serve(|stream| drop(tungstenite::accept(stream)));
    let error = error_of(&runtime, &url.replace("ws://", "wss://"), ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Tls { .. }), "{error}");
}

pub async fn what_is_secret_in_the_servers_words_is_in_no_debug_output<R: Runtime>(runtime: R) {
    const SECRET: &str = "s3cretOfTheServer";
    let url = serve(|stream| {
        let mut socket = accept(stream);
        let message = json!({ "request": true, "id": 1, "method": "iceServers", "data": [{ "credential": SECRET }] });
        let mut frames = vec![0x81, message.to_string().len() as u8];
        assert!(frames[1] < 126);
        frames.extend(message.to_string().into_bytes());
        // And the beginning of another, which stays in a buffer.
        frames.extend([0x81, 100]);
        frames.extend(SECRET.as_bytes());
        socket.get_mut().write_all(&frames).unwrap();
        let _ = socket.read();
    });
    let mut signalling = ProtooConnector::new().connect_on(runtime.clone(), &url).await.unwrap();
    let message = signalling.next().await.unwrap().unwrap();
    let mut shown = format!("{signalling:?} {message:?}");
    let room = Room::on(runtime.clone(), RoomConfig::default(), 1, Options::default(), signalling);
    shown += &format!("{room:?} {:?}", room.events());
    assert!(shown.contains("iceServers") && shown.contains("***") && !shown.contains(SECRET), "{shown}");
}
