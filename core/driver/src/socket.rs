//! The sockets of a room: UDP ones, and TCP connections with RFC 4571 framing.

mod tcp;
mod udp;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::IceProtocol;
use mediasoup_producer::adapter::{Path, Sent};
use mediasoup_producer::{Receive, TransportId};

use crate::options::{IoStats, Options};
use crate::runtime::Runtime;
use tcp::Connection;
#[cfg(feature = "websocket")]
pub(crate) use tcp::connecting;
use udp::Socket;

/// A socket that fails so often on end is given up: else it would keep us busy for ever.
const MAX_ERRORS: u32 = 64;
/// What is withdrawn stays open for so long: until ICE has found a path from the new address, media leaves from an old
/// one, and gets through if that is there still.
const WITHDRAWN: Duration = Duration::from_secs(2);
/// A socket that is closed stays for so long for what waits to be sent from it.
const CLOSED: Duration = Duration::from_secs(1);

pub(crate) struct Sockets<R: Runtime> {
    runtime: R,
    options: Options,
    udp: Vec<Udp<R>>,
    tcp: Vec<Tcp>,
    connections: BTreeMap<(SocketAddr, SocketAddr), Connection<R>>,
    /// The next port of a TCP candidate: it is no socket's, and only tells transports apart.
    next_tcp_port: u16,
    /// Which socket is asked first, so that none is kept from its turn.
    turn: usize,
}

struct Udp<R: Runtime> {
    transport: TransportId,
    /// As ICE knows it.
    address: SocketAddr,
    socket: Arc<Socket<R>>,
    errors: u32,
    /// It is withdrawn, and closed then.
    closes: Option<Instant>,
}

struct Tcp {
    transport: TransportId,
    /// As ICE knows it.
    address: SocketAddr,
    /// It is withdrawn, and its connections are closed then.
    closes: Option<Instant>,
}

pub(crate) struct Opened {
    pub(crate) addresses: Vec<(IceProtocol, SocketAddr)>,
    pub(crate) failure: Option<String>,
}

impl<R: Runtime> Sockets<R> {
    pub(crate) fn new(runtime: R, options: Options) -> Self {
        Self {
            runtime,
            options,
            udp: Vec::new(),
            tcp: Vec::new(),
            connections: BTreeMap::new(),
            // RFC 6544 section 4.5: the discard port stands for one that is not listened on.
            next_tcp_port: 9,
            turn: 0,
        }
    }

    /// Opens a socket for each target that the system has a route to.
    pub(crate) fn open(&mut self, transport: TransportId, targets: &[(IceProtocol, SocketAddr)]) -> Opened {
        // However often this is done.
        self.close_due(|of, _| of == transport);
        let mut opened = Opened { addresses: Vec::new(), failure: None };
        for (protocol, target) in targets {
            let address = match protocol {
                IceProtocol::Udp if self.options.udp => self.open_udp(transport, *target),
                IceProtocol::Tcp if self.options.tcp => self.open_tcp(transport, *target),
                IceProtocol::Udp | IceProtocol::Tcp => continue,
            };
            match address {
                Ok(address) => opened.addresses.push((*protocol, address)),
                Err(error) => opened.failure = Some(format!("{target} over {protocol:?}: {error}")),
            }
        }
        if opened.addresses.is_empty() && opened.failure.is_none() {
            opened.failure = Some("the server offers only what the options exclude".to_owned());
        }
        opened
    }

    fn bind_address(&self, target: SocketAddr) -> io::Result<SocketAddr> {
        let wanted = self.options.bind.iter().find(|address| address.is_ipv4() == target.is_ipv4());
        match wanted {
            Some(address) => Ok(*address),
            None if self.options.bind.is_empty() => Ok(SocketAddr::new(local_ip(target)?, 0)),
            None => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no bind address of this family is given")),
        }
    }

