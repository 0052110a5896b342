//! What a pair comes to: one of seven, and exactly one.
//!
//! **Invariant**: two answers that both say "server error" are no match: a service that is broken on both sides proves nothing. Nor is a pair
//! whose comparison failed: a panic while comparing it is caught here, around this one pair, and is a mismatch, so that a broken comparer
//! cannot pass. (Where a panic ends the process, as in a simulated run, nothing passes either.)

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    diff::{Comparer, Comparison, Difference, DifferenceKind, binding::Spot, shortened},
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
    /// Not the same, but only where legacy does not agree with a second instance of itself either.
    Noise,
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
    let spot = Spot {
        seq: pair.seq,
        endpoint: pair.endpoint,
        subject: pair.subject,
    };
    if legacy.status >= 500 && candidate.status >= 500 {
        // Not even looked at: what error pages carry is no evidence of which invented values belong together.
        return (Category::FailedBoth, failed(pair));
    }
    let comparison = guarded(|| comparer.compare_at(spot, legacy, candidate));
    let category = if !comparison.differences.is_empty() {
        Category::Mismatched
    } else if !comparison.ignored.is_empty() {
        Category::Ignored
    } else {
        Category::Matched
    };
    (category, comparison)
}

/// A comparison, or that there could be none. What a comparer remembers are pairings it has looked at, each whole: a panic leaves it usable.
fn guarded(compare: impl FnOnce() -> Comparison) -> Comparison {
    catch_unwind(AssertUnwindSafe(compare)).unwrap_or_else(|panic| {
        let told = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Comparison {
            differences: vec![Difference {
                kind: DifferenceKind::Comparator,
                path: String::new(),
                exact: None,
                legacy: None,
                candidate: Some(shortened(&format!("the comparison failed: {told}"))),
            }],
            ..Comparison::default()
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comparison_that_panics_is_a_difference() {
        let comparison = guarded(|| {
            assert!(Comparison::default().by_status, "a comparison");
            Comparison::default()
        });
        let difference = &comparison.differences[0];
        assert_eq!(difference.kind, DifferenceKind::Comparator);
        assert_eq!(
            difference.candidate.as_deref(),
            Some("the comparison failed: a comparison")
        );
        assert_eq!(guarded(Comparison::default), Comparison::default());
    }
}
