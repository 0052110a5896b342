//! The log of each request tells its story: the events that its end demands, in their order, each with the request's id.

use std::cell::OnceCell;

use rehearsal_core::log::{Evt, LogEvent};

use crate::{
    appointments::{
        event::Event,
        history::{Disturbances, Trace, given, logs_of, rows},
        paths::Paths,
    },
    oracle::{Findings, Oracle},
    trace::Entry,
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "log_sequence",
    property: "each appointment's log holds the events of its final state in order, and every line of it carries its request_id",
    check,
};

/// Lines of two hosts may stand in the other order by this much: each writes after its own answer from the database has arrived.
/// A slow or lossy way to the database, or a slow database, adds what it takes.
const SKEW_US: u64 = 250_000;

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let logs = given(trace)
        .map(|tables| tables.logs.clone())
        .unwrap_or_default();
    // How much later than usual a line may be written in this run without anything being wrong.
    let late_us = Paths::of(trace).late_line_us();
    let by_id = logs_of(trace);
    let disturbances = OnceCell::new();
    let hidden = |id: &str| {
        let disturbances = disturbances.get_or_init(|| Disturbances::of(trace));
        disturbances.may_hide(id)
    };
    for (at, row) in rows(trace) {
        let lines = by_id.get(row.id.as_str()).map_or(&[][..], Vec::as_slice);
        let stranger = lines
            .iter()
            .find(|(_, event)| event.request_id.as_ref() != Some(&row.request_id));
        let missing = missing(lines, logs.of(row.state), late_us);
        let wrong = match (stranger, missing) {
            (Some((_, event)), _) => Some(format!(
                "{}: `{}` carries request_id {:?}",
                row.id,
                event.evt.as_str(),
                event.request_id
            )),
            // A process that died, or never heard that its commit succeeded, could not write the line.
            (None, Some(_)) if hidden(row.id.as_str()) => None,
            (None, Some(evt)) => {
                let found: Vec<_> = lines.iter().map(|(_, event)| event.evt.as_str()).collect();
                Some(format!(
                    "{}: {}, and `{}` is not in its place: {}",
                    row.id,
                    row.state,
                    evt.as_str(),
                    found.join(" ")
                ))
            }
            (None, None) => None,
        };
        findings.examine(at.at_us, wrong);
    }
    findings
}

