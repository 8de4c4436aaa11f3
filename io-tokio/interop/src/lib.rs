//! Real mediasoup servers and a real browser, driven from Rust.
//!
//! The tests in `tests/` send through `mediasoup-producer-tokio` (with feature `smol` through `mediasoup-producer-smol`) to an
//! unmodified mediasoup v2 server, those in `tests/v3/` to one of v3 (see [`v3`]), and read the verdict from the server's counters
//! and from mediasoup-client in Chromium.
//! `run.sh` sets everything up and runs them.
//!
//! What goes wrong here is a test that fails: functions panic and say what they waited for. Nothing sleeps for a time
//! that "should do": [`eventually`] asks again until something is so, and [`Events`] wait for an event.

mod browser;
mod door;
mod endurance;
mod events;
mod losses;
mod media;
mod node;
mod picture;
mod player;
mod poll;
mod program;
mod publisher;
mod relay;
mod server;
mod signalling;
mod sound;
pub mod v3;

pub use browser::{Browser, Page, Viewer};
pub use endurance::watch_for_long;
pub use events::Events;
pub use losses::{comes_back, ends_and_says_why, media_flows};
pub use media::{beat, clip, h264, h265, layers, tone, vp9};
pub use picture::{CLIP_FRAMES, Picture, SHORT_CLIP_FRAMES, assert_smooth, longest_on_show};
pub use player::{Played, Player};
pub use poll::{PATIENCE, eventually, within};
pub use program::{Finished, Program};
#[cfg(feature = "legacy-dtls")]
pub use publisher::stock;
pub use publisher::{Publisher, audio_track, video_track};
pub use relay::{Relay, Rule, Stream};
pub use server::{PEER, ROOM, Server};
pub use signalling::{Tampering, tampered};
pub use sound::beats;

/// The adapter under test.
#[cfg(feature = "smol")]
pub use mediasoup_producer_smol as io;
/// The adapter under test.
#[cfg(not(feature = "smol"))]
pub use mediasoup_producer_tokio as io;

/// The media sources of the program.
pub use mediasoup_publish::source;
