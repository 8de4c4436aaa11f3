//! The media plane of a server's transport: ICE-lite, DTLS, SRTP and RTCP of a receiver, over str0m in RTP mode. What the room
//! of v2 and the router of v3 share.

pub(in crate::sim) mod counters;
pub(in crate::sim) mod estimator;
pub(in crate::sim) mod feedback;
pub(in crate::sim) mod header;
pub(in crate::sim) mod listener;
pub(in crate::sim) mod numbers;
pub(in crate::sim) mod packet;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::config::{DtlsCert, Fingerprint};
use str0m::format::FormatParams;
use str0m::media::{KeyframeRequestKind, MediaKind as RtcKind, Mid, Rid};
use str0m::net::TcpType;
use str0m::rtp::{ExtensionMap, RawPacket, RtpPacket, rtcp::Rtcp};
use str0m::{Event, IceConnectionState, IceCreds, Rtc};

use crate::connection::engine::crypto::{DtlsBackend, DtlsFailure};
use crate::connection::engine::endpoint::{Endpoint, EndpointOutput, Received, local_candidate, rtp_ssrc};
use crate::id::ProducerId;
use crate::net::{DtlsFingerprint, DtlsRole, IceParameters, IceProtocol, Receive, Transmit};
use crate::rtp::{Codec, MediaKind};

use counters::{Sizes, StreamCounter};
use feedback::BitrateFeedback;
use numbers::{payload_types, raw_extensions};

pub(in crate::sim) struct Receiver {
    endpoint: Endpoint,
    pub(in crate::sim) ice: IceCreds,
    /// In use from the first request with them.
    next_ice: Option<IceCreds>,
    pub(in crate::sim) ice_state: IceState,
    pub(in crate::sim) secured: bool,
    remote_user: Option<String>,
    dtls_pending: Option<DtlsRole>,
    streams: BTreeMap<u32, Stream>,
    last_mid: u64,
    outputs: VecDeque<ReceiverOutput>,
    /// The datagram that is being handled came over an RTX stream.
    repairing: bool,
    /// What carries media both ways: the protocol, our address and the peer's. As the real server's: the one over which
    /// the peer last nominated. (str0m would keep the first as long as it lives.)
    pub(in crate::sim) path: Option<(IceProtocol, SocketAddr, SocketAddr)>,
    /// Where it was heard from, the latest last.
    pub(in crate::sim) remote_addresses: VecDeque<(IceProtocol, SocketAddr)>,
    /// Wherever it was heard from since it was made.
    pub(in crate::sim) addresses: BTreeSet<(IceProtocol, SocketAddr)>,
    pub(in crate::sim) bytes_received: u64,
    pub(in crate::sim) bytes_sent: u64,
    pub(in crate::sim) feedback: BitrateFeedback,
}

/// One encoding.
#[derive(Debug)]
pub(in crate::sim) struct Stream {
    pub(in crate::sim) producer: ProducerId,
    /// Which of the producer's encodings, counted from 0.
    pub(in crate::sim) layer: usize,
    pub(in crate::sim) ssrc: u32,
    pub(in crate::sim) rtx: Option<u32>,
    pub(in crate::sim) paused: bool,
    mid: Mid,
    rid: Option<Rid>,
    pub(in crate::sim) counter: StreamCounter,
}

/// A stream to come.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct NewStream {
    pub(in crate::sim) producer: ProducerId,
    pub(in crate::sim) layer: usize,
    pub(in crate::sim) kind: MediaKind,
    pub(in crate::sim) clock_rate: u32,
    pub(in crate::sim) ssrc: u32,
    pub(in crate::sim) rtx: Option<u32>,
    /// Whether what is lost is asked for.
    pub(in crate::sim) nack: bool,
    pub(in crate::sim) paused: bool,
}

/// As the real server names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim) enum IceState {
    New,
    Connected,
    Disconnected,
}

pub(in crate::sim) enum ReceiverOutput {
    Transmit(Transmit),
    Event(ReceiverEvent),
    Packet { packet: Box<RtpPacket>, repaired: bool },
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::sim) enum ReceiverEvent {
    Connected,
    Disconnected,
    /// The peer ended DTLS.
    Closed,
    Failed(DtlsFailure),
    Goodbye {
        ssrcs: Vec<u32>,
    },
}

/// Payload types of codecs by their MIME types, those left out that are none of ours.
pub(in crate::sim) fn with_codecs<'a>(mime_types: impl Iterator<Item = (u8, &'a str)>) -> Vec<(u8, Codec)> {
    mime_types.filter_map(|(payload_type, name)| Some((payload_type, Codec::from_mime_type(name)?))).collect()
}

