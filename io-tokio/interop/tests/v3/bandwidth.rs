//! The server's estimate (REMB) and its limit.

use std::collections::BTreeMap;

use mediasoup_interop::io::v3::Event;
use mediasoup_interop::v3::{Player, Publisher, Server};
use mediasoup_interop::{clip, eventually, video_track};
use mediasoup_producer::v3::{EncodingOptions, Event as DeviceEvent, ProduceOptions, ProducerEvent};
use serde_json::json;

const LIMIT: u64 = 300_000;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_limit_set_by_the_server_arrives_as_target_bitrates_and_so_does_its_end() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server).await;
    let transport = publisher.transport(json!({})).await;
    let encodings = [100_000, 300_000, 800_000].map(|most| EncodingOptions::default().max_bitrate(most));
    let video = transport.produce(video_track(), ProduceOptions::default().encodings(encodings)).await;
    transport.connected().await;
    let player = Player::layers(&video, ["low", "medium", "high"].map(clip).into());

    // The last that was said of each layer.
    let targets = || -> BTreeMap<usize, u64> {
        let target = |event: &Event| match event {
            Event::Device(DeviceEvent::Producer {
                event: ProducerEvent::TargetBitrate { layer, bitrate_bps }, ..
            }) => Some((*layer, *bitrate_bps)),
            _ => None,
        };
        publisher.events.all(0, target).into_iter().collect()
    };
    let limit = async |bitrate: u64| {
        let target = json!({ "id": transport.server_id, "bitrate": bitrate });
        server.control("setMaxIncomingBitrate", target).await;
    };
    let above = async || {
        eventually("targets above it", async || Some(targets()).filter(|all| all.values().sum::<u64>() > LIMIT)).await
    };

    let free = above().await;
    limit(LIMIT).await;
    let limited = BTreeMap::from([(0, 100_000), (1, 200_000), (2, 0)]);
    eventually("targets within the limit", async || (targets() == limited).then_some(())).await;
    limit(0).await;
    let again = above().await;
    println!("before the limit {free:?}; under it {limited:?}; after it {again:?}");
    player.stop().await;
}
