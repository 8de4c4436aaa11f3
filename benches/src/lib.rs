//! Benchmarks of the send path
