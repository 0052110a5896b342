//! Rules, each kind with what it makes equal and what it does not; and what a rule that fails, or has expired, comes to.

use bytes::Bytes;
use jiff::civil::date;
use rehearsal_replay::{
    diff::{Comparer, DifferenceKind},
    judge::judge,
    rules::{Rules, Side, Subject},
    run::Answer,
    verdict::Gate,
};

use crate::{
    reports::{answer as reported, observations},
    server::{planned, reads, rules},
};

const GET: Subject<'_> = Subject::Request {
    method: "GET",
    path: "/things/1",
};

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Answer {
        status,
        headers: headers.collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn json(body: &str) -> Answer {
    answer(200, &[("content-type", "application/json")], body)
}

fn rule(kind: &str, rest: &str) -> Rules {
    rules(&format!(
        "[[rule]]\nid = \"r\"\nkind = \"{kind}\"\nreason = \"test\"\nendpoint = \"*\"\n{rest}\n"
    ))
}

/// The places that differ, as `kind path`.
fn differences(rules: &Rules, legacy: &Answer, candidate: &Answer) -> Vec<String> {
    let comparison = Comparer::new(rules).compare(GET, legacy, candidate);
    if comparison.differences.is_empty() && legacy != candidate {
        assert!(
            !comparison.equated.is_empty() || rules.rules.is_empty(),
            "suppressed and not counted"
        );
    }
    let named = comparison.differences.iter();
    named
        .map(|one| {
            format!("{} {}", one.kind.name(), one.path)
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn bodies(rules: &Rules, legacy: &str, candidate: &str, expect: &[&str]) {
    assert_eq!(
        differences(rules, &json(legacy), &json(candidate)),
        expect,
        "{legacy} {candidate}"
    );
}

#[test]
fn times_are_compared_as_instants() {
    let precise = rule("time", "where = \"/t\"\nprecision = \"1s\"");
    bodies(
        &precise,
        r#"{"t":"2026-01-01T10:00:00.900Z"}"#,
        r#"{"t":"2026-01-01T11:00:00+01:00"}"#,
        &[],
    );
    bodies(
        &precise,
        r#"{"t":"2026-01-01T10:00:00Z"}"#,
        r#"{"t":"2026-01-01T10:00:01Z"}"#,
        &["value /t"],
    );
    let local = rule(
        "time",
        "path = \"/t\"\nwithin_s = 0\nlegacy_offset = \"+02:00\"\nepoch = \"ms\"",
    );
    bodies(
        &local,
        r#"{"t":"2026-07-01 12:00:00"}"#,
        r#"{"t":"2026-07-01T10:00:00Z"}"#,
        &[],
    );
    bodies(
        &local,
        r#"{"t":"2026-07-01 12:00:00"}"#,
        r#"{"t":1782900000000}"#,
        &[],
    );
    bodies(
        &local,
        r#"{"t":"2026-07-01 12:00:00"}"#,
        r#"{"t":"2026-07-01 12:00:00.1"}"#,
        &["value /t"],
    );
    let header = rule("time", "where = \"header x-due\"\nwithin_s = 1");
    let with = |due: &str| answer(200, &[("x-due", due)], "");
    let (a, b) = (
        with("Thu, 01 Jan 2026 10:00:00 GMT"),
        with("2026-01-01T10:00:01Z"),
    );
    assert_eq!(differences(&header, &a, &b), Vec::<String>::new());
    assert_eq!(differences(&header, &a, &with("soon")), ["header x-due"]);
}

#[test]
fn texts_are_normalized_by_all_rules_of_their_place() {
    let two = rules(
        r#"
[[rule]]
id = "job"
kind = "normalize"
reason = "a job's number"
endpoint = "*"
where = "body"
pattern = "job [0-9]+"
with = "job N"
[[rule]]
id = "took"
kind = "normalize"
reason = "how long it took"
endpoint = "*"
where = "body"
pattern = "[0-9]+ ms"
with = ""
"#,
    );
    bodies(
        &two,
        r#"{"m":"job 17 took 3 ms"}"#,
        r#"{"m":"job 4 took 120 ms"}"#,
        &[],
    );
    bodies(
        &two,
        r#"{"m":"job 17 took 3 ms"}"#,
        r#"{"m":"job 4 failed in 120 ms"}"#,
        &["value /m"],
    );
    let text = |body: &str| answer(200, &[("content-type", "text/plain")], body);
    assert_eq!(
        differences(&two, &text("job 1: 5 ms"), &text("job 2: 6 ms")),
        Vec::<String>::new()
    );
}

#[test]
fn absent_and_spelling_name_what_may_differ() {
    let absent = rule("absent", "path = \"/n\"\nsame = [\"null\", \"missing\"]");
    bodies(&absent, r#"{"n":null}"#, "{}", &[]);
    bodies(&absent, "{}", r#"{"n":null}"#, &[]);
    bodies(&absent, r#"{"n":null}"#, r#"{"n":""}"#, &["type /n"]);
    bodies(&absent, r#"{"n":0}"#, "{}", &["missing /n"]);
    let case = rule("spelling", "path = \"/n\"\nsame = \"case\"");
    bodies(&case, r#"{"n":"Ab"}"#, r#"{"n":"aB"}"#, &[]);
    bodies(&case, r#"{"n":"Ab"}"#, r#"{"n":"a b"}"#, &["value /n"]);
    let number = rule("spelling", "path = \"/n\"\nsame = \"number\"");
    bodies(&number, r#"{"n":"12.50"}"#, r#"{"n":12.5}"#, &[]);
    bodies(&number, r#"{"n":"12.50"}"#, r#"{"n":12.6}"#, &["type /n"]);
}

#[test]
fn statuses_are_the_same_by_class_where_a_rule_says_so() {
    let classes = rule(
        "status",
        "legacy = \"2xx\"\ncandidate = [200, 202, \"204\"]",
    );
    let check = |a, b, expect: &[&str]| {
        assert_eq!(
            differences(&classes, &answer(a, &[], ""), &answer(b, &[], "")),
            expect,
            "{a} {b}"
        );
    };
    check(201, 202, &[]);
    check(200, 203, &["status"]);
    check(404, 200, &["status"]);
}

#[test]
fn lists_are_keyed_by_several_members() {
    let keyed = rule("unordered", "path = \"/l\"\nkey = [\"a\", \"/b/c\"]");
    bodies(
        &keyed,
        r#"{"l":[{"a":1,"b":{"c":1},"v":1},{"a":1,"b":{"c":2},"v":2}]}"#,
        r#"{"l":[{"a":1,"b":{"c":2},"v":2},{"a":1,"b":{"c":1},"v":1}]}"#,
        &[],
    );
    bodies(
        &keyed,
        r#"{"l":[{"a":1,"b":{"c":1},"v":1},{"a":1,"b":{"c":2},"v":2}]}"#,
        r#"{"l":[{"a":1,"b":{"c":2},"v":1},{"a":1,"b":{"c":1},"v":1}]}"#,
        &["value /l/*/v"],
    );
}

#[test]
fn cookies_forms_and_character_sets_are_read() {
    let none = Rules::default();
    let cookie = |value: &str| answer(200, &[("set-cookie", value)], "");
    let check = |a: &str, b: &str, expect: &[&str]| {
        assert_eq!(
            differences(&none, &cookie(a), &cookie(b)),
            expect,
            "{a} {b}"
        );
    };
    check(
        "s=0123456789abcdef01; Path=/; HttpOnly",
        "s=fedcba98765432100; httponly; path=/",
        &[],
    );
    check(
        "s=0123456789abcdef01; Secure",
        "s=fedcba98765432100",
        &["header set-cookie s; secure"],
    );
    check("theme=dark", "theme=light", &["header set-cookie theme"]);
    check(
        "theme=dark",
        "skin=dark",
        &["header set-cookie theme", "header set-cookie skin"],
    );
    let form = |body: &str| {
        answer(
            200,
            &[("content-type", "application/x-www-form-urlencoded")],
            body,
        )
    };
    assert_eq!(
        differences(&none, &form("a=1&b=x+y"), &form("b=x%20y&a=1")),
        Vec::<String>::new()
    );
    assert_eq!(
        differences(&none, &form("a=1&a=2"), &form("a=2&a=1")),
        ["value /a/*", "value /a/*"]
    );
    let text = |charset: &str, body: &[u8]| Answer {
        body: Bytes::copy_from_slice(body),
        ..answer(
            200,
            &[("content-type", &format!("text/plain; charset={charset}"))],
            "",
        )
    };
    let (latin, utf8) = (
        text("iso-8859-1", b"caf\xe9"),
        text("utf-8", "café".as_bytes()),
    );
    assert_eq!(
        differences(&none, &latin, &utf8),
        ["header content-type", "encoding"],
        "the text is the same"
    );
}

#[test]
fn a_rule_that_cannot_be_applied_is_a_mismatch_that_nothing_forgives() {
    let grows = rules(
        &r#"
[[rule]]
id = "grows"
kind = "normalize"
reason = "each letter becomes very many"
endpoint = "*"
where = "body"
pattern = "a"
with = "LONG"
[[rule]]
id = "all"
kind = "ignore"
reason = "forgives every answer"
endpoint = "*"
where = "answer"
"#
        .replace("LONG", &"b".repeat(4_000)),
    );
    let body = |end: &str| json(&format!("{{\"t\":\"{}{end}\"}}", "a".repeat(20_000)));
    let comparison = Comparer::new(&grows).compare(GET, &body("x"), &body("y"));
    assert_eq!(comparison.differences.len(), 1);
    assert_eq!(comparison.differences[0].kind, DifferenceKind::Comparator);
    assert!(comparison.ignored.is_empty());
    let told = comparison.differences[0]
        .candidate
        .as_deref()
        .unwrap_or_default();
    assert!(told.contains("longer than"), "{told}");
}

#[test]
fn an_expired_rule_suppresses_nothing() {
    let mut rules = rule("ignore", "where = \"/a\"\nexpires = 2026-06-30");
    let ignored = |rules: &Rules| {
        let comparison =
            Comparer::new(rules).compare(GET, &json(r#"{"a":1}"#), &json(r#"{"a":2}"#));
        (comparison.ignored.len(), comparison.differences.len())
    };
    assert_eq!(ignored(&rules), (1, 0), "without a day nothing expires");
    rules.expire(date(2026, 6, 30));
    assert_eq!(ignored(&rules), (1, 0), "the last day counts");
    rules.expire(date(2026, 7, 1));
    assert_eq!(ignored(&rules), (0, 1));
}

#[test]
fn a_report_tells_of_expired_rules_and_those_that_will_be() {
    let mut rules = rule("ignore", "where = \"/a\"\nexpires = 2026-06-30");
    let plan = planned(reads(10), &rules);
    let same = |role| {
        observations(
            role,
            &plan,
            |_| reported(200, "{}".to_owned()),
            |_| unreachable!(),
        )
    };
    let (legacy, candidate) = (same(Side::Legacy), same(Side::Candidate));
    let mut told = |today, expect: &str| {
        rules.expire(today);
        let report = judge(&plan, &legacy, &candidate, None, &rules, &Gate::default());
        let told = report.notes.iter().any(|note| note.contains(expect));
        assert!(told, "{:?}", report.notes);
        assert!(
            report
                .notes
                .iter()
                .filter(|note| note.contains("expire"))
                .count()
                < 2
        );
    };
    told(
        date(2026, 7, 1),
        "have expired and suppress nothing any more: r (line",
    );
    told(date(2026, 6, 15), "expire soon: r (line");
    told(
        date(2026, 1, 1),
        "rules that suppressed nothing here: r (line",
    );
}

#[test]
fn what_is_wrong_with_a_rule_is_named() {
    let head = "format = \"rehearsal.rules/1\"\nname = \"t\"\n[[rule]]\nid = \"r\"\nreason = \"x\"\nendpoint = \"*\"\n";
    let check = |rest: &str, expect: &str| {
        let error = Rules::read("r.toml", &format!("{head}{rest}")).expect_err(rest);
        assert_eq!(
            error.to_string(),
            format!("r.toml: line {expect}"),
            "{rest}"
        );
    };
    check(
        "kind = \"normalize\"\nwhere = \"body\"\npattern = \"a(\"\nwith = \"\"",
        "9: found \"a(\": unclosed group, expected a regular expression",
    );
    for path in ["/*", "/**"] {
        check(
            &format!("kind = \"drop\"\nside = \"legacy\"\npath = \"{path}\""),
            "9: found every field, expected a field: without all of them, an empty answer is like any other",
        );
    }
    check(
        "kind = \"time\"\npath = \"/t\"\nprecision = \"1 sec\"",
        "9: found \"1 sec\", expected a duration like `1s`, `100ms` or `1m`",
    );
    check(
        "kind = \"absent\"\npath = \"/n\"\nsame = [\"nul\", \"missing\"]",
        "9: found \"nul\", expected `null`, the nearest spelling",
    );
    check(
        "kind = \"absent\"\npath = \"/n\"\nsame = \"null\"",
        "9: found only `null`, expected at least two of `null`, `missing`, `empty`",
    );
    check(
        "kind = \"status\"\nlegacy = \"2xx\"\ncandidate = \"5xx\"",
        "9: found server errors, expected statuses below 500: a server error is never the same as another answer (`ignore` forgives it)",
    );
    check(
        "kind = \"ignore\"\nwhere = \"/a\"\nexpires = \"next year\"",
        "9: found `expires` = \"next year\", expected a date: 2027-01-31",
    );
    check(
        "kind = \"binding\"\nwhere = \"header location\"\nwithin = \"/things/.*\"",
        "9: found \"/things/.*\" with 0 groups, expected a regular expression with one group, which captures the value",
    );
    check(
        "kind = \"ignore\"\nwhere = \"statsu\"",
        "8: found \"statsu\" does not begin with `/`, expected `status`, the nearest spelling",
    );
}
