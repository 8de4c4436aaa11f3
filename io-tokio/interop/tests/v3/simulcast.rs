//! Three encodings: the viewer gets the one it asks for, and switching shows no seam.

use mediasoup_interop::source::EncodedFrame;
use mediasoup_interop::v3::{Player, Publisher};
use mediasoup_interop::{CLIP_FRAMES, SHORT_CLIP_FRAMES, clip, h264, video_track};
use mediasoup_producer::Codec;
use mediasoup_producer::v3::{EncodingOptions, ProduceOptions};
use serde_json::json;

use crate::both;

const SIZES: [(&str, u64); 3] = [("low", 160), ("medium", 320), ("high", 640)];

/// From each layer to each other, beginning with the first.
const SWITCHES: [usize; 6] = [2, 1, 0, 1, 2, 0];

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn each_layer_of_vp8_is_shown_when_it_is_asked_for() {
    each_layer_is_shown_when_it_is_asked_for(Codec::Vp8, clip, CLIP_FRAMES).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn each_layer_of_h264_is_shown_when_it_is_asked_for() {
    each_layer_is_shown_when_it_is_asked_for(Codec::H264, h264, SHORT_CLIP_FRAMES).await;
}

/// The server forwards what is left, and what is there again.
#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn without_the_higher_layers_the_lowest_is_shown() {
    let (server, browser) = both(&[]).await;
    let publisher = Publisher::join(&server).await;
    let viewer = browser.view_v3(&server).await;
    let transport = publisher.transport(json!({})).await;
    let encodings = SIZES.map(|_| EncodingOptions::default());
    let video = transport.produce(video_track(), ProduceOptions::default().encodings(encodings)).await;
    transport.connected().await;
    let player = Player::layers(&video, SIZES.map(|(size, _)| clip(size)).into());
    viewer.sees_width(640).await;
    for (layer, width) in [(0, 160), (1, 320), (2, 640)] {
        video.handle.set_max_spatial_layer(layer).expect("there is such a layer");
        viewer.sees_width(width).await;
        viewer.sees_more().await;
    }
    player.stop().await;
    video.arrived(&server).await;
}

async fn each_layer_is_shown_when_it_is_asked_for<S>(codec: Codec, of: impl Fn(&str) -> S, frames: u32)
where
    S: Iterator<Item = EncodedFrame> + Send + 'static,
{
    let (server, browser) = both(&[]).await;
    let publisher = Publisher::join(&server).await;
    let viewer = browser.view_v3(&server).await;
    let transport = publisher.transport(json!({})).await;
    let encodings = SIZES.map(|_| EncodingOptions::default());
    let video = transport.produce(video_track(), ProduceOptions::default().codec(codec).encodings(encodings)).await;
    transport.connected().await;
    let player = Player::layers(&video, SIZES.map(|(size, _)| of(size)).into());
    viewer.sees_more().await;
    assert_eq!(server.producer(&video.server_id).await["type"], "simulcast");

    viewer.prefer_layer(0).await;
    viewer.sees_width(160).await;
    let mut from = 160;
    for layer in SWITCHES {
        let width = SIZES[layer].1;
        let (switched, longest) = viewer.switches(viewer.prefer_layer(layer), from, width, frames).await;
        println!("{codec} {from} -> {width}: after {switched} pictures; longest on show: {longest:.0} ms");
        from = width;
    }

    player.stop().await;
    let received = video.arrived(&server).await;
    let rids: Vec<_> = received.iter().map(|stream| stream.rid.as_deref()).collect();
    assert_eq!(rids, [Some("r0"), Some("r1"), Some("r2")]);
    for (stream, (size, _)) in received.iter().zip(SIZES) {
        println!("{codec} {size}: {} packets at both ends, score {}", stream.packet_count, stream.score);
    }
}
