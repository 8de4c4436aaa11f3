//! Times from users, files and servers that no clock can count: nothing overflows, and what is never due is never due.

mod common;

use std::time::Duration;

use common::{answer, scenario};
use mediasoup_producer::record::replay;
use mediasoup_producer::sim::EngineEvent;
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::sim::{Link, ScenarioConfig, Source};
use mediasoup_producer::v2::{Command, Event, Input, Output, ProducerEvent, ProducerOptions, Room, RoomConfig};
use mediasoup_producer::{Frame, MediaKind, Track};
use serde_json::Value;

const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A scripted room whose server answers at once; what it says comes back.
struct Session {
    room: Room,
    now: std::time::Instant,
    events: Vec<Event>,
    messages: Vec<Value>,
}

impl Session {
    #[allow(clippy::disallowed_methods)] // a test may ask for the time once
    fn new(config: RoomConfig) -> Self {
        let room = Room::scripted(config, 1);
        Self { room, now: std::time::Instant::now(), events: Vec::new(), messages: Vec::new() }
    }

    fn drain(&mut self) {
        while let Some(output) = self.room.poll_output() {
            match output {
                Output::Request { id, request } => {
                    self.messages.push(request.to_json());
                    self.room.handle_input(self.now, Input::Response { id, result: Ok(answer(&request)) }).unwrap();
                }
                Output::Notification(notification) => self.messages.push(notification.to_json()),
                Output::Event(event) => self.events.push(event),
                _ => {}
            }
        }
    }
}

#[test]
fn a_request_may_wait_for_ever() {
    for forever in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(i64::MAX as u64)] {
        let mut session = Session::new(RoomConfig::default().request_timeout(forever));
        session.room.join(session.now, "camera", None).unwrap();
        assert_eq!(session.room.poll_timeout(), None);
        session.now += CENTURY;
        session.room.handle_timeout(session.now);
        assert_eq!(session.room.stats().requests_pending, 1);
        session.drain();
        assert!(session.room.joined(), "an answer is welcome after a century");
    }
}

#[test]
fn a_recording_with_times_without_end_runs() {
    let header = r#"{"mediasoup-producer-record":1,"config":{"request_timeout":{"secs":18446744073709551615,"nanos":999999999}}}"#;
    let lines = [
        header,
        r#"{"t":0,"command":{"Join":{"peer_name":"camera"}}}"#,
        r#"{"t":9000000000000,"answer":{}}"#,
        r#"{"answer":{}}"#,
        r#"{"command":{"CreateTransport":{}}}"#,
        r#"{"command":{"EnableTransportStats":{"id":"$T1","interval":{"secs":18446744073709551615,"nanos":0}}}}"#,
        r#"{"command":{"CreateProducer":{"track":{"kind":"video","id":"a","label":""}}}}"#,
        r#"{"command":{"EnableProducerStats":{"id":"$P1","interval":{"secs":18446744073709551615,"nanos":0}}}}"#,
        r#"{"command":{"Send":{"id":"$P1","transport":"$T1"}}}"#,
        r#"{"answer":{}}"#,
        r#"{"answer":{}}"#,
        r#"{"engine":{"transport":"$T1","event":"Connected"}}"#,
        r#"{"media":{"producer":"$P1","Frame":{"data":9000,"time":{"Duration":{"secs":18446744073709551615,"nanos":1}},"key_frame":true}}}"#,
        r#"{"t":9000000000000.5,"media":{"producer":"$P1","Frame":{"data":9,"time":{"Duration":{"secs":0,"nanos":1}}}}}"#,
        r#"{"t":9000000006000,"media":{"producer":"$P1","Frame":{"data":9,"time":{"Rtp":0}}}}"#,
        r#"{"engine":{"transport":"$T1","event":{"BitrateLimit":{"bitrate_bps":18446744073709551615}}}}"#,
        r#"{"engine":{"transport":"$T1","event":{"BitrateLimit":{"bitrate_bps":1000}}}}"#,
        r#"{"timeout":{}}"#,
    ];
    let now = Session::new(RoomConfig::default()).now;
    let first = replay(now, &lines.join("\n")).unwrap();
    let said = first.recording.join("\n");
    assert!(said.contains("Handled") && !said.contains("refused"), "{said}");
    let again = replay(now, &said).unwrap();
    assert_eq!((again.difference, again.recording), (None, first.recording));
}

