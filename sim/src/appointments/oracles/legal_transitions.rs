//! Every committed step is one of the lifecycle's, each starts where the last one ended, and the row is where the last one led.

use std::collections::BTreeMap;

use rehearsal_core::{appointment::State, invariant};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, rows, transitions},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "legal_transitions",
    property: "INIT to PENDING to CONFIRMED or FAILED, these to CANCELLED, and nothing else",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let mut at: BTreeMap<&str, State> = BTreeMap::new();
    for (entry, step) in transitions(trace) {
        let id = step.appointment_id.as_str();
        let known = at.get(id).copied();
        let wrong = match (parse(step.from.as_deref()), parse(step.to.as_deref())) {
            // Notes (a cancel asked for, a compensation queued) move nothing.
            (_, Ok(None)) => None,
            (Ok(from), Ok(Some(to))) => {
                at.insert(id, to);
                let legal = invariant::legal_transition(from, to);
                let named = |state: Option<State>| state.map_or("init", State::as_str);
                if !legal {
                    Some(format!(
                        "{id}: the step {} to {to} is none of the lifecycle's",
                        named(from)
                    ))
                } else if from != known {
                    Some(format!(
                        "{id}: a step starts at {}, the last one ended at {}",
                        named(from),
                        named(known)
                    ))
                } else {
                    None
                }
            }
            (Err(word), _) | (_, Err(word)) => Some(format!("{id}: {word:?} is no state")),
        };
        findings.examine(entry.at_us, wrong);
    }
    for (entry, row) in rows(trace) {
        let last = at.get(row.id.as_str()).copied();
        let wrong = if last != Some(row.state) {
            Some(format!(
                "{}: the row is {}, its last step led to {last:?}",
                row.id, row.state
            ))
        } else if !invariant::confirmed_has_reference(row) {
            Some(format!(
                "{}: confirmed without the provider's reference",
                row.id
            ))
        } else if !invariant::failed_says_why(row) {
            Some(format!(
                "{}: {} and failure {:?}",
                row.id, row.state, row.failure
            ))
        } else {
            None
        };
        findings.examine(entry.at_us, wrong);
    }
    findings
}

fn parse(word: Option<&str>) -> Result<Option<State>, &str> {
    let Some(word) = word else { return Ok(None) };
    let state = State::ALL.into_iter().find(|state| state.as_str() == word);
    state.map(Some).ok_or(word)
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_step_that_skips_a_state_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| match event {
            Event::Transition(step) if step.change == "confirmed" => {
                step.to = Some("cancelled".to_owned());
            }
            _ => {}
        });
        fixture::catches(&ORACLE, &bad, "pending to cancelled is none");
    }

    #[test]
    fn a_gap_between_two_steps_is_caught() {
        let bad = fixture::edit(fixture::cancelled(), |event| match event {
            Event::Transition(step) if step.change == "cancelled" => {
                step.from = Some("failed".to_owned());
            }
            _ => {}
        });
        fixture::catches(
            &ORACLE,
            &bad,
            "starts at failed, the last one ended at confirmed",
        );
    }

    #[test]
    fn a_row_that_no_step_led_to_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Row(row) = event {
                row.state = State::Failed;
            }
        });
        fixture::catches(&ORACLE, &bad, "the row is failed");
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Row(row) = event {
                row.reference = None;
            }
        });
        fixture::catches(&ORACLE, &bad, "without the provider's reference");
    }
}
