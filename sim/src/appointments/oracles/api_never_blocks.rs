//! The API answers at its own pace, whatever the provider does: it never waits for a provider, and it never calls one.

use rehearsal_core::{appointment::State, log::Evt};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, exchanges, fault_spans, logs},
        operation::Operation,
        paths::Paths,
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "api_never_blocks",
    property: "every answer comes within a second, and what the configured network and database take, unless the API's own hosts or links were disturbed, and no API host delivers",
    check,
};

/// An answer that takes longer waited for something: five times the objective of 200 ms, for networks that draw badly.
const LONGEST_US: u64 = 1_000_000;
/// What a disturbance leaves behind (retransmissions, leases, restarts) may last this long and as long again as itself.
const AFTERMATH_US: u64 = 5_000_000;

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
    let longest_us = LONGEST_US.saturating_add(Paths::of(trace).late_answer_us());
    for exchange in exchanges(trace) {
        let Some(answer) = exchange.answer else {
            continue;
        };
        let slow = answer.took_us > longest_us && !disturbed(exchange.from_us, exchange.to_us);
        let probe;
        let what = match exchange.operation {
            Operation::Submit(submission) => &submission.id,
            Operation::Cancel { id } | Operation::Read { id } => id,
            Operation::Probe { endpoint, .. } => {
                probe = format!("{endpoint:?}");
                &probe
            }
        };
        let submitted = matches!(exchange.operation, Operation::Submit(_)) && answer.status == 202;
        let wrong = if slow {
            Some(format!(
                "{what}: the answer took {} ms",
                answer.took_us / 1000
            ))
        } else if submitted && answer.state != Some(State::Pending) {
            Some(format!(
                "{what}: accepted as {:?}: the API has waited for the provider",
                answer.state
            ))
        } else {
            None
        };
        findings.examine(exchange.to_us, wrong);
    }
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
