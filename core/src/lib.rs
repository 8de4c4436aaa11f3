//! The sending half of a mediasoup client, as a pure sans-IO state machine.
//!
//! It is handed the time, datagrams, the server's messages, the application's commands and its encoded media. It hands back
//! datagrams to send, messages for the server, events, and the time at which it next wants to be called. It opens no socket,
//! reads no clock, starts no thread, and never blocks; nothing in it is `async`.
//!
//! What is said to the server is a dialect: [`v2`] for rooms of mediasoup 2, [`v3`] for transports of mediasoup 3. What does not
//! depend on it stands at the root: media, tracks, ids, ICE and DTLS, limits.
//!
//! For tokio and smol there are the adapter crates
//! `mediasoup-producer-tokio` and `mediasoup-producer-smol`, both of them runtimes for `mediasoup-producer-driver`, which takes
//! others, too; [`adapter`] has what a loop of one's own would share with it. `mediasoup-producer-ffi` is for C.
//!
//! # In scope, and not
//!
//! Sending audio and video that is encoded already: VP8, VP9, H.264, H.265, Opus, G.711, as frames or as RTP packets;
//! simulcast; repair by RTX; both DTLS roles; UDP and TCP; ICE restart. Not: capturing, encoding, receiving, data channels,
//! TURN.
//!
//! # Features
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `sim` | `sim`: a v2 room, a v3 router, a virtual network and drivers for them, to test an embedding with |
//! | `proptest` | `sim`, and strategies for commands, messages and inputs: an embedding is tested against the reference model |
//! | `arbitrary` | `sim`, and the model's steps from a fuzzer's bytes |
//! | `serde` | [`v2::Input`], [`v2::Output`] and all within them can be serialised |
//! | `record` | `serde`, and `record`: a run of a room or a device is written down; with `sim` it is run again |
//! | `legacy-dtls` | [`DtlsBackend`]`::Legacy`: DTLS over the system's OpenSSL, for servers with the stock RSA-1024 certificate |
//! | `legacy-dtls-vendored` | the same with an OpenSSL that is built from source, which takes minutes |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;
mod connection;
mod error;
mod event;
pub mod framing;
mod id;
mod journal;
mod json;
mod limits;
mod media;
mod net;
mod outputs;
pub mod protoo;
#[cfg(feature = "record")]
pub mod record;
mod requests;
mod rng;
mod rtp;
#[cfg(feature = "sim")]
pub mod sim;
pub mod stats;
mod track;
pub mod v2;
pub mod v3;

pub use connection::engine::SelectedPath;
pub use connection::engine::crypto::{Certificate, CertificateRefusal, DtlsBackend, DtlsFailure};
pub use error::{MediaError, OutputsNotPolled, SetupError, UnknownError};
pub use event::{ConnectionState, Originator};
pub use id::{OperationId, ProducerId, RequestId, TransportId};
pub use json::Redacted;
pub use limits::Limits;
pub use media::{
    AudioLevel, Frame, Media, MediaTime, PacketizeError, Rotation, RtpPacket, RtpPacketError, TemporalLayer,
};
pub use net::{
    DtlsFingerprint, DtlsParameters, DtlsRole, IceCandidate, IceParameters, IceProtocol, LocalAddresses, Receive,
    Transmit,
};
pub use rng::random_seed;
pub use rtp::{Codec, MediaKind};
pub use track::{Track, TrackState};
