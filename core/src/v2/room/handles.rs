//! Transports and producers as the application holds them: borrowed from their room.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Room;
use crate::connection::engine::SelectedPath;
use crate::error::MediaError;
use crate::id::{OperationId, ProducerId, TransportId};
use crate::media::{Frame, Media, RtpPacket};
use crate::net::{IceProtocol, LocalAddresses};
use crate::stats::OutboundRtpStats;
use crate::track::Track;
use crate::v2::error::{
    AddAddressError, CommandError, ProducerError, ReplaceTrackError, RestartIceError, SendError, TransportError,
};
use crate::v2::input::{Accepted, Command};
use crate::v2::producer::ProducerInfo;
use crate::v2::transport::TransportInfo;

/// A path to the server over which producers are sent, borrowed from its [`Room`]. Its properties are those of
/// [`TransportInfo`], to which it dereferences.
#[derive(Debug)]
pub struct Transport<'a> {
    room: &'a mut Room,
    id: TransportId,
}

impl Deref for Transport<'_> {
    type Target = TransportInfo;

    fn deref(&self) -> &TransportInfo {
        self.room.transport_info(self.id).expect("a handle borrows the room of a transport that is in it")
    }
}

impl<'a> Transport<'a> {
    pub(crate) const fn new(room: &'a mut Room, id: TransportId) -> Self {
        Self { room, id }
    }

    /// Closes it. Its producers are un-handled, and can be sent over another.
    pub fn close(self, now: Instant, app_data: Option<Value>) -> Result<(), TransportError> {
        self.room.execute(now, Command::CloseTransport { id: self.id, app_data }).map(drop).map_err(CommandError::of)
    }

