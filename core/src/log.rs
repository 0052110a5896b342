//! The structured log: what a line says and how it is written.
//!
//! The one invariant: a line is a JSON object with exactly the keys `time`, `request_id`, `appointment_id`, `evt`,
//! `level`, `message` and `extra`, and its `extra` never shows a `patient_name` or an `email`.
//! It deliberately does not write anywhere.

mod extra;

use alloc::{borrow::Cow, string::String};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::{
    identity::{AppointmentId, RequestId},
    mask::{mask_email, mask_name},
    time::Timestamp,
};

pub use self::extra::Extra;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For whoever looks for a fault.
    Debug,
    /// The normal course.
    Info,
    /// Not as it should be, and handled.
    Warn,
    /// Somebody has to look.
    Error,
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $text:literal @ $level:ident,)*) => {
        /// What happened; the log's `evt`, in `snake_case`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Evt { $($(#[$doc])* $name,)* }

        impl Evt {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in the log.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The level that it is usually logged at.
            pub const fn level(self) -> Level {
                match self { $(Self::$name => Level::$level),* }
            }
        }
    };
}

events! {
    /// A role has started.
    Started = "started" @ Info,
    /// A role is stopping.
    Stopping = "stopping" @ Info,
    /// A submission was accepted.
    RequestAccepted = "request_accepted" @ Info,
    /// A repeat was answered from what is stored.
    IdempotentHit = "idempotent_hit" @ Info,
    /// A used key came with another payload.
    IdempotencyConflict = "idempotency_conflict" @ Warn,
    /// A submission broke rules.
    ValidationFailed = "validation_failed" @ Info,
    /// A client cancelled.
    CancelRequested = "cancel_requested" @ Info,
    /// A worker starts an attempt.
    AttemptStarted = "attempt_started" @ Info,
    /// A worker looks up what an earlier attempt did.
    ResolveStarted = "resolve_started" @ Info,
    /// The look-up gave an answer.
    Resolved = "resolved" @ Info,
    /// The provider answered.
    ProviderAnswered = "provider_answered" @ Info,
    /// The provider answered with a fault, or could not be reached.
    ProviderError = "provider_error" @ Warn,
    /// The provider did not answer in time.
    ProviderTimeout = "provider_timeout" @ Warn,
    /// Another attempt will follow.
    RetryScheduled = "retry_scheduled" @ Info,
    /// An attempt was put off without being counted.
    Deferred = "deferred" @ Info,
    /// The appointment is booked.
    Confirmed = "confirmed" @ Info,
    /// The appointment failed.
    Failed = "failed" @ Warn,
    /// A compensating cancel is queued.
    CompensationQueued = "compensation_queued" @ Warn,
    /// The appointment is cancelled.
    Cancelled = "cancelled" @ Info,
    /// An entry went to the dead-letter queue.
    DeadLettered = "dead_lettered" @ Error,
    /// A worker's lease ran out and was rescued.
    LeaseExpired = "lease_expired" @ Warn,
    /// A settle came from a lease that is over.
    StaleSettle = "stale_settle" @ Warn,
    /// A breaker opened.
    BreakerOpened = "breaker_opened" @ Warn,
    /// A breaker lets probes through.
    BreakerHalfOpen = "breaker_half_open" @ Info,
    /// A breaker closed.
    BreakerClosed = "breaker_closed" @ Info,
    /// A worker asks an idle provider whether it works, for its breaker.
    ProbeStarted = "probe_started" @ Info,
    /// The idle provider answered, or did not.
    Probed = "probed" @ Info,
    /// An audit pass starts.
    AuditStarted = "audit_started" @ Info,
    /// The two sides differ.
    AuditFinding = "audit_finding" @ Warn,
    /// The auditor queued a repair.
    AuditRepair = "audit_repair" @ Warn,
    /// An audit pass is over.
    AuditDone = "audit_done" @ Info,
    /// The store failed.
    StoreError = "store_error" @ Error,
    /// A worker failed.
    WorkerError = "worker_error" @ Error,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogEvent {
    /// When.
    pub time: Timestamp,
    /// The request it belongs to.
    pub request_id: Option<RequestId>,
    /// The appointment it belongs to.
    pub appointment_id: Option<AppointmentId>,
    /// What happened.
    pub evt: Evt,
    /// How much it matters.
    pub level: Level,
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// Figures and names for machines.
    pub extra: Extra,
}

/// A line's keys in their order.
#[derive(Serialize)]
struct Line<'a> {
    time: f64,
    request_id: Option<&'a RequestId>,
    appointment_id: Option<&'a AppointmentId>,
    evt: Evt,
    level: Level,
    message: &'a str,
    extra: Shown<'a>,
}

