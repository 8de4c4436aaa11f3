//! What is said to the server and what it says: requests, their answers, and notifications.

use std::time::Instant;

use serde_json::Value;

use super::inflight::{Makes, Pending, Waiting};
use super::{Room, RoomState};
use crate::event::Originator;
use crate::id::{OperationId, RequestId};
use crate::json;
use crate::v2::error::{InvalidResponse, OperationError};
use crate::v2::output::{Event, Output, ProducerEvent, TransportEvent};
use crate::v2::producer::ProducerInfo;
use crate::v2::protocol::{Peer, Refusal, Request, ServerNotification, wire};
use crate::v2::stats::{ProducerStats, TransportStats};

impl Room {
    pub(super) fn request(
        &mut self,
        now: Instant,
        request: Request,
        waiting: Waiting,
    ) -> Result<RequestId, OperationError> {
        let limit = self.config.limits.pending_requests;
        if self.inflight.len() >= limit {
            return Err(OperationError::TooManyRequests(limit));
        }
        let timeout = self.config.request_timeout;
        let id = self.inflight.begin(request.method(), waiting, now, timeout);
        self.outputs.push(Output::Request { id, request });
        Ok(id)
    }

    pub(super) fn response(&mut self, now: Instant, id: RequestId, result: Result<Value, Refusal>) {
        let bytes = result.as_ref().map_or_else(|refusal| refusal.reason.len(), json::weight);
        let limit = self.config.limits.message_bytes;
        let result = if bytes <= limit {
            result.map_err(OperationError::from)
        } else {
            Err(OperationError::InvalidResponse(InvalidResponse::TooLarge { bytes, limit }))
        };
        if let Some(pending) = self.inflight.end(id) {
            self.stats.messages_too_large += u64::from(bytes > limit);
            match result {
                Ok(data) => self.answered(now, id, pending, data),
                Err(error) => self.failed(now, id, pending, error),
            }
        } else if let Some(made) = self.inflight.late(id) {
            self.stats.messages_too_large += u64::from(bytes > limit);
            self.answered_late(now, id, made, result);
        } else {
            self.stats.messages_unexpected += 1;
        }
    }

