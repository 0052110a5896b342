//! The API answers at its own pace, whatever the provider does: it never waits for a provider, and it never calls one.

use rehearsal_core::{appointment::State, log::Evt};

use crate::{
    appointments::{
        event::Event,
        history::{Exchange, Trace, exchanges, fault_spans, logs},
        operation::Operation,
        paths::Paths,
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "api_never_blocks",
    property: "every answer comes within a second, and what the configured network and database take (most of them, where the network may take longer than clients wait), unless the API's own hosts or links were disturbed, and no API host delivers",
    check,
};

/// An answer that takes longer waited for something: five times the objective of 200 ms, for networks that draw badly.
const LONGEST_US: u64 = 1_000_000;
/// What a disturbance leaves behind (retransmissions, leases, restarts) may last this long and as long again as itself.
const AFTERMATH_US: u64 = 5_000_000;

/// Fewer answers than this say nothing of what most of them take.
const ENOUGH: usize = 10;

/// How long answers may take in this run, in microseconds.
struct Bounds {
    /// A client gives up after this.
    patience: u64,
    /// No answer takes longer.
    each: u64,
    /// More than half of them take no longer.
    most: u64,
}

impl Bounds {
    fn of(trace: &Trace) -> Self {
        let paths = Paths::of(trace);
        Self {
            patience: paths.patience_us(),
            each: LONGEST_US.saturating_add(paths.late_answer_us()),
            most: LONGEST_US.saturating_add(paths.usually_late_us()),
        }
    }

    /// What is wrong with one exchange by its time alone. Where a client gives up before the bound nobody can tell.
    fn late(&self, exchange: &Exchange<'_>) -> Option<String> {
        if self.each >= self.patience {
            return None;
        }
        let id = subject(exchange.operation);
        match exchange.answer {
            Some(answer) if answer.took_us > self.each => {
                let took_ms = answer.took_us / 1000;
                Some(format!("{id}: the answer took {took_ms} ms"))
            }
            None if self.is_given_up(exchange) => {
                let patience_ms = self.patience / 1000;
                Some(format!("{id}: no answer within {patience_ms} ms"))
            }
            _ => None,
        }
    }

    /// Whether the client waited for as long as it does.
    fn is_given_up(&self, exchange: &Exchange<'_>) -> bool {
        exchange.answer.is_none() && exchange.to_us - exchange.from_us >= self.patience
    }

    /// What can be said of all exchanges together, where none can be judged by itself.
    fn judge(&self, calm: &[&Exchange<'_>], findings: &mut Findings) {
        if self.each < self.patience {
            return;
        }
        let is_slow = |exchange: &&&Exchange<'_>| match exchange.answer {
            Some(answer) => answer.took_us > self.most,
            None => self.is_given_up(exchange),
        };
        let slow: Vec<_> = calm.iter().filter(is_slow).collect();
        let (count, all) = (slow.len(), calm.len());
        if self.most < self.patience && all >= ENOUGH {
            let last = slow.last().filter(|_| count * 2 > all);
            let wrong = last.map(|_| {
                let most_ms = self.most / 1000;
                format!("{count} of {all} answers took longer than {most_ms} ms, or did not come")
            });
            findings.examine(last.map_or(0, |exchange| exchange.to_us), wrong);
        } else if count > 0 {
            findings.undecided = Some(format!(
                "the configured network and database may take longer than the {} ms that clients wait, so the {count} of {all} that waited in vain say nothing of the API",
                self.patience / 1000
            ));
        }
    }
}

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let spans = fault_spans(trace);
    let disturbed = |from: u64, to: u64| {
        spans.iter().any(|(start, end)| {
            let over = end
                .saturating_add(end.saturating_sub(*start))
                .saturating_add(AFTERMATH_US);
            *start <= to && from <= over
        })
    };
    let bounds = Bounds::of(trace);
    let exchanges = exchanges(trace);
    let is_calm = |exchange: &&Exchange<'_>| !disturbed(exchange.from_us, exchange.to_us);
    let calm: Vec<&Exchange<'_>> = exchanges.iter().filter(is_calm).collect();
    for exchange in &exchanges {
        let late = bounds.late(exchange).filter(|_| is_calm(&exchange));
        let Some(answer) = exchange.answer else {
            // What was not answered counts as a case only where it should have been.
            if late.is_some() {
                findings.examine(exchange.to_us, late);
            }
            continue;
        };
        let submitted = matches!(exchange.operation, Operation::Submit(_)) && answer.status == 202;
        let waited = submitted && answer.state != Some(State::Pending);
        let waited = waited.then(|| {
            format!(
                "{}: accepted as {:?}: the API has waited for the provider",
                subject(exchange.operation),
                answer.state
            )
        });
        findings.examine(exchange.to_us, late.or(waited));
    }
    bounds.judge(&calm, &mut findings);
    for (entry, event) in logs(trace) {
        if matches!(event.evt, Evt::AttemptStarted | Evt::ResolveStarted)
            && entry.host.starts_with("api-")
        {
            findings.examine(
                entry.at_us,
                Some(format!("{}: a delivery was started there", entry.host)),
            );
        }
    }
    findings
}

