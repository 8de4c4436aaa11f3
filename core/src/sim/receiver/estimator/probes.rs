//! Packets that were sent evenly and came evenly: the path carries as much at least.

use std::collections::VecDeque;

use super::Worker;

/// In the first so many milliseconds, and until there is an estimate.
const PROBING_MS: u64 = 2_000;
/// Smaller packets are not paced, so they tell nothing.
const SMALLEST: u64 = 200;
/// Distances of a cluster.
const CLUSTER: u32 = 4;
const CLUSTER_SPREAD_MS: f64 = 2.5;
/// When nothing can be made of so many packets, the first is forgotten; with so many clusters, all are.
const MOST_PACKETS: usize = 15;
const ENOUGH_CLUSTERS: usize = 3;
/// The workers have no such bound: a cluster that goes on without telling anything is looked through again and again.
const MOST_REMEMBERED: usize = 500;

#[derive(Debug)]
pub(super) struct Probes {
    worker: Worker,
    packets: VecDeque<Probe>,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    sent_ms: f64,
    arrived: u64,
    bytes: u64,
}

/// Packets with about the same distance between them when they were sent. Sums until it is complete, then means.
#[derive(Debug, Clone, Copy, Default)]
struct Cluster {
    sent_ms: f64,
    arrived_ms: f64,
    bytes: u64,
    distances: u32,
    /// How many of the distances are not none at all.
    apart: u32,
}

impl Probes {
    pub(super) const fn new(worker: Worker) -> Self {
        Self { worker, packets: VecDeque::new() }
    }

    /// Takes a packet. Returns what the path is now known to carry, in bits per second, if that is more than `estimate_bps`.
    pub(super) fn packet(&mut self, now: u64, send_time: u32, bytes: u64, estimate_bps: Option<u64>) -> Option<u64> {
        if bytes <= SMALLEST || (estimate_bps.is_some() && now >= PROBING_MS) {
            return None;
        }
        let sent_ms = (f64::from(send_time) * 1_000.0 / f64::from(1 << 18)).trunc();
        self.packets.push_back(Probe { sent_ms, arrived: now, bytes });
        let clusters = self.clusters();
        if clusters.is_empty() {
            if self.packets.len() >= MOST_PACKETS {
                self.packets.pop_front();
            }
            return None;
        }
        let carried = best(&clusters).filter(|bps| *bps > estimate_bps.unwrap_or(0));
        if carried.is_none() && clusters.len() >= ENOUGH_CLUSTERS {
            self.packets.clear();
        }
        if self.packets.len() > MOST_REMEMBERED {
            self.packets.pop_front();
        }
        carried
    }

    fn clusters(&self) -> Vec<Cluster> {
        let mut clusters = Vec::new();
        let mut current = Cluster::default();
        for (before, probe) in self.packets.iter().zip(self.packets.iter().skip(1)) {
            let sent_ms = probe.sent_ms - before.sent_ms;
            let arrived_ms = (probe.arrived - before.arrived) as f64;
            current.apart += u32::from(sent_ms >= 1.0 && arrived_ms >= 1.0);
            if !current.goes_on_with(sent_ms) {
                clusters.extend(current.complete(self.worker));
                current = Cluster::default();
            }
            current.sent_ms += sent_ms;
            current.arrived_ms += arrived_ms;
            current.bytes += probe.bytes;
            current.distances += 1;
        }
        clusters.extend(current.complete(self.worker));
        clusters
    }
}

impl Cluster {
    fn goes_on_with(&self, sent_ms: f64) -> bool {
        self.distances == 0 || (sent_ms - self.sent_ms / f64::from(self.distances)).abs() < CLUSTER_SPREAD_MS
    }

    fn complete(self, worker: Worker) -> Option<Self> {
        let tells = worker == Worker::V2 || (self.sent_ms > 0.0 && self.arrived_ms > 0.0);
        let distances = f64::from(self.distances);
        (self.distances >= CLUSTER && tells).then(|| Self {
            sent_ms: self.sent_ms / distances,
            arrived_ms: self.arrived_ms / distances,
            bytes: self.bytes / u64::from(self.distances),
            ..self
        })
    }

    /// Whether it came about as evenly as it was sent.
    fn came_through(&self) -> bool {
        let later = self.arrived_ms - self.sent_ms;
        self.apart > self.distances / 2 && (-5.0..=2.0).contains(&later)
    }

    fn bits_per_second(&self) -> u64 {
        ((self.bytes * 8 * 1_000) as f64 / self.sent_ms.max(self.arrived_ms)) as u64
    }
}

/// The most that a cluster shows, up to the first that did not come through.
fn best(clusters: &[Cluster]) -> Option<u64> {
    let timed = clusters.iter().filter(|cluster| cluster.sent_ms != 0.0 && cluster.arrived_ms != 0.0);
    timed.take_while(|cluster| cluster.came_through()).map(Cluster::bits_per_second).max()
}
