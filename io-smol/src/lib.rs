//! Sockets and timers for [`mediasoup_producer`], on smol: one task drives one room.
//!
//! Smaller than its sibling on tokio: the room itself is at hand with [`Room::with`], and what takes time is waited for
//! with [`Room::operation`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mediasoup_producer::{Frame, MediaKind, ProducerOptions, RoomConfig, Track, random_seed};
//! use mediasoup_producer_smol::{Room, Signalling};
//!
//! # fn encode() -> Vec<u8> { Vec::new() }
//! async fn publish(signalling: impl Signalling) -> Result<(), mediasoup_producer_smol::Error> {
//!     let (room, events) = Room::new(RoomConfig::default(), random_seed(), signalling);
//!     room.operation(|room, now| room.join(now, "microphone-1", None)).await?;
//!
//!     let transport = room.with(|room, now| room.create_transport(now, None))?;
//!     let track = Track::new(MediaKind::Audio, "microphone", "built in");
//!     let audio = room.with(|room, now| room.create_producer(now, track, ProducerOptions::default(), None))?;
//!     room.operation(|room, now| room.producer(audio).expect("just made").send(now, transport)).await?;
//!
//!     for n in 0..500 {
//!         smol::Timer::after(Duration::from_millis(20)).await;
//!         let frame = Frame::new(encode(), n * Duration::from_millis(20));
//!         // Refused until the transport is connected, and while the producer is paused.
//!         room.with(|room, now| room.producer(audio).map(|mut audio| audio.write_frame(now, frame)));
//!         while let Ok(event) = events.try_recv() {
//!             println!("{event:?}");
//!         }
//!     }
//!     room.close().await;
//!     Ok(())
//! }
//! ```
//!
//! A session is recorded with [`RoomConfig::record`](mediasoup_producer::RoomConfig) (feature `serde`): take the lines with
//! `room.with(|room, _| room.poll_record())` several times a second, and once more when the room has ended.
//!
//! # Not in scope
//! TCP, changes of the network and WebSocket: see the adapter for tokio, or bring them. UDP sockets are opened on the
//! interfaces that lead to the server when it has told its addresses.

mod driver;
mod room;
mod socket;

pub use mediasoup_producer;
pub use mediasoup_producer::protocol::{FromServer, ToServer};
pub use room::{Error, Event, Room, Signalling};
