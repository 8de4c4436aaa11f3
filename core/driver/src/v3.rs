//! Transports of mediasoup 3. The signalling is the application's, in whatever words it has with its server: a channel of
//! [`ToServer`] and [`FromServer`], or a function that answers each [`Request`], with [`answered_by`].
//!
//! ```no_run
//! # use std::future::Future;
//! use mediasoup_producer::v3::{Answer, DeviceConfig, ProduceOptions, Refusal, Request, TransportOptions};
//! use mediasoup_producer::{MediaKind, Track, random_seed};
//! use mediasoup_producer_driver::Runtime;
//! use mediasoup_producer_driver::v3::{Device, Producer, answered_by};
//! use serde_json::{Map, Value, json};
//!
//! /// Asks the server, in the application's words with it.
//! async fn ask(method: &str, data: Value) -> Result<Value, Refusal> {
//! #   let _ = (method, data);
//!     // ...
//! #   Ok(Value::Null)
//! }
//!
//! async fn answer(request: Request) -> Result<Answer, Refusal> {
//!     let answer = ask(request.name(), request.to_json()).await?;
//!     Ok(match request {
//!         Request::Produce { .. } => Answer::Produced { id: answer["id"].as_str().unwrap_or_default().to_owned() },
//!         _ => Answer::Connected,
//!     })
//! }
//!
//! async fn publish<R: Runtime + Default>() -> Result<Producer<R>, Box<dyn std::error::Error>> {
//!     let device = Device::<R>::new(DeviceConfig::default(), random_seed(), answered_by(answer));
//!     device.load(serde_json::from_value(ask("getRouterRtpCapabilities", Value::Null).await?)?, false)?;
//!     let parameters = serde_json::from_value(ask("createWebRtcTransport", json!({})).await?)?;
//!     let transport = device.create_send_transport(parameters, TransportOptions::default(), Map::new()).await?;
//!     let track = Track::new(MediaKind::Video, "camera", "front");
//!     Ok(transport.produce(track, ProduceOptions::default()).await?)
//! }
//! ```

mod device;
mod error;
mod event;
mod producer;
mod signalling;
mod transport;

use mediasoup_producer::v3::{Answer, Device as Conductor, Event as DeviceEvent, Refusal, Request};
use mediasoup_producer::{RequestId, TransportId};

pub use crate::error::{ConnectedError, Error};
pub use device::Device;
pub use error::CreateTransportError;
pub use event::Event;
pub use producer::Producer;
pub use signalling::{AnsweredBy, answered_by};
pub use transport::Transport;

use crate::dialect::Dialect;
use crate::error::SignallingError;

/// A request for the server.
pub type ToServer = (RequestId, Request);
/// The answer to a request.
pub type FromServer = (RequestId, Result<Answer, Refusal>);
/// A stream of [`Event`]s.
pub type Events = crate::events::Events<Event>;

type Handle<R> = crate::shared::Handle<R, Conductor>;

impl Dialect for Conductor {
    type Heard = Event;

    fn said(event: DeviceEvent) -> Event {
        Event::Device(event)
    }

    fn overheard(_: FromServer) -> Option<Event> {
        None
    }

    fn disconnected(error: SignallingError) -> Event {
        Event::Disconnected { error }
    }

    fn unreachable(transport: TransportId, reason: String) -> Event {
        Event::Unreachable { transport, reason }
    }
}
