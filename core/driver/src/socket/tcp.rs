//! One TCP connection to the server, opened by us, with RFC 4571 framing.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{AsyncRead, AsyncWrite};
use mediasoup_producer::adapter::Sent;
use mediasoup_producer::framing::{self, Decoder};

use crate::options::IoStats;
use crate::runtime::Runtime;

/// Bytes that are handed to the system at a time, or one datagram.
const MAX_WRITE: usize = 16 << 10;
/// Bytes that the system may hold and has not sent. By itself it takes megabytes, and audio would wait behind all of them.
const MAX_UNSENT: u32 = 32 << 10;
/// A connection that failed is not tried again sooner.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Connection<R: Runtime> {
    local: IpAddr,
    remote: SocketAddr,
    state: State<R::TcpStream>,
    /// What the system has not taken of the datagrams that were.
    writing: BytesMut,
    decoder: Decoder,
    /// It is to end when all is written.
    finishing: bool,
}

enum State<S> {
    Connecting(Pin<Box<dyn Future<Output = io::Result<S>> + Send>>),
    Open(S),
    Failed { retry_at: Option<Instant> },
}

impl<R: Runtime> Connection<R> {
    pub(crate) fn new(local: IpAddr, remote: SocketAddr) -> Self {
        Self {
            local,
            remote,
            state: State::Failed { retry_at: None },
            writing: BytesMut::new(),
            decoder: Decoder::default(),
            finishing: false,
        }
    }

    /// Takes the first of these datagrams, and as many after it as go in one write; opens the connection if need be. None
    /// waits here but what is being written: the rest keeps its order of importance in the queue it comes from.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        runtime: &R,
        datagrams: &VecDeque<Bytes>,
        stats: &mut IoStats,
    ) -> Sent {
        let now = runtime.now();
        if let State::Failed { retry_at } = &self.state
            && retry_at.is_none_or(|at| at <= now)
        {
            match connect(self.local, self.remote) {
                Ok(connecting) => self.state = State::Connecting(Box::pin(runtime.tcp_stream(connecting))),
                Err(_) => self.fail(now),
            }
        }
        let written = self.poll_flush(cx, now);
        match &self.state {
            // As on a network that leads nowhere.
            State::Failed { .. } => {
                stats.datagrams_dropped += datagrams.len() as u64;
                return Sent::Taken(datagrams.len());
            }
            State::Connecting(_) => return Sent::Blocked,
            State::Open(_) if !written => return Sent::Blocked,
            State::Open(_) => {}
        }
        let mut taken = 0;
        for datagram in datagrams {
            if taken > 0 && self.writing.len() + datagram.len() > MAX_WRITE {
                break;
            }
            taken += 1;
            if framing::encode(datagram, &mut self.writing) {
                stats.datagrams_sent += 1;
                stats.bytes_sent += datagram.len() as u64;
            } else {
                stats.datagrams_too_large += 1;
            }
        }
        self.poll_flush(cx, now);
        Sent::Taken(taken)
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// Lets it end when all is written; at once if it is not open: nothing was said over it then.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.finishing = true;
        if !matches!(self.state, State::Open(_)) {
            self.fail(now);
        }
    }

    pub(crate) fn finished(&self) -> bool {
        self.finishing && (self.writing.is_empty() || matches!(self.state, State::Failed { .. }))
    }

    /// Moves on what can be moved. True when nothing is left to be written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if let Err(Ended) = self.poll_write(cx) {
            self.fail(now);
        }
        self.writing.is_empty()
    }

    /// The next whole datagram.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>, buffer: &mut [u8], now: Instant) -> Poll<Bytes> {
        self.poll_flush(cx, now);
        loop {
            if let Some(datagram) = self.decoder.poll() {
                return Poll::Ready(datagram);
            }
            let State::Open(stream) = &mut self.state else { return Poll::Pending };
            match Pin::new(stream).poll_read(cx, buffer) {
                Poll::Ready(Ok(length @ 1..)) => self.decoder.push(&buffer[..length]),
                Poll::Ready(_) => self.fail(now),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        loop {
            match &mut self.state {
                State::Connecting(connecting) => match connecting.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => self.state = State::Open(stream),
                    Poll::Ready(Err(_)) => return Err(Ended),
                    Poll::Pending => return Ok(()),
                },
                State::Open(_) if self.writing.is_empty() => return Ok(()),
                State::Open(stream) => match Pin::new(stream).poll_write(cx, &self.writing) {
                    Poll::Ready(Ok(written @ 1..)) => self.writing.advance(written),
                    Poll::Ready(_) => return Err(Ended),
                    Poll::Pending => return Ok(()),
                },
                State::Failed { .. } => return Ok(()),
            }
        }
    }

    fn fail(&mut self, now: Instant) {
        self.state = State::Failed { retry_at: Some(now + RETRY) };
        self.writing = BytesMut::new();
        self.decoder = Decoder::default();
    }
}

/// The connection has ended.
struct Ended;

fn connect(local: IpAddr, remote: SocketAddr) -> io::Result<std::net::TcpStream> {
    let stream = connecting(Some(SocketAddr::new(local, 0)), remote)?;
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    socket2::SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT)?;
    // The nearest that others have: it bounds what is on its way, too.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    socket2::SockRef::from(&stream).set_send_buffer_size(4 * MAX_UNSENT as usize)?;
    Ok(stream)
}

/// A non-blocking TCP socket that is being connected.
pub(crate) fn connecting(bind: Option<SocketAddr>, remote: SocketAddr) -> io::Result<std::net::TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(remote), socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Neither media nor messages wait for more of it.
    socket.set_tcp_nodelay(true)?;
    if let Some(bind) = bind {
        socket.bind(&bind.into())?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        Ok(()) | Err(_) => Ok(socket.into()),
    }
}

fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}
