//! WebM and Matroska (RFC 9559).
//!
//! Read here and not by a crate, after a look at their sources: `matroska-demuxer` 0.8 loops for ever on a SeekHead that
//! names itself, overflows on hostile times, and takes a file that is cut off between two blocks for one that ends;
//! `symphonia-format-mkv` 0.6 holds attachments, tags and blocks of any size in memory. We need no index, no tags, no
//! chapters: tracks and blocks, front to back.

use std::{collections::VecDeque, time::Duration};

use super::{
    Codec, Kind, MAX_FRAME, Reader, TrackInfo, Unit,
    ebml::{self, Element, children, unsigned},
    error::Fault,
    lacing,
    media::Media,
    nal::LengthPrefixed,
    opus, saturating_ns,
    timeline::Timeline,
    track::{self, Track},
    vpx,
};

// RFC 9559, 5.1. An id belongs to one level only, so one flat walk over all levels suffices.
const EBML: u32 = 0x1a45_dfa3;
const DOC_TYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_a966;
const TIMESTAMP_SCALE: u32 = 0x2a_d7b1;
const TRACKS: u32 = 0x1654_ae6b;
const CLUSTER: u32 = 0x1f43_b675;
const TIMESTAMP: u32 = 0xe7;
const SIMPLE_BLOCK: u32 = 0xa3;
const BLOCK_GROUP: u32 = 0xa0;
const BLOCK: u32 = 0xa1;
const BLOCK_DURATION: u32 = 0x9b;

/// More than headers take: they hold names and codec headers.
const MAX_HEADER: u64 = 1 << 20;

pub(super) struct Matroska {
    media: Media,
    info: TrackInfo,
    track: Track,
    nals: Option<LengthPrefixed>,
    /// Nanoseconds in a unit of a block's time stamp.
    scale: u64,
    first_cluster: u64,
    /// Where the outermost element of known size ends; a file that ends before is cut off.
    ends_at: u64,
    cluster_time: u64,
    /// The first time stamp in the file, of any track: 0 for us, the same for each track of the file.
    origin: Option<Duration>,
    timeline: Timeline,
    queue: VecDeque<Unit>,
}

impl Matroska {
    pub(super) fn matches(head: &[u8]) -> bool {
        head.starts_with(&EBML.to_be_bytes())
    }

    pub(super) fn open(mut media: Media, kind: Kind) -> Result<Self, Fault> {
        let segment = find_segment(&mut media)?;
        let ends_at = segment.size.map_or(0, |size| media.pos().saturating_add(size));
        let (scale, tracks, first_cluster) = read_headers(&mut media)?;
        let track = Track::choose(&tracks, kind)?;
        let nals = match track.codec {
            Codec::H264 | Codec::H265 => Some(LengthPrefixed::parse(track.codec, &track.private)?),
            _ => None,
        };
        let info = track.info(nals.as_ref().and_then(|nals| nals.sps.as_deref()));
        let timeline = Timeline::new(Duration::from_nanos(scale));
        let queue = VecDeque::new();
        let mut matroska = Self {
            media,
            info,
            track,
            nals,
            scale,
            first_cluster,
            ends_at,
            cluster_time: 0,
            origin: None,
            timeline,
            queue,
        };
        matroska.rewind()?;
        if ends_at > matroska.media.len() {
            return Err(matroska.count_whole_frames());
        }
        Ok(matroska)
    }

    /// For a file that says at once that it is cut off.
    fn count_whole_frames(&mut self) -> Fault {
        let mut frames = 0;
        loop {
            match self.next() {
                Ok(Some(_)) => frames += 1,
                Ok(None) | Err(Fault::Truncated) => return Fault::TruncatedAfter(frames),
                Err(fault) => return fault,
            }
        }
    }

    /// Reads the next element; frames in it go to the queue. `false` at the end.
    fn step(&mut self) -> Result<bool, Fault> {
        if self.media.at_end() {
            return if self.media.pos() < self.ends_at { Err(Fault::Truncated) } else { Ok(false) };
        }
        let element = Element::read(&mut self.media)?;
        match element.id {
            CLUSTER => {
                let size = element.size.unwrap_or(0);
                self.ends_at = self.ends_at.max(self.media.pos().saturating_add(size));
                self.cluster_time = 0;
            }
            TIMESTAMP => self.cluster_time = read_unsigned(&mut self.media, element)?,
            SIMPLE_BLOCK => self.block(element.known_size()?, None)?,
            BLOCK_GROUP => self.block_group(element.known_size()?)?,
            // Another file appended to this one.
            EBML | SEGMENT => return Ok(false),
            _ => self.media.skip(element.known_size()?)?,
        }
        Ok(true)
    }

    /// The duration may stand behind the block, so this looks for it first.
    fn block_group(&mut self, size: u64) -> Result<(), Fault> {
        let start = self.media.pos();
        let end = start.saturating_add(size);
        if end > self.media.len() {
            return Err(Fault::Truncated);
        }
        let (mut block, mut duration) = (None, None);
        while self.media.pos() < end {
            let element = Element::read(&mut self.media)?;
            let size = element.known_size()?;
            if self.media.pos().saturating_add(size) > end {
                return Err(Fault::Damaged("an element reaches beyond the one it is in"));
            }
            match element.id {
                BLOCK => {
                    block = Some((self.media.pos(), size));
                    self.media.skip(size)?;
                }
                BLOCK_DURATION => duration = Some(read_unsigned(&mut self.media, element)?),
                _ => self.media.skip(size)?,
            }
        }
        if let Some((at, size)) = block {
            self.media.seek(at)?;
            self.block(size, duration.map(|units| self.time(units)))?;
            self.media.seek(end)?;
        }
        Ok(())
    }

