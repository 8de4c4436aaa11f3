//! The one loop: what a transition brings about is done, in order, until nothing is left.

use std::time::Instant;

use super::Device;
use crate::connection::SenderParameters;
use crate::connection::engine::{Encoding, EngineAnswer, stream_and_rtx};
use crate::connection::streams::Streams;
use crate::error::SetupError;
use crate::id::{ProducerId, TransportId};
use crate::net::{DtlsRole as RoleOnWire, RemoteTransport};
use crate::track::Track;
use crate::v3::error::OperationError;
use crate::v3::options::EncodingOptions;
use crate::v3::ortc::temporal_layers;
use crate::v3::output::{Event, Output, Request, TransportEvent};
use crate::v3::parameters::{DtlsParameters, DtlsRole};
use crate::v3::rtp::{RtcpParameters, RtpEncodingParameters, RtpParameters, RtxParameters};
use crate::v3::{producer, transport};

/// What is to be done, and about what.
#[derive(Debug)]
pub(super) enum Effect {
    Transport(TransportId, transport::Effect),
    Producer(ProducerId, producer::Effect),
}

impl Device {
    /// Something happens to a transport. What follows is done by [`run`](Self::run), before whatever was to be done already.
    pub(super) fn transport_event(&mut self, _now: Instant, id: TransportId, event: transport::Event) {
        let Some(transport) = self.transports.get_mut(&id) else { return };
        let effects = transport.machine.handle(event, &transport.span);
        effects.into_iter().rev().for_each(|effect| self.effects.push_front(Effect::Transport(id, effect)));
    }

    /// The same of a producer. What waits to leave does first: no RTP follows the word that it is paused or closed.
    pub(super) fn producer_event(&mut self, now: Instant, id: ProducerId, event: producer::Event) {
        let Some(transport) = self.producers.get(&id).map(|producer| producer.transport) else { return };
        self.send_all(now, transport);
        let Some(producer) = self.producers.get_mut(&id) else { return };
        let effects = producer.machine.handle(event, &producer.span);
        effects.into_iter().rev().for_each(|effect| self.effects.push_front(Effect::Producer(id, effect)));
    }

    /// Does all that is to be done.
    pub(super) fn run(&mut self, now: Instant) {
        while let Some(effect) = self.effects.pop_front() {
            match effect {
                Effect::Transport(id, effect) => self.transport_effect(now, id, effect),
                Effect::Producer(id, effect) => self.producer_effect(now, id, effect),
            }
        }
    }

    fn transport_effect(&mut self, now: Instant, id: TransportId, effect: transport::Effect) {
        match effect {
            transport::Effect::AskConnect => {
                if let Err(error) = self.ask_connect(now, id) {
                    self.transport_event(now, id, transport::Event::ConnectFailed(error));
                }
            }
            transport::Effect::BeginIce => {
                let begun = self.begin_ice(now, id);
                self.transport_event(now, id, transport::Event::IceBegun(begun));
            }
            transport::Effect::AskProduce(producer) => {
                if let Err(error) = self.ask_produce(now, id, producer) {
                    self.transport_event(now, id, transport::Event::ProduceFailed(error));
                }
            }
            transport::Effect::Produced { producer, server_id } => {
                self.producer_event(now, producer, producer::Event::Produced { server_id });
            }
            transport::Effect::Orphan { server_id } => {
                let Some(transport) = self.transports.get(&id) else { return };
                let transport_id = transport.server_id().to_owned();
                self.outputs.push(Output::Event(Event::Orphan { transport_id, producer_id: server_id }));
            }
            transport::Effect::NotProduced(producer) => {
                self.producer_event(now, producer, producer::Event::NotProduced);
            }
            transport::Effect::KeepIceParameters(parameters) => {
                if let Some(transport) = self.transports.get_mut(&id) {
                    transport.parameters.ice_parameters = parameters;
                }
            }
            transport::Effect::RestartIce(parameters) => {
                if let Some(transport) = self.transports.get_mut(&id) {
                    transport.connection.restart_ice(now, &parameters);
                    transport.parameters.ice_parameters = parameters;
                }
                self.settle(id);
            }
            transport::Effect::Settle(operation, result) => self.settled(operation, result),
            transport::Effect::StateChange(state) => {
                let event = TransportEvent::ConnectionStateChange { state };
                self.outputs.push(Output::Event(Event::Transport { id, event }));
            }
            transport::Effect::ConnectLost(refusal) => {
                let event = TransportEvent::ConnectLost { refusal };
                self.outputs.push(Output::Event(Event::Transport { id, event }));
            }
            transport::Effect::Gone => self.transport_gone(now, id),
            transport::Effect::EmitClose => {
                self.outputs.push(Output::Event(Event::Transport { id, event: TransportEvent::Close }));
            }
            transport::Effect::KeyFrames => {
                for producer in self.producers.values().filter(|producer| producer.transport == id) {
                    let key_frames = producer.machine.key_frames();
                    self.effects.extend(key_frames.map(|effect| Effect::Producer(producer.id, effect)));
                }
            }
        }
    }

