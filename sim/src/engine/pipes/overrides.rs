//! Settings that faults put in place of a link's usual ones, and what each of these faults did.
//!
//! **Invariant**: a fault counts only what would not have been without it, so one that asks for what is there already counts nothing.

use std::time::Duration;

/// What one fault did to the segments of a link, beyond what they would have met without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    /// Segments that came later, and connections torn by a planned reset.
    pub(super) struck: u64,
    /// By how much, together.
    pub(super) delay: Duration,
    /// Losses, each a retransmission.
    pub(super) lost: u64,
    /// Connections that a loss tore.
    pub(super) torn: u64,
}

impl Effects {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            struck: self.struck + other.struck,
            delay: self.delay + other.delay,
            lost: self.lost + other.lost,
            torn: self.torn + other.torn,
        }
    }

    /// One more segment came later, by so much.
    pub(super) fn delays(&mut self, by: Duration) {
        self.struck += u64::from(!by.is_zero());
        self.delay += by;
    }
}

/// A fault's setting in place of a link's usual one, and what it did so far.
#[derive(Debug)]
pub(super) struct Override<T> {
    fault: usize,
    pub(super) value: T,
    pub(super) effects: Effects,
}

/// Settings in place of the usual one, in the order of their faults' starts.
#[derive(Debug)]
pub(super) struct Overrides<T>(Vec<Override<T>>);

impl<T> Default for Overrides<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Overrides<T> {
    /// Fault `fault` has begun.
    pub(super) fn push(&mut self, fault: usize, value: T) {
        self.0.push(Override {
            fault,
            value,
            effects: Effects::default(),
        });
    }

    /// It ends: what it did.
    pub(super) fn take(&mut self, fault: usize) -> Effects {
        let ended = self.0.extract_if(.., |one| one.fault == fault);
        ended.fold(Effects::default(), |sum, one| sum.plus(one.effects))
    }

    /// Each setting, in the order of their faults' starts.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Override<T>> {
        self.0.iter_mut()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The setting in force; `None` when it is the usual one.
    pub(super) fn last(&self) -> Option<T> {
        self.0.last().map(|one| one.value)
    }

    /// Each fault's setting, what would be without it and the later ones, and where its effects are kept.
    pub(super) fn each(&mut self, usual: T, mut charge: impl FnMut(T, T, &mut Effects)) {
        let mut below = usual;
        for one in &mut self.0 {
            charge(one.value, below, &mut one.effects);
            below = one.value;
        }
    }
}