/// What is wanted of a new receiver.
pub(in crate::sim) struct ReceiverOptions<'a> {
    pub(in crate::sim) certificate: DtlsCert,
    pub(in crate::sim) dtls: DtlsBackend,
    pub(in crate::sim) addresses: &'a [(IceProtocol, SocketAddr)],
    /// The server's own payload types.
    pub(in crate::sim) payload_types: &'a [(u8, Codec)],
    pub(in crate::sim) read_extensions: bool,
    pub(in crate::sim) report_goodbyes: bool,
    pub(in crate::sim) feedback: BitrateFeedback,
}

impl Receiver {
    pub(in crate::sim) fn new(now: Instant, options: ReceiverOptions<'_>) -> Self {
        let mut config = Rtc::builder()
            .set_dtls_cert(options.certificate)
            .set_ice_lite(true)
            .clear_codecs()
            .set_extension_map(if options.read_extensions { raw_extensions() } else { ExtensionMap::empty() })
            .set_rtp_mode(true)
            .enable_raw_packets(options.report_goodbyes)
            .set_stats_interval(Some(Duration::from_secs(1)));
        for (payload_type, codec, frequency) in payload_types(options.payload_types) {
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
            next_ice: None,
            ice_state: IceState::New,
            secured: false,
            remote_user: None,
            dtls_pending: None,
            streams: BTreeMap::new(),
            last_mid: 0,
            outputs: VecDeque::new(),
            repairing: false,
            path: None,
            remote_addresses: VecDeque::new(),
            addresses: BTreeSet::new(),
            bytes_received: 0,
            bytes_sent: 0,
            feedback: options.feedback,
        };
        // Its first deadline.
        receiver.flush(now);
        receiver
    }

    /// What a peer is to use from here on.
    pub(in crate::sim) fn ice_parameters(&self) -> IceParameters {
        let ice = self.next_ice.as_ref().unwrap_or(&self.ice);
        IceParameters { username_fragment: ice.ufrag.clone(), password: ice.pass.clone(), ice_lite: true }
    }

    pub(in crate::sim) fn local_fingerprint(&mut self) -> DtlsFingerprint {
        let fingerprint = self.endpoint.api().local_dtls_fingerprint().to_string();
        let (algorithm, value) = fingerprint.split_once(' ').unwrap_or_default();
        DtlsFingerprint { algorithm: algorithm.to_owned(), value: value.to_owned() }
    }

    /// What the peer said of its side of DTLS, which begins as soon as there is a path.
    pub(in crate::sim) fn set_remote_dtls(&mut self, remote_role: DtlsRole, fingerprint: Fingerprint) {
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

    /// Makes new ICE credentials; from here on none but they are good.
    pub(in crate::sim) fn restart_ice(&mut self) {
        self.ice = IceCreds::new();
        self.endpoint.api().set_local_ice_credentials(self.ice.clone());
    }

    /// Makes new ICE credentials; the ones in use are good until the first request with the new ones.
    pub(in crate::sim) fn prepare_ice_restart(&mut self) {
        self.next_ice = Some(IceCreds::new());
    }

    /// The user name of credentials that were made and never used.
    pub(in crate::sim) fn unused_user(&self) -> Option<String> {
        self.next_ice.as_ref().map(|ice| ice.ufrag.clone())
    }

    /// The password that goes with one of our user names.
    pub(in crate::sim) fn password(&self, user: &str) -> Option<&str> {
        let known = [Some(&self.ice), self.next_ice.as_ref()];
        known.into_iter().flatten().find(|creds| creds.ufrag == user).map(|creds| &*creds.pass)
    }

    /// An authentic request was made with this user name. Returns the one that is good no more.
    pub(in crate::sim) fn take_up_credentials(&mut self, user: &str) -> Option<String> {
        let next = self.next_ice.take_if(|next| next.ufrag == user)?;
        let old = std::mem::replace(&mut self.ice, next);
        self.endpoint.api().set_local_ice_credentials(self.ice.clone());
        Some(old.ufrag)
    }

    pub(in crate::sim) fn add_stream(&mut self, stream: NewStream) {
        let NewStream { producer, layer, kind, clock_rate, ssrc, rtx, nack, paused } = stream;
        self.last_mid += 1;
        // Only str0m sees these: streams are told apart by SSRC.
        let mid = Mid::from(format!("m{}", self.last_mid).as_str());
        let rid = Some(Rid::from(format!("r{layer}").as_str()));
        let mut api = self.endpoint.api();
        api.declare_media(
            mid,
            match kind {
                MediaKind::Audio => RtcKind::Audio,
                MediaKind::Video => RtcKind::Video,
            },
        );
        api.expect_stream_rx(ssrc.into(), rtx.map(Into::into), mid, rid).suppress_nack(!nack);
        let counter = StreamCounter::new(clock_rate);
        let stream = Stream { producer, layer, ssrc, rtx, paused, mid, rid, counter };
        self.streams.insert(ssrc, stream);
    }

    /// Names the stream that repairs another, or that there is none after all.
    pub(in crate::sim) fn set_rtx(&mut self, ssrc: u32, rtx: Option<u32>) {
        if let Some(stream) = self.streams.get_mut(&ssrc) {
            stream.rtx = rtx;
            // str0m keeps the last one until there is another.
            if let Some(rtx) = rtx {
                self.endpoint.api().expect_stream_rx(ssrc.into(), Some(rtx.into()), stream.mid, stream.rid);
            }
        }
    }

    /// Forgets one stream.
    pub(in crate::sim) fn remove_stream(&mut self, ssrc: u32) {
        if let Some(stream) = self.streams.remove(&ssrc) {
            let mut api = self.endpoint.api();
            api.remove_stream_rx(ssrc.into());
            api.remove_media(stream.mid);
        }
    }

    pub(in crate::sim) fn remove_streams(&mut self, producer: ProducerId) {
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

    pub(in crate::sim) fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.streams.values()
    }

    pub(in crate::sim) fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.values_mut()
    }

