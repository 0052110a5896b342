//! A finding: what is wrong with a run, in a form that tells two runs with one bug apart from two bugs.
//!
//! **Invariant**: the fingerprint is a function of the oracle and of the violation's words alone: names, numbers and times of one seed do
//! not enter it, so shrinking may change them and deduplication ignores them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    trace::fnv,
    verdict::{Record, Verdict},
};

/// What is wrong, once for each oracle and kind of violation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The oracle, or `slo.NAME` or `expect.NAME` for a condition that was missed.
    pub oracle: String,
    /// What kind of violation: [`Fingerprint::of`] its message.
    pub fingerprint: Fingerprint,
    /// The first such violation, in full.
    pub message: String,
    /// When it happened, in microseconds of virtual time.
    pub at_us: u64,
}

/// Where a plan comes from: the `[found]` table of a plan that was shrunk or promoted. A run ignores it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// See [`Finding::oracle`].
    pub oracle: String,
    /// See [`Finding::fingerprint`].
    pub fingerprint: Fingerprint,
    /// What was violated when it was found.
    pub message: String,
    /// How it was found: the command, or what was done.
    pub how: String,
    /// The day on which it became a regression, as `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// Whether the bug is still there: then the plan has to fail with this finding, and no longer once it is fixed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

/// 16 hex digits: 64 bits of FNV-1a over the oracle's name and a message whose particulars were blanked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// The fingerprint of a violation.
    pub fn of(oracle: &str, message: &str) -> Self {
        let text = format!("{oracle}\n{}", blanked(message));
        Self(format!("{:016x}", fnv(text.as_bytes())))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything that is wrong with a run, each kind once, in the order of the oracles. Empty for a run that passed or was inconclusive.
pub fn findings(record: &Record) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut add = |oracle: &str, message: &str, at_us: u64| {
        let fingerprint = Fingerprint::of(oracle, message);
        if !found.iter().any(|one| one.fingerprint == fingerprint) {
            found.push(Finding {
                oracle: oracle.to_owned(),
                fingerprint,
                message: message.to_owned(),
                at_us,
            });
        }
    };
    for oracle in &record.oracles {
        for violation in &oracle.violations {
            add(&oracle.name, &violation.message, violation.at_us);
        }
    }
    for (table, conditions) in [("slo", &record.slo), ("expect", &record.expect)] {
        for one in conditions {
            if one.verdict == Verdict::Fail {
                let actual = one.actual.unwrap_or(f64::NAN);
                let message = format!("{} is {actual}, wanted {}", one.name, one.target);
                add(&format!("{table}.{}", one.name), &message, 0);
            }
        }
    }
    found
}

/// The message with every particular replaced by `#`: each run of characters without white space that holds a digit, and what is quoted.
fn blanked(message: &str) -> String {
    let mut blank = String::with_capacity(message.len());
    let mut quoted = false;
    for word in message.split_inclusive(char::is_whitespace) {
        let bare = word.trim_end();
        let ends = bare.trim_end_matches([',', '.', ';', ':', ')', '?', '!']);
        let opens = !quoted && bare.trim_start_matches('(').starts_with('"');
        let particular = quoted || opens || bare.bytes().any(|byte| byte.is_ascii_digit());
        let quotes = bare.matches('"').count();
        quoted ^= quotes % 2 == 1;
        if particular {
            if !blank.ends_with('#') {
                blank.push('#');
            }
        } else {
            blank.push_str(ends);
            blank.push(' ');
        }
    }
    blank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        Fingerprint::of("o", one) == Fingerprint::of("o", other)
    }

    #[test]
    fn particulars_do_not_matter_and_words_do() {
        let cases = [
            (
                "r-12: confirmed twice at 3.2 s",
                "r-7: confirmed twice at 100 s",
                true,
            ),
            (
                "r-12: confirmed twice",
                "r-12: confirmed, then failed",
                false,
            ),
            (
                "key \"a b\" is unknown",
                "key \"another one\" is unknown",
                true,
            ),
            ("key \"a\" is unknown", "key \"a\" is known", false),
            ("attempts [1, 2, 3] of r-1", "attempts [1] of r-1", true),
            ("worker-1 and r-2 differ", "worker-2 and r-40 differ", true),
        ];
        for (one, other, expected) in cases {
            assert_eq!(same(one, other), expected, "{one} / {other}");
        }
        assert_ne!(Fingerprint::of("a", "x"), Fingerprint::of("b", "x"));
    }
}
