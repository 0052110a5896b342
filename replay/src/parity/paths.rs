//! What the rules say of the fields of one side's rows, looked up once for each path.
//!
//! **Invariant**: what is remembered of a path is what the look-up says of it: it depends on rules, side and path, and on no row.

use std::collections::BTreeMap;

use crate::rules::{Effect, Place, Rule, Rules, Side, Step};

/// Paths that are remembered; what the rules say of more (long arrays) is looked up each time.
pub(super) const REMEMBERED: usize = 4_096;

/// What the rules say of one path, as far as one side can tell.
#[derive(Clone, Debug, Default)]
pub(super) struct PathRules {
    pub(super) binding: Option<usize>,
    /// Whether that rule, or one that shares its pairs, speaks of a part of a text only.
    pub(super) within: bool,
    /// The `time` rule within zero seconds.
    pub(super) spelling: Option<usize>,
    /// Rules that may speak of a field that only this side has, in order; empty unless one of them drops it.
    pub(super) one_sided: Vec<usize>,
    /// Whether a rule may drop it on the other side.
    pub(super) dropped_there: bool,
}

impl PathRules {
    /// What those of `rules` that are `speaking` of rows say of `path` on one side.
    pub(super) fn of(rules: &Rules, speaking: &[usize], own: Side, path: &[Step<'_>]) -> Self {
        let here = |place: &Place| matches!(place, Place::Body(pattern) if pattern.matches(path));
        let mut found = Self::default();
        let mut others = false;
        for at in speaking {
            let rule: &Rule = &rules.rules[*at];
            match &rule.effect {
                Effect::Binding { place, .. } if here(place) && found.binding.is_none() => {
                    found.binding = Some(*at);
                    found.within = speaks_of_parts(rules, speaking, *at);
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
                    if *side == own {
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
        let drops = |at: &usize| matches!(rules.rules[*at].effect, Effect::Drop { .. });
        if !found.one_sided.iter().any(drops) {
            found.one_sided.clear();
        }
        found
    }
}

/// Whether this `binding` rule, or another one whose values are of the same kind, speaks of a part of a text: those have no marks.
fn speaks_of_parts(rules: &Rules, speaking: &[usize], rule: usize) -> bool {
    let of = |at: usize| match &rules.rules[at].effect {
        Effect::Binding {
            pairing, within, ..
        } => Some((pairing, within)),
        _ => None,
    };
    let wanted = of(rule).map(|(pairing, _)| pairing);
    speaking.iter().any(|at| {
        of(*at).is_some_and(|(pairing, within)| Some(pairing) == wanted && within.is_some())
    })
}

/// What the rules say of the paths met so far, in the order of their first appearance: the rows of a table are much alike, so what follows a
/// path is nearly always what followed it before.
#[derive(Debug, Default)]
pub(super) struct Paths {
    known: Vec<(u64, PathRules)>,
    by_place: BTreeMap<u64, usize>,
    next: usize,
    /// What the rules say of the last path for which there was no room.
    spare: PathRules,
}

impl Paths {
    /// A row begins.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// Where what is known of `place`, a digest of a path, stands, until the next is looked for; `otherwise` says it of one that is not known.
    pub(super) fn find(&mut self, place: u64, otherwise: impl FnOnce() -> PathRules) -> usize {
        let known = match self.known.get(self.next) {
            Some((known, _)) if *known == place => Some(self.next),
            _ => self.by_place.get(&place).copied(),
        };
        let at = known.unwrap_or_else(|| {
            if self.known.len() == REMEMBERED {
                self.spare = otherwise();
                return REMEMBERED;
            }
            self.by_place.insert(place, self.known.len());
            self.known.push((place, otherwise()));
            self.known.len() - 1
        });
        self.next = at + 1;
        at
    }

    /// What [`find`](Self::find) found.
    pub(super) fn at(&self, at: usize) -> &PathRules {
        self.known.get(at).map_or(&self.spare, |(_, known)| known)
    }
}
