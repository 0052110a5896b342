//! The client of a scheduling provider: book, cancel, look up and list by key, and what each answer means.
//!
//! **Invariant**: an answer is judged [`Outcome::Accepted`] only when it names our key; whatever may have reached the provider without a
//! readable answer is [`Outcome::Unknown`]. Nothing that a provider wrote leaves this file unscrubbed.
//! It deliberately never retries and knows neither breaker nor bulkhead.

use std::{fmt::Write, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use rehearsal_core::{
    appointment::Details,
    breaker::CallClass,
    delivery::{Outcome, Resolution, parse_retry_after},
    identity::Reference,
    mask::scrub,
    outbox::Entry,
    reconcile::{ProviderStatus, ProviderView},
};
use rehearsal_host::{
    Host,
    client::{Client, ClientLimits, Failure, FailureKind},
};
use serde::{Deserialize, Serialize};

use crate::percent::encode;

/// A provider's answer is read up to this size; a page of the list is the largest.
const BODY_BYTES: usize = 4 << 20;
/// At most this much of a provider's error text is kept.
const TEXT_CHARS: usize = 120;

/// Talks to one provider. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Provider {
    host: Host,
    client: Client,
    base: String,
    timeout: Duration,
}

/// What a call came to, for the delivery and for the breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What it means for the entry.
    pub meaning: T,
    /// What it says about the provider.
    pub class: CallClass,
    /// Whether the call ran into its timeout.
    pub timed_out: bool,
    /// How long a throttled look-up was asked to wait. A call with an effect says so in its meaning.
    pub retry_after: Option<Duration>,
}

/// One page of a provider's list, in the order of keys.
#[derive(Debug, Clone, Deserialize)]
pub struct Page {
    /// Its side of each key.
    pub bookings: Vec<ProviderView>,
    /// The key after which the next page starts; `None` at the end.
    pub next: Option<String>,
}

#[derive(Serialize)]
struct BookingRequest<'a> {
    key: &'a str,
    time: &'a str,
    patient_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// The parts of an answer that mean anything here; a provider may send more.
#[derive(Debug, Default, Deserialize)]
struct Body {
    key: Option<String>,
    reference: Option<String>,
    status: Option<ProviderStatus>,
    code: Option<String>,
    message: Option<String>,
}

impl Provider {
    /// A client of the provider at `base` (`http://host:port`) whose calls take at most `timeout` each.
    pub fn new(host: &Host, base: &str, timeout: Duration) -> Self {
        let limits = ClientLimits {
            // Below the call's own timeout, so that a connect that hangs is known not to have been sent.
            connect: (timeout / 2).min(Duration::from_secs(1)),
            body_bytes: BODY_BYTES,
            ..ClientLimits::default()
        };
        Self {
            host: host.clone(),
            client: Client::new(host, limits),
            base: base.to_owned(),
            timeout,
        }
    }

    /// Books under the entry's key. `sent_before`: an earlier attempt of ours may have booked already.
    pub async fn book(
        &self,
        entry: &Entry,
        details: &Details,
        sent_before: bool,
    ) -> Answer<Outcome> {
        let body = serde_json::to_vec(&BookingRequest {
            key: &entry.key,
            time: &details.time,
            patient_name: &details.patient_name,
            email: details.email.as_deref(),
            note: details.note.as_deref(),
        })
        .expect("strings always serialize");
        let request = effect(entry, format!("{}/bookings", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body));
        let sent = self.send(request).await;
        self.judge(sent, details, |status, body| {
            let ours = body.key.as_deref() == Some(entry.key.as_str());
            let reference = body
                .reference
                .as_deref()
                .and_then(|it| Reference::parse(it).ok());
            match status.as_u16() {
                200..=299 if ours && body.status == Some(ProviderStatus::Booked) => {
                    reference.map(|it| Outcome::Accepted {
                        reference: Some(it),
                    })
                }
                // Only an earlier attempt of ours makes it our booking; otherwise somebody else uses the key.
                409 if ours && sent_before => reference.map(|it| Outcome::Accepted {
                    reference: Some(it),
                }),
                // An earlier attempt of ours may be what it conflicts with: the look-up will tell.
                409 if sent_before && body.code.is_none() => Some(Outcome::Unknown {
                    cause: "answered 409, unreadable".to_owned(),
                    answered: true,
                }),
                _ => None,
            }
        })
    }

