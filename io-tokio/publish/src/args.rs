//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args as Group, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use mediasoup_producer::Codec;

use crate::demo::Words;

/// What the options alone do not say.
pub const HELP: &str = include_str!("args/help.txt");

/// Before the name of an option: the variable that has it.
const VARIABLE: &str = "MEDIASOUP_PUBLISH_";

/// Publishes files or RTP to a room of mediasoup v2 or v3.
///
/// With no argument it starts a room of its own, publishes the bundled clip to it in simulcast, and shows what the room
/// receives at http://127.0.0.1:3080/.
#[derive(Debug, Clone, Parser)]
#[command(version, about, max_term_width = 120, args_conflicts_with_subcommands = true)]
#[command(after_help = "The long --help has exit statuses, environment variables and the form of --json.")]
#[command(after_long_help = HELP)]
pub struct Args {
    /// Something else than publishing.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// End in good order after this many seconds of media; of a load, after as many from when all peers have begun.
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub seconds: Option<Duration>,

    /// Write one JSON object a line instead of a table: samples, events, and a summary at the end.
    #[arg(long)]
    pub json: bool,

    /// Where to serve the page that plays what the embedded room receives. Reached from elsewhere (0.0.0.0:3080) it answers
    /// to this machine's IP addresses; to names see --page-host.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3080", conflicts_with_all = ["no_page", "room"])]
    pub page: SocketAddr,

    /// A host name under which browsers may ask for the page, for example one of this machine in the local network. May be
    /// given several times. IP addresses and localhost need none.
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with_all = ["no_page", "room"])]
    pub page_host: Vec<String>,

    /// A web page whose scripts may join the embedded room, by its origin, for example http://localhost:8080. May be given
    /// several times. Programs need none.
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', conflicts_with = "room")]
    pub allow_origin: Vec<String>,

    /// Serve no page.
    #[arg(long)]
    pub no_page: bool,

    /// Record the session, as lines of JSON without media and without secrets, to be run again with mediasoup-producer's
    /// example "replay". Each time the room is joined again: to FILE.2, FILE.3, ...
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Write what happens inside to standard error: error, warn, info, debug or trace, or that for parts of the program
    /// (mediasoup_producer=debug,warn), as RUST_LOG has it.
    #[arg(long, value_name = "LEVEL", value_parser = log_filter)]
    pub log: Option<String>,

    /// Where to publish to.
    #[command(flatten)]
    pub room: RoomArgs,

    /// What to publish.
    #[command(flatten)]
    pub media: MediaArgs,

    /// Many peers at once.
    #[command(flatten)]
    pub load: LoadArgs,
}

impl Args {
    /// Reads the command line and the environment. What cannot be understood ends the process with status 2.
    pub fn from_command_line() -> Self {
        let matches = Self::command_line().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// The command line, each option of which can be given in the environment, too.
    pub fn command_line() -> clap::Command {
        Self::command().mut_args(|arg| {
            let Some(name) = arg.get_long() else { return arg };
            let variable = format!("{VARIABLE}{}", name.to_uppercase().replace('-', "_"));
            let arg = arg.env(variable).hide_env(true);
            match arg.get_action() {
                // As people write it: 1, true, yes; 0, false, no.
                ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
                _ => arg,
            }
        })
    }
}

/// What the program does beside publishing.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Add up the reports of loads that ran at the same time, as one load from one machine would have reported it.
    MergeReports(MergeArgs),

    /// Write the completions for a shell to standard output.
    Completions {
        /// The shell.
        shell: Shell,
    },

    /// Write the manual page to standard output, as roff.
    Man,
}

/// The reports of several loads.
#[derive(Debug, Clone, Group)]
pub struct MergeArgs {
    /// Files that --report wrote.
    #[arg(required = true, value_name = "FILE")]
    pub reports: Vec<PathBuf>,

    /// Write the report as JSON instead of a table.
    #[arg(long)]
    pub json: bool,

    /// Write it to a file, too, in the form of those that were merged.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Where to publish to, and how.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Room")]
pub struct RoomArgs {
    /// Publish to a room elsewhere, by the protoo URL of a mediasoup demo: wss://host:3443/?roomId=R&peerName=P for v2,
    /// wss://host:4443/?roomId=R&peerId=P for v3.
    #[arg(long = "room", value_name = "URL", id = "room")]
    pub url: Option<String>,

    /// What the room speaks, where its URL has neither peerName nor peerId, or where its first answer does not tell which of
    /// the v3 demo's words it has.
    #[arg(long, value_name = "DIALECT", requires = "room")]
    pub dialect: Option<RoomDialect>,

    /// What the embedded room speaks. [default: v2]
    #[arg(long, value_name = "DIALECT", conflicts_with = "room")]
    pub embedded: Option<Dialect>,

