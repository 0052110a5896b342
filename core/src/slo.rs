//! Service level objectives: what a figure has to be.
//!
//! The one invariant: an objective reads back as it was written, and NaN meets none.
//! It deliberately does not measure anything.

use alloc::{borrow::ToOwned, string::String};
use core::fmt;

use serde::{Deserialize, Serialize};

/// How a figure is compared with its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparator {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `==`
    Exactly,
}

impl Comparator {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Exactly => "==",
        }
    }
}

/// A named figure, and what it has to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// The figure's name, such as `api_p95_ms`.
    pub name: String,
    /// How it is compared.
    pub comparator: Comparator,
    /// With what.
    pub target: f64,
}

/// Whether a figure meets its objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It does.
    Pass,
    /// It does not.
    Miss,
}

/// A text that is no objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name}: found `{found}`, expected a comparison such as \"< 200\", \">= 0.99\" or \"== 0\""
)]
pub struct NoObjective {
    /// The figure's name.
    pub name: String,
    /// What was written.
    pub found: String,
}

impl Objective {
    /// Reads `text`, such as `>= 0.99`, as the objective of the figure `name`.
    pub fn parse(name: &str, text: &str) -> Result<Self, NoObjective> {
        let refused = || NoObjective {
            name: name.to_owned(),
            found: text.to_owned(),
        };
        let trimmed = text.trim();
        // The longer spellings first.
        let all = [
            Comparator::AtMost,
            Comparator::AtLeast,
            Comparator::Exactly,
            Comparator::Below,
            Comparator::Above,
        ];
        let (comparator, rest) = all
            .into_iter()
            .find_map(|it| Some((it, trimmed.strip_prefix(it.as_str())?)))
            .ok_or_else(refused)?;
        let target: f64 = rest.trim().parse().map_err(|_| refused())?;
        if !target.is_finite() {
            return Err(refused());
        }
        Ok(Self {
            name: name.to_owned(),
            comparator,
            target,
        })
    }

    /// Judges what was measured.
    #[expect(clippy::float_cmp, reason = "`==` is for counts, which are exact")]
    pub fn judge(&self, actual: f64) -> Judgement {
        let met = match self.comparator {
            Comparator::Below => actual < self.target,
            Comparator::AtMost => actual <= self.target,
            Comparator::Above => actual > self.target,
            Comparator::AtLeast => actual >= self.target,
            Comparator::Exactly => actual == self.target,
        };
        if met {
            Judgement::Pass
        } else {
            Judgement::Miss
        }
    }
}

impl fmt::Display for Objective {
    /// The comparison, without the name, as [`Objective::parse`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.comparator.as_str(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn check(text: &str, actual: f64, expect: Judgement) {
        let objective = Objective::parse("figure", text).unwrap();
        assert_eq!(objective.judge(actual), expect, "{actual} {text}");
        assert_eq!(
            Objective::parse("figure", &objective.to_string()),
            Ok(objective)
        );
    }

    #[test]
    fn comparisons_hold_at_their_edges() {
        check("< 200", 199.9, Judgement::Pass);
        check("< 200", 200.0, Judgement::Miss);
        check("<=200", 200.0, Judgement::Pass);
        check(">= 0.99", 0.99, Judgement::Pass);
        check(">= 0.99", 0.989, Judgement::Miss);
        check("> 1", 1.0, Judgement::Miss);
        check(" == 0 ", 0.0, Judgement::Pass);
        check("== 0", 1.0, Judgement::Miss);
    }

    #[test]
    fn nan_meets_nothing() {
        for text in ["< 1", "<= 1", "> 1", ">= 1", "== 1"] {
            check(text, f64::NAN, Judgement::Miss);
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_was_found() {
        for bad in ["", "200", "=< 2", "< ", "< NaN", "> inf", "< 2 ms"] {
            let error = Objective::parse("figure", bad).unwrap_err();
            assert_eq!((error.name.as_str(), error.found.as_str()), ("figure", bad));
        }
    }
}
