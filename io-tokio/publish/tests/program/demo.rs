//! The words of mediasoup 3's newer demo: a server that has them, in front of an embedded room that has the older.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::protoo::{Failure, Message};
use mediasoup_publish::args::Dialect;
use mediasoup_publish::embedded::{EmbeddedRoom, Room};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{Error, Message as Frame};
use tokio_tungstenite::{accept_hdr_async, connect_async};

use crate::harness::Program;
use crate::reconnect::MediaWay;

/// The server's requests have ids of their own.
const NEW_CONSUMER: u64 = 7;

/// Requests to the room that nobody waits for.
const UNAWAITED: u64 = 1 << 32;

struct Server {
    room: EmbeddedRoom,
    listener: TcpListener,
    /// Methods that are refused, with these words; or not answered.
    refused: BTreeMap<&'static str, Option<&'static str>>,
    /// The first answer is the older demo's.
    bare: AtomicBool,
    /// The way that media takes; directly if there is none.
    media: Option<Arc<MediaWay>>,
    /// What the peer has said, in order.
    heard: Mutex<Vec<Message>>,
}

impl Server {
    async fn start(refused: &[(&'static str, Option<&'static str>)]) -> Arc<Self> {
        Self::start_with(refused, None).await
    }

    async fn start_with(refused: &[(&'static str, Option<&'static str>)], media: Option<Arc<MediaWay>>) -> Arc<Self> {
        let room = Room::start_for(Dialect::V3, Vec::new()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = refused.iter().copied().collect();
        let server =
            Arc::new(Self { room, listener, refused, bare: AtomicBool::default(), media, heard: Mutex::default() });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = serving.listener.accept().await {
                let server = Arc::clone(&serving);
                // Either side ends it.
                tokio::spawn(async move { drop(server.attend(stream).await) });
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("ws://{}/?roomId=r&peerId=camera", self.listener.local_addr().unwrap())
    }

    /// The methods of what the peer asked and told, in order.
    fn methods(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let method = |message: &Message| match message {
            Message::Request { method, .. } | Message::Notification { method, .. } => Some(method.clone()),
            Message::Response { .. } => None,
        };
        heard.iter().filter_map(method).collect()
    }

    async fn attend(&self, stream: TcpStream) -> Result<(), Error> {
        let origin = format!("http://{}", self.listener.local_addr().unwrap());
        #[allow(clippy::result_large_err)] // the callback's signature
        let handshake = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            if request.headers().get("origin").is_none_or(|named| named != origin.as_str()) {
                let mut refusal = ErrorResponse::new(None);
                *refusal.status_mut() = StatusCode::FORBIDDEN;
                return Err(refusal);
            }
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("protoo"));
            Ok(response)
        };
        let mut peer = accept_hdr_async(stream, handshake).await?;
        let mut request = format!("{}&peerId=camera", self.room.ws_url).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("protoo"));
        let (mut room, _) = connect_async(request).await?;

