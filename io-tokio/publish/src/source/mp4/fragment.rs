//! Fragments: an index for a few samples each, among the samples (ISO/IEC 14496-12, 8.8).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::super::{error::Fault, ticks};
use super::Sample;
use super::boxes::{boxes, find, full, u32_at};
use super::track::Timescales;

/// What is said of samples that do not say it themselves.
#[derive(Debug, Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    size: u32,
}

/// The samples of the last fragment of a track that were not taken yet.
#[derive(Debug)]
pub(super) struct Fragments {
    track: u32,
    defaults: Defaults,
    runs: VecDeque<Run>,
    /// When the next sample is decoded.
    decoded: u64,
}

/// Samples that lie side by side (`trun`).
#[derive(Debug)]
struct Run {
    place: u64,
    left: u32,
    flags: u32,
    rows: Bytes,
    defaults: Defaults,
    /// When the first is decoded, if it is said.
    decoded: Option<u64>,
}

// 8.8.7 and 8.8.8.
const BASE_GIVEN: u32 = 0x1;
const DESCRIPTION_GIVEN: u32 = 0x2;
const DEFAULT_DURATION: u32 = 0x8;
const DEFAULT_SIZE: u32 = 0x10;
const PLACE_GIVEN: u32 = 0x1;
const FIRST_FLAGS_GIVEN: u32 = 0x4;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const SHOWN_AFTER: u32 = 0x800;

impl Fragments {
    pub(super) fn new(track: u32, index: &Bytes) -> Self {
        let extends = find(index, b"mvex").unwrap_or_default();
        let of_track = boxes(&extends).filter(|part| part.kind == *b"trex").filter_map(|part| full(part.body));
        let ours = of_track.map(|(_, _, body)| body).find(|body| u32_at(body, 0) == Some(track)).unwrap_or_default();
        let defaults = Defaults { duration: u32_at(&ours, 8).unwrap_or(0), size: u32_at(&ours, 12).unwrap_or(0) };
        Self { track, defaults, runs: VecDeque::new(), decoded: 0 }
    }

    pub(super) fn rewind(&mut self) {
        self.runs.clear();
        self.decoded = 0;
    }

    /// Takes the body of a `moof` that begins there.
    pub(super) fn take(&mut self, begins: u64, fragment: &Bytes) -> Result<(), Fault> {
        for part in boxes(fragment).filter(|part| part.kind == *b"traf") {
            if track(&part.body) == Some(self.track) {
                self.take_track(begins, &part.body).ok_or(Fault::Damaged("a fragment is shorter than it says"))?;
            }
        }
        Ok(())
    }

    fn take_track(&mut self, begins: u64, part: &Bytes) -> Option<()> {
        let (_, flags, mut header) = full(find(part, b"tfhd")?)?;
        header.try_get_u32().ok()?;
        let mut place = if flags & BASE_GIVEN != 0 { header.try_get_u64().ok()? } else { begins };
        let base = place;
        if flags & DESCRIPTION_GIVEN != 0 {
            header.try_get_u32().ok()?;
        }
        let mut defaults = self.defaults;
        if flags & DEFAULT_DURATION != 0 {
            defaults.duration = header.try_get_u32().ok()?;
        }
        if flags & DEFAULT_SIZE != 0 {
            defaults.size = header.try_get_u32().ok()?;
        }
        let mut decoded = begins_at(part);
        for part in boxes(part).filter(|part| part.kind == *b"trun") {
            let (_, flags, mut body) = full(part.body)?;
            let left = body.try_get_u32().ok()?;
            if flags & PLACE_GIVEN != 0 {
                place = base.saturating_add_signed(body.try_get_i32().ok()?.into());
            }
            if flags & FIRST_FLAGS_GIVEN != 0 {
                body.try_get_u32().ok()?;
            }
            let run = Run { place, left, flags, rows: body, defaults, decoded: decoded.take() };
            place = place.saturating_add(run.bytes()?);
            self.runs.push_back(run);
        }
        Some(())
    }

    /// The next sample; `None` behind the last of the fragments that were taken.
    pub(super) fn next(&mut self) -> Result<Option<Sample>, Fault> {
        loop {
            let Some(run) = self.runs.front_mut() else { return Ok(None) };
            if run.left == 0 {
                self.runs.pop_front();
                continue;
            }
            self.decoded = run.decoded.take().unwrap_or(self.decoded);
            let (duration, size, shown_after) =
                run.row().ok_or(Fault::Damaged("a fragment is shorter than it says"))?;
            let sample = Sample { at: run.place, size, decoded: self.decoded, shown_after, duration };
            run.left -= 1;
            run.place = run.place.saturating_add(size.into());
            self.decoded = self.decoded.saturating_add(duration.into());
            return Ok(Some(sample));
        }
    }
}

impl Run {
    /// How many bytes all of its samples have. `None`: it has fewer rows than it says, or any number of samples that say
    /// nothing and hold nothing.
    fn bytes(&self) -> Option<u64> {
        let fields = [DURATION, SIZE, FLAGS, SHOWN_AFTER].into_iter().filter(|field| self.flags & field != 0);
        let row = fields.count() * 4;
        if (self.left as usize).checked_mul(row)? > self.rows.len()
            || (row == 0 && self.defaults.size == 0 && self.left > 0)
        {
            return None;
        }
        if self.flags & SIZE == 0 {
            return Some(u64::from(self.left) * u64::from(self.defaults.size));
        }
        let at = if self.flags & DURATION == 0 { 0 } else { 4 };
        let sizes = self.rows.chunks_exact(row).take(self.left as usize).filter_map(|row| u32_at(row, at));
        Some(sizes.map(u64::from).sum())
    }

    /// How long the next sample lasts, its size, and how much later it is shown than decoded.
    fn row(&mut self) -> Option<(u32, u32, i64)> {
        let mut field = |wanted: u32| match self.flags & wanted {
            0 => Some(None),
            _ => self.rows.try_get_u32().ok().map(Some),
        };
        let (duration, size, _flags, shown_after) =
            (field(DURATION)?, field(SIZE)?, field(FLAGS)?, field(SHOWN_AFTER)?);
        let Defaults { duration: usual, size: usual_size } = self.defaults;
        let shown_after = shown_after.map_or(0, |after| after.cast_signed().into());
        Some((duration.unwrap_or(usual), size.unwrap_or(usual_size), shown_after))
    }
}

/// When the first part of a fragment begins whose time is said.
pub(super) fn begins(fragment: &Bytes, timescales: &Timescales) -> Option<Duration> {
    boxes(fragment).filter(|part| part.kind == *b"traf").find_map(|part| {
        let timescale = timescales.of(track(&part.body)?)?;
        Some(ticks(begins_at(&part.body)?, 1, timescale.into()))
    })
}

fn track(part: &Bytes) -> Option<u32> {
    u32_at(&full(find(part, b"tfhd")?)?.2, 0)
}

/// `tfdt`.
fn begins_at(part: &Bytes) -> Option<u64> {
    let (version, _, mut body) = full(find(part, b"tfdt")?)?;
    if version == 0 { body.try_get_u32().ok().map(u64::from) } else { body.try_get_u64().ok() }
}
