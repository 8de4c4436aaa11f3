//! The test bench of the v3 dialect: a mediasoup 3 router, and a driver for a device beside it, all in memory and in virtual
//! time.
//!
//! | | |
//! | --- | --- |
//! | [`Scenario`] | one [`Device`](crate::v3::Device) and one [`Router`], an application between them, and a [`Net`](super::Net) |
//! | [`model`] | what a device must do: the reference that the library is tested against |
//! | [`Lockstep`] | a device beside the model, step by step |
//! | [`BothSides`] | a device and a router, to which the steps of the model happen: in the end both have the same |
//! | `strategies` | (feature `proptest`) steps, to be generated |
//! | [`Router`] | a router with WebRTC transports: ICE-lite, DTLS, SRTP, RTCP; real media is received, counted and handed on |
//!
//! The router refuses what mediasoup 3.27 refuses, in its words, and takes the media of any mediasoup client: packets are
//! told apart by SSRC, then by MID, then by RID.
//!
//! # What the router does not do
//! It forwards nothing: there are no consumers. What it receives comes out of [`Router::poll_output`] instead. It has no
//! SCTP, no plain, pipe or direct transports, and takes fingerprints of sha-256 alone. Transport-wide congestion control is
//! among its capabilities, as the real one has it, but is not spoken: where the real one would choose it
//! ([`RouterTransport::bandwidth`] tells), REMB goes out all the same. What it tells is estimated as the real one does it
//! ([`sim`](crate::sim), Bandwidth).

mod both_sides;
mod capabilities;
mod config;
mod error;
mod key_frames;
mod lockstep;
pub mod model;
mod output;
mod parameters;
mod router;
mod scenario;
#[cfg(feature = "proptest")]
pub mod strategies;
mod streams;
mod transport;

pub use both_sides::BothSides;
pub use config::{MediaCodec, RouterConfig, RouterLimits, WebRtcTransportOptions};
pub use error::RouterError;
pub use lockstep::Lockstep;
pub use output::{EncodingCounters, ReceivedPacket, RouterEvent, RouterOutput};
pub use router::Router;
pub use scenario::{Scenario, ScenarioConfig};
pub use transport::{Bandwidth, ProducerType, RouterProducer, RouterTransport};
