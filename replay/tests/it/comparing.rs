//! Whole runs compared: legacy against itself, invented values, noise; and that each pair ends in exactly one category.

use std::collections::BTreeMap;

use bytes::Bytes;
use rehearsal_replay::{
    comparing::{Compared, compare},
    diff::Category,
    plan::Plan,
    rules::{Rules, Side},
    run::{Answer, FailureReason, Observations, Outcome},
};

use crate::{
    reports::{answer, observations},
    server::{captured, planned, reads, rules},
};

/// Few in debug; in release the figure of the acceptance criterion.
const PAIRS: usize = if cfg!(debug_assertions) {
    4_000
} else {
    100_000
};

pub(crate) fn side(role: Side, plan: &Plan, outcome: impl Fn(usize) -> Outcome) -> Observations {
    observations(role, plan, outcome, |_| answer(200, "{}".to_owned()))
}

pub(crate) fn tally(compared: &Compared<'_, '_>) -> BTreeMap<Category, usize> {
    let mut tally = BTreeMap::new();
    for one in &compared.requests {
        *tally.entry(one.category).or_default() += 1;
    }
    tally
}

/// A stream of words from a seed (`SplitMix64`).
fn word(seed: u64) -> u64 {
    let mut mixed = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x1234_5678_9abc_def1);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What one and the same service answers on two machines: dates, validators, request ids, tokens, the order of keys and headers, the framing and
/// the coding all differ, and nothing that means anything does.
fn legal(instance: u64, at: usize) -> Outcome {
    let mix = |salt: u64| word(at as u64 * 1_000 + salt * 7 + instance * 1_000_003);
    let mut members = vec![
        format!("\"id\":{at}"),
        format!("\"name\":\"thing {at} \\u00e9\""),
        format!("\"price\":{}.50", at % 90),
        "\"tags\":[\"a\",\"b\"]".to_owned(),
        "\"note\":null".to_owned(),
    ];
    let by = usize::try_from(mix(1) % 5).expect("small");
    members.rotate_left(by);
    if mix(2) % 2 == 0 {
        members = members
            .iter()
            .map(|one| one.replace(".50", ".5").replace("\\u00e9", "é"))
            .collect();
    }
    let body = format!(
        "{{{}}}",
        members.join(if mix(3) % 2 == 0 { "," } else { " , " })
    );
    let mut headers = vec![
        (
            "date",
            format!(
                "Thu, 01 Jan 2026 10:{:02}:{:02} GMT",
                mix(4) % 60,
                mix(5) % 60
            ),
        ),
        ("etag", format!("\"{:x}\"", mix(6))),
        ("x-request-id", format!("{:x}", mix(7))),
        (
            "set-cookie",
            format!("session={:016x}{:x}1; Path=/; HttpOnly", mix(8), mix(9)),
        ),
        ("set-cookie", "theme=dark".to_owned()),
        (
            "content-type",
            if mix(10) % 2 == 0 {
                "application/json"
            } else {
                "application/json;charset=UTF-8"
            }
            .to_owned(),
        ),
        (
            "last-modified",
            format!("Thu, 01 Jan 2026 09:00:{:02} GMT", mix(11) % 60),
        ),
        ("cache-control", "no-store".to_owned()),
    ];
    let framing = if mix(12) % 2 == 0 {
        ("transfer-encoding", "chunked".to_owned())
    } else {
        ("content-length", body.len().to_string())
    };
    headers.push(framing);
    headers.rotate_left(usize::try_from(mix(13) % 9).expect("small"));
    Outcome::Answered(Answer {
        status: 200,
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        body: Bytes::from(body),
    })
}

#[test]
fn legacy_against_itself_has_no_false_mismatch() {
    let none = Rules::default();
    let plan = planned(captured(reads_of(PAIRS)), &none);
    let legacy = side(Side::Legacy, &plan, |at| legal(1, at));
    let other = side(Side::Candidate, &plan, |at| legal(2, at));
    let compared = compare(&plan, &legacy, &other, None, &none);
    let wrong = compared
        .requests
        .iter()
        .find(|one| one.category != Category::Matched);
    assert_eq!(wrong.map(|one| &one.comparison.differences), None);
    assert_eq!(compared.conflicts, []);
    assert_eq!(
        tally(&compared),
        BTreeMap::from([(Category::Matched, PAIRS)])
    );
}

fn reads_of(count: usize) -> impl Iterator<Item = (&'static str, String, String)> {
    (0..count).map(|at| ("GET", format!("/things/{at}"), String::new()))
}

fn id_rules() -> Rules {
    rules(
        r#"
[[rule]]
id = "id"
kind = "binding"
reason = "each side invents its own"
endpoint = "*"
path = "/id"
[[rule]]
id = "reference"
kind = "binding"
reason = "references to the same ids"
endpoint = "*"
path = "/parent"
pairing = "id"
[[rule]]
id = "numbered"
kind = "binding"
reason = "the number within an address"
endpoint = "*"
where = "header location"
within = "/things/([^/]+)$"
pairing = "id"
"#,
    )
}

