//! MP4, QuickTime and fragmented MP4 (ISO/IEC 14496-12).
//!
//! Read here and not by a crate, after a look at their sources: `re_mp4` 0.5 indexes tables by what the file says; `mp4` 0.14
//! divides by a figure of the file, makes room for a sample of any size, and takes each sample of a fragment from where the
//! fragment begins; `symphonia-format-isomp4` 0.6 has no composition times, which B-frames need, keeps every fragment, and
//! makes room for a sample of any size; `mp4parse` 0.17 knows no fragments. We need no metadata and no seeking: the tables of
//! one track, front to back.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Codec, Kind, Reader, TrackInfo, Unit, error::Fault, media::Media, nal::LengthPrefixed, opus, sps, ticks,
    timeline::Timeline, vpx,
};

use boxes::boxes;
use fragment::Fragments;
use table::Tables;
use track::{Timescales, Track};

mod boxes;
mod fragment;
mod table;
mod track;

/// More than an index takes: that of a film has a few megabytes.
const MAX_INDEX: u64 = 16 << 20;

/// Where a sample is, and when it is shown.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: u64,
    size: u32,
    /// When it is decoded, in the track's units.
    decoded: u64,
    /// How much later it is shown.
    shown_after: i64,
    /// How long it lasts.
    duration: u32,
}

pub(super) struct Mp4 {
    media: Media,
    info: TrackInfo,
    track: Track,
    timescales: Timescales,
    nals: Option<LengthPrefixed>,
    tables: Tables,
    fragments: Option<Fragments>,
    /// Where the box after the index begins.
    after_index: u64,
    /// Where the next box begins that may be a fragment.
    next_box: u64,
    /// When the first fragment of the file begins: 0 for us. A live stream's may have gone on for long.
    origin: Option<Duration>,
    timeline: Timeline,
}

impl Mp4 {
    pub(super) fn matches(head: &[u8]) -> bool {
        // What stands before the others in files of today, and in those of QuickTime.
        let known: [&[u8]; 6] = [b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free"];
        head.get(4..8).is_some_and(|kind| known.contains(&kind))
    }

    pub(super) fn open(mut media: Media, kind: Kind) -> Result<Self, Fault> {
        let index = find_index(&mut media)?;
        let after_index = media.pos();
        let (timescales, fragmented) = (Timescales::read(&index), boxes(&index).any(|part| part.kind == *b"mvex"));
        let track = Track::choose(&index, kind, timescales.movie)?;
        let nals = match track.codec {
            Codec::H264 | Codec::H265 => Some(LengthPrefixed::parse(track.codec, &track.private)?),
            _ => None,
        };
        let tables = Tables::read(&track.tables)?;
        let fragments = fragmented.then(|| Fragments::new(track.id, &index));
        let info = info(&track, nals.as_ref(), &tables);
        let timeline = Timeline::new(ticks(1, 1, track.timescale.into()));
        let mut mp4 = Self {
            media,
            info,
            track,
            timescales,
            nals,
            tables,
            fragments,
            after_index,
            next_box: 0,
            origin: None,
            timeline,
        };
        mp4.rewind()?;
        Ok(mp4)
    }

    /// Where the next sample is; `None` at the end.
    fn next_sample(&mut self) -> Result<Option<Sample>, Fault> {
        loop {
            if let Some(sample) = self.tables.next()? {
                return Ok(Some(sample));
            }
            let Some(fragments) = &mut self.fragments else { return Ok(None) };
            if let Some(sample) = fragments.next()? {
                return Ok(Some(sample));
            }
            self.media.seek(self.next_box)?;
            let Some((kind, size)) = boxes::header(&mut self.media)? else { return Ok(None) };
            let begins = self.next_box;
            let Some(size) = size else { return Ok(None) };
            self.next_box = self.media.pos().saturating_add(size);
            if kind == *b"moof" {
                let body = read_index(&mut self.media, size)?;
                if self.origin.is_none() {
                    self.origin = fragment::begins(&body, &self.timescales);
                }
                fragments.take(begins, &body)?;
            }
        }
    }

    fn unit(&mut self, sample: Sample) -> Result<Option<Unit>, Fault> {
        self.media.seek(sample.at)?;
        let data = self.media.read_vec(sample.size.into())?;
        let units = |units: u64| ticks(units, 1, self.track.timescale.into());
        let duration = units(sample.duration.into());
        if self.track.codec.kind() == Kind::Video && sample.duration > 0 {
            // Of fragments it is not known before.
            self.info.frame_duration.get_or_insert(duration);
        }
        let (data, key_frame, duration) = match (&mut self.nals, self.track.codec) {
            (Some(nals), _) => {
                let unit = nals.access_unit(&data)?;
                if !unit.has_slice() {
                    return Ok(None);
                }
                let (data, key_frame) = unit.finish(&mut nals.parameters);
                (data, key_frame, duration)
            }
            (None, Codec::Vp8) => {
                let key_frame = vpx::vp8(&data).key_frame;
                (data.into(), key_frame, duration)
            }
            (None, Codec::Vp9) => {
                let key_frame = vpx::vp9(&data).key_frame;
                (data.into(), key_frame, duration)
            }
            (None, _) => {
                let duration = opus::duration(&data).ok_or(Fault::Damaged("a packet is no Opus"))?;
                self.info.frame_duration.get_or_insert(duration);
                (data.into(), true, duration)
            }
        };
        let shown = units(sample.decoded.saturating_add_signed(sample.shown_after));
        let stamp = shown.saturating_add(self.track.delay).saturating_add(self.timescales.lead);
        let stamp = stamp.saturating_sub(units(self.track.media_time)).saturating_sub(self.origin.unwrap_or_default());
        let (time, _) = self.timeline.place(stamp, Some(duration).filter(|duration| !duration.is_zero()));
        Ok(Some(Unit { data, time, key_frame }))
    }
}

impl Reader for Mp4 {
    fn info(&self) -> &TrackInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Option<Unit>, Fault> {
        while let Some(sample) = self.next_sample()? {
            if sample.size > 0
                && let Some(unit) = self.unit(sample)?
            {
                return Ok(Some(unit));
            }
        }
        Ok(None)
    }

