//! What the benchmarks measure, and what they measure it against.
//!
//! [`Ours`] and [`Raw`] are the same sender twice: the library, and str0m 0.25 alone with the same header extensions and
//! RTX streams. Both send payloads of [`PAYLOAD`] bytes over AES-256-GCM to an end that answers over a virtual network.

mod ours;
mod raw;
#[cfg(feature = "peers")]
mod rtc;

use std::time::{Duration, Instant};

pub use ours::{Idle, Inbound, Ours, Rooms};
pub use raw::Raw;
#[cfg(feature = "peers")]
pub use rtc::Rtc;

/// Payload bytes of a full packet, the codec's own header among them.
pub const PAYLOAD: usize = 1120;

/// From one frame to the next.
pub const FRAME_INTERVAL: Duration = Duration::from_millis(33);

/// A connected sender of video on virtual time.
pub trait Sender {
    /// A frame of so many full packets on a track, at the present moment.
    fn frame(&mut self, track: usize, packets: usize);

    /// So many packets made elsewhere, handed in one after another without anything between them.
    fn packets(&mut self, track: usize, packets: usize);

    /// Hands out what is to be sent now.
    fn drain(&mut self, datagram: &mut dyn FnMut(&[u8]));

    /// The present moment.
    fn now(&self) -> Instant;

    /// When it next wants to be called.
    fn timeout(&mut self) -> Option<Instant>;

    /// Lets time go on to a moment, and does what is due then.
    fn wake(&mut self, at: Instant);

    /// Lets the time to the next frame go by, and does and hands out what is due on the way.
    fn pass(&mut self, datagram: &mut dyn FnMut(&[u8])) {
        let until = self.now() + FRAME_INTERVAL;
        self.drain(datagram);
        while let Some(at) = self.timeout().filter(|at| *at <= until) {
            self.wake(at);
            self.drain(datagram);
        }
        self.wake(until);
        self.drain(datagram);
    }

    /// Carries everything to the other end and back for half a second. Not to be measured.
    fn exchange(&mut self);
}
