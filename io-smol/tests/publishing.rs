//! Media over real sockets into the simulated room, without tokio.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_channel::mpsc;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use mediasoup_producer::protocol::{IceProtocol, Refusal};
use mediasoup_producer::record::{RecordOptions, replay};
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput, Source};
use mediasoup_producer::{
    ConnectionState, Event as RoomEvent, MediaError, MediaKind, OperationError, ProducerOptions, Receive, RoomConfig,
    Track, TransportEvent,
};
use mediasoup_producer_smol::{Error, Event, FromServer, Room, Signalling, ToServer};
use smol::future::FutureExt;
use smol::{Async, Timer};

/// Two halves of a channel as one.
struct Channel {
    from_server: mpsc::Receiver<FromServer>,
    to_server: mpsc::Sender<ToServer>,
}

impl Stream for Channel {
    type Item = FromServer;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<FromServer>> {
        self.from_server.poll_next_unpin(cx)
    }
}

impl Sink<ToServer> for Channel {
    type Error = mpsc::SendError;

    fn poll_ready(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), mpsc::SendError>> {
        self.to_server.poll_ready_unpin(cx)
    }

    fn start_send(mut self: std::pin::Pin<&mut Self>, message: ToServer) -> Result<(), mpsc::SendError> {
        self.to_server.start_send_unpin(message)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), mpsc::SendError>> {
        self.to_server.poll_flush_unpin(cx)
    }

    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), mpsc::SendError>> {
        self.to_server.poll_close_unpin(cx)
    }
}

fn channel() -> (impl Signalling, mpsc::Sender<FromServer>, mpsc::Receiver<ToServer>) {
    let (to_server, from_client) = mpsc::channel(64);
    let (to_client, from_server) = mpsc::channel(64);
    (Channel { from_server, to_server }, to_client, from_client)
}

/// Runs a room on a UDP socket for one client until it goes.
async fn serve(
    server: Arc<Mutex<RoomServer>>,
    socket: Async<UdpSocket>,
    mut to_client: mpsc::Sender<FromServer>,
    mut from_client: mpsc::Receiver<ToServer>,
) {
    enum Woken {
        Datagram(usize, std::net::SocketAddr),
        Message(Option<ToServer>),
        Time,
    }
    let destination = socket.get_ref().local_addr().unwrap();
    let client = ConnectionId(1);
    let mut buffer = [0; 2048];
    loop {
        let (outputs, deadline) = {
            let mut server = server.lock().unwrap();
            (std::iter::from_fn(|| server.poll_output()).collect::<Vec<_>>(), server.poll_timeout())
        };
        for output in outputs {
            match output {
                ServerOutput::Transmit(transmit) => {
                    let _ = socket.send_to(&transmit.contents, transmit.destination).await;
                }
                ServerOutput::Response { id, result, .. } => {
                    let result = result.map_err(Refusal::new);
                    let _ = to_client.send(FromServer::Response { id: id.into(), result }).await;
                }
                ServerOutput::Notification { message, .. } => {
                    let _ = to_client.send(FromServer::Notification(message)).await;
                }
                _ => {}
            }
        }
        let receive = async {
            let (length, source) = socket.recv_from(&mut buffer).await.unwrap();
            Woken::Datagram(length, source)
        };
        let message = async { Woken::Message(from_client.next().await) };
        let time = async {
            deadline.map_or_else(Timer::never, Timer::at).await;
            Woken::Time
        };
        let woken = message.or(receive).or(time).await;
        let now = Instant::now();
        let mut server = server.lock().unwrap();
        match woken {
            Woken::Datagram(length, source) => {
                let contents = buffer[..length].to_vec().into();
                server.handle_receive(now, &Receive { protocol: IceProtocol::Udp, source, destination, contents });
            }
            Woken::Message(Some(ToServer::Request { id, request })) => {
                server.handle_request(now, client, id.value(), &request.to_json());
            }
            Woken::Message(Some(ToServer::Notification(notification))) => {
                server.handle_notification(now, client, &notification.to_json());
            }
            Woken::Message(None) => return,
            Woken::Time => server.handle_timeout(now),
        }
    }
}

async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    async { Some(future.await) }
        .or(async {
            Timer::after(Duration::from_secs(seconds)).await;
            None
        })
        .await
        .expect("in time")
}

