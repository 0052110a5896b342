//! What one side's row means under the rules, as a digest: equal digests, equal rows.
//!
//! A row's digest is the sum of a hash for each value with its path, so the order of members is nothing. Rules that can be applied to one side
//! alone are applied here: a `binding`'s value is left out and kept as a [`Mark`], a dropped field is left out, a renamed one counts under
//! legacy's name, a time that may be spelled otherwise counts as its instant. All other rules are the comparer's.
//!
//! **Invariant**: where what a rule does depends on the other side, or an earlier rule might speak first, the row is marked as open and never
//! settled by its digest. A field that both sides left out is open too.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::{
    json::Json,
    rules::{Effect, Given, Place, Rule, Rules, Side, Step, Subject, general_pointer},
};

/// Rules beyond this place in the file are left to the comparer: which rules acted on a row is kept as one bit each.
const COUNTED: usize = 64;

/// Paths remembered with what the rules say of them; beyond these (long arrays) they are looked up each time.
const REMEMBERED: usize = 4_096;

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

/// What the rules say of one path, as far as one side can tell.
#[derive(Clone, Debug, Default)]
struct PathRules {
    binding: Option<usize>,
    /// Whether that rule, or one that shares its pairs, speaks of a part of a text only.
    within: bool,
    /// The `time` rule within zero seconds.
    spelling: Option<usize>,
    /// Rules that may speak of a field that only this side has, in order; empty unless one of them drops it.
    one_sided: Vec<usize>,
    /// Whether a rule may drop it on the other side.
    dropped_there: bool,
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
    paths: BTreeMap<u64, PathRules>,
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
            paths: BTreeMap::new(),
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
        self.value(&mut walk, 0, row);
        let meaning = walk.meaning;
        marks[from..].sort_unstable();
        meaning
    }

    fn value<'j>(&mut self, walk: &mut Walk<'_, 'j>, place: u64, value: &'j Json<'j>) {
        match value {
            Json::Object(members) => {
                add(walk, place ^ OBJECT, b"");
                for (key, value) in members {
                    let name = self.legacy_name(walk, key, members);
                    let place = xxh3_64_with_seed(name.as_bytes(), place.wrapping_add(1));
                    walk.path.push(Step::Key(name));
                    if !self.is_dropped(walk, place, value) {
                        self.value(walk, place, value);
                    }
                    walk.path.pop();
                }
            }
            Json::Array(items) => {
                add(walk, place ^ ARRAY, &items.len().to_le_bytes());
                walk.arrays += 1;
                for (at, item) in items.iter().enumerate() {
                    let place = xxh3_64_with_seed(&at.to_le_bytes(), place.wrapping_add(2));
                    walk.path.push(Step::Index(at));
                    self.value(walk, place, item);
                    walk.path.pop();
                }
                walk.arrays -= 1;
            }
            Json::Null => add(walk, place ^ NULL, b""),
            Json::Bool(value) => add(walk, place ^ BOOL, &[u8::from(*value)]),
            Json::Number(number) => {
                if !self.is_bound(walk, place, number.text()) {
                    add(walk, place ^ NUMBER, &number.digested());
                }
            }
            Json::String(text) => {
                if !self.is_bound(walk, place, text) && !self.is_instant(walk, place, text) {
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
    fn is_dropped<'j>(&mut self, walk: &mut Walk<'_, 'j>, place: u64, value: &'j Json<'j>) -> bool {
        let rules = self.rules;
        let side = self.side;
        let known = self.rules_of(walk, place);
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

    fn is_bound(&mut self, walk: &mut Walk<'_, '_>, place: u64, text: &str) -> bool {
        let known = self.rules_of(walk, place);
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

    fn is_instant(&mut self, walk: &mut Walk<'_, '_>, place: u64, text: &str) -> bool {
        let Some(rule) = self.rules_of(walk, place).spelling else {
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

    fn rules_of(&mut self, walk: &Walk<'_, '_>, place: u64) -> Cow<'_, PathRules> {
        if self.paths.len() >= REMEMBERED && !self.paths.contains_key(&place) {
            return Cow::Owned(self.look_up(&walk.path));
        }
        if !self.paths.contains_key(&place) {
            let found = self.look_up(&walk.path);
            self.paths.insert(place, found);
        }
        Cow::Borrowed(&self.paths[&place])
    }

    fn look_up(&self, path: &[Step<'_>]) -> PathRules {
        let here = |place: &Place| matches!(place, Place::Body(pattern) if pattern.matches(path));
        let mut found = PathRules::default();
        let mut others = false;
        for at in &self.speaking {
            let rule: &Rule = &self.rules.rules[*at];
            match &rule.effect {
                Effect::Binding { place, .. } if here(place) && found.binding.is_none() => {
                    found.binding = Some(*at);
                    found.within = self.speaks_of_parts(*at);
                }
                Effect::Time { place, instants } if here(place) => {
                    let plain = instants.within_s == 0.0
                        && instants.precision_ns.is_none()
                        && instants.legacy_offset.is_none()
                        && instants.candidate_offset.is_none()
                        && instants.epoch_per_s.is_none();
                    if plain && rule.given.is_none() && found.spelling.is_none() {
                        found.spelling = Some(*at);
                    } else {
                        others = true;
                    }
                }
                Effect::Map { place, .. } | Effect::Ignore { place, .. } if here(place) => {
                    others = true;
                    found.one_sided.push(*at);
                }
                Effect::Absent { path: pattern, .. } if pattern.matches(path) => {
                    others = true;
                    found.one_sided.push(*at);
                }
                Effect::Drop {
                    side,
                    path: pattern,
                    ..
                } if pattern.matches(path) => {
                    if *side == self.side {
                        found.one_sided.push(*at);
                    } else {
                        found.dropped_there = true;
                    }
                }
                Effect::Normalize { place, .. } | Effect::Spelling { place, .. } if here(place) => {
                    others = true;
                }
                _ => {}
            }
        }
        // Another rule may speak first of a time that is spelled otherwise.
        if others {
            found.spelling = None;
        }
        let drops = |at: &usize| matches!(self.rules.rules[*at].effect, Effect::Drop { .. });
        if !found.one_sided.iter().any(drops) {
            found.one_sided.clear();
        }
        found
    }

    /// Whether this `binding` rule, or another one whose values are of the same kind, speaks of a part of a text: those have no marks.
    fn speaks_of_parts(&self, rule: usize) -> bool {
        let of = |at: usize| match &self.rules.rules[at].effect {
            Effect::Binding {
                pairing, within, ..
            } => Some((pairing, within)),
            _ => None,
        };
        let wanted = of(rule).map(|(pairing, _)| pairing);
        self.speaking.iter().any(|at| {
            of(*at).is_some_and(|(pairing, within)| Some(pairing) == wanted && within.is_some())
        })
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
