//! Tracks: replaced, and several on one transport.

use mediasoup_interop::v3::{Player, Publisher, Server};
use mediasoup_interop::{Browser, audio_track, beat, clip, eventually, video_track};
use mediasoup_producer::v3::ProduceOptions;
use mediasoup_producer::{MediaKind, Track};
use serde_json::json;

use crate::Sending;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_replaced_track_of_another_size_is_shown() {
    let (sending, browser) = tokio::join!(Sending::begin(), Browser::start());
    let viewer = browser.view_v3(&sending.server).await;
    viewer.sees_width(320).await;
    let before = sending.server.received(&sending.video.server_id).await[0].ssrc;

    sending.player.stop().await;
    sending.video.handle.replace_track(None).expect("it is open");
    let other = Track::new(MediaKind::Video, "other", "Another");
    sending.video.handle.replace_track(Some(other)).expect("it is open");
    let player = Player::single(&sending.video, clip("high"));
    viewer.sees_width(640).await;
    viewer.sees_more().await;
    player.stop().await;
    let after = sending.video.arrived(&sending.server).await;
    assert_eq!((after.len(), after[0].ssrc), (1, before));
    assert_eq!(sending.server.asked("produce").await.len(), 1);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn two_of_audio_and_three_of_video_share_a_transport() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server).await;
    let transport = publisher.transport(json!({})).await;
    let options = ProduceOptions::default;
    let mut producers = Vec::new();
    for track in [audio_track(), video_track(), video_track(), audio_track(), video_track()] {
        producers.push(transport.produce(track, options()).await);
    }
    transport.connected().await;
    let players = [
        Player::single(&producers[0], beat()),
        Player::single(&producers[1], clip("low")),
        Player::single(&producers[2], clip("medium")),
        Player::single(&producers[3], beat()),
        Player::single(&producers[4], clip("high")),
    ];
    for producer in &producers {
        eventually("two seconds of each", async || {
            let received = server.received(&producer.server_id).await;
            received.first().is_some_and(|stream| stream.packet_count > 60).then_some(())
        })
        .await;
    }
    for player in players {
        player.stop().await;
    }
    let mut packets = Vec::new();
    for producer in &producers {
        packets.push(producer.arrived(&server).await[0].packet_count);
    }
    println!("{packets:?} packets at both ends");
    let asked = server.asked("produce").await;
    let mids: Vec<_> = asked.iter().map(|one| one["rtpParameters"]["mid"].clone()).collect();
    assert_eq!(mids, ["0", "1", "2", "3", "4"]);
    assert_eq!(server.asked("connect").await.len(), 1);
}
