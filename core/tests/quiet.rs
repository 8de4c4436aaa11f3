//! A room that sends nothing hardly wakes.

mod common;

use std::time::Duration;

use common::plain;
use mediasoup_producer::sim::{Scenario, ServerOutput};
use mediasoup_producer::v2::Output;

/// Serves both sides for so long; returns at how many of the room's deadlines it sent no check.
fn wakes(scenario: &mut Scenario, time: Duration) -> usize {
    let (mut now, mut wakes) = (scenario.now(), 0);
    let until = now + time;
    loop {
        let ours = scenario.room.poll_timeout();
        let next = ours.into_iter().chain(scenario.server.poll_timeout()).min().unwrap_or(until);
        now = next.max(now);
        if now >= until {
            return wakes;
        }
        scenario.room.handle_timeout(now);
        scenario.server.handle_timeout(now);
        let mut checked = false;
        while let Some(output) = scenario.room.poll_output() {
            if let Output::Transmit(transmit) = output {
                // RFC 7983 section 7.
                checked |= transmit.contents[0] < 4;
                scenario.server.handle_receive(now, &transmit.into());
            }
        }
        wakes += usize::from(!checked && ours.is_some_and(|at| at <= now));
        while let Some(output) = scenario.server.poll_output() {
            if let ServerOutput::Transmit(transmit) = output {
                scenario.room.handle_receive(now, &transmit.into());
            }
        }
    }
}

#[test]
fn the_reports_and_statistics_of_all_streams_come_in_one_wake_a_second() {
    let mut scenario = plain(1).sending();
    scenario.drive(Duration::from_millis(3300));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(3));
    let wakes = wakes(&mut scenario, Duration::from_secs(60));
    // Those that fall together with checks, which are made every three seconds, are not among them.
    assert!((38..=62).contains(&wakes), "{wakes} wakes in a minute");
}
