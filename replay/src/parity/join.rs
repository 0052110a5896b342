//! Two tables, joined by key: what digests settle, and what is left for the comparer.
//!
//! **Invariant**: every row with a key is in exactly one pair, or alone on its side. Rows that share a key on one side are paired by digest
//! first and then in their order; what is left over is alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::parity::{
    Table,
    bijection::{Bond, Violation, violations},
    canonical::{Mark, MarkKind},
    table::{Digested, Pile},
};

/// What the join found.
#[derive(Debug)]
pub struct Joined<'t, 'r> {
    pub(super) left: &'t Table<'r>,
    pub(super) right: &'t Table<'r>,
    /// Pairs of rows that were settled as matches.
    pub(super) matched: u64,
    /// Pairs that the comparer has to see, in the order of the left side: row numbers.
    pub(super) open: Vec<(u32, u32)>,
    /// Rows that the other side lacks, in order.
    pub(super) alone: [Vec<u32>; 2],
    /// Keys that more than one row of a side has.
    pub(super) repeated: [u64; 2],
    /// In how many settled pairs each rule acted.
    pub(super) acted: Vec<u64>,
    /// Violated pairings: row numbers, path, and the witness's row numbers.
    pub(super) violated: Vec<Violated>,
    /// Settled pairs that say which values belong together that also stand in arrays of open ones: row numbers.
    pub(super) teachers: BTreeSet<(u32, u32)>,
}

/// An invented value that is not with its partner.
#[derive(Clone, Debug)]
pub(super) struct Violated {
    pub(super) rows: (u32, u32),
    pub(super) path: String,
    pub(super) witness: (u32, u32),
    pub(super) witness_path: String,
}

/// Joins two tables; `rules` is how many rules there are.
pub fn join<'t, 'r>(left: &'t Table<'r>, right: &'t Table<'r>, rules: usize) -> Joined<'t, 'r> {
    let mut joined = Joined {
        left,
        right,
        matched: 0,
        open: Vec::new(),
        alone: [Vec::new(), Vec::new()],
        repeated: [0, 0],
        acted: vec![0; rules],
        violated: Vec::new(),
        teachers: BTreeSet::new(),
    };
    let piles = || left.piles.iter().zip(&right.piles);
    let pairs: Vec<Vec<Pair>> = piles()
        .map(|(one, other)| pairs(&one.rows, &other.rows, &mut joined))
        .collect();
    let mut bonds = Vec::new();
    for ((one, other), pairs) in piles().zip(&pairs) {
        bond(left, one, other, pairs, &mut bonds);
    }
    let violations = violations(bonds);
    joined.settle(&pairs, &violations);
    joined.open.sort_unstable();
    joined.teach(&pairs);
    for alone in &mut joined.alone {
        alone.sort_unstable();
    }
    joined
}

/// Two rows that belong together, each with the pile that it is in.
type Rows<'t> = ((&'t Pile, &'t Digested), (&'t Pile, &'t Digested));

/// A pair of rows, by their places in the two piles, and whether the digests settle it.
type Pair = (u32, u32, bool);

fn pairs(a: &[Digested], b: &[Digested], joined: &mut Joined<'_, '_>) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(a.len().min(b.len()));
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let key = match (a.get(i), b.get(j)) {
            (Some(one), Some(other)) => one.key.min(other.key),
            (Some(one), None) | (None, Some(one)) => one.key,
            (None, None) => break,
        };
        let ends = (end(a, i, key), end(b, j, key));
        if (ends.0 - i, ends.1 - j) == (1, 1) {
            pairs.push((place(i), place(j), is_settled(&a[i], &b[j])));
        } else {
            group(&a[i..ends.0], &b[j..ends.1], (i, j), &mut pairs, joined);
        }
        (i, j) = ends;
    }
    pairs
}

fn end(rows: &[Digested], from: usize, key: u128) -> usize {
    from + rows[from..].iter().take_while(|row| row.key == key).count()
}

