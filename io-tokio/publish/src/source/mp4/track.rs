//! A track's description.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::super::{Codec, Kind, error::Fault, ticks};
use super::boxes::{boxes, find, find_in, full, u32_at};

/// Beyond these no track is looked for.
const MAX_TRACKS: usize = 128;

/// Where the boxes begin in a sample entry for video and for audio (ISO/IEC 14496-12, 12.1.3 and 12.2.3).
const VISUAL_ENTRY: usize = 78;
const AUDIO_ENTRY: usize = 28;

/// A track (ISO/IEC 14496-12, 8.3).
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: u32,
    pub(super) codec: Codec,
    /// Its configuration record, where the codec has one.
    pub(super) private: Vec<u8>,
    /// Units in a second.
    pub(super) timescale: u32,
    /// Which of its times, in units, is the beginning.
    pub(super) media_time: u64,
    /// When that is.
    pub(super) delay: Duration,
    pub(super) size: Option<(u32, u32)>,
    pub(super) channels: Option<u8>,
    /// `stbl`.
    pub(super) tables: Bytes,
}

/// Units in a second: the movie's, and those of each track by its id.
#[derive(Debug)]
pub(super) struct Timescales {
    pub(super) movie: u32,
    tracks: BTreeMap<u32, u32>,
    /// How long before the beginning the first sound of any track is. It is there for the decoder and not to be heard, which RTP
    /// cannot say: so all begins so much later.
    pub(super) lead: Duration,
}

impl Timescales {
    pub(super) fn read(index: &Bytes) -> Self {
        let movie = find(index, b"mvhd").and_then(|header| timescale(&header)).unwrap_or(1000);
        let (mut tracks, mut lead) = (BTreeMap::new(), Duration::ZERO);
        for part in boxes(index).filter(|part| part.kind == *b"trak").take(MAX_TRACKS) {
            let header = find_in(&part.body, &[b"mdia", b"mdhd"]);
            let known = track_id(&part.body).zip(header.and_then(|header| timescale(&header)));
            let Some((id, timescale)) = known else { continue };
            tracks.insert(id, timescale);
            if handler(&part.body).as_ref() == Some(b"soun") {
                let (delay, media_time) = edits(&part.body, movie);
                lead = lead.max(ticks(media_time, 1, timescale.into()).saturating_sub(delay));
            }
        }
        Self { movie, tracks, lead }
    }

    pub(super) fn of(&self, track: u32) -> Option<u32> {
        self.tracks.get(&track).copied()
    }
}

impl Track {
    /// The first track of a kind that we can send. If there is none, says of which codec the first one is.
    pub(super) fn choose(index: &Bytes, kind: Kind, movie_timescale: u32) -> Result<Self, Fault> {
        let mut fault = Fault::WrongKind;
        for part in boxes(index).filter(|part| part.kind == *b"trak").take(MAX_TRACKS) {
            match Self::parse(&part.body, kind, movie_timescale) {
                Ok(Some(track)) => return Ok(track),
                Ok(None) => {}
                Err(other) if matches!(fault, Fault::WrongKind) => fault = other,
                Err(_) => {}
            }
        }
        Err(fault)
    }

