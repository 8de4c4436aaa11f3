//! A box between us and the server's UDP sockets that loses datagrams.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::UdpSocket;

use crate::signalling::Tampering;

/// What a relay does to datagrams, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Passes them on, but for so many in a hundred, chosen at random.
    Lose(u8),
    /// Passes none on.
    Cut,
}

/// Stands before each UDP socket of the server that is signalled through it.
#[derive(Debug, Clone)]
pub struct Relay {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rule: Rule,
    random: u64,
    passed: u64,
    lost: u64,
    streams: BTreeMap<u32, Stream>,
}

/// RTP packets of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stream {
    /// Passed on to the server.
    pub passed: u64,
    /// Lost.
    pub lost: u64,
    /// Those of the lost after which none was passed on: nothing shows the server that they are missing.
    pub tail: u64,
}

impl Relay {
    /// The same seed loses the same datagrams of a run.
    pub fn new(seed: u64, rule: Rule) -> Self {
        // An xorshift must not begin at 0.
        let random = seed | 1 << 63;
        let state = State { rule, random, passed: 0, lost: 0, streams: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Changes what is done from now on.
    pub fn set(&self, rule: Rule) {
        self.lock().rule = rule;
    }

    /// Datagrams passed on and lost so far.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.passed, state.lost)
    }

    /// What became of the RTP packets of each stream on their way to the server, by SSRC; retransmissions are a stream
    /// of their own.
    pub fn streams(&self) -> BTreeMap<u32, Stream> {
        self.lock().streams.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic under the lock")
    }

    fn passes(&self) -> bool {
        let mut state = self.lock();
        state.random ^= state.random << 13;
        state.random ^= state.random >> 7;
        state.random ^= state.random << 17;
        let passes = match state.rule {
            Rule::Lose(percent) => state.random % 100 >= u64::from(percent),
            Rule::Cut => false,
        };
        match passes {
            true => state.passed += 1,
            false => state.lost += 1,
        }
        passes
    }

    /// Counts a datagram if it is RTP, of which the header is readable: the version is 2, and the second byte is no type
    /// of RTCP (RFC 5761, 4).
    fn count(&self, datagram: &[u8], passes: bool) {
        let [first, second, _, _, _, _, _, _, ssrc @ ..] = datagram else { return };
        let Some(ssrc) = ssrc.first_chunk().filter(|_| first >> 6 == 2 && !(192..=223).contains(second)) else {
            return;
        };
        let mut state = self.lock();
        let stream = state.streams.entry(u32::from_be_bytes(*ssrc)).or_default();
        match passes {
            true => (stream.passed, stream.tail) = (stream.passed + 1, 0),
            false => (stream.lost, stream.tail) = (stream.lost + 1, stream.tail + 1),
        }
    }

    /// Opens a socket that stands for one of the server's.
    fn stand_before(&self, server: SocketAddr) -> SocketAddr {
        let socket = std::net::UdpSocket::bind((server.ip(), 0)).expect("a socket on loopback");
        socket.set_nonblocking(true).expect("a socket can be asynchronous");
        let address = socket.local_addr().expect("a bound socket has an address");
        tokio::spawn(self.clone().carry(UdpSocket::from_std(socket).expect("within a runtime"), server));
        address
    }

    async fn carry(self, socket: UdpSocket, server: SocketAddr) {
        let socket = Arc::new(socket);
        // One socket towards the server for each of ours, so that it sees one address for each.
        let mut onward: BTreeMap<SocketAddr, Arc<UdpSocket>> = BTreeMap::new();
        let mut buffer = [0; 2000];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let to_server = match onward.entry(client) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    let new = Arc::new(UdpSocket::bind((server.ip(), 0)).await.expect("a socket on loopback"));
                    tokio::spawn(self.clone().carry_back(Arc::clone(&new), Arc::clone(&socket), client));
                    unknown.insert(new)
                }
            };
            let passes = self.passes();
            self.count(&buffer[..length], passes);
            if passes {
                // A network may lose it, too.
                let _ = to_server.send_to(&buffer[..length], server).await;
            }
        }
    }

    async fn carry_back(self, from: Arc<UdpSocket>, to: Arc<UdpSocket>, client: SocketAddr) {
        let mut buffer = [0; 2000];
        while let Ok((length, _)) = from.recv_from(&mut buffer).await {
            if self.passes() {
                let _ = to.send_to(&buffer[..length], client).await;
            }
        }
    }
}

/// The server's UDP candidates are replaced by the relay's.
impl Tampering for Relay {
    fn response(&mut self, data: &mut Value) {
        for candidate in data["iceCandidates"].as_array_mut().into_iter().flatten() {
            if candidate["protocol"] == "udp" {
                let ip: IpAddr = serde_json::from_value(candidate["ip"].clone()).expect("a candidate has an address");
                let port = u16::try_from(candidate["port"].as_u64().expect("a candidate has a port")).expect("16 bits");
                candidate["port"] = self.stand_before(SocketAddr::new(ip, port)).port().into();
            }
        }
    }
}
