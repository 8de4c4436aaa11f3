//! What a server estimates from how delays change, and what comes of it: over a link too narrow, one that becomes so, one that
//! loses. Figures are bits per second.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mediasoup_producer::sim::{Direction, Link, Net, Scenario, ScenarioConfig, Source, v3};
use mediasoup_producer::v2::{Event, ProducerEvent, RoomConfig};
use mediasoup_producer::v3::{Event as DeviceEvent, ProducerEvent as DeviceProducerEvent, TransportOptions};

/// A sender that does as it is told, and its server.
trait Session: Sized {
    /// Media flows; in which bitrate at first, if not all that there is.
    fn sending_at(seed: u64, uplink: Link, source: Source, initial_bps: Option<u64>) -> Self;
    fn drive(&mut self, time: Duration);
    fn now(&self) -> Instant;
    fn net(&mut self) -> &mut Net;
    /// The most that REMB may allow.
    fn cap(&mut self, cap: Option<u64>);
    /// What REMB last allowed.
    fn allowed(&self) -> u64;
    /// What each layer was last told.
    fn targets(&self) -> BTreeMap<usize, u64>;

    fn sending(seed: u64, uplink: Link, source: Source) -> Self {
        Self::sending_at(seed, uplink, source, None)
    }

    fn target(&self) -> u64 {
        self.targets().values().sum()
    }

    /// Lets time go by until `condition` holds; returns how much did.
    fn drive_until(&mut self, longest: Duration, condition: impl Fn(&Self) -> bool) -> Duration {
        let began = self.now();
        while !condition(self) {
            let since = self.now() - began;
            assert!(since <= longest, "after {since:?} {:?} of {}", self.targets(), self.allowed());
            self.drive(Duration::from_millis(50));
        }
        self.now() - began
    }
}

impl Session for Scenario {
    fn sending_at(seed: u64, uplink: Link, source: Source, initial_bps: Option<u64>) -> Self {
        let room = initial_bps.into_iter().fold(RoomConfig::default(), RoomConfig::initial_bitrate_bps);
        Self::new(ScenarioConfig::default().uplink(uplink).room(room), Instant::now(), seed).sending_with([source])
    }

    fn drive(&mut self, time: Duration) {
        self.drive(time);
    }

    fn now(&self) -> Instant {
        self.now()
    }

    fn net(&mut self) -> &mut Net {
        &mut self.net
    }

    fn cap(&mut self, cap: Option<u64>) {
        self.server.set_bitrate_cap_bps(cap);
    }

    fn allowed(&self) -> u64 {
        self.server.transports().next().unwrap().bitrate_allowed_bps()
    }

    fn targets(&self) -> BTreeMap<usize, u64> {
        let target = |(_, event): &(Instant, Event)| match event {
            Event::Producer { event: ProducerEvent::TargetBitrate { profile, bitrate_bps }, .. } => {
                Some((profile.layer(), *bitrate_bps))
            }
            _ => None,
        };
        self.events().iter().filter_map(target).collect()
    }
}

impl Session for v3::Scenario {
    fn sending_at(seed: u64, uplink: Link, source: Source, initial_bps: Option<u64>) -> Self {
        let transport =
            initial_bps.into_iter().fold(TransportOptions::default(), TransportOptions::initial_bitrate_bps);
        let config = v3::ScenarioConfig::default().uplink(uplink).transport(transport);
        Self::new(config, Instant::now(), seed).sending_with([source])
    }

    fn drive(&mut self, time: Duration) {
        self.drive(time);
    }

    fn now(&self) -> Instant {
        self.now()
    }

    fn net(&mut self) -> &mut Net {
        &mut self.net
    }

    fn cap(&mut self, cap: Option<u64>) {
        let name = self.router.transports().next().unwrap().id().to_owned();
        self.router.set_max_incoming_bitrate(&name, cap.unwrap_or(0)).unwrap();
    }

    fn allowed(&self) -> u64 {
        self.router.transports().next().unwrap().bitrate_allowed_bps()
    }

