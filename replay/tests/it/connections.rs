//! Connections: sessions and theirs, targets that break in every way.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rehearsal_host::Host;
use rehearsal_replay::{
    capture::Capture,
    plan::{Pace, plan},
    rules::{Rules, Side},
    run::{Observations, Options, Outcome, Target, side},
};

use crate::{
    raw::{Asked, Reaction, answer, raw},
    server::{captured, on_this_machine, options, planned, reads},
};

/// Requests of `sessions` sessions in turn.
pub(crate) fn in_sessions(count: usize, sessions: usize) -> Capture {
    let mut capture = reads(count);
    for (at, exchange) in capture.exchanges.iter_mut().enumerate() {
        exchange.session = Some(format!("s{}", at % sessions));
        exchange.request.target = format!("/of/s{}/n{at}", at % sessions);
    }
    capture
}

pub(crate) async fn run(
    host: &Host,
    target: &Target,
    capture: Capture,
    options: &Options,
) -> Observations {
    let (rules, never) = (Rules::default(), std::future::pending());
    let plan = planned(capture, &rules);
    let run = side(host, target, &plan, &rules, options, never, |_| ()).await;
    assert!(run.accounting().balances(), "{:?}", run.accounting());
    assert_eq!(run.outcomes.len(), plan.requests.len());
    run
}

#[test]
fn a_session_stays_on_its_connection() {
    // One at a time, each connection is idle when the next session asks.
    for in_flight in [options().in_flight, 1] {
        stays_on_its_connection(Options {
            in_flight,
            ..options()
        });
    }
}

fn stays_on_its_connection(options: Options) {
    on_this_machine(|host| async move {
        let (url, log) = raw(&host, |_| answer(200, "", "ok")).await;
        let target = Target::new(Side::Legacy, url);
        let run = run(&host, &target, in_sessions(200, 8), &options).await;
        assert_eq!(run.accounting().answered, 200);
        let mut used: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for asked in log.lock().expect("no panic").iter() {
            let session = asked.target().split('/').nth(2).expect("a session");
            used.entry(session.to_owned())
                .or_default()
                .push(asked.connection);
        }
        assert_eq!(used.len(), 8);
        let mut all: Vec<usize> = Vec::new();
        for (session, mut connections) in used {
            connections.dedup();
            assert_eq!(connections.len(), 1, "{session}: {connections:?}");
            all.extend(connections);
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 8, "no connection is shared between sessions");
    });
}

#[test]
fn a_connection_that_the_server_closed_between_requests_costs_nothing() {
    on_this_machine(|host| async move {
        let close = |_: &_| {
            Reaction::WriteAndClose("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned())
        };
        let (url, log) = raw(&host, close).await;
        let rules = Rules::default();
        let plan = plan(in_sessions(50, 2), &rules, Pace::Rate(1_000.0));
        let target = Target::new(Side::Legacy, url);
        let never = std::future::pending();
        let run = side(&host, &target, &plan, &rules, &options(), never, |_| ()).await;
        assert_eq!(run.accounting().answered, 50, "{:?}", run.accounting());
        assert_eq!(
            log.lock().expect("no panic").len(),
            50,
            "each was sent once"
        );
    });
}

#[test]
fn a_connection_is_reused_until_its_idle_time_is_over_or_the_server_closes_it() {
    let check = |idle: u64, closed: &'static str, expected: [usize; 5]| {
        on_this_machine(|host| async move {
            let react = move |asked: &Asked| {
                if asked.target() == closed {
                    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    Reaction::WriteAndClose(ok.to_owned())
                } else {
                    answer(200, "", "ok")
                }
            };
            let (url, log) = raw(&host, react).await;
            let rules = Rules::default();
            let plan = plan(in_sessions(5, 1), &rules, Pace::Rate(25.0));
            let mut options = options();
            options.client.idle = Duration::from_millis(idle);
            let target = Target::new(Side::Legacy, url);
            let never = std::future::pending();
            let run = side(&host, &target, &plan, &rules, &options, never, |_| ()).await;
            assert_eq!(run.accounting().answered, 5, "{:?}", run.accounting());
            let asked = log.lock().expect("no panic");
            let used: Vec<usize> = asked.iter().map(|asked| asked.connection).collect();
            assert_eq!(used, expected, "{idle} ms, closed after {closed:?}");
        });
    };
    check(4_000, "", [0, 0, 0, 0, 0]);
    check(4_000, "/of/s0/n1", [0, 0, 1, 1, 1]);
    // 40 ms pass between two requests.
    check(5, "", [0, 1, 2, 3, 4]);
}

