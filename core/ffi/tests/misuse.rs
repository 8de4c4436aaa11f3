//! What a caller can do wrong has a status of its own, and does no harm.

mod common;

use std::ptr::{null, null_mut};

use common::{FRAME, PACKET, Session, last_error};
use mediasoup_producer_ffi::*;
use serde_json::json;

type Call = Box<dyn Fn(u64) -> Status>;

/// A call with pointers that are null, or to a constant.
macro_rules! unread {
    ($session:ident, $call:expr) => {
        Box::new(|$session| {
            // SAFETY: what is null is refused unread, and a constant is as long as it says.
            unsafe { $call }
        }) as Call
    };
}

/// `msp_command` with this text, of which so many bytes are said to be there.
fn command(text: &'static str, length: usize) -> Call {
    // SAFETY: where the length is more than the text has, it is one that nothing can have, and is refused unread.
    Box::new(move |session| unsafe { msp_command(session, 0, text.as_ptr().cast(), length, null_mut()) })
}

fn frame(frame: Frame) -> Call {
    // SAFETY: it has one byte, or is refused before it is read.
    Box::new(move |session| unsafe { msp_write_frame(session, 0, 1, &raw const frame) })
}

fn packet(packet: Packet) -> Call {
    // SAFETY: it has one byte, or is refused before it is read.
    Box::new(move |session| unsafe { msp_write_packet(session, 0, 1, &raw const packet) })
}

fn datagram(source: u8, protocol: u8) -> Call {
    let address = |version| Address { version, port: 1, ..Address::default() };
    let (source, destination) = (address(source), address(4));
    // SAFETY: it has no bytes.
    Box::new(move |session| unsafe {
        msp_receive(session, 0, &Datagram { data: null(), length: 0, source, destination, protocol })
    })
}

