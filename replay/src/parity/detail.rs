//! The rows that digests did not settle, read again and given to the comparer.
//!
//! **Invariant**: what the comparer finds stands, in rows that digests had settled too. It sees the rows that make the pairings of invented
//! values before those that break them, so the latter are differences, which rules may forgive; each is shown with a row that makes the pairing.
//! It deliberately holds one [`Batch`] of rows at a time, whatever the number of rows that differ.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{
    diff::{Comparer, Comparison, Difference, DifferenceKind, shortened},
    json::{Json, parse},
    parity::{Joined, RowCounts, RowDifference, join::Violated, report::PathCount},
    rules::{Rules, Side, Subject},
    run::Answer,
};

/// So many rows are shown of each kind.
pub(super) const SHOWN: usize = 100;

/// So many differing paths are counted apart; what is more shares one line.
const PATHS: usize = 1_000;

/// Rows to read again: their numbers, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Of the left side.
    pub left: Vec<u32>,
    /// Of the right side.
    pub right: Vec<u32>,
    pairs: Vec<Places>,
}

/// The numbers of a row and its twin; a row without one stands alone.
type Places = (Option<u32>, Option<u32>);

/// What the comparer made of the rows that were left to it.
#[derive(Debug)]
pub struct Detail<'j, 't, 'r> {
    joined: &'j Joined<'t, 'r>,
    comparer: Comparer<'r>,
    pub(super) counts: RowCounts,
    pub(super) acted: Vec<u64>,
    pub(super) shown: Vec<RowDifference>,
    pub(super) paths: BTreeMap<(&'static str, String), PathCount>,
    /// The paths at which a pair of rows is a witness.
    wanted: BTreeMap<(u32, u32), BTreeSet<&'j str>>,
    witnesses: BTreeMap<(u32, u32), Witness>,
}

/// What a witness says: its key, and its values by path.
#[derive(Debug, Default)]
struct Witness {
    key: String,
    values: BTreeMap<String, [String; 2]>,
}

impl<'j, 't, 'r> Detail<'j, 't, 'r> {
    /// Nothing compared yet.
    pub fn new(joined: &'j Joined<'t, 'r>, rules: &'r Rules) -> Self {
        let mut wanted: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for violated in &joined.violated {
            let paths = wanted.entry(violated.witness).or_default();
            paths.insert(&violated.witness_path);
        }
        let mut detail = Self {
            joined,
            wanted,
            comparer: Comparer::new(rules),
            counts: RowCounts {
                matched: joined.matched,
                ..RowCounts::default()
            },
            acted: joined.acted.clone(),
            shown: Vec::new(),
            paths: BTreeMap::new(),
            witnesses: BTreeMap::new(),
        };
        detail.alone(Side::Legacy);
        detail.alone(Side::Candidate);
        detail
    }

    /// What has to be read again, at most `size` pairs at a time.
    pub fn batches(&self, size: usize) -> Vec<Batch> {
        let alone = |side: usize| self.joined.alone[side].iter().take(SHOWN);
        // What makes the pairings comes first, what breaks them last: to the comparer the first pairing of a value is the right one.
        let breaks = |pair: &&(u32, u32)| !self.violated(**pair).is_empty();
        let makes = |pair: &&(u32, u32)| self.wanted.contains_key(pair);
        let clean = self.wanted.keys().filter(|pair| !breaks(pair));
        let clean: BTreeSet<_> = clean.chain(&self.joined.teachers).collect();
        let mut order: Vec<&(u32, u32)> = clean.into_iter().collect();
        // A settled row pairs up nothing that is not known; one that differs may.
        order.sort_by_key(|pair| self.is_open(**pair));
        let open = || self.joined.open.iter();
        order.extend(open().filter(|pair| !breaks(pair) && !makes(pair)));
        order.extend(open().filter(|pair| breaks(pair) && makes(pair)));
        order.extend(open().filter(|pair| breaks(pair) && !makes(pair)));
        let pairs = order.into_iter().map(|(a, b)| (Some(*a), Some(*b)));
        let left = alone(0).map(|row| (Some(*row), None));
        let right = alone(1).map(|row| (None, Some(*row)));
        let pairs: Vec<_> = pairs.chain(left).chain(right).collect();
        let batch = |pairs: &[Places]| {
            let numbers = |side: fn(&Places) -> Option<u32>| {
                let numbers: BTreeSet<u32> = pairs.iter().filter_map(side).collect();
                numbers.into_iter().collect()
            };
            Batch {
                left: numbers(|pair| pair.0),
                right: numbers(|pair| pair.1),
                pairs: pairs.to_vec(),
            }
        };
        pairs.chunks(size.max(1)).map(batch).collect()
    }

