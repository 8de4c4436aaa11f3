//! The functions as a careful caller in C uses them.

#![allow(dead_code)] // each test uses some of it

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ptr::null;

use mediasoup_producer_ffi::{
    Accepted, Address, Datagram, Frame, MSP_EVENT, MSP_NOTIFICATION, MSP_REQUEST, MSP_TRANSMIT, Output, Packet, Status,
    msp_command, msp_handle_timeout, msp_last_error, msp_notification, msp_outbound_stats, msp_poll_output,
    msp_poll_timeout, msp_receive, msp_refusal, msp_response, msp_session_free, msp_session_new, msp_write_frame,
    msp_write_packet,
};
use serde_json::Value;

/// A session that is freed with this.
pub(crate) struct Session(pub(crate) u64);

/// What came out, copied from where it was pointed to.
#[derive(Debug)]
pub(crate) enum Came {
    Transmit { data: Vec<u8>, source: Address, destination: Address },
    Request { id: u64, name: String, data: Value },
    Notification { name: String, data: Value },
    Event(Value),
}

impl Session {
    pub(crate) fn new(options: &str) -> Self {
        let mut session = 0;
        // SAFETY: a text, and a place for the number.
        let status = unsafe { msp_session_new(options.as_ptr().cast(), options.len(), &raw mut session) };
        assert_eq!(status, Status::Ok, "{}", last_error());
        Self(session)
    }

    pub(crate) fn try_command(&self, now: u64, command: &Value) -> Result<Accepted, (Status, String)> {
        let (command, mut accepted) = (command.to_string(), Accepted::default());
        // SAFETY: a text, and a place for what it gave rise to.
        match unsafe { msp_command(self.0, now, command.as_ptr().cast(), command.len(), &raw mut accepted) } {
            Status::Ok => Ok(accepted),
            status => Err((status, last_error())),
        }
    }

    pub(crate) fn command(&self, now: u64, command: &Value) -> Accepted {
        self.try_command(now, command).unwrap()
    }

    pub(crate) fn response(&self, now: u64, request: u64, data: &Value) -> Status {
        let data = data.to_string();
        // SAFETY: a text.
        unsafe { msp_response(self.0, now, request, data.as_ptr().cast(), data.len()) }
    }

    pub(crate) fn refusal(&self, now: u64, request: u64, reason: &str) -> Status {
        // SAFETY: a text.
        unsafe { msp_refusal(self.0, now, request, reason.as_ptr().cast(), reason.len()) }
    }

    pub(crate) fn notification(&self, now: u64, notification: &Value) -> Status {
        let notification = notification.to_string();
        // SAFETY: a text.
        unsafe { msp_notification(self.0, now, notification.as_ptr().cast(), notification.len()) }
    }

    pub(crate) fn receive(&self, now: u64, data: &[u8], source: Address, destination: Address) -> Status {
        let datagram = Datagram { data: data.as_ptr(), length: data.len(), source, destination, protocol: 0 };
        // SAFETY: a datagram, and its bytes.
        unsafe { msp_receive(self.0, now, &raw const datagram) }
    }

    pub(crate) fn write_frame(&self, now: u64, producer: u32, data: &[u8], frame: Frame) -> Status {
        let frame = Frame { data: data.as_ptr(), length: data.len(), ..frame };
        // SAFETY: a frame, and its bytes.
        unsafe { msp_write_frame(self.0, now, producer, &raw const frame) }
    }

    pub(crate) fn write_packet(&self, now: u64, producer: u32, data: &[u8], packet: Packet) -> Status {
        let packet = Packet { data: data.as_ptr(), length: data.len(), ..packet };
        // SAFETY: a packet, and its bytes.
        unsafe { msp_write_packet(self.0, now, producer, &raw const packet) }
    }

    pub(crate) fn handle_timeout(&self, now: u64) -> Status {
        msp_handle_timeout(self.0, now)
    }

    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let mut at = 0;
        // SAFETY: a place for a time.
        match unsafe { msp_poll_timeout(self.0, &raw mut at) } {
            Status::Ok => Some(at),
            Status::Nothing => None,
            other => panic!("{other:?}: {}", last_error()),
        }
    }

    pub(crate) fn poll_output(&self) -> Option<Came> {
        // As C has it: nothing is in it yet.
        let mut output = MaybeUninit::<Output>::uninit();
        // SAFETY: a place for an output.
        let status = unsafe { msp_poll_output(self.0, output.as_mut_ptr()) };
        if status == Status::Nothing {
            return None;
        }
        assert_eq!(status, Status::Ok, "{}", last_error());
        // SAFETY: it was put there.
        let output = unsafe { output.assume_init() };
        let text = |text| {
            // SAFETY: it ends with a zero, and nothing was called since.
            let text = unsafe { CStr::from_ptr(text) };
            text.to_str().unwrap().to_owned()
        };
        let json = || {
            let json = text(output.json);
            assert_eq!(json.len(), output.json_length);
            serde_json::from_str(&json).unwrap()
        };
        Some(match output.kind {
            MSP_TRANSMIT => {
                let Datagram { data, length, source, destination, .. } = output.datagram;
                // SAFETY: so many bytes are there, and nothing was called since.
                let data = unsafe { std::slice::from_raw_parts(data, length) }.to_vec();
                Came::Transmit { data, source, destination }
            }
            MSP_REQUEST => Came::Request { id: output.request, name: text(output.name), data: json() },
            MSP_NOTIFICATION => Came::Notification { name: text(output.name), data: json() },
            MSP_EVENT => Came::Event(json()),
            other => panic!("an output of kind {other}"),
        })
    }

    pub(crate) fn outbound_stats(&self, producer: u32) -> Value {
        let (mut json, mut length) = (null(), 0);
        // SAFETY: places for both.
        let status = unsafe { msp_outbound_stats(self.0, producer, &raw mut json, &raw mut length) };
        assert_eq!(status, Status::Ok, "{}", last_error());
        // SAFETY: it ends with a zero, and nothing was called since.
        let json = unsafe { CStr::from_ptr(json) };
        assert_eq!(json.count_bytes(), length);
        serde_json::from_slice(json.to_bytes()).unwrap()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        msp_session_free(self.0);
    }
}

pub(crate) fn last_error() -> String {
    // SAFETY: it is a text that ends with a zero.
    let text = unsafe { CStr::from_ptr(msp_last_error()) };
    text.to_str().unwrap().to_owned()
}

/// A frame with nothing said of it.
pub(crate) const FRAME: Frame =
    Frame { data: null(), length: 0, time: 0, layer: 0, flags: 0, rotation: 0, temporal_layer: 0, audio_level: 0 };

/// A packet with nothing said of it.
pub(crate) const PACKET: Packet = Packet { data: null(), length: 0, layer: 0, flags: 0, rotation: 0, audio_level: 0 };

/// In nanoseconds.
pub(crate) const MILLISECOND: u64 = 1_000_000;

pub(crate) fn socket(address: Address) -> SocketAddr {
    assert_eq!(address.version, 4);
    let [a, b, c, d, ..] = address.ip;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), address.port)
}

pub(crate) fn address(socket: SocketAddr) -> Address {
    let IpAddr::V4(v4) = socket.ip() else { panic!("all here is IPv4") };
    let mut address = Address { version: 4, port: socket.port(), ..Address::default() };
    address.ip[..4].copy_from_slice(&v4.octets());
    address
}
