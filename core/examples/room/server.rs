//! What an application around mediasoup has for a peer, without sockets: words of its own, and a router.
//!
//! It is asked `{"ask":7,"what":"produce","with":{..}}`, and answers `{"answer":7,"ok":{..}}` or `{"answer":7,"error":"no"}`;
//! `{"tell":"pause","with":{..}}` wants no answer.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use mediasoup_producer::sim::v3::{EncodingCounters, Router, RouterConfig, WebRtcTransportOptions};
use mediasoup_producer::{IceProtocol, MediaKind, random_seed};
use serde_json::{Value, from_value, json};

/// `sim::v3::Router` in place of a mediasoup 3 in Node or Rust, and the words for what can be asked of it.
pub(crate) struct Server {
    pub(crate) router: Router,
}

impl Server {
    /// With its media at `address`.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let config = RouterConfig::default().address(IceProtocol::Udp, address);
        Self { router: Router::new(config, random_seed()) }
    }

    /// Its answer to a message, if it wants one.
    pub(crate) fn hear(&mut self, now: Instant, message: &str) -> Result<Option<String>, Box<dyn Error>> {
        let mut message: Value = serde_json::from_str(message)?;
        let (what, with) = (message["what"].take(), message["with"].take());
        let what = what.as_str().or(message["tell"].as_str()).unwrap_or_default();
        let done = self.act(now, what, with);
        let Some(number) = message["ask"].as_u64() else { return Ok(None) };
        let answer = match done {
            Ok(data) => json!({ "answer": number, "ok": data }),
            Err(error) => json!({ "answer": number, "error": error.to_string() }),
        };
        Ok(Some(answer.to_string()))
    }

    fn act(&mut self, now: Instant, what: &str, mut with: Value) -> Result<Value, Box<dyn Error>> {
        let text = |name: &str| with[name].as_str().unwrap_or_default().to_owned();
        let (transport, producer) = (text("transportId"), text("producer"));
        Ok(match what {
            "capabilities" => json!(self.router.rtp_capabilities()),
            "createTransport" => json!(self.router.create_web_rtc_transport(now, WebRtcTransportOptions::default())?),
            "connect" => {
                self.router.connect(now, &transport, &from_value(with["dtlsParameters"].take())?)?;
                json!({})
            }
            "produce" => {
                let kind: MediaKind = from_value(with["kind"].take())?;
                let parameters = from_value(with["rtpParameters"].take())?;
                json!({ "producer": self.router.produce(now, &transport, kind, &parameters)? })
            }
            "restartIce" => json!(self.router.restart_ice(now, &transport)?),
            "pause" => json!(self.router.pause_producer(now, &producer)?),
            "resume" => json!(self.router.resume_producer(now, &producer)?),
            "closeProducer" => json!(self.router.close_producer(now, &producer)?),
            "received" => received(&self.router.encodings(&producer)),
            other => return Err(format!("what is {other:?}?").into()),
        })
    }
}

/// What arrived of each encoding of a producer, the lowest first. Lost is what the gaps in the numbers tell.
pub(crate) fn received(encodings: &[EncodingCounters]) -> Value {
    let of_each = encodings.iter().map(|encoding| {
        json!({
            "layer": encoding.layer,
            "packets": encoding.received.packets,
            "lost": encoding.received.packets_lost,
        })
    });
    of_each.collect()
}
