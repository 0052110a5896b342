//! `/v1/appointments`: submit, read, find, cancel.
//!
//! **Invariant**: a repeated submission gets the stored status and body bytes of the first, whatever has become of the appointment since.
//! It deliberately never waits for a delivery: 202 says that the wish is stored, and a GET says what came of it.

use axum::{
    body::Body,
    extract::{Path, Query, Request, State, rejection::PathRejection},
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use rehearsal_core::{
    appointment::{Appointment, Failure, State as Lifecycle},
    command::NewAppointment,
    idempotency::{Stored, fingerprint},
    identity::{AppointmentId, Reference, RequestId, Tenant},
    log::{Evt, LogEvent},
    rejection::Rejection,
    validation::validate,
};
use serde::{Deserialize, Serialize};

use super::{Api, problem::Problem, submission};
use crate::{metrics::Counter, percent::encode, store::AcceptReply};

#[derive(Serialize)]
struct Accepted<'a> {
    id: &'a str,
    request_id: &'a str,
    state: &'a str,
    provider: &'a str,
    time: &'a str,
    patient_name: &'a str,
    attempts: u32,
    links: Links<'a>,
}

#[derive(Serialize)]
struct Links<'a> {
    #[serde(rename = "self")]
    own: &'a str,
}

#[derive(Serialize)]
struct View<'a> {
    id: &'a str,
    request_id: &'a str,
    state: &'a str,
    provider: &'a str,
    time: &'a str,
    patient_name: &'a str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_reference: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
    cancel_requested: bool,
    created_at: String,
    updated_at: String,
}

impl<'a> View<'a> {
    fn of(row: &'a Appointment) -> Self {
        Self {
            id: row.id.as_str(),
            request_id: row.request_id.as_str(),
            state: row.state.as_str(),
            provider: row.provider.as_str(),
            time: &row.details.time,
            patient_name: &row.details.patient_name,
            attempts: row.attempts,
            provider_reference: row.reference.as_ref().map(Reference::as_str),
            failure: row.failure.as_ref(),
            cancel_requested: row.cancel_requested,
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }
}

/// `POST /v1/appointments`.
pub(super) async fn submit(State(api): State<Api>, request: Request) -> Response {
    let uri = request.uri().clone();
    match accept(&api, request).await {
        Ok(response) => response,
        Err(problem) => problem.at(&uri).into_response(),
    }
}

async fn accept(api: &Api, request: Request) -> Result<Response, Problem> {
    let telemetry = &api.telemetry;
    let (submission, key) = submission::read(&telemetry.host, request)
        .await
        .inspect_err(|problem| refused(api, telemetry.event(Evt::ValidationFailed, ""), problem))?;
    let claimed = submission.request_id.as_deref().or(key.as_deref());
    let request_id = claimed.and_then(|text| RequestId::parse(text.trim_matches('"')).ok());
    let new = validate(
        submission,
        key.as_deref(),
        Tenant::default(),
        &api.providers,
    )
    .map_err(Problem::from)
    .inspect_err(|problem| {
        let mut event = telemetry.event(Evt::ValidationFailed, "");
        event.request_id.clone_from(&request_id);
        refused(api, event, problem);
    })?;
    let location = format!("/v1/appointments/{}", encode(new.id.as_str()));
    let answer = answer(&new, &location);
    let body = answer.body.clone();
    let (id, request_id) = (new.id.clone(), new.request_id.clone());
    let about = |evt, message| {
        telemetry
            .event(evt, message)
            .request(&request_id)
            .appointment(&id)
    };
    let count = |result| telemetry.metrics.count(Counter::Idempotency, &[result]);
    let accepted = api.store.accept(new, answer, telemetry.host.now()).await;
    match accepted.map_err(|error| failed(api, "accept", &error))? {
        AcceptReply::Fresh(events) => {
            count("new");
            telemetry.committed(&events);
            api.wake.notify_one();
            Ok(json(StatusCode::ACCEPTED, body, Some(&location)))
        }
        AcceptReply::Replay(stored) => {
            count("replay");
            telemetry.log(about(Evt::IdempotentHit, "answered from what is stored"));
            let status = StatusCode::from_u16(stored.status).unwrap_or(StatusCode::ACCEPTED);
            let mut response = json(status, stored.body, Some(&location));
            response
                .headers_mut()
                .insert("idempotency-replayed", HeaderValue::from_static("true"));
            Ok(response)
        }
        AcceptReply::Rejected(rejection) => {
            let used = matches!(rejection, Rejection::KeyReused);
            count(if used { "conflict" } else { "rejected" });
            let problem = Problem::from(rejection);
            let evt = if used {
                Evt::IdempotencyConflict
            } else {
                Evt::ValidationFailed
            };
            telemetry.log(about(evt, "refused").with("code", problem.code()));
            Err(problem)
        }
    }
}

fn answer(new: &NewAppointment, location: &str) -> Stored {
    let body = Accepted {
        id: new.id.as_str(),
        request_id: new.request_id.as_str(),
        state: Lifecycle::Pending.as_str(),
        provider: new.provider.as_str(),
        time: &new.details.time,
        patient_name: &new.details.patient_name,
        attempts: 0,
        links: Links { own: location },
    };
    Stored {
        fingerprint: fingerprint(new),
        status: StatusCode::ACCEPTED.as_u16(),
        body: serde_json::to_string(&body).expect("strings and numbers always serialize"),
    }
}

fn refused(api: &Api, mut event: LogEvent, problem: &Problem) {
    event.message = "the submission is refused".into();
    let event = event
        .with("code", problem.code())
        .with("fields", problem.error_count());
    api.telemetry.log(event);
}

/// `GET /v1/appointments/{id}`.
pub(super) async fn read(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    let found = async {
        let row = api.store.read(Tenant::default(), known(id)?).await;
        row.map_err(|error| failed(&api, "read", &error))?
            .ok_or(Problem::from(Rejection::NotFound))
    };
    match found.await {
        Ok(row) => view(StatusCode::OK, &row),
        Err(problem) => problem.at(&uri).into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    request_id: String,
}

/// `GET /v1/appointments?request_id=`.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Response {
    #[derive(Serialize)]
    struct Found<'a> {
        appointments: Vec<View<'a>>,
    }
    let found = async {
        let refused = |_| {
            let detail = "ask for one appointment: ?request_id= and nothing else";
            Problem::new(400, "bad_query", detail)
        };
        let Query(search) = Query::<Search>::try_from_uri(&uri).map_err(refused)?;
        // What breaks the rule of a request id was never accepted under it.
        let Ok(request_id) = RequestId::parse(&search.request_id) else {
            return Ok(None);
        };
        let row = api.store.find(Tenant::default(), request_id).await;
        row.map_err(|error| failed(&api, "find", &error))
    };
    match found.await {
        Ok(row) => {
            let appointments = row.iter().map(View::of).collect();
            respond(StatusCode::OK, &Found { appointments })
        }
        Err(problem) => problem.at(&uri).into_response(),
    }
}

