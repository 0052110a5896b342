//! The shipped rule file: what it declares the same, what it forgives, and that it is not blind to the rest.

use std::{fs, path::Path};

use bytes::Bytes;
use rehearsal_replay::{
    diff::{Comparer, Comparison},
    judge::judge,
    rules::{Rules, Side, Subject},
    run::Answer,
    verdict::{Gate, GateKind, Verdict},
};

use crate::{
    reports::{answer as outcome, observations},
    server::{captured, planned},
};

fn shipped() -> Rules {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/rules/legacy-to-v2.toml");
    let text = fs::read_to_string(&path).expect("the shipped rules");
    match Rules::read("legacy-to-v2.toml", &text) {
        Ok(rules) => rules,
        Err(error) => panic!("{error}"),
    }
}

fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

const LEGACY: &str = r#"{"id":"a-1","request_id":"r-1","state":"confirmed","provider":"acme","time":"2030-01-31T09:30:00Z","patient_name":"Ada Example","reference":"bk-1","attempts":1,"bookings":1}"#;
const ACCEPTED: &str = r#"{"id":"a-1","request_id":"r-1","state":"pending","provider":"acme","time":"2030-01-31T09:30:00Z","patient_name":"Ada Example","attempts":0,"links":{"self":"/v1/appointments/a-1"}}"#;
const VIEW: &str = r#"{"id":"a-1","request_id":"r-1","state":"confirmed","provider":"acme","time":"2030-01-31T09:30:00Z","patient_name":"Ada Example","attempts":1,"provider_reference":"bk-9","cancel_requested":false,"created_at":"2030-01-01T00:00:00Z","updated_at":"2030-01-01T00:00:00Z"}"#;

const SUBMIT: Subject<'_> = Subject::Request {
    method: "POST",
    path: "/appointments",
};
const READ: Subject<'_> = Subject::Request {
    method: "GET",
    path: "/appointments/a-1",
};
const CANCEL: Subject<'_> = Subject::Request {
    method: "POST",
    path: "/appointments/a-1/cancel",
};

fn compared(subject: Subject<'_>, legacy: &Answer, candidate: &Answer) -> Comparison {
    Comparer::new(&shipped()).compare(subject, legacy, candidate)
}

fn matched(subject: Subject<'_>, legacy: &Answer, candidate: &Answer) {
    let comparison = compared(subject, legacy, candidate);
    assert_eq!(comparison.differences, []);
    assert_eq!(comparison.ignored, Vec::<usize>::new());
}

fn ignored(subject: Subject<'_>, legacy: &Answer, candidate: &Answer, by: &[&str]) {
    let rules = shipped();
    let comparison = Comparer::new(&rules).compare(subject, legacy, candidate);
    assert_eq!(comparison.differences, []);
    let ids: Vec<&str> = comparison
        .ignored
        .iter()
        .map(|at| rules.rules[*at].id.as_str())
        .collect();
    assert_eq!(ids, by);
}

fn mismatched(subject: Subject<'_>, legacy: &Answer, candidate: &Answer, path: &str) {
    let comparison = compared(subject, legacy, candidate);
    let paths: Vec<&str> = comparison
        .differences
        .iter()
        .map(|one| one.path.as_str())
        .collect();
    assert_eq!(paths, [path]);
}

#[test]
fn equal_services_match() {
    matched(SUBMIT, &answer(200, LEGACY), &answer(202, ACCEPTED));
    matched(READ, &answer(200, LEGACY), &answer(200, VIEW));
    matched(Subject::State, &answer(200, LEGACY), &answer(200, VIEW));
    let offset = VIEW.replace("09:30:00Z", "10:30:00+01:00");
    matched(READ, &answer(200, LEGACY), &answer(200, &offset));
    let cancelled = LEGACY.replace("confirmed", "cancelled");
    let under_way = VIEW.replace("\"cancel_requested\":false", "\"cancel_requested\":true");
    matched(CANCEL, &answer(200, &cancelled), &answer(202, &under_way));
    let done = VIEW.replace("confirmed", "cancelled");
    matched(
        Subject::State,
        &answer(200, &cancelled),
        &answer(200, &done),
    );
}

