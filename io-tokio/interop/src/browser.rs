//! A real browser, in which mediasoup-client watches or sends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::oneshot;

use crate::node::Node;
use crate::picture::{Picture, assert_smooth, longest_on_show};
use crate::poll::{PATIENCE, eventually, within};
use crate::server::{ROOM, Server};
use crate::v3;

type Pending = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// Chromium with a fresh profile. Ends when dropped.
#[derive(Debug)]
pub struct Browser {
    stdin: tokio::sync::Mutex<(ChildStdin, u64)>,
    pending: Pending,
    origin: String,
    // Ends with the process.
    _child: tokio::task::JoinHandle<()>,
}

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        let Node { child, stdin, mut stdout, ready } = Node::start("viewer.mjs", &[]).await;
        let origin = ready["pages"].as_str().expect("it serves the pages").trim_end_matches('/').to_owned();
        let pending = Pending::default();
        let answers = Arc::clone(&pending);
        let reader = tokio::spawn(async move {
            let _child = child;
            while let Ok(Some(line)) = stdout.next_line().await {
                let mut answer: Value = serde_json::from_str(&line).expect("programs speak JSON");
                let id = answer["id"].as_u64().expect("an answer has an id");
                let waiter = answers.lock().expect("no panic under the lock").remove(&id);
                let result = match answer["error"].as_str() {
                    Some(error) => Err(error.to_owned()),
                    None => Ok(answer["value"].take()),
                };
                // Nobody may wait any more.
                let _ = waiter.map(|waiter| waiter.send(result));
            }
        });
        Self { stdin: tokio::sync::Mutex::new((stdin, 0)), pending, origin, _child: reader }
    }

    /// The origin of the bench's pages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    async fn call(&self, op: &str, mut request: Value) -> Result<Value, String> {
        let (sender, answer) = oneshot::channel();
        {
            let mut stdin = self.stdin.lock().await;
            stdin.1 += 1;
            (request["id"], request["op"]) = (stdin.1.into(), op.into());
            self.pending.lock().expect("no panic under the lock").insert(stdin.1, sender);
            stdin.0.write_all(format!("{request}\n").as_bytes()).await.expect("the browser runs");
        }
        within(2 * PATIENCE, op, answer).await.expect("the browser runs")
    }

    /// Opens one of the bench's pages; `query` are its parameters.
    pub async fn open(&self, name: &str, page: &str, url: &str, query: &[(&str, &str)]) -> Page<'_> {
        let mut address = format!("{page}.html?url={url}&roomId={ROOM}&peerName={name}");
        for (key, value) in query {
            address += &format!("&{key}={value}");
        }
        self.call("open", json!({ "page": name, "url": address })).await.expect("the page opens");
        Page { browser: self, name: name.to_owned() }
    }

    /// Has a viewer of the name `bob` join the server's room and receive all there is.
    pub async fn view(&self, server: &Server) -> Viewer<'_> {
        Viewer { page: self.open("bob", "viewer", server.ws(), &[]).await }
    }

    /// The same in the room of a v3 server.
    pub async fn view_v3(&self, server: &v3::Server) -> Viewer<'_> {
        Viewer { page: self.open("bob", "v3/viewer", server.ws(), &[]).await }
    }
}

/// One page in a browser.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
    name: String,
}

impl Page<'_> {
    /// The value of a JavaScript expression; a promise is waited for.
    pub async fn eval(&self, expression: &str) -> Value {
        self.try_eval(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// The same for one that may throw.
    pub async fn try_eval(&self, expression: &str) -> Result<Value, String> {
        self.browser.call("eval", json!({ "page": self.name, "expr": expression })).await
    }

    /// Writes a picture of the page.
    pub async fn screenshot(&self, path: &str) {
        self.browser.call("screenshot", json!({ "page": self.name, "path": path })).await.expect("a screenshot");
    }
}

/// mediasoup-client receiving everything in the room.
#[derive(Debug)]
pub struct Viewer<'a> {
    page: Page<'a>,
}

