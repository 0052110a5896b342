//! Slices of a small plan, and what is left of them.

use super::*;
use crate::{
    capture::{Body, Format, Request},
    clusters::Example,
    plan::{Pace, plan},
    rules::Rules,
};

const STATE_RULES: &str = "format = \"rehearsal.rules/1\"\nname = \"test\"\n[state]\ncreate = \"POST /things\"\nid = \"/id\"\nlegacy = \"/things/{id}\"\ncandidate = \"/things/{id}\"\n";

/// Ten sessions create a thing each and read it; the session `s7` also touches the thing of `s3`.
fn capture() -> Capture {
    let mut asked: Vec<(String, String, String, String)> = Vec::new();
    let mut push = |session: &str, method: &str, target: String, body: String| {
        asked.push((session.to_owned(), method.to_owned(), target, body));
    };
    for at in 0..10 {
        let session = format!("s{at}");
        push(
            &session,
            "POST",
            "/things".to_owned(),
            format!("{{\"id\":\"{at}00\"}}"),
        );
        push(&session, "GET", format!("/things/{at}00"), String::new());
    }
    push("s7", "GET", "/things/300".to_owned(), String::new());
    let exchange =
        |(seq, (session, method, target, body)): (u64, (String, String, String, String))| {
            Exchange {
                seq,
                ts_ns: 1_000 + seq,
                conn: None,
                session: Some(session),
                request: Request {
                    method,
                    target,
                    version: "1.1".into(),
                    headers: Vec::new(),
                    body: Body::Whole(body.into()),
                },
                response: None,
                flags: Vec::new(),
            }
        };
    Capture {
        sha256: "0".repeat(64),
        format: Format::Rehearsal,
        exchanges: (0..).zip(asked).map(exchange).collect(),
        skipped: Vec::new(),
    }
}

fn cluster(endpoint: &str, seqs: &[u64]) -> Cluster {
    let example = |seq: &u64| Example {
        seq: *seq,
        asked: String::new(),
        at: None,
        legacy: None,
        candidate: None,
    };
    Cluster {
        fingerprint: format!("{endpoint} value /x"),
        endpoint: endpoint.to_owned(),
        kind: "value",
        path: "/x".to_owned(),
        count: seqs.len() as u64,
        examples: seqs.iter().map(example).collect(),
        hypothesis: None,
        difference: crate::diff::DifferenceKind::Value,
    }
}

fn suspect_of(endpoint: &str, seqs: &[u64]) -> Suspect {
    let rules = Rules::read("test.toml", STATE_RULES).expect("rules");
    let plan = plan(capture(), &rules, Pace::Recorded);
    let mut suspects = suspects(&plan, &[cluster(endpoint, seqs)], 10);
    assert_eq!(suspects.len(), 1);
    suspects.remove(0)
}

#[test]
fn slices_widen_from_the_entity_to_all_before_it() {
    let suspect = suspect_of("GET /things/{id}", &[20]);
    assert_eq!(suspect.slices[0], [6, 7, 20], "the thing itself");
    assert_eq!(
        suspect.slices[1],
        [6, 7, 14, 15, 20],
        "and the session's own"
    );
    assert_eq!(suspect.slices[2].len(), 21);
    let smallest = suspect_of("GET /things/{id}", &[20, 5]);
    assert_eq!(smallest.slices[0], [4, 5], "the smaller of two examples");
}

#[test]
fn a_final_state_has_all_that_touched_the_entity() {
    let suspect = suspect_of("state", &[3]);
    assert_eq!(suspect.slices[0], [6, 7, 20]);
}

#[test]
fn the_first_slice_that_shows_it_is_shrunk() {
    let suspect = suspect_of("GET /things/{id}", &[20]);
    let shown = reduce(&suspect, 100, |kept| {
        kept.contains(&6) && kept.contains(&20)
    });
    assert_eq!(
        (shown.requests.as_slice(), shown.verified),
        ([6, 20].as_slice(), true)
    );
    let elsewhere = reduce(&suspect, 100, |kept| {
        kept.contains(&1) && kept.contains(&20)
    });
    assert_eq!(
        elsewhere.requests,
        [1, 20],
        "only the widest slice shows it"
    );
    let never = reduce(&suspect, 100, |_| false);
    assert_eq!(
        (never.requests.as_slice(), never.verified, never.trials),
        ([6, 7, 20].as_slice(), false, 3)
    );
    let broke = reduce(&suspect, 1, |_| true);
    assert_eq!(
        (broke.requests.len(), broke.trials),
        (3, 1),
        "no trial is left to shrink it"
    );
    let shown = subset(&capture(), &shown.requests);
    assert_eq!(shown.exchanges.len(), 2);
    assert_eq!(shown.exchanges[1].request.target, "/things/300");
}
