//! The device: the sole driver of everything.

mod answers;
mod commands;
mod effects;
mod media_plane;
mod recording;
#[cfg(feature = "sim")]
mod scripted;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::{Map, Value};

use super::error::{CommandError, CreateSendTransportError, InputError, LoadError, OperationError, outputs_not_polled};
use super::handles::{Producer, Transport};
use super::input::{Accepted, Command, Input};
use super::options::{BandwidthMode, DeviceConfig, TransportOptions};
use super::ortc::{SharedCapabilities, native_capabilities};
use super::output::{Event, Output};
use super::parameters::TransportParameters;
use super::producer::ProducerInfo;
use super::rtp::RtpCapabilities;
use super::stats::DeviceStats;
use super::transport::TransportInfo;
use crate::connection::engine::{EngineEvent, EngineFactory, Identity, Repair};
use crate::error::OutputsNotPolled;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::journal::{Entered, Entry, Journal};
use crate::net::Receive;
use crate::outputs::Outputs;
use crate::requests::Requests;
use crate::rng::Rng;
use crate::rtp::MediaKind;
use crate::stats::OutboundRtpStats;

use answers::Waiting;
use effects::Effect;

/// What can send to one router of mediasoup 3, and the driver of all its transports and producers.
///
/// Hand in what happens with [`handle_input`](Self::handle_input) or the typed methods, then poll
/// [`poll_output`](Self::poll_output) until it is empty, then wait for the next input, but not beyond
/// [`poll_timeout`](Self::poll_timeout).
///
/// The signalling is the application's, in whatever words it has with its server. This is a loop with std's `UdpSocket`;
/// `ask` and `hear` stand for a WebSocket. The example `udp_loop` is such a loop with a server beside it, `game_loop` one that
/// nothing holds up, and `many_rooms` one of many devices in a thread:
///
/// ```no_run
/// use std::net::UdpSocket;
/// use std::time::{Duration, Instant};
///
/// use mediasoup_producer::v3::{
///     Answer, Device, DeviceConfig, Event, Input, Output, ProduceOptions, ProducerEvent, Refusal, Request, TransportOptions,
/// };
/// use mediasoup_producer::{IceProtocol, MediaKind, Receive, RequestId, Track, random_seed};
/// use serde_json::{Map, Value, json};
///
/// # fn request(_: &str, _: Value) -> Value { Value::Null }
/// # fn ask(_: RequestId, _: &str, _: Value) {}
/// # fn hear() -> Option<(RequestId, Result<Value, String>)> { None }
/// # fn encode_key_frame(_: usize) {}
/// let mut device = Device::new(DeviceConfig::default(), random_seed());
/// let now = Instant::now();
/// device.load(now, serde_json::from_value(request("getRouterRtpCapabilities", json!({})))?, false)?;
///
/// let parameters = serde_json::from_value(request("createWebRtcTransport", json!({ "forceTcp": false })))?;
/// let transport = device.create_send_transport(now, parameters, TransportOptions::default(), Map::new())?;
/// let socket = UdpSocket::bind("192.0.2.1:0")?;
/// let local = socket.local_addr()?;
/// device.transport(transport).expect("just made").add_local_address(now, IceProtocol::Udp, local)?;
///
/// let camera = Track::new(MediaKind::Video, "camera-1", "Front camera");
/// device.transport(transport).expect("just made").produce(now, camera, ProduceOptions::default())?;
/// loop {
///     while let Some(output) = device.poll_output() {
///         match output {
///             Output::Transmit(transmit) => drop(socket.send_to(&transmit.contents, transmit.destination)),
///             Output::Request { id, request } => ask(id, request.name(), request.to_json()),
///             Output::Event(Event::Producer { event: ProducerEvent::KeyFrameRequest { layer }, .. }) => encode_key_frame(layer),
///             Output::Event(_) => {}
///         }
///     }
///     let now = Instant::now();
///     let wait = device.poll_timeout().map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
///     socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), Duration::from_millis(20))))?;
///     let mut buffer = [0; 2000];
///     let input = match socket.recv_from(&mut buffer) {
///         Ok((length, source)) => Input::Receive(Receive {
///             protocol: IceProtocol::Udp,
///             source,
///             destination: local,
///             contents: buffer[..length].to_vec().into(),
///         }),
///         Err(_) => match hear() {
///             // The answer to `produce` has the producer's id, that to `connect` nothing.
///             Some((id, Ok(data))) => Input::Answer {
///                 id,
///                 result: Ok(match data["id"].as_str() {
///                     Some(id) => Answer::Produced { id: id.to_owned() },
///                     None => Answer::Connected,
///                 }),
///             },
///             Some((id, Err(words))) => Input::Answer { id, result: Err(Refusal::new(words)) },
///             None => Input::Timeout,
///         },
///     };
///     device.handle_input(Instant::now(), input)?;
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Device {
    config: DeviceConfig,
    rng: Rng,
    now: Option<Instant>,
    /// None: not loaded.
    capabilities: Option<SharedCapabilities>,
    // Boxed, as a node of a map has room for eleven.
    pub(crate) transports: BTreeMap<TransportId, Box<TransportInfo>>,
    producers: BTreeMap<ProducerId, Box<ProducerInfo>>,
    requests: Requests<Waiting, Waiting>,
    last_operation: u64,
    last_transport: u32,
    last_producer: u32,
    engines: Box<dyn EngineFactory>,
    /// What is still to be done about the input that is dealt with. Empty between inputs.
    effects: VecDeque<Effect>,
    /// Transports with media that was written and has not left: it does when outputs are polled.
    written: Vec<TransportId>,
    /// What engines have said and the control plane has not heard yet.
    heard: VecDeque<(TransportId, EngineEvent)>,
    outputs: Outputs<Output>,
    journal: Journal<Self>,
    stats: DeviceStats,
}

