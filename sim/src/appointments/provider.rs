//! `[providers.NAME]`: how a scheduling provider behaves.
//!
//! **Invariant**: once drawn, the table gives one [`Behaviour`] of the mock; nothing of it is decided later.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rehearsal_core::time::Timestamp;
use rehearsal_mocks::provider::{self as mock, Behaviour, Operation};
use serde::{Deserialize, Serialize};

use crate::{
    chance::Chance,
    range::{Latency, Range},
};

/// The table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// How long an answer takes.
    pub latency: Latency,
    /// Errors; at most one is drawn for a call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorRule>,
    /// The share of calls that are neither processed nor answered.
    pub hang_rate: Range,
    /// The share of bookings and cancels that take effect and are never answered.
    pub processed_but_unanswered: Range,
    /// Whether a repeat of a booked key answers the first booking; otherwise it books again.
    pub idempotent: bool,
    /// Whether a cancel makes every later booking with its key fail.
    pub tombstones: bool,
    /// Spans of time with other behaviour; where they overlap, the later one in the list wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// The seed of the provider's own draws. Drawn, unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
}

/// One kind of error and how often it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// The answer's status, 400 to 599.
    pub status: u16,
    /// The share of calls that get it.
    pub rate: Range,
    /// Sent as `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<f64>,
    /// Whether the call takes effect before the error is answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub processed: bool,
    /// Which operations it strikes; every one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// A span of time in which what it names differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its beginning, in seconds since the run's start.
    pub from_s: Range,
    /// Its end.
    pub to_s: Range,
    /// In place of the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// In place of the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<ErrorRule>>,
    /// In place of the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hang_rate: Option<Range>,
    /// In place of the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_but_unanswered: Option<Range>,
}

impl Default for Provider {
    /// Answers within 10 to 50 ms and never fails.
    fn default() -> Self {
        Self {
            latency: Latency::UniformMs([10.0, 50.0]),
            errors: Vec::new(),
            hang_rate: Range::fixed(0.0),
            processed_but_unanswered: Range::fixed(0.0),
            idempotent: true,
            tombstones: true,
            windows: Vec::new(),
            seed: None,
        }
    }
}

impl Provider {
    /// Draws whatever is open.
    pub fn draw(&mut self, chance: &Chance) {
        let mut rng = chance.named("settings").rng();
        fix(&mut self.hang_rate, &mut rng);
        fix(&mut self.processed_but_unanswered, &mut rng);
        self.errors
            .iter_mut()
            .for_each(|rule| fix(&mut rule.rate, &mut rng));
        for (number, window) in self.windows.iter_mut().enumerate() {
            let mut rng = chance.named("windows").named(number).rng();
            fix(&mut window.from_s, &mut rng);
            fix(&mut window.to_s, &mut rng);
            window
                .errors
                .iter_mut()
                .flatten()
                .for_each(|rule| fix(&mut rule.rate, &mut rng));
            window
                .hang_rate
                .iter_mut()
                .chain(&mut window.processed_but_unanswered)
                .for_each(|share| fix(share, &mut rng));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "32 bits of the stream are a seed, and TOML keeps them"
        )]
        self.seed
            .get_or_insert_with(|| chance.named("seed").seed() as u32);
    }

    /// What the mock is to do, with a run that starts at `started_at`. Ranges that were not drawn count as their low end.
    pub fn behaviour(&self, started_at: Timestamp) -> Behaviour {
        Behaviour {
            seed: u64::from(self.seed.unwrap_or_default()),
            started_at,
            latency: latency(self.latency),
            errors: self.errors.iter().map(ErrorRule::mock).collect(),
            hang_rate: self.hang_rate.low,
            processed_but_unanswered: self.processed_but_unanswered.low,
            idempotent: self.idempotent,
            tombstones: self.tombstones,
            windows: self.windows.iter().map(Window::mock).collect(),
        }
    }

    /// Refuses what no provider can do; `name` is for the message.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let place = |error: String| format!("providers.{name}.{error}");
        let latencies = std::iter::once(self.latency)
            .chain(self.windows.iter().filter_map(|window| window.latency));
        for latency in latencies {
            latency
                .check()
                .map_err(|error| place(format!("latency: {error}")))?;
        }
        // Both ends of every range have to be possible.
        let mut highest = self.clone();
        for range in highest.shares() {
            *range = Range::fixed(range.high);
        }
        for window in &mut highest.windows {
            window.to_s = Range::fixed(window.to_s.low);
            window.from_s = Range::fixed(window.from_s.high);
        }
        highest
            .behaviour(Timestamp::default())
            .check()
            .map_err(|error| place(error.to_string()))
    }

    fn shares(&mut self) -> Vec<&mut Range> {
        let mut all = vec![&mut self.hang_rate, &mut self.processed_but_unanswered];
        all.extend(self.errors.iter_mut().map(|rule| &mut rule.rate));
        for window in &mut self.windows {
            all.extend(
                window
                    .errors
                    .iter_mut()
                    .flatten()
                    .map(|rule| &mut rule.rate),
            );
            all.extend(
                window
                    .hang_rate
                    .iter_mut()
                    .chain(&mut window.processed_but_unanswered),
            );
        }
        all
    }
}