    /// `None`: of another kind.
    fn parse(trak: &Bytes, kind: Kind, movie_timescale: u32) -> Result<Option<Self>, Fault> {
        let damaged = || Fault::Damaged("a track is not described");
        let wanted = match kind {
            Kind::Video => b"vide",
            Kind::Audio => b"soun",
        };
        if handler(trak).as_ref() != Some(wanted) {
            return Ok(None);
        }
        let tables = find_in(trak, &[b"mdia", b"minf", b"stbl"]).ok_or_else(damaged)?;
        let header = find_in(trak, &[b"mdia", b"mdhd"]).ok_or_else(damaged)?;
        let timescale = timescale(&header).ok_or(Fault::Damaged("its time base is zero"))?;
        let descriptions = find(&tables, b"stsd").and_then(full).ok_or_else(damaged)?.2;
        // Behind their count. Those after the first are for what was recorded otherwise; nobody writes them.
        let entry = boxes(&descriptions.slice(descriptions.len().min(4)..)).next().ok_or_else(damaged)?;
        let codec = codec(entry.kind)?;
        let parts = match kind {
            Kind::Video => VISUAL_ENTRY,
            Kind::Audio => AUDIO_ENTRY,
        };
        let parts = entry.body.slice(entry.body.len().min(parts)..);
        let private = match codec {
            Codec::H264 => find(&parts, b"avcC"),
            Codec::H265 => find(&parts, b"hvcC"),
            Codec::Vp8 | Codec::Vp9 | Codec::Opus | Codec::Pcmu | Codec::Pcma => None,
        };
        // The encapsulation of Opus in ISO base media (4.3.2): version, channels.
        let opus = find(&parts, b"dOps").and_then(|head| head.get(1).copied()).filter(|channels| *channels > 0);
        let (delay, media_time) = edits(trak, movie_timescale);
        Ok(Some(Self {
            id: track_id(trak).ok_or_else(damaged)?,
            codec,
            private: private.unwrap_or_default().to_vec(),
            timescale,
            media_time,
            delay,
            size: size(&entry.body).filter(|_| kind == Kind::Video),
            channels: opus.filter(|_| kind == Kind::Audio),
            tables,
        }))
    }
}

/// The registered names of what is in a track. What we do not send is named, by the name people know it under.
fn codec(kind: [u8; 4]) -> Result<Codec, Fault> {
    let unsupported = |name: &str| Err(Fault::UnsupportedCodec(name.to_owned()));
    match &kind {
        b"avc1" | b"avc3" => Ok(Codec::H264),
        b"hvc1" | b"hev1" => Ok(Codec::H265),
        b"vp08" => Ok(Codec::Vp8),
        b"vp09" => Ok(Codec::Vp9),
        b"Opus" => Ok(Codec::Opus),
        b"av01" => unsupported("AV1"),
        b"mp4a" => unsupported("AAC"),
        b"mp4v" => unsupported("MPEG-4 Visual"),
        b"encv" | b"enca" => unsupported("stored encrypted"),
        other => unsupported(&other.escape_ascii().to_string()),
    }
}

/// What an edit list (8.6.6) says of the beginning: how long nothing is shown, and from which time on the track is.
fn edits(trak: &Bytes, movie_timescale: u32) -> (Duration, u64) {
    let mut delay = Duration::ZERO;
    let Some((version, _, mut list)) = find_in(trak, &[b"edts", b"elst"]).and_then(full) else { return (delay, 0) };
    let count = list.try_get_u32().unwrap_or(0);
    for _ in 0..count {
        let entry = match version {
            0 => {
                list.try_get_u32().ok().zip(list.try_get_i32().ok()).map(|(long, at)| (u64::from(long), i64::from(at)))
            }
            _ => list.try_get_u64().ok().zip(list.try_get_i64().ok()),
        };
        let Some((long, media_time)) = entry else { break };
        if list.try_get_u32().is_err() {
            break;
        }
        if let Ok(media_time) = u64::try_from(media_time) {
            return (delay, media_time);
        }
        delay = delay.saturating_add(ticks(long, 1, movie_timescale.into()));
    }
    (delay, 0)
}

/// In `mvhd` and `mdhd`: behind two times of 4 or 8 bytes.
fn timescale(header: &Bytes) -> Option<u32> {
    let (version, _, body) = full(header.clone())?;
    u32_at(&body, if version == 0 { 8 } else { 16 }).filter(|timescale| *timescale > 0)
}

/// Of which kind a track is.
fn handler(trak: &Bytes) -> Option<[u8; 4]> {
    find_in(trak, &[b"mdia", b"hdlr"])?.get(8..)?.first_chunk::<4>().copied()
}

fn track_id(trak: &Bytes) -> Option<u32> {
    let (version, _, body) = full(find(trak, b"tkhd")?)?;
    u32_at(&body, if version == 0 { 8 } else { 16 })
}

fn size(entry: &[u8]) -> Option<(u32, u32)> {
    let word = u32_at(entry, 24)?;
    Some((word >> 16, word & 0xffff)).filter(|(width, height)| *width > 0 && *height > 0)
}
