//! How a load is told: JSON, lines, or a table that stays in its place.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::ContentArrangement;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;

use super::{Distribution, Process, Progress, Report, Usage};
use crate::report::{self, Event, Json, Lines, Table, bitrate, millis, milliseconds, thousandths};

/// Causes whose words are shown; the JSON has them all.
const CAUSES_SHOWN: usize = 8;

impl<W: Write + Send> report::Report<Progress, Result<Report, String>> for Json<W> {
    fn event(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.event_line(t, event)
    }

    fn sample(&mut self, t: Duration, progress: &Progress) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line {
            t: f64,
            load: Load,
        }
        #[derive(Serialize)]
        struct Load {
            peers: usize,
            waiting: usize,
            connecting: usize,
            connected: usize,
            failed: usize,
            packets: u64,
            bitrate_bps: u64,
            lost: u64,
            retransmitted: u64,
            connect_p99_ms: Option<f64>,
            round_trip_p99_ms: Option<f64>,
            late_p99_ms: Option<f64>,
            #[serde(flatten)]
            usage: Usage,
        }
        let load = Load {
            peers: progress.peers,
            waiting: progress.waiting,
            connecting: progress.connecting,
            connected: progress.connected,
            failed: progress.failed,
            packets: progress.packets,
            bitrate_bps: progress.bitrate_bps,
            lost: progress.lost,
            retransmitted: progress.retransmitted,
            connect_p99_ms: progress.connect_p99.map(milliseconds),
            round_trip_p99_ms: progress.round_trip_p99.map(milliseconds),
            late_p99_ms: progress.late_p99.map(milliseconds),
            usage: Usage {
                cpu_cores: thousandths(progress.usage.cpu_cores),
                rooms_cpu_cores: progress.usage.rooms_cpu_cores.map(thousandths),
                memory: progress.usage.memory,
            },
        };
        self.line(&Line { t: thousandths(t.as_secs_f64()), load })
    }

    fn summary(&mut self, outcome: &Result<Report, String>) -> io::Result<()> {
        match outcome {
            Ok(report) => self.line(&serde_json::json!({ "report": report.with_what_follows() })),
            Err(error) => self.line(&serde_json::json!({ "report": null, "error": error })),
        }
    }
}

impl<W: Write + Send> report::Report<Progress, Result<Report, String>> for Lines<W> {
    fn event(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.event_line(t, event)
    }

    fn sample(&mut self, t: Duration, progress: &Progress) -> io::Result<()> {
        let parts = rows(progress).into_iter().map(|(name, value)| format!("{name}: {value}"));
        self.line(&format!("{:8.3} {}", t.as_secs_f64(), parts.collect::<Vec<_>>().join("; ")))
    }

    fn summary(&mut self, outcome: &Result<Report, String>) -> io::Result<()> {
        // What is no report is said on standard error.
        let Ok(report) = outcome else { return Ok(()) };
        self.line(&summary(report))
    }
}

impl<W: Write + Send> report::Report<Progress, Result<Report, String>> for Table<W> {
    fn event(&mut self, t: Duration, event: &Event) -> io::Result<()> {
        self.event_line(t, event)
    }

    fn sample(&mut self, _: Duration, progress: &Progress) -> io::Result<()> {
        self.show(table(rows(progress)))
    }

    fn summary(&mut self, outcome: &Result<Report, String>) -> io::Result<()> {
        match outcome {
            Ok(report) => self.end(&summary(report)),
            Err(_) => Ok(()),
        }
    }
}

/// How a load stands, thing by thing.
fn rows(progress: &Progress) -> Vec<(&'static str, String)> {
    let Progress { peers, waiting, connecting, connected, failed, .. } = progress;
    let time = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), millis);
    let [connect, round_trip, late] = [progress.connect_p99, progress.round_trip_p99, progress.late_p99].map(time);
    let usage = progress.usage;
    let rooms = usage.rooms_cpu_cores.map(|cores| format!(" (embedded rooms {cores:.2})")).unwrap_or_default();
    vec![
        (
            "peers",
            format!("{connected} of {peers} connected, {connecting} connecting, {waiting} waiting, {failed} failed"),
        ),
        ("sent", format!("{}, {} packets", bitrate(progress.bitrate_bps), progress.packets)),
        ("lost", format!("{}, resent {}", progress.lost, progress.retransmitted)),
        ("p99", format!("connect {connect}, round trip {round_trip}, late {late}")),
        ("processors", format!("{:.2} busy{rooms}", usage.cpu_cores)),
        ("memory", bytes(usage.memory)),
    ]
}

