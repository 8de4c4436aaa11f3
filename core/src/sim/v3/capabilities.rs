//! What a router can route, with the numbers that mediasoup gives.

use super::config::{MediaCodec, RouterConfig};
use crate::rtp::MediaKind;
use crate::rtp::extension::{ABS_SEND_TIME, AUDIO_LEVEL, MID, RTP_STREAM_ID, TIME_OFFSET, VIDEO_ORIENTATION};
use crate::v3::{CodecParameters, Direction, RtcpFeedback, RtpCapabilities, RtpCodecCapability, RtpHeaderExtension};

pub(super) const REPAIRED_RTP_STREAM_ID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
pub(super) const TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const DEPENDENCY_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
const ABS_CAPTURE_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time";
const PLAYOUT_DELAY: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
const PACKET_ID: &str = "urn:mediasoup:params:rtp-hdrext:packet-id";

/// mediasoup's order of dynamic payload types (RFC 3551 section 6).
const DYNAMIC: [std::ops::RangeInclusive<u8>; 2] = [100..=127, 96..=99];

/// Codecs for which there is no number left are left out.
pub(super) fn of(config: &RouterConfig) -> RtpCapabilities {
    if let Some(capabilities) = &config.rtp_capabilities {
        return capabilities.clone();
    }
    let mut taken: Vec<u8> = config.codecs.iter().filter_map(|codec| codec.preferred_payload_type).collect();
    let mut next = || {
        let free = DYNAMIC.into_iter().flatten().find(|payload_type| !taken.contains(payload_type))?;
        taken.push(free);
        Some(free)
    };
    let mut codecs = Vec::new();
    for codec in &config.codecs {
        let Some(payload_type) = codec.preferred_payload_type.or_else(&mut next) else { continue };
        codecs.push(capability(codec, payload_type, config.transport_cc));
        if codec.kind() == MediaKind::Video
            && let Some(of_rtx) = next()
        {
            codecs.push(rtx(payload_type, of_rtx));
        }
    }
    let mut header_extensions = header_extensions();
    header_extensions.retain(|extension| config.transport_cc || extension.uri != TRANSPORT_CC);
    RtpCapabilities { codecs, header_extensions }
}

fn capability(codec: &MediaCodec, preferred_payload_type: u8, transport_cc: bool) -> RtpCodecCapability {
    let kind = codec.kind();
    let feedback: &[(&str, &str)] = match kind {
        MediaKind::Audio if codec.mime_type == "audio/opus" => &[("nack", "")],
        MediaKind::Audio => &[],
        MediaKind::Video => &[("nack", ""), ("nack", "pli"), ("ccm", "fir"), ("goog-remb", "")],
    };
    let transport_cc = transport_cc.then_some(&("transport-cc", ""));
    let feedback = feedback.iter().chain(transport_cc).map(|(kind, parameter)| RtcpFeedback::new(kind, parameter));
    RtpCodecCapability {
        kind,
        mime_type: codec.mime_type.clone(),
        preferred_payload_type,
        clock_rate: codec.clock_rate,
        channels: codec.channels,
        parameters: codec.parameters.clone(),
        rtcp_feedback: feedback.collect(),
    }
}

fn rtx(repaired: u8, preferred_payload_type: u8) -> RtpCodecCapability {
    RtpCodecCapability {
        kind: MediaKind::Video,
        mime_type: "video/rtx".to_owned(),
        preferred_payload_type,
        clock_rate: 90_000,
        channels: None,
        parameters: CodecParameters::default().with_number("apt", repaired.into()),
        rtcp_feedback: Vec::new(),
    }
}

fn header_extensions() -> Vec<RtpHeaderExtension> {
    use Direction::{RecvOnly, SendRecv};
    use MediaKind::{Audio, Video};
    [
        (Audio, MID, 1, SendRecv),
        (Video, MID, 1, SendRecv),
        (Video, RTP_STREAM_ID, 2, RecvOnly),
        (Video, REPAIRED_RTP_STREAM_ID, 3, RecvOnly),
        (Audio, ABS_SEND_TIME, 4, SendRecv),
        (Video, ABS_SEND_TIME, 4, SendRecv),
        (Audio, TRANSPORT_CC, 5, RecvOnly),
        (Video, TRANSPORT_CC, 5, SendRecv),
        (Audio, AUDIO_LEVEL, 6, SendRecv),
        (Video, DEPENDENCY_DESCRIPTOR, 7, RecvOnly),
        (Video, VIDEO_ORIENTATION, 8, SendRecv),
        (Video, TIME_OFFSET, 9, SendRecv),
        (Audio, ABS_CAPTURE_TIME, 10, SendRecv),
        (Video, ABS_CAPTURE_TIME, 10, SendRecv),
        (Audio, PLAYOUT_DELAY, 11, SendRecv),
        (Video, PLAYOUT_DELAY, 11, SendRecv),
        (Audio, PACKET_ID, 12, SendRecv),
        (Video, PACKET_ID, 12, SendRecv),
    ]
    .into_iter()
    .map(|(kind, uri, preferred_id, direction)| RtpHeaderExtension {
        kind,
        uri: uri.to_owned(),
        preferred_id,
        preferred_encrypt: false,
        direction,
    })
    .collect()
}