impl Device {
    /// A device that is not loaded. `seed` decides SSRCs, initial RTP numbers and the ids of streams: the same seed and inputs
    /// give the same run, which is for tests; take it from [`random_seed`](crate::random_seed). Keys and ICE credentials do
    /// not come from the seed.
    pub fn new(config: DeviceConfig, seed: u64) -> Self {
        let repair = Repair { time: config.repair_time, packets: config.limits.repair_packets };
        let engines = Identity::new(config.dtls_backend, repair, config.certificate.clone());
        Self::with_engines(config, seed, Box::new(engines))
    }

    pub(crate) fn with_engines(config: DeviceConfig, seed: u64, engines: Box<dyn EngineFactory>) -> Self {
        let outputs = Outputs::new(config.limits.outputs, config.limits.output_bytes);
        let requests = Requests::new(config.limits.late_answers);
        let journal = Journal::new(&config, seed);
        Self {
            config,
            rng: Rng::new(seed),
            now: None,
            capabilities: None,
            transports: BTreeMap::new(),
            producers: BTreeMap::new(),
            requests,
            last_operation: 0,
            last_transport: 0,
            last_producer: 0,
            engines,
            effects: VecDeque::new(),
            written: Vec::new(),
            heard: VecDeque::new(),
            outputs,
            journal,
            stats: DeviceStats::default(),
        }
    }

    /// Takes an input. All that follows from it waits to be polled when this returns.
    ///
    /// Fails for commands and media that cannot be taken; nothing has changed then. What comes from the network or is
    /// answered never fails: what is no use is dropped and counted in [`stats`](Self::stats). A time earlier than one given
    /// before is taken as that one.
    pub fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError> {
        match input {
            Input::Timeout => self.handle_timeout(now),
            Input::Receive(receive) => self.handle_receive(now, &receive),
            Input::Command(command) => return Ok(self.execute(now, command)?),
            Input::Answer { id, result } => {
                let now = self.advance(now);
                let entry = self.journal.enter(Entered::Response { id, result: &result });
                self.answer(now, id, result);
                self.entered(now, entry);
            }
            Input::Media { producer, media } => self.write(now, producer, &media)?,
        }
        Ok(Accepted::Done)
    }

