//! Requests that wait for an answer. Each is answered, refused, timed out or cancelled exactly once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::id::{OperationId, ProducerId, RequestId, ServerId, TransportId};

/// What an answer is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Waiting {
    QueryRoom { join: OperationId, peer_name: String, app_data: Option<Value> },
    Join { join: OperationId },
    CreateTransport { transport: TransportId, id: ServerId },
    RestartTransport { transport: TransportId },
    CreateProducer { transport: TransportId, producer: ProducerId, id: ServerId },
}

#[derive(Debug, Default)]
pub(crate) struct Inflight {
    last_id: u64,
    /// With its method, and when it is overdue; none if `Instant` cannot say when.
    waiting: BTreeMap<RequestId, (Waiting, &'static str, Option<Instant>)>,
}

impl Inflight {
    pub(crate) fn begin(
        &mut self,
        method: &'static str,
        waiting: Waiting,
        now: Instant,
        timeout: Duration,
    ) -> RequestId {
        self.last_id += 1;
        let id = RequestId::new(self.last_id);
        self.waiting.insert(id, (waiting, method, now.checked_add(timeout)));
        id
    }

    /// Ends the wait of one request.
    pub(crate) fn end(&mut self, id: RequestId) -> Option<(Waiting, &'static str)> {
        self.waiting.remove(&id).map(|(waiting, method, _)| (waiting, method))
    }

    /// Ends the wait of one request that is overdue.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Waiting, &'static str)> {
        let id = self
            .waiting
            .iter()
            .find(|(_, (_, _, deadline))| deadline.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)?;
        self.end(id)
    }

    /// Ends all waits.
    pub(crate) fn cancel_all(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        std::mem::take(&mut self.waiting).into_values().map(|(waiting, _, _)| waiting)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.values().filter_map(|(_, _, deadline)| *deadline).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}
