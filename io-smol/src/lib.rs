//! Sockets and timers for mediasoup-producer on smol
