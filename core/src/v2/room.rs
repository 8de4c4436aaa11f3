//! The room: the sole driver of everything.

mod conductor;
mod handles;
pub(crate) mod inflight;
mod inputs;
mod media_plane;
mod names;
pub(crate) mod outputs;
pub(crate) mod peers;
mod recording;
#[cfg(feature = "sim")]
mod scripted;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::Value;

use crate::connection::engine::endpoint::Refused;
use crate::connection::engine::{EngineFactory, Identity, Repair, SelectedPath};
use crate::connection::streams::MAX_PACKET_BYTES;
use crate::error::{MediaError, OutputsNotPolled};
use crate::id::{OperationId, ProducerId, TransportId};
use crate::journal::{Entered, Entry, Journal};
use crate::media::Media;
use crate::net::Receive;
use crate::outputs::Outputs;
use crate::rng::Rng;
use crate::rtp::MediaKind;
use crate::stats::OutboundRtpStats;
use crate::track::Track;
use crate::v2::config::{ProducerOptions, RoomConfig};
use crate::v2::effect::Effect;
use crate::v2::error::{CommandError, CreateProducerError, CreateTransportError, InputError, JoinError, RoomError};
use crate::v2::input::{Accepted, Command, Input};
use crate::v2::join::RoomState;
use crate::v2::output::{Event, Output, ProducerEvent};
use crate::v2::producer::ProducerInfo;
use crate::v2::protocol::Peer;
use crate::v2::rtp::SendCodec;
use crate::v2::stats::RoomStats;
use crate::v2::transport::TransportInfo;
use crate::v2::{join, producer, transport};

pub use handles::{Producer, Transport};

use inflight::Inflight;
use media_plane::MediaPlane;
use names::Names;

/// A mediasoup room as a sender sees it, and the driver of its transports and producers.
///
/// Hand in what happens with [`handle_input`](Self::handle_input) or the typed methods, then poll
/// [`poll_output`](Self::poll_output) until it is empty, then wait for the next input, but not beyond
/// [`poll_timeout`](Self::poll_timeout).
///
/// ```no_run
/// use std::net::UdpSocket;
/// use std::time::{Duration, Instant};
///
/// use mediasoup_producer::IceProtocol;
/// use mediasoup_producer::v2::{Event, Input, Output, Room, RoomConfig};
/// use mediasoup_producer::{Receive, random_seed};
///
/// # fn send_to_server(_: String) {}
/// # fn hear_from_server() -> Option<Input> { None }
/// # fn on_event(_: &mut Room, _: Event) {}
/// let socket = UdpSocket::bind("192.0.2.1:0")?;
/// let mut room = Room::new(RoomConfig::default(), random_seed());
/// room.join(Instant::now(), "camera-1", None)?;
/// loop {
///     while let Some(output) = room.poll_output() {
///         match output {
///             Output::Transmit(transmit) => drop(socket.send_to(&transmit.contents, transmit.destination)),
///             Output::Request { id, request } => send_to_server(format!("{id} {}", request.to_json())),
///             Output::Notification(notification) => send_to_server(notification.to_json().to_string()),
///             Output::Event(event) => on_event(&mut room, event),
///         }
///     }
///     let now = Instant::now();
///     let wait = room.poll_timeout().map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
///     socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), Duration::from_millis(20))))?;
///     let mut buffer = [0; 2000];
///     let input = match socket.recv_from(&mut buffer) {
///         Ok((length, source)) => Input::Receive(Receive {
///             protocol: IceProtocol::Udp,
///             source,
///             destination: socket.local_addr()?,
///             contents: buffer[..length].to_vec().into(),
///         }),
///         Err(_) => hear_from_server().unwrap_or(Input::Timeout),
///     };
///     room.handle_input(Instant::now(), input)?;
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Room {
    config: RoomConfig,
    rng: Rng,
    now: Option<Instant>,
    join: join::Machine,
    // Boxed, as a node of a map has room for eleven.
    transports: BTreeMap<TransportId, Box<transport::Machine>>,
    producers: BTreeMap<ProducerId, Box<producer::Machine>>,
    /// What the server calls them, or will.
    transport_names: Names<TransportId>,
    producer_names: Names<ProducerId>,
    media: MediaPlane,
    inflight: Inflight,
    last_operation: u64,
    /// Transports and producers made so far.
    created: u64,
    /// What is to be done still: nothing, between two inputs.
    effects: VecDeque<Effect>,
    outputs: Outputs<Output>,
    journal: Journal<Self>,
    stats: RoomStats,
}

