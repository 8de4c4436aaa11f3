//! Whole sessions of the v3 dialect over the real media plane, against the simulated router: what is sent arrives, under the
//! right producer and encoding, and what the application does is seen at the other end.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use mediasoup_producer::sim::v3::{Bandwidth, ProducerType, RouterConfig, Scenario, ScenarioConfig};
use mediasoup_producer::sim::{Direction, Link, Source};
use mediasoup_producer::v3::{EncodingOptions, Event, OperationError, ProduceOptions, ProducerEvent, TransportEvent};
use mediasoup_producer::{Codec, ConnectionState, Frame, IceProtocol, MediaKind, ProducerId, TemporalLayer, Track};

fn scenario(config: ScenarioConfig, seed: u64) -> Scenario {
    Scenario::new(config, Instant::now(), seed)
}

fn plain(seed: u64) -> Scenario {
    scenario(ScenarioConfig::default(), seed)
}

fn audio(scenario: &Scenario) -> ProducerId {
    scenario.producer_id(MediaKind::Audio).expect("there is an audio producer")
}

fn video(scenario: &Scenario) -> ProducerId {
    scenario.producer_id(MediaKind::Video).expect("there is a video producer")
}

/// Packets that were sent and that arrived, of each encoding.
fn both_ends(scenario: &Scenario, id: ProducerId) -> Vec<(u64, u64)> {
    let sent = scenario.device.outbound_stats(id);
    let received = scenario.encodings(id);
    assert_eq!(sent.len(), received.len());
    sent.iter().zip(&received).map(|(sent, received)| (sent.packets_sent, received.received.packets)).collect()
}

fn stop_and_settle(scenario: &mut Scenario) {
    scenario.stop_media();
    scenario.drive(Duration::from_secs(2));
}

#[test]
fn every_packet_of_every_encoding_arrives_under_its_producer_with_its_mid() {
    let mut scenario = plain(1).sending();
    let id = scenario.transport_id().unwrap();
    assert!(scenario.connected());
    scenario.drive(Duration::from_secs(3));
    let packets = scenario.take_packets();
    for producer in [audio(&scenario), video(&scenario)] {
        let name = scenario.router_id(producer).unwrap().to_owned();
        let of_it: Vec<_> = packets.iter().filter(|packet| *packet.producer == name).collect();
        let info = scenario.device.producer_info(producer).unwrap();
        let mid = info.local_id().map(str::to_owned);
        assert!(mid.is_some() && of_it[0].mid == mid);
        // A stream without RTX leaves it out once the server has reported on it, and so knows it by its SSRC.
        assert!(of_it.iter().all(|packet| packet.mid == mid || info.kind() == MediaKind::Audio), "{mid:?}");
    }
    stop_and_settle(&mut scenario);
    for (sent, received) in [audio(&scenario), video(&scenario)].iter().flat_map(|id| both_ends(&scenario, *id)) {
        assert!(sent > 0);
        assert_eq!(sent, received);
    }
    let kinds: Vec<_> = scenario.router.producers().map(|producer| producer.producer_type()).collect();
    assert_eq!(kinds, [ProducerType::Simple, ProducerType::Simulcast]);
    let name = scenario.device.transport_info(id).unwrap().server_id().to_owned();
    assert_eq!(scenario.router.transport(&name).unwrap().bandwidth(), Some(Bandwidth::Remb));
    let rids: Vec<_> = scenario.encodings(video(&scenario)).into_iter().map(|encoding| encoding.rid).collect();
    assert_eq!(rids, ["r0", "r1", "r2"].map(|rid| Some(rid.to_owned())));
    assert_eq!(scenario.device.stats().requests_pending, 0);
}

#[test]
fn nothing_leaves_before_connect_is_answered_and_media_waits_for_produce() {
    let mut scenario = plain(2).loaded();
    scenario.hold_answers("connect");
    let transport = scenario.create_transport();
    let producer = scenario.send(transport, Source::vp8(500_000));
    scenario.drive(Duration::from_secs(8));
    let name = scenario.device.transport_info(transport).unwrap().server_id().to_owned();
    assert_eq!(scenario.router.transport(&name).unwrap().bytes_received(), 0);
    assert_eq!(scenario.device.transport_info(transport).unwrap().connection_state(), ConnectionState::New);
    scenario.release();
    scenario.hold_answers("produce");
    scenario.drive_until("ICE and DTLS, without the producer", Scenario::connected);
    scenario.drive(Duration::from_secs(2));
    assert_eq!(scenario.rtp_datagrams(), 0);
    scenario.take_events();
    scenario.release();
    scenario.drive(Duration::from_secs(2));
    let wanted = Event::Producer { id: producer, event: ProducerEvent::KeyFrameRequest { layer: 0 } };
    assert!(scenario.take_events().contains(&wanted));
    assert!(scenario.encodings(producer)[0].received.packets > 0);
}

