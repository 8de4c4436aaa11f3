//! One device, one router, the application between them, and a network, driven in virtual time.

mod driving;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::config::{RouterConfig, WebRtcTransportOptions};
use super::output::{EncodingCounters, ReceivedPacket, RouterEvent};
use super::router::Router;
use crate::event::ConnectionState;
use crate::id::{ProducerId, TransportId};
use crate::net::IceProtocol;
use crate::rtp::MediaKind;
use crate::sim::net::{Link, Net};
use crate::sim::source::{SentFrame, Source};
use crate::sim::timeline::{Channel, Timeline};
use crate::track::Track;
use crate::v3::{Answer, Device, DeviceConfig, EncodingOptions, Event, ProduceOptions, TransportOptions};

use driving::{Fault, Signal};

/// How a [`Scenario`] is set up.
#[derive(Debug, Clone)]
pub struct ScenarioConfig {
    device: DeviceConfig,
    transport: TransportOptions,
    router: RouterConfig,
    uplink: Link,
    downlink: Link,
    signalling_delay: Duration,
    protocol: IceProtocol,
}

impl Default for ScenarioConfig {
    fn default() -> Self {
        Self {
            device: DeviceConfig::default(),
            transport: TransportOptions::default(),
            router: RouterConfig::default(),
            uplink: Link::default(),
            downlink: Link::default(),
            signalling_delay: Duration::from_millis(10),
            protocol: IceProtocol::Udp,
        }
    }
}

impl ScenarioConfig {
    /// The device's options.
    pub fn device(mut self, config: DeviceConfig) -> Self {
        self.device = config;
        self
    }

    /// The options of every transport.
    pub const fn transport(mut self, options: TransportOptions) -> Self {
        self.transport = options;
        self
    }

