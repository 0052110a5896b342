//! Thirty ways to make a comparison worthless, in one table: none of them passes, and each verdict says what is wrong.
//!
//! **Invariant**: the bench itself passes when nothing is sabotaged, so no case fails for a reason of the bench.

use bytes::Bytes;
use rehearsal_replay::{
    capture::Body,
    plan::{Pace, Unreplayable},
    report::{Report, junit},
    run::{Answer, FailureReason, Outcome, SkipReason},
    verdict::{Gate, GateKind, Proof},
};

use crate::{
    bench::{Bench, failed, ignoring, refused, thing, undecodable, with_state},
    reports::answer,
    server::reads,
};

/// What is done, how the command ends, and words of the reasons.
type Case = (&'static str, fn(&mut Bench), u8, &'static str);

const CASES: &[Case] = &[
    (
        "dead candidate",
        |b| b.candidate = Box::new(|_| failed(FailureReason::Connect)),
        4,
        "candidate at http://candidate:80 answered nothing",
    ),
    (
        "dead legacy",
        |b| b.legacy = Box::new(|_| failed(FailureReason::Connect)),
        4,
        "legacy at http://legacy:80 answered nothing",
    ),
    (
        "both dead",
        |b| {
            b.legacy = Box::new(|_| failed(FailureReason::Connect));
            b.candidate = Box::new(|_| failed(FailureReason::Connect));
        },
        4,
        "answered nothing",
    ),
    (
        "candidate dies in the middle",
        |b| {
            b.candidate = Box::new(|at| {
                if at < 700 {
                    thing(at)
                } else {
                    failed(FailureReason::Connect)
                }
            });
        },
        4,
        "from request 700 on",
    ),
    (
        "candidate hangs",
        |b| b.candidate = Box::new(|_| failed(FailureReason::Timeout)),
        4,
        "answered nothing: candidate:80: timeout",
    ),
    (
        "candidate hangs after half",
        |b| {
            b.candidate = Box::new(|at| {
                if at < 750 {
                    thing(at)
                } else {
                    failed(FailureReason::Timeout)
                }
            });
        },
        1,
        "750 of 1500",
    ),
    (
        "candidate breaks one connection in a hundred",
        |b| {
            b.candidate = Box::new(|at| {
                if at % 100 == 0 {
                    failed(FailureReason::Broken)
                } else {
                    thing(at)
                }
            });
        },
        1,
        "15 of 1500",
    ),
    (
        "wrong port: another service answers",
        |b| {
            b.candidate = Box::new(|_| {
                Outcome::Answered(Answer {
                    status: 404,
                    headers: Vec::new(),
                    body: Bytes::from_static(b"<html>"),
                })
            });
        },
        1,
        "1500 of 1500",
    ),
    (
        "both sides answer 500",
        |b| (b.legacy, b.candidate) = (refused(500), refused(500)),
        3,
        "0% of the capture",
    ),
    (
        "candidate answers 500",
        |b| b.candidate = refused(500),
        1,
        "1500 of 1500",
    ),
    (
        "candidate echoes 200 with an empty body",
        |b| b.candidate = Box::new(|_| answer(200, String::new())),
        1,
        "1500 of 1500",
    ),
    (
        "candidate answers the same to everyone",
        |b| b.candidate = Box::new(|_| thing(0)),
        1,
        "1499 of 1500",
    ),
    (
        "everything is ignored",
        |b| {
            b.rules = ignoring("answer");
            b.candidate = refused(200);
        },
        3,
        "the comparison is blind",
    ),
    (
        "bodies are ignored, and all match",
        |b| b.rules = ignoring("body"),
        3,
        "the comparison is blind",
    ),
    (
        "statuses are ignored",
        |b| {
            b.rules = ignoring("status");
            b.candidate = Box::new(|at| match thing(at) {
                Outcome::Answered(answer) => Outcome::Answered(Answer {
                    status: 201,
                    ..answer
                }),
                other => other,
            });
        },
        3,
        "the comparison is blind",
    ),
    (
        "the same target twice",
        |b| b.sides = |legacy, candidate, _| candidate.url.clone_from(&legacy.url),
        3,
        "both sides are the same target",
    ),
    (
        "empty capture",
        |b| b.capture = reads(0),
        3,
        "0 of 0 compared pairs",
    ),
    (
        "capture sampled down",
        |b| b.capture = reads(999),
        3,
        "needs at least 1000",
    ),
    (
        "truncated capture",
        |b| b.plan = |plan| plan.source.lost = 2,
        3,
        "of the capture's requests were compared",
    ),
    (
        "all bodies missing",
        |b| {
            for exchange in &mut b.capture.exchanges {
                exchange.request.body = Body::Missing;
            }
            let missing = |_| Outcome::Skipped(SkipReason::Unreplayable(Unreplayable::BodyMissing));
            (b.legacy, b.candidate) = (Box::new(missing), Box::new(missing));
        },
        3,
        "0 of 0 compared pairs",
    ),
    (
        "a clock that stands still",
        |b| {
            for exchange in &mut b.capture.exchanges {
                exchange.ts_ns = 1;
            }
            b.pace = Pace::Recorded;
        },
        3,
        "carries the same time",
    ),
    (
        "capture of another service",
        |b| (b.legacy, b.candidate) = (refused(404), refused(404)),
        3,
        "only refusals were compared",
    ),
    (
        "both sides throttle everything",
        |b| (b.legacy, b.candidate) = (refused(429), refused(429)),
        3,
        "only refusals were compared",
    ),
    (
        "both sides throttle a part",
        |b| {
            let part = |at| {
                if at % 3 == 0 {
                    answer(429, "{}".to_owned())
                } else {
                    thing(at)
                }
            };
            (b.legacy, b.candidate) = (Box::new(part), Box::new(part));
        },
        3,
        "500 of 1500 requests with 429",
    ),
    (
        "a comparison that cannot be made",
        |b| (b.legacy, b.candidate) = (Box::new(undecodable), Box::new(|at| undecodable(at + 1))),
        1,
        "1500 of 1500",
    ),
    (
        "the second legacy is the candidate",
        |b| {
            b.secondary = Some(Box::new(thing));
            b.sides = |_, candidate, secondary| {
                if let Some(secondary) = secondary {
                    secondary.url.clone_from(&candidate.url);
                }
            };
        },
        3,
        "all its mistakes would be noise",
    ),
    (
        "the second legacy is dead",
        |b| b.secondary = Some(Box::new(|_| failed(FailureReason::Connect))),
        4,
        "answered nothing",
    ),
    (
        "one service under two names",
        |b| {
            b.sides = |legacy, candidate, _| {
                "http://127.0.0.1:8080".clone_into(&mut legacy.url);
                "http://localhost:8080".clone_into(&mut candidate.url);
            };
        },
        3,
        "same target",
    ),
    (
        "everything is noise",
        |b| {
            b.candidate = Box::new(|at| thing(at + 10_000));
            b.secondary = Some(Box::new(|at| thing(at + 20_000)));
        },
        3,
        "1500 of 1500 pairs are noise",
    ),
    (
        "stopped in the middle",
        |b| {
            let half = |at| {
                if at < 1_200 {
                    thing(at)
                } else {
                    Outcome::Skipped(SkipReason::Stopped)
                }
            };
            (b.legacy, b.candidate) = (Box::new(half), Box::new(half));
        },
        3,
        "stopped before its end",
    ),
    (
        "candidate is asked less than legacy",
        |b| {
            b.candidate = Box::new(|at| {
                if at < 1_400 {
                    thing(at)
                } else {
                    Outcome::Skipped(SkipReason::NotHttp)
                }
            });
        },
        3,
        "93.3333% of the capture",
    ),
    (
        "a spent capture is asked for a proof",
        |b| {
            b.capture = reads(4_000);
            b.gate = Gate {
                kind: GateKind::Proven,
                earlier: 2,
                ..Gate::default()
            };
        },
        3,
        "this capture is spent: 2 other questions",
    ),
    (
        "a proof by too small a capture",
        |b| b.gate.kind = GateKind::Proven,
        3,
        "further clean requests are needed",
    ),
    (
        "a stream that has not decided",
        |b| {
            b.gate = Gate {
                kind: GateKind::Proven,
                proof: Proof::Stream,
                ..Gate::default()
            }
        },
        3,
        "20 decides",
    ),
    (
        "one final state is lost",
        |b| {
            (b.rules, b.capture) = with_state();
            b.state = Box::new(|id| {
                if id == "t-7" {
                    answer(404, "{}".to_owned())
                } else {
                    answer(200, format!("{{\"id\":\"{id}\"}}"))
                }
            });
        },
        1,
        "the final state of 1 entity differs",
    ),
    (
        "final states are not read",
        |b| {
            (b.rules, b.capture) = with_state();
            b.state = Box::new(|_| Outcome::Skipped(SkipReason::Stopped));
        },
        3,
        "could not be read",
    ),
];

