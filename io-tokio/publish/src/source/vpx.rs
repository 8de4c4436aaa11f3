use super::bits::Bits;

/// What a VP8 or VP9 frame says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct VpxHeader {
    pub(super) key_frame: bool,
    /// Only key frames tell it.
    pub(super) size: Option<(u32, u32)>,
    /// VP9's profile, 0 for VP8.
    pub(super) profile: u8,
}

/// RFC 6386, 9.1.
pub(super) fn vp8(frame: &[u8]) -> VpxHeader {
    // The lowest bit of the frame tag is 0 for a key frame, which then goes on with a start code.
    let key_frame = frame.first().is_some_and(|byte| byte & 1 == 0);
    let size = match frame {
        [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] if key_frame => {
            // The upper two bits are a scale for display.
            let of = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
            Some((of(*w0, *w1), of(*h0, *h1)))
        }
        _ => None,
    };
    VpxHeader { key_frame, size, profile: 0 }
}

/// VP9 bitstream specification, 6.2 (uncompressed_header). Of a superframe (annex B) this reads the first frame.
pub(super) fn vp9(frame: &[u8]) -> VpxHeader {
    vp9_header(&mut Bits::new(frame)).unwrap_or_default()
}

fn vp9_header(bits: &mut Bits<'_>) -> Option<VpxHeader> {
    if bits.u(2)? != 0b10 {
        return None;
    }
    let (low, high) = (bits.bit()?, bits.bit()?);
    let profile = u8::from(low) | u8::from(high) << 1;
    if profile == 3 {
        bits.bit()?;
    }
    let show_existing_frame = bits.bit()?;
    // frame_type 0 is KEY_FRAME.
    if show_existing_frame || bits.bit()? {
        return Some(VpxHeader { key_frame: false, size: None, profile });
    }
    bits.skip(2)?;
    Some(VpxHeader { key_frame: true, size: vp9_size(bits, profile), profile })
}

fn vp9_size(bits: &mut Bits<'_>, profile: u8) -> Option<(u32, u32)> {
    if bits.u(24)? != 0x49_83_42 {
        return None;
    }
    if profile >= 2 {
        bits.bit()?;
    }
    let odd = profile & 1 == 1;
    // 7 is CS_RGB, which has no range and no subsampling to tell.
    match (bits.u(3)? == 7, odd) {
        (true, false) => {}
        (true, true) | (false, false) => bits.skip(1)?,
        (false, true) => bits.skip(4)?,
    }
    Some((bits.u(16)? + 1, bits.u(16)? + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vp8_frame_tells_key_and_size() {
        let key = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 160, 0x40, 90, 0];
        assert_eq!(vp8(&key), VpxHeader { key_frame: true, size: Some((160, 90)), profile: 0 });
        assert!(!vp8(&[0x11, 0, 0]).key_frame);
        assert!(!vp8(&[]).key_frame);
    }

    #[test]
    fn a_vp9_frame_tells_key_and_size() {
        // Marker 10, profile 00, existing 0, key 0, show 1, resilient 0; sync; space 001, range 0; 159, 89.
        let key = [0x82, 0x49, 0x83, 0x42, 0x20, 0x09, 0xf0, 0x05, 0x90];
        assert_eq!(vp9(&key), VpxHeader { key_frame: true, size: Some((160, 90)), profile: 0 });
        assert!(!vp9(&[0x86, 0]).key_frame);
        assert!(!vp9(&[]).key_frame);
    }
}
