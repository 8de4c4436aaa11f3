//! The worker: in the real server another process. What it is asked to make is there only once it has answered; until then
//! the server finds nothing under that id.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::output::ServerOutput;
use super::{ConnectionId, RoomServer};
use crate::id::TransportId;

/// The longest that the worker takes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Asked {
    /// It is answered at once.
    Answered(Value),
    /// The worker has to do it first.
    Worker { peer: Arc<str>, work: Work },
}

/// What the worker is asked to do.
#[derive(Debug)]
pub(super) enum Work {
    CreateTransport {
        request: Value,
    },
    /// The second half of `createTransport`: the transport is there, and the worker takes the peer's DTLS parameters.
    BeginDtls {
        answer: Value,
    },
    CreateProducer {
        on: TransportId,
        request: Value,
    },
    RestartTransport {
        id: TransportId,
    },
}

/// A request on its way through the worker.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) due: Instant,
    connection: ConnectionId,
    id: u64,
    /// As it is named in the room; a peer that left and came back is another.
    peer: Arc<str>,
    work: Work,
}

impl RoomServer {
    /// From here on the worker takes so long for each request, in the order in which they came.
    pub const fn set_worker_delay(&mut self, delay: Duration) {
        self.config.worker_delay = delay;
    }

    /// How many requests wait for the worker.
    pub fn requests_waiting(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn ask_worker(&mut self, now: Instant, connection: ConnectionId, id: u64, peer: Arc<str>, work: Work) {
        if self.jobs.iter().filter(|job| job.connection == connection).count() >= self.config.limits.requests {
            return self.respond(connection, id, Err("Error: too many requests".to_owned()));
        }
        let due = self.jobs.back().map_or(now, |job| job.due).max(now + self.config.worker_delay.min(LONGEST));
        self.jobs.push_back(Job { due, connection, id, peer, work });
    }

    /// Does what the worker has come to.
    pub(super) fn work(&mut self, now: Instant) {
        while self.jobs.front().is_some_and(|job| job.due <= now)
            && let Some(Job { connection, id, peer, work, .. }) = self.jobs.pop_front()
        {
            // The real server goes on with it, out of anybody's reach.
            if !self.peers.get(&*peer).is_some_and(|known| Arc::ptr_eq(&known.name, &peer)) {
                self.respond(connection, id, Err("InvalidStateError: Peer closed".to_owned()));
                continue;
            }
            let result = match work {
                Work::CreateTransport { request } => match self.create_transport(now, &peer, &request) {
                    Ok(answer) => {
                        self.ask_worker(now, connection, id, peer, Work::BeginDtls { answer });
                        continue;
                    }
                    Err(error) => Err(error),
                },
                Work::BeginDtls { answer } => Ok(answer),
                Work::CreateProducer { on, request } => self.create_producer(&peer, on, &request),
                Work::RestartTransport { id } => self.restart_transport(id),
            };
            self.respond(connection, id, result);
        }
    }

    pub(super) fn respond(&mut self, connection: ConnectionId, id: u64, result: Result<Value, String>) {
        self.counters.requests_refused += u64::from(result.is_err());
        self.outputs.push_back(ServerOutput::Response { connection, id, result });
    }
}
