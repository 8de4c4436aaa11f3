//! What `--record` writes.

use std::time::Instant;

use mediasoup_producer::record::replay;
use mediasoup_publish::embedded::Room;

use crate::harness::Program;

#[tokio::test]
async fn a_recorded_run_repeats_to_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("session.jsonl");
    let room = Room::start().await.unwrap();
    let mut program = Program::start(&["--room", &room.ws_url, "--record", file.to_str().unwrap()]);
    program.sample("high", |sample| sample["room"]["packets"].as_u64() > Some(0)).await;
    let producers: Vec<_> = room.handle.producers().borrow().keys().cloned().collect();
    for producer in producers {
        room.handle.pause(producer.clone()).await;
        program.event("pause").await;
        room.handle.resume(producer).await;
        program.event("resume").await;
    }
    program.interrupt().await;
    program.finish().await.assert_all_received();

    let recording = std::fs::read_to_string(file).unwrap();
    let replayed = replay(Instant::now(), &recording).unwrap();
    assert_eq!(replayed.difference, None);
    assert!(replayed.compared > 20, "{}", replayed.compared);
    assert_eq!(replayed.recording, recording.lines().collect::<Vec<_>>());
    for words in [r#"{"Pause""#, r#"{"Notification":{"Leave""#, r#""password":"***""#] {
        assert!(recording.contains(words), "{words}");
    }
    assert_eq!(recording.matches(r#""password":"#).count(), recording.matches(r#""password":"***""#).count());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_known_at_once() {
    let run = Program::run(&["--record", "/nowhere/session.jsonl"]).await;
    let line = run.assert_one_line();
    assert!(line.contains("cannot record to /nowhere/session.jsonl") && line.contains("name a file"), "{line}");
    assert!(run.encodings().is_empty());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_is_full_is_reported_and_the_session_goes_on() {
    let run = Program::run(&["--seconds", "2", "--record", "/dev/full"]).await;
    let line = run.assert_one_line();
    assert!(line.contains("the recording /dev/full is not complete") && line.contains("space on the disk"), "{line}");
    assert_eq!(run.events("record").count(), 1);
    assert!(!run.encodings().is_empty());
    for encoding in run.encodings() {
        assert_eq!(encoding["packets"], encoding["room"]["packets"], "{encoding}");
    }
}
