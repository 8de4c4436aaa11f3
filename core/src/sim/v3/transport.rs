//! The transports and producers of a router, as the application that owns it may look at them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::error::RouterError;
use super::key_frames::KeyFrameRequests;
use super::output::EncodingCounters;
use super::parameters::Producing;
use super::streams::{Met, Streams};
use crate::connection::engine::endpoint::{Received, Refused, rtp_ssrc};
use crate::id::{ProducerId, TransportId};
use crate::net::{IceProtocol, Receive};
use crate::rtp::{Codec, MediaKind};
use crate::sim::StreamCounters;
use crate::sim::receiver::listener::Transports;
use crate::sim::receiver::{IceState, NewStream, Receiver};
use crate::v3::RtpParameters;

/// How the real router learns and tells what a transport can receive: its first producer that declares one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bandwidth {
    /// REMB (draft-alvestrand-rmcat-remb).
    Remb,
    /// Transport-wide congestion control (draft-holmer-rmcat-transport-wide-cc-extensions). This router sends REMB all the
    /// same.
    TransportCc,
}

/// mediasoup's type of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProducerType {
    /// One stream without layers.
    Simple,
    /// Several streams.
    Simulcast,
    /// One stream with layers.
    Svc,
}

/// A WebRTC transport.
pub struct RouterTransport {
    pub(super) name: Arc<str>,
    pub(super) receiver: Receiver,
    pub(super) connect_called: bool,
    /// Of all its producers, from the first on.
    pub(super) cname: Option<String>,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) streams: Streams,
    pub(super) key_frames: KeyFrameRequests,
    pub(super) producers: BTreeMap<ProducerId, RouterProducer>,
    /// Streams that began with the datagram that is being handled.
    pub(super) started: Vec<(ProducerId, usize, u32)>,
}

impl std::fmt::Debug for RouterTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RouterTransport").field("id", &self.name).finish_non_exhaustive()
    }
}

impl RouterTransport {
    /// Chosen by the router.
    pub fn id(&self) -> &str {
        &self.name
    }

    /// Whether ICE and DTLS are up.
    pub fn connected(&self) -> bool {
        self.receiver.secured && self.receiver.ice_state == IceState::Connected
    }

    /// The path in use: what carries it, our address, and the peer's.
    pub const fn path(&self) -> Option<(IceProtocol, SocketAddr, SocketAddr)> {
        self.receiver.path
    }

    /// Bytes of datagrams received.
    pub const fn bytes_received(&self) -> u64 {
        self.receiver.bytes_received
    }

    /// Bytes of datagrams sent.
    pub const fn bytes_sent(&self) -> u64 {
        self.receiver.bytes_sent
    }

    /// What the real router would tell bandwidth by; none: no producer has declared either.
    pub const fn bandwidth(&self) -> Option<Bandwidth> {
        self.bandwidth
    }

    /// What the last REMB allowed, in bits per second; 0 before the first.
    pub const fn bitrate_allowed_bps(&self) -> u64 {
        self.receiver.feedback.last().bitrate_bps
    }

