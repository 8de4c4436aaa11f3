//! From frames and packets to RTP: sequence numbers, timestamps, packetizers and counters of a producer's streams.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::engine::{Encoding, OutgoingPacket, StreamFeedback};
use crate::error::MediaError;
use crate::id::ProducerId;
#[cfg(all(feature = "sim", feature = "record"))]
use crate::media::Media;
use crate::media::{Frame, MediaTime, PacketizeError, Packetizer, RtpPacket, TemporalLayer};
use crate::rng::Rng;
use crate::rtp::{Codec, MediaKind};
use crate::stats::OutboundRtpStats;

/// The most payload in a packet: with header, extensions, RTX and SRTP it stays below 1200 bytes, which passes everywhere
/// (RFC 8831 section 5 takes the same figure for IPv6).
pub(crate) const MAX_PAYLOAD_BYTES: usize = 1120;

/// The longest payload of a ready-made packet: what a datagram of str0m's has room for.
pub(crate) const MAX_PACKET_BYTES: usize = 1400;

/// Key frame requests for a stream come in bursts (one for each consumer and layer): further ones within this time are one.
const KEY_FRAME_REQUEST_GAP: Duration = Duration::from_millis(500);

/// A step in a source's sequence numbers beyond these is a new source, not loss or reordering (RFC 3550 appendix A.1).
const MAX_DROPOUT: u16 = 3000;
const MAX_MISORDER: u16 = 100;

/// The streams of a producer: none while it has no transport, one, or one for each simulcast layer.
#[derive(Debug)]
pub(crate) struct Streams {
    codec: Codec,
    payload_type: u8,
    timeline: Timeline,
    /// By layer.
    streams: Vec<Stream>,
    /// How many temporal layers each layer is declared to have.
    temporal_layers: Vec<u8>,
    /// Layers of which a frame was refused: those after it decode against a picture that never came, until a key frame.
    incomplete: Vec<bool>,
    /// Kept from one frame to the next.
    payloads: Vec<Arc<[u8]>>,
}

#[derive(Debug)]
pub(crate) struct Stream {
    ssrc: u32,
    /// Extended, so it does not wrap. Starts below 2^15: the receiver assumes a rollover counter of 0
    /// (RFC 3711 section 3.3.1).
    next_sequence_number: u64,
    packetizer: Packetizer,
    source: Option<Source>,
    source_ssrc: Option<u32>,
    key_frame_requested_at: Option<Instant>,
    feedback: StreamFeedback,
    target_bitrate_bps: Option<u64>,
    /// The last in decoding order.
    timestamp: Option<u32>,
    /// Media time has gone back, and that was told.
    time_went_back: bool,
    frames: u64,
    key_frames: u64,
    packets: u64,
    bytes: u64,
}

/// How the sequence numbers of ready-made packets map to ours.
#[derive(Debug, Clone, Copy)]
struct Source {
    highest: u16,
    /// Ours for `highest`.
    mapped: u64,
    /// Which of the 64 numbers up to `highest` were seen.
    seen: u64,
    /// A number far from these was the last that came; one more in sequence, this, and the source has begun anew.
    begins_anew: Option<u16>,
}

/// How the application's time maps to RTP time, the same for all layers.
#[derive(Debug)]
struct Timeline {
    offset: u32,
    last: Option<(u32, Instant)>,
    /// The application's clock may start anew with the next frame.
    new_source: bool,
}

impl Streams {
    /// Of so many layers, each of which has one temporal layer.
    pub(crate) fn new(codec: Codec, layers: usize, rng: &mut Rng) -> Self {
        Self::with_temporal_layers(codec, vec![1; layers], rng)
    }

    /// Of as many layers as there are numbers, each with so many temporal layers.
    pub(crate) fn with_temporal_layers(codec: Codec, temporal_layers: Vec<u8>, rng: &mut Rng) -> Self {
        // RFC 3550 section 5.1: the initial timestamp should be random.
        let timeline = Timeline { offset: rng.next_u32(), last: None, new_source: false };
        Self {
            codec,
            payload_type: 0,
            timeline,
            streams: Vec::new(),
            incomplete: vec![false; temporal_layers.len()],
            temporal_layers,
            payloads: Vec::new(),
        }
    }

    /// Starts new streams, for a new transport.
    pub(crate) fn start(&mut self, payload_type: u8, encodings: &[Encoding], rng: &mut Rng) {
        self.payload_type = payload_type;
        self.streams = encodings.iter().map(|encoding| Stream::new(self.codec, encoding.ssrc, rng)).collect();
    }