/// Creations and reads of `count` things; `reference` says which thing's id the candidate names as the parent in a read.
fn families(
    count: usize,
    reference: impl Fn(usize) -> usize,
) -> (Plan, Observations, Observations) {
    let requests = (0..2 * count).map(|at| match at / count {
        0 => (
            "POST",
            "/things".to_owned(),
            format!("{{\"name\":\"n{at}\"}}"),
        ),
        _ => ("GET", format!("/things/{at}"), String::new()),
    });
    let plan = planned(captured(requests), &id_rules());
    let body = |prefix: &str, at: usize, parent: usize| {
        let thing = at % count;
        let id = |at: usize| format!("{prefix}-{:05}", word(at as u64) % 90_000 + 10_000);
        let (id, parent) = (id(thing), id(parent));
        Outcome::Answered(Answer {
            status: 200,
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("location".to_owned(), format!("/things/{id}")),
            ],
            body: Bytes::from(format!(
                "{{\"id\":\"{id}\",\"parent\":\"{parent}\",\"self\":\"https://h/t/{id}?of={parent}\"}}"
            )),
        })
    };
    let parent = |at: usize| (at + 1) % count;
    let legacy = side(Side::Legacy, &plan, |at| body("old", at, parent(at)));
    let candidate = side(Side::Candidate, &plan, |at| {
        let named = if at < count {
            parent(at)
        } else {
            reference(at - count)
        };
        body("new", at, named)
    });
    (plan, legacy, candidate)
}

#[test]
fn invented_ids_match_by_bijection_in_fields_addresses_and_headers() {
    let rules = id_rules();
    let (plan, legacy, candidate) = families(50, |at| (at + 1) % 50);
    let compared = compare(&plan, &legacy, &candidate, None, &rules);
    assert_eq!(tally(&compared), BTreeMap::from([(Category::Matched, 100)]));
    assert!(
        compared.hits.iter().all(|hits| hits.suppressed >= 100),
        "{:?}",
        compared.hits
    );
    assert_eq!(compared.hits[0].last, Some(99));
}

#[test]
fn a_swapped_reference_is_found_with_both_witnesses() {
    let rules = id_rules();
    let (plan, legacy, candidate) = families(50, |at| if at == 7 { 30 } else { (at + 1) % 50 });
    let compared = compare(&plan, &legacy, &candidate, None, &rules);
    let wrong: Vec<u64> = compared
        .requests
        .iter()
        .zip(&plan.requests)
        .filter(|(one, _)| one.category == Category::Mismatched)
        .map(|(_, planned)| planned.seq)
        .collect();
    assert_eq!(wrong, [57], "that read alone");
    assert_eq!(compared.conflicts.len(), 1);
    let conflict = &compared.conflicts[0];
    assert_eq!(
        (
            conflict.pairs,
            conflict.witness.seq,
            conflict.witness.path.as_str()
        ),
        (1, 57, "/parent")
    );
    let witnesses: Vec<u64> = conflict
        .against
        .iter()
        .map(|rival| rival.witness.seq)
        .collect();
    assert_eq!(witnesses.len(), 2, "{conflict}");
    assert!(witnesses.iter().all(|seq| *seq < 57));
    let paths: Vec<&str> = compared.requests[57]
        .comparison
        .differences
        .iter()
        .map(|one| one.path.as_str())
        .collect();
    assert_eq!(paths, ["/parent", "/self"]);
}

#[test]
fn two_ids_that_become_one_are_found() {
    let rules = id_rules();
    let plan = planned(
        captured((0..4).map(|at| ("POST", "/things".to_owned(), format!("{at}")))),
        &rules,
    );
    let body = |id: &str| answer(200, format!("{{\"id\":\"{id}\"}}"));
    let legacy = side(Side::Legacy, &plan, |at| body(["a1", "b2", "a1", "b2"][at]));
    let merged = side(Side::Candidate, &plan, |_| body("x9"));
    let compared = compare(&plan, &legacy, &merged, None, &rules);
    assert_eq!(
        tally(&compared),
        BTreeMap::from([(Category::Matched, 2), (Category::Mismatched, 2)])
    );
    assert_eq!(
        (compared.conflicts.len(), compared.conflicts[0].pairs),
        (1, 2),
        "told once, counted twice"
    );
    // The other way round: one id of legacy becomes two.
    let split = compare(&plan, &merged, &legacy, None, &rules);
    assert_eq!((split.conflicts.len(), split.conflicts[0].pairs), (1, 2));
}

