//! RTP capabilities and parameters: the ORTC dictionaries as mediasoup v3 spells them.
//!
//! What is read has the fields that mediasoup-client fills in where they are missing, and is refused where it refuses it.
//! Unknown fields are ignored.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};

use crate::rtp::MediaKind;

/// What a router can route, or what we can send.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpCapabilities {
    /// Codecs, most preferred first, each media codec followed by its RTX.
    #[serde(default, deserialize_with = "or_default")]
    pub codecs: Vec<RtpCodecCapability>,
    /// RTP header extensions.
    #[serde(default, deserialize_with = "or_default")]
    pub header_extensions: Vec<RtpHeaderExtension>,
}

/// One codec of [`RtpCapabilities`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "LooseCodecCapability")]
pub struct RtpCodecCapability {
    /// Audio or video; that of the MIME type, whatever is said.
    pub kind: MediaKind,
    /// For example `video/VP8`, or `video/rtx`; in any case.
    pub mime_type: String,
    /// The payload type that the owner of the capabilities uses, 0 to 127.
    pub preferred_payload_type: u8,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Audio channels; absent for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Codec parameters (the `a=fmtp` of SDP); `apt` names the codec that an RTX repairs (RFC 4588 section 8.6).
    pub parameters: CodecParameters,
    /// RTCP feedback (RFC 4585 section 4.2).
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// A header extension (RFC 8285) of [`RtpCapabilities`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpHeaderExtension {
    /// Audio or video.
    pub kind: MediaKind,
    /// Identifies the extension.
    pub uri: String,
    /// The id that the owner of the capabilities uses.
    pub preferred_id: u8,
    /// Whether it would be encrypted (RFC 6904).
    #[serde(default, deserialize_with = "or_default")]
    pub preferred_encrypt: bool,
    /// As the owner of the capabilities sees it.
    #[serde(default, deserialize_with = "or_default")]
    pub direction: Direction,
}

/// Which way a header extension goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// Out.
    SendOnly,
    /// In.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The same, as the other side sees it.
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendRecv => Self::SendRecv,
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::Inactive => Self::Inactive,
        }
    }

    /// Whether it goes out.
    pub const fn sends(self) -> bool {
        match self {
            Self::SendRecv | Self::SendOnly => true,
            Self::RecvOnly | Self::Inactive => false,
        }
    }
}

/// How a producer sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpParameters {
    /// The MID (RFC 9143).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// The media codec and its RTX.
    pub codecs: Vec<RtpCodecParameters>,
    /// Header extensions with the ids that are used.
    #[serde(default, deserialize_with = "or_default")]
    pub header_extensions: Vec<RtpHeaderExtensionParameters>,
    /// One for each stream, that of the lowest resolution first.
    #[serde(default, deserialize_with = "or_default")]
    pub encodings: Vec<RtpEncodingParameters>,
    /// RTCP settings.
    #[serde(default, deserialize_with = "or_default")]
    pub rtcp: RtcpParameters,
    /// The stream's and the track's id (RFC 8830), with a space between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub msid: Option<String>,
}

/// One codec of [`RtpParameters`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", try_from = "LooseCodecParameters")]
pub struct RtpCodecParameters {
    /// For example `video/VP8`, or `video/rtx`.
    pub mime_type: String,
    /// The payload type on the wire, 0 to 127.
    pub payload_type: u8,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
    /// Audio channels; absent for video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u8>,
    /// Codec parameters (the `a=fmtp` of SDP); `apt` names the codec that an RTX repairs (RFC 4588 section 8.6).
    pub parameters: CodecParameters,
    /// RTCP feedback (RFC 4585 section 4.2).
    pub rtcp_feedback: Vec<RtcpFeedback>,
}

/// A header extension of [`RtpParameters`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtpHeaderExtensionParameters {
    /// Identifies the extension.
    pub uri: String,
    /// The id on the wire.
    pub id: u8,
    /// Whether it is encrypted (RFC 6904); mediasoup encrypts none.
    #[serde(default, deserialize_with = "or_default")]
    pub encrypt: bool,
    /// Its parameters; no extension that is in use has any.
    #[serde(default, deserialize_with = "or_default")]
    pub parameters: CodecParameters,
}

/// One RTP stream of a producer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpEncodingParameters {
    /// Synchronisation source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssrc: Option<u32>,
    /// The stream that carries retransmissions (RFC 4588).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtx: Option<RtxParameters>,
    /// The RTP stream id (RFC 8851 section 3), where there are several encodings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Whether anything is sent; absent is as true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Spatial and temporal layers (W3C webrtc-svc section 5), for example `L1T3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalability_mode: Option<String>,
    /// The most it takes, in bits per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bitrate: Option<u32>,
    /// How many times narrower and lower its pictures are than the track's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_resolution_down_by: Option<Number>,
    /// The most pictures in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_framerate: Option<Number>,
    /// Discontinuous transmission: the stream may be silent for some seconds.
    #[serde(default, deserialize_with = "or_default")]
    pub dtx: bool,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cname: Option<String>,
    /// Reduced-size RTCP (RFC 5506).
    #[serde(default = "reduced_size")]
    pub reduced_size: bool,
}

