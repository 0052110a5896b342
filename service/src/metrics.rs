//! Metrics of one running service, rendered as Prometheus text.
//!
//! **Invariant**: a registry belongs to one instance, never to the process: two services in one process do not mix their figures, and
//! rendering twice without an update in between gives the same bytes. No label ever carries an id, a name or an email.
//! It deliberately does not aggregate, push or keep time series.

use std::{
    fmt::{Display, Write},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// A figure that only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Submissions by what their idempotency key said: `new`, `replay`, `conflict`, or `rejected` when the id was taken.
    Idempotency,
    /// Delivery attempts by destination and outcome.
    OutboxAttempts,
    /// Attempts that will be followed by another, by destination; those put off without counting are not in it.
    Retries,
    /// Settles that a newer lease had overtaken.
    StaleSettles,
    /// Leases that ran out and were claimed again.
    LeaseExpired,
    /// Entries given up, by destination and kind.
    DeadLetters,
    /// Compensating cancels queued.
    Compensations,
    /// Breaker transitions by provider, from and to.
    BreakerTransitions,
    /// Attempts that an open breaker put off, by provider.
    BreakerRejected,
    /// Steps of the appointment lifecycle.
    SagaTransitions,
    /// Discrepancies that the auditor saw for the first time, by kind.
    AuditorBreaks,
    /// Repairs that the auditor queued, by kind.
    AuditorRepairs,
    /// Audit sweeps by result: `complete` or `incomplete`.
    AuditorSweeps,
    /// Panics caught in a delivery.
    WorkerPanics,
}

/// Name, help and label names of a figure.
type Definition = (&'static str, &'static str, &'static [&'static str]);

impl Counter {
    const ALL: [Self; 14] = [
        Self::AuditorBreaks,
        Self::AuditorRepairs,
        Self::AuditorSweeps,
        Self::BreakerRejected,
        Self::BreakerTransitions,
        Self::Compensations,
        Self::DeadLetters,
        Self::Idempotency,
        Self::OutboxAttempts,
        Self::LeaseExpired,
        Self::StaleSettles,
        Self::Retries,
        Self::SagaTransitions,
        Self::WorkerPanics,
    ];

    const fn definition(self) -> Definition {
        match self {
            Self::AuditorBreaks => (
                "appt_auditor_breaks_total",
                "Discrepancies seen for the first time.",
                &["kind"],
            ),
            Self::AuditorRepairs => (
                "appt_auditor_repairs_total",
                "Repairs queued by the auditor.",
                &["kind"],
            ),
            Self::AuditorSweeps => (
                "appt_auditor_sweeps_total",
                "Audit sweeps of one provider.",
                &["result"],
            ),
            Self::BreakerRejected => (
                "appt_breaker_rejected_total",
                "Attempts put off by an open breaker.",
                &["provider"],
            ),
            Self::BreakerTransitions => (
                "appt_breaker_transitions_total",
                "Breaker transitions.",
                &["provider", "from", "to"],
            ),
            Self::Compensations => (
                "appt_compensations_total",
                "Compensating cancels queued.",
                &[],
            ),
            Self::DeadLetters => (
                "appt_dead_letters_total",
                "Outbox entries given up.",
                &["destination", "kind"],
            ),
            Self::Idempotency => (
                "appt_idempotency_total",
                "Submissions by what their idempotency key said.",
                &["result"],
            ),
            Self::OutboxAttempts => (
                "appt_outbox_attempts_total",
                "Delivery attempts.",
                &["destination", "outcome"],
            ),
            Self::LeaseExpired => (
                "appt_outbox_lease_expired_total",
                "Leases that ran out and were claimed again.",
                &[],
            ),
            Self::StaleSettles => (
                "appt_outbox_stale_settles_total",
                "Settles refused because a newer lease exists.",
                &[],
            ),
            Self::Retries => (
                "appt_retries_total",
                "Attempts that will be followed by another.",
                &["destination"],
            ),
            Self::SagaTransitions => (
                "appt_saga_transitions_total",
                "Steps of the appointment lifecycle.",
                &["from", "to"],
            ),
            Self::WorkerPanics => (
                "appt_worker_panics_total",
                "Panics caught in a delivery.",
                &[],
            ),
        }
    }
}

/// A figure that is read when the metrics are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    /// Its name, such as `appt_outbox_depth`.
    pub name: &'static str,
    /// What it measures.
    pub help: &'static str,
    /// Label names, and for each row of figures the label values.
    pub labels: &'static [&'static str],
    /// The rows; rendering sorts them.
    pub rows: Vec<(Vec<String>, f64)>,
}

/// Upper bounds of the request duration's buckets, in seconds: around the 200 ms objective, and wide enough for a hanging store.
const BUCKETS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0,
];

#[derive(Debug, Default, Clone)]
struct Histogram {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum_seconds: f64,
}

#[derive(Debug, Default)]
struct Registry {
    // Label sets are few, so a scan beats a map and allocates nothing for one that is known.
    counters: [Vec<(Vec<String>, u64)>; Counter::ALL.len()],
    durations: Vec<(Vec<String>, Histogram)>,
}

/// The registry of one service instance.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Registry>);

impl Metrics {
    /// Adds one to `counter` under these label values, in the order of its label names.
    pub fn count(&self, counter: Counter, labels: &[&str]) {
        debug_assert_eq!(labels.len(), counter.definition().2.len());
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *row(&mut registry.counters[counter as usize], labels) += 1;
    }

    /// The counter's value under these label values; zero when it was never counted.
    pub fn value(&self, counter: Counter, labels: &[&str]) -> u64 {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        registry.counters[counter as usize]
            .iter()
            .find(|(known, _)| known == labels)
            .map_or(0, |(_, value)| *value)
    }

