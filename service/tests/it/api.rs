//! The HTTP API over real sockets: what is accepted, replayed and refused.

use serde_json::json;

use crate::fixture::{NAME, Service, submission, with_service};

#[test]
fn an_appointment_is_accepted_booked_and_confirmed() {
    with_service(
        |_| {},
        async |mut service| {
            let accepted = service.submit(submission("a-1")).await;
            assert_eq!(accepted.status, 202);
            assert_eq!(accepted.headers["location"], "/v1/appointments/a-1");
            let expect = json!({
                "id": "a-1", "request_id": "r-a-1", "state": "pending", "provider": "acme",
                "time": "2030-01-31T09:30:00Z", "patient_name": NAME, "attempts": 0,
                "links": {"self": "/v1/appointments/a-1"},
            });
            assert_eq!(accepted.json(), expect);
            let row = service.until_state("a-1", "confirmed").await;
            assert_eq!(
                (&row["attempts"], &row["provider_reference"]),
                (&json!(1), &json!("ref-a-1-1"))
            );
            let found = service.get("/v1/appointments?request_id=r-a-1").await;
            assert_eq!(found.json(), json!({"appointments": [row]}));
            let none = service.get("/v1/appointments?request_id=r-none").await;
            assert_eq!(none.json(), json!({"appointments": []}));
            assert_eq!(
                service.events("r-a-1"),
                [
                    "request_accepted",
                    "attempt_started",
                    "provider_answered",
                    "confirmed"
                ]
            );
            let metrics = String::from_utf8(service.get("/metrics").await.body.to_vec()).unwrap();
            for line in [
                "appt_idempotency_total{result=\"new\"} 1",
                "appt_outbox_attempts_total{destination=\"acme\",outcome=\"accepted\"} 1",
                "appt_saga_transitions_total{from=\"init\",to=\"pending\"} 1",
                "appt_saga_transitions_total{from=\"pending\",to=\"confirmed\"} 1",
                "appt_breaker_state{provider=\"acme\",state=\"closed\"} 1",
                "appt_http_request_duration_seconds_count{route=\"/v1/appointments\",method=\"POST\",code=\"202\"} 1",
            ] {
                assert!(metrics.contains(line), "{line} is not in\n{metrics}");
            }
            assert!(!metrics.contains("appt_outbox_depth{"), "{metrics}");
            service.stop().await;
            no_personal_data(&service);
        },
    );
}

