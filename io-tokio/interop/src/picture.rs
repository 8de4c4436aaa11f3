//! What the viewer shows, read back: the clip has its frame number along the bottom edge.

use serde_json::Value;

/// Frames in the bundled clip, after which its numbers begin again.
pub const CLIP_FRAMES: u32 = 150;

/// One picture as it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: u64,
    /// In pixels.
    pub height: u64,
    /// The RTP time at the viewer, where the browser tells.
    pub rtp_timestamp: Option<u64>,
    /// The clip's frame number, if it can be read without doubt: else the picture is damaged, or not the clip's.
    pub number: Option<u32>,
}

impl Picture {
    /// Where to look, as JSON for the viewer: the centres of the strip's ten blocks.
    pub(crate) fn points() -> Value {
        (0..10).map(|block| serde_json::json!([(f64::from(block) + 0.5) / 10.0, 17.0 / 18.0])).collect()
    }

    pub(crate) fn read(sample: &Value) -> Self {
        let luma: Vec<i64> = sample["luma"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
        Self {
            width: sample["width"].as_u64().unwrap_or(0),
            height: sample["height"].as_u64().unwrap_or(0),
            rtp_timestamp: sample["rtpTimestamp"].as_u64(),
            number: frame_number(&luma),
        }
    }
}

/// A block must lie in the outer third of the range between the white and the black one.
fn frame_number(luma: &[i64]) -> Option<u32> {
    let [white, bits @ .., black] = luma else { return None };
    let range = white - black;
    if range < 100 || bits.len() != 8 {
        return None;
    }
    let number = bits.iter().try_fold(0, |number, bit| match (bit - black) * 3 / range {
        0 => Some(2 * number),
        1 => None,
        _ => Some(2 * number + 1),
    });
    number.filter(|number| *number < CLIP_FRAMES)
}

/// Asserts that pictures are whole, in order, and never more than `max_gap` frames of the clip apart.
///
/// # Panics
/// When they are not.
pub fn assert_smooth(pictures: &[Picture], max_gap: u32) {
    let numbers: Vec<_> = pictures.iter().map(|picture| picture.number).collect();
    assert!(pictures.len() > 1, "no pictures");
    for pair in numbers.windows(2) {
        let [Some(before), Some(after)] = *pair else { panic!("a damaged picture among {numbers:?}") };
        let gap = (after + CLIP_FRAMES - before) % CLIP_FRAMES;
        assert!(gap <= max_gap, "from {before} to {after}: {numbers:?}");
    }
}
