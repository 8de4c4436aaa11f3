//! What a packet costs through tokio, through smol and by hand with `send_to`: CPU time of the sender's threads, by turns in
//! one process, frames of 10 packets of AES-CM. Linux only: it reads `/proc`.
//!
//! ```text
//! cargo run --release -p mediasoup-producer-benches --example adapters
//! ```

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, sink};
use mediasoup_producer::protocol::{FromServer, IceProtocol::Udp, Refusal, ToServer};
use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
use mediasoup_producer::{
    ConnectionState, Event, Frame, Input, MediaKind, Output, ProducerId, ProducerOptions, Receive, Room, RoomConfig,
    Track, TransportEvent,
};
use mediasoup_producer_driver::{Options, Runtime, Signalling, SignallingError, signalling};
use mediasoup_producer_smol::Smol;
use mediasoup_producer_tokio::Tokio;

/// Ten packets of VP8.
const FRAME: usize = 10 * 1_100;
const TURNS: usize = 5;

type ToClient = futures_channel::mpsc::UnboundedSender<FromServer>;

/// A room on a thread of its own, for one client. Once told to it reads what comes and throws it away.
struct Server {
    messages: Sender<ToServer>,
    from_server: Option<futures_channel::mpsc::UnboundedReceiver<FromServer>>,
    sink: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl Server {
    fn start() -> Self {
        let (messages, inbox) = channel();
        let (to_client, from_server) = futures_channel::mpsc::unbounded();
        let (sink, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let knobs = (Arc::clone(&sink), Arc::clone(&over));
        thread::Builder::new()
            .name("server".into())
            .spawn(move || serve(&inbox, &to_client, &knobs.0, &knobs.1))
            .unwrap();
        Self { messages, from_server: Some(from_server), sink, over }
    }

    fn signalling(&mut self) -> impl Signalling + use<> {
        let messages = Mutex::new(self.messages.clone());
        let to_server = sink::unfold((), move |(), message| {
            let sent = messages.lock().unwrap().send(message);
            std::future::ready(sent.map_err(|_| SignallingError::Closed { reason: None }))
        });
        signalling::join(self.from_server.take().unwrap().map(Ok), to_server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn serve(inbox: &Receiver<ToServer>, to_client: &ToClient, sink: &AtomicBool, over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let destination = socket.local_addr().unwrap();
    let mut server = RoomServer::new(RoomServerConfig::default().address(Udp, destination), 1);
    let client = ConnectionId(1);
    let mut buffer = [0; 2048];
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    while !over.load(Ordering::Relaxed) {
        if sink.load(Ordering::Relaxed) {
            let _ = socket.recv_from(&mut buffer);
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
        }
    }
}

/// CPU time of all threads but the server's, in nanoseconds.
fn cpu() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() != "server"))
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

fn frame(n: u32, per_second: u32) -> Frame {
    Frame::new(Bytes::from_static(&[0; FRAME]), n * (Duration::from_secs(1) / per_second)).key_frame(true)
}

/// Frames in the given time: as fast as it goes, or so many a second.
#[derive(Clone, Copy)]
enum Pace {
    Saturated,
    PerSecond(u32),
}

impl Pace {
    const fn frames(self) -> u32 {
        match self {
            Self::Saturated => 3_000,
            Self::PerSecond(rate) => rate * 4,
        }
    }
}

fn by_hand(pace: Pace) -> f64 {
    let mut server = Server::start();
    let mut heard = server.from_server.take().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let source = socket.local_addr().unwrap();
    let mut room = Room::new(RoomConfig::default(), 1);
    room.join(Instant::now(), "alice", None).unwrap();
    let (mut video, mut connected) = (None::<ProducerId>, false);
    let mut buffer = [0; 2048];
    let mut turn = |room: &mut Room, video: &mut Option<ProducerId>, connected: &mut bool, wait: Duration| {
        while let Some(output) = room.poll_output() {
            match output {
                Output::Transmit(transmit) => drop(socket.send_to(&transmit.contents, transmit.destination)),
                Output::Request { id, request } => drop(server.messages.send(ToServer::Request { id, request })),
                Output::Notification(said) => drop(server.messages.send(ToServer::Notification(said))),
                Output::Event(Event::Joined { .. }) => {
                    let transport = room.create_transport(Instant::now(), None).unwrap();
                    let track = Track::new(MediaKind::Video, "camera", "");
                    let id = room.create_producer(Instant::now(), track, ProducerOptions::default(), None).unwrap();
                    room.producer(id).unwrap().send(Instant::now(), transport).unwrap();
                    *video = Some(id);
                }
                Output::Event(Event::Transport { id, event: TransportEvent::RemoteCandidates { .. } }) => {
                    room.transport(id).unwrap().add_local_address(Instant::now(), Udp, source).unwrap();
                }
                Output::Event(Event::Transport { event: TransportEvent::ConnectionStateChange { state }, .. }) => {
                    *connected |= state == ConnectionState::Connected;
                }
                _ => {}
            }
        }
        while let Ok(message) = heard.try_recv() {
            if let Ok(input) = Input::try_from(message) {
                let _ = room.handle_input(Instant::now(), input);
            }
        }
        let input = if wait.is_zero() {
            None
        } else {
            socket.set_read_timeout(Some(wait)).unwrap();
            socket.recv_from(&mut buffer).ok()
        };
        match input {
            Some((length, from)) => {
                let contents = Bytes::copy_from_slice(&buffer[..length]);
                room.handle_receive(
                    Instant::now(),
                    &Receive { protocol: Udp, source: from, destination: source, contents },
                );
            }
            None if room.poll_timeout().is_some_and(|at| at <= Instant::now()) => room.handle_timeout(Instant::now()),
            None => {}
        }
    };
    while !connected {
        turn(&mut room, &mut video, &mut connected, Duration::from_millis(1));
    }
    server.sink.store(true, Ordering::Relaxed);
    let id = video.unwrap();
    let (before, start) = (cpu(), Instant::now());
    for n in 0..pace.frames() {
        if let Pace::PerSecond(rate) = pace {
            let due = start + n * (Duration::from_secs(1) / rate);
            loop {
                let now = Instant::now();
                let until = room.poll_timeout().map_or(due, |at| at.min(due));
                if now >= due {
                    break;
                }
                turn(&mut room, &mut video, &mut connected, (until - now.min(until)).max(Duration::from_micros(100)));
            }
        }
        room.producer(id).unwrap().write_frame(Instant::now(), frame(n, 1000)).unwrap();
        turn(&mut room, &mut video, &mut connected, Duration::ZERO);
    }
    let packets: u64 = room.outbound_stats(id).iter().map(|stats| stats.packets_sent).sum();
    (cpu() - before) as f64 / packets as f64 / 1000.0
}

async fn through<R: Runtime>(runtime: R, pace: Pace) -> f64 {
    let mut server = Server::start();
    let room = mediasoup_producer_driver::Room::on(
        runtime.clone(),
        RoomConfig::default(),
        1,
        Options::default(),
        server.signalling(),
    );
    room.join("alice", None).await.unwrap();
    let transport = room.create_transport(None).unwrap();
    let track = Track::new(MediaKind::Video, "camera", "");
    let video = room.create_producer(track, ProducerOptions::default(), None).unwrap();
    video.send(&transport).await.unwrap();
    transport.connected().await.unwrap();
    server.sink.store(true, Ordering::Relaxed);
    let (before, start) = (cpu(), runtime.now());
    let mut timer = Box::pin(runtime.timer(start));
    for n in 0..pace.frames() {
        match pace {
            Pace::Saturated => {
                let mut yielded = false;
                std::future::poll_fn(|cx| match std::mem::replace(&mut yielded, true) {
                    true => std::task::Poll::Ready(()),
                    false => {
                        cx.waker().wake_by_ref();
                        std::task::Poll::Pending
                    }
                })
                .await;
            }
            Pace::PerSecond(rate) => {
                use mediasoup_producer_driver::Timer;
                timer.as_mut().reset(start + n * (Duration::from_secs(1) / rate));
                std::future::poll_fn(|cx| timer.as_mut().poll(cx)).await;
            }
        }
        video.write_frame(frame(n, 1000)).unwrap();
    }
    let packets: u64 = video.outbound_stats().iter().map(|stats| stats.packets_sent).sum();
    let cost = (cpu() - before) as f64 / packets as f64 / 1000.0;
    drop((room, transport, video));
    cost
}

fn through_tokio(pace: Pace) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { through(Tokio::default(), pace).await })
}

fn through_smol(pace: Pace) -> f64 {
    smol::block_on(through(Smol::default(), pace))
}

/// Ticks of a runtime on which nothing else is done, 30 a second: microseconds of CPU for each.
async fn ticks<R: Runtime>(runtime: R) -> f64 {
    use mediasoup_producer_driver::Timer;
    let (before, start, ticks) = (cpu(), runtime.now(), 120);
    let mut timer = Box::pin(runtime.timer(start));
    for n in 0..ticks {
        timer.as_mut().reset(start + n * (Duration::from_secs(1) / 30));
        std::future::poll_fn(|cx| timer.as_mut().poll(cx)).await;
    }
    (cpu() - before) as f64 / f64::from(ticks) / 1000.0
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let on_tokio = runtime.block_on(async { ticks(Tokio::default()).await });
    let on_smol = smol::block_on(ticks(Smol::default()));
    println!("a tick that does nothing, of ten packets here: tokio {on_tokio:.1}, smol {on_smol:.1} microseconds");
    for (what, pace) in [("saturated", Pace::Saturated), ("30 frames a second", Pace::PerSecond(30))] {
        let mut costs = [const { Vec::new() }; 3];
        for _ in 0..TURNS {
            for (costs, run) in costs.iter_mut().zip([by_hand, through_tokio, through_smol]) {
                costs.push(run(pace));
            }
        }
        println!("{what}, microseconds of CPU a packet, median (least to most) of {TURNS}");
        for (name, mut costs) in ["by hand, send_to", "tokio", "smol"].into_iter().zip(costs) {
            costs.sort_by(f64::total_cmp);
            println!("{name:>18}  {:6.2} ({:.2} to {:.2})", costs[TURNS / 2], costs[0], costs[TURNS - 1]);
        }
    }
}
