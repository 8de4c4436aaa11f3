//! A server of `sim` on real sockets, on threads of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mediasoup_producer::{IceProtocol, Receive, Transmit, framing};

use super::bench::{Bench, Clock};
use crate::runtime::{Runtime, until};

/// A server of `sim`.
pub(crate) trait Machine: Send + 'static {
    /// What is said to it over a channel of its own.
    type Message: Send + 'static;

    fn handle_message(&mut self, now: Instant, message: Self::Message);

    fn handle_receive(&mut self, now: Instant, receive: &Receive);

    fn handle_timeout(&mut self, now: Instant);

    /// The next datagram to be sent. What else comes out of it, it deals with itself.
    fn poll_transmit(&mut self) -> Option<Transmit>;

    fn poll_timeout(&self) -> Option<Instant>;
}

/// A server on sockets of 127.0.0.1 that lives as long as this.
pub(crate) struct TestServer<R, M: Machine> {
    runtime: Bench<R>,
    shared: Arc<Shared<M>>,
    inbox: mpsc::Sender<In<M::Message>>,
}

struct Shared<M> {
    server: Mutex<M>,
    knobs: Knobs,
    waiting: Mutex<Vec<Waker>>,
    clock: Clock,
    over: AtomicBool,
}

impl<M> Shared<M> {
    fn now(&self) -> Instant {
        self.clock.now(Instant::now())
    }
}

#[derive(Default)]
pub(crate) struct Knobs {
    /// Nothing is read from TCP connections.
    pub(crate) tcp_stopped: AtomicBool,
    /// UDP goes nowhere, either way.
    pub(crate) udp_cut: AtomicBool,
    /// Where RTP and RTCP last came from.
    pub(crate) media_source: Mutex<Option<SocketAddr>>,
    /// RTP and RTCP datagrams received over TCP.
    pub(crate) tcp_media: AtomicU64,
    /// DTLS alerts received.
    pub(crate) alerts: AtomicU64,
    /// The SSRC of each RTP packet, in the order of arrival, if the test wants them.
    pub(crate) ssrcs: Mutex<Option<Vec<u32>>>,
}

enum In<T> {
    Message(T),
    TcpOpen(SocketAddr, TcpStream),
    Datagram(Receive),
    Poke,
}

impl<R: Runtime, M: Machine> TestServer<R, M> {
    /// Opens a socket for each protocol; `make` is told of its address.
    pub(crate) fn serve(
        runtime: &Bench<R>,
        protocols: &[IceProtocol],
        make: impl FnOnce(Vec<(IceProtocol, SocketAddr)>) -> M,
    ) -> Self {
        let (inbox, receiver) = mpsc::channel();
        let mut addresses = Vec::new();
        let (mut udp, mut tcp) = (None, None);
        for protocol in protocols {
            match protocol {
                IceProtocol::Udp => {
                    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                    // What a burst loses at the server's socket is not repaired when nothing follows it.
                    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
                    addresses.push((IceProtocol::Udp, socket.local_addr().unwrap()));
                    udp = Some(Arc::new(socket));
                }
                IceProtocol::Tcp => {
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    addresses.push((IceProtocol::Tcp, listener.local_addr().unwrap()));
                    tcp = Some(listener);
                }
            }
        }
        let shared = Arc::new(Shared {
            server: Mutex::new(make(addresses)),
            knobs: Knobs::default(),
            waiting: Mutex::default(),
            clock: runtime.clock(),
            over: AtomicBool::new(false),
        });
        if let Some(udp) = udp.clone() {
            let (shared, inbox) = (Arc::clone(&shared), inbox.clone());
            thread::spawn(move || hear(&shared, &udp, &inbox));
        }
        if let Some(tcp) = tcp {
            let (shared, inbox) = (Arc::clone(&shared), inbox.clone());
            thread::spawn(move || listen(&shared, &tcp, &inbox));
        }
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, &receiver, udp.as_deref())
        });
        Self { runtime: runtime.clone(), shared, inbox }
    }

    pub(crate) fn server(&self) -> MutexGuard<'_, M> {
        self.shared.server.lock().unwrap()
    }

    pub(crate) fn knobs(&self) -> &Knobs {
        &self.shared.knobs
    }

    /// What is said to it over a channel of its own goes here.
    pub(crate) fn inbox(&self) -> Inbox<M::Message> {
        Inbox(self.inbox.clone())
    }

    /// Does something as its owner.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut M, Instant) -> T) -> T {
        let result = act(&mut self.server(), self.shared.now());
        let _ = self.inbox.send(In::Poke);
        result
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&mut M) -> bool) {
        let wait = std::future::poll_fn(|cx| {
            self.shared.waiting.lock().unwrap().push(cx.waker().clone());
            if holds(&mut self.server()) { Poll::Ready(()) } else { Poll::Pending }
        });
        let end = self.shared.clock.now(Instant::now() + Duration::from_secs(30));
        assert!(until(&self.runtime, end, wait).await.is_some(), "waited in vain for: {what}");
    }
}

impl<R, M: Machine> Drop for TestServer<R, M> {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = self.inbox.send(In::Poke);
    }
}

