//! How much the comparison would still catch: known mutations of the candidate's answers, compared again under the same rules.
//!
//! Pairs that passed are sampled, evenly over endpoints. Each is mutated in every way that fits it ([`mutation`]): status, headers, and, where both
//! sides have a field, its value, its type, its absence, another answer's value in its place, an hour's shift of a time, the order and number of an
//! array's items. A mutation is caught if the pair is a mismatch then; if it is not, the rules that hid it are counted.
//! Fields that only one side has cannot be wrong against anything, and refusals that a rule compares by status are mutated there only.
//!
//! **Invariant**: the same capture and answers give the same mutations: the sample's seed is the capture's digest.

mod mutation;

use std::collections::BTreeMap;

use self::mutation::{Mutant, mutants};
use crate::{
    diff::{Comparer, Comparison, shortened},
    pairs::{Fetched, Which},
    rules::Subject,
    run::{Answer, Outcome},
};

/// So many pairs of each endpoint are mutated.
const PER_ENDPOINT: usize = 50;

/// So many endpoints are sampled.
const ENDPOINTS: usize = 200;

/// So many blind spots are named.
const BLIND_SPOTS: usize = 20;

/// Pairs to mutate, drawn evenly from a stream of them.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    chance: Chance,
    endpoints: BTreeMap<&'a str, (u64, Vec<Which>)>,
}

/// What the mutations showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sensitivity {
    /// How many mutations were tried.
    pub mutations: u64,
    /// How many were caught.
    pub caught: u64,
    /// The same by kind of mutation.
    pub by_mutation: BTreeMap<&'static str, Caught>,
    /// What was not caught, the most frequent first.
    pub blind: Vec<BlindSpot>,
    /// For rules, by their place, how many mutations each hid; one that two rules hid counts for both.
    #[serde(skip)]
    pub hidden: BTreeMap<usize, u64>,
}

/// Mutations of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Caught {
    /// How many were tried.
    pub mutations: u64,
    /// How many were caught.
    pub caught: u64,
}

/// A place where mutations pass.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BlindSpot {
    /// The endpoint.
    pub endpoint: String,
    /// The kind of mutation.
    pub mutation: &'static str,
    /// The field.
    pub path: String,
    /// How many passed there.
    pub count: u64,
    /// The rules that hid them.
    pub rules: Vec<String>,
}

impl Sensitivity {
    /// The share that was caught; `None` when nothing was tried.
    pub fn share(&self) -> Option<f64> {
        (self.mutations > 0).then(|| self.caught as f64 / self.mutations as f64)
    }
}

/// A small generator (`SplitMix64`), so that a sample needs no machine's entropy.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    pub(super) fn pick<'t, T>(&mut self, items: &'t [T]) -> Option<&'t T> {
        let at = usize::try_from(self.below(items.len() as u64)).unwrap_or(0);
        items.get(at)
    }
}

impl<'a> Sample<'a> {
    /// An empty sample; `sha256` is the capture's.
    pub fn new(sha256: &str) -> Self {
        let seed = sha256
            .get(..16)
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Self {
            chance: Chance(seed.unwrap_or(0)),
            endpoints: BTreeMap::new(),
        }
    }

    /// Offers a pair of `endpoint` that passed.
    pub fn offer(&mut self, endpoint: &'a str, pair: Which) {
        if self.endpoints.len() >= ENDPOINTS && !self.endpoints.contains_key(endpoint) {
            return;
        }
        let (seen, kept) = self.endpoints.entry(endpoint).or_default();
        *seen += 1;
        if kept.len() < PER_ENDPOINT {
            kept.push(pair);
        } else if let Ok(at) = usize::try_from(self.chance.below(*seen))
            && at < PER_ENDPOINT
        {
            kept[at] = pair;
        }
    }

    /// Mutates the sample, which `fetch` gives, and compares again.
    pub fn measure<'f>(
        mut self,
        comparer: &Comparer<'_>,
        fetch: impl Fn(Which) -> (Subject<'f>, Fetched<'f>),
    ) -> Sensitivity {
        let mut comparer = comparer.clone().frozen();
        let mut found = Found::default();
        for (endpoint, (_, kept)) in std::mem::take(&mut self.endpoints) {
            let kept: Vec<(Subject<'_>, Fetched<'_>)> = kept.into_iter().map(&fetch).collect();
            for (subject, pair) in &kept {
                let Some((legacy, candidate)) = answers(pair) else {
                    continue;
                };
                let donor = self.chance.pick(&kept);
                let donor = donor.and_then(|(_, donor)| answers(donor));
                let before = comparer.compare(*subject, legacy, candidate);
                let donor = donor.map(|(_, answer)| answer);
                for mutant in mutants(legacy, candidate, donor, before.by_status, &mut self.chance)
                {
                    let after = comparer.compare(*subject, legacy, &mutant.answer);
                    found.count(endpoint, &mutant, &before, &after);
                }
            }
        }
        found.told(&comparer)
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    result: Sensitivity,
    blind: BTreeMap<(String, &'static str, String), (u64, Vec<usize>)>,
}

impl Found {
    fn count(&mut self, endpoint: &str, mutant: &Mutant, before: &Comparison, after: &Comparison) {
        let caught = u64::from(!after.differences.is_empty());
        let kind = self.result.by_mutation.entry(mutant.mutation).or_default();
        kind.mutations += 1;
        kind.caught += caught;
        self.result.mutations += 1;
        self.result.caught += caught;
        if caught == 1 {
            return;
        }
        let place = (
            shortened(endpoint),
            mutant.mutation,
            shortened(&mutant.path),
        );
        let (count, rules) = self.blind.entry(place).or_default();
        *count += 1;
        for rule in hiding(before, after) {
            *self.result.hidden.entry(rule).or_default() += 1;
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }

    fn told(mut self, comparer: &Comparer<'_>) -> Sensitivity {
        let known = &comparer.rules().rules;
        let spot =
            |((endpoint, mutation, path), (count, rules)): (_, (u64, Vec<usize>))| BlindSpot {
                endpoint,
                mutation,
                path,
                count,
                rules: rules.iter().map(|rule| known[*rule].id.clone()).collect(),
            };
        let mut spots: Vec<BlindSpot> = self.blind.into_iter().map(spot).collect();
        spots.sort_by_key(|spot| std::cmp::Reverse(spot.count));
        spots.truncate(BLIND_SPOTS);
        self.result.blind = spots;
        self.result
    }
}

/// The rules that were needed more often for the mutated answer than for the true one; where none was, those that were needed at all.
fn hiding(before: &Comparison, after: &Comparison) -> Vec<usize> {
    let needed = |comparison: &Comparison| {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        for rule in comparison.equated.iter().chain(&comparison.ignored) {
            *counts.entry(*rule).or_default() += 1;
        }
        counts
    };
    let (without, with) = (needed(before), needed(after));
    let more = |(rule, count): &(&usize, &u64)| **count > without.get(*rule).copied().unwrap_or(0);
    let hiding: Vec<usize> = with.iter().filter(more).map(|(rule, _)| *rule).collect();
    if hiding.is_empty() {
        with.into_keys().collect()
    } else {
        hiding
    }
}

fn answers<'f>(pair: &'f Fetched<'_>) -> Option<(&'f Answer, &'f Answer)> {
    match (&*pair.legacy, &*pair.candidate) {
        (Outcome::Answered(legacy), Outcome::Answered(candidate)) => Some((legacy, candidate)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
