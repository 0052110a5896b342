//! The comparison of a whole run: every pair sorted, invented values settled over all of them, noise told from regressions.
//!
//! Each pair is compared once while the pairings of invented values are noted down. When all are seen they are settled, and the few pairs that
//! depend on a pairing that did not stand are compared again.
//!
//! **Invariant**: the result is a function of the plan, the answers and the rules. In which order answers came does not matter, and each pair
//! ends in exactly one [`Category`].

use crate::{
    diff::{Category, Comparer, Comparison, Conflict, categorize},
    noise::{self, Noise},
    overlap::{self, Spans},
    pairs::{Pair, requests, states},
    plan::Plan,
    rules::Rules,
    run::Observations,
};

/// A pair and what it comes to.
#[derive(Clone, Debug)]
pub struct Sorted<'a> {
    /// The pair.
    pub pair: Pair<'a>,
    /// What it comes to.
    pub category: Category,
    /// What differs, and which rules were needed.
    pub comparison: Comparison,
}

/// What a rule suppressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// How many differences.
    pub suppressed: u64,
    /// The last request with one, by its place in the capture; `None` if only final states had any.
    pub last: Option<u64>,
}

/// A compared run.
#[derive(Debug)]
pub struct Compared<'a, 'r> {
    /// The requests' pairs, in the plan's order.
    pub requests: Vec<Sorted<'a>>,
    /// The final states' pairs, in the plan's order.
    pub states: Vec<Sorted<'a>>,
    /// The comparer, which knows all pairings and adds none: for trying what it would catch.
    pub comparer: Comparer<'r>,
    /// Pairings of invented values that were violated, each once.
    pub conflicts: Vec<Conflict>,
    /// What a second instance of legacy showed; `None` without one.
    pub noise: Option<Noise>,
    /// What each rule suppressed, in the order of the rules.
    pub hits: Vec<Hits>,
    /// How many reads differ, but overlapped a write and show what was before or after it ([`overlap`]). They are ignored.
    pub overlapping: u64,
}

/// Compares all that a run saw, without knowing when: [`compare_timed`].
///
/// # Panics
/// When the observations are not of this plan: a bug of the caller.
pub fn compare<'a, 'r>(
    plan: &'a Plan,
    legacy: &'a Observations,
    candidate: &'a Observations,
    secondary: Option<&'a Observations>,
    rules: &'r Rules,
) -> Compared<'a, 'r> {
    compare_timed(plan, [legacy, candidate], secondary, None, rules)
}

/// Compares all that a run saw. With a `secondary`, a second instance of legacy, noise is told from regressions ([`noise`]). With the `spans` of
/// legacy and the candidate, reads that overlapped a write may show what was before or after it ([`overlap`]).
///
/// # Panics
/// When the observations are not of this plan: a bug of the caller.
pub fn compare_timed<'a, 'r>(
    plan: &'a Plan,
    [legacy, candidate]: [&'a Observations; 2],
    secondary: Option<&'a Observations>,
    spans: Option<[&Spans; 2]>,
    rules: &'r Rules,
) -> Compared<'a, 'r> {
    let mut compared = pairwise(plan, legacy, candidate, rules);
    if let Some(spans) = spans {
        compared.overlapping =
            overlap::excuse(plan, &mut compared.requests, &compared.comparer, spans);
    }
    if let Some(secondary) = secondary {
        let reference = pairwise(plan, legacy, secondary, rules);
        let noise = noise::measure(&compared, &reference);
        noise::excuse(&mut compared.requests, &reference.requests, &noise);
        noise::excuse(&mut compared.states, &reference.states, &noise);
        compared.noise = Some(noise);
    }
    compared
}

fn pairwise<'a, 'r>(
    plan: &'a Plan,
    legacy: &'a Observations,
    candidate: &'a Observations,
    rules: &'r Rules,
) -> Compared<'a, 'r> {
    let mut comparer = Comparer::new(rules);
    comparer.vote();
    let mut sorted = |pair: Pair<'a>| {
        let (category, comparison) = categorize(&mut comparer, &pair);
        Sorted {
            pair,
            category,
            comparison,
        }
    };
    let mut requests: Vec<Sorted<'a>> =
        requests(plan, legacy, candidate).map(&mut sorted).collect();
    let mut states: Vec<Sorted<'a>> = states(legacy, candidate).map(&mut sorted).collect();
    let conflicts = comparer.settle();
    for one in requests.iter_mut().chain(&mut states) {
        if !comparer.complete(&mut one.comparison) {
            (one.category, one.comparison) = categorize(&mut comparer, &one.pair);
        }
    }
    comparer.forget();
    let hits = hits(rules, &requests, &states);
    Compared {
        requests,
        states,
        comparer,
        conflicts,
        noise: None,
        hits,
        overlapping: 0,
    }
}

fn hits(rules: &Rules, requests: &[Sorted<'_>], states: &[Sorted<'_>]) -> Vec<Hits> {
    let mut hits = vec![Hits::default(); rules.rules.len()];
    let of = |one: &Comparison| -> Vec<usize> {
        one.equated.iter().chain(&one.ignored).copied().collect()
    };
    for one in requests {
        for rule in of(&one.comparison) {
            hits[rule].suppressed += 1;
            let last = hits[rule].last.max(Some(one.pair.seq));
            hits[rule].last = last;
        }
    }
    for one in states {
        for rule in of(&one.comparison) {
            hits[rule].suppressed += 1;
        }
    }
    hits
}
