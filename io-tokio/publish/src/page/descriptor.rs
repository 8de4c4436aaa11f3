//! The running numbers inside the payload descriptors of VP8 and VP9, which must not jump when the layer changes.

use mediasoup_producer::Codec;
use str0m::rtp::Vp8Descriptor;

/// Picture id and TL0PICIDX (RFC 7741 section 4.2, RFC 9628 section 4.2), or what is added to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    picture_id: u16,
    tl0_index: u8,
}

impl Counters {
    /// Those of the frame after this one.
    pub(crate) fn next(self) -> Self {
        Self { picture_id: self.picture_id.wrapping_add(1), tl0_index: self.tl0_index.wrapping_add(1) }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            picture_id: self.picture_id.wrapping_add(other.picture_id),
            tl0_index: self.tl0_index.wrapping_add(other.tl0_index),
        }
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self {
            picture_id: self.picture_id.wrapping_sub(other.picture_id),
            tl0_index: self.tl0_index.wrapping_sub(other.tl0_index),
        }
    }
}

/// The numbers in a payload; 0 where it has none.
pub(crate) fn read(codec: Codec, payload: &[u8]) -> Counters {
    let fields = Fields::find(codec, payload);
    let picture_id = match (fields.picture_id, payload) {
        (Some((at, true)), _) => u16::from_be_bytes([payload[at] & 0x7f, payload[at + 1]]),
        (Some((at, false)), _) => u16::from(payload[at] & 0x7f),
        (None, _) => 0,
    };
    Counters { picture_id, tl0_index: fields.tl0_index.map_or(0, |at| payload[at]) }
}

/// Copies a payload, its numbers changed by `offset`; returns both.
pub(crate) fn shift(codec: Codec, payload: &[u8], offset: Counters) -> (Vec<u8>, Counters) {
    let counters = read(codec, payload).plus(offset);
    let fields = Fields::find(codec, payload);
    let mut shifted = payload.to_vec();
    match fields.picture_id {
        Some((at, true)) => {
            let [high, low] = counters.picture_id.to_be_bytes();
            (shifted[at], shifted[at + 1]) = (0x80 | high, low);
        }
        Some((at, false)) => shifted[at] = counters.picture_id as u8 & 0x7f,
        None => {}
    }
    if let Some(at) = fields.tl0_index {
        shifted[at] = counters.tl0_index;
    }
    (shifted, counters)
}

/// Where the numbers stand. Every offset lies within the payload it was found in.
#[derive(Debug, Default, PartialEq)]
struct Fields {
    /// With whether it has 15 bits.
    picture_id: Option<(usize, bool)>,
    tl0_index: Option<usize>,
}

impl Fields {
    fn find(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Vp8 => Self::vp8(payload),
            Codec::Vp9 => Self::vp9(payload),
            _ => None,
        }
        .unwrap_or_default()
    }

    ///  |X|R|N|S|R| PID |, |I|L|T|K| RSV |, |M| picture id |, | TL0PICIDX |
    fn vp8(payload: &[u8]) -> Option<Self> {
        // Complete: the offsets below are within the payload.
        Vp8Descriptor::parse(payload).ok()?;
        let extension = if payload.first()? & 0x80 != 0 { *payload.get(1)? } else { 0 };
        let mut at = 2;
        let picture_id = if extension & 0x80 != 0 { Some(picture_id(payload, &mut at)?) } else { None };
        Some(Self { picture_id, tl0_index: (extension & 0x40 != 0).then_some(at) })
    }

    /// |I|P|L|F|B|E|V|Z|, |M| picture id |, and with L |TID|U|SID|D|, and without F | TL0PICIDX |
    fn vp9(payload: &[u8]) -> Option<Self> {
        let flags = *payload.first()?;
        let mut at = 1;
        let picture_id = if flags & 0x80 != 0 { Some(picture_id(payload, &mut at)?) } else { None };
        let tl0_index = (flags & 0x30 == 0x20 && at + 1 < payload.len()).then_some(at + 1);
        Some(Self { picture_id, tl0_index })
    }
}

fn picture_id(payload: &[u8], at: &mut usize) -> Option<(usize, bool)> {
    let begins = *at;
    let long = payload.get(begins)? & 0x80 != 0;
    *at += if long { 2 } else { 1 };
    payload.get(*at - 1)?;
    Some((begins, long))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VP8_LONG: &[u8] = &[0x90, 0xe0, 0x92, 0x34, 0x55, 0x20, 0x10];
    const VP8_SHORT: &[u8] = &[0x90, 0x80, 0x7f, 0x10];
    const VP8_BARE: &[u8] = &[0x10, 0x10];
    const VP9_LONG: &[u8] = &[0xa8, 0xff, 0xff, 0x00, 0x09, 0x82];
    const VP9_FLEXIBLE: &[u8] = &[0xb8, 0x80, 0x01, 0x00, 0x82];
    const ONE: Counters = Counters { picture_id: 1, tl0_index: 1 };

    #[test]
    fn the_numbers_are_found_where_the_rfcs_put_them() {
        let numbers = |picture_id, tl0_index| Counters { picture_id, tl0_index };
        assert_eq!(read(Codec::Vp8, VP8_LONG), numbers(0x1234, 0x55));
        assert_eq!(read(Codec::Vp8, VP8_SHORT), numbers(0x7f, 0));
        assert_eq!(read(Codec::Vp8, VP8_BARE), numbers(0, 0));
        assert_eq!(read(Codec::Vp9, VP9_LONG), numbers(0x7fff, 9));
        assert_eq!(read(Codec::Vp9, VP9_FLEXIBLE), numbers(1, 0), "flexible mode has no TL0PICIDX");
        assert_eq!(read(Codec::H264, VP8_LONG), numbers(0, 0));
    }

    #[test]
    fn nothing_else_changes_and_each_number_wraps_in_its_own_width() {
        assert_eq!(shift(Codec::Vp8, VP8_LONG, ONE).0, [0x90, 0xe0, 0x92, 0x35, 0x56, 0x20, 0x10]);
        assert_eq!(shift(Codec::Vp8, VP8_SHORT, ONE).0, [0x90, 0x80, 0x00, 0x10]);
        assert_eq!(shift(Codec::Vp8, VP8_BARE, ONE).0, VP8_BARE);
        assert_eq!(shift(Codec::Vp9, VP9_LONG, ONE).0, [0xa8, 0x80, 0x00, 0x00, 0x0a, 0x82]);
        assert_eq!(shift(Codec::Opus, VP8_LONG, ONE).0, VP8_LONG);
    }

    proptest! {
        #[test]
        fn any_payload_is_taken_and_keeps_its_length(
            codec in prop::sample::select(&Codec::ALL[..]),
            payload in prop::collection::vec(any::<u8>(), 0..12),
            picture_id: u16,
            tl0_index: u8,
        ) {
            let offset = Counters { picture_id, tl0_index };
            let (shifted, _) = shift(codec, &payload, offset);
            prop_assert_eq!(shifted.len(), payload.len());
            let (back, _) = shift(codec, &shifted, Counters::default().minus(offset));
            prop_assert_eq!(back, payload);
        }
    }
}
