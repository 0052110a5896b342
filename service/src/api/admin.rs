//! `/admin`: what an operator looks at, and the one thing an operator does here: redrive a dead letter.
//!
//! **Invariant**: lists have a limit, and show no personal data: entries hold ids and scrubbed texts only.
//! It deliberately changes no appointment directly: a redrive goes through the outbox.

use axum::{
    extract::{Path, Query, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use rehearsal_core::{breaker::BreakerState, outbox::Entry};
use serde::{Deserialize, Serialize};

use super::{
    Api,
    appointments::{failed, respond},
    problem::Problem,
};
use crate::store::{DeadLetter, Depth, FindingRow, Redriven};

/// The longest list; the usual one is a tenth.
const LIST: u32 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    #[serde(default)]
    after: i64,
    #[serde(default)]
    limit: Option<u32>,
}

impl Window {
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let refused = |_| Problem::new(400, "bad_query", "known are ?after= and ?limit=, numbers");
        Query::try_from_uri(uri)
            .map(|Query(window)| window)
            .map_err(refused)
    }

    fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIST / 10).clamp(1, LIST)
    }
}

fn answer<T: Serialize>(uri: &Uri, found: Result<T, Problem>) -> Response {
    match found {
        Ok(found) => respond(StatusCode::OK, &found),
        Err(problem) => problem.at(uri).into_response(),
    }
}

/// `GET /admin/outbox`: depths, and the oldest open entries.
pub(super) async fn outbox(State(api): State<Api>, uri: Uri) -> Response {
    #[derive(Serialize)]
    struct Outbox {
        depths: Vec<Depth>,
        open: Vec<Entry>,
    }
    let found = async {
        let limit = Window::of(&uri)?.limit();
        let fault = |error| failed(&api, "outbox", &error);
        Ok(Outbox {
            depths: api.store.depths().await.map_err(fault)?,
            open: api.store.open_entries(limit).await.map_err(fault)?,
        })
    };
    answer(&uri, found.await)
}

/// `GET /admin/dlq`: dead letters, the oldest first.
pub(super) async fn dead_letters(State(api): State<Api>, uri: Uri) -> Response {
    #[derive(Serialize)]
    struct DeadLetters {
        dead_letters: Vec<DeadLetter>,
    }
    let found = async {
        let window = Window::of(&uri)?;
        let letters = api.store.dead_letters(window.after, window.limit()).await;
        let dead_letters = letters.map_err(|error| failed(&api, "dlq", &error))?;
        Ok(DeadLetters { dead_letters })
    };
    answer(&uri, found.await)
}

/// `POST /admin/dlq/{id}/redrive`.
pub(super) async fn redrive(State(api): State<Api>, Path(id): Path<String>, uri: Uri) -> Response {
    #[derive(Serialize)]
    struct Redrive {
        result: Redriven,
    }
    let missing = || Problem::new(404, "not_found", "there is no dead entry with this id");
    let done = async {
        let id = id.parse().map_err(|_| missing())?;
        let now = api.telemetry.host.now();
        let result = api.store.redrive(id, now).await;
        match result.map_err(|error| failed(&api, "redrive", &error))? {
            Redriven::NotDead => Err(missing()),
            result => {
                api.wake.notify_one();
                Ok(Redrive { result })
            }
        }
    };
    answer(&uri, done.await)
}

/// `GET /admin/findings`: what the auditor saw, the newest first.
pub(super) async fn findings(State(api): State<Api>, uri: Uri) -> Response {
    #[derive(Serialize)]
    struct Findings {
        findings: Vec<FindingRow>,
    }
    let found = async {
        let rows = api.store.findings(Window::of(&uri)?.limit()).await;
        let findings = rows.map_err(|error| failed(&api, "findings", &error))?;
        Ok(Findings { findings })
    };
    answer(&uri, found.await)
}

/// `GET /admin/breakers`: this instance's lanes.
pub(super) async fn breakers(State(api): State<Api>) -> Response {
    #[derive(Serialize)]
    struct Breakers {
        breakers: Vec<Lane>,
    }
    #[derive(Serialize)]
    struct Lane {
        provider: String,
        state: &'static str,
        open_until: Option<String>,
        paused_until: Option<String>,
        in_use: u32,
        limit: u32,
    }
    let lane = |it: crate::worker::LaneStatus| Lane {
        provider: it.provider.to_string(),
        state: it.breaker.name().as_str(),
        open_until: match it.breaker {
            BreakerState::Open { until } => Some(until.to_string()),
            BreakerState::Closed | BreakerState::HalfOpen => None,
        },
        paused_until: it.paused_until.map(|until| until.to_string()),
        in_use: it.in_use,
        limit: it.limit,
    };
    let breakers = api.lanes.status().into_iter().map(lane).collect();
    respond(StatusCode::OK, &Breakers { breakers })
}
