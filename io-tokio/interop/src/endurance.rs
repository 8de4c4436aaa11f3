//! Watching for long.

use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::browser::Viewer;

/// Looks on while a video is shown, for a minute, or for as many seconds as `INTEROP_SECONDS` says.
///
/// # Panics
/// When RTP time drifts from the wall clock, the memory of this process grows, or the picture freezes.
pub async fn watch_for_long(viewer: &Viewer<'_>) {
    let seconds: u64 = std::env::var("INTEROP_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let before = viewer.consumer("video").await;
    let start = Instant::now();
    let (mut offsets, mut memory) = (Vec::new(), Vec::new());
    let mut ticks = interval(Duration::from_secs(5));
    ticks.tick().await;
    while start.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        offsets.push(rtp_offset(viewer).await);
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
}

/// How far the RTP time of the pictures on show is ahead of the wall clock, in milliseconds, from an arbitrary origin.
/// The least of some: what is late is late by the viewer's doing.
async fn rtp_offset(viewer: &Viewer<'_>) -> f64 {
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
