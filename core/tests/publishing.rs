//! Media goes from the application into the room, whole and unchanged.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::{plain, scenario};
use mediasoup_producer::IceProtocol;
use mediasoup_producer::sim::{ConnectionId, Link, ReceivedPacket, Scenario, ScenarioConfig, Source};
use mediasoup_producer::v2::Profile;
use mediasoup_producer::{MediaKind, ProducerId};
use serde_json::json;

/// Lets media flow for some seconds, and what is under way arrive.
fn published(mut scenario: Scenario) -> Scenario {
    scenario = scenario.sending_with([
        Source::opus(32_000),
        Source::vp8(500_000),
        Source::vp8_simulcast(100_000, 300_000, 900_000),
    ]);
    scenario.drive(Duration::from_secs(3));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    scenario
}

fn assert_all_received(scenario: &mut Scenario) {
    let ids: Vec<_> = scenario.room.producers().map(|producer| producer.id()).collect();
    assert_eq!(ids.len(), 3);
    for id in ids {
        let sent = scenario.room.producer(id).unwrap().outbound_stats();
        let received = scenario.server.encodings(id);
        assert_eq!(sent.len(), received.len());
        for (sent, received) in sent.iter().zip(received) {
            assert_eq!((sent.layer, sent.ssrc), (received.profile.layer(), received.ssrc));
            assert!(sent.packets_sent > 70);
            assert_eq!((sent.packets_sent, sent.bytes_sent), (received.packets, received.bytes));
            assert_eq!((received.packets_lost, received.packets_repaired), (0, 0));
        }
    }
}

#[test]
fn every_packet_is_received() {
    assert_all_received(&mut published(plain(1)));
}

#[test]
fn every_packet_is_received_over_tcp() {
    assert_all_received(&mut published(scenario(ScenarioConfig::default().protocol(IceProtocol::Tcp), 2)));
}

/// Browsers have payload types and extension ids of their own, and say so in `createProducer`.
#[test]
fn a_producer_may_use_payload_types_and_extension_ids_of_its_own() {
    let lossy = Link::default().loss(0.05);
    let mut scenario = scenario(ScenarioConfig::default().uplink(lossy), 6);
    // The room's settings are made out to be others than they are; the join, which would show it, is made in our place.
    let codec = |index: usize, field: &str| format!("/rtpCapabilities/codecs/{index}/{field}");
    let now = scenario.now();
    let join = json!({
        "method": "join", "target": "room", "peerName": "sender",
        "rtpCapabilities": { "codecs": [], "headerExtensions": [] },
    });
    scenario.server.handle_request(now, ConnectionId(0), u64::MAX, &join);
    scenario.answer("join", Ok(json!({ "peers": [] })));
    let mut settings = json!({
        "rtpCapabilities": scenario.server.rtp_capabilities(), "mandatoryCodecPayloadTypes": [],
    });
    for (pointer, value) in [
        (codec(0, "preferredPayloadType"), 111),
        (codec(1, "preferredPayloadType"), 96),
        (codec(2, "preferredPayloadType"), 97),
        (codec(2, "parameters/apt"), 96),
        ("/rtpCapabilities/headerExtensions/0/preferredId".to_owned(), 14),
        ("/rtpCapabilities/headerExtensions/5/preferredId".to_owned(), 4),
        ("/rtpCapabilities/headerExtensions/6/preferredId".to_owned(), 4),
        ("/rtpCapabilities/headerExtensions/4/preferredId".to_owned(), 13),
    ] {
        *settings.pointer_mut(&pointer).expect("the settings have it") = value.into();
    }
    scenario.answer("queryRoom", Ok(settings));
    let mut scenario = scenario.sending();
    scenario.drive(Duration::from_secs(5));
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    let audio = scenario.producer_id(MediaKind::Audio).unwrap();
    let parameters = scenario.room.producer_info(audio).unwrap().rtp_parameters().unwrap();
    assert_eq!(parameters.codecs[0].payload_type, 111);
    let packets = scenario.take_packets();
    for packet in &packets {
        let (payload_type, mid) = if packet.producer == audio { (100, "0") } else { (101, "1") };
        assert_eq!(packet.payload_type, payload_type, "the room's own number");
        // Once a receiver report has come, the MID need not be repeated.
        assert!(packet.mid.as_deref().is_none_or(|of| of == mid));
        assert_eq!(packet.audio_level.is_some(), packet.producer == audio);
    }
    assert!(packets.iter().any(|packet| packet.mid.is_some()));
    let video = scenario.producer_id(MediaKind::Video).unwrap();
    for encoding in scenario.server.encodings(video) {
        assert!(encoding.packets_lost == 0 && encoding.packets_repaired > 0, "{encoding:?}");
    }
}

