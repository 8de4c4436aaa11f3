//! What a room is like, and its bounds.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::connection::engine::crypto::DtlsBackend;
use crate::net::IceProtocol;
use crate::rtp::extension::{ABS_SEND_TIME, AUDIO_LEVEL, MID, VIDEO_ORIENTATION};
use crate::rtp::{Codec, MediaKind};
use crate::v2::{RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpHeaderExtension};

/// What a [`RoomServer`](super::RoomServer) is like.
#[derive(Debug, Clone)]
pub struct RoomServerConfig {
    pub(super) addresses: Vec<(IceProtocol, SocketAddr)>,
    pub(super) codecs: Vec<Codec>,
    pub(super) mandatory_codecs: Vec<Codec>,
    pub(super) bitrate_cap_bps: Option<u64>,
    pub(super) bitrate_feedback: bool,
    pub(super) forward_media: bool,
    pub(super) report_goodbyes: bool,
    pub(super) worker_delay: Duration,
    pub(super) dtls_backend: DtlsBackend,
    pub(super) limits: ServerLimits,
}

impl Default for RoomServerConfig {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            codecs: vec![Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Pcmu, Codec::Pcma],
            mandatory_codecs: Vec::new(),
            bitrate_cap_bps: None,
            bitrate_feedback: true,
            forward_media: false,
            report_goodbyes: false,
            worker_delay: Duration::ZERO,
            dtls_backend: DtlsBackend::default(),
            limits: ServerLimits::default(),
        }
    }
}

impl RoomServerConfig {
    /// Adds an address that every transport offers. All transports share it: they are told apart by ICE user name and,
    /// from then on, by the peer's address. At least one is needed. Default: none.
    pub fn address(mut self, protocol: IceProtocol, address: SocketAddr) -> Self {
        self.addresses.push((protocol, address));
        self
    }

    /// What the room can route, most preferred first; an `rtx` codec goes with each video codec.
    /// Default: Opus, VP8, VP9, H.264, H.265, PCMU, PCMA.
    pub fn codecs(mut self, codecs: impl Into<Vec<Codec>>) -> Self {
        self.codecs = codecs.into();
        self
    }

    /// Codecs that a peer must support to join, of those the room has. Default: none.
    pub fn mandatory_codecs(mut self, codecs: impl Into<Vec<Codec>>) -> Self {
        self.mandatory_codecs = codecs.into();
        self
    }

    /// The most that REMB allows each transport, in bits per second. Default: none.
    pub const fn bitrate_cap_bps(mut self, cap: Option<u64>) -> Self {
        self.bitrate_cap_bps = cap;
        self
    }

    /// Whether transports tell by REMB what they can receive, as the worker of mediasoup 2.6.19 estimates it from how delays
    /// change: from 5 s after the first packet on, or as soon as there is too much, about five times a second. Default: true.
    pub const fn bitrate_feedback(mut self, send: bool) -> Self {
        self.bitrate_feedback = send;
        self
    }

    /// Hands on every packet received, as [`ServerOutput::Rtp`](super::ServerOutput::Rtp). Default: false.
    pub const fn forward_media(mut self, forward: bool) -> Self {
        self.forward_media = forward;
        self
    }

    /// Tells of RTCP BYE, as [`ServerEvent::Goodbye`](super::ServerEvent::Goodbye); this costs a copy of each packet.
    /// Default: false.
    pub const fn report_goodbyes(mut self, report: bool) -> Self {
        self.report_goodbyes = report;
        self
    }

    /// How long the worker takes for a request, as [`RoomServer::set_worker_delay`](super::RoomServer::set_worker_delay). The
    /// real server makes transports (in two steps), producers and new ICE credentials in another process, and finds none of
    /// them before that has answered: a close that comes sooner is lost. Default: none.
    pub const fn worker_delay(mut self, delay: Duration) -> Self {
        self.worker_delay = delay;
        self
    }

    /// What speaks DTLS. Default: as [`RoomConfig::dtls_backend`](crate::v2::RoomConfig::dtls_backend).
    pub const fn dtls_backend(mut self, backend: DtlsBackend) -> Self {
        self.dtls_backend = backend;
        self
    }

    /// Bounds on memory. Default: see [`ServerLimits`].
    pub const fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// What the room can route, with the numbers the real server gives: dynamic payload types from 100 up.
    pub fn rtp_capabilities(&self) -> RtpCapabilities {
        let mut codecs = Vec::new();
        let mut next = 100..=127;
        let mut dynamic = || next.next().unwrap_or(127);
        for codec in &self.codecs {
            let payload_type = match codec {
                Codec::Pcmu => 0,
                Codec::Pcma => 8,
                Codec::Opus | Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 => dynamic(),
            };
            codecs.push(capability(*codec, payload_type));
            if codec.kind() == MediaKind::Video {
                codecs.push(rtx(payload_type, dynamic()));
            }
        }
        RtpCapabilities { codecs, header_extensions: header_extensions(), fec_mechanisms: Vec::new() }
    }

    /// The answer to `queryRoom`.
    pub(super) fn settings(&self, capabilities: &RtpCapabilities) -> Value {
        let mut value = json!(capabilities);
        for extension in value["headerExtensions"].as_array_mut().into_iter().flatten() {
            extension["preferredEncrypt"] = Value::Bool(false);
        }
        let mandatory: Vec<_> = capabilities
            .codecs
            .iter()
            .filter(|capability| {
                Codec::from_mime_type(&capability.mime_type).is_some_and(|codec| self.mandatory_codecs.contains(&codec))
            })
            .map(|capability| capability.preferred_payload_type)
            .collect();
        json!({ "rtpCapabilities": value, "mandatoryCodecPayloadTypes": mandatory })
    }
}

