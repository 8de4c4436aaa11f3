//! The table.

use std::time::{Duration, Instant};

use mediasoup_producer::sim::{Scenario, ScenarioConfig};
use mediasoup_producer_benches::{Idle, Ours, Raw, Sender};

use crate::count::{allocations, instructions};
use crate::sockets::{EVERYBODY, Load, Who, connecting, costs};
use crate::work::Work;

/// One line: what, the baseline, ours, their ratio, and what the ratio is to be at most.
struct Line {
    what: String,
    baseline: Option<f64>,
    ours: f64,
    target: Option<f64>,
}

impl Line {
    /// Against the same work in str0m.
    fn against(what: impl Into<String>, baseline: f64, ours: f64, target: f64) -> Self {
        Self { what: what.into(), baseline: Some(baseline), ours, target: Some(target) }
    }

    fn cells(&self) -> [String; 5] {
        let ratio = self.baseline.map(|baseline| self.ours / baseline);
        [
            self.what.clone(),
            self.baseline.map_or_else(String::new, figure),
            figure(self.ours),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            self.target.map_or_else(String::new, |target| format!("{target}")),
        ]
    }
}

fn figure(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

pub(crate) fn write() -> Result<(), String> {
    let sections = [
        ("Instructions for a packet of 1120 bytes, AES-256-GCM", instructions_lines()?),
        ("Allocations for a packet", allocation_lines()),
        ("Growth: instructions for a packet, many against few", growth_lines()?),
    ];
    let plain = whole_lines();
    let loads = socket_sections() + &latency_section();
    let mut text = String::from(HEAD);
    for (title, lines) in &sections {
        text +=
            &format!("\n## {title}\n\n| | baseline | ours | ratio | target |\n| --- | ---: | ---: | ---: | ---: |\n");
        for line in lines {
            text += &format!("| {} |\n", line.cells().join(" | "));
        }
    }
    text += "\n## One room, and many\n\n| | str0m | ours | target |\n| --- | ---: | ---: | ---: |\n";
    for line in &plain {
        text += &format!("| {} |\n", line.join(" | "));
    }
    text += &loads;
    #[cfg(feature = "peers")]
    let text = text + &peer_section();
    print!("{text}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/COST.md");
    std::fs::write(file, text).map_err(|error| format!("{file}: {error}"))
}

const HEAD: &str = "\
# What it costs

Written by `cargo run --release -p mediasoup-producer-benches`; with `--features peers` other senders are in it. What misses its
target, and why: [README.md](README.md). The baseline is str0m 0.25 alone, with its stock cryptography
and the same header extensions, RTX streams and payloads. Ratios carry over to other machines, single figures do not.
";

fn pair(work: fn(bool) -> Work, measure: impl Fn(Work) -> Result<f64, String>) -> Result<(f64, f64), String> {
    Ok((measure(work(true))?, measure(work(false))?))
}

fn instructions_lines() -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for Sending(what, work, target) in SENDING {
        let (baseline, ours) = pair(work, instructions)?;
        lines.push(Line::against(what, baseline, ours, target));
    }
    Ok(lines)
}

fn allocation_lines() -> Vec<Line> {
    let line = |Sending(what, work, _)| Line::against(what, allocations(work(true)), allocations(work(false)), 1.0);
    SENDING.map(line).into()
}

/// What is sent, and how many times str0m's instructions it may take.
struct Sending(&'static str, fn(bool) -> Work, f64);

const SENDING: [Sending; 5] = [
    Sending("frames of 1 packet", |raw| Work::Frames { raw, packets: 1, tracks: 1 }, 1.15),
    Sending("frames of 10 packets", |raw| Work::Frames { raw, packets: 10, tracks: 1 }, 1.15),
    Sending("frames of 12 packets", |raw| Work::Frames { raw, packets: 12, tracks: 1 }, 1.15),
    Sending("ready-made packets, one at a time", |raw| Work::Packets { raw, packets: 1, tracks: 1 }, 1.05),
    Sending("ready-made packets, twelve in a row", |raw| Work::Packets { raw, packets: 12, tracks: 1 }, 1.05),
];

fn growth_lines() -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for packets in [1, 12] {
        let growth = |raw| -> Result<f64, String> {
            let few = instructions(Work::Frames { raw, packets, tracks: 1 })?;
            Ok(instructions(Work::Frames { raw, packets, tracks: 100 })? / few)
        };
        let (baseline, ours) = (growth(true)?, growth(false)?);
        lines.push(Line::against(format!("100 producers against 1, frames of {packets}"), baseline, ours, 1.0));
    }
    let few = instructions(Work::Rooms { rooms: 10 })?;
    let many = instructions(Work::Rooms { rooms: 100 })?;
    lines.push(Line { what: "100 rooms against 10".to_owned(), baseline: Some(few), ours: many, target: Some(1.3) });
    Ok(lines)
}

