//! What is wrong with RTP parameters, in the words of mediasoup 3.27.1: what its JavaScript looks at first, and then its
//! worker, in their order.

use std::collections::BTreeSet;

use super::capabilities::{REPAIRED_RTP_STREAM_ID, TRANSPORT_CC};
use super::error::RouterError;
use super::transport::{Bandwidth, ProducerType};
use crate::rtp::Codec;
use crate::rtp::extension::{ABS_SEND_TIME, AUDIO_LEVEL, MID, RTP_STREAM_ID, VIDEO_ORIENTATION};
use crate::sim::receiver::packet::ExtensionIds;
use crate::v3::profile_level_id::{Settled, agree};
use crate::v3::{RtpCapabilities, RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters, RtpParameters};

/// What a producer's RTP parameters come to.
#[derive(Debug, Clone)]
pub(super) struct Producing {
    pub(super) kind: ProducerType,
    /// None: one that this library does not send.
    pub(super) codec: Option<Codec>,
    pub(super) clock_rate: u32,
    pub(super) payload_type: u8,
    pub(super) rtx_payload_type: Option<u8>,
    /// The router's own.
    pub(super) mapped_payload_type: u8,
    pub(super) nack: bool,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) encodings: Vec<RtpEncodingParameters>,
    pub(super) extensions: StreamExtensions,
    pub(super) read: ExtensionIds,
}

/// The ids by which packets say to which stream they belong and when they were sent. 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StreamExtensions {
    pub(super) mid: u8,
    pub(super) rid: u8,
    pub(super) repaired_rid: u8,
    pub(super) abs_send_time: u8,
}

impl StreamExtensions {
    /// The real router has one set for a transport: what a producer names replaces what another has named.
    pub(super) fn take(&mut self, of_producer: Self) {
        for (ours, theirs) in [
            (&mut self.mid, of_producer.mid),
            (&mut self.rid, of_producer.rid),
            (&mut self.repaired_rid, of_producer.repaired_rid),
            (&mut self.abs_send_time, of_producer.abs_send_time),
        ] {
            if theirs != 0 {
                *ours = theirs;
            }
        }
    }
}

/// `parameters` against what the router can route, and in themselves. The level of H264 becomes what both agree on.
pub(super) fn check(parameters: &mut RtpParameters, router: &RtpCapabilities) -> Result<Producing, RouterError> {
    let mapped = map_codecs(parameters, router)?;
    check_codecs(parameters)?;
    let media = parameters.codecs.iter().position(|codec| is_media(&codec.mime_type));
    let media = media.ok_or_else(|| RouterError::type_error("no media codecs found"))?;
    let codec = &parameters.codecs[media];
    // None at all are as one of which nothing is said.
    let mut encodings = parameters.encodings.clone();
    if encodings.is_empty() {
        encodings.push(RtpEncodingParameters::default());
    }
    let layers: Vec<_> = encodings.iter().map(|encoding| layers(encoding.scalability_mode.as_deref())).collect();
    if encodings.len() > 1 && layers.iter().any(|(spatial, _)| *spatial > 1) {
        let words = "cannot use both simulcast and encodings with multiple SVC spatial layers";
        return Err(RouterError::type_error(words));
    }
    let kind = producer_type(&codec.mime_type, encodings.len(), layers[0])?;
    for encoding in &encodings {
        let named = encoding.ssrc.is_some() || encoding.rid.is_some();
        if encodings.len() > 1 && !named {
            return Err(RouterError::type_error("wrong entry in rtpMapping.encodings (missing ssrc or rid)"));
        }
        if parameters.mid.as_deref().unwrap_or_default().is_empty() && !named {
            let words = "wrong entry in rtpMapping.encodings (missing ssrc or rid, or rtpParameters.mid)";
            return Err(RouterError::type_error(words));
        }
    }
    let extension = |uri: &str| {
        let of_uri = parameters.header_extensions.iter().find(|extension| extension.uri == uri);
        of_uri.map(|extension| extension.id)
    };
    let says = |kind: &str| {
        let mut feedback = parameters.codecs.iter().flat_map(|codec| &codec.rtcp_feedback);
        feedback.any(|feedback| feedback.kind == kind && feedback.parameter.is_empty())
    };
    let bandwidth = match (extension(TRANSPORT_CC), extension(ABS_SEND_TIME)) {
        (Some(_), _) if says("transport-cc") => Some(Bandwidth::TransportCc),
        (_, Some(_)) if says("goog-remb") => Some(Bandwidth::Remb),
        _ => None,
    };
    Ok(Producing {
        kind,
        codec: Codec::from_mime_type(&codec.mime_type),
        clock_rate: codec.clock_rate,
        payload_type: codec.payload_type,
        rtx_payload_type: parameters
            .codecs
            .iter()
            .find(|rtx| is_rtx(&rtx.mime_type) && rtx.parameters.apt() == Some(codec.payload_type))
            .map(|rtx| rtx.payload_type),
        mapped_payload_type: mapped.get(media).copied().flatten().unwrap_or_default(),
        nack: codec.rtcp_feedback.iter().any(|feedback| feedback.kind == "nack" && feedback.parameter.is_empty()),
        bandwidth,
        encodings,
        extensions: StreamExtensions {
            mid: extension(MID).unwrap_or_default(),
            rid: extension(RTP_STREAM_ID).unwrap_or_default(),
            repaired_rid: extension(REPAIRED_RTP_STREAM_ID).unwrap_or_default(),
            abs_send_time: extension(ABS_SEND_TIME).unwrap_or_default(),
        },
        read: ExtensionIds {
            mid: extension(MID),
            audio_level: extension(AUDIO_LEVEL),
            rotation: extension(VIDEO_ORIENTATION),
        },
    })
}

