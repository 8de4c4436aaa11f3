use super::{
    Codec,
    bits::{Bits, rbsp},
};

/// A slice header as far as the picture order count takes no more.
const SLICE_HEAD: usize = 64;

/// What a sequence parameter set says of the way to the picture order count in a slice header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OrderFields {
    pub(super) separate_planes: bool,
    /// H.264: the bits of frame_num.
    pub(super) frame_number_bits: u32,
    /// H.264: there are no fields.
    pub(super) frames_only: bool,
    /// The bits of the picture order count's lower part.
    pub(super) order_bits: u32,
}

/// Whether the pictures of a byte stream, which has no times, are decoded in the order in which they are shown. Follows the
/// picture order count from slice header to slice header (H.264 7.3.3 and 8.2.1, H.265 7.3.6.1 and 8.3.1).
#[derive(Debug)]
pub(super) struct PictureOrder {
    codec: Codec,
    /// `None`: the stream does not number its pictures so, which then are shown as they are decoded.
    fields: Option<OrderFields>,
    picture_set: PictureSet,
    last: Option<u32>,
    went_back: bool,
}

/// What H.265's picture parameter set says of the same.
#[derive(Debug, Clone, Copy, Default)]
struct PictureSet {
    output_flag: bool,
    extra_bits: u32,
}

impl PictureOrder {
    pub(super) fn new(codec: Codec, fields: Option<OrderFields>) -> Self {
        Self { codec, fields, picture_set: PictureSet::default(), last: None, went_back: false }
    }

    /// Whether a picture has come that is shown before one that came earlier.
    pub(super) fn went_back(&self) -> bool {
        self.went_back
    }

    /// Begins again with the first picture.
    pub(super) fn rewind(&mut self) {
        self.last = None;
    }

    /// Takes the first slice of a picture.
    pub(super) fn slice(&mut self, nal: &[u8]) {
        let Some(fields) = self.fields else { return };
        let head = rbsp(nal.get(..SLICE_HEAD).unwrap_or(nal));
        let order = match self.codec {
            Codec::H265 => h265_order(&head, fields, self.picture_set),
            _ => h264_order(&head, fields),
        };
        let Some((order, starts_anew)) = order else { return };
        if let (Some(last), false) = (self.last, starts_anew) {
            // It wraps; the longer way round is the way back.
            let step = order.wrapping_sub(last) & ((1 << fields.order_bits) - 1);
            self.went_back |= step >> (fields.order_bits - 1) == 1;
        }
        self.last = Some(order);
    }

    /// Takes a parameter set other than the sequence's. Streams have one that holds for all of their pictures.
    pub(super) fn parameters(&mut self, nal: &[u8]) {
        // H.265 7.3.1.2: a picture parameter set.
        if self.codec == Codec::H265 && nal.first().is_some_and(|header| header >> 1 & 0x3f == 34) {
            self.picture_set = h265_picture_set(nal).unwrap_or_default();
        }
    }
}

/// The picture order count, and whether it begins anew.
fn h264_order(nal: &[u8], fields: OrderFields) -> Option<(u32, bool)> {
    let (&header, rest) = nal.split_first()?;
    let idr = header & 0x1f == 5;
    let mut bits = Bits::new(rest);
    for _first_macroblock_slice_type_picture_set in 0..3 {
        bits.ue()?;
    }
    if fields.separate_planes {
        bits.skip(2)?;
    }
    bits.skip(fields.frame_number_bits as usize)?;
    let field = !fields.frames_only && bits.bit()?;
    if field {
        bits.bit()?;
    }
    if idr {
        bits.ue()?;
    }
    Some((bits.u(fields.order_bits)?, idr))
}

fn h265_order(nal: &[u8], fields: OrderFields, set: PictureSet) -> Option<(u32, bool)> {
    let kind = nal.first()? >> 1 & 0x3f;
    // Table 7-1: IDR pictures, which do not tell their count for it is 0, and BLA pictures, whose upper part is.
    let (idr, starts_anew) = (matches!(kind, 19 | 20), matches!(kind, 16..=20));
    if idr {
        return Some((0, true));
    }
    let mut bits = Bits::new(nal.get(2..)?);
    let first_slice_segment = bits.bit()?;
    if !first_slice_segment {
        return None;
    }
    if matches!(kind, 16..=23) {
        bits.bit()?;
    }
    bits.ue()?;
    bits.skip(set.extra_bits as usize)?;
    bits.ue()?;
    bits.skip(usize::from(set.output_flag) + if fields.separate_planes { 2 } else { 0 })?;
    Some((bits.u(fields.order_bits)?, starts_anew))
}

/// H.265 7.3.2.3.1.
fn h265_picture_set(nal: &[u8]) -> Option<PictureSet> {
    let data = rbsp(nal.get(2..)?);
    let mut bits = Bits::new(&data);
    bits.ue()?;
    bits.ue()?;
    bits.bit()?;
    Some(PictureSet { output_flag: bits.bit()?, extra_bits: bits.u(3)? })
}
