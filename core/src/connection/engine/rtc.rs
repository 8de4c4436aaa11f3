//! The real engine, over str0m in RTP mode.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::bwe::BweKind;
use str0m::config::{DtlsCert, Fingerprint};
use str0m::format::{Codec as RtcCodec, FormatParams};
use str0m::media::{Frequency, MediaKind as RtcKind, Mid, Rid};
use str0m::net::TcpType;
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RtpWrite, StreamTx, VideoOrientation};
use str0m::stats::MediaEgressStats;
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Rtc};

use super::checks::{Checks, Path};
use super::{
    Agreed, Encoding, Engine, EngineEvent, EngineFactory, EngineOutput, OutgoingPacket, SelectedPath, StreamFeedback,
};
use crate::connection::engine::crypto::{self, Certificate, DtlsBackend};
use crate::connection::engine::endpoint::{
    Endpoint, EndpointOutput, Kind, Received, Refused, local_candidate, rtp_ssrc,
};
use crate::error::SetupError;
use crate::media::Rotation;
use crate::net::Receive;
use crate::net::Transmit;
use crate::net::{DtlsFingerprint, DtlsRole, IceCandidate, IceParameters, IceProtocol, RemoteTransport};
use crate::rtp::extension::{
    ABS_SEND_TIME, AUDIO_LEVEL, MID, REPAIRED_RTP_STREAM_ID, RTP_STREAM_ID, VIDEO_ORIENTATION,
};
use crate::rtp::{Codec, MediaKind};

/// What the transports of a room share.
#[derive(Debug)]
pub(crate) struct Identity {
    dtls: DtlsBackend,
    repair: Repair,
    certificate: Option<Certificate>,
}

/// How much of what was sent is kept for retransmission, of each stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repair {
    /// So old: what a stream takes is its bitrate times this.
    pub(crate) time: Duration,
    /// So many packets at most, however high the bitrate.
    pub(crate) packets: usize,
}

impl Repair {
    /// Whatever was kept is forgotten.
    fn begin(self, stream: &mut StreamTx) {
        stream.set_rtx_cache(self.packets, self.time, Some(RTX_RATIO_CAP));
    }
}

impl Identity {
    /// Without a certificate it makes one when it is needed.
    pub(crate) const fn new(dtls: DtlsBackend, repair: Repair, certificate: Option<Certificate>) -> Self {
        Self { dtls, repair, certificate }
    }
}

impl EngineFactory for Identity {
    fn engine(&mut self, now: Instant, agreed: &Agreed) -> Result<Box<dyn Engine>, SetupError> {
        let certificate = match &self.certificate {
            Some(certificate) => certificate.to_dtls(),
            None => self.certificate.insert(Certificate::generate()?).to_dtls(),
        };
        Ok(Box::new(RtcEngine::new(now, self, certificate, agreed)))
    }
}

/// Retransmissions may be up to this share of what is sent: beyond it NACKs would make congestion worse.
const RTX_RATIO_CAP: f32 = 0.5;
/// A pair of addresses is checked this often; one that does not answer, more often (RFC 7675 section 5.1 wants 5 s at most).
const CHECK_EVERY: Duration = Duration::from_millis(1500);
/// After so many checks without an answer, in 7.5 s with str0m's first step of 250 ms, a pair is given up for another, or the
/// path is lost: about when browsers say `disconnected`. str0m's own nine of up to 3 s are 21 s without a picture.
const CHECKS_UNANSWERED: usize = 6;
/// While the path is lost, all paths are tried from the beginning this often. A round of checks takes longer: at its end str0m
/// would say again that the path is lost, and try no more.
const RETRY_PATH: Duration = Duration::from_secs(5);

pub(crate) struct RtcEngine {
    endpoint: Endpoint,
    dtls: DtlsBackend,
    repair: Repair,
    fingerprint: DtlsFingerprint,
    local_candidates: Vec<Candidate>,
    remote_candidates: Vec<Candidate>,
    remote_credentials: Option<IceCreds>,
    checks: Checks,
    /// Where the last datagram that is no check went.
    path: Option<Path>,
    /// By MID.
    streams: Vec<(Mid, Vec<Stream>)>,
    /// Retransmissions by the SSRC that carries them.
    resent: BTreeMap<u32, u64>,
    outputs: VecDeque<EngineOutput>,
    /// DTLS was up at least once.
    secured: bool,
    ice_up: bool,
    /// DTLS is to begin as soon as there is a path (RFC 5763 section 5).
    dtls_pending: Option<DtlsRole>,
    retry_path_at: Option<Instant>,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    rtx: Option<u32>,
    rid: Option<Rid>,
    /// Packets sent, as the statistics have it.
    packets: u64,
    /// When they were found to be more than before; none when nothing is kept of them.
    sent_at: Option<Instant>,
}

