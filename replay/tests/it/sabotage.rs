//! Runs that must not pass: nothing vacuous does, and each says why.

use rehearsal_host::Host;
use rehearsal_replay::{
    judge::judge,
    report::Report,
    rules::{Rules, Side},
    verdict::{Gate, Verdict},
};

use crate::server::{Reply, observed, on_this_machine, planned, reads, rules, service};

const DEAD: &str = "http://127.0.0.1:1";

/// An ordinary answer about a thing.
fn thing(target: &str) -> Reply {
    let id = target.rsplit('/').next().unwrap_or_default();
    let body =
        format!("{{\"id\":\"{id}\",\"name\":\"thing {id}\",\"made_at\":\"2026-01-01T10:00:00Z\"}}");
    (200, "application/json", body)
}

async fn judged(host: &Host, legacy: &str, candidate: &str, count: usize, rules: &Rules) -> Report {
    let plan = planned(reads(count), rules);
    let old = observed(host, Side::Legacy, legacy, &plan, rules).await;
    let new = observed(host, Side::Candidate, candidate, &plan, rules).await;
    judge(&plan, &old, &new, None, rules, &Gate::default())
}

/// Judges `count` requests against two services, and expects a verdict and a word of its reasons.
fn check(
    rules: &Rules,
    count: usize,
    legacy: impl Fn(&str) -> Reply + Send + Sync + 'static,
    candidate: impl Fn(&str) -> Reply + Send + Sync + 'static,
    expect: (Verdict, &str),
) -> Report {
    on_this_machine(|host| async move {
        let old = service(&host, usize::MAX, move |_, target, _| legacy(target)).await;
        let new = service(&host, usize::MAX, move |_, target, _| candidate(target)).await;
        let report = judged(&host, &old, &new, count, rules).await;
        assert_eq!(report.verdict, expect.0, "{:?}", report.reasons);
        let reasons = report.reasons.join("; ");
        assert!(reasons.contains(expect.1), "{reasons}");
        report
    })
}

#[test]
fn two_equal_services_pass_without_a_false_mismatch() {
    let report = check(
        &Rules::default(),
        1_200,
        thing,
        thing,
        (Verdict::Pass, "0 of 1200"),
    );
    assert_eq!(report.pairs.matched, 1_200);
    assert_eq!(report.sensitivity.caught, report.sensitivity.mutations);
    assert!(report.sensitivity.mutations >= 200);
    assert_eq!(
        report.mismatch_rate.clean_requests_still_needed,
        Some(1_795)
    );
}

#[test]
fn too_few_requests_are_inconclusive() {
    check(
        &Rules::default(),
        999,
        thing,
        thing,
        (Verdict::Inconclusive, "at least 1000"),
    );
}

#[test]
fn a_broken_candidate_fails_and_the_field_is_named() {
    let broken = |target: &str| {
        let (status, media, body) = thing(target);
        (
            status,
            media,
            body.replace("\"name\":\"thing ", "\"name\":\"thin "),
        )
    };
    let report = check(
        &Rules::default(),
        1_000,
        thing,
        broken,
        (Verdict::Fail, "1000 of 1000"),
    );
    assert_eq!(
        report.clusters[0].fingerprint,
        "GET /things/{id} value /name"
    );
    assert_eq!(report.clusters[0].count, 1_000);
}

#[test]
fn both_sides_failing_is_no_match() {
    let broken = |_: &str| (500, "text/plain", "no".to_owned());
    let report = check(
        &Rules::default(),
        1_000,
        broken,
        broken,
        (Verdict::Inconclusive, "0% of the capture"),
    );
    assert_eq!(report.pairs.failed_both, 1_000);
}

#[test]
fn a_candidate_that_only_answers_500_fails() {
    let broken = |_: &str| (500, "text/plain", "no".to_owned());
    check(
        &Rules::default(),
        1_000,
        thing,
        broken,
        (Verdict::Fail, "1000 of 1000"),
    );
}

#[test]
fn an_empty_candidate_fails() {
    let empty = |_: &str| (200, "application/json", String::new());
    check(
        &Rules::default(),
        1_000,
        thing,
        empty,
        (Verdict::Fail, "1000 of 1000"),
    );
}

