//! What the application hears of a room.

use mediasoup_producer::{Redacted, TransportId};
use serde_json::Value;

use crate::error::SignallingError;

/// Something the application should know.
#[derive(derive_more::Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// What the state machine says, all but [`Settled`](mediasoup_producer::v2::Event::Settled): the futures that wait for
    /// that say it.
    Room(mediasoup_producer::v2::Event),
    /// A message of the application above mediasoup, for example `active-speaker`.
    Application {
        /// Its name.
        method: String,
        /// Its payload.
        #[debug("{:?}", Redacted(data))]
        data: Value,
    },
    /// The connection to the server is lost. The room closes, as if the server had closed it, and the driver ends.
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
