//! What an async runtime must bring: tasks, timers and sockets.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::{AsyncRead, AsyncWrite};

pub use quinn_udp::UdpSockRef;

/// An async runtime. The crates `mediasoup-producer-tokio` and `mediasoup-producer-smol` bring one each; the feature `suite`
/// has the tests that another is to pass.
pub trait Runtime: Clone + fmt::Debug + Send + Sync + Unpin + 'static {
    /// See [`timer`](Self::timer).
    type Timer: Timer;
    /// See [`udp_socket`](Self::udp_socket).
    type UdpSocket: UdpSocket;
    /// See [`tcp_stream`](Self::tcp_stream).
    type TcpStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin + 'static;

    /// The time. It may be another than the system's: in a test it can stand still, or run.
    fn now(&self) -> Instant;

    /// Runs a future until it ends or the runtime does; then it is dropped.
    fn spawn(&self, future: impl Future<Output = ()> + Send + 'static);

    /// Runs what blocks (files, names) where it holds up nobody. Fails when the runtime ends first.
    fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send;

    /// A timer for this time.
    fn timer(&self, at: Instant) -> Self::Timer;

    /// Takes up a UDP socket, which is non-blocking.
    fn udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Self::UdpSocket>;

    /// Takes up a TCP socket, which is non-blocking and connecting; done when it is connected.
    fn tcp_stream(
        &self,
        connecting: std::net::TcpStream,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static;
}

/// A timer that can be set again.
pub trait Timer: Send + 'static {
    /// Sets it anew. A task that polled it before is woken at the new time.
    fn reset(self: Pin<&mut Self>, at: Instant);

    /// Ready from its time on.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;
}

/// A UDP socket that knows when it is ready.
///
/// Both methods run `io`, which makes a system call, when the socket may be ready. If it fails with
/// [`WouldBlock`](io::ErrorKind::WouldBlock) the task is woken when it is worth another try. While a socket is known not to be
/// ready no system call is made.
pub trait UdpSocket: Send + Sync + 'static {
    /// Runs `io`, which sends.
    fn poll_send<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>>;

    /// Runs `io`, which receives.
    fn poll_recv<T>(
        &self,
        cx: &mut Context<'_>,
        io: impl FnMut(UdpSockRef<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>>;

    /// Where it is bound.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Waits until a time.
#[cfg(feature = "suite")]
pub(crate) async fn sleep_until<R: Runtime>(runtime: &R, at: Instant) {
    let mut timer = Box::pin(runtime.timer(at));
    std::future::poll_fn(|cx| timer.as_mut().poll(cx)).await;
}

/// Waits for a future, but not beyond a time: `None` then.
pub(crate) async fn until<R: Runtime, T>(runtime: &R, at: Instant, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut timer) = (std::pin::pin!(future), Box::pin(runtime.timer(at)));
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
    })
    .await
}
