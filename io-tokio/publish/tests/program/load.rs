//! Many peers at once.

use mediasoup_publish::args::Dialect;
use mediasoup_publish::load::Report;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Finished, Program, command};
use crate::rooms::room;

fn report(run: &Finished) -> &Value {
    let last = run.lines.last().unwrap_or_else(|| panic!("nothing was said: {run:#?}"));
    assert!(last["report"].is_object(), "{run:#?}");
    &last["report"]
}

fn rules(report: &Value) -> Vec<&str> {
    report["limits"].as_array().unwrap().iter().map(|limit| limit["rule"].as_str().unwrap()).collect()
}

/// What Prometheus would read.
async fn scrape(url: &str) -> String {
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn peers_publish_each_to_a_room_of_its_own_and_the_reports_of_two_processes_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for dialect in ["v2", "v3"] {
        let one = async |name: &str| {
            let file = file(name);
            let load = ["--embedded", dialect, "--rooms", "5", "--producers", "2", "--ramp", "20", "--seconds", "2"];
            let args = [&load[..], &["--report", &file, "--metrics", "127.0.0.1:0"]].concat();
            let mut program = Program::start(&args);
            let metrics = program.event("metrics").await["url"].as_str().unwrap().to_owned();
            program.event("steady").await;
            program.line(|line| line["load"]["connected"] == 5).await;
            let scraped = scrape(&metrics).await;
            for wanted in
                ["mediasoup_publish_peers{state=\"connected\"} 5", "mediasoup_publish_connect_seconds_count 5"]
            {
                assert!(scraped.contains(wanted), "{wanted} is not in {scraped}");
            }
            let run = program.finish().await;
            assert_eq!((run.status, &*run.stderr), (Some(0), ""), "{run:#?}");
            let report = report(&run);
            assert_eq!(report["peers"], json!({ "wanted": 5, "begun": 5, "connected": 5, "failed": 0, "lost": 0 }));
            assert_eq!(
                (&report["encodings"], &report["unreceived"]),
                (&json!(20), &json!(0)),
                "audio and three layers"
            );
            assert_eq!(report["sent"]["packets"], report["received"]["packets"]);
            assert!(report["sent"]["packets"].as_u64() > Some(5 * 2 * 100), "{report}");
            assert_eq!(report["connect"]["count"], 5);
            let process = &report["processes"][0];
            assert_eq!((&process["server"], &process["dialect"]), (&json!("embedded"), &json!(dialect)));
            assert!(process["cpu_seconds"].as_f64() > Some(0.0) && report["cpu_for_a_peer"].as_f64() > Some(0.0));
            report.clone()
        };
        let (first, second) = tokio::join!(one("first"), one("second"));

        let arguments = ["merge-reports", "--json", &file("first"), &file("second"), "--report", &file("both")];
        let output = command(&arguments).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let merged: Value = serde_json::from_slice(&output.stdout).unwrap();
        let merged = &merged["report"];
        assert_eq!(merged["peers"]["connected"], 10);
        let packets = |report: &Value| report["sent"]["packets"].as_u64().unwrap();
        assert_eq!(packets(merged), packets(&first) + packets(&second));
        assert_eq!(merged["connect"]["count"], 10);
        assert_eq!(merged["processes"].as_array().unwrap().len(), 2);
        // What was written is read again.
        let both = Report::read_all(&[file("both").into()]).unwrap();
        assert_eq!((both.peers.connected, both.ok()), (10, true));
    }
}

#[tokio::test]
async fn without_json_the_report_is_a_table() {
    let args = ["--rooms", "2", "--peers", "3", "--producers", "1", "--seconds", "1"];
    let output = command(&args).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    for wanted in ["3 of 3 connected", "1 producers each in 2 rooms (v2, embedded)", "a peer takes", "ok: every peer"] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
}

#[tokio::test]
async fn a_server_that_goes_ends_the_load_which_says_why() {
    for dialect in [Dialect::V2, Dialect::V3] {
        let room = room(dialect).await;
        let name = if dialect == Dialect::V2 { "v2" } else { "v3" };
        let url = room.ws_url.replace("embedded", "{room}");
        let mut program = Program::start(&["--room", &url, "--dialect", name, "--rooms", "3"]);
        program.line(|line| line["load"]["connected"] == 3 && line["load"]["packets"].as_u64() > Some(100)).await;
        room.handle.close().await;
        let run = program.finish().await;
        let report = report(&run);
        assert_eq!((run.status, &report["ok"]), (Some(1), &json!(false)), "{run:#?}");
        assert_eq!(report["peers"], json!({ "wanted": 3, "begun": 3, "connected": 3, "failed": 0, "lost": 3 }));
        let lost = |cause: &str| report["failures"][cause]["count"].as_u64().unwrap_or(0);
        // By which of its words it is heard first.
        let lost: u64 = ["closed-by-server", "signalling-lost", "media-lost"].into_iter().map(lost).sum();
        assert_eq!(lost, 3, "{report}");
        assert!(rules(report).contains(&"server-lost"), "{report}");
        assert!(run.events("failure").next().is_some(), "{run:#?}");
        assert!(report["sent"]["packets"].as_u64() > Some(0), "what was sent is in it all the same");
    }
}

#[tokio::test]
async fn peers_that_are_not_let_in_are_counted_by_cause() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let run =
        Program::run(&["--room", &format!("ws://{closed}/?roomId={{room}}"), "--rooms", "3", "--ramp", "100"]).await;
    let report = report(&run);
    assert_eq!(run.status, Some(1), "{run:#?}");
    assert_eq!(report["peers"], json!({ "wanted": 3, "begun": 3, "connected": 0, "failed": 3, "lost": 0 }));
    assert_eq!(report["failures"]["unreachable"]["count"], 3, "{report}");
    assert_eq!(rules(report), ["server-refused"]);
}

#[tokio::test]
async fn what_cannot_be_a_load_says_why() {
    let fails = async |args: &[&str], words: &[&str]| {
        let run = Program::run(args).await;
        assert_eq!((run.status, run.stderr.lines().count()), (Some(1), 1), "{run:#?}");
        assert!(words.iter().all(|words| run.stderr.contains(words)), "{}\nis to say {words:?}", run.stderr);
        assert!(run.lines.last().unwrap()["report"].is_null(), "{run:#?}");
    };
    let url = "ws://127.0.0.1:1/?roomId=r";
    fails(&["--rooms", "2", "--room", url], &["--rooms 2", "name it by {room}"]).await;
    fails(&["--rooms", "1", "--room", &format!("{url}&peerName=p")], &["one peerName", "peerName={peer}"]).await;
    fails(&["--rooms", "1", "--report", "/nowhere/report"], &["/nowhere/report", "folder"]).await;
    fails(&["--rooms", "1", "--video", "nowhere.ivf"], &["no such file"]).await;

    for (text, words) in [("", "is no report"), (r#"{"version":2}"#, "is no report")] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        let output = command(&["merge-reports", file.path().to_str().unwrap()]).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains(words), "{said}");
    }
}
