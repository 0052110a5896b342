//! The measures that `[slo]` and `[expect]` may name.
//!
//! **Invariant**: a measure without samples is absent, never zero, so that nothing is judged that was not seen.

use std::collections::BTreeMap;

use super::tally::{Tally, percentile_ms};

type Measure = fn(&Tally) -> Option<f64>;

macro_rules! counts {
    ($($field:ident),*) => { [$((stringify!($field), (|tally: &Tally| Some(tally.$field as f64)) as Measure)),*] };
}

/// Plain counts: zero is a finding, too.
const COUNTS: [(&str, Measure); 13] = counts!(
    accepted,
    duplicate_hits,
    conflicts,
    rejected,
    unanswered,
    retries,
    compensations,
    dead_letters,
    outbox_depth,
    findings_open,
    leases_expired,
    timeouts,
    wanted
);

/// Everything else.
const OTHERS: [(&str, Measure); 17] = [
    ("requests_sent", |tally| Some(tally.sent as f64)),
    ("pending", |tally| Some(tally.states[0] as f64)),
    ("confirmed", |tally| Some(tally.states[1] as f64)),
    ("failed", |tally| Some(tally.states[2] as f64)),
    ("cancelled", |tally| Some(tally.states[3] as f64)),
    ("success_rate", |tally| {
        (tally.wanted > 0).then(|| tally.succeeded as f64 / tally.wanted as f64)
    }),
    ("api_p50_ms", |tally| percentile_ms(&tally.api_us, 0.5)),
    ("api_p95_ms", |tally| percentile_ms(&tally.api_us, 0.95)),
    ("api_p99_ms", |tally| percentile_ms(&tally.api_us, 0.99)),
    ("api_max_ms", |tally| percentile_ms(&tally.api_us, 1.0)),
    ("confirm_p50_ms", |tally| {
        percentile_ms(&tally.confirm_us, 0.5)
    }),
    ("confirm_p95_ms", |tally| {
        percentile_ms(&tally.confirm_us, 0.95)
    }),
    ("attempts_max", |tally| {
        tally.attempts.keys().max().map(|most| f64::from(*most))
    }),
    ("attempts_mean", attempts_mean),
    ("breaker_opened", |tally| {
        Some(
            tally
                .breakers
                .values()
                .map(|breaker| breaker.opened)
                .sum::<u64>() as f64,
        )
    }),
    ("breaker_closed", |tally| {
        Some(
            tally
                .breakers
                .values()
                .map(|breaker| breaker.closed)
                .sum::<u64>() as f64,
        )
    }),
    ("breaker_open_rate_per_min", |tally| {
        tally.open_rate_per_min(tally.breakers.values().map(|breaker| breaker.opened).sum())
    }),
];

fn attempts_mean(tally: &Tally) -> Option<f64> {
    let rows: u64 = tally.attempts.values().sum();
    let attempts: u64 = tally
        .attempts
        .iter()
        .map(|(attempts, rows)| u64::from(*attempts) * rows)
        .sum();
    (rows > 0).then(|| attempts as f64 / rows as f64)
}

/// Every name.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = COUNTS
        .iter()
        .chain(&OTHERS)
        .map(|(name, _)| *name)
        .collect();
    names.sort_unstable();
    names
}

/// Every measure of a run that has samples.
pub(super) fn of(tally: &Tally) -> BTreeMap<String, f64> {
    COUNTS
        .iter()
        .chain(&OTHERS)
        .filter_map(|(name, measure)| Some(((*name).to_owned(), measure(tally)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_nothing_is_made_up() {
        let mut unique = names();
        unique.dedup();
        assert_eq!(unique.len(), names().len());
        let empty = of(&Tally::default());
        for absent in [
            "success_rate",
            "api_p95_ms",
            "confirm_p95_ms",
            "attempts_max",
            "attempts_mean",
            "breaker_open_rate_per_min",
        ] {
            assert!(!empty.contains_key(absent), "{absent}");
        }
        assert!(empty["retries"].abs() < f64::EPSILON);
    }

    #[test]
    fn rates_and_means() {
        let tally = Tally {
            wanted: 4,
            succeeded: 3,
            attempts: BTreeMap::from([(1, 3), (5, 1)]),
            length_us: 120_000_000,
            breakers: BTreeMap::from([(
                "acme".to_owned(),
                super::super::tally::BreakerTally {
                    opened: 1,
                    closed: 0,
                    open_us: 5,
                },
            )]),
            ..Tally::default()
        };
        let measures = of(&tally);
        for (name, expect) in [
            ("success_rate", 0.75),
            ("attempts_mean", 2.0),
            ("attempts_max", 5.0),
            ("breaker_open_rate_per_min", 0.5),
        ] {
            assert!(
                (measures[name] - expect).abs() < 1e-9,
                "{name} {}",
                measures[name]
            );
        }
    }
}
