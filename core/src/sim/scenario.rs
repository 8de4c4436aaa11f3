//! One room, one room server, and what lies between them, driven in virtual time.

mod driving;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::net::{Link, Net};
use super::server::{
    ConnectionId, EncodingCounters, ReceivedPacket, RoomServer, RoomServerConfig, ServerEvent, ServerOutput,
};
use crate::event::ConnectionState;
use crate::id::{ProducerId, RequestId, TransportId};
use crate::net::IceProtocol;
use crate::rtp::MediaKind;
use crate::track::Track;
use crate::v2::Event;
use crate::v2::Room;
use crate::v2::{ProducerOptions, RoomConfig};

use super::source::{SentFrame, Source};
use super::timeline::{Channel, Timeline};
use driving::{Fault, Signal};

/// The room's connection to the server. Others are free for a test's own peers.
const CONNECTION: ConnectionId = ConnectionId(0);

/// How a [`Scenario`] is set up.
#[derive(Debug, Clone)]
pub struct ScenarioConfig {
    room: RoomConfig,
    server: RoomServerConfig,
    uplink: Link,
    downlink: Link,
    signalling_delay: Duration,
    protocol: IceProtocol,
}

impl Default for ScenarioConfig {
    fn default() -> Self {
        Self {
            room: RoomConfig::default(),
            server: RoomServerConfig::default(),
            uplink: Link::default(),
            downlink: Link::default(),
            signalling_delay: Duration::from_millis(10),
            protocol: IceProtocol::Udp,
        }
    }
}

impl ScenarioConfig {
    /// The room's options.
    pub fn room(mut self, config: RoomConfig) -> Self {
        self.room = config;
        self
    }

    /// The server's options. It listens on the scenario's own addresses, beside those given, and hands on its media.
    pub fn server(mut self, config: RoomServerConfig) -> Self {
        self.server = config;
        self
    }

    /// The network to the server.
    pub const fn uplink(mut self, link: Link) -> Self {
        self.uplink = link;
        self
    }

    /// The network from the server.
    pub const fn downlink(mut self, link: Link) -> Self {
        self.downlink = link;
        self
    }

    /// How long a signalling message takes, either way; [`Duration::MAX`]: it never arrives. Default: 10 ms.
    pub const fn signalling_delay(mut self, delay: Duration) -> Self {
        self.signalling_delay = delay;
        self
    }

    /// What carries the media. Default: UDP.
    pub const fn protocol(mut self, protocol: IceProtocol) -> Self {
        self.protocol = protocol;
        self
    }
}

/// A [`Room`] and a [`RoomServer`] with a network and a signalling channel between them, all in virtual time.
///
/// Between two steps everything can be looked at and commanded through the public fields. [`step`](Self::step) goes to the
/// next moment at which anything happens; [`drive`](Self::drive) and [`drive_until`](Self::drive_until) go further.
#[derive(Debug)]
pub struct Scenario {
    /// The room.
    pub room: Room,
    /// The server.
    pub server: RoomServer,
    /// The network.
    pub net: Net,
    now: Instant,
    protocol: IceProtocol,
    signalling: Channel<Signal>,
    faults: BTreeMap<String, Fault>,
    held: Vec<Signal>,
    methods: BTreeMap<RequestId, String>,
    sources: BTreeMap<ProducerId, (Source, Instant)>,
    media_stopped: bool,
    events: Vec<(Instant, Event)>,
    server_events: Vec<(Instant, ServerEvent)>,
    other_peers: Vec<ServerOutput>,
    messages: Vec<Value>,
    packets: Vec<ReceivedPacket>,
    sent: Vec<SentFrame>,
    rtp_datagrams: u64,
}