        let mut asked = BTreeMap::new();
        loop {
            let (to_room, to_peer) = tokio::select! {
                Some(frame) = peer.next() => match frame? {
                    Frame::Text(text) => self.peer_said(Message::read(&text).unwrap(), &mut asked),
                    Frame::Close(_) => return Ok(()),
                    _ => continue,
                },
                Some(frame) = room.next() => match frame? {
                    Frame::Text(text) => (Vec::new(), self.room_said(Message::read(&text).unwrap(), &mut asked)),
                    Frame::Close(_) => return Ok(()),
                    _ => continue,
                },
                else => return Ok(()),
            };
            for message in to_room {
                room.send(Frame::text(message.to_text())).await?;
            }
            for message in to_peer {
                let mut text = message.to_text().into_bytes();
                if let Some(media) = &self.media {
                    media.exchange(&mut text);
                }
                peer.send(Frame::text(String::from_utf8(text).unwrap())).await?;
            }
        }
    }

    /// What is said to the room, and to the peer.
    fn peer_said(&self, message: Message, asked: &mut BTreeMap<u64, String>) -> (Vec<Message>, Vec<Message>) {
        self.heard.lock().unwrap().push(message.clone());
        let (id, method, mut data) = match message {
            Message::Request { id, method, data } => (id, method, data),
            Message::Notification { method, data } if method == "closeProducer" => {
                return (vec![Message::Request { id: UNAWAITED, method, data }], Vec::new());
            }
            Message::Notification { .. } | Message::Response { .. } => return Default::default(),
        };
        let refuse = |code, reason: &str| {
            let failure = Failure { code, reason: reason.to_owned() };
            (Vec::new(), vec![Message::Response { id, result: Err(failure) }])
        };
        match self.refused.get(&*method) {
            Some(Some(reason)) => return refuse(403, reason),
            Some(None) => return Default::default(),
            None => {}
        }
        match &*method {
            "createWebRtcTransport" if data["appData"]["direction"] != "producer" => {
                return refuse(400, "no direction");
            }
            "createWebRtcTransport" => data = json!({ "forceTcp": data["forceTcp"], "producing": true }),
            "produce" if data["appData"]["source"] != data["kind"] => return refuse(400, "no source"),
            // It is told, not asked.
            "closeProducer" => return refuse(400, "unknown method"),
            _ => {}
        }
        asked.insert(id, method.clone());
        (vec![Message::Request { id, method, data }], Vec::new())
    }

    /// What the room says, in the newer words.
    fn room_said(&self, message: Message, asked: &mut BTreeMap<u64, String>) -> Vec<Message> {
        match message {
            Message::Response { id, result } => {
                let Some(method) = asked.remove(&id) else { return Vec::new() };
                if method == "getRouterRtpCapabilities" && self.bare.load(Relaxed) {
                    return vec![Message::Response { id, result }];
                }
                let joined = method == "join" && result.is_ok();
                let mut messages = vec![Message::Response { id, result: result.map(|data| newer(&method, data)) }];
                if joined {
                    let (method, data) = ("newConsumer".to_owned(), json!({ "consumerId": "c" }));
                    messages.push(Message::Request { id: NEW_CONSUMER, method, data });
                }
                messages
            }
            Message::Notification { method, data } if method == "mediasoup-version" => {
                vec![Message::Notification { method: "mediasoupVersion".to_owned(), data }]
            }
            Message::Notification { method, mut data } if method == "newPeer" => {
                data["peerId"] = data["id"].take();
                vec![Message::Notification { method, data: json!({ "peer": data }) }]
            }
            message @ (Message::Request { .. } | Message::Notification { .. }) => vec![message],
        }
    }
}

fn newer(method: &str, mut data: Value) -> Value {
    let mut rename = |older: &str, newer: &str| data[newer] = data[older].take();
    match method {
        "getRouterRtpCapabilities" => return json!({ "routerRtpCapabilities": data }),
        "createWebRtcTransport" => rename("id", "transportId"),
        "produce" => rename("id", "producerId"),
        "restartIce" => return json!({ "iceParameters": data }),
        "getProducerStats" => return json!({ "stats": data }),
        _ => {}
    }
    data
}

#[tokio::test]
async fn a_server_of_the_newer_demo_is_spoken_to_in_its_words() {
    let server = Server::start(&[]).await;
    let run = Program::run(&["--seconds", "2", "--room", &server.url()]).await;
    run.assert_all_received();
    let methods: Vec<_> = server.methods().into_iter().filter(|method| method != "getProducerStats").collect();
    let order =
        ["getRouterRtpCapabilities", "createWebRtcTransport", "join", "connectWebRtcTransport", "produce", "produce"];
    assert_eq!(methods, order);
    assert!(run.events("application").any(|event| event["method"] == "mediasoupVersion"));
}

/// Descendants of the demo may have changed some of its words and not others.
#[tokio::test]
async fn the_words_that_are_named_are_spoken_whatever_the_first_answer_looks_like() {
    let server = Server::start(&[]).await;
    server.bare.store(true, Relaxed);
    let named = Program::run(&["--seconds", "1", "--dialect", "v3-ts", "--room", &server.url()]).await;
    named.assert_all_received();
    let guessed = Program::run(&["--seconds", "1", "--dialect", "v3", "--room", &server.url()]).await;
    assert!(guessed.assert_one_line().contains("createWebRtcTransport was refused: no direction"), "{guessed:#?}");
}

