//! mediasoup v3: the same bench with another server and our other dialect. The browser, the relay and what is sent are the
//! same.

mod publisher;
mod server;
mod session;

pub use publisher::{Player, Producer, Publisher, Transport};
pub use server::{Received, Server};
