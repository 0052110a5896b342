//! Replays against running services, as `docs/replay.md` has them: pairs of servers, kills, Ctrl-C.

use std::{
    fs,
    io::{Read, Write as _},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    binary::{Desk, Ended, repository},
    real::address,
};

/// A running server that logs to a file, so that no pipe fills up; killed when the test ends.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(desk: &Desk, name: &str, arguments: &[&str]) -> Self {
        let log = desk.path().join(name);
        let child = desk
            .command(arguments)
            .stderr(fs::File::create(&log).expect("a file"))
            .spawn()
            .expect("the binary starts");
        let mut server = Self {
            child,
            address: String::new(),
        };
        for _ in 0..LOOKS {
            let text = fs::read_to_string(&log).expect("a log");
            let mut lines = text
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            if let Some(address) = lines.find_map(address) {
                server.address = address;
                return server;
            }
            std::thread::yield_now();
        }
        panic!("{arguments:?} never said where it listens");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that is gone already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// More looks at a file than a run takes to write to it; each is a system call.
const LOOKS: usize = 5_000_000;

/// The first exchanges of the sample hour.
fn sample(count: usize) -> String {
    let path = repository().join("scenarios/captures/legacy-hour.jsonl.gz");
    let unpacked = Command::new("gzip").arg("-dc").arg(path).output();
    let text = String::from_utf8(unpacked.expect("gzip is there").stdout).expect("UTF-8");
    let head = "{\"format\":\"rehearsal.capture/1\"}";
    let lines = text.lines().skip(1).take(count);
    lines.fold(head.to_owned(), |whole, line| whole + "\n" + line) + "\n"
}

/// So many reads of appointments that nobody made.
fn reads(count: usize) -> String {
    let head = "{\"format\":\"rehearsal.capture/1\"}\n".to_owned();
    (0..count).fold(head, |text, at| {
        let ts_ns = (at as u64 + 1) * 1_000_000;
        let line = format!(
            "{{\"v\":1,\"seq\":{at},\"ts_ns\":{ts_ns},\"session\":\"s{}\",\"req\":{{\"method\":\"GET\",\"target\":\"/appointments/a-{at}\"}},\"resp\":null}}\n",
            at % 7
        );
        text + &line
    })
}

/// A provider, and what a service is told of it.
fn provider(desk: &Desk, log: &str) -> (Server, Vec<String>) {
    let server = Server::start(desk, log, &["provider", "--listen", "127.0.0.1:0"]);
    let named = |name: &str| format!("--provider={name}=http://{}", server.address);
    let told = ["acme", "globex", "initech"].map(named).into();
    (server, told)
}

fn legacy(desk: &Desk, log: &str, providers: &[String]) -> Server {
    let mut arguments = vec!["legacy", "--listen", "127.0.0.1:0"];
    arguments.extend(providers.iter().map(String::as_str));
    Server::start(desk, log, &arguments)
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address)
}

fn replay<'a>(legacy: &'a str, candidate: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "replay",
        "c.jsonl",
        "--legacy",
        legacy,
        "--candidate",
        candidate,
    ];
    arguments.extend(["--settle", "300ms", "--format", "json"]);
    arguments.extend(more);
    arguments
}

/// Everything was accounted for, on both sides and together.
fn check_accounting(report: &Value, planned: u64) {
    let accounting = &report["accounting"];
    let by_side = &accounting["by_side"];
    for of in [accounting, &by_side["legacy"], &by_side["candidate"]] {
        let count = |name: &str| of[name].as_u64().expect("a count");
        assert_eq!(count("planned"), planned, "{accounting}");
        assert_eq!(count("planned"), count("sent") + count("skipped"));
        assert_eq!(count("sent"), count("answered") + count("failed"));
    }
}

fn untimed(ended: &str) -> Value {
    let mut report: Value = serde_json::from_str(ended).expect("JSON");
    let timing = report.as_object_mut().expect("an object").remove("timing");
    assert!(timing.is_some());
    report
}

