//! The loop around [`mediasoup_producer`], over any async runtime.
//!
//! The state machine does the thinking; this crate opens its sockets, tells it the time, carries its messages, and has an
//! `async` handle for each of its parts: [`v2::Room`], [`v2::Transport`], [`v2::Producer`], and [`v3::Device`],
//! [`v3::Transport`], [`v3::Producer`]. One task drives one room or device; the loop is the same. What differs between
//! runtimes is a [`Runtime`]: `mediasoup-producer-tokio` and `mediasoup-producer-smol` bring one each, and names without
//! type parameters; use one of these.
//!
//! # In scope
//! - UDP sockets, opened when the server has told its addresses, on the interfaces that lead there; new ones when the
//!   network changes ([`v2::Room::network_changed`], [`v3::Device::network_changed`]). A frame's datagrams leave in one system
//!   call where the system can (GSO).
//! - TCP connections for where UDP does not get through. Which is used is ICE's decision.
//! - [`Signalling`]: any stream and sink of messages; `v2::ProtooWebSocket` (feature `websocket`) is the one of the mediasoup v2
//!   demo; of v3 a function will do ([`v3::answered_by`]). Host names among the server's addresses are looked up.
//!
//! # Not in scope
//! - Capture and encoding: frames or RTP packets come from the application.
//! - Reconnecting: when the connection to the server is lost the room [says so](v2::Event::Disconnected) and ends. Make a new
//!   one. What becomes of a device when the application loses its server, the application decides.
//!
//! # What waits, and what does not
//! Nothing that is not `async` waits for the network. Where more comes than goes:
//!
//! | from | to | what happens |
//! | --- | --- | --- |
//! | encoder | socket | a datagram that the socket does not take, over UDP or TCP, holds up nothing but its own path; audio goes before video; 256 waiting: media is refused ([`v2::Producer::write_frame`]), audio not for video's sake; 1024: datagrams are dropped, video first (`IoStats::datagrams_dropped`) |
//! | network | room | the system's buffer: the room takes what is there, so many at a time |
//! | room | server | 4096 messages wait, then the connection is given up ([`SignallingError::Overrun`]) |
//! | room | reader of events | the oldest are lost ([`Events::missed`]) |
//!
//! Dropping any future, handle or the runtime at any moment is safe: what was begun goes on or ends, and every operation that
//! somebody waits for comes back.
//!
//! # Features
//!
//! | feature | what it brings |
//! | --- | --- |
//! | `websocket` (default) | protoo over `ws` and `wss` |
//! | `suite` | `suite`: the tests that a runtime is to pass |
//! | `record`, `legacy-dtls`, `legacy-dtls-vendored` | as in `mediasoup-producer` |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod dialect;
mod driver;
mod error;
mod events;
mod options;
mod runtime;
mod shared;
pub mod signalling;
mod socket;
#[cfg(feature = "suite")]
pub mod suite;
pub mod v2;
pub mod v3;

pub use error::{ConnectedError, Error, SignallingError};
pub use events::Events;
pub use mediasoup_producer;
pub use options::{IoStats, Options};
pub use runtime::{Runtime, Timer, UdpSockRef, UdpSocket};
pub use signalling::Signalling;
