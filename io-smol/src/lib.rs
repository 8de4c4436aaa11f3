//! Sockets, timers and WebSocket signalling for [`mediasoup_producer`], on smol.
//!
//! The state machine does the thinking; this crate opens its sockets, tells it the time, carries its messages, and has
//! an `async` handle for each of its parts. One task drives one room ([`v2::Room`]) or device ([`v3::Device`]).
//!
//! To a room of mediasoup 2:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mediasoup_producer::v2::{Event as RoomEvent, ProducerEvent, ProducerOptions, RoomConfig};
//! use mediasoup_producer::{Frame, MediaKind, Track};
//! use mediasoup_producer_smol::v2::{Event, Room};
//! use smol::future::FutureExt;
//!
//! # fn encode(_key_frame: bool) -> Vec<u8> { Vec::new() }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> { smol::block_on(async {
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
//! let (mut key_frame, mut time) = (true, Duration::ZERO);
//! while time < Duration::from_secs(10) {
//!     let tick = async {
//!         smol::Timer::after(Duration::from_millis(33)).await;
//!         None
//!     };
//!     match tick.or(async { Some(events.next().await) }).await {
//!         None => {
//!             producer.write_frame(Frame::new(encode(key_frame), time).key_frame(key_frame))?;
//!             (key_frame, time) = (false, time + Duration::from_millis(33));
//!         }
//!         Some(Some(Event::Room(RoomEvent::Producer { event: ProducerEvent::KeyFrameRequest { .. }, .. }))) => {
//!             key_frame = true;
//!         }
//!         Some(Some(_)) => {}
//!         Some(None) => break,
//!     }
//! }
//! room.close().await;
//! # Ok(()) }) }
//! ```
//!
//! To a router of mediasoup 3, with an application's own signalling: see [`driver::v3`].
//!
//! Everything but the sockets and timers themselves is [`mediasoup_producer_driver`], which says what waits, what does not,
//! and what may be dropped when.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod runtime;

pub use mediasoup_producer_driver as driver;
pub use mediasoup_producer_driver::{IoStats, Options, Signalling, SignallingError, mediasoup_producer, signalling};
pub use runtime::{Smol, SmolTimer, SmolUdpSocket};

/// Rooms of mediasoup 2, on smol.
pub mod v2 {
    use super::{Smol, driver};

    pub use driver::v2::{ConnectedError, Error, Event, Events, FromServer, ToServer};

    /// A mediasoup room, driven by a task of its own, on smol.
    pub type Room = driver::v2::Room<Smol>;
    /// The handle of a transport, on smol.
    pub type Transport = driver::v2::Transport<Smol>;
    /// The handle of a producer, on smol.
    pub type Producer = driver::v2::Producer<Smol>;
    /// How to connect a [`ProtooWebSocket`], on smol.
    #[cfg(feature = "websocket")]
    pub type ProtooConnector = driver::v2::ProtooConnector<Smol>;
    /// protoo over WebSocket, on smol.
    #[cfg(feature = "websocket")]
    pub type ProtooWebSocket = driver::v2::ProtooWebSocket<Smol>;
}

/// Transports of mediasoup 3, on smol.
///
/// ```no_run
/// use mediasoup_producer::v3::{Answer, DeviceConfig, ProduceOptions, Refusal, Request, TransportOptions};
/// use mediasoup_producer::{Frame, MediaKind, Track, random_seed};
/// use mediasoup_producer_smol::v3::{Device, answered_by};
/// use serde_json::{Map, Value, json};
///
/// # async fn ask(_: &str, _: Value) -> Result<Value, Refusal> { Ok(Value::Null) }
/// # async fn publish(key_frame: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
/// // `ask` is the application's: it sends a request to its server, and waits for the answer.
/// let device = Device::new(DeviceConfig::default(), random_seed(), answered_by(|request: Request| async move {
///     let answer = ask(request.name(), request.to_json()).await?;
///     Ok(match answer["id"].as_str() {
///         Some(id) => Answer::Produced { id: id.to_owned() },
///         None => Answer::Connected,
///     })
/// }));
/// device.load(serde_json::from_value(ask("getRouterRtpCapabilities", json!({})).await?)?, false)?;
/// let parameters = serde_json::from_value(ask("createWebRtcTransport", json!({})).await?)?;
/// let transport = device.create_send_transport(parameters, TransportOptions::default(), Map::new()).await?;
/// let producer = transport.produce(Track::new(MediaKind::Video, "camera", "front"), ProduceOptions::default()).await?;
/// transport.connected().await?;
/// producer.write_frame(Frame::new(key_frame, std::time::Duration::ZERO).key_frame(true))?;
/// device.close().await;
/// # Ok(()) }
/// ```
pub mod v3 {
    use super::{Smol, driver};

    pub use driver::v3::{
        AnsweredBy, ConnectedError, CreateTransportError, Error, Event, Events, FromServer, ToServer, answered_by,
    };

    /// What can send to one router, driven by a task of its own, on smol.
    pub type Device = driver::v3::Device<Smol>;
    /// The handle of a transport, on smol.
    pub type Transport = driver::v3::Transport<Smol>;
    /// The handle of a producer, on smol.
    pub type Producer = driver::v3::Producer<Smol>;
}
