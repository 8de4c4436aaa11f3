//! protoo over real WebSockets, on servers good and bad.

mod common;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use common::settings;
use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::protocol::Refusal;
use mediasoup_producer::{OperationError, RoomConfig};
use mediasoup_producer_tokio::{Error, Event, ProtooConnector, Room, SignallingError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Runs a server for one connection; the URL to reach it.
async fn serve<F: Future<Output = ()> + Send + 'static>(
    server: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        server(stream).await;
    });
    format!("ws://{address}/?roomId=lobby&peerName=alice")
}

/// Takes up the WebSocket as protoo has it.
#[allow(clippy::result_large_err)]
async fn accept<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    let protocol = |request: &Request, mut response: Response| {
        assert_eq!(request.uri(), "/?roomId=lobby&peerName=alice");
        assert_eq!(request.headers()["sec-websocket-protocol"], "protoo");
        response.headers_mut().insert("sec-websocket-protocol", "protoo".parse().unwrap());
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(stream, protocol).await.unwrap()
}

/// Answers what a peer asks until it goes.
async fn be_a_room<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>) {
    while let Some(Ok(message)) = socket.next().await {
        let Message::Text(text) = message else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        let answer = match message["data"]["method"].as_str() {
            Some("queryRoom") => json!({ "response": true, "id": message["id"], "ok": true, "data": settings() }),
            Some("join") if message["data"]["peerName"] == "twin" => json!({ "response": true, "id": message["id"],
                "ok": false, "errorCode": 500, "errorReason": "Error: duplicated Peer [peerName:\"twin\"]" }),
            Some("join") => json!({ "response": true, "id": message["id"], "ok": true, "data": { "peers": [] } }),
            _ => continue,
        };
        socket.send(Message::text(answer.to_string())).await.unwrap();
    }
}

async fn error_of(url: &str, connector: ProtooConnector) -> SignallingError {
    connector.connect(url).await.expect_err("connected")
}

#[tokio::test]
async fn a_room_is_joined_over_websocket() {
    let url = serve(async |stream| be_a_room(&mut accept(stream).await).await).await;
    let room = Room::connect(&url, RoomConfig::default()).await.unwrap();
    let twin = room.join("twin", None).await;
    let refusal = Refusal::new("Error: duplicated Peer [peerName:\"twin\"]");
    assert_eq!(twin, Err(Error::Operation(OperationError::Refused(refusal))));
    room.join("alice", None).await.unwrap();
    room.close().await;
}

#[tokio::test]
async fn the_goodbye_arrives_before_the_connection_ends() {
    let (said, mut hear) = tokio::sync::mpsc::unbounded_channel();
    let url = serve(async move |stream| {
        let mut socket = accept(stream).await;
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = &message else {
                said.send(format!("{message:?}").split('(').next().unwrap().to_owned()).unwrap();
                continue;
            };
            let message: Value = serde_json::from_str(text).unwrap();
            said.send(message["data"]["method"].as_str().unwrap().to_owned()).unwrap();
            let data =
                if message["data"]["method"] == "queryRoom" { json!(settings()) } else { json!({ "peers": [] }) };
            let answer = json!({ "response": true, "id": message["id"], "ok": true, "data": data });
            let _ = socket.send(Message::text(answer.to_string())).await;
        }
    })
    .await;
    let room = Room::connect(&url, RoomConfig::default()).await.unwrap();
    room.join("alice", None).await.unwrap();
    drop(room);
    let mut all = Vec::new();
    while let Some(word) = hear.recv().await {
        all.push(word);
    }
    assert_eq!(all, ["queryRoom", "join", "leave", "Close"]);
}

