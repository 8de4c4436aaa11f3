//! What a frame costs on its way from the application to the socket, as a ratio to what str0m alone takes for the same
//! packets with its stock cryptography. Compare the two rows of a group; single times say little on another machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mediasoup_producer::sim::{Scenario, ScenarioConfig, Source};
use mediasoup_producer::{Frame, MediaKind};
use mediasoup_producer_benches::baseline::Baseline;

/// Payload bytes of a full packet.
const PAYLOAD: usize = 1100;
/// Frames between two exchanges with the other side, which keep the connection alive and are not timed.
const CHUNK: u64 = 500;

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame to datagrams");
    for packets in [1, 8] {
        group.throughput(Throughput::Elements(packets as u64));
        group.bench_with_input(BenchmarkId::new("room", packets), &packets, |bencher, &packets| {
            let source = Source::vp8(100_000);
            let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).sending_with([source]);
            scenario.stop_media();
            let producer = scenario.producer_id(MediaKind::Video).expect("one is sent");
            // Bit 0 of a VP8 frame: not a key frame.
            let data = Bytes::from(vec![1; PAYLOAD * packets]);
            let mut time = Duration::from_secs(100);
            bencher.iter_custom(|iterations| {
                chunked(iterations, |chunk| {
                    let mut now = scenario.now();
                    let begin = Instant::now();
                    for _ in 0..chunk {
                        now += Duration::from_millis(1);
                        time += Duration::from_millis(33);
                        let mut handle = scenario.room.producer(producer).expect("still there");
                        handle.write_frame(now, Frame::new(data.clone(), time)).expect("connected and not paused");
                        while let Some(output) = scenario.room.poll_output() {
                            black_box(output);
                        }
                    }
                    let taken = begin.elapsed();
                    scenario.drive(Duration::from_secs(1));
                    taken
                })
            });
        });
        group.bench_with_input(BenchmarkId::new("str0m", packets), &packets, |bencher, &packets| {
            let mut baseline = Baseline::connected(Instant::now());
            let payload = vec![1; PAYLOAD];
            let mut time = 0;
            bencher.iter_custom(|iterations| {
                chunked(iterations, |chunk| {
                    let begin = Instant::now();
                    for _ in 0..chunk {
                        time += 3000;
                        black_box(baseline.write_frame(&payload, packets, time));
                    }
                    let taken = begin.elapsed();
                    baseline.exchange(Duration::from_millis(500));
                    taken
                })
            });
        });
    }
    group.finish();
}

fn chunked(mut iterations: u64, mut run: impl FnMut(u64) -> Duration) -> Duration {
    let mut taken = Duration::ZERO;
    while iterations > 0 {
        let chunk = iterations.min(CHUNK);
        taken += run(chunk);
        iterations -= chunk;
    }
    taken
}

criterion_group!(benches, frames);
criterion_main!(benches);
