//! A mediasoup v2 room.

mod config;
mod counters;
mod entities;
mod output;
mod requests;
mod state;
mod stats;
mod validate;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::{Value, json};
use str0m::config::DtlsCert;
use str0m::rtp::RtpPacket;

use crate::connection::engine::crypto;
use crate::connection::engine::endpoint::Received;
use crate::id::{ProducerId, TransportId};
use crate::net::Receive;
use crate::rng::Rng;
use crate::sim::receiver::counters::ServerCounters;
use crate::sim::receiver::listener::{AddressLimits, Listener, Transports};
use crate::sim::receiver::packet::{Extensions, payload, sender_report};
use crate::sim::receiver::{Receiver, ReceiverEvent, ReceiverOutput};
use crate::v2::Profile;
use crate::v2::RtpCapabilities;

pub use config::{RoomServerConfig, ServerLimits};
pub use counters::EncodingCounters;
pub use entities::{ServerPeer, ServerProducer, ServerTransport};
pub use output::{ReceivedPacket, ServerEvent, ServerOutput, Side};

use worker::{Asked, Job};

/// Names a signalling connection; the caller's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A mediasoup v2 room for senders, without sockets, threads or a clock of its own; driven like a [`Room`](crate::v2::Room).
///
/// Peers reach it over connections that the caller names; what they say is handed in as the mediasoup messages alone,
/// free of any envelope ([`protoo`](crate::protoo) is one).
///
/// ```
/// use std::time::Instant;
///
/// use mediasoup_producer::IceProtocol;
/// use mediasoup_producer::sim::{ConnectionId, RoomServer, RoomServerConfig, ServerOutput};
///
/// let config = RoomServerConfig::default().address(IceProtocol::Udp, "192.0.2.1:40000".parse()?);
/// let mut server = RoomServer::new(config, 1);
/// let request = serde_json::json!({ "method": "queryRoom", "target": "room" });
/// server.handle_request(Instant::now(), ConnectionId(1), 7, &request);
/// let Some(ServerOutput::Response { id: 7, result: Ok(settings), .. }) = server.poll_output() else { panic!() };
/// assert_eq!(settings["rtpCapabilities"]["codecs"][0]["name"], "opus");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug)]
pub struct RoomServer {
    config: RoomServerConfig,
    rng: Rng,
    origin: Option<Instant>,
    now: Option<Instant>,
    capabilities: RtpCapabilities,
    /// Shared by all transports: making one takes most of the time of making a transport.
    certificate: Option<DtlsCert>,
    closed: bool,
    peers: BTreeMap<String, ServerPeer>,
    connections: BTreeMap<ConnectionId, String>,
    transports: BTreeMap<TransportId, ServerTransport>,
    producers: BTreeMap<ProducerId, ServerProducer>,
    listener: Listener,
    /// What the worker is at, in order.
    jobs: VecDeque<Job>,
    outputs: VecDeque<ServerOutput>,
    counters: ServerCounters,
}

impl RoomServer {
    /// An empty room. `seed` decides the ids it gives; keys and ICE credentials do not come from it.
    pub fn new(config: RoomServerConfig, seed: u64) -> Self {
        let capabilities = config.rtp_capabilities();
        let limits = config.limits;
        let addresses = AddressLimits { at_a_time: limits.remote_addresses, remembered: limits.addresses_remembered };
        let dtls = config.dtls_backend;
        Self {
            config,
            rng: Rng::new(seed),
            origin: None,
            now: None,
            capabilities,
            certificate: None,
            closed: false,
            peers: BTreeMap::new(),
            connections: BTreeMap::new(),
            transports: BTreeMap::new(),
            producers: BTreeMap::new(),
            listener: Listener::new(dtls, addresses),
            jobs: VecDeque::new(),
            outputs: VecDeque::new(),
            counters: ServerCounters::default(),
        }
    }

    // What comes in.

