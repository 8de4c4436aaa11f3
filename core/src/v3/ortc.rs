//! Capability matching: what a router and we have in common, and the parameters that follow from it. Pure functions.
//!
//! Payload types and extension ids are our own: the server maps them. So every producer of a transport has the same ids, as
//! the server wants it, whatever the router prefers for each kind.

use serde_json::Value;

use super::error::ProduceError;
use super::options::{BandwidthMode, CodecChoice, CodecOptions, EncodingOptions};
use super::profile_level_id::{Settled, agree};
use super::rtp::{
    CodecParameters, Direction, RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
    RtpHeaderExtension, RtpHeaderExtensionParameters,
};
use crate::connection::engine::{Agreed, AgreedCodec};
use crate::rtp::extension::{
    ABS_SEND_TIME, AUDIO_LEVEL, MID, REPAIRED_RTP_STREAM_ID, RTP_STREAM_ID, VIDEO_ORIENTATION,
};
use crate::rtp::{Codec, MediaKind};

/// The most encodings of a producer.
const MAX_ENCODINGS: usize = 4;

/// What we can send, in our own order. Of H.264 each profile is a codec of its own, at the level that browsers state; what
/// the stream really has is never checked.
pub(crate) fn native_capabilities(bandwidth: BandwidthMode) -> RtpCapabilities {
    let none = CodecParameters::default;
    let h264 = |profile_level_id: &str| {
        none()
            .with_number("level-asymmetry-allowed", 1)
            .with_number("packetization-mode", 1)
            .with_text("profile-level-id", profile_level_id)
    };
    let opus = none().with_number("minptime", 10).with_number("useinbandfec", 1);
    let mut codecs = vec![
        codec(bandwidth, Codec::Opus, 111, Some(2), opus),
        codec(bandwidth, Codec::Pcmu, 0, Some(1), none()),
        codec(bandwidth, Codec::Pcma, 8, Some(1), none()),
    ];
    let video = [
        (Codec::Vp8, none()),
        (Codec::Vp9, none().with_number("profile-id", 0)),
        (Codec::Vp9, none().with_number("profile-id", 2)),
        (Codec::H264, h264("42e01f")),
        (Codec::H264, h264("42001f")),
        (Codec::H264, h264("4d001f")),
        (Codec::H264, h264("640c1f")),
        (Codec::H264, h264("64001f")),
        (Codec::H264, h264("f4001f")),
    ];
    // RFC 3551 section 6: dynamic payload types begin at 96. Each is followed by that of its RTX.
    for ((codec_of, parameters), payload_type) in video.into_iter().zip((96..).step_by(2)) {
        codecs.push(codec(bandwidth, codec_of, payload_type, None, parameters));
        codecs.push(rtx_capability(MediaKind::Video, payload_type + 1, payload_type, codec_of.clock_rate()));
    }
    let both = &[MediaKind::Audio, MediaKind::Video][..];
    let (audio, video) = (&both[..1], &both[1..]);
    let extensions = match bandwidth {
        BandwidthMode::Remb => [
            (MID, 1, both),
            (RTP_STREAM_ID, 2, video),
            (REPAIRED_RTP_STREAM_ID, 3, video),
            (ABS_SEND_TIME, 4, both),
            (AUDIO_LEVEL, 5, audio),
            (VIDEO_ORIENTATION, 6, video),
        ],
    };
    let header_extensions = extensions
        .into_iter()
        .flat_map(|(uri, preferred_id, kinds)| {
            kinds.iter().map(move |kind| RtpHeaderExtension {
                kind: *kind,
                uri: uri.to_owned(),
                preferred_id,
                preferred_encrypt: false,
                direction: Direction::SendOnly,
            })
        })
        .collect();
    RtpCapabilities { codecs, header_extensions }
}

fn codec(
    bandwidth: BandwidthMode,
    codec: Codec,
    preferred_payload_type: u8,
    channels: Option<u8>,
    parameters: CodecParameters,
) -> RtpCodecCapability {
    let kind = codec.kind();
    let mut rtcp_feedback = match kind {
        // What is lost is sent again as RTX alone, which audio does not have: it would be asked for in vain.
        MediaKind::Audio => Vec::new(),
        MediaKind::Video => {
            vec![RtcpFeedback::new("ccm", "fir"), RtcpFeedback::new("nack", ""), RtcpFeedback::new("nack", "pli")]
        }
    };
    match bandwidth {
        BandwidthMode::Remb if kind == MediaKind::Video => rtcp_feedback.insert(0, RtcpFeedback::new("goog-remb", "")),
        BandwidthMode::Remb => {}
    }
    RtpCodecCapability {
        kind,
        mime_type: format!("{kind}/{}", codec.name()),
        preferred_payload_type,
        clock_rate: codec.clock_rate(),
        channels,
        parameters,
        rtcp_feedback,
    }
}

