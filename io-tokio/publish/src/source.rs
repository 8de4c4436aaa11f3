//! Where the media comes from: encoded frames out of files, RTP packets out of datagrams.
//!
//! Pull-based and without a clock: [`FileSource::next_frame`] gives the next frame and the time it belongs to, and the
//! caller waits for that time. A file is read as it is played, and none can make a reader panic or allocate more than a
//! few times [`MAX_FRAME`], whatever is in it.
//!
//! Not in scope: decoding, packetizing, seeking.
//!
//! | content        | video              | audio |                                             |
//! |----------------|--------------------|-------|---------------------------------------------|
//! | IVF            | VP8, VP9           |       |                                             |
//! | Annex B        | H.264, H.265       |       | evenly spaced frames                        |
//! | WebM, Matroska | all of these       | Opus  | one [`FileSource`] for each of the two      |
//! | MP4, QuickTime | all of these       | Opus  | fragmented or not; the same                 |
//! | Ogg            |                    | Opus  |                                             |
//!
//! The format is told by the content, never by the name. All can come through a pipe, too, once and as far as what stands first
//! tells what follows: of MP4 the index must stand before the samples, as in fragments it does.

use std::{cell::OnceCell, fmt, time::Duration};

use bytes::Bytes;

pub use self::{
    clip::Clip,
    error::SourceError,
    layers::{check_layers, loop_together},
    media::Input,
};
use self::{
    error::Fault,
    reader::{Reader, Unit, open_reader},
};

mod annexb;
mod bits;
mod clip;
mod ebml;
mod error;
mod ivf;
mod lacing;
mod layers;
mod matroska;
mod media;
mod mp4;
mod nal;
mod ogg;
mod opus;
mod order;
mod pipe;
mod reader;
mod sps;
#[cfg(test)]
mod tests;
mod timeline;
mod track;
mod vpx;

/// No frame is larger; what claims to be is damage.
pub const MAX_FRAME: usize = 16 << 20;

/// How long a frame lasts if nothing tells: the only one of a file.
const FALLBACK_FRAME: Duration = Duration::from_nanos(1_000_000_000 / 30);

/// Sound or picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

impl Kind {
    /// What we send, for messages.
    fn codecs(self) -> &'static str {
        match self {
            Self::Audio => "Opus",
            Self::Video => "VP8, VP9, H.264 or H.265",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Video => "video",
        })
    }
}

/// A codec that the program sends. The G.711 codecs come by RTP only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// Opus.
    Opus,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// Whether it is for sound or picture.
    pub fn kind(self) -> Kind {
        match self {
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 => Kind::Video,
            Self::Opus | Self::Pcmu | Self::Pcma => Kind::Audio,
        }
    }

    /// The units of its RTP time stamps in a second (RFC 7741, 9628, 6184, 7798, 7587, 3551).
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 => 90_000,
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }
}

/// What a receiver must be able to decode, as far as the codec has profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// VP9's `profile-id` (RFC 9628, 7).
    Vp9(u8),
    /// H.264's `profile-level-id`: profile_idc, constraint flags, level_idc (RFC 6184, 8.1).
    H264([u8; 3]),
    /// H.265's `profile-id`, `tier-flag` and `level-id` (RFC 7798, 7.1).
    H265 {
        /// general_profile_idc: 1 is Main.
        profile_id: u8,
        /// general_tier_flag.
        high_tier: bool,
        /// general_level_idc: 30 times the level.
        level_id: u8,
    },
}

/// What a file tells of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackInfo {
    /// The codec.
    pub codec: Codec,
    /// The picture's width in pixels, for video.
    pub width: Option<u32>,
    /// The picture's height in pixels, for video.
    pub height: Option<u32>,
    /// The number of channels, for audio.
    pub channels: Option<u8>,
    /// The profile, if the codec has any and the stream tells.
    pub profile: Option<Profile>,
    /// How long a frame lasts: on average in IVF, nominally in Matroska, the first packet's for Opus.
    pub frame_duration: Option<Duration>,
}

impl TrackInfo {
    fn new(codec: Codec) -> Self {
        Self { codec, width: None, height: None, channels: None, profile: None, frame_duration: None }
    }
}

/// A frame of video or a packet of audio, encoded. H.264 and H.265 are Annex B, with their parameter sets before each
/// key frame and without access unit delimiters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// The codec's data.
    pub data: Bytes,
    /// When it is to be shown or heard, since the beginning of the file; it goes on without a break when the file is
    /// played again. Frames come in decoding order: with B-frames, which only Matroska can tell of, this goes back.
    pub time: Duration,
    /// Whether decoding can begin here; always so for audio.
    pub key_frame: bool,
}

/// How to play a file.
#[derive(Debug, Clone)]
pub struct Options {
    looping: bool,
    frame_rate: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { looping: false, frame_rate: 30 }
    }
}

impl Options {
    /// Whether to begin again at the end. Default: no.
    pub fn looping(mut self, looping: bool) -> Self {
        self.looping = looping;
        self
    }

    /// Frames per second of an Annex B stream that does not tell; at least 1. Default: 30.
    pub fn frame_rate(mut self, frame_rate: u32) -> Self {
        self.frame_rate = frame_rate.max(1);
        self
    }
}

