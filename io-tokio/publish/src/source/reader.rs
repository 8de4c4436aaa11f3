use std::time::Duration;

use bytes::Bytes;

use super::{
    Input, Kind, Options, SourceError, TrackInfo, annexb::AnnexB, error::Fault, ivf::Ivf, matroska::Matroska,
    media::Media, mp4::Mp4, ogg::OggOpus,
};

/// A frame as a reader gives it, its time since the beginning of this pass.
pub(super) struct Unit {
    pub(super) data: Bytes,
    pub(super) time: Duration,
    pub(super) key_frame: bool,
}

/// What reads one format.
pub(super) trait Reader: Send {
    /// What the headers tell, and for Opus the first packet.
    fn info(&self) -> &TrackInfo;

    /// The next frame, or `None` at the end.
    fn next(&mut self) -> Result<Option<Unit>, Fault>;

    /// At the end: how long the stream is, the last frame included.
    fn elapsed(&self) -> Duration;

    /// How long the stream is, if that is known from the beginning.
    fn known_length(&self) -> Option<Duration> {
        None
    }

    /// Whether a picture has come that is shown before one that came earlier.
    fn reordered(&self) -> bool {
        false
    }

    /// Back to the first frame.
    fn rewind(&mut self) -> Result<(), Fault>;
}

pub(super) fn open_reader(input: &Input, kind: Kind, options: &Options) -> Result<Box<dyn Reader>, SourceError> {
    detect(input.open()?, kind, options).map_err(|fault| fault.of(&input.name(), kind, 0))
}

fn detect(mut media: Media, kind: Kind, options: &Options) -> Result<Box<dyn Reader>, Fault> {
    let head = media.peek(16)?;
    let video_only = || {
        if kind == Kind::Video { Ok(()) } else { Err(Fault::WrongKind) }
    };
    Ok(if head.starts_with(b"DKIF") {
        video_only()?;
        Box::new(Ivf::open(media)?)
    } else if head.starts_with(b"OggS") {
        Box::new(OggOpus::open(media, kind)?)
    } else if Matroska::matches(&head) {
        Box::new(Matroska::open(media, kind)?)
    } else if Mp4::matches(&head) {
        Box::new(Mp4::open(media, kind)?)
    } else if AnnexB::matches(&head) {
        let reader = AnnexB::open(media, options)?;
        video_only()?;
        Box::new(reader)
    } else {
        return Err(Fault::Foreign);
    })
}
