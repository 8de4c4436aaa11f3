//! What is to be done for a transport, one thing after another; and the answers.

use super::{AnswerKind, Asked, AskedState, LATE_ANSWERS, Model, REQUEST_TIMEOUT, Said, ToDo};
use super::{producer_id, request_id, server_id, transport_id};
use crate::event::ConnectionState;
use crate::v3::{InvalidAnswer, OperationError, ProducerEvent, Refusal, TransportEvent};

impl Model {
    // Answers.

    pub(super) fn answer(&mut self, request: usize, answer: AnswerKind) {
        let Some(asked) = self.asked.get(request).cloned() else { return };
        let result = match (answer, asked.what) {
            (AnswerKind::Well, _) => Ok(()),
            (AnswerKind::Refused, _) => Err(OperationError::Refused(Refusal::new(AnswerKind::WORDS))),
            (AnswerKind::Mismatched, _) => Err(OperationError::InvalidAnswer(InvalidAnswer::Mismatch)),
            // That to `connect` has no id.
            (AnswerKind::Nameless, Err(_)) => Err(OperationError::InvalidAnswer(InvalidAnswer::Mismatch)),
            (AnswerKind::Nameless, Ok(_)) => Err(OperationError::InvalidAnswer(InvalidAnswer::EmptyId)),
        };
        match asked.state {
            AskedState::Waits => {
                self.asked[request].state = AskedState::Over;
                self.ended(request, result);
            }
            AskedState::GivenUp => {
                self.given_up.retain(|of| *of != request);
                self.asked[request].state = AskedState::Over;
                match (result, asked.what) {
                    (Ok(()), Ok(_)) => self.orphan(request),
                    (Ok(()), Err(_)) => self.connected_late(asked.transport),
                    (Err(OperationError::Refused(_)), Err(_)) => {
                        if let Some(of) = self.transports[asked.transport].as_mut() {
                            of.doubts = of.doubts.saturating_sub(1);
                        }
                    }
                    (Err(_), _) => {}
                }
            }
            AskedState::Over => {}
        }
    }

    /// A request is answered, or is waited for no more.
    fn ended(&mut self, request: usize, result: Result<(), OperationError>) {
        let Asked { transport: index, what, .. } = self.asked[request].clone();
        let Some(of) = self.transports[index].as_mut() else { return };
        of.out = None;
        let is_new = of.state == ConnectionState::New;
        match (what, result) {
            (Err(_), Ok(())) if is_new => self.set_state(index, ConnectionState::Connecting),
            (Err(operation), Err(error)) if is_new => {
                // Whoever asked may be closed; the next one asks for itself.
                let still_there = of.to_do.front().and_then(ToDo::operation) == Some(operation);
                match error {
                    // The server may have taken the one before.
                    OperationError::Refused(refusal) if of.doubts > 0 => {
                        if still_there {
                            self.first_fails(index, OperationError::ConnectLost(refusal.clone()));
                        }
                        self.say_of(index, TransportEvent::ConnectLost { refusal });
                        self.close_transport(index);
                        return;
                    }
                    error => {
                        of.doubts += usize::from(!matches!(error, OperationError::Refused(_)));
                        if still_there {
                            self.first_fails(index, error);
                        }
                    }
                }
            }
            // The server had said yes before.
            (Err(_), _) => {}
            (Ok(producer), Ok(())) => match of.to_do.pop_front() {
                Some(ToDo::Produce { operation, .. }) => {
                    if let Some(of) = self.producer_mut(producer) {
                        of.live = true;
                    }
                    self.tell(producer, ProducerEvent::Produced { producer_id: server_id(request_id(request)) });
                    self.settle(operation, Ok(()));
                }
                Some(ToDo::RestartIce { .. } | ToDo::Nothing) | None => self.orphan(request),
            },
            (Ok(_), Err(error)) => self.first_fails(index, error),
        }
        self.go_on(index);
    }

    /// The server takes `connect` once: a late yes is a yes.
    fn connected_late(&mut self, index: usize) {
        let Some(of) = self.transport(index) else { return };
        if of.state == ConnectionState::New {
            self.set_state(index, ConnectionState::Connecting);
            self.go_on(index);
        }
    }

    fn first_fails(&mut self, index: usize, error: OperationError) {
        let first = self.transports[index].as_mut().and_then(|of| of.to_do.pop_front());
        match first {
            Some(ToDo::Produce { operation, producer }) => {
                self.not_produced(producer);
                self.settle(operation, Err(error));
            }
            Some(ToDo::RestartIce { operation }) => self.settle(operation, Err(error)),
            Some(ToDo::Nothing) | None => {}
        }
    }

    pub(super) fn expire(&mut self) {
        while let Some(request) =
            self.asked.iter().position(|asked| asked.state == AskedState::Waits && asked.due <= self.time)
        {
            let name = if self.asked[request].what.is_ok() { "produce" } else { "connect" };
            self.remember(request);
            self.ended(request, Err(OperationError::TimedOut { request: name.to_owned() }));
        }
    }

    /// Nobody waits for its answer any more.
    pub(super) fn give_up(&mut self, request: usize) {
        if self.asked[request].state == AskedState::Waits {
            self.remember(request);
        }
    }

    fn remember(&mut self, request: usize) {
        self.asked[request].state = AskedState::GivenUp;
        self.given_up.push(request);
        self.given_up.sort_unstable();
        if self.given_up.len() > LATE_ANSWERS {
            let forgotten = self.given_up.remove(0);
            self.asked[forgotten].state = AskedState::Over;
        }
    }

    // One thing after another.

    pub(super) fn queue(&mut self, index: usize, to_do: ToDo) {
        if let Some(of) = self.transports[index].as_mut() {
            of.to_do.push_back(to_do);
        }
        self.go_on(index);
    }

    pub(super) fn go_on(&mut self, index: usize) {
        while let Some(of) = self.transports[index].as_mut().filter(|of| of.out.is_none())
            && let Some(first) = of.to_do.front().copied()
        {
            match first {
                ToDo::Produce { operation, producer } => {
                    let what = if of.state == ConnectionState::New { Err(operation) } else { Ok(producer) };
                    self.ask(index, what);
                }
                ToDo::RestartIce { operation } => {
                    of.to_do.pop_front();
                    // It can be connected again, unless DTLS is over.
                    if of.state == ConnectionState::Failed && !of.over {
                        self.set_state(index, ConnectionState::Connecting);
                    }
                    self.settle(operation, Ok(()));
                }
                ToDo::Nothing => drop(of.to_do.pop_front()),
            }
        }
    }

    fn ask(&mut self, index: usize, what: Result<usize, u64>) {
        let request = self.asked.len();
        let due = self.time + REQUEST_TIMEOUT;
        self.asked.push(Asked { transport: index, what, due, state: AskedState::Waits });
        if let Some(of) = self.transports[index].as_mut() {
            of.out = Some(request);
        }
        let (request, transport) = (request_id(request), transport_id(index));
        self.said.push(match what {
            Ok(producer) => Said::Produce { request, transport, producer: producer_id(producer) },
            Err(_) => Said::Connect { request, transport },
        });
    }
}

impl ToDo {
    const fn operation(&self) -> Option<u64> {
        match self {
            Self::Produce { operation, .. } | Self::RestartIce { operation } => Some(*operation),
            Self::Nothing => None,
        }
    }
}
