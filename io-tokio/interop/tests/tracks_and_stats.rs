//! Another track in a producer's place; and the server's statistics.
#![cfg(feature = "legacy-dtls")]

use std::time::Duration;

use mediasoup_interop::io::v2::Event;
use mediasoup_interop::{
    Browser, CLIP_FRAMES, Events, Player, Publisher, Server, assert_smooth, clip, eventually, layers, stock,
    video_track,
};
use mediasoup_producer::v2::stats::{ProducerStats, TransportStats};
use mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, ProducerOptions, TransportEvent};
use mediasoup_producer::{MediaKind, Track};
use serde_json::Value;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_replaced_track_keeps_id_and_ssrc_and_shows_its_own_picture() {
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, stock()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let video = publisher.send(&transport, video_track(), ProducerOptions::default()).await;
    publisher.connected(&transport).await;
    let player = Player::single(&video, clip("medium"));
    viewer.sees_more().await;
    viewer.sees_width(320).await;

    let parameters = video.rtp_parameters().unwrap();
    let mark = publisher.events.mark();
    player.stop().await;
    video.replace_track(Track::new(MediaKind::Video, "another", "Another camera")).unwrap();
    publisher
        .events
        .wait_since(mark, "a key frame is wanted", |event| match event {
            Event::Room(RoomEvent::Producer { event: ProducerEvent::KeyFrameRequest { .. }, .. }) => Some(()),
            _ => None,
        })
        .await;
    // Its media time begins at 0 again: RTP time must not jump.
    let player = Player::single(&video, clip("high"));
    viewer.sees_width(640).await;
    let pictures = viewer.watch(60).await;
    assert!(pictures.iter().all(|picture| (picture.width, picture.height) == (640, 360)));
    assert_smooth(&pictures, CLIP_FRAMES);

    assert_eq!(video.rtp_parameters().unwrap(), parameters);
    assert_eq!(video.original_track().unwrap().id(), "another");
    assert_eq!(video.transport().unwrap().id(), transport.id());
    assert!(publisher.events.producer(mark, video.id()).is_empty());
    let consumer = viewer.consumer("video").await;
    println!(
        "{} frames decoded, {} freezes of {} s",
        consumer["framesDecoded"], consumer["freezeCount"], consumer["totalFreezesDuration"]
    );
    player.stop().await;
    let sent = publisher.arrived(&server, &video).await;
    println!("sent {} packets, server counted as many", sent[0].packets_sent);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn statistics_come_typed_at_their_interval_and_none_while_paused() {
    let server = Server::start(&[]).await;
    let publisher = Publisher::join(&server, stock()).await;
    let transport = publisher.transport();
    // Before the server knows of either: held until it does.
    transport.enable_stats(Duration::from_millis(100)).unwrap();
    let video =
        publisher.room.create_producer(video_track(), ProducerOptions::default().simulcast(true), None).unwrap();
    video.enable_stats(Duration::from_secs(2)).unwrap();
    assert_eq!(transport.stats_interval(), Some(Duration::from_secs(1)));
    video.send(&transport).await.unwrap();
    publisher.connected(&transport).await;
    let player = Player::layers(&video, layers(clip));
    let events = &publisher.events;

    let (producer, of_transport) = (video.id(), transport.id());
    let producer_stats = |event: &Event| match event {
        Event::Room(RoomEvent::Producer { id, event: ProducerEvent::Stats { stats } }) if *id == producer => {
            Some(stats.clone())
        }
        _ => None,
    };
    let transport_stats = |event: &Event| match event {
        Event::Room(RoomEvent::Transport { id, event: TransportEvent::Stats { stats } }) if *id == of_transport => {
            Some(stats.clone())
        }
        _ => None,
    };

    // Those that have all streams, by the server's own clock.
    let whole = |event: &Event| producer_stats(event).filter(|stats| stats.len() == 3);
    let reports = reports(events, "producer stats of three streams", whole).await;
    assert_interval(reports.iter().map(|stats| &stats[0].raw), 2);
    let stats = &reports[0];
    for ProducerStats { stream, raw } in stats {
        let stream = stream.as_ref().expect("typed");
        assert_eq!(raw["ssrc"], stream.ssrc);
        assert_eq!(
            (raw["packetCount"].as_u64(), raw["byteCount"].as_u64()),
            (Some(stream.packet_count), Some(stream.byte_count))
        );
        assert_eq!(stream.mime_type, "video/VP8");
        assert!(stream.packet_count > 0 && stream.byte_count > 0 && stream.bitrate_bps > 0, "{stream:?}");
    }
    let ours: Vec<_> = video.outbound_stats().iter().map(|stream| stream.ssrc).collect();
    assert!(stats.iter().all(|one| ours.contains(&one.stream.as_ref().unwrap().ssrc)));
    println!("producer: {}", stats[0].raw);

    let reports = self::reports(events, "transport stats", transport_stats).await;
    assert_interval(reports.iter().map(|stats| &stats[0].raw), 1);
    let [TransportStats { transport: Some(typed), raw }] = &reports[0][..] else { panic!("{reports:?}") };
    assert_eq!(raw["dtlsState"], typed.dtls_state);
    assert_eq!(typed.dtls_state, "connected");
    assert!(typed.bytes_received > 0 && typed.bytes_sent > 0, "{raw}");
    println!("transport: {raw}");

    // A paused producer has none; those of the transport say how long we have waited.
    video.pause(None).unwrap();
    eventually("the server has paused it", async || {
        (server.producer(video.id()).await["remotelyPaused"] == true).then_some(())
    })
    .await;
    // What was under way has arrived.
    events.wait_since(events.mark(), "transport stats", transport_stats).await;
    let mark = events.mark();
    eventually("four reports of the transport", async || (events.all(mark, transport_stats).len() >= 4).then_some(()))
        .await;
    let while_paused = events.all(mark, producer_stats);
    assert!(while_paused.is_empty(), "{while_paused:?}");

    video.resume(None).unwrap();
    events.wait_since(events.mark(), "producer stats after the resume", producer_stats).await;
    video.disable_stats().unwrap();
    transport.disable_stats().unwrap();
    eventually("the server was told", async || {
        let told =
            [server.messages("disableProducerStats").await.len(), server.messages("disableTransportStats").await.len()];
        (told == [1, 1]).then_some(())
    })
    .await;
    player.stop().await;
}

/// The next four.
async fn reports<T>(events: &Events, what: &str, pick: impl Fn(&Event) -> Option<T>) -> Vec<T> {
    let mark = events.mark();
    eventually(what, async || Some(events.all(mark, &pick)).filter(|all| all.len() >= 4)).await
}

/// On average. Both ends of it may be late on a busy machine.
fn assert_interval<'a>(reports: impl Iterator<Item = &'a Value>, seconds: u32) {
    let times: Vec<f64> = reports.filter_map(|raw| raw["timestamp"].as_f64()).collect();
    let average = (times[times.len() - 1] - times[0]) / (times.len() - 1) as f64 / 1000.0;
    println!("{seconds} s asked for, one every {average:.3} s");
    assert!((0.8..1.5).contains(&(average / f64::from(seconds))), "{times:?}");
}
