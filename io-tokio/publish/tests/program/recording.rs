//! What `--record` writes.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use mediasoup_producer::record::replay;
use mediasoup_publish::embedded::Room;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Program;

/// Stands before a room and keeps what that says. Gives its own URL.
async fn tapped(ws_url: &str, heard: Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/?roomId=r", listener.local_addr().unwrap());
    let host = ws_url.trim_start_matches("ws://").split('/').next().unwrap().to_owned();
    tokio::spawn(async move {
        let (visitor, _) = listener.accept().await.unwrap();
        let (mut from_room, mut to_room) = TcpStream::connect(host).await.unwrap().into_split();
        let (mut from_visitor, mut to_visitor) = visitor.into_split();
        let up = tokio::io::copy(&mut from_visitor, &mut to_room);
        let down = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from_room.read(&mut buffer).await {
                heard.lock().unwrap().extend_from_slice(&buffer[..length]);
                to_visitor.write_all(&buffer[..length]).await.unwrap();
            }
        };
        let _ = tokio::join!(up, down);
    });
    url
}

#[tokio::test]
async fn a_recorded_run_repeats_to_its_last_line_and_shows_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.jsonl");
    let room = Room::start().await.unwrap();
    let heard = Arc::default();
    let url = tapped(&room.ws_url, Arc::clone(&heard)).await;
    let mut program = Program::start(&["--room", &url, "--record", file.to_str().unwrap()]);
    program.sample("high", |sample| sample["room"]["packets"].as_u64() > Some(0)).await;
    let producers: Vec<_> = room.handle.producers().borrow().keys().cloned().collect();
    for producer in producers {
        room.handle.pause(producer.clone()).await;
        program.event("pause").await;
        room.handle.resume(producer).await;
        program.event("resume").await;
    }
    program.interrupt().await;
    let run = program.finish().await;
    run.assert_all_received();

    let recording = std::fs::read_to_string(file).unwrap();
    let replayed = replay(Instant::now(), &recording).unwrap();
    assert_eq!(replayed.difference, None);
    assert!(replayed.compared > 20, "{}", replayed.compared);
    assert_eq!(replayed.recording, recording.lines().collect::<Vec<_>>());
    for words in [r#"{"Pause""#, r#"{"Notification":{"Leave""#, r#""password":"***""#] {
        assert!(recording.contains(words), "{words}");
    }

    let heard = String::from_utf8_lossy(&heard.lock().unwrap()).into_owned();
    let (_, password) = heard.split_once(r#""password":""#).expect("the room has told its password");
    let (password, _) = password.split_once('"').unwrap();
    assert!(password.len() >= 22, "{password}");
    assert!(!recording.contains(password) && !format!("{run:?}").contains(password));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_known_at_once() {
    let run = Program::run(&["--record", "/nowhere/session.jsonl"]).await;
    let line = run.assert_one_line();
    assert!(line.contains("cannot record to /nowhere/session.jsonl") && line.contains("name a file"), "{line}");
    assert!(run.encodings().is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_is_full_is_reported_and_the_session_goes_on() {
    let run = Program::run(&["--seconds", "2", "--record", "/dev/full"]).await;
    let line = run.assert_one_line();
    assert!(line.contains("the recording /dev/full is not complete") && line.contains("space on the disk"), "{line}");
    assert_eq!(run.events("record").count(), 1);
    assert!(!run.encodings().is_empty());
    for encoding in run.encodings() {
        assert_eq!(encoding["packets"], encoding["room"]["packets"], "{encoding}");
    }
}
