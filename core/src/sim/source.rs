//! Media that costs nothing to make: frames whose content follows from their number.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::id::ProducerId;
use crate::media::{AudioLevel, Frame};
use crate::rtp::{Codec, MediaKind};

/// No frame is longer, whatever the bitrate, but for key frames: a room takes no more.
const MAX_FRAME_BYTES: u64 = 4 << 20;

/// A frame that was written to a producer, for comparison with what arrives.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SentFrame {
    /// When.
    pub at: Instant,
    /// Where.
    pub producer: ProducerId,
    /// What.
    pub frame: Frame,
}

/// A made-up source of frames for a producer.
///
/// Every frame begins with bytes that are right for its codec as far as this library looks at it, and goes on with bytes
/// that follow from layer and number, so that a frame can be told from any other. No decoder can do anything with them.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    codec: Codec,
    interval: Duration,
    layers: Vec<Layer>,
    number: u64,
    key_frames: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Layer {
    layer: usize,
    bitrate_bps: u64,
    target_bps: Option<u64>,
}

impl Layer {
    fn effective_bps(self) -> u64 {
        self.target_bps.map_or(self.bitrate_bps, |target| target.min(self.bitrate_bps))
    }
}

impl Source {
    /// Opus: 20 ms a frame, at `bitrate_bps`.
    pub fn opus(bitrate_bps: u64) -> Self {
        let interval = Duration::from_millis(20);
        Self::new(Codec::Opus, interval, &[bitrate_bps])
    }

    /// VP8 without layers, 25 frames a second.
    pub fn vp8(bitrate_bps: u64) -> Self {
        Self::new(Codec::Vp8, Duration::from_millis(40), &[bitrate_bps])
    }

    /// VP8 with the layers low, medium and high, 25 frames a second.
    pub fn vp8_simulcast(low_bps: u64, medium_bps: u64, high_bps: u64) -> Self {
        let layers = [low_bps, medium_bps, high_bps];
        Self::new(Codec::Vp8, Duration::from_millis(40), &layers)
    }

    /// VP9 in one stream, 25 frames a second.
    pub fn vp9(bitrate_bps: u64) -> Self {
        Self::new(Codec::Vp9, Duration::from_millis(40), &[bitrate_bps])
    }

    /// H.264 without layers, 25 frames a second.
    pub fn h264(bitrate_bps: u64) -> Self {
        Self::new(Codec::H264, Duration::from_millis(40), &[bitrate_bps])
    }

    /// H.264 with the layers low, medium and high, 25 frames a second.
    pub fn h264_simulcast(low_bps: u64, medium_bps: u64, high_bps: u64) -> Self {
        let layers = [low_bps, medium_bps, high_bps];
        Self::new(Codec::H264, Duration::from_millis(40), &layers)
    }

    fn new(codec: Codec, interval: Duration, layers: &[u64]) -> Self {
        let layer = |(layer, bitrate_bps): (usize, &u64)| Layer { layer, bitrate_bps: *bitrate_bps, target_bps: None };
        Self {
            codec,
            interval,
            layers: layers.iter().enumerate().map(layer).collect(),
            number: 0,
            key_frames: (0..layers.len()).collect(),
        }
    }

    /// What its frames are.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether it has layers.
    pub fn simulcast(&self) -> bool {
        self.layers.len() > 1
    }

    /// The bitrate of each layer, whatever it was advised.
    pub fn bitrates_bps(&self) -> impl ExactSizeIterator<Item = u64> {
        self.layers.iter().map(|layer| layer.bitrate_bps)
    }

    /// The time between two frames.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// Changes the bitrate of a layer; 0 ends it until it is changed again.
    pub fn set_bitrate_bps(&mut self, layer: impl Into<usize>, bitrate_bps: u64) {
        self.change(layer.into(), |layer| layer.bitrate_bps = bitrate_bps);
    }

    /// Takes the advice of [`ProducerEvent::TargetBitrate`](crate::v2::ProducerEvent::TargetBitrate): no more than this, and
    /// no more than its own bitrate.
    pub fn set_target_bps(&mut self, layer: impl Into<usize>, bitrate_bps: u64) {
        self.change(layer.into(), |layer| layer.target_bps = Some(bitrate_bps));
    }

    fn change(&mut self, index: usize, change: impl Fn(&mut Layer)) {
        for layer in self.layers.iter_mut().filter(|layer| layer.layer == index) {
            let before = layer.effective_bps();
            change(layer);
            // A layer that comes back begins anew.
            if before == 0 && layer.effective_bps() > 0 && !self.key_frames.contains(&index) {
                self.key_frames.push(index);
            }
        }
    }

    /// Makes the next frame of a layer a key frame.
    pub fn request_key_frame(&mut self, layer: impl Into<usize>) {
        let layer = layer.into();
        if !self.key_frames.contains(&layer) {
            self.key_frames.push(layer);
        }
    }

    /// The next frame of every layer.
    pub fn frames(&mut self) -> Vec<Frame> {
        let time = self.interval * u32::try_from(self.number).unwrap_or(u32::MAX);
        let mut frames = Vec::new();
        for layer in self.layers.iter().filter(|layer| layer.effective_bps() > 0) {
            let index = layer.layer;
            let size = layer.effective_bps().saturating_mul(self.interval.as_millis() as u64) / 8000;
            let size = size.min(MAX_FRAME_BYTES) as usize;
            let wanted = self.key_frames.iter().position(|wanted| *wanted == index);
            let key_frame = wanted.map(|index| self.key_frames.remove(index)).is_some();
            // A key frame costs some three times as much.
            let key_frame = key_frame && self.codec.kind() == MediaKind::Video;
            let size = if key_frame { size * 3 } else { size };
            let data = content(self.codec, index, self.number, size, key_frame);
            let frame = Frame::new(data, time).layer(index).key_frame(key_frame);
            frames.push(match self.codec {
                Codec::Opus => frame.audio_level(AudioLevel::new((self.number % 128) as u8, true)),
                _ => frame,
            });
        }
        self.number += 1;
        frames
    }
}

fn content(codec: Codec, layer: usize, number: u64, size: usize, key_frame: bool) -> Bytes {
    let mut data = vec![0; size.max(4)];
    for (index, byte) in data.iter_mut().enumerate() {
        *byte = (index as u64).wrapping_mul(31).wrapping_add(number * 7).wrapping_add(layer as u64 * 101) as u8;
    }
    let start: &[u8] = match (codec, key_frame) {
        // RFC 6386 section 9.1: the lowest bit of the frame tag is 0 for a key frame.
        (Codec::Vp8, true) => &[0x10],
        (Codec::Vp8, false) => &[0x11],
        // VP9 bitstream specification, 6.2: a key frame of profile 0, shown, 640x360; another frame.
        (Codec::Vp9, true) => &[0x82, 0x49, 0x83, 0x42, 0x20, 0x27, 0xf0, 0x16, 0x70],
        (Codec::Vp9, false) => &[0x86, 0x00],
        // H.264 section 7.3.1 and annex B: parameter sets and a slice of an IDR picture; a slice of another.
        (Codec::H264, true) => &[0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65],
        (Codec::H264, false) => &[0, 0, 0, 1, 0x41],
        (Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::H265, _) => &[],
    };
    data.resize(data.len().max(start.len() + 1), 1);
    data[..start.len()].copy_from_slice(start);
    data.into()
}
