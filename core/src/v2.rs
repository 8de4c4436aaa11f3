//! The v2 dialect: a sender in a room of mediasoup 2, as mediasoup-client 2.4.9 is one.
//!
//! A [`Room`] is handed the time, datagrams, the server's messages, the application's commands and its encoded media. It
//! hands back datagrams to send, messages for the server, events, and the time at which it next wants to be called. It
//! opens no socket, reads no clock, starts no thread, and never blocks; nothing in it is `async`.
//!
//! ```text
//! commands ----------+    +----------------- Room -----------------+
//! server's messages -+--> | route -> producer and transport states | --> Transmit               (a datagram to send)
//! datagrams ---------+    |          -> media engine (str0m)       | --> Request, Notification  (for the server)
//! encoded media -----+    |          -> settle: drain into a queue | --> Event                  (what the application hears)
//! the time ----------+    +----------------------------------------+ --> and one deadline       (call me back then)
//! ```
//!
//! The whole loop, with std's `UdpSocket`, stands at [`Room`].
//!
//! # From nothing to media
//!
//! 1. [`Room::join`]; wait for [`Event::Joined`].
//! 2. [`Room::create_transport`] and [`Room::create_producer`], then [`Producer::send`].
//! 3. On [`TransportEvent::RemoteCandidates`] open a socket towards the server and name it with
//!    [`Transport::add_local_address`].
//! 4. On [`ProducerEvent::KeyFrameRequest`] begin to encode, and hand each frame to [`Producer::write_frame`].
//!
//! ```
//! # use std::time::Instant;
//! use mediasoup_producer::v2::{CommandError, ProducerOptions, Room};
//! use mediasoup_producer::{MediaKind, Track};
//!
//! fn publish_camera(room: &mut Room, now: Instant) -> Result<(), CommandError> {
//!     let transport = room.create_transport(now, None)?;
//!     let track = Track::new(MediaKind::Video, "camera-1", "Front camera");
//!     let options = ProducerOptions::default().simulcast(true);
//!     let producer = room.create_producer(now, track, options, None)?;
//!     room.producer(producer).expect("just made").send(now, transport)?;
//!     Ok(())
//! }
//! ```
//!
//! # What holds always
//!
//! - A command that cannot be done returns a typed error and changes nothing. What comes from the network never is an
//!   error: it is taken, or dropped and counted ([`Room::stats`]).
//! - A producer is paused exactly while this side or the server pauses it; no RTP leaves then, nor when it is closed or
//!   has no transport. Media offered meanwhile is refused, never kept.
//! - Every request to the server is answered, refused, timed out or cancelled exactly once, and every operation
//!   [settles](Event::Settled) exactly once. Nothing follows a close.
//! - Every queue and table is bounded ([`Limits`](crate::Limits)).
//! - Ids, SSRCs and first RTP numbers come from the seed; the same seed and inputs give the same messages and events. Keys
//!   and ICE credentials do not come from it. The server wants ids unique among all its peers: take the seed from
//!   [`random_seed`](crate::random_seed).
//!
//! # Otherwise than mediasoup-client 2.4.9
//!
//! | | mediasoup-client | here |
//! | --- | --- | --- |
//! | pause, resume or close while a send is pending | said at once, before the server knows the producer, and lost | local at once; the server hears the difference after its answer |
//! | `handled` after a close | comes | nothing follows a close |
//! | statistics switched on before the server knows what of | said at once, and lost | said when it knows |
//! | statistics switched on when they are on | the server ignores it | off and on again: the new interval holds |
//! | statistics switched on or off on a closed transport or producer | said | refused |
//! | statistics switched off when they are off | said | nothing is |
//! | a transport closed | `closeProducer` follows for each producer on it | `closeTransport` says it all |
//! | a transport closed that the server never heard of | `closeTransport` | nothing is said |
//! | a transport closed while a send is pending on it | the send and its producer wait for the answer | settled at once; the producer can be sent over another transport |
//! | a room left or closed while operations are pending | they settle with the answers, and that of `join` puts the room back | all settle at once |
//! | a room left before `join` went out | `leave` | nothing is said |
//! | `transportClosed` from the server | the transport stays, without its connection | the transport is closed |
//! | an id that another has in the server's room | the operation fails | another is drawn ([`TransportInfo::server_id`], [`ProducerInfo::server_id`]) |
//! | a request without an answer | fails after 30 s | fails after 10 s ([`RoomConfig::request_timeout`]) |
//! | bitrates of simulcast layers | said to be kilobits, and are bits per second | bits per second |

mod config;
pub(crate) mod effect;
mod error;
mod id;
mod input;
pub(crate) mod join;
pub(crate) mod ortc;
mod output;
pub(crate) mod producer;
pub mod protocol;
pub(crate) mod room;
mod rtp;
pub mod stats;
pub(crate) mod transport;

pub use config::{ProducerOptions, RoomConfig, Simulcast, SimulcastOptions, TransportOptions};
pub use error::{
    AddAddressError, CommandError, CreateProducerError, CreateTransportError, Failure, InputError, InvalidResponse,
    JoinError, JoinFailure, ProducerError, ReplaceTrackError, RequestFailure, RestartIceError, RestartIceFailure,
    RoomError, SendError, SendFailure, TransportError,
};
pub use id::ServerId;
pub use input::{Accepted, Command, Input};
pub use join::RoomState;
pub use output::{Event, Output, ProducerEvent, TransportEvent};
pub use producer::ProducerInfo;
pub use room::{Producer, Room, Transport};
pub use rtp::{
    Profile, RtcpFeedback, RtcpParameters, RtpCapabilities, RtpCodecCapability, RtpCodecParameters,
    RtpEncodingParameters, RtpHeaderExtension, RtpHeaderExtensionParameters, RtpParameters, RtxParameters, SendCodec,
};
pub use transport::TransportInfo;
