//! The UDP sockets of a room.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::protocol::IceProtocol;
use mediasoup_producer::{Receive, Transmit, TransportId};
use smol::Async;

/// No datagram is longer.
const MAX_DATAGRAM: usize = 65_535;
/// A socket that fails so often on end is given up: else it would keep us busy for ever.
const MAX_ERRORS: u32 = 64;
/// What is withdrawn stays open for so long: until ICE has found a path from the new address, media leaves from an old
/// one, and gets through if that is there still.
const LINGER: Duration = Duration::from_secs(2);

pub(crate) struct Sockets {
    udp: Vec<Udp>,
    /// Which socket is asked first, so that none is kept from its turn.
    turn: usize,
    buffer: Box<[u8]>,
}

struct Udp {
    transport: TransportId,
    /// As ICE knows it.
    address: SocketAddr,
    socket: Async<UdpSocket>,
    errors: u32,
    /// It is withdrawn, and closed then.
    closes: Option<Instant>,
}

/// What became of a datagram.
pub(crate) enum Sent {
    /// It went out, or never will.
    Done,
    /// The socket takes no more now; the task will be woken when it does.
    Blocked,
}

pub(crate) struct Opened {
    pub(crate) addresses: Vec<(IceProtocol, SocketAddr)>,
    pub(crate) failure: Option<String>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self { udp: Vec::new(), turn: 0, buffer: vec![0; MAX_DATAGRAM].into() }
    }
}

impl Sockets {
    /// Opens a socket for each target that the system has a route to.
    pub(crate) fn open(&mut self, transport: TransportId, targets: &[(IceProtocol, SocketAddr)]) -> Opened {
        // However often this is done.
        self.udp.retain(|udp| udp.transport != transport || udp.closes.is_none());
        let mut opened = Opened { addresses: Vec::new(), failure: None };
        for (protocol, target) in targets {
            let address = match protocol {
                IceProtocol::Udp => self.open_udp(transport, *target),
                IceProtocol::Tcp => continue,
            };
            match address {
                Ok(address) => opened.addresses.push((*protocol, address)),
                Err(error) => opened.failure = Some(format!("{target}: {error}")),
            }
        }
        if opened.addresses.is_empty() && opened.failure.is_none() {
            opened.failure = Some("the server offers no UDP".to_owned());
        }
        opened
    }

    fn open_udp(&mut self, transport: TransportId, target: SocketAddr) -> io::Result<SocketAddr> {
        let socket = Async::<UdpSocket>::bind((local_ip(target)?, 0))?;
        let address = socket.get_ref().local_addr()?;
        self.udp.push(Udp { transport, address, socket, errors: 0, closes: None });
        Ok(address)
    }

    /// Gives up one address of a transport.
    pub(crate) fn withdraw(&mut self, transport: TransportId, address: SocketAddr) {
        for udp in self.udp.iter_mut().filter(|udp| (udp.transport, udp.address) == (transport, address)) {
            udp.closes = Some(Instant::now() + LINGER);
        }
    }

    /// Gives up all of a transport.
    pub(crate) fn close(&mut self, transport: TransportId) {
        self.udp.retain(|udp| udp.transport != transport);
    }

    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, transmit: &Transmit) -> Sent {
        let Some(udp) = self.udp.iter().find(|udp| udp.address == transmit.source) else { return Sent::Done };
        loop {
            match udp.socket.get_ref().send_to(&transmit.contents, transmit.destination) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) | Err(_) => return Sent::Done,
            }
            match udp.socket.poll_writable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Sent::Done,
                Poll::Pending => return Sent::Blocked,
            }
        }
    }

    /// The next datagram of any socket.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Receive> {
        let count = self.udp.len();
        for index in (0..count).map(|index| (index + self.turn) % count) {
            let Udp { address, socket, errors, .. } = &mut self.udp[index];
            match poll_recv_from(socket, cx, &mut self.buffer) {
                Poll::Ready(Ok((length, source))) => {
                    *errors = 0;
                    self.turn = index + 1;
                    return Poll::Ready(Receive {
                        protocol: IceProtocol::Udp,
                        source,
                        destination: *address,
                        contents: Bytes::copy_from_slice(&self.buffer[..length]),
                    });
                }
                Poll::Ready(Err(_)) => {
                    *errors += 1;
                    // The error stands for a datagram: there may be others behind it.
                    cx.waker().wake_by_ref();
                }
                Poll::Pending => {}
            }
        }
        let now = Instant::now();
        self.udp.retain(|udp| udp.errors < MAX_ERRORS && udp.closes.is_none_or(|closes| now < closes));
        Poll::Pending
    }
}

fn poll_recv_from(
    socket: &Async<UdpSocket>,
    cx: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<io::Result<(usize, SocketAddr)>> {
    loop {
        match socket.get_ref().recv_from(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return Poll::Ready(received),
        }
        match socket.poll_readable(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// The address that the system sends from towards another. Nothing is sent.
fn local_ip(target: SocketAddr) -> io::Result<IpAddr> {
    let any = if target.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}