    /// What comes next is from another source: its clock and sequence numbers are joined on to what was sent.
    pub(crate) fn new_source(&mut self) {
        self.timeline.new_source = true;
        self.source_paused();
        for stream in &mut self.streams {
            stream.time_went_back = false;
        }
    }

    /// After a pause a source's sequence numbers have moved on without us; that is no loss.
    pub(crate) fn source_paused(&mut self) {
        for stream in &mut self.streams {
            stream.source = None;
        }
    }

    pub(crate) fn layers(&self) -> Range<usize> {
        0..self.streams.len()
    }

    pub(crate) fn stream_mut(&mut self, layer: usize) -> Option<&mut Stream> {
        self.streams.get_mut(layer)
    }

    pub(crate) fn by_ssrc(&mut self, ssrc: u32) -> Option<(usize, &mut Stream)> {
        self.streams.iter_mut().enumerate().find(|(_, stream)| stream.ssrc == ssrc)
    }

    /// A frame of an encoding was refused, and left no trace: sequence numbers go on, so that no receiver could tell. (A
    /// ready-made packet that is refused leaves a gap in its source's numbers, which receivers see and ask to be repaired.)
    pub(crate) fn frame_refused(&mut self, layer: usize) {
        if let Some(incomplete) = self.incomplete.get_mut(layer).filter(|_| self.codec.kind() == MediaKind::Video) {
            *incomplete = true;
        }
    }

    /// Whatever came before, this is taken: a decoder lacks nothing, and a source may begin anew.
    #[cfg(all(feature = "sim", feature = "record"))]
    pub(crate) fn forgive(&mut self, media: &Media) {
        match media {
            Media::Frame(frame) => {
                if let Some(incomplete) = self.incomplete.get_mut(frame.layer) {
                    *incomplete = false;
                }
            }
            Media::Packet(packet) => {
                if let Some(source) = self.stream_mut(packet.layer).and_then(|stream| stream.source.as_mut()) {
                    source.begins_anew = Some(packet.sequence_number);
                }
            }
        }
    }

