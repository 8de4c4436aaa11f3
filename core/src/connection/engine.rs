//! The media plane of one transport: ICE, DTLS, SRTP, RTCP. Here and below, and nowhere else, str0m, dimpl and
//! cryptography are named: by `rtc`, by `endpoint` (what it shares with the room of `sim`), `checks` and `crypto`.
//!
//! The control plane hears only [`EngineEvent`]s from it, a small closed set, so that a scripted engine can stand in.

mod checks;
pub(crate) mod crypto;
pub(crate) mod endpoint;
mod rtc;
#[cfg(feature = "sim")]
mod scripted;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::connection::engine::crypto::DtlsFailure;
use crate::connection::engine::endpoint::Received;
use crate::error::SetupError;
use crate::media::{AudioLevel, Rotation};
use crate::net::Receive;
use crate::net::Transmit;
use crate::net::{DtlsFingerprint, DtlsRole, IceParameters, IceProtocol, RemoteTransport};
use crate::rtp::{Codec, MediaKind};

pub(crate) use rtc::{Identity, Repair};
#[cfg(feature = "sim")]
pub(crate) use scripted::Scripted;

/// What a media plane does for a transport.
pub(crate) trait Engine: std::fmt::Debug + Send {
    /// The hash of our certificate.
    fn fingerprint(&self) -> DtlsFingerprint;

    /// Begins ICE and DTLS towards the server.
    fn connect(&mut self, now: Instant, remote: &RemoteTransport, role: DtlsRole) -> Result<(), SetupError>;

    /// Takes up new ICE credentials of the server; media goes on meanwhile.
    fn restart_ice(&mut self, now: Instant, parameters: &IceParameters);

    /// Offers one of our addresses to ICE. False: ICE does not take it.
    fn add_local_address(&mut self, now: Instant, protocol: IceProtocol, address: SocketAddr) -> bool;

    /// Withdraws one of our addresses.
    fn remove_local_address(&mut self, now: Instant, protocol: IceProtocol, address: SocketAddr);

    /// Makes the streams of a producer; returns their CNAME.
    fn add_streams(&mut self, mux_id: &str, kind: MediaKind, encodings: &[Encoding]) -> String;

    /// Removes them.
    fn remove_streams(&mut self, mux_id: &str);

    /// Takes a packet. It leaves with the next [`flush`](Engine::flush).
    fn write(&mut self, packet: OutgoingPacket);

    /// Does what is due.
    fn flush(&mut self, now: Instant);

    /// Takes a datagram, or says why not. What follows from it comes with the next [`flush`](Engine::flush).
    fn handle_receive(&mut self, now: Instant, receive: &Receive) -> Received;

    /// When [`flush`](Engine::flush) is next due.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next thing to act on.
    fn poll_output(&mut self) -> Option<EngineOutput>;

    /// Retransmissions sent for a stream so far.
    fn packets_resent(&self, ssrc: u32) -> u64;

    /// Where media goes.
    fn selected_path(&self) -> Option<SelectedPath>;

    /// Says goodbye (RTCP BYE, DTLS close_notify); the last datagrams come out of [`poll_output`](Engine::poll_output).
    fn close(&mut self, now: Instant);

    /// Prepares an answer. Only a scripted engine takes one.
    #[cfg(feature = "sim")]
    fn prepare(&mut self, _answer: EngineAnswer) {}
}

/// Where a transport's media goes: [`Transport::selected_path`](crate::v2::Transport::selected_path).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelectedPath {
    /// What carries it.
    pub protocol: IceProtocol,
    /// Our address, as it was [added](crate::v2::Transport::add_local_address); over TCP its port means nothing.
    pub local: SocketAddr,
    /// The server's.
    pub remote: SocketAddr,
    /// From the last connectivity check on this path to its answer (W3C webrtc-stats `currentRoundTripTime`), which comes
    /// every few seconds. None if it was not measured.
    pub round_trip_time: Option<Duration>,
}

/// Makes the engine of each transport of a room.
pub(crate) trait EngineFactory: std::fmt::Debug + Send {
    fn engine(&mut self, now: Instant, agreed: &Agreed) -> Result<Box<dyn Engine>, SetupError>;

    /// Whether the engines say what they are told to.
    #[cfg(feature = "sim")]
    fn scripted(&self) -> bool {
        false
    }

