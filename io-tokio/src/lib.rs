//! Sockets, timers and WebSocket signalling for [`mediasoup_producer`], on tokio.
//!
//! The state machine does the thinking; this crate opens its sockets, tells it the time, carries its messages, and has
//! an `async` handle for each of its [`Room`], [`Transport`] and [`Producer`]. One task drives one room.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mediasoup_producer::{Event as RoomEvent, Frame, MediaKind, ProducerEvent, ProducerOptions, RoomConfig, Track};
//! use mediasoup_producer_tokio::{Event, Room};
//!
//! # fn encode(_key_frame: bool) -> Vec<u8> { Vec::new() }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let room = Room::connect("wss://example.com:3443/?roomId=lobby&peerName=camera-1", RoomConfig::default()).await?;
//! room.join("camera-1", None).await?;
//!
//! let transport = room.create_transport(None)?;
//! let producer =
//!     room.create_producer(Track::new(MediaKind::Video, "camera", "front"), ProducerOptions::default(), None)?;
//! let mut events = room.events();
//! producer.send(&transport).await?;
//! transport.connected().await?;
//!
//! // A decoder cannot begin without a key frame: the room says when one is wanted.
//! let mut ticks = tokio::time::interval(Duration::from_millis(33));
//! let (mut key_frame, mut time) = (true, Duration::ZERO);
//! while time < Duration::from_secs(10) {
//!     tokio::select! {
//!         _ = ticks.tick() => {
//!             producer.write_frame(Frame::new(encode(key_frame), time).key_frame(key_frame))?;
//!             (key_frame, time) = (false, time + Duration::from_millis(33));
//!         }
//!         event = events.next() => match event {
//!             Some(Event::Room(RoomEvent::Producer { event: ProducerEvent::KeyFrameRequest { .. }, .. })) => key_frame = true,
//!             Some(_) => {}
//!             None => break,
//!         },
//!     }
//! }
//! room.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # In scope
//! - UDP sockets, opened when the server has told its addresses, on the interfaces that lead there; new ones when the
//!   [network changes](Room::network_changed).
//! - TCP connections for where UDP does not get through. Which is used is ICE's decision.
//! - [`Signalling`]: any stream and sink of messages; [`ProtooWebSocket`] is the one of the mediasoup v2 demo.
//!
//! # Not in scope
//! - Capture and encoding: frames or RTP packets come from the application.
//! - Reconnecting: when the connection to the server is lost the room [says so](Event::Disconnected) and ends. Make a new
//!   one.

mod driver;
mod error;
mod events;
mod options;
mod producer;
mod room;
mod shared;
pub mod signalling;
mod socket;
mod transport;

pub use error::{Error, SignallingError};
pub use events::{Event, Events};
pub use mediasoup_producer;
pub use options::{IoStats, Options};
pub use producer::Producer;
pub use room::Room;
pub use signalling::{FromServer, ProtooConnector, ProtooWebSocket, Signalling, ToServer};
pub use transport::Transport;
