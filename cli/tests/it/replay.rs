//! `rehearsal replay`, `record` and `inspect`, on a capture of a few requests: the sample hour is replayed by `run_all.sh`.

use std::fs;

use serde_json::{Value, json};

use crate::binary::{Desk, repository};

const SIMS: [&str; 6] = ["replay", "c.jsonl", "--legacy", "sim", "--candidate", "sim"];

/// Three appointments, one of them read and cancelled.
fn capture() -> String {
    let mut lines = vec![json!({"format": "rehearsal.capture/1"})];
    let mut push = |method: &str, target: &str, body: Option<Value>| {
        let seq = lines.len() as u64 - 1;
        let mut request = json!({"method": method, "target": target});
        if let Some(body) = body {
            request["headers"] = json!([["content-type", "application/json"]]);
            request["body"] = json!({"utf8": body.to_string()});
        }
        lines.push(json!({"v": 1, "seq": seq, "ts_ns": (seq + 1) * 1_000_000_000, "req": request, "resp": null}));
    };
    for number in 1..=3 {
        let body = json!({
            "id": format!("a-{number}"),
            "request_id": format!("r-{number}"),
            "provider": "acme",
            "time": "2027-03-01T09:30:00Z",
            "patient_name": "Maximiliana Featherstonehaugh",
        });
        push("POST", "/appointments", Some(body));
    }
    push("GET", "/appointments/a-1", None);
    push("POST", "/appointments/a-2/cancel", None);
    lines
        .iter()
        .fold(String::new(), |text, line| text + &line.to_string() + "\n")
}

fn with(more: &[&'static str]) -> Vec<&'static str> {
    SIMS.iter().chain(more).copied().collect()
}

#[test]
fn a_few_requests_prove_nothing_and_the_report_says_so() {
    let desk = Desk::new();
    desk.put("c.jsonl", capture());
    let ended = desk.run(&with(&["--format", "json"]));
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(
        desk.get("results/replay.json"),
        ended.out,
        "stdout and the file are the same document"
    );
    assert!(
        desk.get("results/compare_report.md")
            .starts_with("# Comparison: ")
    );
    let report = ended.json();
    assert_eq!(report["format"], "rehearsal.replay/1");
    assert_eq!(report["verdict"], "inconclusive");
    assert_eq!(report["pairs"]["mismatched"], 0, "{report}");
    assert_eq!(report["accounting"]["planned"], 5);
    assert!(
        report["timing"]["wall_ms"].as_u64().expect("a time") > 0,
        "{}",
        report["timing"]
    );
    for key in [
        "capture",
        "targets",
        "mismatch_rate",
        "gate",
        "clusters",
        "rules",
        "sensitivity",
        "latency_ms",
        "state",
    ] {
        assert!(!report[key].is_null(), "{key}");
    }
}

#[test]
fn the_same_seed_gives_the_same_report() {
    let report = || {
        let desk = Desk::new();
        desk.put("c.jsonl", capture());
        let mut report = desk.run(&with(&["--format", "json", "--seed", "5"])).json();
        report
            .as_object_mut()
            .expect("an object")
            .remove("timing")
            .expect("a timing");
        report
    };
    assert_eq!(report(), report());
}

#[test]
fn a_planted_difference_fails_and_is_named() {
    let desk = Desk::new();
    desk.put("c.jsonl", capture());
    let ended = desk.run(&with(&[
        "--candidate-defect",
        "truncate-patient-name",
        "--out",
        "o",
    ]));
    assert_eq!(ended.code, 1, "{ended:?}");
    for text in [&ended.out, &desk.get("o/compare_report.md")] {
        assert!(text.contains("/patient_name"), "{text}");
    }
}

#[test]
fn a_capture_is_inspected_and_its_writes_are_kept_from_running_services() {
    let desk = Desk::new();
    desk.put("c.jsonl", capture());
    let inspection = desk.run(&["inspect", "c.jsonl", "--format", "json"]).json();
    let profile = &inspection["profile"];
    assert_eq!(profile["exchanges"], 5);
    assert_eq!(profile["methods"], json!({"GET": 1, "POST": 4}));
    assert_eq!(
        (&profile["span_s"], &profile["share_of_writes"]),
        (&json!(4.0), &json!(0.8))
    );
    assert_eq!(
        profile["request_ids"],
        json!({"with_id": 3, "repeated": 0, "complete": true})
    );
    insta::assert_snapshot!(desk.run(&["inspect", "c.jsonl"]).out);
}

#[test]
fn the_sample_capture_is_what_its_command_makes() {
    let desk = Desk::new();
    let ended = desk.run(&["record", "--seed", "1", "--out", "hour.jsonl.gz"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let shipped = repository().join("scenarios/captures/legacy-hour.jsonl.gz");
    let same = fs::read(desk.path().join("hour.jsonl.gz")).expect("recorded")
        == fs::read(shipped).expect("shipped");
    assert!(
        same,
        "make it anew: rehearsal record --seed 1 --out scenarios/captures/legacy-hour.jsonl.gz"
    );
}
