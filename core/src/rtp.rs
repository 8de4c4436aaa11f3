//! RTP capabilities and parameters: the ORTC dictionaries as mediasoup v2 spells them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

impl MediaKind {
    /// As it stands in messages: `audio` or `video`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

impl std::fmt::Display for MediaKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A codec this crate can packetize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Codec {
    /// Opus, RFC 7587.
    #[serde(rename = "opus")]
    Opus,
    /// G.711 mu-law, RFC 3551.
    #[serde(rename = "PCMU")]
    Pcmu,
    /// G.711 A-law, RFC 3551.
    #[serde(rename = "PCMA")]
    Pcma,
    /// VP8, RFC 7741.
    #[serde(rename = "VP8")]
    Vp8,
    /// VP9, RFC 9628.
    #[serde(rename = "VP9")]
    Vp9,
    /// H.264, RFC 6184, packetization mode 1.
    H264,
    /// H.265, RFC 7798.
    H265,
}

impl Codec {
    /// Every codec, audio first.
    pub const ALL: [Self; 7] = [Self::Opus, Self::Pcmu, Self::Pcma, Self::Vp8, Self::Vp9, Self::H264, Self::H265];

    /// The name in RTP capabilities (`mimeType` is `kind/name`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::H264 => "H264",
            Self::H265 => "H265",
        }
    }

    /// Audio or video.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma => MediaKind::Audio,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 => MediaKind::Video,
        }
    }

    /// RTP clock rate in Hz.
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 => 90_000,
        }
    }

    /// Whether an encoded frame can be decoded on its own, as far as its first bytes tell: VP8 and VP9 say so in the
    /// frame header, H.264 and H.265 by their NAL units. Audio always can.
    pub fn is_key_frame(self, frame: &[u8]) -> bool {
        crate::media::is_key_frame(self, frame)
    }

    /// Finds a codec by the subtype of a MIME type, in any case: `video/vp8`.
    pub fn from_mime_type(mime_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| {
            mime_type.split_once('/').is_some_and(|(kind, name)| {
                kind.eq_ignore_ascii_case(codec.kind().as_str()) && name.eq_ignore_ascii_case(codec.name())
            })
        })
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A layer of a simulcast producer, mediasoup's "profile".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The only encoding of a producer without simulcast.
    #[default]
    Default,
    /// The smallest simulcast layer.
    Low,
    /// The middle simulcast layer.
    Medium,
    /// The largest simulcast layer.
    High,
}

impl Profile {
    /// The layers of a simulcast producer, smallest first: the order of its encodings.
    pub const SIMULCAST: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// As it stands in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a peer or a room can send or receive.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RtpCapabilities {
    /// Codecs, most preferred first.
    pub codecs: Vec<RtpCodecCapability>,
    /// RTP header extensions.
    pub header_extensions: Vec<RtpHeaderExtension>,
    /// Forward error correction; v2 knows none.
    pub fec_mechanisms: Vec<Value>,
}

/// One codec of [`RtpCapabilities`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCodecCapability {
    /// For example `VP8`, or `rtx`.
    pub name: String,
    /// For example `video/VP8`.
    pub mime_type: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// The payload type the owner of the capabilities uses, 0 to 127.
    pub preferred_payload_type: u8,
    /// Audio channels; absent for video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// RTCP feedback (RFC 4585); absent for `rtx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_feedback: Option<Vec<RtcpFeedback>>,
    /// Codec parameters (the `a=fmtp` of SDP).
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// A kind of RTCP feedback, for example `nack` with parameter `pli`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcpFeedback {
    /// For example `nack`, `ccm` or `goog-remb`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For example `pli` or `fir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
}

impl RtcpFeedback {
    pub(crate) fn new(kind: &str, parameter: Option<&str>) -> Self {
        Self { kind: kind.to_owned(), parameter: parameter.map(str::to_owned) }
    }
}

/// A header extension (RFC 8285) of [`RtpCapabilities`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpHeaderExtension {
    /// Audio or video; absent means both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<MediaKind>,
    /// Identifies the extension.
    pub uri: String,
    /// The id the owner of the capabilities uses, 1 to 14.
    pub preferred_id: u8,
}

/// How a producer sends: `producer.rtpParameters`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpParameters {
    /// The MID (RFC 9143).
    pub mux_id: String,
    /// The codec and its RTX.
    pub codecs: Vec<RtpCodecParameters>,
    /// Header extensions with the ids we use.
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// One for each stream; with simulcast low, medium, high.
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP settings.
    pub rtcp: RtcpParameters,
}

/// One codec of [`RtpParameters`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCodecParameters {
    /// For example `VP8`, or `rtx`.
    pub name: String,
    /// For example `video/VP8`.
    pub mime_type: String,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// The payload type on the wire, 0 to 127.
    pub payload_type: u8,
    /// Audio channels; absent for video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// RTCP feedback; absent for `rtx`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtcp_feedback: Option<Vec<RtcpFeedback>>,
    /// Codec parameters; `apt` names the codec an `rtx` repairs (RFC 4588).
    #[serde(default)]
    pub parameters: Map<String, Value>,
}

/// A codec that the room takes from us, with what a producer that uses it sends: [`Room::send_codecs`](crate::Room::send_codecs).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct SendCodec {
    /// The codec, for [`ProducerOptions::codec`](crate::ProducerOptions::codec).
    pub codec: Codec,
    /// Payload type, clock rate, channels, feedback, and the `a=fmtp` of SDP that the encoder should keep to (H.264:
    /// `profile-level-id`, RFC 6184 section 8.1).
    pub parameters: RtpCodecParameters,
    /// Those of its retransmissions (RFC 4588), if the room repairs it.
    pub rtx: Option<RtpCodecParameters>,
}

/// A header extension of [`RtpParameters`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpHeaderExtensionParameters {
    /// Identifies the extension.
    pub uri: String,
    /// The id on the wire, 1 to 14.
    pub id: u8,
}

/// One RTP stream of a producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpEncodingParameters {
    /// Synchronisation source.
    pub ssrc: u32,
    /// The stream that carries retransmissions (RFC 4588).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx: Option<RtxParameters>,
    /// The simulcast layer; absent without simulcast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// The retransmission stream of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtxParameters {
    /// Synchronisation source.
    pub ssrc: u32,
}

/// RTCP settings of a producer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtcpParameters {
    /// The canonical name (RFC 3550 section 6.5.1).
    pub cname: String,
    /// Reduced-size RTCP (RFC 5506).
    pub reduced_size: bool,
    /// RTP and RTCP share a port (RFC 5761).
    pub mux: bool,
}
