//! Joins the explorations of all shards into the one that an unsharded run would have made.
//!
//! **Invariant**: every shard is there once, and all explored the same with the same version; anything else is refused, not repaired.
//! Counts are added, firsts are the earliest, and the order of the inputs does not matter.

use std::collections::BTreeMap;

use super::{Exploration, Found, MOST_BROKEN, MOST_DIVERGED, Place, Subject};

/// Why explorations cannot be joined; for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MergeError(String);

/// Joins `parts`; the names are for messages.
///
/// # Errors
/// [`MergeError`]: shards that are missing, that overlap, or that explored something else.
pub fn merge(parts: Vec<(String, Exploration)>) -> Result<Exploration, MergeError> {
    let mut parts = parts;
    check(&parts).map_err(MergeError)?;
    parts.sort_by_key(|(_, part)| part.shards[0].shard.index);
    let mut parts = parts.into_iter().map(|(_, part)| part);
    let mut whole = parts.next().expect("it was checked");
    for part in parts {
        whole.join(part);
    }
    whole.broken.truncate(MOST_BROKEN);
    whole.verification.diverged.truncate(MOST_DIVERGED);
    whole.conclude();
    Ok(whole)
}

fn check(parts: &[(String, Exploration)]) -> Result<(), String> {
    let Some((first_name, first)) = parts.first() else {
        return Err("found no exploration, expected one at least".to_owned());
    };
    let mut owners: BTreeMap<u32, &str> = BTreeMap::new();
    let Some(of) = first.shards.first().map(|one| one.shard.of.get()) else {
        return Err(format!(
            "{first_name}: found no shard, expected one at least"
        ));
    };
    for (name, part) in parts {
        if let Some((what, found, expected)) = difference(&part.subject, &first.subject) {
            return Err(format!(
                "{name}: found {what} {found}, expected {expected} as in {first_name}"
            ));
        }
        if !part
            .points
            .iter()
            .map(|it| &it.name)
            .eq(first.points.iter().map(|it| &it.name))
        {
            return Err(format!("{name}: its points are not those of {first_name}"));
        }
        if part.shards.is_empty() {
            return Err(format!("{name}: found no shard, expected one at least"));
        }
        for one in &part.shards {
            if one.shard.of.get() != of {
                return Err(format!(
                    "{name}: found shard {}, expected one of {of} as in {first_name}",
                    one.shard
                ));
            }
            if let Some(other) = owners.insert(one.shard.index, name) {
                return Err(format!("{name}: shard {} is also in {other}", one.shard));
            }
        }
    }
    let missing: Vec<String> = (1..=of)
        .filter(|index| !owners.contains_key(index))
        .map(|index| format!("{index}/{of}"))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "found {} of {of} shards, missing {}",
            owners.len(),
            missing.join(", ")
        ))
    }
}

/// The first thing in which two subjects differ: what, found, expected.
fn difference(found: &Subject, expected: &Subject) -> Option<(&'static str, String, String)> {
    let seeds = |subject: &Subject| match subject.to {
        Some(to) => format!("{}..{to}", subject.from),
        None => format!("{}..", subject.from),
    };
    let scenarios = |subject: &Subject| {
        let one = |it: &super::Explored| format!("{} ({:.12})", it.name, it.sha256);
        subject
            .scenarios
            .iter()
            .map(one)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let bounds = |subject: &Subject| {
        format!(
            "inconclusive {}, points {}",
            subject.inconclusive_limit,
            if subject.require_points {
                "required"
            } else {
                "not required"
            }
        )
    };
    let facts = |subject: &Subject| {
        [
            ("version", subject.version.clone()),
            ("engine", subject.engine.clone()),
            ("scenarios", scenarios(subject)),
            ("seeds", seeds(subject)),
            ("bounds", bounds(subject)),
        ]
    };
    facts(found)
        .into_iter()
        .zip(facts(expected))
        .find(|((_, found), (_, expected))| found != expected)
        .map(|((what, found), (_, expected))| (what, found, expected))
}

impl Exploration {
    fn join(&mut self, part: Self) {
        self.shards.extend(part.shards);
        let (sum, more) = (&mut self.summary, part.summary);
        sum.runs += more.runs;
        sum.passed += more.passed;
        sum.failed += more.failed;
        sum.inconclusive += more.inconclusive;
        sum.infrastructure += more.infrastructure;
        self.more_findings += part.more_findings;
        for found in part.findings {
            self.join_finding(found);
        }
        let order: Vec<String> = self
            .subject
            .scenarios
            .iter()
            .map(|it| it.name.clone())
            .collect();
        for (point, other) in self.points.iter_mut().zip(part.points) {
            point.runs += other.runs;
            point.first = match (point.first.take(), other.first) {
                (Some(one), Some(other)) if earlier(&order, &other, &one) => Some(other),
                (one, other) => one.or(other),
            };
        }
        for oracle in part.oracles {
            match self.oracles.iter_mut().find(|it| it.name == oracle.name) {
                None => self.oracles.push(oracle),
                Some(known) => {
                    known.runs += oracle.runs;
                    known.checked += oracle.checked;
                    known.failed += oracle.failed;
                }
            }
        }
        self.convergence_ms.merge(&part.convergence_ms);
        self.broken.extend(part.broken);
        self.broken.sort_by_key(|it| it.place.seed);
        self.verification.runs += part.verification.runs;
        self.verification
            .diverged
            .extend(part.verification.diverged);
        self.verification.diverged.sort_by_key(|it| it.place.seed);
        self.timing.wall_ms += part.timing.wall_ms;
    }

    fn join_finding(&mut self, found: Found) {
        let order: Vec<String> = self
            .subject
            .scenarios
            .iter()
            .map(|it| it.name.clone())
            .collect();
        let same = |known: &&mut Found| {
            known.fingerprint == found.fingerprint && known.oracle == found.oracle
        };
        match self.findings.iter_mut().find(same) {
            None => self.findings.push(found),
            Some(known) => {
                let runs = known.runs + found.runs;
                if earlier(&order, &found.first, &known.first) {
                    *known = found;
                }
                known.runs = runs;
            }
        }
    }
}

/// Whether an unsharded run would have come to `one` before `other`: seed by seed, and the scenarios of a seed in order.
fn earlier(order: &[String], one: &Place, other: &Place) -> bool {
    let key = |place: &Place| {
        let scenario = order.iter().position(|name| *name == place.scenario);
        (place.seed, scenario)
    };
    key(one) < key(other)
}