/// Rows of one key, of which a side has none or more than one.
fn group(
    a: &[Digested],
    b: &[Digested],
    from: (usize, usize),
    pairs: &mut Vec<Pair>,
    joined: &mut Joined<'_, '_>,
) {
    joined.repeated[0] += u64::from(a.len() > 1);
    joined.repeated[1] += u64::from(b.len() > 1);
    // Rows with equal digests, and among them equal dropped fields, are each as good as the next.
    let mut likes: BTreeMap<(u128, u64), VecDeque<usize>> = BTreeMap::new();
    for (at, row) in b.iter().enumerate() {
        let name = (row.meaning.digest, row.meaning.dropped);
        if row.meaning.open {
            continue;
        }
        likes.entry(name).or_default().push_back(at);
    }
    let mut taken = vec![false; b.len()];
    let mut waiting = Vec::new();
    for (at, row) in a.iter().enumerate() {
        let digest = row.meaning.digest;
        let equal = likes.range_mut((digest, 0)..=(digest, u64::MAX));
        let twins = equal.map(|(_, twins)| twins);
        let twins = twins.filter(|twins| {
            let first = twins.front();
            first.is_some_and(|twin| is_settled(row, &b[*twin]))
        });
        match twins
            .min_by_key(|twins| twins.front().copied())
            .and_then(VecDeque::pop_front)
        {
            Some(twin) => {
                taken[twin] = true;
                pairs.push((place(from.0 + at), place(from.1 + twin), true));
            }
            None => waiting.push(at),
        }
    }
    let mut free = (0..b.len()).filter(|at| !taken[*at]);
    for at in waiting {
        match free.next() {
            Some(twin) => pairs.push((place(from.0 + at), place(from.1 + twin), false)),
            None => joined.alone[0].push(a[at].number),
        }
    }
    joined.alone[1].extend(free.map(|at| b[at].number));
}

fn is_settled(a: &Digested, b: &Digested) -> bool {
    a.meaning.digest == b.meaning.digest
        && !a.meaning.open
        && !b.meaning.open
        && a.meaning.dropped & b.meaning.dropped == 0
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a table has at most 2^32 rows"
)]
fn place(at: usize) -> u32 {
    at as u32
}

/// What the pairs of two piles say of invented values.
fn bond(left: &Table<'_>, one: &Pile, other: &Pile, pairs: &[Pair], bonds: &mut Vec<Bond>) {
    for (i, j, settled) in pairs {
        let (a, b) = (&one.rows[*i as usize], &other.rows[*j as usize]);
        let mut others = other.marks(b).iter().peekable();
        for mark in one.marks(a) {
            let name = (mark.rule, mark.kind, mark.place);
            while others
                .next_if(|other| (other.rule, other.kind, other.place) < name)
                .is_some()
            {}
            let Some(other) = others.next_if(|other| (other.rule, other.kind, other.place) == name)
            else {
                continue;
            };
            // In rows that differ, an array's items may stand elsewhere: there the comparer pairs them up.
            let known = match mark.kind {
                MarkKind::Bound => true,
                MarkKind::BoundInArray => *settled,
                MarkKind::Spelling => false,
            };
            if known {
                bonds.push(Bond {
                    rule: left.kind(mark.rule),
                    left: mark.value,
                    right: other.value,
                    pair: a.number,
                    open: !settled,
                    place: mark.place,
                });
            }
        }
    }
}

