//! The program `mediasoup-publish` and the real server: what it says when the server is lost, and that it comes back.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::{PEER, Program, Server, comes_back, ends_and_says_why, media_flows};
use serde_json::json;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn told_to_it_joins_again_whatever_happened_and_media_flows() {
    comes_back::<Server>(&[]).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn not_told_to_it_ends_and_says_why() {
    ends_and_says_why::<Server>().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn over_tls_a_self_signed_certificate_is_taken_when_told_to() {
    let server = Server::start(&["--tls"]).await;
    let run = Program::publish(&server.tls_url(PEER), &[]).finished().await;
    println!("{}", run.stderr.trim_end());
    assert_eq!(run.status, Some(1), "{run:#?}");
    assert!(run.stderr.contains("certificate") && run.stderr.contains("--insecure"), "{}", run.stderr);
    assert!(server.peer().await.is_null(), "it was let in nevertheless");

    let program = Program::publish(&server.tls_url(PEER), &["--insecure"]);
    media_flows(&server).await;
    let run = program.interrupt().await;
    assert_eq!((run.status, &run.summary["ok"]), (Some(0), &json!(true)), "{run:#?}");
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_load_of_five_peers_is_received_and_reported() {
    let server = Server::start(&[]).await;
    let url = format!("{}/?roomId=load-{{room}}&peerName={{peer}}", server.ws());
    let run = Program::publish(&url, &["--rooms", "5", "--producers", "2", "--seconds", "3"]).finished().await;
    assert_eq!((run.status, &*run.stderr, &run.summary["ok"]), (Some(0), "", &json!(true)), "{run:#?}");
    assert_eq!((&run.summary["peers"]["connected"], &run.summary["connect"]["count"]), (&json!(5), &json!(5)));
    assert_eq!(run.summary["sent"]["packets"], run.summary["received"]["packets"]);
}
