//! What is sent.

use std::time::Duration;

use mediasoup_producer::sim::{ScenarioConfig, Source};
use mediasoup_producer::v2::RoomConfig;
use mediasoup_producer::{Frame, Limits, MediaError, MediaKind, RtpPacket};

use crate::Driven;
use crate::common::scenario;
use crate::session::{Session, count};

pub(crate) fn frame_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits.frame_bytes(limit));
    let (_, producer) = session.sending();
    let refusal = MediaError::TooLarge { bytes: limit * times, limit };
    let refused = count(10, &refusal, |_| {
        let frame = Frame::new(vec![0x10; limit * times], Duration::ZERO);
        session.room.producer(producer).unwrap().write_frame(session.now, frame)
    });
    session.driven(refused, 10)
}

pub(crate) fn packet_bytes(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits);
    let (_, producer) = session.sending();
    let refusal = MediaError::TooLarge { bytes: limit * times, limit };
    let refused = count(10, &refusal, |n| {
        let header = [&[0x80, 96][..], &(n as u16).to_be_bytes(), &[0; 8]].concat();
        let packet = RtpPacket::parse([header, vec![0x10; limit * times]].concat().into()).unwrap();
        session.room.producer(producer).unwrap().write_packet(session.now, packet)
    });
    session.driven(refused, 10)
}

/// Frames of which ten packets leave at once and the rest a little later.
pub(crate) fn packets_waiting(limit: usize, times: usize) -> Driven {
    let mut session = Session::new(|limits| limits);
    let (_, producer) = session.sending();
    let frame = Frame::new(vec![0x10; 1110 * limit / 8], Duration::ZERO);
    let mut refused = 0;
    let mut taken = 0;
    while refused + taken < 8 * times {
        match session.room.producer(producer).unwrap().write_frame(session.now, frame.clone()) {
            Ok(()) => taken += 1,
            Err(MediaError::TooManyPackets(waiting)) => {
                assert!((limit..limit * 9 / 8).contains(&waiting), "{waiting}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        session.drain();
    }
    // The sixth part of what waits leaves with each step.
    assert!((8..=11).contains(&taken), "{taken} frames were taken");
    session.driven(refused, 8 * times - taken)
}

/// On the real media plane: what is older is forgotten, which a NACK for it finds out.
pub(crate) fn repair_packets(limit: usize, times: usize) -> Driven {
    let limits = Limits::default().repair_packets(limit);
    let config =
        ScenarioConfig::default().room(RoomConfig::default().repair_time(Duration::from_secs(60)).limits(limits));
    let mut scenario = scenario(config, 1).sending_with([Source::vp8(300_000)]);
    scenario.stop_media();
    let producer = scenario.producer_id(MediaKind::Video).unwrap();
    // As much as the figure within a second and a half.
    for n in 0..limit / 8 * times {
        let now = scenario.now();
        let frame = Frame::new(vec![0x10; 8 * 1110], Duration::from_millis(n as u64 * 12));
        scenario.room.producer(producer).unwrap().write_frame(now, frame).unwrap();
        scenario.drive(Duration::from_millis(12));
        scenario.take_packets();
        scenario.take_events();
    }
    let stats = &scenario.room.outbound_stats(producer)[0];
    let sent = stats.packets_sent as usize;
    assert!(sent >= limit * times, "{sent}");
    Driven { refused: 0, beyond: 0, held: Box::new(scenario) }
}
