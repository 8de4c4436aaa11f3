//! What a frame costs on its way from the application to the socket, beside what str0m alone takes for the same packets with
//! its stock cryptography. Compare the two rows of a group; single times say little on another machine.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mediasoup_producer_benches::{Ours, Raw, Sender};

/// Frames between two exchanges with the other side, which keep the connection alive and are not timed.
const BETWEEN_EXCHANGES: u64 = 50;

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame to datagrams");
    for packets in [1, 12] {
        group.throughput(Throughput::Elements(packets as u64));
        let mut senders: [(&str, Box<dyn Sender>); 2] =
            [("room", Box::new(Ours::connected(1))), ("str0m", Box::new(Raw::connected(1)))];
        for (name, sender) in &mut senders {
            group.bench_function(BenchmarkId::new(*name, packets), |bencher| {
                bencher.iter_custom(|frames| time(&mut **sender, frames, packets));
            });
        }
    }
    group.finish();
}

fn time(sender: &mut dyn Sender, frames: u64, packets: usize) -> Duration {
    let mut taken = Duration::ZERO;
    for round in (0..frames).step_by(BETWEEN_EXCHANGES as usize) {
        sender.exchange();
        sender.pass(&mut |_| {});
        let begin = Instant::now();
        for _ in 0..BETWEEN_EXCHANGES.min(frames - round) {
            sender.frame(0, packets);
            sender.pass(&mut |datagram| _ = black_box(datagram));
        }
        taken += begin.elapsed();
    }
    taken
}

criterion_group!(benches, frames);
criterion_main!(benches);
