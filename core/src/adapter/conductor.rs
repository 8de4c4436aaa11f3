//! What an adapter needs of a dialect.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::net::SocketAddr;
use std::time::Instant;

use crate::id::{OperationId, ProducerId, TransportId};
use crate::net::{IceProtocol, LocalAddresses, Receive, Transmit};

/// The state machine of a dialect, as an adapter drives it: [`v2::Room`](crate::v2::Room), [`v3::Device`](crate::v3::Device).
/// What only the application says to it is not here.
pub trait Conductor {
    /// What is said to the server.
    type ToServer: Debug;
    /// What the server says.
    type FromServer: Debug;
    /// What the application hears; the ends of operations are told by themselves.
    type Event: Debug;
    /// Why an operation came to nothing.
    type Failure: Debug;
    /// Why a transport does not take an address of ours.
    type AddressError: Debug + Display;

    /// The next thing to act on; `None` when there is nothing until something comes in.
    fn poll_output(&mut self) -> Option<Output<Self>>;

    /// When [`handle_timeout`](Self::handle_timeout) is next needed; `None`: not before something else happens.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Lets time go on.
    fn handle_timeout(&mut self, now: Instant);

    /// Takes a datagram.
    fn handle_receive(&mut self, now: Instant, receive: &Receive);

    /// Takes what the server said. What is none of its business comes back; nothing else fails.
    fn handle_message(&mut self, now: Instant, message: Self::FromServer) -> Result<(), Self::FromServer>;

    /// What sockets a transport wants: towards which addresses. None when it is closed, or they are not known yet:
    /// [`Step::Open`] tells of those that come later than the transport.
    fn socket_targets(&self, id: TransportId) -> Vec<(IceProtocol, SocketAddr)>;

    /// Names all addresses that sockets of a transport send from now; `None` when it is closed.
    fn set_local_addresses(
        &mut self,
        now: Instant,
        id: TransportId,
        addresses: Vec<(IceProtocol, SocketAddr)>,
    ) -> Option<LocalAddresses<Self::AddressError>>;

    /// Says that so many datagrams of a transport wait, and that these are too many: media is refused until it says 0.
    fn set_backlog(&mut self, id: TransportId, datagrams: usize);

    /// The transport that a producer is sent over, or about to be.
    fn transport_of(&self, producer: ProducerId) -> Option<TransportId>;

    /// The streams that can wait while others go: those of video, and of its repair.
    fn video_ssrcs(&self) -> BTreeSet<u32>;

    /// Ends it in good order, if that was not done yet. While outputs wait it may refuse.
    fn leave(&mut self, now: Instant);

    /// Ends it as the server would, whom nothing reaches any more. While outputs wait it may refuse.
    fn lose(&mut self, now: Instant);
}

/// What comes out of a [`Conductor`].
#[derive(derive_more::Debug)]
pub enum Output<C: Conductor + ?Sized> {
    /// A datagram to be sent.
    Transmit(Transmit),
    /// A message for the server.
    Message(C::ToServer),
    /// Something to be done, after `first` if there is any.
    Step {
        /// What is to be done with sockets before.
        first: Option<Step<C>>,
        /// What is to be done.
        step: Step<C>,
    },
}

/// What an adapter is to do.
#[derive(derive_more::Debug)]
pub enum Step<C: Conductor + ?Sized> {
    /// Open sockets towards the [targets](Conductor::socket_targets) of a transport, and
    /// [name](Conductor::set_local_addresses) their addresses.
    Open(TransportId),
    /// Close the sockets of a transport, each when nothing [waits](super::Outbox::waiting) for it any more.
    Close(TransportId),
    /// Tell whoever waits for an operation how it ended.
    Settle {
        /// The operation.
        operation: OperationId,
        /// How it ended.
        result: Result<(), C::Failure>,
    },
    /// Tell the application.
    Emit(C::Event),
}
