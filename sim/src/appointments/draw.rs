//! Draws the workload: every operation with its time, client and content.
//!
//! **Invariant**: each request draws from streams of its own, by number and dimension, so a change of one share or of the count leaves every
//! other request as it was. It decides nothing about the service or the network.

use rand::RngExt;

use super::{
    operation::{Endpoint, Operation, Submission},
    tables::Tables,
    workload::{Arrival, Workload},
};
use crate::{chance::Chance, system::Step};

/// Draws what the tables leave open, and the operations.
///
/// # Errors
/// A sentence that names the key, what was found and what was expected.
pub(super) fn draw(tables: &mut Tables, chance: &Chance) -> Result<Vec<Step<Operation>>, String> {
    for (name, provider) in &mut tables.providers {
        provider.draw(&chance.named("provider").named(name));
    }
    tables.database.draw(&chance.named("database"));
    tables.service.draw(&chance.named("service"));
    let requests = tables
        .workload
        .requests
        .draw(&mut chance.named("requests").rng())
        .round();
    tables.workload.requests = crate::range::Range::fixed(requests);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the table's check bounds it to 1 to 200,000"
    )]
    let requests = requests as u64;
    let arrivals = arrivals(&tables.workload, requests, &chance.named("arrival"))?;
    let mut steps = Vec::new();
    for (n, at_ms) in (1..).zip(arrivals) {
        request(
            tables,
            n,
            at_ms,
            &chance.named("request").named(n),
            &mut steps,
        );
    }
    steps.sort_by_key(|step| step.at_ms);
    for (id, step) in (0..).zip(&mut steps) {
        step.id = id;
    }
    Ok(steps)
}

/// Longest time that a workload may span: a week.
const LONGEST_MS: f64 = 7.0 * 86_400_000.0;

fn arrivals(workload: &Workload, requests: u64, chance: &Chance) -> Result<Vec<u64>, String> {
    let mut rng = chance.rng();
    let mut at = 0.0;
    let mut times = Vec::new();
    for n in 0..requests {
        match workload.arrival {
            Arrival::PoissonPerS(rate) => at += -(1.0 - rng.random::<f64>()).ln() / rate * 1000.0,
            Arrival::EveryMs(every) => at = every * n as f64,
            Arrival::Burst { size, every_s } => {
                at = (n / u64::from(size)) as f64 * every_s * 1000.0;
            }
        }
        if at > LONGEST_MS {
            return Err(format!(
                "workload.arrival: the {requests} requests take over {} s, expected a week at most",
                LONGEST_MS / 1000.0
            ));
        }
        times.push(millis(at));
    }
    Ok(times)
}

/// One request and what follows it.
fn request(tables: &Tables, n: u64, at_ms: u64, chance: &Chance, steps: &mut Vec<Step<Operation>>) {
    let workload = &tables.workload;
    let clients = tables.topology.clients;
    let provider = pick(tables, chance.named("provider").rng().random());
    let submission = Submission::new(n, &provider);
    let client = u32::try_from(n % u64::from(clients)).expect("fewer than clients");
    let mut push = |at_ms, client, operation| {
        steps.push(Step {
            id: 0,
            at_ms,
            client: client % clients,
            operation,
        });
    };
    push(at_ms, client, Operation::Submit(submission.clone()));
    if strikes(workload.concurrent_duplicates, || {
        chance.named("concurrent_duplicate")
    }) {
        push(at_ms, client + 1, Operation::Submit(submission.clone()));
    }
    for (name, share) in [
        ("duplicate", workload.duplicates),
        ("conflict", workload.conflicts),
        ("cancel", workload.cancels),
        ("read", workload.reads),
        ("probe", workload.probes),
        ("redrive", workload.redrives),
    ] {
        if !strikes(share, || chance.named(name)) {
            continue;
        }
        let chance = chance.named(name);
        let after = workload.follow_s.draw(&mut chance.named("after").rng()) * 1000.0;
        let id = submission.id.clone();
        let (client, operation) = match name {
            "duplicate" => (client + 1, Operation::Submit(submission.clone())),
            "conflict" => {
                let way = chance
                    .named("way")
                    .rng()
                    .random_range(0..Submission::CONFLICTS);
                (client + 1, Operation::Submit(submission.conflicting(way)))
            }
            "cancel" => (client, Operation::Cancel { id }),
            "read" => (client, Operation::Read { id }),
            "probe" => {
                let drawn = chance
                    .named("endpoint")
                    .rng()
                    .random_range(0..Endpoint::PROBES.len());
                let endpoint = Endpoint::PROBES[drawn];
                (client, Operation::Probe { endpoint, n })
            }
            _ => {
                // Outbox entries are numbered from 1, and each request has one at least.
                let n = chance.named("entry").rng().random_range(1..=n);
                let endpoint = Endpoint::Redrive;
                (client, Operation::Probe { endpoint, n })
            }
        };
        push(at_ms + millis(after), client, operation);
    }
}