#[tokio::test]
async fn the_servers_own_questions_are_answered_and_handed_on() {
    let url = serve(async |stream| {
        let mut socket = accept(stream).await;
        let ask = json!({ "request": true, "id": 7, "method": "active-speaker", "data": { "peerName": "bob" } });
        socket.send(Message::text("not even JSON")).await.unwrap();
        socket.send(Message::binary(vec![1, 2, 3])).await.unwrap();
        socket.send(Message::Ping(vec![1].into())).await.unwrap();
        socket.send(Message::text(ask.to_string())).await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < 2 {
            heard.push(socket.next().await.unwrap().unwrap());
        }
        assert!(heard.contains(&Message::Pong(vec![1].into())), "{heard:?}");
        let answer = heard.iter().find_map(|message| message.to_text().ok().filter(|text| text.starts_with('{')));
        let answer: Value = serde_json::from_str(answer.unwrap()).unwrap();
        assert_eq!((&answer["id"], &answer["ok"]), (&json!(7), &json!(true)));
        let done = json!({ "notification": true, "method": "done", "data": null });
        socket.send(Message::text(done.to_string())).await.unwrap();
        be_a_room(&mut socket).await;
    })
    .await;
    let room = Room::connect(&url, RoomConfig::default()).await.unwrap();
    let mut events = room.events();
    let data = json!({ "peerName": "bob" });
    assert_eq!(events.next().await, Some(Event::Application { method: "active-speaker".to_owned(), data }));
    assert!(matches!(events.next().await, Some(Event::Application { method, .. }) if method == "done"));
    assert_eq!(room.io_stats().messages_unreadable, 2);
}

