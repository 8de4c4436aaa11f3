//! The same script through the runtime and by hand.

use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

use futures_util::FutureExt;
use mediasoup_producer::v2::protocol::{Refusal, ToServer};
use mediasoup_producer::v2::{Event as RoomEvent, Input, Output, ProducerOptions, Room as ByHand, RoomConfig};
use mediasoup_producer::{MediaKind, ProducerId, Track, TransportId};
use serde_json::{Value, json};

use super::channel::{channel, settings};
use crate::options::Options;
use crate::runtime::Runtime;
use crate::v2::{Event, FromServer, Room};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Act {
    Join,
    Transport,
    Producer(MediaKind),
    /// The producer made so far of this number, over the first transport.
    Send(usize),
    Pause(usize),
    Resume(usize),
    Close(usize),
    /// The server answers its oldest open request.
    Answer,
    /// Or refuses it.
    Refuse(&'static str),
    /// It says something.
    Says(Value),
    /// It pauses this producer.
    Pauses(usize),
    Leave,
}

fn script() -> Vec<Act> {
    use Act::*;
    let peer = |method: &str| json!({ "method": method, "target": "peer", "notification": true, "name": "bob" });
    vec![
        Join,
        Answer,
        Refuse("Error: duplicated Peer [peerName:\"alice\"]"),
        Join,
        Answer,
        Answer,
        Says(json!({ "method": "newPeer", "target": "room", "notification": true, "name": "bob" })),
        Says(peer("newConsumer")),
        Transport,
        Producer(MediaKind::Audio),
        Producer(MediaKind::Video),
        Producer(MediaKind::Audio),
        Send(0),
        Send(1),
        Pause(0),
        Pauses(2),
        Refuse("Error: no more ports"),
        Answer,
        Close(0),
        Resume(1),
        Send(2),
        Leave,
        Join,
        Says(json!({ "method": "closed", "target": "room", "notification": true })),
    ]
}

/// What was said after one act, in order.
#[derive(Debug, Default, PartialEq)]
struct Said {
    to_server: Vec<Value>,
    to_application: Vec<String>,
}

/// What is random in it (the fingerprint) is left out.
fn message(message: &ToServer) -> Value {
    let mut json = match message {
        ToServer::Request { request, .. } => request.to_json(),
        ToServer::Notification(notification) => notification.to_json(),
    };
    if let Some(message) = json.as_object_mut() {
        message.remove("dtlsParameters");
    }
    if let Some(rtcp) = json.pointer_mut("/rtpParameters/rtcp").and_then(Value::as_object_mut) {
        rtcp.remove("cname");
    }
    json
}

fn answer(method: &str) -> Value {
    match method {
        "queryRoom" => json!(settings()),
        "join" => json!({ "peers": [] }),
        _ => Value::Null,
    }
}

fn paused(id: ProducerId) -> Value {
    json!({ "method": "producerPaused", "target": "peer", "notification": true, "peerName": "alice", "id": id.value() })
}

fn by_hand() -> Vec<Said> {
    let mut room = ByHand::new(RoomConfig::default(), 7);
    let mut all = Vec::new();
    let (mut open, mut transports, mut producers) = (Vec::new(), Vec::new(), Vec::new());
    let now = Instant::now();
    for act in script() {
        let input = match act {
            Act::Join => {
                let _ = room.join(now, "alice", None);
                None
            }
            Act::Transport => {
                transports.extend(room.create_transport(now, None));
                None
            }
            Act::Producer(kind) => {
                producers.extend(room.create_producer(
                    now,
                    Track::new(kind, "t", ""),
                    ProducerOptions::default(),
                    None,
                ));
                None
            }
            Act::Send(n) => {
                let transport: TransportId = transports[0];
                room.producer(producers[n]).map(|mut producer| producer.send(now, transport));
                None
            }
            Act::Pause(n) => {
                room.producer(producers[n]).map(|mut producer| producer.pause(now, None));
                None
            }
            Act::Resume(n) => {
                room.producer(producers[n]).map(|mut producer| producer.resume(now, None));
                None
            }
            Act::Close(n) => {
                room.producer(producers[n]).map(|producer| producer.close(now, None));
                None
            }
            Act::Answer | Act::Refuse(_) if open.is_empty() => None,
            Act::Answer => {
                let (id, method) = open.remove(0);
                Some(Input::Response { id, result: Ok(answer(method)) })
            }
            Act::Refuse(words) => {
                let (id, _) = open.remove(0);
                Some(Input::Response { id, result: Err(Refusal::new(words)) })
            }
            Act::Says(said) => Some(Input::Notification(said)),
            Act::Pauses(n) => Some(Input::Notification(paused(producers[n]))),
            Act::Leave => {
                let _ = room.leave(now, None);
                None
            }
        };
        if let Some(input) = input {
            let _ = room.handle_input(now, input);
        }
        let mut said = Said::default();
        while let Some(output) = room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    open.push((id, request.method()));
                    said.to_server.push(message(&ToServer::Request { id, request }));
                }
                Output::Notification(notification) => {
                    said.to_server.push(message(&ToServer::Notification(notification)));
                }
                Output::Event(RoomEvent::Settled { .. }) => {}
                Output::Event(event) => said.to_application.push(format!("{event:?}")),
                _ => {}
            }
        }
        all.push(said);
    }
    all
}

