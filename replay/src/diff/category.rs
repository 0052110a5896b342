//! What a pair comes to: one of six, and exactly one.
//!
//! **Invariant**: two answers that both say "server error" are no match; a service that is broken on both sides proves nothing.

use crate::{
    diff::{Comparer, Comparison, Difference, DifferenceKind, shortened},
    pairs::Pair,
    run::{Answer, Outcome},
};

/// What a pair comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    /// The same, up to declared equivalences.
    Matched,
    /// Not the same.
    Mismatched,
    /// Not the same, but only in what a rule forgives.
    Ignored,
    /// One side gave no answer.
    FailedOneSide,
    /// Neither side gave an answer, or both a server error.
    FailedBoth,
    /// At least one side was not asked.
    Skipped,
}

/// Compares a pair and sorts it.
pub fn categorize(comparer: &mut Comparer<'_>, pair: &Pair<'_>) -> (Category, Comparison) {
    match (pair.legacy, pair.candidate) {
        (Outcome::Skipped(_), _) | (_, Outcome::Skipped(_)) => {
            (Category::Skipped, Comparison::default())
        }
        (Outcome::Failed { .. }, Outcome::Failed { .. }) => (Category::FailedBoth, failed(pair)),
        (Outcome::Failed { .. }, _) | (_, Outcome::Failed { .. }) => {
            (Category::FailedOneSide, failed(pair))
        }
        (Outcome::Answered(legacy), Outcome::Answered(candidate)) => {
            compared(comparer, pair, legacy, candidate)
        }
    }
}

fn compared(
    comparer: &mut Comparer<'_>,
    pair: &Pair<'_>,
    legacy: &Answer,
    candidate: &Answer,
) -> (Category, Comparison) {
    let comparison = comparer.compare(pair.subject, legacy, candidate);
    let both_broken = legacy.status >= 500 && candidate.status >= 500;
    if both_broken && !comparison.by_status {
        return (Category::FailedBoth, failed(pair));
    }
    let category = if !comparison.differences.is_empty() {
        Category::Mismatched
    } else if !comparison.ignored.is_empty() {
        Category::Ignored
    } else {
        Category::Matched
    };
    (category, comparison)
}

fn failed(pair: &Pair<'_>) -> Comparison {
    let told = |outcome: &Outcome| {
        Some(match outcome {
            Outcome::Answered(answer) => format!("status {}", answer.status),
            Outcome::Failed { reason, message } => {
                shortened(&format!("{}: {message}", reason.name()))
            }
            Outcome::Skipped(reason) => reason.name().to_owned(),
        })
    };
    let side = |outcome: &Outcome| match outcome {
        Outcome::Failed { reason, .. } => reason.name(),
        Outcome::Answered(_) | Outcome::Skipped(_) => "answered",
    };
    Comparison {
        differences: vec![Difference {
            kind: DifferenceKind::Failed,
            path: format!(
                "legacy {}, candidate {}",
                side(pair.legacy),
                side(pair.candidate)
            ),
            exact: None,
            legacy: told(pair.legacy),
            candidate: told(pair.candidate),
        }],
        ..Comparison::default()
    }
}