impl Default for RtcpParameters {
    fn default() -> Self {
        Self { cname: None, reduced_size: reduced_size() }
    }
}

const fn reduced_size() -> bool {
    true
}

/// A kind of RTCP feedback, for example `nack` with parameter `pli`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtcpFeedback {
    /// For example `nack`, `ccm` or `goog-remb`.
    #[serde(rename = "type")]
    pub kind: String,
    /// For example `pli` or `fir`; empty if there is none.
    #[serde(default, deserialize_with = "or_default")]
    pub parameter: String,
}

impl RtcpFeedback {
    pub(crate) fn new(kind: &str, parameter: &str) -> Self {
        Self { kind: kind.to_owned(), parameter: parameter.to_owned() }
    }
}

/// Parameters of a codec or extension: texts and numbers by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct CodecParameters(Map<String, Value>);

impl CodecParameters {
    /// A number.
    pub fn number(&self, name: &str) -> Option<&Number> {
        match self.0.get(name)? {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A text or a number.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Each with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The payload type that an RTX repairs (RFC 4588 section 8.6).
    pub fn apt(&self) -> Option<u8> {
        u8::try_from(self.number("apt")?.as_u64()?).ok()
    }

    /// Sets a number.
    pub fn with_number(mut self, name: &str, number: u32) -> Self {
        self.0.insert(name.to_owned(), number.into());
        self
    }

    /// Sets a text.
    pub fn with_text(mut self, name: &str, text: &str) -> Self {
        self.0.insert(name.to_owned(), text.into());
        self
    }

    /// Takes one out.
    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }
}

impl TryFrom<Map<String, Value>> for CodecParameters {
    type Error = String;

    fn try_from(parameters: Map<String, Value>) -> Result<Self, String> {
        for (name, value) in &parameters {
            match value {
                Value::String(_) if name == "apt" => return Err("invalid codec apt parameter".to_owned()),
                Value::String(_) | Value::Number(_) => {}
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    return Err(format!("parameter {name:?} is neither text nor number"));
                }
            }
        }
        Ok(Self(parameters))
    }
}

/// The kind that a MIME type begins with.
pub(crate) fn mime_kind(mime_type: &str) -> Option<MediaKind> {
    let (kind, name) = mime_type.split_once('/')?;
    let kinds = [MediaKind::Audio, MediaKind::Video];
    kinds.into_iter().find(|of| kind.eq_ignore_ascii_case(of.as_str()) && !name.is_empty())
}

/// What is written as a codec of capabilities.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LooseCodecCapability {
    mime_type: String,
    preferred_payload_type: u8,
    clock_rate: u32,
    #[serde(default, deserialize_with = "or_default")]
    channels: Option<u8>,
    #[serde(default, deserialize_with = "or_default")]
    parameters: CodecParameters,
    #[serde(default, deserialize_with = "or_default")]
    rtcp_feedback: Vec<RtcpFeedback>,
}

impl TryFrom<LooseCodecCapability> for RtpCodecCapability {
    type Error = String;

    fn try_from(loose: LooseCodecCapability) -> Result<Self, String> {
        let kind = mime_kind(&loose.mime_type).ok_or("neither audio/... nor video/...: mimeType")?;
        Ok(Self {
            kind,
            mime_type: loose.mime_type,
            preferred_payload_type: loose.preferred_payload_type,
            clock_rate: loose.clock_rate,
            channels: channels(kind, loose.channels),
            parameters: loose.parameters,
            rtcp_feedback: loose.rtcp_feedback,
        })
    }
}

/// What is written as a codec of parameters.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LooseCodecParameters {
    mime_type: String,
    payload_type: u8,
    clock_rate: u32,
    #[serde(default, deserialize_with = "or_default")]
    channels: Option<u8>,
    #[serde(default, deserialize_with = "or_default")]
    parameters: CodecParameters,
    #[serde(default, deserialize_with = "or_default")]
    rtcp_feedback: Vec<RtcpFeedback>,
}

impl TryFrom<LooseCodecParameters> for RtpCodecParameters {
    type Error = String;

    fn try_from(loose: LooseCodecParameters) -> Result<Self, String> {
        let kind = mime_kind(&loose.mime_type).ok_or("neither audio/... nor video/...: mimeType")?;
        Ok(Self {
            mime_type: loose.mime_type,
            payload_type: loose.payload_type,
            clock_rate: loose.clock_rate,
            channels: channels(kind, loose.channels),
            parameters: loose.parameters,
            rtcp_feedback: loose.rtcp_feedback,
        })
    }
}

/// Audio without a number of channels has one; video has none.
pub(crate) const fn channels(kind: MediaKind, channels: Option<u8>) -> Option<u8> {
    match (kind, channels) {
        (MediaKind::Audio, None) => Some(1),
        (MediaKind::Audio, Some(channels)) => Some(channels),
        (MediaKind::Video, _) => None,
    }
}

/// `null` is as absent.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
