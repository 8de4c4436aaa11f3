//! What the server calls things. All ids are chosen by us: mediasoup v2 lets the client name its transports and producers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::id;

id! {
    /// By which the server knows a transport or producer of ours, as it stands in messages: our own id of it, or another
    /// number of eight digits if that was taken. The server wants it unique among those of all peers of the room.
    ServerId(u32)
}
