//! The state machine of `mediasoup-producer` for C, and for what binds C: C++, Unity, Unreal, Godot.
//!
//! A session is a [`v3::Device`](mediasoup_producer::v3::Device) or a [`v2::Room`](mediasoup_producer::v2::Room). It opens no
//! socket, reads no clock and starts no thread: the caller hands in datagrams, the server's words, encoded media and the time,
//! and takes out what is to be sent and what is to be known. The header is `include/mediasoup_producer.h`, and `README.md` says
//! how to link and bind it; what the JSON means is the documentation of `mediasoup-producer`.
//!
//! Commands, answers and events are JSON, in the form that the types of `mediasoup-producer` have with its feature `serde`:
//! `{"Pause":{"id":1}}`. Datagrams, frames and times are plain structs. A time is in nanoseconds since the session's start,
//! on any clock that does not go back.
//!
//! # What is done about misuse
//! Every function returns a [`Status`], and takes no harm from what is wrong as far as it can be told: a null or misaligned
//! pointer, a length that is none, text that is not UTF-8 or not the JSON it should be, a flag that nobody knows, a session that
//! was freed or never was ([`Status::NoSession`]: sessions are numbers, and none is given twice), two calls for a session at a
//! time ([`Status::Busy`]). A panic, which would be a mistake of ours, ends at the border ([`Status::Broken`]).
//!
//! What cannot be told: a pointer that leads elsewhere than it says, and the use of what [`msp_poll_output`] points to after
//! the next call for that session.

mod media;
mod output;
mod raw;
mod registry;
mod session;
mod status;

use std::ffi::c_char;

pub use media::{
    Address, Datagram, Frame, MSP_AUDIO_LEVEL, MSP_KEY_FRAME, MSP_ROTATION, MSP_TCP, MSP_TEMPORAL_LAYER,
    MSP_TEMPORAL_SYNC, MSP_UDP, MSP_VOICE, Packet,
};
pub use output::{MSP_EVENT, MSP_NOTIFICATION, MSP_REQUEST, MSP_TRANSMIT, Output};
pub use session::Accepted;
pub use status::Status;

use raw::{bytes, put, read, text};
use session::Session;

/// The version of this library, as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn msp_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Why the last call on this thread that did not return MSP_STATUS_OK or MSP_STATUS_NOTHING did not: a text for people, to
/// be read before the next call on this thread. Never null.
#[unsafe(no_mangle)]
pub extern "C" fn msp_last_error() -> *const c_char {
    status::last_error()
}

/// Makes a session, and puts its number, which is never 0, into `session`. `options` is JSON; `{}` has the defaults:
/// `{"dialect":"v3","config":{},"dtls_backend":"Modern","seed":1}`. `dialect`: "v3" for a device of mediasoup 3, "v2" for a room
/// of mediasoup 2. `config`: some of the fields of DeviceConfig or RoomConfig. `dtls_backend`: "Legacy" for servers with an
/// RSA certificate, if the library was built with it. `seed`: only for tests; else a random one is taken.
///
/// # Safety
/// `options` points to `length` bytes, `session` to where a number can be put.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_session_new(options: *const c_char, length: usize, session: *mut u64) -> Status {
    status::of(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { put(session) }?;
        // SAFETY: the caller's promise.
        let options = unsafe { text(options, length) }?;
        session.write(registry::add(Session::new(options)?));
        Ok(Status::Ok)
    })
}

/// Ends a session and frees what it holds. Nothing is said to anybody: close its transports, or leave the room, and poll
/// its outputs before. The number is not given again.
#[unsafe(no_mangle)]
pub extern "C" fn msp_session_free(session: u64) -> Status {
    status::of(|| registry::remove(session).map(|()| Status::Ok))
}

/// Has a command done: JSON of `v3::Command` or `v2::Command`. What it gave rise to is put into `accepted`, which may be null.
///
/// # Safety
/// `command` points to `length` bytes, `accepted` is null or points to where it can be put.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_command(
    session: u64,
    now: u64,
    command: *const c_char,
    length: usize,
    accepted: *mut Accepted,
) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let command = unsafe { text(command, length) }?;
        let accepted = if accepted.is_null() {
            None
        } else {
            // SAFETY: the caller's promise.
            Some(unsafe { put(accepted) }?)
        };
        let came = session.command(now, command)?;
        if let Some(accepted) = accepted {
            accepted.write(came);
        }
        Ok(Status::Ok)
    })
}

