//! A mediasoup 3 router.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::config::{DtlsCert, Fingerprint};
use str0m::rtp::RtpPacket;

use super::capabilities;
use super::config::{RouterConfig, WebRtcTransportOptions};
use super::error::RouterError;
use super::key_frames::{KeyFrameRequests, begins_key_frame};
use super::output::{EncodingCounters, ReceivedPacket, RouterEvent, RouterOutput};
use super::parameters;
use super::streams::Streams;
use super::transport::{RouterProducer, RouterTransport};
use crate::connection::engine::crypto;
use crate::id::{ProducerId, TransportId};
use crate::net::{DtlsFingerprint, IceParameters, IceProtocol, Receive};
use crate::rng::Rng;
use crate::rtp::{Codec, MediaKind};
use crate::sim::ServerCounters;
use crate::sim::receiver::estimator::Worker;
use crate::sim::receiver::feedback::BitrateFeedback;
use crate::sim::receiver::listener::{AddressLimits, Listener};
use crate::sim::receiver::packet::{Extensions, payload, sender_report};
use crate::sim::receiver::{Receiver, ReceiverEvent, ReceiverOptions, ReceiverOutput};
use crate::v3::{DtlsParameters, DtlsRole, IceCandidate, RtpCapabilities, RtpParameters, TransportParameters};

/// The real router's local preference (RFC 8445 section 5.1.2) of its first address, and how much less each next one has.
const LOCAL_PREFERENCE: u32 = 10_000;
const NEXT_ADDRESS: u32 = 100;
/// The worker keeps the number after this for no limit at all.
const MAX_BITRATE: u64 = i64::MAX as u64 - 1;

/// A mediasoup 3 router for senders, without sockets, threads or a clock of its own; driven like a
/// [`Device`](crate::v3::Device).
///
/// It does at once what mediasoup's functions of the same names do; the application that owns it brings the peers' wishes and
/// takes its answers back, in whatever words, and as late as it likes.
///
/// ```
/// use std::time::Instant;
///
/// use mediasoup_producer::IceProtocol;
/// use mediasoup_producer::sim::v3::{Router, RouterConfig, WebRtcTransportOptions};
///
/// let config = RouterConfig::default().address(IceProtocol::Udp, "192.0.2.1:40000".parse()?);
/// let mut router = Router::new(config, 1);
/// assert_eq!(router.rtp_capabilities().codecs[0].mime_type, "audio/opus");
/// let parameters = router.create_web_rtc_transport(Instant::now(), WebRtcTransportOptions::default())?;
/// assert_eq!(parameters.ice_candidates[0].port, 40000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Router {
    config: RouterConfig,
    rng: Rng,
    now: Option<Instant>,
    capabilities: RtpCapabilities,
    /// Shared by all transports: making one takes most of the time of making a transport.
    certificate: Option<DtlsCert>,
    last_id: u32,
    transports: BTreeMap<TransportId, RouterTransport>,
    transport_ids: BTreeMap<Arc<str>, TransportId>,
    producer_ids: BTreeMap<Arc<str>, (TransportId, ProducerId)>,
    listener: Listener,
    outputs: VecDeque<RouterOutput>,
    counters: ServerCounters,
}

impl Router {
    /// A router without transports. `seed` decides the ids it gives; keys and ICE credentials do not come from it.
    pub fn new(config: RouterConfig, seed: u64) -> Self {
        let limits = config.limits;
        let addresses = AddressLimits { at_a_time: limits.remote_addresses, remembered: limits.addresses_remembered };
        Self {
            capabilities: capabilities::of(&config),
            listener: Listener::new(config.dtls_backend, addresses),
            config,
            rng: Rng::new(seed),
            now: None,
            certificate: None,
            last_id: 0,
            transports: BTreeMap::new(),
            transport_ids: BTreeMap::new(),
            producer_ids: BTreeMap::new(),
            outputs: VecDeque::new(),
            counters: ServerCounters::default(),
        }
    }

    /// What it can route.
    pub const fn rtp_capabilities(&self) -> &RtpCapabilities {
        &self.capabilities
    }

    // What the application asks for on behalf of its peers.

    /// Makes a transport, for a peer that is told of it.
    pub fn create_web_rtc_transport(
        &mut self,
        now: Instant,
        options: WebRtcTransportOptions,
    ) -> Result<TransportParameters, RouterError> {
        let now = self.advance(now);
        let result = self.try_create_transport(now, options);
        self.answered(result)
    }

