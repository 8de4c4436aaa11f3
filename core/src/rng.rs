//! The randomness of the control plane.
//!
//! SplitMix64 (Steele, Lea, Flood 2014), written out because a recorded run must repeat in every later version, which no
//! general-purpose generator promises. It names things; it makes no secrets (keys and ICE credentials come from str0m).

use std::hash::{BuildHasher, Hasher, RandomState};

/// A seed for [`Room::new`](crate::v2::Room::new) from the system's randomness, another each time: rooms that share a server, or
/// a server's room, must not draw the same ids. It is the only randomness that this library asks for outside of str0m,
/// once, and where the application says so; a recording holds it, so the run repeats all the same. It is no secret.
///
/// A fixed seed is for tests.
pub fn random_seed() -> u64 {
    // Keyed by the system once for each thread, and differently each time.
    RandomState::new().build_hasher().finish()
}

#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed, as long as nothing was drawn.
    #[cfg(feature = "record")]
    pub(crate) const fn state(&self) -> u64 {
        self.0
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) const fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// Uniform enough in `low..high`; `low < high` is the caller's.
    pub(crate) const fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next_u64() % (high - low)
    }

    /// An integer of eight digits, as mediasoup-client names things.
    pub(crate) const fn eight_digits(&mut self) -> u32 {
        self.range(10_000_000, 100_000_000) as u32
    }

    /// In `0.0..1.0`.
    #[cfg(feature = "sim")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}
