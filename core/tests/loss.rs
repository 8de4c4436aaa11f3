//! Losses are repaired by retransmission, on every layer; audio has none in v2.

mod common;

use std::time::Duration;

use common::{all_lost, audio, plain, scenario, video};
use mediasoup_producer::sim::{Direction, Link, ScenarioConfig};

#[test]
fn all_losses_on_all_layers_are_repaired() {
    let bad = Link::default().delay(Duration::from_millis(30)).loss(0.05);
    let mut scenario = scenario(ScenarioConfig::default().uplink(bad).downlink(bad), 1).sending();
    scenario.drive(Duration::from_secs(20));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(2));

    let (audio, video) = (audio(&scenario), video(&scenario));
    assert!(scenario.net.counters(Direction::Up).lost > 100);
    let sent = scenario.room.producer(video).unwrap().outbound_stats();
    for (sent, received) in sent.iter().zip(scenario.server.encodings(video)) {
        assert!(sent.packets_sent > 400);
        assert_eq!(received.packets_lost, 0, "{received:?}");
        assert!(received.packets_repaired > 10, "{received:?}");
        assert!(sent.retransmitted_packets_sent >= received.packets_repaired, "{sent:?}");
        // Nobody can know of packets lost before the first that came, or after the last.
        assert!(sent.packets_sent - received.packets <= 3, "{sent:?} {received:?}");
        assert!(sent.nack_count > 0 && received.nack_count > 0);
        assert!(sent.round_trip_time.is_some_and(|time| time > Duration::from_millis(50)), "{sent:?}");
    }
    let received = &scenario.server.encodings(audio)[0];
    assert!(received.packets_lost > 20 && received.packets_repaired == 0, "{received:?}");
    assert_eq!(received.nack_count, 0);
}

#[test]
fn duplicates_and_reordering_are_no_loss() {
    let odd = Link::default().delay(Duration::from_millis(20)).jitter(Duration::from_millis(10));
    let odd = odd.duplicate(0.1).reorder(0.05);
    let mut scenario = scenario(ScenarioConfig::default().uplink(odd).downlink(odd), 2).sending();
    scenario.drive(Duration::from_secs(5));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    let ids = [audio(&scenario), video(&scenario)];
    for id in ids {
        let sent = scenario.room.producer(id).unwrap().outbound_stats();
        for (sent, received) in sent.iter().zip(scenario.server.encodings(id)) {
            // One that is overtaken by the very first to come is from before the stream began, and is not taken.
            assert!(sent.packets_sent - received.packets <= 1, "{sent:?} {received:?}");
            assert_eq!(received.packets_lost, 0, "{received:?}");
        }
    }
    let counters = scenario.net.counters(Direction::Up);
    assert!(counters.duplicated > 50 && counters.reordered > 20, "{counters:?}");
}

#[test]
fn a_burst_of_loss_is_repaired() {
    let mut scenario = plain(3).sending();
    scenario.drive(Duration::from_secs(1));
    scenario.net.lose_next(Direction::Up, 40);
    scenario.drive(Duration::from_secs(3));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    let video = video(&scenario);
    assert_eq!(all_lost(&scenario.server.encodings(video)), 0);
    assert!(scenario.server.encodings(video).iter().map(|encoding| encoding.packets_repaired).sum::<u64>() > 20);
}
