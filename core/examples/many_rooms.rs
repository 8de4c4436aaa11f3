//! A load generator's loop: one thread, `mio`, 200 devices, each in a room of its own with simulcast in three layers.
//!
//! ```sh
//! cargo run --release -p mediasoup-producer --example many_rooms -- [--rooms 200] [--seconds 5] [--fps 25] [--shared]
//! ```
//!
//! The rooms are in a process of their own. It prints what a datagram cost this one, and what a room took of its memory (on
//! Linux), and fails unless the rooms got every packet.
//!
//! Each device has a socket of its own, or with `--shared` all have one. One each is better. It costs the same: of two
//! processors of an AMD EPYC that others used as well, 200 rooms at 16,000 datagrams a second took 29 to 33 us for a datagram
//! with one each and 30 to 34 us with a shared one, and 0.3 MiB of memory for a room either way, most of it what is kept for
//! repair. It has a buffer in the system for each room, so that the burst of one loses nothing of another's. And it works with
//! every server: one that has all its transports at one port, as mediasoup's `WebRtcServer`, tells them apart by where they
//! send from, and so do we. A shared socket saves descriptors, where each transport of the server has a port of its own.

#![allow(clippy::disallowed_methods)] // a loop on real sockets lives in real time

mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mediasoup_producer::adapter::{Outbox, Sent, Step};
use mediasoup_producer::sim::Source;
use mediasoup_producer::v3::{
    Answer, Device, DeviceConfig, EncodingOptions, Event, Input, ProduceOptions, ProducerEvent, Refusal,
    TransportOptions,
};
use mediasoup_producer::{
    Certificate, Codec, ConnectionState, IceProtocol, MediaKind, ProducerId, Receive, Track, TransportId, random_seed,
};
use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use room::lines::{Lines, Reply};
use room::{ANYWHERE, Elsewhere, flag, option, serve_elsewhere};
use serde_json::{Map, from_value, json};

/// Bits per second of the layers, the lowest first.
const LAYERS: [u64; 3] = [50_000, 100_000, 200_000];

/// The number under which is asked what arrived: none that a device counts up to.
const RECEIVED: u64 = u64::MAX;

/// One device, and what is around it.
struct Peer {
    device: Device,
    outbox: Outbox<Device>,
    server: Lines<TcpStream>,
    transport: TransportId,
    producer: ProducerId,
    encoder: Source,
    /// None: nobody wants pictures.
    next_frame: Option<Instant>,
    /// When its turn is, as the loop knows it.
    due: Option<Instant>,
    /// What arrived of its packets, when it was asked and has been answered.
    received: Option<u64>,
}

impl Peer {
    /// Gets a transport of the server. This waits: joining a room is a question or two.
    fn join(address: SocketAddr, config: DeviceConfig) -> Result<Self, Box<dyn Error>> {
        let now = Instant::now();
        let mut server = Lines::connect(address)?;
        let mut device = Device::new(config, random_seed());
        device.load(now, from_value(server.request("capabilities", json!({}))?)?, false)?;
        let parameters = from_value(server.request("createTransport", json!({}))?)?;
        let transport = device.create_send_transport(now, parameters, TransportOptions::default(), Map::new())?;
        let layer = |bitrate: u64| EncodingOptions::default().max_bitrate(bitrate as u32);
        let options = ProduceOptions::default().codec(Codec::Vp8).encodings(LAYERS.map(layer));
        let camera = Track::new(MediaKind::Video, "camera", "Camera");
        let producer = device.transport(transport).ok_or("just made")?.produce(now, camera, options)?.producer;
        Ok(Self {
            device,
            outbox: Outbox::default(),
            server: server.map(TcpStream::from_std),
            transport,
            producer,
            encoder: Source::vp8_simulcast(LAYERS[0], LAYERS[1], LAYERS[2]),
            next_frame: None,
            due: None,
            received: None,
        })
    }

