//! Invented values, paired up one to one over all rows of both sides.
//!
//! **Invariant**: whatever the order of the rows, a value of one side keeps one partner: one that it has in rows without any other difference
//! before all others, then the one it has in most rows, then the one that comes first. Every row that says otherwise is a violation, with a row
//! that says so as its witness: one that breaks no pairing itself, where there is one.

use std::collections::{BTreeMap, BTreeSet};

use crate::parity::table::PILES;

/// Two values that stand at the same place of a pair of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bond {
    /// The kind of value: values are paired up within a kind.
    pub(super) rule: u16,
    pub(super) left: u64,
    pub(super) right: u64,
    /// The pair of rows, by the left one's number.
    pub(super) pair: u32,
    /// Whether the rows may differ elsewhere: then a rule may forgive what this says.
    pub(super) open: bool,
    /// Where in the rows.
    pub(super) place: u32,
}

/// A pair of rows in which a value is not with its partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// The pair of rows that breaks the pairing.
    pub(super) bond: Bond,
    /// One that makes it.
    pub(super) witness: Bond,
}

/// All violations, by pair of rows.
pub(super) fn violations(mut bonds: Vec<Bond>) -> Vec<Violation> {
    if is_one_to_one(&bonds) {
        return Vec::new();
    }
    bonds.sort_unstable();
    let mut kinds: Vec<(Bond, u32)> = Vec::new();
    for bond in &bonds {
        match kinds.last_mut() {
            Some((first, count)) if same(first, bond) => {
                *count += 1;
                if first.open && !bond.open {
                    *first = *bond;
                }
            }
            _ => kinds.push((*bond, 1)),
        }
    }
    let torn = torn(&mut kinds);
    if torn.is_empty() {
        return Vec::new();
    }
    // What undoubted rows say first, then the most frequent, then the first in the order of rows.
    kinds.retain(|(bond, _)| torn.contains(&(bond.rule, bond.left, bond.right)));
    kinds.sort_unstable_by_key(|(bond, count)| {
        (bond.open, std::cmp::Reverse(*count), bond.pair, *bond)
    });
    let (mut forth, mut back) = (BTreeMap::new(), BTreeMap::new());
    let mut broken: BTreeMap<(u16, u64, u64), Bond> = BTreeMap::new();
    for (bond, _) in &kinds {
        let (left, right) = ((bond.rule, bond.left), (bond.rule, bond.right));
        match (forth.get(&left), back.get(&right)) {
            (None, None) => {
                forth.insert(left, *bond);
                back.insert(right, *bond);
            }
            (Some(witness), _) | (None, Some(witness)) => {
                broken.insert((bond.rule, bond.left, bond.right), *witness);
            }
        }
    }
    // A row that breaks a pairing itself is a poor witness of another: where there is a better one, that one speaks.
    let breakers: BTreeSet<u32> = bonds
        .iter()
        .filter(|bond| broken.contains_key(&(bond.rule, bond.left, bond.right)))
        .map(|bond| bond.pair)
        .collect();
    let mut clean: BTreeMap<(u16, u64, u64), Bond> = BTreeMap::new();
    for bond in bonds.iter().filter(|bond| !breakers.contains(&bond.pair)) {
        let name = (bond.rule, bond.left, bond.right);
        if torn.contains(&name) {
            let known = clean.entry(name).or_insert(*bond);
            if known.open && !bond.open {
                *known = *bond;
            }
        }
    }
    let mut violations: Vec<Violation> = bonds
        .into_iter()
        .filter_map(|bond| {
            let witness = broken.get(&(bond.rule, bond.left, bond.right))?;
            let name = (witness.rule, witness.left, witness.right);
            Some(Violation {
                bond,
                witness: *clean.get(&name).unwrap_or(witness),
            })
        })
        .collect();
    violations.sort_unstable_by_key(|violation| (violation.bond.pair, violation.bond.place));
    violations
}

/// Whether no value has two partners: nearly always so, and found out without the order that is needed to say which one is right.
///
/// A kind is mixed into the digests of its values; that two then share one may make this false, never true.
fn is_one_to_one(bonds: &[Bond]) -> bool {
    let kind = |bond: &Bond| u64::from(bond.rule).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let left = |bond: &Bond| (bond.left ^ kind(bond), bond.right ^ kind(bond));
    let right = |bond: &Bond| (bond.right ^ kind(bond), bond.left ^ kind(bond));
    has_one_partner_each(bonds, left) && has_one_partner_each(bonds, right)
}

