use bytes::Bytes;

use super::{Codec, MAX_FRAME, error::Fault};

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// More than parameter sets in use take; what is larger is not repeated.
const MAX_PARAMETER_SETS: usize = 64 << 10;

/// What a NAL unit is for, as far as finding pictures goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nal {
    /// A part of a picture.
    Slice {
        first: bool,
        key: bool,
    },
    Sps,
    /// A parameter set other than the SPS.
    Parameters,
    /// Where an access unit begins. Carries nothing else, and RTP marks frames itself, so it is left out.
    Delimiter,
    /// What stands before the picture it belongs to: SEI and reserved types.
    Prefix,
    Other,
}

impl Nal {
    /// `None`: too short for its header, or the forbidden bit is set.
    pub(super) fn of(codec: Codec, nal: &[u8]) -> Option<Self> {
        let header = *nal.first()?;
        if header & 0x80 != 0 {
            return None;
        }
        match codec {
            Codec::H265 => h265(header, nal),
            _ => Some(h264(header, nal)),
        }
    }

    /// Whether this, after a slice, begins the next access unit (H.264 7.4.1.2.3, H.265 7.4.2.4.4).
    pub(super) fn begins_access_unit(self) -> bool {
        match self {
            Self::Slice { first, .. } => first,
            Self::Sps | Self::Parameters | Self::Delimiter | Self::Prefix => true,
            Self::Other => false,
        }
    }
}

/// H.264 table 7-1.
fn h264(header: u8, nal: &[u8]) -> Nal {
    match header & 0x1f {
        // first_mb_in_slice is 0, the one code of a single bit. Slices in arbitrary order, which only the extended and
        // the baseline profile allow and nobody writes, would be cut wrongly.
        kind @ (1 | 2 | 5) => Nal::Slice { first: nal.get(1).is_some_and(|byte| byte & 0x80 != 0), key: kind == 5 },
        7 => Nal::Sps,
        8 => Nal::Parameters,
        9 => Nal::Delimiter,
        6 | 14..=18 => Nal::Prefix,
        _ => Nal::Other,
    }
}

/// H.265 table 7-1.
fn h265(header: u8, nal: &[u8]) -> Option<Nal> {
    let layer = (header & 1) << 5 | nal.get(1)? >> 3;
    if layer > 0 {
        return Some(Nal::Other);
    }
    Some(match header >> 1 {
        // first_slice_segment_in_pic_flag is the first bit; 16 to 23 are random access points.
        kind @ (0..=9 | 16..=23) => {
            Nal::Slice { first: nal.get(2).is_some_and(|byte| byte & 0x80 != 0), key: kind >= 16 }
        }
        33 => Nal::Sps,
        32 | 34 => Nal::Parameters,
        35 => Nal::Delimiter,
        39 | 41..=44 | 48..=55 => Nal::Prefix,
        _ => Nal::Other,
    })
}

/// Collects the NAL units of one picture and writes them as Annex B.
#[derive(Debug, Default)]
pub(super) struct AccessUnit {
    data: Vec<u8>,
    /// Of these parameter sets alone.
    parameters: Vec<u8>,
    has_sps: bool,
    has_slice: bool,
    key_frame: bool,
}

impl AccessUnit {
    pub(super) fn push(&mut self, codec: Codec, nal: &[u8]) -> Result<(), Fault> {
        let Some(kind) = Nal::of(codec, nal) else { return Ok(()) };
        match kind {
            Nal::Delimiter => return Ok(()),
            Nal::Slice { key, .. } => {
                self.has_slice = true;
                self.key_frame |= key;
            }
            Nal::Sps | Nal::Parameters => {
                self.has_sps |= kind == Nal::Sps;
                // Too large to be repeated is not too large to be sent.
                let _ = append(&mut self.parameters, nal, MAX_PARAMETER_SETS);
            }
            Nal::Prefix | Nal::Other => {}
        }
        append(&mut self.data, nal, MAX_FRAME)
    }

