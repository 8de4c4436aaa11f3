//! Each codec by itself.

use mediasoup_interop::source::EncodedFrame;
use mediasoup_interop::v3::{Player, Producer, Publisher, Server, Transport};
use mediasoup_interop::{
    Browser, CLIP_FRAMES, SHORT_CLIP_FRAMES, assert_smooth, audio_track, beat, beats, clip, h264, tone, video_track,
    vp9,
};
use mediasoup_producer::v3::{CodecChoice, DeviceConfig, DtlsRole, EncodingOptions, ProduceOptions};
use mediasoup_producer::{Codec, MediaKind};
use serde_json::json;

use crate::both;

/// Sending one stream.
struct Sending {
    server: Server,
    browser: Browser,
    _transport: Transport,
    producer: Producer,
    player: mediasoup_interop::Player,
}

impl Sending {
    async fn begin(
        arguments: &[&str],
        kind: MediaKind,
        codec: impl Into<CodecChoice>,
        source: impl Iterator<Item = EncodedFrame> + Send + 'static,
    ) -> Self {
        let (server, browser) = both(arguments).await;
        let publisher = Publisher::join(&server).await;
        let transport = publisher.transport(json!({})).await;
        let track = match kind {
            MediaKind::Audio => audio_track(),
            MediaKind::Video => video_track(),
        };
        let producer = transport.produce(track, ProduceOptions::default().codec(codec)).await;
        transport.connected().await;
        let player = Player::single(&producer, source);
        Self { server, browser, _transport: transport, producer, player }
    }

    async fn all_arrived(self, codec: Codec) {
        self.player.stop().await;
        let received = self.producer.arrived(&self.server).await;
        assert_eq!(received[0].mime_type, format!("{}/{}", codec.kind(), codec.name()));
        println!("{codec}: {} packets at both ends, score {}", received[0].packet_count, received[0].score);
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn vp8_is_shown() {
    is_shown(Codec::Vp8, clip("medium"), CLIP_FRAMES).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn h264_is_shown() {
    is_shown(Codec::H264, h264("medium"), SHORT_CLIP_FRAMES).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn vp9_is_shown() {
    is_shown(Codec::Vp9, vp9(), SHORT_CLIP_FRAMES).await;
}

async fn is_shown(codec: Codec, source: impl Iterator<Item = EncodedFrame> + Send + 'static, frames: u32) {
    let sending = Sending::begin(&[], MediaKind::Video, codec, source).await;
    let viewer = sending.browser.view_v3(&sending.server).await;
    viewer.sees_more().await;
    let pictures = viewer.watch(60).await;
    assert!(pictures.iter().all(|picture| (picture.width, picture.height) == (320, 180)), "{pictures:?}");
    assert_smooth(&pictures, frames);
    drop(viewer);
    sending.all_arrived(codec).await;
}

/// Without a header extension all there is to tell streams apart is their SSRC; nor is there an estimate.
#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn of_a_router_without_header_extensions_and_as_dtls_server() {
    let (server, browser) = both(&[]).await;
    let config = DeviceConfig::default().dtls_role(DtlsRole::Server);
    let publisher = Publisher::join_as(&server, config, |router| drop(router["headerExtensions"].take())).await;
    let viewer = browser.view_v3(&server).await;
    let transport = publisher.transport(json!({})).await;
    let encodings = [(); 3].map(|()| EncodingOptions::default());
    let video = transport.produce(video_track(), ProduceOptions::default().encodings(encodings)).await;
    transport.connected().await;
    assert_eq!(server.asked("connect").await[0]["dtlsParameters"]["role"], "server");
    assert_eq!(server.asked("produce").await[0]["rtpParameters"]["headerExtensions"], json!([]));
    let player = Player::layers(&video, ["low", "medium", "high"].map(clip).into());
    viewer.sees_width(640).await;
    player.stop().await;
    assert_eq!(video.arrived(&server).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn g711_of_both_laws_is_heard() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let sending = Sending::begin(&[], MediaKind::Audio, codec, tone()).await;
        let viewer = sending.browser.view_v3(&sending.server).await;
        viewer.hears_more().await;
        let pieces = viewer.listen(1).await;
        // As loud at any time, unless a busy machine is late: then it fades.
        let loud = pieces.iter().filter(|(_, loudness)| *loudness > 0.05).count();
        assert!(loud * 2 > pieces.len(), "{pieces:?}");
        drop(viewer);
        sending.all_arrived(codec).await;
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn the_beat_is_heard_in_opus() {
    let sending = Sending::begin(&[], MediaKind::Audio, Codec::Opus, beat()).await;
    let viewer = sending.browser.view_v3(&sending.server).await;
    viewer.hears_more().await;
    let beats = beats(&viewer.listen(5).await);
    println!("beats in 5 s, by the seconds between them: {beats:.2?}");
    // Every half second. Where packets come late by a busy machine, the browser stretches sound, and shortens it after.
    assert!((8..=12).contains(&beats.len()), "{beats:?}");
    let on_time = beats.iter().filter(|interval| (*interval - 0.5).abs() < 0.15).count();
    assert!(on_time >= beats.len() - 2, "{beats:?}");
    drop(viewer);
    sending.all_arrived(Codec::Opus).await;
}