#[test]
fn everything_ignored_is_inconclusive() {
    let all = rules(
        "[[rule]]\nid = \"all\"\nkind = \"ignore\"\nreason = \"test\"\nendpoint = \"*\"\nwhere = \"answer\"",
    );
    let other = |_: &str| (200, "text/plain", "other".to_owned());
    let report = check(&all, 1_000, thing, other, (Verdict::Inconclusive, "blind"));
    assert_eq!(report.pairs.ignored, 1_000);
    assert_eq!(report.sensitivity.caught, 0);
}

#[test]
fn a_rule_that_blinds_the_comparison_is_inconclusive_even_if_all_match() {
    let blind = rules(
        "[[rule]]\nid = \"body\"\nkind = \"ignore\"\nreason = \"test\"\nendpoint = \"*\"\nwhere = \"body\"",
    );
    let report = check(
        &blind,
        1_000,
        thing,
        thing,
        (Verdict::Inconclusive, "blind"),
    );
    assert_eq!(report.pairs.matched, 1_000);
    assert!(
        report.sensitivity.caught > 0,
        "another status is still seen"
    );
}

#[test]
fn dead_targets_are_infrastructure() {
    on_this_machine(|host| async move {
        let url = service(&host, usize::MAX, |_, target, _| thing(target)).await;
        let rules = Rules::default();
        for (legacy, candidate) in [(url.as_str(), DEAD), (DEAD, url.as_str()), (DEAD, DEAD)] {
            let report = judged(&host, legacy, candidate, 50, &rules).await;
            assert_eq!(
                report.verdict,
                Verdict::Infrastructure,
                "{:?}",
                report.reasons
            );
            assert!(
                report.reasons[0].contains("answered nothing"),
                "{:?}",
                report.reasons
            );
            assert_eq!(report.verdict.exit_code(), 4);
        }
    });
}

#[test]
fn a_candidate_that_dies_in_the_middle_is_infrastructure() {
    on_this_machine(|host| async move {
        let old = service(&host, usize::MAX, |_, target, _| thing(target)).await;
        let new = service(&host, 600, |_, target, _| thing(target)).await;
        let report = judged(&host, &old, &new, 1_500, &Rules::default()).await;
        assert_eq!(
            report.verdict,
            Verdict::Infrastructure,
            "{:?}",
            report.reasons
        );
        let accounting = &report.accounting.pairs;
        assert_eq!(
            accounting.planned,
            accounting.answered + accounting.failed + accounting.skipped
        );
        let pairs = &report.pairs;
        assert_eq!(pairs.matched + pairs.failed_one_side, 1_500);
    });
}

#[test]
fn the_same_target_twice_is_inconclusive() {
    on_this_machine(|host| async move {
        let url = service(&host, usize::MAX, |_, target, _| thing(target)).await;
        let report = judged(&host, &url, &url, 1_000, &Rules::default()).await;
        assert_eq!(report.verdict, Verdict::Inconclusive);
        assert!(
            report.reasons[0].contains("same target"),
            "{:?}",
            report.reasons
        );
    });
}

#[test]
fn another_final_state_fails_whatever_the_rate() {
    let state = rules(
        "[state]\ncreate = \"POST /things\"\nid = \"/id\"\nlegacy = \"/state/{id}\"\ncandidate = \"/state/{id}\"",
    );
    on_this_machine(|host| async move {
        let old = service(&host, usize::MAX, |_, target, _| thing(target)).await;
        let new = service(&host, usize::MAX, |_, target, _| match target {
            "/state/t-7" => thing("/state/lost"),
            target => thing(target),
        })
        .await;
        let posts = (0..1_000).map(|at| {
            (
                "POST",
                "/things".to_owned(),
                format!("{{\"id\":\"t-{at}\"}}"),
            )
        });
        let plan = planned(crate::server::captured(posts), &state);
        let legacy = observed(&host, Side::Legacy, &old, &plan, &state).await;
        let candidate = observed(&host, Side::Candidate, &new, &plan, &state).await;
        let report = judge(&plan, &legacy, &candidate, None, &state, &Gate::default());
        assert_eq!(report.verdict, Verdict::Fail);
        assert_eq!(
            report.gate.verdict,
            Verdict::Pass,
            "the requests' answers agree"
        );
        assert!(
            report.reasons[0].contains("final state of 1 entity"),
            "{:?}",
            report.reasons
        );
        assert_eq!(report.state.pairs.matched, 999);
        assert_eq!(report.clusters[0].endpoint, "state");
        assert_eq!(report.clusters[0].examples[0].asked, "state t-7");
    });
}