/// The server has answered a request. `data` is JSON: with mediasoup 3 what mediasoup-client's `callback` takes,
/// `{"id":"..."}` for `produce` and `{}` for `connect`; with mediasoup 2 the payload of the answer, `null` if it has none.
///
/// # Safety
/// `data` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_response(
    session: u64,
    now: u64,
    request: u64,
    data: *const c_char,
    length: usize,
) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let data = unsafe { text(data, length) }?;
        session.response(now, request, data)
    })
}

/// The server has refused a request, in these words: text, not JSON.
///
/// # Safety
/// `reason` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_refusal(
    session: u64,
    now: u64,
    request: u64,
    reason: *const c_char,
    length: usize,
) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let reason = unsafe { text(reason, length) }?;
        session.refusal(now, request, reason)
    })
}

/// The server has sent a notification: JSON. Only mediasoup 2 does; for a session of mediasoup 3 it is refused.
///
/// # Safety
/// `notification` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_notification(
    session: u64,
    now: u64,
    notification: *const c_char,
    length: usize,
) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let notification = unsafe { text(notification, length) }?;
        session.notification(now, notification)
    })
}

/// A datagram came in. What is of no use is dropped; that is not an error.
///
/// # Safety
/// `datagram` points to one, and its `data` to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_receive(session: u64, now: u64, datagram: *const Datagram) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let datagram = unsafe { read(datagram) }?;
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(datagram.data, datagram.length) }?;
        session.receive(now, datagram, data)
    })
}

/// Sends an encoded frame of a producer. It is copied. What is refused is not sent later: a key frame is asked for after it
/// (the event `KeyFrameRequest`).
///
/// # Safety
/// `frame` points to one, and its `data` to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_write_frame(session: u64, now: u64, producer: u32, frame: *const Frame) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let frame = unsafe { read(frame) }?;
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(frame.data, frame.length) }?;
        session.write_frame(now, producer, frame, data)
    })
}

/// Sends an RTP packet that was made elsewhere, as it came in a datagram. Its SSRC, payload type, numbers and header extensions
/// become the producer's. It is copied.
///
/// # Safety
/// `packet` points to one, and its `data` to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_write_packet(session: u64, now: u64, producer: u32, packet: *const Packet) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let packet = unsafe { read(packet) }?;
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(packet.data, packet.length) }?;
        session.write_packet(now, producer, packet, data)
    })
}

/// Takes the next thing to act on into `output`. MSP_STATUS_NOTHING: there is none until something comes in. What it points
/// to is there until the next call for this session.
///
/// If a socket takes no more, keep the datagram and do not poll further before it does: what waits in the session is
/// bounded, and media is refused when it is too much.
///
/// # Safety
/// `output` points to where one can be put.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_poll_output(session: u64, output: *mut Output) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let output = unsafe { put(output) }?;
        let came = output.write(session.poll_output()?);
        Ok(if came.kind == 0 { Status::Nothing } else { Status::Ok })
    })
}

/// When `msp_handle_timeout` is next needed. MSP_STATUS_NOTHING: not before something else happens.
///
/// # Safety
/// `at` points to where a time can be put.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_poll_timeout(session: u64, at: *mut u64) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let at = unsafe { put(at) }?;
        let Some(timeout) = session.poll_timeout() else { return Ok(Status::Nothing) };
        at.write(timeout);
        Ok(Status::Ok)
    })
}

/// Lets time go on.
#[unsafe(no_mangle)]
pub extern "C" fn msp_handle_timeout(session: u64, now: u64) -> Status {
    registry::with(session, |session| session.handle_timeout(now))
}

/// What was sent of a producer: JSON, a list with an entry for each encoding (`stats::OutboundRtpStats`). It is there until
/// the next call for this session, and ends with a zero that `length` does not count.
///
/// # Safety
/// `json` and `length` point to where they can be put.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn msp_outbound_stats(
    session: u64,
    producer: u32,
    json: *mut *const c_char,
    length: *mut usize,
) -> Status {
    registry::with(session, |session| {
        // SAFETY: the caller's promise.
        let json = unsafe { put(json) }?;
        // SAFETY: the caller's promise.
        let length = unsafe { put(length) }?;
        let stats = session.outbound_stats(producer)?;
        json.write(stats.0);
        length.write(stats.1);
        Ok(Status::Ok)
    })
}