    /// Takes the peer's side of DTLS, once.
    pub fn connect(&mut self, now: Instant, transport: &str, dtls: &DtlsParameters) -> Result<(), RouterError> {
        let now = self.advance(now);
        let result = self.try_connect(now, transport, dtls);
        self.answered(result)
    }

    /// Makes a producer, and returns its id.
    pub fn produce(
        &mut self,
        now: Instant,
        transport: &str,
        kind: MediaKind,
        rtp_parameters: &RtpParameters,
    ) -> Result<String, RouterError> {
        self.advance(now);
        let result = self.try_produce(transport, kind, rtp_parameters);
        self.answered(result)
    }

    /// Makes new ICE credentials for a transport. The old ones are good until the first request with the new ones.
    pub fn restart_ice(&mut self, now: Instant, transport: &str) -> Result<IceParameters, RouterError> {
        self.advance(now);
        let result = self.try_restart_ice(transport);
        self.answered(result)
    }

    /// Pauses a producer: what it sends is counted, and handed on no more.
    pub fn pause_producer(&mut self, now: Instant, id: &str) -> Result<(), RouterError> {
        self.set_paused(now, id, true)
    }

    /// Resumes a producer; key frames are asked for.
    pub fn resume_producer(&mut self, now: Instant, id: &str) -> Result<(), RouterError> {
        self.set_paused(now, id, false)
    }

    /// Closes a producer. Its peer is not told: that is for the application to do.
    pub fn close_producer(&mut self, now: Instant, id: &str) -> Result<(), RouterError> {
        let now = self.advance(now);
        let (on, producer) = self.producer_id(id)?;
        self.remove_producer(on, producer);
        if let Some(transport) = self.transports.get_mut(&on) {
            transport.receiver.flush(now);
        }
        self.settle(now, on);
        Ok(())
    }

    /// Closes a transport with its producers. Of signalling its peer is told nothing; DTLS ends.
    pub fn close_transport(&mut self, now: Instant, id: &str) -> Result<(), RouterError> {
        let now = self.advance(now);
        let on = self.transport_id(id)?;
        let producers: Vec<_> =
            self.transports.get(&on).into_iter().flat_map(|of| of.producers.keys().copied()).collect();
        for producer in producers {
            self.remove_producer(on, producer);
        }
        self.transport_ids.remove(id);
        self.listener.remove(on);
        let Some(mut transport) = self.transports.remove(&on) else { return Ok(()) };
        transport.receiver.close(now);
        while let Some(output) = transport.receiver.poll_output() {
            if let ReceiverOutput::Transmit(transmit) = output {
                self.lesser_output(RouterOutput::Transmit(transmit));
            }
        }
        Ok(())
    }

    /// The most that REMB allows a transport from here on, in bits per second; 0: it is not limited.
    pub fn set_max_incoming_bitrate(&mut self, transport: &str, bitrate_bps: u64) -> Result<(), RouterError> {
        let id = self.transport_id(transport)?;
        let transport = self.transports.get_mut(&id).ok_or_else(|| RouterError::no_transport(transport))?;
        if bitrate_bps > MAX_BITRATE {
            return Err(RouterError::type_error(format!("bitrate must be <= {MAX_BITRATE} or 0 (unlimited)")));
        }
        match bitrate_bps {
            0 => transport.receiver.feedback.lift_cap(),
            _ => transport.receiver.feedback.set_cap_bps(Some(bitrate_bps)),
        }
        if let Some(now) = self.now {
            transport.receiver.flush(now);
            self.settle(now, id);
        }
        Ok(())
    }

    /// Asks for key frames (PLI) of one encoding of a producer, or of all, as a new consumer would: what was asked for within
    /// the last second is not asked for again before that is over, and nothing is while the producer is paused. Returns of how
    /// many streams one is now wanted.
    pub fn request_key_frame(&mut self, now: Instant, id: &str, layer: Option<usize>) -> Result<usize, RouterError> {
        let now = self.advance(now);
        let (on, producer) = self.producer_id(id)?;
        let wanted = self.want_key_frames(now, on, producer, layer);
        self.settle(now, on);
        Ok(wanted)
    }

    // What the network brings.