fn rtx_capability(kind: MediaKind, payload_type: u8, apt: u8, clock_rate: u32) -> RtpCodecCapability {
    RtpCodecCapability {
        kind,
        mime_type: format!("{kind}/rtx"),
        preferred_payload_type: payload_type,
        clock_rate,
        channels: None,
        parameters: CodecParameters::default().with_number("apt", apt.into()),
        rtcp_feedback: Vec::new(),
    }
}

/// What a router and we have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SharedCapabilities {
    /// Best first. Several may be the same codec of ours: the router has it several times.
    pub(crate) codecs: Vec<SharedCodec>,
    /// What we can send, with our ids.
    pub(crate) header_extensions: Vec<RtpHeaderExtension>,
}

/// A codec that a router and we have in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SharedCodec {
    pub(crate) codec: Codec,
    /// With our payload type and our parameters, and the feedback that both sides have.
    pub(crate) capability: RtpCodecCapability,
    /// The payload type of its RTX, if the router repairs it.
    pub(crate) rtx_payload_type: Option<u8>,
}

impl SharedCapabilities {
    /// Matches our capabilities with a router's; in the router's order, or in ours.
    pub(crate) fn new(mut ours: RtpCapabilities, mut router: RtpCapabilities, our_order: bool) -> Self {
        // mediasoup-client matches for receiving first, always in the router's order: that has settled the levels of H.264.
        pairs(&mut ours.clone(), &mut router, false);
        let pairs = pairs(&mut ours, &mut router, our_order);
        let codecs = pairs
            .into_iter()
            .filter_map(|(index, of)| shared_codec(&ours.codecs[index], &router.codecs[of], &ours, &router))
            .collect();
        Self { codecs, header_extensions: shared_extensions(&ours, &router) }
    }

    pub(crate) fn can_produce(&self, kind: MediaKind) -> bool {
        self.codecs.iter().any(|shared| shared.codec.kind() == kind)
    }

    /// As capabilities, for whoever wants to choose or to tell.
    pub(crate) fn sending(&self) -> RtpCapabilities {
        let mut codecs = Vec::new();
        for SharedCodec { capability, rtx_payload_type, .. } in &self.codecs {
            codecs.push(capability.clone());
            let apt = capability.preferred_payload_type;
            codecs.extend(rtx_payload_type.map(|pt| rtx_capability(capability.kind, pt, apt, capability.clock_rate)));
        }
        RtpCapabilities { codecs, header_extensions: self.header_extensions.clone() }
    }

    /// What a producer of this kind uses: the wanted one, or the first.
    pub(crate) fn codec(&self, kind: MediaKind, choice: Option<&CodecChoice>) -> Option<&SharedCodec> {
        let wanted = |shared: &&SharedCodec| match choice {
            None => true,
            Some(CodecChoice::Name(codec)) => shared.codec == *codec,
            Some(CodecChoice::Capability(wanted)) => match_codecs(&mut shared.capability.clone(), &mut wanted.clone()),
        };
        self.codecs.iter().filter(|shared| shared.codec.kind() == kind).find(wanted)
    }

    /// That with this payload type of ours.
    pub(crate) fn by_payload_type(&self, payload_type: u8) -> Option<&SharedCodec> {
        self.codecs.iter().find(|shared| shared.capability.preferred_payload_type == payload_type)
    }

    /// For the connections: each codec and extension once.
    pub(crate) fn agreed(&self) -> Agreed {
        let mut agreed = Agreed::default();
        for SharedCodec { codec, capability, rtx_payload_type } in &self.codecs {
            let payload_type = capability.preferred_payload_type;
            if agreed.codecs.iter().all(|known| known.payload_type != payload_type) {
                let (codec, rtx_payload_type, channels) = (*codec, *rtx_payload_type, capability.channels);
                agreed.codecs.push(AgreedCodec { codec, payload_type, rtx_payload_type, channels });
            }
        }
        for RtpHeaderExtension { uri, preferred_id, .. } in &self.header_extensions {
            if agreed.header_extensions.iter().all(|(id, _)| id != preferred_id) {
                agreed.header_extensions.push((*preferred_id, uri.clone()));
            }
        }
        agreed
    }

