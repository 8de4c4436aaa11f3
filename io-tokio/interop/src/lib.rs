//! Real mediasoup servers and a real browser, driven from Rust