    /// Lets time go on: [`Input::Timeout`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Timeout);
        self.expire_requests(now);
        self.connections_due(now);
        self.entered(now, entry);
    }

    /// Takes a datagram: [`Input::Receive`] without the copy.
    pub fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        let now = self.advance(now);
        self.receive(now, receive);
        self.hear(now);
    }

    /// The next thing to act on; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(now) = self.now.filter(|_| !self.written.is_empty()) {
            self.flush_written(now);
            self.hear(now);
        }
        let output = self.outputs.pop();
        self.journal.output(output.as_ref());
        output
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next needed; `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // What was written and not polled is due at once.
        let written = self.now.filter(|_| !self.written.is_empty());
        let transports = self.transports.values().filter_map(|transport| transport.connection.poll_timeout());
        transports.chain(self.requests.deadline()).chain(written).min()
    }

    // Commands.

    /// Loads it with the capabilities of a router (`router.rtpCapabilities`), once. Of the codecs in common the router's order
    /// is kept, or ours.
    pub fn load(
        &mut self,
        now: Instant,
        router_rtp_capabilities: RtpCapabilities,
        prefer_local_codecs_order: bool,
    ) -> Result<(), LoadError> {
        self.execute(now, Command::Load { router_rtp_capabilities, prefer_local_codecs_order })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Makes our side of a transport that the server has made. Nothing is sent before the first
    /// [`produce`](Transport::produce). Name addresses of ours for its [targets](TransportInfo::socket_targets) with
    /// [`add_local_address`](Transport::add_local_address). Addresses of the server that are host names are not tried:
    /// [resolve](TransportParameters::resolve) them first.
    pub fn create_send_transport(
        &mut self,
        now: Instant,
        parameters: TransportParameters,
        options: TransportOptions,
        app_data: Map<String, Value>,
    ) -> Result<TransportId, CreateSendTransportError> {
        self.execute(now, Command::CreateSendTransport { parameters, options, app_data })
            .map(Accepted::transport)
            .map_err(CommandError::of)
    }

    // What there is.

    /// Whether it has the capabilities of a router.
    pub const fn loaded(&self) -> bool {
        self.capabilities.is_some()
    }

    /// Whether the router takes audio or video that we can send. False before it is loaded.
    pub fn can_produce(&self, kind: MediaKind) -> bool {
        self.capabilities.as_ref().is_some_and(|capabilities| capabilities.can_produce(kind))
    }

    /// What can be sent to the router, best first: each codec can be chosen with
    /// [`ProduceOptions::codec`](super::ProduceOptions::codec). None before it is loaded.
    pub fn send_rtp_capabilities(&self) -> Option<RtpCapabilities> {
        self.capabilities.as_ref().map(SharedCapabilities::sending)
    }

    /// All that this library can send in a mode, whatever the router takes: with our payload types and extension ids.
    pub fn native_rtp_capabilities(bandwidth: BandwidthMode) -> RtpCapabilities {
        native_capabilities(bandwidth)
    }

    /// A transport, to be looked at and commanded. `None` if it is not known or closed.
    pub fn transport(&mut self, id: TransportId) -> Option<Transport<'_>> {
        self.transports.contains_key(&id).then(|| Transport::new(self, id))
    }

    /// A producer, to be looked at and commanded. `None` if it is not known or closed.
    pub fn producer(&mut self, id: ProducerId) -> Option<Producer<'_>> {
        self.producers.contains_key(&id).then(|| Producer::new(self, id))
    }

    /// A transport, to be looked at.
    pub fn transport_info(&self, id: TransportId) -> Option<&TransportInfo> {
        self.transports.get(&id).map(Box::as_ref)
    }

    /// A producer, to be looked at.
    pub fn producer_info(&self, id: ProducerId) -> Option<&ProducerInfo> {
        self.producers.get(&id).map(Box::as_ref)
    }

    /// The transports that are not closed, in the order in which they were made.
    pub fn transports(&self) -> impl Iterator<Item = &TransportInfo> {
        self.transports.values().map(Box::as_ref)
    }

    /// The producers that are not closed, those that the server has not made yet among them, in the order in which they
    /// were asked for.
    pub fn producers(&self) -> impl Iterator<Item = &ProducerInfo> {
        self.producers.values().map(Box::as_ref)
    }

    /// Our own statistics of a producer, one entry for each encoding; none before the server was asked for it.
    pub fn outbound_stats(&self, id: ProducerId) -> Vec<OutboundRtpStats> {
        let transport = self.producers.get(&id).and_then(|producer| self.transports.get(&producer.transport));
        transport.map(|transport| transport.connection.stats(id)).unwrap_or_default()
    }

    /// What was dropped, and what waits.
    pub fn stats(&self) -> DeviceStats {
        DeviceStats {
            events_dropped: self.outputs.events_dropped,
            transmits_dropped: self.outputs.transmits_dropped,
            outputs_waiting: self.outputs.len() + self.unflushed(),
            requests_pending: self.requests.len(),
            requests_forgotten: self.requests.forgotten,
            ..self.stats
        }
    }

    // What the parts share.

    pub(crate) fn execute(&mut self, now: Instant, command: Command) -> Result<Accepted, CommandError> {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Command(&command));
        let result = if self.outputs.full() {
            Err(outputs_not_polled(OutputsNotPolled(self.outputs.len()), &command))
        } else {
            self.command(now, command)
        };
        self.entered(now, entry.refused(&result));
        result
    }

    /// What follows from an input is done, and it is written down; and then comes what the engines have said meanwhile.
    fn entered(&mut self, now: Instant, entry: Entry) {
        self.run(now);
        self.journal.entered(now, entry);
        self.hear(now);
    }

    /// What an engine says while an input is dealt with is heard after it, one thing at a time. So each is an input of its
    /// own to the control plane, and a recording that repeats them repeats the run.
    fn hear(&mut self, now: Instant) {
        while let Some((id, event)) = self.heard.pop_front() {
            if self.transports.contains_key(&id) {
                let entry = self.journal.enter(Entered::Engine { transport: id, event: &event });
                self.engine_says(now, id, event);
                self.run(now);
                self.journal.entered(now, entry);
            }
        }
    }

    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        now
    }

    fn next_operation(&mut self) -> OperationId {
        self.last_operation += 1;
        OperationId::new(self.last_operation)
    }

    fn settled(&mut self, operation: OperationId, result: Result<(), OperationError>) {
        self.outputs.push(Output::Event(Event::Settled { operation, result }));
    }
}
