//! Sockets, timers and WebSocket signalling for mediasoup-producer on tokio
