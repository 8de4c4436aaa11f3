//! The simulated room on real sockets, on threads of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_channel::mpsc as async_mpsc;
use futures_util::{Sink, Stream, StreamExt};
use mediasoup_producer::IceProtocol;
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
use mediasoup_producer::v2::protocol::Refusal;
use mediasoup_producer::{Receive, framing};

use super::bench::{Bench, Clock};
use crate::error::SignallingError;
use crate::runtime::{Runtime, until};
use crate::signalling::Signalling;
use crate::v2::{FromServer, ToServer};

/// A room on sockets of 127.0.0.1 that lives as long as this.
pub(crate) struct TestRoom<R> {
    runtime: Bench<R>,
    shared: Arc<Shared>,
    inbox: mpsc::Sender<In>,
}

struct Shared {
    server: Mutex<RoomServer>,
    knobs: Knobs,
    waiting: Mutex<Vec<Waker>>,
    clock: Clock,
    over: AtomicBool,
}

impl Shared {
    fn now(&self) -> Instant {
        self.clock.now(Instant::now())
    }
}

#[derive(Default)]
pub(crate) struct Knobs {
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

enum In {
    Connection(ConnectionId, async_mpsc::UnboundedSender<FromServer>),
    Message(ConnectionId, ToServer),
    Gone(ConnectionId),
    TcpOpen(SocketAddr, TcpStream),
    Datagram(Receive),
    Poke,
}

impl<R: Runtime> TestRoom<R> {
    pub(crate) fn start(runtime: &Bench<R>, protocols: &[IceProtocol]) -> Self {
        Self::start_with(runtime, protocols, &[])
    }

    /// With UDP addresses where nobody is.
    pub(crate) fn start_with(runtime: &Bench<R>, protocols: &[IceProtocol], nowhere: &[SocketAddr]) -> Self {
        let (inbox, receiver) = mpsc::channel();
        let mut config = RoomServerConfig::default();
        for address in nowhere {
            config = config.address(IceProtocol::Udp, *address);
        }
        let (mut udp, mut tcp) = (None, None);
        for protocol in protocols {
            match protocol {
                IceProtocol::Udp => {
                    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                    // What a burst loses at the server's socket is not repaired when nothing follows it.
                    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
                    config = config.address(IceProtocol::Udp, socket.local_addr().unwrap());
                    udp = Some(Arc::new(socket));
                }
                IceProtocol::Tcp => {
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    config = config.address(IceProtocol::Tcp, listener.local_addr().unwrap());
                    tcp = Some(listener);
                }
            }
        }
        let shared = Arc::new(Shared {
            server: Mutex::new(RoomServer::new(config, 1)),
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

    pub(crate) fn server(&self) -> MutexGuard<'_, RoomServer> {
        self.shared.server.lock().unwrap()
    }

    pub(crate) fn knobs(&self) -> &Knobs {
        &self.shared.knobs
    }

    /// A channel to it.
    pub(crate) fn connect(&self) -> impl Signalling<ToServer, FromServer> + use<R> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed));
        let (to_client, from_server) = async_mpsc::unbounded();
        let _ = self.inbox.send(In::Connection(id, to_client));
        Channel { id, from_server, inbox: self.inbox.clone() }
    }

    /// Does something as the room's owner.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut RoomServer, Instant) -> T) -> T {
        let result = act(&mut self.server(), self.shared.now());
        let _ = self.inbox.send(In::Poke);
        result
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&mut RoomServer) -> bool) {
        let wait = std::future::poll_fn(|cx| {
            self.shared.waiting.lock().unwrap().push(cx.waker().clone());
            if holds(&mut self.server()) { Poll::Ready(()) } else { Poll::Pending }
        });
        let end = self.shared.clock.now(Instant::now() + Duration::from_secs(30));
        assert!(until(&self.runtime, end, wait).await.is_some(), "waited in vain for: {what}");
    }
}

