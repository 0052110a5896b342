//! The comparison of a whole run: every pair sorted, invented values settled over all of them, noise told from regressions.
//!
//! Each pair is compared once while the pairings of invented values are noted down. When all are seen they are settled, and the few pairs that
//! depend on a pairing that did not stand are compared again. Answers are fetched for as long as they are compared; of a pair that has nothing to
//! tell only its category stays.
//!
//! **Invariant**: the result is a function of the plan, the answers and the rules. In which order answers came does not matter, and each pair
//! ends in exactly one [`Category`].

use std::{ops::Deref, sync::LazyLock};

use crate::{
    diff::{Category, Comparer, Comparison, Conflict, categorize},
    noise::{self, Noise},
    overlap::{self, Spans},
    pairs::{Pairs, Which},
    plan::Plan,
    rules::Rules,
    run::Observations,
};

/// What a pair comes to.
#[derive(Clone, Debug)]
pub struct Sorted {
    /// What it comes to.
    pub category: Category,
    /// What differs, and which rules were needed.
    pub comparison: Told,
}

/// A comparison, which takes room only where there is something to tell.
#[derive(Clone, Debug)]
pub struct Told(Option<Box<Comparison>>);

impl Told {
    fn of(comparison: Comparison) -> Self {
        Self((comparison != *NOTHING).then(|| Box::new(comparison)))
    }
}

impl Deref for Told {
    type Target = Comparison;

    fn deref(&self) -> &Comparison {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

/// What most comparisons have to tell.
static NOTHING: LazyLock<Comparison> = LazyLock::new(Comparison::default);

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
    pub requests: Vec<Sorted>,
    /// The final states' pairs, in the plan's order.
    pub states: Vec<Sorted>,
    /// Where the pairs themselves are.
    pub pairs: Pairs<'a>,
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
        compared.overlapping = overlap::excuse(
            plan,
            compared.pairs,
            &mut compared.requests,
            &compared.comparer,
            spans,
        );
    }
    if let Some(secondary) = secondary {
        let reference = pairwise(plan, legacy, secondary, rules);
        let noise = noise::measure(&compared, &reference);
        noise::excuse(&mut compared, &reference, &noise);
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
    let pairs = Pairs::new(plan, legacy, candidate);
    let mut comparer = Comparer::new(rules);
    comparer.vote();
    let sorted = |comparer: &mut Comparer<'_>, which: Which| {
        let fetched = pairs.fetch(which);
        let (category, comparison) = categorize(comparer, &pairs.pair(which, &fetched));
        let comparison = Told::of(comparison);
        Sorted {
            category,
            comparison,
        }
    };
    let all = |comparer: &mut Comparer<'_>, which: &mut dyn Iterator<Item = Which>| {
        which.map(|which| sorted(comparer, which)).collect()
    };
    let mut requests: Vec<Sorted> = all(&mut comparer, &mut pairs.requests());
    let mut states: Vec<Sorted> = all(&mut comparer, &mut pairs.states());
    let conflicts = comparer.settle();
    let compared = requests.iter_mut().zip(pairs.requests());
    for (one, which) in compared.chain(states.iter_mut().zip(pairs.states())) {
        let Some(told) = one.comparison.0.take() else {
            continue;
        };
        let mut comparison = *told;
        if comparer.complete(&mut comparison) {
            one.comparison = Told::of(comparison);
        } else {
            *one = sorted(&mut comparer, which);
        }
    }
    comparer.forget();
    let hits = hits(rules, pairs, &requests, &states);
    Compared {
        requests,
        states,
        pairs,
        comparer,
        conflicts,
        noise: None,
        hits,
        overlapping: 0,
    }
}

fn hits(rules: &Rules, pairs: Pairs<'_>, requests: &[Sorted], states: &[Sorted]) -> Vec<Hits> {
    let mut hits = vec![Hits::default(); rules.rules.len()];
    let of = |one: &Comparison| -> Vec<usize> {
        one.equated.iter().chain(&one.ignored).copied().collect()
    };
    for (one, which) in requests.iter().zip(pairs.requests()) {
        for rule in of(&one.comparison) {
            hits[rule].suppressed += 1;
            let last = hits[rule].last.max(Some(pairs.seq(which)));
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