    /// Take any certificate of a wss:// room, for servers with a self-signed one. Who listens in on the way can then
    /// pose as the server.
    #[arg(long, requires = "room")]
    pub insecure: bool,

    /// Join again when the room or the connection is lost, until the run ends.
    #[arg(long)]
    pub reconnect: bool,

    /// How many seconds the server may take to answer, and ICE and DTLS to connect.
    #[arg(long, value_name = "N", default_value = "10", value_parser = seconds)]
    pub timeout: Duration,

    /// Our side of the DTLS handshake.
    #[arg(long, value_name = "ROLE", default_value = "client")]
    pub dtls_role: DtlsRole,

    /// Send media over TCP: ask the server for TCP candidates alone.
    #[arg(long, requires = "room")]
    pub tcp: bool,

    /// Of a v3 room's codecs the one to send video or audio as, where it has several of what the input is: its name, and the
    /// profile-level-id of H.264 or the profile-id of VP9, for example H264/640032. The default is the room's first. May be
    /// given several times.
    #[arg(long, value_name = "NAME[/PROFILE]", value_delimiter = ',')]
    pub codec: Vec<CodecWish>,
}

/// What to publish. With no input named: the bundled clip in simulcast, over and over.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Media")]
pub struct MediaArgs {
    /// Video from one file, or from three for simulcast (low, medium, high): IVF (VP8, VP9), Annex B (H.264, H.265),
    /// WebM, Matroska, MP4. A pipe, too, and - is standard input.
    #[arg(long, value_name = "FILE", num_args = 1..=3, conflicts_with = "video_rtp")]
    pub video: Vec<PathBuf>,

    /// Audio from a file or a pipe: Ogg Opus, WebM, Matroska, MP4.
    #[arg(long, value_name = "FILE", conflicts_with = "audio_rtp")]
    pub audio: Option<PathBuf>,

    /// Video as RTP that arrives at this UDP address, for example from ffmpeg or GStreamer; or at three for simulcast (low,
    /// medium, high). Packets of up to 1400 bytes of payload (ffmpeg: rtp://127.0.0.1:5004?pkt_size=1200).
    #[arg(long, value_name = "ADDR", num_args = 1..=3)]
    pub video_rtp: Vec<SocketAddr>,

    /// Audio as RTP that arrives at this UDP address.
    #[arg(long, value_name = "ADDR")]
    pub audio_rtp: Option<SocketAddr>,

    /// The codec of --video-rtp.
    #[arg(long, value_name = "CODEC", default_value = "vp8", requires = "video_rtp")]
    pub video_rtp_codec: VideoCodec,

    /// The codec of --audio-rtp.
    #[arg(long, value_name = "CODEC", default_value = "opus", requires = "audio_rtp")]
    pub audio_rtp_codec: AudioCodec,

    /// Send video in three layers. The default where there are three: the bundled clip, three files, or three addresses.
    #[arg(long)]
    pub simulcast: bool,

    /// Begin files again at their end. The bundled clip always is.
    #[arg(long = "loop")]
    pub looping: bool,
}

/// Many peers in one process, each of which publishes the same.
#[derive(Debug, Clone, Group)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Publish to so many rooms: embedded ones, or those of --room's URL, which then names them by {room} (1, 2, ...) and
    /// may name peers by {peer}: wss://host:4443/?roomId=load-{room}&peerId={peer}. A report at the end sums up what they
    /// carried, and what was the limit.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    #[arg(conflicts_with_all = ["record", "page", "page_host", "allow_origin", "video_rtp", "audio_rtp"])]
    pub rooms: Option<u32>,

    /// How many peers, spread over the rooms. [default: one in each room]
    #[arg(long, value_name = "N", requires = "rooms", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub peers: Option<u32>,

    /// Producers of each peer: 1 is video, 2 is audio and video, each one more is video again. [default: one for each input]
    #[arg(long, value_name = "M", requires = "rooms", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub producers: Option<u8>,

    /// How many peers begin in a second.
    #[arg(long, value_name = "PER_SECOND", requires = "rooms", default_value = "10", value_parser = per_second)]
    pub ramp: f64,

    /// Write the report to a file, too, to be added up with others by merge-reports.
    #[arg(long, value_name = "FILE", requires = "rooms")]
    pub report: Option<PathBuf>,

    /// Serve the load's numbers to Prometheus at http://ADDR/metrics.
    #[arg(long, value_name = "ADDR", requires = "rooms")]
    pub metrics: Option<SocketAddr>,
}

impl MediaArgs {
    /// Whether no input is named, so that the bundled clip is meant.
    pub fn bundled(&self) -> bool {
        self.video.is_empty() && self.audio.is_none() && self.video_rtp.is_empty() && self.audio_rtp.is_none()
    }
}

/// A generation of mediasoup, and what its demo application speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// mediasoup 2.
    V2,
    /// mediasoup 3.
    V3,
}

