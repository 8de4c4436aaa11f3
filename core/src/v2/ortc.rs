//! Capability matching: what the room and we have in common, and the parameters that follow from it. Pure functions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::connection::engine::{Agreed, AgreedCodec};
use crate::rtp::extension::{ABS_SEND_TIME, AUDIO_LEVEL, MID, RTP_STREAM_ID, TIME_OFFSET, VIDEO_ORIENTATION};
use crate::rtp::{Codec, MediaKind};
use crate::v2::rtp::{
    RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters, RtpEncodingParameters,
    RtpHeaderExtension, RtpHeaderExtensionParameters, RtpParameters, SendCodec,
};

/// Header extensions we understand, in both kinds as far as they have a meaning there. Time offset and RTP stream id are
/// declared, as every v2 client does, and never written: simulcast layers are told apart by SSRC.
const EXTENSIONS: [&str; 6] = [AUDIO_LEVEL, TIME_OFFSET, ABS_SEND_TIME, VIDEO_ORIENTATION, MID, RTP_STREAM_ID];

/// Ids above 14 need two-byte headers (RFC 8285 section 4.3), which v2 does not write.
const MAX_EXTENSION_ID: u8 = 14;

/// A codec that the room and we share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SharedCodec {
    pub(crate) codec: Codec,
    pub(crate) capability: RtpCodecCapability,
    /// The payload type of its RTX, if the room repairs it.
    pub(crate) rtx_payload_type: Option<u8>,
}

impl SharedCodec {
    fn sending(&self) -> SendCodec {
        let rtx = self.rtx_payload_type.map(|pt| parameters(&rtx_capability(&self.capability, pt)));
        SendCodec { codec: self.codec, parameters: parameters(&self.capability), rtx }
    }
}

/// What the room and we have in common. Payload types and extension ids are the room's: ours are free to choose, and the
/// room's are known not to collide.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SharedCapabilities {
    pub(crate) codecs: Vec<SharedCodec>,
    pub(crate) header_extensions: Vec<RtpHeaderExtension>,
}

impl SharedCapabilities {
    /// Matches the room's capabilities with ours, in the room's order but for `preferences`.
    pub(crate) fn new(room: &RtpCapabilities, preferences: &[Codec]) -> Self {
        let mut codecs: Vec<_> = room.codecs.iter().filter_map(|capability| shared_codec(capability, room)).collect();
        // A payload type means one thing; a room that says otherwise is taken at its first word.
        let mut payload_types = BTreeSet::new();
        codecs.retain(|shared: &SharedCodec| {
            payload_types.insert(shared.capability.preferred_payload_type)
                && shared.rtx_payload_type.is_none_or(|payload_type| payload_types.insert(payload_type))
        });
        codecs.sort_by_key(|shared| {
            preferences.iter().position(|preferred| *preferred == shared.codec).unwrap_or(preferences.len())
        });
        // One id for an extension and one extension for an id, for both kinds: a transport has one table of them.
        let mut by_id: BTreeMap<u8, &str> = BTreeMap::new();
        let mut header_extensions: Vec<RtpHeaderExtension> = Vec::new();
        for extension in &room.header_extensions {
            let id = match by_id.iter().find(|(_, uri)| **uri == extension.uri) {
                Some((id, _)) => *id,
                None => extension.preferred_id,
            };
            let known = EXTENSIONS.contains(&extension.uri.as_str()) && (1..=MAX_EXTENSION_ID).contains(&id);
            if known && *by_id.entry(id).or_insert(&extension.uri) == extension.uri {
                header_extensions.push(RtpHeaderExtension { preferred_id: id, ..extension.clone() });
            }
        }
        codecs.shrink_to_fit();
        header_extensions.shrink_to_fit();
        Self { codecs, header_extensions }
    }

    /// What connections are made with.
    pub(crate) fn agreed(&self) -> Agreed {
        let codecs = self.codecs.iter().map(|shared| AgreedCodec {
            codec: shared.codec,
            payload_type: shared.capability.preferred_payload_type,
            rtx_payload_type: shared.rtx_payload_type,
            channels: shared.capability.channels,
        });
        // Declared, and never written: layers have no rid, and are told apart by SSRC.
        let extensions = self.header_extensions.iter().filter(|extension| extension.uri != RTP_STREAM_ID);
        Agreed {
            codecs: codecs.collect(),
            header_extensions: extensions.map(|extension| (extension.preferred_id, extension.uri.clone())).collect(),
        }
    }

    /// The room's mandatory payload types that we do not support.
    pub(crate) fn missing(&self, mandatory: &[u8]) -> Vec<u8> {
        let supported = |pt: &u8| self.codecs.iter().any(|shared| shared.capability.preferred_payload_type == *pt);
        mandatory.iter().filter(|pt| !supported(pt)).copied().collect()
    }

    pub(crate) fn can_send(&self, kind: MediaKind) -> bool {
        self.codec(kind, None).is_some()
    }