/// A longer interval than its timer takes, and Node's fires without a pause.
#[test]
fn the_server_is_asked_for_no_interval_that_its_timer_cannot_take() {
    let mut session = Session::new(RoomConfig::default());
    session.room.join(session.now, "camera", None).unwrap();
    session.drain();
    let on = session.room.create_transport(session.now, None).unwrap();
    let track = Track::new(MediaKind::Video, "track", "");
    let id = session.room.create_producer(session.now, track, ProducerOptions::default(), None).unwrap();
    session.room.producer(id).unwrap().send(session.now, on).unwrap();
    session.drain();
    let longest = Duration::from_millis(i32::MAX as u64);
    let intervals = [
        (Duration::MAX, longest),
        (longest + Duration::from_millis(1), longest),
        (Duration::from_micros(1_500_900), Duration::from_millis(1500)),
        (Duration::ZERO, Duration::from_secs(1)),
    ];
    for (asked, taken) in intervals {
        session.messages.clear();
        session.room.transport(on).unwrap().enable_stats(session.now, asked).unwrap();
        session.room.producer(id).unwrap().enable_stats(session.now, asked).unwrap();
        session.drain();
        let asked: Vec<_> = session.messages.iter().filter_map(|message| message["interval"].as_u64()).collect();
        assert_eq!(asked, [taken.as_millis() as u64; 2]);
        assert_eq!(session.room.transport_info(on).unwrap().stats_interval(), Some(taken));
        assert_eq!(session.room.producer_info(id).unwrap().stats_interval(), Some(taken));
    }
}

/// REMB (draft-alvestrand-rmcat-remb section 2.2) can say 2^81 bits per second, which is as much as can be counted here.
#[test]
fn a_bitrate_beyond_counting_is_as_good_as_none() {
    let mut session = Session::new(RoomConfig::default());
    session.room.join(session.now, "camera", None).unwrap();
    session.drain();
    let on = session.room.create_transport(session.now, None).unwrap();
    let track = Track::new(MediaKind::Video, "track", "");
    let id = session.room.create_producer(session.now, track, ProducerOptions::default(), None).unwrap();
    session.room.producer(id).unwrap().send(session.now, on).unwrap();
    session.drain();
    session.room.engine_event(session.now, on, EngineEvent::Connected);
    for second in 0..7 {
        let frame = Frame::new(vec![0; 500], Duration::from_secs(second));
        session.room.producer(id).unwrap().write_frame(session.now, frame).unwrap();
        session.now += Duration::from_secs(1);
    }
    session.drain();
    session.events.clear();
    for bitrate_bps in [u64::MAX, 1_000_000, u64::MAX] {
        session.room.engine_event(session.now, on, EngineEvent::BitrateLimit { bitrate_bps });
    }
    session.drain();
    let target = |event: &Event| match event {
        Event::Producer { event: ProducerEvent::TargetBitrate { bitrate_bps, .. }, .. } => Some(*bitrate_bps),
        _ => None,
    };
    assert_eq!(session.events.iter().filter_map(target).collect::<Vec<_>>(), [u64::MAX, 1_000_000, u64::MAX]);
}

#[test]
fn what_takes_for_ever_in_the_simulation_never_comes() {
    let mut never = scenario(ScenarioConfig::default().signalling_delay(Duration::MAX), 1);
    let now = never.now();
    never.room.handle_input(now, Input::Command(Command::Join { peer_name: "a".to_owned(), app_data: None })).unwrap();
    never.drive(Duration::from_secs(60));
    assert!(!never.room.joined());

    let links = [
        Link::default().delay(Duration::MAX),
        Link::default().delay(Duration::MAX).reorder(1.0),
        Link::default().delay(Duration::from_secs(1)).jitter(Duration::MAX),
        Link::default().bandwidth_bps(Some(0)).queue(Duration::MAX),
    ];
    for link in links {
        let mut scenario = scenario(ScenarioConfig::default().uplink(link), 2).joined();
        let on = scenario.create_transport();
        scenario.send(on, Source::opus(32_000));
        scenario.drive(Duration::from_secs(60));
        assert!(!scenario.connected(), "{link:?}");
    }
}