impl<R> Drop for TestRoom<R> {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = self.inbox.send(In::Poke);
    }
}

/// A client's end of the channel.
struct Channel {
    id: ConnectionId,
    from_server: async_mpsc::UnboundedReceiver<FromServer>,
    inbox: mpsc::Sender<In>,
}

impl Stream for Channel {
    type Item = Result<FromServer, SignallingError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.from_server.poll_next_unpin(cx).map(|message| message.map(Ok))
    }
}

impl Sink<ToServer> for Channel {
    type Error = SignallingError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: ToServer) -> Result<(), SignallingError> {
        self.inbox.send(In::Message(self.id, message)).map_err(|_| SignallingError::Closed { reason: None })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SignallingError>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let _ = self.inbox.send(In::Gone(self.id));
    }
}

fn hear(shared: &Shared, socket: &UdpSocket, inbox: &mpsc::Sender<In>) {
    let mut buffer = [0; 2048];
    let destination = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while !shared.over.load(Ordering::Relaxed) {
        let Ok((length, source)) = socket.recv_from(&mut buffer) else { continue };
        let contents = Bytes::copy_from_slice(&buffer[..length]);
        let _ = inbox.send(In::Datagram(Receive { protocol: IceProtocol::Udp, source, destination, contents }));
    }
}

fn listen(shared: &Arc<Shared>, listener: &TcpListener, inbox: &mpsc::Sender<In>) {
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

fn run(shared: &Shared, inbox: &mpsc::Receiver<In>, udp: Option<&UdpSocket>) {
    let mut clients: BTreeMap<ConnectionId, async_mpsc::UnboundedSender<FromServer>> = BTreeMap::new();
    let mut streams: BTreeMap<SocketAddr, TcpStream> = BTreeMap::new();
    while !shared.over.load(Ordering::Relaxed) {
        let (outputs, deadline) = {
            let mut server = shared.server.lock().unwrap();
            (std::iter::from_fn(|| server.poll_output()).collect::<Vec<_>>(), server.poll_timeout())
        };
        let cut = shared.knobs.udp_cut.load(Ordering::Relaxed);
        for output in outputs {
            match output {
                ServerOutput::Transmit(transmit) if transmit.protocol == IceProtocol::Udp => {
                    if let (Some(udp), false) = (udp, cut) {
                        let _ = udp.send_to(&transmit.contents, transmit.destination);
                    }
                }
                ServerOutput::Transmit(transmit) => {
                    let mut framed = BytesMut::new();
                    framing::encode(&transmit.contents, &mut framed);
                    if let Some(stream) = streams.get_mut(&transmit.destination) {
                        let _ = stream.write_all(&framed);
                    }
                }
                ServerOutput::Response { connection, id, result } => {
                    if let Some(client) = clients.get(&connection) {
                        let result = result.map_err(Refusal::new);
                        let _ = client.unbounded_send(FromServer::Response { id: id.into(), result });
                    }
                }
                ServerOutput::Notification { connection, message } => {
                    if let Some(client) = clients.get(&connection) {
                        let _ = client.unbounded_send(FromServer::Notification(message));
                    }
                }
                _ => {}
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
                In::Connection(id, client) => drop(clients.insert(id, client)),
                In::Message(from, ToServer::Request { id, request }) => {
                    server.handle_request(now, from, id.value(), &request.to_json());
                }
                In::Message(from, ToServer::Notification(notification)) => {
                    server.handle_notification(now, from, &notification.to_json());
                }
                In::Gone(id) => {
                    clients.remove(&id);
                    server.handle_disconnect(now, id, None);
                }
                In::TcpOpen(source, stream) => drop(streams.insert(source, stream)),
                In::Datagram(receive) => take(shared, &mut server, now, &receive),
                In::Poke => {}
            }
            input = inbox.try_recv().ok();
        }
    }
}

fn take(shared: &Shared, server: &mut RoomServer, now: Instant, receive: &Receive) {
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
