//! The simulated room on real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use futures_channel::mpsc as futures_mpsc;
use futures_util::{SinkExt, StreamExt};
use mediasoup_producer::protocol::{IceProtocol, Refusal};
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
use mediasoup_producer::{Receive, framing};
use mediasoup_producer_tokio::{FromServer, Signalling, SignallingError, ToServer, signalling};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, tcp};
use tokio::sync::{Notify, mpsc};

/// A room on sockets of 127.0.0.1 that lives as long as this.
pub struct TestRoom {
    pub server: Arc<Mutex<RoomServer>>,
    pub knobs: Arc<Knobs>,
    changed: Arc<Notify>,
    inbox: mpsc::UnboundedSender<In>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
pub struct Knobs {
    /// UDP goes nowhere, either way.
    pub udp_cut: AtomicBool,
    /// Where RTP and RTCP last came from.
    pub media_source: Mutex<Option<SocketAddr>>,
    /// RTP and RTCP datagrams received over TCP.
    pub tcp_media: AtomicU64,
    /// DTLS alerts received.
    pub alerts: AtomicU64,
}

enum In {
    Connection(ConnectionId, futures_mpsc::Sender<FromServer>),
    Message(ConnectionId, ToServer),
    Gone(ConnectionId),
    TcpOpen(SocketAddr, tcp::OwnedWriteHalf),
    Datagram(Receive),
    Poke,
}

impl TestRoom {
    pub async fn start(protocols: &[IceProtocol]) -> Self {
        Self::start_with(protocols, &[]).await
    }

    /// With UDP addresses where nobody is.
    pub async fn start_with(protocols: &[IceProtocol], nowhere: &[SocketAddr]) -> Self {
        let (inbox, receiver) = mpsc::unbounded_channel();
        let mut config = RoomServerConfig::default();
        for address in nowhere {
            config = config.address(IceProtocol::Udp, *address);
        }
        let mut udp = None;
        for protocol in protocols {
            match protocol {
                IceProtocol::Udp => {
                    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                    config = config.address(IceProtocol::Udp, socket.local_addr().unwrap());
                    udp = Some(Arc::new(socket));
                }
                IceProtocol::Tcp => {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    config = config.address(IceProtocol::Tcp, listener.local_addr().unwrap());
                    tokio::spawn(listen(listener, inbox.clone()));
                }
            }
        }
        if let Some(udp) = &udp {
            tokio::spawn(hear(Arc::clone(udp), inbox.clone()));
        }
        let server = Arc::new(Mutex::new(RoomServer::new(config, 1)));
        let (changed, knobs) = (Arc::new(Notify::new()), Arc::new(Knobs::default()));
        let run = run(Arc::clone(&server), receiver, udp, Arc::clone(&changed), Arc::clone(&knobs));
        Self { server, knobs, changed, inbox, task: tokio::spawn(run) }
    }

    /// An in-process channel to it.
    pub fn connect(&self) -> impl Signalling + use<> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = ConnectionId(NEXT.fetch_add(1, Ordering::Relaxed));
        let (to_server, mut from_client) = futures_mpsc::channel(64);
        let (to_client, from_server) = futures_mpsc::channel(64);
        let inbox = self.inbox.clone();
        let _ = inbox.send(In::Connection(id, to_client));
        tokio::spawn(async move {
            while let Some(message) = from_client.next().await {
                let _ = inbox.send(In::Message(id, message));
            }
            let _ = inbox.send(In::Gone(id));
        });
        let to_server = to_server.sink_map_err(|_| SignallingError::Closed { reason: None });
        signalling::join(from_server.map(Ok), to_server)
    }

    /// Does something as the room's owner.
    pub fn act<R>(&self, act: impl FnOnce(&mut RoomServer, std::time::Instant) -> R) -> R {
        let result = act(&mut self.server.lock().unwrap(), now());
        let _ = self.inbox.send(In::Poke);
        result
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&mut RoomServer) -> bool) {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if holds(&mut self.server.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        assert!(waited.is_ok(), "waited in vain for: {what}");
    }
}

