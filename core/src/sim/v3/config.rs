//! What a router is like, and its bounds.

use std::net::SocketAddr;

use crate::connection::engine::crypto::DtlsBackend;
use crate::net::IceProtocol;
use crate::rtp::{Codec, MediaKind};
use crate::v3::{CodecParameters, RtpCapabilities};

/// What a [`Router`](super::Router) is like.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    pub(super) addresses: Vec<(IceProtocol, SocketAddr)>,
    pub(super) codecs: Vec<MediaCodec>,
    pub(super) rtp_capabilities: Option<RtpCapabilities>,
    pub(super) transport_cc: bool,
    pub(super) max_incoming_bitrate_bps: Option<u64>,
    pub(super) bitrate_feedback: bool,
    pub(super) forward_media: bool,
    pub(super) report_goodbyes: bool,
    pub(super) dtls_backend: DtlsBackend,
    pub(super) limits: RouterLimits,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            codecs: vec![
                MediaCodec::opus(),
                MediaCodec::vp8(),
                MediaCodec::vp9(0),
                MediaCodec::h264("42e01f"),
                MediaCodec::h264("640032"),
                MediaCodec::pcmu(),
                MediaCodec::pcma(),
            ],
            rtp_capabilities: None,
            transport_cc: true,
            max_incoming_bitrate_bps: None,
            bitrate_feedback: true,
            forward_media: false,
            report_goodbyes: false,
            dtls_backend: DtlsBackend::default(),
            limits: RouterLimits::default(),
        }
    }
}

impl RouterConfig {
    /// Adds an address that every transport offers, the most preferred first. All transports share it: they are told apart
    /// by ICE user name and, from then on, by the peer's address. At least one is needed. Default: none.
    pub fn address(mut self, protocol: IceProtocol, address: SocketAddr) -> Self {
        self.addresses.push((protocol, address));
        self
    }

    /// What the router can route, most preferred first; an `rtx` codec goes with each video codec.
    /// Default: Opus, VP8, VP9 of profile 0, H.264 constrained baseline and high, PCMU, PCMA.
    pub fn codecs(mut self, codecs: impl Into<Vec<MediaCodec>>) -> Self {
        self.codecs = codecs.into();
        self
    }

    /// What the router says it can route, in place of what would follow from its codecs: as another version has it, or none.
    pub fn rtp_capabilities(mut self, capabilities: RtpCapabilities) -> Self {
        self.rtp_capabilities = Some(capabilities);
        self
    }

    /// Whether transport-wide congestion control is among the capabilities, as the real router has it. No feedback comes of
    /// it: browsers, which wait for that, send little. Without it they make do with REMB. Default: true.
    pub const fn transport_cc(mut self, offered: bool) -> Self {
        self.transport_cc = offered;
        self
    }

    /// The most that REMB allows each new transport, in bits per second: the `maxIncomingBitrate` that applications set on
    /// their transports. Default: none.
    pub const fn max_incoming_bitrate_bps(mut self, most: Option<u64>) -> Self {
        self.max_incoming_bitrate_bps = most;
        self
    }

    /// Whether transports tell by REMB what they can receive, as the worker of mediasoup 3.27.1 estimates it from how delays
    /// change: from 5 s after the first packet on, or as soon as there is too much, about five times a second. Default: true.
    pub const fn bitrate_feedback(mut self, send: bool) -> Self {
        self.bitrate_feedback = send;
        self
    }

    /// Hands on every packet received, as [`RouterOutput::Rtp`](super::RouterOutput::Rtp). Default: false.
    pub const fn forward_media(mut self, forward: bool) -> Self {
        self.forward_media = forward;
        self
    }

    /// Tells of RTCP BYE, as [`RouterEvent::Goodbye`](super::RouterEvent::Goodbye); this costs a copy of each packet.
    /// Default: false.
    pub const fn report_goodbyes(mut self, report: bool) -> Self {
        self.report_goodbyes = report;
        self
    }

    /// What speaks DTLS. Default: [`DtlsBackend::Modern`].
    pub const fn dtls_backend(mut self, backend: DtlsBackend) -> Self {
        self.dtls_backend = backend;
        self
    }

    /// Bounds on memory. Default: see [`RouterLimits`].
    pub const fn limits(mut self, limits: RouterLimits) -> Self {
        self.limits = limits;
        self
    }
}

/// A codec of a router: an entry of mediasoup's `mediaCodecs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaCodec {
    pub(super) mime_type: String,
    pub(super) clock_rate: u32,
    pub(super) channels: Option<u8>,
    pub(super) parameters: CodecParameters,
    pub(super) preferred_payload_type: Option<u8>,
}

impl MediaCodec {
    /// Opus with two channels.
    pub fn opus() -> Self {
        Self::of(Codec::Opus, Some(2))
    }

