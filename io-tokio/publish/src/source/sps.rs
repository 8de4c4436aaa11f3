use super::{
    Profile,
    bits::{Bits, rbsp},
    order::OrderFields,
};

/// What we read of a sequence parameter set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sps {
    pub(super) profile: Profile,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Pictures in so many seconds: `(pictures, seconds)`, if the stream tells.
    pub(super) rate: Option<(u32, u32)>,
    /// How slices tell the order in which pictures are shown; `None`: it is that in which they are decoded.
    pub(super) order: Option<OrderFields>,
}

/// H.264 7.3.2.1.1; `nal` begins with its header.
pub(super) fn h264(nal: &[u8]) -> Option<Sps> {
    let data = rbsp(nal.get(1..)?);
    let &[profile_idc, constraints, level_idc, ..] = &data[..] else {
        return None;
    };
    let mut bits = Bits::new(&data[3..]);
    bits.count(31)?;
    let mut chroma = 1;
    let mut separate_planes = false;
    if matches!(profile_idc, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.count(3)?;
        separate_planes = chroma == 3 && bits.bit()?;
        bits.count(6)?;
        bits.count(6)?;
        bits.bit()?;
        if bits.bit()? {
            for list in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? {
                    h264_skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    let frame_number_bits = bits.count(12)? + 4;
    let mut order_bits = None;
    match bits.count(2)? {
        0 => order_bits = Some(bits.count(12)? + 4),
        1 => {
            bits.bit()?;
            bits.skip_se()?;
            bits.skip_se()?;
            for _ in 0..bits.count(255)? {
                bits.skip_se()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.bit()?;
    let width_mbs = bits.count(4095)? + 1;
    let height_units = bits.count(4095)? + 1;
    let frame_mbs_only = bits.bit()?;
    if !frame_mbs_only {
        bits.bit()?;
    }
    bits.bit()?;
    let field = if frame_mbs_only { 1 } else { 2 };
    let (mut width, mut height) = (width_mbs * 16, height_units * 16 * field);
    if bits.bit()? {
        // Table 6-1: luma samples for each chroma sample; with separate planes there is none (7.4.2.1.1).
        let (x, y) = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let (x, y) = if separate_planes { (1, 1) } else { (x, y) };
        (width, height) = cropped(&mut bits, (width, height), (x, y * field))?;
    }
    let rate = if bits.bit()? { h264_vui_rate(&mut bits) } else { None };
    // Type 1, in which the order follows from counts of frames, is written by nobody.
    let order = order_bits.map(|order_bits| OrderFields {
        separate_planes,
        frame_number_bits,
        frames_only: frame_mbs_only,
        order_bits,
    });
    Some(Sps { profile: Profile::H264([profile_idc, constraints, level_idc]), width, height, rate, order })
}

/// 7.3.2.1.1.1. Its length depends on the values, as a list that reaches 0 ends there.
fn h264_skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.ue()?);
            // Table 9-3: codes 1, 2, 3, 4 are 1, -1, 2, -2.
            let delta = if code & 1 == 1 { (code + 1) / 2 } else { -(code / 2) };
            next = (last + delta).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Some(())
}

/// E.1.1, as far as the timing.
fn h264_vui_rate(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    skip_vui_picture(bits)?;
    if !bits.bit()? {
        return None;
    }
    let (units_in_tick, time_scale) = (bits.u(32)?, bits.u(32)?);
    // A tick is a field: two of them are a frame (E.2.1, table E-6).
    Some((time_scale, units_in_tick.checked_mul(2)?)).filter(plausible)
}

/// H.265 7.3.2.2.1; `nal` begins with its header.
pub(super) fn h265(nal: &[u8]) -> Option<Sps> {
    let data = rbsp(nal.get(2..)?);
    let mut bits = Bits::new(&data);
    bits.u(4)?;
    let sub_layers = bits.u(3)?;
    bits.bit()?;
    let profile = h265_profile(&mut bits, sub_layers)?;
    bits.count(15)?;
    let chroma = bits.count(3)?;
    let separate_planes = chroma == 3 && bits.bit()?;
    let (mut width, mut height) = (bits.count(16_384)?, bits.count(16_384)?);
    if bits.bit()? {
        let scale = match chroma {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let scale = if separate_planes { (1, 1) } else { scale };
        (width, height) = cropped(&mut bits, (width, height), scale)?;
    }
    let order_bits = h265_order_bits(&mut bits);
    let rate = order_bits.and_then(|order_bits| h265_rate(&mut bits, sub_layers, order_bits));
    let order = order_bits.map(|order_bits| OrderFields {
        separate_planes,
        frame_number_bits: 0,
        frames_only: true,
        order_bits,
    });
    Some(Sps { profile, width, height, rate, order })
}

/// 7.3.3, profile_tier_level.
fn h265_profile(bits: &mut Bits<'_>, sub_layers: u32) -> Option<Profile> {
    bits.u(2)?;
    let high_tier = bits.bit()?;
    let profile_id = bits.u(5)? as u8;
    bits.skip(32 + 48)?;
    let level_id = bits.u(8)? as u8;
    let mut present = Vec::new();
    for _ in 0..sub_layers {
        present.push((bits.bit()?, bits.bit()?));
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers as usize))?;
    }
    for (profile, level) in present {
        bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
    }
    Some(Profile::H265 { profile_id, high_tier, level_id })
}

/// Behind the bit depths.
fn h265_order_bits(bits: &mut Bits<'_>) -> Option<u32> {
    bits.count(8)?;
    bits.count(8)?;
    Some(bits.count(12)? + 4)
}

/// All between that and the timing, which lies in the VUI (E.2.1).
fn h265_rate(bits: &mut Bits<'_>, sub_layers: u32, order_bits: u32) -> Option<(u32, u32)> {
    let all_sub_layers = bits.bit()?;
    for _ in 0..if all_sub_layers { sub_layers + 1 } else { 1 } {
        for _ in 0..3 {
            bits.ue()?;
        }
    }
    for _ in 0..6 {
        bits.ue()?;
    }
    if bits.bit()? && bits.bit()? {
        h265_skip_scaling_lists(bits)?;
    }
    bits.skip(2)?;
    if bits.bit()? {
        bits.skip(8)?;
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
    }
    h265_skip_reference_sets(bits)?;
    if bits.bit()? {
        for _ in 0..bits.count(32)? {
            bits.skip(order_bits as usize + 1)?;
        }
    }
    bits.skip(2)?;
    if !bits.bit()? {
        return None;
    }
    skip_vui_picture(bits)?;
    bits.skip(3)?;
    if bits.bit()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    if !bits.bit()? {
        return None;
    }
    let (units_in_tick, time_scale) = (bits.u(32)?, bits.u(32)?);
    Some((time_scale, units_in_tick)).filter(plausible)
}

/// 7.3.4.
fn h265_skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if !bits.bit()? {
                bits.ue()?;
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            for _ in 0..coefficients + i32::from(size > 1) {
                bits.skip_se()?;
            }
        }
    }
    Some(())
}

/// 7.3.7 for each st_ref_pic_set of the SPS.
fn h265_skip_reference_sets(bits: &mut Bits<'_>) -> Option<()> {
    let mut pictures = 0;
    for set in 0..bits.count(64)? {
        if set > 0 && bits.bit()? {
            bits.bit()?;
            bits.ue()?;
            let mut kept = 0;
            for _ in 0..=pictures {
                let used = bits.bit()?;
                kept += u32::from(used || bits.bit()?);
            }
            pictures = kept;
        } else {
            pictures = bits.count(16)? + bits.count(16)?;
            for _ in 0..pictures {
                bits.ue()?;
                bits.bit()?;
            }
        }
    }
    Some(())
}

/// The part of the VUI both standards begin with: aspect ratio, overscan, colours, place of the chroma samples.
fn skip_vui_picture(bits: &mut Bits<'_>) -> Option<()> {
    // 255 is Extended_SAR: width and height follow.
    if bits.bit()? && bits.u(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.bit()? {
        bits.bit()?;
    }
    if bits.bit()? {
        bits.skip(4)?;
        if bits.bit()? {
            bits.skip(24)?;
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    Some(())
}

/// Left, right, top, bottom, in units of `scale`.
fn cropped(bits: &mut Bits<'_>, (width, height): (u32, u32), scale: (u32, u32)) -> Option<(u32, u32)> {
    let [left, right, top, bottom] =
        [bits.count(65_535)?, bits.count(65_535)?, bits.count(65_535)?, bits.count(65_535)?];
    let width = width.checked_sub((left + right) * scale.0)?;
    let height = height.checked_sub((top + bottom) * scale.1)?;
    Some((width, height))
}

/// A rate that video has; encoders are known to write nonsense here.
fn plausible(&(pictures, seconds): &(u32, u32)) -> bool {
    seconds > 0 && (1..=240).contains(&(pictures / seconds))
}