#[tokio::test]
async fn nobody_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = error_of(&format!("ws://{host}/"), ProtooConnector::new()).await;
    assert!(matches!(&error, SignallingError::Unreachable { host: at, .. } if *at == host), "{error}");
    let error = error_of("ws://no-such-host.invalid/", ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_url_that_is_none_is_said() {
    for url in ["", "lobby", "http://127.0.0.1/", "ws://", "ws:///path", "wss://:443/", "ws://a b/"] {
        let error = error_of(url, ProtooConnector::new()).await;
        assert!(matches!(error, SignallingError::InvalidUrl { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_refused_upgrade_is_said() {
    let url = serve(async |mut stream| {
        let mut request = [0; 2048];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    assert_eq!(error_of(&url, ProtooConnector::new()).await, SignallingError::Refused { status: 403 });
}

#[tokio::test]
async fn another_protocol_than_protoo_is_said() {
    let url = serve(async |stream| drop(tokio_tungstenite::accept_async(stream).await)).await;
    assert_eq!(error_of(&url, ProtooConnector::new()).await, SignallingError::NotProtoo);
    let url = serve(async |mut stream| {
        let mut request = [0; 2048];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap();
    })
    .await;
    let error = error_of(&url, ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Broken(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_take_up_the_connection_is_given_up() {
    let url = serve(async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let timeout = Duration::from_secs(3);
    let error = error_of(&url, ProtooConnector::new().timeout(timeout)).await;
    assert_eq!(error, SignallingError::ConnectTimeout(timeout));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_given_up() {
    let url = serve(async |stream| {
        let socket = accept(stream).await;
        std::future::pending::<()>().await;
        drop(socket);
    })
    .await;
    let keep_alive = Duration::from_secs(7);
    let socket = ProtooConnector::new().keep_alive(keep_alive).connect(&url).await.unwrap();
    let room = Room::new(RoomConfig::default(), 1, socket);
    let error = SignallingError::Silent(2 * keep_alive);
    assert_eq!(room.events().next().await, Some(Event::Disconnected { error }));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_server_that_answers_pings_is_kept() {
    let url = serve(async |stream| {
        let mut socket = accept(stream).await;
        let mut pings = 0;
        while pings < 5 {
            pings += u32::from(socket.next().await.unwrap().unwrap().is_ping());
        }
        let done = json!({ "notification": true, "method": "done", "data": null });
        socket.send(Message::text(done.to_string())).await.unwrap();
        be_a_room(&mut socket).await;
    })
    .await;
    let socket = ProtooConnector::new().keep_alive(Duration::from_secs(7)).connect(&url).await.unwrap();
    let room = Room::new(RoomConfig::default(), 1, socket);
    assert!(matches!(room.events().next().await, Some(Event::Application { .. })));
}

#[tokio::test]
async fn a_server_may_be_silent_for_ever_if_the_application_likes() {
    let url = serve(async |stream| be_a_room(&mut accept(stream).await).await).await;
    let connector = ProtooConnector::new().keep_alive(Duration::MAX).timeout(Duration::MAX);
    let room = Room::new(RoomConfig::default(), 1, connector.connect(&url).await.unwrap());
    room.join("alice", None).await.unwrap();
    room.close().await;
}

#[tokio::test]
async fn a_server_that_closes_or_hangs_up_is_said() {
    let url = serve(async |stream| {
        let frame = CloseFrame { code: CloseCode::from(4000), reason: "kicked".into() };
        accept(stream).await.close(Some(frame)).await.unwrap();
    })
    .await;
    let room = Room::connect(&url, RoomConfig::default()).await.unwrap();
    let reason = Some("code 4000, kicked".to_owned());
    let mut events = room.events();
    assert_eq!(events.next().await, Some(Event::Disconnected { error: SignallingError::Closed { reason } }));
    room.ended().await;

    let url = serve(async |stream| drop(accept(stream).await)).await;
    let room = Room::connect(&url, RoomConfig::default()).await.unwrap();
    room.ended().await;
    let mut events = room.events(); // asked for late, and still from the beginning
    let Some(Event::Disconnected { error }) = events.next().await else { panic!("not disconnected") };
    assert!(error.to_string().contains("closed the connection: it hung up"), "{error}");
}

#[tokio::test]
async fn a_message_without_end_breaks_the_connection() {
    let url = serve(async |stream| {
        let mut socket = accept(stream).await;
        let _ = socket.send(Message::text("x".repeat(2 << 20))).await;
        be_a_room(&mut socket).await;
    })
    .await;
    let room = Room::connect(&url, RoomConfig::default()).await.unwrap();
    let Some(Event::Disconnected { error }) = room.events().next().await else { panic!("not disconnected") };
    assert!(matches!(error, SignallingError::Broken(_)), "{error}");
}

async fn serve_tls() -> String {
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
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let url = serve(async move |stream| {
        if let Ok(stream) = acceptor.accept(stream).await {
            be_a_room(&mut accept(stream).await).await;
        }
    })
    .await;
    url.replace("ws://", "wss://")
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused_unless_any_is_accepted() {
    let error = error_of(&serve_tls().await, ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Tls { .. }), "{error}");

    let connector = ProtooConnector::new().accept_any_certificate(true);
    let room = Room::new(RoomConfig::default(), 1, connector.connect(&serve_tls().await).await.unwrap());
    room.join("alice", None).await.unwrap();
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_is_said() {
    let url = serve(async |stream| drop(tokio_tungstenite::accept_async(stream).await)).await;
    let error = error_of(&url.replace("ws://", "wss://"), ProtooConnector::new()).await;
    assert!(matches!(error, SignallingError::Tls { .. }), "{error}");
}

#[tokio::test]
async fn what_is_secret_in_the_servers_words_is_in_no_debug_output() {
    const SECRET: &str = "s3cretOfTheServer";
    let url = serve(async |stream| {
        let mut socket = accept(stream).await;
        let message = json!({ "request": true, "id": 1, "method": "iceServers", "data": [{ "credential": SECRET }] });
        let mut frames = vec![0x81, message.to_string().len() as u8];
        assert!(frames[1] < 126);
        frames.extend(message.to_string().into_bytes());
        // And the beginning of another, which stays in a buffer.
        frames.extend([0x81, 100]);
        frames.extend(SECRET.as_bytes());
        socket.get_mut().write_all(&frames).await.unwrap();
        let _ = socket.next().await;
    })
    .await;
    let mut signalling = ProtooConnector::new().connect(&url).await.unwrap();
    let message = signalling.next().await.unwrap().unwrap();
    let mut shown = format!("{signalling:?} {message:?}");
    let room = Room::new(RoomConfig::default(), 1, signalling);
    shown += &format!("{room:?} {:?}", room.events());
    assert!(shown.contains("iceServers") && shown.contains("***") && !shown.contains(SECRET), "{shown}");
}