    /// Packetizes a frame. Returns whether media time went back in its encoding, and for the first time.
    pub(crate) fn frame(
        &mut self,
        now: Instant,
        frame: &Frame,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<bool, StreamError> {
        let (Some(stream), Some(incomplete), Some(declared)) = (
            self.streams.get_mut(frame.layer),
            self.incomplete.get_mut(frame.layer),
            self.temporal_layers.get(frame.layer).copied(),
        ) else {
            return Err(StreamError::UnknownLayer);
        };
        let decodes_alone = || frame.key_frame || self.codec.is_key_frame(&frame.data);
        // What all are of need not be said; and only VP8's packets have a place for more.
        let (declared, temporal_layer) = match self.codec {
            Codec::Vp8 => (declared, frame.temporal_layer.filter(|_| declared > 1)),
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Vp9 | Codec::H264 | Codec::H265 => (1, None),
        };
        match frame.temporal_layer.map(TemporalLayer::index) {
            None if declared > 1 => return Err(StreamError::NoTemporalLayer { declared }),
            None | Some(0) => {}
            Some(given) if given >= declared => return Err(StreamError::TemporalLayer { given, declared }),
            Some(given) if decodes_alone() => return Err(StreamError::TemporalLayer { given, declared: 1 }),
            Some(_) => {}
        }
        if *incomplete && !decodes_alone() {
            return Err(StreamError::KeyFrameNeeded);
        }
        let payloads = &mut self.payloads;
        payloads.clear();
        let packetized = stream.packetizer.packetize(&frame.data, temporal_layer, MAX_PAYLOAD_BYTES, payloads);
        packetized.map_err(StreamError::Packetize)?;
        let timestamp = self.timeline.map(now, frame.time, self.codec.clock_rate());
        let last = payloads.len().saturating_sub(1);
        for (index, payload) in payloads.drain(..).enumerate() {
            stream.bytes += payload.len() as u64;
            out.push(OutgoingPacket {
                ssrc: stream.ssrc,
                payload_type: self.payload_type,
                sequence_number: stream.next_sequence_number,
                timestamp,
                taken_at: now,
                // Video: the last packet of a frame (RFC 7741 section 4.1 and its kin). Audio: the start of a talkspurt
                // (RFC 3551 section 4.1), which we are not told.
                marker: index == last && self.codec.kind() == MediaKind::Video,
                audio_level: frame.audio_level,
                rotation: frame.rotation,
                payload,
            });
            stream.next_sequence_number += 1;
            stream.packets += 1;
        }
        stream.source = None;
        stream.frames += 1;
        stream.key_frames += u64::from(frame.key_frame);
        *incomplete = false;
        Ok(stream.goes_back(timestamp))
    }

    /// Passes a ready-made packet on under our numbers. Returns whether media time went back in its encoding, and for the
    /// first time; packets that the network has put out of order do not count.
    pub(crate) fn packet(
        &mut self,
        now: Instant,
        packet: &RtpPacket,
        out: &mut Vec<OutgoingPacket>,
    ) -> Result<bool, StreamError> {
        let stream = self.streams.get_mut(packet.layer).ok_or(StreamError::UnknownLayer)?;
        if packet.payload.is_empty() {
            return Err(StreamError::Empty);
        }
        if stream.source_ssrc.replace(packet.ssrc).is_some_and(|before| before != packet.ssrc) {
            stream.source = None;
            self.timeline.new_source = true;
        }
        let sequence_number = stream.map_sequence_number(packet.sequence_number)?;
        let timestamp = self.timeline.map(now, MediaTime::Rtp(packet.timestamp), self.codec.clock_rate());
        out.push(OutgoingPacket {
            ssrc: stream.ssrc,
            payload_type: self.payload_type,
            sequence_number,
            timestamp,
            taken_at: now,
            marker: packet.marker,
            audio_level: packet.audio_level,
            rotation: packet.rotation,
            payload: Arc::from(&packet.payload[..]),
        });
        stream.packets += 1;
        stream.bytes += packet.payload.len() as u64;
        stream.frames += u64::from(packet.marker || self.codec.kind() == MediaKind::Audio);
        let newest = stream.next_sequence_number == sequence_number + 1;
        Ok(newest && stream.goes_back(timestamp))
    }

    pub(crate) fn stats(&self, packets_resent: impl Fn(u32) -> u64) -> Vec<OutboundRtpStats> {
        self.streams
            .iter()
            .enumerate()
            .map(|(layer, stream)| OutboundRtpStats {
                layer,
                ssrc: stream.ssrc,
                frames_sent: stream.frames,
                key_frames_sent: stream.key_frames,
                packets_sent: stream.packets,
                bytes_sent: stream.bytes,
                nal_units_dropped: stream.packetizer.nal_units_dropped(),
                retransmitted_packets_sent: packets_resent(stream.ssrc),
                nack_count: stream.feedback.nack_count,
                pli_count: stream.feedback.pli_count,
                fir_count: stream.feedback.fir_count,
                remote_packets_lost: stream.feedback.packets_lost.unwrap_or(0),
                round_trip_time: stream.feedback.round_trip_time,
                target_bitrate_bps: stream.target_bitrate_bps,
            })
            .collect()
    }
}

/// Why media was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamError {
    UnknownLayer,
    KeyFrameNeeded,
    TemporalLayer { given: u8, declared: u8 },
    NoTemporalLayer { declared: u8 },
    Packetize(PacketizeError),
    Empty,
    Duplicate,
    OutOfSequence,
}

impl StreamError {
    /// As it is told of a producer.
    pub(crate) const fn of_media(self, producer: ProducerId, layer: usize, codec: Codec) -> MediaError {
        match self {
            Self::KeyFrameNeeded => MediaError::KeyFrameNeeded { producer, layer },
            Self::UnknownLayer => MediaError::UnknownLayer { producer, layer },
            Self::TemporalLayer { given, declared } => MediaError::TemporalLayer { producer, layer, given, declared },
            Self::NoTemporalLayer { declared } => MediaError::NoTemporalLayer { producer, layer, declared },
            Self::Packetize(error) => MediaError::Malformed { codec, error },
            Self::Empty => MediaError::EmptyPacket,
            Self::Duplicate => MediaError::DuplicatePacket,
            Self::OutOfSequence => MediaError::OutOfSequence,
        }
    }
}

impl Stream {
    fn new(codec: Codec, ssrc: u32, rng: &mut Rng) -> Self {
        Self {
            ssrc,
            next_sequence_number: rng.range(1, 1 << 15),
            packetizer: Packetizer::new(codec, rng.next_u32() as u16),
            source: None,
            source_ssrc: None,
            key_frame_requested_at: None,
            feedback: StreamFeedback::default(),
            target_bitrate_bps: None,
            timestamp: None,
            time_went_back: false,
            frames: 0,
            key_frames: 0,
            packets: 0,
            bytes: 0,
        }
    }

