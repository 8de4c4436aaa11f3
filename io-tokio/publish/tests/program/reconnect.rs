//! A room that is lost and comes back, at the same address.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mediasoup_producer::record::replay;
use mediasoup_publish::embedded::Room;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Program;

/// An address behind which rooms can be exchanged.
struct Front {
    address: String,
    room: Arc<Mutex<String>>,
}

impl Front {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let room = Arc::new(Mutex::new(String::new()));
        let target = Arc::clone(&room);
        tokio::spawn(async move {
            while let Ok((mut visitor, _)) = listener.accept().await {
                let target = target.lock().unwrap().clone();
                tokio::spawn(async move {
                    if let Ok(mut room) = TcpStream::connect(&target).await {
                        let _ = tokio::io::copy_bidirectional(&mut visitor, &mut room).await;
                    }
                });
            }
        });
        Self { address, room }
    }

    fn lead_to(&self, ws_url: &str) {
        let host = ws_url.trim_start_matches("ws://").split('/').next().unwrap();
        *self.room.lock().unwrap() = host.to_owned();
    }
}

#[tokio::test]
async fn with_reconnect_it_joins_again_and_sums_up_all_that_was_sent() {
    let front = Front::new().await;
    let first = Room::start().await.unwrap();
    front.lead_to(&first.ws_url);
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("session");
    let (url, file) = (format!("ws://{}/?roomId=r", front.address), record.to_str().unwrap());
    let mut program = Program::start(&["--reconnect", "--room", &url, "--record", file]);
    let before = program.sample("high", |sample| sample["room"]["packets"].as_u64() > Some(0)).await;

    let second = Room::start().await.unwrap();
    front.lead_to(&second.ws_url);
    first.handle.close().await;
    program.event("lost").await;
    program.event("joined").await;
    let packets = before["packets"].as_u64();
    program
        .sample("high", |sample| sample["producer"] != before["producer"] && sample["packets"].as_u64() > packets)
        .await;
    tokio::time::timeout(
        Duration::from_secs(30),
        second.handle.producers().wait_for(|producers| producers.values().any(|view| view.layers.len() == 3)),
    )
    .await
    .expect("in time")
    .expect("the room is open");

    program.interrupt().await;
    let run = program.finish().await;
    assert_eq!((run.status, &run.summary()["ok"]), (Some(0), &true.into()), "{run:#?}");
    assert_eq!(run.events("lost").count(), 1);
    for stay in [file.to_owned(), format!("{file}.2")] {
        let recording = std::fs::read_to_string(stay).unwrap();
        assert_eq!(replay(Instant::now(), &recording).unwrap().difference, None);
    }
}

#[tokio::test]
async fn a_room_that_was_never_there_is_not_waited_for() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let run = Program::run(&["--reconnect", "--room", &format!("ws://{closed}/")]).await;
    assert!(run.assert_one_line().contains("is the server running"));
}