    /// The router's options. It listens on the scenario's own addresses, beside those given, and hands on its media.
    pub fn router(mut self, config: RouterConfig) -> Self {
        self.router = config;
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

    /// How long the application's signalling takes, either way; [`Duration::MAX`]: nothing ever arrives. Default: 10 ms.
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

/// A [`Device`] and a [`Router`] with an application and a network between them, all in virtual time.
///
/// The application does what one should: it asks the router what the device wants to know, tells it of what is paused,
/// resumed and closed, also if that was before it had the producer, has it close what nobody waits for any more, and its sources behave as encoders should. Between two
/// steps everything can be looked at and commanded through the public fields.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use mediasoup_producer::sim::Link;
/// use mediasoup_producer::sim::v3::{Scenario, ScenarioConfig};
///
/// let bad = Link::default().delay(Duration::from_millis(30)).loss(0.05);
/// let config = ScenarioConfig::default().uplink(bad).downlink(bad);
/// let mut scenario = Scenario::new(config, Instant::now(), 7).sending();
/// scenario.drive(Duration::from_secs(5));
/// scenario.stop_media();
/// scenario.drive(Duration::from_secs(1));
/// for encoding in scenario.received() {
///     assert!(encoding.received.packets > 0);
/// }
/// ```
#[derive(Debug)]
pub struct Scenario {
    /// The device.
    pub device: Device,
    /// The router.
    pub router: Router,
    /// The network.
    pub net: Net,
    now: Instant,
    transport: TransportOptions,
    protocol: IceProtocol,
    signalling: Channel<Signal>,
    faults: BTreeMap<String, Fault>,
    held: Vec<Signal>,
    /// Producers that the router has made, and of which its answer was lost.
    untold: Vec<String>,
    leave_out_ssrcs: bool,
    transports_made: u16,
    /// What the router calls what the device has.
    transport_names: BTreeMap<TransportId, String>,
    producer_names: BTreeMap<ProducerId, String>,
    sources: BTreeMap<ProducerId, (Source, Instant)>,
    media_stopped: bool,
    events: Vec<(Instant, Event)>,
    router_events: Vec<(Instant, RouterEvent)>,
    messages: Vec<Value>,
    packets: Vec<ReceivedPacket>,
    sent: Vec<SentFrame>,
    rtp_datagrams: u64,
}

impl Scenario {
    /// Our own address to begin with, of the first transport. Each further one has the port after the last, as each has a
    /// socket of its own.
    pub const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)), 5000);
    /// Another of ours, not in use to begin with.
    pub const OTHER_CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)), 5000);
    /// The server's.
    pub const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 40000);

    /// A device that is not loaded, and an empty router. `now` is where virtual time begins; `seed` decides the names, and
    /// the fate of datagrams.
    pub fn new(config: ScenarioConfig, now: Instant, seed: u64) -> Self {
        let router = config.router.address(IceProtocol::Udp, Self::SERVER).address(IceProtocol::Tcp, Self::SERVER);
        let router = router.forward_media(true).report_goodbyes(true);
        Self {
            device: Device::new(config.device, seed),
            router: Router::new(router, seed.wrapping_add(1)),
            net: Net::new(seed.wrapping_add(2), config.uplink, config.downlink),
            now,
            transport: config.transport,
            protocol: config.protocol,
            signalling: Channel::new(config.signalling_delay),
            faults: BTreeMap::new(),
            held: Vec::new(),
            untold: Vec::new(),
            leave_out_ssrcs: false,
            transports_made: 0,
            transport_names: BTreeMap::new(),
            producer_names: BTreeMap::new(),
            sources: BTreeMap::new(),
            media_stopped: false,
            events: Vec::new(),
            router_events: Vec::new(),
            messages: Vec::new(),
            packets: Vec::new(),
            sent: Vec::new(),
            rtp_datagrams: 0,
        }
    }

    // Named points.

    /// Loads the device.
    pub fn loaded(mut self) -> Self {
        let capabilities = self.router.rtp_capabilities().clone();
        self.device.load(self.now, capabilities, false).expect("a new device can be loaded");
        self
    }

    /// Loads the device, makes a transport, and produces each source over it; media flows when this returns.
    pub fn sending_with(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        if !self.device.loaded() {
            self = self.loaded();
        }
        let transport = self.create_transport();
        let producers: Vec<_> = sources.into_iter().map(|source| self.send(transport, source)).collect();
        self.drive_until("media to arrive from every producer", |scenario| {
            producers.iter().all(|id| {
                let encodings = scenario.encodings(*id);
                !encodings.is_empty() && encodings.iter().all(|encoding| encoding.received.packets > 0)
            })
        });
        self
    }

    /// The same with Opus and VP8 in three layers: 100, 300 and 900 kbit/s.
    pub fn sending(self) -> Self {
        self.sending_with([Source::opus(32_000), Source::vp8_simulcast(100_000, 300_000, 900_000)])
    }

    // Doing things.

    /// Makes a transport on both sides, and gives it an address.
    pub fn create_transport(&mut self) -> TransportId {
        let options = WebRtcTransportOptions::default();
        let parameters = self.router.create_web_rtc_transport(self.now, options).expect("the router has space");
        let name = parameters.id.clone();
        let created = self.device.create_send_transport(self.now, parameters, self.transport, Map::new());
        let id = created.expect("the device is loaded and has space");
        let mut transport = self.device.transport(id).expect("just made");
        let mut address = Self::CLIENT;
        address.set_port(address.port().wrapping_add(self.transports_made));
        self.transports_made = self.transports_made.wrapping_add(1);
        transport.add_local_address(self.now, self.protocol, address).expect("a proper address");
        self.transport_names.insert(id, name);
        self.collect();
        id
    }

    /// Produces a source over a transport. Its media begins when the router has the producer and the transport is connected.
    pub fn send(&mut self, transport: TransportId, source: Source) -> ProducerId {
        let kind = source.codec().kind();
        // Without a bound the lowest layer would be given all that there is.
        let of_layer = |bps: u64| EncodingOptions::default().max_bitrate(u32::try_from(bps).unwrap_or(u32::MAX));
        let options = ProduceOptions::default().codec(source.codec()).encodings(source.bitrates_bps().map(of_layer));
        let track = Track::new(kind, kind.as_str(), kind.as_str());
        let mut on = self.device.transport(transport).expect("the transport is there");
        let producing = on.produce(self.now, track, options).expect("the router takes the codec");
        self.sources.insert(producing.producer, (source, self.now));
        self.collect();
        producing.producer
    }

    /// Asks the router for new ICE credentials of a transport, and gives them to the device when they come.
    pub fn restart_ice(&mut self, transport: TransportId) {
        let name = self.transport_names.get(&transport).cloned().unwrap_or_default();
        self.signalling.send(self.now, 1, Signal::RestartIce { transport, name });
    }

    /// Closes a producer at the router, whose application tells the device's.
    pub fn close_at_router(&mut self, id: ProducerId) {
        if let Some(name) = self.producer_names.get(&id)
            && self.router.close_producer(self.now, name).is_ok()
        {
            self.signalling.send(self.now, 1, Signal::ProducerClosed { id });
        }
        self.collect();
    }

    /// Closes a transport at the router, whose application tells the device's.
    pub fn close_transport_at_router(&mut self, id: TransportId) {
        if let Some(name) = self.transport_names.get(&id)
            && self.router.close_transport(self.now, name).is_ok()
        {
            self.signalling.send(self.now, 1, Signal::TransportClosed { id });
        }
        self.collect();
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

    /// From here on the application tells the router no SSRCs, as browsers tell none of simulcast: streams are known by MID
    /// and RID alone.
    pub const fn leave_out_ssrcs(mut self) -> Self {
        self.leave_out_ssrcs = true;
        self
    }

    /// Keeps the answers to a request (`connect`, `produce`) back, until [`release`](Self::release).
    pub fn hold_answers(&mut self, request: &str) {
        self.faults.insert(request.to_owned(), Fault::Keep);
    }

    /// Loses the answers to a request, until [`release`](Self::release).
    pub fn drop_answers(&mut self, request: &str) {
        self.faults.insert(request.to_owned(), Fault::Drop);
    }

    /// Answers a request in the router's stead, or refuses it in the application's words, until [`release`](Self::release).
    /// The router hears nothing of it.
    pub fn answer(&mut self, request: &str, result: Result<Answer, &str>) {
        self.faults.insert(request.to_owned(), Fault::Answer(result.map_err(str::to_owned)));
    }

    /// Delivers what was kept back, and lets all requests and answers pass unchanged from here on.
    pub fn release(&mut self) {
        self.faults.clear();
        for signal in std::mem::take(&mut self.held) {
            self.signalling.send(self.now, 1, signal);
        }
    }

    /// Cuts the signalling, without either side being told, or joins it again.
    pub const fn set_signalling_cut(&mut self, cut: bool) {
        self.signalling.set_cut(cut);
    }

    // Looking at things.

    /// The virtual time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What the device told so far, with the time.
    pub fn events(&self) -> &[(Instant, Event)] {
        &self.events
    }

    /// Takes what the device told since it was last taken.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.collect();
        std::mem::take(&mut self.events).into_iter().map(|(_, event)| event).collect()
    }

    /// What the router told so far, with the time.
    pub fn router_events(&self) -> &[(Instant, RouterEvent)] {
        &self.router_events
    }

    /// Takes the requests of the device since they were last taken, with their names, as [`Request::to_json`] has them.
    ///
    /// [`Request::to_json`]: crate::v3::Request::to_json
    pub fn take_messages(&mut self) -> Vec<Value> {
        self.collect();
        std::mem::take(&mut self.messages)
    }

    /// Takes the packets that the router received since they were last taken.
    pub fn take_packets(&mut self) -> Vec<ReceivedPacket> {
        self.collect();
        std::mem::take(&mut self.packets)
    }

    /// Takes the frames that were written since they were last taken.
    pub fn take_sent(&mut self) -> Vec<SentFrame> {
        std::mem::take(&mut self.sent)
    }

    /// How many RTP datagrams have left the device so far, retransmissions too.
    pub const fn rtp_datagrams(&self) -> u64 {
        self.rtp_datagrams
    }

    /// What the router received of every encoding of a producer of the device's; nothing before it has the producer.
    pub fn encodings(&self, id: ProducerId) -> Vec<EncodingCounters> {
        self.producer_names.get(&id).map(|name| self.router.encodings(name)).unwrap_or_default()
    }

    /// What the router received of every encoding of every producer it knows.
    pub fn received(&self) -> Vec<EncodingCounters> {
        self.router.producers().flat_map(|producer| self.router.encodings(producer.id())).collect()
    }

    /// What the router calls a producer of the device's; none before it has answered.
    pub fn router_id(&self, id: ProducerId) -> Option<&str> {
        self.producer_names.get(&id).map(String::as_str)
    }

    /// Producers that the router has made, and of which the device never learns: the answer was
    /// [lost](Self::drop_answers). Whoever can lose an answer has to close them at the server's side.
    pub fn untold(&self) -> &[String] {
        &self.untold
    }

    /// Whether the application and its server have anything on its way to each other.
    pub fn signalling_is_quiet(&self) -> bool {
        self.signalling.next_moment().is_none()
    }

    /// The first transport of the device, if it has one.
    pub fn transport_id(&self) -> Option<TransportId> {
        self.device.transports().next().map(|transport| transport.id())
    }

    /// The first producer of a kind, if the device has one.
    pub fn producer_id(&self, kind: MediaKind) -> Option<ProducerId> {
        self.device.producers().find(|producer| producer.kind() == kind).map(|producer| producer.id())
    }

    /// Whether there are transports, and every one is connected.
    pub fn connected(&self) -> bool {
        self.device.transports().next().is_some()
            && self.device.transports().all(|transport| transport.connection_state() == ConnectionState::Connected)
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
