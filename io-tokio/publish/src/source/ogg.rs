use std::time::Duration;

use ogg::reading::{BasePacketReader, PageParser};

use super::{Codec, Kind, MAX_FRAME, Reader, TrackInfo, Unit, error::Fault, media::Media, opus};

/// OpusHead and OpusTags stand before the sound (RFC 7845, 3).
const HEADERS: u8 = 2;

/// Ogg (RFC 3533) with an Opus stream (RFC 7845). The `ogg` crate checks pages and puts packets together; pages are
/// read here and only those of our stream handed on, since it would keep what other streams leave open for ever.
pub(super) struct OggOpus {
    media: Media,
    info: TrackInfo,
    first_serial: u32,
    serial: u32,
    packets: BasePacketReader,
    headers_left: u8,
    /// The last page of our stream was its last.
    stream_ended: bool,
    /// The last page of our stream ends within a packet.
    packet_open: bool,
    /// Bytes of pages since the last whole packet.
    gathered: usize,
    elapsed: Duration,
}

struct Page {
    header: [u8; 27],
    segments: Vec<u8>,
    body: Vec<u8>,
}

impl OggOpus {
    pub(super) fn open(mut media: Media, kind: Kind) -> Result<Self, Fault> {
        let mut other = None;
        // All streams begin before any goes on (RFC 3533, 4).
        let (serial, channels) = loop {
            let Some(page) = Page::read(&mut media)? else {
                break None;
            };
            if !page.begins_stream() {
                break None;
            }
            match (opus::head_channels(&page.body), kind) {
                (Some(channels), Kind::Audio) => break Some((page.serial(), channels)),
                (Some(_), Kind::Video) => {}
                (None, kind) => other = other.or(codec_name(&page.body, kind)),
            }
        }
        .ok_or_else(|| other.map_or(Fault::WrongKind, |codec| Fault::UnsupportedCodec(codec.to_owned())))?;

        let mut ogg = Self {
            media,
            info: TrackInfo { channels: Some(channels), ..TrackInfo::new(Codec::Opus) },
            first_serial: serial,
            serial,
            packets: BasePacketReader::new(),
            headers_left: HEADERS,
            stream_ended: false,
            packet_open: false,
            gathered: 0,
            elapsed: Duration::ZERO,
        };
        ogg.rewind()?;
        Ok(ogg)
    }

    /// Reads on to the next page of our stream; `false` at the end of the file.
    fn next_page(&mut self) -> Result<bool, Fault> {
        while let Some(page) = Page::read(&mut self.media)? {
            // Chained files (RFC 3533, 4): after the end of our stream another begins, which we play on with.
            if self.stream_ended && page.begins_stream() && opus::head_channels(&page.body).is_some() {
                self.begin(page.serial());
            }
            if page.serial() != self.serial {
                continue;
            }
            self.gathered += page.body.len();
            if self.gathered > MAX_FRAME {
                return Err(Fault::TooLarge);
            }
            self.stream_ended = page.ends_stream();
            self.packet_open = page.segments.last() == Some(&255);
            let page = page.parse().ok_or(Fault::Damaged("a page fails its checksum"))?;
            self.packets.push_page(page).map_err(|_| Fault::Damaged("a page does not follow the one before it"))?;
            return Ok(true);
        }
        if self.packet_open { Err(Fault::Truncated) } else { Ok(false) }
    }

    fn begin(&mut self, serial: u32) {
        self.serial = serial;
        self.packets = BasePacketReader::new();
        self.headers_left = HEADERS;
        self.stream_ended = false;
        self.packet_open = false;
        self.gathered = 0;
    }
}

impl Reader for OggOpus {
    fn info(&self) -> &TrackInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Option<Unit>, Fault> {
        loop {
            let Some(packet) = self.packets.read_packet() else {
                if self.next_page()? {
                    continue;
                }
                return Ok(None);
            };
            self.gathered = 0;
            if self.headers_left > 0 {
                self.headers_left -= 1;
                continue;
            }
            // An empty packet stands for one that was lost.
            if packet.data.is_empty() {
                continue;
            }
            let duration = opus::duration(&packet.data).ok_or(Fault::Damaged("a packet is no Opus"))?;
            self.info.frame_duration.get_or_insert(duration);
            let time = self.elapsed;
            self.elapsed += duration;
            return Ok(Some(Unit { data: packet.data.into(), time, key_frame: true }));
        }
    }

    fn elapsed(&self) -> Duration {
        self.elapsed
    }

    fn rewind(&mut self) -> Result<(), Fault> {
        self.begin(self.first_serial);
        self.elapsed = Duration::ZERO;
        self.media.seek(0)
    }
}

impl Page {
    /// RFC 3533, 6. `None` at the end of the file.
    fn read(media: &mut Media) -> Result<Option<Self>, Fault> {
        if media.at_end() {
            return Ok(None);
        }
        let header: [u8; 27] = media.read_array()?;
        if !header.starts_with(b"OggS") {
            return Err(Fault::Damaged("a page is not where it should be"));
        }
        let segments = media.read_vec(header[26].into())?;
        let body = media.read_vec(segments.iter().map(|size| u64::from(*size)).sum())?;
        Ok(Some(Self { header, segments, body }))
    }

    fn serial(&self) -> u32 {
        let header = &self.header;
        u32::from_le_bytes([header[14], header[15], header[16], header[17]])
    }

    fn begins_stream(&self) -> bool {
        self.header[5] & 2 != 0
    }

    fn ends_stream(&self) -> bool {
        self.header[5] & 4 != 0
    }

    fn parse(self) -> Option<ogg::reading::OggPage> {
        let (mut parser, _) = PageParser::new(self.header).ok()?;
        parser.parse_segments(self.segments);
        parser.parse_packet_data(self.body).ok()
    }
}

/// The codecs that Ogg files hold, by how their first packet begins.
fn codec_name(head: &[u8], kind: Kind) -> Option<&'static str> {
    let known: &[(&[u8], &str)] = match kind {
        Kind::Audio => &[(b"\x01vorbis", "Vorbis"), (b"\x7fFLAC", "FLAC"), (b"Speex   ", "Speex")],
        Kind::Video => &[(b"\x80theora", "Theora"), (b"BBCD", "Dirac"), (b"OVP80", "VP8 in Ogg")],
    };
    known.iter().find(|(start, _)| head.starts_with(start)).map(|(_, name)| *name)
}