    pub(super) fn has_slice(&self) -> bool {
        self.has_slice
    }

    /// The frame, and whether it is a key frame. A receiver that joins at a key frame needs the parameter sets there,
    /// so those of an earlier one are repeated if it has none of its own.
    pub(super) fn finish(self, known: &mut Vec<u8>) -> (Bytes, bool) {
        let mut data = self.data;
        if self.has_sps {
            *known = self.parameters;
        } else if self.key_frame && !known.is_empty() {
            data.splice(0..0, known.iter().copied());
        }
        (data.into(), self.key_frame)
    }
}

fn append(to: &mut Vec<u8>, nal: &[u8], limit: usize) -> Result<(), Fault> {
    if to.len() + START_CODE.len() + nal.len() > limit {
        return Err(Fault::TooLarge);
    }
    to.extend_from_slice(&START_CODE);
    to.extend_from_slice(nal);
    Ok(())
}

/// How tracks of Matroska and MP4 store H.264 or H.265: NAL units behind their length, parameter sets in the header.
#[derive(Debug)]
pub(super) struct LengthPrefixed {
    codec: Codec,
    length_size: usize,
    /// As Annex B.
    pub(super) parameters: Vec<u8>,
    pub(super) sps: Option<Vec<u8>>,
}

impl LengthPrefixed {
    /// Reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1) or HEVCDecoderConfigurationRecord (8.3.3.1).
    pub(super) fn parse(codec: Codec, record: &[u8]) -> Result<Self, Fault> {
        let (length_at, sets) = match codec {
            Codec::H265 => (21, hevc_sets(record)),
            _ => (4, avc_sets(record)),
        };
        let damaged = || Fault::Damaged("its codec header is broken");
        let (Some(sets), Some(length)) = (sets, record.get(length_at)) else {
            return Err(damaged());
        };
        let sps = sets.iter().find(|set| Nal::of(codec, set) == Some(Nal::Sps)).map(|set| set.to_vec());
        let mut parameters = Vec::new();
        for set in sets {
            append(&mut parameters, set, MAX_PARAMETER_SETS).map_err(|_| damaged())?;
        }
        Ok(Self { codec, length_size: usize::from(length & 3) + 1, parameters, sps })
    }

    pub(super) fn access_unit(&self, mut frame: &[u8]) -> Result<AccessUnit, Fault> {
        let mut unit = AccessUnit::default();
        let damaged = || Fault::Damaged("a NAL unit is longer than its frame");
        while !frame.is_empty() {
            let (length, rest) = frame.split_at_checked(self.length_size).ok_or_else(damaged)?;
            let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
            let (nal, rest) = rest.split_at_checked(length).ok_or_else(damaged)?;
            unit.push(self.codec, nal)?;
            frame = rest;
        }
        Ok(unit)
    }
}

fn avc_sets(record: &[u8]) -> Option<Vec<&[u8]>> {
    let mut sets = Vec::new();
    let mut rest = record.get(5..)?;
    // First the SPSs, whose count has five bits, then the PPSs.
    for mask in [0x1f, 0xff] {
        let (count, after) = rest.split_first()?;
        rest = after;
        for _ in 0..count & mask {
            sets.push(take_set(&mut rest)?);
        }
    }
    Some(sets)
}

fn hevc_sets(record: &[u8]) -> Option<Vec<&[u8]>> {
    let mut sets = Vec::new();
    let (arrays, mut rest) = record.get(22..)?.split_first()?;
    for _ in 0..*arrays {
        let [kind, high, low, after @ ..] = rest else {
            return None;
        };
        rest = after;
        for _ in 0..u16::from_be_bytes([*high, *low]) {
            let set = take_set(&mut rest)?;
            // VPS, SPS, PPS; SEI may be here too.
            if matches!(kind & 0x3f, 32..=34) {
                sets.push(set);
            }
        }
    }
    Some(sets)
}

fn take_set<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (set, after) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
    *rest = after;
    Some(set)
}
