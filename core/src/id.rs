//! Identifiers: handles of ours, whatever the server calls things.

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
    /// Identifies a transport within a [`Room`](crate::v2::Room): a random integer of eight digits. It stays the same for the
    /// transport's life; for what the server calls it see [`server_id`](crate::v2::TransportInfo::server_id).
    TransportId(u32)
}
id! {
    /// Identifies a producer within a [`Room`](crate::v2::Room): a random integer of eight digits. It stays the same for the
    /// producer's life; for what the server calls it see [`server_id`](crate::v2::ProducerInfo::server_id).
    ProducerId(u32)
}
id! {
    /// Pairs a request to the server with its response. Counts up from 1 for the life of a [`Room`](crate::v2::Room).
    RequestId(u64)
}
id! {
    /// Pairs a command that takes time (join, send, ICE restart) with the
    /// [`Event::Settled`](crate::v2::Event::Settled) that ends it.
    OperationId(u64)
}

pub(crate) use id;
