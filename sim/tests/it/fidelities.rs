//! One scenario at three fidelities: our engine, turmoil and real sockets end in the same state, appointment by appointment.
//!
//! Timing differs between them, so attempts may; what a provider does to a key's n-th call does not, so where each appointment ends must not.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use rehearsal_sim::{
    appointments::{Appointments, Event},
    engine::Engine,
    plan::Source,
    run,
    trace::{self, Entry},
    verdict::Verdict,
};

const LIMIT: Duration = Duration::from_mins(2);

/// Where each appointment of a run ended.
fn ends(scenario: &str, engine: Engine) -> BTreeMap<String, String> {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{scenario}.toml"));
    let source = Source::<Appointments>::load(&file).expect("a shipped scenario");
    let plan = source.plan(&file, 7).expect("it can be drawn");
    let outcome = run::in_child(&plan, engine, LIMIT, true).expect("a verdict");
    assert_eq!(
        outcome.record.verdict,
        Verdict::Pass,
        "{} on {}: {:#?}",
        scenario,
        engine.name(),
        outcome.record
    );
    let trace = outcome.trace.expect("it was asked for");
    let entries = trace
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str::<Entry<Event>>(line).expect("an entry"));
    entries
        .filter_map(|entry| match entry.event {
            trace::Event::System(Event::Row(row)) => {
                Some((row.id.to_string(), row.state.as_str().to_owned()))
            }
            _ => None,
        })
        .collect()
}

fn check(scenario: &str) {
    let ours = ends(scenario, Engine::Pipes);
    assert!(ours.len() >= 10, "{scenario}: {} appointments", ours.len());
    assert_eq!(ours, ends(scenario, Engine::Turmoil), "{scenario}: turmoil");
    assert_eq!(
        ours,
        ends(scenario, Engine::Loopback),
        "{scenario}: real sockets"
    );
}

each_scenario!(check);
