//! `rehearsal explore` and `merge`: what is found is kept and shows again, shards are the whole, and it ends when it is told to.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::binary::{Desk, Ended, scenario};

/// A scenario whose promise no run can keep.
fn impossible(desk: &Desk) -> String {
    let text = fs::read_to_string(scenario("happy_path")).expect("a shipped scenario");
    let text = text
        .replace("name = \"happy_path\"", "name = \"impossible\"")
        .replace("requests = [30, 50]", "requests = 10")
        .replace("confirmed = \">= 30\"", "confirmed = \">= 10\"")
        .replace("success_rate = \">= 0.99\"", "success_rate = \"> 2\"");
    desk.put("impossible.toml", text);
    "impossible.toml".to_owned()
}

/// The document without what two explorations of the same seeds may differ in.
fn comparable(json: &Value) -> Value {
    let mut json = json.clone();
    for key in ["timing", "verification", "shards"] {
        let object = json.as_object_mut().expect("an object");
        assert!(object.remove(key).is_some(), "{key}");
    }
    json
}

fn document(desk: &Desk, file: &str) -> Value {
    serde_json::from_str(&desk.get(file)).expect("a whole document")
}

#[test]
fn a_clean_exploration_passes_and_says_what_it_saw() {
    let desk = Desk::new();
    let file = scenario("happy_path");
    let ended = desk.run(&["explore", &file, "--seeds", "3..6", "--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(desk.get("results/explore.json"), ended.out);
    let json = ended.json();
    assert_eq!(json["format"], "rehearsal.explore/1");
    assert_eq!(json["verdict"], "pass");
    assert_eq!(json["summary"]["passed"], 3);
    assert_eq!(json["shards"][0]["ended"], "seeds");
    assert_eq!(
        json["verification"]["runs"], 1,
        "a share of 5 %, rounded up"
    );
    assert_eq!(json["verification"]["diverged"], serde_json::json!([]));
    assert_eq!(json["convergence_ms"]["count"], 3);
    let points = json["points"].as_array().expect("points");
    let accepted = points.iter().find(|it| it["name"] == "submit.accepted");
    let accepted = accepted.expect("a point");
    assert_eq!(
        (&accepted["runs"], &accepted["first"]["seed"]),
        (&3.into(), &3.into())
    );
    let oracles = json["oracles"].as_array().expect("oracles");
    assert!(
        oracles
            .iter()
            .all(|it| it["failed"] == 0 && it["name"].is_string())
    );

    let strict = desk.run(&["explore", &file, "--seeds", "1", "--require-points"]);
    assert_eq!(strict.code, 3, "a happy path is not everywhere: {strict:?}");
    assert!(strict.out.contains("INCONCLUSIVE"), "{}", strict.out);
}

#[test]
fn a_finding_is_kept_once_and_its_plan_shows_it_again() {
    let desk = Desk::new();
    let file = impossible(&desk);
    let first = desk.run(&["explore", &file, "--seeds", "5..99", "--jobs", "2"]);
    assert_eq!(first.code, 1, "{first:?}");
    assert!(
        first.out.contains("stopped at the first finding"),
        "{}",
        first.out
    );
    let json = document(&desk, "results/explore.json");
    assert_eq!(
        json["summary"]["runs"], 1,
        "it stops at the first in order, with any jobs"
    );

    let all = [
        "explore",
        &file,
        "--seeds",
        "5..8",
        "--keep-going",
        "--format",
        "json",
        "--out",
        "all",
    ];
    let ended = desk.run(&all);
    assert_eq!(ended.code, 1, "{ended:?}");
    let json = ended.json();
    let [finding] = &json["findings"].as_array().expect("findings")[..] else {
        panic!("one bug is one finding: {json}");
    };
    assert_eq!(
        (&finding["runs"], &finding["first"]["seed"]),
        (&3.into(), &5.into())
    );
    let folder = format!("all/{}", finding["bundle"].as_str().expect("a folder"));
    assert!(
        folder.starts_with("all/findings/slo.success_rate-"),
        "{folder}"
    );
    let known = document(&desk, &format!("{folder}/finding.json"));
    assert_eq!(known["format"], "rehearsal.finding/1");
    assert_eq!(known["runs"], 3);
    assert_eq!(known["seed"], 5);
    assert_eq!(known["environment"]["engine"], "pipes");
    assert!(
        desk.get(&format!("{folder}/trace.jsonl"))
            .starts_with("{\"format\":\"rehearsal.trace/1\"}")
    );

    let command = known["reproduce"].as_str().expect("a command");
    let words: Vec<&str> = command
        .split(' ')
        .skip(1)
        .chain(["--format", "json"])
        .collect();
    let again = desk.run(&words);
    assert_eq!(again.code, 1, "{again:?}");
    let run = &again.json()["runs"][0];
    assert_eq!(run["digest"], finding["digest"], "the very same run");
    let slo = run["slo"].as_array().expect("promises");
    let missed = slo.iter().find(|it| it["name"] == "success_rate");
    assert_eq!(missed.expect("a promise")["verdict"], "fail");
}

#[test]
fn merged_shards_are_the_whole() {
    let desk = Desk::new();
    let file = impossible(&desk);
    let explore = |shard: &str, out: &str| -> Ended {
        let seeds = [
            "explore",
            &file,
            "--seeds",
            "5",
            "--keep-going",
            "--shard",
            shard,
            "--out",
            out,
        ];
        desk.run(&seeds)
    };
    assert_eq!(explore("1/1", "whole").code, 1);
    assert_eq!(explore("1/2", "one").code, 1);
    assert_eq!(explore("2/2", "two").code, 1);

    let lacking = desk.run(&["merge", "two/explore.json", "--out", "merged"]);
    assert_eq!(lacking.code, 2, "{lacking:?}");
    assert!(
        lacking.err.contains("found 1 of 2 shards, missing 1/2"),
        "{}",
        lacking.err
    );
    let twice = desk.run(&["merge", "two/explore.json", "two/explore.json"]);
    assert_eq!(twice.code, 2);
    assert!(
        twice.err.contains("shard 2/2 is also in two/explore.json"),
        "{}",
        twice.err
    );
    let other = desk.run(&["merge", &file]);
    assert_eq!(other.code, 2, "{other:?}");

    let merged = desk.run(&[
        "merge",
        "two/explore.json",
        "one/explore.json",
        "--out",
        "merged",
    ]);
    assert_eq!(merged.code, 1, "{merged:?}");
    let [merged, whole] =
        ["merged", "whole"].map(|out| document(&desk, &format!("{out}/explore.json")));
    assert_eq!(comparable(&merged), comparable(&whole));
    assert_eq!(merged["summary"]["runs"], 5);
    let folder = merged["findings"][0]["bundle"].as_str().expect("a folder");
    assert_eq!(
        desk.get(&format!("merged/{folder}/plan.toml")),
        desk.get(&format!("whole/{folder}/plan.toml"))
    );
}

#[test]
fn a_shard_is_read_from_the_job_system_when_asked() {
    let desk = Desk::new();
    let file = scenario("happy_path");
    let words = [
        "explore", &file, "--seeds", "4", "--shard", "auto", "--format", "json",
    ];
    let mut command = desk.command(&words);
    let ended = Ended::of(
        command
            .env("CI_NODE_INDEX", "4")
            .env("CI_NODE_TOTAL", "4")
            .output()
            .expect("the binary starts"),
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    let json = ended.json();
    assert_eq!(json["shards"][0]["shard"], "4/4");
    assert_eq!(json["points"][0]["first"]["seed"], 3);
    let nobody = Ended::of(
        desk.command(&words)
            .env_remove("CI_NODE_INDEX")
            .output()
            .expect("the binary starts"),
    );
    assert_eq!(nobody.code, 2, "{nobody:?}");
    assert!(
        nobody.err.contains("--shard: auto: found none of"),
        "{}",
        nobody.err
    );
}

#[test]
fn time_and_stable_coverage_end_it() {
    let desk = Desk::new();
    let file = scenario("happy_path");
    let timed = desk.run(&["explore", &file, "--for", "300ms", "--format", "json"]);
    assert_eq!(timed.code, 0, "{timed:?}");
    let json = timed.json();
    assert_eq!(json["shards"][0]["ended"], "time");
    assert!(json["summary"]["runs"].as_u64() >= Some(1), "{json}");
    assert_eq!(json["subject"].get("to"), None, "it had no last seed");

    let stable = [
        "explore",
        &file,
        "--until-coverage-stable",
        "2",
        "--format",
        "json",
    ];
    let json = desk.run(&stable).json();
    assert_eq!(json["shards"][0]["ended"], "stable");
    let runs = json["summary"]["runs"].as_u64();
    assert!((Some(3)..Some(60)).contains(&runs), "{json}");
}

#[test]
fn what_cannot_be_explored_is_refused_before_anything_runs() {
    let desk = Desk::new();
    let file = scenario("happy_path");
    let plan = desk.run(&["plan", &file]);
    desk.put("plan.toml", plan.out);
    for (words, expect) in [
        (&["plan.toml"][..], "found a plan, expected a scenario"),
        (
            &[file.as_str(), "--engine", "loopback"],
            "found loopback, expected pipes or turmoil",
        ),
        (
            &[file.as_str(), &file],
            "found the name \"happy_path\" again",
        ),
        (
            &[file.as_str(), "--seeds", "0"],
            "expected a number of seeds",
        ),
        (
            &[file.as_str(), "--shard", "3/2"],
            "expected i/n with i from 1 to n",
        ),
        (
            &[file.as_str(), "--verify-share", "1%"],
            "expected a share from 5% to 100%",
        ),
    ] {
        let ended = desk.run(&[&["explore"], words].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(expect), "{expect}: {}", ended.err);
    }
    assert_eq!(desk.names(), ["plan.toml"]);
}

#[test]
fn ctrl_c_ends_it_in_order() {
    let desk = Desk::new();
    let file = impossible(&desk);
    let mut child = desk
        .command(&[
            "explore",
            &file,
            "--seeds",
            "100000",
            "--keep-going",
            "--jobs",
            "2",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut err = BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    err.read_line(&mut line).expect("the first finding");
    let sent = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    std::io::copy(&mut err, &mut std::io::sink()).expect("the rest");
    let ended = Ended::of(child.wait_with_output().expect("it ends"));
    assert!(sent.expect("kill is there").success());
    assert!(
        line.contains("slo.success_rate in impossible seed 0"),
        "{line}"
    );
    assert_eq!(ended.code, 130, "{ended:?}");
    let json = document(&desk, "results/explore.json");
    assert_eq!(json["shards"][0]["ended"], "interrupted");
    assert!(json["summary"]["runs"].as_u64() >= Some(1));
    assert!(json["findings"][0]["bundle"].is_string());
}
