//! VP8 in RTP (RFC 7741).

use std::sync::Arc;

use super::TemporalLayer;
use super::payload::{PacketizeError, checked_limit, fragments, join};

/// Payload descriptor of every packet (RFC 7741, 4.2):
///
/// ```text
///     |X|R|N|S|R| PID |   X=1, N=0, S=1 in the first packet of a frame, PID=0
/// X:  |I|L|T|K|  RSV  |   I=1; L=1 and T=1 in a stream with temporal layers, else 0; K=0
/// I:  |M| PictureID   |   M=1: 15 bits
///     |   PictureID   |
/// L:  |   TL0PICIDX   |   of the base layer's last frame; one more with each
/// T:  |TID|Y| KEYIDX  |   Y=1: it depends on that frame alone
/// ```
///
/// A mediasoup v2 server parses no descriptor without X, sees no key frame in such a stream, and so forwards none of it. The
/// picture id has the long form from the start: the server rewrites it in place and makes long ones of short ones itself. One
/// of mediasoup 3 looks at temporal layers only where all three of picture id, TL0PICIDX and TID are there.
const DESCRIPTOR: usize = 4;
const WITH_TEMPORAL_LAYER: usize = 6;

/// Cuts VP8 frames into RTP payloads; one for each stream.
///
/// The bitstream is not looked at: encoders that hand out their partitions apart gain nothing here, since PID 0 with S in
/// the first packet alone is allowed (RFC 7741, 4.2) and is what browsers send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vp8Packetizer {
    picture_id: u16,
    /// TL0PICIDX of the base layer's last frame.
    base_index: u8,
}

impl Vp8Packetizer {
    /// `picture_id` is that of the first frame; RFC 7741, 4.2 lets it start anywhere, and TL0PICIDX too. Only its lower 15
    /// bits count.
    pub(crate) fn new(picture_id: u16) -> Self {
        Self { picture_id: picture_id & 0x7fff, base_index: 0 }
    }

    /// Appends the payloads of one frame to `out`; the marker bit belongs on the last one. An error changes nothing. Of the
    /// index of the temporal layer the lower two bits count.
    pub(crate) fn packetize(
        &mut self,
        frame: &[u8],
        temporal_layer: Option<TemporalLayer>,
        max_payload: usize,
        out: &mut Vec<Arc<[u8]>>,
    ) -> Result<(), PacketizeError> {
        let limit = checked_limit(frame, max_payload)?;
        let [high, low] = self.picture_id.to_be_bytes();
        let mut descriptor = [0x90, 0x80, 0x80 | high, low, 0, 0];
        let mut length = DESCRIPTOR;
        if let Some(layer) = temporal_layer {
            if layer.index() == 0 {
                self.base_index = self.base_index.wrapping_add(1);
            }
            descriptor[1] |= 0x60;
            descriptor[4] = self.base_index;
            descriptor[5] = layer.index() << 6 | u8::from(layer.is_sync()) << 5;
            length = WITH_TEMPORAL_LAYER;
        }
        for fragment in fragments(frame, limit - length, 0) {
            out.push(join([&descriptor[..length], fragment].into_iter()));
            descriptor[0] = 0x80;
        }
        // Consecutive over all frames, key frames too: without TL0PICIDX a browser takes each frame to depend on the one
        // whose picture id is one less.
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        Ok(())
    }
}

