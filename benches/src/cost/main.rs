//! What the library costs, as a table: each line beside its baseline in the same run, or beside its target.
//!
//! ```sh
//! cargo run --release -p mediasoup-producer-benches
//! ```
//!
//! writes `benches/COST.md`; with `--features peers`, other senders beside it. With `check` it holds the instructions of the five main paths against those committed.

mod count;
mod guard;
mod sockets;
mod table;
mod work;

use std::alloc::System;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use work::Work;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Measures what the library costs, and writes the table `benches/COST.md`.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Holds the instructions of the five main paths against `benches/instructions.json`; 3% more is a failure.
    Check,
    /// Writes `benches/instructions.json` anew.
    Accept,
    /// Prints what other senders take.
    #[cfg(feature = "peers")]
    Peers,
    /// Does a piece of work, to be counted from outside.
    #[command(hide = true)]
    Run { work: Work },
}

fn main() -> ExitCode {
    let result = match Args::parse().task {
        None => table::write(),
        Some(Task::Check) => guard::check(),
        Some(Task::Accept) => guard::accept(),
        #[cfg(feature = "peers")]
        Some(Task::Peers) => {
            print!("{}", table::peer_section());
            Ok(())
        }
        Some(Task::Run { work }) => {
            count::run(work);
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