/// Where to say something to a server.
pub(crate) struct Inbox<T>(mpsc::Sender<In<T>>);

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Inbox<T> {
    /// False: it is no more.
    pub(crate) fn say(&self, message: T) -> bool {
        self.0.send(In::Message(message)).is_ok()
    }
}

fn hear<M: Machine>(shared: &Shared<M>, socket: &UdpSocket, inbox: &mpsc::Sender<In<M::Message>>) {
    let mut buffer = [0; 2048];
    let destination = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while !shared.over.load(Ordering::Relaxed) {
        let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
        let contents = Bytes::copy_from_slice(&buffer[..length]);
        let _ = inbox.send(In::Datagram(Receive { protocol: IceProtocol::Udp, source, destination, contents }));
    }
}

fn listen<M: Machine>(shared: &Arc<Shared<M>>, listener: &TcpListener, inbox: &mpsc::Sender<In<M::Message>>) {
    let destination = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    while !shared.over.load(Ordering::Relaxed) {
        let Ok((mut stream, source)) = listener.accept() else {
            thread::park_timeout(Duration::from_millis(2));
            continue;
        };
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let _ = inbox.send(In::TcpOpen(source, stream.try_clone().unwrap()));
        let (shared, inbox) = (Arc::clone(shared), inbox.clone());
        thread::spawn(move || {
            let (mut decoder, mut buffer) = (framing::Decoder::default(), [0; 2048]);
            while !shared.over.load(Ordering::Relaxed) {
                if shared.knobs.tcp_stopped.load(Ordering::Relaxed) {
                    thread::park_timeout(Duration::from_millis(2));
                    continue;
                }
                match stream.read(&mut buffer) {
                    Ok(length @ 1..) => decoder.push(&buffer[..length]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                    Ok(_) | Err(_) => return,
                }
                while let Some(contents) = decoder.poll() {
                    let receive = Receive { protocol: IceProtocol::Tcp, source, destination, contents };
                    let _ = inbox.send(In::Datagram(receive));
                }
            }
        });
    }
}

fn run<M: Machine>(shared: &Shared<M>, inbox: &mpsc::Receiver<In<M::Message>>, udp: Option<&UdpSocket>) {
    let mut streams: BTreeMap<SocketAddr, TcpStream> = BTreeMap::new();
    while !shared.over.load(Ordering::Relaxed) {
        let (transmits, deadline) = {
            let mut server = shared.server.lock().unwrap();
            (std::iter::from_fn(|| server.poll_transmit()).collect::<Vec<_>>(), server.poll_timeout())
        };
        let cut = shared.knobs.udp_cut.load(Ordering::Relaxed);
        for transmit in transmits {
            match transmit.protocol {
                IceProtocol::Udp => {
                    if let (Some(udp), false) = (udp, cut) {
                        let _ = udp.send_to(&transmit.contents, transmit.destination);
                    }
                }
                IceProtocol::Tcp => {
                    let mut framed = BytesMut::new();
                    framing::encode(&transmit.contents, &mut framed);
                    if let Some(stream) = streams.get_mut(&transmit.destination) {
                        let _ = stream.write_all(&framed);
                    }
                }
            }
        }
        let waiting = std::mem::take(&mut *shared.waiting.lock().unwrap());
        waiting.into_iter().for_each(Waker::wake);
        let wait = deadline.map_or(Duration::from_secs(1), |deadline| {
            shared.clock.real(deadline).saturating_duration_since(Instant::now())
        });
        let mut input = inbox.recv_timeout(wait.min(Duration::from_secs(1))).ok();
        let mut server = shared.server.lock().unwrap();
        let now = shared.now();
        server.handle_timeout(now);
        while let Some(taken) = input {
            match taken {
                In::Message(message) => server.handle_message(now, message),
                In::TcpOpen(source, stream) => drop(streams.insert(source, stream)),
                In::Datagram(receive) => take(shared, &mut *server, now, &receive),
                In::Poke => {}
            }
            input = inbox.try_recv().ok();
        }
    }
}

fn take<M: Machine>(shared: &Shared<M>, server: &mut M, now: Instant, receive: &Receive) {
    let knobs = &shared.knobs;
    if receive.protocol == IceProtocol::Udp && knobs.udp_cut.load(Ordering::Relaxed) {
        return;
    }
    // RFC 7983 section 7.
    if let [128..=191, kind, _, _, _, _, _, _, s0, s1, s2, s3, ..] = receive.contents[..] {
        knobs.tcp_media.fetch_add(u64::from(receive.protocol == IceProtocol::Tcp), Ordering::Relaxed);
        *knobs.media_source.lock().unwrap() = Some(receive.source);
        if !(64..96).contains(&(kind & 0x7f))
            && let Some(ssrcs) = &mut *knobs.ssrcs.lock().unwrap()
        {
            ssrcs.push(u32::from_be_bytes([s0, s1, s2, s3]));
        }
    }
    // RFC 6347 section 4.1: content type 21 is an alert.
    knobs.alerts.fetch_add(u64::from(receive.contents.first() == Some(&21)), Ordering::Relaxed);
    server.handle_receive(now, receive);
}
