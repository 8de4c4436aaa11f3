//! A game that streams its picture: a fixed tick, a socket that never blocks, signalling in another thread.
//!
//! ```sh
//! cargo run --release -p mediasoup-producer --example game_loop -- [--seconds 5] [--tick-ms 16] [--room ADDRESS]
//! ```
//!
//! Each tick has a picture as large as one of 1080p at 6 Mbit/s. It prints how long a tick was busy with our code, and fails
//! unless the room got every packet.
//!
//! A tick is the only time at which anything happens here, and nothing in it waits. What is due between two ticks is done at
//! the next: a repair or an answer is late by a tick at most, and so is the end of a picture too large to leave at once
//! ([`DeviceConfig::burst`]). A tick of 100 ms works, too.
//!
//! On two processors of an AMD EPYC for which ten others queued, a tick at 60 Hz was busy with our code for 0.15 ms (median), and
//! for 0.6 to 0.9 ms at the 99th percentile: what costs then is to begin with cold caches, as a picture of 62 packets (a tick of
//! 100 ms) took 0.5 ms.

#![allow(clippy::disallowed_methods)] // a game lives in real time

mod room;

use std::error::Error;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use mediasoup_producer::v3::{
    Answer, Device, DeviceConfig, Event, Input, Output, ProduceOptions, ProducerEvent, Refusal, TransportOptions,
};
use mediasoup_producer::{Codec, Frame, IceProtocol, MediaKind, ProducerId, Receive, Track, Transmit, random_seed};
use room::lines::{Lines, Reply};
use room::{ANYWHERE, Door, flag, option};
use serde_json::{Map, Value, from_value, json};

const BITRATE_BPS: u64 = 6_000_000;
const KEY_FRAME_BYTES: usize = 50_000;

/// What the game has of the picture that it streams: a resource, a component, a member of its renderer.
struct Stream {
    device: Device,
    socket: UdpSocket,
    local: SocketAddr,
    server: Server,
    producer: ProducerId,
    /// A datagram that the socket had no room for. What comes after it stays in the device, which refuses media when that is
    /// too much.
    unsent: Option<Transmit>,
    /// Whether anybody wants pictures yet.
    wanted: bool,
    key_frame_wanted: bool,
    /// What the encoder is to aim at.
    bitrate_bps: u64,
    /// How long this tick was spent in the library.
    spent: Duration,
}

impl Stream {
    /// While the level loads: here it may wait.
    fn start(address: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let now = Instant::now();
        let server = Server::connect(address)?;
        let mut device = Device::new(DeviceConfig::default(), random_seed());
        device.load(now, from_value(server.request("capabilities", json!({}))?)?, false)?;
        let parameters = from_value(server.request("createTransport", json!({}))?)?;
        let id = device.create_send_transport(now, parameters, TransportOptions::default(), Map::new())?;

        let socket = UdpSocket::bind((server.local.ip(), 0))?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let mut transport = device.transport(id).ok_or("just made")?;
        transport.add_local_address(now, IceProtocol::Udp, local)?;
        let picture = Track::new(MediaKind::Video, "game", "The game");
        let producer = transport.produce(now, picture, ProduceOptions::default().codec(Codec::Vp8))?.producer;
        Ok(Self {
            device,
            socket,
            local,
            server,
            producer,
            unsent: None,
            wanted: false,
            key_frame_wanted: false,
            bitrate_bps: BITRATE_BPS,
            spent: Duration::ZERO,
        })
    }

