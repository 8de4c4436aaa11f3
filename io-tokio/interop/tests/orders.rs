//! Producers and transports in every order: audio first or video first, several of a kind, closed and made anew.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::io::v2::{Producer, Transport};
use mediasoup_interop::{
    Browser, Player, Publisher, Server, Viewer, audio_track, beat, clip, eventually, layers, stock, video_track,
};
use mediasoup_producer::MediaKind;
use mediasoup_producer::v2::ProducerOptions;
use serde_json::{Value, json};

async fn video(publisher: &Publisher, transport: &Transport, size: &str) -> (Producer, Player) {
    let producer = publisher.send(transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(transport).await;
    let player = Player::single(&producer, clip(size));
    (producer, player)
}

async fn audio(publisher: &Publisher, transport: &Transport) -> (Producer, Player) {
    let producer = publisher.send(transport, audio_track(), ProducerOptions::default()).await;
    publisher.connected(transport).await;
    let player = Player::single(&producer, beat());
    (producer, player)
}

/// The consumers of a kind that decode something.
async fn decoding(viewer: &Viewer<'_>, kind: &str) -> Vec<Value> {
    let consumers = viewer.consumers().await;
    let decodes = |one: &Value| match kind {
        "video" => one["framesDecoded"].as_u64() > Some(15),
        _ => one["totalSamplesReceived"].as_u64() > Some(24_000),
    };
    consumers.into_iter().filter(|one| one["kind"] == kind && decodes(one)).collect()
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn audio_before_video_and_video_before_audio() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    for first in [MediaKind::Audio, MediaKind::Video] {
        let publisher = Publisher::join(&server, stock()).await;
        let viewer = browser.view(&server).await;
        let transport = publisher.transport();
        let sent = match first {
            MediaKind::Audio => [audio(&publisher, &transport).await, video(&publisher, &transport, "low").await],
            MediaKind::Video => [video(&publisher, &transport, "low").await, audio(&publisher, &transport).await],
        };
        viewer.sees_more().await;
        viewer.hears_more().await;
        for (producer, player) in sent {
            player.stop().await;
            publisher.arrived(&server, &producer).await;
        }
        publisher.room.close().await;
        eventually("the server forgets us", async || server.peer().await.is_null().then_some(())).await;
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn several_of_a_kind_over_two_transports() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, stock()).await;
    let viewer = browser.view(&server).await;
    let [one, two] = [publisher.transport(), publisher.transport()];
    let mut sent = vec![
        video(&publisher, &one, "low").await,
        video(&publisher, &one, "medium").await,
        audio(&publisher, &one).await,
        audio(&publisher, &one).await,
        video(&publisher, &two, "high").await,
    ];
    let simulcast = publisher.send(&two, video_track(), ProducerOptions::default().simulcast(true)).await;
    let player = Player::layers(&simulcast, layers(clip));
    sent.push((simulcast, player));
    eventually("four pictures and two sounds", async || {
        let seen = (decoding(&viewer, "video").await.len(), decoding(&viewer, "audio").await.len());
        (seen == (4, 2)).then_some(())
    })
    .await;
    assert_eq!(server.peer().await["transports"].as_array().map(Vec::len), Some(2));
    for (_, player) in &sent {
        assert!(player.played().taken > 0);
    }
    for (producer, player) in sent {
        player.stop().await;
        publisher.arrived(&server, &producer).await;
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_producer_closed_and_made_anew() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, stock()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let (_audio, _playing) = audio(&publisher, &transport).await;
    for size in ["low", "medium", "low"] {
        let (producer, player) = video(&publisher, &transport, size).await;
        viewer.sees_more().await;
        viewer.sees_width(if size == "low" { 160 } else { 320 }).await;
        producer.close(None).unwrap();
        player.stop().await;
        eventually("the consumer closes", async || viewer.consumer("video").await.is_null().then_some(())).await;
    }
    viewer.hears_more().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn sent_again_over_a_new_transport_after_the_first_was_closed() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, stock()).await;
    let viewer = browser.view(&server).await;
    let first = publisher.transport();
    let (producer, player) = video(&publisher, &first, "medium").await;
    viewer.sees_more().await;
    let before = server.producer(producer.id()).await["id"].clone();
    first.close(None).unwrap();
    assert!(!producer.handled() && !producer.closed());
    eventually("the consumer closes", async || viewer.consumer("video").await.is_null().then_some(())).await;
    assert!(player.played().taken > 0);

    let second = publisher.transport();
    producer.send(&second).await.expect("a producer without transport can be sent");
    publisher.connected(&second).await;
    viewer.sees_more().await;
    assert_eq!(server.producer(producer.id()).await["id"], before);
    assert_eq!(server.producer(producer.id()).await["transport"], json!(second.id().value()));
    player.stop().await;
    publisher.arrived(&server, &producer).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn app_data_reaches_the_server_and_other_peers() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let _viewer = browser.view(&server).await;
    let publisher = Publisher::join(&server, stock()).await;
    let transport = publisher.transport();
    let (producer, player) = audio(&publisher, &transport).await;
    let peer = server.peer().await;
    assert_eq!(peer["appData"], json!({ "displayName": "Alice" }));
    assert_eq!(server.transport(transport.id()).await["appData"], json!({ "media": "send" }));
    assert_eq!(server.producer(producer.id()).await["appData"], json!({ "source": "clip" }));
    // The viewer joins in its own time.
    let peers =
        eventually("the viewer to be there", async || Some(publisher.room.peers()).filter(|peers| peers.len() == 1))
            .await;
    assert_eq!(peers[0].app_data, Some(json!({ "displayName": "bob" })));
    player.stop().await;
}
