//! An oracle: one property, judged over a trace and nothing else.
//!
//! **Invariant**: an oracle that examined nothing has not passed; it is inconclusive.
//! It cannot see the running system: whatever it needs, the runner has put into the trace.

use serde::{Deserialize, Serialize};

use crate::trace::Trace;

/// A property, by name. A system under test registers its oracles in one list.
#[derive(Clone, Copy)]
pub struct Oracle<E> {
    /// The field's name for it, `snake_case`.
    pub name: &'static str,
    /// What has to hold, as one sentence.
    pub property: &'static str,
    /// Judges a trace.
    pub check: fn(&Trace<E>) -> Findings,
}

impl<E> std::fmt::Debug for Oracle<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oracle")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What an oracle found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many things it examined.
    pub checked: u64,
    /// Where the property does not hold.
    pub violations: Vec<Violation>,
}

/// A place where a property does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Virtual time, in microseconds.
    pub at_us: u64,
    /// What happened, naming the request.
    pub message: String,
}

impl Findings {
    /// One thing was examined; `wrong` says what is the matter with it, if anything.
    pub fn examine(&mut self, at_us: u64, wrong: Option<String>) {
        self.checked += 1;
        if let Some(message) = wrong {
            self.violations.push(Violation { at_us, message });
        }
    }
}