impl std::fmt::Debug for RtcEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtcEngine")
            .field("streams", &self.streams)
            .field("timeout", &self.poll_timeout())
            .finish_non_exhaustive()
    }
}

impl RtcEngine {
    fn new(now: Instant, of: &Identity, certificate: DtlsCert, agreed: &Agreed) -> Self {
        let Identity { dtls, repair, .. } = *of;
        let mut config = Rtc::builder()
            .set_dtls_cert(certificate)
            .clear_codecs()
            .set_extension_map(extension_map(agreed))
            .set_rtp_mode(true)
            .set_stats_interval(Some(Duration::from_secs(1)));
        config.set_max_stun_rto(CHECK_EVERY);
        config.set_max_stun_retransmits(CHECKS_UNANSWERED);
        for agreed in &agreed.codecs {
            config.codec_config().add_config(
                agreed.payload_type.into(),
                agreed.rtx_payload_type.map(Into::into),
                rtc_codec(agreed.codec),
                frequency(agreed.codec),
                agreed.channels,
                FormatParams::default(),
            );
        }
        let mut endpoint = Endpoint::new(now, config, dtls, false);
        let (algorithm, value) = {
            let text = endpoint.api().local_dtls_fingerprint().to_string();
            text.split_once(' ').map(|(a, v)| (a.to_owned(), v.to_owned())).unwrap_or_default()
        };
        Self {
            endpoint,
            dtls,
            repair,
            fingerprint: DtlsFingerprint { algorithm, value },
            local_candidates: Vec::new(),
            remote_candidates: Vec::new(),
            remote_credentials: None,
            checks: Checks::default(),
            path: None,
            streams: Vec::new(),
            resent: BTreeMap::new(),
            outputs: VecDeque::new(),
            secured: false,
            ice_up: false,
            dtls_pending: None,
            retry_path_at: None,
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output(now) {
            match output {
                EndpointOutput::Transmit(transmit) => self.transmit(now, transmit),
                EndpointOutput::Event(event) => self.event(now, event),
                EndpointOutput::Failed(failure) => {
                    self.retry_path_at = None;
                    self.outputs.push_back(EngineOutput::Event(EngineEvent::Failed(failure)));
                }
            }
        }
    }

    /// Retransmissions are told by their SSRC.
    fn transmit(&mut self, now: Instant, transmit: Transmit) {
        if Kind::of(&transmit.contents) == Kind::Stun {
            self.checks.sent(now, &transmit);
        } else {
            self.path = Some((transmit.protocol, transmit.source, transmit.destination));
        }
        if let Some(resent) = rtp_ssrc(&transmit.contents).and_then(|ssrc| self.resent.get_mut(&ssrc)) {
            *resent += 1;
        }
        self.outputs.push_back(EngineOutput::Transmit(transmit));
    }

    fn event(&mut self, now: Instant, event: Event) {
        let event = match event {
            Event::Connected => {
                self.secured = true;
                self.ice_up = true;
                self.retry_path_at = None;
                EngineEvent::Connected
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.ice_up = false;
                self.retry_path_at = Some(now + RETRY_PATH);
                EngineEvent::Disconnected
            }
            Event::IceConnectionStateChange(IceConnectionState::Connected | IceConnectionState::Completed) => {
                let back = self.secured && !self.ice_up;
                self.ice_up = true;
                self.retry_path_at = None;
                if let Some(role) = self.dtls_pending.take() {
                    self.endpoint.start_dtls(role);
                }
                if !back {
                    return;
                }
                EngineEvent::Connected
            }
            Event::KeyframeRequest(request) => match self.stream(request.mid, request.rid) {
                Some(stream) => EngineEvent::KeyFrameRequest { ssrc: stream.ssrc },
                None => return,
            },
            Event::EgressBitrateEstimate(BweKind::Remb { estimate, .. }) => {
                EngineEvent::BitrateLimit { bitrate_bps: estimate.as_u64() }
            }
            Event::MediaEgressStats(stats) => {
                self.forget_old(now, &stats);
                match self.feedback(&stats) {
                    Some(event) => event,
                    None => return,
                }
            }
            Event::Closed => EngineEvent::Closed,
            _ => return,
        };
        self.outputs.push_back(EngineOutput::Event(event));
    }

    fn stream(&self, mid: Mid, rid: Option<Rid>) -> Option<&Stream> {
        let (_, streams) = self.streams.iter().find(|(of, _)| *of == mid)?;
        streams.iter().find(|stream| stream.rid == rid)
    }

    /// str0m forgets what is too old with the next packet of the stream. Of one that falls silent it would keep the last ones.
    fn forget_old(&mut self, now: Instant, stats: &MediaEgressStats) {
        let streams = self.streams.iter_mut().filter(|(mid, _)| *mid == stats.mid).flat_map(|(_, streams)| streams);
        let Some(stream) = { streams }.find(|stream| stream.rid == stats.rid) else { return };
        if stream.packets != stats.packets {
            (stream.packets, stream.sent_at) = (stats.packets, Some(now));
        } else if stream.sent_at.is_some_and(|at| now.saturating_duration_since(at) > self.repair.time) {
            stream.sent_at = None;
            if let Some(stream) = self.endpoint.api().stream_tx(&stream.ssrc.into()) {
                self.repair.begin(stream);
            }
        }
    }

    fn feedback(&self, stats: &MediaEgressStats) -> Option<EngineEvent> {
        let stream = self.stream(stats.mid, stats.rid)?;
        let feedback = StreamFeedback {
            nack_count: stats.nacks,
            pli_count: stats.plis,
            fir_count: stats.firs,
            packets_lost: stats.remote.as_ref().map(|remote| remote.packets_lost),
            round_trip_time: stats.rtt,
        };
        Some(EngineEvent::StreamFeedback { ssrc: stream.ssrc, feedback })
    }

    fn set_remote_credentials(&mut self, parameters: &IceParameters) {
        let IceParameters { username_fragment, password, .. } = parameters;
        let credentials = IceCreds { ufrag: username_fragment.clone(), pass: password.clone() };
        self.endpoint.api().set_remote_ice_credentials(credentials.clone());
        self.remote_credentials = Some(credentials);
    }

    fn try_paths(&mut self) {
        for candidate in self.remote_candidates.clone() {
            self.endpoint.rtc().add_remote_candidate(candidate);
        }
    }

    /// The same when all paths are lost. str0m keeps a remote candidate for each time that one is added, but a local one
    /// that was withdrawn comes back to its place.
    fn try_paths_again(&mut self) {
        for candidate in &self.local_candidates {
            self.endpoint.api().invalidate_candidate(candidate);
        }
        for candidate in self.local_candidates.clone() {
            self.endpoint.rtc().add_local_candidate(candidate);
        }
    }
}

impl Engine for RtcEngine {
    fn fingerprint(&self) -> DtlsFingerprint {
        self.fingerprint.clone()
    }

