//! A stock server (RSA-1024 certificate): the server takes all we send, and the viewer shows it.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::{
    Browser, CLIP_FRAMES, Player, Publisher, Server, assert_smooth, audio_track, beat, clip, eventually, stock,
    video_track,
};
use mediasoup_producer::DtlsRole;
use mediasoup_producer::v2::ProducerOptions;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn audio_and_video_arrive_as_dtls_client() {
    audio_and_video_arrive(DtlsRole::Client).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn audio_and_video_arrive_as_dtls_server() {
    audio_and_video_arrive(DtlsRole::Server).await;
}

async fn audio_and_video_arrive(role: DtlsRole) {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, stock().dtls_role(role)).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let players = [Player::single(&audio, beat()), Player::single(&video, clip("medium"))];

    viewer.sees_more().await;
    viewer.hears_more().await;
    let pictures = viewer.watch(60).await;
    assert!(pictures.iter().all(|picture| (picture.width, picture.height) == (320, 180)), "{pictures:?}");
    assert_smooth(&pictures, CLIP_FRAMES);

    for player in players {
        player.stop().await;
    }
    for producer in [&audio, &video] {
        let sent = publisher.arrived(&server, producer).await;
        println!("{role:?} {:?}: {} packets at both ends", producer.kind(), sent[0].packets_sent);
    }
    let consumer = viewer.consumer("video").await;
    println!("viewer: {} frames decoded, {} freezes", consumer["framesDecoded"], consumer["freezeCount"]);
    publisher.room.close().await;
    eventually("our peer is gone", async || server.peer().await.is_null().then_some(())).await;
}