    /// Prepares an answer. Only a scripted factory takes one.
    #[cfg(feature = "sim")]
    fn prepare(&mut self, _answer: EngineAnswer) {}
}

/// What a dialect has agreed on with the server for all streams of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) codecs: Vec<AgreedCodec>,
    /// Ids on the wire and URIs (RFC 8285).
    pub(crate) header_extensions: Vec<(u8, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgreedCodec {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    /// None: the server does not repair it (RFC 4588).
    pub(crate) rtx_payload_type: Option<u8>,
    pub(crate) channels: Option<u8>,
}

/// One RTP stream of a producer. Its layer is its index among the producer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) ssrc: u32,
    /// The stream that carries its retransmissions (RFC 4588).
    pub(crate) rtx_ssrc: Option<u32>,
    /// Names it among those of its producer (RFC 8852), in at most eight letters and digits. It is written if the extension
    /// is agreed on.
    pub(crate) rid: Option<String>,
}

/// The SSRCs of a stream and of what carries its retransmissions, from numbers drawn for them: the lower is the stream's.
///
/// mediasoup's REMB names all SSRCs that it heard of late, the lowest first, and str0m takes it for a word to the first. It knows
/// no stream by the SSRC of retransmissions, and drops what begins with one: under loss no limit would be heard.
pub(crate) fn stream_and_rtx(mut draw: impl FnMut() -> u32, has_rtx: bool) -> (u32, Option<u32>) {
    let first = draw();
    if !has_rtx {
        return (first, None);
    }
    let second = draw();
    (first.min(second), Some(first.max(second)))
}

/// One RTP packet on its way out.
#[derive(Debug)]
pub(crate) struct OutgoingPacket {
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// Extended: does not wrap.
    pub(crate) sequence_number: u64,
    pub(crate) timestamp: u32,
    /// When the media was handed in, which is the wall clock of its timestamp in sender reports (RFC 3550 section 6.4.1).
    pub(crate) taken_at: Instant,
    pub(crate) marker: bool,
    pub(crate) audio_level: Option<AudioLevel>,
    pub(crate) rotation: Option<Rotation>,
    pub(crate) payload: Arc<[u8]>,
}

#[derive(Debug)]
pub(crate) enum EngineOutput {
    Transmit(Transmit),
    Event(EngineEvent),
}

/// What the media plane of a transport tells the control plane, unasked.
#[cfg_attr(not(feature = "sim"), allow(unreachable_pub))]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum EngineEvent {
    /// ICE and DTLS are up, for the first time or again.
    Connected,
    /// The server is not heard (any more).
    Disconnected,
    /// DTLS will never be up.
    Failed(DtlsFailure),
    /// The server ended DTLS.
    Closed,
    /// A decoder needs a key frame of a stream (PLI or FIR).
    KeyFrameRequest {
        /// The stream.
        ssrc: u32,
    },
    /// The server can take this much in all (REMB).
    BitrateLimit {
        /// Bits per second.
        bitrate_bps: u64,
    },
    /// Feedback on a stream, about once a second.
    StreamFeedback {
        /// The stream.
        ssrc: u32,
        /// What is known of it.
        feedback: StreamFeedback,
    },
}

/// What RTCP told about one of our streams.
#[cfg_attr(not(feature = "sim"), allow(unreachable_pub))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StreamFeedback {
    /// NACK messages received so far.
    pub nack_count: u64,
    /// Picture loss indications received so far.
    pub pli_count: u64,
    /// Full intra requests received so far.
    pub fir_count: u64,
    /// Packets the server reports lost, if it has reported.
    pub packets_lost: Option<u64>,
    /// Round-trip time, if it was measured.
    pub round_trip_time: Option<Duration>,
}

/// What the media plane answers when the control plane asks.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(not(feature = "sim"), allow(dead_code, unreachable_pub))]
#[non_exhaustive]
pub enum EngineAnswer {
    /// An engine was made for a transport, with a certificate of this hash.
    Made(DtlsFingerprint),
    /// No engine could be made.
    NotMade(SetupError),
    /// The engine cannot connect to what the server offers.
    NotStarted(SetupError),
    /// ICE does not take this local address.
    AddressRefused,
    /// The CNAME of a producer's streams (RFC 3550 section 6.5.1).
    Cname(String),
}
