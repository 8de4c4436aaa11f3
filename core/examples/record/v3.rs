//! A run of a device in which much goes wrong.

use std::time::{Duration, Instant};

use mediasoup_producer::record::RecordOptions;
use mediasoup_producer::sim::v3::{Scenario, ScenarioConfig};
use mediasoup_producer::sim::{Direction, Link, Source};
use mediasoup_producer::v3::DeviceConfig;
use mediasoup_producer::{ConnectionState, MediaKind};

/// Plays it on the real media plane and a simulated network, in virtual time, and gives its recording.
pub(crate) fn record(start: Instant, seed: u64) -> Vec<String> {
    let bad = Link::default().jitter(Duration::from_millis(20)).loss(0.05).reorder(0.02).duplicate(0.01);
    let device = DeviceConfig::default().record(RecordOptions::default());
    let config = ScenarioConfig::default().device(device).uplink(bad).downlink(bad);
    let mut scenario = Scenario::new(config, start, seed).loaded();

    // An answer that comes when nobody waits for it any more, and one that never comes.
    let transport = scenario.create_transport();
    scenario.hold_answers("connect");
    scenario.send(transport, Source::opus(32_000));
    scenario.drive(Duration::from_secs(11));
    scenario.release();
    scenario.drive_until("the late answer to count", Scenario::connected);
    let lost = scenario.create_transport();
    scenario.drop_answers("connect");
    scenario.send(lost, Source::opus(32_000));
    scenario.drive(Duration::from_secs(11));
    scenario.release();
    scenario.send(lost, Source::opus(32_000));
    scenario.drive_until("the transport to be given up", Scenario::connected);

    // A request that is refused, one that is answered after two seconds, and one whose producer is closed meanwhile.
    scenario.answer("produce", Err("ssrc already exists in RTP listener [ssrc:1]"));
    scenario.send(transport, Source::opus(32_000));
    scenario.drive(Duration::from_secs(1));
    scenario.release();
    scenario.hold_answers("produce");
    let unwanted = scenario.send(transport, Source::opus(32_000));
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.device.producer(unwanted).expect("its request is out").close(now).expect("it can be closed");
    let audio = scenario.send(transport, Source::opus(32_000));
    scenario.drive(Duration::from_secs(1));
    scenario.release();
    let video = scenario.send(transport, Source::vp8_simulcast(100_000, 300_000, 900_000));
    scenario.drive(Duration::from_secs(8));

    // What the application does with a producer.
    let now = scenario.now();
    scenario.device.producer(video).expect("not closed").pause(now).expect("it can be paused");
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    let mut producer = scenario.device.producer(video).expect("not closed");
    producer.resume(now).expect("it can be resumed");
    producer.set_max_spatial_layer(now, 1).expect("it is video");
    producer.replace_track(now, None).expect("it has one");
    scenario.drive(Duration::from_secs(1));

    // The network is cut until ICE gives up, and comes back.
    for direction in [Direction::Up, Direction::Down] {
        scenario.net.set_cut(direction, true);
    }
    scenario.drive_until("the cut to be noticed", |scenario| {
        scenario.device.transports().all(|transport| transport.connection_state() == ConnectionState::Disconnected)
    });
    scenario.restart_ice(transport);
    for direction in [Direction::Up, Direction::Down] {
        scenario.net.set_cut(direction, false);
    }
    scenario.drive_until("the path to be found again", Scenario::connected);
    scenario.drive(Duration::from_secs(1));

    // The server closes one producer, we the rest.
    assert_eq!(scenario.producer_id(MediaKind::Audio), Some(audio));
    scenario.close_at_router(audio);
    scenario.drive(Duration::from_secs(1));
    let now = scenario.now();
    scenario.device.transport(transport).expect("not closed").close(now).expect("it can be closed");
    scenario.drive(Duration::from_secs(1));
    std::iter::from_fn(|| scenario.device.poll_record()).collect()
}
