//! What the benchmarks measure, and what they measure it against.

pub mod baseline;
