//! Explorations of made-up runs: what is counted, what it comes to, and that shards merge into the whole.

use super::*;
use crate::{oracle::Violation, verdict::OracleRecord};

const POINTS: [Point; 3] = [
    Point {
        name: "a",
        means: "first",
    },
    Point {
        name: "b",
        means: "second",
    },
    Point {
        name: "c",
        means: "third",
    },
];

fn subject(to: u64) -> Subject {
    Subject {
        version: "0.1.0".to_owned(),
        engine: "pipes".to_owned(),
        scenarios: ["one", "two"]
            .map(|name| Explored {
                name: name.to_owned(),
                sha256: "0".repeat(64),
            })
            .to_vec(),
        from: 0,
        to: Some(to),
        inconclusive_limit: 0.1,
        require_points: false,
    }
}

/// A run as a function of its place: every seventh seed fails in one way, every eleventh in another.
fn record(scenario: &str, seed: u64) -> Record {
    let mut violations = Vec::new();
    if seed % 7 == 3 {
        violations.push(format!("r-{seed}: lost"));
    }
    if seed % 11 == 5 && scenario == "two" {
        violations.push(format!("r-{seed}: confirmed twice"));
    }
    let verdict = if violations.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let violation = |message| Violation {
        at_us: seed,
        message,
    };
    Record {
        scenario: scenario.to_owned(),
        seed,
        verdict,
        digest: format!("{scenario}-{seed}"),
        virtual_ms: 1,
        converge_ms: None,
        summary: serde_json::Map::new(),
        faults: Vec::new(),
        oracles: vec![OracleRecord {
            name: "durable".to_owned(),
            verdict,
            checked: 2,
            violations: violations.into_iter().map(violation).collect(),
            more_violations: 0,
            not_applicable: None,
            undecided: None,
        }],
        slo: Vec::new(),
        expect: Vec::new(),
    }
}

fn explored(shard: Shard, to: u64) -> Exploration {
    let mut exploration = Exploration::new(subject(to), shard, &POINTS);
    for seed in shard.seeds(0, Some(to)) {
        for scenario in ["one", "two"] {
            let hits: &[u16] = if seed % 13 == 12 { &[0, 1] } else { &[0] };
            exploration.take(&record(scenario, seed), hits, Some(seed * 1_000));
        }
        exploration.shards[0].seeds += 1;
    }
    exploration.shards[0].ended = Ended::Seeds;
    exploration.conclude();
    exploration
}

#[test]
fn findings_are_deduplicated_and_points_keep_their_first_run() {
    let mut exploration = Exploration::new(subject(100), Shard::WHOLE, &POINTS);
    assert_eq!(
        exploration.take(&record("one", 3), &[0, 2], None).findings,
        [0]
    );
    let again = exploration.take(&record("two", 10), &[0], None);
    assert_eq!(again, News::default(), "the same bug, the same point");
    let other = exploration.take(&record("two", 5), &[1], None);
    assert_eq!((other.findings, other.points), (vec![1], 1));
    assert_eq!(exploration.findings[0].runs, 2);
    assert_eq!(exploration.findings[0].first.seed, 3);
    assert_eq!(exploration.points[0].runs, 2);
    assert_eq!(exploration.unhit().count(), 0);
}

#[test]
fn merged_shards_are_the_unsharded_run() {
    let mut whole = explored(Shard::WHOLE, 100);
    assert_eq!(whole.findings.len(), 2);
    for of in [1, 2, 3, 7] {
        let part = |index| {
            let shard = Shard::new(index, of).unwrap();
            (format!("{shard}.json"), explored(shard, 100))
        };
        // Whatever order the files are named in.
        let merged = merge((1..=of).rev().map(part).collect()).unwrap();
        assert_eq!(merged.shards.len(), of as usize);
        whole.shards.clone_from(&merged.shards);
        assert_eq!(merged, whole, "{of} shards");
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let part = |index, of| {
        let shard = Shard::new(index, of).unwrap();
        (format!("{index}.json"), explored(shard, 20))
    };
    let refused = |parts, expect: &str| {
        let message = merge(parts).unwrap_err().to_string();
        assert!(message.contains(expect), "{message}");
    };
    refused(Vec::new(), "found no exploration");
    refused(
        vec![part(1, 3), part(3, 3)],
        "found 2 of 3 shards, missing 2/3",
    );
    refused(
        vec![part(1, 2), part(1, 2)],
        "1.json: shard 1/2 is also in 1.json",
    );
    refused(
        vec![part(1, 2), part(2, 3)],
        "2.json: found shard 2/3, expected one of 2",
    );
    let mut other = part(2, 2);
    other.1.subject.version = "9".to_owned();
    refused(
        vec![part(1, 2), other],
        "2.json: found version 9, expected 0.1.0 as in 1.json",
    );
    let mut other = part(2, 2);
    other.1.subject.scenarios[1].sha256 = "f".repeat(64);
    refused(
        vec![part(1, 2), other],
        "found scenarios one (000000000000), two (ffffffffffff)",
    );
}

#[test]
fn the_conclusion_is_the_worst_that_happened() {
    let clean = |change: &dyn Fn(&mut Exploration)| {
        let mut exploration = Exploration::new(subject(3), Shard::WHOLE, &POINTS);
        exploration.take(&record("one", 1), &[0], None);
        exploration.shards[0].ended = Ended::Seeds;
        change(&mut exploration);
        exploration.conclude();
        exploration.verdict
    };
    assert_eq!(clean(&|_| {}), Conclusion::Pass);
    assert_eq!(
        clean(&|it| it.subject.require_points = true),
        Conclusion::Inconclusive
    );
    assert_eq!(
        clean(&|it| it.shards[0].ended = Ended::Interrupted),
        Conclusion::Inconclusive
    );
    let doubtful = |it: &mut Exploration| {
        let doubtful = Record {
            verdict: Verdict::Inconclusive,
            ..record("one", 2)
        };
        it.take(&doubtful, &[], None);
    };
    assert_eq!(clean(&doubtful), Conclusion::Inconclusive, "half of them");
    let within = |it: &mut Exploration| {
        doubtful(it);
        it.subject.inconclusive_limit = 0.5;
    };
    assert_eq!(clean(&within), Conclusion::Pass, "half is within the bound");
    let broken = |it: &mut Exploration| {
        let broken = Record {
            verdict: Verdict::Infrastructure,
            ..record("one", 3)
        };
        let news = it.take(&broken, &[], None);
        assert_eq!(news, News::default(), "a broken run is no finding");
        assert_eq!(it.broken[0].why, "r-3: lost");
    };
    assert_eq!(clean(&broken), Conclusion::Infrastructure);
    let failed = |it: &mut Exploration| {
        broken(it);
        it.take(&record("one", 3), &[], None);
    };
    assert_eq!(clean(&failed), Conclusion::Fail);
    let differs = |it: &mut Exploration| {
        failed(it);
        let place = Place {
            scenario: "one".to_owned(),
            seed: 1,
        };
        it.verified(place.clone(), "x", "x");
        assert!(it.verification.diverged.is_empty());
        it.verified(place, "x", "y");
    };
    assert_eq!(clean(&differs), Conclusion::Nondeterminism);
}

#[test]
fn the_document_survives_being_written() {
    let whole = explored(Shard::WHOLE, 30);
    assert_eq!(
        serde_json::from_str::<Exploration>(&whole.to_json()).unwrap(),
        whole
    );
}