    fn connect(&mut self, now: Instant, remote: &RemoteTransport, role: DtlsRole) -> Result<(), SetupError> {
        let fingerprint = remote
            .dtls_parameters
            .fingerprints
            .iter()
            .find(|fingerprint| fingerprint.algorithm.eq_ignore_ascii_case("sha-256"))
            .ok_or(SetupError::NoFingerprint)?;
        let fingerprint = parse_fingerprint(fingerprint).ok_or(SetupError::BadFingerprint)?;
        self.remote_candidates = remote.ice_candidates.iter().filter_map(remote_candidate).collect();
        self.remote_candidates.shrink_to_fit();
        if self.remote_candidates.is_empty() {
            return Err(SetupError::NoAddress);
        }
        let mut api = self.endpoint.api();
        // RFC 8445 section 6.1.1: against a lite agent the full one controls.
        api.set_ice_controlling(true);
        api.set_remote_fingerprint(fingerprint);
        self.set_remote_credentials(&remote.ice_parameters);
        // Without a path its handshake timer would run out before the handshake can begin.
        self.dtls_pending = Some(role);
        self.try_paths();
        self.flush(now);
        Ok(())
    }

    fn restart_ice(&mut self, now: Instant, parameters: &IceParameters) {
        self.set_remote_credentials(parameters);
        if self.ice_up {
            self.try_paths();
        } else {
            self.try_paths_again();
        }
        self.flush(now);
    }

