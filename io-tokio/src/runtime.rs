//! tokio's tasks, timers and sockets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use mediasoup_producer_driver::{Runtime, Timer, UdpSockRef, UdpSocket};
use tokio::io::Interest;
use tokio::runtime::Handle;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// tokio as a [`Runtime`]: one with sockets and timers enabled.
#[derive(Debug, Clone)]
pub struct Tokio {
    handle: Handle,
}

impl Default for Tokio {
    /// The runtime that this is called from.
    ///
    /// # Panics
    /// Outside of a runtime.
    fn default() -> Self {
        Self::on(Handle::current())
    }
}

impl Tokio {
    /// This runtime.
    pub const fn on(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Runtime for Tokio {
    type Timer = TokioTimer;
    type UdpSocket = TokioUdpSocket;
    type TcpStream = Compat<tokio::net::TcpStream>;

    /// As tokio has it, so that a test can pause it.
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(future);
    }

    async fn unblock<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        self.handle.spawn_blocking(work).await.map_err(io::Error::other)
    }

    fn timer(&self, at: Instant) -> TokioTimer {
        let _context = self.handle.enter();
        TokioTimer(Box::pin(tokio::time::sleep_until(at.into())))
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<TokioUdpSocket> {
        let _context = self.handle.enter();
        tokio::net::UdpSocket::from_std(socket).map(TokioUdpSocket)
    }

    fn tcp_stream(
        &self,
        connecting: std::net::TcpStream,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let _context = self.handle.enter();
        let stream = tokio::net::TcpStream::from_std(connecting);
        async {
            let stream = stream?;
            stream.writable().await?;
            match stream.take_error()? {
                Some(error) => Err(error),
                None => Ok(stream.compat()),
            }
        }
    }
}

/// A timer of tokio.
#[derive(Debug)]
pub struct TokioTimer(Pin<Box<tokio::time::Sleep>>);

impl Timer for TokioTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.as_mut().reset(at.into());
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

/// A UDP socket of tokio.
#[derive(Debug)]
pub struct TokioUdpSocket(tokio::net::UdpSocket);

impl TokioUdpSocket {
    /// Tries before it asks: asking counts against what a task may do in one turn, and a task that writes many frames in one
    /// would find its socket blocked.
    fn poll<T>(
        &self,
        interest: Interest,
        mut poll_ready: impl FnMut() -> Poll<io::Result<()>>,
        mut io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            match self.0.try_io(interest, || io((&self.0).into())) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(poll_ready())?,
                result => return Poll::Ready(result),
            }
        }
    }
}

impl UdpSocket for TokioUdpSocket {
    fn poll_send<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll(Interest::WRITABLE, || self.0.poll_send_ready(cx), io)
    }

    fn poll_recv<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll(Interest::READABLE, || self.0.poll_recv_ready(cx), io)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
