//! `rehearsal metrics`: the figures of a session and of a replay, aggregated into one small file.
//!
//! **Invariant**: counts are sums over the runs and percentiles are the worst of the runs, never a percentile of percentiles. Every figure is
//! read from the two result files; nothing is measured here.

use std::{fs, path::Path};

use rehearsal_sim::{report::Results, scenario, verdict::Verdict};
use serde_json::{Map, Value, json};

use super::replay;
use crate::{
    artifact::Artifacts, exit::Exit, flags::MetricsFlags, printer::Printer, problem::Problem,
};

/// The format's name and major version.
const FORMAT: &str = "rehearsal.metrics/1";

/// The name of what is written.
const METRICS: &str = "metrics.json";

/// The parts of a run's record that are counts, or tables of counts.
const COUNTS: [&str; 6] = [
    "requests",
    "states",
    "retries",
    "compensations",
    "dead_letters",
    "breaker",
];

/// The latencies of a run's record.
const LATENCIES: [&str; 2] = ["api", "confirm"];

/// The parts of a replay's result that are figures.
const REPLAY_FIGURES: [&str; 7] = [
    "verdict",
    "capture",
    "accounting",
    "pairs",
    "mismatch_rate",
    "coverage",
    "latency_ms",
];

/// Aggregates, prints and writes.
///
/// # Errors
/// A result file that cannot be used.
pub(super) fn metrics(flags: &MetricsFlags, printer: Printer) -> Result<Exit, Problem> {
    let results: Results = document(&flags.results, rehearsal_sim::report::FORMAT)?;
    let mut metrics = aggregate(&results);
    if let Some(file) = &flags.replay {
        let replay: Map<String, Value> = document(file, rehearsal_replay::report::FORMAT)?;
        let figures = REPLAY_FIGURES
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), replay.get(*key)?.clone())));
        metrics.insert("replay".to_owned(), Value::Object(figures.collect()));
    }
    let mut text = serde_json::to_string_pretty(&metrics).expect("figures are plain data");
    text.push('\n');
    Artifacts::new(&flags.out)?.write(METRICS, text.as_bytes())?;
    printer.data(&text)?;
    printer.talk(&format!(
        "  metrics   {}",
        flags.out.join(METRICS).display()
    ));
    Ok(Exit::Pass)
}

/// Reads one of our JSON documents and makes sure that it is the one.
fn document<T: serde::de::DeserializeOwned>(file: &Path, format: &str) -> Result<T, Problem> {
    let bytes = fs::read(file).map_err(|error| {
        Problem::unreadable(file, &error).hint(format!(
            "`rehearsal run` writes results_post.json, `rehearsal replay` writes {}",
            replay::RESULT
        ))
    })?;
    let refuse = |message: String| Problem::usage(format!("{}: {message}", file.display()));
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    scenario::check_format(value.get("format").and_then(Value::as_str), format).map_err(refuse)?;
    serde_json::from_value(value).map_err(|error| refuse(error.to_string()))
}