fn no_personal_data(service: &Service) {
    let log = service.log();
    assert!(log.contains("Q***"), "{log}");
    for secret in ["Quirinius", "Canary", "canary@"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_repetition_gets_the_same_bytes() {
    with_service(
        |_| {},
        async |service| {
            let first = service.submit(submission("a-1")).await;
            assert!(!first.headers.contains_key("idempotency-replayed"));
            service.until_state("a-1", "confirmed").await;
            let again = service.submit(submission("a-1")).await;
            assert_eq!((again.status, &again.body), (first.status, &first.body));
            assert_eq!(again.headers["idempotency-replayed"], "true");
            assert_eq!(again.headers["location"], first.headers["location"]);
            // The key in the header, quoted, is the same key.
            let bare = submission("a-1").replace(r#""request_id":"r-a-1","#, "");
            let request = service
                .request("POST", "/v1/appointments")
                .header("content-type", "application/json")
                .header("idempotency-key", "\"r-a-1\"");
            assert_eq!(service.send(request, bare).await.body, first.body);
            assert_eq!(service.stub.live("a-1"), 1);
            assert!(service.events("r-a-1").contains(&"idempotent_hit"));
        },
    );
}

#[test]
fn used_keys_and_ids_are_refused() {
    with_service(
        |config| config.roles = rehearsal_service::config::Roles::API,
        async |service| {
            service.submit(submission("a-1")).await;
            let other = submission("a-1").replace("09:30", "10:30");
            let reused = service.submit(other).await;
            assert_eq!(
                (reused.status.as_u16(), code(&reused)),
                (422, "idempotency_key_reused".into())
            );
            assert_eq!(reused.headers["content-type"], "application/problem+json");
            assert_eq!(reused.json()["instance"], "/v1/appointments");
            let taken = submission("a-1").replace("r-a-1", "r-other");
            let taken = service.submit(taken).await;
            assert_eq!(
                (taken.status.as_u16(), code(&taken)),
                (409, "already_exists".into())
            );
            assert!(service.events("r-a-1").contains(&"idempotency_conflict"));
        },
    );
}

fn code(answer: &crate::fixture::Answer) -> String {
    answer.json()["code"].as_str().unwrap().to_owned()
}

#[test]
fn bad_bodies_are_refused_and_consume_nothing() {
    with_service(
        |_| {},
        async |service| {
            let good = submission("a-1");
            let mut bytes = good.clone().into_bytes();
            bytes[10] = 0xff;
            let bad: [(Vec<u8>, u16, &str, &str); 7] = [
                (bytes, 400, "not_utf8", "byte 10"),
                (good[..30].into(), 400, "malformed_json", "line 1"),
                (b"[]".to_vec(), 400, "malformed_json", "JSON object"),
                (
                    good.replace("\"email\"", "\"emial\"").into(),
                    400,
                    "invalid",
                    "`email`",
                ),
                (
                    good.replace("acme", "nobody").into(),
                    400,
                    "invalid",
                    "/provider",
                ),
                (
                    good.replace("2030-01-31T09:30:00Z", "soon").into(),
                    400,
                    "invalid",
                    "/time",
                ),
                (" ".repeat(70_000).into(), 413, "body_too_large", "65536"),
            ];
            for (body, status, expect, shown) in bad {
                let answer = service.submit(body).await;
                assert_eq!(
                    (answer.status.as_u16(), code(&answer).as_str()),
                    (status, expect)
                );
                let text = answer.json().to_string();
                assert!(text.contains(shown), "{text}");
                assert!(!text.contains("Canary"), "{text}");
            }
            let plain = service.request("POST", "/v1/appointments");
            assert_eq!(service.send(plain, good.clone()).await.status, 415);
            let contradiction = service
                .request("POST", "/v1/appointments")
                .header("content-type", "application/json")
                .header("idempotency-key", "r-other");
            let contradiction = service.send(contradiction, good.clone()).await;
            assert_eq!(code(&contradiction), "invalid");
            assert_eq!(service.submit(good).await.status, 202);
        },
    );
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    with_service(
        |_| {},
        async |service| {
            for (path, status, expect) in [
                ("/v1/appointments/none", 404, "not_found"),
                ("/v1/appointments/%FF", 404, "not_found"),
                ("/v1/appointments", 400, "bad_query"),
                ("/nothing", 404, "no_such_path"),
                ("/admin/dlq?limit=x", 400, "bad_query"),
            ] {
                let answer = service.get(path).await;
                assert_eq!(
                    (answer.status.as_u16(), code(&answer).as_str()),
                    (status, expect),
                    "{path}"
                );
            }
            let wrong = service
                .send(service.request("DELETE", "/v1/providers"), "")
                .await;
            assert_eq!(wrong.status, 405);
            let missing = service.post("/v1/appointments/none/cancel").await;
            assert_eq!(code(&missing), "not_found");
            assert_eq!(service.post("/admin/dlq/7/redrive").await.status, 404);
            let providers = service.get("/v1/providers").await.json();
            assert_eq!(providers, json!({"providers": [{"name": "acme"}]}));
            assert_eq!(
                service.get("/openapi.json").await.json()["openapi"],
                "3.1.0"
            );
        },
    );
}

#[test]
fn ids_may_hold_any_printable_character() {
    with_service(
        |_| {},
        async |service| {
            let accepted = service.submit(submission("Ä 7%")).await;
            assert_eq!(
                accepted.status, 400,
                "the request_id r-Ä 7% breaks its rule"
            );
            let body = submission("Ä 7%").replace("r-Ä 7%", "r-7");
            let accepted = service.submit(body).await;
            assert_eq!(
                accepted.headers["location"],
                "/v1/appointments/%C3%84%207%25"
            );
            let row = service.until_state("%C3%84%207%25", "confirmed").await;
            assert_eq!(row["id"], "Ä 7%");
        },
    );
}

#[test]
fn a_held_database_is_a_503_that_consumes_nothing() {
    with_service(
        |_| {},
        async |service| {
            let held = service.hold_database();
            let busy = service.submit(submission("a-1")).await;
            assert_eq!(
                (busy.status.as_u16(), code(&busy)),
                (503, "store_busy".into())
            );
            assert_eq!(busy.headers["retry-after"], "1");
            assert_eq!(service.get("/readyz").await.status, 200, "reads go on");
            drop(held);
            let accepted = service.submit(submission("a-1")).await;
            assert_eq!(accepted.status, 202);
            assert!(!accepted.headers.contains_key("idempotency-replayed"));
        },
    );
}

#[test]
fn status_follows_the_instance_and_its_store() {
    with_service(
        |_| {},
        async |mut service| {
            assert_eq!(service.get("/livez").await.status, 200);
            assert_eq!(
                service.get("/readyz").await.json(),
                json!({"status": "ready"})
            );
            let breakers = service.get("/admin/breakers").await.json();
            assert_eq!(breakers["breakers"][0]["state"], "closed");
            service.stop().await;
        },
    );
}
