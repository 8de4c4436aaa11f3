//! mediasoup 3 without protoo: a device and its server speak JSON of their own, as over any WebSocket.
//!
//! ```sh
//! cargo run -p mediasoup-producer --example own_signalling     # shows what is said
//! cargo test -p mediasoup-producer --example own_signalling    # the same as a test
//! ```
//!
//! mediasoup 3 leaves the words to the application. Here they are `{"ask":7,"what":"produce","with":{..}}`, answered
//! `{"answer":7,"ok":{..}}` or `{"answer":7,"error":"no"}`, and `{"tell":"pause","with":{..}}` for what needs no answer. The
//! server is `sim::v3::Router` with a few lines around it, in place of a mediasoup 3 in Node or Rust; what to copy is
//! [`Client`]. The example `udp_loop` has a loop with sockets and the clock, in the same words; this one has neither.

#![allow(clippy::disallowed_methods)] // an application may ask for the time

#[path = "room/server.rs"]
mod server;

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::time::{Duration, Instant};

use mediasoup_producer::sim::v3::RouterOutput;
use mediasoup_producer::v3::{
    Answer, Device, DeviceConfig, Event, Input, Output, ProduceOptions, ProducerEvent, Refusal, TransportEvent,
    TransportOptions,
};
use mediasoup_producer::{
    Frame, IceProtocol, MediaKind, ProducerId, Receive, Redacted, RequestId, Track, Transmit, TransportId, random_seed,
};
use serde_json::{Map, Value, json};
use server::Server;

/// A device, and the application that passes on what it wants to know.
struct Client {
    device: Device,
    last_ask: u64,
    /// What was asked of the server, by number.
    asked: BTreeMap<u64, Asked>,
    to_server: VecDeque<String>,
    datagrams: Vec<Transmit>,
    transport: Option<TransportId>,
    /// What the server calls a producer.
    names: BTreeMap<ProducerId, String>,
    key_frame_wanted: bool,
}

enum Asked {
    Capabilities,
    Transport,
    /// Of the device: its answer goes back under the same id.
    ByDevice(RequestId),
    RestartIce(TransportId),
}

impl Client {
    const ADDRESS: &str = "192.0.2.1:5000";

    fn new() -> Self {
        Self {
            device: Device::new(DeviceConfig::default(), random_seed()),
            last_ask: 0,
            asked: BTreeMap::new(),
            to_server: VecDeque::new(),
            datagrams: Vec::new(),
            transport: None,
            names: BTreeMap::new(),
            key_frame_wanted: false,
        }
    }

    fn ask(&mut self, asked: Asked, what: &str, with: Value) {
        self.last_ask += 1;
        self.asked.insert(self.last_ask, asked);
        self.to_server.push_back(json!({ "ask": self.last_ask, "what": what, "with": with }).to_string());
    }

    fn tell(&mut self, what: &str, with: Value) {
        self.to_server.push_back(json!({ "tell": what, "with": with }).to_string());
    }

    /// A message of the server.
    fn hear(&mut self, now: Instant, message: &str) -> Result<(), Box<dyn Error>> {
        let mut message: Value = serde_json::from_str(message)?;
        // An answer that nobody asked for means nothing.
        let Some(asked) = message["answer"].as_u64().and_then(|number| self.asked.remove(&number)) else {
            return Ok(());
        };
        let result = match message["error"].as_str() {
            Some(words) => Err(words.to_owned()),
            None => Ok(message["ok"].take()),
        };
        match asked {
            Asked::Capabilities => {
                self.device.load(now, serde_json::from_value(result?)?, false)?;
                self.ask(Asked::Transport, "createTransport", json!({}));
            }
            Asked::Transport => {
                let (parameters, options) = (serde_json::from_value(result?)?, TransportOptions::default());
                let id = self.device.create_send_transport(now, parameters, options, Map::new())?;
                let mut transport = self.device.transport(id).expect("just made");
                transport.add_local_address(now, IceProtocol::Udp, Self::ADDRESS.parse()?)?;
                self.transport = Some(id);
            }
            Asked::ByDevice(id) => {
                // The answer to `produce` has the producer's id, that to `connect` nothing.
                let result = result.map_err(Refusal::new).map(|data| match data["producer"].as_str() {
                    Some(id) => Answer::Produced { id: id.to_owned() },
                    None => Answer::Connected,
                });
                self.device.handle_input(now, Input::Answer { id, result })?;
            }
            Asked::RestartIce(id) => {
                if let Some(mut transport) = self.device.transport(id) {
                    transport.restart_ice(now, serde_json::from_value(result?)?)?;
                }
            }
        }
        Ok(())
    }

    /// Acts on all that the device has to say.
    fn poll(&mut self) {
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Transmit(transmit) => self.datagrams.push(transmit),
                Output::Request { id, request } => self.ask(Asked::ByDevice(id), request.name(), request.to_json()),
                Output::Event(event) => self.heed(event),
            }
        }
    }

    /// What the server has to know of what happens here, it hears from the application alone.
    fn heed(&mut self, event: Event) {
        match event {
            Event::Producer { id, event } => self.heed_producer(id, event),
            // Made, and nobody waits for it any more.
            Event::Orphan { producer_id, .. } => self.tell("closeProducer", json!({ "producer": producer_id })),
            Event::Transport { event: TransportEvent::ConnectLost { .. }, .. } => {
                self.ask(Asked::Transport, "createTransport", json!({}));
            }
            other => println!("          {other:?}"),
        }
    }

    fn heed_producer(&mut self, id: ProducerId, event: ProducerEvent) {
        let named = json!({ "producer": self.names.get(&id) });
        match event {
            ProducerEvent::Produced { producer_id } => {
                // It may have been paused before the server had a name for it.
                if self.device.producer_info(id).is_some_and(|producer| producer.paused()) {
                    self.tell("pause", json!({ "producer": producer_id }));
                }
                self.names.insert(id, producer_id);
            }
            ProducerEvent::Pause => self.tell("pause", named),
            ProducerEvent::Resume => self.tell("resume", named),
            ProducerEvent::Close => self.tell("closeProducer", named),
            ProducerEvent::KeyFrameRequest { .. } => self.key_frame_wanted = true,
            other => println!("          {other:?}"),
        }
    }
}

