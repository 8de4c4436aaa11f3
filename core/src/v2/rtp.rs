//! RTP capabilities and parameters: the ORTC dictionaries as mediasoup v2 spells them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::connection::engine::Encoding;
use crate::rtp::{Codec, MediaKind};

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

    /// Its index among the layers of its producer: what [`Frame::layer`](crate::Frame::layer) takes.
    pub const fn layer(self) -> usize {
        match self {
            Self::Default | Self::Low => 0,
            Self::Medium => 1,
            Self::High => 2,
        }
    }

    /// The layers of a producer, smallest first.
    pub const fn of(simulcast: bool) -> &'static [Self] {
        if simulcast { &Self::SIMULCAST } else { &[Self::Default] }
    }

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

/// Its [`layer`](Profile::layer).
impl From<Profile> for usize {
    fn from(profile: Profile) -> Self {
        profile.layer()
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

/// A codec that the room takes from us, with what a producer that uses it sends: [`Room::send_codecs`](crate::v2::Room::send_codecs).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[non_exhaustive]
pub struct SendCodec {
    /// The codec, for [`ProducerOptions::codec`](crate::v2::ProducerOptions::codec).
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

impl RtpEncodingParameters {
    /// As a connection takes it: layers are told apart by their SSRCs.
    pub(crate) fn encoding(&self) -> Encoding {
        let Self { ssrc, rtx, profile: _ } = self;
        Encoding { ssrc: *ssrc, rtx_ssrc: rtx.map(|rtx| rtx.ssrc), rid: None }
    }
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
