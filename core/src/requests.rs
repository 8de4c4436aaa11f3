//! Requests that wait for an answer, and those that were given up and may still be answered. Each is answered, refused, timed
//! out or cancelled exactly once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::RequestId;

/// `P`: what is known of a request that waits. `L`: what is remembered of one that was given up.
#[derive(Debug)]
pub(crate) struct Requests<P, L> {
    last_id: u64,
    // Boxed, as a node of a map has room for eleven, and stays when there is none.
    pending: BTreeMap<RequestId, Box<Pending<P>>>,
    /// Given up: timed out, or cancelled.
    late: BTreeMap<RequestId, L>,
    /// How many of those are remembered.
    late_limit: usize,
    pub(crate) forgotten: u64,
}

#[derive(Debug)]
struct Pending<P> {
    what: P,
    /// When it is overdue; never, if `Instant` cannot say when.
    deadline: Option<Instant>,
}

impl<P, L> Requests<P, L> {
    pub(crate) const fn new(late_limit: usize) -> Self {
        Self { last_id: 0, pending: BTreeMap::new(), late: BTreeMap::new(), late_limit, forgotten: 0 }
    }

    pub(crate) fn begin(&mut self, what: P, now: Instant, timeout: Duration) -> RequestId {
        self.last_id += 1;
        let id = RequestId::new(self.last_id);
        self.pending.insert(id, Box::new(Pending { what, deadline: now.checked_add(timeout) }));
        id
    }

    /// Ends the wait of one request.
    pub(crate) fn end(&mut self, id: RequestId) -> Option<P> {
        self.pending.remove(&id).map(|pending| pending.what)
    }

    /// Ends the wait of one request that is overdue.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(RequestId, P)> {
        let overdue = |pending: &Pending<P>| pending.deadline.is_some_and(|at| at <= now);
        let id = *self.pending.iter().find(|(_, pending)| overdue(pending))?.0;
        self.end(id).map(|what| (id, what))
    }

    /// The answer to a request that was given up may still come.
    pub(crate) fn remember(&mut self, id: RequestId, what: L) {
        self.late.insert(id, what);
        if self.late.len() > self.late_limit {
            self.late.pop_first();
            self.forgotten += 1;
        }
    }

    /// What a request that was given up was, now that its answer is here.
    pub(crate) fn late(&mut self, id: RequestId) -> Option<L> {
        self.late.remove(&id)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.pending.values().filter_map(|pending| pending.deadline).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Those that wait, oldest first.
    pub(crate) fn pending_mut(&mut self) -> impl Iterator<Item = (RequestId, &mut P)> {
        self.pending.iter_mut().map(|(id, pending)| (*id, &mut pending.what))
    }

    /// Those that were given up and are older than this one.
    pub(crate) fn given_up_before(&mut self, id: RequestId) -> impl Iterator<Item = &mut L> {
        self.late.range_mut(..id).map(|(_, late)| late)
    }

    /// Ends all waits: whatever is answered from here on means nothing.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = P> + use<P, L> {
        self.late.clear();
        std::mem::take(&mut self.pending).into_values().map(|pending| pending.what)
    }
}
