//! A recorded run of a device repeats: the same lines come out, byte for byte, in another process too.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod recording_common;
mod v3_common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::record::{RecordOptions, ReplayError, replay};
use mediasoup_producer::sim::{EngineAnswer, EngineEvent, StreamFeedback};
use mediasoup_producer::v3::{
    Answer, DeviceConfig, EncodingOptions, EncodingUpdate, Input, ProduceOptions, Refusal, Request, TransportOptions,
};
use mediasoup_producer::{Frame, IceProtocol, MediaKind, RequestId, RtpPacket, SetupError, Track};
use recording_common::{assert_repeats, assert_repeats_in_two_processes, stray};
use serde_json::{Map, Value, json};
use v3_common::{World, key_frame, parameters, router, track};

#[path = "../examples/record/v3.rs"]
mod faults;

/// Of every transport, in the parameters that the server gives.
const PASSWORD: &str = "of the server";

fn lines(world: &mut World) -> Vec<String> {
    world.requests();
    std::iter::from_fn(|| world.device.poll_record()).collect()
}

fn produced(name: &str) -> Result<Answer, Refusal> {
    Ok(Answer::Produced { id: name.to_owned() })
}

/// Everything that can go right and wrong, once.
fn scripted(options: RecordOptions) -> Vec<String> {
    let mut world = World::with(DeviceConfig::default().record(options));
    let Value::Object(app_data) = json!({ "password": PASSWORD, "n": 1 }) else { unreachable!("it is one") };
    let t1 = world.transport;

    // What is refused at once, and what the media plane does not do.
    world.device.load(world.now, router(), true).unwrap_err();
    assert!(world.device.engine_answer(t1, EngineAnswer::NotMade(SetupError::NoAddress)));
    let options = TransportOptions::default();
    world.device.create_send_transport(world.now, parameters(), options, Map::new()).unwrap_err();
    let cannot_begin = world.device.create_send_transport(world.now, parameters(), options, app_data.clone()).unwrap();
    assert!(world.device.engine_answer(cannot_begin, EngineAnswer::NotStarted(SetupError::NoAddress)));
    let now = world.now;
    world
        .device
        .transport(cannot_begin)
        .unwrap()
        .produce(now, track(MediaKind::Audio), ProduceOptions::default())
        .unwrap();
    world.answer(Ok(Answer::Connected));
    let address = "192.0.2.10:5000".parse().unwrap();
    assert!(world.device.engine_answer(t1, EngineAnswer::AddressRefused));
    let mut transport = world.device.transport(t1).unwrap();
    transport.add_local_address(now, IceProtocol::Udp, address).unwrap_err();
    transport.add_local_address(now, IceProtocol::Udp, address).unwrap();
    transport.add_local_address(now, IceProtocol::Udp, "224.0.0.1:9".parse().unwrap()).unwrap_err();

    // Answers that come late, wrongly, or to nothing.
    world.produce(MediaKind::Audio);
    let (late, _) = world.requests()[0].clone();
    world.time_goes_on(Duration::from_nanos(10_123_456_789));
    world.answer_to(late, Ok(Answer::Connected));
    let refused = world.produce_with(MediaKind::Audio, ProduceOptions::default().app_data(app_data.clone()));
    world.answer(Err(Refusal::new("ssrc already exists")));
    assert!(world.device.producer(refused.producer).is_none());
    world.produce(MediaKind::Audio);
    world.answer(Ok(Answer::Connected));
    let unwanted = world.produce(MediaKind::Audio);
    world.device.producer(unwanted.producer).unwrap().close(world.now).unwrap();
    world.answer(produced("orphan"));
    world.answer_to(RequestId::from(999), Ok(Answer::Connected));

    // Media, in every way.
    let audio = world.live(MediaKind::Audio);
    let encodings = vec![EncodingOptions::default().max_bitrate(900_000); 3];
    let video = world.live_with(MediaKind::Video, ProduceOptions::default().encodings(encodings));
    world.engine(EngineEvent::Connected);
    let ssrcs: Vec<_> = world.device.producer_info(video).unwrap().rtp_parameters().unwrap().encodings.clone();
    for number in 0..200u32 {
        world.now += Duration::from_millis(20);
        let now = world.now;
        world.device.handle_timeout(now);
        for layer in 0..3 {
            let bytes = 300 + 9_000 * usize::from(number % 16 == 15);
            let frame = Frame::new(vec![0x11; bytes], Duration::from_millis(20) * number).layer(layer);
            let frame = if number % 30 == 10 { Frame { time: frame.time, layer, ..key_frame() } } else { frame };
            let _ = world.device.producer(video).unwrap().write_frame(now, frame);
        }
        let packet = vec![0x80, 0, 0, number as u8, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let packet = RtpPacket::parse(Bytes::from(packet)).unwrap();
        let _ = world.device.producer(audio).unwrap().write_packet(now, packet);
        let mut producer = world.device.producer(video).unwrap();
        match number {
            40 => producer.pause(now).unwrap(),
            50 => producer.resume(now).unwrap(),
            60 => producer.set_max_spatial_layer(now, 0).unwrap(),
            70 => producer.set_encoding_parameters(now, EncodingUpdate::default().active(true)).unwrap(),
            80 => producer.replace_track(now, None).unwrap(),
            90 => producer.replace_track(now, Some(Track::new(MediaKind::Video, "other", ""))).unwrap(),
            95 => producer.end_track(now).unwrap(),
            100 => producer.set_app_data(now, app_data.clone()).unwrap(),
            110 => drop(world.restart_ice()),
            120 => {
                let feedback = StreamFeedback { nack_count: 3, ..StreamFeedback::default() };
                let ssrc = ssrcs[0].ssrc.unwrap();
                world.engine(EngineEvent::StreamFeedback { ssrc, feedback });
                world.engine(EngineEvent::KeyFrameRequest { ssrc: ssrcs[1].ssrc.unwrap() });
            }
            130 => world.engine(EngineEvent::Disconnected),
            140 => world.engine(EngineEvent::Connected),
            _ if number % 50 == 49 => {
                world.engine(EngineEvent::BitrateLimit { bitrate_bps: 10_000 * u64::from(number) })
            }
            _ => {}
        }
        world.transmits();
    }

    // What was asked for when all ends, and what comes after it.
    world.produce(MediaKind::Video);
    let (late, request) = world.requests().last().unwrap().clone();
    assert!(matches!(request, Request::Produce { .. }));
    world.device.transport(t1).unwrap().close(world.now).unwrap();
    world.answer_to(late, produced("too late"));
    world.device.transport(cannot_begin).unwrap().close(world.now).unwrap();
    world.device.handle_input(world.now, Input::Timeout).unwrap();
    lines(&mut world)
}

#[test]
fn a_run_with_faults_repeats() {
    let compared = assert_repeats(&scripted(RecordOptions::default()));
    assert!(compared > 50, "{compared}");
}

#[test]
fn a_run_on_the_real_media_plane_and_a_bad_network_repeats_without_them() {
    let lines = faults::record(Instant::now(), 5);
    let compared = assert_repeats(&lines);
    assert!(compared > 40, "{compared}");
    for words in [
        r#""dialect":"v3""#,
        "Cname",
        r#"{"TimedOut":{"request":"connect"}}"#,
        r#"{"ConnectLost":"#,
        r#"{"Orphan":"#,
        "ssrc already exists",
        r#""event":"Disconnected""#,
        r#""KeyFrameRequest""#,
        r#"{"RestartIce":"#,
        r#"{"BitrateLimit":"#,
    ] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words}");
    }
}