    /// Cancels by the entry's key: a tombstone, also when nothing was booked.
    pub async fn cancel(&self, entry: &Entry, details: &Details) -> Answer<Outcome> {
        let url = format!("{}/bookings/{}/cancel", self.base, encode(&entry.key));
        let sent = self.send(effect(entry, url).body(Bytes::new())).await;
        self.judge(sent, details, |status, body| {
            (status.is_success() && body.status == Some(ProviderStatus::Cancelled))
                .then_some(Outcome::Accepted { reference: None })
        })
    }

    /// Asks what the provider has under the entry's key.
    pub async fn look_up(&self, entry: &Entry, details: &Details) -> Answer<Resolution> {
        let answer = self.view(&entry.key).await;
        let class = answer.class;
        let meaning = match answer.meaning {
            Ok(None) => Resolution::Absent,
            Ok(Some(view)) if view.live() == 0 => Resolution::Tombstoned,
            Ok(Some(ProviderView {
                reference: Some(reference),
                ..
            })) => Resolution::Found { reference },
            Ok(Some(_)) => Resolution::Failed {
                cause: "booked, and the look-up names no reference".to_owned(),
            },
            Err(cause) => Resolution::Failed {
                cause: scrub(&cause, details),
            },
        };
        Answer {
            meaning,
            class,
            timed_out: answer.timed_out,
            retry_after: answer.retry_after,
        }
    }

    /// The provider's side of one key, or why it is not known.
    pub async fn view(&self, key: &str) -> Answer<Result<Option<ProviderView>, String>> {
        let url = format!("{}/bookings/{}", self.base, encode(key));
        let sent = self.send(Request::get(url).body(Bytes::new())).await;
        let throttled = |response: &&Response<Bytes>| {
            let status = response.status();
            matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            )
        };
        let response = sent.as_ref().ok().filter(throttled);
        let retry_after = response.and_then(|response| self.retry_after(response.headers()));
        let answer = read(sent, |status, body| match status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => serde_json::from_slice::<ProviderView>(body)
                .ok()
                .filter(|view| view.key == key)
                .map(Some)
                .ok_or("the look-up's answer cannot be read"),
        });
        Answer {
            retry_after,
            ..answer
        }
    }

    /// A page of everything the provider has, after a key.
    ///
    /// # Errors
    /// Why there is none, without anything that the provider wrote.
    pub async fn page(&self, after: Option<&str>, limit: u32) -> Answer<Result<Page, String>> {
        let mut url = format!("{}/bookings?limit={limit}", self.base);
        if let Some(after) = after {
            let _ = write!(url, "&after={}", encode(after));
        }
        let sent = self.send(Request::get(url).body(Bytes::new())).await;
        read(sent, |status, body| match status {
            StatusCode::NOT_FOUND => Err("the provider has no list"),
            _ => serde_json::from_slice(body).map_err(|_| "the list's answer cannot be read"),
        })
    }

    async fn send(
        &self,
        request: http::Result<Request<Bytes>>,
    ) -> Result<Response<Bytes>, Failure> {
        let request = request.map_err(|error| Failure {
            kind: FailureKind::Connect,
            sent: false,
            message: error.to_string(),
        })?;
        self.client.send(request, self.timeout).await
    }

    /// What an answer to a call with an effect means. `accepted` sees every whole answer that can be read.
    fn judge(
        &self,
        sent: Result<Response<Bytes>, Failure>,
        details: &Details,
        accepted: impl FnOnce(StatusCode, &Body) -> Option<Outcome>,
    ) -> Answer<Outcome> {
        let response = match sent {
            Ok(response) => response,
            Err(failure) => {
                return answer(
                    not_answered(&failure),
                    class_of(&failure),
                    failure.kind == FailureKind::Timeout,
                );
            }
        };
        let status = response.status();
        let body: Body = serde_json::from_slice(response.body()).unwrap_or_default();
        if let Some(outcome) = accepted(status, &body) {
            return answer(outcome, CallClass::Success, false);
        }
        let asked = self.retry_after(response.headers());
        let (outcome, class) = match status.as_u16() {
            429 => (
                Outcome::Throttled { retry_after: asked },
                CallClass::CallerFault,
            ),
            503 if asked.is_some() => (
                Outcome::Throttled { retry_after: asked },
                CallClass::ProviderFault,
            ),
            400..=499 if status != StatusCode::REQUEST_TIMEOUT => (
                Outcome::Rejected {
                    code: code(status, &body, details),
                },
                CallClass::CallerFault,
            ),
            _ => (
                Outcome::Unknown {
                    cause: cause(status, &body, details),
                    answered: true,
                },
                CallClass::ProviderFault,
            ),
        };
        answer(outcome, class, false)
    }

    fn retry_after(&self, headers: &HeaderMap) -> Option<Duration> {
        // Two headers: the longer wait holds.
        headers
            .get_all(header::RETRY_AFTER)
            .iter()
            .filter_map(|value| parse_retry_after(value.to_str().ok()?, self.host.now()))
            .max()
    }
}

