//! The HTTP API: routes, and what every answer has in common.
//!
//! **Invariant**: no handler calls a provider; a request costs one store call at most, plus what is asked under `/admin`. Every refusal is
//! problem+json with a stable code.
//! It deliberately has no authentication yet: it serves one tenant, on loopback or behind a gateway.

mod admin;
mod appointments;
mod problem;
mod status;
mod submission;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::Uri,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use rehearsal_core::identity::ProviderName;
use tokio::sync::{Notify, watch};

use self::problem::Problem;
pub use self::submission::BODY_BYTES;
use crate::{config::Config, journal::Telemetry, store::StoreAccess, worker::Lanes};

/// What the handlers share. Clones are cheap.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inside>);

/// See [`Api`].
pub(crate) struct Inside {
    telemetry: Telemetry,
    store: StoreAccess,
    lanes: Arc<Lanes>,
    providers: BTreeSet<ProviderName>,
    /// Rung after a commit that queued something.
    wake: Arc<Notify>,
    stopping: watch::Receiver<bool>,
    /// When readiness last asked the store (monotonic), and what came of it.
    pinged: Mutex<Option<(Duration, bool)>>,
}

impl std::ops::Deref for Api {
    type Target = Inside;
    fn deref(&self) -> &Inside {
        &self.0
    }
}

impl Api {
    pub(crate) fn new(
        config: &Config,
        telemetry: Telemetry,
        store: StoreAccess,
        lanes: Arc<Lanes>,
        wake: Arc<Notify>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self(Arc::new(Inside {
            telemetry,
            store,
            lanes,
            providers: config.providers.keys().cloned().collect(),
            wake,
            stopping,
            pinged: Mutex::new(None),
        }))
    }
}

/// The routes of an instance: status for every role, the rest for the API's.
pub(crate) fn router(config: &Config, api: Api) -> Router {
    let mut router = Router::new()
        .route("/livez", get(status::livez))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(status::metrics));
    if config.roles.api {
        router = router
            .route(
                "/v1/appointments",
                post(appointments::submit).get(appointments::list),
            )
            .route("/v1/appointments/{id}", get(appointments::read))
            .route("/v1/appointments/{id}/cancel", post(appointments::cancel))
            .route("/v1/providers", get(status::providers))
            .route("/openapi.json", get(status::openapi))
            .route("/admin/outbox", get(admin::outbox))
            .route("/admin/dlq", get(admin::dead_letters))
            .route("/admin/dlq/{id}/redrive", post(admin::redrive))
            .route("/admin/findings", get(admin::findings))
            .route("/admin/breakers", get(admin::breakers));
    }
    router
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(api.clone(), observe))
        .with_state(api)
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::new(404, "no_such_path", "there is nothing at this path").at(&uri)
}

async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(405, "method_not_allowed", "this path has other methods").at(&uri)
}

/// Measures each request under its route, never under its path: paths hold ids.
async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let started = api.telemetry.host.elapsed();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).await.into_response();
    let took = api.telemetry.host.elapsed().saturating_sub(started);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    // An unknown method is the client's text; it must not become a label.
    let method = if route == "none" {
        "any"
    } else {
        method.as_str()
    };
    api.telemetry
        .metrics
        .observe_request(route, method, response.status().as_str(), took);
    response
}
