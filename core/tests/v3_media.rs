//! A device and a router of mediasoup 3 with a network between them: real media, in virtual time.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use mediasoup_producer::sim::v3::{
    Bandwidth, EncodingCounters, ProducerType, RouterConfig, RouterEvent, Scenario, ScenarioConfig,
};
use mediasoup_producer::sim::{Direction, Link, Source};
use mediasoup_producer::v3::{Event, OperationError, ProducerEvent, TransportEvent};
use mediasoup_producer::{Codec, ConnectionState, IceProtocol, MediaKind, ProducerId};

fn scenario(config: ScenarioConfig) -> Scenario {
    Scenario::new(config, Instant::now(), 7)
}

fn plain() -> Scenario {
    scenario(ScenarioConfig::default())
}

/// Lets what is under way arrive and be repaired.
fn finish(scenario: &mut Scenario) {
    scenario.stop_media();
    scenario.drive(Duration::from_secs(2));
}

fn packets(scenario: &Scenario, id: ProducerId) -> Vec<u64> {
    scenario.encodings(id).iter().map(|encoding| encoding.received.packets).collect()
}

/// Whether more of every encoding has come than had.
fn more(scenario: &Scenario, id: ProducerId, before: &[u64]) -> bool {
    packets(scenario, id).iter().zip(before).all(|(now, before)| now > before)
}

fn producer_events(scenario: &Scenario, of: ProducerId) -> Vec<ProducerEvent> {
    let events = scenario.events().iter();
    events
        .filter_map(|(_, event)| match event {
            Event::Producer { id, event } if *id == of => Some(event.clone()),
            _ => None,
        })
        .collect()
}

