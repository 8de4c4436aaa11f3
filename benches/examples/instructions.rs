//! Runs one path so many times, for a tool that counts instructions:
//!
//! ```text
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/instructions room 12 1000
//! ```
//!
//! The path is `room` (frames of so many packets), `packets` (the same ready-made) or `raw` (str0m alone, with the same
//! extensions and RTX streams). The difference of two runs with different counts is free of what connecting costs.

#![allow(clippy::disallowed_methods)] // a program that measures may ask for the time

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::sim::{Scenario, ScenarioConfig, Source};
use mediasoup_producer::{Frame, MediaKind, Profile, RtpPacket};
use mediasoup_producer_benches::baseline::Baseline;

/// Payload bytes of a packet, of a frame that fills its packets.
const PAYLOAD: usize = 1110;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [path, packets, frames] = &arguments[..] else { panic!("room|packets|raw, packets of a frame, frames") };
    let number = |text: &str| text.parse::<u32>().expect("a number");
    let (packets, frames) = (number(packets), number(frames));
    match path.as_str() {
        "raw" => raw(packets as usize, frames),
        "room" | "packets" => room(path == "room", packets, frames),
        other => panic!("no such path: {other}"),
    }
}

fn raw(packets: usize, frames: u32) {
    let mut baseline = Baseline::connected(Instant::now());
    let payload = vec![1; PAYLOAD + 4];
    for frame in 0..frames {
        black_box(baseline.write_frame(&payload, packets, frame * 3000));
        if frame % 500 == 499 {
            baseline.exchange(Duration::from_millis(500));
        }
    }
}

fn room(frames_of_ours: bool, packets: u32, frames: u32) {
    let source = Source::vp8(100_000);
    let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).sending_with([source]);
    scenario.stop_media();
    let producer = scenario.producer_id(MediaKind::Video).expect("one is sent");
    // Bit 0 of a VP8 frame: not a key frame.
    let data = Bytes::from(vec![1; PAYLOAD * packets as usize]);
    let payload = Bytes::from(vec![1; PAYLOAD + 4]);
    let mut now = scenario.now();
    for frame in 0..frames {
        now += Duration::from_millis(1);
        let mut handle = scenario.room.producer(producer).expect("still there");
        if frames_of_ours {
            let time = Duration::from_secs(100) + Duration::from_millis(33) * frame;
            handle.write_frame(now, Frame::new(data.clone(), time)).expect("connected and not paused");
        } else {
            for index in 0..packets {
                let packet = RtpPacket {
                    profile: Profile::Default,
                    ssrc: 7,
                    sequence_number: (frame * packets + index) as u16,
                    timestamp: frame * 3000,
                    marker: index + 1 == packets,
                    payload: payload.clone(),
                    audio_level: None,
                    rotation: None,
                };
                handle.write_packet(now, packet).expect("connected and not paused");
            }
        }
        // As a driver does: outputs until there are none, then what is due, as often as the pacer wants.
        loop {
            while let Some(output) = scenario.room.poll_output() {
                black_box(output);
            }
            match scenario.room.poll_timeout().filter(|due| *due < now + Duration::from_millis(20)) {
                Some(due) if packets > 10 => {
                    now = due;
                    scenario.room.handle_timeout(now);
                }
                _ => break,
            }
        }
        if frame % 500 == 499 {
            scenario.drive(Duration::from_millis(500));
            now = scenario.now().max(now);
        }
    }
}
