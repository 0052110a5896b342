//! The legacy service: its API, and that each of its defects is there.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Method;
use rehearsal_mocks::{
    legacy::{self, LegacyConfig, LegacyState, Rows},
    provider::{Behaviour, ErrorRule, Latency, Operation, ProviderEvent},
};
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, IMPATIENCE, PATIENCE, ask};

/// A legacy service in front of a provider.
struct Service {
    bench: Bench,
    url: String,
    rows: Rows,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn start(behaviour: Behaviour) -> Self {
        Self::before(Bench::start(behaviour).await, PATIENCE).await
    }

    async fn before(bench: Bench, timeout: Duration) -> Self {
        let listener = bench.host.bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.address());
        let closed = bench.host.bind("127.0.0.1:0").await.expect("a free port");
        let nowhere = format!("http://{}", closed.address());
        drop(closed);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = lines.clone();
        let journal =
            Arc::new(move |line: &str| sink.lock().expect("a sink").push(line.to_owned()));
        let providers = BTreeMap::from([
            ("acme".to_owned(), bench.url.clone()),
            ("nowhere".to_owned(), nowhere),
        ]);
        let config = LegacyConfig {
            timeout,
            ..LegacyConfig::new("", providers)
        };
        let rows = Rows::new();
        let (host, table) = (bench.host.clone(), rows.clone());
        bench.host.spawn(async move {
            legacy::serve(host, listener, config, table, journal, pending()).await;
        });
        Self {
            bench,
            url,
            rows,
            lines,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        let url = format!("{}{path}", self.url);
        ask(&self.bench.client, method, &url, body).await
    }

    async fn post(&self, id: &str, request_id: &str) -> Answer {
        let body = submission(id, request_id).to_string();
        self.ask(Method::POST, "/appointments", &body).await
    }

    /// Provider calls of `op`.
    fn calls(&self, op: Operation) -> usize {
        let events = self.bench.events();
        let called = |event: &&ProviderEvent| matches!(event, ProviderEvent::Called { op: of, .. } if *of == op);
        events.iter().filter(called).count()
    }
}

fn submission(id: &str, request_id: &str) -> Value {
    json!({
        "id": id, "request_id": request_id, "provider": "acme", "time": "2026-03-01T09:00:00Z",
        "patient_name": "Alice Canary", "email": "alice@canary.example",
    })
}

#[tokio::test]
async fn an_appointment_is_booked_read_and_cancelled() {
    let service = Service::start(Behaviour::healthy(1)).await;
    let made = service.post("a-1", "r-1").await;
    assert_eq!(made.status, 200);
    let reference = service
        .bench
        .ledger
        .view("a-1-1")
        .expect("booked")
        .reference;
    assert_eq!(
        made.body,
        json!({
            "id": "a-1", "request_id": "r-1", "state": "confirmed", "provider": "acme",
            "time": "2026-03-01T09:00:00Z", "patient_name": "Alice Canary",
            "reference": reference, "attempts": 1, "bookings": 1,
        })
    );
    let read = service.ask(Method::GET, "/appointments/a-1", "").await;
    assert_eq!((read.status, &read.body), (200, &made.body));
    let cancelled = service
        .ask(Method::POST, "/appointments/a-1/cancel", "")
        .await;
    assert_eq!(cancelled.status, 200);
    assert_eq!(cancelled.body["state"], "cancelled");
    assert_eq!(service.bench.ledger.live_bookings("a-1-1"), 0);
    assert_eq!(service.rows.all().len(), 1);
}

#[tokio::test]
async fn a_duplicate_books_twice_and_its_cancel_leaves_an_orphan() {
    let service = Service::start(Behaviour::healthy(1)).await;
    let first = service.post("a-1", "r-1").await;
    let again = service.post("a-1", "r-1").await;
    assert_eq!((first.status, again.status), (200, 200));
    assert_ne!(first.body["reference"], again.body["reference"]);
    assert_eq!(again.body["bookings"], 2);
    let live = |key: &str| service.bench.ledger.live_bookings(key);
    assert_eq!((live("a-1-1"), live("a-1-2")), (1, 1));
    service
        .ask(Method::POST, "/appointments/a-1/cancel", "")
        .await;
    assert_eq!((live("a-1-1"), live("a-1-2")), (1, 0));
}

