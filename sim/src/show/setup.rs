//! What a plan sets up, in sentences.
//!
//! **Invariant**: nothing is said that is not in the plan. What the system's tables mean, its first event tells.

use serde::Serialize;
use serde_json::Value;

use crate::{
    fault::Fault,
    plan::Plan,
    range::Latency,
    system::{System, Tables as _},
};

/// The setup of `plan`.
pub(super) fn of<S: System>(plan: &Plan<S>) -> Vec<String> {
    let mut lines = vec![
        format!("{}, seed {}: {}", plan.scenario, plan.seed, plan.question),
        format!("hosts: {}", plan.system.hosts().join(", ")),
    ];
    let loss = if plan.network.loss > 0.0 {
        format!(", {} % of segments lost", plan.network.loss * 100.0)
    } else {
        ", nothing lost".to_owned()
    };
    lines.push(format!(
        "network: {} one way{loss}",
        latency(&plan.network.latency)
    ));
    let clients: std::collections::BTreeSet<u32> =
        plan.steps.iter().map(|step| step.client).collect();
    let times = plan.steps.iter().map(|step| step.at_ms);
    if let (Some(first), Some(last)) = (times.clone().min(), times.max()) {
        lines.push(format!(
            "{} by {}, from {} to {}",
            counted(plan.steps.len(), "operation"),
            counted(clients.len(), "client"),
            seconds(first),
            seconds(last)
        ));
    }
    for (number, one) in plan.faults.iter().enumerate() {
        lines.push(format!(
            "fault {number}: {}, from {} to {}",
            fault(one),
            seconds(one.at_ms),
            seconds(one.until_ms)
        ));
    }
    if plan.faults.is_empty() {
        lines.push("no planned fault".to_owned());
    }
    if let Some(fork) = plan.fork {
        lines.push(format!(
            "from {} on, chance follows seed {}",
            seconds(fork.at_ms),
            fork.seed
        ));
    }
    if let Some(found) = &plan.found {
        lines.push(format!(
            "found: oracle {}, fingerprint {}, by {}",
            found.oracle, found.fingerprint, found.how
        ));
    }
    lines
}

/// A fault, in words: its kind with its settings, and where.
pub fn fault(fault: &Fault) -> String {
    let mut words = kind(&fault.kind);
    if !fault.targets.is_empty() {
        words.push_str(" of ");
        words.push_str(&fault.targets.join(", "));
    }
    if !fault.peers.is_empty() {
        words.push_str(if fault.targets.is_empty() {
            " of "
        } else {
            " and "
        });
        words.push_str(&fault.peers.join(", "));
    }
    words
}

/// A kind of fault as it stands in a plan, so that a new one needs no words of its own.
fn kind(kind: &impl Serialize) -> String {
    let value = serde_json::to_value(kind).expect("a fault is plain data");
    let (name, settings) = match &value {
        Value::Object(map) => map
            .iter()
            .next()
            .map_or((String::new(), String::new()), |(name, settings)| {
                (name.clone(), settings_in_words(settings))
            }),
        Value::String(name) => (name.clone(), String::new()),
        other => (other.to_string(), String::new()),
    };
    let name = name.replace('_', " ");
    if settings.is_empty() {
        name
    } else {
        format!("{name} ({settings})")
    }
}

fn settings_in_words(value: &Value) -> String {
    let Value::Object(map) = value else {
        return match value {
            Value::Null => String::new(),
            Value::String(text) => text.replace('_', " "),
            other => other.to_string(),
        };
    };
    let words = map.iter().filter(|(_, value)| {
        !matches!(value, Value::Null | Value::Bool(false))
            && !value.as_object().is_some_and(serde_json::Map::is_empty)
    });
    let words = words.map(|(key, value)| {
        let key = key.replace('_', " ");
        match value {
            Value::Bool(true) => key,
            value => format!("{key} {}", settings_in_words(value)),
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

fn latency(latency: &Latency) -> String {
    match latency {
        Latency::FixedMs(ms) => format!("{ms} ms"),
        Latency::UniformMs([low, high]) => format!("{low} to {high} ms"),
        Latency::LognormalMs(percentiles) => format!(
            "{} ms in the median, {} ms at the 95th percentile",
            percentiles.p50, percentiles.p95
        ),
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Crash, Kind};

    #[test]
    fn faults_are_told_by_kind_settings_and_place() {
        let check = |kind: Kind, peers: &[&str], expect: &str| {
            let one = Fault {
                at_ms: 1,
                until_ms: 2,
                when: None,
                targets: vec!["worker-1".to_owned()],
                peers: peers.iter().map(ToString::to_string).collect(),
                kind,
            };
            assert_eq!(fault(&one), expect);
        };
        let lost = Kind::Crash {
            mode: Crash::PowerLoss,
        };
        check(lost, &[], "crash (mode power loss) of worker-1");
        check(
            Kind::Partition { one_way: false },
            &["api-1", "database"],
            "partition of worker-1 and api-1, database",
        );
        let slow = Kind::Latency {
            latency: Latency::FixedMs(5.0),
        };
        check(
            slow,
            &["database"],
            "latency (latency fixed ms 5.0) of worker-1 and database",
        );
    }
}
