//! A room that anything can publish to: the examples, the C program of `core/ffi`, what you write yourself.
//!
//! ```sh
//! cargo run -p mediasoup-producer --example room -- [--address 127.0.0.1:0] [--visitors N]
//! ```
//!
//! It prints the address of its door, and for each visitor who has left what arrived. After N visitors it ends.

#![allow(clippy::disallowed_methods)] // a room on real sockets lives in real time

#[path = "mod.rs"]
mod room;

use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let address = room::option("address")?.unwrap_or(room::ANYWHERE);
    let visitors = room::option("visitors")?.unwrap_or(usize::MAX);
    Ok(if room::serve(address, visitors)? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
