//! Faults from a scenario's text to their effects, on the counter: the kinds that take hosts down, and all kinds together.

use rehearsal_sim::fault::KindName;

use super::*;

fn fault(text: &str) -> String {
    format!("[[faults]]\n{}\n", text.replace("; ", "\n"))
}

fn effects(record: &Record) -> Vec<(&str, Vec<(&str, u64)>)> {
    record
        .faults
        .iter()
        .map(|fault| {
            let counts = fault
                .effect
                .iter()
                .map(|(name, count)| (name.as_str(), *count));
            (fault.kind.as_str(), counts.collect())
        })
        .collect()
}

#[test]
fn a_stopped_host_drains_on_every_engine() {
    let stop = fault("kind = 'stop'; target = 'counter'; at_s = 0.05; down_s = 0.1");
    for engine in [Engine::Pipes, Engine::Turmoil, Engine::Loopback] {
        let record = judged(&plan("adds = 20", &stop), engine);
        assert_eq!(record.verdict, Verdict::Pass, "{}", engine.name());
        assert_eq!(record.faults[0].kind, "stop");
        assert_eq!(
            record.faults[0].effect["processes_stopped"],
            1,
            "{}: {record:#?}",
            engine.name()
        );
    }
}

#[test]
fn a_host_that_does_not_end_within_its_grace_is_killed() {
    let stop = fault("kind = 'stop'; target = 'spare'; at_s = 0.05; down_s = 0.1; grace_s = 0.5");
    let outcome = run::in_child(
        &plan("adds = 20", &stop),
        Engine::Pipes,
        Duration::from_secs(30),
        true,
    )
    .expect("a run");
    let expected = vec![(
        "stop",
        vec![("connections_reset", 0), ("processes_killed", 1)],
    )];
    assert_eq!(effects(&outcome.record), expected);
    let trace = outcome.trace.expect("it was asked for");
    let at = |event: &str| -> u64 {
        let line = trace
            .lines()
            .rfind(|line| line.contains("\"spare\"") && line.contains(event))
            .expect("it is in the trace");
        let entry: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        entry["at_us"].as_u64().expect("a time")
    };
    assert_eq!((at("died"), at("booted")), (550_000, 650_000));
}

