//! VP9 in RTP (RFC 9628), one layer, non-flexible mode.

use std::sync::Arc;

use super::payload::{PacketizeError, checked_limit, fragments, join};

/// Payload descriptor of every packet (RFC 9628, 4.2):
///
/// ```text
///    |I|P|L|F|B|E|V|Z|   I=1, L=0, F=0, Z=0; P: not a key frame; B, E: first and last packet of the frame
/// I: |M| PICTURE ID  |   M=1: 15 bits
///    |   PICTURE ID  |
/// ```
///
/// Non-flexible, because in flexible mode every predicted frame must list the frames it refers to, and those stand in
/// the compressed part of its header. Without layer indices, as browsers send a stream of one layer: then a receiver takes
/// each frame to depend on the one whose picture id is one less, which always holds here.
const DESCRIPTOR: usize = 3;

/// Scalability structure in the first packet of a key frame (RFC 9628, 4.2.1): N_S=0 (one layer), Y=1 (its resolution
/// follows), G=0 (one temporal layer, in non-flexible mode); then width and height.
const STRUCTURE: usize = 5;

/// Cuts VP9 frames (or superframes) of one spatial layer into RTP payloads; one for each stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vp9Packetizer {
    picture_id: u16,
}

impl Vp9Packetizer {
    /// `picture_id` is that of the first frame. Only its lower 15 bits count.
    pub(crate) fn new(picture_id: u16) -> Self {
        Self { picture_id: picture_id & 0x7fff }
    }

    /// Appends the payloads of one frame to `out`; the marker bit belongs on the last one. An error changes nothing.
    ///
    /// A frame whose header does not say what it is gets refused: P would be a guess, and a wrong one stalls receivers.
    pub(crate) fn packetize(
        &mut self,
        frame: &[u8],
        max_payload: usize,
        out: &mut Vec<Arc<[u8]>>,
    ) -> Result<(), PacketizeError> {
        let limit = checked_limit(frame, max_payload)?;
        let (predicted, structure) = match parse(frame)? {
            Picture::Key { width, height } => {
                let ([w1, w0], [h1, h0]) = (width.to_be_bytes(), height.to_be_bytes());
                (0x00, Some([0x10, w1, w0, h1, h0]))
            }
            Picture::Other => (0x40, None),
        };
        let structure: &[u8] = structure.as_ref().map_or(&[], |bytes: &[u8; STRUCTURE]| bytes);
        let [high, low] = self.picture_id.to_be_bytes();

        let mut parts = fragments(frame, limit - DESCRIPTOR, structure.len()).peekable();
        let mut begins = true;
        while let Some(part) = parts.next() {
            let mut flags = 0x80 | predicted;
            if begins {
                flags |= 0x08;
            }
            if parts.peek().is_none() {
                flags |= 0x04;
            }
            let structure = if begins { structure } else { &[] };
            if !structure.is_empty() {
                flags |= 0x02;
            }
            out.push(join([&[flags, 0x80 | high, low], structure, part].into_iter()));
            begins = false;
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        Ok(())
    }
}

/// Whether `frame` starts with a key frame, by its uncompressed header. An intra-only frame is none.
pub(crate) fn is_key_frame(frame: &[u8]) -> bool {
    matches!(parse(frame), Ok(Picture::Key { .. }))
}

enum Picture {
    Key { width: u16, height: u16 },
    Other,
}

/// Reads the uncompressed header as far as the size of a key frame (VP9 bitstream specification, 6.2 to 6.2.2 and 7.2).
fn parse(frame: &[u8]) -> Result<Picture, PacketizeError> {
    const CUT_OFF: PacketizeError = PacketizeError::Malformed("VP9 header cut off");

    let mut bits = Bits { data: frame, position: 0 };
    let mut read = |count| bits.read(count).ok_or(CUT_OFF);

    if read(2)? != 2 {
        return Err(PacketizeError::Malformed("no VP9 frame marker"));
    }
    let profile = read(1)? | read(1)? << 1;
    if profile == 3 && read(1)? != 0 {
        return Err(PacketizeError::Malformed("VP9 profile above 3"));
    }
    // show_existing_frame: nothing is decoded, an earlier frame is shown.
    if read(1)? == 1 {
        return Ok(Picture::Other);
    }
    // frame_type: predicted or intra-only.
    if read(1)? == 1 {
        return Ok(Picture::Other);
    }
    let _show_frame_and_error_resilient_mode = read(2)?;
    if read(24)? != 0x49_83_42 {
        return Err(PacketizeError::Malformed("no VP9 sync code in a key frame"));
    }
    if profile >= 2 {
        let _ten_or_twelve_bit = read(1)?;
    }
    let color_space = read(3)?;
    if color_space == 7 {
        // RGB has no subsampling, which only profiles 1 and 3 can express: one reserved bit.
        if profile & 1 == 0 {
            return Err(PacketizeError::Malformed("VP9 RGB in a profile without it"));
        }
        read(1)?;
    } else {
        let _color_range = read(1)?;
        if profile & 1 == 1 {
            let _subsampling_and_reserved = read(3)?;
        }
    }
    let mut side = || {
        let minus_one = read(16)?;
        u16::try_from(minus_one + 1)
            .map_err(|_| PacketizeError::Malformed("VP9 frame of more than 65535 pixels a side"))
    };
    Ok(Picture::Key { width: side()?, height: side()? })
}

struct Bits<'a> {
    data: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 32 of them, highest first.
    fn read(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.position / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Start of a key frame of profile 0, shown, 8 bit, BT.601: as libvpx writes it, at 640x360.
    const KEY: [u8; 9] = [0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70];

    struct Parsed<'a> {
        flags: u8,
        picture_id: u16,
        size: Option<(u16, u16)>,
        part: &'a [u8],
    }

