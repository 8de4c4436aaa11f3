//! Events that the server's side brings about in either dialect, as they are told.

use mediasoup_producer::Redacted;
use serde_json::Value;

use crate::report::Event;

pub(super) fn joined(peer: &str, others: Vec<String>) -> Event {
    let text = format!("joined as {peer}; {} other peers", others.len());
    Event::new("joined", text).with("peer", peer).with("peers", others)
}

pub(super) fn new_peer(name: String) -> Event {
    Event::new("newpeer", format!("{name} has come")).with("peer", name)
}

pub(super) fn peer_closed(name: String) -> Event {
    Event::new("peerclosed", format!("{name} has left")).with("peer", name)
}

/// The server's application says something of its own.
pub(super) fn application(method: String, data: &Value) -> Event {
    let event = Event::new("application", format!("the server's application says {method}"));
    event.with("method", method).with("data", Redacted(data).to_value())
}

/// Of media whose pictures are shown in another order than they are sent in.
pub(super) fn reordered(what: &str) -> Event {
    let text = "has pictures in another order than they are shown in (B-frames): receivers of WebRTC do not sort them, \
                and will show few; encode without (ffmpeg: -bf 0)";
    Event::new("reordered", format!("{what} {text}")).with("remedy", "-bf 0")
}