#[tokio::test]
async fn failures_are_tried_three_times_at_once_and_then_reported() {
    let failing = Behaviour {
        errors: vec![ErrorRule::new(500, 1.0)],
        ..Behaviour::healthy(1)
    };
    let service = Service::start(failing).await;
    for (posts, id) in (1..).zip(["a-1", "a-2", "a-3"]) {
        let answer = service.post(id, "r-1").await;
        assert_eq!(answer.status, 502);
        let error = answer.body["error"].as_str().expect("an error");
        assert!(error.contains("500"), "{error}");
        // No breaker: the outage is hammered to the end.
        assert_eq!(service.calls(Operation::Book), posts * 3);
    }
    let row = service.rows.row("a-1").expect("a row");
    assert_eq!(
        (row.state, row.attempts, row.bookings),
        (LegacyState::Failed, 3, 0)
    );
}

#[tokio::test]
async fn a_refused_connection_is_a_failure_too() {
    let service = Service::start(Behaviour::healthy(1)).await;
    let mut body = submission("a-1", "r-1");
    body["provider"] = json!("nowhere");
    let answer = service
        .ask(Method::POST, "/appointments", &body.to_string())
        .await;
    assert_eq!(answer.status, 502);
    assert_eq!(service.rows.row("a-1").map(|row| row.attempts), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_reported_as_failed_though_the_provider_booked() {
    let slow = Behaviour {
        latency: Latency::Fixed(IMPATIENCE * 3),
        ..Behaviour::healthy(1)
    };
    let service = Service::before(Bench::start_paused(slow).await, IMPATIENCE).await;
    let before = service.bench.host.elapsed();
    let answer = service.post("a-1", "r-1").await;
    assert_eq!(answer.status, 504);
    let waited = service.bench.host.elapsed().saturating_sub(before);
    assert!(waited >= IMPATIENCE, "the client waits for the provider");
    let row = service.rows.row("a-1").expect("a row");
    let expected = (LegacyState::Failed, 1, 0);
    assert_eq!((row.state, row.attempts, row.bookings), expected);
    service.bench.host.sleep(IMPATIENCE * 2).await;
    assert_eq!(service.bench.ledger.live_bookings("a-1-1"), 1);
}

#[tokio::test]
async fn a_failed_cancel_changes_nothing() {
    let failing = Behaviour {
        errors: vec![ErrorRule {
            operations: vec![Operation::Cancel],
            ..ErrorRule::new(503, 1.0)
        }],
        ..Behaviour::healthy(1)
    };
    let service = Service::start(failing).await;
    service.post("a-1", "r-1").await;
    let answer = service
        .ask(Method::POST, "/appointments/a-1/cancel", "")
        .await;
    assert_eq!(answer.status, 502);
    assert_eq!(service.calls(Operation::Cancel), 3);
    let state = service.rows.row("a-1").map(|row| row.state);
    assert_eq!(state, Some(LegacyState::Confirmed));
}

#[tokio::test]
async fn refusals_are_plain_text() {
    let service = Service::start(Behaviour::healthy(1)).await;
    let mut late = submission("a-1", "r-1");
    late["time"] = json!("soon");
    let check = async |method: Method, path: &str, body: &str, status: u16, text: &str| {
        let answer = service.ask(method, path, body).await;
        assert_eq!(answer.status, status, "{path}");
        let kind = answer.headers["content-type"].to_str().expect("ASCII");
        assert!(kind.starts_with("text/plain"), "{path}: {kind}");
        let found = answer.body.as_str().expect("text");
        assert!(found.starts_with(text), "{path}: {found}");
    };
    let late = late.to_string();
    check(Method::POST, "/appointments", &late, 400, "time: expected").await;
    check(Method::POST, "/appointments", "\u{fffd}", 400, "body:").await;
    check(Method::GET, "/appointments/none", "", 404, "no appointment").await;
    check(Method::POST, "/appointments/none/cancel", "", 404, "no app").await;
    check(Method::GET, "/elsewhere", "", 404, "not found").await;
    assert!(service.bench.events().is_empty());
}

#[tokio::test]
async fn log_lines_are_unmasked() {
    let service = Service::start(Behaviour::healthy(1)).await;
    service.post("a-1", "r-1").await;
    let lines = service.lines.lock().expect("a sink").join("\n");
    assert!(
        lines.contains("Alice Canary <alice@canary.example>"),
        "{lines}"
    );
}
