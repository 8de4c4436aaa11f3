//! Media goes from the application into the room.

use std::time::{Duration, Instant};

use mediasoup_producer::sim::{Scenario, ScenarioConfig};

#[test]
fn everything_sent_is_received() {
    let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).sending();
    scenario.drive(Duration::from_secs(3));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    for (at, event) in scenario.events() {
        println!("{:?} {event:?}", *at);
    }
    println!("{:#?}", scenario.received());
    let ids: Vec<_> = scenario.room.producers().map(|p| p.id()).collect();
    for id in ids {
        println!("{:#?}", scenario.room.producer(id).unwrap().outbound_stats());
    }
}
