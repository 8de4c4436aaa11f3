//! The other codecs, alone and in layers.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::{
    Browser, Player, Publisher, Server, assert_smooth, audio_track, beat, eventually, h264, layers, video_track, vp9,
};
use mediasoup_producer::{Codec, ProducerOptions, Profile, RoomConfig};

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn h264_is_shown() {
    is_shown(Codec::H264, || vec![(Profile::Default, h264("medium"))]).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn vp9_is_shown() {
    is_shown(Codec::Vp9, || vec![(Profile::Default, vp9())]).await;
}

async fn is_shown(codec: Codec, sources: impl Fn() -> Vec<(Profile, mediasoup_interop::source::FileSource)>) {
    let codecs = format!("opus,{}", codec.name());
    let (server, browser) = {
        let arguments = ["--codecs", &codecs];
        tokio::join!(Server::start(&arguments), Browser::start())
    };
    let publisher = Publisher::join(&server, RoomConfig::default()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    assert_eq!(video.codec(), Some(codec));
    publisher.connected(&transport).await;
    let player = Player::layers(&video, sources());
    viewer.sees_more().await;
    let pictures = viewer.watch(60, 10_000).await;
    assert_eq!(pictures.len(), 60);
    assert!(pictures.iter().all(|picture| (picture.width, picture.height) == (320, 180)), "{pictures:?}");
    // From number 59 to 0 the clip of two seconds jumps by 91 of 150.
    let rtp: Vec<_> = pictures.iter().filter_map(|picture| picture.rtp_timestamp).collect();
    assert_looped(&pictures);
    player.stop().await;
    let sent = publisher.arrived(&server, &video).await;
    println!(
        "{codec}: sent {} packets, server counted as many; {} pictures with RTP times",
        sent[0].packets_sent,
        rtp.len()
    );
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn each_layer_of_h264_is_shown_when_it_is_asked_for() {
    let (server, browser) = tokio::join!(Server::start(&["--codecs", "opus,H264"]), Browser::start());
    let publisher = Publisher::join(&server, RoomConfig::default()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    publisher.connected(&transport).await;
    let player = Player::layers(&video, layers(h264));
    viewer.sees_more().await;
    viewer.prefer("low").await;
    viewer.sees_width(160).await;
    for (profile, width) in [("high", 640), ("medium", 320), ("low", 160), ("high", 640)] {
        let (pictures, ()) = tokio::join!(viewer.watch(90, 10_000), viewer.prefer(profile));
        assert_eq!(pictures.len(), 90);
        assert_looped(&pictures);
        let switched = pictures.iter().position(|picture| picture.width == width);
        println!("H264 to {width}: after {switched:?} frames");
        assert!(switched.is_some());
        assert_eq!(pictures.last().map(|picture| picture.width), Some(width));
    }
    player.stop().await;
    for (ours, theirs) in publisher.arrived(&server, &video).await.iter().zip(server.received(video.id()).await) {
        println!("H264 {:?}: sent {}, server counted {}", ours.profile, ours.packets_sent, theirs.packet_count);
    }
}

/// As [`assert_smooth`], for a clip that begins again after 60 frames.
fn assert_looped(pictures: &[mediasoup_interop::Picture]) {
    for pass in pictures.chunk_by(|before, after| before.number <= after.number) {
        if pass.len() > 1 {
            assert_smooth(pass, 29);
        }
    }
    let numbers: Vec<_> = pictures.iter().map(|picture| picture.number).collect();
    assert!(numbers.iter().all(|number| number.is_some_and(|number| number < 60)), "{numbers:?}");
    let passes = pictures.chunk_by(|before, after| before.number <= after.number).count();
    assert!(passes <= 3, "{numbers:?}");
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn opus_is_heard_without_concealment() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, RoomConfig::default()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let player = Player::single(&audio, beat());
    viewer.hears_more().await;
    let before = viewer.consumer("audio").await;
    eventually("three seconds more", async || {
        let now = viewer.consumer("audio").await["totalSamplesReceived"].as_u64();
        (now >= before["totalSamplesReceived"].as_u64().map(|samples| samples + 144_000)).then_some(())
    })
    .await;
    let after = viewer.consumer("audio").await;
    let grown = |name: &str| after[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0);
    let loudest =
        after["totalAudioEnergy"].as_f64().unwrap_or(0.0) - before["totalAudioEnergy"].as_f64().unwrap_or(0.0);
    println!(
        "of {} samples {} were concealed, {} of them silently; energy {loudest}",
        grown("totalSamplesReceived"),
        grown("concealedSamples"),
        grown("silentConcealedSamples")
    );
    assert!(loudest > 0.0, "the beat is heard");
    // A busy machine may be late now and then.
    assert!(grown("concealedSamples") * 20 < grown("totalSamplesReceived"));
    player.stop().await;
    publisher.arrived(&server, &audio).await;
}
