//! The outbox worker against a provider that misbehaves.

use std::time::Duration;

use rehearsal_core::{identity::WorkerId, outbox::EntryState};
use rehearsal_service::store::{Reply, Request};

use crate::{
    conformance::{accept, new},
    fixture::{submission, with_service},
    stub::Act,
};

#[test]
fn errors_are_resolved_and_retried_until_it_is_booked() {
    with_service(
        |_| {},
        async |service| {
            service.stub.script(&[Act::Status(500), Act::Status(503)]);
            service.submit(submission("a-1")).await;
            let row = service.until_state("a-1", "confirmed").await;
            assert_eq!(row["attempts"], 3);
            assert_eq!(
                service.stub.calls(),
                [
                    "book a-1",
                    "look up a-1",
                    "book a-1",
                    "look up a-1",
                    "book a-1"
                ]
            );
            let log = service.log();
            assert!(log.contains("answered 500: scripted: sorry, ***"), "{log}");
            assert!(!log.contains("Canary"), "{log}");
            let metrics = service.get("/metrics").await;
            let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
            assert!(
                metrics.contains("appt_retries_total{destination=\"acme\"} 2"),
                "{metrics}"
            );
        },
    );
}

#[test]
fn a_lost_answer_is_looked_up_and_never_booked_twice() {
    for act in [Act::EffectThenHang, Act::EffectThenGarbage] {
        with_service(
            |_| {},
            async |service| {
                service.stub.script(&[act]);
                service.submit(submission("a-1")).await;
                let row = service.until_state("a-1", "confirmed").await;
                assert_eq!(
                    (row["attempts"].as_u64(), service.stub.live("a-1")),
                    (Some(2), 1)
                );
                assert_eq!(service.stub.calls(), ["book a-1", "look up a-1"]);
                let events = service.events("r-a-1");
                assert!(events.contains(&"resolved"), "{events:?}");
                let timed_out = events.contains(&"provider_timeout");
                assert_eq!(timed_out, matches!(act, Act::EffectThenHang), "{events:?}");
            },
        );
    }
}

#[test]
fn a_definitive_refusal_is_not_retried() {
    with_service(
        |_| {},
        async |service| {
            service.stub.script(&[Act::Status(409)]);
            service.submit(submission("a-1")).await;
            let row = service.until_state("a-1", "failed").await;
            assert_eq!(row["failure"]["rejected"]["code"], "scripted");
            assert_eq!(service.stub.calls(), ["book a-1"]);
            assert_eq!(service.dump().await.outbox.len(), 1);
        },
    );
}

#[test]
fn throttling_pauses_the_provider_for_as_long_as_it_asks() {
    with_service(
        |_| {},
        async |service| {
            service.stub.script(&[Act::Throttle(1)]);
            service.submit(submission("a-1")).await;
            service
                .until("the retry is scheduled", async || {
                    service.events("r-a-1").contains(&"retry_scheduled")
                })
                .await;
            // Another appointment of the same provider waits as well.
            let started = service.host.elapsed();
            service.submit(submission("a-2")).await;
            service.until_state("a-2", "confirmed").await;
            let waited = service.host.elapsed().saturating_sub(started);
            assert!(waited > Duration::from_millis(700), "{waited:?}");
            service.until_state("a-1", "confirmed").await;
        },
    );
}

#[test]
fn a_look_up_that_is_throttled_waits_for_as_long_as_it_asks() {
    with_service(
        |_| {},
        async |service| {
            service.stub.script(&[Act::EffectThenGarbage]);
            service.stub.script_look_ups(&[Act::Throttle(1)]);
            service.submit(submission("a-1")).await;
            service
                .until("the first look-up", async || {
                    service.stub.calls().len() == 2
                })
                .await;
            let started = service.host.elapsed();
            service.until_state("a-1", "confirmed").await;
            let waited = service.host.elapsed().saturating_sub(started);
            assert!(waited > Duration::from_millis(700), "{waited:?}");
            assert_eq!(
                service.stub.calls(),
                ["book a-1", "look up a-1", "look up a-1"]
            );
        },
    );
}

#[test]
fn a_bare_conflict_after_a_send_is_no_refusal() {
    with_service(
        |_| {},
        async |service| {
            service.stub.script(&[Act::Status(500), Act::Bare(409)]);
            service.submit(submission("a-1")).await;
            let row = service.until_state("a-1", "confirmed").await;
            assert_eq!(row["attempts"], 3);
            assert_eq!(service.stub.live("a-1"), 1);
        },
    );
}

