//! Character encodings: what is written otherwise on one side is a difference, and what only looks so is none.

use bytes::Bytes;
use rehearsal_replay::{
    comparing::compare,
    diff::{Category, Comparer},
    judge::judge,
    rules::{Rules, Side, Subject},
    run::{Answer, Outcome},
    verdict::Gate,
};

use crate::{
    comparing::side,
    server::{planned, reads, rules},
};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const MARK: &[u8] = b"\xef\xbb\xbf";

fn answer(media: &str, body: &[u8]) -> Answer {
    Answer {
        status: 200,
        headers: vec![("content-type".to_owned(), media.to_owned())],
        body: Bytes::copy_from_slice(body),
    }
}

fn utf16(text: &str, mark: bool, big: bool) -> Vec<u8> {
    let mark = if mark { "\u{feff}" } else { "" };
    let bytes = |unit: u16| {
        if big {
            unit.to_be_bytes()
        } else {
            unit.to_le_bytes()
        }
    };
    format!("{mark}{text}")
        .encode_utf16()
        .flat_map(bytes)
        .collect()
}

/// What differs, as `kind path`, whichever side is which.
fn check(rules: &Rules, one: &Answer, other: &Answer, expect: &[&str]) {
    for (legacy, candidate) in [(one, other), (other, one)] {
        let subject = Subject::Request {
            method: "GET",
            path: "/things/1",
        };
        let comparison = Comparer::new(rules).compare(subject, legacy, candidate);
        let found: Vec<String> = comparison
            .differences
            .iter()
            .map(|one| format!("{} {}", one.kind.name(), one.path))
            .collect();
        let found: Vec<&str> = found.iter().map(|one| one.trim_end()).collect();
        assert_eq!(found, expect, "{legacy:?} {candidate:?}");
    }
}

