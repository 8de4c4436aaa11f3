//! VP8 in three layers: the viewer gets the one it asks for, and switching shows no seam.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::{Browser, Player, Publisher, Server, Viewer, assert_smooth, clip, layers, video_track};
use mediasoup_producer::{ProducerOptions, Profile, RoomConfig};

const WIDTHS: [(&str, u64); 3] = [("low", 160), ("medium", 320), ("high", 640)];

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn each_layer_of_vp8_is_shown_when_it_is_asked_for() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, RoomConfig::default()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    publisher.connected(&transport).await;
    let player = Player::layers(&video, layers(clip));
    viewer.sees_more().await;

    let frozen = async || viewer.consumer("video").await["freezeCount"].as_u64().unwrap_or(0);
    viewer.prefer("low").await;
    viewer.sees_width(160).await;
    let before = frozen().await;
    for (profile, width) in [("high", 640), ("medium", 320), ("low", 160), ("medium", 320), ("high", 640), ("low", 160)]
    {
        switch_without_a_seam(&viewer, profile, width).await;
    }
    assert_eq!(frozen().await, before, "the browser counted freezes");

    player.stop().await;
    let sent = publisher.arrived(&server, &video).await;
    let profiles: Vec<_> = sent.iter().map(|stream| stream.profile).collect();
    assert_eq!(profiles, [Profile::Low, Profile::Medium, Profile::High]);
    for (ours, theirs) in sent.iter().zip(server.received(video.id()).await) {
        println!(
            "{:?}: sent {} packets, server counted {}, {} lost",
            ours.profile, ours.packets_sent, theirs.packet_count, theirs.packets_lost
        );
        assert_eq!(theirs.packets_lost, 0);
    }
}

/// Asks for another layer and looks on until it is there and half a second beyond.
async fn switch_without_a_seam(viewer: &Viewer<'_>, profile: &str, width: u64) {
    let from = viewer.consumer("video").await["frameWidth"].as_u64().unwrap_or(0);
    let (pictures, ()) = tokio::join!(viewer.watch(90, 10_000), viewer.prefer(profile));
    assert_eq!(pictures.len(), 90);
    // A gap of 30 frames is a second.
    assert_smooth(&pictures, 29);
    let gap = largest_gap(&pictures);
    let widths: Vec<_> = pictures.iter().map(|picture| picture.width).collect();
    let switched =
        widths.iter().position(|one| *one == width).unwrap_or_else(|| panic!("never {width} wide: {widths:?}"));
    assert!(widths[..switched].iter().all(|one| *one == from), "{widths:?}");
    assert!(widths[switched..].iter().all(|one| *one == width), "{widths:?}");
    assert!(WIDTHS.contains(&(profile, width)));
    println!("{from} -> {width}: after {switched} frames, largest step {gap} frames");
}

fn largest_gap(pictures: &[mediasoup_interop::Picture]) -> u32 {
    let numbers: Vec<_> = pictures.iter().filter_map(|picture| picture.number).collect();
    numbers.windows(2).map(|pair| (pair[1] + 150 - pair[0]) % 150).max().unwrap_or(0)
}