    fn producer_effect(&mut self, now: Instant, id: ProducerId, effect: producer::Effect) {
        match effect {
            producer::Effect::Emit(event) => {
                self.outputs.push(Output::Event(Event::Producer { id, event }));
            }
            producer::Effect::KeyFrame(layer) => self.key_frame_needed(now, id, layer),
            producer::Effect::NewSource => {
                if let Some(streams) = self.streams_mut(id) {
                    streams.new_source();
                }
            }
            producer::Effect::Reallocate => {
                if let Some(transport) = self.producers.get(&id).map(|producer| producer.transport) {
                    self.reallocate(transport);
                }
            }
            producer::Effect::Gone => self.producer_gone(now, id),
        }
    }

    fn transport_gone(&mut self, now: Instant, id: TransportId) {
        let Some(mut transport) = self.transports.remove(&id) else { return };
        transport.connection.close(now);
        self.last_words(&mut transport.connection);
        let on_it: Vec<_> =
            self.producers.values().filter(|producer| producer.transport == id).map(|of| of.id).collect();
        // The later one is dealt with first.
        for producer in on_it.into_iter().rev() {
            self.producer_event(now, producer, producer::Event::TransportClosed);
        }
    }

    /// Its streams end, and others may have what it took.
    fn producer_gone(&mut self, now: Instant, id: ProducerId) {
        let Some(producer) = self.producers.remove(&id) else { return };
        let Some(transport) = self.transports.get_mut(&producer.transport) else { return };
        for encoding in producer.rtp_parameters.iter().flat_map(|parameters| &parameters.encodings) {
            for ssrc in encoding.ssrc.into_iter().chain(encoding.rtx.map(|rtx| rtx.ssrc)) {
                transport.ssrcs.remove(&ssrc);
            }
        }
        transport.connection.remove_sender(now, id);
        self.settle(producer.transport);
        self.reallocate(producer.transport);
    }

    fn ask_connect(&mut self, now: Instant, id: TransportId) -> Result<(), OperationError> {
        self.may_ask()?;
        let transport = self.transports.get(&id).ok_or(OperationError::TransportClosed)?;
        let role = match self.dtls_role(transport) {
            RoleOnWire::Client => DtlsRole::Client,
            RoleOnWire::Server => DtlsRole::Server,
        };
        let dtls_parameters = DtlsParameters { role, fingerprints: vec![transport.connection.fingerprint()] };
        let transport_id = transport.server_id().to_owned();
        self.ask(now, Request::Connect { transport: id, transport_id, dtls_parameters });
        Ok(())
    }

    /// Our side of DTLS: what the server is not, or what it leaves to us.
    fn dtls_role(&self, transport: &transport::TransportInfo) -> RoleOnWire {
        match (transport.parameters.dtls_parameters.role, self.config.dtls_role) {
            (DtlsRole::Server, _) | (DtlsRole::Auto, DtlsRole::Auto | DtlsRole::Client) => RoleOnWire::Client,
            (DtlsRole::Client, _) | (DtlsRole::Auto, DtlsRole::Server) => RoleOnWire::Server,
        }
    }

    fn begin_ice(&mut self, now: Instant, id: TransportId) -> Result<(), SetupError> {
        let Some(transport) = self.transports.get(&id) else { return Ok(()) };
        let ours = self.dtls_role(transport);
        let theirs = match ours {
            RoleOnWire::Client => RoleOnWire::Server,
            RoleOnWire::Server => RoleOnWire::Client,
        };
        let parameters = &transport.parameters;
        let remote = RemoteTransport {
            ice_parameters: parameters.ice_parameters.clone(),
            ice_candidates: parameters
                .ice_candidates
                .iter()
                .filter_map(|candidate| candidate.to_connection())
                .collect(),
            dtls_parameters: crate::net::DtlsParameters {
                role: theirs,
                fingerprints: parameters.dtls_parameters.fingerprints.clone(),
            },
        };
        let begun = self.transports.get_mut(&id).map_or(Ok(()), |info| info.connection.connect(now, &remote, ours));
        if let Err(error) = begun {
            self.journal.answer(now, id, || EngineAnswer::NotStarted(error));
        }
        self.settle(id);
        begun
    }

