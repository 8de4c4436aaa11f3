//! The media plane of a room's transport: ICE-lite, DTLS, SRTP and RTCP of a receiver, over str0m in RTP mode.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::bwe::Bitrate;
use str0m::config::{DtlsCert, Fingerprint};
use str0m::format::FormatParams;
use str0m::media::{KeyframeRequestKind, MediaKind as RtcKind, Mid, Rid};
use str0m::net::TcpType;
use str0m::rtp::{ExtensionMap, RawPacket, RtpPacket, rtcp::Rtcp};
use str0m::{Event, IceConnectionState, IceCreds, Rtc};

use super::counters::{Rate, Sizes, StreamCounter};
use super::feedback::BitrateFeedback;
use super::numbers::{payload_types, raw_extensions};
use crate::connection::engine::crypto::{DtlsBackend, DtlsFailure};
use crate::connection::engine::endpoint::{Endpoint, EndpointOutput, Received, local_candidate, rtp_ssrc};
use crate::id::ProducerId;
use crate::net::Receive;
use crate::net::Transmit;
use crate::net::{DtlsRole, IceParameters, IceProtocol};
use crate::rtp::{Codec, MediaKind, Profile};
use crate::v2::RtpCapabilities;

pub(super) struct Receiver {
    endpoint: Endpoint,
    pub(super) ice: IceCreds,
    pub(super) ice_state: IceState,
    pub(super) secured: bool,
    remote_user: Option<String>,
    dtls_pending: Option<DtlsRole>,
    streams: BTreeMap<u32, Stream>,
    last_mid: u64,
    outputs: VecDeque<ReceiverOutput>,
    /// The datagram that is being handled came over an RTX stream.
    repairing: bool,
    /// What carries media both ways: the protocol, our address and the peer's. As the real server's: the one over which
    /// the peer last nominated. (str0m would keep the first as long as it lives.)
    pub(super) path: Option<(IceProtocol, SocketAddr, SocketAddr)>,
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    /// All RTP, that over RTX streams too: a browser tries with padding on those whether more gets through, and would
    /// never begin a higher layer if that did not count.
    received: Rate,
    pub(super) feedback: BitrateFeedback,
}

/// One encoding.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) producer: ProducerId,
    pub(super) profile: Profile,
    pub(super) ssrc: u32,
    pub(super) rtx: Option<u32>,
    pub(super) paused: bool,
    /// Names it in the room's statistics.
    pub(super) stats_id: String,
    mid: Mid,
    rid: Option<Rid>,
    pub(super) counter: StreamCounter,
}

/// As the real server names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IceState {
    New,
    Connected,
    Disconnected,
}

pub(super) enum ReceiverOutput {
    Transmit(Transmit),
    Event(ReceiverEvent),
    Packet { packet: Box<RtpPacket>, repaired: bool },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ReceiverEvent {
    Connected,
    Disconnected,
    /// The peer ended DTLS.
    Closed,
    Failed(DtlsFailure),
    Goodbye {
        ssrcs: Vec<u32>,
    },
}

/// What is wanted of a new receiver.
pub(super) struct ReceiverOptions<'a> {
    pub(super) certificate: DtlsCert,
    pub(super) dtls: DtlsBackend,
    pub(super) addresses: &'a [(IceProtocol, SocketAddr)],
    pub(super) capabilities: &'a RtpCapabilities,
    pub(super) read_extensions: bool,
    pub(super) report_goodbyes: bool,
    pub(super) feedback: BitrateFeedback,
}

impl Receiver {
    pub(super) fn new(now: Instant, options: ReceiverOptions<'_>) -> Self {
        let mut config = Rtc::builder()
            .set_dtls_cert(options.certificate)
            .set_ice_lite(true)
            .clear_codecs()
            .set_extension_map(if options.read_extensions { raw_extensions() } else { ExtensionMap::empty() })
            .set_rtp_mode(true)
            .enable_raw_packets(options.report_goodbyes)
            .set_stats_interval(Some(Duration::from_secs(1)));
        for (payload_type, codec, frequency) in payload_types(options.capabilities) {
            config.codec_config().add_config(
                payload_type.into(),
                None,
                codec,
                frequency,
                codec.is_audio().then_some(2),
                FormatParams::default(),
            );
        }
        let mut endpoint = Endpoint::new(now, config, options.dtls, true);
        for (protocol, address) in options.addresses {
            if let Some(candidate) = local_candidate(*protocol, *address, TcpType::Passive) {
                endpoint.rtc().add_local_candidate(candidate);
            }
        }
        let ice = endpoint.api().local_ice_credentials();
        let mut receiver = Self {
            endpoint,
            ice,
            ice_state: IceState::New,
            secured: false,
            remote_user: None,
            dtls_pending: None,
            streams: BTreeMap::new(),
            last_mid: 0,
            outputs: VecDeque::new(),
            repairing: false,
            path: None,
            bytes_received: 0,
            bytes_sent: 0,
            received: Rate::default(),
            feedback: options.feedback,
        };
        // Its first deadline.
        receiver.flush(now);
        receiver
    }

