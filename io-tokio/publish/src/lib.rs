//! The parts of `mediasoup-publish`, a program that publishes files or RTP to a room of mediasoup v2 or v3.

pub mod args;
pub mod demo;
pub mod embedded;
pub mod input;
pub mod live;
pub mod load;
pub mod log;
pub mod manual;
pub mod page;
pub mod player;
pub mod report;
pub mod run;
pub mod source;

/// The examples of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
