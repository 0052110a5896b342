//! The renderers over a hand-made session: one run of each verdict.

use std::path::PathBuf;

use rehearsal_sim::{
    condition::Condition,
    oracle::Violation,
    verdict::{FaultRecord, OracleRecord},
};
use serde_json::json;

use super::*;
use crate::printer::Printer;

fn record(scenario: &str, verdict: Verdict) -> Record {
    let summary = json!({
        "states": {"pending": 0, "confirmed": 198, "failed": 2, "cancelled": 0},
        "attempts": {"max": 3},
        "latency_ms": {"api": {"p95": 12.25}},
    });
    Record {
        scenario: scenario.to_owned(),
        seed: 7,
        verdict,
        digest: "d".repeat(64),
        virtual_ms: 61_250,
        converge_ms: Some(4_200),
        summary: summary.as_object().expect("an object").clone(),
        faults: Vec::new(),
        oracles: Vec::new(),
        slo: Vec::new(),
        expect: Vec::new(),
    }
}

fn failed() -> Record {
    let violation = |at_us| Violation {
        at_us,
        message: "request r-17 took effect | twice".to_owned(),
    };
    Record {
        oracles: vec![OracleRecord {
            name: "no_duplicate_confirmation".to_owned(),
            verdict: Verdict::Fail,
            checked: 200,
            violations: (1..=5)
                .map(|second| violation(second * 1_000_000))
                .collect(),
            more_violations: 2,
            not_applicable: None,
            undecided: None,
        }],
        slo: vec![ConditionRecord {
            name: "success_rate".to_owned(),
            target: Condition::parse(">= 0.99").expect("a condition"),
            actual: Some(0.9312),
            verdict: Verdict::Fail,
        }],
        ..record("flaky", Verdict::Fail)
    }
}

fn open() -> Record {
    Record {
        faults: vec![FaultRecord {
            kind: "crash".to_owned(),
            at_ms: 2_000,
            effect: [("deaths".to_owned(), 0)].into(),
        }],
        expect: vec![ConditionRecord {
            name: "attempts_max".to_owned(),
            target: Condition::parse("> 1").expect("a condition"),
            actual: None,
            verdict: Verdict::Inconclusive,
        }],
        summary: serde_json::Map::new(),
        ..record("inert", Verdict::Inconclusive)
    }
}

fn report() -> Report {
    let origin = |file: &str, is_plan| Origin {
        file: PathBuf::from(file),
        question: "Does it hold?".to_owned(),
        is_plan,
    };
    Report {
        results: Results::new(
            vec![
                (record("happy", Verdict::Pass), 14),
                (failed(), 2_340),
                (open(), 3),
            ],
            2_400,
        ),
        origins: vec![
            origin("s/happy.toml", false),
            origin("s/it's flaky.toml", false),
            origin("s/plan.toml", true),
        ],
        engine: Engine::Turmoil,
    }
}

#[test]
fn for_a_terminal() {
    let printer = Printer::from_environment();
    let report = report();
    let lines = report
        .results
        .runs
        .iter()
        .zip(&report.results.timing.runs_ms);
    let mut text: String = lines
        .map(|(record, ms)| human::line(printer, record, *ms, 6))
        .collect();
    text.push_str(&human::closing(printer, &report));
    insta::assert_snapshot!(text);
}

#[test]
fn as_markdown() {
    insta::assert_snapshot!(markdown::markdown(&report()));
}

#[test]
fn numbers_and_words() {
    assert_eq!(
        [number(1.0), number(0.5), number(-0.0001), number(1234.5678)],
        ["1", "0.5", "0", "1234.568"]
    );
    assert_eq!(
        [real(999), real(1000), real(61_250)],
        ["999ms", "1.0s", "61.2s"]
    );
    assert_eq!(
        [quoted("a/b.toml"), quoted("a b"), quoted("it's")],
        ["a/b.toml", "'a b'", r"'it'\''s'"]
    );
}

#[test]
fn a_difference_is_told_with_its_source_its_place_and_the_experiments() {
    use rehearsal_sim::verify::{
        Checked, Compared,
        diagnosis::{Asked, Difference, Divergence, Rung},
        report::Verification,
        source::{Factor, Source},
    };
    let mut document = Verification::new([("leaky".to_owned(), 9), ("clean".to_owned(), 1)]);
    let mut take = |input, outcome| {
        let checked = Checked {
            input,
            seed: 3,
            outcome,
        };
        document.take(checked, || {
            "rehearsal verify leaky.toml --seeds 3..4".to_owned()
        });
    };
    let rung = |factor, differs| Rung { factor, differs };
    let asked = |clock_reads| Asked {
        clock_reads,
        entropy_bytes: 16,
    };
    take(
        0,
        Compared::Differs(Box::new(Difference {
            sources: vec![Source::PointerOrder],
            ended: ["digest a".to_owned(), "digest b".to_owned()],
            divergence: Some(Divergence {
                ordinal: 2,
                entries: [Some("{\"at_us\":5,\"event\":1}".to_owned()), None],
                before: vec!["{\"at_us\":4}".to_owned()],
                asked: [asked(3), asked(0)],
                asked_differs_at: Some(1),
            }),
            ladder: vec![
                rung(None, false),
                rung(Some(Factor::Addresses), true),
                rung(Some(Factor::Clock), false),
            ],
        })),
    );
    take(
        1,
        Compared::Same {
            digest: "c".to_owned(),
        },
    );
    document.timing.wall_ms = 1_500;
    insta::assert_snapshot!(verify::human(Printer::plain(), &document));
    insta::assert_snapshot!(verify::markdown(&document));
}
