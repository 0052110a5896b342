//! What a verification came to, as a document.
//!
//! **Invariant**: everything outside `timing` is a function of the inputs and the machine's abilities. It decides one thing: a verification
//! in which one pair differs has failed, and one that compared nothing has shown nothing.

use serde::{Deserialize, Serialize};

use super::{diagnosis::Difference, wire::Ready};
use crate::interpose::guard;

/// The format's name and major version on disk.
pub const FORMAT: &str = "rehearsal.verify/1";

/// A verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// [`FORMAT`].
    pub format: String,
    /// What it came to.
    pub verdict: Finding,
    /// The counts over all scenarios.
    pub pairs: Pairs,
    /// A line for each input.
    pub scenarios: Vec<Scenario>,
    /// Every pair that differs, with what leaked.
    pub differences: Vec<Found>,
    /// Under what conditions the pairs ran; absent when none did.
    pub conditions: Option<Conditions>,
    /// What took how long.
    pub timing: Timing,
}

/// What a verification came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Every pair agreed.
    Pass,
    /// A pair differed, or a run asked for what is refused.
    Nondeterminism,
    /// No pair was compared, or every run broke off.
    Inconclusive,
}

/// How many pairs there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// Asked for.
    pub asked: u64,
    /// Compared and the same.
    pub same: u64,
    /// Compared and the same, but both runs broke off: a panic, a limit.
    pub broke: u64,
    /// Compared and not the same.
    pub different: u64,
}

/// One input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name.
    pub scenario: String,
    /// Its pairs.
    pub pairs: Pairs,
    /// Why its first broken run broke.
    pub broke: Option<String>,
}

/// A pair that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The command that compares it again.
    pub reproduce: String,
    /// What is not the same, and why.
    pub difference: Difference,
}

/// Under what conditions the pairs ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Whether the plain process kept its addresses while the strange one drew them. Where a machine forbids the first, both drew them.
    pub addresses_differ: bool,
    /// Which guards held in the runs.
    pub guards: guard::State,
    /// Plain processes, each with one run at a time.
    pub plain_processes: usize,
}

impl Conditions {
    pub(super) fn of(plain: Ready, strange: Ready, lanes: usize) -> Self {
        Self {
            addresses_differ: !plain.randomized && strange.randomized,
            guards: strange.guards,
            plain_processes: lanes,
        }
    }
}

/// Real time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// From the first process to the last answer, in milliseconds.
    pub wall_ms: u64,
}

impl Verification {
    /// An empty one for inputs of these names and pairs.
    pub fn new(scenarios: impl IntoIterator<Item = (String, u64)>) -> Self {
        let scenarios: Vec<Scenario> = scenarios
            .into_iter()
            .map(|(scenario, asked)| Scenario {
                scenario,
                pairs: Pairs {
                    asked,
                    ..Pairs::default()
                },
                broke: None,
            })
            .collect();
        Self {
            format: FORMAT.to_owned(),
            verdict: Finding::Inconclusive,
            pairs: Pairs {
                asked: scenarios.iter().map(|one| one.pairs.asked).sum(),
                ..Pairs::default()
            },
            scenarios,
            differences: Vec::new(),
            conditions: None,
            timing: Timing::default(),
        }
    }

    /// Takes up one compared pair; `reproduce` is the command that compares it again.
    pub fn take(&mut self, checked: super::Checked, reproduce: impl FnOnce() -> String) {
        let scenario = &mut self.scenarios[checked.input];
        match checked.outcome {
            super::Compared::Same { .. } => {
                scenario.pairs.same += 1;
                self.pairs.same += 1;
            }
            super::Compared::Broke(reason) => {
                scenario.pairs.broke += 1;
                self.pairs.broke += 1;
                scenario.broke.get_or_insert(reason);
            }
            super::Compared::Differs(difference) => {
                scenario.pairs.different += 1;
                self.pairs.different += 1;
                self.differences.push(Found {
                    scenario: scenario.scenario.clone(),
                    seed: checked.seed,
                    reproduce: reproduce(),
                    difference: *difference,
                });
            }
        }
        self.verdict = match self.pairs {
            Pairs { different: 1.., .. } => Finding::Nondeterminism,
            Pairs { same: 1.., .. } => Finding::Pass,
            _ => Finding::Inconclusive,
        };
    }

    /// The document.
    ///
    /// # Panics
    /// Never: it is plain data.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a verification is plain data");
        text.push('\n');
        text
    }
}