/// `extra` as it may be shown.
struct Shown<'a>(&'a Extra);

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, masked(key, value))))
    }
}

impl LogEvent {
    /// An event at its usual level, that belongs to no request yet.
    pub fn new(time: Timestamp, evt: Evt, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            time,
            request_id: None,
            appointment_id: None,
            evt,
            level: evt.level(),
            message: message.into(),
            extra: Extra::default(),
        }
    }

    /// The same event, of this request.
    #[must_use]
    pub fn request(mut self, id: &RequestId) -> Self {
        self.request_id = Some(id.clone());
        self
    }

    /// The same event, of this appointment.
    #[must_use]
    pub fn appointment(mut self, id: &AppointmentId) -> Self {
        self.appointment_id = Some(id.clone());
        self
    }

    /// The same event with one more figure or name.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.extra.insert(key, value);
        self
    }

    /// The line, without its end: `time` in Unix seconds, absent ids as null, personal keys of `extra` masked.
    pub fn to_line(&self) -> String {
        let line = Line {
            time: self.time.as_micros() as f64 / 1e6,
            request_id: self.request_id.as_ref(),
            appointment_id: self.appointment_id.as_ref(),
            evt: self.evt,
            level: self.level,
            message: &self.message,
            extra: Shown(&self.extra),
        };
        serde_json::to_string(&line).expect("keys are strings and numbers are finite")
    }
}

/// `value` as it may be shown under `key`.
fn masked<'a>(key: &str, value: &'a Value) -> Cow<'a, Value> {
    let owned = |key: &str, value| masked(key, value).into_owned();
    Cow::Owned(match (key, value) {
        ("patient_name", Value::String(name)) => Value::String(mask_name(name)),
        ("patient_name" | "email", Value::Null) => Value::Null,
        ("patient_name" | "email", _) => Value::String(mask_email("")),
        (_, Value::Object(fields)) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), owned(key, value)))
                .collect(),
        ),
        (_, Value::Array(items)) => {
            Value::Array(items.iter().map(|item| owned("", item)).collect())
        }
        _ => return Cow::Borrowed(value),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_exactly_its_keys() {
        let event = LogEvent::new(
            Timestamp::from_micros(1_680_000_000_250_000),
            Evt::ProviderError,
            "acme answered 503",
        )
        .request(&RequestId::parse("r-123").unwrap())
        .with("attempt", 2);
        assert_eq!(
            event.to_line(),
            r#"{"time":1680000000.25,"request_id":"r-123","appointment_id":null,"evt":"provider_error","level":"warn","message":"acme answered 503","extra":{"attempt":2}}"#
        );
    }

    #[test]
    fn personal_keys_are_masked_at_any_depth() {
        let line = LogEvent::new(Timestamp::default(), Evt::StoreError, "x")
            .with("patient_name", "Alice")
            .with("email", "alice@example.org")
            .with(
                "body",
                json!([{"email": ["alice@example.org"], "patient_name": "Alice"}]),
            )
            .to_line();
        assert!(!line.contains("lice"), "{line}");
        assert!(line.contains(r#""patient_name":"A***""#), "{line}");
    }

    #[test]
    fn names_agree_with_json() {
        for evt in Evt::ALL {
            let json = serde_json::to_value(evt).unwrap();
            assert_eq!(json, evt.as_str());
        }
        assert_eq!(Evt::ALL.len(), 33);
    }
}
