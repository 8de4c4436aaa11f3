//! Opens what is to be published, before anything is said to a room: what is wrong with a file is found here.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use futures_util::future::try_join_all;
use mediasoup_producer::v2::Profile;
use mediasoup_producer::{Codec, MediaKind};
use tokio::net::UdpSocket;

use crate::args::MediaArgs;
use crate::live::Live;
use crate::source::{self, Clip, FileSource, Input, Kind, Options, SourceError, check_layers, loop_together};

/// The bundled clip: 5 s of picture in three sizes and a beat.
const CLIP: [(&str, &[u8]); 3] = [
    ("low.ivf", include_bytes!("../clip/low.ivf")),
    ("medium.ivf", include_bytes!("../clip/medium.ivf")),
    ("high.ivf", include_bytes!("../clip/high.ivf")),
];
const BEAT: (&str, &[u8]) = ("beat.opus", include_bytes!("../clip/beat.opus"));

/// One producer to be: an audio or video track, and where its media comes from.
#[derive(Debug)]
pub struct Track {
    /// For people: the file's name, or the address.
    pub label: String,
    /// What the media is encoded with.
    pub codec: Codec,
    /// One for each encoding, the lowest first.
    pub layers: Vec<Layer>,
    /// Where the media comes from.
    pub feed: Feed,
    /// Its files with pictures that are shown in another order than they stand in: receivers will show few of them.
    pub reordered: Vec<String>,
}

/// One encoding of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// [`Profile::Default`] without simulcast.
    pub profile: Profile,
    /// Width and height in pixels, where they are known.
    pub size: Option<(u32, u32)>,
}

/// Where the media of a track comes from.
#[derive(Debug)]
pub enum Feed {
    /// One file for each layer.
    Files(Vec<FileSource>),
    /// The same in memory.
    Clips(Vec<Clip>),
    /// The same through pipes.
    Pipes(Vec<Live>),
    /// RTP packets, at one socket for each layer.
    Rtp(Vec<UdpSocket>),
}

/// Why there is nothing to publish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// A file.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Neither one file nor three.
    #[error("--video takes one file, or three for simulcast (low, medium, high); there are {0}")]
    VideoFiles(usize),
    /// A pipe again.
    #[error("--loop: what comes through a pipe comes once; leave it out, or name files")]
    LoopedPipe,
    /// Two pipes in one.
    #[error("standard input (-) can be one of the inputs only; make named pipes (mkfifo) of the others")]
    StdinTwice,
    /// Neither one address nor three.
    #[error("--video-rtp takes one address, or three for simulcast (low, medium, high); there are {0}")]
    VideoAddresses(usize),
    /// Simulcast of what has one layer.
    #[error(
        "--simulcast needs three files or addresses: --video LOW MEDIUM HIGH, or --video-rtp LOW MEDIUM HIGH; leave it out \
         to send one encoding"
    )]
    Simulcast,
    /// The port of an RTP input.
    #[error("{option} cannot listen on {address}: {source}; name a free address of this machine")]
    Listen {
        /// The option that names it.
        option: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
}

impl Track {
    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.codec.kind()
    }

    /// Whether it has layers.
    pub const fn simulcast(&self) -> bool {
        self.layers.len() > 1
    }
}

/// Opens all inputs, audio first: the order in which they are to be sent.
pub async fn open(args: &MediaArgs) -> Result<Vec<Track>, InputError> {
    let pipes = Pipes::open(args).await?;
    let (mut audio, mut video, looping) = if args.bundled() {
        let clip = CLIP.map(|(name, data)| Input::bundled(name, data));
        let beat = FileSource::open(Input::bundled(BEAT.0, BEAT.1), Kind::Audio, Options::default())?;
        (vec![beat], open_files(clip, Kind::Video)?, true)
    } else {
        let audio = if pipes.audio.is_empty() { args.audio.as_slice() } else { &[] };
        let video = if pipes.video.is_empty() { &*args.video } else { &[] };
        (open_files(audio.iter().cloned(), Kind::Audio)?, open_files(video.iter().cloned(), Kind::Video)?, args.looping)
    };
    match args.video_rtp.len() {
        0 | 1 | 3 => {}
        count => return Err(InputError::VideoAddresses(count)),
    }
    match args.video.len() {
        0 | 1 | 3 => {}
        count => return Err(InputError::VideoFiles(count)),
    }
    match video.len() {
        0 | 1 if args.simulcast && args.video_rtp.len() < 3 && pipes.video.len() < 3 => {
            return Err(InputError::Simulcast);
        }
        0 | 1 => {}
        _ => check_layers(&video.iter().collect::<Vec<_>>())?,
    }
    let mut files: Vec<_> = audio.iter_mut().chain(&mut video).collect();
    if looping {
        loop_together(&mut files)?;
    } else {
        // Reads them through: better to find damage now than in the middle of a broadcast.
        for file in files {
            file.length()?;
        }
    }
    let mut tracks = Vec::new();
    for sources in [audio, video] {
        tracks.extend(of_files(sources)?);
    }
    tracks.extend(of_pipes(pipes.video));
    if let Some(audio) = of_pipes(pipes.audio) {
        tracks.insert(0, audio);
    }
    if let Some(address) = args.audio_rtp {
        tracks.insert(0, of_rtp("--audio-rtp", &[address], args.audio_rtp_codec.into()).await?);
    }
    if !args.video_rtp.is_empty() {
        tracks.push(of_rtp("--video-rtp", &args.video_rtp, args.video_rtp_codec.into()).await?);
    }
    Ok(tracks)
}