impl Room {
    /// A room that was not joined yet. `seed` decides the ids, SSRCs and initial RTP numbers: the same seed and inputs
    /// give the same run, which is for tests; take it from [`random_seed`](crate::random_seed). The server wants ids unique
    /// among all its peers, wherever they run: one that is refused as taken is drawn anew, a few times. Keys and ICE
    /// credentials do not come from the seed.
    pub fn new(config: RoomConfig, seed: u64) -> Self {
        let repair = Repair { time: config.repair_time, packets: config.limits.repair_packets };
        let engines = Box::new(Identity::new(config.dtls_backend, repair, config.certificate.clone()));
        Self::with_engines(config, seed, engines)
    }

    pub(crate) fn with_engines(config: RoomConfig, seed: u64, engines: Box<dyn EngineFactory>) -> Self {
        let outputs = Outputs::new(config.limits.outputs, config.limits.output_bytes);
        let journal = Journal::new(&config, seed);
        let inflight = Inflight::new(config.limits.late_answers);
        Self {
            join: join::Machine::new(&config),
            config,
            rng: Rng::new(seed),
            now: None,
            transports: BTreeMap::new(),
            producers: BTreeMap::new(),
            transport_names: Names::new(),
            producer_names: Names::new(),
            media: MediaPlane::new(engines),
            inflight,
            last_operation: 0,
            created: 0,
            effects: VecDeque::new(),
            outputs,
            journal,
            stats: RoomStats::default(),
        }
    }

    /// Takes an input. All that follows from it waits to be polled when this returns.
    ///
    /// Fails for commands and media that cannot be taken; nothing has changed then. What comes from the network or the
    /// server never fails: what is no use is dropped and counted in [`stats`](Self::stats). A time earlier than one
    /// given before is taken as that one.
    pub fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError> {
        match input {
            Input::Timeout => self.handle_timeout(now),
            Input::Receive(receive) => self.handle_receive(now, &receive),
            Input::Command(command) => return Ok(self.execute(now, command)?),
            Input::Response { id, result } => {
                let now = self.advance(now);
                let entry = self.journal.enter(Entered::Response { id, result: &result });
                self.response(now, id, result);
                self.entered(now, entry);
            }
            Input::Notification(message) => {
                let now = self.advance(now);
                let entry = self.journal.enter(Entered::Notification(&message));
                self.server_notification(now, message);
                self.entered(now, entry);
            }
            Input::Media { producer, media } => self.write(now, producer, &media)?,
        }
        Ok(Accepted::Done)
    }

