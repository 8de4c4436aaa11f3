//! The server's estimate (REMB) and its limit.
#![cfg(feature = "legacy-dtls")]

use std::collections::BTreeMap;

use mediasoup_interop::io::v2::Event;
use mediasoup_interop::{Player, Publisher, Server, clip, eventually, layers, stock, video_track};
use mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, ProducerOptions, Profile};
use serde_json::json;

/// Low as much as it wants, medium what is left of it, high nothing.
const LIMIT: u64 = 300_000;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_limit_set_by_the_server_arrives_as_target_bitrates_and_so_does_its_end() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server, stock()).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    publisher.connected(&transport).await;
    let player = Player::layers(&video, layers(clip));

    // The last that was said of each layer.
    let targets = || -> BTreeMap<Profile, u64> {
        let target = |event: &Event| match event {
            Event::Room(RoomEvent::Producer {
                event: ProducerEvent::TargetBitrate { profile, bitrate_bps }, ..
            }) => Some((*profile, *bitrate_bps)),
            _ => None,
        };
        publisher.events.all(0, target).into_iter().collect()
    };
    let limit = async |bitrate: u64| {
        server.control("setMaxBitrate", json!({ "id": transport.id().value(), "bitrate": bitrate })).await;
    };
    let above = async || {
        let targets =
            eventually("targets", async || Some(targets()).filter(|all| all.values().sum::<u64>() > LIMIT)).await;
        assert!(targets[&Profile::Low] >= 100_000 && targets[&Profile::Medium] > 0, "{targets:?}");
        targets
    };

    let free = above().await;
    limit(LIMIT).await;
    let limited = BTreeMap::from([(Profile::Low, 100_000), (Profile::Medium, 200_000), (Profile::High, 0)]);
    eventually("targets within the limit", async || (targets() == limited).then_some(())).await;
    let told: Vec<_> = video.outbound_stats().iter().filter_map(|stream| stream.target_bitrate_bps).collect();
    assert_eq!(told, [100_000, 200_000, 0]);

    // mediasoup takes 0 for a very low limit.
    limit(u32::MAX.into()).await;
    let again = above().await;
    println!("before the limit {free:?}; under it {limited:?}; after it {again:?}");
    player.stop().await;
}
