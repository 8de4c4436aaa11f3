//! What peers ask for, and what comes of it.

use std::time::Instant;

use serde_json::{Value, json};

use super::entities::{ServerPeer, ServerProducer, ServerTransport, Subscription};
use super::output::{ServerEvent, Side};
use super::worker::{Asked, Work};
use super::{ConnectionId, RoomServer, validate};
use crate::id::{ProducerId, TransportId};
use crate::json::weight;
use crate::net::{DtlsFingerprint, IceProtocol};
use crate::rtp::extension::{ABS_SEND_TIME, AUDIO_LEVEL, MID, VIDEO_ORIENTATION};
use crate::sim::receiver::estimator::Worker;
use crate::sim::receiver::feedback::BitrateFeedback;
use crate::sim::receiver::packet::ExtensionIds;
use crate::sim::receiver::{NewStream, Receiver, ReceiverOptions, with_codecs};
use crate::v2::TransportOptions;

/// The real server's local preferences (RFC 8445 section 5.1.2), and what an option adds.
const LOCAL_PREFERENCE: u32 = 20_000;
const PREFERRED_FAMILY: u32 = 10_000;
const PREFERRED_PROTOCOL: u32 = 5_000;

impl RoomServer {
    pub(super) fn request(&mut self, connection: ConnectionId, request: &Value) -> Result<Asked, String> {
        if self.closed {
            return Err("InvalidStateError: Room closed".to_owned());
        }
        self.sized(request)?;
        if request["notification"].as_bool() == Some(true) {
            return Err("TypeError: not a request".to_owned());
        }
        let method = request["method"].as_str().ok_or("TypeError: wrong/missing request method")?;
        let unknown = || Err::<Asked, _>(format!("Error: unknown request method \"{method}\""));
        if request["target"] == "room" {
            return match method {
                "queryRoom" => Ok(Asked::Answered(self.config.settings(&self.capabilities))),
                "join" => self.join(connection, request).map(Asked::Answered),
                _ => unknown(),
            };
        }
        let peer = self.peer_of(connection).ok_or("InvalidStateError: this connection has not joined the room")?;
        let work = match method {
            "createTransport" => Work::CreateTransport { request: request.clone() },
            "restartTransport" => {
                let id = self.transport_of(&peer, &request["id"]).ok_or("Error: Transport not found")?;
                Work::RestartTransport { id }
            }
            "createProducer" => {
                validate::kind(&request["kind"])?;
                if self.peers[&peer].spy {
                    return Err("Error: spy peers cannot create producers".to_owned());
                }
                validate::routable(&request["rtpParameters"], &self.capabilities)?;
                let on =
                    self.transport_of(&peer, &request["transportId"]).ok_or("TypeError: WebRtcTransport not found")?;
                Work::CreateProducer { on, request: request.clone() }
            }
            "enableConsumer" => return Err("Error: Consumer not found".to_owned()),
            _ => return unknown(),
        };
        Ok(Asked::Worker { peer: self.peers[&peer].name.clone(), work })
    }

    pub(super) fn notification(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        message: &Value,
    ) -> Result<(), String> {
        self.sized(message)?;
        let method = message["method"].as_str().ok_or("TypeError: wrong/missing notification method")?;
        let peer = self.peer_of(connection).ok_or("InvalidStateError: this connection has not joined the room")?;
        let app_data = message.get("appData").cloned();
        let id = &message["id"];
        let transport = || self.transport_of(&peer, id).ok_or_else(|| "Error: Transport not found".to_owned());
        let producer = || self.producer_of(&peer, id).ok_or_else(|| "Error: Producer not found".to_owned());
        match method {
            "leave" => self.remove_peer(now, &peer, Side::Peer, app_data),
            "updateTransport" => {
                let id = transport()?;
                if let Some(parameters) = message.get("dtlsParameters")
                    && let Err(error) = self.start_dtls(id, parameters)
                {
                    self.remove_transport(now, id, Side::Room, None, true);
                    return Err(error);
                }
            }
            "closeTransport" => {
                let id = transport()?;
                self.remove_transport(now, id, Side::Peer, app_data, false);
            }
            "enableTransportStats" => {
                let id = transport()?;
                let stats = &mut self.transports.get_mut(&id).expect("just found").stats;
                stats.get_or_insert_with(|| Subscription::new(now, message["interval"].as_u64()));
                self.report_stats(now);
            }
            "disableTransportStats" => {
                let id = transport()?;
                self.transports.get_mut(&id).expect("just found").stats = None;
            }
            "pauseProducer" => {
                let id = producer()?;
                self.set_paused(id, Side::Peer, true, app_data);
            }
            "resumeProducer" => {
                let id = producer()?;
                self.set_paused(id, Side::Peer, false, app_data);
            }
            // mediasoup ignores it for one that it does not know.
            "closeProducer" => {
                if let Ok(id) = producer() {
                    self.remove_producer(now, id, Side::Peer, app_data);
                }
            }
            "enableProducerStats" => {
                let id = producer()?;
                let stats = &mut self.producers.get_mut(&id).expect("just found").stats;
                stats.get_or_insert_with(|| Subscription::new(now, message["interval"].as_u64()));
                self.report_stats(now);
            }
            "disableProducerStats" => {
                let id = producer()?;
                self.producers.get_mut(&id).expect("just found").stats = None;
            }
            _ => return Err(format!("Error: unknown notification method \"{method}\"")),
        }
        Ok(())
    }

