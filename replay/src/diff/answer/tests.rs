//! Each kind of rule has a difference it must catch and one it must leave alone; each kind of body a difference that must be seen.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::*;

fn rules(text: &str) -> Rules {
    let text = format!("format = \"rehearsal.rules/1\"\nname = \"t\"\n{text}");
    Rules::read("t.toml", &text).expect("rules")
}

fn answer(status: u16, media: &str, body: &[u8]) -> Answer {
    Answer {
        status,
        headers: vec![("content-type".to_owned(), media.to_owned())],
        body: Bytes::copy_from_slice(body),
    }
}

fn json(body: &str) -> Answer {
    answer(200, "application/json", body.as_bytes())
}

const GET: Subject<'_> = Subject::Request {
    method: "GET",
    path: "/things/1",
};

/// One line: `kind path legacy|candidate`, then `=rule` for what was equated and `~rule` for what was ignored.
fn shown(rules: &Rules, comparison: &Comparison) -> String {
    let absent = || "-".to_owned();
    let mut lines: Vec<String> = comparison
        .differences
        .iter()
        .map(|one| {
            let (a, b) = (one.legacy.clone(), one.candidate.clone());
            let (a, b) = (a.unwrap_or_else(absent), b.unwrap_or_else(absent));
            format!("{} {} {a}|{b}", one.kind.name(), one.path)
        })
        .collect();
    let id = |at: &usize| rules.rules[*at].id.clone();
    lines.extend(comparison.equated.iter().map(|at| format!("={}", id(at))));
    lines.extend(comparison.ignored.iter().map(|at| format!("~{}", id(at))));
    lines.join("; ")
}

fn check(rule: &str, legacy: &Answer, candidate: &Answer, expect: &str) {
    let rules = rules(rule);
    let comparison = Comparer::new(&rules).compare(GET, legacy, candidate);
    assert_eq!(shown(&rules, &comparison), expect, "under {rule:?}");
}

fn bodies(rule: &str, legacy: &str, candidate: &str, expect: &str) {
    check(rule, &json(legacy), &json(candidate), expect);
}

fn rule(kind: &str, rest: &str) -> String {
    format!(
        "[[rule]]\nid = \"r\"\nkind = \"{kind}\"\nreason = \"test\"\nendpoint = \"GET /things/{{id}}\"\n{rest}\n"
    )
}

