//! The embedded room's WebSocket: who is let in, and who is shut out again.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::protoo::Message as Protoo;
use mediasoup_publish::args::Dialect;
use mediasoup_publish::embedded::{EmbeddedRoom, Room};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PATIENCE: Duration = Duration::from_secs(30);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Knocks, from a script of this web page if one is named. An error is the HTTP status.
async fn knock(room: &EmbeddedRoom, origin: Option<&str>) -> Result<Socket, u16> {
    let mut request = room.ws_url.as_str().into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("protoo"));
    if let Some(origin) = origin {
        request.headers_mut().insert("origin", origin.parse().unwrap());
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// Any page in a browser on this machine can open a WebSocket to any port, and see the picture of who publishes.
#[tokio::test]
async fn web_pages_are_not_let_in_unless_named() {
    let room = Room::start().await.unwrap();
    assert!(knock(&room, None).await.is_ok(), "a program");
    for origin in ["https://evil.example", "http://127.0.0.1:3080", "null"] {
        assert_eq!(knock(&room, Some(origin)).await.err(), Some(403), "{origin}");
    }

    let room = Room::start_for(Dialect::V2, vec!["http://localhost:8080".to_owned()]).await.unwrap();
    assert!(knock(&room, None).await.is_ok());
    assert!(knock(&room, Some("http://localhost:8080")).await.is_ok());
    for origin in ["http://localhost", "http://localhost:80801", "https://localhost:8080", "https://evil.example"] {
        assert_eq!(knock(&room, Some(origin)).await.err(), Some(403), "{origin}");
    }
}

/// Asks, and reads on to the answer: what it is, or the words of the refusal.
async fn ask(socket: &mut Socket, id: u64, method: &str, data: Value) -> Result<Value, String> {
    let request = Protoo::Request { id, method: method.to_owned(), data };
    socket.send(Message::text(request.to_text())).await.unwrap();
    loop {
        let message = timeout(PATIENCE, socket.next()).await.expect("in time").expect("it is open").unwrap();
        if let Protoo::Response { id: answered, result } = Protoo::read(message.to_text().unwrap()).unwrap() {
            assert_eq!(answered, id);
            return result.map_err(|failure| failure.reason);
        }
    }
}

#[tokio::test]
async fn a_peer_of_a_v3_room_names_itself_joins_before_it_produces_and_has_only_what_is_its_own() {
    let mut room = Room::start_for(Dialect::V3, Vec::new()).await.unwrap();
    let mut nameless = knock(&room, None).await.unwrap();
    let end = timeout(PATIENCE, nameless.next()).await.expect("in time");
    assert!(matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");

    room.ws_url += "&peerId=";
    let url = room.ws_url.clone();
    let mut peers = Vec::new();
    for peer in ["one", "two"] {
        room.ws_url = format!("{url}{peer}");
        // A page that the room itself would have served, as clients of the demo pose.
        let origin = room.ws_url.split("/?").next().unwrap().replace("ws://", "http://");
        peers.push(knock(&room, Some(&origin)).await.unwrap());
    }
    let [one, two] = &mut peers[..] else { unreachable!("there are two") };
    let transport = ask(one, 1, "createWebRtcTransport", json!({})).await.unwrap()["id"].take();
    let parameters = json!({ "codecs": [], "encodings": [] });
    let produce = json!({ "transportId": transport, "kind": "audio", "rtpParameters": parameters });
    let refused = ask(one, 2, "produce", produce.clone()).await.unwrap_err();
    assert!(refused.contains("not yet joined"), "{refused}");
    ask(two, 1, "join", json!({ "displayName": "two" })).await.unwrap();
    for (method, data) in [
        ("produce", produce),
        ("restartIce", json!({ "transportId": transport })),
        ("closeProducer", json!({ "producerId": "p" })),
        ("getProducerStats", json!({ "producerId": "p" })),
    ] {
        let refused = ask(two, 2, method, data).await.unwrap_err();
        assert!(refused.contains("not found"), "{method}: {refused}");
    }
    let joined = ask(one, 3, "join", json!({ "displayName": "one" })).await.unwrap();
    assert_eq!(joined["peers"][0]["id"], "two");
}

#[tokio::test]
async fn a_peer_that_never_reads_gives_its_place_to_another() {
    let room = Room::start().await.unwrap();
    let mut places = Vec::new();
    let refused = loop {
        match knock(&room, None).await {
            Ok(socket) => places.push(socket),
            Err(status) => break status,
        }
        assert!(places.len() < 1000, "there is a bound");
    };
    assert_eq!((refused, places.len()), (503, 64));

    // It asks for more than the buffers between it and the room hold.
    let mut deaf = places.pop().unwrap();
    let shut_out = async {
        for id in 0.. {
            let request = json!({
                "request": true, "id": id, "method": "mediasoup-request",
                "data": { "method": "queryRoom", "target": "room" },
            });
            if deaf.send(Message::text(request.to_string())).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, shut_out).await.expect("in time");
    let let_in = async { while knock(&room, None).await.is_err() {} };
    timeout(PATIENCE, let_in).await.expect("its place is free");
}
