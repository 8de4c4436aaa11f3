//! The other direction: an unmodified mediasoup-client in Chromium sends to our own room, as the program embeds it.

use std::collections::BTreeMap;

use mediasoup_interop::{Browser, Page, eventually};
use mediasoup_producer::v2::Profile;
use mediasoup_producer::{Codec, MediaKind};
use mediasoup_publish::args::Dialect;
use mediasoup_publish::embedded::{EmbeddedRoom, LayerView, ProducerKey, ProducerView, Room};
use serde_json::{Value, json};

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn mediasoup_client_sends_to_our_room() {
    sends(Dialect::V2, &[("width", "640"), ("height", "360")], &[Profile::Default]).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn mediasoup_client_sends_simulcast_to_our_room() {
    sends(Dialect::V2, &[("simulcast", "1")], &Profile::SIMULCAST).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn mediasoup_client_of_mediasoup_3_sends_to_our_room() {
    sends(Dialect::V3, &[("demo", "1"), ("codec", "VP8"), ("width", "640"), ("height", "360")], &[Profile::Default])
        .await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn mediasoup_client_of_mediasoup_3_sends_simulcast_to_our_room() {
    sends(Dialect::V3, &[("demo", "1"), ("codec", "VP8"), ("simulcast", "1")], &Profile::SIMULCAST).await;
}

async fn sends(dialect: Dialect, query: &[(&str, &str)], layers: &[Profile]) {
    let browser = Browser::start().await;
    let room = Room::start_for(dialect, vec![browser.origin().to_owned()]).await.unwrap();
    let (ws, _) = room.ws_url.split_once('?').unwrap();
    let page = match dialect {
        Dialect::V2 => "sender",
        Dialect::V3 => "v3/sender",
    };
    let sender = browser.open("carol", page, ws, query).await;
    eventually("it sends", async || {
        let (events, error) = (sender.eval("sender.events").await, sender.eval("sender.error").await);
        assert!(error.is_null(), "{error}");
        has_event(&events, "sending").then_some(())
    })
    .await;

    let producers = eventually("every stream arrives", async || {
        let producers = room.handle.producers().borrow().clone();
        let streams: Vec<_> = producers.values().flat_map(|producer| &producer.layers).collect();
        let arriving = streams.len() == 1 + layers.len() && streams.iter().all(|stream| stream.packets > 50);
        arriving.then_some(producers)
    })
    .await;
    let audio = find(&producers, MediaKind::Audio).1;
    let (key, video) = find(&producers, MediaKind::Video);
    assert_eq!((audio.codec, video.codec), (Codec::Opus, Codec::Vp8));
    assert_eq!(video.layers.iter().map(|layer| layer.profile).collect::<Vec<_>>(), layers);
    assert_eq!(&*key.peer, "carol");

    is_paused_from_the_room(dialect, &room, &sender, key).await;
    is_paused_by_the_client(dialect, &room, &sender, key).await;

    // The browser sends before the room knows what: those few first packets are nobody's. And some are on their way. In a
    // simulcast it counts the padding with which it tries for more as sent on the lowest layer.
    eventually("as many packets as the browser sent, but for a few", async || {
        let theirs = sent(&sender).await;
        let producers = room.handle.producers().borrow().clone();
        let streams: Vec<_> = producers.values().flat_map(|one| &one.layers).collect();
        let lost: i64 = streams.iter().map(|layer| layer.lost).sum();
        let counts: Vec<_> = streams.iter().map(|layer| (theirs[&layer.ssrc], layer.packets)).collect();
        println!("(sent by the browser, counted by our room): {counts:?}, {lost} lost");
        let as_many = |(layer, (theirs, ours)): (&&LayerView, &(u64, u64))| {
            ours.saturating_sub(*theirs) < 30 && (layer.profile == Profile::Low || theirs.saturating_sub(*ours) < 30)
        };
        (lost == 0 && streams.iter().zip(&counts).all(as_many)).then_some(())
    })
    .await;

    sender.eval(if dialect == Dialect::V3 { "sender.close('video')" } else { "sender.producers.video.close()" }).await;
    eventually("the video is gone", async || (room.handle.producers().borrow().len() == 1).then_some(())).await;
    sender.eval("sender.leave()").await;
    eventually("all is gone", async || room.handle.producers().borrow().is_empty().then_some(())).await;
    room.handle.close().await;
}

async fn is_paused_from_the_room(dialect: Dialect, room: &EmbeddedRoom, sender: &Page<'_>, key: &ProducerKey) {
    room.handle.pause(key.clone()).await;
    let heard = async |name: &str| {
        // The demo of mediasoup 3 tells its receivers alone.
        if dialect == Dialect::V3 {
            return;
        }
        eventually(&format!("the client hears {name}"), async || {
            let events = sender.eval("sender.events").await;
            let event = events.as_array().unwrap().iter().find(|event| event["event"] == name).cloned();
            event.filter(|event| event["args"][0] == "remote").map(drop)
        })
        .await;
    };
    heard("producer.pause").await;
    let paused = async || room.handle.producers().borrow()[key].paused_by_room.then_some(());
    eventually("our room has paused it", paused).await;
    room.handle.resume(key.clone()).await;
    heard("producer.resume").await;
    arrives(room, key).await;
}

async fn is_paused_by_the_client(dialect: Dialect, room: &EmbeddedRoom, sender: &Page<'_>, key: &ProducerKey) {
    let [pause, resume] = match dialect {
        Dialect::V2 => ["sender.producers.video.pause()", "sender.producers.video.resume()"],
        Dialect::V3 => ["sender.pause('video')", "sender.resume('video')"],
    };
    sender.eval(pause).await;
    eventually("our room hears the pause", async || room.handle.producers().borrow()[key].paused_by_peer.then_some(()))
        .await;
    sender.eval(resume).await;
    eventually("our room hears the resume", async || {
        (!room.handle.producers().borrow()[key].paused_by_peer).then_some(())
    })
    .await;
    arrives(room, key).await;
}

/// More packets come on every layer.
async fn arrives(room: &EmbeddedRoom, key: &ProducerKey) {
    let packets = || -> Vec<u64> { room.handle.producers().borrow()[key].layers.iter().map(|l| l.packets).collect() };
    let before = packets();
    eventually("more packets on every layer", async || {
        packets().iter().zip(&before).all(|(now, before)| *now > before + 10).then_some(())
    })
    .await;
}

/// Packets the browser says it sent, by SSRC, without retransmissions.
async fn sent(sender: &Page<'_>) -> BTreeMap<u32, u64> {
    let mut all = BTreeMap::new();
    for kind in ["audio", "video"] {
        let stats = sender.eval(&format!("sender.stats('{kind}')")).await;
        for stream in stats.as_array().unwrap() {
            let count = |name: &str| stream[name].as_u64().unwrap_or(0);
            let ssrc = u32::try_from(count("ssrc")).unwrap();
            all.insert(ssrc, count("packetsSent") - count("retransmittedPacketsSent"));
        }
    }
    all
}

fn find(producers: &BTreeMap<ProducerKey, ProducerView>, kind: MediaKind) -> (&ProducerKey, &ProducerView) {
    producers.iter().find(|(_, producer)| producer.kind == kind).expect("one of each kind")
}

fn has_event(events: &Value, name: &str) -> bool {
    events.as_array().is_some_and(|events| events.iter().any(|event| event["event"] == json!(name)))
}