fn aggregate(results: &Results) -> Map<String, Value> {
    let runs = &results.runs;
    let mut counts: Map<String, Value> = Map::new();
    for name in COUNTS {
        let total = runs
            .iter()
            .filter_map(|run| run.summary.get(name))
            .fold(Value::Null, sum);
        counts.insert(name.to_owned(), total);
    }
    let attempts = || runs.iter().filter_map(|run| run.summary.get("attempts"));
    let histogram = attempts()
        .filter_map(|it| it.get("histogram"))
        .fold(Value::Null, sum);
    let most = attempts()
        .filter_map(|it| it.get("max")?.as_f64())
        .reduce(f64::max);
    counts.insert(
        "attempts".to_owned(),
        json!({"max": most, "histogram": histogram}),
    );
    let worst = |which: &str, percentile: &str| {
        let values = runs.iter().filter_map(|run| {
            run.summary
                .get("latency_ms")?
                .get(which)?
                .get(percentile)?
                .as_f64()
        });
        values.reduce(f64::max)
    };
    let latency = |which: &str| {
        let of: Map<String, Value> = ["p50", "p95", "p99", "max"]
            .iter()
            .map(|it| ((*it).to_owned(), json!(worst(which, it))))
            .collect();
        (which.to_owned(), Value::Object(of))
    };
    let slo = || runs.iter().flat_map(|run| &run.slo);
    let kept = slo().filter(|slo| slo.verdict == Verdict::Pass).count();
    let mut metrics = Map::new();
    for (name, value) in [
        ("format", json!(FORMAT)),
        ("verdict", json!(results.verdict)),
        ("summary", json!(results.summary)),
        (
            "virtual_ms",
            json!(runs.iter().map(|run| run.virtual_ms).sum::<u64>()),
        ),
        ("counts", Value::Object(counts)),
        (
            "worst_latency_ms",
            Value::Object(LATENCIES.into_iter().map(latency).collect()),
        ),
        ("slo", json!({"kept": kept, "missed": slo().count() - kept})),
        ("timing", json!({"wall_ms": results.timing.wall_ms})),
    ] {
        metrics.insert(name.to_owned(), value);
    }
    metrics
}

/// The sum of two figures: numbers add up, tables add up key by key. A rate is no count: it is left out.
fn sum(total: Value, value: &Value) -> Value {
    match (total, value) {
        (total, Value::Object(value)) => {
            let mut total = match total {
                Value::Object(total) => total,
                _ => Map::new(),
            };
            for (key, value) in value.iter().filter(|(key, _)| !key.contains("rate")) {
                let so_far = total.remove(key).unwrap_or(Value::Null);
                total.insert(key.clone(), sum(so_far, value));
            }
            Value::Object(total)
        }
        (total, value) => match (total.as_u64(), value.as_u64()) {
            (so_far, Some(value)) => json!(so_far.unwrap_or(0) + value),
            _ => json!(total.as_f64().unwrap_or(0.0) + value.as_f64().unwrap_or(0.0)),
        },
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_sim::verdict::Record;

    use super::*;

    fn run(confirmed: u64, p95: f64) -> Record {
        let summary = json!({
            "requests": {"sent": 10},
            "states": {"confirmed": confirmed},
            "retries": 2,
            "breaker": {"acme": {"opened": 1, "open_ms": 10, "open_rate_per_min": 0.5}},
            "attempts": {"max": confirmed, "histogram": {"1": 9, "2": 1}},
            "latency_ms": {"api": {"p95": p95}},
        });
        Record {
            scenario: "s".to_owned(),
            seed: 1,
            verdict: Verdict::Pass,
            digest: String::new(),
            virtual_ms: 500,
            converge_ms: None,
            summary: summary.as_object().expect("an object").clone(),
            faults: Vec::new(),
            oracles: Vec::new(),
            slo: Vec::new(),
            expect: Vec::new(),
        }
    }

    #[test]
    fn counts_add_up_and_percentiles_are_the_worst() {
        let metrics = aggregate(&Results::new(vec![(run(3, 12.5), 1), (run(4, 10.0), 1)], 2));
        let counts = &metrics["counts"];
        assert_eq!(counts["requests"], json!({"sent": 20}));
        assert_eq!(counts["states"], json!({"confirmed": 7}));
        assert_eq!(counts["retries"], json!(4));
        assert_eq!(
            counts["breaker"],
            json!({"acme": {"opened": 2, "open_ms": 20}})
        );
        assert_eq!(
            counts["attempts"],
            json!({"max": 4.0, "histogram": {"1": 18, "2": 2}})
        );
        assert_eq!(counts["dead_letters"], Value::Null);
        assert_eq!(metrics["worst_latency_ms"]["api"]["p95"], json!(12.5));
        assert_eq!(metrics["virtual_ms"], json!(1000));
    }
}
