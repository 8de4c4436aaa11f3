//! Three layers: the viewer gets the one it asks for, and switching shows no seam.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::source::EncodedFrame;
use mediasoup_interop::{
    Browser, CLIP_FRAMES, Player, Publisher, SHORT_CLIP_FRAMES, Server, clip, h264, layers, stock, video_track,
};
use mediasoup_producer::Codec;
use mediasoup_producer::v2::{ProducerOptions, Profile};

/// From each layer to each other.
const SWITCHES: [(&str, u64); 6] =
    [("high", 640), ("medium", 320), ("low", 160), ("medium", 320), ("high", 640), ("low", 160)];

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn each_layer_of_vp8_is_shown_when_it_is_asked_for() {
    each_layer_is_shown_when_it_is_asked_for(Codec::Vp8, layers(clip), CLIP_FRAMES).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn each_layer_of_h264_is_shown_when_it_is_asked_for() {
    each_layer_is_shown_when_it_is_asked_for(Codec::H264, layers(h264), SHORT_CLIP_FRAMES).await;
}

async fn each_layer_is_shown_when_it_is_asked_for(
    codec: Codec,
    sources: Vec<(Profile, impl Iterator<Item = EncodedFrame> + Send + 'static)>,
    frames: u32,
) {
    let codecs = format!("opus,{}", codec.name());
    let arguments = ["--codecs", &codecs];
    let (server, browser) = tokio::join!(Server::start(&arguments), Browser::start());
    let publisher = Publisher::join(&server, stock()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    assert_eq!(video.codec(), Some(codec));
    publisher.connected(&transport).await;
    let player = Player::layers(&video, sources);
    viewer.sees_more().await;

    viewer.prefer("low").await;
    viewer.sees_width(160).await;
    let mut from = 160;
    for (profile, width) in SWITCHES {
        let (switched, longest) = viewer.switches(viewer.prefer(profile), from, width, frames).await;
        println!("{codec} {from} -> {width}: after {switched} pictures; longest on show: {longest:.0} ms");
        from = width;
    }

    player.stop().await;
    let sent = publisher.arrived(&server, &video).await;
    let layers: Vec<_> = sent.iter().map(|stream| stream.layer).collect();
    assert_eq!(layers, [0, 1, 2]);
    for stream in &sent {
        println!("{codec} {:?}: {} packets at both ends", stream.layer, stream.packets_sent);
    }
}
