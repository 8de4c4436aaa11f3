//! The run with no input and no room named.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Program, command};

#[tokio::test]
async fn the_room_receives_every_packet_of_four_encodings() {
    let run = Program::run(&["--seconds", "3"]).await;
    run.assert_all_received();
    let named = |encoding: &Value| ["kind", "profile", "codec"].map(|name| encoding[name].as_str().unwrap().to_owned());
    let expected =
        [["audio", "default", "opus"], ["video", "low", "VP8"], ["video", "medium", "VP8"], ["video", "high", "VP8"]];
    assert_eq!(run.encodings().iter().map(named).collect::<Vec<_>>(), expected);
    assert!(run.summary()["connect_ms"].as_f64() > Some(0.0));
    for encoding in run.encodings() {
        // 50 packets of sound and 30 pictures a second; the clock of a busy machine may be late at either end.
        let wanted = if encoding["kind"] == "audio" { 150 } else { 90 };
        assert!(encoding["frames"].as_u64().unwrap().abs_diff(wanted) <= 3, "{encoding}");
    }
}

#[tokio::test]
async fn each_second_has_an_object_for_each_encoding_and_events_have_names() {
    let run = Program::run(&["--seconds", "2.5"]).await;
    run.assert_all_received();
    let samples: Vec<_> = run.lines.iter().filter(|line| line["frames"].is_u64()).collect();
    assert_eq!(samples.len(), 8, "{:#?}", run.lines);
    for sample in &samples {
        for number in
            ["t", "producer", "frames", "packets", "bytes", "bitrate_bps", "lost", "nacks", "retransmitted", "plis"]
        {
            assert!(sample[number].is_number(), "{number} of {sample}");
        }
        assert!(sample["rtt_ms"].is_null() || sample["rtt_ms"].is_f64());
        for number in ["packets", "bytes", "lost"] {
            assert!(sample["room"][number].is_number(), "{number} of {sample}");
        }
    }
    // The second second is as fast as the clip.
    let high = samples.iter().rfind(|sample| sample["profile"] == "high").unwrap();
    assert!((500_000..1_500_000).contains(&high["bitrate_bps"].as_u64().unwrap()), "{high}");
    let others: Vec<_> = run.lines.iter().filter(|line| !line["frames"].is_u64()).collect();
    let (last, events) = others.split_last().unwrap();
    assert!(last["summary"].is_object());
    assert!(events.iter().all(|event| event["t"].is_number() && event["event"].is_string()), "{events:#?}");
    for name in ["room", "joined", "connectionstatechange", "handled"] {
        assert!(run.events(name).next().is_some(), "no {name}");
    }
}

#[tokio::test]
async fn without_a_terminal_it_says_plain_lines() {
    let output = command(&["--seconds", "1.5", "--no-page"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\x1b'), "{text}");
    for expected in ["joined as publish-", "video high   VP8 640x360: ", "ok: the room received every encoding"] {
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
}

#[tokio::test]
async fn a_page_is_served_while_it_runs() {
    let mut program = Program::start(&["--seconds", "2", "--page", "127.0.0.1:0"]);
    let page = program.event("page").await;
    let address = page["url"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("<video"), "{answer}");
    program.finish().await.assert_all_received();
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_run() {
    let mut child = command(&["--json", "--no-page"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), child.wait_with_output()).await;
    let output = output.expect("it ends").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
}