#[test]
fn media_is_in_it_when_asked_for() {
    let lines = scripted(RecordOptions::default().media(true));
    assert!(lines.iter().any(|line| line.contains("11111111")));
    assert_repeats(&lines);
}

#[test]
fn secrets_are_not_in_it() {
    let real = faults::record(Instant::now(), 6);
    assert_eq!(real.iter().filter(|line| line.contains("assword")).count(), 3, "two transports and a restart of ICE");
    for line in scripted(RecordOptions::default()).iter().chain(&real) {
        assert!(!line.contains(PASSWORD), "{line}");
        assert_eq!(line.matches("assword\":").count(), line.matches(r#""password":"***""#).count(), "{line}");
    }
}

/// Only for `two_processes_give_the_same_bytes`, which runs it in processes of its own.
#[test]
#[ignore = "run by another test"]
fn child() {
    recording_common::child();
}

#[test]
fn two_processes_give_the_same_bytes() {
    assert_repeats_in_two_processes(&scripted(RecordOptions::default()));
}

#[test]
fn a_file_written_by_hand_runs() {
    let file = include_str!("recordings/by-hand-v3.jsonl");
    let shown = replay(Instant::now(), file).unwrap();
    assert_eq!((shown.compared, shown.difference), (0, None));
    assert!(shown.recording.iter().any(|line| line.contains(r#""Orphan""#)), "the server made what was closed");
    assert_repeats(&shown.recording);
}

#[test]
fn the_first_difference_is_reported() {
    let mut lines = scripted(RecordOptions::default());
    let orphan = lines.iter().position(|line| line.contains(r#""Orphan""#)).unwrap();
    lines[orphan] = lines[orphan].replace("orphan", "somebody");
    let difference = replay(Instant::now(), &lines.join("\n")).unwrap().difference.unwrap();
    assert_eq!(difference.line, orphan + 1);
    assert!(difference.to_string().contains("somebody"), "{difference}");
}

/// A file that was cut off, or has a letter wrong, is an error that says where, or differs; or the letter means nothing.
#[test]
fn what_is_cut_off_or_garbled_is_told() {
    let lines = scripted(RecordOptions::default());
    let short: Vec<_> = lines.iter().filter(|line| !line.contains(r#""media""#)).take(60).cloned().collect();
    for (number, line) in short.iter().enumerate() {
        let before = short[..number].join("\n");
        let cut = format!("{before}\n{}", &line[..line.len() / 2]);
        let said = replay(Instant::now(), &cut).unwrap_err();
        let right = match &said {
            ReplayError::Header { .. } => number == 0,
            ReplayError::Line { line, .. } => *line == number + 1 + usize::from(number == 0),
            ReplayError::Empty | ReplayError::Version { .. } => false,
            other => panic!("{other:?}"),
        };
        assert!(right, "{number}: {said}");
        for at in (0..line.len()).step_by(23) {
            let mut garbled = line.clone().into_bytes();
            garbled[at] ^= 0x11;
            if let Ok(garbled) = String::from_utf8(garbled) {
                let _ = replay(Instant::now(), &format!("{before}\n{garbled}"));
            }
        }
    }
    for (line, words) in [
        (r#"{"notification":{}}"#, "says nothing of its own accord"),
        (r#"{"response":{"id":1,"ok":null}}"#, "line 2"),
        (r#"{"command":{"Join":{"peer_name":"a"}}}"#, "unknown variant `Join`"),
    ] {
        let said = replay(Instant::now(), &format!("{}\n{line}", lines[0])).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_recording_begins_with_the_device() {
    let mut world = World::new();
    world.device.start_recording(RecordOptions::default()).unwrap_err();
    let mut recorded = World::with(DeviceConfig::default().record(RecordOptions::default()));
    assert!(lines(&mut recorded)[0].contains(r#""dialect":"v3","seed":1,"config":{}"#));
    assert_eq!(lines(&mut recorded), [""; 0]);
}

/// Sockets and answers come as they like, and outputs are polled when both were looked at.
#[test]
fn a_datagram_between_an_input_and_its_outputs_changes_nothing() {
    let mut world = World::with(DeviceConfig::default().record(RecordOptions::default()));
    world.produce(MediaKind::Audio);
    let (id, _) = world.requests()[0].clone();
    world.now += Duration::from_millis(2);
    world.device.handle_input(world.now, Input::Answer { id, result: Err(Refusal::new("no")) }).unwrap();
    world.now += Duration::from_millis(3);
    world.device.handle_receive(world.now, &stray());
    assert_repeats(&lines(&mut world));
}
