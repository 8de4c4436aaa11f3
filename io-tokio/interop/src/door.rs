//! A server's door for tests.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio_tungstenite::tungstenite::http::Request;

use crate::node::Node;
use crate::poll::{PATIENCE, within};

/// A mediasoup server in Node, listening on loopback. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Door {
    node: Node,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Door {
    /// Starts it.
    pub(crate) async fn start(script: &str, arguments: &[&str]) -> Self {
        let node = Node::start(script, arguments).await;
        Self { node, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Ends it, as at a restart, and waits until it is gone.
    pub(crate) async fn stop(self) {
        let Node { mut child, stdin, .. } = self.node;
        drop(stdin);
        let status = within(PATIENCE, "the server ends", child.wait()).await.expect("it can be waited for");
        assert!(status.success(), "{status}");
    }

    /// Something that it said when it was ready.
    pub(crate) fn ready(&self, name: &str) -> &str {
        self.node.ready[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.node.ready))
    }

    /// Does an operation: its value, or its error.
    pub(crate) async fn ask(&self, request: &Value) -> Result<Value, String> {
        let request = Request::post(self.ready("control")).body(Full::from(request.to_string()));
        let request = request.expect("a valid request");
        let response = self.client.request(request).await.map_err(|error| error.to_string())?;
        let bytes = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        match answer["ok"] == true {
            true => Ok(answer["value"].take()),
            false => Err(answer["error"].as_str().unwrap_or("no reason given").to_owned()),
        }
    }
}
