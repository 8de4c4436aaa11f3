//! Kinds of media, codecs, and the header extensions that packets have.

use serde::{Deserialize, Serialize};

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

/// Header extensions (RFC 8285) by their URIs.
pub(crate) mod extension {
    pub(crate) const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
    pub(crate) const TIME_OFFSET: &str = "urn:ietf:params:rtp-hdrext:toffset";
    pub(crate) const ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
    pub(crate) const VIDEO_ORIENTATION: &str = "urn:3gpp:video-orientation";
    pub(crate) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    pub(crate) const RTP_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    pub(crate) const REPAIRED_RTP_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
}
