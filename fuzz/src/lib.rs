//! Bodies of the fuzz targets. Each takes bytes, and panics where a promise of the library is broken.

#![allow(clippy::disallowed_methods)] // a fuzz target may ask for the time

mod json;
mod session;
pub mod v3;

use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use mediasoup_producer::IceProtocol;
use mediasoup_producer::protoo::Protoo;
use mediasoup_producer::sim::Scripted;
use mediasoup_producer::sim::model::Step;
use mediasoup_producer::sim::{BothSides, Lockstep, Scenario, ScenarioConfig, Source};
use mediasoup_producer::v2::protocol::Notification;
use mediasoup_producer::v2::{Input, ProducerOptions, Room, RoomConfig};
use mediasoup_producer::{Codec, MediaKind, Receive, RequestId, Track};
use mediasoup_publish::source::{FileSource, Input as PlayedInput, Kind, Options};

use session::Session;

/// The server says anything at any time: each line is a protoo text frame, of which `$T`, `$P` and `$R` stand for the ids
/// of our transport, of our producer and of the latest request. A line with `+` and a number lets that many milliseconds
/// pass.
pub fn server_message(data: &[u8]) {
    let Some((stage, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut session = Session::at(*stage % Session::STAGES);
    let mut protoo = Protoo::new();
    for line in text.lines().take(64) {
        if let Some(milliseconds) = line.strip_prefix('+').and_then(|number| number.parse::<u16>().ok()) {
            session.pass(milliseconds);
            continue;
        }
        let line = line
            .replace("$T", &session.transport().to_string())
            .replace("$P", &session.producer().to_string())
            .replace("$R", &session.latest_request().map_or(0, RequestId::value).to_string());
        if let Ok(received) = protoo.receive(&line)
            && let Some(input) = received.input
        {
            session.input(input);
        }
    }
    session.input(Input::Timeout);
    session.close();
}

/// The server says anything, in JSON that is more often nearly right than text is.
pub fn server_json(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let stage = u.arbitrary::<u8>().unwrap_or_default() % Session::STAGES;
    let mut session = Session::at(stage);
    while !u.is_empty() {
        let Ok(input) = server_input(&mut u, &mut session) else { break };
        session.input(input);
    }
    session.close();
}

fn server_input(u: &mut Unstructured<'_>, session: &mut Session) -> arbitrary::Result<Input> {
    let ids = [session.transport(), session.producer(), 0];
    Ok(match u.int_in_range(0..=4u8)? {
        0 => Input::Notification(json::notification(u, &ids)?),
        1 => Input::Notification(json::any(u, 0)?),
        2 | 3 => {
            let id = session.latest_request().unwrap_or(RequestId::from(1));
            Input::Response { id, result: Ok(json::damaged(u, session.usual_answer())?) }
        }
        _ => {
            session.pass(u.int_in_range(0..=6000)?);
            Input::Timeout
        }
    })
}

/// A room says what it can do, and we do our best with it.
pub fn capabilities(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut session = Session::at(1);
    session.drain();
    let Ok(settings) = json::damaged(&mut u, session.usual_answer()) else { return };
    let request = session.latest_request().expect("queryRoom");
    session.input(Input::Response { id: request, result: Ok(settings) });
    session.answer_all();
    for codec in [None].into_iter().chain(Codec::ALL.map(Some)) {
        let kind = codec.map_or(MediaKind::Video, Codec::kind);
        let mut options = ProducerOptions::default().simulcast(kind == MediaKind::Video);
        if let Some(codec) = codec {
            options = options.codec(codec);
        }
        session.publish(Track::new(kind, "track", ""), options);
    }
    session.close();
}

/// Anything happens to a room, and the model says what must come of it. When the same happens between a room and a server
/// with a slow worker, both have the same in the end.
pub fn operations(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let start = Instant::now();
    let mut room = Lockstep::new(start, 1).told();
    let mut both = BothSides::new(start, 1);
    // Hundreds of steps find nothing that a hundred do not.
    for _ in 0..200 {
        if u.is_empty() {
            break;
        }
        let Ok(step) = Step::arbitrary(&mut u) else { break };
        if let Err(difference) = room.step(&step) {
            panic!("{}\n{difference}", room.story().join("\n"));
        }
        both.step(&step).expect("time goes on");
    }
    both.settled().expect("nothing is left behind on either side");
}

/// A recording is run. What it gives is a recording that repeats.
pub fn recording(data: &[u8]) {
    use mediasoup_producer::record::replay;
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(first) = replay(Instant::now(), text) else { return };
    if first.difference.is_some() {
        return;
    }
    let again = replay(Instant::now(), &first.recording.join("\n")).expect("our own recording");
    assert_eq!(again.difference, None);
    assert_eq!(again.recording, first.recording);
}

/// Datagrams come in that nobody sent us, before, during and after the handshake, amid those that somebody did. What is
/// no use is dropped, and the session goes on.
pub fn datagrams(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let mut scenario = Scenario::new(ScenarioConfig::default(), Instant::now(), 1).joined();
    match u.int_in_range(0..=2u8) {
        Ok(0) => drop(scenario.create_transport()),
        Ok(1) => {
            let transport = scenario.create_transport();
            scenario.send(transport, Source::vp8(200_000));
        }
        _ => scenario = scenario.sending(),
    }
    for _ in 0..64 {
        let Ok(true) = inject(&mut u, &mut scenario) else { break };
    }
    scenario.drive(Duration::from_millis(20));
    let _ = scenario.room.leave(scenario.now(), None);
    assert_eq!(scenario.room.transports().count(), 0);
}

fn inject(u: &mut Unstructured<'_>, scenario: &mut Scenario) -> arbitrary::Result<bool> {
    if u.is_empty() {
        return Ok(false);
    }
    scenario.drive(Duration::from_millis(u.int_in_range(0..=30)?));
    let length = u.int_in_range(0..=1600usize)?;
    let mut contents = match u.int_in_range(0..=4u8)? {
        // STUN, DTLS, RTP, RTCP, anything (RFC 7983).
        0 => vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42],
        1 => vec![u.int_in_range(20..=25)?, 0xfe, 0xfd, 0, 0],
        2 => vec![0x80, 101],
        3 => vec![0x81, 206],
        _ => Vec::new(),
    };
    contents.extend_from_slice(u.bytes(length.min(u.len()))?);
    let source = if u.arbitrary()? { Scenario::SERVER } else { Scenario::OTHER_CLIENT };
    let protocol = if u.arbitrary()? { IceProtocol::Udp } else { IceProtocol::Tcp };
    let receive = Receive { protocol, source, destination: Scenario::CLIENT, contents: contents.into() };
    // Every other one comes exactly between a deadline and its timeout.
    let due = scenario.room.poll_timeout().filter(|_| length % 2 == 1);
    match due.filter(|due| *due < scenario.now() + Duration::from_millis(30)) {
        Some(due) => {
            scenario.room.handle_receive(due, &receive);
            let nobodys = source == Scenario::OTHER_CLIENT;
            assert!(!nobodys || scenario.room.poll_timeout() <= Some(due), "what is due stays due");
        }
        None => scenario.room.handle_receive(scenario.now(), &receive),
    }
    Ok(true)
}

/// A file is played, as sound and as picture; and each datagram is taken for RTP.
pub fn media_files(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let input = PlayedInput::Bytes { name: "fuzz".to_owned(), data: bytes.clone() };
    for kind in [Kind::Audio, Kind::Video] {
        let Ok(mut source) = FileSource::open(input.clone(), kind, Options::default().looping(true)) else { continue };
        for _ in 0..1000 {
            let Ok(Some(_)) = source.next_frame() else { break };
        }
    }
    let _ = mediasoup_producer::RtpPacket::parse(bytes);
}

/// Text frames come over the WebSocket, between those that we send. Every request of the server is answered.
pub fn protoo(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut protoo = Protoo::new();
    let mut room = Room::scripted(RoomConfig::default(), 1);
    let now = Instant::now();
    for line in text.lines() {
        protoo.notification(&Notification::Leave { app_data: None });
        let Ok(received) = protoo.receive(line) else { continue };
        if let Some(reply) = received.reply {
            let back = Protoo::new().receive(&reply).expect("our own frame");
            assert!(back.application.is_none() && back.reply.is_none());
        }
        if let Some(input) = received.input {
            room.handle_input(now, input).expect("the network is never an error");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Runs every file of a target's corpus: it is kept as a regression test, and needs no toolchain but the usual one.
    fn corpus(target: &str, body: impl Fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            body(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "{target} has no corpus");
    }

    #[test]
    fn server_messages() {
        corpus("server_message", |bytes| {
            for stage in 0..Session::STAGES {
                let mut bytes = bytes.to_vec();
                if let Some(first) = bytes.first_mut() {
                    *first = stage;
                }
                server_message(&bytes);
            }
        });
    }

    #[test]
    fn the_other_corpora() {
        corpus("server_json", server_json);
        corpus("operations", operations);
        corpus("capabilities", capabilities);
        corpus("recording", recording);
        corpus("datagrams", datagrams);
        corpus("media_files", media_files);
        corpus("protoo", protoo);
        corpus("v3_operations", v3::operations);
        corpus("v3_capabilities", v3::capabilities);
        corpus("v3_answers", v3::answers);
        corpus("v3_router", v3::router);
        corpus("v3_datagrams", v3::datagrams);
    }
}
