//! Which mutations are made, which rule hides which, and that a swapped reference is caught by the bijection.

use std::borrow::Cow;

use bytes::Bytes;

use super::*;
use crate::rules::Rules;

const BODY: &str = r#"{"id":"ID","name":"Ada Lovelace","at":"2026-01-01T10:00:00Z","n":9,"ok":true,"none":null,"tags":["a","b"],"in":{"x":1}}"#;

fn answered(at: u64, prefix: &str) -> Outcome {
    let body = BODY.replace("ID", &format!("{prefix}-{at}"));
    let body = body.replace("Lovelace", &format!("Lovelace {at}"));
    Outcome::Answered(Answer {
        status: 200,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("date".to_owned(), "today".to_owned()),
        ],
        body: Bytes::from(body),
    })
}

/// The sensitivity to mutations of forty matching pairs, whose ids have `prefix` on the candidate's side.
fn measured(rules: &str, prefix: &str) -> Sensitivity {
    let text = format!("format = \"rehearsal.rules/1\"\nname = \"test\"\n{rules}");
    let rules = Rules::read("test.toml", &text).expect("rules");
    let sides: Vec<(Outcome, Outcome)> = (0..40)
        .map(|at| (answered(at, "id"), answered(at, prefix)))
        .collect();
    let mut comparer = Comparer::new(&rules);
    let mut sample = Sample::new(&"0123456789abcdef".repeat(4));
    let subject = Subject::Request {
        method: "GET",
        path: "/things/1",
    };
    let fetch = |which| {
        let Which::Request(at) = which else {
            panic!("{which:?}")
        };
        let (legacy, candidate) = &sides[at];
        let fetched = Fetched {
            legacy: Cow::Borrowed(legacy),
            candidate: Cow::Borrowed(candidate),
        };
        (subject, fetched)
    };
    for at in 0..sides.len() {
        let (_, pair) = fetch(Which::Request(at));
        let (a, b) = answers(&pair).expect("answered");
        let comparison = comparer.compare(subject, a, b);
        assert!(
            comparison.differences.is_empty(),
            "{:?}",
            comparison.differences
        );
        sample.offer("GET /things/{id}", Which::Request(at));
    }
    sample.measure(&comparer, fetch)
}

#[test]
fn without_rules_every_mutation_is_caught() {
    let found = measured("", "id");
    assert_eq!(found.caught, found.mutations, "{:?}", found.blind);
    let kinds: Vec<&str> = found.by_mutation.keys().copied().collect();
    assert_eq!(
        kinds,
        [
            "case",
            "drop",
            "duplicate",
            "empty",
            "extra",
            "header",
            "header_drop",
            "hour",
            "reorder",
            "shorten",
            "status",
            "status_near",
            "swap",
            "truncate",
            "type",
            "value"
        ]
    );
    for (kind, count) in &found.by_mutation {
        assert!(count.mutations >= 35, "{kind}: {count:?}");
    }
}

#[test]
fn a_rule_that_hides_mutations_is_named_with_their_number() {
    let rule = "[[rule]]\nid = \"any-name\"\nkind = \"ignore\"\nreason = \"test\"\nendpoint = \"*\"\nwhere = \"/name\"\n";
    let unused = "[[rule]]\nid = \"any-x\"\nkind = \"ignore\"\nreason = \"test\"\nendpoint = \"*\"\nwhere = \"/nothing\"\n";
    let found = measured(&format!("{unused}{rule}"), "id");
    let lost = found.mutations - found.caught;
    assert!(lost > 20, "{found:?}");
    assert_eq!(found.hidden, BTreeMap::from([(1, lost)]));
    for spot in &found.blind {
        assert_eq!(
            (spot.path.as_str(), spot.rules.as_slice()),
            ("/name", ["any-name".to_owned()].as_slice())
        );
    }
}

#[test]
fn a_swapped_id_is_caught_where_ids_are_paired_and_not_where_they_are_ignored() {
    let rule = |kind: &str, place: &str| {
        format!(
            "[[rule]]\nid = \"ids\"\nkind = \"{kind}\"\nreason = \"test\"\nendpoint = \"*\"\n{place} = \"/id\"\n"
        )
    };
    let swaps = |found: &Sensitivity| found.by_mutation["swap"];
    let paired = measured(&rule("binding", "path"), "new");
    assert_eq!(
        swaps(&paired).caught,
        swaps(&paired).mutations,
        "{:?}",
        paired.blind
    );
    let ignored = measured(&rule("ignore", "where"), "new");
    assert!(swaps(&ignored).caught < swaps(&ignored).mutations);
}

#[test]
fn a_long_list_is_copied_once_a_mutation_and_not_once_a_place() {
    // 40,000 places of half a megabyte: a copy for each would be twenty gigabytes.
    let items: Vec<String> = (0..20_000)
        .map(|at| format!("{{\"i\":{at},\"v\":\"value-{at}\"}}"))
        .collect();
    let answer = Answer {
        status: 200,
        headers: Vec::new(),
        body: Bytes::from(format!("[{}]", items.join(","))),
    };
    let mutants = mutants(&answer, &answer, Some(&answer), false, &mut Chance(1));
    let made = |mutation: &str| mutants.iter().any(|mutant| mutant.mutation == mutation);
    for mutation in [
        "value", "case", "truncate", "drop", "extra", "shorten", "reorder",
    ] {
        assert!(made(mutation), "{mutation}");
    }
    assert!(!made("swap"), "the donor has the same values");
}
