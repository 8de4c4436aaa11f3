//! The tables of an index: where each sample is, and when (ISO/IEC 14496-12, 8.6 and 8.7).

use bytes::Bytes;

use super::super::error::Fault;
use super::Sample;
use super::boxes::{find, full, rows, u32_at};

/// The tables of a track, and how far they were read. They are read as they stand in the file, so that they take no more
/// room than there.
#[derive(Debug)]
pub(super) struct Tables {
    /// `stts`: how many samples last how long.
    durations: Runs,
    /// `ctts`: how many samples are shown how much after they are decoded.
    offsets: Runs,
    /// `stsc`: from which chunk on a chunk has how many samples.
    chunks: Bytes,
    /// `stco` or `co64`: where each chunk is.
    places: Bytes,
    wide: bool,
    /// `stsz`: the size of all, or of each.
    size: u32,
    count: u32,
    sizes: Bytes,
    at: Position,
}

#[derive(Debug, Default)]
struct Position {
    sample: u32,
    /// Chunks that were begun.
    chunk: u32,
    left_in_chunk: u32,
    /// Where the next sample of the chunk is.
    place: u64,
    /// The row of `stsc`.
    row: usize,
    decoded: u64,
}

/// Rows of a count and a value.
#[derive(Debug, Default)]
struct Runs {
    rows: Bytes,
    row: usize,
    used: u32,
}

impl Tables {
    /// Reads `stbl`. Of a fragmented file it has no samples.
    pub(super) fn read(tables: &Bytes) -> Result<Self, Fault> {
        let table = |kind: &[u8; 4]| find(tables, kind).and_then(full).map(|(_, _, body)| body);
        let wide = table(b"stco").is_none();
        let places = table(b"stco").map(|body| rows(body, 4)).or_else(|| table(b"co64").map(|body| rows(body, 8)));
        let of = |kind, bytes| table(kind).map_or_else(|| Ok(Bytes::new()), |body| rows(body, bytes));
        let sizes = table(b"stsz").unwrap_or_default();
        let (size, count) = (u32_at(&sizes, 0).unwrap_or(0), u32_at(&sizes, 4).unwrap_or(0));
        let sizes = if size == 0 && count > 0 { rows(sizes.slice(4..), 4)? } else { Bytes::new() };
        Ok(Self {
            durations: Runs::new(of(b"stts", 8)?),
            offsets: Runs::new(of(b"ctts", 8)?),
            chunks: of(b"stsc", 12)?,
            places: places.transpose()?.unwrap_or_default(),
            wide,
            size,
            count,
            sizes,
            at: Position::default(),
        })
    }

    pub(super) fn rewind(&mut self) {
        self.at = Position::default();
        self.durations.rewind();
        self.offsets.rewind();
    }

    /// How long all samples last together, in units, and how many they are.
    pub(super) fn mean_duration(&self) -> Option<(u64, u32)> {
        let (mut all, mut samples) = (0u64, 0u32);
        for row in self.durations.rows.chunks_exact(8) {
            let (count, duration) = (u32_at(row, 0)?, u32_at(row, 4)?);
            samples = samples.saturating_add(count);
            all = all.saturating_add(u64::from(count) * u64::from(duration));
        }
        (samples > 0).then_some((all, samples))
    }

    /// The next sample; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<Sample>, Fault> {
        if self.at.sample == self.count {
            return Ok(None);
        }
        let damaged = || Fault::Damaged("its tables do not fit together");
        while self.at.left_in_chunk == 0 {
            self.begin_chunk().ok_or_else(damaged)?;
        }
        let size = match self.size {
            0 => u32_at(&self.sizes, self.at.sample as usize * 4).ok_or_else(damaged)?,
            size => size,
        };
        let duration = self.durations.next().unwrap_or(0);
        // Version 0 is unsigned by the letter, and signed in the files that there are.
        let shown_after = self.offsets.next().unwrap_or(0).cast_signed();
        let sample =
            Sample { at: self.at.place, size, decoded: self.at.decoded, shown_after: shown_after.into(), duration };
        self.at.sample += 1;
        self.at.left_in_chunk -= 1;
        self.at.place = self.at.place.saturating_add(size.into());
        self.at.decoded = self.at.decoded.saturating_add(duration.into());
        Ok(Some(sample))
    }

    /// Goes on to the next chunk. `None`: there is none.
    fn begin_chunk(&mut self) -> Option<()> {
        let chunk = self.at.chunk as usize;
        self.at.place = if self.wide {
            self.places.get(chunk * 8..)?.first_chunk::<8>().map(|place| u64::from_be_bytes(*place))?
        } else {
            u32_at(&self.places, chunk * 4)?.into()
        };
        // Chunks are counted from 1.
        while u32_at(&self.chunks, (self.at.row + 1) * 12).is_some_and(|first| first <= self.at.chunk + 1) {
            self.at.row += 1;
        }
        self.at.left_in_chunk = u32_at(&self.chunks, self.at.row * 12 + 4)?;
        self.at.chunk += 1;
        Some(())
    }
}

impl Runs {
    fn new(rows: Bytes) -> Self {
        Self { rows, row: 0, used: 0 }
    }

    fn rewind(&mut self) {
        (self.row, self.used) = (0, 0);
    }

    /// The value for the next sample; `None` behind the last row.
    fn next(&mut self) -> Option<u32> {
        loop {
            let row = self.rows.get(self.row * 8..)?.first_chunk::<8>()?;
            let (count, value) = (u32_at(row, 0)?, u32_at(row, 4)?);
            if self.used < count {
                self.used += 1;
                return Some(value);
            }
            (self.row, self.used) = (self.row + 1, 0);
        }
    }
}