#[test]
fn refusals_are_compared_by_status() {
    let text = |status| Answer {
        headers: vec![(
            "content-type".to_owned(),
            "text/plain; charset=utf-8".to_owned(),
        )],
        ..answer(status, "no")
    };
    let problem = |status| Answer {
        headers: vec![(
            "content-type".to_owned(),
            "application/problem+json".to_owned(),
        )],
        ..answer(status, r#"{"title":"Not Found"}"#)
    };
    let elsewhere = Subject::Request {
        method: "GET",
        path: "/css/main.css",
    };
    for (subject, status) in [
        (SUBMIT, 400),
        (READ, 404),
        (CANCEL, 404),
        (Subject::State, 404),
        (elsewhere, 404),
    ] {
        let comparison = compared(subject, &text(status), &problem(status));
        assert!(
            comparison.differences.is_empty() && comparison.by_status,
            "{subject:?}"
        );
        let other = compared(subject, &text(status), &problem(status + 5));
        assert!(!other.differences.is_empty(), "{subject:?}");
    }
}

#[test]
fn known_defects_are_forgiven_and_counted() {
    let twice = LEGACY
        .replace("\"bookings\":1", "\"bookings\":2")
        .replace("bk-1", "bk-2");
    ignored(
        SUBMIT,
        &answer(200, &twice),
        &answer(202, ACCEPTED),
        &["legacy-double-booking"],
    );
    let failed = LEGACY
        .replace("confirmed", "failed")
        .replace("\"bk-1\"", "null")
        .replace("\"bookings\":1", "\"bookings\":0");
    ignored(
        Subject::State,
        &answer(200, &failed),
        &answer(200, VIEW),
        &["legacy-gave-up", "legacy-gave-up-reference"],
    );
    let revived = [
        &answer(200, &twice),
        &answer(200, &VIEW.replace("confirmed", "cancelled")),
    ];
    ignored(
        Subject::State,
        revived[0],
        revived[1],
        &["legacy-revival", "legacy-double-booking"],
    );
    let broken = answer(504, r#"{"error":"the provider timed out"}"#);
    ignored(
        SUBMIT,
        &broken,
        &answer(202, ACCEPTED),
        &["legacy-provider-failure"],
    );
    let pending = VIEW
        .replace("confirmed", "pending")
        .replace("\"provider_reference\":\"bk-9\",", "");
    ignored(
        READ,
        &answer(200, LEGACY),
        &answer(200, &pending),
        &["read-while-pending", "read-while-pending-reference"],
    );
    let rules = shipped();
    let mut comparer = Comparer::new(&rules);
    let first = comparer.compare(READ, &answer(200, LEGACY), &answer(200, VIEW));
    assert!(first.differences.is_empty());
    let second = comparer.compare(Subject::State, &answer(200, &twice), &answer(200, VIEW));
    assert_eq!(
        second.differences,
        [],
        "the second booking's reference is forgiven"
    );
}

#[test]
fn a_cancel_that_overtakes_its_booking_is_failed_for_a_while() {
    let cancelled = LEGACY.replace("confirmed", "cancelled");
    let unbooked = VIEW
        .replace("\"provider_reference\":\"bk-9\",", "")
        .replace("\"attempts\":1", "\"attempts\":0")
        .replace("\"cancel_requested\":false", "\"cancel_requested\":true")
        .replace(
            "\"confirmed\"",
            "\"failed\",\"failure\":\"cancelled_by_client\"",
        );
    let of_legacy = answer(200, &cancelled);
    let by = &["read-while-cancelling-unbooked", "attempts"];
    ignored(READ, &of_legacy, &answer(200, &unbooked), by);
    ignored(CANCEL, &of_legacy, &answer(202, &unbooked), &["attempts"]);
    let differ = |subject, legacy: &str, candidate: &str| {
        let comparison = compared(subject, &answer(200, legacy), &answer(200, candidate));
        let mut paths: Vec<String> = (comparison.differences.into_iter())
            .map(|one| one.path)
            .collect();
        paths.sort();
        paths
    };
    // It has to end as cancelled, and by a client's cancel alone.
    let both = ["/reference", "/state"];
    assert_eq!(differ(Subject::State, &cancelled, &unbooked), both);
    let exhausted = unbooked.replace(
        "\"cancelled_by_client\"",
        "{\"exhausted\":{\"certainty\":\"unknown\"}}",
    );
    assert_eq!(differ(READ, &cancelled, &exhausted), both);
    // An appointment that still stands in legacy is none that v2 may give up.
    assert_eq!(differ(READ, LEGACY, &unbooked), ["/state"]);
    let renamed = unbooked.replace("Ada Example", "Ada Exam");
    assert_eq!(differ(READ, &cancelled, &renamed), ["/patient_name"]);
    // Unless it was booked there again after its cancel.
    let revived = LEGACY.replace("\"bookings\":1", "\"bookings\":2");
    assert_eq!(differ(READ, &revived, &unbooked), [""; 0]);
    assert_eq!(differ(Subject::State, &revived, &unbooked), ["/state"]);
}

#[test]
fn real_regressions_are_still_seen() {
    mismatched(
        SUBMIT,
        &answer(200, LEGACY),
        &answer(202, &ACCEPTED.replace("Ada Example", "Ada Exam")),
        "/patient_name",
    );
    mismatched(
        READ,
        &answer(200, LEGACY),
        &answer(200, &VIEW.replace("Ada Example", "Ada Exam")),
        "/patient_name",
    );
    mismatched(
        READ,
        &answer(200, LEGACY),
        &answer(200, &VIEW.replace("09:30", "10:30")),
        "/time",
    );
    mismatched(
        Subject::State,
        &answer(200, LEGACY),
        &answer(200, &VIEW.replace("confirmed", "failed")),
        "/state",
    );
    mismatched(
        Subject::State,
        &answer(200, LEGACY),
        &answer(200, &VIEW.replace("confirmed", "pending")),
        "/state",
    );
    mismatched(
        READ,
        &answer(200, LEGACY),
        &answer(200, &VIEW.replace("\"provider_reference\":\"bk-9\",", "")),
        "/reference",
    );
    mismatched(
        READ,
        &answer(200, LEGACY),
        &answer(200, &VIEW.replace("\"acme\"", "null")),
        "/provider",
    );
    let cancelled = LEGACY.replace("confirmed", "cancelled");
    mismatched(
        Subject::State,
        &answer(200, &cancelled),
        &answer(200, VIEW),
        "/state",
    );
    let rules = shipped();
    let mut comparer = Comparer::new(&rules);
    comparer.compare(READ, &answer(200, LEGACY), &answer(200, VIEW));
    let other = LEGACY.replace("a-1", "a-2").replace("bk-1", "bk-2");
    let swapped = VIEW.replace("a-1", "a-2");
    let comparison = comparer.compare(READ, &answer(200, &other), &answer(200, &swapped));
    assert_eq!(
        comparison.differences[0].path, "/reference",
        "a swapped reference"
    );
}

#[test]
fn requests_go_where_v2_serves_them() {
    let rules = shipped();
    for (method, path, to) in [
        ("POST", "/appointments", "/v1/appointments"),
        ("GET", "/appointments/a-1", "/v1/appointments/a-1"),
        (
            "POST",
            "/appointments/a-1/cancel",
            "/v1/appointments/a-1/cancel",
        ),
        ("GET", "/css/main.css", "/css/main.css"),
    ] {
        let request = rehearsal_replay::capture::Request {
            method: method.to_owned(),
            target: path.to_owned(),
            version: "1.1".to_owned(),
            headers: Vec::new(),
            body: rehearsal_replay::capture::Body::EMPTY,
        };
        assert_eq!(rules.rewrite(Side::Candidate, &request).target, to);
        assert_eq!(rules.rewrite(Side::Legacy, &request).target, path);
    }
    assert_eq!(
        rules.label("GET", "/appointments/a-1"),
        "GET /appointments/{id}"
    );
}

#[test]
fn the_rules_leave_the_comparison_sharp() {
    let rules = shipped();
    let of = |text: &str, at: usize| {
        text.replace("a-1", &format!("a-{at}"))
            .replace("r-1", &format!("r-{at}"))
            .replace("bk-1", &format!("bk-1{at}"))
            .replace("bk-9", &format!("bk-9{at}"))
    };
    let requests = (0..4_000).map(|at| {
        let id = at / 2;
        if at % 2 == 0 {
            (
                "POST",
                "/appointments".to_owned(),
                format!("{{\"id\":\"a-{id}\"}}"),
            )
        } else {
            ("GET", format!("/appointments/a-{id}"), String::new())
        }
    });
    let plan = planned(captured(requests), &rules);
    assert_eq!(plan.entities.len(), 2_000);
    let number = |id: &str| id[2..].parse::<usize>().expect("an id");
    let legacy = observations(
        Side::Legacy,
        &plan,
        |at| outcome(200, of(LEGACY, at / 2)),
        |id| outcome(200, of(LEGACY, number(id))),
    );
    let candidate = observations(
        Side::Candidate,
        &plan,
        |at| match at % 2 {
            0 => outcome(202, of(ACCEPTED, at / 2)),
            _ => outcome(200, of(VIEW, at / 2)),
        },
        |id| outcome(200, of(VIEW, number(id))),
    );
    let gate = Gate {
        kind: GateKind::Proven,
        ..Gate::default()
    };
    let report = judge(&plan, &legacy, &candidate, None, &rules, &gate);
    assert_eq!(
        report.verdict,
        Verdict::Pass,
        "{:?} {:?}",
        report.reasons,
        report.clusters
    );
    assert_eq!(report.pairs.matched, 4_000);
    assert_eq!(report.state.pairs.matched, 2_000);
    let share = report.sensitivity.caught as f64 / report.sensitivity.mutations as f64;
    assert!(share >= 0.97, "{:?}", report.sensitivity);
}

#[test]
fn foreign_traffic_matches_in_its_refusals_and_proves_nothing() {
    let rules = shipped();
    let requests = (0..1_051).map(|at| ("GET", format!("/entry/{at}"), String::new()));
    let plan = planned(captured(requests), &rules);
    let state = |_: &str| outcome(404, String::new());
    let legacy = observations(
        Side::Legacy,
        &plan,
        |_| outcome(404, "not found".to_owned()),
        state,
    );
    let candidate = observations(
        Side::Candidate,
        &plan,
        |_| outcome(404, r#"{"title":"Not Found","status":404}"#.to_owned()),
        state,
    );
    let report = judge(&plan, &legacy, &candidate, None, &rules, &Gate::default());
    assert_eq!(report.pairs.matched, 1_051);
    assert_eq!(report.verdict, Verdict::Inconclusive);
    assert!(
        report.reasons[0].contains("only refusals were compared"),
        "{:?}",
        report.reasons
    );
    let told = |note: &String| note.contains("creates no entity");
    assert!(report.notes.iter().any(told), "{:?}", report.notes);
}
