//! A mediasoup v2 room.

mod config;
mod counters;
mod entities;
mod feedback;
mod numbers;
mod output;
mod receiver;
mod requests;
mod state;
mod stats;
mod validate;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};
use str0m::config::DtlsCert;
use str0m::ice::StunMessage;
use str0m::rtp::RtpPacket;

use crate::connection::engine::crypto;
use crate::connection::engine::endpoint::{Kind, Received, Refused};
use crate::id::{ProducerId, TransportId};
use crate::media::{AudioLevel, Rotation};
use crate::net::IceProtocol;
use crate::net::Receive;
use crate::rng::Rng;
use crate::rtp::Profile;
use crate::v2::RtpCapabilities;

pub use config::{RoomServerConfig, ServerLimits};
pub use counters::EncodingCounters;
pub use entities::{ServerPeer, ServerProducer, ServerTransport};
pub use output::{ReceivedPacket, ServerEvent, ServerOutput, Side};

use numbers::RawExtensions;
use receiver::{ReceiverEvent, ReceiverOutput};
use worker::{Asked, Job};

/// Names a signalling connection; the caller's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a room received and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerCounters {
    /// Datagrams that no transport knows.
    pub datagrams_discarded: u64,
    /// STUN messages that are no binding requests made with the ICE user name and password of a transport (RFC 8489 section
    /// 9.1).
    pub stun_refused: u64,
    /// Authentic binding requests from one address more than [`ServerLimits::addresses_remembered`].
    pub addresses_refused: u64,
    /// DTLS datagrams after the handshake, but for its end: forged, replayed (RFC 6347 section 4.1.2.7), or a last flight
    /// sent again.
    pub dtls_refused: u64,
    /// RTP packets that are forged, were received before (RFC 3711 section 3.3.2), or belong to no stream.
    pub rtp_refused: u64,
    /// RTCP packets not made with the transport's keys, or not encrypted (RFC 3711 section 3.4).
    pub rtcp_forged: u64,
    /// RTCP packets that were received before (RFC 3711 section 3.3.2).
    pub rtcp_replayed: u64,
    /// Requests refused.
    pub requests_refused: u64,
    /// Notifications that made no sense; the real server only logs them.
    pub notifications_refused: u64,
    /// Datagrams, packets, statistics, and requests and notifications of peers, dropped because outputs were not polled.
    pub outputs_dropped: u64,
}

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
    /// ICE user names of transports.
    users: BTreeMap<String, TransportId>,
    /// Where transports are heard from.
    routes: BTreeMap<(IceProtocol, SocketAddr), TransportId>,
    /// What the worker is at, in order.
    jobs: VecDeque<Job>,
    outputs: VecDeque<ServerOutput>,
    counters: ServerCounters,
}