    pub(super) fn ice_parameters(&self) -> IceParameters {
        IceParameters { username_fragment: self.ice.ufrag.clone(), password: self.ice.pass.clone(), ice_lite: true }
    }

    pub(super) fn local_fingerprint(&mut self) -> Fingerprint {
        self.endpoint.api().local_dtls_fingerprint().clone()
    }

    /// What the peer said of its side of DTLS, which begins as soon as there is a path.
    pub(super) fn set_remote_dtls(&mut self, remote_role: DtlsRole, fingerprint: Fingerprint) {
        self.endpoint.api().set_remote_fingerprint(fingerprint);
        self.dtls_pending = Some(remote_role);
        self.start_dtls();
    }

    fn start_dtls(&mut self) {
        if self.path.is_some()
            && let Some(remote_role) = self.dtls_pending.take()
        {
            self.endpoint.start_dtls(match remote_role {
                DtlsRole::Server => DtlsRole::Client,
                _ => DtlsRole::Server,
            });
        }
    }

    pub(super) fn restart_ice(&mut self) {
        self.ice = IceCreds::new();
        self.endpoint.api().set_local_ice_credentials(self.ice.clone());
    }

    pub(super) fn add_stream(
        &mut self,
        producer: ProducerId,
        codec: Codec,
        profile: Profile,
        (ssrc, rtx): (u32, Option<u32>),
        stats_id: String,
        paused: bool,
    ) {
        self.last_mid += 1;
        // Only str0m sees these: streams are told apart by SSRC.
        let mid = Mid::from(format!("m{}", self.last_mid).as_str());
        let rid = Some(Rid::from(profile.as_str()));
        let kind = codec.kind();
        let mut api = self.endpoint.api();
        api.declare_media(
            mid,
            match kind {
                MediaKind::Audio => RtcKind::Audio,
                MediaKind::Video => RtcKind::Video,
            },
        );
        // Without RTX nothing could answer a NACK.
        api.expect_stream_rx(ssrc.into(), rtx.map(Into::into), mid, rid).suppress_nack(rtx.is_none());
        let counter = StreamCounter::new(codec.clock_rate());
        let stream = Stream { producer, profile, ssrc, rtx, paused, stats_id, mid, rid, counter };
        self.streams.insert(ssrc, stream);
    }

    pub(super) fn remove_streams(&mut self, producer: ProducerId) {
        let mut api = self.endpoint.api();
        self.streams.retain(|ssrc, stream| {
            let keep = stream.producer != producer;
            if !keep {
                api.remove_stream_rx((*ssrc).into());
                api.remove_media(stream.mid);
            }
            keep
        });
    }

