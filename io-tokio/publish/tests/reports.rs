//! Reports of loads add up.

use std::time::Duration;

use mediasoup_publish::load::{Failure, Peers, Report};
use mediasoup_publish::run::Cause;
use proptest::collection::vec;
use proptest::prelude::*;

/// How a peer fared: how long it took to be connected, in microseconds, and how late its frames were; or why it failed.
#[derive(Debug, Clone)]
enum Fate {
    Connected { micros: u64, late: Vec<u64>, packets: u64 },
    Failed { cause: Cause, words: String },
}

fn fate() -> impl Strategy<Value = Fate> {
    let micros = || prop_oneof![0..2_000u64, 0..10_000_000u64, 3_599_000_000..3_700_000_000u64];
    let cause = prop_oneof![Just(Cause::Unreachable), Just(Cause::RequestTimeout), Just(Cause::Other)];
    prop_oneof![
        (micros(), vec(micros(), 0..20), 0..1_000_000u64).prop_map(|(micros, late, packets)| Fate::Connected {
            micros,
            late,
            packets
        }),
        (cause, "[a-c]{1,2}").prop_map(|(cause, words)| Fate::Failed { cause, words }),
    ]
}

fn report(fates: &[Fate]) -> Report {
    let mut report = Report::default();
    for fate in fates {
        report.peers += Peers { wanted: 1, begun: 1, ..Peers::default() };
        match fate {
            Fate::Connected { micros, late, packets } => {
                report.peers.connected += 1;
                report.connect.record(Duration::from_micros(*micros));
                for late in late {
                    report.late.record(Duration::from_micros(*late));
                }
                report.sent.packets += packets;
            }
            Fate::Failed { cause, words } => {
                report.peers.failed += 1;
                let failure = Failure { count: 1, words: words.clone() };
                report.merge(Report { failures: [(*cause, failure)].into(), ..Report::default() });
            }
        }
    }
    report
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// However the peers were spread over processes, and in whatever order their reports are read.
    #[test]
    fn merged_reports_are_the_report_of_all_peers(parts in vec(vec(fate(), 0..12), 1..4)) {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let file = folder.path().join(number.to_string());
            report(part).write(&file).unwrap();
            files.push(file);
        }
        let union = report(&parts.concat());
        prop_assert_eq!(&Report::read_all(&files).unwrap(), &union);
        files.reverse();
        let merged = Report::read_all(&files).unwrap();
        prop_assert_eq!(&merged, &union);
        for percent in [50.0, 99.0, 100.0] {
            prop_assert_eq!(merged.connect.percentile(percent), union.connect.percentile(percent));
        }
    }
}

/// Against what is known of the samples themselves, to three digits.
#[test]
fn the_99th_percentile_of_merged_reports_is_that_of_all_samples() {
    let mut merged = Report::default();
    // One process has only fast peers, the other the slow ones: no mean of their percentiles would be right.
    for range in [1..=980u64, 981..=1000] {
        let mut part = Report::default();
        for ms in range {
            part.connect.record(Duration::from_millis(ms));
        }
        merged.merge(part);
    }
    let p99 = merged.connect.percentile(99.0).unwrap();
    assert!(p99.abs_diff(Duration::from_millis(990)) <= Duration::from_millis(1), "{p99:?}");
}
