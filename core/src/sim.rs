//! The test bench: a mediasoup v2 room, a network and a driver for both, all in memory and in virtual time; and in [`v3`] the
//! same of mediasoup 3. Feature `sim`.
//!
//! This is what the library itself is tested against, and what an embedding of it can be tested against: no server to
//! install, no sockets, no sleeping, and a network as bad as it needs to be. Nothing here opens a socket or reads a clock;
//! with real ones around it, [`RoomServer`] is a room for demonstrations.
//!
//! | | |
//! | --- | --- |
//! | [`RoomServer`] | a v2 room: signalling, ICE-lite, DTLS, SRTP, RTCP; real media is received, counted and handed on |
//! | [`Net`] | a network path with delay, jitter, loss, duplication, reordering, a bottleneck, and cuts |
//! | [`Scripted`] | a room whose media plane does as it is told: thousands of sessions a second |
//! | [`Scenario`] | one [`Room`](crate::v2::Room) and one [`RoomServer`] with a [`Net`] and a signalling channel between them |
//! | [`BothSides`] | a room and a [`RoomServer`] whose worker takes its time: in the end both have the same |
//! | [`v3`] | the same of mediasoup 3: a router, a scenario with a device, a model |
//! | [`model`] | what a room must do, as a few tables: the reference that the library is tested against |
//! | [`Lockstep`] | a room, or an event loop that is an [`Embedding`] of one, beside the model, step by step |
//! | `strategies` | (feature `proptest`) steps, commands, messages and inputs, to be generated |
//! | `check` | (feature `proptest`) generated sequences of steps for an event loop beside the model |
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use mediasoup_producer::sim::{Link, Scenario, ScenarioConfig};
//!
//! let bad = Link::default().delay(Duration::from_millis(30)).loss(0.05);
//! let config = ScenarioConfig::default().uplink(bad).downlink(bad);
//! let mut scenario = Scenario::new(config, Instant::now(), 7).sending();
//! scenario.drive(Duration::from_secs(5));
//! scenario.stop_media();
//! scenario.drive(Duration::from_secs(1));
//! for encoding in scenario.received() {
//!     assert!(encoding.packets > 0);
//! }
//! ```
//!
//! # An event loop beside the model
//! A scenario shows that a loop works; generated sequences show that it does so whatever happens: answers late, twice or
//! never, a pause from both sides, a close in the middle. Implement [`Embedding`] for the loop, and with feature `proptest`
//!
//! ```text
//! check(Instant::now(), Config::default(), MyLoop::new).unwrap();
//! ```
//!
//! fails with a short sequence after which the loop differs from the model, if there is one. The example `embedding` does so
//! with a toy loop and the mistakes that such loops have (`cargo run -p mediasoup-producer --example embedding`).
//!
//! # What the room does not do
//! It forwards nothing: there are no consumers, no `newConsumer`, and a transport with direction `recv` is refused with
//! words of its own. What it receives comes out of [`RoomServer::poll_output`] instead. RID encodings, plain RTP
//! transports and fingerprints other than sha-256 are refused too.
//!
//! # Bandwidth
//! What a transport can receive is estimated from how delays change, step for step as mediasoup's workers do it (Google's
//! congestion control at the receiver, draft-ietf-rmcat-gcc-02), and told by REMB: from 5 s after the first packet on, or as
//! soon as there is too much. Loss plays no part. A bottleneck whose queue is full at once ([`Link::queue`]) delays all packets
//! alike from then on, so it is not found.
//!
//! # Virtual time
//! The same seed gives the same names and the same fate to the same datagrams, but not the same run: keys are random, and
//! so is the order in which streams send. Assert on meaning, not on bytes or on exact times. With
//! the `Legacy` DTLS backend (feature `legacy-dtls`), OpenSSL keeps a clock of its own that virtual time does not move: a
//! handshake that loses datagrams may time out here. Use the `Modern` backend for such tests.

#[cfg(feature = "proptest")]
mod check;
mod embedding;
mod lockstep;
pub mod model;
mod net;
mod receiver;
mod scenario;
mod scripted;
mod server;
mod source;
#[cfg(feature = "proptest")]
pub mod strategies;
mod timeline;
pub mod v3;

pub use crate::connection::engine::{EngineAnswer, EngineEvent, StreamFeedback};
#[cfg(feature = "proptest")]
pub use check::{Failure, check, check_reference};
pub use embedding::Embedding;
pub use lockstep::{BothSides, Difference, Lockstep};
pub use net::{Direction, Link, LinkCounters, Net};
pub use receiver::counters::{ServerCounters, StreamCounters};
pub use scenario::{Scenario, ScenarioConfig};
pub use scripted::Scripted;
pub use server::{
    ConnectionId, EncodingCounters, ReceivedPacket, RoomServer, RoomServerConfig, ServerEvent, ServerLimits,
    ServerOutput, ServerPeer, ServerProducer, ServerTransport, Side,
};
pub use source::{SentFrame, Source};

/// The one to pick: of those that live for a number below `mostly`, else of all that were made, and one that never was.
fn pick<T: Copy>(made: &[T], living: impl Fn(&T) -> bool, mostly: u8, number: u8) -> Option<T> {
    let among = |those: &[T], count: usize| those.get(usize::from(number) % count).copied();
    let alive: Vec<_> = made.iter().copied().filter(living).collect();
    if number < mostly && !alive.is_empty() { among(&alive, alive.len()) } else { among(made, made.len() + 1) }
}
