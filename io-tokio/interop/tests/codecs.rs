//! The other codecs, and how Opus sounds.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::io::v2::Producer;
use mediasoup_interop::source::EncodedFrame;
use mediasoup_interop::{
    Browser, Player, Publisher, SHORT_CLIP_FRAMES, Server, assert_smooth, audio_track, beat, beats, eventually, h264,
    h265, stock, tone, video_track, vp9,
};
use mediasoup_producer::v2::ProducerOptions;
use mediasoup_producer::{Codec, MediaKind, Track};

/// Sending one stream to a server that takes this codec alone of its kind.
struct Sending {
    server: Server,
    browser: Browser,
    publisher: Publisher,
    producer: Producer,
    player: Player,
}

impl Sending {
    async fn begin(codec: Codec, source: impl Iterator<Item = EncodedFrame> + Send + 'static) -> Self {
        let (track, other): (Track, _) = match codec.kind() {
            MediaKind::Audio => (audio_track(), "VP8"),
            MediaKind::Video => (video_track(), "opus"),
        };
        let codecs = format!("{},{other}", codec.name());
        let arguments = ["--codecs", &codecs];
        let (server, browser) = tokio::join!(Server::start(&arguments), Browser::start());
        let publisher = Publisher::join(&server, stock()).await;
        let transport = publisher.transport();
        let producer = publisher.send(&transport, track, ProducerOptions::default()).await;
        assert_eq!(producer.codec(), Some(codec));
        publisher.connected(&transport).await;
        let player = Player::single(&producer, source);
        Self { server, browser, publisher, producer, player }
    }

    async fn all_arrived(self, codec: Codec) {
        self.player.stop().await;
        let sent = self.publisher.arrived(&self.server, &self.producer).await;
        let received = self.server.received(self.producer.id()).await;
        assert_eq!(received[0].mime_type, format!("{}/{}", self.producer.kind(), codec.name()));
        println!("{codec}: {} packets at both ends", sent[0].packets_sent);
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn h264_is_shown() {
    is_shown(Codec::H264, h264("medium")).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn vp9_is_shown() {
    is_shown(Codec::Vp9, vp9()).await;
}

async fn is_shown(codec: Codec, source: impl Iterator<Item = EncodedFrame> + Send + 'static) {
    let sending = Sending::begin(codec, source).await;
    let viewer = sending.browser.view(&sending.server).await;
    viewer.sees_more().await;
    let pictures = viewer.watch(60).await;
    assert!(pictures.iter().all(|picture| (picture.width, picture.height) == (320, 180)), "{pictures:?}");
    assert_smooth(&pictures, SHORT_CLIP_FRAMES);
    drop(viewer);
    sending.all_arrived(codec).await;
}

/// Debian's Chromium has no decoder for it.
#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn h265_arrives() {
    let sending = Sending::begin(Codec::H265, h265()).await;
    eventually("two passes", async || (sending.player.played().taken > 60).then_some(())).await;
    sending.all_arrived(Codec::H265).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn g711_of_both_laws_is_heard() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let sending = Sending::begin(codec, tone()).await;
        let viewer = sending.browser.view(&sending.server).await;
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
    let sending = Sending::begin(Codec::Opus, beat()).await;
    let viewer = sending.browser.view(&sending.server).await;
    viewer.hears_more().await;
    let before = viewer.consumer("audio").await;
    let beats = beats(&viewer.listen(5).await);
    let after = viewer.consumer("audio").await;
    let grown = |name: &str| after[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0);
    println!(
        "beats in 5 s, by the seconds between them: {beats:.2?}; of {} samples {} were concealed",
        grown("totalSamplesReceived"),
        grown("concealedSamples")
    );
    // Every half second. Where packets come late by a busy machine, the browser stretches sound, and shortens it after.
    assert!((8..=12).contains(&beats.len()), "{beats:?}");
    let on_time = beats.iter().filter(|interval| (*interval - 0.5).abs() < 0.15).count();
    assert!(on_time >= beats.len() - 2, "{beats:?}");
    assert!(grown("concealedSamples") * 10 < grown("totalSamplesReceived"));
    drop(viewer);
    sending.all_arrived(Codec::Opus).await;
}