/// The router's payload type of each codec; none for one of RTX.
fn map_codecs(parameters: &mut RtpParameters, router: &RtpCapabilities) -> Result<Vec<Option<u8>>, RouterError> {
    let mut mapped = Vec::new();
    for codec in &mut parameters.codecs {
        if is_rtx(&codec.mime_type) {
            mapped.push(None);
            continue;
        }
        let of_router = router.codecs.iter().find(|of_router| same_codec(codec, of_router)).ok_or_else(|| {
            let (mime_type, payload_type) = (&codec.mime_type, codec.payload_type);
            RouterError::Unsupported(format!("unsupported codec [mimeType:{mime_type}, payloadType:{payload_type}]"))
        })?;
        if Codec::from_mime_type(&codec.mime_type) == Some(Codec::H264) {
            codec.parameters = match agree(&codec.parameters, &of_router.parameters) {
                Some(Settled::Id(id)) => std::mem::take(&mut codec.parameters).with_text("profile-level-id", &id),
                Some(Settled::Nothing) | None => std::mem::take(&mut codec.parameters).without("profile-level-id"),
            };
        }
        mapped.push(Some(of_router.preferred_payload_type));
    }
    for rtx in parameters.codecs.iter().filter(|codec| is_rtx(&codec.mime_type)) {
        let repaired = parameters.codecs.iter().position(|codec| Some(codec.payload_type) == rtx.parameters.apt());
        let repaired = repaired.ok_or_else(|| {
            RouterError::type_error(format!("missing media codec found for RTX PT {}", rtx.payload_type))
        })?;
        let apt = mapped[repaired].ok_or_else(|| {
            RouterError::type_error("Cannot read properties of undefined (reading 'preferredPayloadType')")
        })?;
        let has_rtx = |codec: &RtpCodecCapability| is_rtx(&codec.mime_type) && codec.parameters.apt() == Some(apt);
        if !router.codecs.iter().any(has_rtx) {
            return Err(RouterError::Unsupported(format!("no RTX codec for capability codec PT {apt}")));
        }
    }
    Ok(mapped)
}

/// What the worker looks at before it looks at encodings.
fn check_codecs(parameters: &RtpParameters) -> Result<(), RouterError> {
    if parameters.codecs.is_empty() {
        return Err(RouterError::type_error("empty codecs"));
    }
    if parameters.header_extensions.iter().any(|extension| extension.id == 0) {
        return Err(RouterError::type_error("invalid id 0"));
    }
    let mut payload_types = BTreeSet::new();
    if !parameters.codecs.iter().all(|codec| payload_types.insert(codec.payload_type)) {
        return Err(RouterError::type_error("duplicated payloadType"));
    }
    Ok(())
}

fn producer_type(
    mime_type: &str,
    encodings: usize,
    (spatial, temporal): (u8, u8),
) -> Result<ProducerType, RouterError> {
    let is = |name: &str| mime_type.eq_ignore_ascii_case(name);
    let simulcast = is("video/VP8") || is("video/H264");
    let svc = simulcast || is("video/VP9") || is("video/AV1");
    if encodings > 1 {
        let words = || format!("{} codec not supported for simulcast", canonical(mime_type));
        return if simulcast { Ok(ProducerType::Simulcast) } else { Err(RouterError::Type(words())) };
    }
    match (spatial, temporal) {
        (1, 1) => Ok(ProducerType::Simple),
        _ if svc => Ok(ProducerType::Svc),
        _ => Err(RouterError::type_error("invalid RTP parameters")),
    }
}

/// As the worker writes it.
fn canonical(mime_type: &str) -> String {
    match Codec::from_mime_type(mime_type) {
        Some(codec) => format!("{}/{}", codec.kind(), codec.name()),
        None if mime_type.eq_ignore_ascii_case("video/av1") => "video/AV1".to_owned(),
        None => mime_type.to_owned(),
    }
}

/// Spatial and temporal layers of a `scalabilityMode`. One that makes no sense is as none.
fn layers(mode: Option<&str>) -> (u8, u8) {
    let read = || {
        let (spatial, rest) = number(mode?.strip_prefix(['L', 'S'])?)?;
        let (temporal, _) = number(rest.strip_prefix('T')?)?;
        Some((spatial, temporal))
    };
    read().unwrap_or((1, 1))
}

/// One or two digits, the first of which is not 0, and what follows them.
fn number(text: &str) -> Option<(u8, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    let number = number.parse().ok().filter(|_| !number.starts_with('0'))?;
    Some((number, rest))
}

fn is_media(mime_type: &str) -> bool {
    !is_rtx(mime_type)
}

pub(super) fn is_rtx(mime_type: &str) -> bool {
    mime_type.rsplit_once('/').is_some_and(|(_, name)| name.eq_ignore_ascii_case("rtx"))
}

/// mediasoup's strict comparison.
fn same_codec(given: &RtpCodecParameters, of_router: &RtpCodecCapability) -> bool {
    let number = |parameters: &crate::v3::CodecParameters, name: &str| {
        parameters.number(name).and_then(serde_json::Number::as_f64).unwrap_or(0.0)
    };
    let same_number = |name: &str| number(&given.parameters, name) == number(&of_router.parameters, name);
    given.mime_type.eq_ignore_ascii_case(&of_router.mime_type)
        && given.clock_rate == of_router.clock_rate
        && given.channels == of_router.channels
        && match Codec::from_mime_type(&given.mime_type) {
            Some(Codec::H264) => {
                same_number("packetization-mode") && agree(&given.parameters, &of_router.parameters).is_some()
            }
            Some(Codec::Vp9) => same_number("profile-id"),
            Some(Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::Vp8 | Codec::H265) | None => true,
        }
}