    /// G.711 mu-law.
    pub fn pcmu() -> Self {
        Self::of(Codec::Pcmu, Some(1)).preferred_payload_type(0)
    }

    /// G.711 A-law.
    pub fn pcma() -> Self {
        Self::of(Codec::Pcma, Some(1)).preferred_payload_type(8)
    }

    /// VP8.
    pub fn vp8() -> Self {
        Self::of(Codec::Vp8, None)
    }

    /// VP9 of a profile.
    pub fn vp9(profile_id: u32) -> Self {
        Self::of(Codec::Vp9, None).with(|parameters| parameters.with_number("profile-id", profile_id))
    }

    /// H.264 of a profile and level, in packetization mode 1.
    pub fn h264(profile_level_id: &str) -> Self {
        Self::of(Codec::H264, None).with(|parameters| {
            parameters
                .with_number("level-asymmetry-allowed", 1)
                .with_number("packetization-mode", 1)
                .with_text("profile-level-id", profile_level_id)
        })
    }

    /// AV1, which this library does not send but a browser does.
    pub fn av1() -> Self {
        Self {
            mime_type: "video/AV1".to_owned(),
            clock_rate: 90_000,
            channels: None,
            parameters: CodecParameters::default(),
            preferred_payload_type: None,
        }
    }

    /// The router's own payload type. Default: the next of 100 to 127, then 96 to 99; for PCMU 0 and PCMA 8.
    pub const fn preferred_payload_type(mut self, payload_type: u8) -> Self {
        self.preferred_payload_type = Some(payload_type);
        self
    }

    fn of(codec: Codec, channels: Option<u8>) -> Self {
        Self {
            mime_type: format!("{}/{}", codec.kind(), codec.name()),
            clock_rate: codec.clock_rate(),
            channels,
            parameters: CodecParameters::default(),
            preferred_payload_type: None,
        }
    }

    fn with(mut self, change: impl FnOnce(CodecParameters) -> CodecParameters) -> Self {
        self.parameters = change(self.parameters);
        self
    }

    pub(super) fn kind(&self) -> MediaKind {
        if self.mime_type.starts_with("audio/") { MediaKind::Audio } else { MediaKind::Video }
    }
}

/// What a transport is to be like: some of mediasoup's `WebRtcTransportOptions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebRtcTransportOptions {
    pub(super) enable_udp: bool,
    pub(super) enable_tcp: bool,
}

impl Default for WebRtcTransportOptions {
    fn default() -> Self {
        Self { enable_udp: true, enable_tcp: true }
    }
}

impl WebRtcTransportOptions {
    /// Whether the router's UDP addresses are offered. Default: true.
    pub const fn enable_udp(mut self, enable: bool) -> Self {
        self.enable_udp = enable;
        self
    }

    /// Whether the router's TCP addresses are offered. Default: true.
    pub const fn enable_tcp(mut self, enable: bool) -> Self {
        self.enable_tcp = enable;
        self
    }
}

/// Bounds on what a router holds. At a limit what is asked for is refused, and what is lesser is dropped and counted in
/// [`ServerCounters`](crate::sim::ServerCounters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouterLimits {
    pub(super) transports: usize,
    pub(super) producers: usize,
    pub(super) encodings: usize,
    pub(super) remote_addresses: usize,
    pub(super) addresses_remembered: usize,
    pub(super) parameters: usize,
    pub(super) outputs: usize,
}

impl Default for RouterLimits {
    fn default() -> Self {
        Self {
            transports: 256,
            producers: 64,
            encodings: 8,
            remote_addresses: 8,
            addresses_remembered: 1024,
            parameters: 256,
            outputs: 16_384,
        }
    }
}

impl RouterLimits {
    /// Transports. Default: 256.
    pub const fn transports(mut self, most: usize) -> Self {
        self.transports = most;
        self
    }

    /// Producers of one transport. Default: 64.
    pub const fn producers(mut self, most: usize) -> Self {
        self.producers = most;
        self
    }

    /// Encodings of one producer. Default: 8.
    pub const fn encodings(mut self, most: usize) -> Self {
        self.encodings = most;
        self
    }

    /// Addresses from which one transport is heard at a time. Default: 8, as the real router.
    pub const fn remote_addresses(mut self, most: usize) -> Self {
        self.remote_addresses = most;
        self
    }

    /// Addresses from which one transport was ever heard: binding requests from another are dropped. Default: 1024.
    pub const fn addresses_remembered(mut self, most: usize) -> Self {
        self.addresses_remembered = most;
        self
    }

    /// Codecs and header extensions, together, of one producer. Default: 256.
    pub const fn parameters(mut self, most: usize) -> Self {
        self.parameters = most;
        self
    }

    /// Outputs not yet polled; past it datagrams, media and what the network causes are dropped. Default: 16,384.
    pub const fn outputs(mut self, most: usize) -> Self {
        self.outputs = most;
        self
    }
}
