//! ICE and DTLS over a network that changes.

mod common;

use std::time::Duration;

use common::{all_lost, connection_states, packets, plain, scenario, transport, transport_events, video};
use mediasoup_producer::sim::{Direction, Link, RoomServerConfig, Scenario, ScenarioConfig, ServerEvent, Source};
use mediasoup_producer::v2::{RoomConfig, TransportEvent, TransportOptions};
use mediasoup_producer::{Certificate, ConnectionState, DtlsBackend, DtlsFailure, Frame, MediaError, Originator};
use mediasoup_producer::{DtlsRole, IceProtocol, Receive};

fn cut(scenario: &mut Scenario, cut: bool) {
    scenario.net.set_cut(Direction::Up, cut);
    scenario.net.set_cut(Direction::Down, cut);
}

/// Media arrives from here on.
fn assert_media_flows(scenario: &mut Scenario) {
    let before: u64 = scenario.received().iter().map(|encoding| encoding.packets).sum();
    scenario.drive(Duration::from_secs(1));
    let after: u64 = scenario.received().iter().map(|encoding| encoding.packets).sum();
    assert!(after > before + 20, "{before} packets, and a second later {after}");
}

#[test]
fn both_dtls_roles_work() {
    for (seed, role) in [(1, DtlsRole::Client), (2, DtlsRole::Server)] {
        let room = RoomConfig::default().dtls_role(role);
        let mut scenario = scenario(ScenarioConfig::default().room(room), seed).sending();
        assert_media_flows(&mut scenario);
    }
}

/// With the modern DTLS: OpenSSL's retransmission needs its own clock, which virtual time does not move.
#[test]
fn both_dtls_roles_survive_lost_handshakes() {
    for (seed, role) in [(3, DtlsRole::Client), (4, DtlsRole::Server)] {
        let room = RoomConfig::default().dtls_role(role).dtls_backend(DtlsBackend::Modern);
        let server = RoomServerConfig::default().dtls_backend(DtlsBackend::Modern);
        let bad = mediasoup_producer::sim::Link::default().loss(0.1);
        let config = ScenarioConfig::default().room(room).server(server).uplink(bad).downlink(bad);
        let mut scenario = scenario(config, seed).sending();
        assert_media_flows(&mut scenario);
    }
}

#[test]
fn the_connection_state_goes_from_new_to_connected() {
    let mut scenario = plain(5).joined();
    let id = scenario.create_transport();
    assert_eq!(scenario.room.transport_info(id).unwrap().connection_state(), ConnectionState::New);
    scenario.send(id, Source::vp8(300_000));
    scenario.drive_until("the transport to be connected", Scenario::connected);
    let events = scenario.take_events();
    assert_eq!(connection_states(&events), [ConnectionState::Connecting, ConnectionState::Connected]);
    let offered = transport_events(&events, id);
    assert!(matches!(&offered[0], TransportEvent::RemoteCandidates { candidates } if candidates.len() == 2));
}

#[test]
fn transport_options_decide_what_the_server_offers_and_prefers() {
    for (tcp, prefers) in [(Some(false), 1), (None, 2)] {
        let options = TransportOptions { tcp, prefer_udp: Some(true), ..TransportOptions::default() };
        let room = RoomConfig::default().transport_options(options);
        let mut scenario = scenario(ScenarioConfig::default().room(room), 6).sending();
        let candidates = scenario.room.transport_info(transport(&scenario)).unwrap().remote_candidates();
        assert_eq!(candidates.len(), prefers);
        assert_eq!(candidates[0].protocol, IceProtocol::Udp);
        assert!(candidates.iter().skip(1).all(|other| other.priority < candidates[0].priority));
        assert_media_flows(&mut scenario);
    }
}

#[test]
fn media_goes_on_through_an_ice_restart() {
    let mut scenario = plain(7).sending();
    let id = transport(&scenario);
    scenario.drive(Duration::from_secs(2));
    let now = scenario.now();
    let operation = scenario.room.transport(id).unwrap().restart_ice(now).unwrap();
    scenario.take_events();
    scenario.drive(Duration::from_secs(60));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    let events = scenario.take_events();
    assert!(events.contains(&mediasoup_producer::v2::Event::Settled { operation, result: Ok(()) }));
    assert_eq!(connection_states(&events), []);
    assert!(scenario.server.transport(id).unwrap().connected());
    assert_eq!(all_lost(&scenario.received()), 0);
    let video = video(&scenario);
    for (sent, received) in
        scenario.room.producer(video).unwrap().outbound_stats().iter().zip(scenario.server.encodings(video))
    {
        assert_eq!((sent.packets_sent, received.packets_repaired), (received.packets, 0));
    }
}

