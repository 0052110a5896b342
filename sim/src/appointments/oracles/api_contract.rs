//! The API answers as its contract says: each operation with a status that it knows, and a search with what was accepted before.
//!
//! What overload and outages refuse (429 and 5xx) is not this oracle's question; neither is what became of it.

use std::collections::BTreeMap;

use crate::{
    appointments::{
        event::{Answer, Event},
        history::{Exchange, Trace, exchanges},
        operation::{Endpoint, Operation},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "api_contract",
    property: "each operation is answered with a status of its contract, and a search by request finds what was accepted before it",
    check,
};

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let all = exchanges(trace);
    // When each request was first heard to be accepted.
    let mut accepted: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for exchange in &all {
        if let Operation::Submit(submission) = exchange.operation
            && exchange.answer.is_some_and(|answer| answer.status == 202)
        {
            let at = accepted
                .entry(&submission.request_id)
                .or_insert((exchange.to_us, &submission.id));
            at.0 = at.0.min(exchange.to_us);
        }
    }
    for exchange in &all {
        let Some(answer) = exchange.answer else {
            continue;
        };
        if !matches!(answer.status, 429 | 500..=599) {
            let wrong = status(exchange.operation, answer.status)
                .or_else(|| search(exchange, answer, &accepted));
            findings.examine(exchange.to_us, wrong);
        }
    }
    findings
}

fn status(operation: &Operation, status: u16) -> Option<String> {
    let (what, known): (String, &[u16]) = match operation {
        Operation::Submit(_) => ("a submission".to_owned(), &[202, 409, 422]),
        Operation::Cancel { .. } => ("a cancel".to_owned(), &[202, 404]),
        Operation::Read { .. } => ("a read".to_owned(), &[200, 404]),
        Operation::Probe { endpoint, .. } => (format!("{endpoint:?}"), of(*endpoint)),
    };
    (!known.contains(&status))
        .then(|| format!("{what} was answered {status}, its contract has {known:?}"))
}

fn of(endpoint: Endpoint) -> &'static [u16] {
    match endpoint {
        Endpoint::Find
        | Endpoint::Providers
        | Endpoint::Livez
        | Endpoint::Readyz
        | Endpoint::Metrics
        | Endpoint::Openapi
        | Endpoint::Outbox
        | Endpoint::DeadLetters
        | Endpoint::Findings
        | Endpoint::Breakers => &[200],
        Endpoint::FindBadQuery | Endpoint::SubmitInvalid | Endpoint::SubmitMalformed => &[400],
        Endpoint::ReadUnknown | Endpoint::CancelUnknown | Endpoint::NoSuchPath => &[404],
        Endpoint::WrongMethod => &[405],
        Endpoint::Redrive => &[200, 202, 404, 409],
    }
}

fn search(
    exchange: &Exchange<'_>,
    answer: &Answer,
    accepted: &BTreeMap<&str, (u64, &str)>,
) -> Option<String> {
    let Operation::Probe {
        endpoint: Endpoint::Find,
        n,
    } = exchange.operation
    else {
        return None;
    };
    let request = format!("r-{n}");
    let (_, id) = accepted
        .get(request.as_str())
        .filter(|(heard_us, _)| *heard_us < exchange.from_us)?;
    (answer.id.as_deref() != Some(*id)).then(|| {
        format!(
            "{request}: accepted as {id}, and a search for it finds {:?}",
            answer.id
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    /// A clean story, and in the end this operation with this answer.
    fn asked(operation: Operation, status: u16, id: Option<&str>) -> fixture::Story {
        let Event::Answered { answer, .. } = fixture::answered(7, status) else {
            unreachable!()
        };
        let id = id.map(str::to_owned);
        let answer = Answer { id, ..answer };
        let mut story = fixture::confirmed();
        let invoked = Event::Invoked { step: 7, operation };
        let answered = Event::Answered { step: 7, answer };
        let place = story.iter().position(|(ms, ..)| *ms >= 90).unwrap();
        story.insert(place, (81, "client-1", answered));
        story.insert(place, (80, "client-1", invoked));
        story
    }

    fn probe(endpoint: Endpoint, n: u64) -> Operation {
        Operation::Probe { endpoint, n }
    }

    #[test]
    fn a_status_that_the_contract_does_not_know_is_caught() {
        let cancel = Operation::Cancel {
            id: "a-1".to_owned(),
        };
        let story = asked(cancel.clone(), 200, Some("a-1"));
        fixture::catches(&ORACLE, &story, "a cancel was answered 200");
        let story = asked(probe(Endpoint::SubmitInvalid, 0), 202, None);
        fixture::catches(&ORACLE, &story, "SubmitInvalid was answered 202");
        for clean in [
            asked(cancel, 202, Some("a-1")),
            asked(probe(Endpoint::SubmitInvalid, 0), 400, None),
            asked(probe(Endpoint::Find, 1), 503, None),
        ] {
            assert_eq!(fixture::judge(&ORACLE, &clean).violations, []);
        }
    }

    #[test]
    fn a_search_that_misses_what_was_accepted_is_caught() {
        let story = asked(probe(Endpoint::Find, 1), 200, None);
        fixture::catches(&ORACLE, &story, "a search for it finds None");
        for clean in [
            asked(probe(Endpoint::Find, 1), 200, Some("a-1")),
            asked(probe(Endpoint::Find, 2), 200, None),
        ] {
            assert_eq!(fixture::judge(&ORACLE, &clean).violations, []);
        }
    }
}
