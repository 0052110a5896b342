//! What a run saw of one side.
//!
//! **Invariant**: `planned = answered + failed + skipped`, and `sent = answered + failed`, whatever happened ([`Accounting::balances`]).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    capture::Headers,
    plan::Unreplayable,
    rules::Side,
    run::{Brief, Latency, Outcomes, Punctuality},
};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// It was tried, and no whole answer came.
    Failed {
        /// What went wrong.
        reason: FailureReason,
        /// For people: the address and the cause.
        message: String,
    },
    /// It was not tried.
    Skipped(SkipReason),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Headers,
    /// The body, its content coding kept.
    pub body: Bytes,
}

/// Why no answer came.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// No connection was made; the request never left.
    Connect,
    /// No whole answer came within the deadline.
    Timeout,
    /// The connection broke.
    Broken,
    /// The answer is longer than the limit.
    TooLarge,
}

/// Why a request was not tried.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum SkipReason {
    /// The capture does not have all of it.
    Unreplayable(Unreplayable),
    /// Its method, target or headers are not valid HTTP.
    NotHttp,
    /// It carries a value of an earlier answer, and the target gave no such answer.
    Unresolved,
    /// The run was stopped before its turn, or before its answer.
    Stopped,
    /// The question was decided before its turn.
    Decided,
}

impl SkipReason {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreplayable(reason) => reason.name(),
            Self::NotHttp => "not_http",
            Self::Unresolved => "unresolved_value",
            Self::Stopped => "stopped",
            Self::Decided => "decided",
        }
    }
}

impl FailureReason {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
        }
    }
}

/// All that a run saw of one side.
#[derive(Clone, Debug)]
pub struct Observations {
    /// Which side.
    pub side: Side,
    /// The target's base URL.
    pub url: String,
    /// For each planned request, in the plan's order.
    pub outcomes: Outcomes,
    /// For each entity of the plan what the read of its final state gave, in the plan's order; empty where the rules say of no state.
    pub state: Outcomes,
    /// How long answers took.
    pub latency: Latency,
    /// From the start to the last answer, in the host's time.
    pub duration_ns: u64,
    /// Whose time that is.
    pub time: Time,
    /// How many requests were written a second time, because the target closed the connection that they went out on before it answered.
    pub resent: u64,
    /// How well the intended times were kept. Nothing for a pace without intended times.
    pub punctuality: Option<Punctuality>,
}

/// Whose time a run was measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Time {
    /// A simulated host's: the same in every run.
    #[default]
    Virtual,
    /// A real machine's: another one in every run.
    Real,
}

/// What became of all requests of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Accounting {
    /// Requests in the plan.
    pub planned: u64,
    /// Those that were tried.
    pub sent: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Those that were tried in vain.
    pub failed: u64,
    /// Those that were not tried.
    pub skipped: u64,
    /// Failed ones by reason.
    pub failed_by_reason: BTreeMap<&'static str, u64>,
    /// Skipped ones by reason.
    pub skipped_by_reason: BTreeMap<&'static str, u64>,
}

impl Accounting {
    /// Counts one outcome.
    pub fn count(&mut self, outcome: Brief) {
        self.planned += 1;
        match outcome {
            Brief::Answered(_) => {
                self.sent += 1;
                self.answered += 1;
            }
            Brief::Failed(reason) => {
                self.sent += 1;
                self.failed += 1;
                *self.failed_by_reason.entry(reason.name()).or_default() += 1;
            }
            Brief::Skipped(reason) => {
                self.skipped += 1;
                *self.skipped_by_reason.entry(reason.name()).or_default() += 1;
            }
        }
    }

    /// Whether everything planned is accounted for.
    pub fn balances(&self) -> bool {
        self.planned == self.sent + self.skipped && self.sent == self.answered + self.failed
    }
}

impl Observations {
    /// What became of all requests.
    pub fn accounting(&self) -> Accounting {
        let mut accounting = Accounting::default();
        for outcome in self.outcomes.briefs() {
            accounting.count(outcome);
        }
        accounting
    }

    /// From which request on the target could not be reached any more: the last [`GONE`] requests or more that were tried, all without a
    /// connection.
    pub fn gone_from(&self) -> Option<usize> {
        let mut first = None;
        let mut unreached = 0;
        for at in (0..self.outcomes.len()).rev() {
            match self.outcomes.brief(at) {
                Brief::Skipped(_) => {}
                Brief::Failed(FailureReason::Connect) => {
                    first = Some(at);
                    unreached += 1;
                }
                _ => break,
            }
        }
        first.filter(|_| unreached >= GONE)
    }
}

/// So many requests in a row without a connection, at the end of a run, are a target that is gone rather than a hiccup.
const GONE: usize = 10;