/// A call with an effect: it carries the idempotency key and the lease's epoch.
fn effect(entry: &Entry, url: String) -> http::request::Builder {
    Request::builder()
        .method(Method::POST)
        .uri(url)
        .header("idempotency-key", encode(&entry.key))
        .header("x-attempt-epoch", entry.lease_epoch)
}

fn answer<T>(meaning: T, class: CallClass, timed_out: bool) -> Answer<T> {
    Answer {
        meaning,
        class,
        timed_out,
        retry_after: None,
    }
}

fn not_answered(failure: &Failure) -> Outcome {
    let cause = kind_word(&failure.kind).to_owned();
    if failure.sent {
        Outcome::Unknown {
            cause,
            answered: false,
        }
    } else {
        Outcome::NotSent { cause }
    }
}

fn class_of(failure: &Failure) -> CallClass {
    if failure.sent {
        CallClass::ProviderFault
    } else {
        CallClass::ConnectFailure
    }
}

fn kind_word(kind: &FailureKind) -> &'static str {
    match kind {
        FailureKind::Connect => "no connection",
        FailureKind::Timeout => "no answer in time",
        FailureKind::Broken => "the connection broke before a whole answer",
        FailureKind::TooLarge => "the answer is too long",
    }
}

/// A read's answer: 2xx and 404 go to `parse`, everything else is a failure.
fn read<T>(
    sent: Result<Response<Bytes>, Failure>,
    parse: impl FnOnce(StatusCode, &Bytes) -> Result<T, &'static str>,
) -> Answer<Result<T, String>> {
    let response = match sent {
        Ok(response) => response,
        Err(failure) => {
            let timed_out = failure.kind == FailureKind::Timeout;
            let word = kind_word(&failure.kind).to_owned();
            return answer(Err(word), class_of(&failure), timed_out);
        }
    };
    let status = response.status();
    if !status.is_success() && status != StatusCode::NOT_FOUND {
        let class = if status.is_server_error() {
            CallClass::ProviderFault
        } else {
            CallClass::CallerFault
        };
        return answer(Err(format!("answered {}", status.as_u16())), class, false);
    }
    match parse(status, response.body()) {
        Ok(value) => answer(Ok(value), CallClass::Success, false),
        Err(why) => answer(Err(why.to_owned()), CallClass::ProviderFault, false),
    }
}

/// The provider's code when it is one, and the status in its place when it is prose.
fn code(status: StatusCode, body: &Body, details: &Details) -> String {
    let stable = |code: &&str| {
        (1..=64).contains(&code.len())
            && code
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    match body.code.as_deref().filter(stable) {
        Some(code) => scrub(code, details),
        None => format!("status_{}", status.as_u16()),
    }
}

fn cause(status: StatusCode, body: &Body, details: &Details) -> String {
    let mut text = format!("answered {}", status.as_u16());
    for said in [&body.code, &body.message].into_iter().flatten() {
        // Scrubbed whole, then cut: a name that the cut would halve is gone before.
        let said: String = scrub(said, details).chars().take(TEXT_CHARS).collect();
        let _ = write!(text, ": {said}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details() -> Details {
        Details {
            time: "2030-01-31T09:30:00Z".into(),
            patient_name: "Alice Angstrom".into(),
            email: Some("alice@example.org".into()),
            note: None,
        }
    }

    #[test]
    fn provider_texts_are_scrubbed_and_cut() {
        let body = Body {
            message: Some(format!("no slot for Alice Angstrom {}", "x".repeat(500))),
            ..Body::default()
        };
        let text = cause(StatusCode::BAD_GATEWAY, &body, &details());
        assert!(
            text.starts_with("answered 502: no slot for *** x"),
            "{text}"
        );
        assert!(text.len() < 200, "{text}");
    }

    #[test]
    fn codes_are_words_or_the_status() {
        let body = |code: &str| Body {
            code: Some(code.to_owned()),
            ..Body::default()
        };
        let check = |said: &str, expect: &str| {
            assert_eq!(code(StatusCode::CONFLICT, &body(said), &details()), expect);
        };
        check("slot_taken", "slot_taken");
        check("sorry, Alice", "status_409");
        check("", "status_409");
    }
}
