//! RTP packets made elsewhere: how datagrams are read, and what becomes of their numbers.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use bytes::Bytes;
use mediasoup_producer::sim::{Scenario, ScenarioConfig, Source};
use mediasoup_producer::{MediaError, MediaKind, RtpPacket, RtpPacketError};
use proptest::prelude::*;

#[test]
fn a_packet_as_ffmpeg_sends_it() {
    let datagram = [0x80, 0xe0, 0x12, 0x34, 0, 0, 0x0b, 0xb8, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3];
    let packet = RtpPacket::parse(Bytes::copy_from_slice(&datagram)).unwrap();
    assert_eq!((packet.sequence_number, packet.timestamp, packet.ssrc), (0x1234, 3000, 0xdead_beef));
    assert!(packet.marker);
    assert_eq!(packet.payload, [1, 2, 3][..]);
}

#[test]
fn sources_extension_and_padding_are_stripped() {
    // Two contributing sources, one word of extension, four bytes of padding.
    let datagram = [
        0xb2, 111, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 8, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 9, 9, 9,
        0, 0, 0, 4,
    ];
    assert_eq!(RtpPacket::parse(Bytes::copy_from_slice(&datagram)).unwrap().payload, [9, 9, 9][..]);
}

#[test]
fn what_is_no_rtp_is_named() {
    let error = |datagram: &'static [u8]| RtpPacket::parse(Bytes::from_static(datagram)).unwrap_err();
    assert_eq!(error(&[]), RtpPacketError::TooShort);
    assert_eq!(error(b"GET / HTTP/1.1\r\n"), RtpPacketError::NotRtp);
    assert_eq!(error(&[0x80, 200, 0, 6, 0, 0, 0, 1]), RtpPacketError::Rtcp);
    assert_eq!(error(&[0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), RtpPacketError::Padding);
    assert_eq!(error(&[0xa0, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), RtpPacketError::TooShort);
}

proptest! {
    #[test]
    fn no_datagram_panics(first in prop_oneof![Just(0x80u8), any::<u8>()], mut rest: Vec<u8>) {
        rest.insert(0, first);
        let _ = RtpPacket::parse(Bytes::from(rest));
    }
}

fn packet(ssrc: u32, sequence_number: u16, timestamp: u32) -> RtpPacket {
    let mut datagram = vec![0x80, 0x80 | 96];
    datagram.extend(sequence_number.to_be_bytes());
    datagram.extend(timestamp.to_be_bytes());
    datagram.extend(ssrc.to_be_bytes());
    datagram.extend([0x90, 0x80, 0x80, 1, 1, 0, 0]);
    RtpPacket::parse(datagram.into()).unwrap()
}

/// Hands packets in, 33 ms from one to the next; returns what the room got as steps of number and time.
fn steps(packets: &[RtpPacket]) -> Vec<(i32, i32)> {
    let source = Source::vp8(100_000);
    let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 5).sending_with([source]);
    scenario.stop_media();
    scenario.drive(Duration::from_secs(1));
    scenario.take_packets();
    let id = scenario.producer_id(MediaKind::Video).unwrap();
    for packet in packets {
        let now = scenario.now();
        let _ = scenario.room.producer(id).unwrap().write_packet(now, packet.clone());
        scenario.drive(Duration::from_millis(33));
    }
    let received = scenario.take_packets();
    received
        .windows(2)
        .map(|pair| {
            let step = pair[1].sequence_number.wrapping_sub(pair[0].sequence_number) as i16;
            (i32::from(step), pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32)
        })
        .collect()
}

#[test]
fn gaps_and_order_of_the_source_are_kept() {
    let given = [(65_534, 0), (65_535, 3000), (1, 9000), (0, 6000), (2, 12_000)];
    let packets: Vec<_> = given.iter().map(|(number, time)| packet(7, *number, *time)).collect();
    assert_eq!(steps(&packets), [(1, 3000), (2, 6000), (-1, -3000), (2, 6000)]);
}

/// RFC 3550 appendix A.1: one packet that is held up for long, as a retransmission is, is no new source.
#[test]
fn one_packet_far_out_of_sequence_is_no_new_source() {
    let given = [(1000, 0), (1001, 3000), (851, 0), (1002, 6000), (30_000, 0), (1003, 9000), (852, 0), (1004, 12_000)];
    let packets: Vec<_> = given.iter().map(|(number, time)| packet(7, *number, *time)).collect();
    assert_eq!(steps(&packets), [(1, 3000); 4]);
}

#[test]
fn two_packets_in_sequence_are_a_source_that_began_anew() {
    let given = [(1000, 0), (1001, 3000), (30_000, 6000), (30_001, 9000), (30_002, 12_000)];
    let packets: Vec<_> = given.iter().map(|(number, time)| packet(7, *number, *time)).collect();
    assert_eq!(steps(&packets), [(1, 3000), (1, 6000), (1, 3000)]);
}

#[test]
fn another_ssrc_is_another_source_joined_on() {
    let packets =
        [packet(6, 1, 0), packet(7, 100, 5000), packet(8, 40_000, 4_000_000_000), packet(8, 40_001, 4_000_003_000)];
    // 33 ms at 90 kHz. The first step is from the time of the frames that were sent before.
    assert_eq!(steps(&packets)[1..], [(1, 2970), (1, 3000)]);
}

#[test]
fn a_packet_that_went_out_is_refused() {
    let source = Source::vp8(100_000);
    let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 5).sending_with([source]);
    let (id, now) = (scenario.producer_id(MediaKind::Video).unwrap(), scenario.now());
    let mut producer = scenario.room.producer(id).unwrap();
    producer.write_packet(now, packet(7, 100, 0)).unwrap();
    assert_eq!(producer.write_packet(now, packet(7, 100, 0)), Err(MediaError::DuplicatePacket));
    assert_eq!(producer.write_packet(now, packet(7, 65_000, 0)), Err(MediaError::OutOfSequence));
}
