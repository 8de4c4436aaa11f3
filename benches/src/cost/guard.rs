//! The instructions of the five main paths, held against those that were committed.
//!
//! They count what this library and its dependencies do for one unit, on x86-64; another compiler or another version of a
//! dependency may move them, and then they are accepted anew, in a commit that says so.

use std::collections::BTreeMap;

use crate::count::instructions;
use crate::work::Work;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json");
/// Of the committed figure.
const TOLERANCE: f64 = 0.03;

const PATHS: [(&str, Work); 5] = [
    ("frame out", Work::Frames { raw: false, packets: 12, tracks: 1 }),
    ("packet out", Work::Packets { raw: false, packets: 1, tracks: 1 }),
    ("datagram in", Work::Datagrams),
    ("message in", Work::Messages),
    ("timer", Work::Timers),
];

pub(crate) fn check() -> Result<(), String> {
    let text = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    let accepted: BTreeMap<String, u64> = serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let mut worse = Vec::new();
    for (path, now) in measure()? {
        let before = *accepted.get(&path).ok_or_else(|| format!("{FILE} has no figure for {path}"))?;
        let ratio = now as f64 / before as f64;
        println!("{path}: {now} instructions, {ratio:.3} of the {before} accepted");
        if ratio > 1.0 + TOLERANCE {
            worse.push(path);
        } else if ratio < 1.0 - TOLERANCE {
            println!("{path} has become cheaper: accept the new figure, so that it stays so");
        }
    }
    if worse.is_empty() { Ok(()) } else { Err(format!("more instructions than accepted: {}", worse.join(", "))) }
}

pub(crate) fn accept() -> Result<(), String> {
    let text = serde_json::to_string_pretty(&measure()?).map_err(|error| error.to_string())?;
    std::fs::write(FILE, text + "\n").map_err(|error| format!("{FILE}: {error}"))
}

fn measure() -> Result<BTreeMap<String, u64>, String> {
    PATHS.iter().map(|(name, work)| Ok(((*name).to_owned(), instructions(*work)?.round() as u64))).collect()
}
