//! Reachability points: a crowd of faults and clients hits nearly all of them within a few seeds, and a quiet run does not.

use std::{collections::BTreeSet, path::Path, time::Duration};

use rehearsal_sim::{
    appointments::{Appointments, Tables},
    engine::Engine,
    plan::Plan,
    run,
    scenario::Scenario,
    system::System,
};

/// Faults of the network, of nodes and of providers, and every endpoint.
const REACH: &str = include_str!("reach.toml");
const SEEDS: u64 = 8;

fn hits(text: &str, seeds: u64) -> BTreeSet<&'static str> {
    let file = Path::new("reach.toml");
    let scenario = Scenario::<Tables>::parse(file, text).expect("a scenario");
    let points = Appointments::points();
    let mut names = BTreeSet::new();
    for seed in 0..seeds {
        let plan: Plan<Appointments> = Plan::draw(file, &scenario, seed).expect("a plan");
        let outcome = run::in_child(&plan, Engine::Pipes, Duration::from_mins(1), false);
        let hits = outcome.expect("a verdict").hits;
        assert!(hits.windows(2).all(|pair| pair[0] < pair[1]), "ascending");
        names.extend(hits.iter().map(|place| points[usize::from(*place)].name));
    }
    names
}

#[test]
fn a_crowd_reaches_nearly_every_point_within_a_few_seeds() {
    let hit = hits(REACH, SEEDS);
    let all = Appointments::points();
    let missed: Vec<&str> = all
        .iter()
        .map(|point| point.name)
        .filter(|name| !hit.contains(name))
        .collect();
    assert!(all.len() >= 60, "{} points", all.len());
    assert!(
        hit.len() >= 92,
        "{} of {} points, not {missed:?}",
        hit.len(),
        all.len()
    );
}

#[test]
fn a_quiet_run_is_not_taken_for_a_crowd() {
    let quiet = "format = \"rehearsal.scenario/1\"\nname = \"quiet\"\nquestion = \"Is nothing wrong?\"\n[workload]\nrequests = 5\n";
    let hit = hits(quiet, 1);
    for name in [
        "submit.accepted",
        "state.pending_confirmed",
        "book.accepted",
    ] {
        assert!(hit.contains(name), "{name}: {hit:?}");
    }
    for name in ["host.died", "book.repeated", "breaker.opened", "dead.book"] {
        assert!(!hit.contains(name), "{name}: {hit:?}");
    }
}
