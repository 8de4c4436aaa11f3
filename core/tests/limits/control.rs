//! What a room makes, asks and remembers.

use mediasoup_producer::v2::{CreateProducerError, CreateTransportError, RequestFailure, RestartIceError};
use serde_json::{Value, json};

use crate::Driven;
use crate::session::{Session, count};

pub(crate) fn transports(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.transports(limit));
    let refusal = CreateTransportError::Limit(limit);
    let refused = count(limit * times, &refusal, |_| session.room.create_transport(session.now, None).map(drop));
    session.driven(refused, limit * (times - 1))
}

pub(crate) fn producers(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.producers(limit));
    let refusal = CreateProducerError::Limit(limit);
    let refused = count(limit * times, &refusal, |_| session.producer().map(drop));
    session.driven(refused, limit * (times - 1))
}

fn new_peer(n: usize, app_data: Value) -> Value {
    json!({ "method": "newPeer", "target": "room", "notification": true, "name": format!("{n:8}"), "appData": app_data })
}

pub(crate) fn peers(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.peers(limit));
    for n in 0..limit * times {
        session.hears(new_peer(n, Value::Null));
        session.drain();
    }
    assert_eq!(session.room.peers().count(), limit);
    let refused = session.room.stats().peers_dropped as usize;
    session.driven(refused, limit * (times - 1))
}

pub(crate) fn peer_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.peer_bytes(limit));
    // The name has eight bytes, a JSON value 32.
    let data = Value::from("x".repeat(1024 - 8 - 32));
    for n in 0..limit / 1024 * times {
        session.hears(new_peer(n, data.clone()));
        session.drain();
    }
    let refused = session.room.stats().peers_dropped as usize;
    session.driven(refused, limit / 1024 * (times - 1))
}

pub(crate) fn message_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.message_bytes(limit));
    let large = |times: usize| json!({ "method": "newConsumer", "target": "peer", "notification": true, "data": vec![0; limit / 32 * times] });
    for _ in 0..10 {
        session.hears(large(times));
    }
    assert_eq!(session.room.stats().outputs_waiting, 0);
    let refused = session.room.stats().messages_too_large as usize;
    session.driven(refused, 10)
}

pub(crate) fn answer_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.message_bytes(limit));
    session.room.remote_close(session.now, None).unwrap();
    session.settled.clear();
    for _ in 0..10 {
        session.room.join(session.now, "again", None).unwrap();
        session.drain_with(|_| Some(Value::from("x".repeat(limit * times))));
    }
    let settled = std::mem::take(&mut session.settled);
    let refused = settled.iter().filter_map(|result| result.as_ref().err()?.request());
    let refused = refused.filter(|failure| matches!(failure, RequestFailure::InvalidResponse(_))).count();
    assert_eq!(session.room.stats().messages_too_large, 10);
    session.driven(refused, 10)
}

/// With one request for each transport; those that fail are closed again.
pub(crate) fn pending_requests(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.pending_requests(limit).transports(limit + 1).producers(limit + 1));
    session.settled.clear();
    for n in 0..limit * times {
        let (transport, producer) = (session.transport(), session.producer().unwrap());
        session.room.producer(producer).unwrap().send(session.now, transport).unwrap();
        session.drain_with(|_| None);
        assert_eq!(session.room.stats().requests_pending, limit.min(n + 1));
        if n >= limit {
            session.room.transport(transport).unwrap().close(session.now, None).unwrap();
            session.room.producer(producer).unwrap().close(session.now, None).unwrap();
            session.drain_with(|_| None);
        }
    }
    let settled = std::mem::take(&mut session.settled);
    let refused = settled.iter().filter_map(|result| result.as_ref().err()?.request());
    let refused = refused.filter(|failure| **failure == RequestFailure::TooManyRequests(limit)).count();
    session.driven(refused, limit * (times - 1))
}

pub(crate) fn operations(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.operations(limit));
    let (transport, _) = session.sending();
    let refusal = RestartIceError::Limit(limit);
    let refused = count(limit * times, &refusal, |_| {
        let restarted = session.room.transport(transport).unwrap().restart_ice(session.now).map(drop);
        session.drain_with(|_| None);
        restarted
    });
    session.driven(refused, limit * (times - 1))
}
