//! Runs a recorded or hand-written session again and reports the first output that differs, or that none does.
//!
//! `cargo run -p mediasoup-producer --example replay -- FILE [NEW]`; the format is that of the module `record`. The replay's
//! own recording is written to NEW, if one is named. Exit status 1: something differs; 2: the file cannot be run.

#![allow(clippy::disallowed_methods)] // a program may ask for the time

use std::fs::File;
use std::io::Read;
use std::process::ExitCode;
use std::time::Instant;

/// A day of one camera is about so long.
const MAX_BYTES: u64 = 1 << 30;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(file), new, None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: replay FILE [NEW]");
        return ExitCode::from(2);
    };
    let mut recording = String::new();
    let read = File::open(&file).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut recording));
    match read {
        Ok(length) if length as u64 <= MAX_BYTES => {}
        Ok(_) => {
            eprintln!("{}: longer than {MAX_BYTES} bytes", file.display());
            return ExitCode::from(2);
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(2);
        }
    }
    let replay = match mediasoup_producer::record::replay(Instant::now(), &recording) {
        Ok(replay) => replay,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            return ExitCode::from(2);
        }
    };
    if let Some(new) = new
        && let Err(error) = std::fs::write(&new, replay.recording.join("\n") + "\n")
    {
        eprintln!("{}: {error}", new.display());
        return ExitCode::from(2);
    }
    match &replay.difference {
        Some(difference) => {
            println!("{difference}");
            ExitCode::FAILURE
        }
        None if replay.compared == 0 => {
            replay.recording.iter().skip(1).for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        None => {
            println!("{} outputs, and none differs", replay.compared);
            ExitCode::SUCCESS
        }
    }
}