impl RoomServer {
    /// An empty room. `seed` decides the ids it gives; keys and ICE credentials do not come from it.
    pub fn new(config: RoomServerConfig, seed: u64) -> Self {
        let capabilities = config.rtp_capabilities();
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
            users: BTreeMap::new(),
            routes: BTreeMap::new(),
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
        let (id, received) = if Kind::of(&receive.contents) == Kind::Stun {
            self.binding_request(now, receive)
        } else {
            let id = self.routes.get(&(receive.protocol, receive.source)).copied();
            let transport = id.and_then(|id| self.transports.get_mut(&id));
            (id, transport.map_or(Received::NotOurs, |transport| transport.receiver.handle_receive(now, receive)))
        };
        if let Some(id) = id {
            self.settle(now, id);
        }
        let counters = &mut self.counters;
        match received {
            Received::Taken => {}
            Received::NotOurs => counters.datagrams_discarded += 1,
            Received::Refused(Refused::Stun) => counters.stun_refused += 1,
            Received::Refused(Refused::Dtls) => counters.dtls_refused += 1,
            Received::Refused(Refused::Rtp) => counters.rtp_refused += 1,
            Received::Refused(Refused::RtcpForged) => counters.rtcp_forged += 1,
            Received::Refused(Refused::RtcpReplayed) => counters.rtcp_replayed += 1,
        }
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
            .filter(|stream| stream.producer == id && profile.is_none_or(|profile| profile == stream.profile))
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
            transport.receiver.feedback.cap_bps = cap;
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
        let transport = self.producers.get(&id).and_then(|producer| self.transports.get(&producer.transport));
        let now = self.now;
        let mut counters: Vec<_> = transport
            .into_iter()
            .flat_map(|transport| transport.receiver.streams())
            .filter(|stream| stream.producer == id)
            .filter_map(|stream| Some(stream.counter.counters(now?, stream.profile, stream.ssrc)))
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

    fn binding_request(&mut self, now: Instant, receive: &Receive) -> (Option<TransportId>, Received) {
        let Some((id, theirs, nominated)) = self.authentic_request(receive) else {
            return (None, Received::Refused(Refused::Stun));
        };
        let Some(transport) = self.transports.get_mut(&id) else { return (None, Received::NotOurs) };
        let from = (receive.protocol, receive.source);
        // ICE never forgets an address.
        if !transport.addresses.contains(&from) {
            if transport.addresses.len() >= self.config.limits.addresses_remembered {
                self.counters.addresses_refused += 1;
                return (None, Received::Taken);
            }
            transport.addresses.insert(from);
        }
        transport.receiver.learn_remote_user(&theirs);
        let received = transport.receiver.handle_receive(now, receive);
        if received != Received::Taken {
            return (None, received);
        }
        transport.receiver.select_path(now, receive, nominated);
        // What else comes from there is this transport's.
        if self.routes.insert(from, id) != Some(id) {
            transport.remote_addresses.push_back(from);
            if transport.remote_addresses.len() > self.config.limits.remote_addresses
                && let Some(oldest) = transport.remote_addresses.pop_front()
                && self.routes.get(&oldest) == Some(&id)
            {
                self.routes.remove(&oldest);
            }
        }
        (Some(id), received)
    }

    /// Whose binding request this is, the user name of who asks, and whether it nominates.
    fn authentic_request(&self, receive: &Receive) -> Option<(TransportId, String, bool)> {
        let message = StunMessage::parse(&receive.contents).ok().filter(StunMessage::is_binding_request)?;
        let (ours, theirs) = message.split_username()?;
        let id = *self.users.get(ours)?;
        let password = self.transports.get(&id)?.receiver.ice.pass.as_bytes();
        let hmac = crypto::provider(self.config.dtls_backend).sha1_hmac_provider;
        let authentic = message.verify(password, |key, payloads| hmac.sha1_hmac(key, payloads));
        authentic.then(|| (id, theirs.to_owned(), message.use_candidate()))
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
        let raw = packet.header.ext_vals.user_values.get::<RawExtensions>();
        let extension = |id: Option<u8>| raw.and_then(|raw| raw.get(id?));
        let received = ReceivedPacket {
            peer: producer.peer.clone(),
            producer: producer.id,
            codec: producer.codec,
            profile: stream.profile,
            ssrc,
            payload_type: producer.payload_type,
            sequence_number: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload: Bytes::from_owner(packet.payload),
            repaired,
            mid: extension(producer.extensions.mid).map(|mid| String::from_utf8_lossy(mid).into_owned()),
            audio_level: extension(producer.extensions.audio_level)
                .and_then(<[u8]>::first)
                .map(|level| AudioLevel::new(level & 0x7f, level & 0x80 != 0)),
            rotation: extension(producer.extensions.rotation).and_then(<[u8]>::first).map(|byte| match byte & 3 {
                0 => Rotation::Deg0,
                1 => Rotation::Deg90,
                2 => Rotation::Deg180,
                _ => Rotation::Deg270,
            }),
            sender_report: packet.last_sender_info.map(|info| (info.ntp_time, info.rtp_time.numer() as u32)),
        };
        self.lesser_output(ServerOutput::Rtp(received));
    }
}
