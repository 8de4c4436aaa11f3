//! One WebRTC connection to the server, without any signalling.

pub(crate) mod allocation;
pub(crate) mod engine;
pub(crate) mod pacer;
pub(crate) mod streams;
