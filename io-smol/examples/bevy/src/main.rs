//! A game without a window that streams its picture: see the README beside it.
//!
//! `mediasoup-producer-bevy URL [SECONDS]`; it fails unless the room has received all that was sent, in all three layers.

mod picture;
mod plugin;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bevy_app::{App, AppExit, First, PostUpdate, ScheduleRunnerPlugin, Update};
use bevy_ecs::prelude::*;
use mediasoup_producer_smol::mediasoup_producer::Frame;
use mediasoup_producer_smol::mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, Profile};
use mediasoup_producer_smol::v2::Event;
use openh264::OpenH264API;
use openh264::encoder::{BitRate, Encoder, EncoderConfig, FrameRate, FrameType, RateControlMode};

use picture::Picture;
use plugin::{Encoded, Heard, Stream, StreamPlugin};

const WIDTH: usize = 640;
const HEIGHT: usize = 360;
const RATE: f32 = 30.0;

/// How long the room may take to tell what it has received.
const PATIENCE: Duration = Duration::from_secs(3);

fn main() -> AppExit {
    let mut args = std::env::args().skip(1);
    let (Some(url), Ok(seconds)) = (args.next(), args.next().unwrap_or_else(|| "60".to_owned()).parse()) else {
        eprintln!("usage: mediasoup-producer-bevy ws://HOST:PORT/?roomId=ROOM [SECONDS]");
        return AppExit::error();
    };
    App::new()
        .add_plugins(ScheduleRunnerPlugin::run_loop(Duration::from_secs_f32(1.0 / RATE)))
        .add_plugins(StreamPlugin { url, peer_name: "game".to_owned() })
        .insert_resource(Game::new(Duration::from_secs(seconds)))
        .init_resource::<Encoders>()
        .init_resource::<Cost>()
        .add_systems(Update, (draw, encode, count, finish).chain())
        .add_systems(First, (Cost::begin_frame.before(plugin::listen), Cost::end.after(plugin::listen)))
        .add_systems(PostUpdate, (Cost::begin.before(plugin::send), Cost::end.after(plugin::send)))
        .run()
}

#[derive(Resource)]
struct Game {
    began: Instant,
    duration: Duration,
    frame: u64,
    picture: Picture,
    /// Packets that the room has received, by SSRC.
    received: BTreeMap<u32, u64>,
    asked: bool,
}

impl Game {
    fn new(duration: Duration) -> Self {
        let picture = Picture::draw(WIDTH, HEIGHT, 0);
        Self { began: Instant::now(), duration, frame: 0, picture, received: BTreeMap::new(), asked: false }
    }

    fn over(&self) -> bool {
        self.began.elapsed() >= self.duration
    }
}

fn draw(mut game: ResMut<Game>) {
    game.frame += 1;
    game.picture = Picture::draw(WIDTH, HEIGHT, game.frame);
}

/// For each layer an encoder, and the bitrate it was made for.
#[derive(Resource, Default)]
struct Encoders([Option<(u64, Encoder)>; 3]);

/// A larger game would do this on another thread, or have the graphics card do it.
fn encode(game: Res<Game>, stream: Res<Stream>, mut encoders: ResMut<Encoders>, mut encoded: MessageWriter<Encoded>) {
    if game.over() {
        return;
    }
    let time = game.began.elapsed();
    let medium = game.picture.halved();
    let low = medium.halved();
    for layer in stream.layers() {
        let picture = match layer.profile {
            Profile::Low => &low,
            Profile::Medium => &medium,
            Profile::High | Profile::Default => &game.picture,
        };
        let encoder = &mut encoders.0[layer.profile.layer()];
        // This encoder's bitrate is fixed when it is made, and another begins with a key frame: down soon, up when it pays.
        let fits = |made_for: u64| (made_for * 4 / 5..=made_for * 3 / 2).contains(&layer.bitrate_bps);
        if encoder.as_ref().is_none_or(|(made_for, _)| !fits(*made_for)) {
            *encoder = new_encoder(layer.bitrate_bps);
        }
        let Some((_, encoder)) = encoder else { continue };
        if layer.key_frame {
            encoder.force_intra_frame();
        }
        match encoder.encode(&picture.as_yuv()) {
            // Left out to keep the bitrate.
            Ok(frame) if frame.frame_type() == FrameType::Skip => {}
            Ok(frame) => {
                let key_frame = frame.frame_type() == FrameType::IDR;
                encoded.write(Encoded(Frame::new(frame.to_vec(), time).layer(layer.profile).key_frame(key_frame)));
            }
            Err(error) => eprintln!("{:?}: {error}", layer.profile),
        }
    }
}

