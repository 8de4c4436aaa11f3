//! What is asked, and what is answered.

use std::time::Instant;

use super::Device;
use crate::id::{ProducerId, RequestId, TransportId};
use crate::v3::error::{InvalidAnswer, OperationError};
use crate::v3::input::{Answer, Refusal};
use crate::v3::output::{Event as DeviceEvent, Output, Request};
use crate::v3::transport::Event;

/// The longest id of a producer. Those of mediasoup are 36 bytes long, but an application can give its own.
const MAX_ID_BYTES: usize = 1024;

/// What an answer is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waiting {
    Connect {
        transport: TransportId,
    },
    Produce {
        transport: TransportId,
        /// By which the server knows the transport.
        transport_id: String,
        producer: ProducerId,
    },
}

impl Waiting {
    const fn transport(&self) -> TransportId {
        match self {
            Self::Connect { transport } | Self::Produce { transport, .. } => *transport,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "connect",
            Self::Produce { .. } => "produce",
        }
    }
}

impl Device {
    /// Whether another request can wait; else how many do.
    pub(super) fn may_ask(&self) -> Result<(), OperationError> {
        let limit = self.config.limits.pending_requests;
        if self.requests.len() < limit { Ok(()) } else { Err(OperationError::TooManyRequests(limit)) }
    }

    pub(super) fn ask(&mut self, now: Instant, request: Request) {
        let waiting = match &request {
            Request::Connect { transport, .. } => Waiting::Connect { transport: *transport },
            Request::Produce { transport, transport_id, producer, .. } => {
                Waiting::Produce { transport: *transport, transport_id: transport_id.clone(), producer: *producer }
            }
        };
        let transport = waiting.transport();
        let id = self.requests.begin(waiting, now, self.config.request_timeout);
        if let Some(transport) = self.transports.get_mut(&transport) {
            transport.in_flight = Some(id);
        }
        self.outputs.push(Output::Request { id, request });
    }

    pub(super) fn answer(&mut self, now: Instant, id: RequestId, result: Result<Answer, Refusal>) {
        if let Some(waiting) = self.requests.end(id) {
            let transport = waiting.transport();
            let event = match (self.checked(&waiting, result), &waiting) {
                (Ok(Answer::Produced { id }), _) => Event::ProduceAnswered { server_id: id },
                (Ok(Answer::Connected), _) => Event::ConnectAnswered { late: false },
                (Err(error), Waiting::Connect { .. }) => Event::ConnectFailed(error),
                (Err(error), Waiting::Produce { .. }) => Event::ProduceFailed(error),
            };
            self.request_ended(transport, id);
            self.transport_event(now, transport, event);
        } else if let Some(waiting) = self.requests.late(id) {
            self.answered_late(now, waiting, result);
        } else {
            self.stats.answers_unexpected += 1;
        }
    }

    /// The server has done what it was asked for, and nobody waits for it any more.
    fn answered_late(&mut self, now: Instant, waiting: Waiting, result: Result<Answer, Refusal>) {
        match (self.checked(&waiting, result), waiting) {
            (Ok(Answer::Produced { id }), Waiting::Produce { transport_id, .. }) => {
                self.outputs.push(Output::Event(DeviceEvent::Orphan { transport_id, producer_id: id }));
            }
            (Ok(Answer::Connected), Waiting::Connect { transport }) if self.transports.contains_key(&transport) => {
                self.transport_event(now, transport, Event::ConnectAnswered { late: true });
            }
            (Err(OperationError::Refused(_)), Waiting::Connect { transport }) => {
                self.stats.answers_late += 1;
                self.transport_event(now, transport, Event::ConnectRefusedLate);
            }
            _ => self.stats.answers_late += 1,
        }
    }

    /// An answer that fits its request, or why it is none.
    fn checked(&self, waiting: &Waiting, result: Result<Answer, Refusal>) -> Result<Answer, OperationError> {
        let limit = self.config.limits.message_bytes;
        match (result, waiting) {
            (Err(Refusal { reason }), _) if reason.len() > limit => {
                let bytes = reason.len();
                Err(OperationError::InvalidAnswer(InvalidAnswer::TooLarge { bytes, limit }))
            }
            (Err(refusal), _) => Err(OperationError::Refused(refusal)),
            (Ok(Answer::Connected), Waiting::Connect { .. }) => Ok(Answer::Connected),
            (Ok(Answer::Produced { id }), Waiting::Produce { .. }) => match id.len() {
                0 => Err(OperationError::InvalidAnswer(InvalidAnswer::EmptyId)),
                1..=MAX_ID_BYTES => Ok(Answer::Produced { id }),
                bytes => {
                    let limit = MAX_ID_BYTES;
                    Err(OperationError::InvalidAnswer(InvalidAnswer::TooLarge { bytes, limit }))
                }
            },
            (Ok(Answer::Connected), Waiting::Produce { .. })
            | (Ok(Answer::Produced { .. }), Waiting::Connect { .. }) => {
                Err(OperationError::InvalidAnswer(InvalidAnswer::Mismatch))
            }
        }
    }

    pub(super) fn expire_requests(&mut self, now: Instant) {
        while let Some((id, waiting)) = self.requests.expire(now) {
            let transport = waiting.transport();
            let error = OperationError::TimedOut { request: waiting.name().to_owned() };
            let event = match waiting {
                Waiting::Connect { .. } => Event::ConnectFailed(error),
                Waiting::Produce { .. } => Event::ProduceFailed(error),
            };
            self.requests.remember(id, waiting);
            self.request_ended(transport, id);
            self.transport_event(now, transport, event);
            // What waited behind it is asked now, not at a deadline that is past.
            self.run(now);
        }
    }

    /// Nobody needs the answer to what a transport has asked any more.
    pub(super) fn cancel_request(&mut self, transport: TransportId) {
        let id = self.transports.get_mut(&transport).and_then(|transport| transport.in_flight.take());
        if let Some(id) = id
            && let Some(waiting) = self.requests.end(id)
        {
            self.requests.remember(id, waiting);
        }
    }

    fn request_ended(&mut self, transport: TransportId, id: RequestId) {
        if let Some(transport) = self.transports.get_mut(&transport)
            && transport.in_flight == Some(id)
        {
            transport.in_flight = None;
        }
    }
}
