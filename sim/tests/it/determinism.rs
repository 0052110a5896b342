//! One plan, one digest: in separate processes, with tracing at its loudest and without, in debug and in release, on any day.
//!
//! The committed digests are compared by the debug and by the release build of this file (`run_tests.sh` runs both), so equal to them means
//! equal to each other. A change of behavior changes digests: review it, then accept the new snapshot.

use std::{fmt::Write, path::PathBuf, time::Duration};

use rehearsal_sim::{
    appointments::Appointments,
    child,
    engine::Engine,
    plan::{Plan, Source},
    report::Results,
    run,
};

const SEEDS: std::ops::Range<u64> = 0..20;
const LIMIT: Duration = Duration::from_mins(1);

fn plan(scenario: &str, seed: u64) -> Plan<Appointments> {
    let file =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../scenarios/{scenario}.toml"));
    Source::load(&file)
        .and_then(|source| source.plan(&file, seed))
        .expect("a shipped scenario can be drawn")
}

fn digest(plan: &Plan<Appointments>) -> String {
    run::in_child(plan, Engine::Pipes, LIMIT, false)
        .expect("a verdict")
        .record
        .digest
}

/// The digest of a run in which every library's tracing is switched on, as `RUST_LOG=trace` does.
fn loud(plan: &Plan<Appointments>) -> String {
    let bytes = child::run(LIMIT, || {
        let everything = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(std::io::sink);
        everything.init();
        run::body(plan, Engine::Pipes, false)
    });
    run::read(&bytes.expect("a result"))
        .expect("a verdict")
        .record
        .digest
}

fn check(scenario: &str) {
    let mut digests = String::new();
    for seed in SEEDS {
        let plan = plan(scenario, seed);
        let first = digest(&plan);
        assert_eq!(
            first,
            digest(&plan),
            "{scenario}, seed {seed}: two processes differ"
        );
        assert_eq!(
            first,
            loud(&plan),
            "{scenario}, seed {seed}: tracing changes the run"
        );
        writeln!(digests, "{seed:2} {}", &first[..32]).expect("a string takes everything");
    }
    insta::assert_snapshot!(format!("{scenario}_digests"), digests);
    let outcome =
        run::in_child(&plan(scenario, 7), Engine::Pipes, LIMIT, false).expect("a verdict");
    let results = Results::new(vec![(outcome.record, 0)], 0);
    insta::assert_snapshot!(format!("{scenario}_result"), results.to_json());
}

each_scenario!(check);
