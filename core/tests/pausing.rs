//! Pause, resume and close, from either side, with the application's data.

mod common;

use std::time::Duration;

use common::{audio, plain, producer_events, video};
use mediasoup_producer::sim::{Scenario, ServerEvent, Side, Source};
use mediasoup_producer::v2::{Event, ProducerEvent, Profile};
use mediasoup_producer::{MediaError, Originator, ProducerId};
use serde_json::json;

fn one_video(seed: u64) -> (Scenario, ProducerId) {
    let mut scenario = plain(seed).sending_with([Source::vp8(300_000)]);
    scenario.drive(Duration::from_millis(500));
    scenario.take_events();
    scenario.take_server_events();
    let id = video(&scenario);
    (scenario, id)
}

/// How many RTP datagrams leave the room in a second, once what was under way is gone.
fn rtp_leaving(scenario: &mut Scenario) -> u64 {
    let before = scenario.rtp_datagrams();
    scenario.drive(Duration::from_secs(1));
    scenario.rtp_datagrams() - before
}

fn without_key_frames(events: Vec<ProducerEvent>) -> Vec<ProducerEvent> {
    events.into_iter().filter(|event| !matches!(event, ProducerEvent::KeyFrameRequest { .. })).collect()
}

#[test]
fn local_pause_stops_rtp_and_tells_the_server() {
    let (mut scenario, id) = one_video(1);
    let now = scenario.now();
    scenario.room.producer(id).unwrap().pause(now, Some(json!({ "why": "coffee" }))).unwrap();
    assert_eq!(rtp_leaving(&mut scenario), 0);
    assert!(scenario.server.producer(id).unwrap().paused_by_peer());
    assert_eq!(
        producer_events(&scenario.take_events(), id),
        [ProducerEvent::Pause { originator: Originator::Local, app_data: Some(json!({ "why": "coffee" })) }]
    );
    let told = ServerEvent::ProducerPaused { id, by: Side::Peer, app_data: Some(json!({ "why": "coffee" })) };
    assert_eq!(scenario.take_server_events(), [told]);

    let now = scenario.now();
    scenario.room.producer(id).unwrap().resume(now, Some(json!("back"))).unwrap();
    assert!(rtp_leaving(&mut scenario) > 20);
    let events = producer_events(&scenario.take_events(), id);
    assert_eq!(events[0], ProducerEvent::Resume { originator: Originator::Local, app_data: Some(json!("back")) });
    assert_eq!(events[1], ProducerEvent::KeyFrameRequest { profile: Profile::Default });
    assert!(!scenario.server.producer(id).unwrap().paused());
    assert_eq!(scenario.server.encodings(id)[0].packets_while_paused, 0);
}

#[test]
fn remote_pause_stops_rtp() {
    let (mut scenario, id) = one_video(2);
    let now = scenario.now();
    assert!(scenario.server.pause_producer(now, id, Some(json!({ "why": "server" }))));
    scenario.drive(Duration::from_millis(20));
    assert_eq!(rtp_leaving(&mut scenario), 0);
    let now = scenario.now();
    let frame = mediasoup_producer::Frame::new(vec![0x10; 100], Duration::from_secs(1));
    assert_eq!(scenario.room.producer(id).unwrap().write_frame(now, frame), Err(MediaError::Paused(id)));
    assert!(scenario.server.resume_producer(now, id, None));
    scenario.drive(Duration::from_millis(20));
    assert!(rtp_leaving(&mut scenario) > 20);
    assert_eq!(
        without_key_frames(producer_events(&scenario.take_events(), id)),
        [
            ProducerEvent::Pause { originator: Originator::Remote, app_data: Some(json!({ "why": "server" })) },
            ProducerEvent::Resume { originator: Originator::Remote, app_data: None },
        ]
    );
}

/// Every order of pausing and resuming from both sides ends with media, and none flows while either side pauses.
#[test]
fn media_flows_only_when_neither_side_pauses() {
    // L and l: pause and resume here; R and r: there.
    for (seed, order) in ["LRlr", "LRrl", "RLlr", "RLrl", "LlRr", "RrLl"].into_iter().enumerate() {
        let (mut scenario, id) = one_video(10 + seed as u64);
        let (mut local, mut remote) = (false, false);
        for step in order.chars() {
            let now = scenario.now();
            match step {
                'L' => scenario.room.producer(id).unwrap().pause(now, None).unwrap(),
                'l' => scenario.room.producer(id).unwrap().resume(now, None).unwrap(),
                'R' => assert!(scenario.server.pause_producer(now, id, None)),
                _ => assert!(scenario.server.resume_producer(now, id, None)),
            }
            match step {
                'L' | 'l' => local = step == 'L',
                _ => remote = step == 'R',
            }
            scenario.drive(Duration::from_millis(50));
            let producer = scenario.room.producer_info(id).unwrap();
            assert_eq!((producer.locally_paused(), producer.remotely_paused()), (local, remote), "{order} at {step}");
            let at_server = scenario.server.producer(id).unwrap();
            assert_eq!((at_server.paused_by_peer(), at_server.paused_by_room()), (local, remote), "{order} at {step}");
            assert_eq!(rtp_leaving(&mut scenario) == 0, local || remote, "{order} at {step}");
        }
        assert_eq!(without_key_frames(producer_events(&scenario.take_events(), id)).len(), 4, "{order}");
    }
}

