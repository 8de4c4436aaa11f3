//! For authors of adapters: what lies between a [`Room`](crate::v2::Room) and its sockets, timer and channel to the server,
//! whatever runtime they are of. What is said here of a room holds for every [`Conductor`].
//!
//! An adapter's loop is: [`fill`](Outbox::fill), do each [`Step`], [`send`](Outbox::send) the datagrams, write each
//! [message](Outbox::next_message), and hand in what came over the sockets, what the server said
//! ([`handle_message`](Conductor::handle_message)) and the time. It ends with [`goodbye`](Outbox::goodbye), or, when the
//! channel to the server is gone, with [`lose`](Outbox::lose); [`finish`] settles what is left when the loop is simply
//! dropped. The crate `mediasoup-producer-driver` is made of this.

mod conductor;
mod outbox;
mod v2;
mod v3;

pub use conductor::{Conductor, Output, Step};
pub use outbox::{Outbox, Path, Sent, finish, segments};
