//! Key frames are asked for when a decoder needs one, and the request names producer and layer.

mod common;

use std::time::Duration;

use common::{plain, producer_events, transport, video};
use mediasoup_producer::sim::{Scenario, Source};
use mediasoup_producer::{MediaKind, ProducerEvent, ProducerId, Profile, Track};

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
    assert_eq!(key_frames.map(|sent| sent.frame.profile).collect::<Vec<_>>(), [Profile::Medium]);
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
