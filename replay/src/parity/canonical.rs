//! What one side's row means under the rules, as a digest: equal digests, equal rows.
//!
//! A row's digest is the sum of a hash for each value with its path, so the order of members is nothing. Rules that can be applied to one side
//! alone are applied here: a `binding`'s value is left out and kept as a [`Mark`], a dropped field is left out, a renamed one counts under
//! legacy's name, a time that may be spelled otherwise counts as its instant. All other rules are the comparer's.
//!
//! **Invariant**: where what a rule does depends on the other side, or an earlier rule might speak first, the row is marked as open and never
//! settled by its digest. A field that both sides left out is open too.

use std::{borrow::Cow, collections::BTreeMap};

use super::paths::{PathRules, Paths, REMEMBERED};
use jiff::Timestamp;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::{
    json::Json,
    rules::{Effect, Given, Rules, Side, Step, Subject, general_pointer},
};

/// Rules beyond this place in the file are left to the comparer: which rules acted on a row is kept as one bit each.
const COUNTED: usize = 64;

const OBJECT: u64 = 0x6f62_6a65_6374_0001;
const ARRAY: u64 = 0x6172_7261_7900_0002;
const NULL: u64 = 0x6e75_6c6c_0000_0003;
const BOOL: u64 = 0x626f_6f6c_0000_0004;
const NUMBER: u64 = 0x6e75_6d62_6572_0005;
const STRING: u64 = 0x7374_7269_6e67_0006;
const INSTANT: u64 = 0x696e_7374_616e_0007;
const BOUND: u64 = 0x626f_756e_6400_0008;

/// What a row's digest leaves out and the join looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// The rule, by its place in the file.
    pub(super) rule: u16,
    /// What it is.
    pub(super) kind: MarkKind,
    /// A digest of the path.
    pub(super) place: u32,
    /// A digest of the value's text.
    pub(super) value: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MarkKind {
    /// An invented value.
    Bound,
    /// An invented value in an array, whose path depends on the array's order.
    BoundInArray,
    /// A time, as it was spelled.
    Spelling,
}

/// What a row means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// The digest.
    pub(super) digest: u128,
    /// Rules that acted, a bit each.
    pub(super) acted: u64,
    /// Where fields were left out that the other side may leave out too, a bit for each path's digest modulo 64.
    pub(super) dropped: u64,
    /// Whether only the comparer can say.
    pub(super) open: bool,
}

/// A field that the candidate calls otherwise.
#[derive(Debug)]
struct Rename {
    rule: usize,
    parent: Vec<String>,
    legacy: String,
    candidate: String,
}

/// Reads one side's rows under the rules.
#[derive(Debug)]
pub(super) struct Canonical<'r> {
    rules: &'r Rules,
    side: Side,
    speaking: Vec<usize>,
    renames: Vec<Rename>,
    paths: Paths,
    /// The paths of invented values, for people.
    pub(super) places: BTreeMap<u32, String>,
}

struct Walk<'w, 'j> {
    row: &'j Json<'j>,
    path: Vec<Step<'j>>,
    arrays: usize,
    meaning: Meaning,
    marks: &'w mut Vec<Mark>,
}

impl<'r> Canonical<'r> {
    pub(super) fn new(rules: &'r Rules, side: Side) -> Self {
        let speaking: Vec<usize> = (0..rules.rules.len())
            .filter(|at| rules.speaks(&rules.rules[*at], &Subject::State))
            .collect();
        let renames = speaking.iter().filter_map(|at| {
            let Effect::Rename { legacy, candidate } = &rules.rules[*at].effect else {
                return None;
            };
            let mut parent: Vec<String> = legacy.keys()?.into_iter().map(str::to_owned).collect();
            Some(Rename {
                rule: *at,
                legacy: parent.pop()?,
                parent,
                candidate: candidate.clone(),
            })
        });
        Self {
            rules,
            side,
            renames: renames.collect(),
            speaking,
            paths: Paths::default(),
            places: BTreeMap::new(),
        }
    }

