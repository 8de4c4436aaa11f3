//! What the application hears of a device.

use mediasoup_producer::TransportId;

use crate::error::SignallingError;

/// Something the application should know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What the state machine says, all but [`Settled`](mediasoup_producer::v3::Event::Settled): the futures that wait for
    /// that say it.
    Device(mediasoup_producer::v3::Event),
    /// The channel to the server is lost. The transports close, and the driver ends.
    Disconnected {
        /// Why.
        error: SignallingError,
    },
    /// No socket could be opened towards the server's addresses, or none is left that works. The transport stays as it is:
    /// when the network is back, call [`Transport::rebind`](super::Transport::rebind).
    Unreachable {
        /// The transport.
        transport: TransportId,
        /// The system's words.
        reason: String,
    },
}
