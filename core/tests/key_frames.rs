//! Key frames are asked for when a decoder needs one, and the request names producer and layer.

mod common;

use std::time::Duration;

use common::{plain, producer_events, transport, video};
use mediasoup_producer::sim::{Scenario, Source};
use mediasoup_producer::v2::{ProducerEvent, Profile};
use mediasoup_producer::{Frame, MediaError, MediaKind, ProducerId, RtpPacket, Track};

fn requests(scenario: &mut Scenario, id: ProducerId) -> Vec<Profile> {
    let events = producer_events(&scenario.take_events(), id);
    let requests = events.into_iter().filter_map(|event| match event {
        ProducerEvent::KeyFrameRequest { profile } => Some(profile),
        _ => None,
    });
    requests.collect()
}

fn quiet(seed: u64) -> (Scenario, ProducerId) {
    let mut scenario = plain(seed).sending();
    scenario.drive(Duration::from_secs(2));
    scenario.take_events();
    let id = video(&scenario);
    (scenario, id)
}

#[test]
fn every_layer_is_asked_for_a_key_frame_on_connection() {
    let mut scenario = plain(1).sending();
    let id = video(&scenario);
    assert_eq!(requests(&mut scenario, id)[..3], Profile::SIMULCAST);
}

#[test]
fn a_pli_names_the_layer() {
    let (mut scenario, id) = quiet(2);
    let now = scenario.now();
    assert!(scenario.server.request_key_frame(now, id, Some(Profile::Medium)));
    scenario.take_sent();
    scenario.drive(Duration::from_millis(500));
    assert_eq!(requests(&mut scenario, id), [Profile::Medium]);
    let key_frames = scenario.take_sent().into_iter().filter(|sent| sent.frame.key_frame);
    assert_eq!(key_frames.map(|sent| sent.frame.layer).collect::<Vec<_>>(), [1]);
    scenario.drive(Duration::from_secs(2));
    assert_eq!(scenario.room.producer(id).unwrap().outbound_stats()[1].pli_count, 1);
    assert_eq!(scenario.server.encodings(id)[1].pli_count, 1);
}

#[test]
fn plis_in_a_burst_are_one_request() {
    let (mut scenario, id) = quiet(3);
    for _ in 0..4 {
        let now = scenario.now();
        assert!(scenario.server.request_key_frame(now, id, Some(Profile::Low)));
        scenario.drive(Duration::from_millis(100));
    }
    assert_eq!(requests(&mut scenario, id), [Profile::Low]);
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    assert!(scenario.server.request_key_frame(now, id, Some(Profile::Low)));
    scenario.drive(Duration::from_millis(100));
    assert_eq!(requests(&mut scenario, id), [Profile::Low]);
}

#[test]
fn resume_needs_a_key_frame_even_right_after_one() {
    let (mut scenario, id) = quiet(4);
    let now = scenario.now();
    assert!(scenario.server.request_key_frame(now, id, None));
    scenario.drive(Duration::from_millis(100));
    scenario.take_events();
    let now = scenario.now();
    let mut producer = scenario.room.producer(id).unwrap();
    producer.pause(now, None).unwrap();
    producer.resume(now, None).unwrap();
    assert_eq!(requests(&mut scenario, id), Profile::SIMULCAST);
}

#[test]
fn a_replaced_track_begins_with_a_key_frame() {
    let (mut scenario, id) = quiet(5);
    let now = scenario.now();
    let track = Track::new(MediaKind::Video, "other", "another camera");
    scenario.room.producer(id).unwrap().replace_track(now, track).unwrap();
    assert_eq!(requests(&mut scenario, id), Profile::SIMULCAST);
}

#[test]
fn a_pli_for_a_producer_that_is_not_handled_yet_is_made_up_for() {
    let mut scenario = plain(6).sending_with([Source::opus(32_000)]);
    let on = transport(&scenario);
    scenario.hold_responses("createProducer");
    let id = scenario.send(on, Source::vp8(300_000));
    scenario.drive(Duration::from_millis(100));
    let now = scenario.now();
    assert!(scenario.server.request_key_frame(now, id, None), "the server knows it already");
    scenario.drive(Duration::from_millis(100));
    assert_eq!(requests(&mut scenario, id), []);
    scenario.release();
    scenario.drive(Duration::from_millis(100));
    assert_eq!(requests(&mut scenario, id), [Profile::Default]);
}

