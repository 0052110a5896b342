//! Settings that are no faults of the plan: a network that is slow or loses, a slow database, many providers, a stepped clock. The service
//! is right on all of them, and no oracle may say otherwise.

use crate::appointments::record;
use rehearsal_sim::verdict::{Record, Verdict};

const HEAD: &str =
    "format = \"rehearsal.scenario/1\"\nname = \"configured\"\nquestion = \"Does it hold?\"\n";
const CLUSTER: &str = "[topology]\nlayout = \"cluster\"\n";

/// Runs the scenario and asserts that each of `oracles` has examined something and found nothing.
fn holds(scenario: &str, seeds: impl IntoIterator<Item = u64>, oracles: &[&str]) {
    for seed in seeds {
        let record = record(&format!("{HEAD}{scenario}"), seed);
        for name in oracles {
            let oracle = judged(&record, name);
            assert_eq!(
                (oracle.verdict, oracle.violations.as_slice()),
                (Verdict::Pass, &[][..]),
                "seed {seed}, {name}: {scenario}"
            );
            assert!(oracle.checked > 0, "seed {seed}, {name}: {scenario}");
        }
    }
}

fn judged<'a>(record: &'a Record, name: &str) -> &'a rehearsal_sim::verdict::OracleRecord {
    let mut oracles = record.oracles.iter();
    oracles
        .find(|oracle| oracle.name == name)
        .expect("it is registered")
}

/// The oracles that judge by time or by what is left.
const TIMED: [&str; 4] = [
    "log_sequence",
    "api_never_blocks",
    "nothing_leaks",
    "no_acknowledged_request_lost",
];

#[test]
fn a_network_that_resets_connections_takes_lines_with_it() {
    let network = "[workload]\nrequests = 60\n[network]\nloss = 0.01\nloss_as = \"reset\"\n";
    holds(&format!("{CLUSTER}{network}"), [2, 3], &TIMED);
}

#[test]
fn a_network_that_loses_segments_makes_lines_and_answers_late() {
    let network = "[workload]\nrequests = 60\n[network]\nloss = 0.1\n";
    holds(&format!("{CLUSTER}{network}"), [0, 1], &TIMED);
    holds(network, [16], &TIMED);
}

#[test]
fn a_slow_database_makes_lines_and_answers_late() {
    let slow = "[workload]\nrequests = 60\n[database]\nlatency = { lognormal_ms = { p50 = 20, p95 = 400 } }\n";
    holds(&format!("{CLUSTER}{slow}"), [0, 4], &TIMED);
}

#[test]
fn slow_links_make_lines_and_answers_late() {
    let link = "[[network.links]]\nfrom = \"api-1\"\nto = \"database\"\nlatency = { uniform_ms = [100, 700] }\n";
    holds(&format!("{CLUSTER}{link}"), [0], &TIMED);
    let all = "[network]\nlatency = { fixed_ms = 300 }\n";
    holds(&format!("{CLUSTER}{all}"), [0], &TIMED);
    let lossy = "[[network.links]]\nfrom = \"client-*\"\nto = \"api-*\"\nloss = 0.2\n";
    holds(&format!("{CLUSTER}{lossy}"), [0, 1], &TIMED);
}

#[test]
fn each_provider_costs_its_host_a_task_and_that_is_no_leak() {
    let providers: Vec<String> = (0..16).map(|n| format!("[providers.p{n}]")).collect();
    let providers = providers.join("\n");
    let swept = "audit_every_s = 1\naudit_horizon_s = 16\n[workload]\nrequests = 30\n";
    holds(
        &format!("{CLUSTER}{swept}{providers}"),
        [0, 1],
        &["nothing_leaks"],
    );
}

#[test]
fn a_service_whose_clock_is_stepped_back_still_becomes_quiet() {
    let step = "[workload]\nrequests = 20\n[[faults]]\nkind = \"step\"\ntarget = \"service\"\noffset_s = -600\nat_s = 1\nfor_s = 2\n";
    holds(step, [0], &["convergence"]);
}
