//! Options of a device, a transport and a producer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::parameters::DtlsRole;
use super::rtp::RtpCodecCapability;
use crate::connection::engine::crypto::{Certificate, DtlsBackend};
use crate::limits::Limits;
use crate::rtp::Codec;

/// Settings of a [`Device`](super::Device).
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct DeviceConfig {
    pub(crate) request_timeout: Duration,
    pub(crate) dtls_role: DtlsRole,
    /// Not every build has each of them.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) dtls_backend: DtlsBackend,
    pub(crate) burst: Duration,
    pub(crate) repair_time: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) certificate: Option<Certificate>,
    pub(crate) limits: Limits,
    #[cfg(feature = "record")]
    #[serde(skip)]
    pub(crate) record: Option<crate::journal::recorder::RecordOptions>,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(10),
            dtls_role: DtlsRole::Auto,
            dtls_backend: DtlsBackend::default(),
            burst: Duration::from_millis(100),
            repair_time: Duration::from_secs(2),
            certificate: None,
            limits: Limits::default(),
            #[cfg(feature = "record")]
            record: None,
        }
    }
}

impl DeviceConfig {
    /// How long a request waits for the application's answer. Default: 10 s.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Our side of the DTLS handshake, if the server leaves it to us; it does, unless the application made it say otherwise.
    /// Default: [`Auto`](DtlsRole::Auto), which is the client: its first word is the sooner one.
    pub const fn dtls_role(mut self, role: DtlsRole) -> Self {
        self.dtls_role = role;
        self
    }

    /// What speaks DTLS. Default: [`DtlsBackend::Modern`].
    pub const fn dtls_backend(mut self, backend: DtlsBackend) -> Self {
        self.dtls_backend = backend;
        self
    }

    /// Video that leaves at once is at most what is sent in this time on average, and 12 kB at least. The rest of a larger
    /// frame follows in steps of 5 ms, within 30 ms. Default: 100 ms.
    pub const fn burst(mut self, burst: Duration) -> Self {
        self.burst = burst;
        self
    }

    /// How long what was sent is kept, to be sent again when the server has lost it: a stream takes its bitrate times this in
    /// memory, and about a third more, up to [`Limits::repair_packets`]. A loss is told of a round trip after it, and told
    /// again if the repair is lost, too. Zero: nothing is repaired. Default: 2 s, 0.4 MB for each Mbit/s.
    pub const fn repair_time(mut self, time: Duration) -> Self {
        self.repair_time = time;
        self
    }

    /// Our certificate. Default: each device makes its own with its first transport.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// Bounds on memory. Default: see [`Limits`].
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Records the device from its beginning, wherever it is made: [`Device::poll_record`](super::Device::poll_record) brings
    /// the lines. Default: not.
    #[cfg(feature = "record")]
    pub const fn record(mut self, options: crate::journal::recorder::RecordOptions) -> Self {
        self.record = Some(options);
        self
    }
}

/// Options of a [`Transport`](super::Transport).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct TransportOptions {
    pub(crate) bandwidth: BandwidthMode,
    pub(crate) initial_bitrate_bps: Option<u64>,
}

impl TransportOptions {
    /// How the server's estimate is learnt, for the whole life of the transport. Default: [`BandwidthMode::Remb`].
    pub const fn bandwidth(mut self, mode: BandwidthMode) -> Self {
        self.bandwidth = mode;
        self
    }

    /// What it is taken to carry, in bits per second, until the server says what it can receive. Default: none; encoders hear
    /// of no target until the server speaks.
    ///
    /// To begin with little (300,000) is safer: the server goes by how delays change, and a queue that the first second fills
    /// delays all packets alike from then on. A narrow path with a short queue would never be found, and most packets lost.
    pub const fn initial_bitrate_bps(mut self, bitrate_bps: u64) -> Self {
        self.initial_bitrate_bps = Some(bitrate_bps);
        self
    }
}

/// How a transport learns what the server can take. mediasoup decides for a transport once, by its first producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BandwidthMode {
    /// The server estimates (draft-alvestrand-rmcat-remb): `abs-send-time` and `goog-remb` are declared, transport-wide
    /// congestion control is not.
    #[default]
    Remb,
}

/// Options of a [`Producer`](super::Producer).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct ProduceOptions {
    pub(crate) encodings: Vec<EncodingOptions>,
    pub(crate) codec_options: Option<CodecOptions>,
    pub(crate) codec: Option<CodecChoice>,
    pub(crate) stream_id: Option<String>,
    pub(crate) stop_tracks: bool,
    pub(crate) app_data: Map<String, Value>,
}

impl Default for ProduceOptions {
    fn default() -> Self {
        Self {
            encodings: Vec::new(),
            codec_options: None,
            codec: None,
            stream_id: None,
            stop_tracks: true,
            app_data: Map::new(),
        }
    }
}

impl ProduceOptions {
    /// One for each simulcast layer, that of the lowest resolution first, as [`Frame`](crate::Frame)s count them. None is
    /// as one with nothing set.
    pub fn encodings(mut self, encodings: impl IntoIterator<Item = EncodingOptions>) -> Self {
        self.encodings = encodings.into_iter().collect();
        self
    }

    /// What is declared of the encoded media. Default: nothing.
    pub const fn codec_options(mut self, options: CodecOptions) -> Self {
        self.codec_options = Some(options);
        self
    }

    /// What the media is encoded with. Default: the first of
    /// [`send_rtp_capabilities`](super::Device::send_rtp_capabilities) of the track's kind.
    pub fn codec(mut self, codec: impl Into<CodecChoice>) -> Self {
        self.codec = Some(codec.into());
        self
    }

