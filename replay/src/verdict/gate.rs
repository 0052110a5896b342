//! The gate: what has to hold for a pass, as it was declared before anything was compared.
//!
//! **Invariant**: a declared plan that could not prove the limit even if it were fulfilled is refused when it is read, not after the run.

use std::{fmt, str::FromStr};

use crate::statistics::{CONFIDENCE, upper_bound};

/// Which proof a pass needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The observed rate is below the limit.
    Point,
    /// The rate's upper 95 % bound is below the limit.
    Proven,
}

impl GateKind {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Point => "point",
            Self::Proven => "proven",
        }
    }
}

impl FromStr for GateKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "point" => Ok(Self::Point),
            "proven" => Ok(Self::Proven),
            other => Err(format!("found {other:?}, expected point or proven")),
        }
    }
}

/// A plan declared before the run: so many pairs, and at most so many mismatches among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FixedPlan {
    /// The first so many compared pairs decide.
    pub requests: u64,
    /// At most so many of them may differ.
    pub mismatches: u64,
}

impl FixedPlan {
    /// Refuses a plan that proves nothing.
    ///
    /// # Errors
    /// For people: the bound that the plan reaches, and plans that reach the limit.
    pub fn check(self, limit: f64) -> Result<(), String> {
        let bound = upper_bound(self.mismatches, self.requests, CONFIDENCE);
        if bound < limit {
            return Ok(());
        }
        let needed = crate::statistics::clean_requests_still_needed(
            self.mismatches,
            self.mismatches,
            limit,
            CONFIDENCE,
        );
        let expected = needed.map_or_else(String::new, |clean| {
            format!(
                ", expected at least {}/{}",
                self.mismatches + clean,
                self.mismatches
            )
        });
        Err(format!(
            "found {self}, which proves {} at best and not less than {}{expected}",
            super::percent(bound),
            super::percent(limit)
        ))
    }
}

impl FromStr for FixedPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plan = text.split_once('/').and_then(|(requests, mismatches)| {
            let number = |text: &str| text.replace(['_', ','], "").parse().ok();
            let (requests, mismatches) = (number(requests)?, number(mismatches)?);
            (mismatches < requests).then_some(Self {
                requests,
                mismatches,
            })
        });
        plan.ok_or_else(|| {
            format!("found {text:?}, expected pairs and allowed mismatches like 10511/5")
        })
    }
}

impl fmt::Display for FixedPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.requests, self.mismatches)
    }
}

/// How the pairs that a proof rests on were chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// All of the capture: its size was fixed before anything was compared.
    #[default]
    Capture,
    /// The first pairs, as many as a plan declared.
    Plan(FixedPlan),
    /// As many as it takes: evidence that may be looked at after every pair ([`crate::sequential`]).
    Stream,
}

impl Proof {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Plan(_) => "plan",
            Self::Stream => "stream",
        }
    }
}

/// What has to hold for a pass.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// Which proof.
    pub kind: GateKind,
    /// The mismatch rate has to be below this.
    pub limit: f64,
    /// At least this share of mutations has to be caught.
    pub sensitivity: f64,
    /// What a [`GateKind::Proven`] gate's proof rests on.
    pub proof: Proof,
    /// So many other questions were put to the same capture by a proven gate before: each look has its own 5 %.
    pub earlier: u64,
}

impl Default for Gate {
    /// The mission's criterion: fewer than 0.1 % mismatches over at least 1,000 requests; and a comparison that catches 95 % of mutations.
    fn default() -> Self {
        Self {
            kind: GateKind::Point,
            limit: 0.001,
            sensitivity: 0.95,
            proof: Proof::Capture,
            earlier: 0,
        }
    }
}

/// A share written as `0.1%` or `0.001`.
///
/// # Errors
/// For people: what was found and expected.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    number
        .ok()
        .filter(|share| *share > 0.0 && *share < 1.0)
        .ok_or_else(|| format!("found {text:?}, expected a share like 0.1% or 0.001"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_and_checked() {
        let plan: FixedPlan = "10511/5".parse().expect("a plan");
        assert_eq!((plan.requests, plan.mismatches), (10_511, 5));
        assert_eq!("10,511/5".parse(), Ok(plan));
        assert_eq!(plan.to_string(), "10511/5");
        assert_eq!(plan.check(0.001), Ok(()));
        for text in ["", "5", "5/5", "5/6", "a/b", "-1/0", "1/2/3"] {
            assert!(text.parse::<FixedPlan>().is_err(), "{text}");
        }
        let weak: FixedPlan = "10510/5".parse().expect("a plan");
        let refusal = weak.check(0.001).expect_err("one too few");
        assert!(refusal.contains("expected at least 10511/5"), "{refusal}");
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(parse_share("0.1%"), Ok(0.001));
        assert_eq!(parse_share("0.001"), Ok(0.001));
        for text in ["", "0", "100%", "-1%", "one"] {
            assert!(parse_share(text).is_err(), "{text}");
        }
    }
}