    /// Names an address that a socket of ours sends from; ICE tries it at once. For TCP the port is that of no socket
    /// yet: give the interface's address and any port, and bind to neither. Give addresses before the first producer is
    /// sent, or on [`TransportEvent::RemoteCandidates`](crate::v2::TransportEvent::RemoteCandidates), or later, when the
    /// network changes.
    pub fn add_local_address(
        &mut self,
        now: Instant,
        protocol: IceProtocol,
        address: SocketAddr,
    ) -> Result<(), AddAddressError> {
        self.room
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
        self.room
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
    /// is refused with [`MediaError::Blocked`](crate::MediaError::Blocked) until it says 0.
    pub fn set_backlog(&mut self, datagrams: usize) {
        self.room.set_backlog(self.id, datagrams);
    }

    /// The pair of addresses that ICE has selected (RFC 8445 section 8): where DTLS and media last went. None before there is
    /// one. It changes when the network does; while the server is not heard it is the one that was used last.
    pub fn selected_path(&self) -> Option<SelectedPath> {
        self.room.selected_path(self.id)
    }

    /// Restarts ICE with new credentials of the server (RFC 8445 section 9). Media goes on meanwhile.
    pub fn restart_ice(&mut self, now: Instant) -> Result<OperationId, RestartIceError> {
        self.room
            .execute(now, Command::RestartTransportIce { id: self.id })
            .map(Accepted::operation)
            .map_err(CommandError::of)
    }

    /// Asks for the server's statistics every `interval`, whole milliseconds from a second to 24 days, of which the first come
    /// at once; if they are enabled already, the new interval holds from now on:
    /// [`TransportEvent::Stats`](crate::v2::TransportEvent::Stats).
    pub fn enable_stats(&mut self, now: Instant, interval: Duration) -> Result<(), TransportError> {
        self.room
            .execute(now, Command::EnableTransportStats { id: self.id, interval })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Ends the server's statistics.
    pub fn disable_stats(&mut self, now: Instant) -> Result<(), TransportError> {
        self.room.execute(now, Command::DisableTransportStats { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Sets the application's data. The server is told what it is when the transport is first used.
    pub fn set_app_data(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), TransportError> {
        self.room
            .execute(now, Command::SetTransportAppData { id: self.id, app_data })
            .map(drop)
            .map_err(CommandError::of)
    }
}

/// An audio or video track sent to the room, borrowed from its [`Room`]. Its properties are those of [`ProducerInfo`],
/// to which it dereferences.
#[derive(Debug)]
pub struct Producer<'a> {
    room: &'a mut Room,
    id: ProducerId,
}

impl Deref for Producer<'_> {
    type Target = ProducerInfo;

    fn deref(&self) -> &ProducerInfo {
        self.room.producer_info(self.id).expect("a handle borrows the room of a producer that is in it")
    }
}

impl<'a> Producer<'a> {
    pub(crate) const fn new(room: &'a mut Room, id: ProducerId) -> Self {
        Self { room, id }
    }

    /// Sends it over a transport. When the server has answered, [`ProducerEvent::Handled`](crate::v2::ProducerEvent::Handled)
    /// and [`Event::Settled`](crate::v2::Event::Settled) say so; a failed send can be tried again.
    pub fn send(&mut self, now: Instant, transport: TransportId) -> Result<OperationId, SendError> {
        self.room
            .execute(now, Command::Send { id: self.id, transport })
            .map(Accepted::operation)
            .map_err(CommandError::of)
    }

    /// Pauses it on this side: no RTP leaves until [`resume`](Self::resume). Paused already, it does nothing.
    pub fn pause(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room.execute(now, Command::Pause { id: self.id, app_data }).map(drop).map_err(CommandError::of)
    }

    /// Resumes it on this side; media flows again unless the server pauses it too. Not paused, it does nothing.
    pub fn resume(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room.execute(now, Command::Resume { id: self.id, app_data }).map(drop).map_err(CommandError::of)
    }

    /// Closes it.
    pub fn close(self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room.execute(now, Command::CloseProducer { id: self.id, app_data }).map(drop).map_err(CommandError::of)
    }

    /// Sends another track in place of this one: ids, SSRCs, transport and paused state stay. The first frame of the new
    /// track may have any media time: RTP time runs on.
    pub fn replace_track(&mut self, now: Instant, track: Track) -> Result<(), ReplaceTrackError> {
        self.room.execute(now, Command::ReplaceTrack { id: self.id, track }).map(drop).map_err(CommandError::of)
    }

    /// Stops its track, as when a camera is unplugged:
    /// [`ProducerEvent::TrackEnded`](crate::v2::ProducerEvent::TrackEnded) follows. It stays open; close it if that is meant.
    pub fn end_track(&mut self, now: Instant) -> Result<(), ProducerError> {
        self.room.execute(now, Command::EndTrack { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Asks for the server's statistics every `interval`, whole milliseconds from a second to 24 days, of which the first come
    /// at once; if they are enabled already, the new interval holds from now on:
    /// [`ProducerEvent::Stats`](crate::v2::ProducerEvent::Stats). None come while it is paused.
    pub fn enable_stats(&mut self, now: Instant, interval: Duration) -> Result<(), ProducerError> {
        self.room
            .execute(now, Command::EnableProducerStats { id: self.id, interval })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Ends the server's statistics.
    pub fn disable_stats(&mut self, now: Instant) -> Result<(), ProducerError> {
        self.room.execute(now, Command::DisableProducerStats { id: self.id }).map(drop).map_err(CommandError::of)
    }

    /// Sets the application's data. The server is told what it is when the producer is sent.
    pub fn set_app_data(&mut self, now: Instant, app_data: Option<Value>) -> Result<(), ProducerError> {
        self.room
            .execute(now, Command::SetProducerAppData { id: self.id, app_data })
            .map(drop)
            .map_err(CommandError::of)
    }

    /// Sends an encoded frame. It leaves as soon as outputs are polled, the end of a large one up to 30 ms later
    /// ([`RoomConfig::burst`](crate::v2::RoomConfig::burst)); or it is refused, and nothing is kept for later.
    pub fn write_frame(&mut self, now: Instant, frame: Frame) -> Result<(), MediaError> {
        self.room.write(now, self.id, &Media::Frame(frame))
    }

    /// Sends a ready-made RTP packet. It leaves as soon as outputs are polled, or it is refused; nothing is kept for later.
    pub fn write_packet(&mut self, now: Instant, packet: RtpPacket) -> Result<(), MediaError> {
        self.room.write(now, self.id, &Media::Packet(packet))
    }

    /// Our own statistics, one entry for each encoding; none while it is not handled.
    pub fn outbound_stats(&self) -> Vec<OutboundRtpStats> {
        self.room.outbound_stats(self.id)
    }
}
