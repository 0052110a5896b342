//! How the provider is told to behave, as data that a plan carries and a person edits.
//!
//! **Invariant**: what is in force depends on the time alone, counted from `started_at` on the wall clock, so that a restarted host goes on
//! where it was. It deliberately draws nothing: that is the course's part.

use std::time::Duration;

use rehearsal_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Operation,
    units::{hexadecimal, maybe_milliseconds, milliseconds},
};

/// Everything that decides what the provider does to a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behaviour {
    /// The seed of every draw. Hexadecimal on disk: TOML and JSON readers lose 64-bit numbers.
    #[serde(with = "hexadecimal")]
    pub seed: u64,
    /// When the scenario starts on the host's wall clock; windows count from here, also after a restart.
    pub started_at: Timestamp,
    /// How long an answer takes.
    pub latency: Latency,
    /// Errors, each with its rate. At most one is drawn for a call.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// The share of calls that are neither processed nor answered.
    #[serde(default)]
    pub hang_rate: f64,
    /// The share of bookings and cancels that take effect and are never answered.
    #[serde(default)]
    pub processed_but_unanswered: f64,
    /// Answers that cannot be read, each with its rate. At most one is drawn for a call that no other fault struck.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub garbled: Vec<GarbleRule>,
    /// How late a booking shows; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_lag: Option<ListingLag>,
    /// Whether a repeat of a booked key answers the first booking; otherwise it books again.
    pub idempotent: bool,
    /// Whether a cancel makes every later booking with its key fail, also when it came first.
    pub tombstones: bool,
    /// Spans of time with other behaviour. Where they overlap, the later one in the list wins, field by field.
    #[serde(default)]
    pub windows: Vec<Window>,
}

/// How long an answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    #[serde(rename = "fixed_ms")]
    Fixed(#[serde(with = "milliseconds")] Duration),
    /// Uniform between two bounds.
    #[serde(rename = "uniform_ms")]
    Uniform {
        /// The shortest.
        #[serde(with = "milliseconds")]
        min: Duration,
        /// The longest.
        #[serde(with = "milliseconds")]
        max: Duration,
    },
    /// Lognormal, as the latencies of real services are; cut at four standard deviations.
    #[serde(rename = "lognormal_ms")]
    Lognormal {
        /// The median.
        #[serde(with = "milliseconds")]
        p50: Duration,
        /// The 95th percentile.
        #[serde(with = "milliseconds")]
        p95: Duration,
    },
}

/// One kind of error and how often it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// The answer's status, 400 to 599.
    pub status: u16,
    /// The share of calls that get it.
    pub rate: f64,
    /// Sent as `Retry-After`, in whole seconds rounded up.
    #[serde(
        default,
        rename = "retry_after_ms",
        with = "maybe_milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after: Option<Duration>,
    /// Sent as `Retry-After`, as the HTTP date that lies so far ahead.
    #[serde(
        default,
        rename = "retry_after_date_ms",
        with = "maybe_milliseconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_after_date: Option<Duration>,
    /// Sent as `Retry-After`, word for word. With several of the three, as many headers are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_text: Option<String>,
    /// Whether the call takes effect before the error is answered.
    #[serde(default)]
    pub processed: bool,
    /// Which operations it strikes; empty means every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

impl ErrorRule {
    /// Answers `status` to a share of `rate` of every operation's calls, before they take effect.
    pub fn new(status: u16, rate: f64) -> Self {
        Self {
            status,
            rate,
            retry_after: None,
            retry_after_date: None,
            retry_after_text: None,
            processed: false,
            operations: Vec::new(),
        }
    }

    pub(super) fn strikes(&self, operation: Operation) -> bool {
        self.operations.is_empty() || self.operations.contains(&operation)
    }
}

impl GarbleRule {
    pub(super) fn strikes(&self, operation: Operation) -> bool {
        self.operations.is_empty() || self.operations.contains(&operation)
    }
}

/// What is wrong with an answer to a call that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Garbling {
    /// The right status over a body that is no JSON.
    NotJson,
    /// The right status over JSON of another shape.
    WrongShape,
    /// A `Content-Length` that is longer than what is sent before the connection closes.
    Truncated,
}

/// One kind of unreadable answer and how often it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GarbleRule {
    /// What is wrong with the answer.
    pub how: Garbling,
    /// The share of calls that get it.
    pub rate: f64,
    /// Which operations it strikes; empty means every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// A list that is eventually consistent: some bookings show in it late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingLag {
    /// The share of bookings that show late.
    pub rate: f64,
    /// How late.
    pub lag: Latency,
    /// Whether look-ups by key are late, too; a cancel always shows at once.
    pub look_ups: bool,
}

/// A span of time, from the scenario's start, in which what it names differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its beginning, included.
    #[serde(rename = "from_ms", with = "milliseconds")]
    pub from: Duration,
    /// Its end, excluded.
    #[serde(rename = "to_ms", with = "milliseconds")]
    pub to: Duration,
    /// Replaces [`Behaviour::latency`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Replaces [`Behaviour::errors`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<ErrorRule>>,
    /// Replaces [`Behaviour::hang_rate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang_rate: Option<f64>,
    /// Replaces [`Behaviour::processed_but_unanswered`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_but_unanswered: Option<f64>,
    /// Replaces [`Behaviour::garbled`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub garbled: Option<Vec<GarbleRule>>,
    /// Replaces [`Behaviour::listing_lag`], for bookings that are made within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_lag: Option<ListingLag>,
}

