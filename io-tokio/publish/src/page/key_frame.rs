//! Where decoding can begin, told by RTP payloads.

use mediasoup_producer::Codec;
use str0m::rtp::Vp8Descriptor;

/// Whether a stream can be joined with this packet: the first of a key frame, parameter sets included. Always so for audio.
pub(crate) fn begins_key_frame(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => Vp8Descriptor::parse(payload).is_ok_and(|descriptor| descriptor.starts_keyframe(payload)),
        Codec::Vp9 => vp9(payload),
        Codec::H264 => h264(payload),
        Codec::H265 => h265(payload),
        // Codec is open; all it has beside video is sound.
        _ => true,
    }
}

/// RFC 9628 section 4.2: |I|P|L|F|B|E|V|Z|, not predicted (P=0) and the beginning of a frame (B=1).
fn vp9(payload: &[u8]) -> bool {
    payload.first().is_some_and(|flags| flags & 0x48 == 0x08)
}

/// RFC 6184 section 5.2. A sequence parameter set goes before the key frame it belongs to; where they are sent out of band
/// there is only the IDR slice.
fn h264(payload: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let starts = |nal_type: u8| nal_type == IDR || nal_type == SPS;
    match payload {
        [header, rest @ ..] if header & 0x1f == STAP_A => aggregated(rest).any(|nal| starts(nal & 0x1f)),
        [header, fu, ..] if header & 0x1f == FU_A => fu & 0x80 != 0 && starts(fu & 0x1f),
        [header, ..] => starts(header & 0x1f),
        [] => false,
    }
}

/// RFC 7798 section 4.4. Video parameter sets come first; without them, the picture of a random access point (16 to 21).
fn h265(payload: &[u8]) -> bool {
    const VPS: u8 = 32;
    const SPS: u8 = 33;
    const AP: u8 = 48;
    const FU: u8 = 49;
    let starts = |nal_type: u8| matches!(nal_type, 16..=21 | VPS | SPS);
    let nal_type = |header: u8| header >> 1 & 0x3f;
    match payload {
        [header, _, rest @ ..] if nal_type(*header) == AP => aggregated(rest).any(|nal| starts(nal_type(nal))),
        [header, _, fu, ..] if nal_type(*header) == FU => fu & 0x80 != 0 && starts(fu & 0x3f),
        [header, _, ..] => starts(nal_type(*header)),
        _ => false,
    }
}

/// The first header byte of each NAL unit in an aggregation packet: sizes of 16 bits, each before its unit.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (size, units) = rest.split_at_checked(2)?;
        let (unit, tail) = units.split_at_checked(usize::from(u16::from_be_bytes([size[0], size[1]])))?;
        rest = tail;
        unit.first().copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_frames_are_told_by_the_packet_they_begin_with() {
        let table: &[(Codec, &[u8], bool)] = &[
            (Codec::Vp8, &[0x90, 0x80, 0x80, 1, 0x10], true),
            (Codec::Vp8, &[0x90, 0x80, 0x80, 1, 0x11], false),
            (Codec::Vp8, &[0x80, 0x80, 0x80, 1, 0x10], false),
            (Codec::Vp8, &[0x90, 0x80], false),
            (Codec::Vp9, &[0x8a, 0x80, 1, 0], true),
            (Codec::Vp9, &[0x82, 0x80, 1, 0], false),
            (Codec::Vp9, &[0xcc, 0x80, 1, 0], false),
            (Codec::H264, &[0x67, 0x42], true),
            (Codec::H264, &[0x65, 0x88], true),
            (Codec::H264, &[0x41, 0x9a], false),
            (Codec::H264, &[0x78, 0, 2, 0x09, 0x10, 0, 2, 0x67, 0x42], true),
            (Codec::H264, &[0x78, 0, 2, 0x41, 0x9a], false),
            (Codec::H264, &[0x78, 0, 9, 0x67], false),
            (Codec::H264, &[0x7c, 0x85, 0x88], true),
            (Codec::H264, &[0x7c, 0x05, 0x88], false),
            (Codec::H264, &[0x7c, 0x81, 0x88], false),
            (Codec::H265, &[0x40, 0x01, 0x0c], true),
            (Codec::H265, &[0x26, 0x01, 0xaf], true),
            (Codec::H265, &[0x02, 0x01, 0xd0], false),
            (Codec::H265, &[0x60, 0x01, 0, 2, 0x40, 0x01], true),
            (Codec::H265, &[0x62, 0x01, 0x93, 0xaf], true),
            (Codec::H265, &[0x62, 0x01, 0x13, 0xaf], false),
            (Codec::Opus, &[0xfc], true),
            (Codec::Vp8, &[], false),
            (Codec::Vp9, &[], false),
            (Codec::H264, &[], false),
            (Codec::H265, &[], false),
        ];
        for (codec, payload, begins) in table {
            assert_eq!(begins_key_frame(*codec, payload), *begins, "{codec} {payload:x?}");
        }
    }
}
