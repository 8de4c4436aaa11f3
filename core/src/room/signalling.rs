//! What is said to the server and what it says: requests, their answers, and notifications.

use std::time::Instant;

use serde_json::Value;

use super::inflight::Waiting;
use super::{Room, RoomState};
use crate::error::OperationError;
use crate::id::{OperationId, RequestId};
use crate::output::{Event, Originator, Output, ProducerEvent, TransportEvent};
use crate::protocol::{self, Notification, Refusal, Request, ServerNotification, v2};
use crate::stats::{ProducerStats, TransportStats};
use crate::transport::state::State;

impl Room {
    pub(super) fn request(&mut self, now: Instant, request: Request, waiting: Waiting) -> Option<RequestId> {
        let limit = self.config.limits.pending_requests;
        if self.inflight.len() >= limit {
            self.failed(now, waiting, OperationError::TooManyRequests(limit));
            return None;
        }
        let timeout = self.config.request_timeout;
        let id = self.inflight.begin(request.method(), waiting, now, timeout);
        self.outputs.message(Output::Request { id, request });
        Some(id)
    }

    pub(super) fn response(&mut self, now: Instant, id: RequestId, result: Result<Value, Refusal>) {
        let Some((waiting, _)) = self.inflight.end(id) else {
            self.stats.messages_unexpected += 1;
            return;
        };
        let bytes = result.as_ref().map_or_else(|refusal| refusal.reason.len(), protocol::weight);
        let limit = self.config.limits.message_bytes;
        if bytes > limit {
            self.stats.messages_too_large += 1;
            let reason = format!("{bytes} bytes are more than the limit of {limit}");
            return self.failed(now, waiting, OperationError::InvalidResponse(reason));
        }
        match result {
            Ok(data) => self.answered(now, waiting, data),
            Err(refusal) if self.drawn_anew(now, &waiting, refusal.kind) => {}
            Err(refusal) => self.failed(now, waiting, refusal.into()),
        }
    }

    pub(super) fn answered(&mut self, now: Instant, waiting: Waiting, data: Value) {
        let outcome = match &waiting {
            Waiting::QueryRoom { join, peer_name, app_data } => v2::room_settings(data).map(|settings| {
                self.settings_known(now, *join, peer_name.clone(), app_data.clone(), settings);
            }),
            Waiting::Join { join } => v2::joined(&data).map(|peers| self.joined_room(*join, peers)),
            Waiting::CreateTransport { transport, .. } => {
                v2::remote_transport(data).map(|remote| self.transport_created(now, *transport, remote))
            }
            Waiting::RestartTransport { transport } => {
                v2::restarted(data).map(|parameters| self.ice_restarted(now, *transport, &parameters))
            }
            Waiting::CreateProducer { transport, producer, .. } => {
                self.producer_created(now, *transport, *producer);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            self.stats.messages_malformed += 1;
            self.failed(now, waiting, OperationError::InvalidResponse(error.to_string()));
        }
    }

    /// A request has failed: refused, timed out, or its answer makes no sense.
    pub(super) fn failed(&mut self, now: Instant, waiting: Waiting, error: OperationError) {
        match waiting {
            Waiting::QueryRoom { join, .. } => self.join_failed(join, error),
            Waiting::Join { join } => {
                if error_is_silence(&error) {
                    // A peer that it may have made would be in the way of the next join.
                    self.outputs.notification(Notification::Leave { app_data: None });
                }
                self.join_failed(join, error);
            }
            Waiting::CreateTransport { transport, id } => {
                if error_is_silence(&error) {
                    // The server may have made it all the same: it must not keep what nobody uses.
                    self.outputs.notification(Notification::CloseTransport { id, app_data: None });
                }
                if let Some(info) = self.transports.get_mut(&transport) {
                    info.state = State::New;
                    info.engine = None;
                }
                self.operation_failed(now, transport, error);
            }
            Waiting::RestartTransport { transport } => self.operation_failed(now, transport, error),
            Waiting::CreateProducer { transport, producer: _, id } => {
                if error_is_silence(&error) {
                    self.outputs.notification(Notification::CloseProducer { id, app_data: None });
                }
                self.operation_failed(now, transport, error);
            }
        }
    }

    pub(super) fn joined_room(&mut self, join: OperationId, peers: Vec<protocol::Peer>) {
        self.state = RoomState::Joined;
        for peer in &peers {
            self.remember(peer.clone());
        }
        self.outputs.event(Event::Joined { peers });
        self.settled(join, Ok(()));
    }

    pub(super) fn remember(&mut self, peer: protocol::Peer) {
        if !self.peers.remember(peer, &self.config.limits) {
            self.stats.peers_dropped += 1;
        }
    }

    pub(super) fn server_notification(&mut self, now: Instant, message: Value) {
        if protocol::weight(&message) > self.config.limits.message_bytes {
            self.stats.messages_too_large += 1;
            return;
        }
        let notification = match v2::server_notification(&message) {
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
                if let Some(id) = known {
                    self.close_transport(now, id, Originator::Remote, app_data, false);
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
