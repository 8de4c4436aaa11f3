//! From frames to packets, as the room gets them: how a frame is cut, and what of it is not sent.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

use std::time::{Duration, Instant};

use mediasoup_producer::sim::{ReceivedPacket, Scenario, ScenarioConfig, Source};
use mediasoup_producer::stats::OutboundRtpStats;
use mediasoup_producer::v2::ProducerOptions;
use mediasoup_producer::{Codec, Frame, MediaError, MediaKind, PacketizeError, ProducerId, Track};

/// A producer of video in one codec, connected.
struct Sending {
    scenario: Scenario,
    producer: ProducerId,
    frames: u32,
}

impl Sending {
    fn new(codec: Codec) -> Self {
        let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 3).sending_with([Source::vp8(1)]);
        scenario.stop_media();
        let transport = scenario.transport_id().unwrap();
        let (now, options) = (scenario.now(), ProducerOptions::default().codec(codec));
        let track = Track::new(MediaKind::Video, "camera", "Camera");
        let producer = scenario.room.create_producer(now, track, options, None).unwrap();
        scenario.room.producer(producer).unwrap().send(now, transport).unwrap();
        scenario.drive(Duration::from_secs(1));
        scenario.take_packets();
        Self { scenario, producer, frames: 0 }
    }

    fn write(&mut self, data: Vec<u8>) -> Result<(), MediaError> {
        let (now, time) = (self.scenario.now(), Duration::from_millis(33) * self.frames);
        self.frames += 1;
        let frame = Frame::new(data, time).key_frame(self.frames == 1);
        self.scenario.room.producer(self.producer).unwrap().write_frame(now, frame)
    }

    /// What has arrived since the last time.
    fn received(&mut self) -> Vec<ReceivedPacket> {
        self.scenario.drive(Duration::from_millis(500));
        self.scenario.take_packets()
    }

    fn stats(&mut self) -> OutboundRtpStats {
        self.scenario.room.producer(self.producer).unwrap().outbound_stats().remove(0)
    }
}

/// The NAL units as a byte stream (Annex B).
fn annex_b(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| [&[0, 0, 0, 1], *unit].concat()).collect()
}

const H264_KEY: [&[u8]; 3] = [&[0x67, 0x42, 0xc0, 0x1f], &[0x68, 0xce, 0x3c], &[0x65, 0x88, 0x84]];
const H265_KEY: [&[u8]; 4] = [&[0x40, 0x01, 0x0c], &[0x42, 0x01, 0x01], &[0x44, 0x01, 0xc1], &[0x26, 0x01, 0xaf]];

/// Datagrams of one length leave in one system call (GSO), with the shorter one that ends them.
#[test]
fn a_frame_is_cut_into_full_packets_and_a_last_smaller_one() {
    const BYTES: usize = 5000;
    let slice = |head: &[u8]| annex_b(&[&[head, &[7; BYTES]].concat()]);
    let frame = |head: &[u8]| [head, &[7; BYTES]].concat();
    // A key frame that begins a stream, and a frame of many packets; VP9's has a structure in its first packet alone.
    let vp9_key = [0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70];
    for (codec, first, large) in [
        (Codec::Vp8, vec![0x10, 0, 0, 0x9d, 1, 0x2a], frame(&[0x11])),
        (Codec::Vp9, vp9_key.to_vec(), frame(&vp9_key)),
        (Codec::H264, annex_b(&H264_KEY), slice(&[0x41])),
        (Codec::H265, annex_b(&H265_KEY), slice(&[0x02, 0x01])),
    ] {
        let mut sending = Sending::new(codec);
        sending.write(first).unwrap();
        sending.received();
        sending.write(large).unwrap();
        let sizes: Vec<_> = sending.received().iter().map(|packet| packet.payload.len()).collect();
        let (last, full) = sizes.split_last().unwrap();
        assert_eq!(full, [1120; 4], "{codec}");
        assert!((500..1120).contains(last), "{codec}: {sizes:?}");
    }
}

/// Phones write Dolby Vision's data into each picture of HEVC, as NAL units of type 62.
#[test]
fn a_unit_that_means_nothing_in_rtp_is_dropped_and_counted_and_the_picture_sent() {
    // H.264: 0 is unspecified, and from 24 on RTP has meanings of its own (RFC 6184 section 5.2). H.265: 48 to 63 are
    // unspecified, of which RTP takes 48 to 50 (RFC 7798 section 4.4).
    let h264 = [0u8, 24, 28, 30, 31].map(|kind| vec![0x60 | kind, 1, 2, 3]);
    let h265 = [48u8, 49, 50, 62, 63].map(|kind| vec![kind << 1, 1, 2, 3]);
    for (codec, key, strange) in [(Codec::H264, &H264_KEY[..], h264), (Codec::H265, &H265_KEY[..], h265)] {
        let mut sending = Sending::new(codec);
        sending.write(annex_b(key)).unwrap();
        let plain: Vec<_> = sending.received().into_iter().map(|packet| packet.payload).collect();

        let mut units: Vec<&[u8]> = key.to_vec();
        units.insert(1, &strange[0]);
        units.extend(strange[1..].iter().map(Vec::as_slice));
        sending.write(annex_b(&units)).unwrap();
        let received: Vec<_> = sending.received().into_iter().map(|packet| packet.payload).collect();
        assert_eq!(received, plain, "{codec}");
        assert_eq!((sending.stats().nal_units_dropped, sending.stats().frames_sent), (5, 2), "{codec}");

        // Nothing is left to send: that is said, and not counted as well.
        let error = sending.write(annex_b(&[&strange[3]])).unwrap_err();
        assert_eq!(error, MediaError::Malformed { codec, error: PacketizeError::Empty });
        assert_eq!((sending.received().len(), sending.stats().nal_units_dropped), (0, 5), "{codec}");
    }
}