#[test]
fn a_rooms_ice_restart_is_an_operation_for_each_transport() {
    let mut scenario = plain(20).sending();
    let other = scenario.create_transport();
    scenario.send(other, Source::opus(32_000));
    scenario.drive(Duration::from_secs(1));
    let unused = scenario.create_transport();
    scenario.take_events();
    let now = scenario.now();
    let begun = scenario.room.restart_ice(now).unwrap();
    assert_eq!(begun.len(), 2, "transport {unused} has nothing to restart");
    scenario.drive(Duration::from_secs(1));
    let settled = |event| match event {
        mediasoup_producer::v2::Event::Settled { operation, result: Ok(()) } => Some(operation),
        _ => None,
    };
    assert_eq!(scenario.take_events().into_iter().filter_map(settled).collect::<Vec<_>>(), begun);
}

#[test]
fn a_path_that_was_cut_is_found_again() {
    let mut scenario = plain(8).sending();
    let id = transport(&scenario);
    scenario.take_events();
    cut(&mut scenario, true);
    scenario.drive(Duration::from_secs(30));
    assert_eq!(scenario.room.transport_info(id).unwrap().connection_state(), ConnectionState::Disconnected);
    assert!(!scenario.server.transport(id).unwrap().connected());
    cut(&mut scenario, false);
    let back = scenario.now();
    scenario.drive_until("the path to be found again", Scenario::connected);
    assert!(scenario.now() < back + Duration::from_secs(5), "{:?}", scenario.now() - back);
    scenario.drive(Duration::from_millis(100));
    assert_media_flows(&mut scenario);
    assert!(scenario.server.transport(id).unwrap().connected());
    let events = scenario.take_events();
    assert_eq!(connection_states(&events), [ConnectionState::Disconnected, ConnectionState::Connected]);
}

#[test]
fn a_path_that_was_cut_is_found_again_after_an_ice_restart() {
    let mut scenario = plain(9).sending();
    let id = transport(&scenario);
    cut(&mut scenario, true);
    scenario.drive(Duration::from_secs(40));
    cut(&mut scenario, false);
    let now = scenario.now();
    scenario.room.restart_ice(now).unwrap();
    scenario.drive_until("the path to be found again", Scenario::connected);
    scenario.drive(Duration::from_millis(200));
    assert_media_flows(&mut scenario);
    assert!(scenario.server.transport(id).unwrap().connected());
}

#[test]
fn a_short_cut_is_repaired_without_a_word() {
    let mut scenario = plain(10).sending();
    scenario.take_events();
    cut(&mut scenario, true);
    scenario.drive(Duration::from_millis(300));
    cut(&mut scenario, false);
    scenario.drive(Duration::from_secs(5));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    assert_eq!(connection_states(&scenario.take_events()), []);
    let video = video(&scenario);
    assert_eq!(all_lost(&scenario.server.encodings(video)), 0);
}

#[test]
fn another_address_takes_over() {
    let mut scenario = plain(11).sending();
    let id = transport(&scenario);
    assert_eq!(scenario.server.transport(id).unwrap().path().unwrap().2, Scenario::CLIENT);
    scenario.drive(Duration::from_secs(2));

    scenario.net.set_gone(Scenario::CLIENT, true);
    let now = scenario.now();
    let mut handle = scenario.room.transport(id).unwrap();
    handle.add_local_address(now, IceProtocol::Udp, Scenario::OTHER_CLIENT).unwrap();
    handle.remove_local_address(now, IceProtocol::Udp, Scenario::CLIENT).unwrap();
    scenario.drive(Duration::from_secs(3));
    assert_media_flows(&mut scenario);
    assert_eq!(scenario.server.transport(id).unwrap().path().unwrap().2, Scenario::OTHER_CLIENT);
    assert!(scenario.connected());
    let kept: Vec<_> = scenario.room.transport_info(id).unwrap().local_addresses().collect();
    assert_eq!(kept, [(IceProtocol::Udp, Scenario::OTHER_CLIENT)]);
}

