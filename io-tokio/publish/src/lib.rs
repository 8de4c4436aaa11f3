//! The parts of `mediasoup-publish`, a program that publishes files or RTP to a mediasoup v2 room.

pub mod embedded;
pub mod page;
pub mod source;