/// Audio has no RTX, and is not asked for again.
#[test]
fn what_is_lost_is_repaired_in_every_encoding_of_video() {
    let bad = Link::default().delay(Duration::from_millis(30)).loss(0.05);
    let mut scenario = scenario(ScenarioConfig::default().uplink(bad).downlink(bad), 3).sending();
    scenario.drive(Duration::from_secs(10));
    scenario.net.set_link(Direction::Up, Link::default());
    scenario.drive(Duration::from_secs(1));
    stop_and_settle(&mut scenario);
    let id = video(&scenario);
    for (encoding, (sent, received)) in scenario.encodings(id).iter().zip(both_ends(&scenario, id)) {
        assert!(encoding.received.packets_repaired > 5, "{encoding:?}");
        assert_eq!(encoding.received.packets_lost, 0, "{encoding:?}");
        // Nobody can know of packets lost before the first that came.
        assert!(sent - received <= 3, "{sent} of {encoding:?}");
    }
    assert_eq!(scenario.encodings(audio(&scenario))[0].received.nack_count, 0);
}

#[test]
fn what_the_server_allows_becomes_the_encoders_target() {
    let router = RouterConfig::default().max_incoming_bitrate_bps(Some(300_000));
    let mut scenario = scenario(ScenarioConfig::default().router(router), 4).sending();
    scenario.drive(Duration::from_secs(12));
    let stats = scenario.device.outbound_stats(video(&scenario));
    let total: u64 = stats.iter().filter_map(|stats| stats.target_bitrate_bps).sum();
    assert!((150_000..=300_000).contains(&total), "{stats:?}");
}

#[test]
fn ice_restart_goes_unnoticed_and_brings_a_lost_path_back() {
    let mut scenario = plain(5).sending();
    let id = scenario.transport_id().unwrap();
    scenario.restart_ice(id);
    scenario.drive(Duration::from_secs(3));
    assert!(scenario.connected());
    stop_and_settle(&mut scenario);
    for (sent, received) in both_ends(&scenario, video(&scenario)) {
        assert_eq!(sent, received);
    }
    // Our address is gone, and there is another.
    let now = scenario.now();
    let mut transport = scenario.device.transport(id).unwrap();
    transport.remove_local_address(now, IceProtocol::Udp, Scenario::CLIENT).unwrap();
    transport.add_local_address(now, IceProtocol::Udp, Scenario::OTHER_CLIENT).unwrap();
    scenario.restart_ice(id);
    scenario.resume_media();
    let before = scenario.encodings(audio(&scenario))[0].received.packets;
    scenario.drive_until("media from the other address", |scenario| {
        scenario.encodings(audio(scenario))[0].received.packets > before + 10
    });
    let path = scenario.device.transport_info(id).unwrap().selected_path().unwrap();
    assert_eq!(path.local, Scenario::OTHER_CLIENT);
}

#[test]
fn media_goes_over_tcp() {
    let mut scenario = scenario(ScenarioConfig::default().protocol(IceProtocol::Tcp), 6).sending();
    stop_and_settle(&mut scenario);
    for (sent, received) in both_ends(&scenario, video(&scenario)) {
        assert!(sent > 0);
        assert_eq!(sent, received);
    }
}