    fn add_local_address(&mut self, now: Instant, protocol: IceProtocol, address: SocketAddr) -> bool {
        let Some(candidate) = local_candidate(protocol, address, TcpType::Active) else { return false };
        let added = self.endpoint.rtc().add_local_candidate(candidate.clone()).is_some();
        if added && !self.local_candidates.contains(&candidate) {
            self.local_candidates.reserve_exact(1);
            self.local_candidates.push(candidate);
        }
        self.flush(now);
        added
    }

    fn remove_local_address(&mut self, now: Instant, protocol: IceProtocol, address: SocketAddr) {
        if let Some(candidate) = local_candidate(protocol, address, TcpType::Active) {
            self.endpoint.api().invalidate_candidate(&candidate);
            self.local_candidates.retain(|of_ours| *of_ours != candidate);
            self.flush(now);
        }
    }

    fn add_streams(&mut self, mux_id: &str, kind: MediaKind, encodings: &[Encoding]) -> String {
        let mid = Mid::from(mux_id);
        let mut api = self.endpoint.api();
        api.declare_media(
            mid,
            match kind {
                MediaKind::Audio => RtcKind::Audio,
                MediaKind::Video => RtcKind::Video,
            },
        );
        let mut streams = Vec::with_capacity(encodings.len());
        for (layer, encoding) in encodings.iter().enumerate() {
            // str0m keys streams by (mid, rid): each layer without one gets a rid for its eyes only, and the extension is not
            // to be agreed on then.
            let several = || (encodings.len() > 1).then(|| layer.to_string());
            let rid = encoding.rid.clone().or_else(several).map(|rid| Rid::from(rid.as_str()));
            let rtx = encoding.rtx_ssrc;
            let stream = api.declare_stream_tx(encoding.ssrc.into(), rtx.map(Into::into), mid, rid);
            self.repair.begin(stream);
            streams.push(Stream { ssrc: encoding.ssrc, rtx, rid, packets: 0, sent_at: None });
            self.resent.extend(rtx.map(|rtx| (rtx, 0)));
        }
        self.streams.push((mid, streams));
        self.endpoint.rtc().media(mid).map(|media| media.cname().to_owned()).unwrap_or_default()
    }

    fn remove_streams(&mut self, mux_id: &str) {
        let mid = Mid::from(mux_id);
        for (_, streams) in self.streams.extract_if(.., |(of, _)| *of == mid) {
            let mut api = self.endpoint.api();
            for stream in streams {
                api.remove_stream_tx(stream.ssrc.into());
                if let Some(rtx) = stream.rtx {
                    self.resent.remove(&rtx);
                }
            }
            api.remove_media(mid);
        }
    }

    fn write(&mut self, packet: OutgoingPacket) {
        let OutgoingPacket { payload_type, sequence_number, timestamp, taken_at, payload, .. } = packet;
        let mut rtp = RtpWrite::new(payload_type.into(), sequence_number.into(), timestamp, taken_at, payload)
            .marker(packet.marker)
            .nackable(true);
        if packet.audio_level.is_some() || packet.rotation.is_some() {
            let level = packet.audio_level;
            rtp = rtp.ext_vals(ExtensionValues {
                video_orientation: packet.rotation.map(video_orientation),
                audio_level: level.map(|level| -(level.minus_dbov() as i8)),
                voice_activity: level.map(|level| level.voice()),
                ..ExtensionValues::default()
            });
        }
        if let Some(stream) = self.endpoint.api().stream_tx(&packet.ssrc.into()) {
            stream.write_rtp(rtp);
        }
    }

