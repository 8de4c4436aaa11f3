//! Publishes files or RTP to a room of mediasoup v2 or v3.

use std::process::ExitCode;
use std::time::Instant;

use mediasoup_publish::args::{Args, Command};
use mediasoup_publish::{load, log, manual, run};

#[tokio::main]
async fn main() -> ExitCode {
    let start = Instant::now();
    let args = Args::from_command_line();
    log::to_stderr(args.log.as_deref());
    let ok = match args.command.clone() {
        Some(Command::MergeReports(reports)) => load::merge(reports).await,
        Some(Command::Completions { shell }) => manual::completions(shell),
        Some(Command::Man) => manual::page(),
        None if args.load.rooms.is_some() => load::run(args, start).await,
        None => run::run(args, start).await,
    };
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
