//! What kept a load from carrying more.

use std::time::Duration;

use serde::Serialize;

use super::Report;
use crate::run::Cause;

/// A machine of which so much is busy is at its end.
const BUSY: f64 = 0.9;

/// Frames that are this late are seen to be.
const LATE: Duration = Duration::from_millis(50);

/// So many of the packets sent may be lost, or not be taken by a socket, before it is a limit.
const LOST: f64 = 0.01;
const NOT_TAKEN: f64 = 0.001;

/// Something that kept a load from carrying more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// By which rule.
    pub rule: Rule,
    /// For people.
    pub words: String,
}

/// When something is called the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Rule {
    /// A process kept nine of ten of its machine's processors busy, embedded rooms included.
    Processors,
    /// A thread of the embedded rooms kept nine tenths of a processor busy.
    RoomThread,
    /// One frame in a hundred was handed in 50 ms late or more: the machine did not keep the pace, whoever kept it busy.
    Pace,
    /// Sockets did not take one packet of a thousand or more.
    Sockets,
    /// The server, or the way to it, did not answer in time.
    ServerSlow,
    /// The server did not want peers: it refused them, or nobody answered.
    ServerRefused,
    /// The server or the network lost peers that were connected.
    ServerLost,
    /// One packet of a hundred or more was lost on the way to the server or in it, before it was repaired.
    Loss,
}

impl Limit {
    pub(super) fn of(report: &Report) -> Vec<Self> {
        let mut limits = Vec::new();
        let mut limit = |rule, words| limits.push(Self { rule, words });
        for process in &report.processes {
            let cores = process.machine.cores as f64;
            let rooms = process.rooms_cpu_seconds.unwrap_or_default() / process.seconds.max(f64::MIN_POSITIVE);
            let busy = process.cores_busy() + rooms;
            if busy >= BUSY * cores {
                let words = format!("this machine's processors: {busy:.2} of {cores} were busy with the load");
                limit(Rule::Processors, words);
            }
            let thread =
                process.busiest_room_thread_seconds.unwrap_or_default() / process.seconds.max(f64::MIN_POSITIVE);
            if thread >= BUSY {
                limit(
                    Rule::RoomThread,
                    format!("the embedded rooms: a thread of theirs was busy {:.0} % of the time", thread * 100.0),
                );
            }
        }
        if let Some(late) = report.late.percentile(99.0).filter(|late| *late >= LATE) {
            let words = format!(
                "the pace: one frame in a hundred was {late:.0?} late or more, so this machine does not keep up"
            );
            limit(Rule::Pace, words);
        }
        let packets = report.sent.packets.max(1) as f64;
        let sockets = report.sockets;
        let not_taken = sockets.media_refused + sockets.datagrams_dropped + sockets.errors;
        if not_taken as f64 >= NOT_TAKEN * packets {
            let words = format!(
                "the sockets: {} frames were refused and {} datagrams dropped for they do not keep up, {} were errors",
                sockets.media_refused, sockets.datagrams_dropped, sockets.errors
            );
            limit(Rule::Sockets, words);
        }
        let failed = |rule: fn(Cause) -> Option<Rule>, wanted| {
            let of = report.failures.iter().filter(|(cause, _)| rule(**cause) == Some(wanted));
            let all: Vec<_> = of.map(|(cause, failure)| format!("{} {}", failure.count, cause.as_str())).collect();
            (!all.is_empty()).then(|| all.join(", "))
        };
        for (wanted, what) in [
            (Rule::ServerSlow, "the server did not answer in time"),
            (Rule::ServerRefused, "the server did not let peers in"),
            (Rule::ServerLost, "the server or the network lost peers"),
        ] {
            if let Some(counts) = failed(rule_of, wanted) {
                limit(wanted, format!("{what}: {counts}"));
            }
        }
        if report.sent.lost as f64 >= LOST * packets {
            let words =
                format!("loss: {:.1} % of the packets on the way to the server, or in it", report.loss_percent());
            limit(Rule::Loss, words);
        }
        limits
    }
}

const fn rule_of(cause: Cause) -> Option<Rule> {
    match cause {
        Cause::ConnectTimeout | Cause::RequestTimeout | Cause::MediaTimeout => Some(Rule::ServerSlow),
        Cause::Unreachable | Cause::ConnectRefused | Cause::RequestRefused | Cause::Dtls => Some(Rule::ServerRefused),
        Cause::SignallingLost | Cause::MediaLost | Cause::ClosedByServer => Some(Rule::ServerLost),
        Cause::Other => None,
    }
}
