//! Encoded media, as the application hands it in, and its way into RTP payloads.

mod h264;
mod h265;
mod nal;
mod opus;
mod payload;
mod vp8;
mod vp9;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use crate::rtp::Codec;

pub use payload::PacketizeError;

/// Media for a producer: a frame that we packetize, or a packet that was made elsewhere.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum Media {
    /// One encoded frame.
    Frame(Frame),
    /// One RTP packet.
    Packet(RtpPacket),
}

/// One encoded frame.
///
/// | codec | `data` |
/// | --- | --- |
/// | VP8, VP9 | one frame (a superframe for VP9) as the encoder gives it |
/// | H.264, H.265 | one access unit in Annex B format (start codes); NAL units of types that mean nothing in RTP are left out and counted ([`OutboundRtpStats::nal_units_dropped`](crate::stats::OutboundRtpStats::nal_units_dropped)) |
/// | Opus, PCMU, PCMA | one packet |
///
/// Frames are handed in as the encoder gives them, and their time must not go back: WebRTC receivers do not reorder
/// pictures. A stream with B-frames arrives in full and shows little; the first frame whose time goes back is told of
/// ([`ProducerEvent::TimeWentBack`](crate::v2::ProducerEvent::TimeWentBack)).
///
/// A video frame that is refused is missed by those that follow: they are refused, too
/// ([`MediaError::KeyFrameNeeded`](crate::MediaError::KeyFrameNeeded)), up to the next that is a
/// [`key_frame`](Self::key_frame) or that begins like one ([`Codec::is_key_frame`]).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Frame {
    /// The encoded bytes.
    pub data: Bytes,
    /// The time of capture on the producer's own clock.
    pub time: MediaTime,
    /// The index of its encoding, the smallest simulcast layer first; 0 without simulcast.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub layer: usize,
    /// Whether the frame can be decoded on its own. For video.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub key_frame: bool,
    /// Its temporal layer, if its encoding has [several](crate::v3::EncodingOptions::scalability_mode): each of its frames says
    /// it then. For VP8.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub temporal_layer: Option<TemporalLayer>,
    /// Loudness (RFC 6464). For audio.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub audio_level: Option<AudioLevel>,
    /// How far the picture must be turned to be upright. For video.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub rotation: Option<Rotation>,
}

impl Frame {
    /// A frame of the only encoding, not a key frame, without audio level or rotation.
    pub fn new(data: impl Into<Bytes>, time: impl Into<MediaTime>) -> Self {
        Self {
            data: data.into(),
            time: time.into(),
            layer: 0,
            key_frame: false,
            temporal_layer: None,
            audio_level: None,
            rotation: None,
        }
    }

    /// Sets the simulcast layer: its index, or what has one.
    pub fn layer(mut self, layer: impl Into<usize>) -> Self {
        self.layer = layer.into();
        self
    }

    /// Says whether this is a key frame.
    pub const fn key_frame(mut self, key_frame: bool) -> Self {
        self.key_frame = key_frame;
        self
    }

    /// Sets the temporal layer.
    pub const fn temporal_layer(mut self, temporal_layer: TemporalLayer) -> Self {
        self.temporal_layer = Some(temporal_layer);
        self
    }

    /// Sets loudness and voice activity.
    pub const fn audio_level(mut self, level: AudioLevel) -> Self {
        self.audio_level = Some(level);
        self
    }

    /// Sets the rotation.
    pub const fn rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = Some(rotation);
        self
    }
}

/// What is the default need not be written down.
#[cfg(feature = "serde")]
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One RTP packet made elsewhere.
///
/// SSRC, payload type and sequence number on the wire are the producer's; gaps and the order of the given sequence
/// numbers are kept. The timestamp is shifted by a constant. With another SSRC it is another source: its numbers and its
/// clock are joined on to what was sent. Numbers that begin anew under the same SSRC are joined on, too, from the second
/// packet on: the first may as well be one that was held up for long, and is refused
/// ([`OutOfSequence`](crate::MediaError::OutOfSequence)). A packet that is refused leaves a gap in the numbers, which
/// receivers see: so nothing more is refused on its account, as is done with frames.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct RtpPacket {
    /// The index of its encoding, the smallest simulcast layer first; 0 without simulcast.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub layer: usize,
    /// The source's SSRC.
    pub ssrc: u32,
    /// The source's sequence number.
    pub sequence_number: u16,
    /// The source's timestamp, in the codec's clock rate.
    pub timestamp: u32,
    /// The marker bit.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub marker: bool,
    /// The payload, without header, extensions and padding.
    pub payload: Bytes,
    /// Loudness (RFC 6464). For audio.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub audio_level: Option<AudioLevel>,
    /// How far the picture must be turned to be upright. For video.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub rotation: Option<Rotation>,
}

