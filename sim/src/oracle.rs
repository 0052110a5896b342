//! An oracle: one property, judged over a trace and nothing else.
//!
//! **Invariant**: an oracle that examined nothing has not passed. It is inconclusive, unless it names what the run would have needed and did
//! not have, such as an open breaker: then it is not applicable, which the record says, and a session tells how many runs exercised it.
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
    /// Why there was nothing to examine, if that is in order: what did not happen in this run.
    pub not_applicable: Option<String>,
    /// Why some case could not be decided: the run is inconclusive, unless another case is a violation.
    pub undecided: Option<String>,
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

    /// Says that a run without any `case` has none to examine, when `ran` shows that it was a whole run: an empty trace excuses nobody.
    #[must_use]
    pub fn unless(mut self, ran: bool, case: &str) -> Self {
        if ran && self.checked == 0 && self.violations.is_empty() {
            self.not_applicable = Some(format!("no {case} in this run"));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_run_without_a_case_is_excused() {
        let empty = || Findings::default().unless(true, "retry");
        assert_eq!(
            empty().not_applicable.as_deref(),
            Some("no retry in this run")
        );
        assert_eq!(
            Findings::default().unless(false, "retry").not_applicable,
            None
        );
        let mut examined = Findings::default();
        examined.examine(1, None);
        assert_eq!(examined.unless(true, "retry").not_applicable, None);
        let mut wrong = Findings::default();
        wrong.violations.push(Violation {
            at_us: 1,
            message: "no".to_owned(),
        });
        assert_eq!(wrong.unless(true, "retry").not_applicable, None);
    }
}
