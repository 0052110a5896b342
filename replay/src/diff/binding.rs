//! Values that the services invent, paired up one to one over the whole run.
//!
//! **Invariant**: a value of one side is never paired with two values of the other: a swapped reference is found, whatever the values look like.

use std::collections::BTreeMap;

/// The pairs so far, for each `binding` rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Bindings {
    forth: BTreeMap<(usize, String), String>,
    back: BTreeMap<(usize, String), String>,
    frozen: bool,
}

impl Bindings {
    /// Whether the two values are each other's, or were free until now.
    pub(super) fn pair(&mut self, rule: usize, legacy: &str, candidate: &str) -> bool {
        let forth = (rule, legacy.to_owned());
        let back = (rule, candidate.to_owned());
        match (self.forth.get(&forth), self.back.get(&back)) {
            (Some(known), _) => known == candidate,
            (None, Some(_)) => false,
            (None, None) => {
                if !self.frozen {
                    self.forth.insert(forth, candidate.to_owned());
                    self.back.insert(back, legacy.to_owned());
                }
                true
            }
        }
    }

    /// From now on values are looked up, and none are added.
    pub(super) fn freeze(&mut self) {
        self.frozen = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_partner() {
        let mut bindings = Bindings::default();
        assert!(bindings.pair(0, "old-1", "new-1"));
        assert!(bindings.pair(0, "old-2", "new-2"));
        assert!(bindings.pair(0, "old-1", "new-1"));
        assert!(!bindings.pair(0, "old-1", "new-2"));
        assert!(!bindings.pair(0, "old-3", "new-1"));
        assert!(
            bindings.pair(1, "old-1", "new-2"),
            "each rule has pairs of its own"
        );
        bindings.freeze();
        assert!(bindings.pair(0, "old-4", "new-4"));
        assert!(
            bindings.pair(0, "old-4", "new-5"),
            "nothing is added when frozen"
        );
    }
}
