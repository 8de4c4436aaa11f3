//! What the application asks for, and what comes of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use str0m::config::Fingerprint;

use super::Router;
use crate::id::{ProducerId, TransportId};
use crate::net::{DtlsFingerprint, IceParameters, IceProtocol};
use crate::rtp::MediaKind;
use crate::sim::receiver::estimator::Worker;
use crate::sim::receiver::feedback::BitrateFeedback;
use crate::sim::receiver::{Receiver, ReceiverOptions, with_codecs};
use crate::sim::v3::config::WebRtcTransportOptions;
use crate::sim::v3::error::RouterError;
use crate::sim::v3::key_frames::KeyFrameRequests;
use crate::sim::v3::output::{RouterEvent, RouterOutput};
use crate::sim::v3::parameters;
use crate::sim::v3::streams::Streams;
use crate::sim::v3::transport::{RouterProducer, RouterTransport};
use crate::v3::{DtlsParameters, DtlsRole, IceCandidate, RtpParameters, TransportParameters};

/// The real router's local preference (RFC 8445 section 5.1.2) of its first address, and how much less each next one has.
const LOCAL_PREFERENCE: u32 = 10_000;
const NEXT_ADDRESS: u32 = 100;

impl Router {
    pub(super) fn try_create_transport(
        &mut self,
        now: Instant,
        options: WebRtcTransportOptions,
    ) -> Result<TransportParameters, RouterError> {
        if self.transports.len() >= self.config.limits.transports {
            return Err(RouterError::Other("too many transports".to_owned()));
        }
        let enabled = |(protocol, _): &&(IceProtocol, SocketAddr)| match protocol {
            IceProtocol::Udp => options.enable_udp,
            IceProtocol::Tcp => options.enable_tcp,
        };
        let addresses: Vec<_> = self.config.addresses.iter().filter(enabled).copied().collect();
        if addresses.is_empty() {
            return Err(RouterError::type_error("empty iceCandidates"));
        }
        let certificate = self
            .certificate()
            .ok_or_else(|| RouterError::Other("DTLS certificate and private key generation failed".to_owned()))?;
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
                feedback: BitrateFeedback::new(Worker::V3, self.config.max_incoming_bitrate_bps),
            },
        );
        let fingerprint = receiver.local_fingerprint();
        let ice_parameters = receiver.ice_parameters();
        let name: Arc<str> = self.uuid().into();
        let id = TransportId::new(self.next_id());
        self.listener.add_user(&ice_parameters.username_fragment, id);
        self.transport_ids.insert(name.clone(), id);
        let transport = RouterTransport {
            name: name.clone(),
            receiver,
            connect_called: false,
            cname: None,
            bandwidth: None,
            streams: Streams::default(),
            key_frames: KeyFrameRequests::default(),
            producers: BTreeMap::new(),
            started: Vec::new(),
        };
        self.transports.insert(id, transport);
        Ok(TransportParameters {
            id: name.to_string(),
            ice_parameters,
            ice_candidates: candidates(&addresses),
            dtls_parameters: DtlsParameters { role: DtlsRole::Auto, fingerprints: vec![fingerprint] },
            sctp_parameters: None,
        })
    }

    pub(super) fn try_connect(&mut self, now: Instant, name: &str, dtls: &DtlsParameters) -> Result<(), RouterError> {
        let id = self.transport_id(name)?;
        let transport = self.transports.get_mut(&id).ok_or_else(|| RouterError::no_transport(name))?;
        // All are looked at on the way to the worker, which takes the first.
        let known = |algorithm: &str| ["sha-1", "sha-224", "sha-256", "sha-384", "sha-512"].contains(&algorithm);
        if let Some(unknown) = dtls.fingerprints.iter().find(|fingerprint| !known(&fingerprint.algorithm)) {
            return Err(RouterError::type_error(format!("invalid FingerprintAlgorithm: {}", unknown.algorithm)));
        }
        if transport.connect_called {
            return Err(RouterError::Other("connect() already called".to_owned()));
        }
        let first = dtls.fingerprints.first();
        let first = first.ok_or_else(|| RouterError::type_error("empty dtlsParameters.fingerprints array"))?;
        let DtlsFingerprint { algorithm, value } = first;
        if algorithm != "sha-256" {
            return Err(RouterError::Other("this router takes fingerprints of sha-256 alone".to_owned()));
        }
        let fingerprint: Fingerprint = format!("sha-256 {value}")
            .parse()
            .map_err(|_| RouterError::Other("this is no fingerprint of sha-256".to_owned()))?;
        let remote_role = match dtls.role {
            DtlsRole::Client => crate::net::DtlsRole::Client,
            // The real router is the client to whoever leaves it the choice.
            DtlsRole::Server | DtlsRole::Auto => crate::net::DtlsRole::Server,
        };
        transport.connect_called = true;
        transport.receiver.set_remote_dtls(remote_role, fingerprint);
        transport.receiver.flush(now);
        self.settle(now, id);
        Ok(())
    }

    pub(super) fn try_produce(
        &mut self,
        name: &str,
        kind: MediaKind,
        rtp_parameters: &RtpParameters,
    ) -> Result<String, RouterError> {
        let on = self.transport_id(name)?;
        let limits = self.config.limits;
        let known = self.transports.get(&on).map_or(0, |transport| transport.producers.len());
        if known >= limits.producers {
            return Err(RouterError::Other("too many producers".to_owned()));
        }
        if rtp_parameters.encodings.len() > limits.encodings {
            return Err(RouterError::Other(format!("more than {} encodings", limits.encodings)));
        }
        if rtp_parameters.codecs.len() + rtp_parameters.header_extensions.len() > limits.parameters {
            return Err(RouterError::Other(format!("more than {} codecs and header extensions", limits.parameters)));
        }
        let mut rtp_parameters = rtp_parameters.clone();
        rtp_parameters.rtcp.cname = Some(self.cname(on, rtp_parameters.rtcp.cname));
        let producing = parameters::check(&mut rtp_parameters, &self.capabilities)?;
        let id = ProducerId::new(self.next_id());
        let producer_name: Arc<str> = self.uuid().into();
        let transport = self.transports.get_mut(&on).ok_or_else(|| RouterError::no_transport(name))?;
        let producer = RouterProducer {
            name: producer_name.clone(),
            transport: transport.name.clone(),
            kind,
            parameters: rtp_parameters,
            producing,
            paused: false,
        };
        transport.add_producer(id, producer)?;
        // None before the first producer that declares it.
        if self.config.bitrate_feedback
            && transport.bandwidth.is_some()
            && let Some(id) = transport.streams.abs_send_time()
        {
            transport.receiver.feedback.read_send_times(id);
        }
        self.producer_ids.insert(producer_name.clone(), (on, id));
        Ok(producer_name.to_string())
    }

    /// The first of a transport is that of all its producers, also if the producer comes to nothing.
    fn cname(&mut self, on: TransportId, given: Option<String>) -> String {
        if let Some(cname) = self.transports.get(&on).and_then(|transport| transport.cname.clone()) {
            return cname;
        }
        let given = given.filter(|given| !given.is_empty());
        let cname = given.unwrap_or_else(|| self.uuid().chars().take(8).collect());
        if let Some(transport) = self.transports.get_mut(&on) {
            transport.cname = Some(cname.clone());
        }
        cname
    }

    pub(super) fn try_restart_ice(&mut self, name: &str) -> Result<IceParameters, RouterError> {
        let id = self.transport_id(name)?;
        let transport = self.transports.get_mut(&id).ok_or_else(|| RouterError::no_transport(name))?;
        // Those that were made before and never used.
        if let Some(unused) = transport.receiver.unused_user() {
            self.listener.remove_user(&unused);
        }
        transport.receiver.prepare_ice_restart();
        let parameters = transport.receiver.ice_parameters();
        self.listener.add_user(&parameters.username_fragment, id);
        Ok(parameters)
    }

    pub(super) fn set_paused(&mut self, now: Instant, id: &str, paused: bool) -> Result<(), RouterError> {
        let now = self.advance(now);
        let (on, producer) = self.producer_id(id)?;
        let Some(transport) = self.transports.get_mut(&on) else { return Ok(()) };
        let Some(of) = transport.producers.get_mut(&producer) else { return Ok(()) };
        if std::mem::replace(&mut of.paused, paused) == paused {
            return Ok(());
        }
        for stream in transport.receiver.streams_mut().filter(|stream| stream.producer == producer) {
            stream.paused = paused;
        }
        if !paused {
            self.want_key_frames(now, on, producer, None);
            self.settle(now, on);
        }
        Ok(())
    }

    pub(super) fn remove_producer(&mut self, on: TransportId, id: ProducerId) {
        let now = self.now;
        let Some(transport) = self.transports.get_mut(&on) else { return };
        let encodings = transport.encodings(now, id);
        let Some(name) = transport.producers.get(&id).map(|producer| producer.name.clone()) else { return };
        transport.remove_producer(id);
        self.producer_ids.remove(&name);
        self.outputs.push_back(RouterOutput::Event(RouterEvent::ProducerClosed { id: name, encodings }));
    }
}

fn candidates(addresses: &[(IceProtocol, SocketAddr)]) -> Vec<IceCandidate> {
    let preferences = (0..=LOCAL_PREFERENCE).rev().step_by(NEXT_ADDRESS as usize).chain(std::iter::repeat(0));
    let of_address = |((protocol, address), preference): (&(IceProtocol, SocketAddr), u32)| {
        let (name, tcp_type) = match protocol {
            IceProtocol::Udp => ("udpcandidate", None),
            IceProtocol::Tcp => ("tcpcandidate", Some("passive".to_owned())),
        };
        IceCandidate {
            foundation: name.to_owned(),
            priority: (64 << 24) + (preference << 8) + 255,
            address: address.ip().to_string(),
            protocol: *protocol,
            port: address.port(),
            kind: "host".to_owned(),
            tcp_type,
        }
    };
    addresses.iter().zip(preferences).map(of_address).collect()
}
