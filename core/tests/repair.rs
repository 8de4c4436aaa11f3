//! What is kept of a stream for retransmission is a matter of its bitrate and of time.

mod common;

use std::time::Duration;

use common::{bytes_held, scenario, video};
use mediasoup_producer::sim::{Direction, Link, Scenario, ScenarioConfig, Source};
use mediasoup_producer::v2::RoomConfig;

fn main() {
    a_stream_holds_what_it_sent_of_late_and_a_silent_one_nothing();
    what_was_lost_a_second_ago_is_repaired();
}

/// A connection with this and twice this from end to end and back, over which one stream is sent.
fn sending(bitrate_bps: u64, delay: Duration, repair_time: Duration) -> Scenario {
    let link = Link::default().delay(delay);
    let room = RoomConfig::default().repair_time(repair_time);
    scenario(ScenarioConfig::default().room(room).uplink(link).downlink(link), 1)
        .sending_with([Source::vp8(bitrate_bps)])
}

/// Bytes that sending this much for a while holds, of which silence gives back all but a little.
fn held_by(bitrate_bps: u64) -> usize {
    let mut scenario = sending(bitrate_bps, Duration::from_millis(5), Duration::from_secs(2));
    drive(&mut scenario, 10);
    let sent = bytes_held();
    scenario.stop_media();
    drive(&mut scenario, 10);
    sent.saturating_sub(bytes_held())
}

/// The scenario keeps what it saw for the test; that is no part of it.
fn drive(scenario: &mut Scenario, seconds: u64) {
    for _ in 0..seconds {
        scenario.drive(Duration::from_secs(1));
        scenario.take_packets();
        scenario.take_events();
    }
}

fn a_stream_holds_what_it_sent_of_late_and_a_silent_one_nothing() {
    let (slow, fast) = (held_by(100_000), held_by(6_000_000));
    println!("held for repair: {slow} bytes at 100 kbit/s, {fast} at 6 Mbit/s");
    // Two seconds of payload are 25,000 and 1,500,000 bytes.
    assert!((20_000..80_000).contains(&slow), "{slow} bytes at 100 kbit/s");
    assert!((1_300_000..2_600_000).contains(&fast), "{fast} bytes at 6 Mbit/s");
}

/// That it is sent again is all that can be seen: the receiver at the other end, which is str0m, waits for no more than the last
/// hundred packets.
fn what_was_lost_a_second_ago_is_repaired() {
    for (repair_time, resent) in [(2000, 40), (500, 0)] {
        let mut scenario = sending(6_000_000, Duration::from_millis(500), Duration::from_millis(repair_time));
        drive(&mut scenario, 3);
        scenario.net.lose_next(Direction::Up, 40);
        drive(&mut scenario, 4);
        let sent = &scenario.room.outbound_stats(video(&scenario))[0];
        println!("asked for a second after, with {repair_time} ms: {sent:?}");
        assert!(sent.nack_count > 0 && sent.retransmitted_packets_sent == resent, "{sent:?}");
    }
}