    /// Takes what this module may write and nothing else.
    fn depacketize(payload: &[u8]) -> Option<Parsed<'_>> {
        let (&[flags, high, low], rest) = payload.split_first_chunk()?;
        let picture_id = u16::from_be_bytes([high & 0x7f, low]);
        if flags & 0xb1 != 0x80 || high & 0x80 == 0 {
            return None;
        }
        if flags & 0x02 == 0 {
            return Some(Parsed { flags, picture_id, size: None, part: rest });
        }
        let (&[0x10, w1, w0, h1, h0], part) = rest.split_first_chunk()? else {
            return None;
        };
        let size = Some((u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0])));
        Some(Parsed { flags, picture_id, size, part })
    }

    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let start = prop_oneof![Just(KEY.to_vec()), Just(vec![0x86]), Just(vec![0x88]), Just(vec![0xb2])];
        (start, prop::collection::vec(any::<u8>(), 0..6000)).prop_map(|(start, rest)| [start, rest].concat())
    }

    proptest! {
        #[test]
        fn every_frame_comes_back_under_consecutive_picture_ids(
            frames in prop::collection::vec(frame(), 1..6),
            max in 100usize..1500,
            start: u16,
        ) {
            let mut packetizer = Vp9Packetizer::new(start);
            let mut expected = start & 0x7fff;
            for frame in &frames {
                let mut out = Vec::new();
                let before = packetizer.clone();
                if packetizer.packetize(frame, max, &mut out).is_err() {
                    prop_assert_eq!((&packetizer, out.len()), (&before, 0));
                    continue;
                }
                let key = is_key_frame(frame);
                let mut data = Vec::new();
                for (position, payload) in out.iter().enumerate() {
                    prop_assert!(payload.len() <= max);
                    let Parsed { flags, picture_id, size, part } = depacketize(payload).unwrap();
                    prop_assert_eq!(picture_id, expected);
                    prop_assert_eq!(flags & 0x40 == 0, key);
                    prop_assert_eq!(flags & 0x08 != 0, position == 0);
                    prop_assert_eq!(flags & 0x04 != 0, position + 1 == out.len());
                    prop_assert_eq!(size.is_some(), key && position == 0);
                    prop_assert!(!part.is_empty());
                    data.extend_from_slice(part);
                }
                prop_assert_eq!(&data, frame);
                expected = (expected + 1) & 0x7fff;
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(frame in prop::collection::vec(any::<u8>(), 0..40), max: usize) {
            let mut out = Vec::new();
            let mut packetizer = Vp9Packetizer::new(1);
            if packetizer.packetize(&frame, max, &mut out).is_err() {
                prop_assert_eq!((packetizer, out.len()), (Vp9Packetizer::new(1), 0));
            }
        }
    }

    #[test]
    fn a_key_frame_tells_its_resolution() {
        let mut out = Vec::new();
        Vp9Packetizer::new(0x1234).packetize(&KEY, 1200, &mut out).unwrap();
        assert_eq!(out[0][..8], [0x8e, 0x92, 0x34, 0x10, 0x02, 0x80, 0x01, 0x68]);
        assert_eq!(out[0][8..], KEY);
    }

    #[test]
    fn the_picture_id_wraps_at_15_bits() {
        let mut packetizer = Vp9Packetizer::new(0x7fff);
        packetizer.packetize(&KEY, 1200, &mut Vec::new()).unwrap();
        assert_eq!(packetizer, Vp9Packetizer::new(0));
    }

    #[test]
    fn headers_of_all_profiles_are_understood() {
        // Profile 2 has no reserved bit after the profile, profile 3 has one.
        assert!(is_key_frame(&[0x92, 0x49, 0x83, 0x42, 0x10, 0x13, 0xf8, 0x0b, 0x38]));
        assert!(is_key_frame(&[0xb1, 0x24, 0xc1, 0xa1, 0x08, 0x04, 0xfe, 0x02, 0xce, 0x00]));
        assert!(!is_key_frame(&[0x86, 0x00]), "predicted");
        assert!(!is_key_frame(&[0x88]), "an existing frame shown again");
        assert!(!is_key_frame(&KEY[..8]), "cut off");
        assert!(!is_key_frame(&[]));
    }

    #[test]
    fn what_is_not_vp9_is_refused() {
        let refused = |frame: &[u8]| Vp9Packetizer::new(0).packetize(frame, 1200, &mut Vec::new());
        assert_eq!(refused(&[0x00]), Err(PacketizeError::Malformed("no VP9 frame marker")));
        assert_eq!(refused(&[0x82, 1, 2, 3]), Err(PacketizeError::Malformed("no VP9 sync code in a key frame")));
        assert_eq!(refused(&KEY[..8]), Err(PacketizeError::Malformed("VP9 header cut off")));
        assert_eq!(refused(&[]), Err(PacketizeError::Empty));
    }
}
