//! Refusals as `application/problem+json` (RFC 9457), and the one mapping of rejections and store errors to them.
//!
//! **Invariant**: the code of a kind of refusal never changes; no text repeats a value of the request, a path of the disk or SQL.
//! It deliberately does not log: whoever refuses does.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use rehearsal_core::rejection::{FieldError, Rejection};
use serde::Serialize;

use crate::store::StoreError;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    instance: Option<String>,
    errors: Vec<FieldError>,
    retry_after_s: Option<u16>,
}

#[derive(Serialize)]
struct Wire<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// A refusal with this status, stable code and sentence.
    pub(super) fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("statuses are constants of this program"),
            code,
            detail: detail.into(),
            instance: None,
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// The same, with the fields that are wrong.
    pub(super) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same, about the path that was asked for.
    pub(super) fn at(mut self, uri: &Uri) -> Self {
        self.instance = Some(uri.path().to_owned());
        self
    }

    fn retry_after(mut self, seconds: u16) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The stable code.
    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    /// How many fields are wrong.
    pub(super) fn error_count(&self) -> usize {
        self.errors.len()
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let (code, detail) = (rejection.code(), rejection.to_string());
        match rejection {
            Rejection::Invalid(errors) => Self::new(400, code, detail).with_errors(errors),
            Rejection::NotFound => Self::new(404, code, detail),
            Rejection::KeyReused => Self::new(422, code, detail),
            Rejection::InFlight => Self::new(409, code, detail).retry_after(1),
            Rejection::AlreadyExists
            | Rejection::Conflict { .. }
            | Rejection::IllegalTransition { .. } => Self::new(409, code, detail),
        }
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Busy => Self::new(503, "store_busy", "the store is busy").retry_after(1),
            StoreError::Unavailable(_) => {
                let detail =
                    "the store cannot be reached; a repetition with the same request_id is safe";
                Self::new(503, "store_unavailable", detail).retry_after(1)
            }
            StoreError::Newer { .. } | StoreError::Corrupt(_) | StoreError::Protocol => {
                Self::new(500, "internal", "the service cannot answer this")
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let wire = Wire {
            r#type: format!("urn:rehearsal:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: self.instance.as_deref(),
            code: self.code,
            errors: &self.errors,
        };
        let body = serde_json::to_vec(&wire).expect("strings and numbers always serialize");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