    fn targets(&self) -> BTreeMap<usize, u64> {
        let target = |(_, event): &(Instant, DeviceEvent)| match event {
            DeviceEvent::Producer { event: DeviceProducerEvent::TargetBitrate { layer, bitrate_bps }, .. } => {
                Some((*layer, *bitrate_bps))
            }
            _ => None,
        };
        self.events().iter().filter_map(target).collect()
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn layers() -> Source {
    Source::vp8_simulcast(100_000, 300_000, 900_000)
}

/// The queue is long enough to be seen to grow.
fn over_a_narrow_link<S: Session>(name: &str) {
    const LINK: u64 = 500_000;
    let narrow = Link::default().bandwidth_bps(Some(LINK)).queue(seconds(2));
    let mut session = S::sending(7, narrow, layers());
    session.drive(seconds(30));
    let (mut targets, mut waits) = (Vec::new(), Vec::new());
    for _ in 0..600 {
        session.drive(Duration::from_millis(100));
        let now = session.now();
        targets.push(session.target());
        waits.push(session.net().waiting(now, Direction::Up));
    }
    let mean = targets.iter().sum::<u64>() / 600;
    targets.sort_unstable();
    waits.sort_unstable();
    println!(
        "{name}: {mean} on average, {} to {}; wait {:?} at most, {:?} of ten",
        targets[0], targets[599], waits[599], waits[540]
    );
    assert!((LINK * 6 / 10..=LINK).contains(&mean), "{mean}");
    assert!(targets[0] >= LINK * 6 / 10 && targets[599] <= LINK * 12 / 10, "{} to {}", targets[0], targets[599]);
    assert!(waits[599] < Duration::from_millis(500), "{:?}", waits[599]);
}

#[test]
fn a_narrow_link_is_used_and_its_queue_stays_short() {
    over_a_narrow_link::<Scenario>("v2");
    over_a_narrow_link::<v3::Scenario>("v3");
}

/// A queue so short is full before anything is known of it, and full it delays all packets alike: a sender that begins with all
/// that it has would never hear of it.
fn over_a_short_queue<S: Session>(name: &str) {
    const LINK: u64 = 500_000;
    let narrow = Link::default().bandwidth_bps(Some(LINK)).queue(Duration::from_millis(100));
    let mut session = S::sending_at(7, narrow, layers(), Some(300_000));
    session.drive(seconds(30));
    let before = session.net().counters(Direction::Up).overflowed;
    session.drive(seconds(30));
    let overflowed = session.net().counters(Direction::Up).overflowed - before;
    println!("{name}: {} of {LINK}, {overflowed} dropped", session.target());
    assert!((LINK * 6 / 10..=LINK).contains(&session.target()), "{:?}", session.targets());
    assert!(overflowed < 10, "{overflowed}");
}

#[test]
fn a_sender_that_begins_with_little_finds_a_narrow_link_with_a_short_queue() {
    over_a_short_queue::<Scenario>("v2");
    over_a_short_queue::<v3::Scenario>("v3");
}

/// The first figure is what was received; from there it grows by 8% a second, to half as much again as is received.
fn over_a_free_link<S: Session>(name: &str) {
    let mut session = S::sending(7, Link::default(), layers());
    let first = session.drive_until(seconds(6), |session| session.allowed() > 0);
    let allowed = session.allowed();
    session.drive(seconds(5));
    let later = session.allowed();
    session.drive(seconds(20));
    println!("{name}: {allowed} after {first:?}, {later} after five seconds more, {} in the end", session.allowed());
    assert!(first > Duration::from_millis(4_500), "{first:?}");
    assert!((1_150_000..1_400_000).contains(&allowed), "{allowed}");
    assert!((allowed * 14 / 10..allowed * 15 / 10).contains(&later), "{later}");
    assert!((1_800_000..2_100_000).contains(&session.allowed()), "{}", session.allowed());
    // What changes by little is not told.
    assert!(session.target() > 1_250_000, "{:?}", session.targets());
}

#[test]
fn a_free_link_is_found_out_step_by_step() {
    over_a_free_link::<Scenario>("v2");
    over_a_free_link::<v3::Scenario>("v3");
}

fn when_a_link_becomes_narrow<S: Session>(name: &str) {
    const BEFORE: u64 = 2_500_000;
    const AFTER: u64 = BEFORE / 5;
    let link = Link::default().queue(seconds(2));
    let source = Source::vp8_simulcast(150_000, 450_000, 1_500_000);
    let mut session = S::sending(7, link.bandwidth_bps(Some(BEFORE)), source);
    session.drive(seconds(15));
    let before = session.target();
    assert!(before > 1_500_000, "{before}");
    session.net().set_link(Direction::Up, link.bandwidth_bps(Some(AFTER)));
    let followed = session.drive_until(seconds(5), |session| session.target() < AFTER);
    println!("{name}: from {before} to {} after {followed:?}", session.target());
}

#[test]
fn a_link_that_becomes_narrow_is_followed_within_seconds() {
    when_a_link_becomes_narrow::<Scenario>("v2");
    when_a_link_becomes_narrow::<v3::Scenario>("v3");
}

/// What is lost is received later, so a little more than before.
fn over_a_link_that_loses<S: Session>(name: &str) {
    let mut session = S::sending(7, Link::default().loss(0.05), layers());
    session.drive(seconds(30));
    println!("{name}: {} allowed", session.allowed());
    assert!(session.net().counters(Direction::Up).lost > 100);
    assert!(session.allowed() > 1_700_000, "{}", session.allowed());
    assert!(session.target() > 1_250_000, "{:?}", session.targets());
}

#[test]
fn loss_alone_cuts_nothing() {
    over_a_link_that_loses::<Scenario>("v2");
    over_a_link_that_loses::<v3::Scenario>("v3");
}

fn under_a_cap<S: Session>(name: &str) {
    let mut session = S::sending(7, Link::default(), layers());
    session.drive(seconds(10));
    assert!(session.target() > 1_000_000);
    session.cap(Some(300_000));
    session.drive_until(seconds(1), |session| session.allowed() == 300_000);
    session.drive(Duration::from_millis(100));
    assert_eq!(session.targets(), BTreeMap::from([(0, 100_000), (1, 200_000), (2, 0)]));
    session.drive(seconds(10));
    assert_eq!(session.targets(), BTreeMap::from([(0, 100_000), (1, 200_000), (2, 0)]));
    session.cap(None);
    // The estimate has not gone down meanwhile.
    let back = session.drive_until(seconds(1), |session| session.target() >= 1_300_000);
    println!("{name}: back after {back:?}");
}

#[test]
fn a_cap_is_divided_and_its_end_is_heard_at_once() {
    under_a_cap::<Scenario>("v2");
    under_a_cap::<v3::Scenario>("v3");
}

/// A REMB names the streams that repair, too, in the order of their SSRCs.
fn while_packets_are_repaired<S: Session>() {
    for seed in 1..=4 {
        let mut session = S::sending(seed, Link::default().loss(0.1), layers());
        session.drive(seconds(8));
        session.cap(Some(300_000));
        session.drive_until(seconds(1), |session| session.target() == 300_000);
    }
}

#[test]
fn a_limit_is_heard_while_packets_are_repaired() {
    while_packets_are_repaired::<Scenario>();
    while_packets_are_repaired::<v3::Scenario>();
}
