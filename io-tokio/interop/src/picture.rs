//! What the viewer shows, read back: the clip has its frame number along the bottom edge.

use serde_json::Value;

/// Frames in the bundled clip, after which its numbers begin again.
pub const CLIP_FRAMES: u32 = 150;

/// The same of the clip in other codecs, which is its first two seconds.
pub const SHORT_CLIP_FRAMES: u32 = 60;

/// Frames of a clip in a second.
const SECOND: u32 = 30;

/// One picture as it was shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// In pixels.
    pub width: u64,
    /// In pixels.
    pub height: u64,
    /// When it came on show, in milliseconds of the page's clock.
    pub shown_ms: f64,
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
            shown_ms: sample["shown"].as_f64().unwrap_or(f64::NAN),
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

/// Asserts that pictures of a clip of `frames` frames are whole and in order, that no more than a second of it is left
/// out between two of them, and that none is on show for longer than a second.
///
/// # Panics
/// When they are not.
pub fn assert_smooth(pictures: &[Picture], frames: u32) {
    assert!(pictures.len() > 1, "no pictures");
    for pair in pictures.windows(2) {
        let [before, after] = pair else { continue };
        let (Some(from), Some(to)) = (before.number, after.number) else { panic!("damaged: {before:?}, {after:?}") };
        assert!(from < frames && to < frames, "not of the clip: {before:?}, {after:?}");
        assert!((to + frames - from) % frames <= SECOND, "not in order: {before:?}, {after:?}");
        assert!(after.shown_ms - before.shown_ms <= 1000.0, "frozen: {before:?}, {after:?}");
    }
}

/// The longest that one of them was on show, in milliseconds.
pub fn longest_on_show(pictures: &[Picture]) -> f64 {
    pictures.windows(2).map(|pair| pair[1].shown_ms - pair[0].shown_ms).fold(0.0, f64::max)
}