    /// RFC 9559, 10.1 and 10.2.
    fn block(&mut self, size: u64, duration: Option<Duration>) -> Result<(), Fault> {
        let end = self.media.pos().saturating_add(size);
        let number = ebml::read_vint(&mut self.media)?;
        let offset = i16::from_be_bytes(self.media.read_array()?);
        let [flags] = self.media.read_array()?;
        let size = end.checked_sub(self.media.pos()).ok_or(Fault::Damaged("a block is shorter than its header"))?;

        let stamp = self.time(self.cluster_time.saturating_add_signed(offset.into()));
        let origin = *self.origin.get_or_insert(stamp);
        if number != Some(self.track.number) {
            return self.media.skip(size);
        }
        let data = self.media.read_vec(size)?;
        let frames =
            lacing::split(flags >> 1 & 3, &data).ok_or(Fault::Damaged("a block has frames that do not fit"))?;
        // A block's duration is that of all its frames together.
        let share = duration.map(|duration| duration / frames.len() as u32);
        let mut stamp = stamp.saturating_sub(origin);
        for frame in frames {
            stamp = self.frame(frame, stamp, share)?;
        }
        Ok(())
    }

    /// Queues a frame; gives the time of one that follows in the same block.
    fn frame(&mut self, frame: &[u8], stamp: Duration, duration: Option<Duration>) -> Result<Duration, Fault> {
        if frame.is_empty() {
            return Ok(stamp);
        }
        let (data, key_frame, exact) = match (&mut self.nals, self.track.codec) {
            (Some(nals), _) => {
                let unit = nals.access_unit(frame)?;
                if !unit.has_slice() {
                    return Ok(stamp);
                }
                let (data, key_frame) = unit.finish(&mut nals.parameters);
                (data, key_frame, self.track.default_duration)
            }
            (None, Codec::Vp8) => (frame.to_vec().into(), vpx::vp8(frame).key_frame, self.track.default_duration),
            (None, Codec::Vp9) => (frame.to_vec().into(), vpx::vp9(frame).key_frame, self.track.default_duration),
            (None, _) => {
                let duration = opus::duration(frame).ok_or(Fault::Damaged("a packet is no Opus"))?;
                self.info.frame_duration.get_or_insert(duration);
                (frame.to_vec().into(), true, Some(duration))
            }
        };
        let (time, next) = self.timeline.place(stamp, exact.or(duration));
        self.queue.push_back(Unit { data, time, key_frame });
        Ok(next)
    }

    fn time(&self, units: u64) -> Duration {
        saturating_ns(u128::from(units) * u128::from(self.scale))
    }
}

impl Reader for Matroska {
    fn info(&self) -> &TrackInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Option<Unit>, Fault> {
        while self.queue.is_empty() {
            if !self.step()? {
                return Ok(None);
            }
        }
        Ok(self.queue.pop_front())
    }

    fn elapsed(&self) -> Duration {
        self.timeline.elapsed()
    }

    fn reordered(&self) -> bool {
        self.timeline.went_back()
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        self.cluster_time = 0;
        self.queue.clear();
        self.timeline = Timeline::new(Duration::from_nanos(self.scale));
        self.media.seek(self.first_cluster)
    }
}

/// Reads the EBML header and goes on to the beginning of the segment.
fn find_segment(media: &mut Media) -> Result<Element, Fault> {
    let header = Element::read(media)?;
    let body = read_header(media, header)?;
    let doc_type = children(&body).find(|(id, _)| *id == DOC_TYPE).map(|(_, body)| ebml::string(body));
    if !matches!(doc_type.as_deref(), Some("webm" | "matroska")) {
        return Err(Fault::Foreign);
    }
    loop {
        let element = Element::read(media)?;
        if element.id == SEGMENT {
            return Ok(element);
        }
        media.skip(element.known_size()?)?;
    }
}

/// Time stamp scale, tracks and the place of the first cluster.
fn read_headers(media: &mut Media) -> Result<(u64, Vec<u8>, u64), Fault> {
    let mut scale = 1_000_000;
    let mut tracks = None;
    loop {
        let at = media.pos();
        let element = Element::read(media)?;
        match (element.id, tracks.take()) {
            (INFO, known) => {
                tracks = known;
                let body = read_header(media, element)?;
                if let Some((_, body)) = children(&body).find(|(id, _)| *id == TIMESTAMP_SCALE) {
                    scale = unsigned(body)?;
                }
                if scale == 0 {
                    return Err(Fault::Damaged("its time base is zero"));
                }
            }
            (TRACKS, _) => tracks = Some(read_header(media, element)?),
            (CLUSTER, Some(tracks)) => return Ok((scale, tracks, at)),
            (CLUSTER, None) => return Err(Fault::Damaged("its tracks are not described before its frames")),
            (_, known) => {
                tracks = known;
                media.skip(element.known_size()?)?;
            }
        }
    }
}

fn read_header(media: &mut Media, element: Element) -> Result<Vec<u8>, Fault> {
    let size = element.known_size()?;
    if size > MAX_HEADER {
        return Err(Fault::Damaged("a header is too large"));
    }
    media.read_vec(size)
}

fn read_unsigned(media: &mut Media, element: Element) -> Result<u64, Fault> {
    let size = element.known_size()?;
    if size > 8 {
        return Err(Fault::Damaged("an integer is too long"));
    }
    unsigned(&media.read_vec(size)?)
}

const _: () = assert!(MAX_HEADER < MAX_FRAME as u64 && track::MAX_TRACKS < 256);