    /// Says that time went on. Needed when the deadline of [`poll_timeout`](Self::poll_timeout) is reached; harmless
    /// at any other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Timeout);
        self.expire_requests(now);
        self.media.handle_timeout(now, &mut self.outputs);
        self.entered(now, entry);
    }

    /// Takes a datagram: [`Input::Receive`] without the copy.
    pub fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        let now = self.advance(now);
        let names = |transport: &transport::Machine| transport.info.has_address(receive.protocol, receive.destination);
        let is_named = self.transports.values().any(|transport| names(transport));
        let names = |id| self.transports.get(&id).is_some_and(|transport| names(transport));
        if let Err(why) = self.media.handle_receive(now, receive, is_named, names, &mut self.outputs) {
            self.count_refused(why);
        }
        self.hear(now);
    }

    fn count_refused(&mut self, why: Option<Refused>) {
        let stats = &mut self.stats;
        *match why {
            None => &mut stats.datagrams_discarded,
            Some(Refused::Stun) => &mut stats.stun_refused,
            Some(Refused::Dtls) => &mut stats.dtls_refused,
            Some(Refused::Rtp) => &mut stats.rtp_refused,
            Some(Refused::RtcpForged) => &mut stats.rtcp_forged,
            Some(Refused::RtcpReplayed) => &mut stats.rtcp_replayed,
        } += 1;
    }

    /// The next thing to act on; `None` when there is nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(now) = self.now.filter(|_| self.media.is_written()) {
            self.media.flush(now, &mut self.outputs);
            self.hear(now);
        }
        let output = self.outputs.pop();
        self.journal.output(output.as_ref());
        output
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next needed; `None`: not before something else happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // What was written and not polled is due at once.
        let written = self.now.filter(|_| self.media.is_written());
        [self.media.poll_timeout(), self.inflight.deadline(), written].into_iter().flatten().min()
    }

    // Commands.

    /// Joins the room as `peer_name`, after which [`Event::Joined`] tells who is there. A room that was closed can be
    /// joined again.
    pub fn join(
        &mut self,
        now: Instant,
        peer_name: impl Into<String>,
        app_data: Option<Value>,
    ) -> Result<OperationId, JoinError> {
        self.execute(now, Command::Join { peer_name: peer_name.into(), app_data })
            .map(Accepted::operation)
            .map_err(CommandError::of)
    }

    /// Leaves the room: says so to the server, then closes everything.
    pub fn leave(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), RoomError> {
        self.execute(now, Command::Leave { app_data }).map(drop).map_err(CommandError::of)
    }

    /// Says that the connection to the server is lost: closes everything as if the server had closed the room.
    pub fn remote_close(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), OutputsNotPolled> {
        self.execute(now, Command::RemoteClose { app_data }).map(drop).map_err(CommandError::of)
    }

    /// Makes a send transport. The server hears of it with the first producer sent over it.
    pub fn create_transport(
        &mut self,
        now: Instant,
        app_data: Option<Value>,
    ) -> Result<TransportId, CreateTransportError> {
        self.execute(now, Command::CreateTransport { app_data }).map(Accepted::transport).map_err(CommandError::of)
    }

    /// Makes a producer for a track. The server hears of it when it is [sent](Producer::send).
    pub fn create_producer(
        &mut self,
        now: Instant,
        track: Track,
        options: ProducerOptions,
        app_data: Option<Value>,
    ) -> Result<ProducerId, CreateProducerError> {
        self.execute(now, Command::CreateProducer { track, options, app_data })
            .map(Accepted::producer)
            .map_err(CommandError::of)
    }

    /// Restarts ICE on every transport that was begun (RFC 8445 section 9), in the order in which they were made; each
    /// settles by itself. A transport whose queue of operations is full is left out.
    pub fn restart_ice(&mut self, now: Instant) -> Result<Vec<OperationId>, RoomError> {
        self.execute(now, Command::RestartIce).map(Accepted::operations).map_err(CommandError::of)
    }

    // What there is.

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
        self.transports.get(&id).map(|transport| &transport.info)
    }

    /// A producer, to be looked at.
    pub fn producer_info(&self, id: ProducerId) -> Option<&ProducerInfo> {
        self.producers.get(&id).map(|producer| &producer.info)
    }

    /// The transports that are not closed.
    pub fn transports(&self) -> impl Iterator<Item = &TransportInfo> {
        self.transports.values().map(|transport| &transport.info)
    }

    /// The producers that are not closed.
    pub fn producers(&self) -> impl Iterator<Item = &ProducerInfo> {
        self.producers.values().map(|producer| &producer.info)
    }

    /// Where a transport's media goes: [`Transport::selected_path`].
    pub fn selected_path(&self, id: TransportId) -> Option<SelectedPath> {
        self.media.connection(id)?.selected_path()
    }

    /// Our own statistics of a producer, one entry for each encoding; none while it is not handled.
    pub fn outbound_stats(&self, id: ProducerId) -> Vec<OutboundRtpStats> {
        let handled = self.producer_info(id).filter(|producer| producer.handled());
        let connection = handled.and_then(|producer| self.media.connection(producer.transport()?));
        connection.map(|connection| connection.stats(id)).unwrap_or_default()
    }

    /// The other peers, by name.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.join.peers.iter()
    }

    /// Where the room is in its life.
    pub const fn state(&self) -> RoomState {
        self.join.state
    }

    /// Whether we are in the room.
    pub const fn joined(&self) -> bool {
        matches!(self.join.state, RoomState::Joined)
    }

    /// Whether the room was left or closed.
    pub const fn closed(&self) -> bool {
        matches!(self.join.state, RoomState::Closed)
    }

    /// The name we joined with.
    pub fn peer_name(&self) -> Option<&str> {
        self.join.peer_name.as_deref()
    }

    /// Whether the room takes audio or video from us. False before [`Event::Joined`], and for a spy.
    pub fn can_send(&self, kind: MediaKind) -> bool {
        self.joined() && !self.config.spy && self.join.capabilities.can_send(kind)
    }

    /// The codecs a producer of this kind can use, with their parameters, best first: a producer whose
    /// [options](ProducerOptions::codec) name none uses the first. None while [`can_send`](Self::can_send) says no.
    pub fn send_codecs(&self, kind: MediaKind) -> Vec<SendCodec> {
        if self.can_send(kind) { self.join.capabilities.send_codecs(kind) } else { Vec::new() }
    }

    /// What was dropped, and what waits.
    pub fn stats(&self) -> RoomStats {
        RoomStats {
            events_dropped: self.outputs.events_dropped,
            transmits_dropped: self.outputs.transmits_dropped,
            peers_dropped: self.join.peers.dropped,
            outputs_waiting: self.outputs.len() + self.media.unflushed(),
            requests_pending: self.inflight.len(),
            requests_forgotten: self.inflight.forgotten(),
            ..self.stats
        }
    }

    // What the parts share.

    pub(crate) fn execute(&mut self, now: Instant, command: Command) -> Result<Accepted, CommandError> {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Command(&command));
        let result = if self.outputs.full() {
            Err(OutputsNotPolled(self.outputs.len()).of(&command))
        } else {
            self.command(now, command)
        };
        self.entered(now, entry.refused(&result));
        result
    }

    pub(crate) fn write(&mut self, now: Instant, id: ProducerId, media: &Media) -> Result<(), MediaError> {
        let now = self.advance(now);
        let entry = self.journal.enter(Entered::Media { producer: id, media });
        let result = self.write_media(now, id, media);
        if let (Err(error), Media::Frame(frame)) = (&result, media) {
            self.frame_refused(now, id, frame.layer, error.is_key_frame_needed());
        }
        self.entered(now, entry.refused(&result));
        result
    }

    fn write_media(&mut self, now: Instant, id: ProducerId, media: &Media) -> Result<(), MediaError> {
        let unflushed = self.media.unflushed();
        if self.outputs.full() || self.outputs.clogged(unflushed) {
            return Err(MediaError::OutputsNotPolled(self.outputs.len() + unflushed));
        }
        let producer = &self.producers.get(&id).ok_or(MediaError::ProducerNotFound(id))?.info;
        let transport = producer.transport().filter(|_| producer.handled()).ok_or(MediaError::Unhandled(id))?;
        if producer.paused() {
            if let Some(streams) = self.media.streams_mut(id) {
                streams.source_paused();
            }
            return Err(MediaError::Paused(id));
        }
        let on = self.transports.get(&transport).filter(|transport| transport.flows());
        let on = on.ok_or(MediaError::NotConnected(id))?;
        if on.backlog > 0 {
            return Err(MediaError::Blocked(on.backlog));
        }
        let connection = self.media.connection_mut(transport).ok_or(MediaError::NotConnected(id))?;
        if connection.packets_waiting() >= self.config.limits.packets_waiting {
            return Err(MediaError::TooManyPackets(connection.packets_waiting()));
        }
        let (bytes, limit, layer) = match media {
            Media::Frame(frame) => (frame.data.len(), self.config.limits.frame_bytes, frame.layer),
            Media::Packet(packet) => (packet.payload.len(), MAX_PACKET_BYTES, packet.layer),
        };
        if bytes > limit {
            return Err(MediaError::TooLarge { bytes, limit });
        }
        let codec = producer.codec();
        let written = connection.write(now, id, media).map_err(|error| error.of_media(id, layer, codec))?;
        self.media.written(transport, &mut self.outputs);
        if let Some(profile) = self.profile(id, layer).filter(|_| written.time_went_back) {
            self.outputs.event(Event::Producer { id, event: ProducerEvent::TimeWentBack { profile } });
        }
        Ok(())
    }

    pub(crate) fn set_backlog(&mut self, id: TransportId, datagrams: usize) {
        if let Some(transport) = self.transports.get_mut(&id) {
            transport.backlog = datagrams;
        }
    }

    /// An input is dealt with: it is written down, and then comes what the engines have said meanwhile.
    fn entered(&mut self, now: Instant, entry: Entry) {
        self.journal.entered(now, entry);
        self.hear(now);
    }

    /// What an engine says while an input is dealt with is heard after it, one thing at a time. So each is an input of its
    /// own to the control plane, and a recording that repeats them repeats the run.
    fn hear(&mut self, now: Instant) {
        while let Some((id, event)) = self.media.heard.pop_front() {
            if self.transports.contains_key(&id) {
                let entry = self.journal.enter(Entered::Engine { transport: id, event: &event });
                self.engine_says(now, id, event);
                self.journal.entered(now, entry);
            }
        }
    }

    fn advance(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        now
    }
}
