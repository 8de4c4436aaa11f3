//! Publishes files or RTP to a room of mediasoup v2 or v3.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use mediasoup_publish::args::Args;
use mediasoup_publish::run::run;

#[tokio::main]
async fn main() -> ExitCode {
    let start = Instant::now();
    if run(Args::parse(), start).await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
