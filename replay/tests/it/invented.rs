//! Values that a target invents: ids, tokens and cookies take the place of the recorded ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rehearsal_replay::{
    capture::{Body, Capture, Exchange, Format, Request, Response},
    rules::{Rules, Side},
    run::{Brief, Observations, SkipReason},
};

use crate::{
    raw::{Asked, Log, Reaction, answer, raw},
    server::{observed, on_this_machine, planned, rules},
};

/// A recorded exchange: what was asked, and what the recorded service answered.
struct Recorded {
    asked: (&'static str, &'static str, &'static str),
    headers: &'static [(&'static str, &'static str)],
    status: u16,
    answered: &'static [(&'static str, &'static str)],
    body: &'static str,
}

fn recorded(asked: (&'static str, &'static str, &'static str), body: &'static str) -> Recorded {
    Recorded {
        asked,
        headers: &[],
        status: 200,
        answered: &[],
        body,
    }
}

fn capture(exchanges: Vec<Recorded>) -> Capture {
    let headers = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    let exchange = |(seq, recorded): (u64, Recorded)| {
        let (method, target, body) = recorded.asked;
        let ts_ns = (seq + 1) * 1_000_000;
        Exchange {
            seq,
            ts_ns,
            conn: None,
            session: Some("one".to_owned()),
            request: Request {
                method: method.to_owned(),
                target: target.to_owned(),
                version: "1.1".to_owned(),
                headers: headers(recorded.headers),
                body: Body::Whole(Bytes::from(body)),
            },
            response: Some(Response {
                ts_ns: ts_ns + 1_000,
                latency_ns: 1_000,
                status: recorded.status,
                headers: headers(recorded.answered),
                body: Body::Whole(Bytes::from(recorded.body)),
            }),
            flags: Vec::new(),
        }
    };
    Capture {
        sha256: "cd".repeat(32),
        format: Format::Rehearsal,
        exchanges: (0..).zip(exchanges).map(exchange).collect(),
        skipped: Vec::new(),
    }
}

/// Replays against `react` and returns what was seen on both ends.
fn replayed(
    exchanges: Vec<Recorded>,
    rules: &Rules,
    side: Side,
    react: impl Fn(&Asked) -> Reaction + Send + Sync + 'static,
) -> (Observations, Log) {
    on_this_machine(|host| async move {
        let (url, log) = raw(&host, react).await;
        let plan = planned(capture(exchanges), rules);
        let run = observed(&host, side, &url, &plan, rules).await;
        assert!(run.accounting().balances());
        (run, log)
    })
}

fn targets(log: &Log) -> Vec<String> {
    let log = log.lock().expect("no panic");
    log.iter().map(|asked| asked.target().to_owned()).collect()
}

#[test]
fn an_invented_number_is_followed_through_paths_and_bodies() {
    let exchanges = vec![
        recorded(
            ("POST", "/orders", r#"{"item":7}"#),
            r#"{"id":7,"items":7}"#,
        ),
        recorded(("GET", "/orders/7?page=7", ""), r#"{"id":7}"#),
        recorded(("POST", "/payments", r#"{"order_id":7,"amount":7}"#), "{}"),
        recorded(("GET", "/customers/7", ""), "{}"),
    ];
    let (run, log) = replayed(
        exchanges,
        &Rules::default(),
        Side::Legacy,
        |asked| match asked.target() {
            "/orders" => answer(200, "", r#"{"id":4711,"items":7}"#),
            _ => answer(200, "", "{}"),
        },
    );
    assert_eq!(run.accounting().answered, 4);
    let mut asked = targets(&log);
    asked.sort();
    assert_eq!(
        asked,
        [
            "/customers/7",
            "/orders",
            "/orders/4711?page=7",
            "/payments"
        ]
    );
    let log = log.lock().expect("no panic");
    let paid = log
        .iter()
        .find(|asked| asked.target() == "/payments")
        .expect("paid");
    assert_eq!(paid.body, r#"{"order_id":4711,"amount":7}"#);
}

#[test]
fn tokens_come_from_headers_cookies_pages_and_renamed_members() {
    let exchanges = vec![
        Recorded {
            answered: &[
                ("Set-Cookie", "sid=recorded-sid-1; Path=/"),
                ("Location", "/baskets/bk-00recorded"),
                ("Content-Type", "text/html"),
            ],
            ..recorded(
                ("GET", "/login", ""),
                r#"<form><input name="csrf" value="csrfRecorded0001"></form>"#,
            )
        },
        Recorded {
            headers: &[("Cookie", "theme=dark; sid=recorded-sid-1")],
            ..recorded(
                ("POST", "/login", r#"{"csrf":"csrfRecorded0001"}"#),
                r#"{"access_token":"tokenRecorded001"}"#,
            )
        },
        Recorded {
            headers: &[
                ("Cookie", "sid=recorded-sid-1; theme=dark"),
                ("Authorization", "Bearer tokenRecorded001"),
            ],
            ..recorded(("GET", "/baskets/bk-00recorded", ""), "{}")
        },
    ];
    let renamed = rules(
        "[[rule]]\nid = \"t\"\nkind = \"rename\"\nreason = \"r\"\nendpoint = \"*\"\npath = \"/access_token\"\ncandidate_key = \"jwt\"",
    );
    let (run, log) = replayed(exchanges, &renamed, Side::Candidate, |asked| {
        match (asked.head.split(' ').next(), asked.target()) {
            (Some("GET"), "/login") => answer(
                200,
                "Set-Cookie: sid=live-sid; Path=/; HttpOnly\r\nLocation: http://x/baskets/live%2F9\r\nContent-Type: text/html\r\n",
                r#"<form><input name="csrf" value="csrfLive1"></form>"#,
            ),
            (Some("POST"), "/login") => answer(200, "", r#"{"auth":{"jwt":"live.jwt"}}"#),
            _ => answer(200, "", "{}"),
        }
    });
    assert_eq!(run.accounting().answered, 3, "{:?}", run.accounting());
    let log = log.lock().expect("no panic");
    assert_eq!(log[1].body, r#"{"csrf":"csrfLive1"}"#);
    assert_eq!(log[1].header("cookie"), Some("theme=dark; sid=live-sid"));
    assert_eq!(log[2].target(), "/baskets/live%2F9");
    assert_eq!(log[2].header("authorization"), Some("Bearer live.jwt"));
    assert_eq!(log[2].header("cookie"), Some("sid=live-sid; theme=dark"));
}

#[test]
fn a_value_that_never_came_keeps_its_requests_from_being_sent() {
    let exchanges = vec![
        recorded(("POST", "/orders", "{}"), r#"{"id":"or-1234567"}"#),
        recorded(
            ("GET", "/orders/or-1234567", ""),
            r#"{"id":"or-1234567","next":"pg-7654321"}"#,
        ),
        recorded(("GET", "/orders?cursor=pg-7654321", ""), "{}"),
        recorded(("GET", "/orders", ""), "{}"),
    ];
    let (run, log) = replayed(exchanges, &Rules::default(), Side::Legacy, |asked| {
        if asked.head.starts_with("POST") {
            answer(500, "", "no")
        } else {
            answer(200, "", "{}")
        }
    });
    let accounting = run.accounting();
    assert_eq!((accounting.answered, accounting.skipped), (2, 2));
    assert_eq!(
        accounting.skipped_by_reason,
        [("unresolved_value", 2)].into()
    );
    assert_eq!(
        run.outcomes.brief(1),
        Brief::Skipped(SkipReason::Unresolved)
    );
    assert_eq!(targets(&log).len(), 2);
}

#[test]
fn what_clients_named_themselves_is_sent_as_it_was() {
    let exchanges = vec![
        recorded(
            ("POST", "/things", r#"{"id":"th-1234567"}"#),
            r#"{"id":"th-1234567"}"#,
        ),
        recorded(("GET", "/things/th-1234567", ""), r#"{"id":"th-1234567"}"#),
    ];
    let (run, log) = replayed(exchanges, &Rules::default(), Side::Legacy, |_| {
        answer(200, "", r#"{"id":"something-else-1"}"#)
    });
    assert_eq!(run.accounting().answered, 2);
    assert_eq!(targets(&log)[1], "/things/th-1234567");
}

#[test]
fn the_final_state_of_what_the_service_named_is_read_under_its_live_id() {
    let state = rules(
        "[state]\ncreate = \"POST /things\"\nid = \"/id\"\nlegacy = \"/things/{id}\"\ncandidate = \"/v1/things/{id}\"",
    );
    let exchanges = vec![
        recorded(("POST", "/things", r#"{"name":"a"}"#), r#"{"id":1}"#),
        recorded(("POST", "/things", r#"{"name":"b"}"#), r#"{"id":2}"#),
    ];
    let created = AtomicUsize::new(40);
    let (run, log) = replayed(exchanges, &state, Side::Candidate, move |asked| {
        if asked.head.starts_with("POST") {
            let id = created.fetch_add(1, Ordering::SeqCst);
            return answer(201, "", &format!("{{\"id\":{id}}}"));
        }
        answer(200, "", &format!("{{\"read\":\"{}\"}}", asked.target()))
    });
    let mut asked = targets(&log);
    asked.sort();
    assert_eq!(
        asked,
        ["/things", "/things", "/v1/things/40", "/v1/things/41"]
    );
    assert_eq!(
        run.state.len(),
        2,
        "one for each recorded entity, so that both sides can be paired"
    );
}

/// What was sent after an answer that invents: the recorded exchanges, and the live answer to the first of them.
fn sent_after(
    exchanges: Vec<Recorded>,
    head: &'static str,
    body: &'static str,
) -> (Observations, Log) {
    let first = exchanges[0].asked.1;
    replayed(exchanges, &Rules::default(), Side::Legacy, move |asked| {
        if asked.target() == first {
            answer(200, head, body)
        } else {
            answer(200, "", "{}")
        }
    })
}

#[test]
fn values_are_bound_wherever_requests_carry_them() {
    let check = |shown: &'static str,
                 live: &'static str,
                 asked: (&'static str, &'static str, &'static str),
                 expect: (&str, &str)| {
        let exchanges = vec![
            recorded(("POST", "/orders", "{}"), shown),
            recorded(asked, "{}"),
        ];
        let (_, log) = sent_after(exchanges, "", live);
        let log = log.lock().expect("no panic");
        assert_eq!(
            (log[1].target(), log[1].body.as_str()),
            expect,
            "{shown} {asked:?}"
        );
    };
    let ord = (r#"{"id":"ord-1"}"#, r#"{"id":"ord-9"}"#);
    check(
        ord.0,
        ord.1,
        ("GET", "/orders/ord-1/lines", ""),
        ("/orders/ord-9/lines", ""),
    );
    check(
        r#"{"orderNumber":"A-100"}"#,
        r#"{"orderNumber":"B-7"}"#,
        ("GET", "/orders/A-100", ""),
        ("/orders/B-7", ""),
    );
    let seven = (r#"{"id":7}"#, r#"{"id":41}"#);
    check(
        seven.0,
        seven.1,
        ("POST", "/pay", r#"{"items":[{"order":{"id":7}},{"id":7}]}"#),
        ("/pay", r#"{"items":[{"order":{"id":41}},{"id":7}]}"#),
    );
    check(
        r#"{"item_ids":[501,502]}"#,
        r#"{"item_ids":[61,62]}"#,
        ("POST", "/pick", r#"{"item_ids":[502,501]}"#),
        ("/pick", r#"{"item_ids":[62,61]}"#),
    );
    let opaque = (r#"{"id":"9f3a11bb22"}"#, r#"{"id":"77cc88dd99"}"#);
    check(
        opaque.0,
        opaque.1,
        (
            "POST",
            "/x",
            r#"{"order":"/orders/9f3a11bb22","q":"{ order(id: \"9f3a11bb22\") }"}"#,
        ),
        (
            "/x",
            r#"{"order":"/orders/77cc88dd99","q":"{ order(id: \"77cc88dd99\") }"}"#,
        ),
    );
    check(
        opaque.0,
        opaque.1,
        (
            "GET",
            "/go?next=%2Forders%2F9f3a11bb22&ids=9f3a11bb22,aaaa1111",
            "",
        ),
        (
            "/go?next=%2Forders%2F77cc88dd99&ids=77cc88dd99,aaaa1111",
            "",
        ),
    );
    check(
        opaque.0,
        opaque.1,
        ("GET", "/v/9f3a11bb22:cancel", ""),
        ("/v/77cc88dd99:cancel", ""),
    );
    check(
        opaque.0,
        opaque.1,
        ("GET", "/v3('9f3a11bb22')/x.json", ""),
        ("/v3('77cc88dd99')/x.json", ""),
    );
}

#[test]
fn credentials_and_conditions_are_bound_whatever_they_look_like() {
    let asked = Recorded {
        headers: &[
            ("Authorization", "Bearer abcdefghijkl"),
            ("If-Match", "\"v0\", \"v1\""),
        ],
        ..recorded(("PUT", "/things", "{}"), "{}")
    };
    let login = Recorded {
        answered: &[("ETag", "\"v1\"")],
        ..recorded(("POST", "/login", "{}"), r#"{"token":"abcdefghijkl"}"#)
    };
    let (_, log) = sent_after(
        vec![login, asked],
        "ETag: \"w9\"\r\n",
        r#"{"token":"mnopqrstuvwx\""}"#,
    );
    let log = log.lock().expect("no panic");
    assert_eq!(log[1].header("if-match"), Some("\"v0\", \"w9\""));
    assert_eq!(
        log[1].header("authorization"),
        Some("Bearer mnopqrstuvwx\"")
    );
}

#[test]
fn what_an_answer_only_showed_stays_what_it_is() {
    let exchanges = || {
        vec![
            recorded(
                ("GET", "/products", ""),
                r#"[{"id":"prod-0001"},{"id":"prod-0002"}]"#,
            ),
            recorded(("GET", "/products/prod-0001", ""), "{}"),
            recorded(("POST", "/cart", r#"{"product_id":"prod-0002"}"#), "{}"),
        ]
    };
    for live in [
        r#"[{"id":"prod-0002"},{"id":"prod-0001"}]"#,
        r#"{"data":[{"id":"prod-0000"},{"id":"prod-0001"},{"id":"prod-0002"}]}"#,
        r#"{"error":"no list today"}"#,
    ] {
        let (run, log) = sent_after(exchanges(), "", live);
        assert_eq!(run.accounting().answered, 3, "{live}");
        assert_eq!(targets(&log)[1], "/products/prod-0001", "{live}");
        let log = log.lock().expect("no panic");
        assert_eq!(log[2].body, r#"{"product_id":"prod-0002"}"#, "{live}");
    }
    // A target whose products have other names is asked for those.
    let (_, log) = sent_after(
        exchanges(),
        "",
        r#"[{"id":"x-77777777"},{"id":"x-88888888"}]"#,
    );
    assert_eq!(targets(&log)[1], "/products/x-77777777");
}

#[test]
fn cookies_are_the_jars_alone() {
    let exchanges = vec![
        Recorded {
            answered: &[
                ("Set-Cookie", "consent=1; Path=/"),
                ("Set-Cookie", "sid=recorded-sid-1; Path=/"),
            ],
            ..recorded(("GET", "/", ""), "{}")
        },
        Recorded {
            headers: &[
                ("Cookie", "page=1; consent=1"),
                ("Cookie", "sid=recorded-sid-1"),
                ("Cookie", "cart=77"),
            ],
            ..recorded(("GET", "/a", ""), "{}")
        },
    ];
    let (run, log) = sent_after(exchanges, "Set-Cookie: consent=0; Path=/\r\n", "{}");
    assert_eq!(
        run.accounting().answered,
        2,
        "a cookie that never came keeps nothing from being sent"
    );
    let log = log.lock().expect("no panic");
    assert_eq!(log[1].header("cookie"), Some("page=1; consent=0; cart=77"));
}

#[test]
fn cookies_are_for_the_path_that_the_target_sees() {
    let moved = rules(
        "[[rule]]\nid = \"v\"\nkind = \"rewrite\"\nreason = \"r\"\nendpoint = \"GET /a\"\nside = \"candidate\"\nto = \"/v1/a\"",
    );
    let ask = || Recorded {
        headers: &[("Cookie", "sid=rec")],
        ..recorded(("GET", "/a", ""), "{}")
    };
    let (_, log) = replayed(vec![ask(), ask()], &moved, Side::Candidate, |_| {
        answer(200, "Set-Cookie: sid=live1; Path=/v1\r\n", "{}")
    });
    let log = log.lock().expect("no panic");
    assert_eq!(log[1].header("cookie"), Some("sid=live1"));
}

#[test]
fn a_write_without_a_body_says_so_and_a_read_says_nothing() {
    let exchanges = vec![
        recorded(("POST", "/orders/7/cancel", ""), "{}"),
        recorded(("GET", "/orders/7", ""), "{}"),
    ];
    let (_, log) = sent_after(exchanges, "", "{}");
    let log = log.lock().expect("no panic");
    assert_eq!(log[0].header("content-length"), Some("0"));
    assert_eq!(log[1].header("content-length"), None);
}