#[test]
fn legacy_and_its_replacement_are_replayed_with_the_sample() {
    let desk = Desk::new();
    let (_one, told) = provider(&desk, "p1");
    let (_other, told_other) = provider(&desk, "p2");
    let old = legacy(&desk, "old", &told);
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--database", "a.db"];
    arguments.extend(told_other.iter().map(String::as_str));
    let new = Server::start(&desk, "new", &arguments);
    desk.put("c.jsonl", sample(400));
    let rules = repository().join("scenarios/rules/legacy-to-v2.toml");
    let rules = rules.to_string_lossy();
    let (old, new) = (url(&old), url(&new));
    let pace = ["--pace", "max", "--in-flight", "32", "--rules", &rules];
    let refused = desk.run(&replay(&old, &new, &pace));
    assert_eq!(refused.code, 2, "writes need to be allowed: {refused:?}");
    let allowed: Vec<&str> = pace.iter().copied().chain(["--allow-writes"]).collect();
    let ended = desk.run(&replay(&old, &new, &allowed));
    let report = ended.json();
    check_accounting(&report, 400);
    assert_eq!(report["accounting"]["answered"], 400, "{report}");
    assert_eq!(report["pairs"]["mismatched"], 0, "{:#}", report["clusters"]);
    assert_eq!(report["state"]["mismatched"], 0, "{:#}", report["clusters"]);
    assert_eq!(ended.code, 3, "400 requests are too few to judge");
    assert!(report["timing"]["latency_ms"]["legacy"]["response"]["p99"].is_number());
    assert!(!desk.names().contains(&"results/replay.journal".to_owned()));
}

#[test]
fn two_legacy_processes_are_alike_and_a_third_is_asked_as_well() {
    let desk = Desk::new();
    let providers: Vec<_> = ["p0", "p1", "p2"].map(|log| provider(&desk, log)).into();
    let servers: Vec<Server> = (0..)
        .zip(&providers)
        .map(|(at, (_, told)): (u8, _)| legacy(&desk, &format!("s{at}"), told))
        .collect();
    let services: Vec<String> = servers.iter().map(url).collect();
    desk.put("c.jsonl", sample(300));
    desk.put(
        "rules.toml",
        "format = \"rehearsal.rules/1\"\nname = \"alike\"\n[[rule]]\nid = \"reference\"\nkind = \"binding\"\nreason = \"invented by each provider\"\nendpoint = \"*\"\npath = \"/reference\"\n",
    );
    let more = [
        "--pace",
        "100x",
        "--allow-writes",
        "--rules",
        "rules.toml",
        "--secondary",
        &services[2],
    ];
    let ended = desk.run(&replay(&services[0], &services[1], &more));
    let report = ended.json();
    check_accounting(&report, 300);
    assert_eq!(report["pairs"]["matched"], 300, "{:#}", report["clusters"]);
    assert!(
        report["timing"]["punctuality"]["candidate"]["sent"] == 300,
        "{report}"
    );
}

/// Starts the replay and waits until its journal holds more than its first line.
fn begun(desk: &Desk, arguments: &[&str], bytes: u64) -> Child {
    let mut child = desk
        .command(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let journal = desk.path().join("results/replay.journal");
    for _ in 0..LOOKS {
        if fs::metadata(&journal).is_ok_and(|file| file.len() > bytes) {
            return child;
        }
        std::thread::yield_now();
    }
    child.kill().expect("it runs");
    let ended = child.wait().expect("it ends");
    panic!("the journal never grew beyond {bytes} bytes; {ended}");
}

#[test]
fn a_replay_that_is_killed_goes_on_and_comes_to_the_same_end() {
    let servers = Desk::new();
    let (_provider, told) = provider(&servers, "p");
    let (old, new) = (
        legacy(&servers, "old", &told),
        legacy(&servers, "new", &told),
    );
    let (old, new) = (url(&old), url(&new));
    let desk = Desk::new();
    desk.put("c.jsonl", reads(120));
    let whole = replay(&old, &new, &["--pace", "400/s", "--resume"]);
    let expected = desk.run(&whole);
    let expected = untimed(&expected.out);
    check_accounting(&expected, 120);
    assert_eq!(expected["accounting"]["answered"], 120);
    for bytes in (400..26_000).step_by(3_200) {
        let mut child = begun(&desk, &whole, bytes);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(desk.path().join("results/replay.journal").exists());
        let ended = desk.run(&whole);
        assert!(ended.err.contains("resumed"), "{}", ended.err);
        assert_eq!(untimed(&ended.out), expected, "killed after {bytes} bytes");
    }
    let other = desk.run(&replay(&new, &old, &["--pace", "400/s"]));
    assert_ne!(other.code, 2);
    let mut child = begun(&desk, &whole, 400);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let other = desk.run(&replay(&new, &old, &["--pace", "400/s", "--resume"]));
    assert_eq!(
        other.code, 2,
        "another replay's journal is refused: {other:?}"
    );
    assert!(
        other.err.contains("replay.journal: found a journal of"),
        "{}",
        other.err
    );
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.expect("kill is there").success());
}