    fn flush(&mut self, now: Instant) {
        if self.retry_path_at.is_some_and(|at| at <= now) {
            self.retry_path_at = Some(now + RETRY_PATH);
            self.try_paths_again();
        }
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    fn handle_receive(&mut self, now: Instant, receive: &Receive) -> Received {
        if Kind::of(&receive.contents) == Kind::Stun {
            let hmac = crypto::provider(self.dtls).sha1_hmac_provider;
            let Some(contents) = self.checks.answer(now, receive, self.remote_credentials.as_ref(), hmac) else {
                return Received::Refused(Refused::Stun);
            };
            self.endpoint.handle_receive(now, &Receive { contents, ..*receive })
        } else {
            self.endpoint.handle_receive(now, receive)
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.endpoint.poll_timeout(), self.retry_path_at].into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<EngineOutput> {
        self.outputs.pop_front()
    }

    fn packets_resent(&self, ssrc: u32) -> u64 {
        let stream = self.streams.iter().flat_map(|(_, streams)| streams).find(|stream| stream.ssrc == ssrc);
        stream.and_then(|stream| self.resent.get(&stream.rtx?)).copied().unwrap_or(0)
    }

    fn selected_path(&self) -> Option<SelectedPath> {
        let path @ (protocol, local, remote) = self.path?;
        Some(SelectedPath { protocol, local, remote, round_trip_time: self.checks.round_trip_time(path) })
    }

    fn close(&mut self, now: Instant) {
        self.retry_path_at = None;
        if !self.endpoint.close() {
            return;
        }
        // What is to be said is said at once: nobody will call again.
        self.drain(now);
        self.outputs.retain(|output| matches!(output, EngineOutput::Transmit(_)));
        // str0m ends DTLS first, and RTCP that comes after is no use: the keys are gone with the session.
        self.outputs.make_contiguous().sort_by_key(|output| match output {
            EngineOutput::Transmit(transmit) => Kind::of(&transmit.contents) == Kind::Dtls,
            EngineOutput::Event(_) => false,
        });
    }
}

fn extension_map(agreed: &Agreed) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    for (id, uri) in &agreed.header_extensions {
        let known = match uri.as_str() {
            AUDIO_LEVEL => Extension::AudioLevel,
            ABS_SEND_TIME => Extension::AbsoluteSendTime,
            VIDEO_ORIENTATION => Extension::VideoOrientation,
            MID => Extension::RtpMid,
            RTP_STREAM_ID => Extension::RtpStreamId,
            REPAIRED_RTP_STREAM_ID => Extension::RepairedRtpStreamId,
            _ => continue,
        };
        map.set(*id, known);
    }
    map
}

const fn rtc_codec(codec: Codec) -> RtcCodec {
    match codec {
        Codec::Opus => RtcCodec::Opus,
        Codec::Pcmu => RtcCodec::PCMU,
        Codec::Pcma => RtcCodec::PCMA,
        Codec::Vp8 => RtcCodec::Vp8,
        Codec::Vp9 => RtcCodec::Vp9,
        Codec::H264 => RtcCodec::H264,
        Codec::H265 => RtcCodec::H265,
    }
}

const fn frequency(codec: Codec) -> Frequency {
    match codec {
        Codec::Opus => Frequency::FORTY_EIGHT_KHZ,
        Codec::Pcmu | Codec::Pcma => Frequency::EIGHT_KHZ,
        Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 => Frequency::NINETY_KHZ,
    }
}

/// On the wire 1 is a quarter turn clockwise to be upright (3GPP TS 26.114 section 7.4.5). str0m names the same value
/// after the way the camera was turned.
const fn video_orientation(rotation: Rotation) -> VideoOrientation {
    match rotation {
        Rotation::Deg0 => VideoOrientation::Deg0,
        Rotation::Deg90 => VideoOrientation::Deg270,
        Rotation::Deg180 => VideoOrientation::Deg180,
        Rotation::Deg270 => VideoOrientation::Deg90,
    }
}

fn parse_fingerprint(fingerprint: &DtlsFingerprint) -> Option<Fingerprint> {
    format!("{} {}", fingerprint.algorithm.to_ascii_lowercase(), fingerprint.value).parse().ok()
}

/// By way of SDP, the one constructor that keeps the server's own priority, with which it prefers UDP or IPv4.
fn remote_candidate(candidate: &IceCandidate) -> Option<Candidate> {
    let protocol = match candidate.protocol {
        IceProtocol::Udp => "udp",
        IceProtocol::Tcp => "tcp",
    };
    let tcp_type = match candidate.protocol {
        IceProtocol::Udp => "",
        IceProtocol::Tcp => " tcptype passive",
    };
    let foundation: String = candidate.foundation.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
    let foundation = if foundation.is_empty() { "1" } else { &foundation };
    let IceCandidate { ip, port, priority, .. } = candidate;
    Candidate::from_sdp_string(&format!(
        "candidate:{foundation} 1 {protocol} {priority} {ip} {port} typ host{tcp_type}"
    ))
    .ok()
}
