//! Each row of the verdict table, and what keeps a run from passing.

use super::*;

fn evidence(matched: u64, mismatched: u64) -> Evidence {
    Evidence {
        pairs: Tally {
            matched,
            mismatched,
            ..Tally::default()
        },
        planned: matched + mismatched,
        sessions: (matched + mismatched, mismatched),
        mutations: (100, 100),
        ..Evidence::default()
    }
}

fn check(kind: GateKind, evidence: &Evidence, expect: Verdict, reason: &str) {
    let judgment = verdict(
        evidence,
        &Gate {
            kind,
            ..Gate::default()
        },
    );
    assert_eq!(judgment.verdict, expect, "{:?}", judgment.reasons);
    assert!(
        judgment.reasons[0].contains(reason),
        "{:?}",
        judgment.reasons
    );
}

#[test]
fn the_point_gate_is_the_missions_criterion() {
    let check = |matched, mismatched, expect, reason| {
        check(
            GateKind::Point,
            &evidence(matched, mismatched),
            expect,
            reason,
        );
    };
    check(
        1_000,
        0,
        Verdict::Pass,
        "0 of 1000 compared pairs differ (0%, upper 95 % bound 0.2991%)",
    );
    check(1_000, 1, Verdict::Pass, "(0.0999%");
    check(999, 1, Verdict::Fail, "the limit is 0.1%");
    check(999, 0, Verdict::Inconclusive, "needs at least 1000");
    check(99, 1, Verdict::Inconclusive, "needs at least 1000");
    check(11, 1, Verdict::Fail, "1 of 12");
    check(0, 0, Verdict::Inconclusive, "0 of 0");
}

#[test]
fn the_proven_gate_wants_the_bound_below_the_limit() {
    let check = |matched, mismatched, expect, reason| {
        check(
            GateKind::Proven,
            &evidence(matched, mismatched),
            expect,
            reason,
        );
    };
    check(
        1_000,
        0,
        Verdict::Inconclusive,
        "1995 further clean requests",
    );
    check(2_994, 0, Verdict::Inconclusive, "1 further clean requests");
    check(2_995, 0, Verdict::Pass, "proven below 0.1%");
    check(10_506, 5, Verdict::Pass, "proven");
    check(10_505, 6, Verdict::Inconclusive, "further");
}

#[test]
fn without_evidence_there_is_no_pass() {
    let check = |change: &dyn Fn(&mut Evidence), expect: Verdict, reason: &str| {
        let mut evidence = evidence(5_000, 0);
        change(&mut evidence);
        check(GateKind::Point, &evidence, expect, reason);
    };
    check(&|_| (), Verdict::Pass, "below the limit");
    check(&|e| e.mutations = (100, 94), Verdict::Inconclusive, "blind");
    check(
        &|e| e.mutations = (0, 0),
        Verdict::Inconclusive,
        "no answer could be mutated",
    );
    check(
        &|e| e.lost = 6,
        Verdict::Inconclusive,
        "99.8801% of the capture",
    );
    check(&|e| e.lost = 5, Verdict::Pass, "");
    check(&|e| e.stopped = true, Verdict::Inconclusive, "stopped");
    check(
        &|e| e.same_target = true,
        Verdict::Inconclusive,
        "same target",
    );
    check(
        &|e| e.standing_clock = true,
        Verdict::Inconclusive,
        "same time",
    );
    check(
        &|e| e.state_skipped = 1,
        Verdict::Inconclusive,
        "1 entity could not be read",
    );
    check(
        &|e| e.state.mismatched = 1,
        Verdict::Fail,
        "final state of 1 entity differs",
    );
    check(
        &|e| e.pairs.failed_one_side = 10,
        Verdict::Fail,
        "10 of 5010",
    );
    check(&|e| e.pairs.failed_both = 10, Verdict::Pass, "");
    check(
        &|e| {
            e.planned = 5_010;
            e.pairs.failed_both = 10;
        },
        Verdict::Inconclusive,
        "were compared",
    );
    let down = Down {
        side: Side::Candidate,
        url: "http://x".into(),
        from: None,
        message: "refused".into(),
    };
    check(
        &|e| e.down = vec![down.clone()],
        Verdict::Infrastructure,
        "candidate at http://x answered nothing",
    );
}

#[test]
fn shares_are_read_and_shown() {
    assert_eq!(parse_share("0.1%"), Ok(0.001));
    assert_eq!(parse_share("0.001"), Ok(0.001));
    for text in ["", "0", "100%", "-1%", "one"] {
        assert!(parse_share(text).is_err(), "{text}");
    }
    assert_eq!(percent(0.000_285_4), "0.0285%");
    assert_eq!(percent(1.0), "100%");
}