    /// What `row` means; its marks are appended to `marks`, sorted.
    pub(super) fn read<'j>(&mut self, row: &'j Json<'j>, marks: &mut Vec<Mark>) -> Meaning {
        let from = marks.len();
        let mut walk = Walk {
            row,
            path: Vec::new(),
            arrays: 0,
            meaning: Meaning::default(),
            marks,
        };
        self.paths.rewind();
        let at = self.paths.find(0, PathRules::default);
        self.value(&mut walk, 0, row, at);
        let meaning = walk.meaning;
        marks[from..].sort_unstable();
        meaning
    }

    /// Adds a value; what the rules say of it stands `at` a place in the paths, until the next path is looked for.
    fn value<'j>(&mut self, walk: &mut Walk<'_, 'j>, place: u64, value: &'j Json<'j>, at: usize) {
        match value {
            Json::Object(members) => {
                add(walk, place ^ OBJECT, b"");
                for (key, value) in members {
                    let name = self.legacy_name(walk, key, members);
                    let place = xxh3_64_with_seed(name.as_bytes(), place.wrapping_add(1));
                    walk.path.push(Step::Key(name));
                    let at = self.rules_of(walk, place);
                    if !self.is_dropped(walk, place, value, at) {
                        self.value(walk, place, value, at);
                    }
                    walk.path.pop();
                }
            }
            Json::Array(items) => {
                add(walk, place ^ ARRAY, &items.len().to_le_bytes());
                walk.arrays += 1;
                for (index, item) in items.iter().enumerate() {
                    let place = xxh3_64_with_seed(&index.to_le_bytes(), place.wrapping_add(2));
                    walk.path.push(Step::Index(index));
                    let at = self.rules_of(walk, place);
                    self.value(walk, place, item, at);
                    walk.path.pop();
                }
                walk.arrays -= 1;
            }
            Json::Null => add(walk, place ^ NULL, b""),
            Json::Bool(value) => add(walk, place ^ BOOL, &[u8::from(*value)]),
            Json::Number(number) => {
                if !self.is_bound(walk, place, number.text(), at) {
                    add(walk, place ^ NUMBER, &number.digested());
                }
            }
            Json::String(text) => {
                if !self.is_bound(walk, place, text, at)
                    && !is_instant(walk, place, text, self.paths.at(at))
                {
                    add(walk, place ^ STRING, text.as_bytes());
                }
            }
        }
    }

    /// The name that legacy has for a member of this row.
    fn legacy_name<'j>(
        &self,
        walk: &mut Walk<'_, 'j>,
        key: &'j str,
        members: &[(Cow<'j, str>, Json<'j>)],
    ) -> Cow<'j, str> {
        for rename in &self.renames {
            let own = match self.side {
                Side::Legacy => &rename.legacy,
                Side::Candidate => &rename.candidate,
            };
            if key != own || !is_path(&walk.path, &rename.parent) {
                continue;
            }
            let other = match self.side {
                Side::Legacy => &rename.candidate,
                Side::Candidate => &rename.legacy,
            };
            if members.iter().any(|(key, _)| key == other) {
                // With both names in one row it depends on the other side whether the rule acts.
                walk.meaning.open = true;
                return Cow::Borrowed(key);
            }
            if self.side == Side::Candidate {
                acted(walk, rename.rule);
                return Cow::Owned(rename.legacy.clone());
            }
        }
        Cow::Borrowed(key)
    }

    /// Whether the rules would drop this field if the other side lacked it.
    fn is_dropped<'j>(
        &self,
        walk: &mut Walk<'_, 'j>,
        place: u64,
        value: &'j Json<'j>,
        at: usize,
    ) -> bool {
        let known = self.paths.at(at);
        let rules = self.rules;
        let side = self.side;
        for at in &known.one_sided {
            let rule = &rules.rules[*at];
            // In doubt the field stays in the digest: if the other side lacks it, the digests differ and the comparer decides.
            match given_holds(rule.given.as_ref(), side, walk.row) {
                Some(true) => {}
                Some(false) => continue,
                None => return false,
            }
            let (Effect::Map { when, .. }
            | Effect::Ignore { when, .. }
            | Effect::Drop { when, .. }) = &rule.effect
            else {
                return false;
            };
            let fits = match side {
                Side::Legacy => when.fits(Some(value), None),
                Side::Candidate => when.fits(None, Some(value)),
            };
            if !fits {
                continue;
            }
            if !matches!(rule.effect, Effect::Drop { .. }) {
                return false;
            }
            if known.dropped_there {
                walk.meaning.dropped |= 1 << (place % 64);
            }
            acted(walk, *at);
            return true;
        }
        false
    }

    fn is_bound(&mut self, walk: &mut Walk<'_, '_>, place: u64, text: &str, at: usize) -> bool {
        let known = self.paths.at(at);
        let Some(rule) = known.binding else {
            return false;
        };
        if known.within {
            walk.meaning.open = true;
            return false;
        }
        let in_array = walk.arrays > 0;
        let name = place_name(place);
        if self.places.len() < REMEMBERED && !self.places.contains_key(&name) {
            self.places.insert(name, general_pointer(&walk.path));
        }
        add(walk, place ^ BOUND, b"");
        let kind = if in_array {
            MarkKind::BoundInArray
        } else {
            MarkKind::Bound
        };
        mark(walk, rule, kind, place, text);
        true
    }

    fn rules_of(&mut self, walk: &Walk<'_, '_>, place: u64) -> usize {
        let (rules, speaking, side) = (self.rules, &self.speaking, self.side);
        let otherwise = || PathRules::of(rules, speaking, side, &walk.path);
        self.paths.find(place, otherwise)
    }

    /// The first rule with the same pairing as this `binding` rule: their values are of one kind.
    pub(super) fn kind(&self, rule: u16) -> u16 {
        let pairing = |at: usize| match &self.rules.rules[at].effect {
            Effect::Binding { pairing, .. } => Some(pairing),
            _ => None,
        };
        let wanted = pairing(usize::from(rule));
        let first = (0..rule).find(|at| wanted.is_some() && pairing(usize::from(*at)) == wanted);
        first.unwrap_or(rule)
    }
}

