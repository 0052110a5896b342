//! Odd answers and odd captures, as an outsider would bring them: each true difference is found, and what only looks like one is none.
//!
//! **Invariant**: every case is tried with the sides exchanged too.

use bytes::Bytes;
use rehearsal_replay::{
    capture::load,
    diff::Comparer,
    rules::{Rules, Subject},
    run::Answer,
};

use crate::server::rules;

const JSON: &str = "application/json";

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    Answer {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: Bytes::copy_from_slice(body),
    }
}

fn json(body: &str) -> Answer {
    answer(200, &[("content-type", JSON)], body.as_bytes())
}

/// What differs, as `kind path`, the same both ways.
fn check(rules: &Rules, one: &Answer, other: &Answer, expect: &[&str]) {
    let exchanged: Vec<String> = expect
        .iter()
        .map(|one| match one.split_once(' ') {
            Some(("missing", path)) => format!("extra {path}"),
            Some(("extra", path)) => format!("missing {path}"),
            _ => (*one).to_owned(),
        })
        .collect();
    let mut exchanged: Vec<&str> = exchanged.iter().map(String::as_str).collect();
    let mut expect = expect.to_vec();
    for (legacy, candidate, expect) in [(one, other, &mut expect), (other, one, &mut exchanged)] {
        let subject = Subject::Request {
            method: "GET",
            path: "/things/1",
        };
        let comparison = Comparer::new(rules).compare(subject, legacy, candidate);
        let mut found: Vec<String> = comparison
            .differences
            .iter()
            .map(|one| {
                format!("{} {}", one.kind.name(), one.path)
                    .trim_end()
                    .to_owned()
            })
            .collect();
        found.sort();
        expect.sort_unstable();
        assert_eq!(found, *expect, "{legacy:?}\n{candidate:?}");
    }
}

fn bodies(one: &str, other: &str, expect: &[&str]) {
    check(&Rules::default(), &json(one), &json(other), expect);
}

