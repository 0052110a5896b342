//! The shipped scenarios, whole: each parses, states its question, and holds; and a whole run catches what is planted into it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rehearsal_sim::{
    appointments::{Appointments, Tables},
    engine::Engine,
    plan::{Plan, Source},
    run,
    scenario::Scenario,
    verdict::{Record, Verdict},
};

const LIMIT: Duration = Duration::from_mins(2);

/// The mission's six.
const ACCEPTANCE: [&str; 6] = [
    "happy_path",
    "provider_timeout",
    "flaky_provider",
    "persistent_failure",
    "idempotency",
    "circuit_breaker",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the repository has this folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(format!("{name}.toml"))).expect("a shipped scenario")
}

/// The record of one run of `text` on our engine.
pub(crate) fn record(text: &str, seed: u64) -> Record {
    let file = Path::new("test.toml");
    let scenario =
        Scenario::<Tables>::parse(file, text).unwrap_or_else(|refused| panic!("{refused}"));
    let plan = Plan::<Appointments>::draw(file, &scenario, seed).expect("it can be drawn");
    run::in_child(&plan, Engine::Pipes, LIMIT, false)
        .expect("it comes to a verdict")
        .record
}

fn oracle<'a>(record: &'a Record, name: &str) -> &'a rehearsal_sim::verdict::OracleRecord {
    record
        .oracles
        .iter()
        .find(|oracle| oracle.name == name)
        .expect("it is registered")
}

#[test]
fn every_scenario_states_its_question_and_bears_its_files_name() {
    let shipped: Vec<PathBuf> = files(&folder())
        .into_iter()
        .chain(files(&folder().join("bench")))
        .collect();
    for file in &shipped {
        let scenario = Scenario::<Tables>::load(file).unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!(
            Some(scenario.name.as_str()),
            file.file_stem().and_then(|stem| stem.to_str())
        );
        assert!(
            scenario.question.ends_with('?'),
            "{}: {}",
            file.display(),
            scenario.question
        );
        assert!(
            !scenario.slo.is_empty(),
            "{}: promises nothing",
            file.display()
        );
    }
    for name in ACCEPTANCE {
        assert!(
            shipped
                .iter()
                .any(|file| file.ends_with(format!("{name}.toml"))),
            "{name}"
        );
    }
}

#[test]
fn a_plan_survives_its_file() {
    for file in files(&folder()) {
        let source =
            Source::<Appointments>::load(&file).unwrap_or_else(|refused| panic!("{refused}"));
        let plan = source.plan(&file, 3).expect("it can be drawn");
        let again = Plan::<Appointments>::parse(&file, &plan.to_toml())
            .unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!(again.to_toml(), plan.to_toml(), "{}", file.display());
        assert_eq!(again.steps, plan.steps, "{}", file.display());
    }
}

#[test]
fn the_acceptance_scenarios_hold() {
    for name in ACCEPTANCE {
        for seed in 0..3 {
            let record = record(&text(name), seed);
            assert_eq!(
                record.verdict,
                Verdict::Pass,
                "{name}, seed {seed}: {record:#?}"
            );
        }
    }
}

#[test]
fn crashes_and_partitions_lose_and_double_nothing() {
    let record = record(&text("faults/crash_and_partition"), 2);
    assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
    assert!(
        record
            .faults
            .iter()
            .all(|fault| fault.effect.values().any(|count| *count > 0)),
        "{:?}",
        record.faults
    );
}

#[test]
fn a_horizon_shorter_than_the_providers_answers_books_twice_and_is_caught() {
    let unsafe_ = text("provider_timeout")
        .replace("[50, 800]", "[50, 4000]")
        .replace("horizon_ms = 1500", "horizon_ms = 400");
    let record = record(&unsafe_, 0);
    assert_eq!(record.verdict, Verdict::Fail);
    let duplicates = oracle(&record, "no_duplicate_confirmation");
    assert!(
        duplicates
            .violations
            .iter()
            .any(|violation| violation.message.contains("2 live bookings")),
        "{duplicates:?}"
    );
}

#[test]
fn without_its_auditor_nobody_reports_a_failure() {
    let unaudited = text("persistent_failure").replace("[topology]", "[topology]\nauditor = false");
    let record = record(&unaudited, 0);
    assert_eq!(record.verdict, Verdict::Fail);
    assert_eq!(
        oracle(&record, "failed_is_compensated_or_reported").verdict,
        Verdict::Fail
    );
}

#[test]
fn a_provider_that_lists_but_answers_no_look_up_is_reported_all_the_same() {
    let some = text("persistent_failure").replace(
        "rate = 1 }",
        "rate = 1, operations = [\"book\", \"cancel\", \"lookup\"] }",
    );
    let record = record(&some, 0);
    assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
}

#[test]
fn a_fault_that_strikes_nothing_is_no_pass() {
    let inert = text("happy_path").replace(
        "[service]",
        "windows = [{ from_s = 3000, to_s = 3001, hang_rate = 1 }]\n\n[service]",
    );
    let record = record(&inert, 0);
    assert_eq!(record.verdict, Verdict::Inconclusive);
    let inert = record
        .faults
        .iter()
        .find(|fault| fault.kind == "provider-acme hangs for a while");
    assert_eq!(inert.map(|fault| fault.effect["calls_hung"]), Some(0));
}

#[test]
fn a_missed_objective_and_a_missing_log_line_fail_a_run() {
    let strict =
        text("happy_path").replace("confirm_p95_ms = \"< 1000\"", "confirm_p95_ms = \"< 1\"");
    let missed = record(&strict, 0);
    assert_eq!(missed.verdict, Verdict::Fail);
    assert_eq!(
        missed
            .slo
            .iter()
            .filter(|slo| slo.verdict == Verdict::Fail)
            .count(),
        1
    );
    let chatty = text("happy_path").replace(
        "\"attempt_started\", ",
        "\"attempt_started\", \"retry_scheduled\", ",
    );
    let missing = record(&chatty, 0);
    assert_eq!(oracle(&missing, "log_sequence").verdict, Verdict::Fail);
}