/// A report for people: as a table, which also reads well in a file.
fn summary(report: &Report) -> String {
    let peers = report.peers;
    let mut rows = vec![(
        "peers",
        format!(
            "{} of {} connected, {} failed before that, {} lost after it",
            peers.connected, peers.wanted, peers.failed, peers.lost
        ),
    )];
    for process in &report.processes {
        rows.push(("process", of_process(process)));
    }
    for (name, times) in
        [("connect", &report.connect), ("round trip", &report.round_trip), ("frames late", &report.late)]
    {
        rows.push((name, percentiles(times)));
    }
    let sent = report.sent;
    rows.push((
        "sent",
        format!(
            "{} encodings, {} frames, {} packets, {}",
            report.encodings,
            sent.frames,
            sent.packets,
            bytes(sent.bytes)
        ),
    ));
    rows.push(("lost", format!("{} packets ({:.2} %) before they were repaired", sent.lost, report.loss_percent())));
    rows.push((
        "repair",
        format!(
            "{} NACKs, {} packets sent again, {} key frame requests",
            sent.nacks, sent.retransmitted, sent.key_frame_requests
        ),
    ));
    rows.push(("received", received(report)));
    let cpu =
        report.cpu_for_a_peer().map_or_else(|| "-".to_owned(), |cpu| format!("{:.2} % of a processor", cpu * 100.0));
    rows.push(("a peer takes", format!("{cpu}, {}", report.memory_for_a_peer().map_or_else(|| "-".to_owned(), bytes))));
    for (cause, failure) in report.failures.iter().take(CAUSES_SHOWN) {
        rows.push(("failed", format!("{} {}: {}", failure.count, cause.as_str(), failure.words)));
    }
    let limits = report.limits();
    if limits.is_empty() {
        rows.push(("limit", "none: all that was asked for was carried".to_owned()));
    }
    for limit in limits {
        rows.push(("limit", limit.words));
    }
    let verdict = if report.ok() {
        "ok: every peer was connected to the end"
    } else {
        "failed: not every peer was connected to the end, and heard"
    };
    format!("{}\n{verdict}", table(rows))
}

fn of_process(process: &Process) -> String {
    let Process { dialect, server, rooms, producers, machine, .. } = process;
    let of_rooms = process
        .rooms_cpu_seconds
        .map(|cpu| format!(" and {:.2} with the rooms", cpu / process.seconds.max(f64::MIN_POSITIVE)));
    format!(
        "{} peers with {producers} producers each in {rooms} rooms ({dialect}, {server}) for {:.1} s; {:.2} of {} processors busy{}; {} (kernel {})",
        process.peers_full,
        process.seconds,
        process.cores_busy(),
        machine.cores,
        of_rooms.unwrap_or_default(),
        machine.system,
        machine.kernel,
    )
}

fn percentiles(times: &Distribution) -> String {
    let shown = |time: Option<Duration>| time.map_or_else(|| "-".to_owned(), millis);
    let [p50, p95, p99] = [50.0, 95.0, 99.0].map(|percent| shown(times.percentile(percent)));
    format!("p50 {p50}, p95 {p95}, p99 {p99}, at most {}", shown(times.max()))
}

fn received(report: &Report) -> String {
    let room = report.received;
    let mut text = format!("{} packets, {} lost for good", room.packets, room.lost);
    if report.untold > 0 {
        text += &format!("; of {} encodings the rooms do not tell", report.untold);
    }
    if report.unreceived > 0 {
        text += &format!("; nothing of {} encodings", report.unreceived);
    }
    text
}

fn table(rows: Vec<(&'static str, String)>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    table.to_string()
}

/// Bytes, for people.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        10_000_000..10_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