#[test]
fn all_that_is_sent_arrives_and_the_recording_of_it_repeats() {
    smol::block_on(within(30, async {
        let socket = Async::<UdpSocket>::bind(([127, 0, 0, 1], 0)).unwrap();
        let address = socket.get_ref().local_addr().unwrap();
        let config = RoomServerConfig::default().address(IceProtocol::Udp, address);
        let server = Arc::new(Mutex::new(RoomServer::new(config, 1)));
        let (signalling, to_client, from_client) = channel();
        let serving = smol::spawn(serve(Arc::clone(&server), socket, to_client, from_client));

        let config = RoomConfig::default().record(RecordOptions::default());
        let (room, events) = Room::new(config, 1, signalling);
        room.operation(|room, now| room.join(now, "alice", None)).await.unwrap();
        let transport = room.with(|room, now| room.create_transport(now, None)).unwrap();
        let track = Track::new(MediaKind::Video, "camera", "");
        let options = ProducerOptions::default().simulcast(true);
        let video = room.with(|room, now| room.create_producer(now, track, options, None)).unwrap();
        room.operation(|room, now| room.producer(video).unwrap().send(now, transport)).await.unwrap();
        loop {
            let event = events.recv().await.unwrap();
            let Event::Room(RoomEvent::Transport { event, .. }) = event else { continue };
            if event == (TransportEvent::ConnectionStateChange { state: ConnectionState::Connected }) {
                break;
            }
        }

        let mut source = Source::vp8_simulcast(100_000, 300_000, 1_000_000);
        for _ in 0..25 {
            for frame in source.frames() {
                room.with(|room, now| room.producer(video).unwrap().write_frame(now, frame)).unwrap();
            }
            // Few at a time: what a burst loses at the server's socket is not repaired when nothing follows it.
            let sent = room.with(|room, _| room.outbound_stats(video));
            let sent: Vec<_> = sent.iter().map(|s| (s.profile, s.packets_sent, s.bytes_sent)).collect();
            let received = || {
                let received = server.lock().unwrap().encodings(video);
                received.iter().map(|e| (e.profile, e.packets, e.bytes)).collect::<Vec<_>>()
            };
            while received() != sent {
                smol::future::yield_now().await;
            }
        }
        let sent = room.with(|room, _| room.outbound_stats(video));
        assert!(sent.len() == 3 && sent.iter().all(|stats| stats.frames_sent == 25), "{sent:?}");

        room.close().await;
        serving.await;
        let recording: Vec<_> = room.with(|room, _| std::iter::from_fn(|| room.poll_record()).collect());
        let replayed = replay(Instant::now(), &recording.join("\n")).unwrap();
        assert_eq!((replayed.difference, replayed.recording), (None, recording));
        assert_eq!(server.lock().unwrap().peers().count(), 0);
        let frame = source.frames().remove(0);
        let write = room.with(|room, now| room.producer(video).map(|mut video| video.write_frame(now, frame)));
        assert_eq!(write, None::<Result<(), MediaError>>);
        assert_eq!(room.operation(|room, now| room.join(now, "alice", None)).await, Err(Error::Stopped));
    }));
}

#[test]
fn a_lost_connection_ends_the_room_and_what_is_under_way() {
    smol::block_on(within(30, async {
        let (signalling, to_client, from_client) = channel();
        let (room, events) = Room::new(RoomConfig::default(), 1, signalling);
        let joining = {
            let room = room.clone();
            smol::spawn(async move { room.operation(|room, now| room.join(now, "alice", None)).await })
        };
        let mut from_client = from_client;
        from_client.next().await.unwrap();
        drop((to_client, from_client));
        assert_eq!(joining.await, Err(Error::Operation(OperationError::RoomClosed)));
        assert_eq!(events.recv().await, Ok(Event::Disconnected));
        room.close().await;
        assert!(room.with(|room, _| room.closed()));
    }));
}

#[test]
fn the_last_handle_dropped_ends_the_room() {
    smol::block_on(within(30, async {
        let (signalling, _to_client, mut from_client) = channel();
        let (room, _events) = Room::new(RoomConfig::default(), 1, signalling);
        drop(room.clone());
        drop(room);
        assert_eq!(from_client.next().await, None);
    }));
}
