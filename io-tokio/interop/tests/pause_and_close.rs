//! Pause, resume and close, from this side and from the server's.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::io::v2::{Event, Producer, Transport};
use mediasoup_interop::{Browser, Player, Publisher, Server, clip, eventually, stock, video_track};
use mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, ProducerOptions, TransportEvent};
use mediasoup_producer::{ConnectionState, Originator};
use serde_json::{Value, json};

/// A video under way.
struct Sending {
    server: Server,
    publisher: Publisher,
    transport: Transport,
    video: Producer,
    player: Player,
}

impl Sending {
    async fn begin() -> Self {
        let server = Server::start(&[]).await;
        let publisher = Publisher::join(&server, stock()).await;
        let transport = publisher.transport();
        let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
        publisher.connected(&transport).await;
        let player = Player::single(&video, clip("low"));
        server.receiving(video.id(), 1).await;
        Self { server, publisher, transport, video, player }
    }

    /// The next events of the producer after `mark`, as many as are expected.
    async fn hears(&self, mark: usize, expected: &[ProducerEvent]) {
        eventually(
            &format!("{expected:?}, not {:?}", self.publisher.events.producer(mark, self.video.id())),
            async || (self.publisher.events.producer(mark, self.video.id()).len() >= expected.len()).then_some(()),
        )
        .await;
        assert_eq!(self.publisher.events.producer(mark, self.video.id()), expected);
    }

    /// The server agrees on who pauses.
    async fn server_has(&self, local: bool, remote: bool) {
        eventually(&format!("the server has locallyPaused {local}, remotelyPaused {remote}"), async || {
            // The server's names are seen from its own side.
            let producer = self.server.producer(self.video.id()).await;
            (producer["locallyPaused"] == remote && producer["remotelyPaused"] == local).then_some(())
        })
        .await;
        assert_eq!((self.video.locally_paused(), self.video.remotely_paused()), (local, remote));
        assert_eq!(self.video.paused(), local || remote);
    }

    /// Nothing arrives while frames are refused; or it does, and none are.
    async fn flows(&self, flows: bool) {
        let packets = async || self.server.received(self.video.id()).await[0].packet_count;
        let (before, refused) = (packets().await, self.player.played().paused);
        if flows {
            eventually("more packets", async || (packets().await > before + 10).then_some(())).await;
            assert_eq!(self.player.played().paused, refused);
        } else {
            let sent = self.publisher.arrived(&self.server, &self.video).await[0].packets_sent;
            eventually("frames refused", async || (self.player.played().paused > refused + 15).then_some(())).await;
            assert_eq!(packets().await, sent);
        }
    }
}

/// What is done to a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    LocalPause,
    LocalResume,
    RemotePause,
    RemoteResume,
}

const fn local(app_data: Option<Value>) -> (Originator, Option<Value>) {
    (Originator::Local, app_data)
}

const fn remote(app_data: Option<Value>) -> (Originator, Option<Value>) {
    (Originator::Remote, app_data)
}

fn pause((originator, app_data): (Originator, Option<Value>)) -> ProducerEvent {
    ProducerEvent::Pause { originator, app_data }
}

