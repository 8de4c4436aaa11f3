//! Requests that wait for an answer, and those that were given up and may still be answered: what they make at the server, and
//! what their answers bring about.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::id::{OperationId, ProducerId, RequestId, TransportId};
use crate::requests::Requests;
use crate::v2::effect::{Close, Effect};
use crate::v2::error::{InvalidResponse, RequestFailure};
use crate::v2::id::ServerId;
use crate::v2::protocol::{Notification, RefusalKind, wire};
use crate::v2::stats::RoomStats;
use crate::v2::{join, transport};

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
        transport: ServerId,
        app_data: Option<Value>,
        /// The server has closed the transport, too: what it is making on it is found under its own id alone.
        closed_there: bool,
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

    /// What closes the transport that it is made for, or is, now that the server finds it.
    fn close(self, transport: ServerId, app_data: Option<Value>, closed_there: bool) -> Notification {
        match self {
            Self::Producer(id) if closed_there => Notification::CloseProducer { id, app_data: None },
            Self::Peer | Self::Transport(_) | Self::Producer(_) | Self::Credentials(_) => {
                Notification::CloseTransport { id: transport, app_data }
            }
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

    /// The operation that it is a part of, if that is to join.
    pub(crate) fn join(self) -> Option<OperationId> {
        match self {
            Self::QueryRoom { join, .. } | Self::Join { join, .. } => Some(join),
            Self::CreateTransport { .. }
            | Self::RestartTransport { .. }
            | Self::CreateProducer { .. }
            | Self::Closed { .. } => None,
        }
    }

    /// Who hears whether it could be asked.
    pub(crate) fn asked(&self, request: RequestId) -> Option<Effect> {
        match self {
            Self::QueryRoom { .. } | Self::Join { .. } | Self::Closed { .. } => None,
            Self::CreateTransport { transport, .. }
            | Self::RestartTransport { transport }
            | Self::CreateProducer { transport, .. } => {
                Some(Effect::Transport(*transport, transport::Input::Asked(request)))
            }
        }
    }

    pub(crate) fn not_asked(self, error: RequestFailure) -> Option<Effect> {
        match self {
            Self::QueryRoom { join, .. } | Self::Join { join, .. } => {
                Some(Effect::Join(join::Input::NotJoined { join, error: error.into() }))
            }
            Self::CreateTransport { transport, .. }
            | Self::RestartTransport { transport }
            | Self::CreateProducer { transport, .. } => {
                Some(Effect::Transport(transport, transport::Input::NotAsked(error.into())))
            }
            Self::Closed { .. } => None,
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
    pub(crate) fn hold(&mut self, id: RequestId, close: &Close) -> bool {
        let Some((_, pending)) = self.0.pending_mut().find(|(of, _)| *of == id) else { return false };
        let makes = match pending.waiting {
            Waiting::CreateTransport { id, .. } => Makes::Transport(id),
            Waiting::CreateProducer { id, .. } => Makes::Producer(id),
            Waiting::QueryRoom { .. }
            | Waiting::Join { .. }
            | Waiting::RestartTransport { .. }
            | Waiting::Closed { .. } => return false,
        };
        let (transport, app_data) = (close.transport, close.app_data.clone());
        pending.waiting = Waiting::Closed { makes, transport, app_data, closed_there: false };
        true
    }

    /// The server has closed a transport that was closed here, too.
    pub(crate) fn closed_by_server(&mut self, id: ServerId) {
        for (_, pending) in self.0.pending_mut() {
            if let Waiting::Closed { transport, closed_there, .. } = &mut pending.waiting {
                *closed_there |= *transport == id;
            }
        }
    }

    /// Ends all waits: whatever is answered from here on means nothing.
    pub(crate) fn cancel_all(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        self.0.clear().map(|pending| pending.waiting)
    }

    /// An answer came. `in_use`: whether somebody uses what a request makes.
    pub(crate) fn answered(
        &mut self,
        id: RequestId,
        result: Result<Value, RequestFailure>,
        in_use: impl FnOnce(Makes) -> bool,
        stats: &mut RoomStats,
        effects: &mut Vec<Effect>,
    ) {
        let too_large = matches!(result, Err(RequestFailure::InvalidResponse(InvalidResponse::TooLarge { .. })));
        if let Some(pending) = self.end(id) {
            stats.messages_too_large += u64::from(too_large);
            match result {
                Ok(data) => self.answered_in_time(id, pending, data, stats, effects),
                Err(error) => self.failed(id, pending, error, effects),
            }
        } else if let Some(late) = self.0.late(id) {
            stats.messages_too_large += u64::from(too_large);
            self.answered_late(id, late.makes, result, in_use, stats, effects);
        } else {
            stats.messages_unexpected += 1;
        }
    }

    fn answered_in_time(
        &mut self,
        id: RequestId,
        pending: Pending,
        data: Value,
        stats: &mut RoomStats,
        effects: &mut Vec<Effect>,
    ) {
        let of = |transport: &TransportId, input| Effect::Transport(*transport, input);
        let effect = match &pending.waiting {
            Waiting::QueryRoom { join, app_data } => wire::room_settings(data).map(|settings| {
                Effect::Join(join::Input::Settings { join: *join, app_data: app_data.clone(), settings })
            }),
            Waiting::Join { join, .. } => {
                wire::joined(&data).map(|peers| Effect::Join(join::Input::Joined { join: *join, peers }))
            }
            Waiting::CreateTransport { transport, operation, .. } => wire::remote_transport(data)
                .map(|remote| of(transport, transport::Input::Created { operation: *operation, remote })),
            Waiting::RestartTransport { transport } => wire::restarted(data).map(|parameters| {
                of(transport, transport::Input::IceRestarted { request: id, parameters, late: false })
            }),
            Waiting::CreateProducer { transport, producer, .. } => {
                Ok(of(transport, transport::Input::ProducerCreated { producer: *producer }))
            }
            Waiting::Closed { makes, transport, app_data, closed_there } => {
                // A producer may be on its way to another transport by now.
                self.obstruct(*makes);
                Ok(Effect::Notify(makes.close(*transport, app_data.clone(), *closed_there)))
            }
        };
        match effect {
            Ok(effect) => effects.push(effect),
            Err(error) => {
                stats.messages_malformed += 1;
                self.failed(id, pending, RequestFailure::InvalidResponse(error.into()), effects);
            }
        }
    }

    /// A request was answered after it was given up. What the server made of it is undone, unless somebody uses it.
    fn answered_late(
        &mut self,
        request: RequestId,
        made: Makes,
        result: Result<Value, RequestFailure>,
        in_use: impl FnOnce(Makes) -> bool,
        stats: &mut RoomStats,
        effects: &mut Vec<Effect>,
    ) {
        let data = match result {
            Ok(data) => data,
            Err(error) if is_silence(&error) => Value::Null,
            // Nothing was made.
            Err(_) => return,
        };
        if let Makes::Credentials(transport) = made {
            match wire::restarted(data) {
                Ok(parameters) => {
                    let restarted = transport::Input::IceRestarted { request, parameters, late: true };
                    effects.push(Effect::Transport(transport, restarted));
                }
                Err(_) => stats.messages_malformed += 1,
            }
            return;
        }
        // If it was asked for again, the answer to that tells whether this is still there.
        if !in_use(made) && !self.obstruct(made) {
            effects.extend(made.undo().map(Effect::Notify));
        }
    }

    /// A request has failed: refused, timed out, or its answer makes no sense.
    pub(crate) fn failed(&mut self, id: RequestId, pending: Pending, error: RequestFailure, effects: &mut Vec<Effect>) {
        let Pending { waiting, obstructed, .. } = pending;
        let refused = !is_silence(&error);
        let makes = waiting.makes();
        // Ids are ours: what an older request made under this one is a reason to refuse.
        let again =
            refused && makes.is_some_and(|makes| makes.undo().is_some() && (self.blame(id, makes) | obstructed));
        if let Waiting::Closed { makes, transport, app_data, closed_there } = waiting {
            let exists = match makes {
                Makes::Transport(_) => !refused || again,
                Makes::Peer | Makes::Producer(_) | Makes::Credentials(_) => true,
            };
            if exists {
                effects.push(Effect::Notify(makes.close(transport, app_data, closed_there)));
            }
            return;
        }
        // The server may have made it all the same: it must not keep what nobody uses.
        if let Some(made) = makes
            && (!refused || again)
        {
            effects.extend(made.undo().map(Effect::Notify));
        }
        let is_taken = |taken| matches!(&error, RequestFailure::Refused(refusal) if refusal.kind == taken);
        let of = Effect::Transport;
        effects.push(match waiting {
            Waiting::Join { join, app_data } if again => Effect::Join(join::Input::JoinAgain { join, app_data }),
            Waiting::QueryRoom { join, .. } | Waiting::Join { join, .. } => {
                Effect::Join(join::Input::NotJoined { join, error: error.into() })
            }
            Waiting::CreateTransport { transport, .. } if again => of(transport, transport::Input::CreateAgain),
            Waiting::CreateTransport { transport, operation, .. } => {
                let taken = is_taken(RefusalKind::DuplicatedTransport);
                of(transport, transport::Input::NotCreated { operation, error, taken })
            }
            Waiting::RestartTransport { transport } => of(transport, transport::Input::IceNotRestarted(error)),
            Waiting::CreateProducer { transport, producer, .. } if again => {
                of(transport, transport::Input::CreateProducerAgain { producer })
            }
            Waiting::CreateProducer { transport, producer, .. } => {
                let taken = is_taken(RefusalKind::DuplicatedProducer);
                of(transport, transport::Input::ProducerNotCreated { producer, error, taken })
            }
            Waiting::Closed { .. } => return,
        });
    }

    /// This request was refused. Whether what was made for an older one, of which no answer has come yet, may have been in
    /// its way; each is blamed only once.
    fn blame(&mut self, id: RequestId, makes: Makes) -> bool {
        let older = self.0.given_up_before(id).filter(|late| late.makes == makes && !late.blamed);
        older.map(|late| late.blamed = true).count() > 0
    }

    /// The server has made this for an older request. False: none for the same waits for its answer.
    fn obstruct(&mut self, made: Makes) -> bool {
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

/// No answer, or one that makes no sense: the server may have done what it was asked.
const fn is_silence(error: &RequestFailure) -> bool {
    matches!(error, RequestFailure::TimedOut { .. } | RequestFailure::InvalidResponse(_))
}
