//! The sockets of a room: UDP ones, and TCP connections with RFC 4571 framing.

mod tcp;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::protocol::IceProtocol;
use mediasoup_producer::{Receive, Transmit, TransportId};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::options::{IoStats, Options};
use crate::shared::now;
use tcp::Connection;

/// No datagram is longer.
const MAX_DATAGRAM: usize = 65_535;
/// A socket that fails so often on end is given up: else it would keep us busy for ever.
const MAX_ERRORS: u32 = 64;
/// What is withdrawn stays open for so long: until ICE has found a path from the new address, media leaves from an old
/// one, and gets through if that is there still.
const LINGER: Duration = Duration::from_secs(2);

pub(crate) struct Sockets {
    options: Options,
    udp: Vec<Udp>,
    tcp: Vec<Tcp>,
    connections: BTreeMap<(SocketAddr, SocketAddr), Connection>,
    /// The next port of a TCP candidate: it is no socket's, and only tells transports apart.
    next_tcp_port: u16,
    /// Which socket is asked first, so that none is kept from its turn.
    turn: usize,
    buffer: Box<[u8]>,
    stats: IoStats,
}

struct Udp {
    transport: TransportId,
    /// As ICE knows it.
    address: SocketAddr,
    socket: Arc<UdpSocket>,
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

/// What became of a datagram.
pub(crate) enum Sent {
    Yes,
    /// The socket takes no more now; the task will be woken when it does.
    Blocked,
    Refused,
    Dropped,
}

pub(crate) struct Opened {
    pub(crate) addresses: Vec<(IceProtocol, SocketAddr)>,
    pub(crate) failure: Option<String>,
}

impl Sockets {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            options,
            udp: Vec::new(),
            tcp: Vec::new(),
            connections: BTreeMap::new(),
            // RFC 6544 section 4.5: the discard port stands for one that is not listened on.
            next_tcp_port: 9,
            turn: 0,
            buffer: vec![0; MAX_DATAGRAM].into(),
            stats: IoStats::default(),
        }
    }

    /// Opens a socket for each target that the system has a route to.
    pub(crate) fn open(&mut self, transport: TransportId, targets: &[(IceProtocol, SocketAddr)]) -> Opened {
        // However often this is done.
        self.close_withdrawn(|of, _| of == transport);
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
            None => {
                let socket = std::net::UdpSocket::bind(bind)?;
                socket.set_nonblocking(true)?;
                Arc::new(UdpSocket::from_std(socket)?)
            }
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
        let closes = Some(now() + LINGER);
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

    /// Closes what is withdrawn and due.
    fn close_withdrawn(&mut self, due: impl Fn(TransportId, Instant) -> bool) {
        self.udp.retain(|udp| !udp.closes.is_some_and(|closes| due(udp.transport, closes)));
        for tcp in self.tcp.extract_if(.., |tcp| tcp.closes.is_some_and(|closes| due(tcp.transport, closes))) {
            self.connections.retain(|(source, _), _| *source != tcp.address);
        }
    }

    /// Gives up all of a transport; what its connections have yet to write is written still.
    pub(crate) fn close(&mut self, transport: TransportId) {
        self.udp.retain(|udp| udp.transport != transport);
        for tcp in self.tcp.extract_if(.., |tcp| tcp.transport == transport) {
            for ((source, _), connection) in &mut self.connections {
                if *source == tcp.address {
                    connection.finish(now());
                }
            }
        }
    }

    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, transmit: &Transmit) -> Sent {
        match transmit.protocol {
            IceProtocol::Udp => {
                let Some(udp) = self.udp.iter().find(|udp| udp.address == transmit.source) else {
                    return Sent::Dropped;
                };
                match udp.socket.poll_send_to(cx, &transmit.contents, transmit.destination) {
                    Poll::Ready(Ok(_)) => Sent::Yes,
                    Poll::Ready(Err(_)) => Sent::Refused,
                    Poll::Pending => Sent::Blocked,
                }
            }
            IceProtocol::Tcp => {
                if !self.tcp.iter().any(|tcp| tcp.address == transmit.source) {
                    return Sent::Dropped;
                }
                let key = (transmit.source, transmit.destination);
                let connection = self.connections.entry(key).or_insert_with(|| Connection::new(key.0.ip(), key.1));
                if connection.send(cx, now(), &transmit.contents) { Sent::Yes } else { Sent::Dropped }
            }
        }
    }

    /// The next datagram of any socket. Moves connections on, too.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Receive> {
        let count = self.udp.len();
        for index in (0..count).map(|index| (index + self.turn) % count) {
            let Udp { address, socket, errors, .. } = &mut self.udp[index];
            let mut buffer = ReadBuf::new(&mut self.buffer);
            match socket.poll_recv_from(cx, &mut buffer) {
                Poll::Ready(Ok(source)) => {
                    *errors = 0;
                    self.turn = index + 1;
                    return Poll::Ready(Receive {
                        protocol: IceProtocol::Udp,
                        source,
                        destination: *address,
                        contents: Bytes::copy_from_slice(buffer.filled()),
                    });
                }
                Poll::Ready(Err(_)) => {
                    self.stats.socket_errors += 1;
                    *errors += 1;
                    // The error stands for a datagram: there may be others behind it.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending => {}
            }
        }
        let now = now();
        self.udp.retain(|udp| udp.errors < MAX_ERRORS);
        self.close_withdrawn(|_, closes| closes <= now);
        for ((source, destination), connection) in &mut self.connections {
            if let Poll::Ready(contents) = connection.poll_receive(cx, &mut self.buffer, now) {
                let (source, destination) = (*destination, *source);
                return Poll::Ready(Receive { protocol: IceProtocol::Tcp, source, destination, contents });
            }
        }
        self.connections.retain(|_, connection| !connection.finished());
        Poll::Pending
    }

    /// True when connections have nothing left to write.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        let mut flushed = true;
        for connection in self.connections.values_mut() {
            flushed &= connection.poll_flush(cx, now());
        }
        flushed
    }

    /// What was counted here since the last call.
    pub(crate) fn take_stats(&mut self) -> IoStats {
        std::mem::take(&mut self.stats)
    }
}

/// The address that the system sends from towards another. Nothing is sent.
fn local_ip(target: SocketAddr) -> io::Result<IpAddr> {
    let any = if target.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}
