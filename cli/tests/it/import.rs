//! `rehearsal import` and `inspect`: converting, filtering, masking, and a masked capture that replays like the original.
//!
//! **Invariant**: a command that fails leaves nothing behind, not even beside the file it was to write.

use std::{io::Write, process::Stdio};

use serde_json::{Value, json};

use crate::binary::{Desk, Ended};

const KEY: &str = "a key for tests, no secret\n";

/// Appointments of people, read back, with one record that cannot be read.
fn capture(people: u64) -> String {
    let mut lines = vec![json!({"format": "rehearsal.capture/1"}).to_string()];
    let mut push = |method: &str, target: String, body: Option<Value>, answer: Value| {
        let seq = lines.len() as u64 - 1;
        let mut request = json!({"method": method, "target": target, "headers": [["authorization", "Bearer tok-8f2e9a77b1"]]});
        if let Some(body) = body {
            request["headers"]
                .as_array_mut()
                .expect("headers")
                .push(json!(["content-type", "application/json"]));
            request["body"] = json!({"utf8": body.to_string()});
        }
        let time = (seq + 1) * 1_000_000_000;
        let answer = json!({"ts_ns": time + 5_000_000, "latency_ns": 5_000_000, "status": 200,
            "headers": [["content-type", "application/json"]], "body": {"utf8": answer.to_string()}});
        lines.push(json!({"v": 1, "seq": seq, "ts_ns": time, "session": "s-1", "req": request, "resp": answer}).to_string());
    };
    for number in 1..=people {
        let name = format!("Maximiliana Featherstonehaugh the {number}th");
        let body = json!({"id": format!("a-{number}"), "request_id": format!("r-{number}"), "provider": "acme",
            "time": "2027-03-01T09:30:00Z", "patient_name": name, "email": format!("max{number}@example.org")});
        push(
            "POST",
            "/appointments".to_owned(),
            Some(body),
            json!({"id": format!("a-{number}"), "patient_name": name}),
        );
        push(
            "GET",
            format!("/appointments/a-{number}"),
            None,
            json!({"id": format!("a-{number}"), "note": format!("for {name}")}),
        );
    }
    lines.insert(3, "{\"v\":1,".to_owned());
    lines
        .iter()
        .fold(String::new(), |text, line| text + line + "\n")
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.put("c.jsonl", capture(20));
    desk.put("key.txt", KEY);
    desk
}

fn import(desk: &Desk, more: &[&str]) -> Ended {
    desk.run(&[&["import", "c.jsonl", "--format", "json"], more].concat())
}

