use std::io;

use super::Kind;

/// Why a file cannot be played. Each is one line: which file, what is wrong, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such file.
    #[error("{file}: no such file; check the path")]
    Missing {
        /// The file's name, as given.
        file: String,
    },
    /// The path names a directory or a device.
    #[error("{file}: not a regular file; name a media file, or a pipe")]
    NotAFile {
        /// The file's name, as given.
        file: String,
    },
    /// The operating system does not let us read it.
    #[error("{file}: cannot be read: {source}; check its permissions and the disk")]
    Unreadable {
        /// The file's name, as given.
        file: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file has no bytes at all.
    #[error("{file}: the file is empty; make or copy it again")]
    Empty {
        /// The file's name, as given.
        file: String,
    },
    /// A file of a known format that holds no frame of the stream wanted.
    #[error("{file}: holds no {kind} frame; make or copy it again")]
    NoFrames {
        /// The file's name, as given.
        file: String,
        /// What was wanted of it.
        kind: Kind,
    },
    /// The file ends in the middle of something.
    #[error("{file}: the file is cut off after {frames} whole frames; make or copy it again")]
    Truncated {
        /// The file's name, as given.
        file: String,
        /// Whole frames before the cut.
        frames: u64,
    },
    /// None of the formats we read.
    #[error(
        "{file}: not a format this program reads: it reads IVF (VP8, VP9), Annex B (H.264, H.265), WebM/Matroska, \
         MP4, Ogg Opus; convert it, for example with `ffmpeg -i {file} -c copy out.mkv`"
    )]
    Foreign {
        /// The file's name, as given.
        file: String,
    },
    /// The file has no stream of the kind wanted.
    #[error("{file}: no {kind} in this file; name another file for {kind}")]
    WrongKind {
        /// The file's name, as given.
        file: String,
        /// What was wanted of it.
        kind: Kind,
    },
    /// The container is known, the codec in it is not one we can send.
    #[error("{file}: its {kind} is {codec}, which this program does not send; convert it to {}", kind.codecs())]
    UnsupportedCodec {
        /// The file's name, as given.
        file: String,
        /// What was wanted of it.
        kind: Kind,
        /// The codec found, by the name people know it under.
        codec: String,
    },
    /// The file contradicts its format.
    #[error("{file}: damaged after {frames} whole frames: {what}; make or copy it again")]
    Damaged {
        /// The file's name, as given.
        file: String,
        /// Whole frames before the damage.
        frames: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A frame larger than any real one; never allocated.
    #[error("{file}: after {frames} frames comes one of more than {} MiB, so it is damaged; make or copy it again", super::MAX_FRAME >> 20)]
    TooLarge {
        /// The file's name, as given.
        file: String,
        /// Whole frames before it.
        frames: u64,
    },
    /// A file that is to be held in memory, and is too large for that.
    #[error("{file}: more than {} MiB, which is more than is held in memory; give a shorter one, it is played over and over", limit >> 20)]
    TooLong {
        /// The file's name, as given.
        file: String,
        /// Bytes of frames that are held at most.
        limit: usize,
    },
    /// Two files that shall be layers of one stream do not fit together.
    #[error("{file}: {what} than {other}; layers of one simulcast must be encoded alike but for size and bitrate")]
    LayersDiffer {
        /// The file's name, as given.
        file: String,
        /// The layer it was compared with.
        other: String,
        /// In what it differs: "has another codec".
        what: &'static str,
    },
}

/// What a reader finds wrong: the same as [`SourceError`], but a reader knows neither its file's name nor the count.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Truncated,
    /// Cut off, and the whole frames are counted already, as a scan at opening does.
    TruncatedAfter(u64),
    Foreign,
    WrongKind,
    UnsupportedCodec(String),
    Damaged(&'static str),
    TooLarge,
}

impl Fault {
    pub(super) fn of(self, file: &str, kind: Kind, frames: u64) -> SourceError {
        let file = file.to_owned();
        match self {
            Self::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                SourceError::Truncated { file, frames }
            }
            Self::Io(source) => SourceError::Unreadable { file, source },
            Self::Truncated => SourceError::Truncated { file, frames },
            Self::TruncatedAfter(frames) => SourceError::Truncated { file, frames },
            Self::Foreign => SourceError::Foreign { file },
            Self::WrongKind => SourceError::WrongKind { file, kind },
            Self::UnsupportedCodec(codec) => SourceError::UnsupportedCodec { file, kind, codec },
            Self::Damaged(what) => SourceError::Damaged { file, frames, what },
            Self::TooLarge => SourceError::TooLarge { file, frames },
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