#[test]
fn json_is_compared_by_structure() {
    bodies("", r#"{"a":1,"b":[1,2]}"#, r#"{"b":[1,2.0],"a":1e0}"#, "");
    bodies("", r#"{"a":1}"#, r#"{"a":2}"#, "value /a 1|2");
    bodies("", r#"{"a":1}"#, r#"{"a":"1"}"#, "type /a 1|\"1\"");
    bodies("", r#"{"a":null}"#, r"{}", "missing /a null|-");
    bodies("", r"{}", r#"{"a":""}"#, "extra /a -|\"\"");
    bodies(
        "",
        r#"{"a":[{"b":1},{"b":2}]}"#,
        r#"{"a":[{"b":1},{"b":3}]}"#,
        "value /a/*/b 2|3",
    );
    bodies("", "[1,2]", "[2,1]", "value /* 1|2; value /* 2|1");
    bodies("", "[1]", "[1,2]", "extra /* -|2");
    bodies(
        "",
        r#"{"id":9007199254740993}"#,
        r#"{"id":9007199254740992}"#,
        "value /id 9007199254740993|9007199254740992",
    );
    bodies(
        "",
        r#"{"a":1,"a":2}"#,
        r#"{"a":2}"#,
        "type  \"{\\\"a\\\":1,\\\"a\\\":2}\"|\"{\\\"a\\\":2}\"",
    );
}

#[test]
fn large_objects_are_compared_by_key_too() {
    let object = |order: &mut dyn Iterator<Item = usize>| {
        let members: Vec<String> = order.map(|at| format!("\"k{at}\":{at}")).collect();
        format!("{{{}}}", members.join(","))
    };
    bodies("", &object(&mut (0..100)), &object(&mut (0..100).rev()), "");
    bodies(
        "",
        &object(&mut (0..100)),
        &object(&mut (1..100)),
        "missing /k0 0|-",
    );
}

#[test]
fn status_headers_text_and_bytes_are_compared() {
    let text = |status, body: &[u8]| answer(status, "text/plain", body);
    check("", &text(200, b"a"), &text(201, b"a"), "status  200|201");
    check("", &text(200, b"a"), &text(200, b"b"), "text  \"a\"|\"b\"");
    check(
        "",
        &text(200, b"a"),
        &answer(200, "text/html", b"a"),
        "header content-type \"text/plain\"|\"text/html\"",
    );
    check(
        "",
        &answer(200, "text/plain; Charset=UTF-8", b"a"),
        &answer(200, "text/plain;charset=utf-8", b"a"),
        "",
    );
    let comparison = Comparer::new(&Rules::default()).compare(
        GET,
        &text(200, b"\xff\x01"),
        &text(200, b"\xff\x02"),
    );
    assert_eq!(comparison.differences[0].kind, DifferenceKind::Binary);
    let mut dated = text(200, b"a");
    dated.headers.push(("date".into(), "today".into()));
    check("", &text(200, b"a"), &dated, "");
    dated.headers.push(("etag".into(), "1".into()));
    check("", &text(200, b"a"), &dated, "header etag -|\"1\"");
}

#[test]
fn coded_bodies_are_compared_by_what_they_mean() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(br#"{"a":1}"#).expect("memory");
    let mut coded = json("");
    coded.body = gzip.finish().expect("memory").into();
    coded
        .headers
        .push(("content-encoding".into(), "gzip".into()));
    check("", &json(r#"{"a":1}"#), &coded, "");
    check("", &json(r#"{"a":2}"#), &coded, "value /a 2|1");
    coded.body = Bytes::from_static(b"broken");
    let comparison = Comparer::new(&Rules::default()).compare(GET, &json("{}"), &coded);
    assert_eq!(comparison.differences[0].kind, DifferenceKind::Encoding);
}

#[test]
fn map_and_ignore_hold_for_their_values_only() {
    let map = rule("map", "where = \"status\"\nlegacy = 200\ncandidate = 202");
    check(
        &map,
        &json("{}"),
        &answer(202, "application/json", b"{}"),
        "=r",
    );
    check(
        &map,
        &json("{}"),
        &answer(201, "application/json", b"{}"),
        "status  200|201",
    );
    let map = rule(
        "map",
        "where = \"/state\"\nlegacy = \"confirmed\"\ncandidate = [\"pending\", \"new\"]",
    );
    bodies(
        &map,
        r#"{"state":"confirmed"}"#,
        r#"{"state":"pending"}"#,
        "=r",
    );
    bodies(
        &map,
        r#"{"state":"failed"}"#,
        r#"{"state":"pending"}"#,
        "value /state \"failed\"|\"pending\"",
    );
    let ignore = rule("ignore", "where = \"/n/*\"\nlegacy = { at_least = 2 }");
    bodies(&ignore, r#"{"n":[2]}"#, r#"{"n":[1]}"#, "~r");
    bodies(&ignore, r#"{"n":[1]}"#, r#"{"n":[0]}"#, "value /n/* 1|0");
    let whole = rule(
        "ignore",
        "where = \"answer\"\nlegacy = 502\ncandidate = 202",
    );
    let broken = answer(502, "text/plain", b"no");
    check(
        &whole,
        &broken,
        &answer(202, "application/json", b"{}"),
        "~r",
    );
    check(&whole, &json("{}"), &json("[]"), "type  {}|[]");
}

#[test]
fn a_given_ties_a_rule_to_another_field() {
    let given = "given = { path = \"/state\", candidate = \"pending\" }";
    let ignore = rule("ignore", &format!("where = \"/ref\"\n{given}"));
    bodies(
        &ignore,
        r#"{"state":"pending","ref":1}"#,
        r#"{"state":"pending"}"#,
        "~r",
    );
    bodies(
        &ignore,
        r#"{"state":"done","ref":1}"#,
        r#"{"state":"done"}"#,
        "missing /ref 1|-",
    );
    bodies(&ignore, r#"{"ref":1}"#, r"{}", "missing /ref 1|-");
}

#[test]
fn rules_speak_of_their_endpoint_only() {
    let ignore = rule("ignore", "where = \"body\"").replace("/things", "/others");
    bodies(&ignore, "[1]", "[2]", "value /* 1|2");
    let unknown = rule("ignore", "where = \"body\"").replace("GET /things/{id}", "unknown");
    bodies(&unknown, "[1]", "[2]", "~r");
    let rules = rules(&rule("ignore", "where = \"body\"").replace("GET /things/{id}", "state"));
    let comparison = Comparer::new(&rules).compare(Subject::State, &json("[1]"), &json("[2]"));
    assert_eq!(shown(&rules, &comparison), "~r");
}

#[test]
fn drop_and_rename_are_for_absent_fields_only() {
    let drop = rule("drop", "side = \"candidate\"\npath = \"/links\"");
    bodies(&drop, r"{}", r#"{"links":{"a":1}}"#, "=r");
    bodies(
        &drop,
        r#"{"links":1}"#,
        r#"{"links":2}"#,
        "value /links 1|2",
    );
    bodies(&drop, r#"{"links":1}"#, r"{}", "missing /links 1|-");
    let null = rule(
        "drop",
        "side = \"legacy\"\npath = \"/a\"\nlegacy = { null = true }",
    );
    bodies(&null, r#"{"a":null}"#, r"{}", "=r");
    bodies(&null, r#"{"a":0}"#, r"{}", "missing /a 0|-");
    let rename = rule("rename", "path = \"/ref\"\ncandidate_key = \"reference\"");
    bodies(&rename, r#"{"ref":1}"#, r#"{"reference":1}"#, "=r");
    bodies(
        &rename,
        r#"{"ref":1}"#,
        r#"{"reference":2}"#,
        "value /ref 1|2; =r",
    );
    bodies(
        &rename,
        r#"{"ref":1}"#,
        r#"{"other":1}"#,
        "missing /ref 1|-; extra /other -|1",
    );
}

#[test]
fn tolerance_time_and_order_have_limits() {
    let tolerance = rule("tolerance", "path = \"/p\"\nabsolute = 0.01");
    bodies(&tolerance, r#"{"p":1.00}"#, r#"{"p":1.005}"#, "=r");
    bodies(
        &tolerance,
        r#"{"p":1.00}"#,
        r#"{"p":1.02}"#,
        "value /p 1.00|1.02",
    );
    let time = rule("time", "path = \"/t\"\nwithin_s = 1");
    bodies(
        &time,
        r#"{"t":"2026-01-01T10:00:00Z"}"#,
        r#"{"t":"2026-01-01T11:00:00.4+01:00"}"#,
        "=r",
    );
    bodies(
        &time,
        r#"{"t":"2026-01-01T10:00:00Z"}"#,
        r#"{"t":"2026-01-01T11:00:00Z"}"#,
        "value /t \"2026-01-01T10:00:00Z\"|\"2026-01-01T11:00:00Z\"",
    );
    let set = rule("unordered", "path = \"/s\"");
    bodies(&set, r#"{"s":[1,2,2]}"#, r#"{"s":[2,1,2]}"#, "=r");
    bodies(
        &set,
        r#"{"s":[1,2,2]}"#,
        r#"{"s":[2,1,1]}"#,
        "value /s/* 2|1",
    );
    let keyed = rule("unordered", "path = \"/s\"\nkey = \"id\"");
    bodies(
        &keyed,
        r#"{"s":[{"id":1,"v":1},{"id":2,"v":2}]}"#,
        r#"{"s":[{"id":2,"v":2},{"id":1,"v":1}]}"#,
        "=r",
    );
    bodies(
        &keyed,
        r#"{"s":[{"id":1,"v":1},{"id":2,"v":2}]}"#,
        r#"{"s":[{"id":2,"v":3},{"id":1,"v":1}]}"#,
        "value /s/*/v 2|3",
    );
}

#[test]
fn error_and_volatile_rules_leave_the_rest_compared() {
    let error = rule("error", "status = [404]");
    let refusal = |status| answer(status, "application/problem+json", br#"{"title":"no"}"#);
    check(
        &error,
        &answer(404, "text/plain", b"no"),
        &refusal(404),
        "=r",
    );
    check(&error, &refusal(404), &refusal(404), "");
    let comparison =
        Comparer::new(&rules(&error)).compare(GET, &answer(404, "text/plain", b"no"), &json("{}"));
    assert_eq!(comparison.differences[0].kind, DifferenceKind::Status);
    let volatile = rule("volatile", "headers = [\"ETag\"]");
    let mut tagged = json("{}");
    tagged.headers.push(("etag".into(), "1".into()));
    check(&volatile, &json("{}"), &tagged, "=r");
    tagged.headers.push(("location".into(), "/".into()));
    check(
        &volatile,
        &json("{}"),
        &tagged,
        "header location -|\"/\"; =r",
    );
}

#[test]
fn a_swapped_reference_is_found_over_the_whole_run() {
    let rules = rules(&rule("binding", "path = \"/ref\""));
    let mut comparer = Comparer::new(&rules);
    let mut compare = |a: &str, b: &str| {
        let (a, b) = (
            json(&format!("{{\"ref\":\"{a}\"}}")),
            json(&format!("{{\"ref\":\"{b}\"}}")),
        );
        shown(&rules, &comparer.compare(GET, &a, &b))
    };
    assert_eq!(compare("old-1", "new-1"), "=r");
    assert_eq!(compare("old-2", "new-2"), "=r");
    assert_eq!(
        compare("old-1", "new-2"),
        "binding /ref \"old-1\"|\"new-2\""
    );
    assert_eq!(compare("same", "same"), "");
    assert_eq!(compare("other", "same"), "binding /ref \"other\"|\"same\"");
}