    fn open_udp(&mut self, transport: TransportId, target: SocketAddr) -> io::Result<SocketAddr> {
        let bind = self.bind_address(target)?;
        let shared = self.udp.iter().find(|udp| bind.port() != 0 && udp.socket.local_addr().is_ok_and(|at| at == bind));
        let socket = match shared {
            Some(udp) => Arc::clone(&udp.socket),
            None => Arc::new(Socket::bind(&self.runtime, bind)?),
        };
        let mut address = socket.local_addr()?;
        if address.ip().is_unspecified() {
            address.set_ip(local_ip(target)?);
        }
        if !self.udp.iter().any(|udp| udp.transport == transport && udp.address == address) {
            self.udp.push(Udp { transport, address, socket, errors: 0, closes: None });
        }
        Ok(address)
    }

    fn open_tcp(&mut self, transport: TransportId, target: SocketAddr) -> io::Result<SocketAddr> {
        let mut ip = self.bind_address(target)?.ip();
        if ip.is_unspecified() {
            ip = local_ip(target)?;
        }
        let address = SocketAddr::new(ip, self.next_tcp_port);
        self.next_tcp_port = self.next_tcp_port.checked_add(1).unwrap_or(9);
        self.tcp.push(Tcp { transport, address, closes: None });
        Ok(address)
    }

    /// Gives up one address of a transport.
    pub(crate) fn withdraw(&mut self, transport: TransportId, protocol: IceProtocol, address: SocketAddr) {
        let closes = Some(self.runtime.now() + WITHDRAWN);
        match protocol {
            IceProtocol::Udp => {
                for udp in self.udp.iter_mut().filter(|udp| (udp.transport, udp.address) == (transport, address)) {
                    udp.closes = closes;
                }
            }
            IceProtocol::Tcp => {
                for tcp in self.tcp.iter_mut().filter(|tcp| (tcp.transport, tcp.address) == (transport, address)) {
                    tcp.closes = closes;
                }
            }
        }
    }

