use std::{sync::Arc, time::Duration};

use super::{EncodedFrame, FileSource, SourceError, open_reader};

/// No file is held in memory that has more: about half an hour of the bundled clip's largest layer.
const MAX_CLIP: usize = 256 << 20;

/// A stream of a file in memory, played over and over. Copies are cheap: they share the frames, and each goes on from where
/// the one it was made of was.
#[derive(Debug, Clone)]
pub struct Clip {
    /// One at least.
    frames: Arc<[EncodedFrame]>,
    period: Duration,
    next: usize,
    /// When this pass began.
    base: Duration,
}

impl Clip {
    /// Reads a file through, and plays it as the source would that loops: each pass takes as long as those of the files
    /// that it [loops together](super::loop_together) with.
    pub fn read(source: &FileSource) -> Result<Self, SourceError> {
        let mut reader = open_reader(&source.input, source.kind, &source.options)?;
        let (mut frames, mut bytes) = (Vec::new(), 0);
        loop {
            let unit = reader.next().map_err(|fault| fault.of(&source.name(), source.kind, frames.len() as u64))?;
            let Some(unit) = unit else { break };
            bytes += unit.data.len();
            if bytes > MAX_CLIP {
                return Err(SourceError::TooLong { file: source.name(), limit: MAX_CLIP });
            }
            frames.push(EncodedFrame { data: unit.data, time: unit.time, key_frame: unit.key_frame });
        }
        if frames.is_empty() {
            return Err(SourceError::NoFrames { file: source.name(), kind: source.kind });
        }
        let period = reader.elapsed().max(source.period).max(Duration::from_millis(1));
        Ok(Self { frames: frames.into(), period, next: 0, base: Duration::ZERO })
    }

    /// The next frame.
    pub fn next_frame(&mut self) -> EncodedFrame {
        let mut frame = self.frames[self.next].clone();
        frame.time = self.base.saturating_add(frame.time);
        self.next += 1;
        if self.next == self.frames.len() {
            self.next = 0;
            self.base = self.base.saturating_add(self.period);
        }
        frame
    }
}
