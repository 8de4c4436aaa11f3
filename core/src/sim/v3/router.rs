//! A mediasoup 3 router.

mod media;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use str0m::config::DtlsCert;

use super::capabilities;
use super::config::{RouterConfig, WebRtcTransportOptions};
use super::error::RouterError;
use super::output::{EncodingCounters, RouterOutput};
use super::transport::{RouterProducer, RouterTransport};
use crate::connection::engine::crypto;
use crate::id::{ProducerId, TransportId};
use crate::net::{IceParameters, Receive};
use crate::rng::Rng;
use crate::rtp::MediaKind;
use crate::sim::ServerCounters;
use crate::sim::receiver::ReceiverOutput;
use crate::sim::receiver::listener::{AddressLimits, Listener};
use crate::v3::{DtlsParameters, RtpCapabilities, RtpParameters, TransportParameters};

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