#[test]
fn control_c_ends_it_in_order_with_what_it_has() {
    let desk = Desk::new();
    let (_provider, told) = provider(&desk, "p");
    let (old, new) = (legacy(&desk, "old", &told), legacy(&desk, "new", &told));
    let (old, new) = (url(&old), url(&new));
    desk.put("c.jsonl", reads(200));
    let arguments = replay(&old, &new, &["--pace", "200/s"]);
    let mut child = begun(&desk, &arguments, 2_000);
    interrupt(&child);
    let mut out = String::new();
    let pipe = child.stdout.as_mut().expect("a pipe");
    pipe.read_to_string(&mut out).expect("UTF-8");
    let ended = Ended::of(child.wait_with_output().expect("it ends"));
    let report: Value = serde_json::from_str(&out).expect("a report");
    check_accounting(&report, 200);
    let accounting = &report["accounting"];
    assert!(accounting["skipped"].as_u64() > Some(0), "{accounting}");
    assert!(accounting["answered"].as_u64() > Some(0), "{accounting}");
    assert!([3, 4].contains(&ended.code), "{ended:?}");
    assert!(ended.err.contains("--resume goes on"), "{}", ended.err);
    assert!(
        report["reasons"].to_string().contains("stopped"),
        "{}",
        report["reasons"]
    );
    assert_eq!(desk.get("results/replay.json"), out);
    let resumed: Vec<&str> = arguments.iter().copied().chain(["--resume"]).collect();
    let whole = desk.run(&resumed).json();
    assert_eq!(whole["accounting"]["answered"], 200, "{whole}");
}

#[test]
fn a_stream_that_is_decided_ends_the_sending_on_both_sides_alike() {
    let desk = Desk::new();
    let (_provider, told) = provider(&desk, "p");
    let (old, new) = (legacy(&desk, "old", &told), legacy(&desk, "new", &told));
    let (old, new) = (url(&old), url(&new));
    desk.put("c.jsonl", reads(20_000));
    let stream = ["--gate", "proven", "--limit", "5%", "--stream"];
    // Without an end it would take a minute.
    let paced: Vec<&str> = ["--pace", "300/s"].into_iter().chain(stream).collect();
    let report = desk.run(&replay(&old, &new, &paced)).json();
    check_accounting(&report, 20_000);
    assert_eq!(report["gate"]["verdict"], "pass", "{report}");
    let by_side = &report["accounting"]["by_side"];
    let decided = by_side["legacy"]["skipped_by_reason"]["decided"].as_u64();
    assert!(decided > Some(15_000), "{by_side}");
    assert_eq!(by_side["legacy"]["sent"], by_side["candidate"]["sent"]);
    assert_eq!(report["stopped"], false);
    assert!(!desk.path().join("results/replay.journal").exists());
}

#[test]
fn a_second_control_c_ends_it_at_once() {
    let desk = Desk::new();
    let (_provider, told) = provider(&desk, "p");
    let (old, new) = (legacy(&desk, "old", &told), legacy(&desk, "new", &told));
    let (old, new) = (url(&old), url(&new));
    desk.put("c.jsonl", reads(200));
    let arguments = replay(&old, &new, &["--pace", "200/s"]);
    // Nobody reads its stdout, which is full: it cannot end in order.
    let (_unread, mut full) = std::io::pipe().expect("a pipe");
    full.write_all(" ".repeat(64 << 10).as_bytes())
        .expect("a pipe takes 64 KiB");
    let mut child = desk
        .command(&arguments)
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let results = desk.path().join("results");
    let shows = |name: &str| {
        let path = results.join(name);
        let there = (0..LOOKS).any(|_| {
            std::thread::yield_now();
            fs::metadata(&path).is_ok_and(|file| file.len() > 2_000)
        });
        assert!(there, "{name} never came");
    };
    shows("replay.journal");
    interrupt(&child);
    shows("replay.json");
    assert!(child.try_wait().expect("a child").is_none(), "it hangs");
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let resumed: Vec<&str> = arguments.iter().copied().chain(["--resume"]).collect();
    let whole = desk.run(&resumed).json();
    assert_eq!(whole["accounting"]["answered"], 200, "{whole}");
}

#[test]
fn a_target_that_is_killed_in_the_middle_loses_nothing_silently() {
    let desk = Desk::new();
    let (_provider, told) = provider(&desk, "p");
    let old = legacy(&desk, "old", &told);
    let new = legacy(&desk, "new", &told);
    let (old_url, new_url) = (url(&old), url(&new));
    desk.put("c.jsonl", reads(300));
    let child = begun(
        &desk,
        &replay(&old_url, &new_url, &["--pace", "400/s"]),
        2_000,
    );
    drop(new);
    let ended = Ended::of(child.wait_with_output().expect("it ends"));
    let report = ended.json();
    check_accounting(&report, 300);
    assert_eq!(report["accounting"]["by_side"]["legacy"]["answered"], 300);
    assert!(report["accounting"]["by_side"]["candidate"]["failed"].as_u64() > Some(0));
    assert_eq!(ended.code, 4, "{:?}", report["reasons"]);
    drop(old);
}
