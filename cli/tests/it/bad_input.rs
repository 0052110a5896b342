//! Bad input ends in exit code 2, with a message that says where and what was expected, and nothing is written.

use std::fs;

use crate::binary::{Desk, repository, scenario};

const CAPTURE: &str = r#"{"format":"rehearsal.capture/1"}
{"v":1,"seq":0,"ts_ns":1000,"req":{"method":"GET","target":"/appointments/a-1"},"resp":null}
"#;

/// Runs `arguments`, expects exit code 2, every one of `said` on stderr, nothing on stdout and no new file.
fn check(desk: &Desk, arguments: &[&str], said: &[&str]) {
    let before = desk.names();
    let ended = desk.run(arguments);
    assert_eq!(ended.code, 2, "{arguments:?}: {ended:?}");
    for text in said {
        assert!(
            ended.err.contains(text),
            "{arguments:?} did not say {text:?}: {}",
            ended.err
        );
    }
    assert_eq!(ended.out, "", "{arguments:?}");
    assert_eq!(desk.names(), before, "{arguments:?} left something behind");
}

/// The shipped happy path with one line changed.
fn changed(from: &str, to: &str) -> String {
    let text = fs::read_to_string(scenario("happy_path")).expect("the shipped scenario");
    assert!(text.contains(from), "the happy path has no {from:?}");
    text.replacen(from, to, 1)
}

#[test]
fn scenarios() {
    let desk = Desk::new();
    desk.put("key.toml", changed("[workload]", "[wrokload]"));
    check(
        &desk,
        &["run", "key.toml"],
        &["key.toml", "line ", "wrokload", "did you mean `workload`?"],
    );
    desk.put(
        "major.toml",
        changed("rehearsal.scenario/1", "rehearsal.scenario/2"),
    );
    check(
        &desk,
        &["run", "major.toml"],
        &["major.toml", "rehearsal.scenario/2", "rehearsal.scenario/1"],
    );
    desk.put("measure.toml", changed("success_rate", "succes_rate"));
    check(
        &desk,
        &["run", "measure.toml"],
        &[
            "measure.toml",
            "succes_rate",
            "did you mean `success_rate`?",
        ],
    );
    desk.put(
        "bytes.toml",
        b"format = \"rehearsal.scenario/1\"\nname = \"\xff\"\n",
    );
    check(
        &desk,
        &["run", "bytes.toml"],
        &["bytes.toml", "UTF-8", "byte 40"],
    );
    check(
        &desk,
        &["run", "majr.toml"],
        &["majr.toml", "cannot be read", "did you mean major.toml?"],
    );
    check(&desk, &["plan", "key.toml"], &["wrokload"]);
    desk.put("empty/notes.txt", "");
    check(&desk, &["run", "empty"], &["empty", "found no scenario"]);
    check(
        &desk,
        &["run", "key.toml", "major.toml"],
        &["2 files cannot be used", "wrokload", "rehearsal.scenario/2"],
    );
}

#[test]
fn one_bad_scenario_stops_the_good_ones_too() {
    let desk = Desk::new();
    desk.put("all/a.toml", changed("[workload]", "[workload]"));
    desk.put("all/b.toml", changed("[workload]", "[wrokload]"));
    check(&desk, &["run", "all"], &["b.toml"]);
}

#[test]
fn captures() {
    let desk = Desk::new();
    let inspect = |name: &str, bytes: &[u8], said: &[&str]| {
        desk.put(name, bytes);
        check(&desk, &["inspect", name], said);
        check(
            &desk,
            &["replay", name, "--legacy", "sim", "--candidate", "sim"],
            said,
        );
    };
    let whole = fs::read(repository().join("scenarios/captures/legacy-hour.jsonl.gz"))
        .expect("the sample capture");
    inspect(
        "cut.jsonl.gz",
        &whole[..whole.len() / 2],
        &["cut.jsonl.gz", "byte ", "the whole compressed stream"],
    );
    inspect("empty.jsonl", b"", &["empty.jsonl", "an empty file"]);
    inspect(
        "major.jsonl",
        b"{\"format\":\"rehearsal.capture/2\"}\n",
        &["major.jsonl", "rehearsal.capture/2"],
    );
    inspect("what.bin", b"\x00\x01", &["what.bin", "found", "expected"]);
    let bytes = CAPTURE.replace("a-1", "a-\u{1}").into_bytes();
    let bytes: Vec<u8> = bytes
        .into_iter()
        .map(|byte| if byte == 1 { 0xff } else { byte })
        .collect();
    inspect("bytes.jsonl", &bytes, &["bytes.jsonl", "UTF-8"]);
    check(
        &desk,
        &["inspect", "none.jsonl"],
        &["none.jsonl", "cannot be read"],
    );
}

