//! A device of mediasoup 3, as an adapter drives it. What is said to the server, and how, is the application's: messages are
//! requests and their answers. A transport has its [targets](Conductor::socket_targets) from the beginning: no step tells
//! when to open its sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use super::conductor::{Conductor, Output, Step};
use crate::id::{ProducerId, RequestId, TransportId};
use crate::net::{IceProtocol, LocalAddresses, Receive};
use crate::rtp::MediaKind;
use crate::v3;
use crate::v3::{
    AddAddressError, Answer, Device, Event, Input, OperationError, Refusal, Request, TransportEvent, TransportInfo,
};

impl Conductor for Device {
    type ToServer = (RequestId, Request);
    type FromServer = (RequestId, Result<Answer, Refusal>);
    type Event = Event;
    type Failure = OperationError;
    type AddressError = AddAddressError;

    fn poll_output(&mut self) -> Option<Output<Self>> {
        Some(match Self::poll_output(self)? {
            v3::Output::Transmit(transmit) => Output::Transmit(transmit),
            v3::Output::Request { id, request } => Output::Message((id, request)),
            v3::Output::Event(Event::Settled { operation, result }) => {
                Output::Step { first: None, step: Step::Settle { operation, result } }
            }
            v3::Output::Event(event) => Output::Step { first: sockets(&event), step: Step::Emit(event) },
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

    fn handle_message(&mut self, now: Instant, (id, result): Self::FromServer) -> Result<(), Self::FromServer> {
        // An answer is never refused.
        drop(self.handle_input(now, Input::Answer { id, result }));
        Ok(())
    }

    fn socket_targets(&self, id: TransportId) -> Vec<(IceProtocol, SocketAddr)> {
        self.transport_info(id).map(TransportInfo::socket_targets).unwrap_or_default()
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
        Some(self.producer_info(producer)?.transport())
    }

    fn video_ssrcs(&self) -> BTreeSet<u32> {
        self.producers()
            .filter(|producer| producer.kind() == MediaKind::Video)
            .filter_map(|producer| producer.rtp_parameters())
            .flat_map(|parameters| &parameters.encodings)
            .flat_map(|encoding| [encoding.ssrc, encoding.rtx.map(|rtx| rtx.ssrc)])
            .flatten()
            .collect()
    }

    /// Its transports are closed; a device itself has no end.
    fn leave(&mut self, now: Instant) {
        let ids: Vec<_> = self.transports().map(TransportInfo::id).collect();
        for id in ids {
            if let Some(transport) = self.transport(id) {
                let _ = transport.close(now);
            }
        }
    }

    fn lose(&mut self, now: Instant) {
        Conductor::leave(self, now);
    }
}

fn sockets(event: &Event) -> Option<Step<Device>> {
    match event {
        Event::Transport { id, event: TransportEvent::Close } => Some(Step::Close(*id)),
        _ => None,
    }
}