    fn elapsed(&self) -> Duration {
        self.timeline.elapsed()
    }

    fn reordered(&self) -> bool {
        self.timeline.went_back()
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        self.tables.rewind();
        if let Some(fragments) = &mut self.fragments {
            fragments.rewind();
        }
        self.next_box = self.after_index;
        self.timeline = Timeline::new(ticks(1, 1, self.track.timescale.into()));
        Ok(())
    }
}

/// Reads on to the index (`moov`), and that.
fn find_index(media: &mut Media) -> Result<Bytes, Fault> {
    while let Some((kind, size)) = boxes::header(media)? {
        let Some(size) = size else { break };
        if kind == *b"moov" {
            return read_index(media, size);
        }
        media.skip(size)?;
    }
    // It is written last, by those who do not know before.
    Err(Fault::Truncated)
}

fn read_index(media: &mut Media, size: u64) -> Result<Bytes, Fault> {
    if size > MAX_INDEX {
        return Err(Fault::Damaged("its index is too large"));
    }
    Ok(media.read_vec(size)?.into())
}

fn info(track: &Track, nals: Option<&LengthPrefixed>, tables: &Tables) -> TrackInfo {
    let sps = nals.and_then(|nals| nals.sps.as_deref()).and_then(|nal| match track.codec {
        Codec::H265 => sps::h265(nal),
        _ => sps::h264(nal),
    });
    let video = track.codec.kind() == Kind::Video;
    let duration = tables.mean_duration().filter(|_| video).map(|(all, samples)| {
        // On average.
        ticks(all, 1, track.timescale.into()) / samples
    });
    TrackInfo {
        width: track.size.map(|size| size.0),
        height: track.size.map(|size| size.1),
        channels: track.channels,
        profile: sps.map(|sps| sps.profile),
        frame_duration: duration.filter(|duration| !duration.is_zero()),
        ..TrackInfo::new(track.codec)
    }
}
