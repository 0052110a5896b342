//! The oracles: one property a file, each a function of the trace alone, listed here in the order of reports.
//!
//! **Invariant**: every oracle examines every case in which its property could fail, also the trivial ones, so that "examined nothing" means
//! that a run had no such case at all. An oracle whose cases are not in every run, such as retries, says what was missing. It sees no running
//! system.

#[cfg(test)]
mod fixture;
mod legal_transitions;
mod no_duplicate_confirmation;
mod no_acknowledged_request_lost;
mod idempotent_answers;
mod details_kept;
mod api_contract;
mod outbox_drained;
mod sides_agree;
mod failed_is_compensated_or_reported;
mod dead_letters_reported;
mod compensation_logged;
mod breaker_respected;
mod api_never_blocks;
mod no_pii;
mod log_sequence;
mod attempts_counted;
mod acknowledged_is_durable;
mod linearizable;
mod compensation_never_hits_a_live_booking;
mod fencing;
mod retry_spacing;
mod bulkhead;
mod breaker_recovers;
mod probes_decide;
mod integrity_check;
mod nothing_leaks;

use super::event::Event;
use crate::oracle::Oracle;

/// All of them.
pub(super) fn all() -> Vec<Oracle<Event>> {
    vec![
        legal_transitions::ORACLE,
        no_duplicate_confirmation::ORACLE,
        no_acknowledged_request_lost::ORACLE,
        idempotent_answers::ORACLE,
        details_kept::ORACLE,
        api_contract::ORACLE,
        outbox_drained::ORACLE,
        sides_agree::ORACLE,
        failed_is_compensated_or_reported::ORACLE,
        dead_letters_reported::ORACLE,
        compensation_logged::ORACLE,
        breaker_respected::ORACLE,
        api_never_blocks::ORACLE,
        no_pii::ORACLE,
        log_sequence::ORACLE,
        attempts_counted::ORACLE,
        acknowledged_is_durable::ORACLE,
        linearizable::ORACLE,
        compensation_never_hits_a_live_booking::ORACLE,
        fencing::ORACLE,
        retry_spacing::ORACLE,
        bulkhead::ORACLE,
        breaker_recovers::ORACLE,
        probes_decide::ORACLE,
        integrity_check::ORACLE,
        nothing_leaks::ORACLE,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{all, fixture};
    use crate::trace::Trace;

    #[test]
    fn names_are_unique_and_nothing_passes_an_empty_trace() {
        let names: BTreeSet<_> = all().iter().map(|oracle| oracle.name).collect();
        assert_eq!(names.len(), all().len());
        for oracle in all() {
            let findings = (oracle.check)(&Trace {
                entries: Vec::new(),
            });
            assert_eq!(
                (
                    findings.checked,
                    findings.violations.len(),
                    findings.not_applicable
                ),
                (0, 0, None),
                "{}",
                oracle.name
            );
        }
    }

    #[test]
    fn every_oracle_examines_and_passes_what_went_right() {
        for (name, story) in [
            ("confirmed", fixture::confirmed()),
            ("failed", fixture::failed()),
            ("cancelled", fixture::cancelled()),
        ] {
            for oracle in all() {
                let findings = (oracle.check)(&fixture::trace(&story));
                assert_eq!(findings.violations, [], "{name} {}", oracle.name);
                assert!(
                    findings.checked > 0 || findings.not_applicable.is_some(),
                    "{name} {} examined nothing",
                    oracle.name
                );
                assert_eq!(findings.undecided, None, "{name} {}", oracle.name);
            }
        }
    }
}
