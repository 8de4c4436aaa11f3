//! The program `mediasoup-publish` and a server that speaks as mediasoup's demo does, older and newer: what it says when the
//! server is lost, and that it comes back.

use mediasoup_interop::v3::Server;
use mediasoup_interop::{PEER, Program, comes_back, ends_and_says_why, media_flows};
use serde_json::json;

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn told_to_it_joins_again_whatever_happened_and_media_flows() {
    comes_back::<Server>(&["--demo", "older"]).await;
    comes_back::<Server>(&["--demo", "newer"]).await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn not_told_to_it_ends_and_says_why() {
    ends_and_says_why::<Server>().await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn over_tcp_alone_and_as_dtls_server() {
    let server = Server::start(&[]).await;
    let program = Program::publish(&server.demo_url(PEER), &["--tcp", "--dtls-role", "server"]);
    media_flows(&server).await;
    let transport = server.peer().await["transports"][0].take();
    assert_eq!(transport["iceSelectedTuple"]["protocol"], "tcp");
    assert_eq!(server.asked("connect").await[0]["dtlsParameters"]["role"], "server");
    let run = program.interrupt().await;
    assert_eq!((run.status, &run.summary["ok"]), (Some(0), &json!(true)), "{run:#?}");
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn a_load_of_five_peers_is_received_and_reported() {
    for demo in ["older", "newer"] {
        let server = Server::start(&["--demo", demo]).await;
        let url = format!("{}/?roomId=load-{{room}}&peerId={{peer}}", server.ws());
        let run = Program::publish(&url, &["--rooms", "5", "--producers", "2", "--seconds", "3"]).finished().await;
        assert_eq!((run.status, &*run.stderr, &run.summary["ok"]), (Some(0), "", &json!(true)), "{run:#?}");
        assert_eq!((&run.summary["peers"]["connected"], &run.summary["connect"]["count"]), (&json!(5), &json!(5)));
        assert_eq!(run.summary["sent"]["packets"], run.summary["received"]["packets"]);
    }
}
