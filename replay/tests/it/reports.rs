//! Reports: their form, their limits, and that they depend on their inputs alone.

use bytes::Bytes;
use rehearsal_replay::{
    judge::judge,
    plan::Plan,
    report::{LIMIT_BYTES, Report, human, junit, markdown},
    rules::{Rules, Side},
    run::{Answer, FailureReason, Latency, Observations, Outcome, Time},
    verdict::Gate,
};

use crate::server::{captured, planned, rules};

pub(crate) fn answer(status: u16, body: String) -> Outcome {
    Outcome::Answered(Answer {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Bytes::from(body),
    })
}

pub(crate) fn observations(
    side: Side,
    plan: &Plan,
    outcome: impl Fn(usize) -> Outcome,
    state: impl Fn(&str) -> Outcome,
) -> Observations {
    let mut latency = Latency::new();
    for request in &plan.requests {
        latency.record_sending(request.at_ns, request.at_ns);
        latency.record(request.at_ns, request.at_ns, request.at_ns + 3_000_000);
    }
    Observations {
        side,
        url: format!("http://{}:80", side.name()),
        outcomes: (0..plan.requests.len()).map(outcome).collect(),
        state: plan.entities.iter().map(|id| state(id)).collect(),
        latency,
        duration_ns: 1,
        time: Time::Virtual,
        resent: 0,
        punctuality: None,
    }
}

fn example_rules() -> Rules {
    rules(
        r#"
[[rule]]
id = "moved"
kind = "rewrite"
reason = "the candidate's paths have a version"
endpoint = "POST /things"
side = "candidate"
to = "/v1/things"
[[rule]]
id = "accepted"
kind = "map"
reason = "the candidate accepts and works later"
endpoint = "POST /things"
where = "status"
legacy = 200
candidate = 202
[[rule]]
id = "counted-twice"
kind = "ignore"
reason = "legacy counts a repeated request twice"
endpoint = ["POST /things", "state"]
where = "/count"
legacy = 2
candidate = 1
[state]
create = "POST /things"
id = "/id"
legacy = "/things/{id}"
candidate = "/v1/things/{id}"
"#,
    )
}

/// 1,200 creations: one in 100 is counted twice by legacy, three have another name, one candidate's answer is lost.
fn example() -> Report {
    let rules = example_rules();
    let posts = (0..1_200).map(|at| {
        (
            "POST",
            "/things".to_owned(),
            format!("{{\"id\":\"t-{at}\"}}"),
        )
    });
    let plan = planned(captured(posts), &rules);
    let body = |at: usize, name: &str, count: u32| {
        let model = at % 70;
        format!("{{\"id\":\"t-{at}\",\"name\":\"{name} {model}\",\"count\":{count}}}")
    };
    let legacy = observations(
        Side::Legacy,
        &plan,
        |at| answer(200, body(at, "thing", if at % 100 == 0 { 2 } else { 1 })),
        |id| answer(200, format!("{{\"id\":\"{id}\"}}")),
    );
    let candidate = observations(
        Side::Candidate,
        &plan,
        |at| match at {
            7 | 77 | 777 => answer(202, body(at, "thin|g", 1)),
            500 => Outcome::Failed {
                reason: FailureReason::Timeout,
                message: "candidate:80: no whole response within 30s".to_owned(),
            },
            at => answer(202, body(at, "thing", 1)),
        },
        |id| answer(200, format!("{{\"id\":\"{id}\"}}")),
    );
    judge(&plan, &legacy, &candidate, None, &rules, &Gate::default())
}

#[test]
fn the_markdown_report_is_as_committed() {
    insta::assert_snapshot!(markdown(&example()));
}

#[test]
fn the_terminal_report_is_as_committed() {
    insta::assert_snapshot!(human(&example()));
}

#[test]
fn the_junit_report_is_as_committed() {
    insta::assert_snapshot!(junit(&example()));
}

#[test]
fn the_json_report_has_the_contracts_form() {
    let text = example().json();
    assert_eq!(
        text,
        example().json(),
        "the same inputs give the same bytes"
    );
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let fields = |pointer: &str, names: &[&str]| {
        for name in names {
            let place = format!("{pointer}/{name}");
            assert!(json.pointer(&place).is_some(), "{place}");
        }
    };
    fields(
        "",
        &[
            "format",
            "verdict",
            "capture",
            "targets",
            "accounting",
            "pairs",
            "mismatch_rate",
            "gate",
        ],
    );
    fields(
        "",
        &[
            "clusters",
            "rules",
            "sensitivity",
            "latency_ms",
            "state",
            "timing",
        ],
    );
    fields("/capture", &["sha256", "format", "exchanges", "skipped"]);
    fields(
        "/accounting",
        &["planned", "sent", "answered", "failed", "skipped"],
    );
    fields(
        "/pairs",
        &[
            "matched",
            "mismatched",
            "ignored",
            "failed_one_side",
            "failed_both",
        ],
    );
    let rate = [
        "point",
        "upper_95",
        "method",
        "session_upper_95",
        "clean_requests_still_needed",
    ];
    fields("/mismatch_rate", &rate);
    fields("/gate", &["kind", "limit", "verdict"]);
    fields("/clusters/0", &["fingerprint", "count", "examples"]);
    fields("/rules/0", &["rule", "suppressed"]);
    fields("/sensitivity", &["mutations", "caught"]);
    assert_eq!(json["format"], "rehearsal.replay/1");
    assert_eq!(json["verdict"], "fail");
    assert_eq!(
        json["pairs"]["ignored"], 11,
        "the lost answer is one of the twelve"
    );
    assert_eq!(json["accounting"]["failed"], 1);
}

#[test]
fn a_report_of_very_many_mismatches_stays_small() {
    let rules = Rules::default();
    // In release a million differences, 50 in each pair.
    let count: u64 = if cfg!(debug_assertions) {
        2_000
    } else {
        20_000
    };
    let nasty = "|`<script>\u{1f648}".repeat(12);
    let gets = (0..count).map(|at| ("GET", format!("/a{at}/b{nasty}"), String::new()));
    let plan = planned(captured(gets), &rules);
    let legacy = observations(
        Side::Legacy,
        &plan,
        |_| answer(200, "{}".to_owned()),
        |_| answer(200, "{}".to_owned()),
    );
    let candidate = observations(
        Side::Candidate,
        &plan,
        |at| {
            let members: Vec<String> = (0..50)
                .map(|key| format!("\"k{key}-{at}\":\"{nasty}\""))
                .collect();
            answer(200, format!("{{{}}}", members.join(",")))
        },
        |_| answer(200, "{}".to_owned()),
    );
    let report = judge(&plan, &legacy, &candidate, None, &rules, &Gate::default());
    assert_eq!(report.pairs.mismatched, count);
    assert!(
        report
            .clusters
            .iter()
            .map(|cluster| cluster.count)
            .sum::<u64>()
            == 50 * count
    );
    let text = markdown(&report);
    assert!(text.len() <= LIMIT_BYTES, "{} bytes", text.len());
    assert!(!text.contains("<script>"));
    let head: Vec<&str> = text.lines().take(10).collect();
    assert!(head[0].contains("FAIL") && head.join(" ").contains(&format!("{count} of {count}")));
    assert!(report.json().len() < 4_000_000);
    assert!(human(&report).lines().count() < 40);
}
