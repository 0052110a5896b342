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
fn what_noise_may_hide_is_not_proven() {
    let with = |kind, hidden, expect, reason| {
        let evidence = Evidence {
            hidden,
            ..evidence(10_000, 0)
        };
        check(kind, &evidence, expect, reason);
    };
    with(GateKind::Proven, 0.0, Verdict::Pass, "");
    with(GateKind::Proven, 0.0005, Verdict::Pass, "");
    with(
        GateKind::Proven,
        0.0008,
        Verdict::Inconclusive,
        "noise may hide regressions in up to 0.08%",
    );
    with(GateKind::Point, 0.0008, Verdict::Pass, "");
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
    let recorded =
        |refused| move |e: &mut Evidence| (e.accepted, e.recorded) = (1, (1000, refused));
    check(
        &recorded(101),
        Verdict::Inconclusive,
        "both sides refused 101 of 1000",
    );
    check(&recorded(100), Verdict::Pass, "");
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
fn shares_are_shown() {
    assert_eq!(percent(0.000_285_4), "0.0285%");
    assert_eq!(percent(1.0), "100%");
}

/// `matched` pairs and then `mismatched` ones, as a stream and as the first of a plan.
fn streamed(matched: u64, mismatched: u64, first: u64) -> Evidence {
    let mut stream = Sequential::new(0.001);
    for at in 0..matched + mismatched {
        stream.observe(at >= matched);
    }
    let counted = first.min(matched + mismatched);
    Evidence {
        stream: Some(stream),
        first: (counted, counted.saturating_sub(matched)),
        ..evidence(matched, mismatched)
    }
}

fn proven(proof: Proof, evidence: &Evidence) -> Judgment {
    let gate = Gate {
        kind: GateKind::Proven,
        proof,
        ..Gate::default()
    };
    verdict(evidence, &gate)
}

#[test]
fn a_declared_plan_is_judged_on_its_first_pairs() {
    let plan = Proof::Plan("4742/1".parse().expect("a plan"));
    let check = |matched, mismatched, expect, reason: &str, after: Option<u64>| {
        let judgment = proven(plan, &streamed(matched, mismatched, 4_742));
        assert_eq!(judgment.verdict, expect, "{:?}", judgment.reasons);
        assert!(
            judgment.reasons[0].contains(reason),
            "{:?}",
            judgment.reasons
        );
        assert_eq!(judgment.stopping.decided_after, after);
        assert!(judgment.stopping.reason.contains("declared before the run"));
    };
    check(
        4_741,
        1,
        Verdict::Pass,
        "fulfilled with 1 in the first 4742",
        Some(4_742),
    );
    check(
        4_741,
        0,
        Verdict::Inconclusive,
        "needs 4742 compared pairs",
        None,
    );
    check(4_740, 2, Verdict::Inconclusive, "it is spent", Some(4_742));
    // What comes after the plan's pairs is not its own, unless the rate is over the limit.
    check(4_742, 4, Verdict::Pass, "fulfilled with 0", Some(4_742));
    check(4_742, 5, Verdict::Fail, "the limit is 0.1%", Some(4_747));
}

#[test]
fn a_stream_is_judged_by_its_evidence() {
    let check = |matched, mismatched, expect, reason: &str, after: Option<u64>| {
        let judgment = proven(Proof::Stream, &streamed(matched, mismatched, 0));
        assert_eq!(judgment.verdict, expect, "{:?}", judgment.reasons);
        assert!(
            judgment.reasons[0].contains(reason),
            "{:?}",
            judgment.reasons
        );
        assert_eq!(judgment.stopping.decided_after, after);
    };
    check(
        4_559,
        0,
        Verdict::Pass,
        "after 4559 pairs with 0",
        Some(4_559),
    );
    check(4_558, 0, Verdict::Inconclusive, "1 further clean", None);
    check(1_000, 0, Verdict::Inconclusive, "3559 further clean", None);
    check(
        4_559,
        2,
        Verdict::Pass,
        "after 4559 pairs with 0",
        Some(4_559),
    );
    check(
        0,
        3,
        Verdict::Fail,
        "proven above the limit of 0.1% after 3",
        Some(3),
    );
    // The evidence was there, and then the rate was not.
    check(4_559, 10, Verdict::Fail, "the limit is 0.1%", Some(4_569));
}

#[test]
fn a_capture_without_a_plan_says_that_its_size_was_the_plan() {
    let judgment = proven(Proof::Capture, &streamed(2_995, 0, 0));
    assert_eq!(judgment.verdict, Verdict::Pass);
    assert!(
        judgment
            .stopping
            .reason
            .contains("the whole capture was the plan")
    );
    assert_eq!(judgment.rate.clean_requests_still_needed, Some(0));
}

#[test]
fn a_capture_that_was_asked_before_proves_nothing_more() {
    let gate = Gate {
        kind: GateKind::Proven,
        earlier: 1,
        ..Gate::default()
    };
    let judgment = verdict(&evidence(5_000, 0), &gate);
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(
        judgment.reasons[0].contains("spent: 1 other question"),
        "{:?}",
        judgment.reasons
    );
    let point = Gate {
        earlier: 1,
        ..Gate::default()
    };
    assert_eq!(verdict(&evidence(5_000, 0), &point).verdict, Verdict::Pass);
}

#[test]
fn the_point_rules_cliff_is_told() {
    let check = |pairs: u64, allowed: u64, passes: f64, cliff: u64| {
        let rule = decision::point_rule(pairs, 0.001);
        assert_eq!(
            (rule.allowed_mismatches, rule.next_cliff),
            (allowed, cliff),
            "{pairs}"
        );
        assert!(
            (rule.passes_at_limit - passes).abs() < 0.001,
            "{pairs}: {rule:?}"
        );
    };
    check(1_000, 0, 0.368, 1_001);
    check(1_001, 1, 0.735, 2_001);
    check(2_000, 1, 0.406, 2_001);
    check(10_000, 9, 0.458, 10_001);
    check(0, 0, 0.0, 1_001);
}

#[test]
fn an_endpoint_that_the_mix_hides_fails_a_proof_and_is_told_otherwise() {
    let mut evidence = evidence(50_000, 12);
    evidence.over = vec![("POST /cancel".to_owned(), 12, 12)];
    check(
        GateKind::Proven,
        &evidence,
        Verdict::Fail,
        "POST /cancel alone is proven above",
    );
    check(GateKind::Point, &evidence, Verdict::Pass, "12 of 50012");
}

#[test]
fn many_pairs_of_nothing_are_nothing() {
    let check = |change: &dyn Fn(&mut Evidence), expect: Verdict, reason: &str| {
        let mut evidence = evidence(5_000, 0);
        (evidence.answered, evidence.accepted) = (5_000, 4_000);
        change(&mut evidence);
        check(GateKind::Point, &evidence, expect, reason);
    };
    check(&|_| (), Verdict::Pass, "");
    check(&|e| e.accepted = 0, Verdict::Inconclusive, "only refusals");
    check(
        &|e| e.throttled = 6,
        Verdict::Inconclusive,
        "6 of 5000 requests with 429",
    );
    check(&|e| e.throttled = 5, Verdict::Pass, "");
    check(
        &|e| e.secondary_is_candidate = true,
        Verdict::Inconclusive,
        "would be noise",
    );
    let noisy = |noise: u64| {
        move |e: &mut Evidence| {
            e.pairs.noise = noise;
            e.planned += noise;
        }
    };
    check(&noisy(1_600), Verdict::Pass, "");
    check(
        &noisy(1_700),
        Verdict::Inconclusive,
        "1700 of 6700 pairs are noise",
    );
}
