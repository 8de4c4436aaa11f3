//! What the application wants done: whether it can be, and what follows.

use std::time::Instant;

use super::Device;
use crate::connection::Connection;
use crate::connection::engine::EngineAnswer;
use crate::id::{ProducerId, TransportId};
use crate::json::weight;
use crate::net::IceProtocol;
use crate::rtp::{Codec, MediaKind};
use crate::track::Track;
use crate::v3::error::{
    AddAddressError, CommandError, CreateSendTransportError, LoadError, ProduceError, ProducerError, ReplaceTrackError,
    RestartIceError, SetMaxSpatialLayerError, TransportError,
};
use crate::v3::input::{Accepted, Command, Producing};
use crate::v3::options::{CodecChoice, ProduceOptions, TransportOptions};
use crate::v3::ortc::{SharedCapabilities, check_encodings, native_capabilities};
use crate::v3::parameters::TransportParameters;
use crate::v3::producer::{self, ProducerInfo};
use crate::v3::rtp::RtpCapabilities;
use crate::v3::transport::{self, Operation, TransportInfo};

impl Device {
    pub(super) fn command(&mut self, now: Instant, command: Command) -> Result<Accepted, CommandError> {
        match command {
            Command::Load { router_rtp_capabilities, prefer_local_codecs_order } => {
                self.load_capabilities(router_rtp_capabilities, prefer_local_codecs_order)?;
            }
            Command::CreateSendTransport { parameters, options, app_data } => {
                return Ok(Accepted::Transport(self.new_transport(now, parameters, options, app_data)?));
            }
            Command::CloseTransport { id } => {
                self.transport_mut(id)?;
                // What waits leaves first: no RTP follows the word that its producer is closed.
                self.send_all(now, id);
                self.cancel_request(id);
                self.transport_event(now, id, transport::Event::Closed);
            }
            Command::Produce { transport, track, options } => {
                return Ok(Accepted::Producing(self.produce(now, transport, track, options)?));
            }
            Command::RestartIce { id, ice_parameters } => {
                let transport = self.transports.get(&id).ok_or(RestartIceError::NotFound(id))?;
                if transport.machine.dtls_failed() {
                    return Err(RestartIceError::DtlsFailed(id).into());
                }
                let (bytes, limit) = (weight_of(&ice_parameters), self.config.limits.message_bytes);
                if bytes > limit {
                    return Err(RestartIceError::TooLarge { bytes, limit }.into());
                }
                self.has_room(transport).map_err(RestartIceError::Limit)?;
                let operation = self.next_operation();
                let queued = Operation::RestartIce { operation, parameters: ice_parameters };
                self.transport_event(now, id, transport::Event::Queued(queued));
                return Ok(Accepted::Operation(operation));
            }
            Command::AddLocalAddress { id, protocol, address } => {
                self.add_local_address(now, id, protocol, address)?;
            }
            Command::RemoveLocalAddress { id, protocol, address } => {
                let transport = self.transport_mut(id)?;
                if transport.local_addresses.remove(&(protocol, address)) {
                    transport.connection.remove_local_address(now, protocol, address);
                    self.settle(id);
                }
            }
            Command::SetTransportAppData { id, app_data } => self.transport_mut(id)?.app_data = app_data,
            Command::CloseProducer { id } => {
                let transport = self.producer_mut(id)?.transport;
                // The later one is dealt with first.
                self.transport_event(now, transport, transport::Event::ProducerClosed(id));
                self.producer_event(now, id, producer::Event::Close);
            }
            Command::Pause { id } => self.of_producer(now, id, producer::Event::Pause)?,
            Command::Resume { id } => self.of_producer(now, id, producer::Event::Resume)?,
            Command::ReplaceTrack { id, track } => {
                let kind = self.producers.get(&id).ok_or(ReplaceTrackError::NotFound(id))?.kind;
                if let Some(track) = &track {
                    if track.ended() {
                        return Err(ReplaceTrackError::TrackEnded.into());
                    }
                    if track.kind() != kind {
                        return Err(ReplaceTrackError::TrackKind(kind).into());
                    }
                }
                self.producer_event(now, id, producer::Event::ReplaceTrack(track));
            }
            Command::EndTrack { id } => self.of_producer(now, id, producer::Event::TrackEnded)?,
            Command::SetMaxSpatialLayer { id, layer } => {
                let producer = self.producers.get(&id).ok_or(SetMaxSpatialLayerError::NotFound(id))?;
                if producer.kind != MediaKind::Video {
                    return Err(SetMaxSpatialLayerError::NotVideo(id).into());
                }
                self.producer_event(now, id, producer::Event::SetMaxSpatialLayer(layer));
            }
            Command::SetEncodingParameters { id, parameters } => {
                self.of_producer(now, id, producer::Event::SetEncodingParameters(parameters))?;
            }
            Command::SetProducerAppData { id, app_data } => self.producer_mut(id)?.app_data = app_data,
        }
        Ok(Accepted::Done)
    }

