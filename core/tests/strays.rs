//! A datagram that is nobody's changes nothing, whenever it comes.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::plain;
use mediasoup_producer::IceProtocol;
use mediasoup_producer::Receive;
use mediasoup_producer::sim::{Direction, Scenario, Source};
use mediasoup_producer::v2::Output;

fn stray(first: u8) -> Receive {
    Receive {
        protocol: IceProtocol::Udp,
        source: Scenario::OTHER_CLIENT,
        destination: Scenario::CLIENT,
        contents: Bytes::copy_from_slice(&[first; 20]),
    }
}

/// Datagrams that leave in the next ten seconds, when nothing comes from the server and strays come exactly between each
/// deadline and its timeout.
fn sent_between_strays(scenario: &mut Scenario, strays: &[u8]) -> (usize, Vec<Duration>) {
    let start = scenario.now();
    let (mut sent, mut deadlines) = (0, Vec::new());
    let mut last: Option<Instant> = None;
    while let Some(due) = scenario.room.poll_timeout().filter(|due| *due < start + Duration::from_secs(10)) {
        for first in strays {
            scenario.room.handle_receive(due, &stray(*first));
            assert!(scenario.room.poll_timeout() <= Some(due), "what is due stays due");
        }
        scenario.room.handle_timeout(due);
        assert!(last.is_none_or(|last| last < due), "a deadline that was honoured comes again");
        last = Some(due);
        deadlines.push(due - start);
        while let Some(output) = scenario.room.poll_output() {
            sent += usize::from(matches!(output, Output::Transmit(_)));
        }
    }
    (sent, deadlines)
}

#[test]
fn a_stray_between_a_deadline_and_its_timeout_swallows_nothing() {
    let waiting = |strays: &[u8]| {
        let mut scenario = plain(1).joined();
        let transport = scenario.create_transport();
        scenario.net.set_cut(Direction::Down, true);
        scenario.send(transport, Source::vp8(300_000));
        scenario.drive(Duration::from_millis(100));
        let (sent, deadlines) = sent_between_strays(&mut scenario, strays);
        assert_eq!(scenario.room.stats().stun_refused, 0);
        (sent, deadlines)
    };
    let quiet = waiting(&[]);
    assert!(quiet.0 > 3, "connectivity checks");
    // DTLS, RTP, RTCP, and nothing known (RFC 7983).
    assert_eq!(waiting(&[22, 128, 200, 255]), quiet);
}