#[test]
fn pause_and_close_end_media_at_once_and_a_late_producer_is_closed_at_the_router() {
    let mut scenario = plain(7).sending();
    let id = video(&scenario);
    let now = scenario.now();
    scenario.device.producer(id).unwrap().pause(now).unwrap();
    scenario.drive(Duration::from_secs(1));
    let counters = scenario.encodings(id);
    scenario.drive(Duration::from_secs(2));
    assert_eq!(scenario.encodings(id)[0].received.packets, counters[0].received.packets);
    let now = scenario.now();
    scenario.device.producer(id).unwrap().resume(now).unwrap();
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.encodings(id)[0].received.packets > counters[0].received.packets);
    assert_eq!(scenario.encodings(id)[0].received.packets_lost, 0);

    scenario.hold_answers("produce");
    let transport = scenario.transport_id().unwrap();
    let late = scenario.send(transport, Source::opus(32_000));
    scenario.drive(Duration::from_secs(1));
    assert_eq!(scenario.router.producers().count(), 3);
    let now = scenario.now();
    scenario.device.producer(late).unwrap().close(now).unwrap();
    scenario.release();
    scenario.drive(Duration::from_secs(1));
    assert_eq!(scenario.router.producers().count(), 2);
}

#[test]
fn the_router_s_refusal_is_told_in_its_words() {
    let mut scenario = plain(8).sending();
    let transport = scenario.transport_id().unwrap();
    scenario.answer("produce", Err("Error: worker closed"));
    scenario.take_events();
    let refused = scenario.send(transport, Source::vp8(100_000));
    scenario.drive(Duration::from_secs(1));
    let told = scenario.take_events().into_iter().find_map(|event| match event {
        Event::Settled { result: Err(OperationError::Refused(refusal)), .. } => Some(refusal.reason),
        _ => None,
    });
    assert_eq!(told.as_deref(), Some("Error: worker closed"));
    assert!(scenario.device.producer_info(refused).is_none());
    assert!(scenario.connected());
}

#[test]
fn closing_says_goodbye_and_leaves_nothing() {
    let mut scenario = plain(9).sending();
    let id = scenario.transport_id().unwrap();
    let now = scenario.now();
    scenario.take_events();
    scenario.device.transport(id).unwrap().close(now).unwrap();
    scenario.drive(Duration::from_secs(1));
    let events = scenario.take_events();
    assert_eq!(events.last(), Some(&Event::Transport { id, event: TransportEvent::Close }));
    assert_eq!(scenario.device.poll_timeout(), None);
    let goodbyes = scenario.router_events().iter().map(|(_, event)| format!("{event:?}")).collect::<Vec<_>>();
    assert!(goodbyes.iter().any(|event| event.starts_with("Goodbye")), "{goodbyes:?}");
    assert!(goodbyes.iter().any(|event| event.starts_with("TransportEnded")), "{goodbyes:?}");
}

#[test]
fn several_producers_of_both_kinds_share_a_transport() {
    let opus = || Source::opus(32_000);
    let vp8 = || Source::vp8(200_000);
    let mut scenario = plain(10).sending_with([opus(), vp8(), opus(), vp8(), vp8()]);
    scenario.drive(Duration::from_secs(3));
    stop_and_settle(&mut scenario);
    let ids: Vec<_> = scenario.device.producers().map(|producer| producer.id()).collect();
    assert_eq!(ids.len(), 5);
    for id in ids {
        let (sent, received) = both_ends(&scenario, id)[0];
        assert!(sent > 0);
        assert_eq!(sent, received);
    }
}

#[test]
fn a_transport_whose_connect_answer_was_lost_is_closed_at_both_ends_and_another_serves() {
    let mut scenario = plain(12).loaded();
    let lost = scenario.create_transport();
    scenario.drop_answers("connect");
    scenario.send(lost, Source::opus(32_000));
    scenario.drive(Duration::from_secs(11));
    scenario.release();
    scenario.send(lost, Source::opus(32_000));
    scenario.drive(Duration::from_secs(1));
    let events = scenario.take_events();
    let cause = events.iter().find_map(|event| match event {
        Event::Transport { event: TransportEvent::ConnectLost { refusal }, .. } => Some(refusal.reason.clone()),
        _ => None,
    });
    // The router's own words: it had taken the first.
    assert!(cause.unwrap().contains("connect() already called"));
    assert_eq!(scenario.router.transports().count(), 0);

    let another = scenario.create_transport();
    let audio = scenario.send(another, Source::opus(32_000));
    scenario.drive_until("media over another transport", |scenario| {
        scenario.encodings(audio).first().is_some_and(|encoding| encoding.received.packets > 0)
    });
}

