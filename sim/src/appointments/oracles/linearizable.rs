//! Each appointment behaves, to its clients, as one object: some order of all calls about it, each at one instant between its start and its
//! end, explains every answer.
//!
//! The model changes by itself as the service may: pending to confirmed or failed, failed to cancelled or (proven by the auditor) confirmed,
//! confirmed to cancelled once a client has asked. A call that got no answer, or one that does not say what became of it, may take effect at
//! any time later, or never.

use std::collections::BTreeMap;

use rehearsal_core::appointment::State;

use crate::{
    appointments::{
        event::{Answer, Event},
        history::{Trace, given},
        operation::{Operation, Submission},
    },
    linearizability::{self, Interval, Judgment, Model},
    oracle::{Findings, Oracle},
    trace::{self, Phase},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "linearizable",
    property: "for each appointment, some order of its calls, each between its start and its end, explains every answer",
    check,
};

/// Configurations that the search for one appointment may visit: far more than any history of a shipped scenario needs.
const MOST: usize = 200_000;

/// One appointment: nothing until it is accepted.
struct OneAppointment;

/// What there is of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    state: State,
    /// Which of the payloads that were submitted under its key.
    payload: usize,
    cancel_asked: bool,
}

/// A call and what its caller saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// Accepted as new.
    Accepted { payload: usize },
    /// Answered as a repeat.
    Replayed { payload: usize },
    /// Refused: the key belongs to another payload.
    Conflict { payload: usize },
    /// Submitted, and nobody knows.
    SubmittedPerhaps { payload: usize },
    /// Found in this state, or not found.
    Read { state: Option<State> },
    /// A cancel that was taken, and the state it was answered with; or there was nothing to cancel.
    Cancelled { state: Option<State> },
    /// A cancel, and nobody knows.
    CancelledPerhaps,
}

impl Model for OneAppointment {
    type State = Option<Row>;
    type Call = Call;

    fn initial(&self) -> Self::State {
        None
    }

    fn after(&self, row: &Self::State, call: &Call) -> Vec<Self::State> {
        let new = |payload| {
            Some(Row {
                state: State::Pending,
                payload,
                cancel_asked: false,
            })
        };
        let asked = |row: &Row| {
            Some(Row {
                cancel_asked: true,
                ..*row
            })
        };
        let only = |possible: bool| if possible { vec![*row] } else { Vec::new() };
        match (*call, row) {
            (Call::Accepted { payload } | Call::SubmittedPerhaps { payload }, None) => {
                vec![new(payload)]
            }
            (Call::Replayed { payload }, Some(row)) => only(row.payload == payload),
            (Call::Conflict { payload }, Some(row)) => only(row.payload != payload),
            (Call::Read { state }, row) => only(state == row.map(|row| row.state)),
            (Call::Cancelled { state: None }, row) => only(row.is_none()),
            (Call::Cancelled { state: Some(seen) }, Some(row)) if row.state == seen => {
                vec![asked(row)]
            }
            (Call::CancelledPerhaps, Some(row)) => vec![asked(row)],
            // Impossible; or without effect and unheard of, which is the same as never.
            _ => Vec::new(),
        }
    }

    fn drift(&self, row: &Self::State) -> Vec<Self::State> {
        let Some(row) = row else { return Vec::new() };
        let next: &[State] = match row.state {
            State::Pending => &[State::Confirmed, State::Failed],
            State::Failed => &[State::Cancelled, State::Confirmed],
            State::Confirmed if row.cancel_asked => &[State::Cancelled],
            State::Confirmed | State::Cancelled => &[],
        };
        next.iter()
            .map(|state| {
                Some(Row {
                    state: *state,
                    ..*row
                })
            })
            .collect()
    }
}

/// The calls about one appointment, and when the last of them ended.
#[derive(Default)]
struct History<'a> {
    calls: Vec<Interval<Call>>,
    payloads: Vec<&'a Submission>,
    last_us: u64,
}

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    for (id, history) in histories(trace) {
        let judged = linearizability::judge(&OneAppointment, &history.calls, MOST);
        let wrong = match judged {
            Judgment::Holds => None,
            Judgment::Broken { explained, refuted } => {
                let name = |calls: &[usize]| {
                    let names = calls.iter().map(|n| told(&history.calls[*n]));
                    names.collect::<Vec<_>>().join(", then ")
                };
                Some(format!(
                    "{id}: no order of its calls explains the answers: after \"{}\" comes none of \"{}\"",
                    name(&explained),
                    name(&refuted).replace(", then ", " or ")
                ))
            }
            Judgment::GaveUp { visited } => {
                findings.undecided = Some(format!(
                    "{id}: gave up on {} calls after {visited} configurations",
                    history.calls.len()
                ));
                continue;
            }
        };
        findings.examine(history.last_us, wrong);
    }
    findings.unless(given(trace).is_some(), "answer about an appointment")
}