    /// Compares a batch, whose rows the caller has read: `left[i]` is the row with the number `batch.left[i]`.
    ///
    /// # Panics
    /// When the rows are not those that the batch names: a bug of the caller.
    pub fn compare(&mut self, batch: &Batch, left: &[Vec<u8>], right: &[Vec<u8>]) {
        assert_eq!(
            (left.len(), right.len()),
            (batch.left.len(), batch.right.len())
        );
        let row = |numbers: &[u32], rows: &'_ [Vec<u8>], number: Option<u32>| {
            let at = numbers.binary_search(&number?).ok()?;
            Some(rows[at].clone())
        };
        for (a, b) in &batch.pairs {
            let one = row(&batch.left, left, *a);
            let other = row(&batch.right, right, *b);
            match (a, b, one, other) {
                (Some(a), Some(b), Some(one), Some(other)) => self.pair((*a, *b), &one, &other),
                (Some(a), _, Some(one), _) => self.show_alone(Side::Legacy, *a, &one),
                (_, Some(b), _, Some(other)) => self.show_alone(Side::Candidate, *b, &other),
                _ => {}
            }
        }
    }

    fn pair(&mut self, rows: (u32, u32), left: &[u8], right: &[u8]) {
        // They were read once, so they are JSON; if a source changed meanwhile, the comparer finds what is left of them different.
        let (mut a, mut b) = (
            parse(left).unwrap_or(Json::Null),
            parse(right).unwrap_or(Json::Null),
        );
        let (one, other) = (self.joined.left, self.joined.right);
        let key = one.key().shown(Side::Legacy, &a);
        if one.key().hash(Side::Legacy, &a) != other.key().hash(Side::Candidate, &b) {
            // What was read again is not what was read before.
            self.counts.matched -= u64::from(!self.is_open(rows));
            return self.count(rows, key, &changed(), &[None]);
        }
        self.remember(rows, &key, &a, &b);
        let (mut left, mut right) = (Bytes::copy_from_slice(left), Bytes::copy_from_slice(right));
        if !one.columns().is_all() {
            one.columns().keep(&mut a);
            other.columns().keep(&mut b);
            (left, right) = (Bytes::from(a.to_string()), Bytes::from(b.to_string()));
        }
        let (legacy, candidate) = (answer(200, left), answer(200, right));
        let mut comparison = self.comparer.compare(Subject::State, &legacy, &candidate);
        if !comparison.differences.is_empty() {
            // The first look has taught the comparer which values belong together; texts that hold them may be the same now.
            comparison = self.comparer.compare(Subject::State, &legacy, &candidate);
        }
        if !self.is_open(rows) {
            // The comparer has learned what this row says of invented values; it is counted already.
            if comparison.differences.is_empty() {
                return;
            }
            self.counts.matched -= 1;
        }
        let notes = comparison.differences.iter().map(|difference| {
            let binding = difference.kind == DifferenceKind::Binding;
            let violated = self.violated(rows).iter();
            let mut violated = violated.filter(|one| binding && one.path == difference.path);
            self.note(violated.next()?)
        });
        let notes: Vec<Option<String>> = notes.collect();
        self.count(rows, key, &comparison, &notes);
    }

    /// Whether digests did not settle this pair, so that it is not counted yet.
    fn is_open(&self, rows: (u32, u32)) -> bool {
        self.joined.open.binary_search(&rows).is_ok()
    }

    fn violated(&self, rows: (u32, u32)) -> &'j [Violated] {
        let violated = &self.joined.violated;
        let from = violated.partition_point(|one| one.rows < rows);
        let to = violated.partition_point(|one| one.rows <= rows);
        &violated[from..to]
    }

    fn remember(&mut self, rows: (u32, u32), key: &str, a: &Json<'_>, b: &Json<'_>) {
        let Some(paths) = self.wanted.get(&rows) else {
            return;
        };
        let values = paths.iter().map(|path| {
            let values = [text(a, path), self.candidate_text(b, path)];
            ((*path).to_owned(), values)
        });
        let witness = Witness {
            key: key.to_owned(),
            values: values.collect(),
        };
        self.witnesses.insert(rows, witness);
    }

    /// The candidate's value of a field that legacy has at `path`: under its own name where a rule renames it.
    fn candidate_text(&self, row: &Json<'_>, path: &str) -> String {
        if row.pointer(path).is_some() {
            return text(row, path);
        }
        let renamed = self.comparer.rules().rules.iter().find_map(|rule| {
            let crate::rules::Effect::Rename { legacy, candidate } = &rule.effect else {
                return None;
            };
            let parent = path.rsplit_once('/')?.0;
            (legacy.text() == path).then(|| format!("{parent}/{candidate}"))
        });
        renamed.map_or_else(String::new, |path| text(row, &path))
    }

    /// What the witness of a violated pairing says.
    fn note(&self, violated: &Violated) -> Option<String> {
        let witness = self.witnesses.get(&violated.witness)?;
        let [left, right] = witness.values.get(&violated.witness_path)?;
        let key = &witness.key;
        Some(format!("elsewhere {left} belongs to {right}: row {key}"))
    }

    fn count(
        &mut self,
        rows: (u32, u32),
        key: String,
        comparison: &Comparison,
        notes: &[Option<String>],
    ) {
        let acted: BTreeSet<usize> = comparison
            .equated
            .iter()
            .chain(&comparison.ignored)
            .copied()
            .collect();
        for rule in acted {
            self.acted[rule] += 1;
        }
        if comparison.differences.is_empty() {
            if comparison.ignored.is_empty() {
                self.counts.matched += 1;
            } else {
                self.counts.ignored += 1;
            }
            return;
        }
        self.counts.mismatched += 1;
        let differences = comparison.differences.iter();
        let paths: BTreeSet<_> = differences
            .map(|difference| (difference.kind.name(), &*difference.path))
            .collect();
        self.count_paths(paths, &key);
        if self.counts.mismatched <= SHOWN as u64 {
            let differences = comparison.differences.iter().zip(notes).collect::<Vec<_>>();
            self.shown
                .push(RowDifference::mismatched(rows, key, &differences));
        }
    }

    /// Counts one row at each of its paths, and once among the others if it has more.
    fn count_paths(&mut self, paths: BTreeSet<(&'static str, &str)>, key: &str) {
        let mut names = BTreeSet::new();
        for (kind, path) in paths {
            let name = (kind, path.to_owned());
            let known = self.paths.len() + names.len() < PATHS || self.paths.contains_key(&name);
            names.insert(if known {
                name
            } else {
                ("value", "(others)".to_owned())
            });
        }
        for name in names {
            let count = self.paths.entry(name).or_insert_with(|| PathCount {
                rows: 0,
                first: key.to_owned(),
            });
            count.rows += 1;
        }
    }

    /// Rows that the other side lacks: an answer 200 against an answer 404, which a rule may forgive. What the rows say is not looked at.
    fn alone(&mut self, side: Side) {
        let rows = &self.joined.alone[usize::from(side == Side::Candidate)];
        if rows.is_empty() {
            return;
        }
        let (there, gone) = (
            answer(200, Bytes::from_static(b"{}")),
            answer(404, Bytes::new()),
        );
        let comparison = match side {
            Side::Legacy => self.comparer.compare(Subject::State, &there, &gone),
            Side::Candidate => self.comparer.compare(Subject::State, &gone, &there),
        };
        let rows = rows.len() as u64;
        for rule in comparison.equated.iter().chain(&comparison.ignored) {
            self.acted[*rule] += rows;
        }
        if comparison.differences.is_empty() {
            self.counts.ignored += rows;
        } else if side == Side::Legacy {
            self.counts.only_left += rows;
        } else {
            self.counts.only_right += rows;
        }
    }

    fn show_alone(&mut self, side: Side, number: u32, row: &[u8]) {
        let counted = match side {
            Side::Legacy => self.counts.only_left,
            Side::Candidate => self.counts.only_right,
        };
        if counted > 0 {
            let row = parse(row).unwrap_or(Json::Null);
            let key = self.joined.left.key().shown(side, &row);
            self.shown.push(RowDifference::alone(side, number, key));
        }
    }
}

fn changed() -> Comparison {
    let difference = Difference {
        kind: DifferenceKind::Failed,
        path: "the source changed while it was read".to_owned(),
        exact: None,
        legacy: None,
        candidate: None,
    };
    let mut comparison = Comparison::default();
    comparison.differences.push(difference);
    comparison
}

fn text(row: &Json<'_>, path: &str) -> String {
    row.pointer(path)
        .map_or_else(String::new, |value| shortened(&value.to_string()))
}

fn answer(status: u16, body: Bytes) -> Answer {
    Answer {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body,
    }
}