impl Drop for TestRoom {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

async fn hear(socket: Arc<UdpSocket>, inbox: mpsc::UnboundedSender<In>) {
    let mut buffer = [0; 2048];
    let destination = socket.local_addr().unwrap();
    while let Ok((length, source)) = socket.recv_from(&mut buffer).await {
        let contents = BytesMut::from(&buffer[..length]).freeze();
        let _ = inbox.send(In::Datagram(Receive { protocol: IceProtocol::Udp, source, destination, contents }));
    }
}

async fn listen(listener: TcpListener, inbox: mpsc::UnboundedSender<In>) {
    let destination = listener.local_addr().unwrap();
    while let Ok((stream, source)) = listener.accept().await {
        let (mut reader, writer) = stream.into_split();
        let _ = inbox.send(In::TcpOpen(source, writer));
        let inbox = inbox.clone();
        tokio::spawn(async move {
            let (mut decoder, mut buffer) = (framing::Decoder::default(), [0; 2048]);
            while let Ok(length @ 1..) = reader.read(&mut buffer).await {
                decoder.push(&buffer[..length]);
                while let Some(contents) = decoder.poll() {
                    let receive = Receive { protocol: IceProtocol::Tcp, source, destination, contents };
                    let _ = inbox.send(In::Datagram(receive));
                }
            }
        });
    }
}

async fn run(
    server: Arc<Mutex<RoomServer>>,
    mut inbox: mpsc::UnboundedReceiver<In>,
    udp: Option<Arc<UdpSocket>>,
    changed: Arc<Notify>,
    knobs: Arc<Knobs>,
) {
    let mut clients: BTreeMap<ConnectionId, futures_mpsc::Sender<FromServer>> = BTreeMap::new();
    let mut streams: BTreeMap<SocketAddr, tcp::OwnedWriteHalf> = BTreeMap::new();
    loop {
        let (outputs, deadline) = {
            let mut server = server.lock().unwrap();
            (std::iter::from_fn(|| server.poll_output()).collect::<Vec<_>>(), server.poll_timeout())
        };
        for output in outputs {
            match output {
                ServerOutput::Transmit(transmit) if transmit.protocol == IceProtocol::Udp => {
                    if let (Some(udp), false) = (&udp, knobs.udp_cut.load(Ordering::Relaxed)) {
                        let _ = udp.send_to(&transmit.contents, transmit.destination).await;
                    }
                }
                ServerOutput::Transmit(transmit) => {
                    let mut framed = BytesMut::new();
                    framing::encode(&transmit.contents, &mut framed);
                    if let Some(stream) = streams.get_mut(&transmit.destination) {
                        let _ = stream.write_all(&framed).await;
                    }
                }
                ServerOutput::Response { connection, id, result } => {
                    if let Some(client) = clients.get_mut(&connection) {
                        let result = result.map_err(Refusal::new);
                        let _ = client.send(FromServer::Response { id: id.into(), result }).await;
                    }
                }
                ServerOutput::Notification { connection, message } => {
                    if let Some(client) = clients.get_mut(&connection) {
                        let _ = client.send(FromServer::Notification(message)).await;
                    }
                }
                _ => {}
            }
        }
        changed.notify_waiters();
        let deadline = deadline.unwrap_or_else(|| now() + Duration::from_secs(60));
        let mut inputs = Vec::new();
        tokio::select! {
            count = inbox.recv_many(&mut inputs, 64) => if count == 0 { return },
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        let mut server = server.lock().unwrap();
        let now = now();
        if inputs.is_empty() {
            server.handle_timeout(now);
        }
        for input in inputs {
            match input {
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
                In::TcpOpen(source, writer) => drop(streams.insert(source, writer)),
                In::Datagram(receive) => {
                    if receive.protocol == IceProtocol::Udp && knobs.udp_cut.load(Ordering::Relaxed) {
                        continue;
                    }
                    // RFC 7983 section 7.
                    if receive.contents.first().is_some_and(|first| (128..192).contains(first)) {
                        let tcp = receive.protocol == IceProtocol::Tcp;
                        knobs.tcp_media.fetch_add(u64::from(tcp), Ordering::Relaxed);
                        *knobs.media_source.lock().unwrap() = Some(receive.source);
                    }
                    // RFC 6347 section 4.1: content type 21 is an alert.
                    knobs.alerts.fetch_add(u64::from(receive.contents.first() == Some(&21)), Ordering::Relaxed);
                    server.handle_receive(now, &receive);
                }
                In::Poke => {}
            }
        }
    }
}
