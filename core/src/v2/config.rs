//! Options of a room, a transport and a producer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::connection::engine::crypto::{Certificate, DtlsBackend};
use crate::limits::Limits;
use crate::net::DtlsRole;
use crate::rtp::Codec;
use crate::v2::protocol::RoomSettings;
use crate::v2::rtp::Profile;

/// Options of a [`Room`](crate::v2::Room).
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct RoomConfig {
    pub(crate) room_settings: Option<RoomSettings>,
    pub(crate) request_timeout: Duration,
    pub(crate) transport_options: TransportOptions,
    pub(crate) codec_preferences: Vec<Codec>,
    pub(crate) spy: bool,
    pub(crate) dtls_role: DtlsRole,
    pub(crate) burst: Duration,
    pub(crate) repair_time: Duration,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) dtls_backend: DtlsBackend,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) certificate: Option<Certificate>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) initial_bitrate_bps: Option<u64>,
    pub(crate) limits: Limits,
    #[cfg(feature = "record")]
    #[serde(skip)]
    pub(crate) record: Option<crate::journal::recorder::RecordOptions>,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            room_settings: None,
            request_timeout: Duration::from_secs(10),
            transport_options: TransportOptions::default(),
            codec_preferences: Vec::new(),
            spy: false,
            dtls_role: DtlsRole::default(),
            burst: Duration::from_millis(100),
            repair_time: Duration::from_secs(2),
            dtls_backend: DtlsBackend::default(),
            certificate: None,
            initial_bitrate_bps: None,
            limits: Limits::default(),
            #[cfg(feature = "record")]
            record: None,
        }
    }
}

impl RoomConfig {
    /// The room's settings, if the application has them already: `queryRoom` is then not sent. Default: none.
    pub fn room_settings(mut self, settings: RoomSettings) -> Self {
        self.room_settings = Some(settings);
        self
    }

    /// How long the server may take to answer a request; [`Duration::MAX`]: for ever. What becomes of a later answer: see
    /// [`RequestFailure`](crate::v2::RequestFailure#late-answers). Default: 10 s.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// What the server is asked to offer for each transport. Default: the server's own choice.
    pub const fn transport_options(mut self, options: TransportOptions) -> Self {
        self.transport_options = options;
        self
    }

    /// Codecs to be used before the others of their kind, best first. Default: the room's own order.
    pub fn codec_preferences(mut self, codecs: impl Into<Vec<Codec>>) -> Self {
        self.codec_preferences = codecs.into();
        self
    }

    /// Joins without being announced to the other peers; a spy cannot send. Default: false.
    pub const fn spy(mut self, spy: bool) -> Self {
        self.spy = spy;
        self
    }

    /// Our side of the DTLS handshake. Default: client.
    pub const fn dtls_role(mut self, role: DtlsRole) -> Self {
        self.dtls_role = role;
        self
    }

    /// How much video of a transport leaves at once: what it sends in this time on average, and 12 kB at least. The rest of
    /// a larger frame follows in steps of 5 ms, within 30 ms. Default: 100 ms, three frames of usual size at 30 a second.
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

    /// What speaks DTLS. Default: [`DtlsBackend::Modern`], whatever features are on.
    pub const fn dtls_backend(mut self, backend: DtlsBackend) -> Self {
        self.dtls_backend = backend;
        self
    }

    /// Our certificate. One for many rooms spares each the making of its keys; those who see the traffic of two rooms can
    /// tell then that they have one owner. It is in no recording. Default: each room makes its own with its first transport.
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = Some(certificate);
        self
    }

    /// What each transport is taken to carry, in bits per second, until the server says what it can receive (REMB; mediasoup's
    /// first comes 5 s after video began). It is divided as the server's figure is, so that
    /// [`TargetBitrate`](crate::v2::ProducerEvent::TargetBitrate) tells each video encoding's target as soon as its producer is
    /// handled and not paused, and again when another producer joins it on the transport. Default: none; encoders hear of no
    /// target until the server speaks.
    ///
    /// To begin with little (300,000) is safer: the server goes by how delays change, and a queue that the first second fills
    /// delays all packets alike from then on. A narrow path with a short queue would never be found, and most packets lost.
    pub const fn initial_bitrate_bps(mut self, bitrate_bps: u64) -> Self {
        self.initial_bitrate_bps = Some(bitrate_bps);
        self
    }

    /// Bounds on memory. Default: see [`Limits`].
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Records the room from its beginning, wherever it is made: [`Room::poll_record`](crate::v2::Room::poll_record) brings
    /// the lines. Default: not.
    #[cfg(feature = "record")]
    pub const fn record(mut self, options: crate::journal::recorder::RecordOptions) -> Self {
        self.record = Some(options);
        self
    }
}

/// What the server is asked to offer for a transport (`createTransport`'s `options`). Unset: the server's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransportOptions {
    /// Offer UDP candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<bool>,
    /// Offer TCP candidates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<bool>,
    /// Give IPv4 candidates the higher priority.
    #[serde(rename = "preferIPv4", skip_serializing_if = "Option::is_none")]
    pub prefer_ipv4: Option<bool>,
    /// Give IPv6 candidates the higher priority.
    #[serde(rename = "preferIPv6", skip_serializing_if = "Option::is_none")]
    pub prefer_ipv6: Option<bool>,
    /// Give UDP candidates the higher priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_udp: Option<bool>,
    /// Give TCP candidates the higher priority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefer_tcp: Option<bool>,
}

/// Options of a [`Producer`](crate::v2::Producer).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
pub struct ProducerOptions {
    pub(crate) simulcast: Option<SimulcastOptions>,
    pub(crate) codec: Option<Codec>,
}

impl ProducerOptions {
    /// Sends three layers: `false`, `true` for the default bitrates, or [`SimulcastOptions`]. Of audio there is one stream,
    /// whatever is said here. Default: false.
    pub fn simulcast(mut self, simulcast: impl Into<Simulcast>) -> Self {
        self.simulcast = simulcast.into().0;
        self
    }

    /// The codec the media is encoded with. Default: the room's first of this kind, after
    /// [`RoomConfig::codec_preferences`].
    pub const fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }
}

/// What [`ProducerOptions::simulcast`] takes: a bool or [`SimulcastOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simulcast(Option<SimulcastOptions>);

impl From<bool> for Simulcast {
    fn from(enabled: bool) -> Self {
        Self(enabled.then(SimulcastOptions::default))
    }
}

impl From<SimulcastOptions> for Simulcast {
    fn from(options: SimulcastOptions) -> Self {
        Self(Some(options))
    }
}

/// The most each simulcast layer should take. The v2 documentation says kbps; what its defaults mean is bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct SimulcastOptions {
    /// The lowest layer, in bits per second. Default: 100 000.
    pub low_bps: u32,
    /// The middle layer, in bits per second. Default: 300 000.
    pub medium_bps: u32,
    /// The highest layer, in bits per second. Default: 1 500 000.
    pub high_bps: u32,
}

impl Default for SimulcastOptions {
    fn default() -> Self {
        Self { low_bps: 100_000, medium_bps: 300_000, high_bps: 1_500_000 }
    }
}

impl SimulcastOptions {
    /// The bitrate of a layer in bits per second; `None` for [`Profile::Default`], which is no layer.
    pub const fn bitrate_bps(&self, profile: Profile) -> Option<u32> {
        match profile {
            Profile::Default => None,
            Profile::Low => Some(self.low_bps),
            Profile::Medium => Some(self.medium_bps),
            Profile::High => Some(self.high_bps),
        }
    }
}