    fn load_capabilities(&mut self, router: RtpCapabilities, our_order: bool) -> Result<(), LoadError> {
        if self.capabilities.is_some() {
            return Err(LoadError::AlreadyLoaded);
        }
        let (bytes, limit) = (weight_of(&router), self.config.limits.message_bytes);
        if bytes > limit {
            return Err(LoadError::TooLarge { bytes, limit });
        }
        let ours = native_capabilities(crate::v3::BandwidthMode::Remb);
        self.capabilities = Some(SharedCapabilities::new(ours, router, our_order));
        Ok(())
    }

    fn new_transport(
        &mut self,
        now: Instant,
        mut parameters: TransportParameters,
        options: TransportOptions,
        app_data: serde_json::Map<String, serde_json::Value>,
    ) -> Result<TransportId, CreateSendTransportError> {
        let capabilities = self.capabilities.as_ref().ok_or(CreateSendTransportError::NotLoaded)?;
        if parameters.id.is_empty() {
            return Err(CreateSendTransportError::EmptyId);
        }
        parameters.check().map_err(CreateSendTransportError::Setup)?;
        let (bytes, limit) = (weight_of(&parameters), self.config.limits.message_bytes);
        if bytes > limit {
            return Err(CreateSendTransportError::TooLarge { bytes, limit });
        }
        let limit = self.config.limits.transports;
        if self.transports.len() >= limit {
            return Err(CreateSendTransportError::Limit(limit));
        }
        let id = TransportId::new(self.last_transport + 1);
        let engine = self.engines.engine(now, &capabilities.agreed()).map_err(|error| {
            self.journal.answer(now, id, || EngineAnswer::NotMade(error));
            CreateSendTransportError::Setup(error)
        })?;
        self.journal.answer(now, id, || EngineAnswer::Made(engine.fingerprint()));
        let connection = Connection::new(engine, self.config.burst, options.initial_bitrate_bps);
        let candidates = &mut parameters.ice_candidates;
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
        self.stats.candidates_unresolved +=
            candidates.iter().filter(|candidate| candidate.ip().is_none()).count() as u64;
        let mut room = self.config.limits.remote_candidates;
        let before = candidates.len();
        // Host names do not take the place of addresses: they are not tried.
        candidates.retain(|candidate| {
            let kept = candidate.ip().is_none() || room > 0;
            room -= usize::from(candidate.ip().is_some() && kept);
            kept
        });
        self.stats.candidates_dropped += (before - candidates.len()) as u64;
        self.last_transport = id.value();
        let transport = TransportInfo::new(id, parameters, app_data, connection);
        self.transports.insert(id, Box::new(transport));
        self.settle(id);
        Ok(id)
    }

