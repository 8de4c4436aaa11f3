//! A send transport.

pub(crate) mod state;

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::id::{OperationId, TransportId};
use crate::net::{IceProtocol, LocalAddresses};
use crate::v2::error::{AddAddressError, CommandError, RestartIceError, TransportError};
use crate::v2::input::{Accepted, Command};
use crate::v2::room::Room;

pub use state::TransportInfo;

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
        if let Some(transport) = self.room.transports.get_mut(&self.id) {
            transport.backlog = datagrams;
        }
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
