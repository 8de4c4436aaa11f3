//! A room that is lost and comes back, at the same address.

use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mediasoup_producer::record::replay;
use mediasoup_publish::embedded::Room;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::harness::Program;

/// An address behind which rooms can be exchanged.
pub(crate) struct Front {
    pub(crate) address: String,
    room: Arc<Mutex<String>>,
}

impl Front {
    pub(crate) async fn new() -> Self {
        Self::with_media(None).await
    }

    async fn with_media(media: Option<Arc<MediaWay>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let room = Arc::new(Mutex::new(String::new()));
        let target = Arc::clone(&room);
        tokio::spawn(async move {
            while let Ok((mut visitor, _)) = listener.accept().await {
                let (target, media) = (target.lock().unwrap().clone(), media.clone());
                tokio::spawn(async move {
                    let Ok(mut room) = TcpStream::connect(&target).await else { return };
                    let (mut from_visitor, mut to_visitor) = visitor.split();
                    let (mut from_room, mut to_room) = room.split();
                    let down = async {
                        let mut buffer = vec![0; 65_536];
                        while let Ok(length @ 1..) = from_room.read(&mut buffer).await {
                            if let Some(media) = &media {
                                media.exchange(&mut buffer[..length]);
                            }
                            to_visitor.write_all(&buffer[..length]).await?;
                        }
                        std::io::Result::Ok(())
                    };
                    // Either end ends both.
                    tokio::select! {
                        _ = tokio::io::copy(&mut from_visitor, &mut to_room) => {}
                        _ = down => {}
                    }
                });
            }
        });
        Self { address, room }
    }

    pub(crate) fn lead_to(&self, ws_url: &str) {
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

/// A way to the room for the media, too. Candidates get its port on their way.
pub(crate) struct MediaWay {
    /// Towards the program, and towards the room.
    inner: UdpSocket,
    outer: UdpSocket,
    room_port: AtomicU16,
    /// Answers to DTLS in the room's place.
    refuses: AtomicBool,
    /// Nothing gets through.
    pub(crate) cut: AtomicBool,
}

impl MediaWay {
    pub(crate) async fn new() -> Arc<Self> {
        let socket = || UdpSocket::bind("127.0.0.1:0");
        let (inner, outer) = (socket().await.unwrap(), socket().await.unwrap());
        let (refuses, cut) = (AtomicBool::new(false), AtomicBool::new(false));
        let way = Arc::new(Self { inner, outer, room_port: AtomicU16::new(0), refuses, cut });
        tokio::spawn(Arc::clone(&way).carry());
        way
    }

    async fn carry(self: Arc<Self>) {
        // A fatal alert in a record of its own (RFC 6347 section 4.1, RFC 5246 section 7.2): internal_error.
        const ALERT: [u8; 15] = [21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 80];
        let (mut up, mut down) = ([0; 2048], [0; 2048]);
        let mut program = None;
        loop {
            tokio::select! {
                Ok((length, from)) = self.inner.recv_from(&mut up) => {
                    program = Some(from);
                    if self.cut.load(Relaxed) {
                        continue;
                    }
                    if self.refuses.load(Relaxed) && (20..64).contains(&up[0]) {
                        self.inner.send_to(&ALERT, from).await.unwrap();
                        continue;
                    }
                    let room = ("127.0.0.1", self.room_port.load(Relaxed));
                    let _ = self.outer.send_to(&up[..length], room).await;
                }
                Ok((length, _)) = self.outer.recv_from(&mut down) => {
                    if let Some(program) = program.filter(|_| !self.cut.load(Relaxed)) {
                        let _ = self.inner.send_to(&down[..length], program).await;
                    }
                }
            }
        }
    }

    /// Puts our port into what the room says. Both have five digits, so that no length changes.
    pub(crate) fn exchange(&self, text: &mut [u8]) {
        const FIELD: &[u8] = b"\"port\":";
        let Some(at) = text.windows(FIELD.len()).position(|part| part == FIELD).map(|at| at + FIELD.len()) else {
            return;
        };
        let ours = self.inner.local_addr().unwrap().port().to_string();
        let digits = &mut text[at..at + ours.len()];
        self.room_port.store(std::str::from_utf8(digits).unwrap().parse().unwrap(), Relaxed);
        digits.copy_from_slice(ours.as_bytes());
    }
}

/// A server that is on its way down or up ends handshakes that it would take a moment later.
#[tokio::test]
async fn a_handshake_that_the_server_ends_is_tried_again() {
    let way = MediaWay::new().await;
    let front = Front::with_media(Some(Arc::clone(&way))).await;
    let first = Room::start().await.unwrap();
    front.lead_to(&first.ws_url);
    let url = format!("ws://{}/?roomId=r", front.address);
    let mut program = Program::start(&["--reconnect", "--room", &url]);
    program.sample("high", |sample| sample["room"]["packets"].as_u64() > Some(0)).await;

    let second = Room::start().await.unwrap();
    front.lead_to(&second.ws_url);
    way.refuses.store(true, Relaxed);
    first.handle.close().await;
    program.event("lost").await;
    let error = program.event("lost").await["error"].as_str().unwrap().to_owned();
    assert!(error.contains("internal_error"), "{error}");

    way.refuses.store(false, Relaxed);
    program.event("joined").await;
    program.line(|line| line["state"] == "connected").await;
    program.interrupt().await;
    let run = program.finish().await;
    assert_eq!((run.status, &run.summary()["ok"]), (Some(0), &true.into()), "{run:#?}");
}

#[tokio::test]
async fn a_room_that_was_never_there_is_not_waited_for() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let run = Program::run(&["--reconnect", "--room", &format!("ws://{closed}/")]).await;
    assert!(run.assert_one_line().contains("is the server running"));
}
