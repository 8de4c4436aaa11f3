//! A real mediasoup v3 server, and its door for tests.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::door::Door;
use crate::losses::{Loss, Served};
use crate::poll::eventually;
use crate::server::PEER;

/// A mediasoup 3.27.1 in Node, listening on loopback. Ends when dropped.
#[derive(Debug)]
pub struct Server {
    door: Door,
}

/// The server's counters of one stream of a producer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// The stream.
    pub ssrc: u32,
    /// Its RTP stream id.
    pub rid: Option<String>,
    /// For example `video/VP8`.
    pub mime_type: String,
    /// Packets that came by themselves, and those that retransmission brought.
    pub packet_count: u64,
    /// Packets that retransmission brought, among them those that had come by themselves.
    pub packets_retransmitted: u64,
    /// Packets that retransmission alone brought.
    pub packets_repaired: u64,
    /// Packets that it did not take.
    pub packets_discarded: u64,
    /// Picture loss indications that it sent.
    pub pli_count: u64,
    /// How well it comes, 0 to 10.
    pub score: u8,
}

impl Server {
    /// Starts one with options of `v3/server.mjs`.
    pub async fn start(arguments: &[&str]) -> Self {
        Self { door: Door::start("v3/server.mjs", arguments).await }
    }

    /// The URL of its room, for a peer.
    pub fn url(&self, peer: &str) -> String {
        format!("{}/?peerName={peer}", self.ws())
    }

    /// The URL of its room in the words of mediasoup's demo, for a peer.
    pub fn demo_url(&self, peer: &str) -> String {
        format!("{}/?roomId=r&peerId={peer}", self.ws())
    }

    /// Ends it, as at a restart, and waits until it is gone.
    pub async fn stop(self) {
        self.door.stop().await;
    }

    /// Where WebSockets are served.
    pub fn ws(&self) -> &str {
        self.door.ready("ws")
    }

    /// Does an operation of `v3/control.mjs`; `target` may name another peer.
    pub async fn control(&self, op: &str, target: Value) -> Value {
        self.try_control(op, target).await.unwrap_or_else(|error| panic!("{op}: {error}"))
    }

    async fn try_control(&self, op: &str, target: Value) -> Result<Value, String> {
        let mut body = json!({ "op": op, "peer": PEER });
        for (key, value) in target.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.door.ask(&body).await
    }

    /// What our peer has asked with this method.
    pub async fn asked(&self, method: &str) -> Vec<Value> {
        let events = self.control("events", json!({ "only": ["message"] })).await["events"].take();
        let events: Vec<Value> = serde_json::from_value(events).expect("a list of events");
        let ours = |event: &Value| event["dir"] == "client->server" && event["msg"]["method"] == method;
        events.into_iter().filter(ours).map(|mut event| event["msg"]["data"].take()).collect()
    }

    /// Our peer as the server has it; null if it is not there.
    pub async fn peer(&self) -> Value {
        let mut list = self.control("list", json!({})).await;
        let peers = list["peers"].as_array_mut().expect("a list of peers");
        peers.iter_mut().find(|peer| peer["peer"] == PEER).map(Value::take).unwrap_or_default()
    }

    /// Our producer as the server has it, by the server's id; null if it has none.
    pub async fn producer(&self, id: &str) -> Value {
        Self::find(self.peer().await["producers"].take(), id)
    }

    /// Our transport as the server has it, by the server's id; null if it has none.
    pub async fn transport(&self, id: &str) -> Value {
        Self::find(self.peer().await["transports"].take(), id)
    }

    fn find(mut all: Value, id: &str) -> Value {
        let found = all.as_array_mut().and_then(|all| all.iter_mut().find(|one| one["id"] == id));
        found.map(Value::take).unwrap_or_default()
    }

    /// The server's counters of our producer, in the order of its encodings.
    pub async fn received(&self, id: &str) -> Vec<Received> {
        let encodings = self.producer(id).await["rtpParameters"]["encodings"].take();
        let Ok(stats) = self.try_control("stats", json!({ "id": id })).await else { return Vec::new() };
        let mut stats: Vec<Received> = serde_json::from_value(stats).expect("the server's stats are as documented");
        let place = |one: &Received| {
            encodings.as_array().into_iter().flatten().position(|encoding| encoding["ssrc"] == one.ssrc)
        };
        stats.sort_by_key(place);
        stats
    }

    /// Waits until the server has received something of so many streams of our producer, then gives its counters.
    pub async fn receiving(&self, id: &str, streams: usize) -> Vec<Received> {
        eventually(&format!("the server receives {streams} streams of producer {id}"), async || {
            let stats = self.received(id).await;
            (stats.len() == streams && stats.iter().all(|one| one.packet_count > 0)).then_some(stats)
        })
        .await
    }
}

impl Served for Server {
    const LOSSES: &'static [Loss] = &[Loss::WorkerKilled, Loss::SocketCut, Loss::Restarted];

    async fn start(arguments: &[&str]) -> Self {
        Self::start(arguments).await
    }

    async fn stop(self) {
        self.stop().await;
    }

    async fn lose(&self, loss: Loss) {
        match loss {
            Loss::WorkerKilled => drop(self.control("killWorker", json!({})).await),
            Loss::SocketCut => drop(self.control("dropSocket", json!({})).await),
            // The demo says nothing of transports, and closes a socket as it does when the worker dies.
            Loss::SocketClosed | Loss::TransportClosed => unreachable!("it is not lost so"),
            Loss::Restarted => unreachable!("it is stopped"),
        }
    }

    fn is_told_by(_: Loss, words: &str) -> bool {
        words.contains("the server closed the connection") || words.contains("the connection to the server")
    }

    fn room(&self) -> String {
        self.demo_url(PEER)
    }

    async fn peer(&self) -> Value {
        self.peer().await
    }

    async fn packets(&self, producer: &Value) -> Vec<u64> {
        let id = producer.as_str().expect("a producer has an id");
        self.received(id).await.iter().map(|stream| stream.packet_count).collect()
    }
}