    /// The header extensions of a producer of this kind.
    pub(crate) fn extensions(&self, kind: MediaKind) -> Vec<RtpHeaderExtensionParameters> {
        let of_kind = self.header_extensions.iter().filter(|extension| extension.kind == kind);
        of_kind
            .map(|extension| RtpHeaderExtensionParameters {
                uri: extension.uri.clone(),
                id: extension.preferred_id,
                encrypt: extension.preferred_encrypt,
                parameters: CodecParameters::default(),
            })
            .collect()
    }
}

/// Which codec of ours is which of a router's, by their places.
fn pairs(ours: &mut RtpCapabilities, router: &mut RtpCapabilities, our_order: bool) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    if our_order {
        for index in 0..ours.codecs.len() {
            let found =
                (0..router.codecs.len()).find(|of| match_codecs(&mut router.codecs[*of], &mut ours.codecs[index]));
            pairs.extend(found.map(|of| (index, of)));
        }
    } else {
        for of in 0..router.codecs.len() {
            let found =
                (0..ours.codecs.len()).find(|index| match_codecs(&mut ours.codecs[*index], &mut router.codecs[of]));
            pairs.extend(found.map(|index| (index, of)));
        }
    }
    pairs
}

impl SharedCodec {
    /// The codecs of a producer that uses it: itself and its RTX.
    pub(crate) fn parameters(&self, options: Option<&CodecOptions>) -> Vec<RtpCodecParameters> {
        let of = |capability: &RtpCodecCapability| RtpCodecParameters {
            mime_type: capability.mime_type.clone(),
            payload_type: capability.preferred_payload_type,
            clock_rate: capability.clock_rate,
            channels: capability.channels,
            parameters: capability.parameters.clone(),
            rtcp_feedback: capability.rtcp_feedback.clone(),
        };
        let mut media = of(&self.capability);
        if let Some(options) = options.filter(|_| self.codec == Codec::Opus) {
            declare_opus(&mut media, options);
        }
        let Self { capability, rtx_payload_type, .. } = self;
        let apt = capability.preferred_payload_type;
        let rtx = rtx_payload_type.map(|pt| of(&rtx_capability(capability.kind, pt, apt, capability.clock_rate)));
        std::iter::once(media).chain(rtx).collect()
    }
}

/// RFC 7587 section 6.1.
fn declare_opus(codec: &mut RtpCodecParameters, options: &CodecOptions) {
    let CodecOptions { opus_stereo, opus_fec, opus_dtx, opus_ptime } = *options;
    let flags = [("sprop-stereo", opus_stereo), ("useinbandfec", opus_fec), ("usedtx", opus_dtx)];
    let numbers = flags.into_iter().map(|(name, flag)| (name, flag.map(u32::from))).chain([("ptime", opus_ptime)]);
    for (name, number) in numbers {
        if let Some(number) = number {
            codec.parameters = std::mem::take(&mut codec.parameters).with_number(name, number);
        }
    }
}

fn shared_codec(
    ours: &RtpCodecCapability,
    router: &RtpCodecCapability,
    all_of_ours: &RtpCapabilities,
    all_of_router: &RtpCapabilities,
) -> Option<SharedCodec> {
    let rtx = |of: &RtpCapabilities, payload_type: u8| {
        let repairs = |codec: &&RtpCodecCapability| is_rtx(codec) && codec.parameters.apt() == Some(payload_type);
        of.codecs.iter().find(repairs).map(|rtx| rtx.preferred_payload_type)
    };
    let router_rtx = rtx(all_of_router, router.preferred_payload_type);
    let rtx_payload_type = rtx(all_of_ours, ours.preferred_payload_type).filter(|_| router_rtx.is_some());
    let asks_for_lost = |feedback: &RtcpFeedback| feedback.kind == "nack" && feedback.parameter.is_empty();
    let of_both = ours.rtcp_feedback.iter().filter(|feedback| router.rtcp_feedback.contains(feedback));
    let rtcp_feedback = of_both.filter(|of| rtx_payload_type.is_some() || !asks_for_lost(of)).cloned().collect();
    Some(SharedCodec {
        codec: Codec::from_mime_type(&ours.mime_type)?,
        capability: RtpCodecCapability { rtcp_feedback, ..ours.clone() },
        rtx_payload_type,
    })
}