#[test]
fn a_provider_that_never_works_ends_in_compensation_and_dead_letters() {
    with_service(
        |_| {},
        async |service| {
            service.stub.always(Some(Act::Status(500)));
            service.submit(submission("a-1")).await;
            service
                .until("both entries are dead", async || {
                    let dump = service.dump().await;
                    dump.outbox
                        .iter()
                        .filter(|it| it.state == EntryState::Dead)
                        .count()
                        == 2
                })
                .await;
            service.until_state("a-1", "failed").await;
            let events = service.events("r-a-1");
            for expect in ["failed", "compensation_queued", "dead_lettered"] {
                assert!(events.contains(&expect), "{events:?}");
            }
            // The provider is down for the auditor as well; our own rows tell enough.
            service
                .until("the auditor reports it", async || {
                    service.events("r-a-1").contains(&"audit_finding")
                })
                .await;
            let findings = service.get("/admin/findings").await.json();
            assert_eq!(findings["findings"][0]["kind"], "failed_uncompensated");
            let letters = service.get("/admin/dlq").await.json();
            let id = letters["dead_letters"][1]["entry"]["id"].as_i64().unwrap();
            // Healed, an operator redrives the cancel, and the appointment ends.
            service.stub.always(None);
            let redriven = service.post(&format!("/admin/dlq/{id}/redrive")).await;
            assert_eq!(redriven.json()["result"], "ready");
            service.until_state("a-1", "cancelled").await;
            assert_eq!(service.stub.live("a-1"), 0);
            service
                .until("the finding is resolved", async || {
                    let findings = service.dump().await.findings;
                    findings.iter().all(|it| it.resolved_at.is_some())
                })
                .await;
        },
    );
}

#[test]
fn the_breaker_opens_probes_and_closes() {
    with_service(
        |config| {
            config.breaker.min_calls = 4;
            config.breaker.open_for = Duration::from_millis(60);
            config.policy.max_attempts = 50;
            config.bulkhead = 2;
        },
        async |service| {
            service.stub.always(Some(Act::Status(500)));
            for n in 0..8 {
                service.submit(submission(&format!("a-{n}"))).await;
            }
            let opened = || service.log().matches("\"breaker_opened\"").count();
            service
                .until("the breaker opens", async || opened() >= 2)
                .await;
            service.stub.always(None);
            for n in 0..8 {
                service.until_state(&format!("a-{n}"), "confirmed").await;
                assert_eq!(service.stub.live(&format!("a-{n}")), 1);
            }
            let log = service.log();
            assert!(
                log.contains("breaker_half_open") && log.contains("breaker_closed"),
                "{log}"
            );
            let metrics = service.get("/metrics").await;
            let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
            let line =
                "appt_breaker_transitions_total{provider=\"acme\",from=\"closed\",to=\"open\"}";
            assert!(metrics.contains(line), "{metrics}");
        },
    );
}

#[test]
fn a_breaker_that_nothing_waits_for_is_probed_until_it_closes() {
    with_service(
        |config| {
            config.breaker.min_calls = 1;
            config.breaker.open_for = Duration::from_millis(60);
            config.policy.max_attempts = 1;
        },
        async |service| {
            service.stub.script(&[Act::Status(500)]);
            service.submit(submission("a-1")).await;
            // Its compensation is the only work that is left, and one probe of the two that it takes.
            service.until_state("a-1", "cancelled").await;
            service
                .until("the breaker closes", async || {
                    service.log().contains("breaker_closed")
                })
                .await;
            let log = service.log();
            assert!(log.contains("\"probe_started\""), "{log}");
        },
    );
}

#[test]
fn an_unreachable_provider_costs_no_attempts() {
    with_service(
        |config| {
            for url in config.providers.values_mut() {
                // Nobody listens there.
                "http://127.0.0.1:1".clone_into(url);
            }
            config.breaker.consecutive_connect_failures = 3;
        },
        async |service| {
            service.submit(submission("a-1")).await;
            service
                .until("the breaker opens", async || {
                    service.log().contains("breaker_opened")
                })
                .await;
            let dump = service.dump().await;
            assert!(dump.outbox[0].attempt <= 1, "{dump:?}");
            assert!(!dump.outbox[0].uncertain);
        },
    );
}

