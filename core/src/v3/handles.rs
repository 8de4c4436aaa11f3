//! Handles of transports and producers, borrowed from their device.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Instant;

use serde_json::{Map, Value};

use super::device::Device;
use super::error::{
    AddAddressError, CommandError, ProduceError, ProducerError, ReplaceTrackError, RestartIceError,
    SetMaxSpatialLayerError, TransportError,
};
use super::input::{Accepted, Command, Producing};
use super::options::{EncodingUpdate, ProduceOptions};
use super::producer::ProducerInfo;
use super::transport::TransportInfo;
use crate::error::MediaError;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::media::{Frame, Media, RtpPacket};
use crate::net::{IceParameters, IceProtocol, LocalAddresses};
use crate::stats::OutboundRtpStats;
use crate::track::Track;

/// A send transport, borrowed from its [`Device`]. Its properties are those of [`TransportInfo`], to which it dereferences.
#[derive(Debug)]
pub struct Transport<'a> {
    device: &'a mut Device,
    id: TransportId,
}

impl Deref for Transport<'_> {
    type Target = TransportInfo;

    fn deref(&self) -> &TransportInfo {
        self.device.transport_info(self.id).expect("a handle borrows the device of a transport that is in it")
    }
}

impl<'a> Transport<'a> {
    pub(crate) const fn new(device: &'a mut Device, id: TransportId) -> Self {
        Self { device, id }
    }

    /// Makes a producer of a track. First in its turn [`Connect`](super::Request::Connect) is asked, if it was not yet, then
    /// [`Produce`](super::Request::Produce); one thing at a time on a transport, each to the end of the application's answer.
    /// When the server has it, [`ProducerEvent::Produced`](super::ProducerEvent::Produced) and
    /// [`Event::Settled`](super::Event::Settled) say so; if nothing comes of it, it is gone. A track that is not enabled
    /// makes a paused producer.
    pub fn produce(&mut self, now: Instant, track: Track, options: ProduceOptions) -> Result<Producing, ProduceError> {
        self.device
            .execute(now, Command::Produce { transport: self.id, track, options })
            .map(Accepted::producing)
            .map_err(CommandError::of)
    }

    /// Restarts ICE with new credentials (RFC 8445 section 9), which the application has got from the server
    /// (`transport.restartIce()`). It waits for its turn. Before `connect` was answered they only replace the first ones.
    /// Media goes on meanwhile.
    pub fn restart_ice(&mut self, now: Instant, ice_parameters: IceParameters) -> Result<OperationId, RestartIceError> {
        self.device
            .execute(now, Command::RestartIce { id: self.id, ice_parameters })
            .map(Accepted::operation)
            .map_err(CommandError::of)
    }

