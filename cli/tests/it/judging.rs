//! The gate of `rehearsal replay` on the command line: plans, streams, and captures that were asked before.

use std::fmt::Write as _;

use serde_json::json;

use crate::binary::{Desk, Ended};

/// Submissions of distinct appointments, a second apart.
fn capture(count: usize) -> String {
    let mut text = json!({"format": "rehearsal.capture/1"}).to_string() + "\n";
    for number in 0..count {
        let body = json!({
            "id": format!("a-{number}"),
            "request_id": format!("r-{number}"),
            "provider": "acme",
            "time": "2027-03-01T09:30:00Z",
            "patient_name": "Maximiliana Featherstonehaugh",
        });
        let request = json!({
            "method": "POST",
            "target": "/appointments",
            "headers": [["content-type", "application/json"]],
            "body": {"utf8": body.to_string()},
        });
        let ts_ns = (number + 1) * 1_000_000_000;
        let line = json!({"v": 1, "seq": number, "ts_ns": ts_ns, "req": request, "resp": null});
        let _ = writeln!(text, "{line}");
    }
    text
}

fn replayed(desk: &Desk, more: &[&'static str]) -> Ended {
    let sims = ["replay", "c.jsonl", "--legacy", "sim", "--candidate", "sim"];
    desk.run(&[&sims, more].concat())
}

#[test]
fn a_plan_or_a_stream_needs_a_proven_gate_and_a_plan_has_to_prove() {
    let desk = Desk::new();
    desk.put("c.jsonl", capture(2));
    let check = |more: &[&'static str], words: &str| {
        let ended = replayed(&desk, more);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.err.contains(words), "{}", ended.err);
    };
    check(&["--plan", "10511/5"], "--plan: found with --gate point");
    check(&["--stream"], "--stream: found with --gate point");
    check(
        &["--gate", "proven", "--plan", "10510/5"],
        "expected at least 10511/5",
    );
    check(&["--gate", "proven", "--plan", "5/10"], "like 10511/5");
    check(
        &["--gate", "proven", "--plan", "2995/0", "--stream"],
        "cannot be used with",
    );
    assert_eq!(desk.names(), ["c.jsonl"], "nothing was written");
}

#[test]
fn a_capture_that_was_asked_by_a_proven_gate_is_spent_for_other_questions() {
    let desk = Desk::new();
    desk.put("c.jsonl", capture(12));
    let asked = |more: &[&'static str]| {
        let ended = replayed(&desk, &[&["--gate", "proven"], more].concat());
        assert_eq!(ended.code, 3, "too few requests: {ended:?}");
        ended.out.contains("this capture is spent")
    };
    assert!(!asked(&[]), "the first question");
    assert!(
        !asked(&[]),
        "the same question to a simulation is no other look"
    );
    assert!(asked(&["--limit", "1%"]), "another limit");
    assert!(asked(&["--stream"]), "another proof");
    assert!(
        !replayed(&desk, &[]).out.contains("spent"),
        "the point rule proves nothing"
    );
    assert_eq!(desk.get("results/judgments.jsonl").lines().count(), 3);
    desk.put("c.jsonl", capture(13));
    assert!(!asked(&["--stream"]), "another capture");
    desk.put("results/judgments.jsonl", "{\"format\":\n");
    let ended = replayed(&desk, &["--gate", "proven"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("judgments.jsonl:1: found no judgment"),
        "{}",
        ended.err
    );
}

#[test]
fn every_replay_leaves_its_cases_for_a_ci_server() {
    let desk = Desk::new();
    desk.put("c.jsonl", capture(12));
    let ended = replayed(&desk, &["--gate", "proven", "--stream", "--format", "json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let gate = &ended.json()["gate"];
    assert_eq!(
        (&gate["proof"], &gate["decided_after"]),
        (&json!("stream"), &json!(null))
    );
    assert!(
        gate["e_value"]
            .as_f64()
            .is_some_and(|evidence| evidence > 1.0)
    );
    let cases = desk.get("results/replay.junit.xml");
    assert!(cases.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"));
    for words in [
        "name=\"mismatch rate\"",
        "name=\"POST /appointments\"",
        "type=\"inconclusive\"",
    ] {
        assert!(cases.contains(words), "{words}: {cases}");
    }
}

#[test]
fn each_planted_difference_has_a_reproducer_of_at_most_ten_requests() {
    let (mut small, mut all) = (0, 0);
    for defect in [
        "truncate-patient-name",
        "shift-time-by-hour",
        "lose-cancel",
        "first-provider",
    ] {
        let desk = Desk::new();
        desk.put("c.jsonl", traffic());
        let more = [
            "--candidate-defect",
            defect,
            "--format",
            "json",
            "--reproduce",
            "3",
        ];
        let ended = replayed(&desk, &more);
        assert_eq!(ended.code, 1, "{defect}: {ended:?}");
        let report = ended.json();
        let reproducers = report["reproducers"].as_array().expect("a list").clone();
        assert!(!reproducers.is_empty(), "{defect}: {report}");
        for one in &reproducers {
            assert_eq!(one["verified"], true, "{defect}: {one}");
            all += 1;
            small += u32::from(one["requests"].as_u64().expect("a number") <= 10);
        }
        // What is written shows the same cluster when it is replayed by the command that the report names.
        let command = reproducers[0]["command"].as_str().expect("a command");
        let words: Vec<&str> = command
            .split(' ')
            .skip(1)
            .chain(["--format", "json"])
            .collect();
        let again = desk.run(&words);
        assert_eq!(again.code, 1, "{command}: {again:?}");
        let clusters = again.json()["clusters"].clone();
        let same =
            |cluster: &serde_json::Value| cluster["fingerprint"] == reproducers[0]["fingerprint"];
        assert!(
            clusters.as_array().expect("a list").iter().any(same),
            "{clusters}"
        );
        assert!(
            desk.get("results/compare_report.md")
                .contains("## Reproducers")
        );
    }
    assert!(
        small * 10 >= all * 9,
        "{small} of {all} have at most ten requests"
    );
}

/// Appointments of several providers and sessions; each is read, some are cancelled and read again.
fn traffic() -> String {
    let mut text = json!({"format": "rehearsal.capture/1"}).to_string() + "\n";
    let mut seq = 0;
    let mut push = |session: usize, method: &str, target: String, body: Option<String>| {
        let mut request = json!({"method": method, "target": target});
        if let Some(body) = body {
            request["headers"] = json!([["content-type", "application/json"]]);
            request["body"] = json!({"utf8": body});
        }
        seq += 1;
        let line = json!({
            "v": 1, "seq": seq - 1, "ts_ns": seq * 2_000_000_000_u64,
            "session": format!("s{session}"), "req": request, "resp": null,
        });
        let _ = writeln!(text, "{line}");
    };
    for number in 0..8_usize {
        let provider = ["acme", "globex", "initech"][number % 3];
        let body = json!({
            "id": format!("a-{number}"),
            "request_id": format!("r-{number}"),
            "provider": provider,
            "time": "2027-03-01T09:30:00-05:00",
            "patient_name": "Maximiliana Featherstonehaugh",
        });
        push(
            number % 4,
            "POST",
            "/appointments".to_owned(),
            Some(body.to_string()),
        );
        push(number % 4, "GET", format!("/appointments/a-{number}"), None);
        if number % 3 == 0 {
            push(
                number % 4,
                "POST",
                format!("/appointments/a-{number}/cancel"),
                None,
            );
            push(number % 4, "GET", format!("/appointments/a-{number}"), None);
        }
    }
    text
}