#[test]
fn the_selected_path_is_where_media_goes() {
    let link = Link::default().delay(Duration::from_millis(20));
    let mut scenario = scenario(ScenarioConfig::default().uplink(link).downlink(link), 9).joined();
    let id = scenario.create_transport();
    let path = |scenario: &Scenario| scenario.room.selected_path(id);
    assert_eq!(path(&scenario), None);

    scenario.send(id, Source::opus(32_000));
    scenario.drive(Duration::from_secs(2));
    let before = path(&scenario).unwrap();
    assert_eq!((before.protocol, before.local), (IceProtocol::Udp, Scenario::CLIENT));
    assert_eq!(before.remote, Scenario::SERVER);
    assert_eq!(before.round_trip_time, Some(Duration::from_millis(40)));

    let slower = Link::default().delay(Duration::from_millis(35));
    scenario.net.set_link(Direction::Up, slower);
    let now = scenario.now();
    let mut handle = scenario.room.transport(id).unwrap();
    handle.add_local_address(now, IceProtocol::Udp, Scenario::OTHER_CLIENT).unwrap();
    handle.remove_local_address(now, IceProtocol::Udp, Scenario::CLIENT).unwrap();
    scenario.drive(Duration::from_secs(2));
    let after = path(&scenario).unwrap();
    assert_eq!((after.local, after.remote), (Scenario::OTHER_CLIENT, Scenario::SERVER));
    assert_eq!(after.round_trip_time, Some(Duration::from_millis(55)));
    assert_media_flows(&mut scenario);
}

#[test]
fn one_certificate_serves_many_rooms() {
    let certificate = Certificate::generate().unwrap();
    let fingerprint = |seed, room: RoomConfig| {
        let mut scenario = scenario(ScenarioConfig::default().room(room), seed).sending();
        assert_media_flows(&mut scenario);
        let messages = scenario.take_messages();
        let request = messages.iter().find(|message| message["method"] == "createTransport").unwrap();
        request["dtlsParameters"]["fingerprints"][0]["value"].as_str().unwrap().to_owned()
    };
    let shared = || RoomConfig::default().certificate(certificate.clone());
    let one = fingerprint(1, shared());
    assert_eq!(fingerprint(2, shared().dtls_role(DtlsRole::Server)), one);
    assert_ne!(fingerprint(3, RoomConfig::default()), one);
}

#[test]
fn a_wrong_fingerprint_fails_and_closes_the_transport() {
    for (seed, role) in [(12, DtlsRole::Client), (13, DtlsRole::Server)] {
        let room = RoomConfig::default().dtls_role(role);
        let mut scenario = scenario(ScenarioConfig::default().room(room), seed).joined();
        let other = ["AB"; 32].join(":");
        scenario.patch_responses("createTransport", "/dtlsParameters/fingerprints/0/value", other.into());
        let id = scenario.create_transport();
        let producer = scenario.send(id, Source::opus(32_000));
        scenario.drive(Duration::from_secs(5));
        let events = transport_events(&scenario.take_events(), id);
        assert!(
            events.contains(&TransportEvent::Failed { cause: DtlsFailure::FingerprintMismatch }),
            "{role:?}: {events:?}"
        );
        assert_eq!(
            events.last(),
            Some(&TransportEvent::Close { originator: Originator::Local, app_data: None }),
            "{role:?}"
        );
        assert_eq!(scenario.server.transports().count(), 0, "the server was told");
        let producer = scenario.room.producer_info(producer).expect("the producer is kept");
        assert!(!producer.handled());
    }
}

#[test]
fn media_before_the_connection_is_refused() {
    let mut scenario = plain(14).joined();
    cut(&mut scenario, true);
    let id = scenario.create_transport();
    let producer = scenario.create_producer(Source::vp8(300_000));
    scenario.stop_media();
    let frame = || Frame::new(vec![0x10; 500], Duration::ZERO).key_frame(true);
    let now = scenario.now();
    let mut handle = scenario.room.producer(producer).unwrap();
    assert_eq!(handle.write_frame(now, frame()), Err(MediaError::Unhandled(producer)));
    handle.send(now, id).unwrap();
    scenario
        .drive_until("the producer to be handled", |scenario| scenario.room.producer_info(producer).unwrap().handled());
    let now = scenario.now();
    let mut handle = scenario.room.producer(producer).unwrap();
    assert_eq!(handle.write_frame(now, frame()), Err(MediaError::NotConnected(producer)));
    cut(&mut scenario, false);
    scenario.drive_until("the transport to be connected", Scenario::connected);
    let asked = common::producer_events(&scenario.take_events(), producer);
    assert!(matches!(asked.last(), Some(mediasoup_producer::v2::ProducerEvent::KeyFrameRequest { .. })), "{asked:?}");
    let now = scenario.now();
    assert_eq!(scenario.room.producer(producer).unwrap().write_frame(now, frame()), Ok(()));
}

#[test]
fn a_server_that_is_not_reached_at_first_is_reached_after_an_ice_restart() {
    for (seed, role) in [(15, DtlsRole::Client), (16, DtlsRole::Server)] {
        let room = RoomConfig::default().dtls_role(role);
        let mut scenario = scenario(ScenarioConfig::default().room(room), seed).joined();
        cut(&mut scenario, true);
        let id = scenario.create_transport();
        scenario.send(id, Source::vp8(300_000));
        scenario.drive(Duration::from_secs(90));
        assert_eq!(scenario.room.transport_info(id).unwrap().connection_state(), ConnectionState::Failed);
        cut(&mut scenario, false);
        let now = scenario.now();
        scenario.room.transport(id).unwrap().restart_ice(now).unwrap();
        scenario.drive_until("the transport to be connected after all", Scenario::connected);
        assert_media_flows(&mut scenario);
    }
}