#[tokio::test]
async fn what_the_server_would_have_us_receive_is_refused() {
    let server = Server::start(&[]).await;
    Program::run(&["--seconds", "1", "--room", &server.url()]).await.assert_all_received();
    let heard = server.heard.lock().unwrap();
    let answer = heard.iter().find_map(|message| match message {
        Message::Response { id: NEW_CONSUMER, result } => Some(result.clone()),
        _ => None,
    });
    let failure = answer.expect("an answer").expect_err("a refusal");
    assert_eq!(failure.code, 403, "{failure:?}");
    // Or it would ask again and again: our capabilities are what it would go by.
    let join = heard.iter().find_map(|message| match message {
        Message::Request { method, data, .. } if method == "join" => Some(data.clone()),
        _ => None,
    });
    assert!(join.is_some_and(|data| data.get("rtpCapabilities").is_none()));
}

#[tokio::test]
async fn who_comes_and_goes_is_told_in_either_dialects_words() {
    let server = Server::start(&[]).await;
    let mut program = Program::start(&["--room", &server.url()]);
    program.event("joined").await;
    let other = format!("{}&peerId=other", server.room.ws_url);
    Program::run(&["--seconds", "1", "--room", &other]).await.assert_all_received();
    assert_eq!(program.event("newpeer").await["peer"], "other");
    assert_eq!(program.event("peerclosed").await["peer"], "other");
    program.interrupt().await;
    program.finish().await.assert_all_received();
}

#[tokio::test]
async fn a_server_that_does_not_count_fails_no_run() {
    let server = Server::start(&[("getProducerStats", Some("unknown method"))]).await;
    let run = Program::run(&["--seconds", "2.5", "--room", &server.url()]).await;
    assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{run:#?}");
    assert_eq!(run.encodings().len(), 4);
    assert!(run.encodings().iter().all(|encoding| encoding["room"].is_null()), "{run:#?}");
    let asked = server.methods().into_iter().filter(|method| method == "getProducerStats").count();
    assert_eq!(asked, 1, "it is not asked again");
}

/// The room has taken new credentials: with the old ones nobody gets through any more.
#[tokio::test]
async fn a_path_that_is_lost_is_looked_for_with_new_credentials() {
    let way = MediaWay::new().await;
    let server = Server::start_with(&[], Some(Arc::clone(&way))).await;
    let mut program = Program::start(&["--timeout", "30", "--room", &server.url()]);
    program.sample("high", |sample| sample["room"]["packets"].as_u64() > Some(0)).await;
    way.cut.store(true, Relaxed);
    program.line(|line| line["state"] == "disconnected").await;
    program.sample("high", |_| server.methods().iter().any(|method| method == "restartIce")).await;
    way.cut.store(false, Relaxed);
    program.line(|line| line["state"] == "connected").await;
    let before = program.sample("high", |_| true).await["room"]["packets"].as_u64();
    program.sample("high", |sample| sample["room"]["packets"].as_u64() > before).await;
    program.interrupt().await;
    let run = program.finish().await;
    assert_eq!((run.status, &run.summary()["ok"]), (Some(0), &true.into()), "{run:#?}");
}

async fn fails(refused: (&'static str, Option<&'static str>), words: &[&str]) {
    let server = Server::start(&[refused]).await;
    let run = Program::run(&["--timeout", "1", "--room", &server.url()]).await;
    let line = run.assert_one_line();
    assert!(words.iter().all(|words| line.contains(words)), "{line}\nis to say {words:?}");
}

#[tokio::test]
async fn what_the_server_refuses_or_does_not_answer_is_named() {
    for method in ["getRouterRtpCapabilities", "createWebRtcTransport", "join"] {
        let refused = format!("{method} was refused: go away");
        fails((method, Some("go away")), &["cannot join the room", &refused]).await;
        let silent = format!("did not answer {method}");
        fails((method, None), &["cannot join the room", &silent, "is this the URL of a mediasoup v3 room?"]).await;
    }
    fails(("produce", Some("go away")), &["does not take our audio", "go away"]).await;
    fails(("connectWebRtcTransport", Some("go away")), &["does not take our audio", "go away"]).await;
    fails(("produce", None), &["does not take our audio", "not answer"]).await;
}
