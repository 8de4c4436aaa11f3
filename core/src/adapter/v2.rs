//! A room of mediasoup 2, as an adapter drives it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::conductor::{Conductor, Output, Step};
use crate::id::{ProducerId, TransportId};
use crate::net::{IceProtocol, LocalAddresses, Receive};
use crate::rtp::MediaKind;
use crate::v2;
use crate::v2::protocol::{FromServer, ToServer};
use crate::v2::{AddAddressError, Event, Failure, Input, Room, RoomState, TransportEvent};

impl Conductor for Room {
    type ToServer = ToServer;
    type FromServer = FromServer;
    type Event = Event;
    type Failure = Failure;
    type AddressError = AddAddressError;

    fn poll_output(&mut self) -> Option<Output<Self>> {
        Some(match Self::poll_output(self)? {
            v2::Output::Transmit(transmit) => Output::Transmit(transmit),
            v2::Output::Request { id, request } => Output::Message(ToServer::Request { id, request }),
            v2::Output::Notification(notification) => Output::Message(ToServer::Notification(notification)),
            v2::Output::Event(Event::Settled { operation, result }) => {
                Output::Step { first: None, step: Step::Settle { operation, result } }
            }
            v2::Output::Event(event) => Output::Step { first: sockets(&event), step: Step::Emit(event) },
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        Self::handle_receive(self, now, receive);
    }

    fn handle_message(&mut self, now: Instant, message: FromServer) -> Result<(), FromServer> {
        // What comes from the server is never refused.
        Input::try_from(message).map(|input| drop(self.handle_input(now, input)))
    }

    fn socket_targets(&self, id: TransportId) -> Vec<(IceProtocol, SocketAddr)> {
        self.transport_info(id).map(v2::TransportInfo::socket_targets).unwrap_or_default()
    }

    fn set_local_addresses(
        &mut self,
        now: Instant,
        id: TransportId,
        addresses: Vec<(IceProtocol, SocketAddr)>,
    ) -> Option<LocalAddresses<AddAddressError>> {
        Some(self.transport(id)?.set_local_addresses(now, addresses))
    }

    fn set_backlog(&mut self, id: TransportId, datagrams: usize) {
        if let Some(mut transport) = self.transport(id) {
            transport.set_backlog(datagrams);
        }
    }

    fn transport_of(&self, producer: ProducerId) -> Option<TransportId> {
        self.producer_info(producer)?.transport()
    }

    fn video_ssrcs(&self) -> BTreeSet<u32> {
        self.producers()
            .filter(|producer| producer.kind() == MediaKind::Video)
            .filter_map(|producer| producer.rtp_parameters())
            .flat_map(|parameters| &parameters.encodings)
            .flat_map(|encoding| [Some(encoding.ssrc), encoding.rtx.map(|rtx| rtx.ssrc)])
            .flatten()
            .collect()
    }

    fn leave(&mut self, now: Instant) {
        match self.state() {
            RoomState::Joining | RoomState::Joined => drop(Self::leave(self, now, None)),
            RoomState::New | RoomState::Closed => {}
        }
    }

    fn lose(&mut self, now: Instant) {
        match self.state() {
            RoomState::Joining | RoomState::Joined => drop(self.remote_close(now, None)),
            RoomState::New | RoomState::Closed => {}
        }
    }
}

/// Sockets are opened when the server has told its addresses.
fn sockets(event: &Event) -> Option<Step<Room>> {
    match event {
        Event::Transport { id, event: TransportEvent::RemoteCandidates { .. } } => Some(Step::Open(*id)),
        Event::Transport { id, event: TransportEvent::Close { .. } } => Some(Step::Close(*id)),
        _ => None,
    }
}