/// Both, and a network without delay.
struct World {
    client: Client,
    server: Server,
    start: Instant,
    now: Instant,
}

impl World {
    const SERVER: &str = "203.0.113.1:40000";

    fn say(&mut self) -> Result<(), Box<dyn Error>> {
        self.client.poll();
        while let Some(message) = self.client.to_server.pop_front() {
            println!("to server {}", shown(&message));
            if let Some(answer) = self.server.hear(self.now, &message)? {
                println!("to client {}", shown(&answer));
                self.client.hear(self.now, &answer)?;
            }
            self.client.poll();
        }
        Ok(())
    }

    /// Lets so many milliseconds go by.
    fn pass(&mut self, milliseconds: u32) -> Result<(), Box<dyn Error>> {
        for _ in 0..milliseconds {
            self.now += Duration::from_millis(1);
            self.client.device.handle_timeout(self.now);
            self.server.router.handle_timeout(self.now);
            self.say()?;
            for transmit in std::mem::take(&mut self.client.datagrams) {
                self.server.router.handle_receive(self.now, &Receive::from(transmit));
            }
            while let Some(output) = self.server.router.poll_output() {
                match output {
                    RouterOutput::Transmit(transmit) => {
                        self.client.device.handle_receive(self.now, &Receive::from(transmit));
                    }
                    RouterOutput::Event(event) => println!("          the router: {event:?}"),
                    other => println!("          the router: {other:?}"),
                }
            }
            self.say()?;
        }
        Ok(())
    }

    /// So many frames of a camera. What is refused is no matter: a key frame is asked for after it.
    fn film(&mut self, id: ProducerId, frames: u32) -> Result<(), Box<dyn Error>> {
        for _ in 0..frames {
            let key_frame = std::mem::take(&mut self.client.key_frame_wanted);
            let data = vec![u8::from(!key_frame); 2000];
            if let Some(mut producer) = self.client.device.producer(id) {
                let time = self.now.duration_since(self.start);
                let _ = producer.write_frame(self.now, Frame::new(data, time).key_frame(key_frame));
            }
            self.pass(33)?;
        }
        Ok(())
    }
}

/// The beginning of a message, without secrets.
fn shown(message: &str) -> String {
    let message = Redacted(&serde_json::from_str(message).unwrap_or_default()).to_string();
    let beginning: String = message.chars().take(150).collect();
    if beginning.len() < message.len() { format!("{beginning}...") } else { beginning }
}

fn run() -> Result<(u64, u64), Box<dyn Error>> {
    let now = Instant::now();
    let mut world = World { client: Client::new(), server: Server::new(World::SERVER.parse()?), start: now, now };
    world.client.ask(Asked::Capabilities, "capabilities", json!({}));
    world.pass(10)?;

    let on = world.client.transport.ok_or("the server made a transport")?;
    let camera = Track::new(MediaKind::Video, "camera-1", "Front camera");
    let mut transport = world.client.device.transport(on).ok_or("it is open")?;
    let id = transport.produce(world.now, camera, ProduceOptions::default())?.producer;
    world.film(id, 60)?;

    let producer = |world: &mut World, act: fn(mediasoup_producer::v3::Producer<'_>, Instant)| {
        let now = world.now;
        act(world.client.device.producer(id).expect("it is open"), now);
    };
    producer(&mut world, |mut camera, now| drop(camera.pause(now)));
    world.film(id, 10)?;
    producer(&mut world, |mut camera, now| drop(camera.resume(now)));
    world.film(id, 30)?;

    // The application asks its server for new credentials, and hands them in.
    let name = world.client.device.transport_info(on).ok_or("it is open")?.server_id().to_owned();
    world.client.ask(Asked::RestartIce(on), "restartIce", json!({ "transportId": name }));
    world.film(id, 30)?;
    world.pass(500)?;

    let sent = world.client.device.outbound_stats(id).iter().map(|encoding| encoding.packets_sent).sum();
    let router = &world.server.router;
    let encodings = router.producers().flat_map(|producer| router.encodings(producer.id()));
    let received = encodings.map(|encoding| encoding.received.packets).sum();
    producer(&mut world, |camera, now| drop(camera.close(now)));
    world.pass(10)?;
    let left = world.server.router.producers().count();
    println!("{sent} packets sent, {received} received, {left} producers left");
    if left > 0 {
        return Err("the server has a producer that is closed".into());
    }
    Ok((sent, received))
}

fn main() -> Result<(), Box<dyn Error>> {
    run().map(drop)
}

#[test]
fn every_packet_arrives() {
    let (sent, received) = run().unwrap();
    assert!(sent > 200 && sent == received, "{sent} sent, {received} received");
}