    fn ask_produce(&mut self, now: Instant, id: TransportId, producer: ProducerId) -> Result<(), OperationError> {
        self.may_ask()?;
        let capabilities = self.capabilities.as_ref().ok_or(OperationError::TransportClosed)?;
        let transport = self.transports.get_mut(&id).ok_or(OperationError::TransportClosed)?;
        let info = self.producers.get_mut(&producer).ok_or(OperationError::ProducerClosed)?;
        let shared = capabilities.by_payload_type(info.payload_type).ok_or(OperationError::ProducerClosed)?;
        let said: Vec<Option<&EncodingOptions>> = match &info.encodings[..] {
            [] => vec![None],
            several => several.iter().map(Some).collect(),
        };
        let mut ssrc = || loop {
            let ssrc = self.rng.next_u32();
            if ssrc != 0 && transport.ssrcs.insert(ssrc) {
                break ssrc;
            }
        };
        let several = said.len() > 1;
        let encodings: Vec<RtpEncodingParameters> = said
            .iter()
            .enumerate()
            .map(|(layer, said)| (layer, said, stream_and_rtx(&mut ssrc, shared.rtx_payload_type.is_some())))
            .map(|(layer, said, (ssrc, rtx))| RtpEncodingParameters {
                ssrc: Some(ssrc),
                rtx: rtx.map(|ssrc| RtxParameters { ssrc }),
                rid: several.then(|| format!("r{layer}")),
                active: said.map(|said| said.active),
                scalability_mode: said
                    .and_then(|said| said.scalability_mode.clone())
                    .or_else(|| several.then(|| "L1T1".to_owned())),
                max_bitrate: said.and_then(|said| said.max_bitrate),
                scale_resolution_down_by: said.and_then(|said| said.scale_resolution_down_by.clone()),
                max_framerate: said.and_then(|said| said.max_framerate.clone()),
                dtx: said.is_some_and(|said| said.dtx),
            })
            .collect();
        let mid = transport.next_mid.to_string();
        transport.next_mid += 1;
        let of_connection: Vec<Encoding> = encodings
            .iter()
            .filter_map(|encoding| {
                let rtx_ssrc = encoding.rtx.map(|rtx| rtx.ssrc);
                Some(Encoding { ssrc: encoding.ssrc?, rtx_ssrc, rid: encoding.rid.clone() })
            })
            .collect();
        let temporal = encodings.iter().map(|encoding| temporal_layers(encoding.scalability_mode.as_deref())).collect();
        let streams = Streams::with_temporal_layers(info.codec, temporal, &mut self.rng);
        let sender = SenderParameters {
            mux_id: &mid,
            kind: info.kind,
            payload_type: info.payload_type,
            encodings: &of_connection,
        };
        let cname = transport.connection.add_sender(producer, streams, sender, &mut self.rng);
        self.journal.answer(now, id, || EngineAnswer::Cname(cname.clone()));
        let rtp_parameters = RtpParameters {
            mid: Some(mid),
            codecs: shared.parameters(info.codec_options.as_ref()),
            header_extensions: capabilities.extensions(info.kind),
            encodings,
            rtcp: RtcpParameters { cname: Some(cname), ..RtcpParameters::default() },
            msid: Some(msid(&info.stream_id, info.track().map_or("", Track::id))),
        };
        info.rtp_parameters = Some(rtp_parameters.clone());
        let request = Request::Produce {
            transport: id,
            transport_id: transport.server_id().to_owned(),
            producer,
            kind: info.kind,
            rtp_parameters,
            app_data: info.app_data.clone(),
        };
        self.ask(now, request);
        Ok(())
    }
}

/// RFC 8830 section 2: two ids of 1 to 64 token characters each. What is none of these becomes one.
fn msid(stream_id: &str, track_id: &str) -> String {
    let id = |given: &str| {
        let token = |letter: char| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~".contains(letter);
        let id: String = given.chars().map(|letter| if token(letter) { letter } else { '_' }).take(64).collect();
        if id.is_empty() { "-".to_owned() } else { id }
    };
    format!("{} {}", id(stream_id), id(track_id))
}
