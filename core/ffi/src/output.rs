//! What comes out, as C has it.

use std::ffi::c_char;
use std::ptr::null;

use crate::media::Datagram;

/// `kind` of an output: a datagram is to be sent.
pub const MSP_TRANSMIT: u32 = 1;
/// `kind` of an output: the server is to be asked something, and its answer handed in.
pub const MSP_REQUEST: u32 = 2;
/// `kind` of an output: the server is to be told something. Only with mediasoup 2.
pub const MSP_NOTIFICATION: u32 = 3;
/// `kind` of an output: something the application should know.
pub const MSP_EVENT: u32 = 4;

/// Something to be acted on.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Output {
    /// MSP_TRANSMIT, MSP_REQUEST, MSP_NOTIFICATION or MSP_EVENT; 0 if there is nothing.
    pub kind: u32,
    /// MSP_TRANSMIT: the datagram.
    pub datagram: Datagram,
    /// MSP_REQUEST: its number, under which the answer is to be handed in.
    pub request: u64,
    /// MSP_REQUEST, MSP_NOTIFICATION: mediasoup's name of it, as `produce`, which ends with a zero. Else null.
    pub name: *const c_char,
    /// MSP_REQUEST, MSP_NOTIFICATION: JSON for the server, with mediasoup 3 the data of mediasoup-client's event and
    /// `transportId`. MSP_EVENT: JSON of `v3::Event` or `v2::Event`. It ends with a zero. Else null.
    pub json: *const c_char,
    /// Its bytes, without the zero.
    pub json_length: usize,
}

impl Output {
    pub(crate) const NOTHING: Self =
        Self { kind: 0, datagram: Datagram::NONE, request: 0, name: null(), json: null(), json_length: 0 };
}
