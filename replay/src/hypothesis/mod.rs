//! Why a cluster of mismatches differs: a supposed cause, tested.
//!
//! A cause is a normalizer: what would have to be done to legacy's answer (or to both) for the difference to vanish. What it needs to know (how far
//! a clock is off, at how many characters a name is cut) it learns from the cluster; then it is applied to every pair of the cluster, and each
//! is compared again under the same rules. "Explains 41 of 41, 0 elsewhere" is the outcome of that: a pair elsewhere that agreed, and would not
//! any more, speaks against the cause. That it explains pairs of other clusters as well is counted apart: one cause may show at many places.
//!
//! **Invariant**: a hypothesis is never a guess from the look of a value: it has made more than half of its cluster's pairs agree.
//! It deliberately changes no verdict. What is explained is still a mismatch.

mod answers;
mod cause;
mod characters;
mod history;
mod list;
mod place;
mod value;

use std::fmt;

pub use cause::Class;

use self::answers::{Answered, Answers, Held};
use crate::{
    comparing::{Compared, Sorted},
    diff::{Category, Comparer, Comparison, Difference, DifferenceKind},
    hypothesis::{cause::Cause, place::Place},
    plan::Plan,
};

/// At most so many pairs of a cluster are compared again, and as many elsewhere.
pub const PAIRS: usize = 2_000;

/// Causes are learned from so many pairs of the cluster.
const LEARNED_FROM: usize = 64;

/// A tested cause of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Hypothesis {
    /// Which of the usual causes.
    pub class: Class,
    /// What it is, for people.
    pub statement: String,
    /// Pairs of the cluster whose difference is gone when it is undone.
    pub explains: u64,
    /// Pairs of the cluster that were compared again: all, or the first [`PAIRS`].
    pub of: u64,
    /// Pairs of the same endpoint that agree, and would not if the cause were at work there: what speaks against it.
    pub elsewhere: u64,
    /// Pairs of other clusters that it explains as well: the same cause at other places.
    pub also: u64,
}

impl fmt::Display for Hypothesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}; explains {} of {}, {} elsewhere",
            self.class, self.statement, self.explains, self.of, self.elsewhere
        )?;
        if self.also > 0 {
            write!(f, "; also {} of other clusters", self.also)?;
        }
        Ok(())
    }
}

/// What all pairs of a cluster have in common.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint<'f> {
    /// The endpoint's name.
    pub endpoint: &'f str,
    /// The kind of difference.
    pub kind: DifferenceKind,
    /// The place, as differences name it.
    pub path: &'f str,
}

impl Fingerprint<'_> {
    fn difference<'c>(&self, endpoint: &str, one: &'c Sorted) -> Option<&'c Difference> {
        if one.category != Category::Mismatched || endpoint != self.endpoint {
            return None;
        }
        let differences = one.comparison.differences.iter();
        differences
            .into_iter()
            .find(|known| known.kind == self.kind && known.path == self.path)
    }
}

/// The cause that explains most of a cluster of requests; `None` if none explains more than half.
pub fn explain(
    plan: &Plan,
    compared: &Compared<'_, '_>,
    fingerprint: Fingerprint<'_>,
) -> Option<Hypothesis> {
    let answers = Answers::of_requests(compared);
    explain_among(&answers, Some(plan), &compared.comparer, fingerprint)
}

/// The same for a cluster of final states.
pub fn explain_state(
    compared: &Compared<'_, '_>,
    fingerprint: Fingerprint<'_>,
) -> Option<Hypothesis> {
    let answers = Answers::of_states(compared);
    explain_among(&answers, None, &compared.comparer, fingerprint)
}

