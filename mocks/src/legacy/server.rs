//! The legacy service over HTTP: three routes, each of which waits for the provider where it needs it.
//!
//! **Invariant**: what a request has begun is finished even if its client hangs up, as a thread for each request would. It deliberately
//! answers only when the provider has.

use std::{collections::BTreeMap, future::Future, io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rehearsal_host::{
    Host, Listener,
    client::{Client, ClientLimits},
    serve::{ServerLimits, serve as serve_http},
};
use serde_json::json;

use super::{
    LegacyJournal, LegacyState, Row, Rows,
    booking::{Caller, Ended},
    submission::Submission,
};
use crate::detached::detached;

/// Bodies above this are refused with 413.
const BODY_BYTES: usize = 64 << 10;
/// On shutdown, requests in flight get this long.
const DRAIN: Duration = Duration::from_secs(1);

/// The legacy service's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyConfig {
    /// Where it listens, `host:port`.
    pub listen: String,
    /// The providers it knows: name to `http://host:port`.
    pub providers: BTreeMap<String, String>,
    /// How long it waits for a provider's answer, inside the client's request.
    pub timeout: Duration,
}

impl LegacyConfig {
    /// The settings that it ran with: 30 s for a provider's answer.
    pub fn new(listen: impl Into<String>, providers: BTreeMap<String, String>) -> Self {
        Self {
            listen: listen.into(),
            providers,
            timeout: Duration::from_secs(30),
        }
    }
}

/// Runs the legacy service on `config.listen` until `shutdown`.
///
/// # Errors
/// What listening says.
pub async fn run(
    host: Host,
    config: LegacyConfig,
    rows: Rows,
    journal: Arc<dyn LegacyJournal>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let listener = host.bind(&config.listen).await?;
    serve(host, listener, config, rows, journal, shutdown).await;
    Ok(())
}

/// [`run`] on a listener that the caller has bound, and so knows the port of; `config.listen` is ignored.
pub async fn serve(
    host: Host,
    listener: Listener,
    config: LegacyConfig,
    rows: Rows,
    journal: Arc<dyn LegacyJournal>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let legacy = Legacy {
        client: Client::new(&host, ClientLimits::default()),
        host: host.clone(),
        config,
        rows,
        journal,
    };
    let router = Router::new()
        .route("/appointments", post(create))
        .route("/appointments/{id}", get(read))
        .route("/appointments/{id}/cancel", post(cancel))
        .fallback(async || (StatusCode::NOT_FOUND, "not found"))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(Arc::new(legacy));
    let limits = ServerLimits {
        drain: DRAIN,
        ..ServerLimits::default()
    };
    serve_http(host, listener, router, limits, shutdown).await;
}

struct Legacy {
    host: Host,
    client: Client,
    config: LegacyConfig,
    rows: Rows,
    journal: Arc<dyn LegacyJournal>,
}

async fn create(State(legacy): State<Arc<Legacy>>, headers: HeaderMap, body: Bytes) -> Response {
    match Submission::read(&headers, &body, &legacy.config.providers) {
        Ok(submission) => finish(&legacy, legacy.clone().book(submission)).await,
        Err(fault) => (StatusCode::BAD_REQUEST, fault).into_response(),
    }
}

async fn read(State(legacy): State<Arc<Legacy>>, Path(id): Path<String>) -> Response {
    match legacy.rows.row(&id) {
        Some(row) => Json(row).into_response(),
        None => unknown(&id),
    }
}

async fn cancel(State(legacy): State<Arc<Legacy>>, Path(id): Path<String>) -> Response {
    match legacy.rows.row(&id) {
        Some(row) => finish(&legacy, legacy.clone().cancel(row)).await,
        None => unknown(&id),
    }
}

async fn finish(
    legacy: &Legacy,
    work: impl Future<Output = Response> + Send + 'static,
) -> Response {
    detached(&legacy.host, work)
        .await
        .unwrap_or_else(|| problem(StatusCode::INTERNAL_SERVER_ERROR, "the request was dropped"))
}

fn unknown(id: &str) -> Response {
    (StatusCode::NOT_FOUND, format!("no appointment {id}")).into_response()
}

fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}

/// The key of an id's `number`-th `POST`: a fresh one for each, so the provider cannot see a repeat.
fn provider_key(id: &str, number: u32) -> String {
    format!("{id}-{number}")
}

impl Legacy {
    fn caller<'a>(&'a self, provider: &'a str) -> Caller<'a> {
        Caller {
            client: &self.client,
            provider: self
                .config
                .providers
                .get(provider)
                .map_or("", String::as_str),
            timeout: self.config.timeout,
            journal: &*self.journal,
        }
    }

    async fn book(self: Arc<Self>, wanted: Submission) -> Response {
        let who = format!(
            "{} <{}>",
            wanted.patient_name,
            wanted.email.as_deref().unwrap_or("no email")
        );
        self.journal.line(&format!(
            "INFO booking {} for {who} at {} with {}",
            wanted.id, wanted.time, wanted.provider
        ));
        let key = provider_key(&wanted.id, self.rows.number(&wanted.id));
        let (ended, attempts) = self.caller(&wanted.provider).book(&key, &wanted).await;
        let (state, bookings) = match &ended {
            Ended::Done { .. } => (LegacyState::Confirmed, 1),
            Ended::Refused { .. } | Ended::TimedOut => (LegacyState::Failed, 0),
        };
        let reference = match &ended {
            Ended::Done { reference } => reference.clone(),
            Ended::Refused { .. } | Ended::TimedOut => None,
        };
        let row = self.rows.overwrite(Row {
            id: wanted.id,
            request_id: wanted.request_id,
            state,
            provider: wanted.provider,
            time: wanted.time,
            patient_name: wanted.patient_name,
            reference,
            attempts,
            bookings,
        });
        self.report(&format!("booking {} for {who}", row.id), &row, ended)
    }

    async fn cancel(self: Arc<Self>, row: Row) -> Response {
        // Only the last booking's key is known: earlier ones stay at the provider.
        let key = provider_key(&row.id, self.rows.last_number(&row.id));
        let what = format!("cancelling {} for {}", row.id, row.patient_name);
        self.journal.line(&format!("INFO {what}"));
        let ended = self.caller(&row.provider).cancel(&key).await;
        let row = match &ended {
            Ended::Done { .. } => self.rows.mark_cancelled(&row.id).unwrap_or(row),
            Ended::Refused { .. } | Ended::TimedOut => row,
        };
        self.report(&what, &row, ended)
    }

    fn report(&self, what: &str, row: &Row, ended: Ended) -> Response {
        match ended {
            Ended::Done { .. } => {
                self.journal.line(&format!("INFO {what}: done"));
                Json(row).into_response()
            }
            Ended::Refused { error } => {
                self.journal.line(&format!("ERROR {what}: {error}"));
                problem(StatusCode::BAD_GATEWAY, &error)
            }
            Ended::TimedOut => {
                self.journal
                    .line(&format!("ERROR {what}: the provider timed out"));
                problem(StatusCode::GATEWAY_TIMEOUT, "the provider timed out")
            }
        }
    }
}