#[test]
fn replays() {
    let desk = Desk::new();
    desk.put("c.jsonl", CAPTURE);
    let sims = ["replay", "c.jsonl", "--legacy", "sim", "--candidate", "sim"];
    let with = |more: &[&'static str]| -> Vec<&str> { sims.iter().chain(more).copied().collect() };
    check(
        &desk,
        &with(&["--candidate-defect", "truncate"]),
        &["truncate-patient-name", "lose-cancel"],
    );
    check(
        &desk,
        &with(&["--pace", "fast"]),
        &["fast", "recorded, 2x, 100/s or max"],
    );
    check(&desk, &with(&["--limit", "7"]), &["0.1%"]);
    check(
        &desk,
        &with(&["--secondary", "http://127.0.0.1:1"]),
        &["found two simulated sides"],
    );
    check(
        &desk,
        &with(&["--secondary", "sim"]),
        &["expected http://host:port"],
    );
    desk.put(
        "rules.toml",
        "format = \"rehearsal.rules/1\"\nname = \"x\"\nreson = \"y\"\n",
    );
    check(
        &desk,
        &with(&["--rules", "rules.toml"]),
        &["rules.toml", "line 3", "reson"],
    );
    desk.put("bytes.toml", b"\xff");
    check(
        &desk,
        &with(&["--rules", "bytes.toml"]),
        &["bytes.toml", "byte 0", "UTF-8"],
    );
    let mixed = [
        "replay",
        "c.jsonl",
        "--legacy",
        "sim",
        "--candidate",
        "http://127.0.0.1:1",
    ];
    check(&desk, &mixed, &["expected both sim or both URLs"]);
    desk.put("s.jsonl", format!("{CAPTURE}{{\"v\":1}}\n"));
    check(
        &desk,
        &[
            "replay",
            "s.jsonl",
            "--strict",
            "--legacy",
            "sim",
            "--candidate",
            "sim",
        ],
        &[
            "s.jsonl: line 3, byte ",
            "missing field",
            "the reading is strict",
        ],
    );
    desk.put("w.jsonl", CAPTURE.replace("GET", "DELETE"));
    let running = [
        "replay",
        "w.jsonl",
        "--legacy",
        "http://127.0.0.1:1",
        "--candidate",
        "http://127.0.0.1:2",
    ];
    check(
        &desk,
        &running,
        &[
            "w.jsonl",
            "found 1 requests that may change",
            "--allow-writes",
        ],
    );
}

#[test]
fn flags_and_places() {
    let desk = Desk::new();
    desk.put("file", "");
    check(
        &desk,
        &["run", &scenario("happy_path"), "--out", "file"],
        &["--out file", "folder"],
    );
    check(
        &desk,
        &["run", &scenario("happy_path"), "--seeds", "5..5"],
        &["5..5", "A less than B"],
    );
    check(
        &desk,
        &["run", &scenario("happy_path"), "--seeds", "0..1000000"],
        &["1000000 runs", "100000"],
    );
    check(
        &desk,
        &["verify", &scenario("happy_path"), "--seeds", "0"],
        &["\"0\"", "such as 500"],
    );
    check(
        &desk,
        &["verify", "none.toml"],
        &["none.toml", "cannot be read"],
    );
    check(&desk, &["verify-side"], &["stdin", "`rehearsal verify`"]);
    check(&desk, &["repaly"], &["repaly", "replay"]);
    let serve = ["serve", "--provider", "acme=http://127.0.0.1:1"];
    let with = |more: &[&'static str]| -> Vec<&str> { serve.iter().chain(more).copied().collect() };
    check(
        &desk,
        &with(&["--listen", "0.0.0.0:0"]),
        &["0.0.0.0:0", "authentication", "loopback"],
    );
    check(
        &desk,
        &with(&["--database", "no/where.db"]),
        &["no/where.db", "a folder that exists"],
    );
    check(
        &desk,
        &with(&["--provider", "acme=http://127.0.0.1:2"]),
        &["acme twice"],
    );
    check(
        &desk,
        &["metrics"],
        &["results_post.json", "cannot be read"],
    );
    desk.put("other.json", "{\"format\":\"rehearsal.results/2\"}");
    check(
        &desk,
        &["metrics", "--results", "other.json"],
        &["other.json", "rehearsal.results/2"],
    );
}
