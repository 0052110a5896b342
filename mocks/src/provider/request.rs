//! The provider's wire: what it accepts as a booking, and the shapes of its answers.
//!
//! **Invariant**: a [`Booking`] that was read is well formed: its key is 1 to 128 printable characters and is the header's. It
//! deliberately ignores fields that it does not know, as third parties do.

use std::time::Duration;

use axum::{Json, body::Body, response::IntoResponse};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{self, RETRY_AFTER},
};
use percent_encoding::percent_decode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use rehearsal_core::time::Timestamp;
use rehearsal_host::Host;

use super::{BookingStatus, BookingView, ErrorRule, Garbling, ledger::Payload};

/// The longest key and the longest cursor, in characters.
const KEY_CHARS: usize = 128;

/// What axum sends.
pub(super) type Response = axum::response::Response;

/// A well-formed request to book.
#[derive(Debug)]
pub(super) struct Booking {
    pub(super) key: String,
    /// Tells this payload from another under the same key.
    pub(super) payload: Payload,
    /// What a careless provider repeats in its errors.
    pub(super) person: String,
}

/// Why a request is malformed: a status and a code.
pub(super) type Malformed = (StatusCode, &'static str);

#[derive(Deserialize)]
struct Posted {
    key: String,
    time: String,
    patient_name: String,
    #[serde(default)]
    email: Option<String>,
}

impl Booking {
    /// Reads `POST /bookings`.
    pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self, Malformed> {
        let body: Posted = serde_json::from_slice(body)
            .map_err(|_| (StatusCode::BAD_REQUEST, "malformed_body"))?;
        let header = headers
            .get("idempotency-key")
            .ok_or((StatusCode::BAD_REQUEST, "missing_idempotency_key"))?
            .as_bytes();
        // A key that no header can carry as it is arrives percent-encoded.
        let key = body.key.as_bytes();
        if header != key && !percent_decode(header).eq(key.iter().copied()) {
            return Err((StatusCode::BAD_REQUEST, "key_mismatch"));
        }
        check_key(&body.key)?;
        if body.patient_name.is_empty() || body.time.is_empty() {
            return Err((StatusCode::UNPROCESSABLE_ENTITY, "incomplete"));
        }
        let email = body.email.as_deref().unwrap_or_default();
        Ok(Self {
            payload: Payload::of([&body.time, &body.patient_name, email]),
            person: format!("{} <{email}>", body.patient_name),
            key: body.key,
        })
    }
}

/// Refuses keys that are empty, too long or not printable.
pub(super) fn check_key(key: &str) -> Result<(), Malformed> {
    let long = key.chars().count() > KEY_CHARS;
    if key.is_empty() || long || key.chars().any(char::is_control) {
        return Err((StatusCode::BAD_REQUEST, "invalid_key"));
    }
    Ok(())
}

/// `?after=&limit=` of the list.
#[derive(Debug, Deserialize)]
pub(super) struct PageQuery {
    #[serde(default)]
    pub(super) after: String,
    #[serde(default)]
    pub(super) limit: Option<usize>,
}

/// The caller's lease epoch, when it sent a number.
pub(super) fn epoch(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get("x-attempt-epoch")?;
    value.to_str().ok()?.parse().ok()
}

/// 201 for a booking, 200 for its repeat.
pub(super) fn booked(status: StatusCode, key: &str, reference: &str) -> Response {
    let body = json!({"reference": reference, "key": key, "status": BookingStatus::Booked});
    (status, Json(body)).into_response()
}

/// 409: the key is booked with another payload.
pub(super) fn duplicate(key: &str, reference: &str) -> Response {
    let body = json!({"code": "duplicate", "key": key, "reference": reference});
    (StatusCode::CONFLICT, Json(body)).into_response()
}

/// 200 for a cancel, whether or not there was a booking.
pub(super) fn cancelled(key: &str) -> Response {
    Json(json!({"key": key, "status": BookingStatus::Cancelled})).into_response()
}

/// A view, or 404.
pub(super) fn view(view: Option<&BookingView>) -> Response {
    match view {
        Some(view) => Json(view).into_response(),
        None => refusal((StatusCode::NOT_FOUND, "unknown_key")),
    }
}

/// A page of views and the cursor of the next one.
pub(super) fn page(bookings: &[BookingView], more: bool) -> Response {
    #[derive(Serialize)]
    struct Page<'a> {
        bookings: &'a [BookingView],
        next: Option<&'a str>,
    }
    let next = bookings.last().filter(|_| more);
    Json(Page {
        bookings,
        next: next.map(|view| view.key.as_str()),
    })
    .into_response()
}