#[test]
fn a_capture_is_converted_whole_and_what_is_skipped_has_its_place() {
    let desk = desk();
    for out in ["o.jsonl", "o.jsonl.gz", "o.jsonl.zst"] {
        let ended = import(&desk, &["--out", out]);
        let summary = ended.json();
        assert_eq!(
            (ended.code, &summary["read"], &summary["written"]),
            (0, &json!(40), &json!(40)),
            "{ended:?}"
        );
        let skipped = &summary["skipped"]["malformed"];
        assert_eq!(skipped["count"], 1);
        assert!(
            skipped["first"][0]
                .as_str()
                .is_some_and(|first| first.contains("c.jsonl") && first.contains("line 4")),
            "{skipped}"
        );
        let profile = desk.run(&["inspect", out, "--format", "json"]).json();
        let skipped = &profile["profile"]["skipped"]["malformed"];
        assert_eq!(
            (&profile["profile"]["exchanges"], &skipped["count"]),
            (&json!(40), &json!(1))
        );
        let first = skipped["first"][0].as_str().expect("a place");
        assert!(
            first.starts_with(&format!("{out}: line 42, "))
                && first.contains("skipped when it was imported, at c.jsonl: line 4, "),
            "{first}"
        );
        assert_eq!(
            lost(&desk, out),
            lost(&desk, "c.jsonl"),
            "coverage is as of the original"
        );
        // What was lost is passed on by an import of the import, and ends a strict reading.
        let ended = desk.run(&["import", out, "--out", "again.jsonl", "--format", "json"]);
        assert_eq!(
            ended.json()["skipped"]["malformed"]["count"],
            1,
            "{ended:?}"
        );
        assert_eq!(lost(&desk, "again.jsonl"), lost(&desk, "c.jsonl"));
        let strict = desk.run(&["inspect", out, "--strict"]);
        assert!(
            strict.code == 2 && strict.err.contains("line 42"),
            "{strict:?}"
        );
    }
    let ended = import(&desk, &["--out", "strict.jsonl", "--strict"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("line 4"), "{}", ended.err);
    assert!(
        !desk.names().iter().any(|name| name.contains("strict")),
        "{:?}",
        desk.names()
    );
}

/// Records that could not be read, as a replay counts them against coverage.
fn lost(desk: &Desk, capture: &str) -> Value {
    let sides = ["--legacy", "sim", "--candidate", "sim", "--format", "json"];
    let report = desk
        .run(&[&["replay", capture], &sides[..]].concat())
        .json();
    let skipped = report["capture"]["skipped"].as_array().expect("kinds");
    json!([
        skipped
            .iter()
            .map(|kind| json!([kind["reason"], kind["count"]]))
            .collect::<Vec<_>>(),
        report["coverage"]
    ])
}

#[test]
fn what_a_capture_was_made_from_can_be_typed_again() {
    let desk = desk();
    desk.put(
        "rules.toml",
        "format = \"rehearsal.mask/1\"\nfields = [\"patient_name\"]",
    );
    let more = [
        "--out",
        "o.jsonl",
        "--from",
        "rehearsal",
        "--method",
        "post,GET",
        "--path",
        "/appointments",
        "--path",
        "/appointments/{id}",
        "--since",
        "1m",
        "--until",
        "1970-01-01T02:00:00+01:00",
        "--sample",
        "50%",
        "--mask",
        "key.txt",
        "--mask-rules",
        "rules.toml",
    ];
    let since = ["--since", "10s"];
    let ended = import(&desk, &[&more[..10], &since, &more[12..]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let written = desk.get("o.jsonl");
    let manifest: Value =
        serde_json::from_str(written.lines().next().expect("a line")).expect("JSON");
    let exporter = manifest["exporter"].as_str().expect("an exporter");
    let (command, key) = exporter
        .split_once(", masked with the key ")
        .expect("a key");
    assert!(!key.is_empty());
    assert_eq!(
        command,
        "rehearsal import c.jsonl --from rehearsal --method post,GET --path /appointments --path '/appointments/{id}' --since 10s \
         --until 1970-01-01T01:00:00Z --sample 50% --mask-rules rules.toml"
    );
}

#[test]
fn a_masked_capture_does_not_say_whom_its_file_is_named_after() {
    let desk = desk();
    let name = "ada.lovelace@example.org.jsonl";
    desk.put(name, desk.get("c.jsonl"));
    let ended = desk.run(&["import", name, "--out", "o.jsonl", "--mask", "key.txt"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let written = desk.get("o.jsonl");
    assert!(
        written.contains(".jsonl: line 4") && !written.contains("lovelace"),
        "{written}"
    );
    assert!(!ended.out.contains("lovelace"), "{}", ended.out);
}

#[test]
fn standard_input_and_folders_are_captures_as_well() {
    let desk = desk();
    let mut command = desk.command(&["import", "-", "--out", "o.jsonl", "--format", "json"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(capture(3).as_bytes())
        .expect("it reads");
    let ended = Ended::of(child.wait_with_output().expect("it ends"));
    assert_eq!(
        (ended.code, &ended.json()["written"]),
        (0, &json!(6)),
        "{ended:?}"
    );
    desk.put("many/a.jsonl", capture(2));
    desk.put("many/b.jsonl", capture(3));
    let ended = desk.run(&["import", "many", "--out", "m.jsonl", "--format", "json"]);
    assert_eq!(ended.json()["written"], 10, "{ended:?}");
}

#[test]
fn filters_leave_out_what_is_not_wanted_and_count_it() {
    let desk = desk();
    let check = |more: &[&str], written: u64, left_out: Value| {
        let summary = import(&desk, &[&["--out", "o.jsonl"], more].concat()).json();
        assert_eq!(
            (&summary["written"], &summary["left_out"]),
            (&json!(written), &left_out),
            "{more:?}"
        );
    };
    check(&["--method", "get,put"], 20, json!({"method": 20}));
    check(&["--path", "/appointments/{id}"], 20, json!({"path": 20}));
    check(
        &["--since", "10s", "--until", "1970-01-01T00:00:21Z"],
        10,
        json!({"time": 30}),
    );
    let sampled = import(&desk, &["--out", "o.jsonl", "--sample", "40%"]).json();
    let written = sampled["written"].as_u64().expect("a count");
    assert!(
        written > 0 && written < 40 && written.is_multiple_of(2),
        "an entity keeps all of its requests: {sampled}"
    );
    let ended = import(&desk, &["--out", "none.jsonl", "--method", "PATCH"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.err.contains("left out by method: 40"),
        "{}",
        ended.err
    );
    assert!(!desk.names().iter().any(|name| name.contains("none")));
}

#[test]
fn a_masked_capture_says_nothing_of_people_and_replays_like_the_original() {
    let desk = desk();
    let ended = import(&desk, &["--out", "m.jsonl", "--mask", "key.txt"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let masked = desk.get("m.jsonl");
    for secret in [
        "Maximiliana",
        "Featherstonehaugh",
        "@example.org",
        "8f2e9a77b1",
        KEY.trim(),
    ] {
        assert!(!masked.contains(secret), "{secret} is left");
    }
    assert!(
        masked.contains("masked with the key") && masked.contains("\\\"provider\\\":\\\"acme\\\"")
    );
    let again = desk
        .command(&[
            "import",
            "c.jsonl",
            "--out",
            "n.jsonl",
            "--mask-env",
            "TEST_MASK",
        ])
        .env("TEST_MASK", KEY)
        .output();
    assert!(again.expect("it starts").status.success());
    assert_eq!(
        desk.get("n.jsonl"),
        masked,
        "the same key gives the same masks"
    );
    let verdict = |capture: &str| {
        let arguments = [
            "replay",
            capture,
            "--legacy",
            "sim",
            "--candidate",
            "sim",
            "--format",
            "json",
        ];
        let ended = desk.run(
            &[
                &arguments[..],
                &["--candidate-defect", "truncate-patient-name"],
            ]
            .concat(),
        );
        let report = ended.json();
        (
            ended.code,
            report["verdict"].clone(),
            report["pairs"].clone(),
            report["state"]["pairs"].clone(),
        )
    };
    let plain = verdict("c.jsonl");
    assert_eq!(plain.0, 1, "the planted difference is found");
    assert_eq!(verdict("m.jsonl"), plain);
}

#[test]
fn keys_that_are_no_keys_are_refused_before_anything_is_written() {
    let desk = desk();
    desk.put("short.txt", "short");
    desk.put("rules.toml", "format = \"rehearsal.mask/1\"\nfeilds = []");
    let check = |more: &[&str], said: &str| {
        let ended = import(&desk, &[&["--out", "o.jsonl"], more].concat());
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
        assert!(ended.err.contains(said), "{}", ended.err);
        assert!(!desk.names().iter().any(|name| name.contains("o.jsonl")));
    };
    check(
        &["--mask", "short.txt"],
        "short.txt: found 5 bytes, expected a key of at least 16",
    );
    check(&["--mask", "none.txt"], "none.txt: cannot be read");
    check(
        &["--mask-env", "NO_SUCH_KEY"],
        "--mask-env NO_SUCH_KEY: found no such variable",
    );
    check(&["--mask-rules", "rules.toml"], "found no key");
    check(
        &["--mask", "key.txt", "--mask-rules", "rules.toml"],
        "rules.toml: TOML parse error at line 2",
    );
    check(&["--since", "10"], "found \"10\", expected a time such as");
    check(&["--from", "pcap"], "pcap");
    desk.put("empty.jsonl", "{\"format\":\"rehearsal.capture/1\"}\n");
    let ended = desk.run(&["inspect", "empty.jsonl"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn fields_and_spans_are_chosen_by_every_command_that_reads() {
    let desk = Desk::new();
    desk.put(
        "app.log",
        "{\"start\":\"2026-11-23T10:00:00Z\",\"how\":\"GET\",\"where\":{\"path\":\"/a\"},\"tenant\":\"x\"}\n",
    );
    let flags = [
        "--from",
        "json-log",
        "--field",
        "method=how",
        "--field",
        "target=where.path",
        "--field",
        "header:X-Tenant=tenant",
    ];
    let ended = desk.run(&[&["import", "app.log", "--out", "o.jsonl"], &flags[..]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let written = desk.get("o.jsonl");
    for part in [
        "\"target\":\"/a\"",
        "[\"X-Tenant\",\"x\"]",
        "rehearsal import app.log --from json-log --field method=how --field target=where.path",
    ] {
        assert!(written.contains(part), "{part}: {written}");
    }
    let inspect = ["inspect", "app.log", "--format", "json"];
    let ended = desk.run(&[&inspect, &flags[..]].concat());
    assert_eq!(ended.json()["profile"]["exchanges"], 1, "{ended:?}");
    // A replay reads it the same way, and finds out only then that nobody listens.
    let sides = ["--legacy", "http://127.0.0.1:1"];
    let sides = [&sides[..], &["--candidate", "http://127.0.0.1:1"]].concat();
    let replay = |more: &[&str]| desk.run(&[&["replay", "app.log"], &sides[..], more].concat());
    assert_eq!(replay(&flags[..2]).code, 2);
    assert_ne!(replay(&[&flags[..], &["--settle", "1ms"]].concat()).code, 2);
    let ended = desk.run(&["inspect", "app.log", "--field", "metod=how"]);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("expected method=KEY"), "{}", ended.err);

    let attributes = "[{\"key\":\"http.method\",\"value\":{\"stringValue\":\"GET\"}},{\"key\":\"http.target\",\"value\":{\"stringValue\":\"/b\"}}]";
    desk.put(
        "spans.json",
        format!("{{\"resourceSpans\":[{{\"scopeSpans\":[{{\"spans\":[{{\"kind\":3,\"startTimeUnixNano\":\"1\",\"endTimeUnixNano\":\"2\",\"attributes\":{attributes}}}]}}]}}]}}\n"),
    );
    assert_eq!(desk.run(&["inspect", "spans.json"]).code, 2);
    let ended = desk.run(&["inspect", "spans.json", "--client-spans"]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn an_earlier_import_is_not_read_in_the_folder_it_lies_in() {
    let desk = desk();
    std::fs::create_dir(desk.path().join("captures")).expect("a folder");
    desk.put("captures/c.jsonl", capture(20));
    for _ in 0..2 {
        let arguments = ["import", "captures", "--out", "captures/all.jsonl.gz"];
        let ended = desk.run(&[&arguments[..], &["--format", "json"]].concat());
        assert_eq!(
            (ended.code, &ended.json()["read"]),
            (0, &json!(40)),
            "{ended:?}"
        );
    }
}