impl RtpPacket {
    /// Reads a datagram (RFC 3550 section 5.1). Header extensions are dropped: their ids mean something only to the
    /// session they come from.
    ///
    /// ```
    /// let datagram = bytes::Bytes::from_static(&[0x80, 0xe0, 0, 7, 0, 0, 0, 90, 1, 2, 3, 4, 0xab]);
    /// let packet = mediasoup_producer::RtpPacket::parse(datagram)?;
    /// assert_eq!((packet.sequence_number, packet.timestamp, packet.marker), (7, 90, true));
    /// # Ok::<(), mediasoup_producer::RtpPacketError>(())
    /// ```
    pub fn parse(datagram: Bytes) -> Result<Self, RtpPacketError> {
        // RFC 5761 section 4: on a port that both share, these payload types are RTCP's.
        if let [first, second, ..] = datagram[..]
            && first >> 6 == 2
            && (64..96).contains(&(second & 0x7f))
        {
            return Err(RtpPacketError::Rtcp);
        }
        if datagram.first().is_some_and(|first| first >> 6 != 2) {
            return Err(RtpPacketError::NotRtp);
        }
        let [first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3, ..] = datagram[..] else {
            return Err(RtpPacketError::TooShort);
        };
        let mut start = 12 + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let words = datagram.get(start + 2..start + 4).ok_or(RtpPacketError::TooShort)?;
            start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        let padding = match (first & 0x20 != 0, datagram.last()) {
            // Its length counts itself.
            (true, Some(0)) => return Err(RtpPacketError::Padding),
            (true, Some(&padding)) => usize::from(padding),
            _ => 0,
        };
        let end = datagram.len().checked_sub(padding).filter(|end| *end >= start).ok_or(RtpPacketError::TooShort)?;
        Ok(Self {
            layer: 0,
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            sequence_number: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            marker: second & 0x80 != 0,
            payload: datagram.slice(start..end),
            audio_level: None,
            rotation: None,
        })
    }
}

/// A datagram that is not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtpPacketError {
    /// Shorter than its header says.
    #[error("the datagram is shorter than its RTP header says")]
    TooShort,
    /// Not version 2.
    #[error("not an RTP packet")]
    NotRtp,
    /// Padding is announced and has no length.
    #[error("an RTP packet whose padding has no length")]
    Padding,
    /// RTCP on the same port.
    #[error("an RTCP packet, not RTP")]
    Rtcp,
}

/// When a frame was captured.
///
/// The origin is arbitrary. Within a producer time runs on its own clock, the same for all simulcast layers, and jumps
/// only with [`replace_track`](crate::v2::Producer::replace_track), after which the first frame sets the origin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum MediaTime {
    /// In the codec's RTP clock rate: 90 kHz for video, 48 kHz for Opus, 8 kHz for G.711. May wrap.
    Rtp(u32),
    /// Since the origin.
    Duration(Duration),
}

impl MediaTime {
    /// In units of `clock_rate`, wrapping as RTP time does.
    pub(crate) fn to_rtp(self, clock_rate: u32) -> u32 {
        match self {
            Self::Rtp(time) => time,
            // Rounded, so that frames given at n/30 s fall on exact multiples of 3000. Truncation is the wrap.
            Self::Duration(time) => ((time.as_nanos() * u128::from(clock_rate) + 500_000_000) / 1_000_000_000) as u32,
        }
    }
}

impl From<Duration> for MediaTime {
    fn from(time: Duration) -> Self {
        Self::Duration(time)
    }
}

/// Loudness of an audio frame (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct AudioLevel {
    minus_dbov: u8,
    voice: bool,
}

impl AudioLevel {
    /// `minus_dbov`: 0 is the loudest, 127 silence; more is taken as 127. `voice`: whether somebody speaks.
    pub const fn new(minus_dbov: u8, voice: bool) -> Self {
        Self { minus_dbov: if minus_dbov > 127 { 127 } else { minus_dbov }, voice }
    }

    /// Level below overload in dB, 0 to 127.
    pub const fn minus_dbov(self) -> u8 {
        self.minus_dbov
    }

    /// Whether somebody speaks.
    pub const fn voice(self) -> bool {
        self.voice
    }
}