fn explain_among(
    answers: &Answers<'_>,
    plan: Option<&Plan>,
    comparer: &Comparer<'_>,
    fingerprint: Fingerprint<'_>,
) -> Option<Hypothesis> {
    let of_cluster = |at: &usize| {
        let (endpoint, sorted) = (answers.endpoint(*at), answers.sorted(*at));
        fingerprint.difference(endpoint, sorted).is_some()
    };
    let held: Vec<Held<'_>> = answers
        .places()
        .filter(of_cluster)
        .take(PAIRS)
        .map(|at| answers.held(at))
        .collect();
    let cluster: Vec<Answered<'_>> = held.iter().filter_map(Held::answered).collect();
    let place = Place::new(fingerprint.kind, fingerprint.path);
    let examples: Vec<place::Example> = cluster
        .iter()
        .take(LEARNED_FROM)
        .filter_map(|one| {
            let difference = fingerprint.difference(one.endpoint, one.sorted)?;
            Some(place.example(difference, one.legacy, one.candidate))
        })
        .collect();
    let mut causes = characters::causes(&place, &examples);
    if fingerprint.kind != DifferenceKind::Encoding {
        causes.extend(history::causes(
            &place, plan, answers, &cluster, &examples, comparer,
        ));
        causes.extend(value::causes(&place, &examples));
        causes.extend(list::causes(&place));
    }
    let mut comparer = comparer.clone();
    let mut best: Option<Hypothesis> = None;
    for cause in causes {
        let explains = explained(&cause, &cluster, fingerprint, &mut comparer);
        let known = best.as_ref().map_or(0, |best| best.explains);
        if 2 * explains <= cluster.len() as u64 || explains < known {
            continue;
        }
        let (elsewhere, also) = changed_elsewhere(&cause, answers, fingerprint, &mut comparer);
        let better = |best: &Hypothesis| {
            (explains, best.elsewhere, also) > (best.explains, elsewhere, best.also)
        };
        if best.as_ref().is_none_or(better) {
            best = Some(Hypothesis {
                class: cause.class,
                statement: cause.statement,
                explains,
                of: cluster.len() as u64,
                elsewhere,
                also,
            });
        }
    }
    best
}

/// Compares a pair again, with the cause undone; `None` if it changes nothing.
fn compared_again(
    cause: &Cause<'_>,
    one: &Answered<'_>,
    comparer: &mut Comparer<'_>,
) -> Option<Comparison> {
    let (legacy, candidate) = (cause.undo)(one)?;
    Some(comparer.compare(one.subject, &legacy, &candidate))
}

fn explained(
    cause: &Cause<'_>,
    cluster: &[Answered<'_>],
    fingerprint: Fingerprint<'_>,
    comparer: &mut Comparer<'_>,
) -> u64 {
    // What was invented twice has one partner only, so a cause may move a violated pairing without making one.
    let counted = |comparison: &Comparison| {
        let settled = |one: &&Difference| {
            one.kind != DifferenceKind::Binding || fingerprint.kind == DifferenceKind::Binding
        };
        comparison.differences.iter().filter(settled).count()
    };
    let explains = cluster.iter().filter(|one| {
        let before = counted(&one.sorted.comparison);
        compared_again(cause, one, comparer).is_some_and(|again| {
            let still = again
                .differences
                .iter()
                .any(|known| known.kind == fingerprint.kind && known.path == fingerprint.path);
            !still && counted(&again) < before
        })
    });
    explains.count() as u64
}

/// How many pairs that agree would not any more, and how many of other clusters would.
fn changed_elsewhere(
    cause: &Cause<'_>,
    answers: &Answers<'_>,
    fingerprint: Fingerprint<'_>,
    comparer: &mut Comparer<'_>,
) -> (u64, u64) {
    let others = answers.places().filter(|at| {
        let (endpoint, sorted) = (answers.endpoint(*at), answers.sorted(*at));
        match sorted.category {
            Category::Matched => endpoint == fingerprint.endpoint,
            Category::Mismatched => fingerprint.difference(endpoint, sorted).is_none(),
            _ => false,
        }
    });
    let (mut against, mut also) = (0, 0);
    for at in others.take(PAIRS) {
        let held = answers.held(at);
        let Some(one) = held.answered() else {
            continue;
        };
        let agreed = one.sorted.category == Category::Matched;
        let Some(again) = compared_again(cause, &one, comparer) else {
            continue;
        };
        let agrees = again.differences.is_empty();
        against += u64::from(agreed && !agrees);
        also += u64::from(!agreed && agrees);
    }
    (against, also)
}