impl ErrorRule {
    fn mock(&self) -> mock::ErrorRule {
        mock::ErrorRule {
            retry_after: self.retry_after_s.map(seconds),
            processed: self.processed,
            operations: self.operations.clone(),
            ..mock::ErrorRule::new(self.status, self.rate.low)
        }
    }
}

impl Window {
    fn mock(&self) -> mock::Window {
        mock::Window {
            latency: self.latency.map(latency),
            errors: self
                .errors
                .as_ref()
                .map(|rules| rules.iter().map(ErrorRule::mock).collect()),
            hang_rate: self.hang_rate.map(|share| share.low),
            processed_but_unanswered: self.processed_but_unanswered.map(|share| share.low),
            ..mock::Window::new(seconds(self.from_s.low), seconds(self.to_s.low))
        }
    }
}

fn fix(range: &mut Range, rng: &mut ChaCha8Rng) {
    *range = Range::fixed(range.draw(rng));
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

fn latency(latency: Latency) -> mock::Latency {
    let ms = |ms: f64| seconds(ms / 1000.0);
    match latency {
        Latency::FixedMs(fixed) => mock::Latency::Fixed(ms(fixed)),
        Latency::UniformMs([min, max]) => mock::Latency::Uniform {
            min: ms(min),
            max: ms(max),
        },
        Latency::LognormalMs(percentiles) => mock::Latency::Lognormal {
            p50: ms(percentiles.p50),
            p95: ms(percentiles.p95),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Provider {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_open_is_drawn_once() {
        let mut provider = parse(
            "windows = [{ from_s = [1, 2], to_s = [3, 4], errors = [{ status = 503, rate = 1 }] }]\nhang_rate = [0, 0.5]",
        );
        provider.check("acme").unwrap();
        provider.draw(&Chance::new(3));
        let drawn = provider.clone();
        provider.draw(&Chance::new(4));
        assert_eq!(provider, drawn, "nothing was left open");
        let behaviour = drawn.behaviour(Timestamp::default());
        let window = &behaviour.windows[0];
        assert!(
            (1.0..=2.0).contains(&window.from.as_secs_f64())
                && (3.0..=4.0).contains(&window.to.as_secs_f64())
        );
        assert!(behaviour.hang_rate <= 0.5 && behaviour.hang_rate > 0.0);
    }

    #[test]
    fn what_no_provider_can_do_is_refused_with_its_place() {
        for (text, place) in [
            ("hang_rate = [0, 1.5]", "providers.acme.hang_rate"),
            (
                "errors = [{ status = 200, rate = 1 }]",
                "providers.acme.errors[0].status",
            ),
            (
                "errors = [{ status = 500, rate = 0.6 }, { status = 503, rate = 0.6 }]",
                "providers.acme.errors",
            ),
            (
                "latency = { lognormal_ms = { p50 = 100, p95 = 50 } }",
                "providers.acme.latency",
            ),
            (
                "windows = [{ from_s = [1, 5], to_s = 4 }]",
                "providers.acme.windows[0].to_ms",
            ),
        ] {
            let error = parse(text).check("acme").unwrap_err();
            assert!(error.starts_with(place), "{text}: {error}");
        }
    }
}