#[test]
fn a_closed_transport_says_goodbye() {
    let mut scenario = plain(16).sending();
    let id = transport(&scenario);
    scenario.take_server_events();
    let mut ssrcs: Vec<_> = scenario.received().iter().map(|encoding| encoding.ssrc).collect();
    let now = scenario.now();
    scenario.room.transport(id).unwrap().close(now, None).unwrap();
    scenario.drive(Duration::from_secs(1));
    let events = scenario.take_server_events();
    let goodbye = events.iter().find_map(|event| match event {
        ServerEvent::Goodbye { ssrcs, .. } => Some(ssrcs.clone()),
        _ => None,
    });
    let mut goodbye = goodbye.unwrap_or_else(|| panic!("no BYE: {events:?}"));
    goodbye.sort_unstable();
    ssrcs.sort_unstable();
    assert!(ssrcs.iter().all(|ssrc| goodbye.contains(ssrc)), "{goodbye:?} {ssrcs:?}");
    assert!(events.contains(&ServerEvent::TransportEnded { id }), "no close_notify: {events:?}");
}

/// The server goes on sending to a transport for as long as it has not heard that it is closed.
#[test]
fn what_is_under_way_to_a_closed_transport_is_counted_and_reaches_no_other() {
    let mut scenario = plain(18).sending_with([Source::opus(32_000)]);
    let closing = transport(&scenario);
    let now = scenario.now();
    let staying = scenario.room.create_transport(now, None).unwrap();
    let mut handle = scenario.room.transport(staying).unwrap();
    handle.add_local_address(now, IceProtocol::Udp, Scenario::OTHER_CLIENT).unwrap();
    let video = scenario.send(staying, Source::vp8(300_000));
    scenario.drive_until("both to be connected", Scenario::connected);
    scenario.net.tap(1_000);
    scenario.drive(Duration::from_secs(10));
    let now = scenario.now();
    scenario.room.transport(closing).unwrap().close(now, None).unwrap();
    scenario.drive(Duration::from_secs(1));
    let late: Vec<_> = scenario
        .net
        .tapped()
        .filter(|(direction, transmit)| *direction == Direction::Down && transmit.destination == Scenario::CLIENT)
        .map(|(_, transmit)| Receive::from(transmit.clone()))
        .collect();
    assert!(late.len() > 10, "answers to checks, RTCP, the end of DTLS: {}", late.len());
    scenario.take_events();
    let before = scenario.room.stats().datagrams_discarded;
    let now = scenario.now();
    for receive in &late {
        scenario.room.handle_receive(now, receive);
    }
    assert_eq!(scenario.room.stats().datagrams_discarded, before + late.len() as u64);
    scenario.drive(Duration::from_secs(1));
    assert_eq!(connection_states(&scenario.take_events()), []);
    assert!(
        scenario.room.transport_info(staying).is_some_and(|info| info.connection_state() == ConnectionState::Connected)
    );
    let sent = packets(&scenario, video);
    scenario.drive(Duration::from_secs(1));
    assert!(packets(&scenario, video) > sent);
}

/// One address of the server, two of ours: what comes for one transport must not end in the other.
#[test]
fn two_transports_to_the_same_address_both_carry_media() {
    let mut scenario = plain(17).sending_with([Source::opus(32_000)]);
    let now = scenario.now();
    let second = scenario.room.create_transport(now, None).unwrap();
    let mut handle = scenario.room.transport(second).unwrap();
    handle.add_local_address(now, IceProtocol::Udp, Scenario::OTHER_CLIENT).unwrap();
    let video = scenario.send(second, Source::vp8(300_000));
    scenario.drive_until("both to be connected", Scenario::connected);
    scenario.drive(Duration::from_secs(10));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    assert_eq!(all_lost(&scenario.received()), 0);
    assert!(scenario.received().iter().all(|encoding| encoding.packets > 100), "{:?}", scenario.received());
    let sent = &scenario.room.outbound_stats(video)[0];
    assert!(sent.round_trip_time.is_some() && sent.target_bitrate_bps.is_some(), "RTCP was heeded: {sent:?}");
    let stats = scenario.room.stats();
    assert_eq!((stats.datagrams_discarded, stats.stun_refused, stats.rtcp_forged), (0, 0, 0), "{stats:?}");
}
