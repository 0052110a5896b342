//! The legacy service's calls to the provider: synchronous, tried again at once, with a long timeout.
//!
//! **Invariant**: every call ends in one of three ways: done, refused after [`TRIES`] tries, or timed out. It deliberately has no backoff,
//! no breaker, and no look-up of what a timeout left behind.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, header::CONTENT_TYPE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rehearsal_host::client::{Client, FailureKind};
use serde_json::{Value, json};

use super::{LegacyJournal, submission::Submission};

/// How often a call is tried in all.
pub const TRIES: u32 = 3;

/// What a path segment and a header carry as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// How a call to the provider ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It said yes, with a reference if it was a booking.
    Done { reference: Option<String> },
    /// It failed at every try.
    Refused { error: String },
    /// It did not answer in time. It may have done it.
    TimedOut,
}

/// One provider call after another, until one ends.
pub(super) struct Caller<'a> {
    pub(super) client: &'a Client,
    pub(super) provider: &'a str,
    pub(super) timeout: Duration,
    pub(super) journal: &'a dyn LegacyJournal,
}

impl Caller<'_> {
    /// Books under `key`; also says how many tries it took.
    pub(super) async fn book(&self, key: &str, wanted: &Submission) -> (Ended, u32) {
        let body = json!({
            "key": key,
            "time": wanted.time,
            "patient_name": wanted.patient_name,
            "email": wanted.email,
        });
        let url = format!("{}/bookings", self.provider);
        self.try_again(&url, key, &body).await
    }

    /// Cancels `key`.
    pub(super) async fn cancel(&self, key: &str) -> Ended {
        let segment = utf8_percent_encode(key, PLAIN);
        let url = format!("{}/bookings/{segment}/cancel", self.provider);
        self.try_again(&url, key, &json!({})).await.0
    }

    async fn try_again(&self, url: &str, key: &str, body: &Value) -> (Ended, u32) {
        let mut error = String::new();
        for attempt in 1..=TRIES {
            match self.try_once(url, key, body).await {
                Ended::Refused { error: cause } => {
                    self.journal
                        .line(&format!("ERROR {key}: attempt {attempt} failed: {cause}"));
                    error = cause;
                }
                ended => return (ended, attempt),
            }
        }
        (Ended::Refused { error }, TRIES)
    }

    async fn try_once(&self, url: &str, key: &str, body: &Value) -> Ended {
        let request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(
                "idempotency-key",
                utf8_percent_encode(key, PLAIN).to_string(),
            )
            .body(Bytes::from(body.to_string()));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                return Ended::Refused {
                    error: format!("{url}: {error}"),
                };
            }
        };
        match self.client.send(request, self.timeout).await {
            Ok(response) if response.status().is_success() => {
                let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
                let reference = body["reference"].as_str().map(ToOwned::to_owned);
                Ended::Done { reference }
            }
            Ok(response) => Ended::Refused {
                error: format!(
                    "provider answered {}: {}",
                    response.status().as_u16(),
                    String::from_utf8_lossy(response.body())
                ),
            },
            Err(failure) if failure.kind == FailureKind::Timeout => Ended::TimedOut,
            Err(failure) => Ended::Refused {
                error: failure.message,
            },
        }
    }
}