fn settled(scenario: &Scenario) -> Vec<Result<(), OperationError>> {
    let events = scenario.events().iter();
    events
        .filter_map(|(_, event)| match event {
            Event::Settled { result, .. } => Some(result.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn each_codec_arrives_whole() {
    for source in [Source::opus(32_000), Source::vp8(600_000), Source::vp9(600_000), Source::h264(600_000)] {
        let codec = source.codec();
        let mut scenario = plain().sending_with([source]);
        scenario.drive(Duration::from_secs(3));
        finish(&mut scenario);
        let id = scenario.producer_id(codec.kind()).unwrap();
        let router_id = scenario.router_id(id).unwrap().to_owned();
        let producer = scenario.router.producer(&router_id).unwrap();
        assert_eq!((producer.codec(), producer.kind()), (Some(codec), codec.kind()));
        assert_eq!(producer.producer_type(), ProducerType::Simple);
        let mid = producer.rtp_parameters().mid.clone();
        let signalled = producer.rtp_parameters().encodings[0].ssrc;
        let frames = scenario.take_sent();
        let received = scenario.take_packets();
        let encodings = scenario.encodings(id);
        assert_eq!(encodings.len(), 1);
        assert_eq!(encodings[0].ssrc, signalled);
        assert_eq!(encodings[0].received.packets_lost, 0, "{codec}");
        assert_eq!(encodings[0].received.packets, scenario.rtp_datagrams(), "{codec}");
        // Until the router is known to know the stream.
        assert_eq!(received[0].mid, mid, "{codec}");
        assert!(received.iter().all(|packet| packet.mid.is_none() || packet.mid == mid), "{codec}");
        let marked = received.iter().filter(|packet| packet.marker).count();
        assert!(codec == Codec::Opus || marked == frames.len(), "{codec}: each frame ends with a marker");
        let sent: usize = frames.iter().map(|sent| sent.frame.data.len()).sum();
        assert!(encodings[0].received.bytes >= sent as u64 - 4 * frames.len() as u64, "{codec}");
        assert_eq!(scenario.router.counters().rtp_refused, 0, "{codec}");
    }
}

#[test]
fn simulcast_arrives_as_three_encodings_with_rids() {
    for source in [Source::vp8_simulcast(100_000, 300_000, 900_000), Source::h264_simulcast(100_000, 300_000, 900_000)]
    {
        let codec = source.codec();
        let mut scenario = plain().sending_with([source]);
        scenario.drive(Duration::from_secs(3));
        finish(&mut scenario);
        let id = scenario.producer_id(MediaKind::Video).unwrap();
        let producer = scenario.router.producer(scenario.router_id(id).unwrap()).unwrap();
        assert_eq!(producer.producer_type(), ProducerType::Simulcast, "{codec}");
        let encodings = scenario.encodings(id);
        let rids: Vec<_> = encodings.iter().map(|encoding| encoding.rid.as_deref()).collect();
        assert_eq!(rids, [Some("r0"), Some("r1"), Some("r2")], "{codec}");
        for (index, encoding) in encodings.iter().enumerate() {
            assert_eq!(encoding.layer, index);
            assert_eq!(encoding.received.packets_lost, 0, "{codec}");
        }
        let bytes: Vec<_> = encodings.iter().map(|encoding| encoding.received.bytes).collect();
        assert!(bytes.is_sorted() && bytes[0] * 5 < bytes[2], "{codec}: {bytes:?}");
        let all: u64 = packets(&scenario, id).iter().sum();
        assert_eq!(all, scenario.rtp_datagrams(), "{codec}");
    }
}

/// As a browser signals it: the router learns each SSRC from MID and RID, and that of each RTX from MID and repaired RID.
#[test]
fn streams_without_signalled_ssrcs_are_known_by_mid_and_rid() {
    let bad = Link::default().delay(Duration::from_millis(30)).loss(0.05);
    let mut scenario = scenario(ScenarioConfig::default().uplink(bad)).leave_out_ssrcs();
    scenario = scenario.sending();
    scenario.drive(Duration::from_secs(5));
    finish(&mut scenario);
    let audio = scenario.encodings(scenario.producer_id(MediaKind::Audio).unwrap());
    assert!(audio[0].received.packets > 0 && audio[0].rid.is_none());
    let video = scenario.encodings(scenario.producer_id(MediaKind::Video).unwrap());
    assert_eq!(video.len(), 3);
    for encoding in &video {
        assert!(encoding.ssrc.is_some() && encoding.rtx_ssrc.is_some(), "{encoding:?}");
        assert!(encoding.received.packets_repaired > 0, "{encoding:?}");
        assert_eq!(encoding.received.packets_lost, 0, "{encoding:?}");
    }
}

#[test]
fn what_five_percent_loss_takes_is_repaired() {
    let bad = Link::default().delay(Duration::from_millis(30)).loss(0.05);
    let mut scenario = scenario(ScenarioConfig::default().uplink(bad).downlink(bad));
    scenario = scenario.sending_with([
        Source::vp8_simulcast(100_000, 300_000, 900_000),
        Source::h264(500_000),
        Source::vp9(500_000),
    ]);
    scenario.drive(Duration::from_secs(10));
    finish(&mut scenario);
    assert!(scenario.net.counters(Direction::Up).lost > 50);
    let received = scenario.received();
    assert_eq!(received.len(), 5);
    for EncodingCounters { received, .. } in &received {
        assert!(received.packets_repaired > 0 && received.nack_count > 0, "{received:?}");
        assert_eq!(received.packets_lost, 0, "{received:?}");
    }
}

#[test]
fn a_paused_producer_sends_nothing_and_begins_again_with_a_key_frame() {
    let mut scenario = plain().sending();
    let id = scenario.producer_id(MediaKind::Video).unwrap();
    let router_id = scenario.router_id(id).unwrap().to_owned();
    let now = scenario.now();
    scenario.device.producer(id).unwrap().pause(now).unwrap();
    scenario.drive(Duration::from_millis(500));
    assert!(scenario.router.producer(&router_id).unwrap().paused(), "the application has told the router");
    let before = packets(&scenario, id);
    scenario.drive(Duration::from_secs(2));
    assert_eq!(packets(&scenario, id), before, "nothing is sent");
    let now = scenario.now();
    scenario.device.producer(id).unwrap().resume(now).unwrap();
    scenario.take_sent();
    scenario.drive_until("media of every layer", |scenario| more(scenario, id, &before));
    assert!(!scenario.router.producer(&router_id).unwrap().paused());
    let sent = scenario.take_sent();
    for layer in 0..3 {
        let first = sent.iter().find(|sent| sent.producer == id && sent.frame.layer == layer).unwrap();
        assert!(first.frame.key_frame, "layer {layer}");
    }
}

#[test]
fn media_goes_on_through_an_ice_restart() {
    let mut scenario = plain().sending();
    let (transport, id) = (scenario.transport_id().unwrap(), scenario.producer_id(MediaKind::Video).unwrap());
    for _ in 0..3 {
        let before = packets(&scenario, id);
        scenario.restart_ice(transport);
        scenario.drive(Duration::from_secs(2));
        assert!(more(&scenario, id, &before));
        assert!(scenario.connected());
    }
    assert_eq!(settled(&scenario).iter().filter(|result| result.is_ok()).count(), 2 + 3, "producers and restarts");
    finish(&mut scenario);
    assert!(scenario.received().iter().all(|encoding| encoding.received.packets_lost == 0));
}

#[test]
fn an_ice_restart_brings_back_what_a_change_of_address_took() {
    let mut scenario = plain().sending();
    let (transport, id) = (scenario.transport_id().unwrap(), scenario.producer_id(MediaKind::Video).unwrap());
    scenario.net.set_gone(Scenario::CLIENT, true);
    scenario.drive_until("the loss to be noticed", |scenario| !scenario.connected());
    let now = scenario.now();
    let mut on = scenario.device.transport(transport).unwrap();
    on.add_local_address(now, IceProtocol::Udp, Scenario::OTHER_CLIENT).unwrap();
    let mut on = scenario.device.transport(transport).unwrap();
    on.remove_local_address(now, IceProtocol::Udp, Scenario::CLIENT).unwrap();
    let before = packets(&scenario, id);
    scenario.restart_ice(transport);
    scenario
        .drive_until("media over the other address", |scenario| scenario.connected() && more(scenario, id, &before));
}

#[test]
fn media_flows_over_tcp_alone() {
    let scenario = scenario(ScenarioConfig::default().protocol(IceProtocol::Tcp)).sending();
    let transport = scenario.router.transports().next().unwrap();
    assert_eq!(transport.path().map(|(protocol, ..)| protocol), Some(IceProtocol::Tcp));
}

#[test]
fn remb_is_what_is_agreed_and_a_cap_is_obeyed_until_it_is_lifted() {
    let mut scenario = plain().sending();
    scenario.drive(Duration::from_secs(8));
    let name = scenario.router.transports().next().unwrap().id().to_owned();
    let transport = scenario.router.transport(&name).unwrap();
    assert_eq!(transport.bandwidth(), Some(Bandwidth::Remb));
    assert!(transport.bitrate_allowed_bps() > 1_000_000, "{}", transport.bitrate_allowed_bps());
    let rate =
        |scenario: &Scenario| -> u64 { scenario.received().iter().map(|encoding| encoding.received.bitrate_bps).sum() };
    assert!(rate(&scenario) > 1_000_000);
    scenario.router.set_max_incoming_bitrate(&name, 300_000).unwrap();
    scenario.drive(Duration::from_secs(5));
    for _ in 0..5 {
        scenario.drive(Duration::from_secs(1));
        let rate = rate(&scenario);
        assert!((50_000..=330_000).contains(&rate), "{rate}");
    }
    scenario.router.set_max_incoming_bitrate(&name, 0).unwrap();
    scenario.drive(Duration::from_secs(20));
    assert!(rate(&scenario) > 1_000_000, "{}", rate(&scenario));
}

#[test]
fn a_bottleneck_is_told_by_remb() {
    let narrow = Link::default().bandwidth_bps(Some(500_000));
    let config = ScenarioConfig::default().uplink(narrow);
    let mut scenario = scenario(config).sending();
    scenario.drive(Duration::from_secs(20));
    let all: u64 = scenario.received().iter().map(|encoding| encoding.received.bitrate_bps).sum();
    assert!((100_000..=500_000).contains(&all), "{all}");
}

#[test]
fn a_stream_whose_key_frame_was_lost_asks_for_another() {
    let mut scenario = plain().loaded();
    let transport = scenario.create_transport();
    let id = scenario.send(transport, Source::vp8(400_000));
    scenario.drive_until("the connection", Scenario::connected);
    // The first frame, but not the next.
    scenario.drive_until("the first frame", |scenario| {
        scenario.rtp_datagrams() > 0 || scenario.net.counters(Direction::Up).lost > 0
    });
    let asked = |scenario: &Scenario| scenario.encodings(id)[0].received.pli_count;
    scenario.drive_until("the stream", |scenario| scenario.encodings(id)[0].ssrc.is_some());
    assert_eq!(asked(&scenario), 0, "it began with its key frame");
    let router_id = scenario.router_id(id).unwrap().to_owned();
    let now = scenario.now();
    // As three consumers would that come at once.
    for _ in 0..3 {
        assert_eq!(scenario.router.request_key_frame(now, &router_id, None), Ok(1));
    }
    assert_eq!(asked(&scenario), 1);
    let wanted = |scenario: &Scenario| {
        let events = producer_events(scenario, id);
        events.iter().filter(|event| **event == ProducerEvent::KeyFrameRequest { layer: 0 }).count()
    };
    let before = wanted(&scenario);
    scenario.drive_until("the device to hear of it", |scenario| wanted(scenario) > before);
}

#[test]
fn a_lost_request_for_a_key_frame_is_made_again() {
    let mut scenario = plain().sending_with([Source::vp8(400_000)]);
    scenario.drive(Duration::from_secs(2));
    let id = scenario.producer_id(MediaKind::Video).unwrap();
    let router_id = scenario.router_id(id).unwrap().to_owned();
    let before = scenario.encodings(id)[0].received.pli_count;
    scenario.net.set_cut(Direction::Down, true);
    let now = scenario.now();
    scenario.router.request_key_frame(now, &router_id, Some(0)).unwrap();
    scenario.drive(Duration::from_millis(500));
    scenario.net.set_cut(Direction::Down, false);
    scenario.take_sent();
    scenario.drive(Duration::from_millis(900));
    assert_eq!(scenario.encodings(id)[0].received.pli_count, before + 2);
    assert!(scenario.take_sent().iter().any(|sent| sent.frame.key_frame));
    scenario.drive(Duration::from_secs(3));
    assert_eq!(scenario.encodings(id)[0].received.pli_count, before + 2, "it came");
}

#[test]
fn two_audio_and_three_video_producers_share_a_transport() {
    let mut scenario = plain().sending_with([
        Source::opus(32_000),
        Source::opus(64_000),
        Source::vp8_simulcast(100_000, 200_000, 400_000),
        Source::h264(300_000),
        Source::vp9(300_000),
    ]);
    scenario.drive(Duration::from_secs(3));
    finish(&mut scenario);
    assert_eq!(scenario.router.transports().count(), 1);
    let mids: Vec<_> =
        scenario.router.producers().map(|producer| producer.rtp_parameters().mid.clone().unwrap()).collect();
    assert_eq!(mids, ["0", "1", "2", "3", "4"]);
    assert_eq!(scenario.received().len(), 7);
    assert!(scenario.received().iter().all(|encoding| encoding.received.packets_lost == 0));
}

#[test]
fn a_producer_that_the_device_closes_is_closed_at_the_router() {
    let mut scenario = plain().sending();
    let id = scenario.producer_id(MediaKind::Video).unwrap();
    let now = scenario.now();
    scenario.device.producer(id).unwrap().close(now).unwrap();
    scenario.drive(Duration::from_secs(1));
    assert_eq!(producer_events(&scenario, id).last(), Some(&ProducerEvent::Close));
    let kinds: Vec<_> = scenario.router.producers().map(|producer| producer.kind()).collect();
    assert_eq!(kinds, [MediaKind::Audio]);
    let audio = scenario.producer_id(MediaKind::Audio).unwrap();
    let before = packets(&scenario, audio);
    scenario.drive(Duration::from_secs(1));
    assert!(more(&scenario, audio, &before), "the other goes on");
    // Its names are free again.
    let transport = scenario.transport_id().unwrap();
    let again = scenario.send(transport, Source::vp8(300_000));
    scenario.drive_until("media", |scenario| {
        scenario.encodings(again).iter().any(|encoding| encoding.received.packets > 0)
    });
}

#[test]
fn a_producer_that_the_router_closes_is_closed_at_the_device() {
    let mut scenario = plain().sending();
    let id = scenario.producer_id(MediaKind::Video).unwrap();
    scenario.close_at_router(id);
    let counted = scenario.router_events().iter().find_map(|(_, event)| match event {
        RouterEvent::ProducerClosed { encodings, .. } => Some(encodings.len()),
        _ => None,
    });
    assert_eq!(counted, Some(3), "with its final count");
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.device.producer_info(id).is_none());
    assert!(scenario.connected());
}

#[test]
fn a_closed_transport_takes_its_producers_along_whoever_closes_it() {
    for by_router in [true, false] {
        let mut scenario = plain().sending();
        let transport = scenario.transport_id().unwrap();
        let id = scenario.producer_id(MediaKind::Video).unwrap();
        if by_router {
            scenario.close_transport_at_router(transport);
        } else {
            let now = scenario.now();
            scenario.device.transport(transport).unwrap().close(now).unwrap();
        }
        scenario.drive(Duration::from_secs(1));
        assert_eq!(scenario.router.producers().count() + scenario.router.transports().count(), 0);
        assert_eq!(scenario.device.producers().count() + scenario.device.transports().count(), 0);
        assert_eq!(producer_events(&scenario, id).last(), Some(&ProducerEvent::TransportClose));
        let closed = Event::Transport { id: transport, event: TransportEvent::Close };
        assert!(scenario.events().iter().any(|(_, event)| *event == closed));
    }
}

#[test]
fn a_producer_closed_before_its_answer_is_closed_at_the_router_when_that_comes() {
    let mut scenario = plain().loaded();
    let transport = scenario.create_transport();
    scenario.hold_answers("produce");
    let id = scenario.send(transport, Source::vp8(300_000));
    scenario.drive(Duration::from_secs(1));
    assert_eq!(scenario.router.producers().count(), 1, "the router has it");
    let now = scenario.now();
    scenario.device.producer(id).unwrap().close(now).unwrap();
    scenario.drive(Duration::from_secs(1));
    assert_eq!(settled(&scenario), [Err(OperationError::ProducerClosed)]);
    scenario.release();
    scenario.drive(Duration::from_secs(1));
    assert!(scenario.events().iter().any(|(_, event)| matches!(event, Event::Orphan { .. })));
    assert_eq!(scenario.router.producers().count(), 0);
}

#[test]
fn a_produce_that_is_never_answered_times_out_and_the_next_one_works() {
    let mut scenario = plain().loaded();
    let transport = scenario.create_transport();
    scenario.drop_answers("produce");
    scenario.send(transport, Source::vp8(300_000));
    scenario.drive(Duration::from_secs(15));
    assert_eq!(settled(&scenario), [Err(OperationError::TimedOut { request: "produce".to_owned() })]);
    scenario.release();
    let id = scenario.send(transport, Source::opus(32_000));
    scenario
        .drive_until("media", |scenario| scenario.encodings(id).iter().any(|encoding| encoding.received.packets > 0));
}

#[test]
fn a_refused_connect_is_asked_again_by_the_next_produce() {
    let mut scenario = plain().loaded();
    let transport = scenario.create_transport();
    scenario.answer("connect", Err("no transport for you"));
    scenario.send(transport, Source::vp8(300_000));
    scenario.drive(Duration::from_secs(1));
    let Some(Err(OperationError::Refused(refusal))) = settled(&scenario).first().cloned() else {
        panic!("it is refused")
    };
    assert_eq!(refusal.reason, "no transport for you");
    assert_eq!(scenario.device.transport_info(transport).unwrap().connection_state(), ConnectionState::New);
    scenario.release();
    let id = scenario.send(transport, Source::vp8(300_000));
    scenario
        .drive_until("media", |scenario| scenario.encodings(id).iter().any(|encoding| encoding.received.packets > 0));
    let methods: Vec<_> = scenario.take_messages().iter().map(|message| message["method"].clone()).collect();
    assert_eq!(methods, ["connect", "connect", "produce"]);
}

/// The MID is taken by a producer that the device knows nothing of.
#[test]
fn the_words_of_a_refusal_reach_the_application() {
    let mut scenario = plain().loaded();
    let transport = scenario.create_transport();
    let name = scenario.router.transports().next().unwrap().id().to_owned();
    let other = serde_json::json!({
        "mid": "0",
        "codecs": [{ "mimeType": "audio/opus", "payloadType": 111, "clockRate": 48000, "channels": 2 }],
        "encodings": [{ "ssrc": 1 }],
    });
    let other = serde_json::from_value(other).unwrap();
    let now = scenario.now();
    scenario.router.produce(now, &name, MediaKind::Audio, &other).unwrap();
    scenario.send(transport, Source::vp8(300_000));
    scenario.drive(Duration::from_secs(1));
    let Some(Err(OperationError::Refused(refusal))) = settled(&scenario).first().cloned() else {
        panic!("it is refused")
    };
    assert_eq!(refusal.reason, "MID already exists in RTP listener [mid:0]");
    assert_eq!(scenario.device.producers().count(), 0);
}

#[test]
fn a_router_without_transport_cc_and_with_little_else_is_enough() {
    use mediasoup_producer::sim::v3::MediaCodec;
    let router = RouterConfig::default().transport_cc(false).codecs([
        MediaCodec::vp8().preferred_payload_type(35),
        MediaCodec::h264("640032").preferred_payload_type(127),
        MediaCodec::pcma(),
    ]);
    let mut scenario =
        scenario(ScenarioConfig::default().router(router)).sending_with([Source::vp8(300_000), Source::h264(300_000)]);
    finish(&mut scenario);
    assert!(scenario.received().iter().all(|encoding| encoding.received.packets_lost == 0));
}