    /// Closes it and its producers, on this side: the application should have the server close its own.
    pub fn close(self, now: Instant) -> Result<(), TransportError> {
        self.device.execute(now, Command::CloseTransport { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Names an address that a socket of ours sends from. For TCP the port is that of no socket yet: give the interface's
    /// address and any port, and bind to neither. Give addresses before the first `produce`, or later, when the network
    /// changes.
    pub fn add_local_address(
        &mut self,
        now: Instant,
        protocol: IceProtocol,
        address: SocketAddr,
    ) -> Result<(), AddAddressError> {
        self.device
            .execute(now, Command::AddLocalAddress { id: self.id, protocol, address })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Says that an address is gone.
    pub fn remove_local_address(
        &mut self,
        now: Instant,
        protocol: IceProtocol,
        address: SocketAddr,
    ) -> Result<(), TransportError> {
        self.device
            .execute(now, Command::RemoveLocalAddress { id: self.id, protocol, address })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Names all addresses that sockets of ours send from now: those that are new are [added](Self::add_local_address), and
    /// the others [removed](Self::remove_local_address) if at least one of these was taken. Else they stay: they may come
    /// back to life.
    pub fn set_local_addresses(
        &mut self,
        now: Instant,
        addresses: impl IntoIterator<Item = (IceProtocol, SocketAddr)>,
    ) -> LocalAddresses<AddAddressError> {
        let before = self.local_addresses().collect();
        LocalAddresses::set(
            self,
            before,
            addresses,
            |transport, protocol, address| transport.add_local_address(now, protocol, address),
            // It is refused only while outputs wait; then the address stays named, and leads nowhere.
            |transport, protocol, address| drop(transport.remove_local_address(now, protocol, address)),
        )
    }

    /// Says that so many datagrams of this transport wait for sockets that take no more, and that these are too many: media
    /// is refused with [`MediaError::Blocked`] until it says 0.
    pub fn set_backlog(&mut self, datagrams: usize) {
        if let Some(transport) = self.device.transports.get_mut(&self.id) {
            transport.backlog = datagrams;
        }
    }

    /// Sets the application's data.
    pub fn set_app_data(&mut self, now: Instant, app_data: Map<String, Value>) -> Result<(), TransportError> {
        self.device
            .execute(now, Command::SetTransportAppData { id: self.id, app_data })
            .map(drop)
            .map_err(CommandError::of)
    }
}

/// A producer, borrowed from its [`Device`]. Its properties are those of [`ProducerInfo`], to which it dereferences.
///
/// What is done here happens on this side alone, and at once. Whether the server is to hear of a pause, a resume or a close
/// is for the application to decide.
#[derive(Debug)]
pub struct Producer<'a> {
    device: &'a mut Device,
    id: ProducerId,
}

impl Deref for Producer<'_> {
    type Target = ProducerInfo;

    fn deref(&self) -> &ProducerInfo {
        self.device.producer_info(self.id).expect("a handle borrows the device of a producer that is in it")
    }
}

impl<'a> Producer<'a> {
    pub(crate) const fn new(device: &'a mut Device, id: ProducerId) -> Self {
        Self { device, id }
    }

    /// Closes it: nothing is sent any more. If the server is being asked for it, its answer is told by
    /// [`Event::Orphan`](super::Event::Orphan).
    pub fn close(self, now: Instant) -> Result<(), ProducerError> {
        self.device.execute(now, Command::CloseProducer { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Pauses it: no RTP leaves until [`resume`](Self::resume). Paused already, it does nothing.
    pub fn pause(&mut self, now: Instant) -> Result<(), ProducerError> {
        self.device.execute(now, Command::Pause { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Resumes it. Not paused, it does nothing.
    pub fn resume(&mut self, now: Instant) -> Result<(), ProducerError> {
        self.device.execute(now, Command::Resume { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Sends another track in place of this one, or none: SSRCs and the server's id stay. The first frame of the new track
    /// may have any media time: RTP time runs on. The track that it has already, told by its id, changes nothing.
    pub fn replace_track(&mut self, now: Instant, track: Option<Track>) -> Result<(), ReplaceTrackError> {
        self.device.execute(now, Command::ReplaceTrack { id: self.id, track }).map(drop).map_err(CommandError::of)
    }

    /// Stops its track, as when a camera is unplugged:
    /// [`ProducerEvent::TrackEnded`](super::ProducerEvent::TrackEnded) follows. It stays open; close it if that is meant.
    pub fn end_track(&mut self, now: Instant) -> Result<(), ProducerError> {
        self.device.execute(now, Command::EndTrack { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Sends the encodings up to this one, counted from 0 at the lowest resolution, and not those above it.
    pub fn set_max_spatial_layer(&mut self, now: Instant, layer: usize) -> Result<(), SetMaxSpatialLayerError> {
        self.device.execute(now, Command::SetMaxSpatialLayer { id: self.id, layer }).map(drop).map_err(CommandError::of)
    }

    /// Changes every encoding: what mediasoup-client calls `setRtpEncodingParameters`.
    pub fn set_encoding_parameters(&mut self, now: Instant, parameters: EncodingUpdate) -> Result<(), ProducerError> {
        self.device
            .execute(now, Command::SetEncodingParameters { id: self.id, parameters })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Sets the application's data. The server is told what it is when it is asked for the producer.
    pub fn set_app_data(&mut self, now: Instant, app_data: Map<String, Value>) -> Result<(), ProducerError> {
        self.device
            .execute(now, Command::SetProducerAppData { id: self.id, app_data })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Sends an encoded frame. It leaves as soon as outputs are polled, the end of a large one up to 30 ms later
    /// ([`DeviceConfig::burst`](super::DeviceConfig::burst)); or it is refused, and nothing is kept for later.
    pub fn write_frame(&mut self, now: Instant, frame: Frame) -> Result<(), MediaError> {
        self.device.write(now, self.id, &Media::Frame(frame))
    }

    /// Sends a ready-made RTP packet. It leaves as soon as outputs are polled, or it is refused; nothing is kept for later.
    pub fn write_packet(&mut self, now: Instant, packet: RtpPacket) -> Result<(), MediaError> {
        self.device.write(now, self.id, &Media::Packet(packet))
    }

    /// Our own statistics, one entry for each encoding; none before the server was asked for it.
    pub fn outbound_stats(&self) -> Vec<OutboundRtpStats> {
        self.device.outbound_stats(self.id)
    }
}
