//! The program and a server that is lost: what it says then, and that it comes back.

use serde_json::{Value, json};

use crate::poll::eventually;
use crate::program::Program;

/// How a server is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    WorkerKilled,
    SocketCut,
    SocketClosed,
    TransportClosed,
    /// Last of all, as it leaves none.
    Restarted,
}

/// A server that the program publishes to.
#[expect(async_fn_in_trait, reason = "only the tests of this crate use it")]
pub trait Served: Sized {
    /// In which ways it is lost.
    const LOSSES: &'static [Loss];

    /// Starts one.
    async fn start(arguments: &[&str]) -> Self;

    /// Ends it, as at a restart, and waits until it is gone.
    async fn stop(self);

    /// Loses it, in a way that leaves it there.
    async fn lose(&self, loss: Loss);

    /// Whether these are the right words for a loss.
    fn is_told_by(loss: Loss, words: &str) -> bool;

    /// The URL of its room, for our peer.
    fn room(&self) -> String;

    /// Our peer as it has it; null if it is not there.
    async fn peer(&self) -> Value;

    /// The packets of each stream of a producer that came.
    async fn packets(&self, producer: &Value) -> Vec<u64>;
}

/// Loses a server; gives it if it is there then.
async fn lost<S: Served>(server: S, loss: Loss) -> Option<S> {
    if loss == Loss::Restarted {
        server.stop().await;
        return None;
    }
    server.lose(loss).await;
    Some(server)
}

/// Waits until media of all four streams comes in, more of it as time goes by. Gives the producers' ids.
pub async fn media_flows(server: &impl Served) -> Vec<Value> {
    let mut before = None;
    eventually("media of four streams flows", async || {
        let (mut ids, mut packets) = (Vec::new(), Vec::new());
        for producer in server.peer().await["producers"].as_array().into_iter().flatten() {
            packets.extend(server.packets(&producer["id"]).await);
            ids.push(producer["id"].clone());
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

/// Told to reconnect, the program comes back after each loss.
///
/// # Panics
/// When it does not.
pub async fn comes_back<S: Served>(arguments: &[&str]) {
    // To find a restarted server at, out of the way of those that the system gives out and of mediasoup's.
    let port = (61_000 + std::process::id() % 4_000).to_string();
    let arguments = [arguments, &["--port", &port]].concat();
    let mut server = S::start(&arguments).await;
    let mut program = Program::publish(&server.room(), &["--reconnect"]);
    program.event("joined").await;
    let mut producers = media_flows(&server).await;
    for loss in S::LOSSES.iter().copied() {
        let left = lost(server, loss).await;
        let told = program.event("lost").await;
        println!("{loss:?}: {}", told["error"]);
        let words = told["error"].as_str().unwrap_or_default();
        assert!(S::is_told_by(loss, words) && !words.contains("--reconnect"), "{loss:?}: {words}");
        // However often it was lost before.
        assert_eq!(told["again_in_s"], 1, "{loss:?}");
        server = match left {
            Some(server) => server,
            None => S::start(&arguments).await,
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

/// Not told to, it ends with one line, and says why.
///
/// # Panics
/// When it does not.
pub async fn ends_and_says_why<S: Served>() {
    let mut server = S::start(&[]).await;
    for loss in S::LOSSES.iter().copied() {
        let program = Program::publish(&server.room(), &[]);
        media_flows(&server).await;
        let left = lost(server, loss).await;
        let run = program.finished().await;
        println!("{loss:?}: {}", run.stderr.trim_end());
        assert_eq!((run.status, &run.summary["ok"]), (Some(1), &json!(false)), "{run:#?}");
        let [line] = &run.stderr.lines().collect::<Vec<_>>()[..] else { panic!("one line: {}", run.stderr) };
        assert!(S::is_told_by(loss, line) && line.ends_with("or run with --reconnect"), "{loss:?}: {line}");
        let Some(left) = left else { return };
        server = left;
        eventually("the server forgets it", async || server.peer().await.is_null().then_some(())).await;
    }
}
