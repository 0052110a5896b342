//! Runs against real sockets: order, accounting, early ends, the final state.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rehearsal_replay::{
    capture::Body,
    judge::judge,
    plan::{Pace, plan},
    rules::{Rules, Side},
    run::{Brief, Observations, Options, Phase, Progress, SkipReason, Target, Time, side},
    verdict::Gate,
};

use crate::raw::{Asked, Reaction, raw};
use crate::server::{captured, observed, on_this_machine, options, planned, reads, rules, service};

fn answered(observations: &Observations) -> Vec<u16> {
    let status = |brief: Brief| match brief {
        Brief::Answered(status) => status,
        Brief::Failed(_) | Brief::Skipped(_) => 0,
    };
    observations.outcomes.briefs().map(status).collect()
}

#[test]
fn requests_of_one_entity_keep_their_order_and_others_do_not_wait() {
    on_this_machine(|host| async move {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let url = service(&host, usize::MAX, move |method, target, body| {
            let body = String::from_utf8_lossy(body).into_owned();
            log.lock()
                .expect("no panic")
                .push(format!("{method} {target} {body}"));
            (200, "application/json", "{}".to_owned())
        })
        .await;
        let rules = rules(
            "[state]\ncreate = \"POST /things\"\nid = \"/id\"\nlegacy = \"/things/{id}\"\ncandidate = \"/v1/things/{id}\"",
        );
        let requests = (0..200).map(|at| {
            let entity = at % 10;
            match at / 10 {
                0 => (
                    "POST",
                    "/things".to_owned(),
                    format!("{{\"id\":\"t-{entity}\"}}"),
                ),
                step => (
                    "GET",
                    format!("/things/t-{entity}?step={step}"),
                    String::new(),
                ),
            }
        });
        let plan = planned(captured(requests), &rules);
        assert_eq!(plan.entities.len(), 10);
        let run = observed(&host, Side::Candidate, &url, &plan, &rules).await;
        assert!(run.accounting().balances());
        assert_eq!(run.accounting().answered, 200);
        assert_eq!(run.latency.response().count, 200);
        let seen = seen.lock().expect("no panic");
        for entity in 0..10 {
            let of_entity: Vec<&String> = seen
                .iter()
                .filter(|line| line.contains(&format!("t-{entity}")))
                .collect();
            assert!(of_entity[0].starts_with("POST /things "));
            let steps = of_entity[1..20].iter().enumerate();
            for (at, line) in steps {
                assert_eq!(**line, format!("GET /things/t-{entity}?step={} ", at + 1));
            }
            assert_eq!(
                *of_entity[20],
                format!("GET /v1/things/t-{entity} "),
                "the final state"
            );
        }
        assert_eq!(run.state.len(), 10);
        assert!(run.state.briefs().all(|read| read == Brief::Answered(200)));
    });
}

#[test]
fn every_request_is_accounted_for_when_the_target_dies_in_the_middle() {
    on_this_machine(|host| async move {
        let url = service(&host, 100, |_, _, _| (200, "text/plain", "ok".to_owned())).await;
        let rules = Rules::default();
        let plan = planned(reads(2_000), &rules);
        let run = observed(&host, Side::Legacy, &url, &plan, &rules).await;
        let accounting = run.accounting();
        assert_eq!(run.outcomes.len(), 2_000);
        assert!(accounting.balances(), "{accounting:?}");
        assert_eq!(accounting.planned, 2_000);
        assert!(
            accounting.answered >= 100 && accounting.failed > 0,
            "{accounting:?}"
        );
        assert!(run.gone_from().is_some());
    });
}

