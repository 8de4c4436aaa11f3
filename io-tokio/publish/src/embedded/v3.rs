//! A room of mediasoup 3, in the words of its older demo: a router, and the application around it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mediasoup_producer::protoo::{Failure, Message};
use mediasoup_producer::sim::ConnectionId;
use mediasoup_producer::sim::v3::{
    EncodingCounters, ReceivedPacket, Router, RouterConfig, RouterError, RouterEvent, RouterOutput, RouterProducer,
    WebRtcTransportOptions,
};
use mediasoup_producer::v2::Profile;
use mediasoup_producer::v3::{DtlsParameters, RtpParameters};
use mediasoup_producer::{IceProtocol, MediaKind, ProducerId, Receive};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::driver::{Output, Server, Views};
use super::{Command, LayerView, Packet, ProducerKey, ProducerView};

/// Transports of one peer.
const MAX_TRANSPORTS: usize = 8;

#[derive(Debug)]
pub(super) struct Room {
    router: Router,
    peers: BTreeMap<ConnectionId, Peer>,
    /// By the router's name of them.
    producers: BTreeMap<Arc<str>, Producing>,
    last_producer: u32,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Peer {
    id: Arc<str>,
    /// What it told of itself when it joined.
    joined: Option<Value>,
    transports: Vec<String>,
}

/// What is known of a producer beside what the router knows.
#[derive(Debug)]
struct Producing {
    key: ProducerKey,
    paused_by_peer: bool,
    paused_by_room: bool,
}

/// What the demo's requests hold, each some of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToTransport {
    transport_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connect {
    dtls_parameters: DtlsParameters,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Produce {
    kind: MediaKind,
    rtp_parameters: RtpParameters,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToProducer {
    producer_id: String,
}

impl Room {
    /// `forwards`: somebody listens to the packets.
    pub(super) fn new(address: SocketAddr, seed: u64, forwards: bool) -> Self {
        // A browser is told what it may send by REMB.
        let config =
            RouterConfig::default().address(IceProtocol::Udp, address).forward_media(forwards).transport_cc(false);
        Self {
            router: Router::new(config, seed),
            peers: BTreeMap::new(),
            producers: BTreeMap::new(),
            last_producer: 0,
            outputs: VecDeque::new(),
        }
    }

    fn asked(&mut self, now: Instant, from: ConnectionId, method: &str, data: Value) -> Result<Value, String> {
        let peer = self.peers.get_mut(&from).ok_or("no such peer")?;
        match method {
            "getRouterRtpCapabilities" => Ok(json!(self.router.rtp_capabilities())),
            "createWebRtcTransport" => {
                if peer.transports.len() >= MAX_TRANSPORTS {
                    return Err("too many transports".to_owned());
                }
                let options = WebRtcTransportOptions::default().enable_udp(data["forceTcp"] != true);
                let parameters = self.router.create_web_rtc_transport(now, options).map_err(words)?;
                peer.transports.push(parameters.id.clone());
                Ok(json!(parameters))
            }
            "connectWebRtcTransport" => {
                let transport = peer.transport(&data)?;
                let Connect { dtls_parameters } = read(data)?;
                self.router.connect(now, &transport, &dtls_parameters).map_err(words)?;
                Ok(json!({}))
            }
            "restartIce" => {
                let transport = peer.transport(&data)?;
                Ok(json!(self.router.restart_ice(now, &transport).map_err(words)?))
            }
            "join" => self.join(from, data),
            "produce" => {
                if peer.joined.is_none() {
                    return Err("Peer not yet joined".to_owned());
                }
                let transport = peer.transport(&data)?;
                let peer = peer.id.clone();
                let Produce { kind, rtp_parameters } = read(data)?;
                let id = self.router.produce(now, &transport, kind, &rtp_parameters).map_err(words)?;
                self.last_producer = self.last_producer.wrapping_add(1);
                let key = ProducerKey { peer, producer: ProducerId::from(self.last_producer) };
                let producing = Producing { key, paused_by_peer: false, paused_by_room: false };
                self.producers.insert(id.as_str().into(), producing);
                self.outputs.push_back(Output::Changed);
                Ok(json!({ "id": id }))
            }
            "closeProducer" => {
                let id = self.own_producer(from, data)?;
                self.router.close_producer(now, &id).map_err(words)?;
                Ok(json!({}))
            }
            "pauseProducer" | "resumeProducer" => {
                let id = self.own_producer(from, data)?;
                self.set_paused(now, &id, |producing| producing.paused_by_peer = method == "pauseProducer");
                Ok(json!({}))
            }
            "getProducerStats" => {
                let id = self.own_producer(from, data)?;
                Ok(self.router.encodings(&id).iter().filter_map(stream).collect())
            }
            _ => Err(format!("unknown request.method \"{method}\"")),
        }
    }

    fn join(&mut self, from: ConnectionId, data: Value) -> Result<Value, String> {
        let others: Vec<_> = self
            .peers
            .iter()
            .filter(|(id, peer)| **id != from && peer.joined.is_some())
            .map(|(id, peer)| (*id, peer.joined.clone()))
            .collect();
        let peer = self.peers.get_mut(&from).ok_or("no such peer")?;
        if peer.joined.is_some() {
            return Err("Peer already joined".to_owned());
        }
        let told = json!({ "id": &*peer.id, "displayName": data["displayName"], "device": data["device"] });
        peer.joined = Some(told.clone());
        for (other, _) in &others {
            self.tell(*other, "newPeer", told.clone());
        }
        Ok(json!({ "peers": others.into_iter().filter_map(|(_, told)| told).collect::<Vec<_>>() }))
    }

    fn own_producer(&self, peer: ConnectionId, data: Value) -> Result<String, String> {
        let ToProducer { producer_id } = read(data)?;
        let owner = self.producers.get(producer_id.as_str()).map(|producing| &producing.key.peer);
        let owns = owner.is_some() && owner == self.peers.get(&peer).map(|peer| &peer.id);
        if owns { Ok(producer_id) } else { Err(format!("producer with id \"{producer_id}\" not found")) }
    }

    fn set_paused(&mut self, now: Instant, id: &str, set: impl FnOnce(&mut Producing)) {
        let Some(producing) = self.producers.get_mut(id) else { return };
        set(producing);
        let paused = producing.paused_by_peer || producing.paused_by_room;
        // Refused when it is gone.
        let _ = if paused { self.router.pause_producer(now, id) } else { self.router.resume_producer(now, id) };
        self.outputs.push_back(Output::Changed);
    }

    fn name(&self, key: &ProducerKey) -> Option<Arc<str>> {
        self.producers.iter().find(|(_, producing)| producing.key == *key).map(|(name, _)| name.clone())
    }

    fn tell(&mut self, to: ConnectionId, method: &str, data: Value) {
        self.outputs.push_back(Output::Say(to, Message::Notification { method: method.to_owned(), data }));
    }

    /// `None`: not for us.
    fn packet(&self, packet: ReceivedPacket) -> Option<Packet> {
        let encodings = self.router.producer(&packet.producer)?.rtp_parameters().encodings.len();
        Some(Packet {
            producer: self.producers.get(&packet.producer)?.key.clone(),
            profile: profile(packet.layer, encodings)?,
            codec: packet.codec?,
            ssrc: packet.ssrc,
            payload_type: packet.payload_type,
            sequence_number: packet.sequence_number,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: packet.payload,
        })
    }

    /// `None`: of a codec that is not shown.
    fn view(&self, producer: &RouterProducer) -> Option<(ProducerKey, ProducerView)> {
        let producing = self.producers.get(producer.id())?;
        let encodings = self.router.encodings(producer.id());
        let layers = encodings.iter().filter_map(|counters| {
            Some(LayerView {
                profile: profile(counters.layer, encodings.len())?,
                ssrc: counters.ssrc.unwrap_or(0),
                packets: counters.received.packets,
                bytes: counters.received.bytes,
                lost: counters.received.packets_lost.cast_signed(),
                bitrate_bps: counters.received.bitrate_bps,
            })
        });
        let view = ProducerView {
            kind: producer.kind(),
            codec: producer.codec()?,
            paused_by_peer: producing.paused_by_peer,
            paused_by_room: producing.paused_by_room,
            layers: layers.collect(),
        };
        Some((producing.key.clone(), view))
    }
}

impl Peer {
    /// The transport of this peer that is meant.
    fn transport(&self, data: &Value) -> Result<String, String> {
        let ToTransport { transport_id } = read(data.clone())?;
        let known = self.transports.contains(&transport_id);
        if known { Ok(transport_id) } else { Err(format!("transport with id \"{transport_id}\" not found")) }
    }
}

impl Server for Room {
    fn came(&mut self, id: ConnectionId, peer_id: Option<String>) {
        let Some(peer_id) = peer_id.filter(|peer_id| !peer_id.is_empty()) else {
            return self.outputs.push_back(Output::ShutOut(id));
        };
        let peer_id: Arc<str> = peer_id.into();
        // Who comes again is taken for the same peer, whose connection broke.
        for (older, peer) in &self.peers {
            if peer.id == peer_id {
                self.outputs.push_back(Output::ShutOut(*older));
            }
        }
        self.peers.insert(id, Peer { id: peer_id, joined: None, transports: Vec::new() });
        self.tell(id, "mediasoup-version", json!({ "version": "3" }));
    }

    fn said(&mut self, now: Instant, from: ConnectionId, message: Message) {
        match message {
            Message::Request { id, method, data } => {
                let result = self.asked(now, from, &method, data);
                let result = result.map_err(|reason| Failure { code: 500, reason });
                self.outputs.push_back(Output::Say(from, Message::Response { id, result }));
            }
            Message::Notification { .. } | Message::Response { .. } => {}
        }
    }

    fn left(&mut self, now: Instant, id: ConnectionId) {
        let Some(peer) = self.peers.remove(&id) else { return };
        for transport in &peer.transports {
            // It is there: only this closes it.
            let _ = self.router.close_transport(now, transport);
        }
        if peer.joined.is_some() {
            let others: Vec<_> =
                self.peers.iter().filter(|(_, peer)| peer.joined.is_some()).map(|(other, _)| *other).collect();
            for other in others {
                self.tell(other, "peerClosed", json!({ "peerId": &*peer.id }));
            }
        }
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Pause(key) => {
                let Some(name) = self.name(&key) else { return };
                self.set_paused(now, &name, |producing| producing.paused_by_room = true);
            }
            Command::Resume(key) => {
                let Some(name) = self.name(&key) else { return };
                self.set_paused(now, &name, |producing| producing.paused_by_room = false);
            }
            Command::RequestKeyFrame(key, profile) => {
                let Some(name) = self.name(&key) else { return };
                // Refused when it is gone.
                let _ = self.router.request_key_frame(now, &name, Some(profile.layer()));
            }
            Command::Close(_) => {}
        }
    }

    fn close(&mut self, now: Instant) {
        let everybody: Vec<_> = self.peers.keys().copied().collect();
        for id in everybody {
            self.left(now, id);
        }
    }

    fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        self.router.handle_receive(now, receive);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.router.handle_timeout(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        Some(match self.router.poll_output()? {
            RouterOutput::Transmit(transmit) => Output::Transmit(transmit),
            RouterOutput::Rtp(packet) => self.packet(packet).map_or(Output::Nothing, Output::Packet),
            RouterOutput::Event(RouterEvent::ProducerClosed { id, .. }) => {
                self.producers.remove(&id);
                Output::Changed
            }
            _ => Output::Nothing,
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.router.poll_timeout()
    }

    fn views(&self) -> Views {
        self.router.producers().filter_map(|producer| self.view(producer)).collect()
    }
}

/// By which a layer is called here; of more than three none but the lowest are.
fn profile(layer: usize, encodings: usize) -> Option<Profile> {
    if encodings > 1 { Profile::SIMULCAST.get(layer).copied() } else { Some(Profile::Default) }
}

/// mediasoup's `inbound-rtp` entry; none before the first packet.
fn stream(encoding: &EncodingCounters) -> Option<Value> {
    let received = &encoding.received;
    Some(json!({
        "type": "inbound-rtp",
        "ssrc": encoding.ssrc?,
        "rid": encoding.rid,
        "packetCount": received.packets,
        "byteCount": received.bytes,
        "packetsLost": received.packets_lost,
        "bitrate": received.bitrate_bps,
    }))
}

fn read<T: DeserializeOwned>(data: Value) -> Result<T, String> {
    serde_json::from_value(data).map_err(|error| format!("TypeError: {error}"))
}

fn words(error: RouterError) -> String {
    format!("{}: {error}", error.class())
}