    /// The server has said something.
    fn hear(&mut self, now: Instant) -> Result<(), Box<dyn Error>> {
        while let Some(Reply { number, result }) = self.server.hear()? {
            if number == RECEIVED {
                let encodings = result?;
                let packets = encodings.as_array().into_iter().flatten().filter_map(|of| of["packets"].as_u64());
                self.received = Some(packets.sum());
                continue;
            }
            let result = result.map_err(Refusal::new).map(|data| match data["producer"].as_str() {
                Some(id) => Answer::Produced { id: id.to_owned() },
                None => Answer::Connected,
            });
            self.device.handle_input(now, Input::Answer { id: number.into(), result })?;
        }
        Ok(())
    }

    /// Does what is due, and all that comes of it. How many datagrams left.
    fn turn(&mut self, now: Instant, socket: &Socket, film: &Film) -> Result<u64, Box<dyn Error>> {
        self.device.handle_timeout(now);
        if let Some(at) = self.next_frame.filter(|at| *at <= now) {
            for mut frame in self.encoder.frames() {
                frame.time = (at - film.start).into();
                let mut producer = self.device.producer(self.producer).ok_or("the producer was closed")?;
                // What is refused is not sent later: a key frame is asked for after it.
                producer.write_frame(now, frame).unwrap_or_else(|why| println!("a frame was refused: {why}"));
            }
            self.next_frame = film.runs(now).then_some(at + film.interval);
        }
        let mut sent = 0;
        loop {
            let mut busy = self.outbox.fill(&mut self.device);
            while let Some(step) = self.outbox.next_step() {
                self.act(now, film, step);
            }
            while let Some((id, request)) = self.outbox.next_message() {
                self.server.ask(id.value(), request.name(), request.to_json())?;
            }
            busy |= self.outbox.send(|path, datagrams| {
                match datagrams.front().map(|datagram| socket.socket.send_to(datagram, path.destination)) {
                    Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Sent::Blocked,
                    // What the network refuses otherwise is lost, as on the way.
                    Some(Ok(_) | Err(_)) | None => {
                        sent += 1;
                        Sent::Taken(1)
                    }
                }
            });
            if !busy {
                break;
            }
        }
        // A socket that takes no more holds up the encoder.
        let waiting = self.outbox.waiting(socket.address);
        if let Some(mut transport) = self.device.transport(self.transport) {
            transport.set_backlog(if waiting < Outbox::<Device>::BACKLOG { 0 } else { waiting });
        }
        Ok(sent)
    }

    fn act(&mut self, now: Instant, film: &Film, step: Step<Device>) {
        match step {
            Step::Emit(Event::Producer { event: ProducerEvent::KeyFrameRequest { layer }, .. }) => {
                self.encoder.request_key_frame(layer);
                self.next_frame = self.next_frame.or(film.runs(now).then_some(now));
            }
            Step::Emit(Event::Producer { event: ProducerEvent::TargetBitrate { layer, bitrate_bps }, .. }) => {
                self.encoder.set_target_bps(layer, bitrate_bps);
            }
            Step::Settle { result: Err(why), .. } => println!("{why}"),
            // The sockets are open as long as the process lives.
            Step::Open(_) | Step::Close(_) | Step::Settle { result: Ok(()), .. } | Step::Emit(_) => {}
        }
    }

    fn is_connected(&self) -> bool {
        let state = self.device.transport_info(self.transport).map(|transport| transport.connection_state());
        state == Some(ConnectionState::Connected)
    }

    fn packets_sent(&self) -> u64 {
        self.device.outbound_stats(self.producer).iter().map(|encoding| encoding.packets_sent).sum()
    }
}

/// What all of them send.
struct Film {
    start: Instant,
    interval: Duration,
    /// None: not known yet.
    end: Option<Instant>,
}

impl Film {
    fn runs(&self, now: Instant) -> bool {
        self.end.is_none_or(|end| now < end)
    }
}

struct Socket {
    socket: UdpSocket,
    address: SocketAddr,
    /// Whose datagrams come here: that of the only one, or by where they come from. So one socket will do only where each
    /// transport of the server has an address of its own.
    peers: BTreeMap<SocketAddr, usize>,
}