/// The payload data of each frame of a stream in order, with its timestamp.
fn frames(packets: &[ReceivedPacket]) -> Vec<(u32, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut current: Option<(u32, u16, Vec<u8>)> = None;
    let mut last: Option<(u64, u16)> = None;
    for packet in packets {
        if let Some((sequence_number, _)) = last {
            assert_eq!(packet.sequence_number, sequence_number + 1);
        }
        // RFC 7741 section 4.2: X, then I, then a 15-bit picture id.
        let [first, 0x80, high, low, data @ ..] = &packet.payload[..] else { panic!("another descriptor") };
        let picture_id = u16::from_be_bytes([high & 0x7f, *low]);
        assert_eq!(high & 0x80, 0x80);
        match &mut current {
            None => {
                assert_eq!(*first, 0x90, "a frame starts");
                if let Some((_, last)) = last {
                    assert_eq!(picture_id, (last + 1) & 0x7fff);
                }
                current = Some((packet.timestamp, picture_id, data.to_vec()));
            }
            Some((timestamp, id, frame)) => {
                assert_eq!((*first, picture_id, packet.timestamp), (0x80, *id, *timestamp), "the frame goes on");
                frame.extend_from_slice(data);
            }
        }
        last = Some((packet.sequence_number, picture_id));
        if packet.marker {
            let (timestamp, _, frame) = current.take().unwrap();
            frames.push((timestamp, frame));
        }
    }
    assert!(current.is_none(), "the last frame ends with a marker");
    frames
}

#[test]
fn vp8_frames_come_out_as_they_went_in() {
    let mut scenario = published(plain(3));
    let mut packets: BTreeMap<(ProducerId, Profile), Vec<ReceivedPacket>> = BTreeMap::new();
    for packet in scenario.take_packets() {
        packets.entry((packet.producer, packet.profile)).or_default().push(packet);
    }
    let sent = scenario.take_sent();
    let mut streams = 0;
    for ((id, profile), packets) in packets {
        let producer = scenario.room.producer_info(id).unwrap();
        if producer.kind() == MediaKind::Audio {
            continue;
        }
        streams += 1;
        let written: Vec<_> = sent
            .iter()
            .filter(|sent| (sent.producer, sent.frame.layer) == (id, profile.layer()))
            .map(|s| &s.frame)
            .collect();
        let received = frames(&packets);
        assert_eq!(written.len(), received.len());
        assert!(written[0].key_frame, "the first frame is one that a decoder can begin with");
        for (written, (_, received)) in written.iter().zip(&received) {
            assert!(written.data == received[..], "not the frame that was written");
        }
        for pair in received.windows(2) {
            assert_eq!(pair[1].0.wrapping_sub(pair[0].0), 3600, "25 frames a second at 90 kHz");
        }
        let mid = producer.rtp_parameters().unwrap().mux_id.clone();
        assert_eq!(packets[0].mid.as_ref(), Some(&mid));
    }
    assert_eq!(streams, 4);
}

#[test]
fn the_layers_of_a_frame_share_a_timestamp() {
    let mut scenario = published(plain(4));
    let mut timestamps: BTreeMap<Profile, Vec<u32>> = BTreeMap::new();
    for packet in scenario.take_packets().iter().filter(|packet| packet.profile != Profile::Default && packet.marker) {
        timestamps.entry(packet.profile).or_default().push(packet.timestamp);
    }
    assert!(timestamps[&Profile::Low].len() > 70);
    assert_eq!(timestamps[&Profile::Low], timestamps[&Profile::Medium]);
    assert_eq!(timestamps[&Profile::Low], timestamps[&Profile::High]);
}

#[test]
fn opus_frames_come_out_with_their_loudness() {
    let mut scenario = published(plain(5));
    let sent = scenario.take_sent();
    let written: Vec<_> = sent.iter().filter(|sent| sent.frame.audio_level.is_some()).map(|sent| &sent.frame).collect();
    let packets: Vec<_> =
        scenario.take_packets().into_iter().filter(|packet| packet.codec.kind() == MediaKind::Audio).collect();
    assert_eq!(written.len(), packets.len());
    for (written, packet) in written.iter().zip(&packets) {
        assert_eq!((&written.data, written.audio_level), (&packet.payload, packet.audio_level));
        assert!(!packet.marker);
    }
    for pair in packets.windows(2) {
        assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), 960, "20 ms at 48 kHz");
    }
}

/// Lip-sync rests on it: how long the packets of a large frame are spread is not the camera's affair.
#[test]
fn sender_reports_name_the_time_at_which_a_frame_was_handed_in() {
    let mut scenario = plain(7).sending_with([Source::vp8(100_000)]);
    let id = scenario.producer_id(MediaKind::Video).unwrap();
    let mut offsets = Vec::new();
    for bitrate_bps in [100_000, 12_000_000] {
        scenario.source(id).unwrap().set_bitrate_bps(Profile::Default, bitrate_bps);
        scenario.drive(Duration::from_secs(5));
        scenario.take_packets();
        scenario.drive(Duration::from_secs(5));
        let reports = scenario.take_packets().into_iter().filter_map(|packet| packet.sender_report);
        offsets.extend(reports.map(|(clock, timestamp)| {
            let clock = clock.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as u64;
            (clock * 9 / 100) as u32 as i64 - i64::from(timestamp)
        }));
    }
    let offset = |offset: &i64| (*offset - offsets[0]) as i32;
    let range = (offsets.iter().map(offset).min().unwrap(), offsets.iter().map(offset).max().unwrap());
    assert!(range.1 - range.0 < 90, "within a millisecond at 90 kHz: {range:?}");
}