#[test]
fn a_stopped_run_skips_what_has_no_answer() {
    on_this_machine(|host| async move {
        let url = service(&host, usize::MAX, |_, _, _| {
            (200, "text/plain", "ok".to_owned())
        })
        .await;
        let rules = Rules::default();
        let plan = plan(reads(500), &rules, Pace::Rate(1_000.0));
        let target = Target::new(Side::Legacy, url);
        let stop = host.sleep(Duration::from_millis(100));
        let mut last: Option<Progress> = None;
        let run = side(
            &host,
            &target,
            &plan,
            &rules,
            &options(),
            stop,
            |progress| {
                last = Some(progress);
            },
        )
        .await;
        let accounting = run.accounting();
        assert!(accounting.balances());
        assert!(
            accounting.answered > 0 && accounting.skipped > 0,
            "{accounting:?}"
        );
        assert_eq!(
            accounting.skipped_by_reason.keys().collect::<Vec<_>>(),
            [&"stopped"]
        );
        let last = last.expect("progress was told");
        assert_eq!((last.phase, last.total), (Phase::Replay, 500));
    });
}

#[test]
fn what_cannot_be_sent_says_why() {
    on_this_machine(|host| async move {
        let url = service(&host, usize::MAX, |_, _, _| {
            (200, "text/plain", "ok".to_owned())
        })
        .await;
        let rules = Rules::default();
        let mut capture = reads(3);
        capture.exchanges[0].request.body = Body::Missing;
        capture.exchanges[1].request.method = "BAD METHOD".to_owned();
        let plan = planned(capture, &rules);
        let run = observed(&host, Side::Legacy, &url, &plan, &rules).await;
        assert_eq!(answered(&run), [0, 0, 200]);
        assert_eq!(run.outcomes.brief(1), Brief::Skipped(SkipReason::NotHttp));
        assert_eq!(
            run.accounting().skipped_by_reason,
            [("body_missing", 1), ("not_http", 1)].into()
        );
    });
}

#[test]
fn a_run_can_be_a_task_of_a_host() {
    fn task<F: Future<Output = Observations> + Send>(future: F) -> F {
        future
    }
    on_this_machine(|host| async move {
        let rules = Rules::default();
        let plan = planned(reads(1), &rules);
        let target = Target::new(Side::Legacy, "http://127.0.0.1:1");
        let stop = std::future::pending();
        let run = task(side(
            &host,
            &target,
            &plan,
            &rules,
            &options(),
            stop,
            |_| (),
        ))
        .await;
        assert_eq!(run.accounting().failed_by_reason, [("connect", 1)].into());
    });
}

#[test]
fn a_target_that_cannot_keep_up_is_told_in_the_report() {
    on_this_machine(|host| async move {
        let slow = |_: &Asked| {
            let text = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned();
            Reaction::Trickle(text, Duration::from_millis(1))
        };
        let (url, _) = raw(&host, slow).await;
        let rules = Rules::default();
        let plan = plan(reads(30), &rules, Pace::Rate(2_000.0));
        let options = Options {
            in_flight: 2,
            time: Time::Real,
            ..options()
        };
        let target = Target::new(Side::Legacy, url);
        let never = std::future::pending();
        let run = side(&host, &target, &plan, &rules, &options, never, |_| ()).await;
        let kept = run.punctuality.expect("the pace has times");
        assert_eq!(kept.sent, 30);
        assert!(
            kept.held_back > 0 && kept.held_back <= kept.late,
            "{kept:?}"
        );
        assert!(run.latency.response().p99 > run.latency.service().p99);
        let report = judge(&plan, &run, &run, None, &rules, &Gate::default());
        assert!(
            report.latency_ms.is_empty(),
            "real time stands in `timing` alone"
        );
        let notes = report.timing.notes.join("; ");
        assert!(notes.contains("that of a closed loop"), "{notes}");
    });
}

/// A server whose answer is whole so long after its first bytes.
fn late(after: Duration) -> Reaction {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".to_owned();
    Reaction::WriteTwice(head, after, "ok".to_owned())
}