#[test]
fn a_client_may_cancel_before_and_after_the_booking() {
    with_service(
        |_| {},
        async |service| {
            service.submit(submission("a-1")).await;
            service.until_state("a-1", "confirmed").await;
            let cancelled = service.post("/v1/appointments/a-1/cancel").await;
            assert_eq!(cancelled.status, 202);
            assert_eq!(cancelled.json()["cancel_requested"], true);
            service.until_state("a-1", "cancelled").await;
            assert_eq!(service.stub.live("a-1"), 0);
            assert_eq!(
                service.post("/v1/appointments/a-1/cancel").await.status,
                202
            );
            // Cancelled while its booking is under way and unanswered.
            service.stub.script(&[Act::EffectThenHang]);
            service.submit(submission("a-2")).await;
            service.post("/v1/appointments/a-2/cancel").await;
            service.until_state("a-2", "cancelled").await;
            assert_eq!(service.stub.live("a-2"), 0);
        },
    );
}

#[test]
fn a_dead_workers_lease_is_rescued_by_looking_up_first() {
    with_service(
        |config| config.poll_every = Duration::from_millis(500),
        async |service| {
            // Another worker claims it at once, books it, and dies before it settles.
            let now = service.host.now();
            let accepted = service.store.call(accept(&new("a-1", "r-a-1"), now)).await;
            assert!(accepted.is_ok());
            let acme = service.config.providers.keys().next().unwrap().clone();
            let claim = Request::Claim {
                worker: WorkerId(7),
                now,
                lease: service.config.policy.lease,
                limits: vec![(acme, 1)],
            };
            let Ok(Reply::Claims(claims)) = service.store.call(claim).await else {
                panic!("no claim");
            };
            assert_eq!(claims.claimed.len(), 1);
            service.stub.plant("a-1", "ref-of-the-dead");
            let row = service.until_state("a-1", "confirmed").await;
            assert_eq!(row["provider_reference"], "ref-of-the-dead");
            assert_eq!(service.stub.live("a-1"), 1);
            assert!(service.events("r-a-1").contains(&"lease_expired"));
        },
    );
}

#[test]
fn a_settle_waits_for_a_held_database() {
    with_service(
        |_| {},
        async |service| {
            service.stub.script(&[Act::EffectThenHang]);
            service.submit(submission("a-1")).await;
            service
                .until("the attempt is under way", async || {
                    !service.stub.calls().is_empty()
                })
                .await;
            let held = service.hold_database();
            service
                .until("the settle has failed", async || {
                    service.log().contains("\"settle\"")
                })
                .await;
            drop(held);
            service.until_state("a-1", "confirmed").await;
            assert_eq!(service.stub.live("a-1"), 1);
            assert!(
                !service.log().contains("lease_expired"),
                "{}",
                service.log()
            );
        },
    );
}

#[test]
fn a_panic_costs_one_attempt_and_no_slot() {
    with_service(
        |config| config.bulkhead = 1,
        async |service| {
            service.poison("r-a-1");
            service.submit(submission("a-1")).await;
            service.submit(submission("a-2")).await;
            let row = service.until_state("a-1", "confirmed").await;
            assert_eq!(row["attempts"], 2);
            service.until_state("a-2", "confirmed").await;
            assert!(service.events("r-a-1").contains(&"worker_error"));
            // What panicked may have been sent: it was looked up first.
            assert_eq!(service.stub.live("a-1"), 1);
            assert!(service.stub.calls().contains(&"look up a-1".to_owned()));
            let breakers = service.get("/admin/breakers").await.json();
            assert_eq!(breakers["breakers"][0]["in_use"], 0);
        },
    );
}

#[test]
fn shutdown_finishes_what_has_started() {
    with_service(
        |config| config.poll_every = Duration::from_mins(1),
        async |mut service| {
            service.stub.script(&[Act::EffectThenHang]);
            service.submit(submission("a-1")).await;
            service
                .until("the attempt is under way", async || {
                    !service.stub.calls().is_empty()
                })
                .await;
            service.stop().await;
            let entry = service.dump().await.outbox.remove(0);
            // Settled with what is known: it timed out, and whoever comes next looks first.
            assert_eq!(entry.state, EntryState::Ready);
            assert!(entry.uncertain);
        },
    );
}