    pub(in crate::sim) fn stream(&self, ssrc: u32) -> Option<&Stream> {
        self.streams.get(&ssrc)
    }

    pub(in crate::sim) fn ssrc_in_use(&self, ssrc: u32) -> bool {
        self.streams.values().any(|stream| stream.ssrc == ssrc || stream.rtx == Some(ssrc))
    }

    pub(in crate::sim) fn request_key_frame(&mut self, ssrc: u32) {
        if let Some(stream) = self.streams.get_mut(&ssrc)
            && let Some(rx) = self.endpoint.api().stream_rx(&ssrc.into())
        {
            rx.request_keyframe(KeyframeRequestKind::Pli);
            stream.counter.plis += 1;
        }
    }

    /// The peer's own ICE user name is not signalled in v2: it is taken from its binding requests.
    pub(in crate::sim) fn learn_remote_user(&mut self, user: &str) {
        if self.remote_user.as_deref() != Some(user) {
            self.remote_user = Some(user.to_owned());
            // The password would be for checks of ours, and a lite agent makes none (RFC 8445 section 2.5).
            let credentials = IceCreds { ufrag: user.to_owned(), pass: String::new() };
            self.endpoint.api().set_remote_ice_credentials(credentials);
        }
    }

    /// Takes a datagram; a binding request must have been found authentic before.
    pub(in crate::sim) fn handle_receive(&mut self, now: Instant, receive: &Receive) -> Received {
        let ssrc = rtp_ssrc(&receive.contents);
        self.repairing = ssrc.is_some_and(|ssrc| self.streams.values().any(|stream| stream.rtx == Some(ssrc)));
        let received = self.endpoint.handle_receive(now, receive);
        if received != Received::NotOurs {
            self.bytes_received += receive.contents.len() as u64;
        }
        if received == Received::Taken && ssrc.is_some() {
            self.feedback.packet(now, &receive.contents, self.endpoint.tag_bytes());
            self.tell_bitrate();
        }
        self.drain(now);
        self.repairing = false;
        received
    }

    /// An authentic binding request came this way.
    pub(in crate::sim) fn select_path(&mut self, now: Instant, receive: &Receive, nominated: bool) {
        if nominated || self.path.is_none() {
            self.path = Some((receive.protocol, receive.destination, receive.source));
        }
        self.start_dtls();
        self.flush(now);
    }

    pub(in crate::sim) fn flush(&mut self, now: Instant) {
        self.tell_bitrate();
        self.endpoint.handle_timeout(now);
        self.drain(now);
    }

    pub(in crate::sim) fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout()
    }

    pub(in crate::sim) fn poll_output(&mut self) -> Option<ReceiverOutput> {
        self.outputs.pop_front()
    }

    /// Ends DTLS; the last datagrams come out of [`poll_output`](Self::poll_output).
    pub(in crate::sim) fn close(&mut self, now: Instant) {
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
        self.outputs.push_back(ReceiverOutput::Packet { packet: Box::new(packet), repaired: self.repairing });
    }

    /// str0m's own REMB names one stream; this is how it lets another be written. The real server leaves its own SSRC open.
    fn tell_bitrate(&mut self) {
        if let Some(remb) = self.feedback.take() {
            self.endpoint.api().send_app_specific_feedback(0.into(), 0.into(), remb.payload());
        }
    }
}
