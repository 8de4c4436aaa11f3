//! A recorded run repeats: the same lines come out, byte for byte, in another process too.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod recording_common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::IceProtocol;
use mediasoup_producer::record::{MAX_LINE_BYTES, RecordOptions, replay};
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::sim::{EngineAnswer, EngineEvent, StreamFeedback};
use mediasoup_producer::v2::protocol::{Refusal, Request};
use mediasoup_producer::v2::{Input, Output, ProducerOptions, Room, RoomConfig};
use mediasoup_producer::{Frame, MediaKind, Receive, RequestId, RtpPacket, SetupError, Track};
use recording_common::{assert_repeats, assert_repeats_in_two_processes, stray};
use serde_json::{Value, json};

#[path = "../examples/record/v2.rs"]
mod faults;

const PASSWORD: &str = "3Jw0qfIcePassword";

/// A room that is recorded, and the server's side of it.
struct Session {
    room: Room,
    now: Instant,
    requests: Vec<(RequestId, Request)>,
    lines: Vec<String>,
}

impl Session {
    fn new(mut room: Room, options: RecordOptions) -> Self {
        room.start_recording(options).unwrap();
        Self { room, now: Instant::now(), requests: Vec::new(), lines: Vec::new() }
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            if let Output::Request { id, request } = output {
                self.requests.push((id, request));
            }
        }
        while let Some(line) = self.room.poll_record() {
            self.lines.push(line);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn input(&mut self, input: Input) {
        // Media may be refused.
        let _ = self.room.handle_input(self.now, input);
        self.drain();
    }

    fn answer(&mut self) {
        let (id, request) = self.requests.remove(0);
        let data = match request {
            Request::QueryRoom => json!({ "rtpCapabilities": { "codecs": [
                { "kind": "audio", "name": "opus", "mimeType": "audio/opus", "clockRate": 48000, "channels": 2,
                  "preferredPayloadType": 100 },
                { "kind": "video", "name": "VP9", "mimeType": "video/VP9", "clockRate": 90000,
                  "preferredPayloadType": 101 },
            ] } }),
            Request::CreateTransport { .. } | Request::RestartTransport { .. } => json!({
                "iceParameters": { "usernameFragment": "ufrag", "password": PASSWORD },
                "iceCandidates": [{ "ip": "192.0.2.7", "port": 40000, "protocol": "udp" }],
                "dtlsParameters": { "role": "server", "fingerprints": [
                    { "algorithm": "sha-256", "value": (["AB"; 32].join(":")) },
                ] },
            }),
            _ => Value::Null,
        };
        self.input(Input::Response { id, result: Ok(data) });
    }

    fn refuse(&mut self, words: &str) {
        let (id, _) = self.requests.remove(0);
        self.input(Input::Response { id, result: Err(Refusal::new(words)) });
    }

    /// Everything that can go right and wrong, once. `connects`: the media plane does as it is told.
    fn run(mut self, connects: bool) -> Vec<String> {
        let app_data = Some(json!({ "password": PASSWORD, "n": 1 }));
        self.room.join(self.now, "camera", app_data.clone()).unwrap();
        self.drain();
        self.pass(Duration::from_nanos(12_345_678_901));
        self.input(Input::Timeout); // queryRoom goes unanswered
        self.room.join(self.now, "camera", app_data.clone()).unwrap();
        self.room.join(self.now, "camera", None).unwrap_err();
        self.drain();
        self.requests.remove(0);
        self.answer();
        self.answer();

        let transport = self.room.create_transport(self.now, app_data.clone()).unwrap();
        let video = Track::new(MediaKind::Video, "v", "");
        let video =
            self.room.create_producer(self.now, video, ProducerOptions::default().simulcast(true), None).unwrap();
        let audio = Track::new(MediaKind::Audio, "a", "").with_enabled(false);
        let audio = self.room.create_producer(self.now, audio, ProducerOptions::default(), None).unwrap();
        self.room.producer(video).unwrap().send(self.now, transport).unwrap();
        self.room.producer(audio).unwrap().send(self.now, transport).unwrap();
        let bad = "224.0.0.1:9".parse().unwrap();
        self.room.transport(transport).unwrap().add_local_address(self.now, IceProtocol::Udp, bad).unwrap_err();
        self.drain();
        self.refuse("Error: something went wrong");
        self.pass(Duration::from_millis(3));
        if connects {
            self.room.engine_answer(transport, EngineAnswer::NotStarted(SetupError::NoAddress));
            self.answer();
            self.room.producer(audio).unwrap().send(self.now, transport).unwrap();
            self.drain();
        }
        self.answer();
        self.room.producer(video).unwrap().send(self.now, transport).unwrap();
        self.room.producer(audio).unwrap().pause(self.now, app_data.clone()).unwrap();
        self.room.producer(audio).unwrap().resume(self.now, app_data.clone()).unwrap();
        self.room.producer(audio).unwrap().enable_stats(self.now, Duration::from_millis(1500)).unwrap();
        let address = "192.0.2.1:5000".parse().unwrap();
        if connects {
            self.room.engine_answer(transport, EngineAnswer::AddressRefused);
            self.room.transport(transport).unwrap().add_local_address(self.now, IceProtocol::Udp, address).unwrap_err();
        }
        self.room.transport(transport).unwrap().add_local_address(self.now, IceProtocol::Udp, address).unwrap();
        self.drain();
        self.answer();
        self.answer();
        let contents = Bytes::from_static(&[0, 1, 2, 3]);
        let source = "192.0.2.7:40000".parse().unwrap();
        self.input(Input::Receive(Receive { protocol: IceProtocol::Udp, source, destination: address, contents }));
        self.room.engine_event(self.now, transport, EngineEvent::Connected);
        self.drain();
        let ssrcs: Vec<_> = self.room.producer_info(video).unwrap().rtp_parameters().unwrap().encodings.clone();
        for frame in 0..320u32 {
            self.pass(Duration::from_millis(20));
            self.input(Input::Timeout);
            for profile in mediasoup_producer::v2::Profile::SIMULCAST {
                let frame = Frame::new(
                    vec![0x86; 700 + 13_000 * (frame as usize % 16 / 15)],
                    Duration::from_millis(20) * frame,
                );
                let _ = self.room.producer(video).unwrap().write_frame(self.now, frame.layer(profile));
            }
            let packet =
                RtpPacket::parse(Bytes::from(vec![0x80, 0, 0, frame as u8, 0, 0, 0, 0, 0, 0, 0, 0, 1])).unwrap();
            let _ = self.room.producer(audio).unwrap().write_packet(self.now, packet);
            match frame {
                100 => drop(self.room.restart_ice(self.now)),
                120 => self.answer(),
                150 => self.input(Input::Notification(
                    json!({ "method": "producerPaused", "notification": true, "id": video, "appData": null }),
                )),
                160 => self.room.producer(video).unwrap().resume(self.now, None).unwrap(),
                170 => self.input(Input::Notification(
                    json!({ "method": "producerResumed", "notification": true, "id": video }),
                )),
                200 => {
                    let feedback = StreamFeedback { nack_count: 3, ..StreamFeedback::default() };
                    self.room.engine_event(
                        self.now,
                        transport,
                        EngineEvent::StreamFeedback { ssrc: ssrcs[0].ssrc, feedback },
                    );
                    self.room.engine_event(self.now, transport, EngineEvent::KeyFrameRequest { ssrc: ssrcs[1].ssrc });
                }
                _ if frame % 50 == 49 => {
                    let bitrate_bps = 10_000 * u64::from(frame);
                    self.room.engine_event(self.now, transport, EngineEvent::BitrateLimit { bitrate_bps });
                }
                _ => {}
            }
            self.drain();
        }
        self.input(Input::Notification(json!({ "method": "newConsumer", "notification": true, "id": 1 })));
        self.input(Input::Notification(json!("nonsense")));
        self.input(Input::Response { id: RequestId::from(999), result: Ok(Value::Null) });
        self.room.engine_event(self.now, transport, EngineEvent::Disconnected);
        self.room.producer(audio).unwrap().close(self.now, app_data.clone()).unwrap();
        self.drain();
        self.room.leave(self.now, app_data).unwrap();
        self.drain();
        self.lines
    }
}

fn scripted(options: RecordOptions) -> Vec<String> {
    Session::new(Room::scripted(RoomConfig::default(), 7), options).run(true)
}

#[test]
fn a_run_with_faults_repeats() {
    let compared = assert_repeats(&scripted(RecordOptions::default()));
    assert!(compared > 40, "{compared}");
}

#[test]
fn a_run_on_the_real_media_plane_repeats_without_it() {
    let config = RoomConfig::default().request_timeout(Duration::from_secs(12));
    let lines = Session::new(Room::new(config, 7), RecordOptions::default()).run(false);
    assert!(lines.iter().any(|line| line.contains("Cname")), "the engine's own words are in it");
    assert_repeats(&lines);
}

#[test]
fn a_run_over_a_bad_network_repeats_without_it() {
    let lines = faults::record(Instant::now(), 5);
    let compared = assert_repeats(&lines);
    assert!(compared > 40, "{compared}");
    for words in [
        r#"{"TimedOut":{"method":"queryRoom"}}"#,
        "SsrcInUse",
        r#""event":"Disconnected""#,
        r#""KeyFrameRequest""#,
        r#""app_data":"busy""#,
        r#"{"RestartTransport""#,
    ] {
        assert!(lines.iter().any(|line| line.contains(words)), "{words}");
    }
}

/// How each was made stands in its first line.
#[test]
fn sessions_with_the_real_server_repeat() {
    for (file, words) in [
        (
            include_str!("recordings/mediasoup-2.6.19-restart.jsonl"),
            &[
                r#""method":"producerPaused""#,
                r#""method":"producerResumed""#,
                r#""Stats":{"stats":[{"#,
                r#""event":"Disconnected""#,
                r#"{"RestartTransport""#,
                r#""method":"closed""#,
            ][..],
        ),
        (include_str!("recordings/mediasoup-2.6.19-closed.jsonl"), &[r#""method":"producerClosed""#]),
        (
            include_str!("recordings/mediasoup-2.6.19-refused.jsonl"),
            &[r#""Refused":{"kind":"Other","reason":"Error: could"#],
        ),
    ] {
        let lines: Vec<_> = file.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        // They are of version 1.
        let replayed = replay(Instant::now(), file).unwrap();
        assert_eq!((replayed.difference, replayed.recording.len()), (None, lines.len()));
        let now_and_then = replayed.recording.iter().zip(&lines);
        let same =
            now_and_then.skip(1).filter(|(now, _)| !now.contains(r#"{"Settled""#)).all(|(now, then)| now == then);
        assert!(same);
        assert_repeats(&replayed.recording);
        for words in words {
            assert!(file.contains(words), "{words}");
        }
        assert_eq!(file.matches("assword").count(), file.matches(r#""password":"***""#).count());
    }
}

#[test]
fn media_is_in_it_when_asked_for() {
    let lines = scripted(RecordOptions::default().media(true));
    assert!(lines.iter().any(|line| line.contains("868686")));
    assert_repeats(&lines);
}

#[test]
fn secrets_are_not_in_it() {
    for line in scripted(RecordOptions::default()) {
        assert!(!line.contains(PASSWORD), "{line}");
    }
}

#[test]
fn the_first_difference_is_reported() {
    let mut lines = scripted(RecordOptions::default());
    let paused = lines.iter().position(|line| line.contains(r#"output":{"Notification":{"ResumeProducer"#)).unwrap();
    lines[paused] = lines[paused].replace("Resume", "Pause");
    let difference = replay(Instant::now(), &lines.join("\n")).unwrap().difference.unwrap();
    assert_eq!(difference.line, paused + 1);
    assert!(difference.to_string().contains("ResumeProducer"), "{difference}");

    lines.truncate(paused);
    let difference = replay(Instant::now(), &lines.join("\n")).unwrap().difference.unwrap();
    assert_eq!(difference.recorded, Value::Null, "an output that the recording has not");
}

#[test]
fn a_recording_that_nobody_polls_is_cut_off() {
    let mut room = Room::scripted(RoomConfig::default(), 1);
    room.start_recording(RecordOptions::default().waiting_bytes(1000)).unwrap();
    let now = Instant::now();
    for _ in 0..1000 {
        room.handle_timeout(now);
    }
    let lines: Vec<_> = std::iter::from_fn(|| room.poll_record()).collect();
    assert!(lines.iter().map(String::len).sum::<usize>() < 1100);
    assert_eq!(lines.last().unwrap(), r#"{"cut":{}}"#);
}

#[test]
fn a_recording_begins_with_the_room() {
    let mut room = Room::scripted(RoomConfig::default(), 1);
    room.handle_timeout(Instant::now());
    room.start_recording(RecordOptions::default()).unwrap_err();
}

/// Layers had names in version 1, and a failure did not say of what.
#[test]
fn a_recording_of_version_1_runs_and_becomes_one_of_this_version() {
    let lines = scripted(RecordOptions::default());
    let (mut named, mut refused) = (0, 0);
    let old: Vec<_> = lines
        .iter()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            if let Some(version) = line.get_mut("mediasoup-producer-record") {
                *version = 1.into();
            }
            if let Some(failure) = line.pointer_mut("/output/Event/Settled/result/Err") {
                *failure = failure.as_object().unwrap().values().next().unwrap().clone();
            }
            if let Some(Value::Object(frame)) = line.pointer_mut("/media/Frame") {
                let layer = frame.remove("layer").map_or(0, |layer| layer.as_u64().unwrap());
                let name = ["low", "medium", "high"][layer as usize];
                frame.insert("profile".to_owned(), name.into());
                named += 1;
                if let Some(words) = line.get_mut("refused").filter(|words| words.as_str().unwrap().contains("layer")) {
                    *words =
                        words.as_str().unwrap().replace(&format!("layer {layer}"), &format!("layer {name}")).into();
                    refused += 1;
                }
            }
            line.to_string()
        })
        .collect();
    assert!(named > 900 && refused > 0, "{named} {refused}");
    let replayed = replay(Instant::now(), &old.join("\n")).unwrap();
    assert_eq!((replayed.difference, replayed.recording), (None, lines));
}

#[test]
fn a_file_written_by_hand_runs() {
    let file = include_str!("recordings/by-hand.jsonl");
    let shown = replay(Instant::now(), file).unwrap();
    assert_eq!((shown.compared, shown.difference), (0, None));
    let paused = |line: &String| line.contains(r#""output":{"Notification":{"PauseProducer""#);
    assert!(shown.recording.iter().any(paused), "once the server knows the producer, it is told");
    assert_repeats(&shown.recording);
}

#[test]
fn a_file_that_cannot_be_run_says_where() {
    let header = r#"{"mediasoup-producer-record":2,"seed":1}"#;
    for (file, words) in [
        (String::new(), "the file is empty"),
        ("# A comment\n".to_owned(), "the file is empty"),
        ("{}".to_owned(), r#"line 1: no header of a recording: it has no "mediasoup-producer-record""#),
        ("# A comment\nhello".to_owned(), "line 2: no header of a recording: expected value at column 1"),
        (r#"{"mediasoup-producer-record":2,"sede":1}"#.to_owned(), "unknown field `sede`"),
        (r#"{"mediasoup-producer-record":3,"new":1}"#.to_owned(), "line 1: the recording has version 3"),
        (r#"{"mediasoup-producer-record":"1"}"#.to_owned(), r#"version "1""#),
        (r#"{"mediasoup-producer-record":2,"dialect":"v4"}"#.to_owned(), "unknown variant `v4`"),
        (r#"{"mediasoup-producer-record":1,"dialect":"v3"}"#.to_owned(), "version 1 has the dialect v2 alone"),
        (r#"{"mediasoup-producer-record":2,"config":7}"#.to_owned(), "line 1: no header of a recording: "),
        (format!("{header}\n{{"), "line 2: EOF while parsing an object at column 1"),
        (format!("{header}\n{{\"response\":{{\"id\":1}}}}"), "line 2: a response has either ok or refusal"),
        (format!("{header}\n{{\"notification\":{}1", "[".repeat(100_000)), "line 2: recursion limit exceeded"),
        (format!("{header}\n\n{{\"command\":\"{}\"}}", "x".repeat(MAX_LINE_BYTES)), "line 3: 16777"),
        (format!("{header}\n\n{{\"t\":1}}"), "line 3: neither input nor output"),
        (format!("{header}\n{{\"t\":-1,\"timeout\":{{}}}}"), "no time"),
        (format!("{header}\n{{\"command\":{{\"Jump\":{{}}}}}}"), "line 2: unknown variant `Jump`"),
        (format!("{header}\n{{\"tmieout\":{{}}}}"), "line 2: unknown field `tmieout`, expected one of"),
        (format!("{header}\n{{\"answer\":{{}}}}"), "no request"),
    ] {
        let error = replay(Instant::now(), &file).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
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

/// Sockets and messages come as they like, and outputs are polled when both were looked at.
#[test]
fn a_datagram_between_an_input_and_its_outputs_changes_nothing() {
    let mut session = Session::new(Room::scripted(RoomConfig::default(), 7), RecordOptions::default());
    session.room.join(session.now, "camera", None).unwrap();
    session.drain();
    let (id, _) = session.requests.remove(0);
    session.pass(Duration::from_millis(2));
    session.room.handle_input(session.now, Input::Response { id, result: Err(Refusal::new("no")) }).unwrap();
    session.pass(Duration::from_millis(3));
    session.room.handle_receive(session.now, &stray());
    session.drain();
    assert_repeats(&session.lines);
}