/// S, picture id, TL0PICIDX, TID and Y of a VP8 packet (RFC 7741 section 4.2), as mediasoup's worker reads them.
fn vp8_descriptor(payload: &[u8]) -> (bool, u16, Option<(u8, u8, bool)>) {
    assert_eq!((payload[0] & 0x87, payload[1] & 0x9f, payload[2] >> 7), (0x80, 0x80, 1), "X, PID 0, I without K, M");
    let picture_id = u16::from_be_bytes([payload[2] & 0x7f, payload[3]]);
    let (base, temporal) = (payload[1] & 0x40 != 0, payload[1] & 0x20 != 0);
    assert_eq!(base, temporal, "TL0PICIDX and TID are there together");
    let layers = base.then(|| (payload[4], payload[5] >> 6, payload[5] & 0x20 != 0));
    (payload[0] & 0x10 != 0, picture_id, layers)
}

#[test]
fn temporal_layers_arrive_as_the_frames_say() {
    let mut scenario = plain(13).loaded();
    let transport = scenario.create_transport();
    let now = scenario.now();
    let encoding = |mode: &str| EncodingOptions::default().scalability_mode(mode);
    let options = ProduceOptions::default().codec(Codec::Vp8).encodings([encoding("L1T1"), encoding("L1T3")]);
    let camera = Track::new(MediaKind::Video, "camera", "");
    let id = scenario.device.transport(transport).unwrap().produce(now, camera, options).unwrap().producer;
    scenario
        .drive_until("the producer to be live", |scenario| scenario.connected() && scenario.router_id(id).is_some());
    // The pattern of three layers: each picture depends on none of a higher layer.
    let pattern = [(0, false), (2, true), (1, true), (2, false)];
    for number in 0..400u32 {
        let (index, sync) = pattern[number as usize % 4];
        let now = scenario.now();
        let data = vec![u8::from(number != 0); 1 + 700 * (number as usize % 5)];
        let frame = Frame::new(data, Duration::from_millis(33) * number).key_frame(number == 0);
        let mut producer = scenario.device.producer(id).unwrap();
        producer.write_frame(now, frame.clone()).unwrap();
        producer.write_frame(now, frame.layer(1usize).temporal_layer(TemporalLayer::new(index).sync(sync))).unwrap();
        scenario.drive(Duration::from_millis(33));
    }
    scenario.drive(Duration::from_secs(1));
    let packets = scenario.take_packets();
    let frames_of = |layer| {
        let of_layer = packets.iter().filter(|packet| packet.layer == layer);
        let descriptors: Vec<_> = of_layer.map(|packet| vp8_descriptor(&packet.payload)).collect();
        // The packets of a frame say the same.
        for pair in descriptors.windows(2).filter(|pair| !pair[1].0) {
            assert_eq!((pair[0].1, pair[0].2), (pair[1].1, pair[1].2));
        }
        descriptors.into_iter().filter(|(starts, ..)| *starts).collect::<Vec<_>>()
    };
    assert_eq!(frames_of(0).iter().filter(|(_, _, layers)| layers.is_none()).count(), 400, "one layer says nothing");
    let frames = frames_of(1);
    assert_eq!(frames.len(), 400);
    let (first, Some((base, ..))) = (frames[0].1, frames[0].2) else { panic!("it has layers") };
    for (number, (_, picture_id, layers)) in (0u16..).zip(&frames) {
        let (index, sync) = pattern[usize::from(number) % 4];
        assert_eq!(*picture_id, first.wrapping_add(number) & 0x7fff);
        assert_eq!(*layers, Some((base.wrapping_add((number / 4) as u8), index, sync)), "frame {number}");
    }
}

/// One server has one address for all its transports: what is under way to a socket that is closed must not reach another.
#[test]
fn a_transport_closed_amid_its_handshake_does_not_take_another_with_it() {
    for milliseconds in (0..120).step_by(3) {
        let mut scenario = plain(14).loaded();
        let (closing, staying) = (scenario.create_transport(), scenario.create_transport());
        scenario.send(closing, Source::opus(32_000));
        scenario.drive(Duration::from_millis(12));
        scenario.send(staying, Source::opus(32_000));
        scenario.drive(Duration::from_millis(milliseconds));
        let now = scenario.now();
        scenario.device.transport(closing).unwrap().close(now).unwrap();
        scenario.drive_until("the other transport to connect", Scenario::connected);
    }
}
