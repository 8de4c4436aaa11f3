//! The real engine, over str0m in RTP mode.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::bwe::BweKind;
use str0m::config::{DtlsCert, Fingerprint};
use str0m::format::{Codec as RtcCodec, FormatParams};
use str0m::media::{Frequency, MediaKind as RtcKind, Mid, Rid};
use str0m::net::{Protocol, Receive as RtcReceive, TcpType};
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RtpWrite, VideoOrientation};
use str0m::stats::MediaEgressStats;
use str0m::{Candidate, Event, IceConnectionState, IceCreds, Input, Output, Rtc};

use super::checks::Checks;
use super::{
    Engine, EngineEvent, EngineFactory, EngineOutput, Kind, OutgoingPacket, Received, Refused, StreamFeedback,
};
use crate::crypto::{self, DtlsBackend, DtlsFailure, DtlsWatch, RtcpGuard};
use crate::input::Receive;
use crate::media::Rotation;
use crate::ortc::{ABS_SEND_TIME, AUDIO_LEVEL, MID, SharedCapabilities, VIDEO_ORIENTATION};
use crate::output::Transmit;
use crate::protocol::{DtlsFingerprint, DtlsRole, IceCandidate, IceParameters, IceProtocol, RemoteTransport};
use crate::rtp::{Codec, MediaKind, RtpEncodingParameters};

/// A certificate, shared by the transports of a room: making one takes most of the time
/// of making an engine.
#[derive(Debug)]
pub(crate) struct Identity {
    dtls: DtlsBackend,
    repair_packets: usize,
    certificate: Option<DtlsCert>,
}

impl Identity {
    pub(crate) const fn new(dtls: DtlsBackend, repair_packets: usize) -> Self {
        Self { dtls, repair_packets, certificate: None }
    }
}

impl EngineFactory for Identity {
    fn engine(&mut self, now: Instant, capabilities: &SharedCapabilities) -> Result<Box<dyn Engine>, String> {
        if self.certificate.is_none() {
            self.certificate = crypto::provider(self.dtls).dtls_provider.generate_certificate();
        }
        let certificate = self.certificate.clone().ok_or("no DTLS certificate could be made")?;
        Ok(Box::new(RtcEngine::new(now, self, certificate, capabilities)))
    }
}

/// How long sent packets are kept for retransmission.
const RTX_CACHE_AGE: Duration = Duration::from_secs(3);
/// Retransmissions may be up to this share of what is sent: beyond it NACKs would make congestion worse.
const RTX_RATIO_CAP: f32 = 0.5;
/// str0m may answer a timeout with another one for the same moment. We let time move on instead of spinning.
const MIN_TICK: Duration = Duration::from_millis(1);
/// str0m's "not happening" is years away.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// While the path is lost, all paths are tried from the beginning this often; str0m gives up after one round. Within a round
/// it sends a check every three seconds at least.
const RETRY_PATH: Duration = Duration::from_secs(10);

pub(crate) struct RtcEngine {
    rtc: Rtc,
    dtls: DtlsBackend,
    /// How many packets of each stream are kept for retransmission.
    repair_packets: usize,
    /// Knows why DTLS failed.
    watch: DtlsWatch,
    fingerprint: DtlsFingerprint,
    local_candidates: Vec<Candidate>,
    remote_candidates: Vec<Candidate>,
    remote_credentials: Option<IceCreds>,
    checks: Checks,
    rtcp: RtcpGuard,
    streams: BTreeMap<String, Vec<Stream>>,
    outputs: VecDeque<EngineOutput>,
    timeout: Option<Instant>,
    /// DTLS was up at least once.
    secured: bool,
    ice_up: bool,
    /// Our side of DTLS.
    role: DtlsRole,
    /// DTLS is to begin as soon as there is a path (RFC 5763 section 5).
    dtls_pending: Option<DtlsRole>,
    retry_path_at: Option<Instant>,
    done: bool,
}

#[derive(Debug)]
struct Stream {
    ssrc: u32,
    rtx: Option<u32>,
    rid: Option<Rid>,
    packets_resent: u64,
}

