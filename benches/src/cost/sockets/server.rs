//! The other end, on a thread of its own that is not measured.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, sink};
use mediasoup_producer::IceProtocol::Udp;
use mediasoup_producer::Receive;
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
use mediasoup_producer::v2::protocol::{FromServer, Refusal, ToServer};
use mediasoup_producer_driver::{Signalling, SignallingError, signalling};

/// The name of the thread, by which it is left out of what is measured.
pub(super) const THREAD: &str = "other end";

type ToClient = futures_channel::mpsc::UnboundedSender<FromServer>;

/// A room for one client. Once it is told to, it reads what comes and throws it away.
pub(super) struct Server {
    messages: Sender<ToServer>,
    from_server: Option<futures_channel::mpsc::UnboundedReceiver<FromServer>>,
    only_read: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    arrivals: Arrivals,
}

impl Server {
    pub(super) fn start() -> Self {
        let (messages, inbox) = channel();
        let (to_client, from_server) = futures_channel::mpsc::unbounded();
        let (only_read, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let knobs = (Arc::clone(&only_read), Arc::clone(&over));
        let arrivals = Arrivals::default();
        let note = arrivals.clone();
        spawn(move || serve(&inbox, &to_client, &knobs.0, &knobs.1, &note));
        Self { messages, from_server: Some(from_server), only_read, over, arrivals }
    }

    /// The channel to it, once.
    pub(super) fn signalling(&mut self) -> impl Signalling<ToServer, FromServer> + use<> {
        let messages = Mutex::new(self.messages.clone());
        let to_server = sink::unfold((), move |(), message| {
            let sent = messages.lock().map_err(drop).and_then(|to| to.send(message).map_err(drop));
            std::future::ready(sent.map_err(|()| SignallingError::Closed { reason: None }))
        });
        signalling::join(self.from_server.take().expect("asked for once").map(Ok), to_server)
    }

    pub(super) fn only_read(&self) {
        self.only_read.store(true, Ordering::Relaxed);
    }

    /// When RTP came in since it only reads, a datagram after the other.
    pub(super) fn arrivals(&self) -> Vec<Instant> {
        self.arrivals.take()
    }
}

/// When RTP came in.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<Vec<Instant>>>);

impl Arrivals {
    fn note(&self, datagram: &[u8]) {
        // RFC 7983 tells RTP and RTCP from all else, RFC 5761 section 4 the two apart.
        if let [128..=191, kind, ..] = datagram
            && !matches!(kind, 192..=223)
        {
            self.0.lock().expect("nobody panics with it").push(Instant::now());
        }
    }

    fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut self.0.lock().expect("nobody panics with it"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// A socket that is read and nothing else.
pub(super) struct Sink {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    arrivals: Arrivals,
}

impl Sink {
    pub(super) fn start() -> Self {
        let socket = socket();
        let address = socket.local_addr().expect("it is bound");
        let over = Arc::new(AtomicBool::new(false));
        let arrivals = Arrivals::default();
        let (told, note) = (Arc::clone(&over), arrivals.clone());
        spawn(move || {
            let mut buffer = [0; 2048];
            while !told.load(Ordering::Relaxed) {
                if let Ok((length, _)) = socket.recv_from(&mut buffer) {
                    note.note(&buffer[..length]);
                }
            }
        });
        Self { address, over, arrivals }
    }

    /// When RTP came in, a datagram after the other.
    pub(super) fn arrivals(&self) -> Vec<Instant> {
        self.arrivals.take()
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(THREAD.into()).spawn(run).expect("a thread");
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket on loopback");
    socket.set_read_timeout(Some(Duration::from_millis(5))).expect("not zero");
    socket
}

fn serve(
    inbox: &Receiver<ToServer>,
    to_client: &ToClient,
    only_read: &AtomicBool,
    over: &AtomicBool,
    arrivals: &Arrivals,
) {
    let socket = socket();
    let destination = socket.local_addr().expect("loopback");
    let mut server = RoomServer::new(RoomServerConfig::default().address(Udp, destination), 1);
    let client = ConnectionId(1);
    let mut buffer = [0; 2048];
    // It answers at once: what it waits for is no part of what is measured.
    socket.set_nonblocking(true).expect("a UDP socket");
    while !over.load(Ordering::Relaxed) {
        if only_read.load(Ordering::Relaxed) {
            let _ = socket.set_nonblocking(false);
            if let Ok((length, _)) = socket.recv_from(&mut buffer) {
                arrivals.note(&buffer[..length]);
            }
            continue;
        }
        while let Ok(message) = inbox.try_recv() {
            match message {
                ToServer::Request { id, request } => {
                    server.handle_request(Instant::now(), client, id.value(), &request.to_json());
                }
                ToServer::Notification(said) => server.handle_notification(Instant::now(), client, &said.to_json()),
            }
        }
        server.handle_timeout(Instant::now());
        while let Some(output) = server.poll_output() {
            match output {
                ServerOutput::Transmit(transmit) => drop(socket.send_to(&transmit.contents, transmit.destination)),
                ServerOutput::Response { id, result, .. } => {
                    let result = result.map_err(Refusal::new);
                    let _ = to_client.unbounded_send(FromServer::Response { id: id.into(), result });
                }
                ServerOutput::Notification { message, .. } => {
                    let _ = to_client.unbounded_send(FromServer::Notification(message));
                }
                _ => {}
            }
        }
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            let contents = Bytes::copy_from_slice(&buffer[..length]);
            server.handle_receive(Instant::now(), &Receive { protocol: Udp, source, destination, contents });
        } else {
            thread::yield_now();
        }
    }
}