/// Waits for as much as is `expected` after each act; what is too much is found after the next.
async fn through<R: Runtime>(runtime: R, expected: &[Said]) -> Vec<Said> {
    let (signalling, mut server) = channel(64);
    let room = Room::on(runtime, RoomConfig::default(), 7, Options::default(), signalling);
    let mut heard = room.events();
    let mut all = Vec::new();
    let (mut open, mut transports, mut producers) = (Vec::new(), Vec::new(), Vec::new());
    // What nobody waits for goes on.
    let begin = |operation: Pin<Box<dyn Future<Output = ()> + Send + '_>>| _ = operation.now_or_never();
    for (n, (act, expected)) in script().into_iter().zip(expected).enumerate() {
        match act {
            Act::Join => begin(Box::pin(room.join("alice", None).map(drop))),
            Act::Transport => transports.extend(room.create_transport(None)),
            Act::Producer(kind) => {
                producers.extend(room.create_producer(Track::new(kind, "t", ""), ProducerOptions::default(), None));
            }
            Act::Send(n) => begin(Box::pin(producers[n].send(&transports[0]).map(drop))),
            Act::Pause(n) => drop(producers[n].pause(None)),
            Act::Resume(n) => drop(producers[n].resume(None)),
            Act::Close(n) => drop(producers[n].close(None)),
            Act::Answer | Act::Refuse(_) if open.is_empty() => {}
            Act::Answer => {
                let (id, method) = open.remove(0);
                server.say(FromServer::Response { id, result: Ok(answer(method)) }).await;
            }
            Act::Refuse(words) => {
                let (id, _) = open.remove(0);
                server.say(FromServer::Response { id, result: Err(Refusal::new(words)) }).await;
            }
            Act::Says(said) => server.say(FromServer::Notification(said)).await,
            Act::Pauses(n) => server.say(FromServer::Notification(paused(producers[n].id()))).await,
            Act::Leave => drop(room.leave(None)),
        }
        // The loop has heard what the server said when it hands on a mark.
        server.say(FromServer::Application { method: "mark".to_owned(), data: json!(n) }).await;
        let (mut said, mut marked) = (Said::default(), false);
        while !marked || said.to_application.len() < expected.to_application.len() {
            match heard.next().await.unwrap() {
                Event::Application { .. } => marked = true,
                Event::Room(event) => said.to_application.push(format!("{event:?}")),
                event => panic!("{event:?}"),
            }
        }
        while said.to_server.len() < expected.to_server.len() {
            let next = server.next().await.unwrap();
            said.to_server.push(message(&next));
            if let ToServer::Request { id, request } = next {
                open.push((id, request.method()));
            }
        }
        all.push(said);
    }
    all
}

pub async fn the_same_script_gives_the_same_outputs_as_by_hand<R: Runtime>(runtime: R) {
    let expected = by_hand();
    let messages: usize = expected.iter().map(|said| said.to_server.len()).sum();
    let events: usize = expected.iter().map(|said| said.to_application.len()).sum();
    assert!(messages > 8 && events > 8, "{expected:#?}");
    for (act, (said, expected)) in through(runtime, &expected).await.into_iter().zip(expected).enumerate() {
        assert_eq!(said, expected, "act {act}: {:?}", script()[act]);
    }
}
