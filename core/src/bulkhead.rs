//! A bulkhead: how many calls may be under way to one provider, so that a slow one cannot take all workers.
//!
//! The one invariant: `in_use` never exceeds `limit`.
//! It deliberately does not queue: what cannot start is not claimed.

use serde::{Deserialize, Serialize};

/// The slots of one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bulkhead {
    limit: u32,
    in_use: u32,
}

impl Bulkhead {
    /// `limit` free slots.
    pub const fn new(limit: u32) -> Self {
        Self { limit, in_use: 0 }
    }

    /// Takes a slot if one is free; whoever took it must [`leave`](Self::leave) once.
    pub const fn try_enter(&mut self) -> bool {
        let free = self.in_use < self.limit;
        if free {
            self.in_use += 1;
        }
        free
    }

    /// Gives a slot back.
    ///
    /// # Panics
    /// When nobody is inside: a slot was given back twice.
    pub const fn leave(&mut self) {
        assert!(self.in_use > 0, "a bulkhead slot was given back twice");
        self.in_use -= 1;
    }

    /// Slots that are free.
    pub const fn free(&self) -> u32 {
        self.limit - self.in_use
    }

    /// Slots that are taken.
    pub const fn in_use(&self) -> u32 {
        self.in_use
    }

    /// All slots.
    pub const fn limit(&self) -> u32 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds() {
        let mut bulkhead = Bulkhead::new(2);
        assert!(bulkhead.try_enter() && bulkhead.try_enter());
        assert!(!bulkhead.try_enter());
        assert_eq!((bulkhead.free(), bulkhead.in_use()), (0, 2));
        bulkhead.leave();
        assert!(bulkhead.try_enter());
    }
}
