//! Recordings: what went into a room, or a device, and what came out of it, as lines of JSON, to be run again.
//!
//! [`RoomConfig::record`](crate::v2::RoomConfig::record) or [`Room::start_recording`](crate::v2::Room::start_recording) begins one,
//! [`Room::poll_record`](crate::v2::Room::poll_record) brings its lines; a [`Device`](crate::v3::Device) has the same three. With
//! the feature `sim`, `replay` runs one again on a scripted media plane and says what differs; so does
//! `cargo run -p mediasoup-producer --example replay -- FILE`. A run of real media repeats too: what the media plane told the
//! control plane is in the recording, so that neither keys nor datagrams are needed. `core/tests/recordings` has sessions of
//! `mediasoup-publish --record` with a mediasoup 2.6.19; the first line of each says how it was made.
//!
//! # Format, version 2
//!
//! The first line is the header. Every other line is one input, one thing the media plane was asked, or one output, in the
//! order in which they happened, with `t`: milliseconds since the first input, with decimals down to nanoseconds. A line
//! without `t` happens at the time of the line before. Empty lines, and lines that begin with `#`, are passed over; lines
//! longer than [`MAX_LINE_BYTES`] are refused.
//!
//! | line | meaning |
//! | --- | --- |
//! | `{"mediasoup-producer-record":2,"seed":42,"config":{}}` | header of a room: version, seed, its [`RoomConfig`](crate::v2::RoomConfig) as far as it is not the default |
//! | `{"mediasoup-producer-record":2,"dialect":"v3","seed":42,"config":{}}` | header of a device, with its [`DeviceConfig`](crate::v3::DeviceConfig) |
//! | `{"t":0,"command":{"Join":{"peer_name":"a"}}}` | a [`v2::Command`](crate::v2::Command) or [`v3::Command`](crate::v3::Command) by its name, with its fields; `"refused":"..."` beside it if it was |
//! | `{"t":0,"timeout":{}}` | [`Input::Timeout`](crate::v2::Input::Timeout) |
//! | `{"t":0,"response":{"id":1,"ok":{..}}}` | the server's answer to request 1, in v3 an [`Answer`](crate::v3::Answer); in place of `ok`, `"refusal":"Error: ..."` |
//! | `{"t":0,"notification":{..}}` | a notification of the server, as it came; v3 has none |
//! | `{"t":0,"media":{"producer":1,"Frame":{..}}}` | a [`Frame`](crate::Frame), or with `"Packet"` an [`RtpPacket`](crate::RtpPacket), and `"refused"` as above; where the bytes belong, their number, or themselves in hexadecimal |
//! | `{"t":0,"engine":{"transport":1,"event":"Connected"}}` | the media plane said something: an [`EngineEvent`](crate::sim::EngineEvent) |
//! | `{"t":0,"engine":{"transport":1,"answer":{"Cname":"x"}}}` | it answered something other than the usual while the next input was dealt with: an [`EngineAnswer`](crate::sim::EngineAnswer) |
//! | `{"t":0,"output":{..}}` | a [`v2::Output`](crate::v2::Output) or [`v3::Output`](crate::v3::Output) was polled |
//! | `{"t":0,"cut":{}}` | nobody polled the recording, and it ends here |
//!
//! Values have the form that serde gives the types named above: an enum variant by its name, a
//! [`Duration`](std::time::Duration) as `{"secs":1,"nanos":0}`, `null` or nothing for what is absent.
//!
//! Datagrams are not in it, neither way. Strings in fields named `password` or `credential`, at any depth, and those of
//! `iceParameters` other than `usernameFragment` are replaced by `***` on their way into the recording ([`Redacted`](crate::Redacted)); ICE
//! passwords are the only secrets a room or a device is given.
//!
//! Version 1, which only rooms have, is read as well. There a frame or packet names its layer by its `profile`, where now it has the index of its
//! `layer`, and a failure does not say of what.
//!
//! # Written by hand
//!
//! So that a bug report can be a file of ten lines, a replay also takes
//!
//! - `"$T1"` in place of the id of the first transport made, `"$P2"` of the second producer, `"$P2.low"` of the SSRC of its
//!   layer (`default` without simulcast), which in v3 is a number, `"$P2.0"`;
//! - `{"t":9,"answer":{}}`: the server answers the oldest request it has not answered, as one with Opus and VP8 does;
//! - a file without any output: what comes out is shown, and nothing compared.
//!
//! For example, a producer that is paused while the server is still making it:
#![doc = concat!("```text\n", include_str!("../tests/recordings/by-hand.jsonl"), "```")]
//! And one of a device that is closed meanwhile:
#![doc = concat!("```text\n", include_str!("../tests/recordings/by-hand-v3.jsonl"), "```")]

#[cfg(feature = "sim")]
mod replay;

#[cfg(feature = "sim")]
pub use replay::{Difference, Replay, ReplayError, replay};

pub use crate::journal::recorder::{AlreadyStarted, RecordOptions, VERSION};

/// No line is longer, in what is read: 16 MiB.
pub const MAX_LINE_BYTES: usize = 16 << 20;