fn is_instant(walk: &mut Walk<'_, '_>, place: u64, text: &str, known: &PathRules) -> bool {
    let Some(rule) = known.spelling else {
        return false;
    };
    let Ok(instant) = text.parse::<Timestamp>() else {
        return false;
    };
    add(
        walk,
        place ^ INSTANT,
        &instant.as_nanosecond().to_le_bytes(),
    );
    mark(walk, rule, MarkKind::Spelling, place, text);
    true
}

/// Whether what a rule is given holds; `None` where the other side's row decides.
fn given_holds(given: Option<&Given>, side: Side, row: &Json<'_>) -> Option<bool> {
    let Some(given) = given else {
        return Some(true);
    };
    let value = row.pointer(&given.path);
    match side {
        Side::Legacy if given.when.candidate.is_none() => Some(given.when.fits(value, None)),
        Side::Candidate if given.when.legacy.is_none() => Some(given.when.fits(None, value)),
        _ => None,
    }
}

fn is_path(path: &[Step<'_>], keys: &[String]) -> bool {
    path.len() == keys.len()
        && path
            .iter()
            .zip(keys)
            .all(|(step, key)| matches!(step, Step::Key(known) if known == key))
}

fn add(walk: &mut Walk<'_, '_>, seed: u64, bytes: &[u8]) {
    let hash = xxh3_128_with_seed(bytes, seed);
    walk.meaning.digest = walk.meaning.digest.wrapping_add(hash);
}

fn acted(walk: &mut Walk<'_, '_>, rule: usize) {
    if rule < COUNTED {
        walk.meaning.acted |= 1 << rule;
    } else {
        walk.meaning.open = true;
    }
}

fn mark(walk: &mut Walk<'_, '_>, rule: usize, kind: MarkKind, place: u64, text: &str) {
    match u16::try_from(rule) {
        Ok(rule) if usize::from(rule) < COUNTED => walk.marks.push(Mark {
            rule,
            kind,
            place: place_name(place),
            value: xxh3_64_with_seed(text.as_bytes(), 0),
        }),
        _ => walk.meaning.open = true,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "half of a digest names a place as well"
)]
fn place_name(place: u64) -> u32 {
    place as u32
}
