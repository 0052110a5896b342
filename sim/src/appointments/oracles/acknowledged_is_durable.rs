//! What was acknowledged survives a crash of the database's host: every answer given and every commit reported before it is still there at the
//! end.
//!
//! It counts committed steps, not final states: a confirmation that was lost and found again is two reports of one step.

use std::collections::BTreeMap;

use rehearsal_core::log::Evt;

use crate::{
    appointments::{
        event::Event,
        history::{Trace, exchanges, given, logs, transitions},
        operation::Operation,
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "acknowledged_is_durable",
    property: "what clients were answered and the log reported before the database's host died is in the database at the end",
    check,
};

/// The lines that report a commit, and the steps that they report.
const REPORTS: [(Evt, &str); 6] = [
    (Evt::RequestAccepted, "accepted"),
    (Evt::CancelRequested, "cancel_requested"),
    (Evt::Confirmed, "confirmed"),
    (Evt::Failed, "failed"),
    (Evt::CompensationQueued, "compensation_queued"),
    (Evt::Cancelled, "cancelled"),
];

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let deaths: Vec<(u64, bool)> = trace
        .system()
        .filter_map(|(entry, event)| match event {
            Event::StorageDied { power_lost } => Some((entry.at_us, *power_lost)),
            _ => None,
        })
        .collect();
    let mut steps: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (_, step) in transitions(trace) {
        *steps
            .entry((step.appointment_id.as_str(), &step.change))
            .or_default() += 1;
    }
    let has = |id: &str, change: &str| steps.get(&(id, change)).copied().unwrap_or(0);
    let after = |at_us: u64| deaths.iter().find(|(died_us, _)| *died_us >= at_us);

    let mut reported: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (entry, event) in logs(trace) {
        let step = REPORTS.iter().find(|(evt, _)| *evt == event.evt);
        let (Some((_, change)), Some(id)) = (step, &event.appointment_id) else {
            continue;
        };
        let count = reported.entry((id.as_str(), change)).or_default();
        *count += 1;
        // A second report of a step may come after the death that took the first.
        let from_us = if *count > 1 { 0 } else { entry.at_us };
        let Some(death) = after(from_us) else {
            continue;
        };
        let kept = has(id.as_str(), change);
        let wrong = (*count > kept).then(|| {
            format!(
                "{id}: `{change}` was reported {count} times, {}, and the database has it {kept} times",
                told(*death)
            )
        });
        findings.examine(entry.at_us, wrong);
    }
    for exchange in exchanges(trace) {
        let answer = exchange
            .answer
            .filter(|answer| (200..300).contains(&answer.status));
        let (Some(answer), Some(death)) = (answer, after(exchange.to_us)) else {
            continue;
        };
        let (id, kept) = match exchange.operation {
            Operation::Submit(submission) => (&submission.id, has(&submission.id, "accepted") > 0),
            Operation::Cancel { id } => {
                let wishes = ["cancel_requested", "compensation_queued", "cancelled"];
                (id, wishes.iter().any(|wish| has(id, wish) > 0))
            }
            Operation::Read { id } => {
                let seen = answer
                    .state
                    .map_or("accepted", |state| match state.as_str() {
                        "pending" => "accepted",
                        other => other,
                    });
                (id, has(id, seen) > 0)
            }
            Operation::Probe { .. } => continue,
        };
        let wrong = (!kept).then(|| {
            format!(
                "{id}: an answer of {} was given, {}, and the database no longer knows of it",
                answer.status,
                told(*death)
            )
        });
        findings.examine(exchange.to_us, wrong);
    }
    findings.unless(
        given(trace).is_some(),
        "death of the database's host after an acknowledgment",
    )
}

fn told((at_us, power_lost): (u64, bool)) -> String {
    let how = if power_lost {
        "lost its power"
    } else {
        "was killed"
    };
    format!("the database's host {how} at {}s", at_us as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    /// The story, with a power loss at 60 ms.
    fn dark(mut story: fixture::Story) -> fixture::Story {
        let at = story
            .iter()
            .position(|(at_ms, ..)| *at_ms > 60)
            .expect("it goes on");
        let death = Event::StorageDied { power_lost: true };
        story.insert(at, (60, "service", death));
        story
    }

    fn without_step(story: fixture::Story, change: &str) -> fixture::Story {
        fixture::without(
            story,
            |event| matches!(event, Event::Transition(step) if step.change == change),
        )
    }

    #[test]
    fn what_a_power_loss_took_is_caught() {
        let bad = without_step(dark(fixture::confirmed()), "accepted");
        fixture::catches(
            &ORACLE,
            &bad,
            "a-1: an answer of 202 was given, the database's host lost its power at 0.06s, and the database no longer knows of it",
        );
        fixture::catches(&ORACLE, &bad, "`accepted` was reported 1 times");
        let bad = without_step(dark(fixture::cancelled()), "cancel_requested");
        let bad = without_step(bad, "cancelled");
        fixture::catches(&ORACLE, &bad, "an answer of 202");
    }

    #[test]
    fn a_step_that_was_lost_and_taken_again_is_caught() {
        let mut bad = dark(fixture::confirmed());
        let again = (70, "service", Event::Log(fixture::log(Evt::Confirmed)));
        let at = bad.iter().position(|(at_ms, ..)| *at_ms > 70).unwrap();
        bad.insert(at, again);
        fixture::catches(
            &ORACLE,
            &bad,
            "`confirmed` was reported 2 times, the database's host lost its power at 0.06s, and the database has it 1 times",
        );
    }

    #[test]
    fn what_survived_is_fine_and_without_a_death_there_is_no_case() {
        for story in [
            fixture::confirmed(),
            fixture::failed(),
            fixture::cancelled(),
        ] {
            let findings = fixture::judge(&ORACLE, &story);
            assert!(findings.not_applicable.is_some());
            let findings = fixture::judge(&ORACLE, &dark(story));
            assert_eq!(findings.violations, []);
            assert!(findings.checked > 1);
        }
    }
}
