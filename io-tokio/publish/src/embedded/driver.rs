//! One task that drives the room: datagrams, visitors, commands, time.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::IceProtocol;
use mediasoup_producer::Receive;
use mediasoup_producer::sim::{ConnectionId, ReceivedPacket, RoomServer, RoomServerConfig, ServerEvent, ServerOutput};
use tokio::net::UdpSocket;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::front_door::{Visitor, answer, notification};
use super::{Command, LayerView, Packet, ProducerKey, ProducerView};

/// Datagrams taken before the others have their turn.
const DATAGRAMS_A_TURN: usize = 64;

/// How often counts are brought up to date for those who watch.
const VIEW_EVERY: Duration = Duration::from_millis(250);

type Views = BTreeMap<ProducerKey, ProducerView>;

#[derive(Debug)]
pub(super) struct Driver {
    server: RoomServer,
    socket: UdpSocket,
    address: SocketAddr,
    visitors: mpsc::Receiver<Visitor>,
    connections: BTreeMap<ConnectionId, mpsc::Sender<String>>,
    notifications: u64,
    commands: mpsc::Receiver<Command>,
    packets: broadcast::Sender<Packet>,
    views: watch::Sender<Views>,
    buffer: Vec<u8>,
}

impl Driver {
    pub(super) fn new(
        socket: UdpSocket,
        visitors: mpsc::Receiver<Visitor>,
        commands: mpsc::Receiver<Command>,
        packets: broadcast::Sender<Packet>,
        views: watch::Sender<Views>,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?;
        let config = RoomServerConfig::default().address(IceProtocol::Udp, address).forward_media(true);
        Ok(Self {
            // The seed decides nothing that is secret.
            server: RoomServer::new(config, u64::from(address.port())),
            socket,
            address,
            visitors,
            connections: BTreeMap::new(),
            notifications: 0,
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
            Visitor::Came(id, texts) => drop(self.connections.insert(id, texts)),
            Visitor::Asked(id, request, message) => self.server.handle_request(now, id, request, &message),
            Visitor::Said(id, message) => self.server.handle_notification(now, id, &message),
            Visitor::Left(id) => {
                self.connections.remove(&id);
                self.server.handle_disconnect(now, id, None);
            }
        }
        self.act().await;
    }

    async fn obey(&mut self, command: Command) {
        let now = Instant::now();
        // False: it was closed meanwhile.
        let _known = match command {
            Command::Pause(key) => self.server.pause_producer(now, key.producer, None),
            Command::Resume(key) => self.server.resume_producer(now, key.producer, None),
            Command::RequestKeyFrame(key, profile) => self.server.request_key_frame(now, key.producer, Some(profile)),
            Command::Close(_) => false,
        };
        self.act().await;
    }

    async fn close(mut self, done: oneshot::Sender<()>) {
        self.server.close(Instant::now(), None);
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
                ServerOutput::Transmit(transmit) => {
                    // What the network refuses is lost, as on the way.
                    let _ = self.socket.send_to(&transmit.contents, transmit.destination).await;
                }
                ServerOutput::Response { connection, id, result } => {
                    self.tell(connection, answer(id, result).to_string())
                }
                ServerOutput::Notification { connection, message } => {
                    self.notifications += 1;
                    self.tell(connection, notification(self.notifications, &message).to_string());
                }
                // Nobody listens: as well.
                ServerOutput::Rtp(packet) => drop(self.packets.send(packet.into())),
                ServerOutput::Event(event) => {
                    changed |= matches!(
                        event,
                        ServerEvent::ProducerCreated { .. }
                            | ServerEvent::ProducerPaused { .. }
                            | ServerEvent::ProducerResumed { .. }
                            | ServerEvent::ProducerClosed { .. }
                    );
                }
                _ => {}
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
        let views: Views = self
            .server
            .producers()
            .map(|producer| {
                let layers = self.server.encodings(producer.id()).into_iter().map(|counters| LayerView {
                    profile: counters.profile,
                    ssrc: counters.ssrc,
                    packets: counters.packets,
                    bytes: counters.bytes,
                    lost: counters.packets_lost.cast_signed(),
                    bitrate_bps: counters.bitrate_bps,
                });
                let view = ProducerView {
                    kind: producer.kind(),
                    codec: producer.codec(),
                    paused_by_peer: producer.paused_by_peer(),
                    paused_by_room: producer.paused_by_room(),
                    layers: layers.collect(),
                };
                (ProducerKey { peer: producer.peer().into(), producer: producer.id() }, view)
            })
            .collect();
        self.views.send_if_modified(|shown| {
            let news = *shown != views;
            *shown = views;
            news
        });
    }
}

impl From<ReceivedPacket> for Packet {
    fn from(packet: ReceivedPacket) -> Self {
        Self {
            producer: ProducerKey { peer: packet.peer, producer: packet.producer },
            profile: packet.profile,
            codec: packet.codec,
            ssrc: packet.ssrc,
            payload_type: packet.payload_type,
            sequence_number: packet.sequence_number,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: packet.payload,
        }
    }
}
