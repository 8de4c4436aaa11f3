use std::time::Duration;

use super::{
    Codec, MAX_FRAME, Options, Reader, TrackInfo, Unit,
    error::Fault,
    media::Media,
    nal::{AccessUnit, Nal},
    order::PictureOrder,
    sps, ticks,
};

/// A stream begins with its parameter sets, SEI and delimiters aside.
const NALS_UNTIL_SPS: usize = 32;

/// H.264 or H.265 as a byte stream (annex B of both): NAL units between start codes. It holds no times; frames are
/// spaced evenly, in the order of the file.
pub(super) struct AnnexB {
    nals: Nals,
    info: TrackInfo,
    /// Frames in so many seconds.
    rate: (u32, u32),
    frames: u64,
    held: Option<Vec<u8>>,
    parameters: Vec<u8>,
    order: PictureOrder,
}

impl AnnexB {
    /// Whether a file beginning like this may be one: two zeros or more, then a one.
    pub(super) fn matches(head: &[u8]) -> bool {
        let zeros = head.iter().take_while(|byte| **byte == 0).count();
        zeros >= 2 && head.get(zeros) == Some(&1)
    }

    pub(super) fn open(media: Media, options: &Options) -> Result<Self, Fault> {
        let mut nals = Nals { media, started: false };
        let (codec, sps) = find_sps(&mut nals)?;
        let rate = sps.rate.unwrap_or((options.frame_rate, 1));
        let info = TrackInfo {
            width: Some(sps.width),
            height: Some(sps.height),
            profile: Some(sps.profile),
            frame_duration: Some(ticks(1, rate.1.into(), rate.0.into())),
            ..TrackInfo::new(codec)
        };
        let order = PictureOrder::new(codec, sps.order);
        let mut annex_b = Self { nals, info, rate, frames: 0, held: None, parameters: Vec::new(), order };
        annex_b.rewind()?;
        Ok(annex_b)
    }

    /// The next picture's NAL units, or `None` at the end.
    fn access_unit(&mut self) -> Result<Option<AccessUnit>, Fault> {
        let codec = self.info.codec;
        let mut unit = AccessUnit::default();
        loop {
            let nal = match self.held.take() {
                Some(nal) => nal,
                None => match self.nals.next()? {
                    Some(nal) => nal,
                    // What is left without a slice is no picture.
                    None => return Ok(Some(unit).filter(AccessUnit::has_slice)),
                },
            };
            let kind = Nal::of(codec, &nal);
            if unit.has_slice() && kind.is_some_and(Nal::begins_access_unit) {
                self.held = Some(nal);
                return Ok(Some(unit));
            }
            match kind {
                Some(Nal::Slice { first: true, .. }) => self.order.slice(&nal),
                Some(Nal::Parameters) => self.order.parameters(&nal),
                Some(Nal::Slice { first: false, .. } | Nal::Sps | Nal::Delimiter | Nal::Prefix | Nal::Other) | None => {
                }
            }
            unit.push(codec, &nal)?;
        }
    }
}

impl Reader for AnnexB {
    fn info(&self) -> &TrackInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Option<Unit>, Fault> {
        let Some(unit) = self.access_unit()? else {
            return Ok(None);
        };
        let time = self.elapsed();
        self.frames += 1;
        let (data, key_frame) = unit.finish(&mut self.parameters);
        Ok(Some(Unit { data, time, key_frame }))
    }

    fn elapsed(&self) -> Duration {
        // From the count each time, so that nothing adds up.
        ticks(self.frames, self.rate.1.into(), self.rate.0.into())
    }

    fn reordered(&self) -> bool {
        self.order.went_back()
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        self.order.rewind();
        self.frames = 0;
        self.held = None;
        self.nals.started = false;
        self.nals.media.seek(0)
    }
}

/// The first SPS also tells the codec: no NAL unit is one in both. H.264's has type 7, so that its header ends in
/// 00111; H.265's header is 42 01.
fn find_sps(nals: &mut Nals) -> Result<(Codec, sps::Sps), Fault> {
    for _ in 0..NALS_UNTIL_SPS {
        let Some(nal) = nals.next()? else { break };
        if Nal::of(Codec::H264, &nal) == Some(Nal::Sps)
            && let Some(sps) = sps::h264(&nal)
        {
            return Ok((Codec::H264, sps));
        }
        if nal.starts_with(&[0x42, 0x01])
            && let Some(sps) = sps::h265(&nal)
        {
            return Ok((Codec::H265, sps));
        }
    }
    Err(Fault::Foreign)
}

/// Splits a byte stream at its start codes (B.1.1), reading only so far as the NAL unit goes.
struct Nals {
    media: Media,
    started: bool,
}

impl Nals {
    fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let mut nal = Vec::new();
        let mut zeros = 0;
        loop {
            let chunk = self.media.fill_buf()?;
            if chunk.is_empty() {
                return Ok(Some(nal).filter(|nal| !nal.is_empty()));
            }
            let mut taken = chunk.len();
            let mut complete = false;
            for (at, &byte) in chunk.iter().enumerate() {
                match byte {
                    0 => zeros += 1,
                    1 if zeros >= 2 => {
                        zeros = 0;
                        if self.started && !nal.is_empty() {
                            (taken, complete) = (at + 1, true);
                            break;
                        }
                        self.started = true;
                    }
                    _ if self.started => {
                        // Zeros before a start code or the end are no part of the NAL unit; these are.
                        if nal.len() + zeros >= MAX_FRAME {
                            return Err(Fault::TooLarge);
                        }
                        nal.resize(nal.len() + zeros, 0);
                        nal.push(byte);
                        zeros = 0;
                    }
                    _ => zeros = 0,
                }
            }
            self.media.consume(taken);
            if complete {
                return Ok(Some(nal));
            }
        }
    }
}
