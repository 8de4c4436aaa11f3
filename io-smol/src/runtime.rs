//! smol's tasks, timers and sockets.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use mediasoup_producer_driver::{Runtime, Timer, UdpSockRef, UdpSocket};
use smol::{Async, Executor};

/// smol as a [`Runtime`].
#[derive(Debug, Clone, Default)]
pub struct Smol {
    /// None: smol's own threads. Weak: tasks do not keep the executor that runs them.
    executor: Option<Weak<Executor<'static>>>,
}

impl Smol {
    /// An executor of the application's own; rooms end when it is dropped. The default are smol's own threads, as for
    /// [`smol::spawn`].
    pub fn on(executor: &Arc<Executor<'static>>) -> Self {
        Self { executor: Some(Arc::downgrade(executor)) }
    }
}

impl Runtime for Smol {
    type Timer = SmolTimer;
    type UdpSocket = SmolUdpSocket;
    type TcpStream = Async<std::net::TcpStream>;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        match &self.executor {
            // If it is gone the future is, too.
            Some(executor) => drop(executor.upgrade().map(|executor| executor.spawn(future).detach())),
            None => smol::spawn(future).detach(),
        }
    }

    async fn unblock<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        Ok(smol::unblock(work).await)
    }

    fn timer(&self, at: Instant) -> SmolTimer {
        SmolTimer(smol::Timer::at(at))
    }

    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<SmolUdpSocket> {
        let socket = Async::new_nonblocking(socket)?;
        Ok(SmolUdpSocket { socket, readable: AtomicBool::new(true), writable: AtomicBool::new(true) })
    }

    fn tcp_stream(
        &self,
        connecting: std::net::TcpStream,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let stream = Async::new_nonblocking(connecting);
        async {
            let stream = stream?;
            stream.writable().await?;
            match stream.get_ref().take_error()? {
                Some(error) => Err(error),
                None => Ok(stream),
            }
        }
    }
}

/// A timer of smol.
#[derive(Debug)]
pub struct SmolTimer(smol::Timer);

impl Timer for SmolTimer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.set_at(at);
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}

/// A UDP socket of smol.
///
/// It remembers when it is not ready: smol does not, and a system call that fails on every wake costs as much as one that
/// sends.
#[derive(Debug)]
pub struct SmolUdpSocket {
    socket: Async<std::net::UdpSocket>,
    readable: AtomicBool,
    writable: AtomicBool,
}

impl SmolUdpSocket {
    fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        is_ready: &AtomicBool,
        poll_ready: impl Fn(&Async<std::net::UdpSocket>, &mut Context<'_>) -> Poll<io::Result<()>>,
        mut io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            if !is_ready.load(Ordering::Acquire) {
                ready!(poll_ready(&self.socket, cx))?;
                is_ready.store(true, Ordering::Release);
            }
            match io((&self.socket).into()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => is_ready.store(false, Ordering::Release),
                result => return Poll::Ready(result),
            }
        }
    }
}

impl UdpSocket for SmolUdpSocket {
    fn poll_send<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll(cx, &self.writable, Async::poll_writable, io)
    }

    fn poll_recv<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        self.poll(cx, &self.readable, Async::poll_readable, io)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }
}
