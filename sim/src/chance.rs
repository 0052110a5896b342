//! Chance: named sub-streams of one seed.
//!
//! **Invariant**: a draw from one name never shifts a draw from another, so removing a step from a plan leaves the rest as it was.
//! It holds no state of its own: a stream is a pure function of (seed, name).

use std::time::Duration;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Room for a name below another.
const ROOM: usize = 24;

/// A place in the tree of names below one seed.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    name: String,
    fork: Option<Fork>,
}

/// A moment from which on a run's streams are others: the run is the same as without it up to there, and another one afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fork {
    /// When, since the run's start.
    pub at_ms: u64,
    /// The seed of every stream from then on.
    pub seed: u64,
}

impl Chance {
    /// The root of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            name: String::new(),
            fork: None,
        }
    }

    /// The same place, with streams that are to change at a moment.
    #[must_use]
    pub fn forking(self, fork: Option<Fork>) -> Self {
        Self { fork, ..self }
    }

    /// When streams are to change, and this place below the seed that holds from then on.
    pub fn fork(&self) -> Option<(Duration, Self)> {
        let fork = self.fork?;
        let after = Self {
            seed: fork.seed,
            name: format!("/fork{}", self.name),
            fork: None,
        };
        Some((Duration::from_millis(fork.at_ms), after))
    }

    /// The sub-stream `name` below this one.
    #[must_use]
    pub fn named(&self, name: impl std::fmt::Display) -> Self {
        use std::fmt::Write;
        let mut below = String::with_capacity(self.name.len() + ROOM);
        below.push_str(&self.name);
        write!(below, "/{name}").expect("a string takes all");
        Self {
            seed: self.seed,
            name: below,
            fork: self.fork,
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

    #[test]
    fn a_fork_changes_nothing_before_it_and_everything_after() {
        let plain = Chance::new(7).named("run");
        let fork = Fork { at_ms: 20, seed: 7 };
        let forking = Chance::new(7).forking(Some(fork)).named("run");
        assert_eq!(forking.seed(), plain.seed());
        let (at, after) = forking.fork().unwrap();
        assert_eq!(at, Duration::from_millis(20));
        assert_ne!(after.seed(), plain.seed(), "also with the run's own seed");
        assert!(plain.fork().is_none() && after.fork().is_none());
    }
}