#[test]
fn which_request_comes_first_decides_nothing() {
    let rules = id_rules();
    let found = |order: &[usize]| {
        let plan = planned(
            captured(
                order
                    .iter()
                    .map(|at| ("GET", format!("/things/{at}"), String::new())),
            ),
            &rules,
        );
        let body =
            |prefix: &str, at: usize| answer(200, format!("{{\"id\":\"{prefix}{}\"}}", at % 5));
        let legacy = side(Side::Legacy, &plan, |place| body("old", order[place]));
        // Request 3 names the thing of request 4.
        let candidate = side(Side::Candidate, &plan, |place| {
            body("new", if order[place] == 3 { 4 } else { order[place] })
        });
        let compared = compare(&plan, &legacy, &candidate, None, &rules);
        let wrong = compared
            .requests
            .iter()
            .zip(order)
            .filter(|(one, _)| one.category == Category::Mismatched);
        wrong.map(|(_, at)| *at).collect::<Vec<_>>()
    };
    let mut order: Vec<usize> = (0..15).collect();
    assert_eq!(found(&order), [3]);
    order.reverse();
    assert_eq!(found(&order), [3]);
    order.rotate_left(6);
    assert_eq!(found(&order), [3]);
}

/// A service in which `/load` is noise in a tenth of the answers.
pub(crate) fn noisy(instance: u64, at: usize, more: u64) -> String {
    let load = word(at as u64 + instance * 1_000_000) % 1_000;
    let busy = load < 100 + more;
    format!(
        "{{\"id\":{at},\"load\":\"{}\",\"name\":\"n{at}\"}}",
        if busy { "busy" } else { "idle" }
    )
}

#[test]
fn noise_is_excused_and_what_exceeds_it_is_not() {
    let none = Rules::default();
    let plan = planned(reads(3_000), &none);
    let json = |body: String| answer(200, body);
    let legacy = side(Side::Legacy, &plan, |at| json(noisy(1, at, 0)));
    let second = side(Side::Legacy, &plan, |at| json(noisy(2, at, 0)));
    let compared = |candidate: &Observations| {
        let compared = compare(&plan, &legacy, candidate, Some(&second), &none);
        let noise = compared.noise.clone().expect("a secondary");
        (tally(&compared), noise)
    };
    let (tally, noise) = compared(&side(Side::Candidate, &plan, |at| json(noisy(3, at, 0))));
    assert_eq!(tally.get(&Category::Mismatched), None, "{noise:?}");
    assert!(
        tally[&Category::Noise] > 400 && tally[&Category::Matched] > 2_000,
        "{tally:?}"
    );
    assert!(
        noise.places[0].excused && noise.blind.is_empty(),
        "{noise:?}"
    );

    let (tally, noise) = compared(&side(Side::Candidate, &plan, |at| json(noisy(3, at, 60))));
    assert!(noise.places[0].worse, "{noise:?}");
    assert_eq!(tally.get(&Category::Noise), None, "all of it counts");
    assert!(tally[&Category::Mismatched] > 500);

    // One wrong name in 3,000 is no noise: the second instance never shows it. An answer that only one side gives is none either.
    let rare = side(Side::Candidate, &plan, |at| match at {
        1_234 => json(noisy(3, at, 0).replace("n1234", "n1235")),
        77 => Outcome::Failed {
            reason: FailureReason::Timeout,
            message: "too late".to_owned(),
        },
        _ => json(noisy(3, at, 0)),
    });
    let (tally, _) = compared(&rare);
    assert_eq!(
        (
            tally[&Category::Mismatched],
            tally[&Category::FailedOneSide]
        ),
        (1, 1)
    );
    assert_eq!(
        tally.values().sum::<usize>(),
        3_000,
        "each pair in one category"
    );
}

#[test]
fn without_an_answer_of_the_second_instance_nothing_is_excused() {
    let none = Rules::default();
    let plan = planned(reads(2_000), &none);
    let json = |body: String| answer(200, body);
    let legacy = side(Side::Legacy, &plan, |at| json(noisy(1, at, 0)));
    let candidate = side(Side::Candidate, &plan, |at| json(noisy(3, at, 0)));
    let half = side(Side::Legacy, &plan, |at| match at {
        0..1_000 => json(noisy(2, at, 0)),
        _ => Outcome::Failed {
            reason: FailureReason::Connect,
            message: "gone".to_owned(),
        },
    });
    let compared = compare(&plan, &legacy, &candidate, Some(&half), &none);
    let noisy_from = |from: usize, to: usize| {
        compared.requests[from..to]
            .iter()
            .filter(|one| one.category == Category::Noise)
            .count()
    };
    assert!(noisy_from(0, 1_000) > 100);
    assert_eq!(noisy_from(1_000, 2_000), 0);
    assert!(tally(&compared)[&Category::Mismatched] > 100);
}