/// An answer that says no: `{code}`.
pub(super) fn refusal((status, code): Malformed) -> Response {
    (status, Json(json!({"code": code}))).into_response()
}

/// An injected error with these values of `Retry-After`. Like many a third party's, its message repeats the person it was about: callers have to
/// mask it.
pub(super) fn failure(rule: &ErrorRule, person: Option<&str>, retry_after: &[String]) -> Response {
    let status = StatusCode::from_u16(rule.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let code = match rule.status {
        429 => "throttled",
        503 => "unavailable",
        504 => "upstream_timeout",
        500.. => "internal",
        _ => "refused",
    };
    let message = match person {
        Some(person) => format!("could not book for {person}"),
        None => "could not do it".to_owned(),
    };
    let mut response = (status, Json(json!({"code": code, "message": message}))).into_response();
    let values = retry_after.iter();
    for value in values.filter_map(|value| HeaderValue::from_str(value).ok()) {
        response.headers_mut().append(RETRY_AFTER, value);
    }
    response
}

/// When an error sent `now` asks its caller to come again, in each way that the rule asks for.
pub(super) fn retry_after(rule: &ErrorRule, now: Timestamp) -> Vec<String> {
    let secs = |after: Duration| after.as_secs() + u64::from(after.subsec_nanos() > 0);
    let seconds = rule.retry_after.map(|after| secs(after).to_string());
    let date = rule.retry_after_date;
    let date = date.and_then(|after| http_date(now, secs(after)));
    [seconds, date, rule.retry_after_text.clone()]
        .into_iter()
        .flatten()
        .collect()
}

/// The HTTP date (RFC 9110, 5.6.7) `secs` and a begun second after `now`.
fn http_date(now: Timestamp, secs: u64) -> Option<String> {
    let at = now.plus(Duration::from_secs(secs) + Duration::from_micros(999_999));
    let at = jiff::Timestamp::from_second(at.as_micros().div_euclid(1_000_000)).ok()?;
    Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// The right answer's status over what nobody can read as it.
pub(super) fn garbled(host: &Host, how: Garbling, right: &Response) -> Response {
    let json = (header::CONTENT_TYPE, "application/json");
    match how {
        Garbling::NotJson => (right.status(), [json], "<html>OK</html>").into_response(),
        Garbling::WrongShape => {
            let body = json!({"result": [{"id": 7, "state": "done"}]});
            (right.status(), Json(body)).into_response()
        }
        Garbling::Truncated => {
            let host = host.clone();
            let broken = async move {
                // What comes at once with the head would be dropped with it.
                host.sleep(Duration::from_millis(1)).await;
                Err(std::io::Error::other("the provider stops in mid-body"))
            };
            let half = Bytes::from_static(b"{\"key\": \"");
            let parts = stream::once(async { Ok(half) }).chain(stream::once(broken));
            let mut response = Response::new(Body::from_stream(parts));
            *response.status_mut() = right.status();
            let headers = response.headers_mut();
            headers.insert(json.0, HeaderValue::from_static(json.1));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(4_096));
            response
        }
    }
}

/// Closes the connection without a byte: a body that fails before hyper has flushed the head.
pub(super) fn hang_up() -> Response {
    let broken = std::io::Error::other("the provider hangs up, as its behaviour says");
    Response::new(Body::from_stream(stream::iter([Err::<Bytes, _>(broken)])))
}
