//! Against what the estimators of the real workers made of the same packets.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use super::{Estimator, TimedPacket, Worker};
use crate::rng::Rng;

/// What is sent for how long over what path, in kbit/s.
struct Phase {
    seconds: u64,
    video: u64,
    audio: bool,
    path: u64,
    jitter_us: u64,
    loss: f64,
}

const fn phase(seconds: u64, video: u64, path: u64) -> Phase {
    Phase { seconds, video, audio: true, path, jitter_us: 0, loss: 0.0 }
}

/// Too much, much too much, as much as fits; a path that loses, one that jitters, one that breaks in; audio alone, and
/// silence.
const PHASES: [Phase; 10] = [
    phase(10, 800, 1_000),
    phase(4, 1_400, 1_000),
    phase(12, 700, 1_000),
    Phase { loss: 0.05, ..phase(8, 850, 1_000) },
    Phase { jitter_us: 15_000, ..phase(10, 850, 2_000) },
    phase(6, 850, 300),
    phase(10, 150, 300),
    phase(6, 0, 300),
    Phase { audio: false, ..phase(3, 0, 1_000) },
    phase(12, 600, 5_000),
];

/// Packets as they come: milliseconds since the first, and what they are.
fn packets() -> Vec<(u64, TimedPacket)> {
    let mut rng = Rng::new(7);
    let mut packets = Vec::new();
    let (mut begins, mut free, mut last) = (0, 0, 0);
    for Phase { seconds, video, audio, path, jitter_us, loss } in PHASES {
        let ends = begins + seconds * 1_000_000;
        let mut sent = Vec::new();
        for at in (begins..ends).step_by(20_000).filter(|_| audio) {
            sent.push((at, 1, 80));
        }
        for at in (begins..ends).step_by(33_333).filter(|_| video > 0) {
            let frame = video * 1_000 / 8 / 30 * (80 + rng.next_u64() % 41) / 100;
            // In steps of five packets, as a pacer lets them go.
            for (packet, step) in (0..frame.div_ceil(1_100)).zip((0..).flat_map(|step| [step; 5])) {
                sent.push((at + 5_000 * step, 2 + step as u32 % 2, (frame - 1_100 * packet).min(1_100)));
            }
        }
        sent.sort_unstable();
        for (at, ssrc, payload_bytes) in sent {
            free = at.max(free) + (payload_bytes + 60) * 8_000 / path;
            let arrives = free + 10_000 + if jitter_us > 0 { rng.next_u64() % jitter_us } else { 0 };
            last = arrives.max(last);
            if rng.unit() >= loss {
                // As the extension has it; it wraps meanwhile.
                let send_time = ((u128::from(at + 40_000_000) << 18) / 1_000_000) as u32 & 0xff_ffff;
                packets.push((last / 1_000, TimedPacket { ssrc, send_time, payload_bytes }));
            }
        }
        begins = ends;
    }
    packets
}

/// When each estimate was told, and what it was.
fn told(worker: Worker) -> Vec<(u64, u64)> {
    let origin = Instant::now();
    let mut estimator = Estimator::new(worker);
    let estimate =
        |(ms, packet): (u64, TimedPacket)| Some((ms, estimator.packet(origin + Duration::from_millis(ms), packet)?));
    packets().into_iter().filter_map(estimate).collect()
}

/// The files were written by the workers' own estimators, built from the npm packages and fed with [`packets`]. They cut fractions
/// of bits off here and there.
#[test]
fn estimates_are_told_when_the_workers_tell_theirs_and_are_the_same() {
    let workers = [(Worker::V2, include_str!("workers/2.6.19.txt")), (Worker::V3, include_str!("workers/3.27.1.txt"))];
    for (worker, file) in workers {
        let number = |word: &str| word.parse::<u64>().unwrap();
        let expected: Vec<_> =
            file.lines().map(|line| line.split_once(' ').unwrap()).map(|(ms, bps)| (number(ms), number(bps))).collect();
        let told = told(worker);
        assert_eq!(told.len(), expected.len(), "{worker:?}");
        for ((at, bps), (expected_at, expected_bps)) in told.into_iter().zip(expected) {
            assert_eq!(at, expected_at, "{worker:?}");
            assert!(
                bps.abs_diff(expected_bps) * 10_000 <= expected_bps,
                "{worker:?} at {at}: {bps}, not {expected_bps}"
            );
        }
    }
}
