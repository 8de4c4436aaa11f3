//! The server's worker dies, the WebSocket is cut: events say so, and a new room can be joined.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::io::SignallingError;
use mediasoup_interop::io::v2::{Event, Producer};
use mediasoup_interop::{PATIENCE, Player, Publisher, Server, clip, eventually, stock, video_track, within};
use mediasoup_producer::Originator;
use mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, ProducerOptions};
use serde_json::json;

async fn sending(server: &Server) -> (Publisher, Producer, Player) {
    let publisher = Publisher::join(server, stock()).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let player = Player::single(&video, clip("low"));
    server.receiving(video.id(), 1).await;
    (publisher, video, player)
}

async fn hears_the_end(publisher: &Publisher, video: &Producer) {
    publisher
        .events
        .wait("the room closes", |event| {
            let closed = RoomEvent::Closed { originator: Originator::Remote, app_data: None };
            (*event == Event::Room(closed)).then_some(())
        })
        .await;
    eventually("the producer closes", async || {
        let close = ProducerEvent::Close { originator: Originator::Remote, app_data: None };
        (publisher.events.producer(0, video.id()).last() == Some(&close)).then_some(())
    })
    .await;
    assert!(publisher.room.closed() && video.closed());
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_killed_worker_closes_the_room_and_it_can_be_joined_again() {
    let server = Server::start(&[]).await;
    let (publisher, video, player) = sending(&server).await;
    let workers = server.workers().await;
    server.control("killWorker", json!({})).await;
    hears_the_end(&publisher, &video).await;
    player.stop().await;
    // The WebSocket is there still, but its room is not: as the demo had it, a new connection makes a new one.
    publisher.room.close().await;
    let (_publisher, video, player) = sending(&server).await;
    assert_ne!(server.workers().await, workers);
    player.stop().await;
    assert!(!video.closed());
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_cut_websocket_ends_the_room_and_it_can_be_joined_anew() {
    let server = Server::start(&[]).await;
    for polite in [false, true] {
        let (publisher, video, player) = sending(&server).await;
        server.control("dropSockets", json!({ "polite": polite })).await;
        let error = publisher
            .events
            .wait("the disconnection", |event| match event {
                Event::Disconnected { error } => Some(error.clone()),
                _ => None,
            })
            .await;
        println!("polite {polite}: {error}");
        assert!(matches!((polite, &error), (true, SignallingError::Closed { .. }) | (false, _)), "{error:?}");
        hears_the_end(&publisher, &video).await;
        within(PATIENCE, "the driver ends", publisher.room.ended()).await;
        player.stop().await;
        eventually("the server forgets us", async || server.peer().await.is_null().then_some(())).await;
    }
    let (publisher, _video, player) = sending(&server).await;
    player.stop().await;
    publisher.room.close().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_room_that_is_left_is_left_in_good_order() {
    let server = Server::start(&[]).await;
    let (publisher, _video, player) = sending(&server).await;
    player.stop().await;
    publisher.room.close().await;
    eventually("the server forgets us", async || server.peer().await.is_null().then_some(())).await;
    let left = server.messages("leave").await;
    assert_eq!(left.len(), 1, "{left:?}");
    // DTLS said goodbye: the server closed it by itself, before the peer went.
    let states: Vec<_> = server.events(&["transport.dtlsstatechange"]).await;
    println!("{states:?}");
}
