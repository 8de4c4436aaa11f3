//! Headless Chromium over its DevTools protocol: as much of it as the tests of the page need.
//!
//! The crates for this generate bindings for the whole protocol, which takes longer to compile than all the rest of this
//! workspace, on every `cargo test`.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// What the program is called, in the order of trial; `CHROMIUM` in the environment goes first.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

const FLAGS: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--autoplay-policy=no-user-gesture-required",
    // A machine without a network is enough.
    "--allow-loopback-in-peer-connection",
    "--remote-debugging-port=0",
    "--window-size=1280,720",
];

/// Nothing the tests do takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one tab. It ends with this.
pub(crate) struct Browser {
    _process: Child,
    _profile: TempDir,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last_id: u64,
    events: VecDeque<Value>,
}

impl Browser {
    /// Starts the browser and opens a page.
    pub(crate) async fn open(url: &str) -> Self {
        let profile = TempDir::new().expect("a directory for the browser's profile");
        let mut process = Command::new(program())
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium starts");
        let stderr = process.stderr.take().expect("it is piped");
        let address = timeout(PATIENCE, devtools_address(stderr)).await.expect("Chromium tells its DevTools address");
        let (socket, _) = connect_async(address).await.expect("Chromium's DevTools answer");
        let mut browser =
            Self { _process: process, _profile: profile, socket, session: None, last_id: 0, events: VecDeque::new() };
        browser.open_tab(url).await;
        browser
    }

    async fn open_tab(&mut self, url: &str) {
        // Whoever may use the microphone is told of all interfaces, loopback included.
        self.call("Browser.grantPermissions", json!({ "permissions": ["audioCapture"] })).await;
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attached =
            self.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true })).await;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            self.call(domain, json!({})).await;
        }
        self.call("Page.navigate", json!({ "url": url })).await;
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'").await;
    }

    /// The value of an expression, or of the promise it gives.
    pub(crate) async fn value<T: DeserializeOwned>(&mut self, expression: &str) -> T {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", parameters).await;
        let exception = &answer["exceptionDetails"]["exception"]["description"];
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {exception}");
        serde_json::from_value(answer["result"]["value"].take()).expect("a value of the wanted type")
    }

    /// Waits, in the page, for a condition to come true.
    pub(crate) async fn until(&mut self, condition: &str) {
        self.until_within(condition, Duration::from_secs(20)).await;
    }

    /// The same, with a limit of one's own.
    pub(crate) async fn until_within(&mut self, condition: &str, limit: Duration) {
        let message = json!(format!("{condition}: not within {limit:?}"));
        let limit = limit.as_millis();
        let _: bool = self
            .value(&format!(
                "new Promise((done, fail) => {{
                    const give_up = Date.now() + {limit};
                    const look = async () => {{
                        if ({condition}) done(true);
                        else if (Date.now() > give_up) fail(new Error({message} + '\\n' + document.body.innerText));
                        else setTimeout(look, 20);
                    }};
                    look();
                }})"
            ))
            .await;
    }

    /// Uncaught exceptions, and errors on the console, so far.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let complaint = |event: &Value| match event["method"].as_str()? {
            "Runtime.exceptionThrown" => Some(event["params"]["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if event["params"]["type"] == "error" => {
                Some(event["params"]["args"].to_string())
            }
            "Log.entryAdded" if event["params"]["entry"]["level"] == "error" => {
                Some(event["params"]["entry"].to_string())
            }
            _ => None,
        };
        self.events.iter().filter_map(complaint).collect()
    }

    /// Gives the window another size, in pixels.
    pub(crate) async fn resize(&mut self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// A PNG of the page in this size, in base64.
    pub(crate) async fn screenshot(&mut self, width: u32, height: u32, dark: bool) -> String {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await;
        self.resize(width, height).await;
        // Drawn anew in that size.
        let _: Option<bool> = self.value("new Promise((done) => setTimeout(done, 600))").await;
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        picture["data"].as_str().expect("the picture's data").to_owned()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).await.expect("the browser is there");
        let mut answer = timeout(PATIENCE, self.answer(id)).await.unwrap_or_else(|_| panic!("no answer to {method}"));
        assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
        answer["result"].take()
    }

    async fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.socket.next().await.expect("the browser is there").expect("the browser is there");
            let Ok(text) = message.to_text() else { continue };
            let Ok(message) = serde_json::from_str::<Value>(text) else { continue };
            if message["id"] == id {
                return message;
            }
            self.events.push_back(message);
        }
    }
}

fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = |name: &&str| std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| Path::is_file(file));
    NAMES.iter().find_map(in_path).expect("Chromium, in the PATH or named by the environment's CHROMIUM")
}

/// Chromium tells its address on standard error, which then goes on being read so that it never blocks.
async fn devtools_address(stderr: tokio::process::ChildStderr) -> String {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = line.strip_prefix("DevTools listening on ") {
            let address = address.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return address;
        }
    }
    panic!("Chromium ended before it told its DevTools address");
}
