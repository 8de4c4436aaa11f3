//! The program `mediasoup-publish` and the real server: what it says when the server is lost, and that it comes back.
#![cfg(feature = "legacy-dtls")]

use mediasoup_interop::{PEER, Program, Server, eventually};
use serde_json::{Value, json};

/// A port to find a restarted server at, out of the way of those that the system gives out and of mediasoup's.
fn port() -> String {
    (61_000 + std::process::id() % 4_000).to_string()
}

/// Waits until media of all four streams comes in, more of it as time goes by. Gives the producers' ids.
async fn media_flows(server: &Server) -> Vec<Value> {
    let mut before = None;
    eventually("media of four streams flows", async || {
        let (mut ids, mut packets) = (Vec::new(), Vec::new());
        for producer in server.peer().await["producers"].as_array().into_iter().flatten() {
            let streams = server.try_control("stats", json!({ "id": producer["id"] })).await.unwrap_or_default();
            ids.push(producer["id"].clone());
            packets.extend(streams.as_array().into_iter().flatten().filter_map(|one| one["packetCount"].as_u64()));
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
    SocketClosed,
    TransportClosed,
    Restarted,
}

impl Loss {
    const ALL: [Self; 5] =
        [Self::WorkerKilled, Self::SocketCut, Self::SocketClosed, Self::TransportClosed, Self::Restarted];

    /// Loses it; gives the server that is there then.
    async fn happen(self, server: Server) -> Option<Server> {
        match self {
            Self::WorkerKilled => drop(server.control("killWorker", json!({})).await),
            Self::SocketCut => drop(server.control("dropSockets", json!({})).await),
            Self::SocketClosed => drop(server.control("dropSockets", json!({ "polite": true })).await),
            Self::TransportClosed => {
                let id = server.peer().await["transports"][0]["id"].clone();
                server.control("closeTransport", json!({ "id": id })).await;
            }
            Self::Restarted => {
                server.stop().await;
                return None;
            }
        }
        Some(server)
    }

    /// Whether these are the right words for it.
    fn is_told_by(self, words: &str) -> bool {
        let hung_up =
            words.contains("the server closed the connection") || words.contains("the connection to the server");
        match self {
            Self::WorkerKilled => words.contains("the server closed the room"),
            Self::SocketCut => hung_up,
            Self::SocketClosed => words.contains("the server closed the connection: code 4000"),
            Self::TransportClosed => words.contains("the server closed our transport"),
            // It may come to say goodbye.
            Self::Restarted => hung_up || words.contains("the server closed the room"),
        }
    }
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn told_to_it_joins_again_whatever_happened_and_media_flows() {
    let port = port();
    let arguments = ["--port", port.as_str()];
    let mut server = Server::start(&arguments).await;
    let mut program = Program::publish(&server.url(PEER), &["--reconnect"]);
    program.event("joined").await;
    let mut producers = media_flows(&server).await;
    for loss in Loss::ALL {
        let left = loss.happen(server).await;
        let lost = program.event("lost").await;
        println!("{loss:?}: {}", lost["error"]);
        let words = lost["error"].as_str().unwrap_or_default();
        assert!(loss.is_told_by(words) && !words.contains("--reconnect"), "{loss:?}: {words}");
        // However often it was lost before.
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
    println!("in the end: {}", run.summary);
}

#[tokio::test]
#[ignore = "needs Node, Chromium and a C++ compiler: run io-tokio/interop/run.sh"]
async fn not_told_to_it_ends_and_says_why() {
    let mut server = Server::start(&[]).await;
    for loss in Loss::ALL {
        let program = Program::publish(&server.url(PEER), &[]);
        media_flows(&server).await;
        let left = loss.happen(server).await;
        let run = program.finished().await;
        println!("{loss:?}: {}", run.stderr.trim_end());
        assert_eq!((run.status, &run.summary["ok"]), (Some(1), &json!(false)), "{run:#?}");
        let [line] = &run.stderr.lines().collect::<Vec<_>>()[..] else { panic!("one line: {}", run.stderr) };
        assert!(loss.is_told_by(line) && line.ends_with("or run with --reconnect"), "{loss:?}: {line}");
        // Last of all comes what leaves none.
        let Some(left) = left else { return };
        server = left;
        eventually("the server forgets it", async || server.peer().await.is_null().then_some(())).await;
    }
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
