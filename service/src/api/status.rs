//! What every instance says of itself: alive, ready, metrics; and of its interface.
//!
//! **Invariant**: readiness depends on this instance and its store, never on a provider: an open breaker must not take the API down.
//! It deliberately reveals no row.

use std::{sync::PoisonError, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use rehearsal_core::breaker::BreakerStateName;
use serde::Serialize;

use super::{
    Api,
    appointments::{failed, respond},
};
use crate::metrics::Gauge;

/// The store has to answer within this long to count as ready.
const PING_TIME: Duration = Duration::from_millis(100);
/// For this long, the last answer is good enough.
const PING_AGE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// `GET /livez`.
pub(super) async fn livez() -> Response {
    respond(StatusCode::OK, &Status { status: "alive" })
}

/// `GET /readyz`.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let status = if *api.stopping.borrow() {
        "draining"
    } else if store_answers(&api).await {
        return respond(StatusCode::OK, &Status { status: "ready" });
    } else {
        "store_unavailable"
    };
    respond(StatusCode::SERVICE_UNAVAILABLE, &Status { status })
}

async fn store_answers(api: &Api) -> bool {
    let host = &api.telemetry.host;
    let now = host.elapsed();
    let last = *api.pinged.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, answered)) = last
        && now.saturating_sub(at) < PING_AGE
    {
        return answered;
    }
    let answered = matches!(host.timeout(PING_TIME, api.store.ping()).await, Ok(Ok(())));
    *api.pinged.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, answered));
    answered
}

/// `GET /metrics`: Prometheus text.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let depths = match api.store.depths().await {
        Ok(depths) => depths,
        // Counters matter most while the store is down; its gauges are then absent.
        Err(error) => {
            let _ = failed(&api, "metrics", &error);
            Vec::new()
        }
    };
    let (dead, open): (Vec<_>, Vec<_>) = depths.into_iter().partition(|it| it.state == "dead");
    let row = |labels: &[&str], value: f64| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        (labels, value)
    };
    let lanes = api.lanes.status();
    let states = [
        BreakerStateName::Closed,
        BreakerStateName::Open,
        BreakerStateName::HalfOpen,
    ];
    let gauges = [
        Gauge {
            name: "appt_breaker_state",
            help: "1 for the state a provider's breaker is in.",
            labels: &["provider", "state"],
            rows: lanes
                .iter()
                .flat_map(|lane| {
                    states.map(|state| {
                        let on = lane.breaker.name() == state;
                        let labels = [lane.provider.as_str(), state.as_str()];
                        row(&labels, f64::from(u8::from(on)))
                    })
                })
                .collect(),
        },
        Gauge {
            name: "appt_bulkhead_in_use",
            help: "Deliveries under way.",
            labels: &["provider"],
            rows: lanes
                .iter()
                .map(|lane| row(&[lane.provider.as_str()], f64::from(lane.in_use)))
                .collect(),
        },
        Gauge {
            name: "appt_bulkhead_limit",
            help: "Deliveries that may be under way.",
            labels: &["provider"],
            rows: lanes
                .iter()
                .map(|lane| row(&[lane.provider.as_str()], f64::from(lane.limit)))
                .collect(),
        },
        Gauge {
            name: "appt_dlq_entries",
            help: "Entries in the dead-letter queue.",
            labels: &["destination"],
            rows: dead
                .iter()
                .map(|it| row(&[it.destination.as_str()], it.entries as f64))
                .collect(),
        },
        Gauge {
            name: "appt_outbox_depth",
            help: "Open outbox entries.",
            labels: &["destination", "state"],
            rows: open
                .iter()
                .map(|it| row(&[it.destination.as_str(), &it.state], it.entries as f64))
                .collect(),
        },
    ];
    let text = api.telemetry.metrics.render(&gauges);
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, text).into_response()
}

/// `GET /v1/providers`.
pub(super) async fn providers(State(api): State<Api>) -> Response {
    #[derive(Serialize)]
    struct Providers<'a> {
        providers: Vec<Provider<'a>>,
    }
    #[derive(Serialize)]
    struct Provider<'a> {
        name: &'a str,
    }
    let providers = api
        .providers
        .iter()
        .map(|name| Provider {
            name: name.as_str(),
        })
        .collect();
    respond(StatusCode::OK, &Providers { providers })
}

/// `GET /openapi.json`.
pub(super) async fn openapi() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, include_str!("openapi.json")).into_response()
}