#[test]
fn what_is_under_way_when_a_run_is_stopped_is_waited_for() {
    on_this_machine(|host| async move {
        let (url, log) = raw(&host, |_| late(Duration::from_millis(300))).await;
        let rules = Rules::default();
        let plan = plan(reads(500), &rules, Pace::Rate(200.0));
        let target = Target::new(Side::Legacy, url);
        let stop = host.sleep(Duration::from_millis(150));
        let run = side(&host, &target, &plan, &rules, &options(), stop, |_| ()).await;
        let (accounting, asked) = (run.accounting(), log.lock().expect("no panic").len());
        assert!(asked > 0 && asked < 500, "{asked}");
        assert_eq!(accounting.answered, asked as u64, "{accounting:?}");
        assert_eq!(accounting.skipped, 500 - asked as u64);
    });
}

#[test]
fn a_request_that_was_waited_for_in_vain_counts_in_the_latencies() {
    on_this_machine(|host| async move {
        let (url, _) = raw(&host, |_| Reaction::Hang).await;
        let rules = Rules::default();
        let plan = plan(reads(8), &rules, Pace::Rate(1_000.0));
        let limits = Options {
            deadline: Duration::from_millis(200),
            ..options()
        };
        let target = Target::new(Side::Legacy, url);
        let never = std::future::pending();
        let run = side(&host, &target, &plan, &rules, &limits, never, |_| ()).await;
        assert_eq!(run.accounting().failed_by_reason, [("timeout", 8)].into());
        let response = run.latency.response();
        assert_eq!(response.count, 8);
        assert!(response.p50 >= 199.0, "{response:?}");
        // Nobody to connect to says nothing of how long answers take.
        let gone = Target::new(Side::Legacy, "http://127.0.0.1:1");
        let never = std::future::pending();
        let run = side(&host, &gone, &plan, &rules, &limits, never, |_| ()).await;
        assert_eq!(run.accounting().failed_by_reason, [("connect", 8)].into());
        assert_eq!(run.latency.response().count, 0);
    });
}

#[test]
fn answers_that_take_ever_longer_are_told_in_the_report() {
    on_this_machine(|host| async move {
        let asked = AtomicU64::new(0);
        let ever_longer = move |_: &Asked| {
            let before = asked.fetch_add(1, Ordering::SeqCst);
            late(Duration::from_millis(before * 20))
        };
        let (url, _) = raw(&host, ever_longer).await;
        let rules = Rules::default();
        let plan = plan(reads(30), &rules, Pace::Rate(500.0));
        let limits = Options {
            in_flight: 64,
            time: Time::Real,
            ..options()
        };
        let target = Target::new(Side::Legacy, url);
        let never = std::future::pending();
        let run = side(&host, &target, &plan, &rules, &limits, never, |_| ()).await;
        let report = judge(&plan, &run, &run, None, &rules, &Gate::default());
        let notes = report.timing.notes.join("; ");
        assert!(
            notes.contains("legacy did not keep up with the pace"),
            "{notes}"
        );
    });
}

#[test]
fn one_at_a_time_all_are_sent_in_the_captures_order() {
    on_this_machine(|host| async move {
        let (url, log) = raw(&host, |_| crate::raw::answer(200, "", "{}")).await;
        let rules = Rules::default();
        let requests = (0..60).map(|at| match at % 3 {
            0 => (
                "POST",
                "/things".to_owned(),
                format!("{{\"id\":\"t-{}\"}}", at % 2),
            ),
            1 => ("GET", format!("/things/t-{}?{at}", at % 2), String::new()),
            _ => ("GET", format!("/list?{at}"), String::new()),
        });
        let plan = planned(captured(requests), &rules);
        let limits = Options {
            in_flight: 1,
            ..options()
        };
        let target = Target::new(Side::Legacy, url);
        let never = std::future::pending();
        side(&host, &target, &plan, &rules, &limits, never, |_| ()).await;
        let log = log.lock().expect("no panic");
        let sent: Vec<&str> = log.iter().take(60).map(Asked::target).collect();
        let planned: Vec<&str> = plan.requests.iter().map(|one| &*one.target).collect();
        assert_eq!(sent, planned);
    });
}