/// To which temporal layer a frame belongs (RFC 7741 section 4.2).
///
/// ```
/// use std::time::Duration;
///
/// use mediasoup_producer::{Frame, TemporalLayer};
///
/// // 15 pictures a second, and 15 more between them, each of which depends on the one before it alone.
/// let frames = (0..30u32).map(|number| {
///     let layer = if number % 2 == 0 { TemporalLayer::new(0) } else { TemporalLayer::new(1).sync(true) };
///     Frame::new(vec![0x11], Duration::from_millis(33) * number).key_frame(number == 0).temporal_layer(layer)
/// });
/// assert_eq!(frames.filter(|frame| frame.temporal_layer.unwrap().index() == 0).count(), 15);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TemporalLayer {
    index: u8,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    sync: bool,
}

impl TemporalLayer {
    /// `index`: 0 for the base, which is decoded without the others. Frames of a layer depend on none of a higher one.
    pub const fn new(index: u8) -> Self {
        Self { index, sync: false }
    }

    /// Whether the frame depends on the last of the base layer alone. Only there a server takes up its layer for a viewer who
    /// had less: a layer whose frames never say so reaches nobody. Default: false.
    pub const fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// 0 for the base.
    pub const fn index(self) -> u8 {
        self.index
    }

    /// Whether it depends on the last frame of the base layer alone.
    pub const fn is_sync(self) -> bool {
        self.sync
    }
}

/// How far a picture must be turned clockwise to be upright (3GPP TS 26.114, coordination of video orientation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub enum Rotation {
    /// Not at all.
    Deg0,
    /// A quarter turn.
    Deg90,
    /// Half a turn.
    Deg180,
    /// Three quarter turns.
    Deg270,
}

pub(crate) fn is_key_frame(codec: Codec, frame: &[u8]) -> bool {
    match codec {
        Codec::Opus | Codec::Pcmu | Codec::Pcma => true,
        Codec::Vp8 => vp8::is_key_frame(frame),
        Codec::Vp9 => vp9::is_key_frame(frame),
        Codec::H264 => h264::is_key_frame(frame),
        Codec::H265 => h265::is_key_frame(frame),
    }
}

/// Cuts the frames of one stream into RTP payloads. A frame that is refused leaves no trace.
#[derive(Debug)]
pub(crate) enum Packetizer {
    /// Opus, PCMU and PCMA: a frame is a packet.
    Audio,
    Vp8(vp8::Vp8Packetizer),
    Vp9(vp9::Vp9Packetizer),
    H264(h264::H264Packetizer),
    H265(h265::H265Packetizer),
}

impl Packetizer {
    /// `picture_id`: where VP8 and VP9 begin to count (RFC 7741 section 4.2: may be random).
    pub(crate) fn new(codec: Codec, picture_id: u16) -> Self {
        match codec {
            Codec::Opus | Codec::Pcmu | Codec::Pcma => Self::Audio,
            Codec::Vp8 => Self::Vp8(vp8::Vp8Packetizer::new(picture_id)),
            Codec::Vp9 => Self::Vp9(vp9::Vp9Packetizer::new(picture_id)),
            Codec::H264 => Self::H264(h264::H264Packetizer::new()),
            Codec::H265 => Self::H265(h265::H265Packetizer::new()),
        }
    }

    /// NAL units that were left out of frames that were sent, because they cannot travel in RTP.
    pub(crate) const fn nal_units_dropped(&self) -> u64 {
        match self {
            Self::Audio | Self::Vp8(_) | Self::Vp9(_) => 0,
            Self::H264(packetizer) => packetizer.dropped(),
            Self::H265(packetizer) => packetizer.dropped(),
        }
    }

    /// `temporal_layer`: only VP8 has a place for it.
    pub(crate) fn packetize(
        &mut self,
        frame: &[u8],
        temporal_layer: Option<TemporalLayer>,
        max_payload: usize,
        out: &mut Vec<Arc<[u8]>>,
    ) -> Result<(), PacketizeError> {
        match self {
            Self::Audio => opus::packetize(frame, max_payload, out),
            Self::Vp8(packetizer) => packetizer.packetize(frame, temporal_layer, max_payload, out),
            Self::Vp9(packetizer) => packetizer.packetize(frame, max_payload, out),
            Self::H264(packetizer) => packetizer.packetize(frame, max_payload, out),
            Self::H265(packetizer) => packetizer.packetize(frame, max_payload, out),
        }
    }
}