/// The loop.
struct World {
    poll: Poll,
    peers: Vec<Peer>,
    /// Of each peer its own, or one for all.
    sockets: Vec<Socket>,
    shared: bool,
    film: Film,
    /// Whose turn is when: looking through all peers at each wake would cost more than their turns.
    deadlines: BTreeSet<(Instant, usize)>,
    datagrams: u64,
}

impl World {
    fn new(shared: bool, interval: Duration) -> io::Result<Self> {
        let film = Film { start: Instant::now(), interval, end: None };
        let (peers, sockets, deadlines) = (Vec::new(), Vec::new(), BTreeSet::new());
        Ok(Self { poll: Poll::new()?, peers, sockets, shared, film, deadlines, datagrams: 0 })
    }

    fn add(&mut self, mut peer: Peer) -> Result<(), Box<dyn Error>> {
        let now = Instant::now();
        let index = self.peers.len();
        let registry = self.poll.registry();
        registry.register(peer.server.stream(), of_server(index), Interest::READABLE)?;
        if self.sockets.is_empty() || !self.shared {
            let mut socket = UdpSocket::bind(ANYWHERE)?;
            let address = socket.local_addr()?;
            registry.register(&mut socket, of_socket(index), Interest::READABLE | Interest::WRITABLE)?;
            self.sockets.push(Socket { socket, address, peers: BTreeMap::new() });
        }
        let socket = self.sockets.last_mut().ok_or("just made")?;
        let mut transport = peer.device.transport(peer.transport).ok_or("just made")?;
        transport.add_local_address(now, IceProtocol::Udp, socket.address)?;
        socket.peers.extend(transport.socket_targets().into_iter().map(|(_, address)| (address, index)));
        self.peers.push(peer);
        self.turn(now, index)
    }