/// One stream of one file.
///
/// ```text
/// let mut source = FileSource::open("clip.webm", Kind::Video, Options::default())?;
/// while let Some(frame) = source.next_frame()? {
///     // wait until the start plus frame.time, then send frame.data
/// }
/// ```
pub struct FileSource {
    input: Input,
    kind: Kind,
    options: Options,
    reader: Box<dyn Reader>,
    info: TrackInfo,
    /// The first frame is read at opening, to know that there is one.
    pending: Option<Unit>,
    /// Frames of this pass, for messages.
    frames: u64,
    /// When this pass began.
    base: Duration,
    /// What a pass takes at least.
    period: Duration,
    ended: bool,
    survey: OnceCell<Survey>,
}

/// What is known of a file when it was read through.
#[derive(Debug, Clone, Copy)]
struct Survey {
    length: Duration,
    reordered: bool,
}

impl FileSource {
    /// Opens the stream of a kind in a file and reads its first frame.
    pub fn open(input: impl Into<Input>, kind: Kind, options: Options) -> Result<Self, SourceError> {
        let input = input.into();
        let mut reader = open_reader(&input, kind, &options)?;
        let first = reader.next().map_err(|fault| fault.of(&input.name(), kind, 0))?;
        let Some(first) = first else {
            return Err(SourceError::NoFrames { file: input.name(), kind });
        };
        let info = with_first_frame(reader.info().clone(), &first);
        Ok(Self {
            input,
            kind,
            options,
            reader,
            info,
            pending: Some(first),
            frames: 0,
            base: Duration::ZERO,
            period: Duration::ZERO,
            ended: false,
            survey: OnceCell::new(),
        })
    }

    /// The stream's codec and shape.
    pub fn info(&self) -> &TrackInfo {
        &self.info
    }

    /// The file's name, for messages.
    pub fn name(&self) -> String {
        self.input.name()
    }

    /// Begins again at the end, each pass taking `period`, or longer if the file does: what is played side by side with
    /// longer files stays with them. See [`loop_together`].
    pub fn loop_every(&mut self, period: Duration) {
        self.options.looping = true;
        self.period = period;
    }

    /// How long the stream is. Reads the file through unless it is IVF, and so finds all that is wrong with it.
    pub fn length(&self) -> Result<Duration, SourceError> {
        Ok(self.survey()?.length)
    }

    /// Whether there are pictures that are shown before others that stand before them (B-frames). A WebRTC receiver shows
    /// pictures as they come, so that most of such a stream is lost to it. Reads the file through as
    /// [`length`](Self::length) does.
    pub fn reordered(&self) -> Result<bool, SourceError> {
        Ok(self.survey()?.reordered)
    }

    fn survey(&self) -> Result<Survey, SourceError> {
        if let Some(known) = self.survey.get() {
            return Ok(*known);
        }
        // VP8 and VP9 know no other order.
        if let Some(length) = self.reader.known_length() {
            return Ok(Survey { length, reordered: false });
        }
        let mut reader = open_reader(&self.input, self.kind, &self.options)?;
        let mut frames = 0;
        while reader.next().map_err(|fault| fault.of(&self.name(), self.kind, frames))?.is_some() {
            frames += 1;
        }
        Ok(*self.survey.get_or_init(|| Survey { length: reader.elapsed(), reordered: reader.reordered() }))
    }

    /// The next frame. `None`: the file is over and does not loop, or an error was given already.
    pub fn next_frame(&mut self) -> Result<Option<EncodedFrame>, SourceError> {
        if self.ended {
            return Ok(None);
        }
        let unit = match self.read()? {
            None if self.options.looping => {
                self.begin_again()?;
                self.read()?
            }
            unit => unit,
        };
        self.ended = unit.is_none();
        Ok(unit.map(|Unit { data, time, key_frame }| {
            self.frames += 1;
            EncodedFrame { data, time: self.base.saturating_add(time), key_frame }
        }))
    }

    fn read(&mut self) -> Result<Option<Unit>, SourceError> {
        if let Some(first) = self.pending.take() {
            return Ok(Some(first));
        }
        self.reader.next().map_err(|fault| self.fail(fault))
    }

    fn begin_again(&mut self) -> Result<(), SourceError> {
        // Never nothing, or a caller would spin.
        let length = self.reader.elapsed().max(self.period).max(Duration::from_millis(1));
        self.base = self.base.saturating_add(length);
        self.frames = 0;
        self.reader.rewind().map_err(|fault| self.fail(fault))
    }

    fn fail(&mut self, fault: Fault) -> SourceError {
        self.ended = true;
        fault.of(&self.input.name(), self.kind, self.frames)
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSource").field("input", &self.name()).field("info", &self.info).finish_non_exhaustive()
    }
}

/// VP8 and VP9 tell size and profile in each key frame, and what the frame says is true rather than what the container
/// says.
fn with_first_frame(mut info: TrackInfo, first: &Unit) -> TrackInfo {
    let header = match info.codec {
        Codec::Vp8 => vpx::vp8(&first.data),
        Codec::Vp9 => vpx::vp9(&first.data),
        Codec::H264 | Codec::H265 | Codec::Opus | Codec::Pcmu | Codec::Pcma => return info,
    };
    if let Some((width, height)) = header.size {
        (info.width, info.height) = (Some(width), Some(height));
    }
    if info.codec == Codec::Vp9 && header.key_frame {
        info.profile = Some(Profile::Vp9(header.profile));
    }
    info
}

/// `units` of `scale / rate` seconds. Computed from the whole count, so that no rounding adds up.
fn ticks(units: u64, scale: u64, rate: u64) -> Duration {
    saturating_ns(u128::from(units) * u128::from(scale) * 1_000_000_000 / u128::from(rate.max(1)))
}

fn saturating_ns(ns: u128) -> Duration {
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}