impl Scenario {
    /// Our own address to begin with.
    pub const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 5000);
    /// Another of ours, not in use to begin with.
    pub const OTHER_CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)), 5000);
    /// The server's.
    pub const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 40000);

    /// A room that was not joined, and an empty server. `now` is where virtual time begins; `seed` decides the names, and
    /// the fate of datagrams.
    pub fn new(config: ScenarioConfig, now: Instant, seed: u64) -> Self {
        let server = config.server.address(IceProtocol::Udp, Self::SERVER).address(IceProtocol::Tcp, Self::SERVER);
        let server = server.forward_media(true).report_goodbyes(true);
        Self {
            room: Room::new(config.room, seed),
            server: RoomServer::new(server, seed.wrapping_add(1)),
            net: Net::new(seed.wrapping_add(2), config.uplink, config.downlink),
            now,
            protocol: config.protocol,
            signalling: Channel::new(config.signalling_delay),
            faults: BTreeMap::new(),
            held: Vec::new(),
            methods: BTreeMap::new(),
            sources: BTreeMap::new(),
            media_stopped: false,
            events: Vec::new(),
            server_events: Vec::new(),
            other_peers: Vec::new(),
            messages: Vec::new(),
            packets: Vec::new(),
            sent: Vec::new(),
            rtp_datagrams: 0,
        }
    }

    // Named points.

    /// Joins the room.
    pub fn joined(mut self) -> Self {
        self.room.join(self.now, "sender", None).expect("a new room can be joined");
        self.drive_until("the room to be joined", |scenario| scenario.room.joined());
        self
    }

    /// Joins, makes a transport, and sends a producer for each source over it; media flows when this returns.
    pub fn sending_with(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        if !self.room.joined() {
            self = self.joined();
        }
        let transport = self.create_transport();
        let producers: Vec<_> = sources.into_iter().map(|source| self.send(transport, source)).collect();
        self.drive_until("media to arrive from every producer", |scenario| {
            producers.iter().all(|id| {
                let encodings = scenario.server.encodings(*id);
                !encodings.is_empty() && encodings.iter().all(|encoding| encoding.packets > 0)
            })
        });
        self
    }

    /// The same with Opus and VP8 in three layers: 100, 300 and 900 kbit/s.
    pub fn sending(self) -> Self {
        self.sending_with([Source::opus(32_000), Source::vp8_simulcast(100_000, 300_000, 900_000)])
    }

    // Doing things.

    /// Makes a transport and gives it the scenario's address.
    pub fn create_transport(&mut self) -> TransportId {
        let id = self.room.create_transport(self.now, None).expect("the room is joined and has space");
        let mut transport = self.room.transport(id).expect("just made");
        transport.add_local_address(self.now, self.protocol, Self::CLIENT).expect("a proper address");
        self.collect();
        id
    }

    /// Makes a producer for a source and sends it over a transport. Its media begins when the transport is connected.
    pub fn send(&mut self, transport: TransportId, source: Source) -> ProducerId {
        let id = self.create_producer(source);
        let mut producer = self.room.producer(id).expect("just made");
        producer.send(self.now, transport).expect("the transport is there");
        self.collect();
        id
    }

    /// Makes a producer for a source. Its media begins when it is sent.
    pub fn create_producer(&mut self, source: Source) -> ProducerId {
        let kind = source.codec().kind();
        let options = match (kind, source.simulcast()) {
            (MediaKind::Video, true) => ProducerOptions::default().simulcast(true),
            (MediaKind::Video | MediaKind::Audio, _) => ProducerOptions::default(),
        };
        let options = options.codec(source.codec());
        let track = Track::new(kind, kind.as_str(), kind.as_str());
        let id = self.room.create_producer(self.now, track, options, None).expect("the room takes the codec");
        self.sources.insert(id, (source, self.now));
        id
    }

    /// Ends all media at its source, so that what is under way can arrive and be repaired.
    pub const fn stop_media(&mut self) {
        self.media_stopped = true;
    }

    /// Lets media flow again.
    pub const fn resume_media(&mut self) {
        self.media_stopped = false;
    }

    /// The source of a producer, to change its bitrate.
    pub fn source(&mut self, id: ProducerId) -> Option<&mut Source> {
        self.sources.get_mut(&id).map(|(source, _)| source)
    }

    /// Keeps the answers to a method back, until [`release`](Self::release).
    pub fn hold_responses(&mut self, method: &str) {
        self.faults.insert(method.to_owned(), Fault::Keep);
    }

    /// Loses the answers to a method, until [`release`](Self::release).
    pub fn drop_responses(&mut self, method: &str) {
        self.faults.insert(method.to_owned(), Fault::Drop);
    }

    /// Answers the requests of a method in the server's stead, or refuses them in its words, until
    /// [`release`](Self::release). The server hears nothing of them.
    pub fn answer(&mut self, method: &str, result: Result<Value, &str>) {
        let result = result.map_err(str::to_owned);
        self.faults.insert(method.to_owned(), Fault::Answer { result });
    }

    /// Puts another value into the answers to a method, at a JSON pointer (RFC 6901), until [`release`](Self::release).
    pub fn patch_responses(&mut self, method: &str, pointer: &str, value: Value) {
        self.faults.insert(method.to_owned(), Fault::Patch { pointer: pointer.to_owned(), value });
    }

    /// Delivers what was kept back, and lets all requests and answers pass unchanged from here on.
    pub fn release(&mut self) {
        self.faults.clear();
        for signal in std::mem::take(&mut self.held) {
            self.signalling.send(self.now, 1, signal);
        }
    }

    /// Cuts the signalling channel, without either side being told, or joins it again.
    pub const fn set_signalling_cut(&mut self, cut: bool) {
        self.signalling.set_cut(cut);
    }

    // Looking at things.

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What the room told so far, with the time.
    pub fn events(&self) -> &[(Instant, Event)] {
        &self.events
    }

    /// Takes what the room told since it was last taken.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.collect();
        std::mem::take(&mut self.events).into_iter().map(|(_, event)| event).collect()
    }

    /// What the server's owner was told so far, with the time.
    pub fn server_events(&self) -> &[(Instant, ServerEvent)] {
        &self.server_events
    }

    /// Takes what the server's owner was told since it was last taken.
    pub fn take_server_events(&mut self) -> Vec<ServerEvent> {
        self.collect();
        std::mem::take(&mut self.server_events).into_iter().map(|(_, event)| event).collect()
    }

    /// Takes what the server said to peers of the test's own, which speak to [`server`](Self::server) directly.
    pub fn take_other_peers(&mut self) -> Vec<ServerOutput> {
        self.collect();
        std::mem::take(&mut self.other_peers)
    }

    /// Takes the mediasoup messages that the room sent since they were last taken, requests and notifications.
    pub fn take_messages(&mut self) -> Vec<Value> {
        self.collect();
        std::mem::take(&mut self.messages)
    }

    /// Takes the packets that the server received since they were last taken.
    pub fn take_packets(&mut self) -> Vec<ReceivedPacket> {
        self.collect();
        std::mem::take(&mut self.packets)
    }

    /// Takes the frames that were written since they were last taken.
    pub fn take_sent(&mut self) -> Vec<SentFrame> {
        std::mem::take(&mut self.sent)
    }

    /// How many RTP datagrams have left the room so far, retransmissions too.
    pub const fn rtp_datagrams(&self) -> u64 {
        self.rtp_datagrams
    }

    /// What the server received of every encoding of every producer it knows.
    pub fn received(&self) -> Vec<EncodingCounters> {
        self.server.producers().flat_map(|producer| self.server.encodings(producer.id())).collect()
    }

    /// The first transport of the room, if it has one.
    pub fn transport_id(&self) -> Option<TransportId> {
        self.room.transports().next().map(|transport| transport.id())
    }

    /// The first producer of a kind, if the room has one.
    pub fn producer_id(&self, kind: MediaKind) -> Option<ProducerId> {
        self.room.producers().find(|producer| producer.kind() == kind).map(|producer| producer.id())
    }

    /// Whether there are transports, and every one is connected.
    pub fn connected(&self) -> bool {
        self.room.transports().next().is_some()
            && self.room.transports().all(|transport| transport.connection_state() == ConnectionState::Connected)
    }

    // Time.

    /// Goes to the next moment at which anything happens, at most to `until`, and does all of it. False: nothing happens
    /// before `until`, which is now reached.
    pub fn step_until(&mut self, until: Instant) -> bool {
        self.go_to_next(until)
    }

    /// Goes to the next moment at which anything happens, and does all of it. False: nothing will ever happen.
    pub fn step(&mut self) -> bool {
        self.go_on()
    }

    /// Lets so much time go by.
    ///
    /// # Panics
    /// If time stands still: a deadline is never met.
    pub fn drive(&mut self, time: Duration) {
        self.go_for(time);
    }

    /// Lets time go by until `condition` holds.
    ///
    /// # Panics
    /// If it does not within a minute of virtual time; the message names `what`, and how things stand.
    pub fn drive_until(&mut self, what: &str, condition: impl FnMut(&Self) -> bool) {
        if let Err(state) = self.go_until(Duration::from_secs(60), condition) {
            panic!("waited a minute for {what}: {state}");
        }
    }

    /// Lets time go by until `condition` holds, or for `longest`; the error says how things stand then.
    pub fn try_drive_until(&mut self, longest: Duration, condition: impl FnMut(&Self) -> bool) -> Result<(), String> {
        self.go_until(longest, condition)
    }
}
