//! The provider's HTTP contract, endpoint by endpoint.

use http::Method;
use rehearsal_mocks::provider::{Behaviour, Operation, Payload, ProviderEvent};
use serde_json::{Value, json};

use crate::bench::{Bench, booking};

#[tokio::test]
async fn a_booking_is_made_once_and_repeated_as_it_was() {
    let bench = Bench::start(Behaviour::healthy(1)).await;
    let first = bench.book("a-1").await;
    assert_eq!(first.status, 201);
    assert_eq!(first.body["key"], "a-1");
    assert_eq!(first.body["status"], "booked");
    let reference = first.body["reference"].as_str().expect("a reference");
    let again = bench.book("a-1").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let view = bench.ask(Method::GET, "/bookings/a-1", "").await;
    assert_eq!(view.status, 200);
    assert_eq!(
        view.body,
        json!({"key": "a-1", "reference": reference, "status": "booked", "bookings": 1})
    );
    let key = || "a-1".to_owned();
    let called = |op, n, epoch| ProviderEvent::Called {
        op,
        key: key(),
        n,
        epoch,
    };
    assert_eq!(
        bench.events(),
        [
            called(Operation::Book, 0, Some(3)),
            ProviderEvent::Booked {
                key: key(),
                reference: reference.to_owned(),
                n_live: 1,
                payload: Payload::of([
                    "2026-03-01T09:00:00Z",
                    "Alice Canary",
                    "alice@canary.example"
                ])
                .short(),
            },
            called(Operation::Book, 1, Some(3)),
            ProviderEvent::Replayed {
                key: key(),
                reference: reference.to_owned()
            },
            called(Operation::Lookup, 0, None),
            ProviderEvent::LookedUp {
                key: key(),
                bookings: Some(1)
            },
        ]
    );
}

#[tokio::test]
async fn another_payload_under_a_booked_key_is_a_duplicate() {
    let bench = Bench::start(Behaviour::healthy(1)).await;
    let first = bench.book("a-1").await;
    let mut other = booking("a-1");
    other["time"] = json!("2026-03-02T09:00:00Z");
    let request = http::Request::post(format!("{}/bookings", bench.url))
        .header("idempotency-key", "a-1")
        .body(other.to_string().into())
        .expect("a request");
    let answer = crate::bench::send(&bench.client, request, crate::bench::PATIENCE)
        .await
        .expect("an answer");
    assert_eq!(answer.status, 409);
    assert_eq!(answer.body["code"], "duplicate");
    assert_eq!(answer.body["reference"], first.body["reference"]);
    assert_eq!(bench.ledger.live_bookings("a-1"), 1);
}

#[tokio::test]
async fn without_idempotency_a_repeat_books_again() {
    let bench = Bench::start(Behaviour {
        idempotent: false,
        ..Behaviour::healthy(1)
    })
    .await;
    let first = bench.book("a-1").await;
    let again = bench.book("a-1").await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_ne!(first.body["reference"], again.body["reference"]);
    let view = bench.ask(Method::GET, "/bookings/a-1", "").await;
    assert_eq!(view.body["bookings"], 2);
    assert_eq!(view.body["reference"], first.body["reference"]);
}

#[tokio::test]
async fn a_cancel_is_a_tombstone_also_when_it_comes_first() {
    let bench = Bench::start(Behaviour::healthy(1)).await;
    let early = bench
        .ask(Method::POST, "/bookings/early/cancel", "{}")
        .await;
    assert_eq!(
        (early.status, &early.body["status"]),
        (200, &json!("cancelled"))
    );
    let refused = bench.book("early").await;
    assert_eq!(
        (refused.status, refused.body["code"].as_str()),
        (410, Some("tombstoned"))
    );
    let view = bench.ask(Method::GET, "/bookings/early", "").await;
    assert_eq!(
        view.body,
        json!({"key": "early", "reference": null, "status": "cancelled", "bookings": 0})
    );
    bench.book("late").await;
    let late = bench.ask(Method::POST, "/bookings/late/cancel", "").await;
    assert_eq!(late.status, 200);
    assert_eq!(bench.book("late").await.status, 410);
    assert_eq!(bench.ledger.live_bookings("late"), 0);
    let had: Vec<bool> = bench
        .events()
        .iter()
        .filter_map(|event| match event {
            ProviderEvent::Cancelled { had_booking, .. } => Some(*had_booking),
            _ => None,
        })
        .collect();
    assert_eq!(had, [false, true]);
}

