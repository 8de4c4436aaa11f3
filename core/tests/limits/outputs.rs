//! What nobody polls.

use std::time::Duration;

use mediasoup_producer::v2::TransportError;
use mediasoup_producer::{Frame, MediaError, OutputsNotPolled};

use crate::Driven;
use crate::session::{Session, count, other};

pub(crate) fn outputs_of_events(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.outputs(limit));
    for _ in 0..limit * times {
        session.hears(other("x"));
    }
    assert_eq!(session.room.stats().outputs_waiting, limit);
    let refused = session.room.stats().events_dropped as usize;
    session.driven(refused, limit * (times - 1))
}

pub(crate) fn outputs_of_commands(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.outputs(limit));
    let (transport, _) = session.sending();
    let refusal = TransportError::from(OutputsNotPolled(limit));
    let refused = count(limit * times, &refusal, |n| {
        let mut transport = session.room.transport(transport).unwrap();
        let (on, interval) = (n.is_multiple_of(2), Duration::from_secs(1));
        if on { transport.enable_stats(session.now, interval) } else { transport.disable_stats(session.now) }
    });
    session.driven(refused, limit * (times - 1))
}

/// Media is refused before a datagram would have to be dropped; those that were waiting already are dropped.
pub(crate) fn outputs_of_datagrams(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.outputs(limit));
    let (_, producer) = session.sending();
    let write = |session: &mut Session, n: usize, bytes: usize| {
        let frame = Frame::new(vec![0x10; bytes], Duration::from_millis(n as u64));
        session.room.producer(producer).unwrap().write_frame(session.now, frame)
    };
    for n in 0..limit - 1 {
        write(&mut session, n, 100).unwrap();
    }
    // Ten packets more than there is space for, and the rest later.
    write(&mut session, limit, 1110 * 100).unwrap();
    session.now += Duration::from_secs(1);
    session.room.handle_timeout(session.now);
    let stats = session.room.stats();
    assert_eq!(stats.outputs_waiting, limit);
    assert!((98..=102).contains(&stats.transmits_dropped), "{stats:?}");
    let refusal = MediaError::OutputsNotPolled(limit);
    let refused = count(limit * (times - 1), &refusal, |n| write(&mut session, limit + n, 100));
    session.driven(refused, limit * (times - 1))
}

pub(crate) fn output_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.output_bytes(limit));
    // Each weighs 4096: four names and values of 32 bytes each in an object, and the text.
    let text = 4096 - 9 * 32 - "methodnewConsumertargetpeernotificationdata".len();
    for _ in 0..limit / 4096 * times {
        session.hears(other(&"x".repeat(text)));
    }
    let refused = session.room.stats().events_dropped as usize;
    session.driven(refused, limit / 4096 * (times - 1))
}