impl Viewer<'_> {
    /// The page.
    pub fn page(&self) -> &Page<'_> {
        &self.page
    }

    /// mediasoup's and the browser's account of each consumer.
    pub async fn consumers(&self) -> Vec<Value> {
        serde_json::from_value(self.page.eval("viewer.stats()").await).expect("a list of consumers")
    }

    /// The account of the newest consumer of a kind; null if there is none.
    pub async fn consumer(&self, kind: &str) -> Value {
        self.consumers().await.into_iter().rfind(|one| one["kind"] == kind).unwrap_or_default()
    }

    /// Frames of video decoded so far.
    pub async fn frames(&self) -> u64 {
        self.consumer("video").await["framesDecoded"].as_u64().unwrap_or(0)
    }

    /// Waits until half a second more of video is decoded.
    pub async fn sees_more(&self) {
        let before = self.frames().await;
        eventually("the viewer decodes video", async || (self.frames().await >= before + 15).then_some(())).await;
    }

    /// Waits until half a second more of audio is decoded.
    pub async fn hears_more(&self) {
        let samples = async || self.consumer("audio").await["totalSamplesReceived"].as_u64().unwrap_or(0);
        let before = samples().await;
        eventually("the viewer decodes audio", async || (samples().await >= before + 24_000).then_some(())).await;
    }

    /// Waits until the decoded picture has this width.
    pub async fn sees_width(&self, width: u64) {
        eventually(&format!("a picture {width} wide"), async || {
            (self.consumer("video").await["frameWidth"] == width).then_some(())
        })
        .await;
    }

    /// Asks for a layer of v3, counted from 0, the smallest.
    pub async fn prefer_layer(&self, layer: usize) {
        self.page.eval(&format!("viewer.setPreferredLayers({layer})")).await;
    }

    /// Asks for another layer and looks on until a picture as wide as that is there and half a second beyond, without a
    /// seam: how many pictures came before it, and the longest that any picture was on show, in milliseconds.
    /// The clip has so many frames.
    pub async fn switches(&self, ask: impl Future<Output = ()>, from: u64, to: u64, frames: u32) -> (usize, f64) {
        let (mut pictures, ()) = tokio::join!(self.watch(30), ask);
        eventually(&format!("the switch to {to}"), async || {
            pictures.extend(self.watch(15).await);
            pictures[pictures.len() - 15..].iter().all(|picture| picture.width == to).then_some(())
        })
        .await;
        assert_smooth(&pictures, frames);
        let mut widths: Vec<_> = pictures.iter().map(|picture| picture.width).collect();
        let switched = widths.iter().position(|one| *one == to).expect("it has switched");
        // The server may climb by way of a layer in between, until it knows that the path carries more.
        widths.dedup();
        let straight = widths.is_sorted_by(|a, b| if from < to { a < b } else { a > b });
        assert!(straight && widths[0] == from && widths[widths.len() - 1] == to, "{from} -> {to}: {widths:?}");
        (switched, longest_on_show(&pictures))
    }

    /// Asks for a layer.
    pub async fn prefer(&self, profile: &str) {
        self.page.eval(&format!("viewer.setPreferredProfile('{profile}')")).await;
    }

    /// The next pictures shown.
    ///
    /// # Panics
    /// When fewer come within [`PATIENCE`].
    pub async fn watch(&self, count: usize) -> Vec<Picture> {
        let (points, limit) = (Picture::points(), PATIENCE.as_millis());
        let samples = self.page.eval(&format!("viewer.watchFrames({points}, {count}, {limit})")).await;
        let pictures: Vec<_> = samples.as_array().expect("a list of pictures").iter().map(Picture::read).collect();
        assert_eq!(pictures.len(), count, "{pictures:?}");
        pictures
    }

    /// How loud each piece of sound was, for the next so many seconds of it: its length in seconds and the root mean
    /// square of its samples.
    pub async fn listen(&self, seconds: u32) -> Vec<(f64, f64)> {
        serde_json::from_value(self.page.eval(&format!("viewer.listen({seconds})")).await).expect("a list of pairs")
    }
}