/// `POST /v1/appointments/{id}/cancel`. Its body is not read.
pub(super) async fn cancel(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    let cancelled = async {
        let now = api.telemetry.host.now();
        let reply = api.store.cancel(Tenant::default(), known(id)?, now).await;
        reply
            .map_err(|error| failed(&api, "cancel", &error))?
            .map_err(Problem::from)
    };
    match cancelled.await {
        Ok((row, events)) => {
            if !events.is_empty() {
                api.telemetry.committed(&events);
                api.wake.notify_one();
            }
            view(StatusCode::ACCEPTED, &row)
        }
        Err(problem) => problem.at(&uri).into_response(),
    }
}

/// An id that breaks its rule names nothing.
fn known(id: Result<Path<String>, PathRejection>) -> Result<AppointmentId, Problem> {
    id.ok()
        .and_then(|Path(text)| AppointmentId::parse(&text).ok())
        .ok_or(Problem::from(Rejection::NotFound))
}

/// Logs a failure of the store where it is handled, and gives its answer.
pub(super) fn failed(api: &Api, during: &str, error: &crate::store::StoreError) -> Problem {
    api.telemetry.store_failed(during, error);
    Problem::from(error)
}

fn view(status: StatusCode, row: &Appointment) -> Response {
    respond(status, &View::of(row))
}

/// A JSON answer.
pub(super) fn respond(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("plain data always serializes");
    json(status, body, None)
}

fn json(status: StatusCode, body: impl Into<Bytes>, location: Option<&str>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Some(location) = location.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(header::LOCATION, location);
    }
    response
}