    /// Takes note of the time of what was sent.
    fn goes_back(&mut self, timestamp: u32) -> bool {
        let before = self.timestamp.replace(timestamp);
        let back = before.is_some_and(|before| timestamp.wrapping_sub(before) >= 1 << 31);
        back && !std::mem::replace(&mut self.time_went_back, true)
    }

    /// A key frame is asked for on our own account, whatever was asked for before: earlier frames do not count any more.
    pub(crate) const fn key_frame_needed(&mut self, now: Instant) {
        self.key_frame_requested_at = Some(now);
    }

    /// Whether the server's request for a key frame is worth telling the application.
    pub(crate) fn request_key_frame(&mut self, now: Instant) -> bool {
        let asked = self.key_frame_requested_at.is_some_and(|at| now < at + KEY_FRAME_REQUEST_GAP);
        if !asked {
            self.key_frame_requested_at = Some(now);
        }
        !asked
    }

    /// Whether the encoder is to be told: at first, and when it is another figure by more than a twentieth.
    pub(crate) fn set_target_bitrate(&mut self, bitrate_bps: u64) -> bool {
        let news = self.target_bitrate_bps.is_none_or(|last| {
            u128::from(last.abs_diff(bitrate_bps)) * 20 > last.into() || (last == 0) != (bitrate_bps == 0)
        });
        if news {
            self.target_bitrate_bps = Some(bitrate_bps);
        }
        news
    }

    pub(crate) fn set_feedback(&mut self, feedback: StreamFeedback) {
        // A report may be missing from an interval; what was known stays known.
        self.feedback = StreamFeedback {
            packets_lost: feedback.packets_lost.or(self.feedback.packets_lost),
            round_trip_time: feedback.round_trip_time.or(self.feedback.round_trip_time),
            ..feedback
        };
    }

    /// Ours for a source's sequence number, unless it went out already or is too far from those before to tell. RFC 3550
    /// appendix A.1 believes in a new start when two in sequence say so: one may be a packet that was held up for long.
    fn map_sequence_number(&mut self, given: u16) -> Result<u64, StreamError> {
        if let Some(source) = &mut self.source {
            let ahead = given.wrapping_sub(source.highest);
            let behind = source.highest.wrapping_sub(given);
            if ahead != 0 && ahead < MAX_DROPOUT {
                source.seen = source.seen.checked_shl(ahead.into()).unwrap_or(0) | 1;
                source.highest = given;
                source.mapped += u64::from(ahead);
                source.begins_anew = None;
                self.next_sequence_number = source.mapped + 1;
                return Ok(source.mapped);
            }
            if behind < MAX_MISORDER {
                let bit = 1u64.checked_shl(behind.into()).filter(|bit| source.seen & bit == 0);
                source.seen |= bit.ok_or(StreamError::Duplicate)?;
                return source.mapped.checked_sub(behind.into()).ok_or(StreamError::Duplicate);
            }
            if source.begins_anew != Some(given) {
                source.begins_anew = Some(given.wrapping_add(1));
                return Err(StreamError::OutOfSequence);
            }
        }
        let mapped = self.next_sequence_number;
        self.source = Some(Source { highest: given, mapped, seen: u64::MAX, begins_anew: None });
        self.next_sequence_number += 1;
        Ok(mapped)
    }
}

impl Timeline {
    fn map(&mut self, now: Instant, time: MediaTime, clock_rate: u32) -> u32 {
        let given = time.to_rtp(clock_rate);
        if let (true, Some((last, at))) = (self.new_source, self.last) {
            // As much RTP time as real time, and at least a little, has passed since the last frame.
            let elapsed = now.saturating_duration_since(at).max(Duration::from_millis(1));
            let target = last.wrapping_add(MediaTime::Duration(elapsed).to_rtp(clock_rate));
            self.offset = target.wrapping_sub(given);
        }
        self.new_source = false;
        let mapped = given.wrapping_add(self.offset);
        // Layers of one frame, and packets out of order, do not turn the clock back.
        if self.last.is_none_or(|(last, _)| mapped.wrapping_sub(last) < 1 << 31) {
            self.last = Some((mapped, now));
        }
        mapped
    }
}
