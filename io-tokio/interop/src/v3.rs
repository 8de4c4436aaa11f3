//! mediasoup v3: the same bench with another server and our other dialect. The browser, the relay and what is sent are the
//! same.

mod server;

pub use server::{Received, Server};
