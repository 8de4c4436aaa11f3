//! The program `mediasoup-publish` and a server that speaks as mediasoup's demo does, older and newer: what it says when the
//! server is lost, and that it comes back.

use mediasoup_interop::v3::Server;
use mediasoup_interop::{PEER, Program, eventually};
use serde_json::json;

/// A port to find a restarted server at, out of the way of those that the system gives out and of mediasoup's.
fn port() -> String {
    (60_000 + std::process::id() % 1_000).to_string()
}

/// Waits until media of all four streams comes in, more of it as time goes by. Gives the producers' ids.
async fn media_flows(server: &Server) -> Vec<String> {
    let mut before = None;
    eventually("media of four streams flows", async || {
        let (mut ids, mut packets) = (Vec::new(), Vec::new());
        for producer in server.peer().await["producers"].as_array().into_iter().flatten() {
            let id = producer["id"].as_str().expect("a producer has an id");
            packets.extend(server.received(id).await.iter().map(|stream| stream.packet_count));
            ids.push(id.to_owned());
        }
        if packets.len() != 4 {
            before = None;
            return None;
        }
        let before = before.get_or_insert_with(|| packets.clone());
        packets.iter().zip(before).all(|(now, before)| *now > *before + 10).then_some(ids)
    })
    .await
}

/// How a server is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    WorkerKilled,
    SocketCut,
    Restarted,
}

impl Loss {
    const ALL: [Self; 3] = [Self::WorkerKilled, Self::SocketCut, Self::Restarted];

    /// Loses it; gives the server that is there then.
    async fn happen(self, server: Server) -> Option<Server> {
        match self {
            Self::WorkerKilled => drop(server.control("killWorker", json!({})).await),
            Self::SocketCut => drop(server.control("dropSocket", json!({})).await),
            Self::Restarted => {
                server.stop().await;
                return None;
            }
        }
        Some(server)
    }
}

async fn comes_back(demo: &str) {
    let port = port();
    let arguments = ["--port", &port, "--demo", demo];
    let mut server = Server::start(&arguments).await;
    let mut program = Program::publish(&server.demo_url(PEER), &["--reconnect"]);
    program.event("joined").await;
    let mut producers = media_flows(&server).await;
    for loss in Loss::ALL {
        let left = loss.happen(server).await;
        let lost = program.event("lost").await;
        println!("{demo}, {loss:?}: {}", lost["error"]);
        assert_eq!(lost["again_in_s"], 1, "{loss:?}");
        server = match left {
            Some(server) => server,
            None => Server::start(&arguments).await,
        };
        program.event("joined").await;
        let now = media_flows(&server).await;
        assert!(now.iter().all(|id| !producers.contains(id)), "{loss:?}: {now:?} are new");
        producers = now;
    }
    let run = program.interrupt().await;
    assert_eq!((run.status, &run.summary["ok"]), (Some(0), &json!(true)), "{run:#?}");
    println!("{demo}, in the end: {}", run.summary);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn told_to_it_joins_again_whatever_happened_and_media_flows() {
    comes_back("older").await;
    comes_back("newer").await;
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn not_told_to_it_ends_and_says_why() {
    let mut server = Server::start(&[]).await;
    for loss in Loss::ALL {
        let program = Program::publish(&server.demo_url(PEER), &[]);
        media_flows(&server).await;
        let left = loss.happen(server).await;
        let run = program.finished().await;
        println!("{loss:?}: {}", run.stderr.trim_end());
        assert_eq!((run.status, &run.summary["ok"]), (Some(1), &json!(false)), "{run:#?}");
        let [line] = &run.stderr.lines().collect::<Vec<_>>()[..] else { panic!("one line: {}", run.stderr) };
        assert!(line.ends_with("or run with --reconnect"), "{loss:?}: {line}");
        // Last of all comes what leaves none.
        let Some(left) = left else { return };
        server = left;
        eventually("the server forgets it", async || server.peer().await.is_null().then_some(())).await;
    }
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
