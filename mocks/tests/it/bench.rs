//! A test's bench: a provider on a free port (loopback or memory), a client, and what the provider's journal recorded.
//!
//! **Invariant**: no fixed port and no sleep. It deliberately keeps servers running until the test's runtime ends.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use rehearsal_host::{
    Host,
    client::{Client, ClientLimits, Failure},
    real::RealMachine,
};
use rehearsal_mocks::provider::{self, Behaviour, Ledger, ProviderEvent};
use serde_json::{Value, json};

use crate::memory;

/// Longer than any answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a caller waits that gives up; for hosts on a paused clock.
pub(crate) const IMPATIENCE: Duration = Duration::from_secs(2);

/// A provider, a client of it, and its journal.
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) ledger: Ledger,
    events: Arc<Mutex<Vec<ProviderEvent>>>,
}

/// An answer, its body read as JSON, or as a string when it is none.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Bench {
    /// Starts a provider that behaves like `behaviour`.
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        Self::start_on(Ledger::new(), behaviour).await
    }

    /// Starts a provider on a ledger that is there already.
    pub(crate) async fn start_on(ledger: Ledger, behaviour: Behaviour) -> Self {
        Self::start_at(RealMachine::host(), ledger, behaviour).await
    }

    /// Starts a provider in memory; the test's runtime has to be paused.
    pub(crate) async fn start_paused(behaviour: Behaviour) -> Self {
        Self::start_at(memory::host(), Ledger::new(), behaviour).await
    }

    async fn start_at(host: Host, ledger: Ledger, behaviour: Behaviour) -> Self {
        let listener = host.bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.address());
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = events.clone();
        let journal = Arc::new(move |event| sink.lock().expect("a sink").push(event));
        let (serving, books) = (host.clone(), ledger.clone());
        host.spawn(async move {
            provider::serve(serving, listener, behaviour, books, journal, pending())
                .await
                .expect("a possible behaviour");
        });
        let client = Client::new(&host, ClientLimits::default());
        Self {
            host,
            client,
            url,
            ledger,
            events,
        }
    }

    /// What the provider has recorded so far.
    pub(crate) fn events(&self) -> Vec<ProviderEvent> {
        self.events.lock().expect("a sink").clone()
    }

    /// Books `key` for Alice.
    pub(crate) async fn book(&self, key: &str) -> Answer {
        self.try_book(key, PATIENCE).await.expect("an answer")
    }

    /// Books `key`, waiting for at most `deadline`.
    pub(crate) async fn try_book(&self, key: &str, deadline: Duration) -> Result<Answer, Failure> {
        let url = format!("{}/bookings", self.url);
        let request = Request::post(url)
            .header("idempotency-key", key)
            .header("x-attempt-epoch", "3")
            .body(Bytes::from(booking(key).to_string()))
            .expect("a request");
        send(&self.client, request, deadline).await
    }

    /// Any request to the provider, without headers.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &str) -> Answer {
        ask(&self.client, method, &format!("{}{path}", self.url), body).await
    }
}

/// Alice's booking under `key`.
pub(crate) fn booking(key: &str) -> Value {
    json!({"key": key, "time": "2026-03-01T09:00:00Z", "patient_name": "Alice Canary", "email": "alice@canary.example"})
}

/// Any request to anyone, without headers.
pub(crate) async fn ask(client: &Client, method: Method, url: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .body(Bytes::from(body.to_owned()))
        .expect("a request");
    send(client, request, PATIENCE).await.expect("an answer")
}

/// Sends `request` and reads its answer.
pub(crate) async fn send(
    client: &Client,
    request: Request<Bytes>,
    deadline: Duration,
) -> Result<Answer, Failure> {
    let response = client.send(request, deadline).await?;
    let text = String::from_utf8_lossy(response.body()).into_owned();
    Ok(Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    })
}
