//! The smallest complete loop: std's `UdpSocket`, signalling over a TCP connection, no runtime.
//!
//! ```sh
//! cargo run -p mediasoup-producer --example udp_loop -- [--seconds 3] [--room ADDRESS]
//! ```
//!
//! It publishes a picture to a room that it opens itself, or to one that runs already (`--example room`), and fails unless the
//! room got every packet. What is between the two lines stands in the README.

#![allow(clippy::disallowed_methods)] // a loop on real sockets lives in real time

mod room;

// README, from here
use std::error::Error;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use mediasoup_producer::IceProtocol::Udp;
use mediasoup_producer::sim::Source; // in place of an encoder
use mediasoup_producer::v3::{
    Answer, Device, DeviceConfig, Event, Input, Output, ProduceOptions, ProducerEvent, Refusal, TransportOptions,
};
use mediasoup_producer::{Codec, MediaKind, Receive, Track, random_seed};
use room::lines::Lines; // in place of your signalling: a line of JSON for each message
use serde_json::{Map, from_value, json};

/// Publishes for so long. How many packets were sent, and how many the server received.
fn publish(server: &mut Lines, encoder: &mut Source, time: Duration) -> Result<(u64, u64), Box<dyn Error>> {
    let start = Instant::now();
    let end = start + time;
    // What the server has to say first: what it can route, and the transport that it makes for us.
    let mut device = Device::new(DeviceConfig::default(), random_seed());
    device.load(start, from_value(server.request("capabilities", json!({}))?)?, false)?;
    let parameters = from_value(server.request("createTransport", json!({}))?)?;
    let id = device.create_send_transport(start, parameters, TransportOptions::default(), Map::new())?;

    // A socket that its datagrams can come back to, and something to send.
    let socket = UdpSocket::bind((server.local_address()?.ip(), 0))?;
    let mut transport = device.transport(id).expect("just made");
    transport.add_local_address(start, Udp, socket.local_addr()?)?;
    let camera = Track::new(MediaKind::Video, "camera-1", "Front camera");
    let producer = transport.produce(start, camera, ProduceOptions::default().codec(Codec::Vp8))?.producer;

    let mut next_frame = None; // nobody wants one before a key frame is asked for
    // What is under way at the end is waited for.
    while Instant::now() < end + Duration::from_millis(500) {
        // 1. Hand in media when it is time. What is refused is not sent later: a key frame is asked for after it.
        let now = Instant::now();
        if let Some(at) = next_frame.filter(|at| *at <= now) {
            for frame in encoder.frames() {
                let mut producer = device.producer(producer).ok_or("the producer was closed")?;
                producer.write_frame(now, frame).unwrap_or_else(|why| println!("a frame was refused: {why}"));
            }
            next_frame = (now < end).then_some(at + encoder.interval());
        }
        // 2. Act on everything that comes out.
        while let Some(output) = device.poll_output() {
            match output {
                // What the network refuses is lost, as on the way.
                Output::Transmit(transmit) => drop(socket.send_to(&transmit.contents, transmit.destination)),
                Output::Request { id, request } => server.ask(id.value(), request.name(), request.to_json())?,
                Output::Event(Event::Producer { event: ProducerEvent::KeyFrameRequest { layer }, .. }) => {
                    encoder.request_key_frame(layer);
                    next_frame = next_frame.or((now < end).then_some(now));
                }
                Output::Event(Event::Producer {
                    event: ProducerEvent::TargetBitrate { layer, bitrate_bps }, ..
                }) => {
                    encoder.set_target_bps(layer, bitrate_bps);
                }
                Output::Event(event) => println!("{event:?}"),
            }
        }
        // 3. Wait for a datagram, not beyond the deadline; and, as std waits for one thing only, not long.
        let deadlines = [device.poll_timeout(), next_frame, Some(now + Duration::from_millis(10))];
        let wait = deadlines.into_iter().flatten().min().map(|at| at.saturating_duration_since(Instant::now()));
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
        let mut buffer = [0; 2000];
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            let (destination, contents) = (socket.local_addr()?, buffer[..length].to_vec().into());
            device.handle_receive(Instant::now(), &Receive { protocol: Udp, source, destination, contents });
        }
        // 4. Hand in the server's answers, and the time.
        while let Some(reply) = server.hear()? {
            let result = reply.result.map_err(Refusal::new).map(|data| match data["producer"].as_str() {
                Some(id) => Answer::Produced { id: id.to_owned() },
                None => Answer::Connected,
            });
            device.handle_input(Instant::now(), Input::Answer { id: reply.number.into(), result })?;
        }
        device.handle_timeout(Instant::now());
    }

    let sent = device.outbound_stats(producer).iter().map(|encoding| encoding.packets_sent).sum();
    let name = device.producer_info(producer).and_then(|producer| producer.server_id());
    let received = server.request("received", json!({ "producer": name }))?;
    let received = received.as_array().into_iter().flatten().filter_map(|encoding| encoding["packets"].as_u64()).sum();
    device.transport(id).ok_or("the transport was closed")?.close(Instant::now())?;
    while let Some(output) = device.poll_output() {
        if let Output::Transmit(transmit) = output {
            drop(socket.send_to(&transmit.contents, transmit.destination)); // the goodbye
        }
    }
    Ok((sent, received))
}
// to here

use std::process::ExitCode;

use room::{ANYWHERE, Door, option};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let time = Duration::from_secs(option("seconds")?.unwrap_or(3));
    let (door, address) = match option("room")? {
        Some(address) => (None, address),
        None => {
            let door = Door::open(ANYWHERE)?;
            let address = door.address;
            (Some(door), address)
        }
    };
    let mut server = Lines::connect(address)?;
    let (sent, received) = publish(&mut server, &mut Source::vp8(1_000_000), time)?;
    drop(server);
    println!("{sent} packets sent, {received} received");
    if let Some(report) = door.and_then(|door| door.next_report()) {
        println!("the room: {report}");
    }
    Ok(if sent > 0 && received == sent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