/// A router says how it sees the direction: what it only sends we cannot send.
fn shared_extensions(ours: &RtpCapabilities, router: &RtpCapabilities) -> Vec<RtpHeaderExtension> {
    let mut shared = Vec::new();
    for theirs in &router.header_extensions {
        let same = |of_ours: &&RtpHeaderExtension| of_ours.kind == theirs.kind && of_ours.uri == theirs.uri;
        let direction = theirs.direction.reversed();
        if let Some(of_ours) = ours.header_extensions.iter().find(same)
            && direction.sends()
        {
            shared.push(RtpHeaderExtension { direction, ..of_ours.clone() });
        }
    }
    shared
}

fn is_rtx(codec: &RtpCodecCapability) -> bool {
    codec.mime_type.rsplit_once('/').is_some_and(|(_, name)| name.eq_ignore_ascii_case("rtx"))
}

/// Whether both are the same codec. The `profile-level-id` that two of H.264 settle on is written to both, as `answering`
/// would answer.
fn match_codecs(answering: &mut RtpCodecCapability, offering: &mut RtpCodecCapability) -> bool {
    let same = answering.mime_type.eq_ignore_ascii_case(&offering.mime_type)
        && answering.clock_rate == offering.clock_rate
        && answering.channels == offering.channels
        && !is_rtx(answering);
    if !same {
        return false;
    }
    let same_number = |name| {
        let number = |codec: &RtpCodecCapability| codec.parameters.get(name).cloned().unwrap_or_else(|| 0.into());
        same_value(&number(answering), &number(offering))
    };
    match Codec::from_mime_type(&answering.mime_type) {
        Some(Codec::H264) => {
            let agreed = same_number("packetization-mode").then(|| agree(&answering.parameters, &offering.parameters));
            let Some(Some(agreed)) = agreed else { return false };
            for codec in [answering, offering] {
                let parameters = std::mem::take(&mut codec.parameters);
                codec.parameters = match &agreed {
                    Settled::Id(id) => parameters.with_text("profile-level-id", id),
                    Settled::Nothing => parameters.without("profile-level-id"),
                };
            }
            true
        }
        Some(Codec::Vp9) => same_number("profile-id"),
        Some(Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Vp8 | Codec::H265) | None => true,
    }
}

/// As JavaScript compares them: there is one kind of number.
fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

/// Refuses what the server would refuse, or what this library does not send.
pub(crate) fn check_encodings(codec: Codec, encodings: &[EncodingOptions]) -> Result<(), ProduceError> {
    let several = encodings.len() > 1;
    let simulcast = match codec {
        Codec::Vp8 | Codec::H264 => true,
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Vp9 | Codec::H265 => false,
    };
    if several && !simulcast {
        return Err(ProduceError::NoSimulcast(codec));
    }
    if encodings.len() > MAX_ENCODINGS {
        return Err(ProduceError::TooManyEncodings { count: encodings.len(), limit: MAX_ENCODINGS });
    }
    // mediasoup 3.27 reads those of VP8 and VP9 from their payload descriptors, and those of H264 from the dependency
    // descriptor alone.
    let limit = match codec {
        Codec::Vp8 | Codec::Vp9 => 3,
        Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::H264 | Codec::H265 => 1,
    };
    for mode in encodings.iter().filter_map(|encoding| encoding.scalability_mode.as_ref()) {
        match layers(mode) {
            None => return Err(ProduceError::BadScalabilityMode(mode.clone())),
            Some((1, temporal)) if temporal <= limit => {}
            Some((1, _)) => return Err(ProduceError::TemporalLayers { codec, mode: mode.clone(), limit }),
            Some(_) if several => return Err(ProduceError::SimulcastAndSpatialLayers(mode.clone())),
            Some(_) => return Err(ProduceError::SpatialLayers(mode.clone())),
        }
    }
    Ok(())
}

/// How many temporal layers a mode that was checked has; one, if none is given.
pub(crate) fn temporal_layers(mode: Option<&str>) -> u8 {
    mode.and_then(layers).map_or(1, |(_, temporal)| temporal)
}

/// Spatial and temporal layers. W3C webrtc-svc section 5: `L` or `S`, spatial layers, `T`, temporal layers, and perhaps
/// `_KEY`.
fn layers(mode: &str) -> Option<(u8, u8)> {
    let (spatial, temporal) = mode.strip_prefix(['L', 'S'])?.split_once('T')?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
        text.parse::<u8>().ok().filter(|number| digits && *number > 0)
    };
    Some((number(spatial)?, number(temporal.strip_suffix("_KEY").unwrap_or(temporal))?))
}
