//! What is asked of a recording, whatever its dialect.

#![allow(dead_code, clippy::disallowed_methods)] // each test file uses a part of it; a test may ask for the time once

use std::process::Command;
use std::time::Instant;

use bytes::Bytes;
use mediasoup_producer::record::replay;
use mediasoup_producer::{IceProtocol, Receive};

/// A datagram that is nobody's.
pub(crate) fn stray() -> Receive {
    Receive {
        protocol: IceProtocol::Udp,
        source: "192.0.2.7:40000".parse().unwrap(),
        destination: "192.0.2.1:5000".parse().unwrap(),
        contents: Bytes::from_static(&[1]),
    }
}

/// Nothing differs, and the replay's own recording is the same. Returns how many outputs were compared.
pub(crate) fn assert_repeats(lines: &[String]) -> usize {
    let replayed = replay(Instant::now(), &lines.join("\n")).unwrap();
    if let Some(difference) = replayed.difference {
        panic!("{difference}");
    }
    assert_eq!(replayed.recording, lines);
    replayed.compared
}

/// The same in two processes of their own: the test binary has an ignored test `child`, which is [`child`].
pub(crate) fn assert_repeats_in_two_processes(lines: &[String]) {
    let recording = lines.join("\n");
    let folder = std::env::temp_dir().join(format!("mediasoup-producer-recording-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("from"), &recording).unwrap();
    for to in ["first", "second"] {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored"])
            .env("REPLAY_FROM", folder.join("from"))
            .env("REPLAY_TO", folder.join(to))
            .output()
            .unwrap()
            .status;
        assert!(status.success());
        assert_eq!(std::fs::read_to_string(folder.join(to)).unwrap(), recording);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

pub(crate) fn child() {
    let (from, to) = (std::env::var("REPLAY_FROM").unwrap(), std::env::var("REPLAY_TO").unwrap());
    let replayed = replay(Instant::now(), &std::fs::read_to_string(from).unwrap()).unwrap();
    assert_eq!(replayed.difference, None);
    std::fs::write(to, replayed.recording.join("\n")).unwrap();
}