#[test]
fn a_crash_loop_is_as_many_crashes() {
    let crashes = fault(
        "kind = 'crash_loop'; target = 'counter'; at_s = 0.02; down_s = 0.02; up_s = [0.01, 0.03]; crashes = 4",
    );
    let record = judged(&plan("adds = 20", &crashes), Engine::Pipes);
    assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
    let killed = record
        .faults
        .iter()
        .map(|fault| fault.effect["processes_killed"]);
    assert_eq!(killed.collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[test]
fn a_wiped_host_lost_its_disk_and_its_power() {
    let wipe = fault("kind = 'wipe'; target = 'counter'; at_s = 0.1; down_s = 0.1");
    let record = judged(&plan("adds = 20", &wipe), Engine::Pipes);
    assert_eq!(
        (record.verdict, record.faults[0].kind.as_str()),
        (Verdict::Fail, "wipe")
    );
    assert!(!lost(&record).violations.is_empty(), "it kept everything");
    let loopback = run::in_child(
        &plan("adds = 20", &wipe),
        Engine::Loopback,
        Duration::from_secs(30),
        false,
    );
    let refusal = loopback.expect_err("real disks are not wiped");
    assert!(refusal.to_string().contains("a power loss"), "{refusal}");
}

#[test]
fn a_link_of_its_own_is_as_slow_as_it_says() {
    let usual = judged(&plan("adds = 20", ""), Engine::Pipes).virtual_ms;
    let links = "[[network.links]]\nfrom = 'client'\nto = 'counter'\nlatency = { fixed_ms = 30 }\n";
    let record = judged(&plan("adds = 20", links), Engine::Pipes);
    // Each addition is four ways: the handshake and the exchange.
    assert!(usual < 20 * 60, "{usual}");
    assert!(record.virtual_ms >= 20 * 4 * 30, "{}", record.virtual_ms);
    for engine in [Engine::Turmoil, Engine::Loopback] {
        let refusal = run::in_child(
            &plan("adds = 20", links),
            engine,
            Duration::from_secs(30),
            false,
        );
        let refusal = refusal.expect_err("it has one network").to_string();
        assert!(refusal.contains("network.links"), "{refusal}");
    }
}

#[test]
fn a_network_may_reset_what_it_loses() {
    let network = "[network]\nloss = 0.1\nloss_as = 'reset'\n";
    let record = judged(&plan("adds = 50", network), Engine::Pipes);
    assert_eq!(record.verdict, Verdict::Pass, "{record:#?}");
    assert_eq!(lost(&record).checked, 50);
}

#[test]
fn links_are_refused_by_key() {
    let parse = |links: &str| {
        let text = format!(
            "format = \"rehearsal.scenario/1\"\nname = \"counter\"\nquestion = \"?\"\n[counter]\nadds = 1\n[[network.links]]\n{links}"
        );
        let file = Path::new("counter.toml");
        let scenario: Scenario<CounterTables> = Scenario::parse(file, &text)?;
        Plan::<Counter>::draw(file, &scenario, 7)
    };
    for (links, expect) in [
        (
            "from = 'cuonter'\nto = '*'\nloss = 0.1",
            "network.links[0].from: \"cuonter\" matches no host of this scenario (counter, spare, client); did you mean \"counter\"?",
        ),
        (
            "from = '*'\nto = '*'\nloss = 1.0",
            "network.links[0].loss: found 1, expected 0 or more and less than 1",
        ),
        (
            "from = '*'\nto = '*'",
            "network.links[0].latency: missing, and so are loss and loss_as",
        ),
        ("from = '*'\nto = '*'\nlos = 1.0", "did you mean `loss`?"),
    ] {
        let refused = parse(links).expect_err(links).to_string();
        assert!(refused.contains(expect), "{refused}");
    }
}

/// The counter keeps nothing on a disk; these have tests of their own.
const OF_A_DISK: [KindName; 5] = [
    KindName::FsyncError,
    KindName::Eio,
    KindName::Enospc,
    KindName::Stall,
    KindName::BitRot,
];

/// Every kind once; where a kind needs traffic, the chatty spare and the counter have some.
fn every_kind() -> String {
    let host = |kind: &str, more: &str, number: usize| {
        let at = 0.3 + 0.3 * number as f64;
        fault(&format!(
            "kind = '{kind}'; target = 'counter'; at_s = {at}; {more}"
        ))
    };
    let mut text = String::new();
    for (number, name) in KindName::ALL.iter().enumerate() {
        let more = match name {
            KindName::Crash
            | KindName::Kill
            | KindName::PowerLoss
            | KindName::Wipe
            | KindName::Stop => "down_s = 0.1",
            KindName::CrashLoop => "down_s = 0.02; up_s = 0.02; crashes = 2",
            KindName::Slow => "for_s = 0.2; delay = { uniform_ms = [1, 20] }",
            KindName::Skew | KindName::Step => "for_s = 0.2; offset_s = [-3, -2]",
            KindName::Drift => "for_s = 0.2; ppm = [-5000, -4000]",
            KindName::Partition => "for_s = 0.2; floor_s = 0.1; shape = 'isolate'",
            KindName::Pause | KindName::Hold => "for_s = 0.2",
            KindName::Latency => "for_s = 0.2; latency = { fixed_ms = 9 }",
            KindName::Loss => "for_s = 0.2; rate = 0.5; loss_as = 'reset'",
            KindName::Reset => "for_s = 0.2; after_bytes = 4",
            KindName::Bandwidth | KindName::SlowReads => "for_s = 0.2; bytes_per_s = 500",
            name if OF_A_DISK.contains(name) => continue,
            name => panic!("{name:?} has no example"),
        };
        let text_of = host(name.name(), more, number);
        text += &match name {
            // A wipe of the counter would lose what it acknowledged, and the oracle would say so.
            KindName::Wipe => text_of.replace("'counter'", "'spare'"),
            _ => text_of,
        };
    }
    text
}

#[test]
fn all_kinds_in_one_run_strike_and_are_a_digest() {
    let plan = plan("adds = 600\nchatty = true", &every_kind());
    let record = judged(&plan, Engine::Pipes);
    assert_eq!(record.verdict, Verdict::Pass, "{:#?}", effects(&record));
    let names: BTreeSet<&str> = record
        .faults
        .iter()
        .map(|fault| fault.kind.as_str())
        .collect();
    // `kill` and `crash_loop` are crashes in a plan.
    assert_eq!(
        names.len(),
        KindName::ALL.len() - OF_A_DISK.len() - 2,
        "{names:?}"
    );
    assert_eq!(judged(&plan, Engine::Pipes).digest, record.digest);
    let read_back = Plan::parse(Path::new("counter.plan.toml"), &plan.to_toml()).expect("a plan");
    assert_eq!(judged(&read_back, Engine::Pipes).digest, record.digest);
}
