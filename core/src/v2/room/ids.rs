//! What the server calls our transports and producers: as we do, unless another peer has the name already.

use std::time::Instant;

use super::Room;
use super::inflight::Waiting;
use crate::id::{ProducerId, TransportId};
use crate::v2::error::OperationError;
use crate::v2::id::ServerId;
use crate::v2::protocol::{Refusal, RefusalKind};
use crate::v2::transport::state::Operation;

/// So many ids of one operation may be refused before it fails. With random ids even one is a rare thing.
const MAX_IDS_REFUSED: u8 = 4;

impl Room {
    /// An id for a new transport: none of ours, and nothing the server calls one of ours.
    pub(super) fn draw_transport_id(&mut self) -> TransportId {
        loop {
            let id = self.rng.eight_digits();
            let (ours, theirs) = (TransportId::new(id), ServerId::new(id));
            if !self.transports.contains_key(&ours) && !self.transports_at_server.contains_key(&theirs) {
                return ours;
            }
        }
    }

    /// An id for a new producer: none of ours, and nothing the server calls one of ours.
    pub(super) fn draw_producer_id(&mut self) -> ProducerId {
        loop {
            let id = self.rng.eight_digits();
            let (ours, theirs) = (ProducerId::new(id), ServerId::new(id));
            if !self.producers.contains_key(&ours) && !self.producers_at_server.contains_key(&theirs) {
                return ours;
            }
        }
    }

    /// If the server refused an id because another has it, of whichever peer, another is drawn and the server asked again.
    /// False: that is not why it failed, nobody waits for it any more, or too many were refused.
    pub(super) fn drawn_anew(&mut self, now: Instant, waiting: &Waiting, error: &OperationError) -> bool {
        let OperationError::Refused(Refusal { kind, .. }) = error else { return false };
        match waiting {
            Waiting::CreateTransport { transport, .. } if *kind == RefusalKind::DuplicatedTransport => {
                if !self.may_draw_again(*transport) {
                    return false;
                }
                self.rename_transport(*transport);
                self.next_operation_of(now, *transport);
            }
            Waiting::CreateProducer { transport, producer, .. } if *kind == RefusalKind::DuplicatedProducer => {
                if !self.may_draw_again(*transport) {
                    return false;
                }
                self.rename_producer(*producer);
                self.create_producer_again(now, *transport, *producer);
            }
            Waiting::QueryRoom { .. }
            | Waiting::Join { .. }
            | Waiting::CreateTransport { .. }
            | Waiting::RestartTransport { .. }
            | Waiting::CreateProducer { .. }
            | Waiting::Closed { .. } => return false,
        }
        true
    }

    /// Whether a send that is first in its transport's queue may have another id; it is counted.
    fn may_draw_again(&mut self, transport: TransportId) -> bool {
        let first = self.transports.get_mut(&transport).and_then(|transport| transport.operations.front_mut());
        let Some(Operation::Send { ids_refused, .. }) = first else { return false };
        let may = *ids_refused < MAX_IDS_REFUSED;
        *ids_refused += u8::from(may);
        may
    }

    fn rename_transport(&mut self, id: TransportId) {
        let server_id = ServerId::new(self.draw_transport_id().value());
        let Some(transport) = self.transports.get_mut(&id) else { return };
        transport.not_created();
        let before = std::mem::replace(&mut transport.server_id, server_id);
        self.transports_at_server.remove(&before);
        self.transports_at_server.insert(server_id, id);
    }

    fn rename_producer(&mut self, id: ProducerId) {
        let server_id = ServerId::new(self.draw_producer_id().value());
        let Some(producer) = self.producers.get_mut(&id) else { return };
        let before = std::mem::replace(&mut producer.server_id, server_id);
        self.producers_at_server.remove(&before);
        self.producers_at_server.insert(server_id, id);
    }
}
