//! What the server says it can take (REMB) reaches the encoders.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{producer_events, scenario, transport, video};
use mediasoup_producer::ProducerId;
use mediasoup_producer::sim::{Direction, Link, RoomServerConfig, ScenarioConfig, Source};
use mediasoup_producer::v2::{Event, ProducerEvent, Profile, RoomConfig};

fn capped(cap_bps: u64) -> ScenarioConfig {
    ScenarioConfig::default().server(RoomServerConfig::default().bitrate_cap_bps(Some(cap_bps)))
}

/// The last target of each layer.
fn targets(events: &[Event], id: ProducerId) -> BTreeMap<Profile, u64> {
    let targets = producer_events(events, id).into_iter().filter_map(|event| match event {
        ProducerEvent::TargetBitrate { profile, bitrate_bps } => Some((profile, bitrate_bps)),
        _ => None,
    });
    targets.collect()
}

#[test]
fn a_cap_is_filled_from_the_lowest_layer() {
    let mut scenario = scenario(capped(350_000), 1).sending();
    let id = video(&scenario);
    scenario.take_events();
    scenario.drive(Duration::from_secs(12));
    let targets = targets(&scenario.take_events(), id);
    assert_eq!(targets[&Profile::Low], 100_000);
    assert!((100_000..300_000).contains(&targets[&Profile::Medium]), "{targets:?}");
    assert_eq!(targets[&Profile::High], 0);
    scenario.drive(Duration::from_secs(2));
    let received: u64 = scenario.received().iter().map(|encoding| encoding.bitrate_bps).sum();
    assert!(received < 350_000, "{received}");
    assert!(scenario.server.transport(transport(&scenario)).unwrap().bitrate_allowed_bps() <= 350_000);
}

#[test]
fn the_initial_bitrate_is_divided_as_soon_as_a_producer_is_handled() {
    let room = RoomConfig::default().initial_bitrate_bps(600_000);
    let mut scenario = scenario(ScenarioConfig::default().room(room), 5).joined();
    let on = scenario.create_transport();
    let id = scenario.send(on, Source::vp8_simulcast(100_000, 300_000, 900_000));
    scenario.drive_until("handled", |scenario| scenario.room.producer_info(id).is_some_and(|info| info.handled()));
    let first = targets(&scenario.take_events(), id);
    assert_eq!(first, BTreeMap::from([(Profile::Low, 100_000), (Profile::Medium, 300_000), (Profile::High, 200_000)]));

    // A producer that is paused from the start shares in it when it is resumed.
    let now = scenario.now();
    let other = scenario.create_producer(Source::vp8_simulcast(100_000, 300_000, 900_000));
    let mut handle = scenario.room.producer(other).unwrap();
    handle.pause(now, None).unwrap();
    handle.send(now, on).unwrap();
    scenario.drive_until("handled", |scenario| scenario.room.producer_info(other).is_some_and(|info| info.handled()));
    assert_eq!(targets(&scenario.take_events(), other), BTreeMap::new());
    let now = scenario.now();
    scenario.room.producer(other).unwrap().resume(now, None).unwrap();
    scenario.drive(Duration::from_millis(1));
    let events = scenario.take_events();
    let shared = BTreeMap::from([(Profile::Low, 100_000), (Profile::Medium, 200_000), (Profile::High, 0)]);
    assert_eq!(targets(&events, other), shared);
    assert_eq!(targets(&events, id), BTreeMap::from([(Profile::Medium, 200_000), (Profile::High, 0)]));
}

#[test]
fn layers_come_back_when_the_cap_goes() {
    let mut scenario = scenario(capped(350_000), 2).sending();
    let id = video(&scenario);
    scenario.drive(Duration::from_secs(12));
    assert_eq!(scenario.server.encodings(id)[2].bitrate_bps, 0);
    scenario.server.set_bitrate_cap_bps(None);
    scenario.take_sent();
    scenario.drive(Duration::from_secs(20));
    let received = scenario.server.encodings(id);
    assert!(received[2].bitrate_bps > 800_000, "{received:?}");
    let first = scenario.take_sent().into_iter().find(|sent| sent.frame.layer == Profile::High.layer()).unwrap();
    assert!(first.frame.key_frame, "a layer that comes back begins with a key frame");
}

#[test]
fn audio_alone_says_nothing_about_video() {
    let mut scenario = scenario(ScenarioConfig::default(), 3).sending_with([Source::opus(32_000)]);
    scenario.drive(Duration::from_secs(10));
    let on = transport(&scenario);
    assert!(scenario.server.transport(on).unwrap().bitrate_allowed_bps() < 100_000);
    let id = scenario.send(on, Source::vp8_simulcast(100_000, 300_000, 900_000));
    scenario.take_events();
    scenario.drive(Duration::from_secs(4));
    assert_eq!(targets(&scenario.take_events(), id), BTreeMap::new());
    // The room's estimate begins near what audio takes, and goes up by 8% a second.
    scenario.drive(Duration::from_secs(4));
    assert_eq!(targets(&scenario.take_events(), id)[&Profile::High], 0);
    scenario.drive_until("all layers", |scenario| scenario.server.encodings(id)[2].bitrate_bps > 800_000);
}

#[test]
fn a_bottleneck_is_heeded() {
    // With a shorter queue, which is full at once, delays would show nothing.
    let narrow = Link::default().bandwidth_bps(Some(600_000)).queue(Duration::from_secs(2));
    let mut scenario = scenario(ScenarioConfig::default().uplink(narrow), 4).joined();
    let on = scenario.create_transport();
    scenario.send(on, Source::opus(32_000));
    let id = scenario.send(on, Source::vp8_simulcast(100_000, 300_000, 900_000));
    scenario.drive(Duration::from_secs(20));
    let before = scenario.net.counters(Direction::Up);
    scenario.drive(Duration::from_secs(5));
    let after = scenario.net.counters(Direction::Up);
    let (sent, overflowed) = (after.sent - before.sent, after.overflowed - before.overflowed);
    assert!(overflowed * 20 < sent, "{overflowed} of {sent}");
    assert!(scenario.server.encodings(id)[0].bitrate_bps > 50_000);
}
