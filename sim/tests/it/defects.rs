//! Every planted defect is found by one run at a known seed, and the same run without it is clean.
//!
//! The scoreboard hunts for minutes; this is its memory. A seed that no longer finds its defect says that an oracle, a scenario or the order of
//! chance has changed: `rehearsal scoreboard --only NAME --hunts 1` finds another one (seeds to detection, less one).

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use rehearsal_sim::{
    appointments::{Appointments, Tables},
    engine::Engine,
    finding::{Finding, findings},
    plan::Plan,
    report, run,
    scenario::Scenario,
    system::System,
    verdict::Verdict,
};

/// Seeds of those that the first one does not find.
const LATER: &[(&str, u64)] = &[
    ("lease-shorter-than-timeout", 6),
    ("crash-after-send-resends", 1),
    ("stale-settle-accepted", 24),
    ("refund-forgotten", 2),
    ("absent-is-final", 4),
    ("breaker-bypassed", 1),
    ("breaker-never-closes", 2),
    ("auditor-repairs-in-flight", 3),
    ("refusal-taken-for-booking", 2),
    ("retry-after-ignored", 1),
];

fn scenario(hunt: &str) -> (PathBuf, Scenario<Tables>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/scoreboard");
    let file = PathBuf::from(folder).join(hunt).with_extension("toml");
    let text = std::fs::read_to_string(&file).expect("a hunting scenario");
    let scenario = Scenario::parse(&file, &text).expect("it is one");
    (file, scenario)
}

fn found(plan: &Plan<Appointments>) -> (Verdict, Vec<Finding>) {
    let outcome = run::in_child(plan, Engine::Pipes, Duration::from_mins(1), false);
    let record = report::record(plan, outcome);
    (record.verdict, findings(&record))
}

#[test]
fn every_planted_defect_is_found_at_a_known_seed_and_the_same_run_is_clean_without_it() {
    let defects = Appointments::plantable();
    for (name, _) in LATER {
        assert!(defects.iter().any(|it| it.name == *name), "{name}");
    }
    let mut clean = BTreeSet::new();
    let mut missed = Vec::new();
    for defect in &defects {
        let known = LATER.iter().find(|(name, _)| *name == defect.name);
        let seed = known.map_or(0, |(_, seed)| *seed);
        let (file, mut scenario) = scenario(defect.hunt);
        clean.insert((defect.hunt, seed));
        Appointments::plant(&mut scenario.tables, defect.name).expect("it is one of ours");
        let plan = Plan::draw(&file, &scenario, seed).expect("a plan");
        if found(&plan).1.is_empty() {
            missed.push((defect.name, seed));
        }
    }
    assert_eq!(missed, [], "defects that their runs do not show");
    for (hunt, seed) in clean {
        let (file, scenario) = scenario(hunt);
        let plan: Plan<Appointments> = Plan::draw(&file, &scenario, seed).expect("a plan");
        let (verdict, alarms) = found(&plan);
        assert_eq!(alarms, [], "{hunt}, seed {seed}");
        assert_ne!(verdict, Verdict::Fail, "{hunt}, seed {seed}");
    }
}