/// Bounds on what a room holds. At a limit requests are refused, and what is lesser is dropped and counted in
/// [`ServerCounters`](super::ServerCounters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    pub(super) peers: usize,
    pub(super) transports: usize,
    pub(super) producers: usize,
    pub(super) encodings: usize,
    pub(super) requests: usize,
    pub(super) remote_addresses: usize,
    pub(super) addresses_remembered: usize,
    pub(super) message_bytes: usize,
    pub(super) outputs: usize,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            peers: 256,
            transports: 16,
            producers: 64,
            encodings: 8,
            requests: 256,
            remote_addresses: 32,
            addresses_remembered: 1024,
            message_bytes: 256 << 10,
            outputs: 16_384,
        }
    }
}

impl ServerLimits {
    /// Peers in the room. Default: 256.
    pub const fn peers(mut self, peers: usize) -> Self {
        self.peers = peers;
        self
    }

    /// Transports of one peer. Default: 16.
    pub const fn transports(mut self, transports: usize) -> Self {
        self.transports = transports;
        self
    }

    /// Producers of one peer. Default: 64.
    pub const fn producers(mut self, producers: usize) -> Self {
        self.producers = producers;
        self
    }

    /// Encodings of one producer. Default: 8.
    pub const fn encodings(mut self, encodings: usize) -> Self {
        self.encodings = encodings;
        self
    }

    /// Requests of one peer that wait for the worker. Default: 256.
    pub const fn requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// Addresses from which one transport is heard at a time. Default: 32.
    pub const fn remote_addresses(mut self, remote_addresses: usize) -> Self {
        self.remote_addresses = remote_addresses;
        self
    }

    /// Addresses from which one transport was ever heard: binding requests from another are dropped. Default: 1024.
    pub const fn addresses_remembered(mut self, addresses_remembered: usize) -> Self {
        self.addresses_remembered = addresses_remembered;
        self
    }

    /// Bytes of one request or notification of a peer, 32 for each JSON value and name and the text of both: a larger one is
    /// refused. Default: 256 KiB.
    pub const fn message_bytes(mut self, message_bytes: usize) -> Self {
        self.message_bytes = message_bytes;
        self
    }

    /// Outputs not yet polled; past it datagrams, media, statistics, and what peers say are dropped. Default: 16,384.
    pub const fn outputs(mut self, outputs: usize) -> Self {
        self.outputs = outputs;
        self
    }
}

fn capability(codec: Codec, payload_type: u8) -> RtpCodecCapability {
    let mut parameters = Map::new();
    match codec {
        Codec::Opus => drop(parameters.insert("useinbandfec".to_owned(), 1.into())),
        Codec::H264 => drop(parameters.insert("packetization-mode".to_owned(), 1.into())),
        Codec::Pcmu | Codec::Pcma | Codec::Vp8 | Codec::Vp9 | Codec::H265 => {}
    }
    let channels = match codec {
        Codec::Opus => Some(2),
        Codec::Pcmu | Codec::Pcma => Some(1),
        Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 => None,
    };
    let rtcp_feedback = match codec.kind() {
        MediaKind::Audio => Vec::new(),
        MediaKind::Video => vec![
            RtcpFeedback::new("nack", None),
            RtcpFeedback::new("nack", Some("pli")),
            RtcpFeedback::new("ccm", Some("fir")),
            RtcpFeedback::new("goog-remb", None),
        ],
    };
    RtpCodecCapability {
        name: codec.name().to_owned(),
        mime_type: format!("{}/{}", codec.kind(), codec.name()),
        kind: codec.kind(),
        clock_rate: codec.clock_rate(),
        preferred_payload_type: payload_type,
        channels,
        rtcp_feedback: Some(rtcp_feedback),
        parameters,
    }
}

fn rtx(repaired: u8, payload_type: u8) -> RtpCodecCapability {
    let mut parameters = Map::new();
    parameters.insert("apt".to_owned(), repaired.into());
    RtpCodecCapability {
        name: "rtx".to_owned(),
        mime_type: "video/rtx".to_owned(),
        kind: MediaKind::Video,
        clock_rate: 90_000,
        preferred_payload_type: payload_type,
        channels: None,
        rtcp_feedback: None,
        parameters,
    }
}

fn header_extensions() -> Vec<RtpHeaderExtension> {
    const TIME_OFFSET: &str = "urn:ietf:params:rtp-hdrext:toffset";
    const RTP_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    use MediaKind::{Audio, Video};
    [
        (Audio, AUDIO_LEVEL, 1),
        (Video, TIME_OFFSET, 2),
        (Audio, ABS_SEND_TIME, 3),
        (Video, ABS_SEND_TIME, 3),
        (Video, VIDEO_ORIENTATION, 4),
        (Audio, MID, 5),
        (Video, MID, 5),
        (Video, RTP_STREAM_ID, 6),
    ]
    .into_iter()
    .map(|(kind, uri, preferred_id)| RtpHeaderExtension { kind: Some(kind), uri: uri.to_owned(), preferred_id })
    .collect()
}
