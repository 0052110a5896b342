//! Noise: where legacy does not agree with a second instance of itself, and whether the candidate differs there more often than that.
//!
//! Three answers to each request, of legacy (P), of the candidate (C) and of a second instance of legacy (S), make a table for each endpoint, place
//! and kind of difference: `b` pairs in which only the candidate differs from P, `c` in which only S does. If the candidate is as noisy as legacy,
//! b is as likely as c; the exact one-sided test of `McNemar` asks how surprising b of b + c is, and Benjamini-Hochberg holds the share of false
//! alarms over all noisy places to [`FALSE_DISCOVERIES`].
//!
//! A place is **noise** if S shows it noisy and the candidate is not found worse there: pairs that differ only in such places end as noise,
//! neither matched nor mismatched, and not in the rate. At every other place, and at a noisy one that is found worse, **all** differences count as
//! mismatches, those that noise would have made too: the excess is never netted against noise.
//!
//! **Invariant**: what S never shows is no noise, however rare it is: a rare regression is not hidden by a threshold on its rate or share, and a
//! place with little evidence of noise excuses no more than it has shown.
//! It deliberately excuses no pair that S did not answer, and it cannot see a regression in a value that never repeats: such a place is told
//! in [`Noise::blind`], and wants a rule.

mod exact;

use std::collections::{BTreeMap, BTreeSet};

pub use exact::{discoveries, mcnemar};

use crate::{
    comparing::Compared,
    diff::{Category, Comparison, DifferenceKind, shortened},
    statistics::{CONFIDENCE, upper_bound},
};

/// At most this share of the places that are called worse than noise is called so wrongly.
pub const FALSE_DISCOVERIES: f64 = 0.05;

/// With fewer noisy pairs than this a place excuses no more differences than it has shown: so few prove no rate.
pub const EVIDENCE: u64 = 5;

/// A place that is noisy in at least this share of its pairs cannot show a regression of the value.
pub const BLIND: f64 = 0.5;

/// What a second instance of legacy showed.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Noise {
    /// Pairs that the second instance answered too.
    pub pairs: u64,
    /// The places at which it differs from legacy, in order.
    pub places: Vec<NoisyPlace>,
    /// Places, as `endpoint path`, that differ in so many pairs that a wrong value could not be seen there.
    pub blind: Vec<String>,
}

/// A place at which legacy does not agree with itself.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NoisyPlace {
    /// The endpoint's name.
    pub endpoint: String,
    /// The kind of difference.
    pub kind: &'static str,
    /// The place in the answer.
    pub path: String,
    /// Pairs of this endpoint that both the candidate and the second instance answered.
    pub pairs: u64,
    /// Those of them in which the candidate differs from legacy here.
    pub candidate: u64,
    /// Those in which the second instance does.
    pub noise: u64,
    /// Only the candidate.
    pub only_candidate: u64,
    /// Only the second instance.
    pub only_noise: u64,
    /// How likely so many differences of the candidate alone are, if it is no worse.
    pub p: f64,
    /// Whether the candidate is worse here: all its differences here are mismatches.
    pub worse: bool,
    /// Whether a pair that differs only here is noise.
    pub excused: bool,
    /// At most this share of the endpoint's pairs may be regressions that hide in the noise, at 95 % confidence.
    pub hidden_upper_95: f64,
}

impl Noise {
    /// At most this share of all pairs may be regressions that hide in what was excused: the sum of the bounds of all such places.
    pub(crate) fn hidden(&self) -> f64 {
        let excused = self.places.iter().filter(|place| place.excused);
        let hidden = excused.map(|place| place.hidden_upper_95 * place.pairs as f64);
        hidden.sum::<f64>() / self.pairs.max(1) as f64
    }
}

type Place = (String, String, DifferenceKind);

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    candidate: u64,
    noise: u64,
    only_candidate: u64,
    only_noise: u64,
}