fn new_encoder(bitrate_bps: u64) -> Option<(u64, Encoder)> {
    let config = EncoderConfig::new()
        .bitrate(BitRate::from_bps(u32::try_from(bitrate_bps).unwrap_or(u32::MAX)))
        .rate_control_mode(RateControlMode::Bitrate)
        .max_frame_rate(FrameRate::from_hz(RATE))
        .num_threads(1);
    Some((bitrate_bps, Encoder::with_api_config(OpenH264API::from_source(), config).ok()?))
}

/// Keeps what the room says to have received.
fn count(mut game: ResMut<Game>, mut heard: MessageReader<Heard>) {
    for Heard(event) in heard.read() {
        if let Event::Room(RoomEvent::Producer { event: ProducerEvent::Stats { stats }, .. }) = event {
            for stream in stats.iter().filter_map(|entry| entry.stream.as_ref()) {
                game.received.insert(stream.ssrc, stream.packet_count + stream.packets_repaired);
            }
        }
    }
}

/// Ends the game when the room has received everything, or had its time.
fn finish(mut game: ResMut<Game>, stream: Res<Stream>, cost: Res<Cost>, mut exit: MessageWriter<AppExit>) {
    if let Some(why) = stream.ended() {
        eprintln!("mediasoup-producer-bevy: {why}");
        exit.write(AppExit::error());
        return;
    }
    if !game.over() {
        return;
    }
    // Enabled now, the room's statistics come at once, and then every second.
    if let Some(producer) = stream.producer().filter(|_| !game.asked) {
        game.asked = producer.enable_stats(Duration::from_secs(1)).is_ok();
    }
    let layers = stream.producer().map(|producer| producer.outbound_stats()).unwrap_or_default();
    let received = |ssrc| game.received.get(&ssrc).copied().unwrap_or(0);
    let complete = layers.len() == 3
        && layers.iter().all(|layer| layer.packets_sent > 0 && received(layer.ssrc) == layer.packets_sent);
    if !complete && game.began.elapsed() < game.duration + PATIENCE {
        return;
    }
    for layer in &layers {
        println!(
            "layer {}: {} frames, {} of them key frames, {} packets sent, {} received",
            layer.layer,
            layer.frames_sent,
            layer.key_frames_sent,
            layer.packets_sent,
            received(layer.ssrc)
        );
    }
    println!("{} frames refused", stream.refused());
    cost.print();
    exit.write(if complete { AppExit::Success } else { AppExit::error() });
}

/// What the plugin's systems take of each frame.
#[derive(Resource, Default)]
struct Cost {
    begun: Option<Instant>,
    frames: Vec<Duration>,
}

impl Cost {
    fn begin_frame(mut cost: ResMut<Self>) {
        cost.frames.push(Duration::ZERO);
        cost.begun = Some(Instant::now());
    }

    fn begin(mut cost: ResMut<Self>) {
        cost.begun = Some(Instant::now());
    }

    fn end(mut cost: ResMut<Self>) {
        let spent = cost.begun.take().map_or(Duration::ZERO, |begun| begun.elapsed());
        if let Some(frame) = cost.frames.last_mut() {
            *frame += spent;
        }
    }

    fn print(&self) {
        let mut frames = self.frames.clone();
        frames.sort_unstable();
        let part = |percent: usize| {
            let frame = frames.get((frames.len() * percent / 100).min(frames.len().saturating_sub(1)));
            frame.map_or(0.0, |frame| frame.as_secs_f64() * 1000.0)
        };
        println!(
            "the plugin took of {} frames: median {:.3} ms, 99 of 100 at most {:.3} ms, longest {:.3} ms",
            frames.len(),
            part(50),
            part(99),
            part(100)
        );
    }
}