/// Whether equal values of one side all have equal partners. Values are dealt into piles that a processor's cache holds, and sorted there.
fn has_one_partner_each(bonds: &[Bond], of: impl Fn(&Bond) -> (u64, u64)) -> bool {
    let mut piles: Vec<Vec<(u64, u64)>> = vec![Vec::new(); PILES];
    for bond in bonds {
        let pair = of(bond);
        piles[usize::from(pair.0.to_be_bytes()[0])].push(pair);
    }
    piles.iter_mut().all(|pile| {
        pile.sort_unstable();
        pile.windows(2)
            .all(|two| two[0].0 != two[1].0 || two[0].1 == two[1].1)
    })
}

/// The pairings that touch a value with two partners, found without an index: nearly always there are none.
fn torn(kinds: &mut [(Bond, u32)]) -> BTreeSet<(u16, u64, u64)> {
    let mut values = (BTreeSet::new(), BTreeSet::new());
    for pair in kinds.windows(2) {
        let (a, b) = (pair[0].0, pair[1].0);
        if (a.rule, a.left) == (b.rule, b.left) {
            values.0.insert((a.rule, a.left));
        }
    }
    kinds.sort_unstable_by_key(|(bond, _)| (bond.rule, bond.right, bond.left));
    for pair in kinds.windows(2) {
        let (a, b) = (pair[0].0, pair[1].0);
        if (a.rule, a.right) == (b.rule, b.right) {
            values.1.insert((a.rule, a.right));
        }
    }
    if values.0.is_empty() && values.1.is_empty() {
        return BTreeSet::new();
    }
    // A value with two partners drags in all partners of those, and so on.
    let mut torn = BTreeSet::new();
    loop {
        let before = torn.len();
        for (bond, _) in &*kinds {
            let (left, right) = ((bond.rule, bond.left), (bond.rule, bond.right));
            if values.0.contains(&left) || values.1.contains(&right) {
                values.0.insert(left);
                values.1.insert(right);
                torn.insert((bond.rule, bond.left, bond.right));
            }
        }
        if torn.len() == before {
            return torn;
        }
    }
}

fn same(a: &Bond, b: &Bond) -> bool {
    (a.rule, a.left, a.right) == (b.rule, b.left, b.right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bonds(pairs: &[(u64, u64)]) -> Vec<Bond> {
        (0..)
            .zip(pairs)
            .map(|(pair, (left, right))| Bond {
                rule: 0,
                left: *left,
                right: *right,
                pair,
                open: false,
                place: 0,
            })
            .collect()
    }

    fn check(pairs: &[(u64, u64)], expect: &[(u32, u32)]) {
        let found: Vec<(u32, u32)> = violations(bonds(pairs))
            .iter()
            .map(|violation| (violation.bond.pair, violation.witness.pair))
            .collect();
        assert_eq!(found, expect, "{pairs:?}");
    }

    #[test]
    fn a_pairing_that_holds_has_no_violation() {
        check(&[], &[]);
        check(&[(1, 10), (2, 20), (1, 10), (3, 30)], &[]);
    }

    #[test]
    fn the_pairing_of_most_rows_is_the_right_one() {
        check(&[(1, 99), (1, 10), (1, 10)], &[(0, 1)]);
        check(&[(1, 10), (2, 10), (2, 10)], &[(0, 1)]);
        check(&[(1, 10), (1, 11)], &[(1, 0)]);
        // Two references that were swapped in one row each.
        check(
            &[(1, 10), (1, 10), (2, 20), (2, 20), (1, 20), (2, 10)],
            &[(4, 0), (5, 2)],
        );
    }

    #[test]
    fn a_witness_breaks_no_pairing_itself() {
        // Row 0 says that 2 belongs to 20, as row 4 does, and breaks what rows 1 and 2 say.
        let mut bonds = bonds(&[(1, 99), (1, 10), (1, 10), (2, 21), (2, 20)]);
        bonds.push(Bond {
            pair: 0,
            place: 1,
            ..bonds[4]
        });
        let found = violations(bonds);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.bond.pair, one.witness.pair))
            .collect();
        assert_eq!(found, [(0, 1), (3, 4)]);
    }

    #[test]
    fn each_rule_has_pairings_of_its_own() {
        let mut bonds = bonds(&[(1, 10), (1, 11)]);
        bonds[1].rule = 1;
        assert!(violations(bonds).is_empty());
    }

    proptest! {
        /// Without the rows that violate it, what is left is a bijection; and no rows violate one.
        #[test]
        fn what_is_left_is_a_bijection(pairs in prop::collection::vec((0_u64..6, 0_u64..6), 0..40)) {
            let broken: Vec<u32> = violations(bonds(&pairs)).iter().map(|one| one.bond.pair).collect();
            let (mut forth, mut back) = (BTreeMap::new(), BTreeMap::new());
            for (at, (left, right)) in (0..).zip(&pairs) {
                if !broken.contains(&at) {
                    prop_assert_eq!(*forth.entry(left).or_insert(right), right);
                    prop_assert_eq!(*back.entry(right).or_insert(left), left);
                }
            }
        }
    }
}