#[test]
fn the_bench_passes_when_nothing_is_sabotaged() {
    let report = Bench::new().judged();
    assert_eq!(report.verdict.exit_code(), 0, "{:?}", report.reasons);
    let cases = junit(&report);
    assert!(
        !cases.contains("<failure") && !cases.contains("<error"),
        "{cases}"
    );
    let mut with_noise = Bench::new();
    with_noise.secondary = Some(Box::new(thing));
    assert_eq!(with_noise.judged().verdict.exit_code(), 0);
    let mut with_entities = Bench::new();
    (with_entities.rules, with_entities.capture) = with_state();
    assert_eq!(with_entities.judged().verdict.exit_code(), 0);
}

#[test]
fn no_sabotage_passes_and_each_is_named() {
    assert!(CASES.len() >= 20);
    for (name, sabotage, exit, words) in CASES {
        let mut bench = Bench::new();
        sabotage(&mut bench);
        let report = bench.judged();
        let reasons = report.reasons.join("; ");
        assert_eq!(report.verdict.exit_code(), *exit, "{name}: {reasons}");
        assert!(reasons.contains(words), "{name}: {reasons}");
        let cases = junit(&report);
        assert!(
            cases.contains("<failure") || cases.contains("<error"),
            "{name}: {cases}"
        );
        adds_up(name, &report);
    }
}

/// Every planned request is in exactly one of the sorts.
fn adds_up(name: &str, report: &Report) {
    let (pairs, accounting) = (&report.pairs, &report.accounting.pairs);
    let sorted = pairs.matched
        + pairs.mismatched
        + pairs.ignored
        + pairs.noise
        + pairs.failed_one_side
        + pairs.failed_both;
    assert_eq!(sorted + accounting.skipped, accounting.planned, "{name}");
    assert_eq!(
        accounting.sent,
        accounting.answered + accounting.failed,
        "{name}"
    );
    let endpoints: u64 = report
        .endpoints
        .iter()
        .map(|row| {
            let pairs = &row.pairs;
            pairs.compared() + pairs.ignored + pairs.noise + pairs.failed_both
        })
        .sum();
    assert_eq!(endpoints, sorted, "{name}: the endpoints are the whole");
}
