//! One task that drives the room: datagrams, visitors, commands, time.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::protoo::Message;
use mediasoup_producer::sim::ConnectionId;
use mediasoup_producer::{IceProtocol, Receive, Transmit};
use tokio::net::UdpSocket;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::front_door::Visitor;
use super::{Command, Packet, ProducerKey, ProducerView};

/// Datagrams taken before the others have their turn.
const DATAGRAMS_A_TURN: usize = 64;

/// How often counts are brought up to date for those who watch.
const VIEW_EVERY: Duration = Duration::from_millis(250);

pub(super) type Views = BTreeMap<ProducerKey, ProducerView>;

/// A room without sockets.
pub(super) trait Server: Send + 'static {
    /// Somebody came, with this `peerId` in the URL.
    fn came(&mut self, id: ConnectionId, peer_id: Option<String>);
    fn said(&mut self, now: Instant, id: ConnectionId, message: Message);
    fn left(&mut self, now: Instant, id: ConnectionId);
    /// What [`Handle`](super::Handle) commands. Of a producer that was closed meanwhile nothing is to be done.
    fn obey(&mut self, now: Instant, command: Command);
    /// Closes the room.
    fn close(&mut self, now: Instant);
    fn handle_receive(&mut self, now: Instant, receive: &Receive);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_output(&mut self) -> Option<Output>;
    fn poll_timeout(&self) -> Option<Instant>;
    fn views(&self) -> Views;
}

/// What a room wants done.
#[derive(Debug)]
pub(super) enum Output {
    Transmit(Transmit),
    Say(ConnectionId, Message),
    /// The connection is to be closed.
    ShutOut(ConnectionId),
    Packet(Packet),
    /// Producers have come, gone, or been paused.
    Changed,
    /// Nothing for us.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Driver<S> {
    server: S,
    socket: UdpSocket,
    address: SocketAddr,
    visitors: mpsc::Receiver<Visitor>,
    connections: BTreeMap<ConnectionId, mpsc::Sender<String>>,
    commands: mpsc::Receiver<Command>,
    packets: broadcast::Sender<Packet>,
    views: watch::Sender<Views>,
    buffer: Vec<u8>,
}

impl<S: Server> Driver<S> {
    /// `server` makes the room, with the address of its media and a seed, which decides nothing that is secret.
    pub(super) fn new(
        server: impl FnOnce(SocketAddr, u64) -> S,
        socket: UdpSocket,
        visitors: mpsc::Receiver<Visitor>,
        commands: mpsc::Receiver<Command>,
        packets: broadcast::Sender<Packet>,
        views: watch::Sender<Views>,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(Self {
            server: server(address, u64::from(address.port())),
            socket,
            address,
            visitors,
            connections: BTreeMap::new(),
            commands,
            packets,
            views,
            buffer: vec![0; 2048],
        })
    }

    /// Until the room is closed, or nobody holds a handle any more.
    pub(super) async fn run(mut self) {
        let mut view = interval(VIEW_EVERY);
        view.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let timeout = self.server.poll_timeout();
            let due = async {
                match timeout {
                    Some(at) => sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                ready = self.socket.readable() => if ready.is_ok() { self.receive().await },
                () = due => {
                    self.server.handle_timeout(Instant::now());
                    self.act().await;
                }
                visitor = self.visitors.recv() => if let Some(visitor) = visitor { self.visited(visitor).await },
                command = self.commands.recv() => match command {
                    Some(Command::Close(done)) => return self.close(done).await,
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                _ = view.tick() => self.show(),
            }
        }
    }

    async fn receive(&mut self) {
        for _ in 0..DATAGRAMS_A_TURN {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((length, source)) => {
                    let contents = Bytes::copy_from_slice(&self.buffer[..length]);
                    let receive = Receive { protocol: IceProtocol::Udp, source, destination: self.address, contents };
                    self.server.handle_receive(Instant::now(), &receive);
                    self.act().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Somebody has closed their port: the next datagram is another's.
                Err(_) => {}
            }
        }
    }

    async fn visited(&mut self, visitor: Visitor) {
        let now = Instant::now();
        match visitor {
            Visitor::Came(id, peer_id, texts) => {
                self.connections.insert(id, texts);
                self.server.came(id, peer_id);
            }
            Visitor::Said(id, message) => self.server.said(now, id, message),
            Visitor::Left(id) => {
                self.connections.remove(&id);
                self.server.left(now, id);
            }
        }
        self.act().await;
    }

    async fn obey(&mut self, command: Command) {
        self.server.obey(Instant::now(), command);
        self.act().await;
    }

    async fn close(mut self, done: oneshot::Sender<()>) {
        self.server.close(Instant::now());
        self.act().await;
        // The last words are read before the connections are.
        self.connections.clear();
        // Nobody waits any more: as well.
        let _ = done.send(());
    }

    /// Does all that the room wants done.
    async fn act(&mut self) {
        let mut changed = false;
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    // What the network refuses is lost, as on the way.
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination).await;
                }
                Output::Say(connection, message) => self.tell(connection, message.to_text()),
                Output::ShutOut(connection) => drop(self.connections.remove(&connection)),
                // Nobody listens: as well.
                Output::Packet(packet) => drop(self.packets.send(packet)),
                Output::Changed => changed = true,
                Output::Nothing => {}
            }
        }
        if changed {
            self.show();
        }
    }

    /// A peer that does not read is shut out.
    fn tell(&mut self, connection: ConnectionId, text: String) {
        if self.connections.get(&connection).is_some_and(|texts| texts.try_send(text).is_err()) {
            self.connections.remove(&connection);
        }
    }

    fn show(&self) {
        let views = self.server.views();
        self.views.send_if_modified(|shown| {
            let news = *shown != views;
            *shown = views;
            news
        });
    }
}
