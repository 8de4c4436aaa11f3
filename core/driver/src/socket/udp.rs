//! One UDP socket. Runs of datagrams of one size leave in one system call where the system can cut them (GSO), and what
//! comes in together is taken together (GRO, recvmmsg).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::Bytes;
use mediasoup_producer::adapter::{Sent, segments};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState, is_msg_size_err};

use crate::options::IoStats;
use crate::runtime::{Runtime, UdpSocket};

/// Buffers for one system call that receives; each may hold up to 64 datagrams.
const RECEIVE_BUFFERS: usize = 4;
/// No datagram, and nothing that is sent or received in one go, is longer.
const MAX_BYTES: usize = 65_535;

thread_local! {
    /// What is sent in one go is put together here; one for each thread, not for each socket.
    static OUTGOING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// What is received lands here.
    static INCOMING: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(crate) struct Socket<R: Runtime> {
    inner: R::UdpSocket,
    state: UdpSocketState,
}

impl<R: Runtime> Socket<R> {
    pub(crate) fn bind(runtime: &R, bind: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(bind)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { inner: runtime.udp_socket(socket)?, state })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Sends the first of these datagrams, and with it those after it that can go in the same system call.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        destination: SocketAddr,
        datagrams: &VecDeque<Bytes>,
        stats: &mut IoStats,
    ) -> Sent {
        let count = segments(datagrams, self.state.max_gso_segments());
        let Some(first) = datagrams.front() else { return Sent::Blocked };
        if count > 1 {
            let sent = OUTGOING.with_borrow_mut(|scratch| {
                scratch.clear();
                datagrams.iter().take(count).for_each(|datagram| scratch.extend_from_slice(datagram));
                self.poll_transmit(cx, destination, scratch, Some(first.len()))
            });
            match sent {
                Poll::Ready(Ok(())) => {
                    stats.datagrams_sent += count as u64;
                    stats.bytes_sent += datagrams.iter().take(count).map(|datagram| datagram.len() as u64).sum::<u64>();
                    return Sent::Taken(count);
                }
                Poll::Pending => return Sent::Blocked,
                // The network card cannot cut them, or one is at fault: each goes by itself.
                Poll::Ready(Err(_)) => {}
            }
        }
        let mut taken = 0;
        for datagram in datagrams.iter().take(count) {
            match self.poll_transmit(cx, destination, datagram, None) {
                Poll::Ready(Ok(())) => {
                    stats.datagrams_sent += 1;
                    stats.bytes_sent += datagram.len() as u64;
                }
                // What cannot be sent is lost, as on any network, and says nothing about what follows.
                Poll::Ready(Err(error)) => {
                    let bytes = datagram.len();
                    if is_msg_size_err(&error) {
                        stats.datagrams_too_large += 1;
                        tracing::warn!(%destination, bytes, "a datagram is larger than the network takes");
                    } else {
                        stats.socket_errors += 1;
                        tracing::debug!(%destination, bytes, %error, "a datagram was not sent");
                    }
                }
                Poll::Pending if taken == 0 => return Sent::Blocked,
                Poll::Pending => break,
            }
            taken += 1;
        }
        Sent::Taken(taken)
    }

    fn poll_transmit(
        &self,
        cx: &mut Context<'_>,
        destination: SocketAddr,
        contents: &[u8],
        segment_size: Option<usize>,
    ) -> Poll<io::Result<()>> {
        let transmit = Transmit { destination, ecn: None, contents, segment_size, src_ip: None };
        self.inner.poll_send(cx, |socket| self.state.try_send(socket, &transmit))
    }

    /// Hands over the datagrams that one system call brings.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> Poll<io::Result<()>> {
        INCOMING.with_borrow_mut(|scratch| {
            scratch.resize(RECEIVE_BUFFERS * MAX_BYTES, 0);
            let mut meta = [RecvMeta::default(); RECEIVE_BUFFERS];
            let received = self.inner.poll_recv(cx, |socket| {
                let mut chunks = scratch.chunks_exact_mut(MAX_BYTES);
                let mut buffers: [_; RECEIVE_BUFFERS] =
                    std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
                self.state.recv(socket, &mut buffers, &mut meta)
            });
            received.map_ok(|count| {
                for (buffer, meta) in scratch.chunks_exact(MAX_BYTES).zip(meta.iter().take(count)) {
                    let received = &buffer[..meta.len.min(MAX_BYTES)];
                    received.chunks(meta.stride.max(1)).for_each(|datagram| take(meta.addr, datagram));
                }
            })
        })
    }
}
