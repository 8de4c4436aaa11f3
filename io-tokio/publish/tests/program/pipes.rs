//! Media that comes through pipes.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::{self, Program, media};

/// Runs it with a file on its standard input. Gives the summary.
async fn with_stdin(name: &str, arguments: &[&str]) -> Value {
    let mut command = harness::command(&[&["--json", "--no-page"], arguments].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, data) = (child.stdin.take().unwrap(), std::fs::read(media(name)).unwrap());
    let write = async move {
        // It may have ended before all is written.
        let _ = stdin.write_all(&data).await;
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), write);
    let output = output.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    last["summary"].clone()
}

#[track_caller]
fn assert_received(summary: &Value, codec: &str, frames: u64) {
    let [encoding] = &summary["encodings"].as_array().unwrap()[..] else { panic!("{summary}") };
    assert_eq!((&encoding["codec"], &encoding["frames"]), (&codec.into(), &frames.into()), "{summary}");
    assert_eq!(encoding["packets"], encoding["room"]["packets"], "{summary}");
    assert_eq!(summary["ok"], true, "{summary}");
}

#[tokio::test]
async fn what_comes_through_standard_input_is_published_to_its_end_at_its_pace() {
    let one = async |name: &str, option: &str, codec: &str, frames: u64| {
        let begun = Instant::now();
        assert_received(&with_stdin(name, &[option, "-"]).await, codec, frames);
        assert!(begun.elapsed().as_secs_f64() > 0.9, "{name}: not as fast as it can be read");
    };
    tokio::join!(
        one("vp8.ivf", "--video", "VP8", 30),
        one("h264.h264", "--video", "H264", 30),
        one("vp8-opus.webm", "--video", "VP8", 30),
        one("h264-opus-fragmented.mp4", "--video", "H264", 30),
        one("opus.ogg", "--audio", "opus", 50),
    );
}

#[tokio::test]
async fn sound_and_picture_come_through_named_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (audio, video) = (pipe("audio"), pipe("video"));
    for (pipe, name) in [(&audio, "opus.ogg"), (&video, "vp9-opus.mkv")] {
        assert!(Command::new("mkfifo").arg(pipe).status().await.unwrap().success());
        let (pipe, name) = (pipe.clone(), media(name));
        // Opening one waits for its reader.
        std::thread::spawn(move || std::fs::copy(name, Path::new(&pipe)));
    }
    let run = Program::run(&["--audio", &audio, "--video", &video]).await;
    run.assert_all_received();
    assert_eq!(run.encodings().iter().map(|encoding| &encoding["frames"]).collect::<Vec<_>>(), [50, 30]);
}

#[tokio::test]
async fn what_a_pipe_cannot_be_is_said() {
    let fails = async |name: &str, arguments: &[&str], words: &str| {
        let summary = with_stdin(name, arguments).await;
        let error = summary["error"].as_str().unwrap_or_else(|| panic!("{summary}"));
        assert!(error.contains(words), "{error}\nis to say {words}");
    };
    fails("vp8.ivf", &["--video", "-", "--loop"], "comes once").await;
    fails("vp8.ivf", &["--video", "-", "--audio", "-"], "one of the inputs").await;
    fails("empty.ivf", &["--video", "-"], "standard input").await;
    fails("foreign.ivf", &["--video", "-"], "not a format").await;
    fails("truncated.ivf", &["--video", "-"], "cut off after 10 whole frames").await;
    fails("vp8.ivf", &["--audio", "-"], "no audio").await;

    let rooms = harness::command(&["--rooms", "1", "--video", "-"]).stdin(Stdio::null()).output().await.unwrap();
    let words = String::from_utf8(rooms.stderr).unwrap();
    assert!(rooms.status.code() == Some(1), "{words}");
}