#[test]
fn every_way_to_break_is_a_failure_with_its_reason() {
    let check = |react: fn() -> Reaction, reason: &'static str| {
        on_this_machine(|host| async move {
            let break_one = move |asked: &Asked| match asked.target() {
                "/things/3" => react(),
                _ => answer(200, "", "ok"),
            };
            let (url, _) = raw(&host, break_one).await;
            let mut options = Options {
                deadline: Duration::from_millis(200),
                ..options()
            };
            options.client.body_bytes = 1_000;
            let target = Target::new(Side::Candidate, url);
            let run = run(&host, &target, reads(20), &options).await;
            let accounting = run.accounting();
            assert_eq!(
                (accounting.answered, accounting.failed),
                (19, 1),
                "{reason}"
            );
            assert_eq!(accounting.failed_by_reason, [(reason, 1)].into());
            let failed = run.outcomes.read(3);
            let Outcome::Failed { message, .. } = &*failed else {
                panic!("{failed:?}")
            };
            assert!(message.contains("127.0.0.1:"), "{message}");
        });
    };
    check(|| Reaction::WriteAndClose(String::new()), "broken");
    check(
        || Reaction::WriteAndClose("HTTP/1.1 200 OK\r\nconte".into()),
        "broken",
    );
    check(
        || Reaction::WriteAndClose("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".into()),
        "broken",
    );
    check(
        || Reaction::Write("no HTTP at all\r\n\r\n".into()),
        "broken",
    );
    check(
        || Reaction::Write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".into()),
        "broken",
    );
    check(|| Reaction::Hang, "timeout");
    check(
        || {
            Reaction::Trickle(
                "HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n".repeat(4),
                Duration::from_millis(5),
            )
        },
        "timeout",
    );
    check(|| answer(200, "", &"x".repeat(1_001)), "too_large");
}

#[test]
fn an_answer_may_end_with_its_connection_or_come_in_chunks() {
    on_this_machine(|host| async move {
        let react = |asked: &Asked| match asked.target() {
            "/things/0" => Reaction::WriteAndClose("HTTP/1.1 200 OK\r\n\r\nto the end".into()),
            _ => Reaction::Write(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into(),
            ),
        };
        let (url, _) = raw(&host, react).await;
        let run = run(&host, &Target::new(Side::Legacy, url), reads(2), &options()).await;
        let bodies: Vec<Bytes> = run
            .outcomes
            .iter()
            .filter_map(|outcome| match &*outcome {
                Outcome::Answered(answer) => Some(answer.body.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(bodies, [&b"to the end"[..], b"abc"]);
    });
}

#[test]
fn a_rule_sets_the_host_and_other_headers() {
    on_this_machine(|host| async move {
        let (url, log) = raw(&host, |_| answer(200, "", "ok")).await;
        let rules = crate::server::rules(
            "[[rule]]\nid = \"h\"\nkind = \"rewrite\"\nreason = \"virtual hosts\"\nendpoint = \"GET /things/{id}\"\nside = \"candidate\"\nset_headers = { Host = \"shop.example\", x-key = \"k\" }",
        );
        let requests = captured([
            ("GET", "/things/1".to_owned(), String::new()),
            ("GET", "/other/1".to_owned(), String::new()),
        ]);
        let plan = planned(requests, &rules);
        let target = Target::new(Side::Candidate, url.clone());
        let never = std::future::pending();
        let run = side(&host, &target, &plan, &rules, &options(), never, |_| ()).await;
        assert_eq!(run.accounting().answered, 2);
        let log = log.lock().expect("no panic");
        let of = |target: &str| {
            log.iter()
                .find(|asked| asked.target() == target)
                .expect("asked")
        };
        assert_eq!(of("/things/1").header("host"), Some("shop.example"));
        assert_eq!(of("/things/1").header("x-key"), Some("k"));
        let own = url.trim_start_matches("http://");
        assert_eq!(
            of("/other/1").header("host"),
            Some(own),
            "not the captured one"
        );
    });
}
