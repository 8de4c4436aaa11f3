//! What a loop around a room must show of itself to be tested beside the model.

use std::ops::DerefMut;
use std::time::Instant;

use crate::v2::InputError;
use crate::v2::Output;
use crate::v2::Room;
use crate::v2::{Accepted, Input};

/// An event loop around a [`Room`], to be run beside the [model](super::model) by a [`Lockstep`](super::Lockstep).
///
/// It is handed a [scripted](crate::sim::Scripted) room, what would come in, and the time; it shows what it has passed on, and
/// when it wants to be woken. Where the loop has channels and sockets, the test stands at their other ends. A room is the
/// smallest loop of all and implements this too.
///
/// ```
/// use std::ops::DerefMut;
/// use std::time::Instant;
///
/// use mediasoup_producer::sim::Embedding;
/// use mediasoup_producer::v2::{Accepted, Input, InputError, Output, Room};
///
/// struct EventLoop {
///     room: Room,
///     passed_on: Vec<Output>,
/// }
///
/// impl Embedding for EventLoop {
///     fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError> {
///         let accepted = self.room.handle_input(now, input);
///         while let Some(output) = self.room.poll_output() {
///             self.passed_on.push(output);
///         }
///         accepted
///     }
///
///     fn take_outputs(&mut self) -> Vec<Output> {
///         std::mem::take(&mut self.passed_on)
///     }
///
///     fn deadline(&self) -> Option<Instant> {
///         self.room.poll_timeout()
///     }
///
///     fn room(&mut self) -> impl DerefMut<Target = Room> {
///         &mut self.room
///     }
/// }
/// ```
pub trait Embedding {
    /// Something comes in while the loop waits: a command or a frame of the application, a message of the server, a
    /// datagram. With [`Input::Timeout`] its timer goes off. The loop does all it would do before it waits again.
    ///
    /// Returns what the room returned for this input.
    fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError>;

    /// What the loop has passed on since this was last called: messages to the server in their order, events to the
    /// application in theirs, and datagrams. The order between the three does not matter.
    fn take_outputs(&mut self) -> Vec<Output>;

    /// Until when the loop would wait now, if nothing comes in.
    fn deadline(&self) -> Option<Instant>;

    /// The room, to be looked at. (It is also what plays the media plane: the test lets the scripted engine say something
    /// and then hands in a datagram, with which the loop wakes as it would if the engine had learned it from that.)
    fn room(&mut self) -> impl DerefMut<Target = Room>;
}

impl Embedding for Room {
    fn handle_input(&mut self, now: Instant, input: Input) -> Result<Accepted, InputError> {
        Self::handle_input(self, now, input)
    }

    fn take_outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.poll_output()).collect()
    }

    fn deadline(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn room(&mut self) -> impl DerefMut<Target = Room> {
        self
    }
}
