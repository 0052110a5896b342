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