#[test]
fn pausing_one_producer_leaves_the_other_alone() {
    let mut scenario = plain(3).sending();
    let (audio, video) = (audio(&scenario), video(&scenario));
    let now = scenario.now();
    scenario.room.producer(video).unwrap().pause(now, None).unwrap();
    scenario.drive(Duration::from_millis(100));
    let before = (common::packets(&scenario, audio), common::packets(&scenario, video));
    scenario.drive(Duration::from_secs(1));
    let after = (common::packets(&scenario, audio), common::packets(&scenario, video));
    assert_eq!(before.1, after.1);
    assert_eq!(before.0[0] + 50, after.0[0]);
}

#[test]
fn pause_while_the_server_answers_is_told_when_it_has() {
    let mut scenario = plain(4).joined();
    let transport = scenario.create_transport();
    scenario.hold_responses("createProducer");
    let id = scenario.send(transport, Source::vp8(300_000));
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.room.producer(id).unwrap().pause(now, Some(json!(1))).unwrap();
    scenario.drive(Duration::from_millis(100));
    assert!(!scenario.server.producer(id).unwrap().paused());
    scenario.release();
    scenario.drive(Duration::from_millis(100));
    assert!(scenario.server.producer(id).unwrap().paused_by_peer());
    assert!(scenario.room.producer_info(id).unwrap().handled());
    assert_eq!(rtp_leaving(&mut scenario), 0);
}

#[test]
fn local_close_tells_the_server_once() {
    let (mut scenario, id) = one_video(5);
    let now = scenario.now();
    scenario.take_messages();
    scenario.room.producer(id).unwrap().close(now, Some(json!({ "by": "us" }))).unwrap();
    scenario.drive(Duration::from_millis(100));
    assert_eq!(rtp_leaving(&mut scenario), 0);
    assert!(scenario.server.producer(id).is_none());
    let messages = scenario.take_messages();
    assert_eq!(messages.len(), 1);
    assert_eq!((&messages[0]["method"], &messages[0]["appData"]), (&json!("closeProducer"), &json!({ "by": "us" })));
    assert_eq!(
        producer_events(&scenario.take_events(), id),
        [ProducerEvent::Close { originator: Originator::Local, app_data: Some(json!({ "by": "us" })) }]
    );
    let closed = scenario.take_server_events();
    assert!(
        matches!(&closed[..], [ServerEvent::ProducerClosed { by: Side::Peer, app_data: Some(_), encodings, .. }]
            if encodings[0].packets > 0 && encodings[0].packets_lost == 0),
        "{closed:?}"
    );
}

#[test]
fn remote_close_says_nothing_to_the_server() {
    let (mut scenario, id) = one_video(6);
    let now = scenario.now();
    scenario.take_messages();
    assert!(scenario.server.close_producer(now, id, Some(json!([1, null]))));
    scenario.drive(Duration::from_millis(100));
    assert_eq!(rtp_leaving(&mut scenario), 0);
    assert!(scenario.room.producer(id).is_none());
    assert_eq!(scenario.take_messages(), Vec::<serde_json::Value>::new());
    assert_eq!(
        producer_events(&scenario.take_events(), id),
        [ProducerEvent::Close { originator: Originator::Remote, app_data: Some(json!([1, null])) }]
    );
}

#[test]
fn closes_from_both_sides_that_cross_make_one_close() {
    let (mut scenario, id) = one_video(7);
    let now = scenario.now();
    assert!(scenario.server.close_producer(now, id, None));
    scenario.room.producer(id).unwrap().close(now, None).unwrap();
    scenario.drive(Duration::from_secs(1));
    let closes = scenario
        .take_events()
        .into_iter()
        .filter(|event| matches!(event, Event::Producer { event: ProducerEvent::Close { .. }, .. }));
    assert_eq!(closes.count(), 1);
    assert_eq!(scenario.room.producers().count() + scenario.server.producers().count(), 0);
}

#[test]
fn a_producer_closed_while_the_server_answers_does_not_live_on_there() {
    let mut scenario = plain(8).joined();
    let transport = scenario.create_transport();
    scenario.hold_responses("createProducer");
    let id = scenario.send(transport, Source::vp8(300_000));
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.room.producer(id).unwrap().close(now, None).unwrap();
    scenario.release();
    scenario.drive(Duration::from_secs(1));
    assert_eq!(scenario.server.producers().count(), 0);
    let events = producer_events(&scenario.take_events(), id);
    assert_eq!(events, [ProducerEvent::Close { originator: Originator::Local, app_data: None }]);
}