#[test]
fn each_mistake_has_its_status_and_its_words() {
    static BYTE: u8 = 1;
    let one = Frame { data: &raw const BYTE, length: 1, ..FRAME };
    let one_packet = Packet { data: &raw const BYTE, length: 1, ..PACKET };
    let pause = r#"{"Pause":{"id":1}}"#;
    let misaligned = |session| {
        let mut place = [0u64; 2];
        let odd = (&raw mut place).cast::<u8>().wrapping_add(1).cast::<u64>();
        // SAFETY: it is refused unread.
        unsafe { msp_poll_timeout(session, odd) }
    };
    let table: Vec<(&str, Call, Status, &str)> = vec![
        ("a command of null", unread!(s, msp_command(s, 0, null(), 9, null_mut())), Status::Invalid, "null"),
        ("no command", unread!(s, msp_command(s, 0, null(), 0, null_mut())), Status::Invalid, "JSON"),
        ("a length that nothing has", command(pause, usize::MAX), Status::Invalid, "more than there can be"),
        ("not UTF-8", unread!(s, msp_command(s, 0, c"\xff".as_ptr(), 1, null_mut())), Status::Invalid, "UTF-8"),
        ("cut off", command(pause, pause.len() - 1), Status::Invalid, "JSON"),
        ("an unknown command", command(r#"{"Dance":{"id":1}}"#, 18), Status::Invalid, "unknown variant `Dance`"),
        ("a producer that is not there", command(pause, pause.len()), Status::Refused, "producer 1 is not known"),
        ("an answer of null", unread!(s, msp_response(s, 0, 1, null(), 1)), Status::Invalid, "null"),
        ("words of null", unread!(s, msp_refusal(s, 0, 1, null(), 1)), Status::Invalid, "null"),
        ("a notification of null", unread!(s, msp_notification(s, 0, null(), 1)), Status::Invalid, "null"),
        (
            "one of mediasoup 3",
            unread!(s, msp_notification(s, 0, c"{}".as_ptr(), 2)),
            Status::Refused,
            "no notifications",
        ),
        ("no datagram", unread!(s, msp_receive(s, 0, null())), Status::Invalid, "null"),
        ("an IP address of no version", datagram(5, MSP_UDP), Status::Invalid, "version 5"),
        ("no protocol", datagram(4, 7), Status::Invalid, "protocol 7"),
        ("no frame", unread!(s, msp_write_frame(s, 0, 1, null())), Status::Invalid, "null"),
        ("a frame of null", frame(Frame { length: 1, ..FRAME }), Status::Invalid, "null"),
        ("an unknown flag", frame(Frame { flags: 1 << 31, ..one }), Status::Invalid, "0x80000000"),
        (
            "a slanting picture",
            frame(Frame { flags: MSP_ROTATION, rotation: 45, ..one }),
            Status::Invalid,
            "45 degrees",
        ),
        ("a frame for nobody", frame(one), Status::Refused, "producer 1 is not known"),
        ("no packet", unread!(s, msp_write_packet(s, 0, 1, null())), Status::Invalid, "null"),
        ("a key frame of packets", packet(Packet { flags: MSP_KEY_FRAME, ..one_packet }), Status::Invalid, "0x1"),
        ("no RTP", packet(one_packet), Status::Invalid, "not an RTP packet"),
        ("nowhere for an output", unread!(s, msp_poll_output(s, null_mut())), Status::Invalid, "null"),
        ("nowhere for a time", unread!(s, msp_poll_timeout(s, null_mut())), Status::Invalid, "null"),
        ("half a place for a time", Box::new(misaligned), Status::Invalid, "multiple of 8"),
        (
            "nowhere for statistics",
            unread!(s, msp_outbound_stats(s, 1, null_mut(), null_mut())),
            Status::Invalid,
            "null",
        ),
    ];
    let session = Session::new("{}");
    for (what, call, status, words) in &table {
        assert_eq!(call(session.0), *status, "{what}: {}", last_error());
        assert!(last_error().contains(words), "{what}: {}", last_error());
    }
    let freed = session.0;
    drop(session);
    for (what, call, ..) in &table {
        assert_eq!(call(freed), Status::NoSession, "{what}");
    }
    assert_eq!(msp_session_free(freed), Status::NoSession);
    assert_eq!(msp_handle_timeout(0, 0), Status::NoSession);
}

#[test]
fn options_are_checked() {
    let made = |options: &str| {
        let mut session = 7;
        // SAFETY: a text, and a place for the number.
        let status = unsafe { msp_session_new(options.as_ptr().cast(), options.len(), &raw mut session) };
        (status, session)
    };
    for options in ["", "7", r#"{"dialect":"v4"}"#, r#"{"dialekt":"v3"}"#, r#"{"config":{"request_timeout":-1}}"#] {
        assert_eq!(made(options), (Status::Invalid, 7), "{options}");
    }
    // SAFETY: there is no place for the number, which is refused.
    assert_eq!(unsafe { msp_session_new(c"{}".as_ptr(), 2, null_mut()) }, Status::Invalid);
    let (status, session) = made(r#"{"dialect":"v2","config":{"spy":true}}"#);
    assert_eq!((status, msp_session_free(session)), (Status::Ok, Status::Ok));
}

#[test]
fn another_thread_is_told_to_wait_or_served() {
    let session = Session::new("{}");
    let number = session.0;
    let threads: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || (0..1000).map(|now| msp_handle_timeout(number, now)).collect::<Vec<_>>()))
        .collect();
    for status in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
        assert!(matches!(status, Status::Ok | Status::Busy), "{status:?}");
    }
    assert_eq!(session.handle_timeout(1000), Status::Ok);
}

#[test]
fn a_refused_call_leaves_the_session_as_it_was() {
    let session = Session::new(r#"{"dialect":"v2"}"#);
    session.command(0, &json!({ "Join": { "peer_name": "me", "app_data": null } }));
    let again = session.try_command(1, &json!({ "Join": { "peer_name": "me", "app_data": null } }));
    assert_eq!(again.unwrap_err().0, Status::Refused);
    let Some(common::Came::Request { id, name, data }) = session.poll_output() else { panic!("it asks") };
    assert_eq!((&*name, &data["method"]), ("queryRoom", &json!("queryRoom")));
    assert_eq!(session.refusal(2, id, "Error: no"), Status::Ok);
    let Some(common::Came::Event(event)) = session.poll_output() else { panic!("it tells") };
    assert!(event["Settled"]["result"]["Err"].is_object(), "{event}");
    assert!(session.poll_output().is_none());
}
