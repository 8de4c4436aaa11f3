//! Sending for long: nothing drifts, grows or freezes. A minute, or as many seconds as `INTEROP_SECONDS` says.
#![cfg(feature = "legacy-dtls")]

use std::time::Duration;

use mediasoup_interop::{Browser, Player, Publisher, Server, audio_track, beat, clip, layers, stock, video_track};
use mediasoup_producer::v2::ProducerOptions;
use tokio::time::{Instant, interval};

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn nothing_drifts_grows_or_freezes() {
    let seconds: u64 = std::env::var("INTEROP_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let (server, browser) = tokio::join!(Server::start(&[]), Browser::start());
    let publisher = Publisher::join(&server, stock()).await;
    let viewer = browser.view(&server).await;
    let transport = publisher.transport();
    let audio = publisher.send(&transport, audio_track(), ProducerOptions::default()).await;
    let video = publisher.send(&transport, video_track(), ProducerOptions::default().simulcast(true)).await;
    publisher.connected(&transport).await;
    let players = [Player::single(&audio, beat()), Player::layers(&video, layers(clip))];
    viewer.sees_more().await;
    viewer.hears_more().await;
    viewer.prefer("high").await;
    viewer.sees_width(640).await;
    viewer.sees_more().await;

    let before = viewer.consumer("video").await;
    let start = Instant::now();
    let (mut offsets, mut memory) = (Vec::new(), Vec::new());
    let mut ticks = interval(Duration::from_secs(5));
    ticks.tick().await;
    while start.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        offsets.push(rtp_offset(&viewer).await);
        memory.push(resident_kib());
    }
    let after = viewer.consumer("video").await;
    let grown = |name: &str| after[name].as_f64().unwrap_or(0.0) - before[name].as_f64().unwrap_or(0.0);

    // A busy machine makes pictures late, never early: the least late of some tell how the clocks stand.
    let least_late: Vec<f64> =
        offsets.chunks(4).map(|some| some.iter().copied().fold(f64::NEG_INFINITY, f64::max)).collect();
    // RTP time has 32 bits.
    let round = f64::from(u32::MAX) / 90.0;
    let drift: Vec<f64> = least_late
        .iter()
        .map(|offset| (offset - least_late[0] + round / 2.0).rem_euclid(round) - round / 2.0)
        .collect();
    println!("{seconds} s: RTP time against the wall clock, in ms: {drift:.1?}");
    println!("resident memory in KiB: {memory:?}");
    println!(
        "viewer: {} frames decoded, {} dropped, {} freezes of {:.1} s in all",
        grown("framesDecoded"),
        grown("framesDropped"),
        grown("freezeCount"),
        grown("totalFreezesDuration")
    );
    // The browser calls it a freeze when a picture is 150 ms late, which a busy machine brings about by itself: a few are
    // allowed, of less than a second each.
    let frozen = grown("totalFreezesDuration");
    assert!(frozen <= seconds as f64 / 50.0 && frozen <= grown("freezeCount"), "frozen for {frozen} s");
    assert!(drift.iter().all(|ms| ms.abs() <= 20.0), "{drift:?}");
    let (early, late) = (memory[0], memory[memory.len() - 1]);
    assert!(late <= early + 1024, "{memory:?}");

    for player in players {
        player.stop().await;
    }
    for producer in [&audio, &video] {
        for stream in publisher.arrived(&server, producer).await {
            println!("{:?} {:?}: {} packets at both ends", producer.kind(), stream.layer, stream.packets_sent);
        }
    }
    let stats = publisher.room.stats();
    assert_eq!((stats.events_dropped, stats.transmits_dropped), (0, 0));
}

/// How far the RTP time of the pictures on show is ahead of the wall clock, in milliseconds, from an arbitrary origin.
/// The least of some: what is late is late by the viewer's doing.
async fn rtp_offset(viewer: &mediasoup_interop::Viewer<'_>) -> f64 {
    let expression = "(async () => {
        const video = [...document.querySelectorAll('video')].at(-1);
        let best = -Infinity;
        for (let i = 0; i < 30; i++) {
            const offset = await new Promise((resolve) => video.requestVideoFrameCallback((_, frame) =>
                resolve(frame.rtpTimestamp / 90 - frame.receiveTime)));
            best = Math.max(best, offset);
        }
        return best;
    })()";
    viewer.page().eval(expression).await.as_f64().expect("pictures with RTP time")
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident set");
    line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number")
}