#[test]
fn a_mark_or_another_encoding_on_one_side_is_a_difference() {
    let none = Rules::default();
    let text = r#"{"name":"Zoë"}"#;
    let marked = [MARK, text.as_bytes()].concat();
    let plain = answer(JSON, text.as_bytes());
    check(&none, &plain, &answer(JSON, &marked), &["encoding"]);
    for big in [false, true] {
        let wide = answer(JSON, &utf16(text, true, big));
        check(&none, &plain, &wide, &["encoding"]);
    }
    check(
        &none,
        &answer(JSON, &marked),
        &answer(JSON, &utf16(text, true, false)),
        &["encoding"],
    );
    // Both are declared, so a reader may read both; they are not the same answer all the same.
    let declared = answer(
        "application/json; charset=utf-16",
        &utf16(text, false, false),
    );
    check(
        &none,
        &plain,
        &declared,
        &["header content-type", "encoding"],
    );
    let latin = answer(
        "application/json; charset=iso-8859-1",
        b"{\"name\":\"Zo\xeb\"}",
    );
    check(&none, &plain, &latin, &["header content-type", "encoding"]);
    check(
        &none,
        &answer(TEXT, b"a"),
        &answer(TEXT, &[MARK, b"a"].concat()),
        &["encoding"],
    );
    check(
        &none,
        &answer(TEXT, b""),
        &answer(TEXT, MARK),
        &["encoding"],
    );
    // Undeclared single bytes are no text at all.
    check(
        &none,
        &answer(JSON, text.as_bytes()),
        &answer(JSON, b"{\"name\":\"Zo\xeb\"}"),
        &["binary"],
    );
    // What the text says is compared as well.
    let other = [MARK, r#"{"name":"Zoe"}"#.as_bytes()].concat();
    check(
        &none,
        &plain,
        &answer(JSON, &other),
        &["encoding", "value /name"],
    );
}

#[test]
fn one_encoding_on_both_sides_is_none_however_it_is_declared() {
    let none = Rules::default();
    let text = r#"{"name":"Zoë","tags":[1,2]}"#;
    let order = r#"{"tags":[1,2],"name":"Zo\u00eb"}"#;
    let mark = |text: &str| [MARK, text.as_bytes()].concat();
    let same = |media: [&str; 2], one: &[u8], other: &[u8]| {
        check(&none, &answer(media[0], one), &answer(media[1], other), &[]);
    };
    same([JSON; 2], &mark(text), &mark(order));
    same(
        [JSON; 2],
        &utf16(text, true, false),
        &utf16(order, true, false),
    );
    // RFC 8259: the parameter has no meaning, JSON is UTF-8 anyway.
    same(
        [JSON, "application/json; charset=UTF-8"],
        text.as_bytes(),
        order.as_bytes(),
    );
    let latin = "text/plain; charset=iso-8859-1";
    same([latin; 2], b"caf\xe9", b"caf\xe9");
    same(
        [latin, "text/plain; charset=ISO-8859-1"],
        b"caf\xe9",
        b"caf\xe9",
    );
    same([TEXT, "text/plain;charset=\"UTF-8\""], b"a", b"a");
    same([JSON; 2], b"", b"");
}

#[test]
fn a_rule_forgives_one_encoding_and_no_other() {
    let map = rules(
        r#"
[[rule]]
id = "mark"
kind = "map"
reason = "the old service's framework writes a mark"
endpoint = "*"
where = "encoding"
legacy = "UTF-8 with a byte order mark"
candidate = "UTF-8"
"#,
    );
    let plan = planned(reads(3), &map);
    let marked = answer(JSON, &[MARK, b"{\"a\":1}"].concat());
    let plain = answer(JSON, b"{\"a\":1}");
    let wide = answer(JSON, &utf16("{\"a\":1}", true, false));
    let one = |role, answers: [&Answer; 3]| {
        side(role, &plan, |at| Outcome::Answered(answers[at].clone()))
    };
    let legacy = one(Side::Legacy, [&marked, &plain, &marked]);
    let candidate = one(Side::Candidate, [&plain, &marked, &wide]);
    let compared = compare(&plan, &legacy, &candidate, None, &map);
    let found: Vec<Category> = compared.requests.iter().map(|one| one.category).collect();
    assert_eq!(
        found,
        [
            Category::Matched,
            Category::Mismatched,
            Category::Mismatched
        ]
    );
    assert_eq!(compared.hits[0].suppressed, 1);
    // A rule about every field of a body says nothing of how the body is written.
    let fields = rules(
        "[[rule]]\nid = \"r\"\nkind = \"ignore\"\nreason = \"r\"\nendpoint = \"*\"\nwhere = \"body\"\n",
    );
    check(&fields, &plain, &marked, &["encoding"]);
}

#[test]
fn the_report_names_the_cause() {
    let none = Rules::default();
    let plan = planned(reads(40), &none);
    let body = |at: usize| format!("{{\"at\":{at}}}");
    let legacy = side(Side::Legacy, &plan, |at| {
        Outcome::Answered(answer(JSON, body(at).as_bytes()))
    });
    let cluster = |write: &dyn Fn(&str) -> Vec<u8>| {
        let candidate = side(Side::Candidate, &plan, |at| {
            Outcome::Answered(answer(JSON, &write(&body(at))))
        });
        let report = judge(&plan, &legacy, &candidate, None, &none, &Gate::default());
        let cluster = &report.clusters[0];
        let cause = cluster.hypothesis.as_ref().expect("a cause");
        format!("{}: {cause}", cluster.fingerprint)
    };
    assert_eq!(
        cluster(&|text| [MARK, text.as_bytes()].concat()),
        "GET /things/{id} encoding: encoding: bodies are written in another character encoding: UTF-8 is UTF-8 with a byte order mark; explains 40 of 40, 0 elsewhere"
    );
    // Nothing declares it, so the bytes are no JSON; the cause is found all the same.
    assert_eq!(
        cluster(&|text| utf16(text, false, true)),
        "GET /things/{id} type: encoding: bodies are written in another character encoding; explains 40 of 40, 0 elsewhere"
    );
}
