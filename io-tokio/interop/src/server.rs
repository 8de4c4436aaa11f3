//! A real mediasoup server, and its door for tests.

use mediasoup_producer::v2::stats::InboundRtpStats;
use mediasoup_producer::{ProducerId, TransportId};
use serde_json::{Value, json};

use crate::door::Door;
use crate::losses::{Loss, Served};
use crate::poll::eventually;

/// The room that all tests meet in; each has a server of its own.
pub const ROOM: &str = "interop";
/// The peer that sends, unless a test says otherwise.
pub const PEER: &str = "alice";

/// A mediasoup 2.6.19 in Node, listening on loopback. Ends when dropped.
#[derive(Debug)]
pub struct Server {
    door: Door,
}

impl Server {
    /// Starts one with options of `server.mjs`.
    pub async fn start(arguments: &[&str]) -> Self {
        Self { door: Door::start("server.mjs", arguments).await }
    }

    /// Ends it, as at a restart, and waits until it is gone.
    pub async fn stop(self) {
        self.door.stop().await;
    }

    /// The URL of the room, for a peer.
    pub fn url(&self, peer: &str) -> String {
        self.url_at("ws", peer)
    }

    /// The same over TLS; only with `--tls`.
    pub fn tls_url(&self, peer: &str) -> String {
        self.url_at("wss", peer)
    }

    fn url_at(&self, scheme: &str, peer: &str) -> String {
        format!("{}/?roomId={ROOM}&peerName={peer}", self.door.ready(scheme))
    }

    /// Where WebSockets are served.
    pub fn ws(&self) -> &str {
        self.door.ready("ws")
    }

    /// Does an operation of `control.mjs` on the room; `target` may name another.
    pub async fn control(&self, op: &str, target: Value) -> Value {
        self.try_control(op, target).await.unwrap_or_else(|error| panic!("{op}: {error}"))
    }

    /// The same for an operation that may fail.
    pub async fn try_control(&self, op: &str, target: Value) -> Result<Value, String> {
        let mut body = json!({ "op": op, "room": ROOM, "peer": PEER });
        for (key, value) in target.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.door.ask(&body).await
    }

    /// What happened at the server so far, of the kinds in `only`.
    pub async fn events(&self, only: &[&str]) -> Vec<Value> {
        let mut events = self.control("events", json!({ "only": only })).await;
        serde_json::from_value(events["events"].take()).expect("a list of events")
    }

    /// mediasoup's messages from our peer with this method.
    pub async fn messages(&self, method: &str) -> Vec<Value> {
        let events = self.events(&["message"]).await;
        let ours = |event: &Value| event["dir"] == "client->server" && event["msg"]["method"] == method;
        events.into_iter().filter(ours).map(|mut event| event["msg"].take()).collect()
    }

    /// Our peer as the server has it.
    pub async fn peer(&self) -> Value {
        let mut list = self.control("list", json!({})).await;
        let rooms = list["rooms"].as_array_mut().expect("a list of rooms");
        let peers = rooms.iter_mut().find(|room| room["room"] == ROOM).and_then(|room| room["peers"].as_array_mut());
        peers.and_then(|peers| peers.iter_mut().find(|peer| peer["peer"] == PEER)).map(Value::take).unwrap_or_default()
    }

    /// Our producer as the server has it; null if it has none.
    pub async fn producer(&self, id: ProducerId) -> Value {
        let mut peer = self.peer().await;
        let found = peer["producers"].as_array_mut().and_then(|all| all.iter_mut().find(|one| one["id"] == id.value()));
        found.map(Value::take).unwrap_or_default()
    }

    /// Our transport as the server has it; null if it has none.
    pub async fn transport(&self, id: TransportId) -> Value {
        let mut peer = self.peer().await;
        let found =
            peer["transports"].as_array_mut().and_then(|all| all.iter_mut().find(|one| one["id"] == id.value()));
        found.map(Value::take).unwrap_or_default()
    }

    /// The server's counters of our producer, in the order of its encodings.
    pub async fn received(&self, id: ProducerId) -> Vec<InboundRtpStats> {
        let encodings = self.producer(id).await["rtpParameters"]["encodings"].take();
        let Ok(stats) = self.try_control("stats", json!({ "id": id.value() })).await else { return Vec::new() };
        let mut stats: Vec<InboundRtpStats> =
            serde_json::from_value(stats).expect("the server's stats are as documented");
        let ssrcs: Vec<_> =
            encodings.as_array().into_iter().flatten().map(|encoding| encoding["ssrc"].clone()).collect();
        stats.sort_by_key(|one| ssrcs.iter().position(|ssrc| *ssrc == one.ssrc));
        stats
    }

    /// Waits until the server has received something of every stream of our producer, then gives its counters.
    pub async fn receiving(&self, id: ProducerId, streams: usize) -> Vec<InboundRtpStats> {
        eventually(&format!("the server receives {streams} streams of producer {id}"), async || {
            let stats = self.received(id).await;
            (stats.len() == streams && stats.iter().all(|one| one.packet_count > 0)).then_some(stats)
        })
        .await
    }

    /// What the worker process is called, to see that there is another one.
    pub async fn workers(&self) -> Value {
        self.control("list", json!({})).await["workers"].take()
    }
}

impl Served for Server {
    const LOSSES: &'static [Loss] =
        &[Loss::WorkerKilled, Loss::SocketCut, Loss::SocketClosed, Loss::TransportClosed, Loss::Restarted];

    async fn start(arguments: &[&str]) -> Self {
        Self::start(arguments).await
    }

    async fn stop(self) {
        self.stop().await;
    }

    async fn lose(&self, loss: Loss) {
        match loss {
            Loss::WorkerKilled => drop(self.control("killWorker", json!({})).await),
            Loss::SocketCut => drop(self.control("dropSockets", json!({})).await),
            Loss::SocketClosed => drop(self.control("dropSockets", json!({ "polite": true })).await),
            Loss::TransportClosed => {
                let id = self.peer().await["transports"][0]["id"].clone();
                self.control("closeTransport", json!({ "id": id })).await;
            }
            Loss::Restarted => unreachable!("it is stopped"),
        }
    }

    fn is_told_by(loss: Loss, words: &str) -> bool {
        let hung_up =
            words.contains("the server closed the connection") || words.contains("the connection to the server");
        match loss {
            Loss::WorkerKilled => words.contains("the server closed the room"),
            Loss::SocketCut => hung_up,
            Loss::SocketClosed => words.contains("the server closed the connection: code 4000"),
            Loss::TransportClosed => words.contains("the server closed our transport"),
            // It may come to say goodbye.
            Loss::Restarted => hung_up || words.contains("the server closed the room"),
        }
    }

    fn room(&self) -> String {
        self.url(PEER)
    }

    async fn peer(&self) -> Value {
        self.peer().await
    }

    async fn packets(&self, producer: &Value) -> Vec<u64> {
        let streams = self.try_control("stats", json!({ "id": producer })).await.unwrap_or_default();
        streams.as_array().into_iter().flatten().filter_map(|one| one["packetCount"].as_u64()).collect()
    }
}
