use std::time::Duration;

use super::{Codec, FALLBACK_FRAME, Reader, TrackInfo, Unit, error::Fault, media::Media, ticks, vpx};

/// The shortest header there is; longer ones say so.
const HEADER: u64 = 32;

/// IVF, as libvpx and ffmpeg write it: a header of 32 bytes, then frames of a size and a time stamp of 8 bytes each.
pub(super) struct Ivf {
    media: Media,
    info: TrackInfo,
    header_len: u64,
    /// A time stamp counts units of `scale / rate` seconds.
    rate: u32,
    scale: u32,
    first_pts: Option<u64>,
    /// What one pass takes, in units; of a pipe, what has come.
    length: u64,
    is_pipe: bool,
}

impl Ivf {
    /// Walks over all frame headers, unless they come through a pipe, so that a file that is cut off is found before anything is sent, and how long the
    /// last frame lasts is known.
    pub(super) fn open(mut media: Media) -> Result<Self, Fault> {
        let header: [u8; 32] = media.read_array()?;
        let codec = match &header[8..12] {
            b"VP80" => Codec::Vp8,
            b"VP90" => Codec::Vp9,
            other => return Err(Fault::UnsupportedCodec(four_cc(other))),
        };
        let u16_at = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let (rate, scale) = (u32_at(16), u32_at(20));
        if rate == 0 || scale == 0 {
            return Err(Fault::Damaged("its time base is zero"));
        }
        let header_len = u64::from(u16_at(6)).max(HEADER);
        let size = |at| Some(u32::from(u16_at(at))).filter(|size| *size > 0);
        let info = TrackInfo { width: size(12), height: size(14), ..TrackInfo::new(codec) };

        let is_pipe = media.is_pipe();
        let mut ivf = Self { media, info, header_len, rate, scale, first_pts: None, length: 0, is_pipe };
        if !is_pipe {
            ivf.scan()?;
        }
        ivf.rewind()?;
        Ok(ivf)
    }

    fn scan(&mut self) -> Result<(), Fault> {
        self.rewind()?;
        let (mut frames, mut first, mut last, mut gap) = (0u64, 0, 0, None);
        while !self.media.at_end() {
            let walked = self.frame_header().and_then(|header| self.media.skip(header.0).map(|()| header));
            let (_, pts) = walked.map_err(|fault| match fault {
                Fault::Truncated => Fault::TruncatedAfter(frames),
                other => other,
            })?;
            if frames == 0 {
                first = pts;
            } else {
                gap = pts.checked_sub(last).filter(|gap| *gap > 0).or(gap);
            }
            last = pts.max(last);
            frames += 1;
        }
        let span = last.saturating_sub(first);
        // The last frame lasts as long as the one before it.
        let gap = gap.unwrap_or_else(|| self.fallback_gap());
        self.first_pts = Some(first);
        self.length = span.saturating_add(gap);
        self.info.frame_duration = Some(match frames {
            0 | 1 => self.time(gap),
            _ => self.time(span / (frames - 1)),
        });
        Ok(())
    }

    /// Size and time stamp of the next frame.
    fn frame_header(&mut self) -> Result<(u64, u64), Fault> {
        let [s0, s1, s2, s3, pts @ ..] = self.media.read_array::<12>()?;
        let size = u64::from(u32::from_le_bytes([s0, s1, s2, s3]));
        if size > super::MAX_FRAME as u64 {
            return Err(Fault::TooLarge);
        }
        Ok((size, u64::from_le_bytes(pts)))
    }

    fn time(&self, units: u64) -> Duration {
        ticks(units, self.scale.into(), self.rate.into())
    }

    /// For a file of one frame.
    fn fallback_gap(&self) -> u64 {
        let units = FALLBACK_FRAME.as_nanos() * u128::from(self.rate) / (1_000_000_000 * u128::from(self.scale));
        u64::try_from(units).unwrap_or(u64::MAX).max(1)
    }
}

impl Reader for Ivf {
    fn info(&self) -> &TrackInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Option<Unit>, Fault> {
        while !self.media.at_end() {
            let (size, pts) = self.frame_header()?;
            let data = self.media.read_vec(size)?;
            // An encoder that drops a frame leaves one of no bytes.
            if data.is_empty() {
                continue;
            }
            let header = match self.info.codec {
                Codec::Vp9 => vpx::vp9(&data),
                _ => vpx::vp8(&data),
            };
            let units = pts.saturating_sub(*self.first_pts.get_or_insert(pts));
            self.length = self.length.max(units);
            let time = self.time(units);
            return Ok(Some(Unit { data: data.into(), time, key_frame: header.key_frame }));
        }
        Ok(None)
    }

    fn elapsed(&self) -> Duration {
        self.time(self.length)
    }

    fn known_length(&self) -> Option<Duration> {
        (!self.is_pipe).then(|| self.elapsed())
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        let start = self.header_len.min(self.media.len());
        self.media.seek(start)
    }
}

fn four_cc(code: &[u8]) -> String {
    match code {
        b"AV01" => "AV1".to_owned(),
        code => code.escape_ascii().to_string(),
    }
}
