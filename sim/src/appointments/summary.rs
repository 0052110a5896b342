//! A run's own part of the results file.
//!
//! **Invariant**: the shape is the contract of `rehearsal.results/1`; every field is there in every run, but for `planted`.

use std::collections::BTreeMap;

use rehearsal_core::appointment::State;
use serde_json::{Map, Value, json};

use super::{
    planted::Defect,
    tally::{Tally, percentile_ms},
};

/// The summary. A run with a planted defect says so, so that nobody takes its record for the service's own.
pub(super) fn of(tally: &Tally, planted: Option<Defect>) -> Map<String, Value> {
    let states: BTreeMap<&str, u64> = State::ALL
        .iter()
        .map(|state| (state.as_str(), tally.states[*state as usize]))
        .collect();
    let histogram: Map<String, Value> = tally
        .attempts
        .iter()
        .map(|(attempts, rows)| (attempts.to_string(), json!(rows)))
        .collect();
    let breaker = |(provider, breaker): (&String, &super::tally::BreakerTally)| {
        let figures = json!({
            "opened": breaker.opened,
            "open_ms": breaker.open_us / 1000,
            "open_rate_per_min": tally.open_rate_per_min(breaker.opened).map(rounded),
        });
        (provider.clone(), figures)
    };
    let fields = json!({
        "requests": {
            "sent": tally.sent,
            "accepted": tally.accepted,
            "duplicate_hits": tally.duplicate_hits,
            "rejected": tally.rejected,
        },
        "states": states,
        "attempts": { "max": tally.attempts.keys().max().copied().unwrap_or(0), "histogram": histogram },
        "retries": tally.retries,
        "compensations": tally.compensations,
        "dead_letters": tally.dead_letters,
        "outbox_depth": tally.outbox_depth,
        "breaker": tally.breakers.iter().map(breaker).collect::<Map<String, Value>>(),
        "latency_ms": { "api": latency(&tally.api_us), "confirm": latency(&tally.confirm_us) },
    });
    let Value::Object(mut fields) = fields else {
        unreachable!("the value above is an object")
    };
    if let Some(defect) = planted {
        fields.insert("planted".to_owned(), json!(defect));
    }
    fields
}

fn latency(values: &[u64]) -> Value {
    json!({
        "p50": percentile_ms(values, 0.5),
        "p95": percentile_ms(values, 0.95),
        "p99": percentile_ms(values, 0.99),
        "max": percentile_ms(values, 1.0),
    })
}

/// Three decimals: what a reader can use, and the same bytes in every build.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_contract_is_there_even_in_an_empty_run() {
        let summary = of(&Tally::default(), None);
        let keys: Vec<_> = summary.keys().map(String::as_str).collect();
        let mut contract = [
            "requests",
            "states",
            "attempts",
            "retries",
            "compensations",
            "dead_letters",
            "outbox_depth",
            "breaker",
            "latency_ms",
        ];
        contract.sort_unstable();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, contract);
        assert_eq!(
            summary["states"],
            json!({ "pending": 0, "confirmed": 0, "failed": 0, "cancelled": 0 })
        );
        assert_eq!(summary["latency_ms"]["api"]["p95"], Value::Null);
    }
}