impl<'t> Joined<'t, '_> {
    /// The pairs of all piles, each with its piles.
    fn each<'p>(
        &self,
        pairs: &'p [Vec<Pair>],
    ) -> impl Iterator<Item = (Rows<'t>, bool)> + use<'t, 'p> {
        let piles = self.left.piles.iter().zip(&self.right.piles);
        piles.zip(pairs).flat_map(|((one, other), pairs)| {
            pairs.iter().map(move |(i, j, settled)| {
                let a = (one, &one.rows[*i as usize]);
                let b = (other, &other.rows[*j as usize]);
                ((a, b), *settled)
            })
        })
    }

    /// How many keys more than one row has, on the left and on the right side.
    pub fn repeated(&self) -> [u64; 2] {
        self.repeated
    }

    fn settle(&mut self, pairs: &[Vec<Pair>], violations: &[Violation]) {
        let mut named = BTreeMap::new();
        for violation in violations {
            named.insert(violation.bond.pair, (0, 0));
            named.insert(violation.witness.pair, (0, 0));
        }
        if !named.is_empty() {
            for (((_, a), (_, b)), _) in self.each(pairs) {
                if let Some(rows) = named.get_mut(&a.number) {
                    *rows = (a.number, b.number);
                }
            }
        }
        let rows = |bond: &Bond| named[&bond.pair];
        let path = |bond: &Bond| {
            let known = self.left.places().get(&bond.place);
            known.cloned().unwrap_or_else(|| "/*".to_owned())
        };
        let violated = violations.iter().map(|violation| Violated {
            rows: rows(&violation.bond),
            path: path(&violation.bond),
            witness: rows(&violation.witness),
            witness_path: path(&violation.witness),
        });
        self.violated = violated.collect();
        self.violated.sort_by_key(|violated| violated.rows);
        for (rows, settled) in self.each(pairs) {
            let ((_, a), (_, b)) = rows;
            let violates = violations
                .binary_search_by_key(&a.number, |violation| violation.bond.pair)
                .is_ok();
            if settled && !violates {
                self.matched += 1;
                let mut acted = a.meaning.acted | b.meaning.acted | spelled(rows);
                while acted != 0 {
                    self.acted[acted.trailing_zeros() as usize] += 1;
                    acted &= acted - 1;
                }
            } else {
                self.open.push((a.number, b.number));
            }
        }
    }

    /// Finds the settled pairs that the comparer has to see before the open ones: digests pair up no values in arrays of rows that differ.
    fn teach(&mut self, pairs: &[Vec<Pair>]) {
        let left = self.left;
        let is_open = |number: u32| {
            let at = self.open.partition_point(|open| open.0 < number);
            self.open.get(at).is_some_and(|open| open.0 == number)
        };
        let name = |mark: &Mark| (left.kind(mark.rule), mark.value);
        let (mut ours, mut theirs) = (BTreeSet::new(), BTreeSet::new());
        for (((one, a), (other, b)), _) in self.each(pairs) {
            if is_open(a.number) {
                let in_array = |mark: &&Mark| mark.kind == MarkKind::BoundInArray;
                ours.extend(one.marks(a).iter().filter(in_array).map(name));
                theirs.extend(other.marks(b).iter().filter(in_array).map(name));
            }
        }
        let mut teachers = BTreeSet::new();
        for (((one, a), (other, b)), _) in self.each(pairs) {
            if ours.is_empty() && theirs.is_empty() {
                break;
            }
            if is_open(a.number) {
                continue;
            }
            let bound = |mark: &&Mark| mark.kind != MarkKind::Spelling;
            let one = one.marks(a).iter().filter(bound);
            let other = other.marks(b).iter().filter(bound);
            let one = one.filter(|mark| ours.remove(&name(mark)));
            let other = other.filter(|mark| theirs.remove(&name(mark)));
            if one.count() + other.count() > 0 {
                teachers.insert((a.number, b.number));
            }
        }
        self.teachers = teachers;
    }
}

/// The rules that made two values of a settled pair equal: marks stand in the same order on both sides.
fn spelled(((one, a), (other, b)): Rows<'_>) -> u64 {
    let marks = one.marks(a).iter().zip(other.marks(b));
    let acted = marks.filter(|(one, other)| one.value != other.value);
    acted.fold(0, |acted, (one, _)| {
        acted | 1_u64.checked_shl(u32::from(one.rule)).unwrap_or(0)
    })
}
