//! The other peers, as far as there is space for them.

use std::collections::BTreeMap;

use crate::json::weight;
use crate::limits::Limits;
use crate::v2::protocol::Peer;

#[derive(Debug)]
pub(crate) struct Peers {
    by_name: BTreeMap<String, Peer>,
    bytes: usize,
    limit: usize,
    byte_limit: usize,
    /// Those for whom there was no space.
    pub(crate) dropped: u64,
}

impl Peers {
    pub(crate) const fn new(limits: &Limits) -> Self {
        let (limit, byte_limit) = (limits.peers, limits.peer_bytes);
        Self { by_name: BTreeMap::new(), bytes: 0, limit, byte_limit, dropped: 0 }
    }

    /// If there is no space, nothing of that name is known any more.
    pub(crate) fn remember(&mut self, peer: Peer) {
        self.forget(&peer.name);
        let bytes = peer_weight(&peer);
        if self.by_name.len() < self.limit && self.bytes.saturating_add(bytes) <= self.byte_limit {
            self.bytes += bytes;
            self.by_name.insert(peer.name.clone(), peer);
        } else {
            self.dropped += 1;
        }
    }

    pub(crate) fn forget(&mut self, name: &str) {
        if let Some(peer) = self.by_name.remove(name) {
            self.bytes -= peer_weight(&peer);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
        self.bytes = 0;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.by_name.values()
    }
}

pub(crate) fn peer_weight(peer: &Peer) -> usize {
    peer.name.len() + peer.app_data.as_ref().map_or(0, weight)
}