    fn join(&mut self, connection: ConnectionId, request: &Value) -> Result<Value, String> {
        let name = request["peerName"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or("TypeError: peerName must be a string")?;
        if self.peers.contains_key(name) {
            return Err(format!("Error: duplicated Peer [peerName:\"{name}\"]"));
        }
        validate::capabilities_subset(&request["rtpCapabilities"], &self.capabilities)?;
        if self.peer_of(connection).is_some() {
            return Err("Error: this connection has joined the room already".to_owned());
        }
        if self.peers.len() >= self.config.limits.peers {
            return Err("Error: the room is full".to_owned());
        }
        let others: Vec<_> = self
            .peers
            .values()
            .filter(|other| !other.spy)
            .map(|other| with_app_data(json!({ "consumers": [], "name": &*other.name }), other.app_data.as_ref()))
            .collect();
        let spy = request["spy"].as_bool().unwrap_or(false);
        let app_data = request.get("appData").cloned();
        if !spy {
            let news = with_app_data(json!({ "consumers": [], "name": name }), app_data.as_ref());
            for other in self.peers.values().map(|other| other.connection).collect::<Vec<_>>() {
                self.notify(other, "newPeer", news.clone());
            }
        }
        self.peers.insert(name.into(), ServerPeer { name: name.into(), connection, spy, app_data });
        self.connections.insert(connection, name.into());
        self.event(ServerEvent::PeerJoined { peer: name.to_owned() });
        Ok(json!({ "peers": others }))
    }

    // Transports.

    pub(super) fn create_transport(&mut self, now: Instant, peer: &str, request: &Value) -> Result<Value, String> {
        if request["direction"] == "recv" {
            return Err("Error: this room has no consumers: transports of direction recv are not supported".to_owned());
        }
        if request.get("plainRtpParameters").is_some() {
            return Err("Error: this room has no plain RTP transports".to_owned());
        }
        let id = TransportId::new(self.given_or_random(&request["id"], "transportId")?);
        if self.transports.contains_key(&id) {
            return Err("Error: a Transport with same transportId already exists".to_owned());
        }
        if self.transports.values().filter(|transport| &*transport.peer == peer).count()
            >= self.config.limits.transports
        {
            return Err("Error: too many transports".to_owned());
        }
        let options: TransportOptions = match request.get("options") {
            None => TransportOptions::default(),
            Some(options) => serde_json::from_value(options.clone()).map_err(|error| format!("TypeError: {error}"))?,
        };
        let (candidates, addresses) = self.candidates(&options);
        if candidates.is_empty() {
            return Err("Error: could not open any IP:port".to_owned());
        }
        let certificate = self.certificate().ok_or("Error: DTLS certificate and private key generation failed")?;
        let codecs = self.capabilities.codecs.iter();
        let payload_types = with_codecs(codecs.map(|codec| (codec.preferred_payload_type, &*codec.mime_type)));
        let mut receiver = Receiver::new(
            now,
            ReceiverOptions {
                certificate,
                dtls: self.config.dtls_backend,
                addresses: &addresses,
                payload_types: &payload_types,
                read_extensions: self.config.forward_media,
                report_goodbyes: self.config.report_goodbyes,
                feedback: BitrateFeedback::new(Worker::V2, self.config.bitrate_cap_bps),
            },
        );
        let DtlsFingerprint { algorithm, value } = receiver.local_fingerprint();
        let peer_name = self.peers[peer].name.clone();
        let app_data = request.get("appData").cloned();
        let mut transport = ServerTransport {
            id,
            peer: peer_name,
            app_data: app_data.clone(),
            receiver,
            dtls_started: false,
            stats: None,
        };
        let mut role = "auto";
        if let Some(parameters) = request.get("dtlsParameters") {
            role = begin_dtls(&mut transport, parameters)?;
        }
        let answer = json!({
            "iceParameters": transport.receiver.ice_parameters(),
            "iceCandidates": candidates,
            "dtlsParameters": { "fingerprints": [{ "algorithm": algorithm, "value": value }], "role": role },
        });
        self.listener.add_user(&transport.receiver.ice.ufrag, id);
        self.transports.insert(id, transport);
        self.event(ServerEvent::TransportCreated { peer: peer.to_owned(), id, app_data });
        Ok(answer)
    }

    /// What a transport offers, and the addresses behind it.
    fn candidates(&self, options: &TransportOptions) -> (Vec<Value>, Vec<(IceProtocol, std::net::SocketAddr)>) {
        let wanted = |protocol: &IceProtocol| match protocol {
            IceProtocol::Udp => options.udp.unwrap_or(true),
            IceProtocol::Tcp => options.tcp.unwrap_or(true),
        };
        let set = |option: Option<bool>, adds: u32| if option.unwrap_or(false) { adds } else { 0 };
        let addresses: Vec<_> =
            self.config.addresses.iter().filter(|(protocol, _)| wanted(protocol)).copied().collect();
        let candidates = addresses
            .iter()
            .map(|(protocol, address)| {
                let family = if address.is_ipv4() { options.prefer_ipv4 } else { options.prefer_ipv6 };
                let (name, preferred) = match protocol {
                    IceProtocol::Udp => ("udp", options.prefer_udp),
                    IceProtocol::Tcp => ("tcp", options.prefer_tcp),
                };
                let preference = LOCAL_PREFERENCE + set(family, PREFERRED_FAMILY) + set(preferred, PREFERRED_PROTOCOL);
                let mut candidate = json!({
                    "family": if address.is_ipv4() { "ipv4" } else { "ipv6" },
                    "foundation": format!("{name}candidate"),
                    "ip": address.ip(),
                    "port": address.port(),
                    "priority": (64 << 24) + (preference << 8) + 255,
                    "protocol": name,
                    "type": "host",
                });
                if *protocol == IceProtocol::Tcp {
                    candidate["tcpType"] = "passive".into();
                }
                candidate
            })
            .collect();
        (candidates, addresses)
    }

    fn start_dtls(&mut self, id: TransportId, parameters: &Value) -> Result<(), String> {
        let Some(transport) = self.transports.get_mut(&id) else { return Ok(()) };
        begin_dtls(transport, parameters).map(drop)
    }

    pub(super) fn restart_transport(&mut self, id: TransportId) -> Result<Value, String> {
        let transport = self.transports.get_mut(&id).ok_or("Error: Transport not found")?;
        self.listener.remove_user(&transport.receiver.ice.ufrag);
        transport.receiver.restart_ice();
        self.listener.add_user(&transport.receiver.ice.ufrag, id);
        Ok(json!({ "iceParameters": transport.receiver.ice_parameters() }))
    }

    // Producers.

    /// The transport was there when this was asked. If it is closed by now, the worker's producer has gone with it, but not
    /// the server's: that stays until its peer closes it.
    pub(super) fn create_producer(&mut self, peer: &str, on: TransportId, request: &Value) -> Result<Value, String> {
        let kind = validate::kind(&request["kind"])?;
        let given = &request["rtpParameters"];
        let id = ProducerId::new(self.given_or_random(&request["id"], "producerId")?);
        let known = self.producers.get(&id);
        if known.is_some_and(|known| self.transports.contains_key(&known.transport)) {
            return Err("Error: a Producer with same producerId already exists".to_owned());
        }
        if self.producers.values().filter(|producer| &*producer.peer == peer).count() >= self.config.limits.producers {
            return Err("Error: too many producers".to_owned());
        }
        let parameters = validate::sending_parameters(given, self.config.limits.encodings)?;
        if parameters.codec.kind() != kind {
            return Err(format!("Error: a {kind} producer cannot send {}", parameters.codec));
        }
        self.free_on(on, &parameters)?;
        let mut stats_id = || format!("{:016x}", self.rng.next_u64());
        let encodings: Vec<_> = parameters.encodings.iter().map(|encoding| (encoding.profile, stats_id())).collect();
        let paused = request["paused"].as_bool().unwrap_or(false);
        let extension = |uri: &str| parameters.header_extensions.iter().find(|(of, _)| of == uri).map(|(_, id)| *id);
        if let Some(transport) = self.transports.get_mut(&on) {
            for (encoding, layer) in parameters.encodings.iter().zip(0..) {
                transport.receiver.add_stream(NewStream {
                    producer: id,
                    layer,
                    kind: parameters.codec.kind(),
                    clock_rate: parameters.codec.clock_rate(),
                    ssrc: encoding.ssrc,
                    rtx: encoding.rtx,
                    // Without RTX nothing could answer a NACK.
                    nack: encoding.rtx.is_some(),
                    paused,
                });
            }
            if self.config.bitrate_feedback
                && let Some(id) = extension(ABS_SEND_TIME)
            {
                transport.receiver.feedback.read_send_times(id);
            }
        }
        let of_room = self
            .capabilities
            .codecs
            .iter()
            .find(|codec| crate::rtp::Codec::from_mime_type(&codec.mime_type) == Some(parameters.codec));
        let app_data = request.get("appData").cloned();
        let producer = ServerProducer {
            id,
            peer: self.peers[peer].name.clone(),
            transport: on,
            codec: parameters.codec,
            payload_type: of_room.map_or(0, |codec| codec.preferred_payload_type),
            extensions: ExtensionIds {
                mid: extension(MID),
                audio_level: extension(AUDIO_LEVEL),
                rotation: extension(VIDEO_ORIENTATION),
            },
            encodings,
            mux_id: parameters.mux_id,
            app_data: app_data.clone(),
            rtp_parameters: given.clone(),
            paused_by_room: false,
            paused_by_peer: paused,
            stats: None,
        };
        self.producers.insert(id, producer);
        self.event(ServerEvent::ProducerCreated { peer: peer.to_owned(), id, kind, paused, app_data });
        Ok(Value::Null)
    }

    /// What names a stream on a transport is unique there: SSRCs first, then the MID.
    fn free_on(&self, on: TransportId, parameters: &validate::SendingParameters) -> Result<(), String> {
        let mut ours = Vec::new();
        for encoding in &parameters.encodings {
            for ssrc in [Some(encoding.ssrc), encoding.rtx].into_iter().flatten() {
                let taken = self.transports.get(&on).is_some_and(|transport| transport.receiver.ssrc_in_use(ssrc));
                if taken || ours.contains(&ssrc) {
                    return Err(format!("Error: ssrc already exists in RTP listener [ssrc:{ssrc}]"));
                }
                ours.push(ssrc);
            }
        }
        if let Some(mux_id) = &parameters.mux_id
            && self.producers.values().any(|other| other.transport == on && other.mux_id.as_ref() == Some(mux_id))
        {
            return Err(format!("Error: muxId already exists in RTP listener [muxId:'{mux_id}']"));
        }
        Ok(())
    }

    fn sized(&self, message: &Value) -> Result<(), String> {
        let limit = self.config.limits.message_bytes;
        if weight(message) > limit { Err(format!("Error: a message of more than {limit} bytes")) } else { Ok(()) }
    }

    // Who is meant.

    fn given_or_random(&mut self, given: &Value, what: &str) -> Result<u32, String> {
        match given.as_u64().and_then(|id| u32::try_from(id).ok()) {
            Some(id) if id != 0 => Ok(id),
            None if !given.is_null() => Err(format!("Error: Request has not numeric internal.{what}")),
            _ => Ok(self.rng.eight_digits()),
        }
    }

    fn peer_of(&self, connection: ConnectionId) -> Option<String> {
        self.connections.get(&connection).cloned()
    }

    fn transport_of(&self, peer: &str, id: &Value) -> Option<TransportId> {
        let id = TransportId::new(u32::try_from(id.as_u64()?).ok()?);
        self.transports.get(&id).filter(|transport| &*transport.peer == peer).map(ServerTransport::id)
    }

    fn producer_of(&self, peer: &str, id: &Value) -> Option<ProducerId> {
        let id = ProducerId::new(u32::try_from(id.as_u64()?).ok()?);
        self.producers.get(&id).filter(|producer| &*producer.peer == peer).map(ServerProducer::id)
    }
}

/// Returns our own role.
fn begin_dtls(transport: &mut ServerTransport, parameters: &Value) -> Result<&'static str, String> {
    if transport.dtls_started {
        return Err("Error: Transport already has remote DTLS parameters".to_owned());
    }
    let (role, fingerprint) = validate::dtls_parameters(parameters)?;
    transport.receiver.set_remote_dtls(role, fingerprint);
    transport.dtls_started = true;
    Ok(match role {
        crate::net::DtlsRole::Client => "server",
        crate::net::DtlsRole::Server => "client",
    })
}

pub(super) fn with_app_data(mut message: Value, app_data: Option<&Value>) -> Value {
    if let Some(app_data) = app_data {
        message["appData"] = app_data.clone();
    }
    message
}