/// Whether `frame` is a key frame: the lowest bit of the frame tag is 0 (RFC 6386, 9.1).
pub(crate) fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|tag| tag & 1 == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a descriptor of any form: S with PID 0, picture id, data.
    fn depacketize(payload: &[u8]) -> Option<(bool, Option<u16>, &[u8])> {
        let (&first, mut rest) = payload.split_first()?;
        let mut next = || {
            let (&byte, tail) = rest.split_first()?;
            rest = tail;
            Some(byte)
        };
        let mut picture_id = None;
        if first & 0x80 != 0 {
            let extension = next()?;
            if extension & 0x80 != 0 {
                let high = next()?;
                picture_id = Some(match high & 0x80 {
                    0 => u16::from(high),
                    _ => u16::from_be_bytes([high & 0x7f, next()?]),
                });
            }
            if extension & 0x40 != 0 {
                next()?;
            }
            if extension & 0x30 != 0 {
                next()?;
            }
        }
        Some((first & 0x17 == 0x10, picture_id, rest))
    }

    proptest! {
        #[test]
        fn every_frame_comes_back_under_consecutive_picture_ids(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..6000), 1..6),
            max in 100usize..1500,
            start: u16,
        ) {
            let mut packetizer = Vp8Packetizer::new(start);
            for (index, frame) in (0u16..).zip(&frames) {
                let mut out = Vec::new();
                packetizer.packetize(frame, None, max, &mut out).unwrap();
                let mut data = Vec::new();
                for (position, payload) in out.iter().enumerate() {
                    prop_assert!(payload.len() <= max);
                    let (starts, picture_id, part) = depacketize(payload).unwrap();
                    prop_assert_eq!(starts, position == 0);
                    prop_assert_eq!(picture_id, Some(start.wrapping_add(index) & 0x7fff));
                    // What the server looks at to recognise a key frame.
                    prop_assert_eq!(starts && is_key_frame(part), position == 0 && is_key_frame(frame));
                    data.extend_from_slice(part);
                }
                prop_assert_eq!(&data, frame);
            }
        }
    }

    #[test]
    fn the_descriptor_is_as_in_the_rfc() {
        let mut out = Vec::new();
        let mut packetizer = Vp8Packetizer::new(0x7fff);
        packetizer.packetize(&[7; 100], None, 64, &mut out).unwrap();
        packetizer.packetize(&[8], None, 64, &mut out).unwrap();
        assert_eq!(out[0][..5], [0x90, 0x80, 0xff, 0xff, 7]);
        assert_eq!(out[1][..5], [0x80, 0x80, 0xff, 0xff, 7]);
        assert_eq!(out[2][..], [0x90, 0x80, 0x80, 0x00, 8]);
        assert_eq!(packetizer, Vp8Packetizer::new(1), "wrapped at 15 bits");
    }

    #[test]
    fn temporal_layers_are_as_in_the_rfc() {
        let mut packetizer = Vp8Packetizer::new(0x1234);
        packetizer.base_index = 0xfe;
        let mut descriptors = Vec::new();
        for layer in [
            TemporalLayer::new(0),
            TemporalLayer::new(2).sync(true),
            TemporalLayer::new(1).sync(true),
            TemporalLayer::new(2),
            TemporalLayer::new(0),
        ] {
            let mut out = Vec::new();
            packetizer.packetize(&[7; 100], Some(layer), 64, &mut out).unwrap();
            assert_eq!(out[0].len(), 64);
            assert_eq!((out[0][0], out[1][0], &out[0][1..6]), (0x90, 0x80, &out[1][1..6]));
            descriptors.push(out[0][1..6].to_vec());
        }
        let expected = [
            [0xe0, 0x92, 0x34, 0xff, 0x00],
            [0xe0, 0x92, 0x35, 0xff, 0xa0],
            [0xe0, 0x92, 0x36, 0xff, 0x60],
            [0xe0, 0x92, 0x37, 0xff, 0x80],
            [0xe0, 0x92, 0x38, 0x00, 0x00],
        ];
        assert_eq!(descriptors, expected);
    }

    #[test]
    fn a_refused_frame_uses_no_picture_id() {
        let mut out = Vec::new();
        let mut packetizer = Vp8Packetizer::new(5);
        let base = Some(TemporalLayer::new(0));
        assert_eq!(packetizer.packetize(&[], base, 1200, &mut out), Err(PacketizeError::Empty));
        assert_eq!(packetizer.packetize(&[1], base, 10, &mut out), Err(PacketizeError::LimitTooSmall(10)));
        assert_eq!((packetizer, out.len()), (Vp8Packetizer::new(5), 0));
    }

    #[test]
    fn the_frame_tag_tells_a_key_frame() {
        assert!(is_key_frame(&[0x10, 0x02, 0x00, 0x9d, 0x01, 0x2a]));
        assert!(!is_key_frame(&[0x11]));
        assert!(!is_key_frame(&[]));
    }
}