fn open_files<I: Into<Input>>(inputs: impl IntoIterator<Item = I>, kind: Kind) -> Result<Vec<FileSource>, SourceError> {
    inputs.into_iter().map(|input| FileSource::open(input, kind, Options::default())).collect()
}

/// `None`: no files, no track.
fn of_files(sources: Vec<FileSource>) -> Result<Option<Track>, SourceError> {
    let Some(first) = sources.first() else { return Ok(None) };
    let (label, codec) = (first.name(), codec(first.info().codec));
    let layers = profiles(sources.len())
        .iter()
        .zip(&sources)
        .map(|(profile, source)| Layer { profile: *profile, size: source.info().width.zip(source.info().height) })
        .collect();
    let mut reordered = Vec::new();
    for source in &sources {
        if source.reordered()? {
            reordered.push(source.name());
        }
    }
    Ok(Some(Track { label, codec, layers, feed: Feed::Files(sources), reordered }))
}

/// What comes through pipes.
struct Pipes {
    audio: Vec<Live>,
    video: Vec<Live>,
}

impl Pipes {
    /// Waits until somebody writes to them. If one of a track's inputs is a pipe, all are read as pipes are.
    async fn open(args: &MediaArgs) -> Result<Self, InputError> {
        let inputs = |paths: &[PathBuf]| {
            let inputs: Vec<_> = paths.iter().cloned().map(input).collect();
            if inputs.iter().any(Input::is_pipe) { inputs } else { Vec::new() }
        };
        let (audio, video) = (inputs(args.audio.as_slice()), inputs(&args.video));
        if args.looping && !(audio.is_empty() && video.is_empty()) {
            return Err(InputError::LoopedPipe);
        }
        if audio.iter().chain(&video).filter(|input| matches!(input, Input::Stdin)).count() > 1 {
            return Err(InputError::StdinTwice);
        }
        let open =
            async |inputs: Vec<Input>, kind| try_join_all(inputs.into_iter().map(|from| Live::open(from, kind))).await;
        // At once: who writes one may wait for the other to be read.
        let (audio, video) = tokio::try_join!(open(audio, Kind::Audio), open(video, Kind::Video))?;
        Ok(Self { audio, video })
    }
}

/// `None`: no pipes, no track.
fn of_pipes(pipes: Vec<Live>) -> Option<Track> {
    let first = pipes.first()?;
    let (label, codec) = (first.name().to_owned(), codec(first.info().codec));
    let layer = |(profile, live): (&Profile, &Live)| Layer {
        profile: *profile,
        size: live.info().width.zip(live.info().height),
    };
    let layers = profiles(pipes.len()).iter().zip(&pipes).map(layer).collect();
    Some(Track { label, codec, layers, feed: Feed::Pipes(pipes), reordered: Vec::new() })
}

/// By its name on the command line.
fn input(path: PathBuf) -> Input {
    if path.as_os_str() == "-" { Input::Stdin } else { Input::File(path) }
}

async fn of_rtp(option: &'static str, addresses: &[SocketAddr], codec: Codec) -> Result<Track, InputError> {
    let mut sockets = Vec::new();
    for address in addresses {
        let bound = UdpSocket::bind(address).await;
        sockets.push(bound.map_err(|source| InputError::Listen { option, address: *address, source })?);
    }
    let layer = |profile: &Profile| Layer { profile: *profile, size: None };
    let layers = profiles(sockets.len()).iter().map(layer).collect();
    let label = option.trim_start_matches('-').to_owned();
    Ok(Track { label, codec, layers, feed: Feed::Rtp(sockets), reordered: Vec::new() })
}

/// What so many encodings are called, the lowest first.
const fn profiles(encodings: usize) -> &'static [Profile] {
    if encodings > 1 { &Profile::SIMULCAST } else { &[Profile::Default] }
}

const fn codec(codec: source::Codec) -> Codec {
    match codec {
        source::Codec::Vp8 => Codec::Vp8,
        source::Codec::Vp9 => Codec::Vp9,
        source::Codec::H264 => Codec::H264,
        source::Codec::H265 => Codec::H265,
        source::Codec::Opus => Codec::Opus,
        source::Codec::Pcmu => Codec::Pcmu,
        source::Codec::Pcma => Codec::Pcma,
    }
}