    /// Takes a datagram.
    pub fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        let now = self.advance(now);
        let (id, heard) = self.listener.handle_receive(now, receive, &mut self.transports);
        if let Some(id) = id {
            self.settle(now, id);
        }
        self.counters.count(heard);
    }

    /// Says that time went on. Needed when the deadline of [`poll_timeout`](Self::poll_timeout) is reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        let due = |(id, transport): (&TransportId, &RouterTransport)| {
            transport.poll_timeout().is_some_and(|at| at <= now).then_some(*id)
        };
        for id in self.transports.iter().filter_map(due).collect::<Vec<_>>() {
            if let Some(transport) = self.transports.get_mut(&id) {
                for ssrc in transport.key_frames.overdue(now) {
                    transport.receiver.request_key_frame(ssrc);
                }
                transport.receiver.flush(now);
            }
            self.settle(now, id);
        }
    }

    // What comes out.

    /// The next thing to act on; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<RouterOutput> {
        let output = self.outputs.pop_front();
        // A burst that is over does not keep its memory.
        if self.outputs.is_empty() && self.outputs.capacity() > 256 {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next needed; `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.transports.values().filter_map(RouterTransport::poll_timeout).min()
    }

    // What there is.

    /// The transports, the oldest first.
    pub fn transports(&self) -> impl Iterator<Item = &RouterTransport> {
        self.transports.values()
    }

    /// A transport.
    pub fn transport(&self, id: &str) -> Option<&RouterTransport> {
        self.transports.get(self.transport_ids.get(id)?)
    }

    /// The producers of all transports.
    pub fn producers(&self) -> impl Iterator<Item = &RouterProducer> {
        self.transports.values().flat_map(RouterTransport::producers)
    }

    /// A producer.
    pub fn producer(&self, id: &str) -> Option<&RouterProducer> {
        let (on, producer) = self.producer_ids.get(id)?;
        self.transports.get(on)?.producers.get(producer)
    }

    /// What was received of each encoding of a producer, in the order of its parameters; nothing if it is not known.
    pub fn encodings(&self, id: &str) -> Vec<EncodingCounters> {
        let Some((on, producer)) = self.producer_ids.get(id) else { return Vec::new() };
        self.transports.get(on).map(|transport| transport.encodings(self.now, *producer)).unwrap_or_default()
    }

    /// What was dropped.
    pub const fn counters(&self) -> ServerCounters {
        self.counters
    }

    // How it is done.

    fn try_create_transport(
        &mut self,
        now: Instant,
        options: WebRtcTransportOptions,
    ) -> Result<TransportParameters, RouterError> {
        if self.transports.len() >= self.config.limits.transports {
            return Err(RouterError::Other("too many transports".to_owned()));
        }
        let enabled = |(protocol, _): &&(IceProtocol, SocketAddr)| match protocol {
            IceProtocol::Udp => options.enable_udp,
            IceProtocol::Tcp => options.enable_tcp,
        };
        let addresses: Vec<_> = self.config.addresses.iter().filter(enabled).copied().collect();
        if addresses.is_empty() {
            return Err(RouterError::type_error("empty iceCandidates"));
        }
        let certificate = self
            .certificate()
            .ok_or_else(|| RouterError::Other("DTLS certificate and private key generation failed".to_owned()))?;
        let of_codec = |codec: &crate::v3::RtpCodecCapability| {
            Some((codec.preferred_payload_type, Codec::from_mime_type(&codec.mime_type)?))
        };
        let payload_types: Vec<_> = self.capabilities.codecs.iter().filter_map(of_codec).collect();
        let mut receiver = Receiver::new(
            now,
            ReceiverOptions {
                certificate,
                dtls: self.config.dtls_backend,
                addresses: &addresses,
                payload_types: &payload_types,
                read_extensions: self.config.forward_media,
                report_goodbyes: self.config.report_goodbyes,
                feedback: BitrateFeedback::new(Worker::V3, self.config.max_incoming_bitrate_bps),
            },
        );
        let fingerprint = receiver.local_fingerprint().to_string();
        let (algorithm, value) = fingerprint.split_once(' ').unwrap_or_default();
        let fingerprint = DtlsFingerprint { algorithm: algorithm.to_owned(), value: value.to_owned() };
        let ice_parameters = receiver.ice_parameters();
        let name: Arc<str> = self.uuid().into();
        let id = TransportId::new(self.next_id());
        self.listener.add_user(&ice_parameters.username_fragment, id);
        self.transport_ids.insert(name.clone(), id);
        let transport = RouterTransport {
            name: name.clone(),
            receiver,
            connect_called: false,
            cname: None,
            bandwidth: None,
            streams: Streams::default(),
            key_frames: KeyFrameRequests::default(),
            producers: BTreeMap::new(),
            started: Vec::new(),
        };
        self.transports.insert(id, transport);
        Ok(TransportParameters {
            id: name.to_string(),
            ice_parameters,
            ice_candidates: candidates(&addresses),
            dtls_parameters: DtlsParameters { role: DtlsRole::Auto, fingerprints: vec![fingerprint] },
            sctp_parameters: None,
        })
    }

    fn try_connect(&mut self, now: Instant, name: &str, dtls: &DtlsParameters) -> Result<(), RouterError> {
        let id = self.transport_id(name)?;
        let transport = self.transports.get_mut(&id).ok_or_else(|| RouterError::no_transport(name))?;
        // All are looked at on the way to the worker, which takes the first.
        let known = |algorithm: &str| ["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"].contains(&algorithm);
        if let Some(unknown) = dtls.fingerprints.iter().find(|fingerprint| !known(&fingerprint.algorithm)) {
            return Err(RouterError::type_error(format!("invalid FingerprintAlgorithm: {}", unknown.algorithm)));
        }
        if transport.connect_called {
            return Err(RouterError::Other("connect() already called".to_owned()));
        }
        let first = dtls.fingerprints.first();
        let first = first.ok_or_else(|| RouterError::type_error("empty dtlsParameters.fingerprints array"))?;
        let DtlsFingerprint { algorithm, value } = first;
        if algorithm != "sha-256" {
            return Err(RouterError::Other("this router takes fingerprints of sha-256 alone".to_owned()));
        }
        let fingerprint: Fingerprint = format!("sha-256 {value}")
            .parse()
            .map_err(|_| RouterError::Other("this is no fingerprint of sha-256".to_owned()))?;
        let remote_role = match dtls.role {
            DtlsRole::Client => crate::net::DtlsRole::Client,
            // The real router is the client to whoever leaves it the choice.
            DtlsRole::Server | DtlsRole::Auto => crate::net::DtlsRole::Server,
        };
        transport.connect_called = true;
        transport.receiver.set_remote_dtls(remote_role, fingerprint);
        transport.receiver.flush(now);
        self.settle(now, id);
        Ok(())
    }

    fn try_produce(
        &mut self,
        name: &str,
        kind: MediaKind,
        rtp_parameters: &RtpParameters,
    ) -> Result<String, RouterError> {
        let on = self.transport_id(name)?;
        let limits = self.config.limits;
        let known = self.transports.get(&on).map_or(0, |transport| transport.producers.len());
        if known >= limits.producers {
            return Err(RouterError::Other("too many producers".to_owned()));
        }
        if rtp_parameters.encodings.len() > limits.encodings {
            return Err(RouterError::Other(format!("more than {} encodings", limits.encodings)));
        }
        if rtp_parameters.codecs.len() + rtp_parameters.header_extensions.len() > limits.parameters {
            return Err(RouterError::Other(format!("more than {} codecs and header extensions", limits.parameters)));
        }
        let mut rtp_parameters = rtp_parameters.clone();
        rtp_parameters.rtcp.cname = Some(self.cname(on, rtp_parameters.rtcp.cname));
        let producing = parameters::check(&mut rtp_parameters, &self.capabilities)?;
        let id = ProducerId::new(self.next_id());
        let producer_name: Arc<str> = self.uuid().into();
        let transport = self.transports.get_mut(&on).ok_or_else(|| RouterError::no_transport(name))?;
        let producer = RouterProducer {
            name: producer_name.clone(),
            transport: transport.name.clone(),
            kind,
            parameters: rtp_parameters,
            producing,
            paused: false,
        };
        transport.add_producer(id, producer)?;
        // None before the first producer that declares it.
        if self.config.bitrate_feedback
            && transport.bandwidth.is_some()
            && let Some(id) = transport.streams.abs_send_time()
        {
            transport.receiver.feedback.read_send_times(id);
        }
        self.producer_ids.insert(producer_name.clone(), (on, id));
        Ok(producer_name.to_string())
    }

    /// The first of a transport is that of all its producers, also if the producer comes to nothing.
    fn cname(&mut self, on: TransportId, given: Option<String>) -> String {
        if let Some(cname) = self.transports.get(&on).and_then(|transport| transport.cname.clone()) {
            return cname;
        }
        let given = given.filter(|given| !given.is_empty());
        let cname = given.unwrap_or_else(|| self.uuid().chars().take(8).collect());
        if let Some(transport) = self.transports.get_mut(&on) {
            transport.cname = Some(cname.clone());
        }
        cname
    }

    fn try_restart_ice(&mut self, name: &str) -> Result<IceParameters, RouterError> {
        let id = self.transport_id(name)?;
        let transport = self.transports.get_mut(&id).ok_or_else(|| RouterError::no_transport(name))?;
        // Those that were made before and never used.
        if let Some(unused) = transport.receiver.unused_user() {
            self.listener.remove_user(&unused);
        }
        transport.receiver.prepare_ice_restart();
        let parameters = transport.receiver.ice_parameters();
        self.listener.add_user(&parameters.username_fragment, id);
        Ok(parameters)
    }

    fn set_paused(&mut self, now: Instant, id: &str, paused: bool) -> Result<(), RouterError> {
        let now = self.advance(now);
        let (on, producer) = self.producer_id(id)?;
        let Some(transport) = self.transports.get_mut(&on) else { return Ok(()) };
        let Some(of) = transport.producers.get_mut(&producer) else { return Ok(()) };
        if std::mem::replace(&mut of.paused, paused) == paused {
            return Ok(());
        }
        for stream in transport.receiver.streams_mut().filter(|stream| stream.producer == producer) {
            stream.paused = paused;
        }
        if !paused {
            self.want_key_frames(now, on, producer, None);
            self.settle(now, on);
        }
        Ok(())
    }

    fn want_key_frames(&mut self, now: Instant, on: TransportId, id: ProducerId, layer: Option<usize>) -> usize {
        let Some(transport) = self.transports.get_mut(&on) else { return 0 };
        let can = |producer: &&RouterProducer| producer.kind == MediaKind::Video && !producer.paused;
        if transport.producers.get(&id).filter(can).is_none() {
            return 0;
        }
        let wanted: Vec<_> = transport
            .receiver
            .streams()
            .filter(|stream| stream.producer == id && layer.is_none_or(|layer| layer == stream.layer))
            .map(|stream| stream.ssrc)
            .collect();
        for ssrc in &wanted {
            transport.want_key_frame(now, *ssrc);
        }
        transport.receiver.flush(now);
        wanted.len()
    }

    fn remove_producer(&mut self, on: TransportId, id: ProducerId) {
        let now = self.now;
        let Some(transport) = self.transports.get_mut(&on) else { return };
        let encodings = transport.encodings(now, id);
        let Some(name) = transport.producers.get(&id).map(|producer| producer.name.clone()) else { return };
        transport.remove_producer(id);
        self.producer_ids.remove(&name);
        self.outputs.push_back(RouterOutput::Event(RouterEvent::ProducerClosed { id: name, encodings }));
    }

    /// Takes all that a transport's receiver has to say.
    fn settle(&mut self, now: Instant, id: TransportId) {
        while let Some(output) = self.transports.get_mut(&id).and_then(|transport| transport.receiver.poll_output()) {
            match output {
                ReceiverOutput::Transmit(transmit) => self.lesser_output(RouterOutput::Transmit(transmit)),
                ReceiverOutput::Packet { packet, repaired } => self.packet(now, id, *packet, repaired),
                ReceiverOutput::Event(event) => self.receiver_event(id, event),
            }
        }
    }

    fn receiver_event(&mut self, id: TransportId, event: ReceiverEvent) {
        let Some(id) = self.transports.get(&id).map(|transport| transport.name.clone()) else { return };
        self.lesser_output(RouterOutput::Event(match event {
            ReceiverEvent::Connected => RouterEvent::TransportConnected { id },
            ReceiverEvent::Disconnected => RouterEvent::TransportDisconnected { id },
            ReceiverEvent::Closed => RouterEvent::TransportEnded { id },
            ReceiverEvent::Failed(cause) => RouterEvent::TransportFailed { id, cause },
            ReceiverEvent::Goodbye { ssrcs } => RouterEvent::Goodbye { id, ssrcs },
        }));
    }

    fn packet(&mut self, now: Instant, on: TransportId, packet: RtpPacket, repaired: bool) {
        let ssrc = *packet.header.ssrc;
        let Some(transport) = self.transports.get_mut(&on) else { return };
        let Some(stream) = transport.receiver.stream(ssrc) else { return };
        let (id, layer) = (stream.producer, stream.layer);
        let Some(producer) = transport.producers.get(&id) else { return };
        let name = producer.name.clone();
        let (paused, video) = (producer.paused, producer.kind == MediaKind::Video);
        let key_frame = video && begins_key_frame(producer.producing.codec, &packet.payload);
        let forwarded = (self.config.forward_media && !paused).then(|| {
            let Extensions { mid, audio_level, rotation } = Extensions::of(&packet, producer.producing.read);
            ReceivedPacket {
                transport: transport.name.clone(),
                producer: name.clone(),
                codec: producer.producing.codec,
                layer,
                ssrc,
                payload_type: producer.producing.mapped_payload_type,
                sequence_number: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                repaired,
                mid,
                audio_level,
                rotation,
                sender_report: sender_report(&packet),
                payload: payload(packet),
            }
        });
        if key_frame {
            transport.key_frames.came(ssrc);
        }
        let started = transport.started.iter().any(|(_, _, of)| *of == ssrc);
        if started {
            transport.started.retain(|(_, _, of)| *of != ssrc);
            // What came before may be lost.
            if video && !paused && !key_frame {
                transport.want_key_frame(now, ssrc);
                transport.receiver.flush(now);
            }
            let event = RouterEvent::StreamStarted { producer: name, layer, ssrc };
            self.lesser_output(RouterOutput::Event(event));
        }
        if let Some(received) = forwarded {
            self.lesser_output(RouterOutput::Rtp(received));
        }
    }

    // What the parts share.

    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        now
    }

    fn answered<T>(&mut self, result: Result<T, RouterError>) -> Result<T, RouterError> {
        self.counters.requests_refused += u64::from(result.is_err());
        result
    }

    fn certificate(&mut self) -> Option<DtlsCert> {
        if self.certificate.is_none() {
            self.certificate = crypto::provider(self.config.dtls_backend).dtls_provider.generate_certificate();
        }
        self.certificate.clone()
    }

    fn transport_id(&self, name: &str) -> Result<TransportId, RouterError> {
        self.transport_ids.get(name).copied().ok_or_else(|| RouterError::no_transport(name))
    }

    fn producer_id(&self, name: &str) -> Result<(TransportId, ProducerId), RouterError> {
        self.producer_ids.get(name).copied().ok_or_else(|| RouterError::no_producer(name))
    }

    const fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    /// RFC 9562 section 5.4.
    fn uuid(&mut self) -> String {
        let (high, low) = (self.rng.next_u64(), self.rng.next_u64());
        let (version, variant) = (high & 0x0fff | 0x4000, low >> 50 | 0x8000);
        format!(
            "{:08x}-{:04x}-{version:04x}-{variant:04x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            low & 0xffff_ffff_ffff
        )
    }

    /// For what the network and the clock can cause without end.
    fn lesser_output(&mut self, output: RouterOutput) {
        if self.outputs.len() < self.config.limits.outputs {
            self.outputs.push_back(output);
        } else {
            self.counters.outputs_dropped += 1;
        }
    }
}

fn candidates(addresses: &[(IceProtocol, SocketAddr)]) -> Vec<IceCandidate> {
    let preferences = (0..=LOCAL_PREFERENCE).rev().step_by(NEXT_ADDRESS as usize).chain(std::iter::repeat(0));
    let of_address = |((protocol, address), preference): (&(IceProtocol, SocketAddr), u32)| {
        let (name, tcp_type) = match protocol {
            IceProtocol::Udp => ("udpcandidate", None),
            IceProtocol::Tcp => ("tcpcandidate", Some("passive".to_owned())),
        };
        IceCandidate {
            foundation: name.to_owned(),
            priority: (64 << 24) + (preference << 8) + 255,
            address: address.ip().to_string(),
            protocol: *protocol,
            port: address.port(),
            kind: "host".to_owned(),
            tcp_type,
        }
    };
    addresses.iter().zip(preferences).map(of_address).collect()
}