/// Every appointment's calls, by id. Times are places in the trace, which has one order.
fn histories(trace: &Trace) -> BTreeMap<&str, History<'_>> {
    let mut histories: BTreeMap<&str, History<'_>> = BTreeMap::new();
    let mut open: BTreeMap<u64, (u64, &Operation)> = BTreeMap::new();
    let mut looking_since = 0;
    for (place, entry) in (0..).zip(&trace.entries) {
        let event = match &entry.event {
            trace::Event::Phase(Phase::Observe) => {
                looking_since = place;
                continue;
            }
            trace::Event::System(event) => event,
            _ => continue,
        };
        let (from, id, operation, answer) = match event {
            Event::Invoked { step, operation } => {
                open.insert(*step, (place, operation));
                continue;
            }
            Event::Answered { step, answer } => {
                let Some((from, operation)) = open.remove(step) else {
                    continue;
                };
                (from, about(operation), Some(operation), Some(answer))
            }
            Event::Unanswered { step, sent, .. } => {
                let Some((from, operation)) = open.remove(step).filter(|_| *sent) else {
                    continue;
                };
                (from, about(operation), Some(operation), None)
            }
            Event::Observed { id, answer } => {
                (looking_since, Some(id.as_str()), None, answer.as_ref())
            }
            _ => continue,
        };
        let Some(id) = id else { continue };
        histories
            .entry(id)
            .or_default()
            .add(from, place, operation, answer, entry.at_us);
    }
    for (from, operation) in open.into_values() {
        let Some(id) = about(operation) else { continue };
        let history = histories.entry(id).or_default();
        let last_us = history.last_us;
        history.add(from, from, Some(operation), None, last_us);
    }
    histories
}

/// The appointment that it is about, if it is about one.
fn about(operation: &Operation) -> Option<&str> {
    match operation {
        Operation::Submit(submission) => Some(&submission.id),
        Operation::Cancel { id } | Operation::Read { id } => Some(id),
        Operation::Probe { .. } => None,
    }
}

impl<'a> History<'a> {
    /// Adds a call; no `operation` is a last look.
    fn add(
        &mut self,
        from: u64,
        to: u64,
        operation: Option<&'a Operation>,
        answer: Option<&Answer>,
        at_us: u64,
    ) {
        let status = answer.map_or(0, |answer| answer.status);
        let found = answer.filter(|_| status < 300).and_then(|it| it.state);
        let missing = status == 404;
        let (call, known) = match operation {
            Some(Operation::Submit(submission)) => {
                let payload = self.payload(submission);
                match (status, answer.is_some_and(|answer| answer.replayed)) {
                    (200..300, false) => (Call::Accepted { payload }, true),
                    (200..300, true) => (Call::Replayed { payload }, true),
                    (422, _) => (Call::Conflict { payload }, true),
                    // Refused before anything was looked at.
                    (400..=499, _) => return,
                    _ => (Call::SubmittedPerhaps { payload }, false),
                }
            }
            Some(Operation::Cancel { .. }) if found.is_some() || missing => {
                (Call::Cancelled { state: found }, true)
            }
            Some(Operation::Cancel { .. }) if (400..500).contains(&status) => return,
            Some(Operation::Cancel { .. }) => (Call::CancelledPerhaps, false),
            Some(Operation::Read { .. }) | None if found.is_some() || missing => {
                (Call::Read { state: found }, true)
            }
            Some(Operation::Read { .. } | Operation::Probe { .. }) | None => return,
        };
        self.last_us = self.last_us.max(at_us);
        self.calls.push(Interval {
            from,
            to: known.then_some(to),
            call,
        });
    }

    fn payload(&mut self, submission: &'a Submission) -> usize {
        let known = self.payloads.iter().position(|it| *it == submission);
        known.unwrap_or_else(|| {
            self.payloads.push(submission);
            self.payloads.len() - 1
        })
    }
}

