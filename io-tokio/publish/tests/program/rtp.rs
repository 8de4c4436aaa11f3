//! RTP that others send.

use std::time::Duration;

use mediasoup_publish::embedded::Room;
use mediasoup_publish::source::{FileSource, Kind, Options};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until, timeout};

use crate::harness::{Program, media};

/// Sends a file as a stream of RTP, over and over, until dropped.
pub(crate) async fn send(name: &str, kind: Kind, payload_type: u8, to: String) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut source = FileSource::open(media(name), kind, Options::default().looping(true)).unwrap();
    let clock_rate = source.info().codec.clock_rate();
    let (start, mut sequence_number) = (Instant::now(), u16::MAX - 20);
    while let Some(frame) = source.next_frame().unwrap() {
        sleep_until(start + frame.time).await;
        let timestamp = (frame.time.as_secs_f64() * f64::from(clock_rate)) as u32;
        let pieces: Vec<_> = frame.data.chunks(1000).collect();
        for (index, piece) in pieces.iter().enumerate() {
            let last = index + 1 == pieces.len();
            let marker = if kind == Kind::Video && last { 0x80 } else { 0 };
            let mut packet = vec![0x80, marker | payload_type];
            packet.extend(sequence_number.to_be_bytes());
            packet.extend(timestamp.to_be_bytes());
            packet.extend([0, 0, 0, 9]);
            if kind == Kind::Video {
                // VP8's descriptor (RFC 7741 section 4.2): extended, the start of the partition, a 7-bit picture id.
                packet.extend([
                    0x80 | if index == 0 { 0x10 } else { 0 },
                    0x80,
                    (frame.time.as_millis() / 33) as u8 & 0x7f,
                ]);
            }
            packet.extend(*piece);
            sequence_number = sequence_number.wrapping_add(1);
            // Before and after the program runs nobody listens.
            let _ = socket.send_to(&packet, &to).await;
        }
    }
}

#[tokio::test]
async fn rtp_is_passed_on_under_our_own_numbers() {
    let room = Room::start().await.unwrap();
    let mut packets = room.handle.packets();
    let args = ["--seconds", "2", "--room", &room.ws_url, "--audio-rtp", "127.0.0.1:0", "--video-rtp", "127.0.0.1:0"];
    let mut program = Program::start(&args);
    let audio = program.event("listening").await["address"].as_str().unwrap().to_owned();
    let video = program.event("listening").await["address"].as_str().unwrap().to_owned();
    let senders = async {
        tokio::join!(send("opus.ogg", Kind::Audio, 97, audio), send("vp8.ivf", Kind::Video, 96, video));
    };
    let run = async {
        let first = timeout(Duration::from_secs(30), packets.recv()).await.expect("in time").unwrap();
        assert!(first.payload_type >= 100, "the room's payload types begin at 100: {}", first.payload_type);
        program.finish().await
    };
    let run = tokio::select! {
        () = senders => unreachable!("they go on"),
        run = run => run,
    };
    run.assert_all_received();
    let [audio, video] = run.encodings() else { panic!("{run:#?}") };
    assert_eq!((&audio["codec"], &video["codec"]), (&"opus".into(), &"VP8".into()));
    assert!(audio["frames"].as_u64() > Some(80) && video["frames"].as_u64() > Some(50), "{run:#?}");
}

#[tokio::test]
async fn three_addresses_are_the_layers_of_a_simulcast() {
    for dialect in ["v2", "v3"] {
        let addresses = ["127.0.0.1:0"; 3];
        let args = [&["--embedded", dialect, "--seconds", "2", "--video-rtp"][..], &addresses].concat();
        let mut program = Program::start(&args);
        let mut layers = Vec::new();
        for _ in addresses {
            layers.push(program.event("listening").await["address"].as_str().unwrap().to_owned());
        }
        let mut layers = layers.into_iter();
        let mut layer = || send("vp8.ivf", Kind::Video, 96, layers.next().unwrap());
        let run = tokio::select! {
            _ = async { tokio::join!(layer(), layer(), layer()) } => unreachable!("they go on"),
            run = program.finish() => run,
        };
        run.assert_all_received();
        let profiles: Vec<_> = run.encodings().iter().map(|encoding| &encoding["profile"]).collect();
        assert_eq!(profiles, ["low", "medium", "high"]);
    }
}

#[tokio::test]
async fn other_codecs_are_named_on_the_command_line() {
    let args = ["--seconds", "2", "--audio-rtp", "127.0.0.1:0", "--audio-rtp-codec", "pcmu"];
    let mut program = Program::start(&args);
    let address = program.event("listening").await["address"].as_str().unwrap().to_owned();
    // Not mu-law, but who listens.
    let run = tokio::select! {
        () = send("opus.ogg", Kind::Audio, 0, address) => unreachable!("it goes on"),
        run = program.finish() => run,
    };
    run.assert_all_received();
    assert_eq!(run.encodings()[0]["codec"], "PCMU");
}

/// As an encoder with B-frames makes it: a picture, then those that are shown before it.
#[tokio::test]
async fn rtp_whose_pictures_are_out_of_order_is_named_with_the_remedy_once() {
    let mut program = Program::start(&["--seconds", "2", "--video-rtp", "127.0.0.1:0"]);
    let address = program.event("listening").await["address"].as_str().unwrap().to_owned();
    let sender = async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let start = Instant::now();
        for number in 0u32.. {
            sleep_until(start + Duration::from_millis(33) * number).await;
            let shown = number / 4 * 4 + [0, 3, 1, 2][number as usize % 4];
            let mut packet = vec![0x80, 0x80 | 96];
            packet.extend((number as u16).to_be_bytes());
            packet.extend((shown * 3000).to_be_bytes());
            packet.extend([0, 0, 0, 9, 0x90, 0x80, number as u8 & 0x7f, 0, 0, 0]);
            let _ = socket.send_to(&packet, &address).await;
        }
    };
    let run = tokio::select! {
        () = sender => unreachable!("it goes on"),
        run = program.finish() => run,
    };
    run.assert_all_received();
    let events: Vec<_> = run.events("reordered").collect();
    assert!(events.len() == 1 && events[0]["remedy"] == "-bf 0" && events[0]["producer"].is_u64(), "{run:#?}");
}

#[tokio::test]
async fn what_is_no_rtp_is_told_once_and_an_input_without_any_fails_the_run() {
    let mut program = Program::start(&["--seconds", "2", "--audio-rtp", "127.0.0.1:0"]);
    let address = program.event("listening").await["address"].as_str().unwrap().to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    program.sample("default", |_| true).await;
    for _ in 0..3 {
        socket.send_to(b"GET / HTTP/1.1\r\n\r\n", &address).await.unwrap();
    }
    let run = program.finish().await;
    assert_eq!(run.assert_one_line(), "the room received nothing of audio");
    assert_eq!(run.events("junk").count(), 1, "{run:#?}");
}
