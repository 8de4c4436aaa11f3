//! A run of a room in which much goes wrong.

use std::time::{Duration, Instant};

use mediasoup_producer::record::RecordOptions;
use mediasoup_producer::sim::{Direction, Link, Scenario, ScenarioConfig, Source};
use mediasoup_producer::v2::RoomConfig;
use mediasoup_producer::{ConnectionState, MediaKind};

/// Plays it on the real media plane and a simulated network, in virtual time, and gives its recording.
pub(crate) fn record(start: Instant, seed: u64) -> Vec<String> {
    let bad = Link::default().jitter(Duration::from_millis(20)).loss(0.05).reorder(0.02).duplicate(0.01);
    let room = RoomConfig::default().record(RecordOptions::default());
    let config = ScenarioConfig::default().room(room).uplink(bad).downlink(bad);
    let mut scenario = Scenario::new(config, start, seed);

    // An answer that comes when nobody waits for it any more.
    scenario.hold_responses("queryRoom");
    scenario.room.join(scenario.now(), "sender", None).expect("a new room can be joined");
    scenario.drive(Duration::from_secs(11));
    scenario.release();
    scenario = scenario.joined();

    // A request that is refused, and one that is answered after two seconds.
    let transport = scenario.create_transport();
    scenario.answer("createProducer", Err("Error: ssrc already exists in RTP listener [ssrc:1]"));
    let audio = scenario.send(transport, Source::opus(32_000));
    scenario.drive(Duration::from_secs(1));
    scenario.release();
    scenario.hold_responses("createProducer");
    let now = scenario.now();
    scenario.room.producer(audio).expect("not closed").send(now, transport).expect("it can be sent again");
    scenario.drive(Duration::from_secs(2));
    scenario.release();
    scenario.drive_until("the first transport to connect", Scenario::connected);
    let video = scenario.send(transport, Source::vp8_simulcast(100_000, 300_000, 900_000));
    scenario.drive(Duration::from_secs(8));

    // Both sides pause, and the other way round they resume.
    scenario.server.pause_producer(scenario.now(), video, Some("busy".into()));
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.room.producer(video).expect("not closed").pause(now, None).expect("it can be paused");
    scenario.drive(Duration::from_secs(1));
    scenario.server.resume_producer(scenario.now(), video, None);
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.room.producer(video).expect("not closed").resume(now, None).expect("it can be resumed");
    scenario.drive(Duration::from_secs(1));

    // The network is cut until ICE gives up, and comes back.
    for direction in [Direction::Up, Direction::Down] {
        scenario.net.set_cut(direction, true);
    }
    scenario.drive_until("the cut to be noticed", |scenario| {
        scenario.room.transports().all(|transport| transport.connection_state() == ConnectionState::Disconnected)
    });
    scenario.room.restart_ice(scenario.now()).expect("there is a transport");
    for direction in [Direction::Up, Direction::Down] {
        scenario.net.set_cut(direction, false);
    }
    scenario.drive_until("the path to be found again", Scenario::connected);
    scenario.drive(Duration::from_secs(1));

    // The server closes one producer, we the rest.
    let audio = scenario.producer_id(MediaKind::Audio).expect("not closed");
    scenario.server.close_producer(scenario.now(), audio, None);
    scenario.drive(Duration::from_secs(1));
    scenario.room.leave(scenario.now(), None).expect("we are in it");
    scenario.drive(Duration::from_secs(1));
    std::iter::from_fn(|| scenario.room.poll_record()).collect()
}
