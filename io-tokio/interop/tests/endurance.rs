//! Sending for long: nothing drifts, grows or freezes. A minute, or as many seconds as `INTEROP_SECONDS` says.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::{
    Browser, Player, Publisher, Server, audio_track, beat, clip, layers, stock, video_track, watch_for_long,
};
use mediasoup_producer::v2::ProducerOptions;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn nothing_drifts_grows_or_freezes() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, stock()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    publisher.connected(&transport).await;
    let players = [Player::single(&audio, beat()), Player::layers(&video, layers(clip))];
    viewer.sees_more().await;
    viewer.hears_more().await;
    viewer.prefer("high").await;
    viewer.sees_width(640).await;
    viewer.sees_more().await;

    watch_for_long(&viewer).await;

    for player in players {
        player.stop().await;
    }
    for producer in [&audio, &video] {
        for stream in publisher.arrived(&server, producer).await {
            println!("{:?} {:?}: {} packets at both ends", producer.kind(), stream.layer, stream.packets_sent);
        }
    }
    let stats = publisher.room.stats();
    assert_eq!((stats.events_dropped, stats.transmits_dropped), (0, 0));
}