impl Window {
    /// A window that changes nothing yet.
    pub fn new(from: Duration, to: Duration) -> Self {
        Self {
            from,
            to,
            latency: None,
            errors: None,
            hang_rate: None,
            processed_but_unanswered: None,
            garbled: None,
            listing_lag: None,
        }
    }

    /// An outage: every call is answered with `status`.
    pub fn outage(from: Duration, to: Duration, status: u16) -> Self {
        Self {
            errors: Some(vec![ErrorRule::new(status, 1.0)]),
            ..Self::new(from, to)
        }
    }

    /// A stall: no call is processed or answered.
    pub fn stall(from: Duration, to: Duration) -> Self {
        Self {
            hang_rate: Some(1.0),
            ..Self::new(from, to)
        }
    }
}

/// What is in force at one moment: the behaviour with its windows applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct InForce<'a> {
    pub(super) latency: Latency,
    pub(super) errors: &'a [ErrorRule],
    pub(super) hang_rate: f64,
    pub(super) processed_but_unanswered: f64,
    pub(super) garbled: &'a [GarbleRule],
    pub(super) listing_lag: Option<ListingLag>,
}

impl Behaviour {
    /// Answers at once and never fails; idempotent, with tombstones, its windows (none yet) counted from the epoch.
    pub fn healthy(seed: u64) -> Self {
        Self {
            seed,
            started_at: Timestamp::default(),
            latency: Latency::Fixed(Duration::ZERO),
            errors: Vec::new(),
            hang_rate: 0.0,
            processed_but_unanswered: 0.0,
            garbled: Vec::new(),
            listing_lag: None,
            idempotent: true,
            tombstones: true,
            windows: Vec::new(),
        }
    }

    /// What is in force at `now`. A time before the start counts as the start.
    pub(super) fn at(&self, now: Timestamp) -> InForce<'_> {
        let mut force = InForce {
            latency: self.latency,
            errors: &self.errors,
            hang_rate: self.hang_rate,
            processed_but_unanswered: self.processed_but_unanswered,
            garbled: &self.garbled,
            listing_lag: self.listing_lag,
        };
        let since = now.since(self.started_at);
        for window in &self.windows {
            if (window.from..window.to).contains(&since) {
                force.latency = window.latency.unwrap_or(force.latency);
                force.errors = window.errors.as_deref().unwrap_or(force.errors);
                force.hang_rate = window.hang_rate.unwrap_or(force.hang_rate);
                force.processed_but_unanswered = window
                    .processed_but_unanswered
                    .unwrap_or(force.processed_but_unanswered);
                force.garbled = window.garbled.as_deref().unwrap_or(force.garbled);
                force.listing_lag = window.listing_lag.or(force.listing_lag);
            }
        }
        force
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn elaborate() -> Behaviour {
        Behaviour {
            seed: u64::MAX - 6,
            started_at: Timestamp::from_secs(1_700_000_000),
            latency: Latency::Lognormal {
                p50: ms(40),
                p95: Duration::from_micros(150_125),
            },
            errors: vec![ErrorRule {
                retry_after: Some(ms(2_000)),
                retry_after_date: Some(ms(3_000)),
                retry_after_text: Some("-1".to_owned()),
                processed: true,
                operations: vec![Operation::Book],
                ..ErrorRule::new(503, 0.25)
            }],
            hang_rate: 0.01,
            garbled: vec![GarbleRule {
                how: Garbling::Truncated,
                rate: 0.1,
                operations: vec![Operation::Lookup],
            }],
            listing_lag: Some(ListingLag {
                rate: 0.5,
                lag: Latency::Fixed(ms(700)),
                look_ups: true,
            }),
            windows: vec![
                Window::outage(ms(5_000), ms(9_000), 500),
                Window::stall(ms(8_000), ms(10_000)),
            ],
            ..Behaviour::healthy(0)
        }
    }

    #[test]
    fn survives_toml_and_json() {
        let behaviour = elaborate();
        let text = toml::to_string(&behaviour).expect("a behaviour is TOML");
        assert_eq!(toml::from_str::<Behaviour>(&text).expect(&text), behaviour);
        let text = serde_json::to_string(&behaviour).expect("a behaviour is JSON");
        assert_eq!(
            serde_json::from_str::<Behaviour>(&text).expect(&text),
            behaviour
        );
    }

    #[test]
    fn whole_numbers_are_milliseconds_too_and_negatives_are_none() {
        let latency: Latency = serde_json::from_str(r#"{"lognormal_ms":{"p50":40,"p95":150}}"#)
            .expect("whole milliseconds");
        assert_eq!(
            latency,
            Latency::Lognormal {
                p50: ms(40),
                p95: ms(150)
            }
        );
        assert!(serde_json::from_str::<Latency>(r#"{"fixed_ms":-1}"#).is_err());
    }

    #[test]
    fn windows_override_field_by_field() {
        let behaviour = elaborate();
        let check = |at_ms: u64, errors: Option<u16>, hang_rate: f64| {
            let force = behaviour.at(behaviour.started_at.plus(ms(at_ms)));
            assert_eq!(
                force.errors.first().map(|rule| rule.status),
                errors,
                "errors at {at_ms} ms"
            );
            assert!(
                (force.hang_rate - hang_rate).abs() < f64::EPSILON,
                "hang rate at {at_ms} ms"
            );
        };
        check(0, Some(503), 0.01);
        check(4_999, Some(503), 0.01);
        check(5_000, Some(500), 0.01);
        check(8_500, Some(500), 1.0);
        check(9_000, Some(503), 1.0);
        check(10_000, Some(503), 0.01);
    }
}