    /// Records an HTTP request that took `took`.
    pub fn observe_request(&self, route: &str, method: &str, code: &str, took: Duration) {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = row(&mut registry.durations, &[route, method, code]);
        let seconds = took.as_secs_f64();
        histogram.count += 1;
        histogram.sum_seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            histogram.buckets[bucket] += 1;
        }
    }

    /// Everything as Prometheus text (version 0.0.4), with the given gauges beside the counters.
    pub fn render(&self, gauges: &[Gauge]) -> String {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::with_capacity(4096);
        for counter in Counter::ALL {
            let (name, help, labels) = counter.definition();
            header(&mut text, name, help, "counter");
            let mut rows: Vec<_> = registry.counters[counter as usize].iter().collect();
            rows.sort();
            if rows.is_empty() && labels.is_empty() {
                let _ = writeln!(text, "{name} 0");
            }
            for (values, value) in rows {
                sample(&mut text, (name, ""), labels, values, None);
                let _ = writeln!(text, " {value}");
            }
        }
        for gauge in gauges {
            header(&mut text, gauge.name, gauge.help, "gauge");
            let mut rows: Vec<_> = gauge.rows.iter().collect();
            rows.sort_by(|left, right| left.0.cmp(&right.0));
            for (values, value) in rows {
                sample(&mut text, (gauge.name, ""), gauge.labels, values, None);
                let _ = writeln!(text, " {value}");
            }
        }
        render_durations(&mut text, &registry.durations);
        text
    }
}

fn row<'a, V: Default>(rows: &'a mut Vec<(Vec<String>, V)>, labels: &[&str]) -> &'a mut V {
    let at = rows.iter().position(|(known, _)| known == labels);
    let at = at.unwrap_or_else(|| {
        let values = labels.iter().map(|label| (*label).to_owned()).collect();
        rows.push((values, V::default()));
        rows.len() - 1
    });
    &mut rows[at].1
}

fn render_durations(text: &mut String, durations: &[(Vec<String>, Histogram)]) {
    const NAME: &str = "appt_http_request_duration_seconds";
    const LABELS: [&str; 3] = ["route", "method", "code"];
    header(text, NAME, "Time to answer an HTTP request.", "histogram");
    let mut rows: Vec<_> = durations.iter().collect();
    rows.sort_by(|left, right| left.0.cmp(&right.0));
    for (values, histogram) in rows {
        let mut below = 0;
        for (bound, count) in BUCKETS.iter().zip(histogram.buckets) {
            below += count;
            sample(text, (NAME, "_bucket"), &LABELS, values, Some(bound));
            let _ = writeln!(text, " {below}");
        }
        sample(text, (NAME, "_bucket"), &LABELS, values, Some(&"+Inf"));
        let _ = writeln!(text, " {}", histogram.count);
        sample(text, (NAME, "_sum"), &LABELS, values, None);
        let _ = writeln!(text, " {}", histogram.sum_seconds);
        sample(text, (NAME, "_count"), &LABELS, values, None);
        let _ = writeln!(text, " {}", histogram.count);
    }
}

fn header(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A line up to its figure: the name, in two parts, and its labels. Straight into `text`: a scrape is hundreds of lines.
fn sample(
    text: &mut String,
    (name, part): (&str, &str),
    labels: &[&str],
    values: &[String],
    le: Option<&dyn Display>,
) {
    text.push_str(name);
    text.push_str(part);
    let mut open = '{';
    for (label, value) in labels.iter().zip(values) {
        text.push(open);
        text.push_str(label);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
        open = ',';
    }
    if let Some(bound) = le {
        let _ = write!(text, "{open}le=\"{bound}\"");
        open = ',';
    }
    if open == ',' {
        text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_counting_does_not_show() {
        let (one, other) = (Metrics::default(), Metrics::default());
        for provider in ["acme", "zeta"] {
            one.count(Counter::Retries, &[provider]);
        }
        for provider in ["zeta", "acme"] {
            other.count(Counter::Retries, &[provider]);
        }
        assert_eq!(one.render(&[]), other.render(&[]));
        assert!(
            one.render(&[])
                .contains("appt_retries_total{destination=\"acme\"} 1\n")
        );
        assert_eq!(one.value(Counter::Retries, &["acme"]), 1);
        assert_eq!(one.value(Counter::Retries, &["nobody"]), 0);
    }

    #[test]
    fn buckets_are_cumulative() {
        let metrics = Metrics::default();
        for millis in [1, 4, 150, 20_000] {
            let took = Duration::from_millis(millis);
            metrics.observe_request("/v1/appointments", "POST", "202", took);
        }
        let text = metrics.render(&[]);
        let line = |bound: &str| {
            format!(
                "_bucket{{route=\"/v1/appointments\",method=\"POST\",code=\"202\",le=\"{bound}\"}}"
            )
        };
        assert!(text.contains(&format!("{} 2\n", line("0.005"))), "{text}");
        assert!(text.contains(&format!("{} 3\n", line("0.2"))), "{text}");
        assert!(text.contains(&format!("{} 4\n", line("+Inf"))), "{text}");
    }

    #[test]
    fn label_values_are_escaped_and_gauges_sorted() {
        let gauge = Gauge {
            name: "appt_dlq_entries",
            help: "Dead letters.",
            labels: &["destination"],
            rows: vec![(vec!["z".into()], 1.0), (vec!["a\"b".into()], 2.5)],
        };
        let text = Metrics::default().render(&[gauge]);
        let first = text.find("destination=\"a\\\"b\"} 2.5").unwrap();
        assert!(first < text.find("destination=\"z\"} 1").unwrap(), "{text}");
    }
}
