//! One TCP connection to the server, opened by us, with RFC 4571 framing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{AsyncRead, AsyncWrite};
use mediasoup_producer::framing::{self, Decoder};

use crate::runtime::Runtime;

/// Bytes that wait to be written at most: about a second of video. Datagrams beyond are dropped, as a network would.
const MAX_WAITING: usize = 256 << 10;
/// A connection that failed is not tried again sooner.
const RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Connection<R: Runtime> {
    local: IpAddr,
    remote: SocketAddr,
    state: State<R::TcpStream>,
    waiting: BytesMut,
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
            waiting: BytesMut::new(),
            decoder: Decoder::default(),
            finishing: false,
        }
    }

    /// Takes a datagram to be written; opens the connection if need be. False: there is no room for it.
    pub(crate) fn send(&mut self, cx: &mut Context<'_>, runtime: &R, datagram: &[u8]) -> bool {
        let now = runtime.now();
        if let State::Failed { retry_at } = &self.state {
            if retry_at.is_some_and(|at| now < at) {
                return false;
            }
            match connect(self.local, self.remote) {
                Ok(connecting) => self.state = State::Connecting(Box::pin(runtime.tcp_stream(connecting))),
                Err(_) => {
                    self.fail(now);
                    return false;
                }
            }
        }
        let taken = self.waiting.len() + datagram.len() <= MAX_WAITING && framing::encode(datagram, &mut self.waiting);
        self.poll_flush(cx, now);
        taken
    }

    /// How many datagrams wait, about, if they are too many for more to be added.
    pub(crate) fn behind(&self) -> usize {
        const USUAL: usize = 1200;
        if self.waiting.len() > MAX_WAITING / 2 { self.waiting.len() / USUAL } else { 0 }
    }

    /// Lets it end when all is written; at once if it is not open: nothing was said over it then.
    pub(crate) fn finish(&mut self, now: Instant) {
        self.finishing = true;
        if !matches!(self.state, State::Open(_)) {
            self.fail(now);
        }
    }

    pub(crate) fn finished(&self) -> bool {
        self.finishing && (self.waiting.is_empty() || matches!(self.state, State::Failed { .. }))
    }

    /// Moves on what can be moved. True when nothing waits to be written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if let Err(Ended) = self.poll_write(cx) {
            self.fail(now);
        }
        self.waiting.is_empty()
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
                State::Open(_) if self.waiting.is_empty() => return Ok(()),
                State::Open(stream) => match Pin::new(stream).poll_write(cx, &self.waiting) {
                    Poll::Ready(Ok(written @ 1..)) => self.waiting.advance(written),
                    Poll::Ready(_) => return Err(Ended),
                    Poll::Pending => return Ok(()),
                },
                State::Failed { .. } => return Ok(()),
            }
        }
    }

    fn fail(&mut self, now: Instant) {
        self.state = State::Failed { retry_at: Some(now + RETRY) };
        self.waiting = BytesMut::new();
        self.decoder = Decoder::default();
    }
}

/// The connection has ended.
struct Ended;

fn connect(local: IpAddr, remote: SocketAddr) -> io::Result<std::net::TcpStream> {
    connecting(Some(SocketAddr::new(local, 0)), remote)
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
