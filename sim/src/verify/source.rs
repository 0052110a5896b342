//! Where a run's nondeterminism comes from, and the factors that are varied one at a time to find out.
//!
//! **Invariant**: a source is named by evidence: a refusal in the run itself, or a factor that alone makes two runs differ. What neither
//! shows is called [`Source::Unknown`]; nothing is guessed from the form of an event but that a date in HTTP's form is hyper's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{child::ChildError, interpose::prelude::Prelude};

/// One thing in which the two processes of a pair differ and that must not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Where code, heap and stack lie: drawn anew by the kernel, or always the same; and what the heap held before.
    Addresses,
    /// The keys of std's hash maps that were made before the run began.
    HashKeys,
    /// All other entropy that was drawn before the run began.
    Entropy,
    /// The clocks before the run began.
    Clock,
    /// Environment, locale, time zone, working directory, mask for new files.
    Surroundings,
    /// How many runs there are at once.
    Jobs,
    /// What the process that forks the runs did before: none, or other runs.
    History,
}

impl Factor {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Addresses,
        Self::HashKeys,
        Self::Entropy,
        Self::Clock,
        Self::Surroundings,
        Self::Jobs,
        Self::History,
    ];

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::HashKeys => "hash keys before the run",
            Self::Entropy => "entropy before the run",
            Self::Clock => "clock before the run",
            Self::Surroundings => "surroundings",
            Self::Jobs => "jobs",
            Self::History => "earlier runs",
        }
    }
}

/// What leaked into a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A real clock.
    Clock,
    /// hyper's `Date` header, which it keeps for a second of the clock.
    DateHeader,
    /// The operating system's entropy.
    Entropy,
    /// The order of a hash map.
    HashOrder,
    /// A thread or a process was started.
    Thread,
    /// A real sleep.
    Sleep,
    /// State that an earlier run, or the planning of one, left in the process.
    StaticState,
    /// The order or the value of addresses.
    PointerOrder,
    /// The order of a real directory.
    DirectoryOrder,
    /// Environment, locale, working directory.
    Surroundings,
    /// How many runs there are at once.
    Jobs,
    /// Something that nothing here varies or refuses: the processor's random numbers, a real file, memory that was never written.
    Unknown,
}

impl Source {
    /// Its name, as it is in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::DateHeader => "date_header",
            Self::Entropy => "entropy",
            Self::HashOrder => "hash_order",
            Self::Thread => "thread",
            Self::Sleep => "sleep",
            Self::StaticState => "static_state",
            Self::PointerOrder => "pointer_order",
            Self::DirectoryOrder => "directory_order",
            Self::Surroundings => "surroundings",
            Self::Jobs => "jobs",
            Self::Unknown => "unknown",
        }
    }

    /// What it is and what to do about it, in a sentence.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Clock => "a real clock: ask the host for the time, and read none while planning",
            Self::DateHeader => {
                "hyper's cached Date header, filled before the run began: serve nothing while planning, or switch the header off"
            }
            Self::Entropy => "the system's entropy: ask the host, and draw none while planning",
            Self::HashOrder => {
                "the order of a hash map whose keys were drawn before the run began: use a BTreeMap or IndexMap"
            }
            Self::Thread => "a thread or process was started: spawn tasks through the host",
            Self::Sleep => "a real sleep: ask the host for one",
            Self::StaticState => {
                "state that outlives a run, a static or a thread-local: keep it in the deployment"
            }
            Self::PointerOrder => "an address in an order or a value: order by an id",
            Self::DirectoryOrder => {
                "a real directory was listed: list it before the run and sort what it holds, or put it into the scenario"
            }
            Self::Surroundings => {
                "the environment, the locale, the working directory: put the setting into the scenario"
            }
            Self::Jobs => "how many runs there are at once: something is shared between processes",
            Self::Unknown => {
                "nothing that is varied or refused here: the processor's random numbers, a real file, memory that was never written"
            }
        }
    }

    /// What a process that was ended for it leaked, if it was.
    pub(super) fn refused(error: &ChildError) -> Option<Self> {
        match error {
            ChildError::ThreadStarted => Some(Self::Thread),
            ChildError::Slept => Some(Self::Sleep),
            ChildError::EntropyTaken => Some(Self::Entropy),
            ChildError::ClockRead => Some(Self::Clock),
            ChildError::DirectoryListed => Some(Self::DirectoryOrder),
            _ => None,
        }
    }

    /// What it is when `factor` alone makes a difference, and `lines` are what differs.
    pub(super) fn varied(factor: Factor, lines: &[&str]) -> Self {
        match factor {
            Factor::Addresses => Self::PointerOrder,
            Factor::HashKeys => Self::HashOrder,
            Factor::Entropy => Self::Entropy,
            Factor::Clock if lines.iter().any(|line| has_http_date(line)) => Self::DateHeader,
            Factor::Clock => Self::Clock,
            Factor::Surroundings => Self::Surroundings,
            Factor::Jobs => Self::Jobs,
            Factor::History => Self::StaticState,
        }
    }
}

/// Whether `text` holds a date as RFC 9110, 5.6.7 writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn has_http_date(text: &str) -> bool {
    text.match_indices(" GMT").any(|(end, _)| {
        let form = "aaa, 00 aaa 0000 00:00:00";
        let Some(date) = end
            .checked_sub(form.len())
            .and_then(|start| text.get(start..end))
        else {
            return false;
        };
        date.chars()
            .zip(form.chars())
            .all(|(found, expected)| match expected {
                'a' => found.is_ascii_alphabetic(),
                '0' => found.is_ascii_digit(),
                other => found == other,
            })
    })
}

/// How a process of a pair is started and used: which factors are not what they usually are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Circumstances {
    /// These are changed.
    pub(super) changed: BTreeSet<Factor>,
    /// Runs at once when [`Factor::Jobs`] is changed; 1 otherwise.
    pub(super) many: usize,
}

impl Circumstances {
    /// Nothing is changed.
    pub(super) fn plain() -> Self {
        Self::with([])
    }

    /// These are changed, with a few runs at once if that is among them.
    pub(super) fn with(factors: impl IntoIterator<Item = Factor>) -> Self {
        Self {
            changed: factors.into_iter().collect(),
            many: 4,
        }
    }

    pub(super) fn changes(&self, factor: Factor) -> bool {
        self.changed.contains(&factor)
    }

    pub(super) fn jobs(&self) -> usize {
        if self.changes(Factor::Jobs) {
            self.many
        } else {
            1
        }
    }

    /// What the process is told before its runs are simulated.
    pub(super) fn prelude(&self) -> Prelude {
        let one_or_two = |factor| 1 + u64::from(self.changes(factor));
        let late = self.changes(Factor::Clock);
        Prelude {
            wall_s: if late { 1_893_456_789 } else { 1_735_689_600 },
            monotonic_s: if late { 777_777 } else { 10_000 },
            hash_keys: one_or_two(Factor::HashKeys),
            entropy: one_or_two(Factor::Entropy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http_are_known_from_other_text() {
        assert!(has_http_date(
            "{\"date\":\"Sun, 06 Nov 1994 08:49:37 GMT\"}"
        ));
        assert!(!has_http_date("at 08:49:37 GMT"));
        assert!(!has_http_date("Sun, 06 Nov 94 08:49:37 GMT and more GMT"));
    }
}