    /// Its producers, the oldest first.
    pub fn producers(&self) -> impl Iterator<Item = &RouterProducer> {
        self.producers.values()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.receiver.poll_timeout(), self.key_frames.due()].into_iter().flatten().min()
    }

    pub(super) fn encodings(&self, now: Option<Instant>, id: ProducerId) -> Vec<EncodingCounters> {
        let Some(producer) = self.producers.get(&id) else { return Vec::new() };
        let encodings = producer.producing.encodings.iter().zip(0..);
        encodings
            .map(|(encoding, layer)| {
                let (ssrc, rtx_ssrc) = self.streams.stream(id, layer);
                let stream = ssrc.and_then(|ssrc| self.receiver.stream(ssrc));
                let received = stream.zip(now).map(|(stream, now)| stream.counter.counters(now));
                EncodingCounters {
                    layer,
                    rid: encoding.rid.clone(),
                    ssrc,
                    rtx_ssrc,
                    received: received.unwrap_or_else(StreamCounters::default),
                }
            })
            .collect()
    }

    pub(super) fn add_producer(&mut self, id: ProducerId, producer: RouterProducer) -> Result<(), RouterError> {
        self.streams.add(id, producer.parameters.mid.as_deref(), &producer.producing)?;
        self.bandwidth = self.bandwidth.or(producer.producing.bandwidth);
        self.producers.insert(id, producer);
        Ok(())
    }

    pub(super) fn remove_producer(&mut self, id: ProducerId) {
        self.streams.remove(id);
        let receiver = &self.receiver;
        self.key_frames.forget(|ssrc| receiver.stream(ssrc).is_some_and(|stream| stream.producer == id));
        self.receiver.remove_streams(id);
        self.producers.remove(&id);
    }

    /// A consumer could not go on without a key frame: it is asked for, unless it has been.
    pub(super) fn want_key_frame(&mut self, now: Instant, ssrc: u32) {
        if self.key_frames.wanted(now, ssrc) {
            self.receiver.request_key_frame(ssrc);
        }
    }

    fn handle_secured(&mut self, now: Instant, receive: &Receive) -> Received {
        let unmet = rtp_ssrc(&receive.contents).filter(|ssrc| !self.receiver.ssrc_in_use(*ssrc));
        let Some(ssrc) = unmet else { return self.receiver.handle_receive(now, receive) };
        let Some(met) = self.streams.meet(&receive.contents) else { return Received::Refused(Refused::Rtp) };
        match met {
            Met::Media { producer, layer, rtx } => {
                let Some(of) = self.producers.get(&producer) else { return Received::Refused(Refused::Rtp) };
                self.receiver.add_stream(NewStream {
                    producer,
                    layer,
                    kind: of.kind,
                    clock_rate: of.producing.clock_rate,
                    ssrc,
                    rtx,
                    nack: of.producing.nack,
                    paused: of.paused,
                });
                let received = self.receiver.handle_receive(now, receive);
                if received == Received::Taken {
                    self.streams.learn(ssrc, met);
                    self.started.push((producer, layer, ssrc));
                } else {
                    self.receiver.remove_stream(ssrc);
                }
                received
            }
            Met::Repair { ssrc: repaired, .. } => {
                self.receiver.set_rtx(repaired, Some(ssrc));
                let received = self.receiver.handle_receive(now, receive);
                if received == Received::Taken {
                    self.streams.learn(ssrc, met);
                } else {
                    self.receiver.set_rtx(repaired, None);
                }
                received
            }
        }
    }
}

impl Transports for BTreeMap<TransportId, RouterTransport> {
    fn receiver(&mut self, id: TransportId) -> Option<&mut Receiver> {
        self.get_mut(&id).map(|transport| &mut transport.receiver)
    }

    fn handle_secured(&mut self, now: Instant, id: TransportId, receive: &Receive) -> Received {
        self.get_mut(&id).map_or(Received::NotOurs, |transport| transport.handle_secured(now, receive))
    }
}

/// A producer.
#[derive(Debug)]
pub struct RouterProducer {
    pub(super) name: Arc<str>,
    pub(super) transport: Arc<str>,
    pub(super) kind: MediaKind,
    pub(super) parameters: RtpParameters,
    pub(super) producing: Producing,
    pub(super) paused: bool,
}

impl RouterProducer {
    /// Chosen by the router.
    pub fn id(&self) -> &str {
        &self.name
    }

    /// What it is sent over.
    pub fn transport(&self) -> &str {
        &self.transport
    }

    /// Audio or video.
    pub const fn kind(&self) -> MediaKind {
        self.kind
    }

    /// What it is encoded with; none: a codec that this library does not send.
    pub const fn codec(&self) -> Option<Codec> {
        self.producing.codec
    }

    /// mediasoup's type of it.
    pub const fn producer_type(&self) -> ProducerType {
        self.producing.kind
    }

    /// As the router has them: as `produce` gave them, with the CNAME of the transport, and of H264 the level that both sides
    /// agree on.
    pub const fn rtp_parameters(&self) -> &RtpParameters {
        &self.parameters
    }

    /// Whether the application has paused it.
    pub const fn paused(&self) -> bool {
        self.paused
    }
}