    /// Goes on until something is so, or it is too late.
    fn run_until(&mut self, end: Instant, mut so: impl FnMut(&Self) -> bool) -> Result<bool, Box<dyn Error>> {
        let mut events = Events::with_capacity(1024);
        while !so(self) {
            let now = Instant::now();
            if now >= end {
                return Ok(false);
            }
            let next = self.deadlines.first().map_or(end, |(at, _)| *at).min(end);
            match self.poll.poll(&mut events, Some(next.saturating_duration_since(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
            let now = Instant::now();
            let mut woken = BTreeSet::new();
            for event in &events {
                match event.token().0 {
                    even if even % 2 == 0 => {
                        self.peers[even / 2].hear(now)?;
                        woken.insert(even / 2);
                    }
                    odd => {
                        let index = odd / 2;
                        if event.is_writable() {
                            let blocked = |peer: &usize| self.peers[*peer].outbox.is_blocked();
                            woken.extend(self.sockets[index].peers.values().copied().filter(blocked));
                        }
                        self.receive(now, index, &mut woken)?;
                    }
                }
            }
            while let Some((_, peer)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
                self.deadlines.pop_first();
                self.peers[peer].due = None;
                woken.insert(peer);
            }
            for peer in woken {
                self.turn(now, peer)?;
            }
        }
        Ok(true)
    }

    fn receive(&mut self, now: Instant, index: usize, woken: &mut BTreeSet<usize>) -> io::Result<()> {
        let Socket { socket, address, peers } = &self.sockets[index];
        let mut buffer = [0; 2000];
        loop {
            match socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let Some(peer) = peers.get(&source).copied() else { continue };
                    let (destination, contents) = (*address, buffer[..length].to_vec().into());
                    let receive = Receive { protocol: IceProtocol::Udp, source, destination, contents };
                    self.peers[peer].device.handle_receive(now, &receive);
                    woken.insert(peer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Somebody has closed their port: their device finds out by itself.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn turn(&mut self, now: Instant, index: usize) -> Result<(), Box<dyn Error>> {
        let socket = if self.shared { &self.sockets[0] } else { &self.sockets[index] };
        let peer = &mut self.peers[index];
        self.datagrams += peer.turn(now, socket, &self.film)?;
        let due = [peer.device.poll_timeout(), peer.next_frame].into_iter().flatten().min();
        if due != peer.due {
            if let Some(before) = peer.due {
                self.deadlines.remove(&(before, index));
            }
            self.deadlines.extend(due.map(|at| (at, index)));
            peer.due = due;
        }
        Ok(())
    }
}

fn of_server(peer: usize) -> Token {
    Token(peer * 2)
}

fn of_socket(socket: usize) -> Token {
    Token(socket * 2 + 1)
}

/// How long this thread has run on a processor. Linux.
fn cpu_time() -> Option<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(schedstat.split_whitespace().next()?.parse().ok()?))
}

/// What this process has of the machine's memory, in KiB. Linux.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().trim_end_matches(" kB").parse().ok()
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if flag("serve") {
        return serve_elsewhere().map(|()| ExitCode::SUCCESS);
    }
    let (rooms, seconds) = (option("rooms")?.unwrap_or(200), Duration::from_secs(option("seconds")?.unwrap_or(5)));
    let interval = Duration::from_secs(1) / option("fps")?.unwrap_or(25);
    let elsewhere = Elsewhere::start()?;
    // Making one takes most of the time of making a transport.
    let config = DeviceConfig::default().certificate(Certificate::generate()?);
    let mut world = World::new(flag("shared"), interval)?;
    let memory_before = memory();

    for _ in 0..rooms {
        world.add(Peer::join(elsewhere.address, config.clone())?)?;
        // Those that are in go on meanwhile.
        world.run_until(Instant::now() + Duration::from_millis(1), |_| false)?;
    }
    let joined = Instant::now();
    if !world.run_until(joined + Duration::from_secs(20), |world| world.peers.iter().all(Peer::is_connected))? {
        return Err("not all have connected".into());
    }
    println!("{rooms} rooms, connected {:.1?} after the last joined", joined.elapsed());

    let (begin, cpu_before, datagrams_before) = (Instant::now(), cpu_time(), world.datagrams);
    world.film.end = Some(begin + seconds);
    world.run_until(begin + seconds, |_| false)?;
    let (time, datagrams) = (begin.elapsed(), world.datagrams - datagrams_before);
    println!("{:.0} datagrams a second", datagrams as f64 / time.as_secs_f64());
    if let (Some(before), Some(after)) = (cpu_before, cpu_time()) {
        let each = (after - before).as_secs_f64() * 1e6 / datagrams.max(1) as f64;
        let busy = (after - before).as_secs_f64() * 100.0 / time.as_secs_f64();
        println!("{each:.1} us of the processor for a datagram; the thread was busy for {busy:.0} % of the time");
    }
    if let (Some(before), Some(after)) = (memory_before, memory()) {
        println!("{} KiB of memory for a room", after.saturating_sub(before) / rooms.max(1) as u64);
    }

    // What is under way is waited for, and it is asked what arrived.
    let answered = |world: &World| world.peers.iter().all(|peer| peer.received.is_some());
    let all_arrived = |world: &World| world.peers.iter().all(|peer| peer.received == Some(peer.packets_sent()));
    let late = Instant::now() + Duration::from_secs(10);
    while Instant::now() < late && !all_arrived(&world) {
        world.run_until(Instant::now() + Duration::from_millis(500), |_| false)?;
        for peer in &mut world.peers {
            let name = peer.device.producer_info(peer.producer).and_then(|producer| producer.server_id());
            peer.server.ask(RECEIVED, "received", json!({ "producer": name }))?;
            peer.received = None;
        }
        if !world.run_until(late, answered)? {
            return Err("not all rooms have said what arrived".into());
        }
    }
    let (mut sent, mut received, mut short) = (0, 0, 0);
    for peer in &world.peers {
        let (of_peer, arrived) = (peer.packets_sent(), peer.received.unwrap_or(0));
        short += u32::from(of_peer == 0 || arrived != of_peer);
        sent += of_peer;
        received += arrived;
    }
    println!("{sent} packets sent, {received} received; something is missing in {short} rooms");
    Ok(if short == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
