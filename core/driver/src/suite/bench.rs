//! A runtime with something in between: a clock that runs faster, and UDP sockets that take nothing, or fail, when told to.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::runtime::{Runtime, Timer, UdpSockRef, UdpSocket};

/// A runtime with something in between.
#[derive(Debug, Clone)]
pub struct Bench<R> {
    inner: R,
    clock: Clock,
    /// What happens to what is sent over UDP.
    pub valve: Arc<Valve>,
}

/// A clock that runs faster than the system's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    base: Instant,
    speed: u32,
}

impl Clock {
    pub(crate) fn now(&self, real: Instant) -> Instant {
        self.base + real.saturating_duration_since(self.base) * self.speed
    }

    pub(crate) fn real(&self, at: Instant) -> Instant {
        self.base + at.saturating_duration_since(self.base) / self.speed
    }
}

impl<R: Runtime> Bench<R> {
    /// With the runtime's own clock.
    pub fn new(inner: R) -> Self {
        Self::faster(inner, 1)
    }

    /// Time goes `speed` times as fast.
    pub fn faster(inner: R, speed: u32) -> Self {
        let clock = Clock { base: inner.now(), speed };
        Self { inner, clock, valve: Arc::default() }
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }
}

/// What becomes of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// They are sent.
    #[default]
    Sent,
    /// The socket takes none.
    Blocked,
    /// The system says so.
    Refused(i32),
}

/// Decides what becomes of the datagrams of all sockets, or of one.
#[derive(Debug, Default)]
pub struct Valve {
    state: Mutex<ValveState>,
}

#[derive(Debug, Default)]
struct ValveState {
    fate: Fate,
    only: Option<SocketAddr>,
    /// The first so many calls are refused with EIO.
    eio: usize,
    calls: usize,
    waiting: Vec<Waker>,
}

impl Valve {
    /// What becomes of datagrams from now on; from `only` this address, if one is given.
    pub fn set(&self, fate: Fate, only: Option<SocketAddr>) {
        let waiting = {
            let mut state = self.state.lock().unwrap();
            (state.fate, state.only) = (fate, only);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The next so many calls are refused with the error of a card that cannot cut datagrams.
    pub(crate) fn refuse_next(&self, calls: usize) {
        self.state.lock().unwrap().eio = calls;
    }

    /// Calls that sent, so far.
    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }

    fn fate(&self, cx: &Context<'_>, from: SocketAddr) -> Fate {
        let mut state = self.state.lock().unwrap();
        if state.eio > 0 {
            state.eio -= 1;
            return Fate::Refused(libc::EIO);
        }
        if state.only.is_some_and(|only| only != from) {
            return Fate::Sent;
        }
        match state.fate {
            Fate::Blocked => state.waiting.push(cx.waker().clone()),
            Fate::Sent => state.calls += 1,
            Fate::Refused(_) => {}
        }
        state.fate
    }
}

impl<R: Runtime> Runtime for Bench<R> {
    type Timer = BenchTimer<R::Timer>;
    type UdpSocket = BenchUdpSocket<R::UdpSocket>;
    type TcpStream = R::TcpStream;

    fn now(&self) -> Instant {
        self.clock.now(self.inner.now())
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn(future);
    }

    fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send {
        self.inner.unblock(work)
    }

    fn timer(&self, at: Instant) -> Self::Timer {
        BenchTimer { inner: Box::pin(self.inner.timer(self.clock.real(at))), clock: self.clock }
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Self::UdpSocket> {
        Ok(BenchUdpSocket { inner: self.inner.udp_socket(socket)?, valve: Arc::clone(&self.valve) })
    }

    fn tcp_stream(
        &self,
        connecting: std::net::TcpStream,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        self.inner.tcp_stream(connecting)
    }
}

/// A timer of a [`Bench`].
#[derive(Debug)]
pub struct BenchTimer<T> {
    inner: Pin<Box<T>>,
    clock: Clock,
}

impl<T: Timer> Timer for BenchTimer<T> {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        let at = self.clock.real(at);
        self.inner.as_mut().reset(at);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().poll(cx)
    }
}

/// A UDP socket of a [`Bench`].
#[derive(Debug)]
pub struct BenchUdpSocket<S> {
    inner: S,
    valve: Arc<Valve>,
}

impl<S: UdpSocket> UdpSocket for BenchUdpSocket<S> {
    fn poll_send<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        match self.valve.fate(cx, self.inner.local_addr()?) {
            Fate::Sent => self.inner.poll_send(cx, io),
            Fate::Blocked => Poll::Pending,
            Fate::Refused(errno) => Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
        }
    }

    fn poll_recv<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.inner.poll_recv(cx, io)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}
