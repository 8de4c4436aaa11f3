//! Identifiers. All are chosen by us: mediasoup v2 lets the client name its transports and producers.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// The bare number, as it stands in messages.
            pub const fn value(self) -> $inner {
                self.0
            }

            pub(crate) const fn new(value: $inner) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id! {
    /// Identifies a transport within a [`Room`](crate::Room): a random integer of eight digits. It stays the same for the
    /// transport's life; for what the server calls it see [`server_id`](crate::TransportInfo::server_id).
    TransportId(u32)
}
id! {
    /// Identifies a producer within a [`Room`](crate::Room): a random integer of eight digits. It stays the same for the
    /// producer's life; for what the server calls it see [`server_id`](crate::ProducerInfo::server_id).
    ProducerId(u32)
}
id! {
    /// By which the server knows a transport or producer of ours, as it stands in messages: our own id of it, or another
    /// number of eight digits if that was taken. The server wants it unique among those of all peers of the room.
    ServerId(u32)
}
id! {
    /// Pairs a request to the server with its response. Counts up from 1 for the life of a [`Room`](crate::Room).
    RequestId(u64)
}
id! {
    /// Pairs a command that takes time (join, send, ICE restart) with the
    /// [`Event::Settled`](crate::Event::Settled) that ends it.
    OperationId(u64)
}