impl std::fmt::Debug for RtcEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtcEngine")
            .field("streams", &self.streams)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl RtcEngine {
    fn new(now: Instant, of: &Identity, certificate: DtlsCert, capabilities: &SharedCapabilities) -> Self {
        let Identity { dtls, repair_packets, .. } = *of;
        let mut config = Rtc::builder()
            .set_dtls_cert(certificate)
            .clear_codecs()
            .set_extension_map(extension_map(capabilities))
            .set_rtp_mode(true)
            .set_stats_interval(Some(Duration::from_secs(1)));
        for shared in &capabilities.codecs {
            config.codec_config().add_config(
                shared.capability.preferred_payload_type.into(),
                shared.rtx_payload_type.map(Into::into),
                rtc_codec(shared.codec),
                frequency(shared.codec),
                shared.capability.channels,
                FormatParams::default(),
            );
        }
        let (mut rtc, watch) = crypto::build(config, dtls, now);
        let (algorithm, value) = {
            let text = rtc.direct_api().local_dtls_fingerprint().to_string();
            text.split_once(' ').map(|(a, v)| (a.to_owned(), v.to_owned())).unwrap_or_default()
        };
        Self {
            rtc,
            dtls,
            repair_packets,
            watch,
            fingerprint: DtlsFingerprint { algorithm, value },
            local_candidates: Vec::new(),
            remote_candidates: Vec::new(),
            remote_credentials: None,
            checks: Checks::default(),
            rtcp: RtcpGuard::default(),
            streams: BTreeMap::new(),
            outputs: VecDeque::new(),
            timeout: None,
            secured: false,
            ice_up: false,
            role: DtlsRole::Client,
            dtls_pending: None,
            retry_path_at: None,
            done: false,
        }
    }

    fn drain(&mut self, now: Instant) {
        // Each round ends with str0m's next deadline; one that is due now is served at once, as long as that yields
        // something.
        for _ in 0..64 {
            let mut yielded = false;
            let due = loop {
                match self.rtc.poll_output() {
                    Ok(Output::Timeout(timeout)) => {
                        self.timeout = (timeout < now + NEVER).then_some(timeout.max(now + MIN_TICK));
                        break timeout <= now;
                    }
                    Ok(Output::Transmit(transmit)) => {
                        yielded = true;
                        self.transmit(transmit);
                    }
                    Ok(Output::Event(event)) => {
                        yielded = true;
                        self.event(now, event);
                    }
                    Err(error) => {
                        let failure = self.watch.explain(&error);
                        self.fail(failure.unwrap_or_else(|| DtlsFailure::Handshake(error.to_string())));
                        return;
                    }
                }
            };
            if !due || !yielded || !self.rtc.is_alive() {
                break;
            }
            self.input(Input::Timeout(now));
        }
        if let (Some(retry), Some(timeout)) = (self.retry_path_at, self.timeout) {
            self.timeout = Some(retry.max(now + MIN_TICK).min(timeout));
        }
    }

    /// A datagram that only makes no sense is none of DTLS's failures, and harms nothing.
    fn input(&mut self, input: Input<'_>) -> bool {
        match self.rtc.handle_input(input) {
            Ok(()) => true,
            Err(error) => {
                if let Some(failure) = self.watch.explain(&error) {
                    self.fail(failure);
                }
                false
            }
        }
    }

    fn fail(&mut self, failure: DtlsFailure) {
        if !self.done {
            self.done = true;
            self.timeout = None;
            // The alert that tells the server.
            while let Ok(Output::Transmit(transmit)) = self.rtc.poll_output() {
                self.transmit(transmit);
            }
            self.outputs.push_back(EngineOutput::Event(EngineEvent::Failed(failure)));
        }
    }

    fn start_dtls(&mut self, role: DtlsRole) -> Result<(), DtlsFailure> {
        let started = self.rtc.direct_api().start_dtls(role == DtlsRole::Client);
        started.map_err(|error| self.watch.explain(&error).unwrap_or_else(|| DtlsFailure::Handshake(error.to_string())))
    }

    fn transmit(&mut self, transmit: str0m::net::Transmit) {
        let protocol = match transmit.proto {
            Protocol::Udp => IceProtocol::Udp,
            _ => IceProtocol::Tcp,
        };
        self.checks.sent(protocol, transmit.destination, &transmit.contents);
        self.count_retransmission(&transmit.contents);
        self.outputs.push_back(EngineOutput::Transmit(Transmit {
            protocol,
            source: transmit.source,
            destination: transmit.destination,
            contents: Bytes::from(Vec::from(transmit.contents)),
        }));
    }

    /// The RTP header is not encrypted (RFC 3711 section 3.1): its SSRC tells retransmissions.
    fn count_retransmission(&mut self, datagram: &[u8]) {
        let [first, second, _, _, _, _, _, _, s0, s1, s2, s3, ..] = *datagram else { return };
        if first >> 6 != 2 || (64..96).contains(&(second & 0x7f)) {
            return;
        }
        let ssrc = u32::from_be_bytes([s0, s1, s2, s3]);
        if let Some(stream) = self.streams.values_mut().flatten().find(|stream| stream.rtx == Some(ssrc)) {
            stream.packets_resent += 1;
        }
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
                if let Some(role) = self.dtls_pending.take()
                    && let Err(failure) = self.start_dtls(role)
                {
                    return self.fail(failure);
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
            Event::MediaEgressStats(stats) => match self.feedback(&stats) {
                Some(event) => event,
                None => return,
            },
            Event::Closed => EngineEvent::Closed,
            _ => return,
        };
        self.outputs.push_back(EngineOutput::Event(event));
    }

    fn stream(&self, mid: Mid, rid: Option<Rid>) -> Option<&Stream> {
        let (_, streams) = self.streams.iter().find(|(mux_id, _)| Mid::from(mux_id.as_str()) == mid)?;
        streams.iter().find(|stream| stream.rid == rid)
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

    fn stun(&mut self, receive: &Receive, input: Input<'_>) -> Received {
        let hmac = crypto::provider(self.dtls).sha1_hmac_provider;
        if self.checks.is_good_answer(receive, self.remote_credentials.as_ref(), hmac) && self.input(input) {
            Received::Taken
        } else {
            Received::Refused(Refused::Stun)
        }
    }

    fn dtls(&mut self, receive: &Receive, input: Input<'_>) -> Received {
        if !self.secured && crypto::is_wrong_way_hello(&receive.contents, self.role == DtlsRole::Client) {
            return Received::Refused(Refused::Dtls);
        }
        let alive = self.rtc.is_alive();
        let taken = self.input(input);
        // What ended DTLS was taken, too: its event waits to be polled.
        let ended = self.done || alive != self.rtc.is_alive();
        // A sender is told nothing over DTLS but that it ends.
        if ended || (taken && !self.secured) { Received::Taken } else { Received::Refused(Refused::Dtls) }
    }

    fn rtcp(&mut self, receive: &Receive, input: Input<'_>) -> Received {
        let mut guard = std::mem::take(&mut self.rtcp);
        let verdict = guard.judge(self.watch.profile(), &receive.contents, || _ = self.input(input));
        self.rtcp = guard;
        verdict.into()
    }

    fn set_remote_credentials(&mut self, parameters: &IceParameters) {
        let IceParameters { username_fragment, password, .. } = parameters;
        let credentials = IceCreds { ufrag: username_fragment.clone(), pass: password.clone() };
        self.rtc.direct_api().set_remote_ice_credentials(credentials.clone());
        self.remote_credentials = Some(credentials);
    }

    fn try_paths(&mut self) {
        for candidate in self.remote_candidates.clone() {
            self.rtc.add_remote_candidate(candidate);
        }
    }

    /// The same when all paths are lost. str0m keeps a remote candidate for each time that one is added, but a local one
    /// that was withdrawn comes back to its place.
    fn try_paths_again(&mut self) {
        for candidate in &self.local_candidates {
            self.rtc.direct_api().invalidate_candidate(candidate);
        }
        for candidate in self.local_candidates.clone() {
            self.rtc.add_local_candidate(candidate);
        }
    }
}

impl Engine for RtcEngine {
    fn fingerprint(&self) -> DtlsFingerprint {
        self.fingerprint.clone()
    }

    fn connect(&mut self, now: Instant, remote: &RemoteTransport, role: DtlsRole) -> Result<(), String> {
        let fingerprint = remote
            .dtls_parameters
            .fingerprints
            .iter()
            .find(|fingerprint| fingerprint.algorithm.eq_ignore_ascii_case("sha-256"))
            .ok_or("the server gave no sha-256 fingerprint")?;
        let fingerprint = parse_fingerprint(fingerprint).ok_or("the server's sha-256 fingerprint cannot be read")?;
        self.remote_candidates = remote.ice_candidates.iter().filter_map(remote_candidate).collect();
        if self.remote_candidates.is_empty() {
            return Err("the server gave no address that ICE takes".to_owned());
        }
        let mut api = self.rtc.direct_api();
        // RFC 8445 section 6.1.1: against a lite agent the full one controls.
        api.set_ice_controlling(true);
        api.set_remote_fingerprint(fingerprint);
        self.set_remote_credentials(&remote.ice_parameters);
        // Without a path its handshake timer would run out before the handshake can begin.
        self.dtls_pending = Some(role);
        self.role = role;
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
        let Some(candidate) = local_candidate(protocol, address) else { return false };
        let added = self.rtc.add_local_candidate(candidate.clone()).is_some();
        if added && !self.local_candidates.contains(&candidate) {
            self.local_candidates.push(candidate);
        }
        self.flush(now);
        added
    }

    fn remove_local_address(&mut self, now: Instant, protocol: IceProtocol, address: SocketAddr) {
        if let Some(candidate) = local_candidate(protocol, address) {
            self.rtc.direct_api().invalidate_candidate(&candidate);
            self.local_candidates.retain(|of_ours| *of_ours != candidate);
            self.flush(now);
        }
    }

    fn add_streams(&mut self, mux_id: &str, kind: MediaKind, encodings: &[RtpEncodingParameters]) -> String {
        let mid = Mid::from(mux_id);
        let mut api = self.rtc.direct_api();
        api.declare_media(
            mid,
            match kind {
                MediaKind::Audio => RtcKind::Audio,
                MediaKind::Video => RtcKind::Video,
            },
        );
        let mut streams = Vec::new();
        for encoding in encodings {
            // str0m keys streams by (mid, rid): each layer gets a rid for its eyes only, as the extension is unmapped.
            let rid = encoding.profile.map(|profile| Rid::from(profile.as_str()));
            let rtx = encoding.rtx.map(|rtx| rtx.ssrc);
            let stream = api.declare_stream_tx(encoding.ssrc.into(), rtx.map(Into::into), mid, rid);
            stream.set_rtx_cache(self.repair_packets, RTX_CACHE_AGE, Some(RTX_RATIO_CAP));
            streams.push(Stream { ssrc: encoding.ssrc, rtx, rid, packets_resent: 0 });
        }
        self.streams.insert(mux_id.to_owned(), streams);
        self.rtc.media(mid).map(|media| media.cname().to_owned()).unwrap_or_default()
    }

    fn remove_streams(&mut self, mux_id: &str) {
        if let Some(streams) = self.streams.remove(mux_id) {
            let mut api = self.rtc.direct_api();
            for stream in streams {
                api.remove_stream_tx(stream.ssrc.into());
            }
            api.remove_media(Mid::from(mux_id));
        }
    }

    fn write(&mut self, now: Instant, packet: OutgoingPacket) {
        let mut extensions =
            ExtensionValues { video_orientation: packet.rotation.map(video_orientation), ..ExtensionValues::default() };
        if let Some(level) = packet.audio_level {
            extensions.audio_level = Some(-(level.minus_dbov() as i8));
            extensions.voice_activity = Some(level.voice());
        }
        let rtp = RtpWrite::new(
            packet.payload_type.into(),
            packet.sequence_number.into(),
            packet.timestamp,
            now,
            packet.payload,
        )
        .marker(packet.marker)
        .ext_vals(extensions)
        .nackable(true);
        if let Some(stream) = self.rtc.direct_api().stream_tx(&packet.ssrc.into()) {
            stream.write_rtp(rtp);
        }
    }

    fn flush(&mut self, now: Instant) {
        if self.done {
            return;
        }
        if self.retry_path_at.is_some_and(|at| at <= now) {
            self.retry_path_at = Some(now + RETRY_PATH);
            self.try_paths_again();
        }
        self.input(Input::Timeout(now));
        self.drain(now);
    }

    fn handle_receive(&mut self, now: Instant, receive: &Receive) -> Received {
        let protocol = match receive.protocol {
            IceProtocol::Udp => Protocol::Udp,
            IceProtocol::Tcp => Protocol::Tcp,
        };
        let Ok(received) = RtcReceive::new(protocol, receive.source, receive.destination, &receive.contents) else {
            return Received::NotOurs;
        };
        let input = Input::Receive(now, received);
        let kind = Kind::of(&receive.contents);
        // STUN is told by its password, all else by where it comes from.
        if self.done || (kind != Kind::Stun && !self.rtc.accepts(&input)) {
            return Received::NotOurs;
        }
        let received = match kind {
            Kind::Stun => self.stun(receive, input),
            Kind::Dtls => self.dtls(receive, input),
            // Nobody sends media to a sender. str0m would make a place for each SSRC with a known MID before it looks
            // at the tag.
            Kind::Rtp => Received::Refused(Refused::Rtp),
            Kind::Rtcp => self.rtcp(receive, input),
        };
        match received {
            // DTLS may have its last flight to send again.
            Received::Taken | Received::Refused(Refused::Dtls) => self.flush(now),
            Received::NotOurs | Received::Refused(_) => {}
        }
        received
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    fn poll_output(&mut self) -> Option<EngineOutput> {
        self.outputs.pop_front()
    }

    fn packets_resent(&self, ssrc: u32) -> u64 {
        self.streams.values().flatten().find(|stream| stream.ssrc == ssrc).map_or(0, |stream| stream.packets_resent)
    }

    fn close(&mut self, now: Instant) {
        if self.done || self.rtc.close().is_err() {
            return;
        }
        // What is to be said is said at once: nobody will call again.
        for _ in 0..8 {
            self.drain(now);
            if self.done || !self.rtc.is_alive() {
                break;
            }
            self.input(Input::Timeout(now));
        }
        self.done = true;
        self.timeout = None;
        self.outputs.retain(|output| matches!(output, EngineOutput::Transmit(_)));
        // str0m ends DTLS first, and RTCP that comes after is no use: the keys are gone with the session.
        self.outputs.make_contiguous().sort_by_key(|output| match output {
            EngineOutput::Transmit(transmit) => Kind::of(&transmit.contents) == Kind::Dtls,
            EngineOutput::Event(_) => false,
        });
    }
}

fn extension_map(capabilities: &SharedCapabilities) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    for extension in &capabilities.header_extensions {
        let known = match extension.uri.as_str() {
            AUDIO_LEVEL => Extension::AudioLevel,
            ABS_SEND_TIME => Extension::AbsoluteSendTime,
            VIDEO_ORIENTATION => Extension::VideoOrientation,
            MID => Extension::RtpMid,
            _ => continue,
        };
        map.set(extension.preferred_id, known);
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

fn local_candidate(protocol: IceProtocol, address: SocketAddr) -> Option<Candidate> {
    match protocol {
        IceProtocol::Udp => Candidate::host(address, Protocol::Udp).ok(),
        // RFC 6544 section 4.5: we open the connection.
        IceProtocol::Tcp => Candidate::builder().tcp().host(address).tcptype(TcpType::Active).build().ok(),
    }
}
