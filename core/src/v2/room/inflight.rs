//! Requests that wait for an answer, and those that were given up and may still be answered: what they make at the server.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::requests::Requests;
use crate::v2::id::ServerId;
use crate::v2::protocol::Notification;

/// What an answer is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Waiting {
    QueryRoom {
        join: OperationId,
        app_data: Option<Value>,
    },
    Join {
        join: OperationId,
        app_data: Option<Value>,
    },
    CreateTransport {
        transport: TransportId,
        id: ServerId,
        /// The one that asked for it.
        operation: OperationId,
    },
    RestartTransport {
        transport: TransportId,
    },
    CreateProducer {
        transport: TransportId,
        producer: ProducerId,
        id: ServerId,
    },
    /// The transport was closed here meanwhile. The server finds what it makes only once it has answered, so it is told
    /// then.
    Closed {
        makes: Makes,
        close: Notification,
    },
}

/// What the server makes for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Makes {
    Peer,
    Transport(ServerId),
    Producer(ServerId),
    /// New ICE credentials, in place of the old ones.
    Credentials(TransportId),
}

impl Makes {
    /// What takes it back. New credentials cannot be.
    pub(crate) const fn undo(self) -> Option<Notification> {
        match self {
            Self::Peer => Some(Notification::Leave { app_data: None }),
            Self::Transport(id) => Some(Notification::CloseTransport { id, app_data: None }),
            Self::Producer(id) => Some(Notification::CloseProducer { id, app_data: None }),
            Self::Credentials(_) => None,
        }
    }
}

impl Waiting {
    pub(crate) const fn makes(&self) -> Option<Makes> {
        match self {
            Self::QueryRoom { .. } => None,
            Self::Join { .. } => Some(Makes::Peer),
            Self::CreateTransport { id, .. } => Some(Makes::Transport(*id)),
            Self::RestartTransport { transport } => Some(Makes::Credentials(*transport)),
            Self::CreateProducer { id, .. } => Some(Makes::Producer(*id)),
            Self::Closed { makes, .. } => Some(*makes),
        }
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) waiting: Waiting,
    pub(crate) method: &'static str,
    /// An older request for the same thing has succeeded since this one went out. If this one succeeds all the same, then
    /// the older one's work was undone in time; if it is refused, that work was in its way.
    pub(crate) obstructed: bool,
}

/// A request that was given up.
#[derive(Debug)]
pub(crate) struct Late {
    makes: Makes,
    /// A later one was refused, and what this one may have made was undone for that.
    blamed: bool,
}

#[derive(Debug)]
pub(crate) struct Inflight(Requests<Pending, Late>);

impl Inflight {
    pub(crate) const fn new(late_limit: usize) -> Self {
        Self(Requests::new(late_limit))
    }

    pub(crate) fn begin(
        &mut self,
        method: &'static str,
        waiting: Waiting,
        now: Instant,
        timeout: Duration,
    ) -> RequestId {
        self.0.begin(Pending { waiting, method, obstructed: false }, now, timeout)
    }

    /// Ends the wait of one request.
    pub(crate) fn end(&mut self, id: RequestId) -> Option<Pending> {
        self.0.end(id)
    }

    /// Ends the wait of one request that is overdue. Its answer may still come.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(RequestId, Pending)> {
        let (id, pending) = self.0.expire(now)?;
        self.remember(id, &pending);
        Some((id, pending))
    }

    /// Ends the wait of one request that nobody needs any more. Its answer may still come.
    pub(crate) fn cancel(&mut self, id: RequestId) {
        if let Some(pending) = self.end(id) {
            self.remember(id, &pending);
        }
    }

    /// The transport that a request is about was closed. False: the server finds it already, or the request is over.
    pub(crate) fn hold(&mut self, id: RequestId, close: &Notification) -> bool {
        let Some(pending) = self.0.pending_mut().find(|(of, _)| *of == id).map(|(_, pending)| pending) else {
            return false;
        };
        match pending.waiting {
            Waiting::CreateTransport { id, .. } => {
                pending.waiting = Waiting::Closed { makes: Makes::Transport(id), close: close.clone() };
                true
            }
            Waiting::CreateProducer { id, .. } => {
                pending.waiting = Waiting::Closed { makes: Makes::Producer(id), close: close.clone() };
                true
            }
            Waiting::QueryRoom { .. }
            | Waiting::Join { .. }
            | Waiting::RestartTransport { .. }
            | Waiting::Closed { .. } => false,
        }
    }

    /// The server has closed a transport that was closed here, too. What it is making on it is found under its own id alone,
    /// once it is made.
    pub(crate) fn closed_by_server(&mut self, transport: ServerId) {
        for (_, pending) in self.0.pending_mut() {
            if let Waiting::Closed { makes: makes @ Makes::Producer(_), close } = &mut pending.waiting
                && matches!(close, Notification::CloseTransport { id, .. } if *id == transport)
                && let Some(undo) = makes.undo()
            {
                *close = undo;
            }
        }
    }

    /// Ends all waits: whatever is answered from here on means nothing.
    pub(crate) fn cancel_all(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        self.0.clear().map(|pending| pending.waiting)
    }

    /// What a request that was given up has made, now that its answer is here.
    pub(crate) fn late(&mut self, id: RequestId) -> Option<Makes> {
        self.0.late(id).map(|late| late.makes)
    }

    /// This request was refused. Whether what was made for an older one, of which no answer has come yet, may have been in
    /// its way; each is blamed only once.
    pub(crate) fn blame(&mut self, id: RequestId, makes: Makes) -> bool {
        let older = self.0.given_up_before(id).filter(|late| late.makes == makes && !late.blamed);
        older.map(|late| late.blamed = true).count() > 0
    }

    /// The server has made this for an older request. False: none for the same waits for its answer.
    pub(crate) fn obstruct(&mut self, made: Makes) -> bool {
        let same = self.0.pending_mut().filter(|(_, pending)| pending.waiting.makes() == Some(made));
        same.map(|(_, pending)| pending.obstructed = true).count() > 0
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many given up ones were forgotten.
    pub(crate) const fn forgotten(&self) -> u64 {
        self.0.forgotten
    }

    fn remember(&mut self, id: RequestId, pending: &Pending) {
        if let Some(makes) = pending.waiting.makes() {
            self.0.remember(id, Late { makes, blamed: false });
        }
    }
}
