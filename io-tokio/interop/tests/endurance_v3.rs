//! Sending to mediasoup 3 for long: nothing drifts, grows or freezes. A minute, or as many seconds as `INTEROP_SECONDS` says.

use mediasoup_interop::v3::{Player, Publisher, Server};
use mediasoup_interop::{Browser, audio_track, beat, clip, video_track, watch_for_long};
use mediasoup_producer::v3::{EncodingOptions, ProduceOptions};
use serde_json::json;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn nothing_drifts_grows_or_freezes() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server).await;
    let viewer = browser.view_v3(&server).await;
    let transport = publisher.transport(json!({})).await;
    let audio = transport.produce(audio_track(), ProduceOptions::default()).await;
    let encodings = [(); 3].map(|()| EncodingOptions::default());
    let video = transport.produce(video_track(), ProduceOptions::default().encodings(encodings)).await;
    transport.connected().await;
    let players = [Player::single(&audio, beat()), Player::layers(&video, ["low", "medium", "high"].map(clip).into())];
    viewer.hears_more().await;
    viewer.sees_width(640).await;
    viewer.sees_more().await;

    watch_for_long(&viewer).await;

    for player in players {
        player.stop().await;
    }
    for producer in [&audio, &video] {
        for stream in producer.arrived(&server).await {
            println!("{} {:?}: {} packets at both ends", stream.mime_type, stream.rid, stream.packet_count);
        }
    }
}