/// Tables of what differs where, from the same pairs compared with the candidate and with the second instance.
pub(crate) fn measure(compared: &Compared<'_, '_>, reference: &Compared<'_, '_>) -> Noise {
    let mut tables: BTreeMap<Place, Counts> = BTreeMap::new();
    let mut endpoints: BTreeMap<String, u64> = BTreeMap::new();
    let mut pairs = 0;
    let all = compared.pairs;
    let requests = compared.requests.iter().zip(&reference.requests);
    let states = compared.states.iter().zip(&reference.states);
    let requests = requests.zip(all.requests());
    for ((one, second), which) in requests.chain(states.zip(all.states())) {
        // A read that overlapped a write differs for a reason of its own, which is no noise.
        let overlaps = one.category == Category::Ignored && !one.comparison.differences.is_empty();
        if overlaps || !is_compared(one.category) || !is_compared(second.category) {
            continue;
        }
        pairs += 1;
        let endpoint = all.endpoint(which);
        *endpoints.entry(endpoint.to_owned()).or_default() += 1;
        let here = places(endpoint, &one.comparison);
        let there = places(endpoint, &second.comparison);
        for place in here.union(&there) {
            let (raw, noise) = (here.contains(place), there.contains(place));
            let counts = tables.entry(place.clone()).or_default();
            counts.candidate += u64::from(raw);
            counts.noise += u64::from(noise);
            counts.only_candidate += u64::from(raw && !noise);
            counts.only_noise += u64::from(noise && !raw);
        }
    }
    tables.retain(|_, counts| counts.noise > 0);
    let mut noise = Noise {
        pairs,
        places: judged(tables, &endpoints),
        blind: Vec::new(),
    };
    let blind = noise
        .places
        .iter()
        .filter(|place| place.excused && place.noise as f64 >= BLIND * place.pairs as f64);
    noise.blind = blind
        .map(|place| format!("{} {}", place.endpoint, place.path))
        .collect();
    noise.blind.dedup();
    noise
}

fn judged(tables: BTreeMap<Place, Counts>, endpoints: &BTreeMap<String, u64>) -> Vec<NoisyPlace> {
    let chances: Vec<f64> = tables
        .values()
        .map(|counts| mcnemar(counts.only_candidate, counts.only_noise))
        .collect();
    let worse = discoveries(&chances, FALSE_DISCOVERIES);
    tables
        .into_iter()
        .zip(chances.into_iter().zip(worse))
        .map(|(((endpoint, path, kind), counts), (p, worse))| {
            let pairs = endpoints.get(&endpoint).copied().unwrap_or(0);
            let enough = counts.noise >= EVIDENCE || counts.candidate <= counts.noise;
            let apart = counts.only_candidate + counts.only_noise;
            let share = upper_bound(counts.only_candidate, apart, CONFIDENCE);
            let hidden = (2.0 * share - 1.0).max(0.0) * apart as f64 / pairs.max(1) as f64;
            NoisyPlace {
                endpoint: shortened(&endpoint),
                kind: kind.name(),
                path,
                pairs,
                candidate: counts.candidate,
                noise: counts.noise,
                only_candidate: counts.only_candidate,
                only_noise: counts.only_noise,
                p,
                worse,
                excused: enough && !worse,
                hidden_upper_95: hidden,
            }
        })
        .collect()
}

/// Lets pairs that differ only at noisy places, and that the second instance answered, end as noise.
pub(crate) fn excuse(compared: &mut Compared<'_, '_>, reference: &Compared<'_, '_>, noise: &Noise) {
    let excused: BTreeSet<(&str, &str, &str)> = noise
        .places
        .iter()
        .filter(|place| place.excused)
        .map(|place| (place.endpoint.as_str(), place.path.as_str(), place.kind))
        .collect();
    let all = compared.pairs;
    let requests = compared.requests.iter_mut().zip(&reference.requests);
    let states = compared.states.iter_mut().zip(&reference.states);
    let requests = requests.zip(all.requests());
    for ((one, second), which) in requests.chain(states.zip(all.states())) {
        let seen_whole = !one.comparison.truncated;
        if one.category != Category::Mismatched || !seen_whole || !is_compared(second.category) {
            continue;
        }
        let endpoint = shortened(all.endpoint(which));
        let noisy = one.comparison.differences.iter().all(|difference| {
            excused.contains(&(&*endpoint, &*difference.path, difference.kind.name()))
        });
        if noisy {
            one.category = Category::Noise;
        }
    }
}

fn is_compared(category: Category) -> bool {
    matches!(
        category,
        Category::Matched | Category::Mismatched | Category::Ignored
    )
}

fn places(endpoint: &str, comparison: &Comparison) -> BTreeSet<Place> {
    let differences = comparison.differences.iter();
    differences
        .filter(|one| one.kind != DifferenceKind::Comparator)
        .map(|one| (endpoint.to_owned(), one.path.clone(), one.kind))
        .collect()
}

#[cfg(test)]
mod tests;
