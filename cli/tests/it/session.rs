//! `rehearsal run` and `plan`: the results document has the contract's form, and the same inputs give the same bytes.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::binary::{Desk, Ended, scenario};

fn without_timing(ended: &Ended) -> Value {
    let mut json = ended.json();
    json.as_object_mut()
        .expect("an object")
        .remove("timing")
        .expect("a timing");
    json
}

#[test]
fn the_results_document_has_the_contracts_form() {
    let desk = Desk::new();
    let ended = desk.run(&["run", &scenario("happy_path"), "--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let json = ended.json();
    assert_eq!(
        desk.get("results/results_post.json"),
        ended.out,
        "stdout and the file are the same document"
    );
    assert_eq!(json["format"], "rehearsal.results/1");
    assert_eq!(json["verdict"], "pass");
    assert_eq!(json["summary"]["passed"], 1);
    let run = &json["runs"][0];
    for (table, keys) in [
        (
            "requests",
            &["sent", "accepted", "duplicate_hits", "rejected"][..],
        ),
        ("states", &["pending", "confirmed", "failed", "cancelled"]),
        ("attempts", &["max", "histogram"]),
    ] {
        for key in keys {
            assert!(!run[table][key].is_null(), "{table}.{key}: {run}");
        }
    }
    for latency in ["api", "confirm"] {
        for key in ["p50", "p95", "p99", "max"] {
            assert!(
                run["latency_ms"][latency][key].is_number(),
                "latency_ms.{latency}.{key}: {run}"
            );
        }
    }
    for key in [
        "scenario",
        "seed",
        "verdict",
        "digest",
        "virtual_ms",
        "retries",
        "compensations",
        "dead_letters",
        "outbox_depth",
        "faults",
    ] {
        assert!(!run[key].is_null(), "{key}: {run}");
    }
    let oracle = &run["oracles"][0];
    assert!(
        oracle["name"].is_string() && oracle["checked"].is_u64() && oracle["violations"].is_array(),
        "{oracle}"
    );
    let slo = &run["slo"][0];
    assert!(
        slo["name"].is_string() && slo["target"].is_string() && slo["actual"].is_number(),
        "{slo}"
    );
    let broken = desk
        .run(&["run", &scenario("circuit_breaker"), "--format", "json"])
        .json();
    let breaker = broken["runs"][0]["breaker"]
        .as_object()
        .expect("a table")
        .values()
        .next()
        .expect("a provider");
    for key in ["opened", "open_ms", "open_rate_per_min"] {
        assert!(breaker[key].is_number(), "{key}: {breaker}");
    }
    assert!(json["timing"]["wall_ms"].is_u64());
}

#[test]
fn jobs_and_logging_change_nothing_outside_timing() {
    let desk = Desk::new();
    let files = [scenario("flaky_provider"), scenario("provider_timeout")];
    let session = [
        "run", &files[0], &files[1], "--seeds", "1..4", "--format", "json", "--jobs",
    ];
    let with =
        |jobs: &'static str| -> Vec<&str> { session.iter().copied().chain([jobs]).collect() };
    let one = desk.run(&with("1"));
    assert_eq!(without_timing(&one), without_timing(&desk.run(&with("4"))));
    let logged = desk
        .command(&with("2"))
        .env("RUST_LOG", "trace")
        .output()
        .expect("the binary starts");
    let logged = Ended::of(logged);
    assert!(logged.err.contains("TRACE"), "logging was on");
    assert_eq!(without_timing(&one), without_timing(&logged));
}

#[test]
fn a_plan_is_printed_and_runs_as_its_seed_does() {
    let desk = Desk::new();
    let file = scenario("happy_path");
    let plan = desk.run(&["plan", &file, "--seed", "7"]);
    assert_eq!(plan.code, 0, "{}", plan.err);
    desk.put("plan.toml", &plan.out);
    let last = u64::MAX.to_string();
    let ran = desk
        .run(&["run", &file, "--seed", &last, "--format", "json"])
        .json();
    assert_eq!(ran["runs"][0]["seed"], u64::MAX, "the last seed is one too");
    let digest = |ended: &Ended| ended.json()["runs"][0]["digest"].clone();
    let from_plan = desk.run(&["run", "plan.toml", "--format", "json"]);
    let from_seed = desk.run(&["run", &file, "--seed", "7", "--format", "json"]);
    assert_eq!(digest(&from_plan), digest(&from_seed));
    assert_ne!(
        digest(&from_plan),
        digest(&desk.run(&["run", &file, "--seed", "8", "--format", "json"]))
    );
}

#[test]
fn a_missed_promise_fails_with_the_command_that_reproduces_it() {
    let desk = Desk::new();
    let text = std::fs::read_to_string(scenario("happy_path")).expect("the shipped scenario");
    let mut table: toml::Table = text.parse().expect("TOML");
    table["slo"]["api_p95_ms"] = "< 0.001".into();
    desk.put("strict.toml", table.to_string());
    let ended = desk.run(&["run", "strict.toml", "--seed", "3"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    for said in [
        "FAIL",
        "slo api_p95_ms: found",
        "expected < 0.001",
        "reproduce: rehearsal run strict.toml --seed 3",
        "hint:",
    ] {
        assert!(ended.out.contains(said), "{said}: {}", ended.out);
    }
    let markdown = desk.run(&["run", "strict.toml", "--format", "markdown"]);
    assert!(
        markdown.out.starts_with("# Runs: FAIL\n"),
        "{}",
        markdown.out
    );
    assert!(!markdown.out.contains('\u{1b}'), "no color in Markdown");
}

#[test]
fn traces_are_written_when_asked_for_and_nothing_else_is() {
    let desk = Desk::new();
    let ended = desk.run(&[
        "run",
        &scenario("happy_path"),
        "--trace",
        "--out",
        "o",
        "--seed",
        "2",
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        desk.names(),
        ["o", "o/happy_path-2.trace.jsonl", "o/results_post.json"]
    );
    assert!(
        desk.get("o/happy_path-2.trace.jsonl")
            .starts_with("{\"format\":\"rehearsal.trace/1\"}\n")
    );
}

#[test]
fn metrics_are_made_of_the_results() {
    let desk = Desk::new();
    let run = desk.run(&[
        "run",
        &scenario("happy_path"),
        &scenario("flaky_provider"),
        "--format",
        "json",
    ]);
    let metrics = desk.run(&["metrics"]);
    assert_eq!(metrics.code, 0, "{}", metrics.err);
    assert_eq!(metrics.out, desk.get("results/metrics.json"));
    let (run, metrics) = (run.json(), metrics.json());
    let confirmed: u64 = (0..2)
        .map(|at| {
            run["runs"][at]["states"]["confirmed"]
                .as_u64()
                .expect("a count")
        })
        .sum();
    assert_eq!(metrics["counts"]["states"]["confirmed"], confirmed);
    assert!(confirmed > 0);
}

#[test]
fn an_interrupted_session_keeps_what_was_finished() {
    let desk = Desk::new();
    let mut command = desk.command(&["run", &scenario("happy_path"), "--seeds", "0..10000"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    out.read_line(&mut first).expect("a line");
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    std::io::copy(&mut out, &mut std::io::sink()).expect("the rest");
    let ended = Ended::of(child.wait_with_output().expect("it ends"));
    assert!(
        sent.expect("kill is there").success() && first.contains("PASS"),
        "{first}"
    );
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(
        ended.err.contains("of 10000 runs were finished"),
        "{}",
        ended.err
    );
    let results: Value =
        serde_json::from_str(&desk.get("results/results_post.json")).expect("a whole document");
    let runs = results["runs"].as_array().expect("runs").len();
    assert!((1..10_000).contains(&runs), "{runs} runs");
    assert_eq!(desk.names(), ["results", "results/results_post.json"]);
}

/// Whether a process has started another one.
fn has_a_child(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let children = threads
        .flatten()
        .flatten()
        .map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    children.into_iter().any(|children| !children.is_empty())
}

#[test]
fn an_interrupt_does_not_wait_for_the_run_under_way() {
    let desk = Desk::new();
    // Minutes of work, in one run.
    let long = "format = \"rehearsal.scenario/1\"\nname = \"long\"\nquestion = \"When does it end?\"\n[workload]\nrequests = 100000\n";
    desk.put("long.toml", long);
    let mut child = desk
        .command(&["run", "long.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    while !has_a_child(child.id()) {
        assert_eq!(
            child.try_wait().expect("it is ours"),
            None,
            "it ended early"
        );
        std::thread::yield_now();
    }
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    let ended = Ended::of(child.wait_with_output().expect("it ends"));
    assert!(sent.expect("kill is there").success());
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.err.contains("0 of 1 runs were finished"), "{ended:?}");
    assert_eq!(
        desk.names(),
        ["long.toml", "results", "results/results_post.json"]
    );
}

#[test]
fn what_every_seed_left_out_is_named_and_no_pass() {
    let desk = Desk::new();
    let with = |chance: &str| {
        format!(
            "format = \"rehearsal.scenario/1\"\nname = \"left\"\nquestion = \"Is it asked?\"\n[workload]\nrequests = 20\n\
             [[faults]]\nkind = \"kill\"\ntarget = \"service\"\nat_s = 1\ndown_s = 0.2\nchance = {chance}\n"
        )
    };
    desk.put("never.toml", with("0.0"));
    let ended = desk.run(&["run", "never.toml", "--seeds", "0..3"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let told = "left: faults[0], kill of service was left out by every seed that ran";
    assert!(ended.out.contains(told), "{}", ended.out);
    let results: Value =
        serde_json::from_str(&desk.get("results/results_post.json")).expect("a document");
    assert_eq!(results["verdict"], "inconclusive");
    assert_eq!(results["summary"]["passed"], 3, "each run by itself is one");
    assert_eq!(
        results["left_out"][0]["fault"],
        "faults[0], kill of service"
    );
    desk.put("often.toml", with("0.7"));
    let ended = desk.run(&["run", "often.toml", "--seeds", "0..4"]);
    assert!(!ended.out.contains("left out"), "{}", ended.out);
}