/// What a room elsewhere speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoomDialect {
    /// mediasoup 2, as its demo.
    V2,
    /// mediasoup 3, as its demo; in which of its words, the first answer tells.
    V3,
    /// mediasoup 3, as its demo in JavaScript, up to 2025.
    V3Js,
    /// mediasoup 3, as its demo in TypeScript, from 2025 on, the newest included: what that says otherwise no sender says.
    V3Ts,
}

impl RoomDialect {
    /// Of which mediasoup.
    pub const fn generation(self) -> Dialect {
        match self {
            Self::V2 => Dialect::V2,
            Self::V3 | Self::V3Js | Self::V3Ts => Dialect::V3,
        }
    }

    /// In whose words, if that is named.
    pub const fn words(self) -> Option<Words> {
        match self {
            Self::V2 | Self::V3 => None,
            Self::V3Js => Some(Words::JavaScript),
            Self::V3Ts => Some(Words::TypeScript),
        }
    }
}

/// A codec among those of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodecWish {
    /// For example `H264`.
    pub name: String,
    /// H.264's `profile-level-id` or VP9's `profile-id`.
    pub profile: Option<String>,
}

impl CodecWish {
    /// Whether it is for media of this codec.
    pub fn is_of(&self, codec: Codec) -> bool {
        self.name.eq_ignore_ascii_case(codec.name())
    }
}

impl std::str::FromStr for CodecWish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, profile) = match text.split_once('/') {
            Some((name, profile)) => (name, Some(profile.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || profile.as_ref().is_some_and(String::is_empty) {
            return Err("give a codec, for example VP8 or H264/640032".to_owned());
        }
        Ok(Self { name: name.to_owned(), profile })
    }
}

impl std::fmt::Display for CodecWish {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.profile {
            Some(profile) => write!(f, "{}/{profile}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A side of the DTLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtlsRole {
    /// Sends the ClientHello.
    Client,
    /// Waits for it.
    Server,
}

/// A codec of video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum VideoCodec {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// H.264.
    H264,
    /// H.265.
    H265,
}

/// A codec of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AudioCodec {
    /// Opus.
    Opus,
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl From<DtlsRole> for mediasoup_producer::DtlsRole {
    fn from(role: DtlsRole) -> Self {
        match role {
            DtlsRole::Client => Self::Client,
            DtlsRole::Server => Self::Server,
        }
    }
}

impl From<DtlsRole> for mediasoup_producer::v3::DtlsRole {
    fn from(role: DtlsRole) -> Self {
        match role {
            DtlsRole::Client => Self::Client,
            DtlsRole::Server => Self::Server,
        }
    }
}

impl From<VideoCodec> for Codec {
    fn from(codec: VideoCodec) -> Self {
        match codec {
            VideoCodec::Vp8 => Self::Vp8,
            VideoCodec::Vp9 => Self::Vp9,
            VideoCodec::H264 => Self::H264,
            VideoCodec::H265 => Self::H265,
        }
    }
}

impl From<AudioCodec> for Codec {
    fn from(codec: AudioCodec) -> Self {
        match codec {
            AudioCodec::Opus => Self::Opus,
            AudioCodec::Pcmu => Self::Pcmu,
            AudioCodec::Pcma => Self::Pcma,
        }
    }
}

/// A number of seconds, whole or not.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number of seconds above 0, for example 10".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    // A year is as good as forever, and fits any clock.
    let in_range = seconds > 0.0 && seconds <= 31_536_000.0;
    in_range.then(|| Duration::from_secs_f64(seconds)).ok_or_else(wrong)
}

/// What `--log` takes; see there.
fn log_filter(text: &str) -> Result<String, String> {
    let parsed: Result<tracing_subscriber::EnvFilter, _> = text.parse();
    parsed.map(|_| text.to_owned()).map_err(|error| format!("{error}; give a level, for example debug"))
}

fn per_second(text: &str) -> Result<f64, String> {
    let wrong = || "give a number above 0 and up to 10000, for example 10".to_owned();
    text.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 10_000.0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command_line().debug_assert();
    }

    #[test]
    fn every_option_has_a_variable_of_its_own() {
        let command = Args::command_line();
        let options: Vec<_> = command.get_arguments().filter(|arg| arg.get_long().is_some()).collect();
        assert!(options.len() > 20, "{options:?}");
        let variables: std::collections::BTreeSet<_> = options.iter().filter_map(|arg| arg.get_env()).collect();
        assert_eq!(variables.len(), options.len());
    }

    #[test]
    fn no_argument_means_the_bundled_clip() {
        let args = Args::parse_from(["mediasoup-publish"]);
        assert!(args.media.bundled() && args.room.url.is_none() && !args.no_page);
    }

    #[test]
    fn seconds_are_above_zero() {
        for wrong in ["0", "-1", "NaN", "inf", "ten", "1e300", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
    }
}