    pub(super) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values()
    }

    pub(super) fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.values_mut()
    }

    pub(super) fn stream(&self, ssrc: u32) -> Option<&Stream> {
        self.streams.get(&ssrc)
    }

    pub(super) fn ssrc_in_use(&self, ssrc: u32) -> bool {
        self.streams.values().any(|stream| stream.ssrc == ssrc || stream.rtx == Some(ssrc))
    }

    pub(super) fn request_key_frame(&mut self, ssrc: u32) {
        if let Some(stream) = self.streams.get_mut(&ssrc)
            && let Some(rx) = self.endpoint.api().stream_rx(&ssrc.into())
        {
            rx.request_keyframe(KeyframeRequestKind::Pli);
            stream.counter.plis += 1;
        }
    }

    /// The peer's own ICE user name is not signalled in v2: it is taken from its binding requests.
    pub(super) fn learn_remote_user(&mut self, user: &str) {
        if self.remote_user.as_deref() != Some(user) {
            self.remote_user = Some(user.to_owned());
            // The password would be for checks of ours, and a lite agent makes none (RFC 8445 section 2.5).
            let credentials = IceCreds { ufrag: user.to_owned(), pass: String::new() };
            self.endpoint.api().set_remote_ice_credentials(credentials);
        }
    }

    /// Takes a datagram; a binding request must have been found authentic before.
    pub(super) fn handle_receive(&mut self, now: Instant, receive: &Receive) -> Received {
        let (length, ssrc) = (receive.contents.len() as u64, rtp_ssrc(&receive.contents));
        self.repairing = ssrc.is_some_and(|ssrc| self.streams.values().any(|stream| stream.rtx == Some(ssrc)));
        let received = self.endpoint.handle_receive(now, receive);
        if received != Received::NotOurs {
            self.bytes_received += length;
        }
        if received == Received::Taken && (self.repairing || ssrc.is_some_and(|ssrc| self.streams.contains_key(&ssrc)))
        {
            self.received.add(now, length);
        }
        self.drain(now);
        self.repairing = false;
        received
    }

    /// An authentic binding request came this way.
    pub(super) fn select_path(&mut self, now: Instant, receive: &Receive, nominated: bool) {
        if nominated || self.path.is_none() {
            self.path = Some((receive.protocol, receive.destination, receive.source));
        }
        self.start_dtls();
        self.flush(now);
    }

    pub(super) fn flush(&mut self, now: Instant) {
        self.bitrate_feedback(now);
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.endpoint.poll_timeout(), self.feedback.due()].into_iter().flatten().min()
    }

    pub(super) fn poll_output(&mut self) -> Option<ReceiverOutput> {
        self.outputs.pop_front()
    }

    /// Ends DTLS; the last datagrams come out of [`poll_output`](Self::poll_output).
    pub(super) fn close(&mut self, now: Instant) {
        self.feedback.stop();
        if !self.endpoint.close() {
            return;
        }
        self.drain(now);
        self.outputs.retain(|output| matches!(output, ReceiverOutput::Transmit(_)));
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.endpoint.poll_output(now) {
            match output {
                EndpointOutput::Transmit(transmit) => self.transmit(transmit),
                EndpointOutput::Event(event) => self.event(now, event),
                EndpointOutput::Failed(failure) => {
                    self.feedback.stop();
                    self.outputs.push_back(ReceiverOutput::Event(ReceiverEvent::Failed(failure)));
                }
            }
        }
    }

    fn transmit(&mut self, mut transmit: Transmit) {
        self.bytes_sent += transmit.contents.len() as u64;
        // STUN answers go wherever they were asked from; the rest takes the path that the peer has chosen.
        let stun = transmit.contents.first().is_some_and(|first| *first < 4);
        if let Some((protocol, source, destination)) = self.path
            && !stun
        {
            transmit = Transmit { protocol, source, destination, ..transmit };
        }
        self.outputs.push_back(ReceiverOutput::Transmit(transmit));
    }

    fn event(&mut self, now: Instant, event: Event) {
        let event = match event {
            Event::Connected => {
                self.secured = true;
                self.ice_state = IceState::Connected;
                ReceiverEvent::Connected
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.ice_state = IceState::Disconnected;
                ReceiverEvent::Disconnected
            }
            Event::IceConnectionStateChange(IceConnectionState::Connected | IceConnectionState::Completed) => {
                let back = self.secured && self.ice_state == IceState::Disconnected;
                self.ice_state = IceState::Connected;
                if !back {
                    return;
                }
                ReceiverEvent::Connected
            }
            Event::RtpPacket(packet) => return self.packet(now, packet),
            Event::MediaIngressStats(stats) => {
                if let Some(stream) = self.streams.values_mut().find(|s| s.mid == stats.mid && s.rid == stats.rid) {
                    stream.counter.nacks = stats.nacks;
                }
                return;
            }
            Event::RawPacket(packet) => match *packet {
                RawPacket::RtcpRx(Rtcp::Goodbye(goodbye)) => {
                    ReceiverEvent::Goodbye { ssrcs: goodbye.reports.iter().map(|ssrc| **ssrc).collect() }
                }
                _ => return,
            },
            Event::Closed => ReceiverEvent::Closed,
            _ => return,
        };
        self.outputs.push_back(ReceiverOutput::Event(event));
    }

    fn packet(&mut self, now: Instant, packet: RtpPacket) {
        let Some(stream) = self.streams.get_mut(&packet.header.ssrc) else { return };
        let sizes = Sizes { header: packet.header.header_len as u64, payload: packet.payload.len() as u64 };
        stream.counter.count(now, *packet.seq_no, packet.header.timestamp, sizes, self.repairing);
        stream.counter.while_paused += u64::from(stream.paused);
        self.feedback.media(now);
        self.outputs.push_back(ReceiverOutput::Packet { packet: Box::new(packet), repaired: self.repairing });
    }

    fn bitrate_feedback(&mut self, now: Instant) {
        if !self.feedback.is_due(now) {
            return;
        }
        let counters = || self.streams.values().map(|stream| &stream.counter);
        let received = self.received.bits_per_second(now);
        let expected = counters().map(StreamCounter::expected).sum();
        let arrived = counters().map(|counter| counter.packets - counter.repaired).sum();
        let bitrate = self.feedback.next(now, received, expected, arrived);
        if let Some(ssrc) = self.streams.keys().next().copied()
            && let Some(rx) = self.endpoint.api().stream_rx(&ssrc.into())
        {
            rx.request_remb(Bitrate::bps(bitrate));
        }
    }
}