    fn answered(&mut self, now: Instant, id: RequestId, pending: Pending, data: Value) {
        let outcome = match &pending.waiting {
            Waiting::QueryRoom { join, app_data } => wire::room_settings(data).map(|settings| {
                self.settings_known(now, *join, app_data.clone(), settings);
            }),
            Waiting::Join { join, .. } => wire::joined(&data).map(|peers| self.joined_room(*join, peers)),
            Waiting::CreateTransport { transport, operation, .. } => {
                wire::remote_transport(data).map(|remote| self.transport_created(now, *transport, *operation, remote))
            }
            Waiting::RestartTransport { transport } => wire::restarted(data).map(|parameters| {
                self.ice_restarted(now, *transport, id, &parameters);
                self.operation_ended(now, *transport, Ok(()));
            }),
            Waiting::CreateProducer { transport, producer, .. } => {
                self.producer_created(now, *transport, *producer);
                Ok(())
            }
            Waiting::Closed { makes, close } => {
                self.outputs.notification(close.clone());
                // A producer may be on its way to another transport by now.
                self.inflight.obstruct(*makes);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            self.stats.messages_malformed += 1;
            self.failed(now, id, pending, OperationError::InvalidResponse(error.into()));
        }
    }

    /// A request was answered after it was given up. What the server made of it is undone, unless somebody uses it.
    fn answered_late(&mut self, now: Instant, id: RequestId, made: Makes, result: Result<Value, OperationError>) {
        let data = match result {
            Ok(data) => data,
            Err(error) if error_is_silence(&error) => Value::Null,
            // Nothing was made.
            Err(_) => return,
        };
        let in_use = match made {
            Makes::Peer => self.joined(),
            Makes::Transport(id) => {
                let transport = self.transports_at_server.get(&id).and_then(|id| self.transports.get(id));
                transport.is_some_and(|transport| transport.state.created())
            }
            Makes::Producer(id) => {
                let producer = self.producers_at_server.get(&id).and_then(|id| self.producers.get(id));
                producer.is_some_and(ProducerInfo::handled)
            }
            Makes::Credentials(transport) => {
                match wire::restarted(data) {
                    Ok(parameters) => self.ice_restarted(now, transport, id, &parameters),
                    Err(_) => self.stats.messages_malformed += 1,
                }
                return;
            }
        };
        // If it was asked for again, the answer to that tells whether this is still there.
        if !in_use && !self.inflight.obstruct(made) {
            self.undo(made);
        }
    }

    fn undo(&mut self, made: Makes) {
        if let Some(notification) = made.undo() {
            self.outputs.notification(notification);
        }
    }

    /// A request has failed: refused, timed out, or its answer makes no sense.
    pub(super) fn failed(&mut self, now: Instant, id: RequestId, pending: Pending, error: OperationError) {
        let Pending { waiting, obstructed, .. } = pending;
        let refused = !error_is_silence(&error);
        let makes = waiting.makes();
        // Ids are ours: what an older request made under this one is a reason to refuse.
        let again = refused
            && makes.is_some_and(|makes| makes.undo().is_some() && (self.inflight.blame(id, makes) | obstructed));
        if let Waiting::Closed { makes, close } = waiting {
            let exists = match makes {
                Makes::Transport(_) => !refused || again,
                Makes::Peer | Makes::Producer(_) | Makes::Credentials(_) => true,
            };
            if exists {
                self.outputs.notification(close);
            }
            return;
        }
        // The server may have made it all the same: it must not keep what nobody uses.
        if let Some(made) = makes
            && (!refused || again)
        {
            self.undo(made);
        }
        if !again && self.drawn_anew(now, &waiting, &error) {
            return;
        }
        match waiting {
            Waiting::QueryRoom { join, .. } => self.join_failed(join, error),
            Waiting::Join { join, app_data } if again => self.request_join(now, join, app_data),
            Waiting::Join { join, .. } => self.join_failed(join, error),
            Waiting::CreateTransport { transport, .. } if again => {
                if let Some(transport) = self.transports.get_mut(&transport) {
                    transport.not_created();
                }
                self.next_operation_of(now, transport);
            }
            Waiting::CreateTransport { transport, operation, .. } => {
                self.transport_not_created(now, transport, operation, error);
            }
            Waiting::CreateProducer { transport, producer, .. } if again => {
                self.create_producer_again(now, transport, producer);
            }
            Waiting::RestartTransport { transport } | Waiting::CreateProducer { transport, .. } => {
                self.operation_ended(now, transport, Err(error));
            }
            Waiting::Closed { .. } => {}
        }
    }

    pub(super) fn joined_room(&mut self, join: OperationId, peers: Vec<Peer>) {
        self.state = RoomState::Joined;
        for peer in &peers {
            self.remember(peer.clone());
        }
        self.outputs.event(Event::Joined { peers });
        self.settled(join, Ok(()));
    }

    pub(super) fn remember(&mut self, peer: Peer) {
        if !self.peers.remember(peer, &self.config.limits) {
            self.stats.peers_dropped += 1;
        }
    }

    pub(super) fn server_notification(&mut self, now: Instant, message: Value) {
        if json::weight(&message) > self.config.limits.message_bytes {
            self.stats.messages_too_large += 1;
            return;
        }
        let notification = match wire::server_notification(&message) {
            Ok(notification) => notification,
            Err(_) => {
                self.stats.messages_malformed += 1;
                return;
            }
        };
        if !self.announced {
            self.stats.messages_unexpected += 1;
            return;
        }
        let known = match notification {
            ServerNotification::Closed { app_data } => {
                self.close_room(now, Originator::Remote, app_data);
                true
            }
            ServerNotification::TransportClosed { id, app_data } => {
                let known = self.transports_at_server.get(&id).copied();
                match known {
                    Some(id) => self.close_transport(now, id, Originator::Remote, app_data, false),
                    None => self.inflight.closed_by_server(id),
                }
                known.is_some()
            }
            ServerNotification::TransportStats { id, stats } => {
                let known = self.transports_at_server.get(&id).copied();
                if let Some(id) = known {
                    let stats = stats.into_iter().map(transport_stats).collect();
                    self.outputs.event(Event::Transport { id, event: TransportEvent::Stats { stats } });
                }
                known.is_some()
            }
            ServerNotification::ProducerPaused { id, app_data } => {
                self.with_producer_at_server(now, id, |p, effects| p.remote_pause(app_data, effects))
            }
            ServerNotification::ProducerResumed { id, app_data } => {
                self.with_producer_at_server(now, id, |p, effects| p.remote_resume(app_data, effects))
            }
            ServerNotification::ProducerClosed { id, app_data } => {
                let known = self.producers_at_server.get(&id).copied();
                if let Some(id) = known {
                    self.close_producer(now, id, Originator::Remote, app_data);
                }
                known.is_some()
            }
            ServerNotification::ProducerStats { id, stats } => {
                let known = self.producers_at_server.get(&id).copied();
                if let Some(id) = known {
                    let stats = stats.into_iter().map(producer_stats).collect();
                    self.outputs.event(Event::Producer { id, event: ProducerEvent::Stats { stats } });
                }
                known.is_some()
            }
            ServerNotification::NewPeer { peer } => {
                self.remember(peer.clone());
                self.outputs.event(Event::NewPeer { peer });
                true
            }
            ServerNotification::PeerClosed { name, app_data } => {
                self.peers.forget(&name);
                self.outputs.event(Event::PeerClosed { name, app_data });
                true
            }
            ServerNotification::Other { .. } => {
                self.outputs.event(Event::Notification { message });
                true
            }
        };
        if !known {
            self.stats.messages_unexpected += 1;
        }
    }
}

/// No answer, or one that makes no sense: the server may have done what it was asked.
fn error_is_silence(error: &OperationError) -> bool {
    matches!(error, OperationError::TimedOut { .. } | OperationError::InvalidResponse(_))
}

fn producer_stats(raw: Value) -> ProducerStats {
    ProducerStats { stream: serde_json::from_value(raw.clone()).ok(), raw }
}

fn transport_stats(raw: Value) -> TransportStats {
    TransportStats { transport: serde_json::from_value(raw.clone()).ok(), raw }
}
