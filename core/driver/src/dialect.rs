//! What the driver needs of a dialect beyond what every adapter does: the words in which the application hears of things.

use std::fmt::Debug;

use mediasoup_producer::TransportId;
use mediasoup_producer::adapter::Conductor;

use crate::error::SignallingError;

pub(crate) trait Dialect:
    Conductor<ToServer: Send, FromServer: Send, Event: Send, Failure: Send> + Send + 'static
{
    /// What the application hears.
    type Heard: Debug + Clone + Send + 'static;

    /// The state machine said something.
    fn said(event: Self::Event) -> Self::Heard;

    /// The server said something that is none of the state machine's business. None: it cannot be read.
    fn overheard(message: Self::FromServer) -> Option<Self::Heard>;

    /// The connection to the server is lost.
    fn disconnected(error: SignallingError) -> Self::Heard;

    /// A transport has no socket that works.
    fn unreachable(transport: TransportId, reason: String) -> Self::Heard;
}