/// The first event of `expected` that has no line in its place.
fn missing(lines: &[(&Entry<Event>, &LogEvent)], expected: &[Evt], late_us: u64) -> Option<Evt> {
    let mut used = vec![false; lines.len()];
    let mut last: Option<&Entry<Event>> = None;
    for evt in expected {
        let follows = |entry: &Entry<Event>| match last {
            None => true,
            Some(last) if last.host == entry.host => {
                entry.ordinal > last.ordinal || late_us > 0 && entry.at_us + late_us >= last.at_us
            }
            Some(last) => entry.at_us + SKEW_US + late_us >= last.at_us,
        };
        let found = lines
            .iter()
            .enumerate()
            .find(|(place, (entry, event))| !used[*place] && event.evt == *evt && follows(entry));
        let Some((place, (entry, _))) = found else {
            return Some(*evt);
        };
        used[place] = true;
        last = Some(entry);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::fixture, *};
    use crate::appointments::database::DatabaseEvent;

    #[test]
    fn a_missing_line_and_a_wrong_order_are_caught() {
        let missing = fixture::without(fixture::confirmed(), |event| {
            fixture::is_log(event, Evt::AttemptStarted)
        });
        fixture::catches(
            &ORACLE,
            &missing,
            "`attempt_started` is not in its place: request_accepted provider_answered confirmed",
        );
        let mut swapped = fixture::confirmed();
        let at = |evt| {
            swapped
                .iter()
                .position(|(.., event)| fixture::is_log(event, evt))
                .unwrap()
        };
        let (one, other) = (at(Evt::RequestAccepted), at(Evt::Confirmed));
        swapped.swap(one, other);
        fixture::catches(&ORACLE, &swapped, "is not in its place");
    }

    #[test]
    fn a_line_without_its_request_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| match event {
            Event::Log(log) if log.evt == Evt::Confirmed => log.request_id = None,
            _ => {}
        });
        fixture::catches(&ORACLE, &bad, "`confirmed` carries request_id None");
    }

    #[test]
    fn a_scenario_asks_for_its_own_sequence() {
        let strict = fixture::given(fixture::confirmed(), |tables| {
            tables.logs.confirmed = vec![Evt::RequestAccepted, Evt::RetryScheduled];
        });
        fixture::catches(&ORACLE, &strict, "`retry_scheduled` is not in its place");
    }

    #[test]
    fn a_lost_answer_excuses_the_requests_that_it_was_about_and_no_others() {
        let missing = fixture::without(fixture::confirmed(), |event| {
            fixture::is_log(event, Evt::RequestAccepted)
        });
        let lost = |appointment: &str| {
            let event = Event::Database(DatabaseEvent::AnswerLost {
                request: "accept".to_owned(),
                appointments: vec![appointment.to_owned()],
                entries: Vec::new(),
            });
            let mut story = missing.clone();
            story.insert(2, (12, "database", event));
            story
        };
        assert_eq!(fixture::judge(&ORACLE, &lost("a-1")).violations, []);
        fixture::catches(&ORACLE, &lost("a-2"), "is not in its place");
    }

    #[test]
    fn a_lossy_network_excuses_what_was_not_heard_and_nothing_else() {
        let missing =
            |evt| fixture::without(fixture::confirmed(), |event| fixture::is_log(event, evt));
        let on = |story: &fixture::Story| {
            let story = fixture::in_a_cluster(story.clone());
            (ORACLE.check)(&fixture::over("loss = 0.01\nloss_as = \"reset\"", &story)).violations
        };
        for evt in [Evt::RequestAccepted, Evt::AttemptStarted, Evt::Confirmed] {
            assert_eq!(on(&missing(evt)).len(), 1, "every answer was heard");
        }
        let mut unheard = missing(Evt::Confirmed);
        let event = Event::Database(DatabaseEvent::Unheard {
            appointments: vec!["a-1".to_owned()],
            entries: Vec::new(),
        });
        unheard.insert(2, (12, "worker-1", event));
        assert_eq!(on(&unheard), []);
        let unanswered = fixture::edit(missing(Evt::RequestAccepted), |event| {
            if let Event::Answered { step, .. } = event {
                *event = Event::Unanswered {
                    step: *step,
                    sent: true,
                    cause: "reset".to_owned(),
                    took_us: 5_000,
                };
            }
        });
        assert_eq!(on(&unanswered), []);
    }

    #[test]
    fn a_slow_way_to_the_database_makes_lines_late_by_what_it_takes() {
        let late = |at_ms, network: &str| {
            let mut story = fixture::in_a_cluster(fixture::confirmed());
            let accepted = story
                .iter()
                .position(|(.., event)| fixture::is_log(event, Evt::RequestAccepted))
                .unwrap();
            let (_, _, event) = story.remove(accepted);
            story.insert(6, (at_ms, "api-1", event));
            (ORACLE.check)(&fixture::over(network, &story))
                .violations
                .len()
        };
        let slow = "latency = { fixed_ms = 300 }";
        assert_eq!((late(800, slow), late(800, "")), (0, 1));
        assert_eq!(
            late(2_000, slow),
            1,
            "no message was on its way for so long"
        );
    }

    #[test]
    fn a_fault_that_was_over_long_before_excuses_nothing() {
        let mut story = fixture::without(fixture::confirmed(), |event| {
            fixture::is_log(event, Evt::RequestAccepted)
        });
        let over_at = |story: &fixture::Story| {
            let mut trace = fixture::disturbed(story);
            let mut end = trace.entries[1].clone();
            end.event = crate::trace::Event::FaultEnded {
                fault: 0,
                effect: BTreeMap::new(),
            };
            trace.entries.insert(2, end);
            trace
        };
        assert_eq!((ORACLE.check)(&over_at(&story)).violations, []);
        for (at_ms, ..) in &mut story {
            *at_ms += 60_000;
        }
        assert_eq!((ORACLE.check)(&over_at(&story)).violations.len(), 1);
    }

    #[test]
    fn two_hosts_may_be_out_of_step_by_a_little_and_a_crash_takes_lines_with_it() {
        let mut story = fixture::confirmed();
        let accepted = story
            .iter()
            .position(|(.., event)| fixture::is_log(event, Evt::RequestAccepted))
            .unwrap();
        let (_, _, event) = story.remove(accepted);
        story.insert(6, (17, "api-1", event));
        assert_eq!(
            fixture::judge(&ORACLE, &story).violations,
            [],
            "one millisecond"
        );
        story[6].0 = 400;
        fixture::catches(&ORACLE, &story, "is not in its place");
        assert_eq!((ORACLE.check)(&fixture::disturbed(&story)).violations, []);
    }
}