    /// Tracks with the same one belong together (RFC 8830). Default: one of the producer's own.
    pub fn stream_id(mut self, stream_id: impl Into<String>) -> Self {
        self.stream_id = Some(stream_id.into());
        self
    }

    /// Whether a track is to stop when the producer closes or is given another, or nothing comes of it:
    /// [`ProducerEvent::TrackStopped`](super::ProducerEvent::TrackStopped) says so to whoever feeds it. Default: true.
    pub const fn stop_tracks(mut self, stop_tracks: bool) -> Self {
        self.stop_tracks = stop_tracks;
        self
    }

    /// The application's data, which goes with the request. Default: empty.
    pub fn app_data(mut self, app_data: Map<String, Value>) -> Self {
        self.app_data = app_data;
        self
    }
}

/// What is said of one encoding of a producer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EncodingOptions {
    pub(crate) active: bool,
    pub(crate) dtx: bool,
    pub(crate) max_bitrate: Option<u32>,
    pub(crate) scalability_mode: Option<String>,
    pub(crate) scale_resolution_down_by: Option<Number>,
    pub(crate) max_framerate: Option<Number>,
}

impl Default for EncodingOptions {
    fn default() -> Self {
        Self {
            active: true,
            dtx: false,
            max_bitrate: None,
            scalability_mode: None,
            scale_resolution_down_by: None,
            max_framerate: None,
        }
    }
}

impl EncodingOptions {
    /// Whether anything is sent of it. Default: true.
    pub const fn active(mut self, active: bool) -> Self {
        self.active = active;
        self
    }

    /// Whether it may be silent for some seconds. Default: false.
    pub const fn dtx(mut self, dtx: bool) -> Self {
        self.dtx = dtx;
        self
    }

    /// The most it should take, in bits per second: its [target](super::ProducerEvent::TargetBitrate) never is more. Default:
    /// no bound. Of several encodings without one the lowest is filled to 100 kbit/s first, the next to 300, and so on; of
    /// what the server takes beyond that each gets three times as much as the one below it.
    pub const fn max_bitrate(mut self, max_bitrate: u32) -> Self {
        self.max_bitrate = Some(max_bitrate);
        self
    }

    /// Its temporal layers: `L1T2`, `L1T3` (W3C webrtc-svc section 5). The server sends a viewer as many as there is room for.
    /// In VP8 each [`Frame`](crate::Frame::temporal_layer) says to which it belongs then; in VP9 ready-made packets can; of H264
    /// the server would have to be told in a header extension that this library does not send, so that it has one. Several
    /// spatial layers in one stream are refused. Default: `L1T1` with several encodings, and nothing is said of one.
    pub fn scalability_mode(mut self, mode: impl Into<String>) -> Self {
        self.scalability_mode = Some(mode.into());
        self
    }

    /// How many times narrower and lower its pictures are than the track's. It is told to the server, which does not use
    /// it. Default: nothing is said.
    pub fn scale_resolution_down_by(mut self, factor: f64) -> Self {
        self.scale_resolution_down_by = Number::from_f64(factor);
        self
    }

    /// The most pictures in a second. It is told to the server, which does not use it. Default: nothing is said.
    pub fn max_framerate(mut self, pictures: f64) -> Self {
        self.max_framerate = Number::from_f64(pictures);
        self
    }
}

/// What changes in every encoding of a producer; what is not set stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct EncodingUpdate {
    pub(crate) active: Option<bool>,
    pub(crate) max_bitrate: Option<u32>,
}

impl EncodingUpdate {
    /// Whether anything is sent of them.
    pub const fn active(mut self, active: bool) -> Self {
        self.active = Some(active);
        self
    }

    /// The most each should take, in bits per second.
    pub const fn max_bitrate(mut self, max_bitrate: u32) -> Self {
        self.max_bitrate = Some(max_bitrate);
        self
    }
}

/// What is declared of encoded media: consumers see it in the codec's parameters. All of it is of Opus (RFC 7587 section 6.1).
/// There is no `opusNack`: what is lost is sent again as RTX alone, which audio does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct CodecOptions {
    pub(crate) opus_stereo: Option<bool>,
    pub(crate) opus_fec: Option<bool>,
    pub(crate) opus_dtx: Option<bool>,
    pub(crate) opus_ptime: Option<u32>,
}

impl CodecOptions {
    /// `sprop-stereo`: it has two channels. Default: nothing is said.
    pub const fn opus_stereo(mut self, stereo: bool) -> Self {
        self.opus_stereo = Some(stereo);
        self
    }

    /// `useinbandfec`: a packet helps to make up for the one before it. Default: as our capabilities have it, true.
    pub const fn opus_fec(mut self, fec: bool) -> Self {
        self.opus_fec = Some(fec);
        self
    }

    /// `usedtx`: nothing is sent while it is silent. Default: nothing is said.
    pub const fn opus_dtx(mut self, dtx: bool) -> Self {
        self.opus_dtx = Some(dtx);
        self
    }

    /// `ptime`: milliseconds in a packet. Default: nothing is said.
    pub const fn opus_ptime(mut self, milliseconds: u32) -> Self {
        self.opus_ptime = Some(milliseconds);
        self
    }
}

/// Which of the codecs in common a producer uses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub enum CodecChoice {
    /// The first of this name.
    Name(Codec),
    /// The first that matches this strictly: of H.264 the packetization mode and profile too, of VP9 the profile.
    Capability(RtpCodecCapability),
}

impl From<Codec> for CodecChoice {
    fn from(codec: Codec) -> Self {
        Self::Name(codec)
    }
}

impl From<RtpCodecCapability> for CodecChoice {
    fn from(capability: RtpCodecCapability) -> Self {
        Self::Capability(capability)
    }
}