#[test]
fn numbers_are_what_they_say() {
    bodies(r#"{"n":1e3}"#, r#"{"n":1000}"#, &[]);
    bodies(r#"{"n":-0}"#, r#"{"n":0.0}"#, &[]);
    bodies(r#"{"n":1E+2}"#, r#"{"n":100.00}"#, &[]);
    let (long, longer) = (
        r#"{"n":123456789012345678901234567890}"#,
        r#"{"n":123456789012345678901234567891}"#,
    );
    bodies(long, longer, &["value /n"]);
    bodies(
        r#"{"n":1e99999999999999999999}"#,
        r#"{"n":1e99999999999999999998}"#,
        &["value /n"],
    );
    bodies(
        r#"{"n":1e99999999999999999999}"#,
        r#"{"n":1}"#,
        &["value /n"],
    );
    bodies(r#"{"n":"1"}"#, r#"{"n":1}"#, &["type /n"]);
    // No JSON at all, the same and another.
    bodies(r#"{"n":NaN}"#, r#"{"n":NaN}"#, &[]);
    bodies(r#"{"n":NaN}"#, r#"{"n":Infinity}"#, &["text"]);
    bodies(r#"{"n":NaN}"#, r#"{"n":null}"#, &["type"]);
    bodies(r#"{"n":01}"#, r#"{"n":1}"#, &["type"]);
}

#[test]
fn a_key_that_is_repeated_is_compared_as_it_is_written() {
    let twice = r#"{"a":1,"a":2}"#;
    bodies(twice, twice, &[]);
    bodies(twice, r#"{"a":2,"a":1}"#, &["text"]);
    bodies(twice, r#"{"a":2}"#, &["type"]);
    bodies(r#"{"o":{"a":1,"\u0061":1}}"#, r#"{"o":{"a":1}}"#, &["type"]);
}

#[test]
fn arrays_in_arrays_keep_their_order_unless_a_rule_says_otherwise() {
    let (one, other) = (r#"{"m":[[1,2],[3]]}"#, r#"{"m":[[3],[1,2]]}"#);
    bodies(
        one,
        other,
        &[
            "missing /m/*/*",
            "extra /m/*/*",
            "value /m/*/*",
            "value /m/*/*",
        ],
    );
    let outer = rules(
        "[[rule]]\nid = \"m\"\nkind = \"unordered\"\nreason = \"r\"\nendpoint = \"*\"\npath = \"/m\"\n",
    );
    check(&outer, &json(one), &json(other), &[]);
    check(
        &outer,
        &json(one),
        &json(r#"{"m":[[3],[2,1]]}"#),
        &["value /m/*/*", "value /m/*/*"],
    );
}

#[test]
fn nothing_and_empty_things_are_told_apart() {
    bodies("", "", &[]);
    bodies("", "null", &["type"]);
    bodies("", "{}", &["type"]);
    bodies("{}", "[]", &["type"]);
    bodies("null", "null", &[]);
    bodies(r#"{"a":[]}"#, r#"{"a":[null]}"#, &["extra /a/*"]);
    bodies(r#"{"a":{}}"#, r#"{"a":[]}"#, &["type /a"]);
    bodies(" {} ", "{}\r\n", &[]);
    let none = Rules::default();
    let bare = |status| answer(status, &[], b"");
    check(&none, &bare(204), &bare(204), &[]);
    check(&none, &bare(204), &bare(200), &["status"]);
    check(&none, &bare(304), &bare(200), &["status"]);
    // An answer to HEAD: the length of a body that is not there is framing.
    let head = |length: &str| {
        answer(
            200,
            &[("content-length", length), ("content-type", JSON)],
            b"",
        )
    };
    check(&none, &head("10"), &head("12"), &[]);
    check(
        &none,
        &head("10"),
        &answer(200, &[("content-type", "text/html")], b""),
        &["header content-type"],
    );
}

#[test]
fn codings_that_lie_are_found() {
    let none = Rules::default();
    let coded = |coding: &str, body: &[u8]| {
        answer(
            200,
            &[("content-type", JSON), ("content-encoding", coding)],
            body,
        )
    };
    let plain = json(r#"{"a":1}"#);
    // gzip is declared, and the body is plain: no client can read it.
    check(&none, &plain, &coded("gzip", br#"{"a":1}"#), &["encoding"]);
    check(
        &none,
        &coded("gzip", br#"{"a":1}"#),
        &coded("gzip", br#"{"a":2}"#),
        &["encoding"],
    );
    let same = coded("gzip", br#"{"a":1}"#);
    check(&none, &same, &same, &[]);
    check(&none, &plain, &coded("identity", br#"{"a":1}"#), &[]);
    check(
        &none,
        &plain,
        &coded("aws-chunked", br#"{"a":1}"#),
        &["encoding"],
    );
    // gzip's bytes, undeclared.
    check(&none, &plain, &json("\u{1f}\u{8b}\u{8}"), &["type"]);
}

#[test]
fn cookies_of_one_name_and_two_paths_are_two() {
    let none = Rules::default();
    let sets = |lines: &[&str]| {
        let headers: Vec<(&str, &str)> = lines.iter().map(|line| ("set-cookie", *line)).collect();
        answer(200, &headers, b"")
    };
    let both = sets(&["tier=gold; Path=/", "tier=free; Path=/trial"]);
    check(
        &none,
        &both,
        &sets(&["tier=free; Path=/trial", "tier=gold; Path=/"]),
        &[],
    );
    check(
        &none,
        &both,
        &sets(&["tier=lead; Path=/", "tier=free; Path=/trial"]),
        &["header set-cookie tier"],
    );
    check(
        &none,
        &both,
        &sets(&["tier=free; Path=/trial"]),
        &["header set-cookie tier"],
    );
    check(
        &none,
        &sets(&["a=1; Path=/"]),
        &sets(&["a=1; Path=/x"]),
        &["header set-cookie a; path"],
    );
    check(
        &none,
        &sets(&["a=1; Domain=.Example.org", "a=2; Domain=example.org"]),
        &sets(&["a=2; Domain=example.org"]),
        &[],
    );
    // A browser keeps the last.
    check(&none, &sets(&["a=1", "a=2"]), &sets(&["a=2"]), &[]);
    check(
        &none,
        &sets(&["a=1", "a=2"]),
        &sets(&["a=1"]),
        &["header set-cookie a"],
    );
}

#[test]
fn headers_say_the_same_in_other_words() {
    let none = Rules::default();
    let one = |name: &str, value: &str| answer(200, &[(name, value)], b"");
    check(
        &none,
        &one("vary", "Accept, origin"),
        &one("vary", "Origin,Accept"),
        &[],
    );
    check(
        &none,
        &answer(200, &[("vary", "Accept"), ("vary", "Origin")], b""),
        &one("vary", "Accept, Origin"),
        &[],
    );
    check(
        &none,
        &one("cache-control", "no-store"),
        &one("cache-control", "no-cache"),
        &["header cache-control"],
    );
    check(
        &none,
        &one("allow", "GET"),
        &one("allow", "GET, PUT"),
        &["header allow"],
    );
    check(
        &none,
        &one("link", "</p?page=2>; rel=next"),
        &one("link", "</p?page=3>; rel=next"),
        &["header link"],
    );
    check(
        &none,
        &one("x-date", "1"),
        &one("x-date", "2"),
        &["header x-date"],
    );
    check(
        &none,
        &one("location", "/a"),
        &answer(200, &[], b""),
        &["header location"],
    );
}

#[test]
fn texts_are_compared_character_by_character() {
    // é as one character and as two looks the same and is not.
    bodies(
        "{\"n\":\"caf\u{e9}\"}",
        "{\"n\":\"cafe\u{301}\"}",
        &["value /n"],
    );
    bodies("{\"n\":\"caf\u{e9}\"}", r#"{"n":"caf\u00E9"}"#, &[]);
    bodies(r#"{"n":"\ud83d\ude00"}"#, "{\"n\":\"\u{1f600}\"}", &[]);
    bodies(r#"{"id":"A1B2"}"#, r#"{"id":"a1b2"}"#, &["value /id"]);
    bodies(r#"{"n":"a/b"}"#, r#"{"n":"a\/b"}"#, &[]);
    bodies(r#"{"N":1}"#, r#"{"n":1}"#, &["missing /N", "extra /n"]);
    // Half a surrogate pair is no text in any encoding.
    bodies(r#"{"n":"\ud83d"}"#, r#"{"n":"\ud83e"}"#, &["text"]);
    // A page that ends early, and one that is another page.
    bodies(
        r#"{"items":[1,2,3],"next":"c3"}"#,
        r#"{"items":[1,2],"next":"c2"}"#,
        &["missing /items/*", "value /next"],
    );
}

#[test]
fn times_are_the_same_moment_only_where_a_rule_says_that_they_are_times() {
    let (one, other) = (
        r#"{"t":"2026-03-29T01:30:00+00:00"}"#,
        r#"{"t":"2026-03-29T03:30:00+02:00"}"#,
    );
    bodies(one, other, &["value /t"]);
    let times = rules(
        "[[rule]]\nid = \"t\"\nkind = \"time\"\nreason = \"r\"\nendpoint = \"*\"\npath = \"/t\"\nwithin_s = 0\n",
    );
    check(&times, &json(one), &json(other), &[]);
    // The hour that a change of clocks leaves out or repeats is another moment.
    check(
        &times,
        &json(one),
        &json(r#"{"t":"2026-03-29T02:30:00+02:00"}"#),
        &["value /t"],
    );
    check(&times, &json(one), &json(r#"{"t":"soon"}"#), &["value /t"]);
    check(
        &times,
        &json(r#"{"t":"2026-03-29T01:30:00"}"#),
        &json(r#"{"t":"2026-03-29T01:30:00Z"}"#),
        &["value /t"],
    );
}

#[test]
fn rules_that_would_make_everything_the_same_are_refused() {
    let refused = |text: &str| {
        let text = format!(
            "format = \"rehearsal.rules/1\"\nname = \"t\"\n[[rule]]\nid = \"r\"\nreason = \"r\"\nendpoint = \"*\"\n{text}\n"
        );
        assert!(Rules::read("t.toml", &text).is_err(), "{text}");
    };
    refused("kind = \"binding\"\npath = \"/**\"");
    refused("kind = \"binding\"\nwhere = \"body\"");
    refused(
        "kind = \"map\"\nwhere = \"body\"\nlegacy = { starts_with = \"\" }\ncandidate = { starts_with = \"\" }",
    );
    refused("kind = \"map\"\nwhere = \"body\"");
    refused("kind = \"time\"\nwhere = \"encoding\"\nwithin_s = 1");
    refused("kind = \"normalize\"\nwhere = \"encoding\"\npattern = \".*\"\nwith = \"\"");
    refused("kind = \"tolerance\"\npath = \"/n\"");
    refused("kind = \"error\"\nstatus = [500]");
}

#[test]
fn odd_recordings_are_read_whole() {
    let monkeys = "\n🐵🙈🙉\n";
    // Answers before their requests, two requests of one id, a 204 that declares a length, an answer to HEAD.
    let gor = [
        "2 bbbbbbbbbbbbbbbbbbbbbbbb 1200 5\nHTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
        "1 AAAAAAAAAAAAAAAAAAAAAAAA 1000\nGET /one HTTP/1.1\r\nHost: h\r\n\r\n",
        "1 bbbbbbbbbbbbbbbbbbbbbbbb 1100\nDELETE /two HTTP/1.1\r\nHost: h\r\n\r\n",
        "2 AAAAAAAAAAAAAAAAAAAAAAAA 1300 5\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "1 AAAAAAAAAAAAAAAAAAAAAAAA 1400\nHEAD /one HTTP/1.1\r\nHost: h\r\n\r\n",
        "2 AAAAAAAAAAAAAAAAAAAAAAAA 1500 5\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    ]
    .map(|record| format!("{record}{monkeys}"))
    .concat();
    let capture = load("odd.gor", gor.as_bytes()).expect("a capture");
    let shown: Vec<String> = capture
        .exchanges
        .iter()
        .map(|one| {
            let response = one.response.as_ref().expect("an answer");
            format!(
                "{} {} {} {:?}",
                one.request.method,
                one.request.target,
                response.status,
                response
                    .body
                    .whole()
                    .map(|body| String::from_utf8_lossy(body).into_owned())
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "GET /one 200 Some(\"ok\")",
            "DELETE /two 204 Some(\"\")",
            "HEAD /one 200 Some(\"\")",
        ]
    );
    assert!(capture.skipped.is_empty(), "{:?}", capture.skipped);
}

#[test]
fn odd_exports_are_read_whole() {
    // Unsorted, other offsets, pairs for headers, numbers as text, no version, base64, and an entry that a cache answered.
    let har = r#"{"log":{"entries":[
        {"startedDateTime":"2026-11-23T03:00:01.5-07:00","time":"12","request":{"method":"post","url":"https://h/a?x=1#frag",
         "headers":[["X-A","1"],{"name":":path","value":"/a"}],"postData":{"mimeType":"application/x-www-form-urlencoded","params":[{"name":"k","value":"a b"}]}},
         "response":{"status":200,"headers":[{"name":"Content-Encoding","value":"gzip"}],"content":{"mimeType":"text/plain","text":"b2s=","encoding":"base64"}}},
        {"startedDateTime":"2026-11-23T10:00:00Z","time":1,"request":{"method":"GET","url":"https://h/b","headers":[]},
         "response":{"status":204,"headers":[],"content":{"size":0,"mimeType":""}}}
    ]}}"#;
    let capture = load("odd.har", har.as_bytes()).expect("a capture");
    let shown: Vec<String> = capture
        .exchanges
        .iter()
        .map(|one| {
            let body =
                |body: Option<&Bytes>| body.map(|body| String::from_utf8_lossy(body).into_owned());
            let response = one.response.as_ref().expect("an answer");
            format!(
                "{} {} {:?} {} {:?} {:?}",
                one.request.method,
                one.request.target,
                body(one.request.body.whole()),
                response.status,
                body(response.body.whole()),
                response.headers,
            )
        })
        .collect();
    assert_eq!(shown.len(), 2, "{:?}", capture.skipped);
    assert!(
        shown[0].starts_with("GET /b Some(\"\") 204 "),
        "{}",
        shown[0]
    );
    assert!(
        shown[1].contains(" /a?x=1 Some(\"k=a+b\") 200 Some(\"ok\") []")
            || shown[1].contains(" /a?x=1 Some(\"k=a%20b\") 200 Some(\"ok\") []"),
        "{}",
        shown[1]
    );
}
