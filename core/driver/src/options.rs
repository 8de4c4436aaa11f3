//! Options of the driver, and what it counts.

use std::net::SocketAddr;
use std::time::Duration;

/// Options of the sockets and the event stream. What the state machine has is in
/// [`v2::RoomConfig`](mediasoup_producer::v2::RoomConfig) or [`v3::DeviceConfig`](mediasoup_producer::v3::DeviceConfig).
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) bind: Vec<SocketAddr>,
    pub(crate) udp: bool,
    pub(crate) tcp: bool,
    pub(crate) events: usize,
    pub(crate) granularity: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { bind: Vec::new(), udp: true, tcp: true, events: 256, granularity: Duration::from_millis(1) }
    }
}

impl Options {
    /// Where sockets are opened: one address for each family, the first of a family being used. Port 0: any. An
    /// unspecified address (`0.0.0.0`) leaves the interface to the system. A port of its own is for UDP: all transports
    /// share that socket, which needs a server that has a port of its own for each transport, as mediasoup does.
    /// Default: the interface that the system's routes choose towards the server, any port.
    pub fn bind(mut self, addresses: impl Into<Vec<SocketAddr>>) -> Self {
        self.bind = addresses.into();
        self
    }

    /// Whether to use UDP where the server offers it. Default: true.
    pub const fn udp(mut self, udp: bool) -> Self {
        self.udp = udp;
        self
    }

    /// Whether to use TCP where the server offers it: it takes over where UDP does not get through. Default: true.
    pub const fn tcp(mut self, tcp: bool) -> Self {
        self.tcp = tcp;
        self
    }

    /// How many events wait for a slow reader before it loses the oldest. Default: 256.
    pub const fn events(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// Timers fire at multiples of this: what is due between two of them is done in one wake, up to so much later. Zero:
    /// each at its time. Default: 1 ms.
    pub const fn granularity(mut self, granularity: Duration) -> Self {
        self.granularity = granularity;
        self
    }
}

/// What the driver of a room or device counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct IoStats {
    /// Datagrams sent, over UDP or TCP.
    pub datagrams_sent: u64,
    /// Bytes in them.
    pub bytes_sent: u64,
    /// Datagrams received, over UDP or TCP.
    pub datagrams_received: u64,
    /// Bytes in them.
    pub bytes_received: u64,
    /// Datagrams that the system refused to send or to receive (no route, port unreachable, ...).
    pub socket_errors: u64,
    /// Datagrams that no packet of the network can hold (`EMSGSIZE`), or of the part of it that begins here: a tunnel with a
    /// small MTU. Each is a warning of `tracing`, too.
    pub datagrams_too_large: u64,
    /// Datagrams dropped because their socket or connection is gone, or does not keep up.
    pub datagrams_dropped: u64,
    /// Frames and packets refused because the sockets of their transport do not keep up
    /// ([`MediaError::Blocked`](mediasoup_producer::MediaError::Blocked)).
    pub media_refused: u64,
    /// Messages of the server that could not be read.
    pub messages_unreadable: u64,
}