    fn produce(
        &mut self,
        now: Instant,
        id: TransportId,
        track: Track,
        options: ProduceOptions,
    ) -> Result<Producing, ProduceError> {
        let transport = self.transports.get(&id).ok_or(ProduceError::NotFound(id))?;
        let kind = track.kind();
        let capabilities = self.capabilities.as_ref().filter(|capabilities| capabilities.can_produce(kind));
        let capabilities = capabilities.ok_or(ProduceError::CannotProduce(kind))?;
        if track.ended() {
            return Err(ProduceError::TrackEnded);
        }
        if let Some(CodecChoice::Name(Codec::H265)) = options.codec {
            return Err(ProduceError::UnsupportedCodec(Codec::H265));
        }
        let shared = capabilities.codec(kind, options.codec.as_ref()).ok_or(ProduceError::NoMatchingCodec(kind))?;
        let (codec, payload_type) = (shared.codec, shared.capability.preferred_payload_type);
        check_encodings(codec, &options.encodings)?;
        let limit = self.config.limits.producers;
        if self.producers.len() >= limit {
            return Err(ProduceError::Limit(limit));
        }
        self.has_room(transport).map_err(ProduceError::Operations)?;

        self.last_producer += 1;
        let producer = ProducerId::new(self.last_producer);
        let operation = self.next_operation();
        let stream_id = options.stream_id.unwrap_or_else(|| format!("{:016x}", self.rng.next_u64()));
        let info = ProducerInfo {
            span: ProducerInfo::span(producer),
            id: producer,
            transport: id,
            kind,
            codec,
            payload_type,
            codec_options: options.codec_options,
            machine: producer::Machine::new(track, options.stop_tracks, &options.encodings),
            encodings: options.encodings,
            stream_id,
            app_data: options.app_data,
            rtp_parameters: None,
        };
        self.producers.insert(producer, Box::new(info));
        self.transport_event(now, id, transport::Event::Queued(Operation::Produce { operation, producer }));
        Ok(Producing { producer, operation })
    }

    fn add_local_address(
        &mut self,
        now: Instant,
        id: TransportId,
        protocol: IceProtocol,
        address: std::net::SocketAddr,
    ) -> Result<(), AddAddressError> {
        let limit = self.config.limits.local_addresses;
        let transport = self.transports.get_mut(&id).ok_or(AddAddressError::NotFound(id))?;
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            return Err(AddAddressError::BadAddress(address));
        }
        let known = transport.local_addresses.contains(&(protocol, address));
        if transport.local_addresses.len() >= limit && !known {
            return Err(AddAddressError::Limit(limit));
        }
        let taken = transport.connection.add_local_address(now, protocol, address);
        if !taken && !known {
            self.journal.answer(now, id, || EngineAnswer::AddressRefused);
            return Err(AddAddressError::BadAddress(address));
        }
        transport.local_addresses.insert((protocol, address));
        self.settle(id);
        Ok(())
    }

    fn of_producer(&mut self, now: Instant, id: ProducerId, event: producer::Event) -> Result<(), ProducerError> {
        self.producer_mut(id)?;
        self.producer_event(now, id, event);
        Ok(())
    }

    fn transport_mut(&mut self, id: TransportId) -> Result<&mut TransportInfo, TransportError> {
        self.transports.get_mut(&id).map(Box::as_mut).ok_or(TransportError::NotFound(id))
    }

    fn producer_mut(&mut self, id: ProducerId) -> Result<&mut ProducerInfo, ProducerError> {
        self.producers.get_mut(&id).map(Box::as_mut).ok_or(ProducerError::NotFound(id))
    }

    /// Whether another operation can wait for a transport; else how many do.
    fn has_room(&self, transport: &TransportInfo) -> Result<(), usize> {
        let limit = self.config.limits.operations;
        if transport.machine.waiting() < limit { Ok(()) } else { Err(limit) }
    }
}

/// What something takes in memory, as limits count it.
fn weight_of(value: &impl serde::Serialize) -> usize {
    serde_json::to_value(value).map_or(usize::MAX, |value| weight(&value))
}