/// One room, and many: what, str0m alone, ours, the target.
fn whole_lines() -> Vec<[String; 4]> {
    let line =
        |what: &str, baseline: String, ours: String, target: &str| [what.to_owned(), baseline, ours, target.to_owned()];
    let (wakes, checks) = Idle::silent().wakes(Duration::from_secs(600));
    let (times, connecting) = (virtual_time(), [false, true].map(connecting));
    let milliseconds = |[least, median, most]: [Duration; 3]| {
        let [least, median, most] = [least, median, most].map(|time| 1e3 * time.as_secs_f64());
        format!("{median:.1} ms ({least:.1} to {most:.1})")
    };
    let growth = |[few, many]: [f64; 2]| format!("{:.2} ({many:.2} against {few:.2} us)", many / few);
    vec![
        line(
            "CPU of a packet in 1,000 rooms against 10",
            growth([10, 1000].map(|rooms| many_cost(&mut many(rooms, || Raw::connected(1))))),
            growth([10, 1000].map(|rooms| many_cost(&mut many(rooms, || Ours::connected(1))))),
            "1.3",
        ),
        line(
            "memory of a connected room that sends nothing",
            format!("{} KiB", dropped(Raw::connected(1).into_sender()) >> 10),
            format!("{} KiB", dropped(Idle::silent().into_room()) >> 10),
            "64 KiB",
        ),
        line(
            "its wake-ups a second, those for ICE's checks left out",
            String::new(),
            format!("{:.2} ({:.2} with them)", (wakes - checks) as f64 / 600.0, wakes as f64 / 600.0),
            "2",
        ),
        line(
            "virtual time: Opus and VP8 in three layers, both ends, times real time",
            String::new(),
            format!("{times:.0}"),
            "at least 500",
        ),
        line("from `send` to DTLS connected over loopback, tokio", String::new(), milliseconds(connecting[0]), ""),
        line("the same, smol", String::new(), milliseconds(connecting[1]), ""),
    ]
}

fn many<S: Sender>(count: usize, connected: impl Fn() -> S) -> Vec<S> {
    (0..count).map(|_| connected()).collect()
}

/// Microseconds a packet, the median of some rounds over all of them.
fn many_cost(all: &mut [impl Sender]) -> f64 {
    let mut times: Vec<f64> = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        let mut packets = 0;
        while packets < 9_000 {
            for sender in all.iter_mut() {
                sender.frame(0, 3);
                sender.pass(&mut |datagram| _ = std::hint::black_box(datagram));
                packets += 3;
            }
        }
        times.push(begun.elapsed().as_secs_f64() * 1e6 / packets as f64);
        all.iter_mut().for_each(Sender::exchange);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// How many bytes go with something when it is dropped, its own among them.
fn dropped<T>(what: T) -> usize {
    let before = crate::ALLOCATOR.stats();
    drop(what);
    size_of::<T>() + crate::ALLOCATOR.stats().bytes_deallocated - before.bytes_deallocated
}

/// How much faster than the time that goes by for it a session is simulated.
fn virtual_time() -> f64 {
    const SIMULATED: Duration = Duration::from_secs(60);
    let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).sending();
    let begun = Instant::now();
    scenario.drive(SIMULATED);
    SIMULATED.as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// From handing a frame in to its datagrams at the other end.
fn latency_section() -> String {
    let load = Load::paced(12, 1);
    let mut text = String::from(
        "\n## Microseconds from handing a frame of 12 packets in to each of its datagrams at the other end, 30 frames a second\n\n\
         | | p50 | p99 |\n| --- | ---: | ---: |\n",
    );
    for who in EVERYBODY {
        let latencies = who.latencies(load);
        let at = |share: usize| latencies.get(latencies.len() * share / 100).map_or(0, Duration::as_micros);
        text += &format!("| {} | {} | {} |\n", who.name(), at(50), at(99));
    }
    text
}

/// CPU time through real sockets: a row a load, a column for everybody, and the adapters' ratio to what they are held to.
fn socket_sections() -> String {
    let saturated = [10, 12, 100].map(Load::saturated);
    let paced = [(3, 1), (12, 1), (3, 10), (12, 10)].map(|(packets, tracks)| Load::paced(packets, tracks));
    let mut text = section("as many frames as go, one core", &saturated, Who::RawGso, 1.1);
    text += &section("30 frames a second", &paced, Who::RawSendTo, 1.0);
    text
}

/// Another sender, which is in the table if it was built with it.
#[cfg(feature = "peers")]
pub(crate) fn peer_section() -> String {
    let mut text = String::from(
        "\n## Other senders: microseconds of CPU a packet over loopback, one producer, as many frames of 10 packets as go, AES-256-GCM\n\n\
         | | median (least to most) | to str0m |\n| --- | ---: | ---: |\n",
    );
    let costs = crate::sockets::peers(10);
    for (name, [least, median, most]) in costs {
        text += &format!("| {name} | {median:.2} ({least:.2} to {most:.2}) | {:.2} |\n", median / costs[0].1[1]);
    }
    text
}

fn section(title: &str, loads: &[Load], baseline: Who, target: f64) -> String {
    let names = EVERYBODY.map(Who::name).join(" | ");
    let mut text = format!(
        "\n## Microseconds of CPU a packet over loopback, {title}: median (least to most)\n\n\
         | producers, frame | {names} | tokio to {0} | smol to {0} | target |\n| --- |{1}\n",
        baseline.name(),
        " ---: |".repeat(EVERYBODY.len() + 3),
    );
    for load in loads {
        let costs = costs(*load);
        let median =
            |of: Who| EVERYBODY.iter().zip(&costs).find(|(who, _)| **who == of).map_or(0.0, |(_, cost)| cost[1]);
        let cells = costs.map(|[least, median, most]| format!("{median:.2} ({least:.2} to {most:.2})")).join(" | ");
        let (tokio, smol) = (median(Who::Tokio) / median(baseline), median(Who::Smol) / median(baseline));
        text +=
            &format!("| {}, {} packets | {cells} | {tokio:.2} | {smol:.2} | {target} |\n", load.tracks, load.packets);
    }
    text
}
