//! Records a run in which much goes wrong: packets are lost, a request is refused, answers come late or never, the server
//! pauses and closes, the network is cut.
//!
//! `cargo run -p mediasoup-producer --example record -- v2|v3 FILE [SEED]`; `--example replay -- FILE` runs it again.

#![allow(clippy::disallowed_methods)] // a program may ask for the time

mod v2;
mod v3;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let record = match arguments.next().as_deref() {
        Some("v2") => Some(v2::record as fn(Instant, u64) -> Vec<String>),
        Some("v3") => Some(v3::record as fn(Instant, u64) -> Vec<String>),
        Some(_) | None => None,
    };
    let (file, seed) = (arguments.next(), arguments.next().map_or(Ok(1), |seed| seed.parse()));
    let (Some(record), Some(file), Ok(seed)) = (record, file, seed) else {
        eprintln!("usage: record v2|v3 FILE [SEED]");
        return ExitCode::from(2);
    };
    let lines = record(Instant::now(), seed);
    if let Err(error) = std::fs::write(&file, lines.join("\n") + "\n") {
        eprintln!("{file}: {error}");
        return ExitCode::from(2);
    }
    println!("{} lines", lines.len());
    ExitCode::SUCCESS
}
