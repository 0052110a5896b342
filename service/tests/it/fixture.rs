//! A running service on loopback, with a provider stub, a client and everything it logged.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use rehearsal_core::{
    backoff::Backoff,
    breaker::BreakerPolicy,
    delivery::Policy,
    identity::ProviderName,
    log::{Evt, LogEvent},
};
use rehearsal_host::{
    Host,
    client::{Client, ClientLimits},
    real::RealMachine,
};
use rehearsal_service::{
    Config, Journal, run_on,
    store::{Dump, InlineStore, Reply, Request as StoreRequest, SqliteStore, Store},
};
use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::stub::Stub;

/// Nothing in these tests takes longer, unless it is broken.
const BOUND: Duration = Duration::from_secs(10);
pub(crate) const NAME: &str = "Quirinius Canary";

#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<LogEvent>>,
    /// A request whose next attempt finds a journal that panics.
    poison: Mutex<Option<&'static str>>,
}

impl Journal for Recorder {
    fn log(&self, event: LogEvent) {
        let poisoned = self.poison.lock().unwrap().take_if(|request| {
            event.evt == Evt::AttemptStarted
                && event
                    .request_id
                    .as_ref()
                    .is_some_and(|id| id.as_str() == *request)
        });
        assert!(poisoned.is_none(), "a planted panic");
        self.events.lock().unwrap().push(event);
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(crate) struct Service {
    pub(crate) host: Host,
    pub(crate) stub: Stub,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: Config,
    journal: Arc<Recorder>,
    address: String,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    stopped: Arc<Notify>,
    path: String,
    _dir: tempfile::TempDir,
}

/// Runs a test against a service whose settings `change` has changed.
pub(crate) fn with_service<F: Future<Output = ()>>(
    change: impl FnOnce(&mut Config),
    test: impl FnOnce(Service) -> F,
) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { test(Service::start(change).await).await });
}

fn quick(url: String) -> Config {
    let acme = ProviderName::parse("acme").unwrap();
    let mut config = Config::new("127.0.0.1:0", BTreeMap::from([(acme, url)]));
    config.policy = Policy {
        max_attempts: 4,
        backoff: Backoff {
            base: Duration::from_millis(4),
            cap: Duration::from_millis(20),
        },
        attempt_timeout: Duration::from_millis(150),
        lease: Duration::from_millis(900),
        settle_slack: Duration::from_millis(200),
        in_flight_horizon: Duration::from_millis(160),
        ..Policy::default()
    };
    // Opens only where a test makes it.
    config.breaker = BreakerPolicy {
        min_calls: 1000,
        ..BreakerPolicy::default()
    };
    config.store_patience = Duration::from_millis(100);
    config.poll_every = Duration::from_millis(50);
    config.audit_every = Duration::from_millis(40);
    config.audit_horizon = Duration::from_millis(200);
    config.audit_page = 2;
    config
}

impl Service {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let host = RealMachine::host();
        let (stub, url) = Stub::start(&host).await;
        let mut config = quick(url);
        change(&mut config);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.sqlite").to_str().unwrap().to_owned();
        let store = SqliteStore::open(&path).unwrap();
        let store: Arc<dyn Store> = Arc::new(InlineStore::new(store));
        let listener = host.bind(&config.listen).await.unwrap();
        let address = listener.address().to_owned();
        let journal = Arc::new(Recorder::default());
        let (stop, stopping) = oneshot::channel::<()>();
        let stopped = Arc::new(Notify::new());
        let (machine, settings, database, log, rung) = (
            host.clone(),
            config.clone(),
            store.clone(),
            journal.clone(),
            stopped.clone(),
        );
        host.spawn(async move {
            let shutdown = async {
                let _ = stopping.await;
            };
            run_on(machine, listener, settings, database, log, shutdown)
                .await
                .unwrap();
            rung.notify_one();
        });
        let limits = ClientLimits::default();
        Self {
            client: Client::new(&host, limits),
            host,
            stub,
            store,
            config,
            journal,
            address,
            stop: Some(stop),
            stopped,
            path,
            _dir: dir,
        }
    }

    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = request.body(body.into()).unwrap();
        let response = self.client.send(request, BOUND).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path), "").await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        self.send(self.request("POST", path), "").await
    }

    pub(crate) async fn submit(&self, body: impl Into<Bytes>) -> Answer {
        let request = self
            .request("POST", "/v1/appointments")
            .header("content-type", "application/json");
        self.send(request, body).await
    }

    /// Waits until `done` says so.
    pub(crate) async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let started = self.host.elapsed();
        while !done().await {
            let waited = self.host.elapsed().saturating_sub(started);
            assert!(waited < BOUND, "never: {what}\n{}", self.log());
            self.host.sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn until_state(&self, id: &str, state: &str) -> Value {
        let path = format!("/v1/appointments/{id}");
        self.until(&format!("{id} is {state}"), async || {
            self.get(&path).await.json()["state"] == state
        })
        .await;
        self.get(&path).await.json()
    }

    pub(crate) async fn dump(&self) -> Dump {
        match self.store.call(StoreRequest::Dump).await.unwrap() {
            Reply::Dump(dump) => dump,
            other => panic!("{other:?}"),
        }
    }

    /// The names of what was logged about a request, in order.
    pub(crate) fn events(&self, request_id: &str) -> Vec<&'static str> {
        self.journal
            .events
            .lock()
            .unwrap()
            .iter()
            .filter(|event| {
                event
                    .request_id
                    .as_ref()
                    .is_some_and(|id| id.as_str() == request_id)
            })
            .map(|event| event.evt.as_str())
            .collect()
    }

    pub(crate) fn log(&self) -> String {
        let events = self.journal.events.lock().unwrap();
        events.iter().map(|event| event.to_line() + "\n").collect()
    }

    /// Panics in the next attempt for this request.
    pub(crate) fn poison(&self, request_id: &'static str) {
        *self.journal.poison.lock().unwrap() = Some(request_id);
    }

    /// Holds the database as another writer would, until it is dropped.
    pub(crate) fn hold_database(&self) -> rusqlite::Connection {
        let other = rusqlite::Connection::open(&self.path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    /// Stops the service and waits until it has.
    pub(crate) async fn stop(&mut self) {
        drop(self.stop.take());
        let stopped = self.host.timeout(BOUND, self.stopped.notified()).await;
        assert!(stopped.is_ok(), "the service does not stop\n{}", self.log());
    }
}

pub(crate) fn submission(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","request_id":"r-{id}","provider":"acme","time":"2030-01-31T09:30:00Z","patient_name":"{NAME}","email":"canary@example.org"}}"#
    )
}