    /// Once a tick, with the picture of this tick if one was [wanted](Self::wanted).
    fn tick(&mut self, frame: Option<Frame>) -> Result<(), Box<dyn Error>> {
        self.spent = Duration::ZERO;
        self.receive()?;
        for Reply { number, result } in self.server.answers.try_iter() {
            let result = result.map_err(Refusal::new).map(|data| match data["producer"].as_str() {
                Some(id) => Answer::Produced { id: id.to_owned() },
                None => Answer::Connected,
            });
            self.device.handle_input(Instant::now(), Input::Answer { id: number.into(), result })?;
        }
        let begin = Instant::now();
        if let Some(frame) = frame {
            let mut producer = self.device.producer(self.producer).ok_or("the producer was closed")?;
            // What is refused is not sent later: a key frame is asked for after it.
            producer.write_frame(begin, frame).unwrap_or_else(|why| println!("a picture was refused: {why}"));
        }
        self.device.handle_timeout(begin);
        self.spent += begin.elapsed();
        self.send()
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut buffer = [0; 2000];
        loop {
            match self.socket.recv_from(&mut buffer) {
                Ok((length, source)) => {
                    let contents = buffer[..length].to_vec().into();
                    let (protocol, destination) = (IceProtocol::Udp, self.local);
                    let begin = Instant::now();
                    self.device.handle_receive(begin, &Receive { protocol, source, destination, contents });
                    self.spent += begin.elapsed();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The server's port is closed: the device finds out by itself.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&mut self) -> Result<(), Box<dyn Error>> {
        loop {
            let begin = Instant::now();
            let output = self.unsent.take().map(Output::Transmit).or_else(|| self.device.poll_output());
            self.spent += begin.elapsed();
            match output {
                None => return Ok(()),
                Some(Output::Transmit(transmit)) => {
                    let sent = self.socket.send_to(&transmit.contents, transmit.destination);
                    // What the network refuses otherwise is lost, as on the way.
                    if sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                        self.unsent = Some(transmit);
                        return Ok(());
                    }
                }
                Some(Output::Request { id, request }) => {
                    self.server.ask(id.value(), request.name(), request.to_json())?;
                }
                Some(Output::Event(Event::Producer { event, .. })) => self.heed(event),
                Some(Output::Event(event)) => println!("{event:?}"),
            }
        }
    }

    fn heed(&mut self, event: ProducerEvent) {
        match event {
            ProducerEvent::KeyFrameRequest { .. } => (self.wanted, self.key_frame_wanted) = (true, true),
            ProducerEvent::TargetBitrate { bitrate_bps, .. } => self.bitrate_bps = bitrate_bps.min(BITRATE_BPS),
            other => println!("{other:?}"),
        }
    }

    fn packets_sent(&self) -> u64 {
        self.device.outbound_stats(self.producer).iter().map(|encoding| encoding.packets_sent).sum()
    }

    fn packets_received(&self) -> Result<u64, Box<dyn Error>> {
        let name = self.device.producer_info(self.producer).and_then(|producer| producer.server_id());
        let received = self.server.request("received", json!({ "producer": name }))?;
        Ok(received.as_array().into_iter().flatten().filter_map(|encoding| encoding["packets"].as_u64()).sum())
    }
}

/// The thread that speaks to the server, as its game sees it. It may wait: one question at a time.
struct Server {
    questions: Sender<(u64, String, Value)>,
    answers: Receiver<Reply>,
    local: SocketAddr,
}

impl Server {
    fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut lines = Lines::connect(address)?;
        let local = lines.local_address()?;
        let (questions, asked) = channel::<(u64, String, Value)>();
        let (answer, answers) = channel();
        thread::spawn(move || {
            for (number, what, with) in asked {
                let result = lines.request(&what, with).map_err(|error| error.to_string());
                if answer.send(Reply { number, result }).is_err() {
                    return;
                }
            }
        });
        Ok(Self { questions, answers, local })
    }

    fn ask(&self, number: u64, what: &str, with: Value) -> Result<(), Box<dyn Error>> {
        Ok(self.questions.send((number, what.to_owned(), with))?)
    }

    /// Waits for the answer: not in a tick. Nothing else may be asked meanwhile.
    fn request(&self, what: &str, with: Value) -> Result<Value, Box<dyn Error>> {
        self.ask(0, what, with)?;
        Ok(self.answers.recv()?.result?)
    }
}

/// In place of an encoder's: no decoder can do anything with it.
fn picture(bitrate_bps: u64, tick: Duration, key_frame: bool) -> Vec<u8> {
    let bytes = (bitrate_bps as f64 / 8.0 * tick.as_secs_f64()) as usize;
    // An encoder for live pictures takes more for a key frame, but not without measure.
    let mut data = vec![1; if key_frame { bytes.max(KEY_FRAME_BYTES) } else { bytes.max(1) }];
    // RFC 6386 section 9.1: the lowest bit of a frame is 0 if it is a key frame.
    data[0] = u8::from(!key_frame);
    data
}

/// The median of them, what 99 of 100 are no longer than, and the longest, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    [50, 99, 100].map(|share| {
        let time = times.get(times.len().saturating_sub(1) * share / 100).copied().unwrap_or_default();
        time.as_secs_f64() * 1e3
    })
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if flag("help") {
        println!("game_loop [--seconds 5] [--tick-ms 16] [--room ADDRESS]");
        return Ok(ExitCode::SUCCESS);
    }
    let door = Door::open(ANYWHERE)?;
    let mut stream = Stream::start(option("room")?.unwrap_or(door.address))?;
    let tick_ms = option("tick-ms")?;
    let tick = tick_ms.map_or(Duration::from_nanos(1_000_000_000 / 60), Duration::from_millis);
    let (mut spent, mut with_system) = (Vec::new(), Vec::new());
    let start = Instant::now();
    let end = Duration::from_secs(option("seconds")?.unwrap_or(5));
    let mut next = start;
    let mut received = 0;
    // What is under way at the end is waited for.
    while next < start + end || received < stream.packets_sent() {
        if next > start + end + Duration::from_secs(3) {
            break;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        // The game's own: it moves, it draws, and its encoder makes a picture of it.
        let frame = (stream.wanted && next < start + end).then(|| {
            let key_frame = std::mem::take(&mut stream.key_frame_wanted);
            Frame::new(picture(stream.bitrate_bps, tick, key_frame), next - start).key_frame(key_frame)
        });
        let streamed = frame.is_some();
        let begin = Instant::now();
        stream.tick(frame)?;
        if streamed {
            spent.push(stream.spent);
            with_system.push(begin.elapsed());
        }
        next += tick;
        if next >= start + end {
            received = stream.packets_received()?;
        }
    }
    let sent = stream.packets_sent();
    let pictures = spent.len();
    println!("{pictures} pictures, one in {tick:.1?}; {sent} packets sent, {received} received");
    for (what, times) in [("our code", spent), ("our code and the system's", with_system)] {
        let [median, p99, longest] = percentiles(times);
        println!("{what}, in a tick with a picture: median {median:.2} ms, p99 {p99:.2} ms, longest {longest:.2} ms");
    }
    Ok(if sent > 0 && received == sent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
