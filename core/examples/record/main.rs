//! Records a run in which much goes wrong: packets are lost, a request is refused, answers come late, the server pauses
//! and closes, the network is cut.
//!
//! `cargo run -p mediasoup-producer --example record -- FILE [SEED]`; `--example replay -- FILE` runs it again.

#![allow(clippy::disallowed_methods)] // a program may ask for the time

mod faults;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (file, seed) = (arguments.next(), arguments.next().map_or(Ok(1), |seed| seed.parse()));
    let (Some(file), Ok(seed)) = (file, seed) else {
        eprintln!("usage: record FILE [SEED]");
        return ExitCode::from(2);
    };
    let lines = faults::record(Instant::now(), seed);
    if let Err(error) = std::fs::write(&file, lines.join("\n") + "\n") {
        eprintln!("{file}: {error}");
        return ExitCode::from(2);
    }
    println!("{} lines", lines.len());
    ExitCode::SUCCESS
}
