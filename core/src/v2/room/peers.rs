//! The other peers, as far as there is space for them.

use std::collections::BTreeMap;

use crate::json::weight;
use crate::limits::Limits;
use crate::v2::protocol::Peer;

#[derive(Debug, Default)]
pub(crate) struct Peers {
    by_name: BTreeMap<String, Peer>,
    bytes: usize,
}

impl Peers {
    /// False: there is no space, and nothing of that name is known any more.
    pub(crate) fn remember(&mut self, peer: Peer, limits: &Limits) -> bool {
        self.forget(&peer.name);
        let bytes = peer_weight(&peer);
        let space = self.by_name.len() < limits.peers && self.bytes.saturating_add(bytes) <= limits.peer_bytes;
        if space {
            self.bytes += bytes;
            self.by_name.insert(peer.name.clone(), peer);
        }
        space
    }

    pub(crate) fn forget(&mut self, name: &str) {
        if let Some(peer) = self.by_name.remove(name) {
            self.bytes -= peer_weight(&peer);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.by_name.values()
    }
}

pub(crate) fn peer_weight(peer: &Peer) -> usize {
    peer.name.len() + peer.app_data.as_ref().map_or(0, weight)
}