/// What an operation is about.
fn subject(operation: &Operation) -> String {
    match operation {
        Operation::Submit(submission) => submission.id.clone(),
        Operation::Cancel { id } | Operation::Read { id } => id.clone(),
        Operation::Probe { endpoint, .. } => format!("{endpoint:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    fn slow() -> fixture::Story {
        fixture::edit(fixture::confirmed(), |event| {
            if let Event::Answered { answer, .. } = event {
                answer.took_us = 2_000_000;
            }
        })
    }

    #[test]
    fn a_slow_answer_is_caught_unless_the_world_was_disturbed() {
        fixture::catches(&ORACLE, &slow(), "a-1: the answer took 2000 ms");
        assert_eq!((ORACLE.check)(&fixture::disturbed(&slow())).violations, []);
    }

    #[test]
    fn a_slow_network_allows_what_it_takes_and_a_slow_provider_nothing() {
        let took = |took_us, network: &str| {
            let story = fixture::edit(slow(), |event| match event {
                Event::Answered { answer, .. } => answer.took_us = took_us,
                // Not what an answer of the API may wait for.
                Event::Given(tables) => {
                    let acme = tables.providers.get_mut("acme").unwrap();
                    *acme = toml::from_str("latency = { fixed_ms = 9000 }").unwrap();
                }
                _ => {}
            });
            (ORACLE.check)(&fixture::over(network, &story))
                .violations
                .len()
        };
        let network = "latency = { fixed_ms = 300 }";
        assert_eq!(took(2_000_000, network), 0);
        assert_eq!(
            took(9_000_000, network),
            1,
            "it has waited for the provider"
        );
        assert_eq!(took(2_000_000, ""), 1);
        let elsewhere =
            "links = [{ from = \"service\", to = \"provider-*\", latency = { fixed_ms = 300 } }]";
        assert_eq!(took(2_000_000, elsewhere), 1, "the API has no such link");
    }

    /// `count` requests, of which every `slow`-th is answered after 4 s and the rest at once, on this network.
    fn many(count: u64, slow: u64, network: &str) -> Findings {
        let one = fixture::confirmed();
        let submitted = |event: &Event| {
            matches!(
                event,
                Event::Invoked {
                    operation: Operation::Submit(_),
                    ..
                }
            )
        };
        let invoked = one.iter().find(|(.., event)| submitted(event)).unwrap();
        let answered = one
            .iter()
            .find(|(.., event)| matches!(event, Event::Answered { .. }));
        let mut story = one.clone();
        for number in 0..count {
            let (mut call, mut end) = (invoked.clone(), answered.unwrap().clone());
            let took = if number % slow == 0 { 4_000 } else { 5 };
            (call.0, end.0) = (10_000 * (number + 1), 10_000 * (number + 1) + took);
            if let Event::Invoked { step, .. } = &mut call.2 {
                *step = 1_000 + number;
            }
            if let Event::Answered { step, answer } = &mut end.2 {
                (*step, answer.took_us) = (1_000 + number, took * 1_000);
            }
            story.extend([call, end]);
        }
        (ORACLE.check)(&fixture::over(network, &story))
    }

    #[test]
    fn where_clients_give_up_before_the_network_most_answers_are_judged_together() {
        let lossy = "loss = 0.2";
        assert_eq!(many(20, 3, lossy).violations, [], "a third is bad luck");
        assert_eq!(many(20, 3, lossy).undecided, None);
        let slow = many(20, 1, lossy).violations;
        assert!(slow[0].message.starts_with("20 of 2"), "{slow:?}");
        assert_eq!(many(20, 3, "").violations.len(), 7, "nothing is lost there");
        let hopeless = many(20, 1, "loss = 0.8");
        assert_eq!(
            (hopeless.violations, hopeless.undecided),
            (Vec::new(), None)
        );
    }

    #[test]
    fn a_client_that_waits_in_vain_is_a_late_answer_where_nothing_is_lost() {
        let story = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Answered { step, .. } = event {
                *event = Event::Unanswered {
                    step: *step,
                    sent: true,
                    cause: "timed out".to_owned(),
                    took_us: 10_000_000,
                };
            }
        });
        let late = |network: &str, patience_ms: f64| {
            let mut story = story.clone();
            for (at_ms, _, event) in &mut story {
                if matches!(event, Event::Unanswered { .. }) {
                    *at_ms += 10_000;
                }
            }
            story.sort_by_key(|(at_ms, ..)| *at_ms);
            let story = fixture::given(story, |tables| {
                tables.workload.client_timeout_ms = patience_ms;
            });
            (ORACLE.check)(&fixture::over(network, &story))
        };
        let found = late("", 10_000.0);
        assert_eq!(
            found.violations[0].message,
            "a-1: no answer within 10000 ms"
        );
        for (network, patience_ms) in [("loss = 0.8", 10_000.0), ("", 20.0)] {
            let found = late(network, patience_ms);
            assert_eq!(found.violations, [], "{network}");
            assert!(found.undecided.is_some(), "{network}");
        }
    }

    #[test]
    fn an_api_that_waits_for_the_provider_or_delivers_is_caught() {
        let bad = fixture::edit(fixture::confirmed(), |event| {
            if let Event::Answered { answer, .. } = event {
                answer.state = Some(State::Confirmed);
            }
        });
        fixture::catches(&ORACLE, &bad, "has waited for the provider");
        let mut bad = fixture::confirmed();
        bad.push((17, "api-1", fixture::started("book")));
        fixture::catches(&ORACLE, &bad, "api-1: a delivery was started there");
    }
}
