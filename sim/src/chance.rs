//! Chance: named sub-streams of one seed.
//!
//! **Invariant**: a draw from one name never shifts a draw from another, so removing a step from a plan leaves the rest as it was.
//! It holds no state of its own: a stream is a pure function of (seed, name).

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use sha2::{Digest, Sha256};

/// A place in the tree of names below one seed.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    name: String,
}

impl Chance {
    /// The root of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            name: String::new(),
        }
    }

    /// The sub-stream `name` below this one.
    #[must_use]
    pub fn named(&self, name: impl std::fmt::Display) -> Self {
        Self {
            seed: self.seed,
            name: format!("{}/{name}", self.name),
        }
    }

    /// The stream's generator, at its start.
    pub fn rng(&self) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(self.name.as_bytes());
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// A 64-bit seed for a component that keeps its own streams (a mock, a disk).
    pub fn seed(&self) -> u64 {
        use rand::Rng;
        self.rng().next_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_stable_and_apart() {
        let root = Chance::new(7);
        assert_eq!(
            root.named("faults").seed(),
            Chance::new(7).named("faults").seed()
        );
        assert_ne!(root.named("faults").seed(), root.named("workload").seed());
        assert_ne!(
            root.named("faults").seed(),
            Chance::new(8).named("faults").seed()
        );
    }
}