/// Whether what befalls this share of all befalls this one; what befalls none is not drawn.
fn strikes(share: f64, chance: impl FnOnce() -> Chance) -> bool {
    share > 0.0 && chance().rng().random::<f64>() < share
}

fn pick(tables: &Tables, draw: f64) -> String {
    let mix = &tables.workload.mix;
    let weight = |name: &String| {
        if mix.is_empty() {
            1.0
        } else {
            mix.get(name).copied().unwrap_or(0.0)
        }
    };
    let sum: f64 = tables.providers.keys().map(weight).sum();
    let mut left = draw * sum;
    let mut last = None;
    for name in tables.providers.keys().filter(|name| weight(name) > 0.0) {
        last = Some(name);
        left -= weight(name);
        if left < 0.0 {
            break;
        }
    }
    last.expect("the tables' check demands a provider with some weight")
        .clone()
}

fn millis(ms: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "callers bound it to 0 and a few weeks"
    )]
    let whole = ms.round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{appointments::provider::Provider, range::Range};

    fn tables(change: impl FnOnce(&mut Workload)) -> Tables {
        let mut tables = Tables::default();
        tables.topology.clients = 3;
        tables.workload.requests = Range::fixed(200.0);
        change(&mut tables.workload);
        tables
    }

    fn drawn(change: impl FnOnce(&mut Workload), seed: u64) -> Vec<Step<Operation>> {
        draw(&mut tables(change), &Chance::new(seed)).unwrap()
    }

    fn submissions(steps: &[Step<Operation>]) -> Vec<(u64, Submission)> {
        let submission = |step: &Step<Operation>| match &step.operation {
            Operation::Submit(submission) => Some((step.at_ms, submission.clone())),
            _ => None,
        };
        steps.iter().filter_map(submission).collect()
    }

    #[test]
    fn a_seed_is_a_workload_and_another_seed_another() {
        let change = |workload: &mut Workload| workload.duplicates = 0.2;
        assert_eq!(drawn(change, 1), drawn(change, 1));
        assert_ne!(drawn(change, 1), drawn(change, 2));
    }

    #[test]
    fn adding_a_dimension_leaves_the_others_alone() {
        let plain = submissions(&drawn(|_| {}, 1));
        let rich = submissions(&drawn(|workload| workload.duplicates = 0.3, 1));
        assert!(rich.len() > plain.len() + 30, "about 60 duplicates");
        assert!(plain.iter().all(|request| rich.contains(request)));
    }

    #[test]
    fn shares_are_met_and_follow_in_time() {
        let steps = drawn(
            |workload| {
                workload.concurrent_duplicates = 1.0;
                workload.conflicts = 1.0;
                workload.cancels = 1.0;
                workload.reads = 1.0;
            },
            5,
        );
        assert_eq!(steps.len(), 200 * 5);
        assert!(steps.is_sorted_by_key(|step| (step.at_ms, step.id)));
        let mut by_request: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for (at_ms, submission) in submissions(&steps) {
            by_request
                .entry(submission.request_id)
                .or_default()
                .push(at_ms);
        }
        assert!(
            by_request
                .values()
                .all(|times| times.len() == 3 && times[0] == times[1] && times[2] > times[0])
        );
    }

    #[test]
    fn arrivals_follow_their_law() {
        let at = |arrival| {
            submissions(&drawn(|workload| workload.arrival = arrival, 1))
                .into_iter()
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        assert_eq!(at(Arrival::EveryMs(50.0))[..3], [0, 50, 100]);
        assert_eq!(
            at(Arrival::Burst {
                size: 2,
                every_s: 1.0
            })[..4],
            [0, 0, 1000, 1000]
        );
        let last = *at(Arrival::PoissonPerS(20.0)).last().unwrap();
        assert!(
            (8_000..12_500).contains(&last),
            "200 requests at 20 a second end at {last} ms"
        );
        assert!(
            draw(
                &mut tables(|workload| workload.arrival = Arrival::PoissonPerS(1e-4)),
                &Chance::new(1)
            )
            .unwrap_err()
            .contains("week")
        );
    }

    #[test]
    fn a_mix_is_met() {
        let mut tables = tables(|workload| {
            workload.mix = BTreeMap::from([
                ("acme".into(), 3.0),
                ("zeta".into(), 1.0),
                ("none".into(), 0.0),
            ]);
        });
        for name in ["none", "zeta"] {
            tables.providers.insert(name.into(), Provider::default());
        }
        let steps = draw(&mut tables, &Chance::new(1)).unwrap();
        let count = |name: &str| {
            submissions(&steps)
                .iter()
                .filter(|(_, submission)| submission.provider == name)
                .count()
        };
        assert_eq!(count("acme") + count("zeta"), 200);
        assert!((120..180).contains(&count("acme")), "{}", count("acme"));
    }
}
