//! The answer to a browser's offer: codecs, and the media engine that sends them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mediasoup_producer::{Codec, MediaKind};
use str0m::change::SdpOffer;
use str0m::format::Codec as RtcCodec;
use str0m::media::{MediaKind as RtcKind, Mid, Pt};
use str0m::{Candidate, Rtc, RtcConfig};

/// How long sent packets are kept for retransmission, and how many: 3 s of a stream of 300 packets a second.
const RTX_CACHE_AGE: Duration = Duration::from_secs(3);
const RTX_CACHE_PACKETS: usize = 1024;
/// The most of the bitrate that retransmissions may take.
const RTX_RATIO_CAP: f32 = 0.5;

/// Why an offer is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfferError {
    /// It cannot be read, or asks for the impossible.
    #[error("the offer is not understood: {0}")]
    Sdp(String),
    /// Nothing in it wants to receive.
    #[error("the offer asks for neither audio nor video to receive in a codec that there is")]
    NothingToSend,
    /// Our own address is unusable.
    #[error("the address {0} cannot be offered to the browser")]
    Address(SocketAddr),
}

/// A viewer's side of the connection, and what it may send there.
pub(crate) struct Answered {
    pub(crate) rtc: Rtc,
    pub(crate) sdp: String,
    pub(crate) lines: BTreeMap<MediaKind, Line>,
}

/// A media section of the session description.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) mid: Mid,
    /// For each codec that the browser takes.
    pub(crate) payload_types: BTreeMap<Codec, Pt>,
}

/// Answers `offer`; media is to come from and go to `address`.
pub(crate) fn answer(now: Instant, address: SocketAddr, offer: &str) -> Result<Answered, OfferError> {
    let sdp = |error: &dyn std::fmt::Display| OfferError::Sdp(error.to_string());
    // The browser calls us, so its own addresses are not needed; those hidden behind mDNS names could not be read.
    let offer: String = offer.split_inclusive('\n').filter(|line| !line.starts_with("a=candidate:")).collect();
    let offer = SdpOffer::from_sdp_string(&offer).map_err(|error| sdp(&error))?;
    let mut rtc = config().build(now);
    let candidate = Candidate::host(address, "udp").map_err(|_| OfferError::Address(address))?;
    rtc.add_local_candidate(candidate).ok_or(OfferError::Address(address))?;
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|error| sdp(&error))?;
    let answer = answer.to_sdp_string();
    let lines = lines(&mut rtc, &answer);
    if lines.is_empty() {
        return Err(OfferError::NothingToSend);
    }
    Ok(Answered { rtc, sdp: answer, lines })
}

/// Every codec that can be in a room. Payload types are the browser's in the end.
fn config() -> RtcConfig {
    let mut config = Rtc::builder().set_rtp_mode(true).set_ice_lite(true).clear_codecs();
    let codecs = config.codec_config();
    codecs.enable_opus(true, false);
    codecs.enable_pcmu(true, false);
    codecs.enable_pcma(true, false);
    codecs.enable_vp8(true);
    codecs.enable_vp9(true);
    codecs.enable_h264(true);
    codecs.enable_h265(true);
    config
}

/// The first section of each kind that we may send in.
fn lines(rtc: &mut Rtc, answer: &str) -> BTreeMap<MediaKind, Line> {
    let mut lines = BTreeMap::new();
    for mid in answer.lines().filter_map(|line| line.strip_prefix("a=mid:")) {
        let mid = Mid::from(mid);
        let Some(media) = rtc.media(mid).filter(|media| media.direction().is_sending()) else { continue };
        let kind = match media.kind() {
            RtcKind::Audio => MediaKind::Audio,
            RtcKind::Video => MediaKind::Video,
        };
        let line = Line { mid, payload_types: payload_types(rtc, mid) };
        if !line.payload_types.is_empty() {
            lines.entry(kind).or_insert(line);
        }
    }
    for line in lines.values() {
        if let Some(stream) = rtc.direct_api().stream_tx_by_mid(line.mid, None) {
            stream.set_rtx_cache(RTX_CACHE_PACKETS, RTX_CACHE_AGE, Some(RTX_RATIO_CAP));
        }
    }
    lines
}

fn payload_types(rtc: &Rtc, mid: Mid) -> BTreeMap<Codec, Pt> {
    let Some(media) = rtc.media(mid) else { return BTreeMap::new() };
    let mut payload_types = BTreeMap::new();
    for params in rtc.codec_config().params() {
        // Packetization mode 0 takes no fragments (RFC 6184 section 6.2).
        let whole_units_only =
            params.spec().codec == RtcCodec::H264 && params.spec().format.packetization_mode != Some(1);
        let Some(codec) = codec(params.spec().codec).filter(|_| !whole_units_only) else { continue };
        if media.remote_pts().contains(&params.pt()) {
            payload_types.entry(codec).or_insert(params.pt());
        }
    }
    payload_types
}

fn codec(codec: RtcCodec) -> Option<Codec> {
    Some(match codec {
        RtcCodec::Opus => Codec::Opus,
        RtcCodec::PCMU => Codec::Pcmu,
        RtcCodec::PCMA => Codec::Pcma,
        RtcCodec::Vp8 => Codec::Vp8,
        RtcCodec::Vp9 => Codec::Vp9,
        RtcCodec::H264 => Codec::H264,
        RtcCodec::H265 => Codec::H265,
        _ => return None,
    })
}
