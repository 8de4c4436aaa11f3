//! The simulated network does what its settings say, and the same again for the same seed.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use mediasoup_producer::IceProtocol;
use mediasoup_producer::Transmit;
use mediasoup_producer::sim::{Direction, Link, Net, Scenario};

fn datagram(number: u32, bytes: usize) -> Transmit {
    let mut contents = number.to_be_bytes().to_vec();
    contents.resize(bytes.max(4), 0);
    Transmit {
        protocol: IceProtocol::Udp,
        source: Scenario::CLIENT,
        destination: Scenario::SERVER,
        contents: contents.into(),
    }
}

/// Sends a datagram of 972 bytes (1000 with headers) every millisecond; returns number and time of each arrival.
fn arrivals(seed: u64, link: Link, count: u32) -> (Net, Vec<(u32, Duration)>) {
    let start = Instant::now();
    let mut net = Net::new(seed, link, Link::default());
    let mut arrivals = Vec::new();
    for number in 0..count {
        net.send(start + Duration::from_millis(number.into()), Direction::Up, datagram(number, 972));
    }
    while let Some(at) = net.poll_timeout() {
        while let Some((direction, transmit)) = net.poll_arrival(at) {
            assert_eq!(direction, Direction::Up);
            let number = u32::from_be_bytes(transmit.contents[..4].try_into().unwrap());
            arrivals.push((number, at - start));
        }
    }
    (net, arrivals)
}

#[test]
fn the_same_seed_gives_the_same_fate() {
    let link = Link::default().loss(0.1).duplicate(0.1).reorder(0.1).jitter(Duration::from_millis(20));
    let (_, first) = arrivals(1, link, 1000);
    assert_eq!(first, arrivals(1, link, 1000).1);
    assert_ne!(first, arrivals(2, link, 1000).1);
}

#[test]
fn a_plain_link_only_delays() {
    let (net, arrivals) = arrivals(1, Link::default().delay(Duration::from_millis(30)), 100);
    let expected: Vec<_> = (0..100).map(|number| (number, Duration::from_millis(u64::from(number) + 30))).collect();
    assert_eq!(arrivals, expected);
    assert_eq!((net.counters(Direction::Up).sent, net.counters(Direction::Up).delivered), (100, 100));
}

#[test]
fn shares_are_met() {
    let (net, _) = arrivals(3, Link::default().loss(0.1).duplicate(0.2).reorder(0.3), 10_000);
    let counters = net.counters(Direction::Up);
    assert!((900..1100).contains(&counters.lost), "{counters:?}");
    assert!((1650..1950).contains(&counters.duplicated), "{counters:?}");
    assert!((2500..2900).contains(&counters.reordered), "{counters:?}");
    assert_eq!(counters.delivered, counters.sent - counters.lost + counters.duplicated);
}

#[test]
fn jitter_keeps_the_order() {
    let (_, arrivals) = arrivals(4, Link::default().jitter(Duration::from_millis(50)), 1000);
    assert!(arrivals.is_sorted());
    assert!(arrivals.windows(2).any(|pair| pair[1].1 - pair[0].1 > Duration::from_millis(5)));
}

#[test]
fn a_bottleneck_delays_and_then_drops() {
    // 8 Mbit/s come in; half of that passes.
    let link = Link::default().bandwidth_bps(Some(4_000_000)).queue(Duration::from_millis(100));
    let (net, arrivals) = arrivals(5, link, 2000);
    let counters = net.counters(Direction::Up);
    assert!((850..960).contains(&counters.overflowed), "{counters:?}");
    assert!(
        arrivals.iter().all(|(number, at)| {
            *at - Duration::from_millis(u64::from(*number)) <= Duration::from_millis(100 + 2 + 5)
        })
    );
}

#[test]
fn cuts_and_lost_addresses_stop_everything() {
    let start = Instant::now();
    let mut net = Net::new(6, Link::default(), Link::default());
    net.set_cut(Direction::Up, true);
    net.send(start, Direction::Up, datagram(1, 10));
    net.set_cut(Direction::Up, false);
    net.send(start, Direction::Up, datagram(2, 10));
    net.set_gone(Scenario::SERVER, true);
    net.send(start, Direction::Up, datagram(3, 10));
    assert_eq!(net.poll_arrival(start + Duration::from_secs(1)), None);
    assert_eq!(net.counters(Direction::Up).cut, 3);
    net.set_gone(Scenario::SERVER, false);
    net.lose_next(Direction::Up, 1);
    net.send(start, Direction::Up, datagram(4, 10));
    net.send(start, Direction::Up, datagram(5, 10));
    let (_, arrived) = net.poll_arrival(start + Duration::from_secs(1)).unwrap();
    assert_eq!(arrived.contents[..4], [0, 0, 0, 5]);
}