    /// Takes a mediasoup request. `id` comes back with the [`ServerOutput::Response`].
    pub fn handle_request(&mut self, now: Instant, connection: ConnectionId, id: u64, request: &Value) {
        let now = self.advance(now);
        if self.overrun() {
            return;
        }
        match self.request(connection, request) {
            Ok(Asked::Answered(answer)) => self.respond(connection, id, Ok(answer)),
            Ok(Asked::Worker { peer, work }) => self.ask_worker(now, connection, id, peer, work),
            Err(error) => self.respond(connection, id, Err(error)),
        }
        self.work(now);
        self.settle_all(now);
    }

    /// Takes a mediasoup notification. One that makes no sense is counted, as the real server only logs it.
    pub fn handle_notification(&mut self, now: Instant, connection: ConnectionId, message: &Value) {
        let now = self.advance(now);
        if self.overrun() {
            return;
        }
        if self.notification(now, connection, message).is_err() {
            self.counters.notifications_refused += 1;
        }
        self.settle_all(now);
    }

    /// Says that a connection is lost: its peer is closed.
    pub fn handle_disconnect(&mut self, now: Instant, connection: ConnectionId, app_data: Option<Value>) {
        let now = self.advance(now);
        if let Some(peer) = self.connections.get(&connection).cloned() {
            self.remove_peer(now, &peer, Side::Peer, app_data);
        }
    }

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
        self.work(now);
        let due: Vec<_> = self
            .transports
            .values()
            .filter(|transport| transport.receiver.poll_timeout().is_some_and(|at| at <= now))
            .map(ServerTransport::id)
            .collect();
        for id in due {
            if let Some(transport) = self.transports.get_mut(&id) {
                transport.receiver.flush(now);
            }
            self.settle(now, id);
        }
        self.report_stats(now);
    }

    // What comes out.

    /// The next thing to act on; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<ServerOutput> {
        let output = self.outputs.pop_front();
        // A burst that is over does not keep its memory.
        if self.outputs.is_empty() && self.outputs.capacity() > 256 {
            self.outputs = VecDeque::new();
        }
        output
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next needed; `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transports = self.transports.values();
        let receivers = transports.clone().filter_map(|transport| transport.receiver.poll_timeout());
        let subscriptions = transports
            .filter_map(|transport| transport.stats)
            .chain(self.producers.values().filter(|producer| !producer.paused()).filter_map(|producer| producer.stats));
        let jobs = self.jobs.front().map(|job| job.due);
        receivers.chain(subscriptions.map(|subscription| subscription.due)).chain(jobs).min()
    }

    // What the room's owner can do.

    /// Pauses a producer from the room's side. False: it is not known.
    pub fn pause_producer(&mut self, now: Instant, id: ProducerId, app_data: Option<Value>) -> bool {
        self.advance(now);
        self.set_paused(id, Side::Room, true, app_data)
    }

    /// Resumes a producer from the room's side. False: it is not known.
    pub fn resume_producer(&mut self, now: Instant, id: ProducerId, app_data: Option<Value>) -> bool {
        self.advance(now);
        self.set_paused(id, Side::Room, false, app_data)
    }

    /// Closes a producer. False: it is not known.
    pub fn close_producer(&mut self, now: Instant, id: ProducerId, app_data: Option<Value>) -> bool {
        let now = self.advance(now);
        self.remove_producer(now, id, Side::Room, app_data)
    }

    /// Closes a transport, and the producers on it without a word on them. False: it is not known.
    pub fn close_transport(&mut self, now: Instant, id: TransportId, app_data: Option<Value>) -> bool {
        let now = self.advance(now);
        self.remove_transport(now, id, Side::Room, app_data, true)
    }

    /// Closes a peer: it hears `closed`, the others `peerClosed`. False: it is not known.
    pub fn close_peer(&mut self, now: Instant, name: &str, app_data: Option<Value>) -> bool {
        let now = self.advance(now);
        let known = self.peers.contains_key(name);
        if known {
            self.remove_peer(now, name, Side::Room, app_data);
        }
        known
    }

    /// Closes the room with all that is in it. Every request is refused from then on.
    pub fn close(&mut self, now: Instant, app_data: Option<Value>) {
        let now = self.advance(now);
        self.closed = true;
        for name in self.peers.keys().cloned().collect::<Vec<_>>() {
            self.remove_peer(now, &name, Side::Room, app_data.clone());
        }
    }

    /// Asks a producer for a key frame (PLI) of one layer, or of all. False: it is not known, or not video.
    pub fn request_key_frame(&mut self, now: Instant, id: ProducerId, profile: Option<Profile>) -> bool {
        let now = self.advance(now);
        let Some(producer) = self.producers.get(&id).filter(|producer| producer.kind() == crate::MediaKind::Video)
        else {
            return false;
        };
        let on = producer.transport;
        let Some(transport) = self.transports.get_mut(&on) else { return false };
        let ssrcs: Vec<_> = transport
            .receiver
            .streams()
            .filter(|stream| {
                stream.producer == id && profile.is_none_or(|profile| profile == producer.profile(stream.layer))
            })
            .map(|stream| stream.ssrc)
            .collect();
        for ssrc in &ssrcs {
            transport.receiver.request_key_frame(*ssrc);
        }
        transport.receiver.flush(now);
        self.settle(now, on);
        !ssrcs.is_empty()
    }

    /// The most that REMB allows each transport from here on, in bits per second.
    pub fn set_bitrate_cap_bps(&mut self, cap: Option<u64>) {
        self.config.bitrate_cap_bps = cap;
        for transport in self.transports.values_mut() {
            transport.receiver.feedback.set_cap_bps(cap);
        }
    }

    // What there is.

    /// What the room can route.
    pub const fn rtp_capabilities(&self) -> &RtpCapabilities {
        &self.capabilities
    }

    /// The peers, by name.
    pub fn peers(&self) -> impl Iterator<Item = &ServerPeer> {
        self.peers.values()
    }

    /// The transports of all peers, by id.
    pub fn transports(&self) -> impl Iterator<Item = &ServerTransport> {
        self.transports.values()
    }

    /// The producers of all peers, by id.
    pub fn producers(&self) -> impl Iterator<Item = &ServerProducer> {
        self.producers.values()
    }

    /// A transport.
    pub fn transport(&self, id: TransportId) -> Option<&ServerTransport> {
        self.transports.get(&id)
    }

    /// A producer.
    pub fn producer(&self, id: ProducerId) -> Option<&ServerProducer> {
        self.producers.get(&id)
    }

    /// What was received of each encoding of a producer, lowest layer first; nothing if it is not known.
    pub fn encodings(&self, id: ProducerId) -> Vec<EncodingCounters> {
        let producer = self.producers.get(&id);
        let transport = producer.and_then(|producer| self.transports.get(&producer.transport));
        let now = self.now;
        let mut counters: Vec<_> = transport
            .into_iter()
            .flat_map(|transport| transport.receiver.streams())
            .filter(|stream| stream.producer == id)
            .filter_map(|stream| {
                let profile = producer?.profile(stream.layer);
                Some(EncodingCounters::new(profile, stream.ssrc, stream.counter.counters(now?)))
            })
            .collect();
        counters.sort_by_key(|counters| counters.profile);
        counters
    }

    /// What was dropped.
    pub const fn counters(&self) -> ServerCounters {
        self.counters
    }

    // What the parts share.

    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |last| last.max(now));
        self.origin.get_or_insert(now);
        self.now = Some(now);
        now
    }

    fn certificate(&mut self) -> Option<DtlsCert> {
        if self.certificate.is_none() {
            self.certificate = crypto::provider(self.config.dtls_backend).dtls_provider.generate_certificate();
        }
        self.certificate.clone()
    }

    fn event(&mut self, event: ServerEvent) {
        self.outputs.push_back(ServerOutput::Event(event));
    }

    fn notify(&mut self, connection: ConnectionId, method: &str, body: Value) {
        let mut message = json!({ "method": method, "target": "peer", "notification": true });
        if let (Value::Object(message), Value::Object(body)) = (&mut message, body) {
            message.extend(body);
        }
        self.outputs.push_back(ServerOutput::Notification { connection, message });
    }

    fn notify_peer(&mut self, peer: &str, method: &str, body: Value) {
        if let Some(connection) = self.peers.get(peer).map(|peer| peer.connection) {
            self.notify(connection, method, body);
        }
    }

    /// Whether so many outputs wait that peers are not heard. Each thing a peer says is answered with few.
    fn overrun(&mut self) -> bool {
        let overrun = self.outputs.len() >= self.config.limits.outputs;
        self.counters.outputs_dropped += u64::from(overrun);
        overrun
    }

    /// For what the network and the clock can cause without end.
    fn lesser_output(&mut self, output: ServerOutput) {
        if self.outputs.len() < self.config.limits.outputs {
            self.outputs.push_back(output);
        } else {
            self.counters.outputs_dropped += 1;
        }
    }

    fn settle_all(&mut self, now: Instant) {
        for id in self.transports.keys().copied().collect::<Vec<_>>() {
            if let Some(transport) = self.transports.get_mut(&id) {
                transport.receiver.flush(now);
            }
            self.settle(now, id);
        }
    }

    /// Takes all that a transport's receiver has to say.
    fn settle(&mut self, now: Instant, id: TransportId) {
        while let Some(output) = self.transports.get_mut(&id).and_then(|transport| transport.receiver.poll_output()) {
            match output {
                ReceiverOutput::Transmit(transmit) => self.lesser_output(ServerOutput::Transmit(transmit)),
                ReceiverOutput::Packet { packet, repaired } => self.packet(id, *packet, repaired),
                ReceiverOutput::Event(event) => self.receiver_event(now, id, event),
            }
        }
    }

    fn receiver_event(&mut self, now: Instant, id: TransportId, event: ReceiverEvent) {
        let event = match event {
            ReceiverEvent::Connected => {
                let on_it: Vec<_> = self
                    .producers
                    .values()
                    .filter(|producer| producer.transport == id)
                    .map(ServerProducer::id)
                    .collect();
                for producer in on_it {
                    self.request_key_frame(now, producer, None);
                }
                ServerEvent::TransportConnected { id }
            }
            ReceiverEvent::Disconnected => ServerEvent::TransportDisconnected { id },
            ReceiverEvent::Closed => ServerEvent::TransportEnded { id },
            ReceiverEvent::Failed(cause) => ServerEvent::TransportFailed { id, cause },
            ReceiverEvent::Goodbye { ssrcs } => ServerEvent::Goodbye { id, ssrcs },
        };
        self.lesser_output(ServerOutput::Event(event));
    }

    fn packet(&mut self, on: TransportId, packet: RtpPacket, repaired: bool) {
        if !self.config.forward_media {
            return;
        }
        let ssrc = *packet.header.ssrc;
        let stream = self.transports.get(&on).and_then(|transport| transport.receiver.stream(ssrc));
        let Some((stream, producer)) = stream.and_then(|s| Some((s, self.producers.get(&s.producer)?))) else { return };
        if producer.paused() {
            return;
        }
        let Extensions { mid, audio_level, rotation } = Extensions::of(&packet, producer.extensions);
        let received = ReceivedPacket {
            peer: producer.peer.clone(),
            producer: producer.id,
            codec: producer.codec,
            profile: producer.profile(stream.layer),
            ssrc,
            payload_type: producer.payload_type,
            sequence_number: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            repaired,
            mid,
            audio_level,
            rotation,
            sender_report: sender_report(&packet),
            payload: payload(packet),
        };
        self.lesser_output(ServerOutput::Rtp(received));
    }
}

impl Transports for BTreeMap<TransportId, ServerTransport> {
    fn receiver(&mut self, id: TransportId) -> Option<&mut Receiver> {
        self.get_mut(&id).map(|transport| &mut transport.receiver)
    }

    fn handle_secured(&mut self, now: Instant, id: TransportId, receive: &Receive) -> Received {
        self.receiver(id).map_or(Received::NotOurs, |receiver| receiver.handle_receive(now, receive))
    }
}
