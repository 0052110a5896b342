//! A condition on a measure: what `[slo]` and `[expect]` say, `">= 0.99"`.
//!
//! **Invariant**: a measure that is missing or not a number never satisfies a condition.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// How a measure is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparator {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `>=`
    AtLeast,
    /// `>`
    More,
}

/// A comparator and its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// How to compare.
    pub comparator: Comparator,
    /// With what.
    pub target: f64,
}

const SIGNS: [(&str, Comparator); 6] = [
    ("<=", Comparator::AtMost),
    (">=", Comparator::AtLeast),
    ("==", Comparator::Equal),
    ("!=", Comparator::Unequal),
    ("<", Comparator::Less),
    (">", Comparator::More),
];

impl Condition {
    /// Reads `"< 200"` and its like.
    ///
    /// # Errors
    /// A sentence that says what was found and what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let wrong = || {
            format!(
                "found {text:?}, expected a comparison such as \"< 200\", \">= 0.99\" or \"== 0\""
            )
        };
        let (sign, comparator) = SIGNS
            .into_iter()
            .find(|(sign, _)| trimmed.starts_with(sign))
            .ok_or_else(wrong)?;
        let target: f64 = trimmed[sign.len()..].trim().parse().map_err(|_| wrong())?;
        if target.is_finite() {
            Ok(Self { comparator, target })
        } else {
            Err(wrong())
        }
    }

    /// Whether `actual` satisfies it.
    pub fn holds(self, actual: f64) -> bool {
        match self.comparator {
            Comparator::Less => actual < self.target,
            Comparator::AtMost => actual <= self.target,
            Comparator::Equal => (actual - self.target).abs() < 1e-9,
            Comparator::Unequal => (actual - self.target).abs() >= 1e-9 && !actual.is_nan(),
            Comparator::AtLeast => actual >= self.target,
            Comparator::More => actual > self.target,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, _) = SIGNS
            .into_iter()
            .find(|(_, comparator)| *comparator == self.comparator)
            .expect("all are listed");
        write!(f, "{sign} {}", self.target)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_round_trip_and_judge() {
        for (text, yes, no) in [
            ("< 200", 199.9, 200.0),
            (">= 0.99", 0.99, 0.98),
            ("== 0", 0.0, 1.0),
            ("!= 0", 1.0, 0.0),
            ("> 1", 2.0, 1.0),
            ("<= 3", 3.0, 3.1),
        ] {
            let condition = Condition::parse(text).unwrap();
            assert_eq!(condition.to_string(), text);
            assert!(condition.holds(yes) && !condition.holds(no), "{text}");
            assert!(!condition.holds(f64::NAN), "{text}");
        }
        for text in ["", "200", "~ 3", "< x", "< inf"] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
    }
}
