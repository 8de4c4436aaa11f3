//! Publishes files or RTP to a room of mediasoup v2 or v3.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use mediasoup_publish::args::{Args, Command};
use mediasoup_publish::{load, run};

#[tokio::main]
async fn main() -> ExitCode {
    let start = Instant::now();
    let args = Args::parse();
    let ok = match args.command.clone() {
        Some(Command::MergeReports(reports)) => load::merge(reports).await,
        None if args.load.rooms.is_some() => load::run(args, start).await,
        None => run::run(args, start).await,
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
