use std::time::Duration;

use super::{
    Codec, Kind, TrackInfo,
    ebml::{children, string, unsigned},
    error::Fault,
    opus, sps,
};

const TRACK_ENTRY: u32 = 0xae;
const TRACK_NUMBER: u32 = 0xd7;
const TRACK_TYPE: u32 = 0x83;
const CODEC_ID: u32 = 0x86;
const CODEC_PRIVATE: u32 = 0x63a2;
const DEFAULT_DURATION: u32 = 0x23_e383;
const VIDEO: u32 = 0xe0;
const PIXEL_WIDTH: u32 = 0xb0;
const PIXEL_HEIGHT: u32 = 0xba;
const AUDIO: u32 = 0xe1;
const CHANNELS: u32 = 0x9f;
const CONTENT_ENCODINGS: u32 = 0x6d80;

/// Beyond these no track is looked for.
pub(super) const MAX_TRACKS: usize = 128;

/// A track of a Matroska file (RFC 9559, 5.1.4.1).
#[derive(Debug)]
pub(super) struct Track {
    pub(super) number: u64,
    pub(super) codec: Codec,
    pub(super) private: Vec<u8>,
    pub(super) default_duration: Option<Duration>,
    size: Option<(u32, u32)>,
    channels: Option<u8>,
}

impl Track {
    /// The first track of a kind that we can send. If there is none, says of which codec the first one is.
    pub(super) fn choose(tracks: &[u8], kind: Kind) -> Result<Self, Fault> {
        let mut fault = Fault::WrongKind;
        for (_, entry) in children(tracks).filter(|(id, _)| *id == TRACK_ENTRY).take(MAX_TRACKS) {
            match Self::parse(entry, kind) {
                Ok(Some(track)) => return Ok(track),
                Ok(None) => {}
                Err(other) if matches!(fault, Fault::WrongKind) => fault = other,
                Err(_) => {}
            }
        }
        Err(fault)
    }

    /// `None`: of another kind.
    fn parse(entry: &[u8], kind: Kind) -> Result<Option<Self>, Fault> {
        let find = |wanted| children(entry).find(|(id, _)| *id == wanted).map(|(_, body)| body);
        let number = |wanted| find(wanted).map(unsigned).transpose();
        // Track types: 1 is video, 2 is audio.
        let kind_number = match kind {
            Kind::Video => 1,
            Kind::Audio => 2,
        };
        if number(TRACK_TYPE)? != Some(kind_number) {
            return Ok(None);
        }
        let codec = codec(&find(CODEC_ID).map(string).unwrap_or_default())?;
        // mkvmerge strips headers from frames on demand, and tracks may be encrypted.
        if find(CONTENT_ENCODINGS).is_some_and(|body| !body.is_empty()) {
            return Err(Fault::UnsupportedCodec("stored compressed or encrypted".to_owned()));
        }
        let damaged = Fault::Damaged("a track has no number");
        let private = find(CODEC_PRIVATE).unwrap_or_default().to_vec();
        let default_duration = number(DEFAULT_DURATION)?.map(Duration::from_nanos);
        let channels = find(AUDIO).and_then(|audio| child(audio, CHANNELS)).and_then(|count| u8::try_from(count).ok());
        Ok(Some(Self {
            number: number(TRACK_NUMBER)?.ok_or(damaged)?,
            codec,
            channels: opus::head_channels(&private).or(channels),
            // What lies outside of this is no frame's duration.
            default_duration: default_duration.filter(|duration| (1..=10_000).contains(&duration.as_millis())),
            size: find(VIDEO).and_then(size),
            private,
        }))
    }

    pub(super) fn info(&self, sps: Option<&[u8]>) -> TrackInfo {
        let sps = sps.and_then(|nal| match self.codec {
            Codec::H265 => sps::h265(nal),
            _ => sps::h264(nal),
        });
        let video = self.codec.kind() == Kind::Video;
        TrackInfo {
            width: self.size.map(|size| size.0),
            height: self.size.map(|size| size.1),
            channels: self.channels.filter(|_| !video),
            profile: sps.map(|sps| sps.profile),
            frame_duration: self.default_duration.filter(|_| video),
            ..TrackInfo::new(self.codec)
        }
    }
}

/// RFC 9559's codec mappings. What we do not send is named, by the name people know it under.
fn codec(id: &str) -> Result<Codec, Fault> {
    Ok(match id {
        "V_VP8" => Codec::Vp8,
        "V_VP9" => Codec::Vp9,
        "V_MPEG4/ISO/AVC" => Codec::H264,
        "V_MPEGH/ISO/HEVC" => Codec::H265,
        "A_OPUS" => Codec::Opus,
        "V_AV1" => return Err(Fault::UnsupportedCodec("AV1".to_owned())),
        other => {
            let name = other.get(2..).unwrap_or(other);
            let name: String = name.chars().filter(|letter| !letter.is_control()).take(40).collect();
            return Err(Fault::UnsupportedCodec(if name.is_empty() { "without a name".to_owned() } else { name }));
        }
    })
}

fn size(video: &[u8]) -> Option<(u32, u32)> {
    let of = |id| child(video, id).and_then(|pixels| u32::try_from(pixels).ok());
    Some((of(PIXEL_WIDTH)?, of(PIXEL_HEIGHT)?))
}

fn child(body: &[u8], wanted: u32) -> Option<u64> {
    children(body).find(|(id, _)| *id == wanted).and_then(|(_, body)| unsigned(body).ok())
}