fn told(interval: &Interval<Call>) -> String {
    let state = |state: Option<State>| state.map_or("absent", State::as_str);
    match interval.call {
        Call::Accepted { .. } => "accepted".to_owned(),
        Call::Replayed { .. } => "answered as a repeat".to_owned(),
        Call::Conflict { .. } => "refused as another payload".to_owned(),
        Call::SubmittedPerhaps { .. } => "a submission without an answer".to_owned(),
        Call::Read { state: seen } => format!("read as {}", state(seen)),
        Call::Cancelled { state: seen } => format!("cancelled while {}", state(seen)),
        Call::CancelledPerhaps => "a cancel without an answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    /// The story with reads, each from its start to its end (ms), of a state.
    fn with_reads(mut story: fixture::Story, reads: &[(u64, u64, State)]) -> fixture::Story {
        for (step, (from, to, state)) in (50..).zip(reads) {
            let Event::Answered { answer, .. } = fixture::answered(step, 200) else {
                unreachable!()
            };
            let answer = Answer {
                state: Some(*state),
                ..answer
            };
            let id = "a-1".to_owned();
            let operation = Operation::Read { id };
            for (ms, event) in [
                (*from, Event::Invoked { step, operation }),
                (*to, Event::Answered { step, answer }),
            ] {
                let at = story.iter().position(|(at_ms, ..)| *at_ms > ms).unwrap();
                story.insert(at, (ms, "client-1", event));
            }
        }
        story
    }

    #[test]
    fn a_read_that_goes_back_is_caught() {
        use State::{Confirmed, Pending};
        let back = [(60, 61, Confirmed), (63, 64, Pending)];
        fixture::catches(
            &ORACLE,
            &with_reads(fixture::confirmed(), &back),
            "a-1: no order of its calls explains the answers",
        );
        let at_once = [(60, 64, Confirmed), (61, 63, Pending)];
        let story = with_reads(fixture::confirmed(), &at_once);
        assert_eq!(fixture::judge(&ORACLE, &story).violations, []);
    }

    #[test]
    fn a_read_of_what_was_never_asked_for_is_caught() {
        let cancelled = with_reads(fixture::confirmed(), &[(60, 61, State::Cancelled)]);
        // Failed and compensated explains the read, but then nothing explains the last look.
        fixture::catches(&ORACLE, &cancelled, "comes none of \"read as confirmed\"");
        let early = with_reads(fixture::confirmed(), &[(1, 2, State::Pending)]);
        fixture::catches(&ORACLE, &early, "comes none of");
    }

    #[test]
    fn a_second_acceptance_is_caught_and_a_replay_is_not() {
        let again = |replayed: bool| {
            let mut story = fixture::confirmed();
            let Event::Answered { step, answer } = fixture::answered(9, 202) else {
                unreachable!()
            };
            let answer = Answer { replayed, ..answer };
            let at = story.iter().position(|(at_ms, ..)| *at_ms > 30).unwrap();
            let events = [
                (30, "client-1", fixture::submit(9)),
                (31, "client-1", Event::Answered { step, answer }),
            ];
            story.splice(at..at, events);
            story
        };
        fixture::catches(&ORACLE, &again(false), "comes none of \"accepted");
        assert_eq!(fixture::judge(&ORACLE, &again(true)).violations, []);
    }

    #[test]
    fn what_got_no_answer_may_have_happened_or_not() {
        for answered in [true, false] {
            let lost = Event::Unanswered {
                step: 0,
                sent: true,
                cause: "timeout".to_owned(),
                took_us: 1,
            };
            let story = fixture::edit(fixture::confirmed(), |event| {
                if matches!(event, Event::Answered { .. }) {
                    *event = lost.clone();
                }
            });
            let story = fixture::without(story, |event| {
                !answered && matches!(event, Event::Observed { .. })
            });
            assert_eq!(fixture::judge(&ORACLE, &story).violations, []);
        }
    }

    #[test]
    fn too_long_a_history_is_undecided_and_not_passed() {
        let reads: Vec<_> = (0..70).map(|_| (60, 61, State::Confirmed)).collect();
        let findings = fixture::judge(&ORACLE, &with_reads(fixture::confirmed(), &reads));
        assert_eq!(findings.violations, []);
        assert!(
            findings
                .undecided
                .is_some_and(|why| why.contains("gave up on 72 calls"))
        );
    }
}