#[tokio::test]
async fn without_tombstones_a_late_booking_lands() {
    let bench = Bench::start(Behaviour {
        tombstones: false,
        ..Behaviour::healthy(1)
    })
    .await;
    let cancel = bench.ask(Method::POST, "/bookings/a/cancel", "").await;
    assert_eq!(cancel.status, 200);
    assert_eq!(bench.book("a").await.status, 201);
}

#[tokio::test]
async fn the_list_has_every_key_once_in_pages() {
    let bench = Bench::start(Behaviour::healthy(1)).await;
    let expected: Vec<String> = (0..25).map(|i| format!("k-{i:02}")).collect();
    for key in expected.iter().rev() {
        bench.book(key).await;
    }
    let (mut found, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!("/bookings?after={after}&limit=10");
        let page = bench.ask(Method::GET, &path, "").await;
        assert_eq!(page.status, 200);
        for view in page.body["bookings"].as_array().expect("views") {
            found.push(view["key"].as_str().expect("a key").to_owned());
        }
        pages += 1;
        match &page.body["next"] {
            Value::String(next) => after.clone_from(next),
            next => break assert_eq!(*next, Value::Null),
        }
    }
    assert_eq!((found, pages), (expected, 3));
    let whole = bench.ask(Method::GET, "/bookings", "").await;
    assert_eq!(whole.body["bookings"].as_array().map(Vec::len), Some(25));
}

#[tokio::test]
async fn keys_with_any_printable_character_travel() {
    let bench = Bench::start(Behaviour::healthy(1)).await;
    let key = "päron 7%";
    let encoded = "p%C3%A4ron%207%25";
    let request = http::Request::post(format!("{}/bookings", bench.url))
        .header("idempotency-key", encoded)
        .body(booking(key).to_string().into())
        .expect("a request");
    let booked = crate::bench::send(&bench.client, request, crate::bench::PATIENCE)
        .await
        .expect("an answer");
    assert_eq!(booked.status, 201);
    let view = bench
        .ask(Method::GET, &format!("/bookings/{encoded}"), "")
        .await;
    assert_eq!((view.status, &view.body["key"]), (200, &json!(key)));
}

#[tokio::test]
async fn malformed_and_unknown_requests_are_refused_without_a_draw() {
    let bench = Bench::start(Behaviour {
        hang_rate: 1.0,
        ..Behaviour::healthy(1)
    })
    .await;
    let check = async |method: Method, path: &str, body: &str, status: u16, code: &str| {
        let answer = bench.ask(method, path, body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        assert_eq!(answer.body["code"], code, "{path} {body}");
    };
    let good = booking("a").to_string();
    check(Method::POST, "/bookings", "{", 400, "malformed_body").await;
    check(
        Method::POST,
        "/bookings",
        &good,
        400,
        "missing_idempotency_key",
    )
    .await;
    check(Method::GET, "/elsewhere", "", 404, "unknown_path").await;
    let long = format!("/bookings/{}", "x".repeat(129));
    check(Method::GET, &long, "", 400, "invalid_key").await;
    let called = |event: &ProviderEvent| matches!(event, ProviderEvent::Called { .. });
    assert!(!bench.events().iter().any(called));
    let healthy = Bench::start(Behaviour::healthy(1)).await;
    let unknown = healthy.ask(Method::GET, "/bookings/nobody", "").await;
    assert_eq!(
        (unknown.status, unknown.body["code"].as_str()),
        (404, Some("unknown_key"))
    );
}
