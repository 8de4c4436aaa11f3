//! Which room a peer goes to, and under which name.

use url::Url;

use super::LoadError;
use crate::args::Dialect;
use crate::run::peer_key;

const ROOM: &str = "{room}";
const PEER: &str = "{peer}";

/// Where peers go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// With `{room}` and `{peer}`.
    pattern: String,
    dialect: Dialect,
    rooms: u32,
}

impl Target {
    pub(super) fn new(url: &str, dialect: Dialect, rooms: u32) -> Result<Self, LoadError> {
        if rooms > 1 && !url.contains(ROOM) {
            return Err(LoadError::OneRoom { rooms });
        }
        let key = peer_key(dialect);
        let mut pattern = url.to_owned();
        if !url.contains(PEER) {
            // What is wrong with a URL is said when it is used.
            let named = |url: Url| url.query_pairs().any(|(name, value)| name == key && !value.is_empty());
            if Url::parse(url).is_ok_and(named) {
                return Err(LoadError::OnePeer { key });
            }
            let separator = if url.contains('?') { '&' } else { '?' };
            pattern = format!("{url}{separator}{key}={PEER}");
        }
        Ok(Self { pattern, dialect, rooms })
    }

    /// Name and URL of a peer, counted from 0. Several processes may load the same rooms: no two have peers of one name.
    pub(super) fn peer(&self, index: u32) -> (String, String) {
        let name = format!("load-{}-{}", std::process::id(), index + 1);
        let room = index % self.rooms + 1;
        let url = self.pattern.replace(ROOM, &room.to_string()).replace(PEER, &name);
        (name, url)
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(super) const fn rooms(&self) -> u32 {
        self.rooms
    }

    /// Host and port, for the report.
    pub(super) fn host(&self) -> String {
        let (_, url) = self.peer(0);
        let parsed = Url::parse(&url).ok();
        let host = parsed.and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
        host.map_or(url, |(host, port)| format!("{host}:{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_spread_over_the_rooms_under_names_of_their_own() {
        let target = Target::new("ws://host:1/?roomId=r{room}", Dialect::V3, 2).unwrap();
        let peers: Vec<_> = (0..3).map(|index| target.peer(index)).collect();
        for ((name, url), room) in peers.iter().zip([1, 2, 1]) {
            assert_eq!(*url, format!("ws://host:1/?roomId=r{room}&peerId={name}"));
        }
        assert!(peers[0].0 != peers[2].0, "{peers:?}");
        let named = Target::new("ws://host/{room}?peerName=a-{peer}-b", Dialect::V2, 9).unwrap();
        let (name, url) = named.peer(8);
        assert_eq!(url, format!("ws://host/9?peerName=a-{name}-b"));
        assert!(Target::new("ws://host", Dialect::V2, 1).unwrap().peer(0).1.starts_with("ws://host?peerName=load-"));
    }

    #[test]
    fn one_room_or_one_name_for_many_is_refused() {
        let refused = |url, rooms| Target::new(url, Dialect::V2, rooms).unwrap_err();
        assert!(matches!(refused("ws://host/?roomId=r", 2), LoadError::OneRoom { rooms: 2 }));
        assert!(matches!(refused("ws://host/?peerName=p&roomId={room}", 2), LoadError::OnePeer { .. }));
    }
}
