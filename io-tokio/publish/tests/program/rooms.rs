//! A room elsewhere: the test's own, whose server side it can see and command.

use std::collections::BTreeMap;
use std::time::Duration;

use mediasoup_producer::MediaKind;
use mediasoup_producer::v2::Profile;
use mediasoup_publish::args::Dialect;
use mediasoup_publish::embedded::{EmbeddedRoom, Handle, ProducerKey, ProducerView, Room};
use tokio::time::timeout;

use crate::harness::Program;

const PATIENCE: Duration = Duration::from_secs(30);

const BOTH: [Dialect; 2] = [Dialect::V2, Dialect::V3];

pub(crate) async fn room(dialect: Dialect) -> EmbeddedRoom {
    Room::start_for(dialect, Vec::new()).await.expect("a room")
}

/// The room's URL for this peer.
pub(crate) fn url(room: &EmbeddedRoom, dialect: Dialect, peer: &str) -> String {
    let key = match dialect {
        Dialect::V2 => "peerName",
        Dialect::V3 => "peerId",
    };
    format!("{}&{key}={peer}", room.ws_url)
}

/// Waits until the room's producers are as wanted.
pub(crate) async fn until(handle: &Handle, wanted: impl FnMut(&BTreeMap<ProducerKey, ProducerView>) -> bool) {
    let mut producers = handle.producers();
    timeout(PATIENCE, producers.wait_for(wanted)).await.expect("in time").expect("the room is open");
}

fn video(handle: &Handle) -> ProducerKey {
    let producers = handle.producers();
    let found = producers.borrow().iter().find(|(_, view)| view.kind == MediaKind::Video).map(|(key, _)| key.clone());
    found.expect("video")
}

#[tokio::test]
async fn an_interrupted_run_closes_its_producers_and_leaves() {
    for dialect in BOTH {
        let room = room(dialect).await;
        let mut program = Program::start(&["--room", &url(&room, dialect, "camera")]);
        program.sample("high", |sample| sample["room"]["packets"].as_u64() > Some(0)).await;
        until(&room.handle, |producers| producers.len() == 2 && producers.keys().all(|key| &*key.peer == "camera"))
            .await;
        program.interrupt().await;
        until(&room.handle, BTreeMap::is_empty).await;
        program.finish().await.assert_all_received();
    }
}

#[tokio::test]
async fn what_the_room_pauses_stays_silent_until_it_resumes_with_a_key_frame() {
    let room = room(Dialect::V2).await;
    let mut program = Program::start(&["--room", &room.ws_url]);
    program.sample("high", |_| true).await;
    let key = video(&room.handle);

    room.handle.pause(key.clone()).await;
    assert_eq!(program.event("pause").await["originator"], "remote");
    // Frames that were under way are in the first sample.
    let frames = |line: &serde_json::Value| line["frames"].as_u64().unwrap();
    program.sample("high", |_| true).await;
    let first = program.sample("high", |_| true).await;
    let second = program.sample("high", |_| true).await;
    assert_eq!(frames(&first), frames(&second));

    let mut packets = room.handle.packets();
    room.handle.resume(key.clone()).await;
    assert_eq!(program.event("resume").await["originator"], "remote");
    let mut first = BTreeMap::new();
    while first.len() < 3 {
        let packet = timeout(PATIENCE, packets.recv()).await.expect("in time").expect("a fast reader");
        if packet.producer == key {
            first.entry(packet.profile).or_insert(packet);
        }
    }
    for (profile, packet) in first {
        // A descriptor of 4 bytes, then the frame, the lowest bit of which is 0 in a key frame (RFC 7741 section 4.3).
        assert_eq!(packet.payload[4] & 1, 0, "{profile} goes on with a key frame");
    }
    program.interrupt().await;
    let run = program.finish().await;
    assert_eq!(run.summary()["ok"], true);
}

#[tokio::test]
async fn key_frames_wanted_by_the_room_are_told_by_layer() {
    for dialect in BOTH {
        let room = room(dialect).await;
        let mut program = Program::start(&["--room", &url(&room, dialect, "camera")]);
        program.sample("high", |sample| sample["t"].as_f64() > Some(1.5)).await;
        room.handle.request_key_frame(video(&room.handle), Profile::Medium).await;
        assert_eq!(program.event("keyframerequest").await["profile"], "medium");
        program.sample("medium", |sample| sample["plis"].as_u64() > Some(0)).await;
        program.interrupt().await;
        program.finish().await.assert_all_received();
    }
}

#[tokio::test]
async fn a_room_that_closes_ends_the_run() {
    for dialect in BOTH {
        let room = room(dialect).await;
        let mut program = Program::start(&["--room", &url(&room, dialect, "camera")]);
        program.sample("high", |_| true).await;
        room.handle.close().await;
        let run = program.finish().await;
        let line = run.assert_one_line();
        assert!(line.contains("closed") && line.contains("--reconnect"), "{line}");
        assert_eq!(run.encodings().len(), 4, "what was sent is summed up all the same");
    }
}

#[tokio::test]
async fn a_room_that_refuses_says_why() {
    let room = room(Dialect::V2).await;
    let url = url(&room, Dialect::V2, "twin");
    let mut first = Program::start(&["--room", &url]);
    first.event("joined").await;
    let second = Program::run(&["--room", &url]).await;
    let line = second.assert_one_line();
    assert!(line.contains("duplicated Peer") && line.contains("another peerName"), "{line}");
    first.interrupt().await;
    first.finish().await;
}

#[tokio::test]
async fn both_dtls_roles_connect() {
    for dialect in ["v2", "v3"] {
        let arguments = |role| ["--embedded", dialect, "--seconds", "1", "--dtls-role", role];
        let (client, server) = (arguments("client"), arguments("server"));
        let (client, server) = tokio::join!(Program::run(&client), Program::run(&server));
        client.assert_all_received();
        server.assert_all_received();
    }
}
