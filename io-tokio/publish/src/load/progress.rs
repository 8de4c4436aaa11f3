//! How a load stands.

use std::time::Duration;

use super::Usage;

/// How a load stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// How many peers there are to be.
    pub peers: usize,
    /// Those whose turn has not come.
    pub waiting: usize,
    /// Those that are on their way into a room, for the first time or again.
    pub connecting: usize,
    /// Those that are connected.
    pub connected: usize,
    /// Those that have failed.
    pub failed: usize,
    /// Packets sent, retransmissions not.
    pub packets: u64,
    /// What is sent at the moment, in bits per second.
    pub bitrate_bps: u64,
    /// Packets that the rooms reported lost before they were repaired.
    pub lost: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// How long peers took to be connected, 99 of 100.
    pub connect_p99: Option<Duration>,
    /// Round-trip times, 99 of 100.
    pub round_trip_p99: Option<Duration>,
    /// How late frames were handed in, 99 of 100.
    pub late_p99: Option<Duration>,
    /// What the process takes.
    pub usage: Usage,
}