    /// When something that is withdrawn is to be closed.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let udp = self.udp.iter().filter_map(|udp| udp.closes);
        udp.chain(self.tcp.iter().filter_map(|tcp| tcp.closes)).min()
    }

    /// Closes what is withdrawn and whose time has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.close_due(|_, closes| closes <= now);
    }

    fn close_due(&mut self, due: impl Fn(TransportId, Instant) -> bool) {
        self.udp.retain(|udp| !udp.closes.is_some_and(|closes| due(udp.transport, closes)));
        for tcp in self.tcp.extract_if(.., |tcp| tcp.closes.is_some_and(|closes| due(tcp.transport, closes))) {
            self.connections.retain(|(source, _), _| *source != tcp.address);
        }
    }

    /// Gives up all of a transport; what waits for a socket, and what its connections have yet to write, is sent still.
    pub(crate) fn close(&mut self, transport: TransportId, waiting: impl Fn(SocketAddr) -> bool) {
        let now = self.runtime.now();
        self.udp.retain_mut(|udp| {
            if udp.transport != transport {
                return true;
            }
            udp.closes = Some(now + CLOSED);
            waiting(udp.address)
        });
        let connections = &mut self.connections;
        self.tcp.retain_mut(|tcp| {
            if tcp.transport != transport {
                return true;
            }
            let mut of_it = connections.iter_mut().filter(|((source, _), _)| *source == tcp.address);
            if waiting(tcp.address) && of_it.by_ref().any(|(_, connection)| connection.is_open()) {
                tcp.closes = Some(now + CLOSED);
                return true;
            }
            for ((source, _), connection) in connections.iter_mut() {
                if *source == tcp.address {
                    connection.finish(now);
                }
            }
            false
        });
    }

    /// Sends the first of these datagrams, and more if they can go with it.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        datagrams: &VecDeque<Bytes>,
        stats: &mut IoStats,
    ) -> Sent {
        match path.protocol {
            IceProtocol::Udp => match self.udp.iter().find(|udp| udp.address == path.source) {
                Some(udp) => udp.socket.poll_send(cx, path.destination, datagrams, stats),
                None => {
                    stats.datagrams_dropped += datagrams.len() as u64;
                    Sent::Taken(datagrams.len())
                }
            },
            IceProtocol::Tcp if self.tcp.iter().any(|tcp| tcp.address == path.source) => {
                let key = (path.source, path.destination);
                let connection = self.connections.entry(key).or_insert_with(|| Connection::new(key.0.ip(), key.1));
                connection.poll_send(cx, &self.runtime, datagrams, stats)
            }
            IceProtocol::Tcp => {
                stats.datagrams_dropped += datagrams.len() as u64;
                Sent::Taken(datagrams.len())
            }
        }
    }

    /// Gives up all at once.
    pub(crate) fn close_all(&mut self) {
        self.udp.clear();
        self.tcp.clear();
        self.connections.clear();
    }

    /// The addresses of a transport.
    pub(crate) fn addresses(&self, transport: TransportId) -> impl Iterator<Item = SocketAddr> {
        let udp = self.udp.iter().map(|udp| (udp.transport, udp.address));
        let tcp = self.tcp.iter().map(|tcp| (tcp.transport, tcp.address));
        udp.chain(tcp).filter_map(move |(of, address)| (of == transport).then_some(address))
    }

    /// Hands over what came in, `budget` datagrams or a little more, and moves connections on. True if there was any.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        budget: usize,
        stats: &mut IoStats,
        mut take: impl FnMut(Receive),
    ) -> bool {
        let mut received = 0;
        let count = self.udp.len();
        for index in (0..count).map(|index| (index + self.turn) % count) {
            let Udp { address, socket, errors, .. } = &mut self.udp[index];
            let destination = *address;
            while received < budget {
                let result = socket.poll_receive(cx, |source, contents| {
                    received += 1;
                    let contents = Bytes::copy_from_slice(contents);
                    take(Receive { protocol: IceProtocol::Udp, source, destination, contents });
                });
                match result {
                    Poll::Ready(Ok(())) => *errors = 0,
                    Poll::Ready(Err(error)) => {
                        // The error stands for a datagram that was sent before: there may be others behind it.
                        received += 1;
                        stats.socket_errors += 1;
                        *errors += u32::from(!is_of_the_network(&error));
                        if *errors >= MAX_ERRORS {
                            break;
                        }
                    }
                    Poll::Pending => break,
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        if self.connections.is_empty() {
            return received > 0;
        }
        let now = self.runtime.now();
        let mut buffer = [0; 4096];
        for ((source, destination), connection) in &mut self.connections {
            while received < budget
                && let Poll::Ready(contents) = connection.poll_receive(cx, &mut buffer, now)
            {
                received += 1;
                let (source, destination) = (*destination, *source);
                take(Receive { protocol: IceProtocol::Tcp, source, destination, contents });
            }
        }
        self.connections.retain(|_, connection| !connection.finished());
        received > 0
    }

    /// Gives up sockets that only fail; the transports of which none is left.
    pub(crate) fn give_up(&mut self) -> Vec<TransportId> {
        let mut lost: Vec<_> =
            self.udp.extract_if(.., |udp| udp.errors >= MAX_ERRORS).map(|udp| udp.transport).collect();
        lost.retain(|id| {
            !self.udp.iter().any(|udp| udp.transport == *id) && !self.tcp.iter().any(|tcp| tcp.transport == *id)
        });
        lost
    }

    /// True when connections have nothing left to write.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        let now = self.runtime.now();
        let mut flushed = true;
        for connection in self.connections.values_mut() {
            flushed &= connection.poll_flush(cx, now);
        }
        flushed
    }
}

/// An error that tells of a datagram's fate, not of the socket: as many may come as datagrams were sent.
fn is_of_the_network(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable};
    let kind = error.kind();
    [ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable].contains(&kind)
}

/// The address that the system sends from towards another. Nothing is sent.
fn local_ip(target: SocketAddr) -> io::Result<IpAddr> {
    let any = if target.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}
