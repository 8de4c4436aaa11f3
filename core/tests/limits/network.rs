//! Addresses, paths, and what streams of bytes are cut into.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mediasoup_producer::framing::Decoder;
use mediasoup_producer::protoo::{Protoo, ProtooError};
use mediasoup_producer::sim::{Direction, ScenarioConfig, Source};
use mediasoup_producer::v2::{AddAddressError, Room, RoomConfig};
use mediasoup_producer::{IceProtocol, framing};
use serde_json::json;

use crate::common::{answer, scenario};
use crate::session::{Session, count};
use crate::{Driven, default_of};

pub(crate) fn local_addresses(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.local_addresses(limit));
    let transport = session.transport();
    let refusal = AddAddressError::Limit(limit);
    let refused = count(limit * times, &refusal, |n| {
        let address = SocketAddr::new(IpAddr::from([10, 0, 0, 1]), n as u16 + 1);
        session.room.transport(transport).unwrap().add_local_address(session.now, IceProtocol::Udp, address)
    });
    session.driven(refused, limit * (times - 1))
}

/// On the real media plane, where each would be a pair.
pub(crate) fn remote_candidates(limit: usize, times: usize) -> Driven {
    assert_eq!(default_of("remote_candidates"), limit);
    let mut session = Session::new(|limits| limits);
    session.room = Room::new(RoomConfig::default(), 1);
    session.room.join(session.now, "limits", None).unwrap();
    session.drain();
    let (transport, producer) = (session.transport(), session.producer().unwrap());
    session.room.producer(producer).unwrap().send(session.now, transport).unwrap();
    session.drain_with(|request| {
        let mut answer = answer(request);
        if let Some(candidates) = answer.get_mut("iceCandidates") {
            *candidates = (0..limit * times)
                .map(|n| json!({ "ip": "192.0.2.7", "port": n + 1, "protocol": "udp", "priority": n }))
                .collect();
        }
        Some(answer)
    });
    assert_eq!(session.room.transport_info(transport).unwrap().remote_candidates().len(), limit);
    let refused = session.room.stats().candidates_dropped as usize;
    session.driven(refused, limit * (times - 1))
}

/// On the real media plane: paths are tried as long as it takes.
pub(crate) fn lost_path(seconds: usize, times: usize) -> Driven {
    let mut scenario = scenario(ScenarioConfig::default(), 2).sending_with([Source::opus(32_000)]);
    scenario.stop_media();
    for direction in [Direction::Up, Direction::Down] {
        scenario.net.set_cut(direction, true);
    }
    for _ in 0..seconds * times {
        scenario.drive(Duration::from_secs(1));
        scenario.take_events();
    }
    Driven { refused: 0, beyond: 0, held: Box::new(scenario) }
}

pub(crate) fn framed(limit: usize, times: usize) -> Driven {
    let mut out = bytes::BytesMut::new();
    let refused = (0..10).filter(|_| !framing::encode(&vec![0; limit * times], &mut out)).count();
    assert!(out.is_empty());
    // A stream of the longest frames, in pieces.
    let mut decoder = Decoder::default();
    let stream = [&[0xff; 2][..], &vec![0; limit]].concat();
    for _ in 0..times {
        for piece in stream.chunks(10_000) {
            decoder.push(piece);
            while decoder.poll().is_some() {}
        }
    }
    decoder.push(&stream[..limit]);
    assert_eq!(decoder.poll(), None);
    Driven { refused, beyond: 10, held: Box::new(decoder) }
}

pub(crate) fn text_frame(limit: usize, times: usize) -> Driven {
    let mut protoo = Protoo::new();
    let text = "[".repeat(limit * times);
    let refused = (0..10).filter(|_| matches!(protoo.receive(&text), Err(ProtooError::TooLong(_)))).count();
    Driven { refused, beyond: 10, held: Box::new(protoo) }
}