/// Sequence numbers go on over what was refused: no receiver could tell that the next picture lacks one.
#[test]
fn after_a_frame_that_was_refused_only_a_key_frame_is_taken() {
    let (mut scenario, id) = quiet(7);
    scenario.stop_media();
    let mut time = Duration::from_secs(60);
    let mut write = |scenario: &mut Scenario, profile, key_frame, bytes: usize| {
        scenario.drive(Duration::from_millis(600));
        time += Duration::from_millis(600);
        let frame = Frame::new(vec![0x55; bytes], time).layer(profile).key_frame(key_frame);
        let now = scenario.now();
        scenario.room.producer(id).unwrap().write_frame(now, frame)
    };
    let needed = |of: Profile| Err(MediaError::KeyFrameNeeded { producer: id, layer: of.layer() });
    let (medium, high) = (Profile::Medium, Profile::High);

    // Refused while paused.
    let now = scenario.now();
    scenario.room.producer(id).unwrap().pause(now, None).unwrap();
    assert_eq!(write(&mut scenario, medium, false, 100), Err(MediaError::Paused(id)));
    let now = scenario.now();
    scenario.room.producer(id).unwrap().resume(now, None).unwrap();
    assert_eq!(requests(&mut scenario, id), Profile::SIMULCAST);
    assert_eq!(write(&mut scenario, high, false, 100), Ok(()), "of this layer nothing was refused");
    assert_eq!(write(&mut scenario, medium, false, 100), needed(medium));
    assert_eq!(requests(&mut scenario, id), [medium], "asked for again, as no key frame has come");
    assert_eq!(write(&mut scenario, medium, true, 100), Ok(()));
    assert_eq!(write(&mut scenario, medium, false, 100), Ok(()));

    // Refused because it is too large.
    assert!(matches!(write(&mut scenario, high, true, 5 << 20), Err(MediaError::TooLarge { .. })));
    assert_eq!(requests(&mut scenario, id), []);
    let before = common::packets(&scenario, id);
    for _ in 0..3 {
        assert_eq!(write(&mut scenario, high, false, 100), needed(high));
    }
    assert_eq!(requests(&mut scenario, id), [high; 3], "a request a time, at more than half a second");
    scenario.drive(Duration::from_millis(100));
    assert_eq!(common::packets(&scenario, id), before, "nothing was sent");

    // A key frame may show it in its bytes alone (RFC 6386 section 9.1).
    let key_frame = Frame::new(vec![0x10; 100], Duration::from_secs(90)).layer(high);
    let now = scenario.now();
    assert_eq!(scenario.room.producer(id).unwrap().write_frame(now, key_frame), Ok(()));
    assert_eq!(write(&mut scenario, high, false, 100), Ok(()));
}

#[test]
fn a_frame_that_was_refused_does_not_hold_up_ready_made_packets() {
    let (mut scenario, id) = quiet(8);
    scenario.stop_media();
    let now = scenario.now();
    let mut producer = scenario.room.producer(id).unwrap();
    let empty = Frame::new(Vec::new(), Duration::from_secs(60)).layer(Profile::Low);
    assert!(producer.write_frame(now, empty).is_err());
    let datagram = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 0x80, 0x80, 0x80, 1, 0x55];
    let packet = RtpPacket { layer: 0, ..RtpPacket::parse(datagram.to_vec().into()).unwrap() };
    assert_eq!(producer.write_packet(now, packet), Ok(()));
}

/// WebRTC receivers do not reorder: an encoder that does (B-frames) is told of, once.
#[test]
fn the_first_frame_whose_time_goes_back_is_told() {
    let (mut scenario, id) = quiet(9);
    scenario.stop_media();
    let told = |scenario: &mut Scenario| {
        let events = producer_events(&scenario.take_events(), id).into_iter();
        events.filter(|event| matches!(event, ProducerEvent::TimeWentBack { .. })).collect::<Vec<_>>()
    };
    let write = |scenario: &mut Scenario, profile, milliseconds| {
        let now = scenario.now();
        let time = Duration::from_secs(60) + Duration::from_millis(milliseconds);
        let frame = Frame::new(vec![0x55; 100], time).layer(profile);
        scenario.room.producer(id).unwrap().write_frame(now, frame).unwrap();
    };
    // I P B B P B B, in the order of decoding; and a layer without B-frames.
    for milliseconds in [0, 120, 40, 80, 240, 160, 200] {
        write(&mut scenario, Profile::High, milliseconds);
        let events = told(&mut scenario);
        let first = milliseconds == 40;
        assert_eq!(events, vec![ProducerEvent::TimeWentBack { profile: Profile::High }; usize::from(first)]);
    }
    for milliseconds in [0, 40, 40, 80] {
        write(&mut scenario, Profile::Low, milliseconds);
    }
    assert_eq!(told(&mut scenario), []);

    // Packets: what the network has put out of order is none of it.
    let packet = |sequence_number, timestamp: u32| RtpPacket {
        layer: 1,
        ssrc: 7,
        sequence_number,
        timestamp: 70 * 90_000 + timestamp,
        marker: true,
        payload: vec![0x80, 0x80, 0x80, 1, 0x55].into(),
        audio_level: None,
        rotation: None,
    };
    for (sequence_number, timestamp, back) in [(1, 0_u32, false), (3, 7200, false), (2, 3600, false), (4, 3600, true)] {
        let now = scenario.now();
        scenario.room.producer(id).unwrap().write_packet(now, packet(sequence_number, timestamp)).unwrap();
        let events = told(&mut scenario);
        assert_eq!(events, vec![ProducerEvent::TimeWentBack { profile: Profile::Medium }; usize::from(back)]);
    }

    // Another track begins anew.
    let now = scenario.now();
    let track = Track::new(MediaKind::Video, "other", "another file");
    scenario.room.producer(id).unwrap().replace_track(now, track).unwrap();
    for milliseconds in [0, 120, 40, 80] {
        write(&mut scenario, Profile::High, milliseconds);
    }
    assert_eq!(told(&mut scenario), [ProducerEvent::TimeWentBack { profile: Profile::High }]);
}