    /// The codec a producer of this kind uses: the wanted one, or the first.
    pub(crate) fn codec(&self, kind: MediaKind, wanted: Option<Codec>) -> Option<&SharedCodec> {
        self.codecs
            .iter()
            .find(|shared| shared.codec.kind() == kind && wanted.is_none_or(|codec| codec == shared.codec))
    }

    /// What producers of this kind can use, best first. Of a codec that the room has several times it is the first.
    pub(crate) fn send_codecs(&self, kind: MediaKind) -> Vec<SendCodec> {
        let mut seen = BTreeSet::new();
        let first = |shared: &&SharedCodec| shared.codec.kind() == kind && seen.insert(shared.codec);
        self.codecs.iter().filter(first).map(SharedCodec::sending).collect()
    }

    /// The `rtpCapabilities` of `join`.
    pub(crate) fn receiving(&self) -> RtpCapabilities {
        let mut codecs = Vec::new();
        for shared in &self.codecs {
            codecs.push(shared.capability.clone());
            codecs.extend(shared.rtx_payload_type.map(|payload_type| rtx_capability(&shared.capability, payload_type)));
        }
        RtpCapabilities { codecs, header_extensions: self.header_extensions.clone(), fec_mechanisms: Vec::new() }
    }

    /// The parameters a producer sends with.
    pub(crate) fn sending(
        &self,
        shared: &SharedCodec,
        mux_id: String,
        cname: String,
        encodings: Vec<RtpEncodingParameters>,
    ) -> RtpParameters {
        let kind = shared.codec.kind();
        let SendCodec { parameters, rtx, .. } = shared.sending();
        let codecs = std::iter::once(parameters).chain(rtx).collect();
        let header_extensions = self
            .header_extensions
            .iter()
            .filter(|extension| extension.kind.is_none_or(|of| of == kind))
            .map(|extension| RtpHeaderExtensionParameters { uri: extension.uri.clone(), id: extension.preferred_id })
            .collect();
        RtpParameters {
            mux_id,
            codecs,
            header_extensions,
            encodings,
            rtcp: RtcpParameters { cname, reduced_size: true, mux: true },
        }
    }
}

fn shared_codec(capability: &RtpCodecCapability, room: &RtpCapabilities) -> Option<SharedCodec> {
    let codec = Codec::from_mime_type(&capability.mime_type)?;
    let payload_type = capability.preferred_payload_type;
    if capability.kind != codec.kind() || capability.clock_rate != codec.clock_rate() || payload_type > 127 {
        return None;
    }
    // RFC 6184 section 6.2: mode 0 has no fragmentation, and a frame would not fit.
    let mode = capability.parameters.get("packetization-mode").and_then(Value::as_u64).unwrap_or(0);
    if codec == Codec::H264 && mode != 1 {
        return None;
    }
    let rtx_payload_type = room
        .codecs
        .iter()
        .find(|rtx| {
            rtx.name.eq_ignore_ascii_case("rtx")
                && rtx.preferred_payload_type <= 127
                && rtx.parameters.get("apt").and_then(Value::as_u64) == Some(payload_type.into())
        })
        .map(|rtx| rtx.preferred_payload_type);
    let mut capability = capability.clone();
    let offered = capability.rtcp_feedback.take().unwrap_or_default();
    let feedback = supported_feedback(codec).into_iter().filter(|ours| offered.contains(ours)).collect();
    capability.rtcp_feedback = Some(feedback);
    Some(SharedCodec { codec, capability, rtx_payload_type })
}

fn supported_feedback(codec: Codec) -> Vec<RtcpFeedback> {
    match codec.kind() {
        MediaKind::Audio => Vec::new(),
        MediaKind::Video => vec![
            RtcpFeedback::new("goog-remb", None),
            RtcpFeedback::new("ccm", Some("fir")),
            RtcpFeedback::new("nack", None),
            RtcpFeedback::new("nack", Some("pli")),
        ],
    }
}

fn rtx_capability(repaired: &RtpCodecCapability, payload_type: u8) -> RtpCodecCapability {
    let mut parameters = Map::new();
    parameters.insert("apt".to_owned(), repaired.preferred_payload_type.into());
    RtpCodecCapability {
        name: "rtx".to_owned(),
        mime_type: format!("{}/rtx", repaired.kind),
        kind: repaired.kind,
        clock_rate: repaired.clock_rate,
        preferred_payload_type: payload_type,
        channels: None,
        rtcp_feedback: None,
        parameters,
    }
}

fn parameters(capability: &RtpCodecCapability) -> RtpCodecParameters {
    RtpCodecParameters {
        name: capability.name.clone(),
        mime_type: capability.mime_type.clone(),
        clock_rate: capability.clock_rate,
        payload_type: capability.preferred_payload_type,
        channels: capability.channels,
        rtcp_feedback: capability.rtcp_feedback.clone(),
        parameters: capability.parameters.clone(),
    }
}