fn resume((originator, app_data): (Originator, Option<Value>)) -> ProducerEvent {
    ProducerEvent::Resume { originator, app_data }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn both_sides_pause_and_resume_in_every_order() {
    let sending = Sending::begin().await;
    let Sending { server, publisher, video, .. } = &sending;
    let target = |why: &str| json!({ "id": video.id().value(), "appData": { "why": why } });
    let why = |why: &str| Some(json!({ "why": why }));
    use Step::{LocalPause, LocalResume, RemotePause, RemoteResume};
    for order in [
        [LocalPause, LocalResume, RemotePause, RemoteResume],
        [LocalPause, RemotePause, LocalResume, RemoteResume],
        [LocalPause, RemotePause, RemoteResume, LocalResume],
        [RemotePause, LocalPause, LocalResume, RemoteResume],
        [RemotePause, LocalPause, RemoteResume, LocalResume],
        [RemotePause, RemoteResume, LocalPause, LocalResume],
    ] {
        let (mut locally, mut remotely) = (false, false);
        for step in order {
            let mark = publisher.events.mark();
            let event = match step {
                LocalPause => {
                    video.pause(why("lp")).unwrap();
                    pause(local(why("lp")))
                }
                LocalResume => {
                    video.resume(why("lr")).unwrap();
                    resume(local(why("lr")))
                }
                RemotePause => {
                    server.control("pauseProducer", target("rp")).await;
                    pause(remote(why("rp")))
                }
                RemoteResume => {
                    server.control("resumeProducer", target("rr")).await;
                    resume(remote(why("rr")))
                }
            };
            match step {
                LocalPause | LocalResume => locally = step == LocalPause,
                RemotePause | RemoteResume => remotely = step == RemotePause,
            }
            sending.hears(mark, &[event]).await;
            sending.server_has(locally, remotely).await;
            sending.flows(!locally && !remotely).await;
        }
    }
    // The app data went the other way, too.
    for (method, expected) in [("pauseProducer", "lp"), ("resumeProducer", "lr")] {
        let messages = server.messages(method).await;
        assert_eq!(messages.len(), 6, "{method}: once for each");
        assert!(messages.iter().all(|message| message["appData"] == json!({ "why": expected })), "{messages:?}");
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn after_a_resume_the_viewer_sees_more() {
    let browser = Browser::start().await;
    let sending = Sending::begin().await;
    let viewer = browser.view(&sending.server).await;
    viewer.sees_more().await;
    sending.video.pause(None).unwrap();
    sending.server_has(true, false).await;
    eventually("the viewer hears of the pause", async || {
        (viewer.consumer("video").await["paused"] == true).then_some(())
    })
    .await;
    sending.flows(false).await;
    sending.video.resume(None).unwrap();
    viewer.sees_more().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_producer_closed_here_is_closed_there() {
    let sending = Sending::begin().await;
    let mark = sending.publisher.events.mark();
    sending.video.close(Some(json!("bye"))).unwrap();
    sending.hears(mark, &[ProducerEvent::Close { originator: Originator::Local, app_data: Some(json!("bye")) }]).await;
    eventually("closed there", async || sending.server.producer(sending.video.id()).await.is_null().then_some(()))
        .await;
    assert_eq!(sending.server.messages("closeProducer").await[0]["appData"], "bye");
    assert_eq!(sending.transport.connection_state(), ConnectionState::Connected);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_producer_closed_there_is_closed_here() {
    let sending = Sending::begin().await;
    let mark = sending.publisher.events.mark();
    sending.server.control("closeProducer", json!({ "id": sending.video.id().value(), "appData": 7 })).await;
    sending.hears(mark, &[ProducerEvent::Close { originator: Originator::Remote, app_data: Some(json!(7)) }]).await;
    assert!(sending.video.closed());
    assert!(sending.server.messages("closeProducer").await.is_empty());
    sending.player.stop().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_transport_closed_there_leaves_its_producer_unhandled() {
    let sending = Sending::begin().await;
    let mark = sending.publisher.events.mark();
    let id = sending.transport.id();
    sending.server.control("closeTransport", json!({ "id": id.value(), "appData": [1] })).await;
    sending.hears(mark, &[ProducerEvent::Unhandled]).await;
    let close = TransportEvent::Close { originator: Originator::Remote, app_data: Some(json!([1])) };
    sending
        .publisher
        .events
        .wait("the close", |event| {
            (*event == Event::Room(RoomEvent::Transport { id, event: close.clone() })).then_some(())
        })
        .await;
    assert!(!sending.video.closed());
    // It is free for another.
    let another = sending.publisher.transport();
    sending.video.send(&another).await.unwrap();
    sending.publisher.connected(&another).await;
    sending.server.receiving(sending.video.id(), 1).await;
    sending.flows(true).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_transport_closed_here_is_closed_there() {
    let sending = Sending::begin().await;
    let mark = sending.publisher.events.mark();
    sending.transport.close(Some(json!({ "a": 1 }))).unwrap();
    sending.hears(mark, &[ProducerEvent::Unhandled]).await;
    eventually("closed there", async || sending.server.transport(sending.transport.id()).await.is_null().then_some(()))
        .await;
    assert!(sending.server.producer(sending.video.id()).await.is_null());
    assert_eq!(sending.server.messages("closeTransport").await[0]["appData"], json!({ "a": 1 }));
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_room_closed_there_closes_everything_here() {
    // mediasoup keeps a room's app data to itself.
    closed_there("closeRoom", None).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_peer_closed_there_closes_everything_here() {
    closed_there("closePeer", Some(json!("enough"))).await;
}

async fn closed_there(op: &str, heard: Option<Value>) {
    let sending = Sending::begin().await;
    let mark = sending.publisher.events.mark();
    sending.server.control(op, json!({ "appData": "enough" })).await;
    sending
        .publisher
        .events
        .wait("the room closes", |event| match event {
            Event::Room(RoomEvent::Closed { originator: Originator::Remote, app_data }) => {
                assert_eq!(*app_data, heard);
                Some(())
            }
            _ => None,
        })
        .await;
    let close = ProducerEvent::Close { originator: Originator::Remote, app_data: None };
    sending.hears(mark, &[ProducerEvent::Unhandled, close]).await;
    assert!(sending.publisher.room.closed());
}
