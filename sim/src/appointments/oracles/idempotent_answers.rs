//! All requests with one key get one answer, or a refusal that the key explains, and leave one row.

use std::collections::BTreeMap;

use crate::{
    appointments::{
        event::{Answer, Event},
        history::{Exchange, Trace, exchanges, rows},
        operation::{Operation, Submission},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "idempotent_answers",
    property: "one key: one row, the same answer to every repeat, 422 to another payload, 409 only while the first is in flight",
    check,
};

/// Requests with one key, in the order of their start.
type Group<'a> = Vec<(&'a Submission, Exchange<'a>)>;

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    let all = exchanges(trace);
    for exchange in &all {
        if let Operation::Submit(submission) = exchange.operation {
            groups
                .entry(&submission.request_id)
                .or_default()
                .push((submission, *exchange));
        }
    }
    for group in groups.values() {
        let accepted = group
            .iter()
            .find(|(_, exchange)| exchange.answer.is_some_and(|answer| answer.status == 202));
        let mut fresh = 0;
        for (submission, exchange) in group {
            let Some(answer) = exchange.answer else {
                continue;
            };
            fresh += u32::from(answer.status == 202 && !answer.replayed);
            let wrong = judge(group, submission, exchange, answer, accepted);
            let wrong = wrong
                .or_else(|| (fresh > 1).then(|| "a second request was accepted as new".to_owned()));
            findings.examine(
                exchange.to_us,
                wrong.map(|wrong| format!("{}: {wrong}", submission.request_id)),
            );
        }
    }
    let mut owners: BTreeMap<&str, u32> = BTreeMap::new();
    for (entry, row) in rows(trace) {
        let count = owners.entry(row.request_id.as_str()).or_default();
        *count += 1;
        findings.examine(
            entry.at_us,
            (*count > 1).then(|| format!("{}: {count} rows", row.request_id)),
        );
    }
    findings
}

fn judge(
    group: &Group<'_>,
    submission: &Submission,
    exchange: &Exchange<'_>,
    answer: &Answer,
    accepted: Option<&(&Submission, Exchange<'_>)>,
) -> Option<String> {
    let others = || {
        group.iter().filter(|(_, other)| {
            other.from_us != exchange.from_us || !std::ptr::eq(other.operation, exchange.operation)
        })
    };
    match answer.status {
        202 => {
            let (first, first_exchange) = accepted?;
            let body = first_exchange.answer.map(|answer| answer.body);
            if *first != submission {
                Some("two different payloads were accepted".to_owned())
            } else if body != Some(answer.body) {
                Some("a repeat got another body than the first".to_owned())
            } else {
                None
            }
        }
        422 if others().any(|(other, _)| *other != submission) => None,
        422 => Some("refused as another payload, and there was none".to_owned()),
        409 if others().any(|(_, other)| {
            other.from_us <= exchange.to_us && other.to_us >= exchange.from_us
        }) =>
        {
            None
        }
        409 => Some("refused as in flight, and nothing was".to_owned()),
        // Overload and outages refuse anything; what became of it is not this oracle's question.
        429 | 500..=599 => None,
        status => Some(format!("answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    /// A second request at 30 ms with the given answer.
    fn second(submission: Submission, change: impl Fn(&mut Answer), status: u16) -> fixture::Story {
        let mut story = fixture::confirmed();
        let Event::Answered { step, mut answer } = fixture::answered(1, status) else {
            unreachable!()
        };
        change(&mut answer);
        story.push((
            30,
            "client-1",
            Event::Invoked {
                step,
                operation: Operation::Submit(submission),
            },
        ));
        story.push((33, "client-1", Event::Answered { step, answer }));
        story
    }

    #[test]
    fn a_replay_and_a_refused_conflict_are_fine() {
        let replay = second(fixture::submission(), |answer| answer.replayed = true, 202);
        assert_eq!(fixture::judge(&ORACLE, &replay).violations, []);
        let conflict = second(fixture::submission().conflicting(0), |_| {}, 422);
        assert_eq!(fixture::judge(&ORACLE, &conflict).violations, []);
    }

    #[test]
    fn other_answers_to_a_repeat_are_caught() {
        let check = |story: &fixture::Story, expect: &str| fixture::catches(&ORACLE, story, expect);
        let same = fixture::submission;
        check(&second(same(), |_| {}, 202), "accepted as new");
        check(
            &second(
                same(),
                |answer| (answer.replayed, answer.body) = (true, 2),
                202,
            ),
            "another body",
        );
        check(&second(same(), |_| {}, 422), "there was none");
        check(&second(same(), |_| {}, 409), "nothing was");
        check(&second(same(), |_| {}, 400), "answered 400");
        check(
            &second(same().conflicting(0), |answer| answer.replayed = true, 202),
            "two different payloads",
        );
    }

    #[test]
    fn two_rows_are_caught() {
        let mut bad = fixture::confirmed();
        let row = bad
            .iter()
            .find(|(.., event)| matches!(event, Event::Row(_)))
            .unwrap()
            .clone();
        bad.push(row);
        fixture::catches(&ORACLE, &bad, "2 rows");
    }
}
