//! `[providers.NAME]`: how a scheduling provider behaves.
//!
//! **Invariant**: once drawn, the table gives one [`Behaviour`] of the mock; nothing of it is decided later.

mod behaviour;

use rand_chacha::ChaCha8Rng;
use rehearsal_core::time::Timestamp;
use rehearsal_mocks::provider::{Garbling, Operation};
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
    /// Answers that cannot be read, to calls that took effect; at most one is drawn for a call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub garbled: Vec<GarbleRule>,
    /// How late a booking shows in the list; at once when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_lag: Option<ListingLag>,
    /// Whether a repeat of a booked key answers the first booking; otherwise it books again.
    pub idempotent: bool,
    /// Whether a cancel makes every later booking with its key fail.
    pub tombstones: bool,
    /// Spans of time with other behaviour; where they overlap, the later one in the list wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// From then on it neither fails nor is late in its list, in seconds since the run's start: a fault that must be over for the system to
    /// come to rest. Never, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healed_from_s: Option<Range>,
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
    /// Sent as `Retry-After`, in whole seconds rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<f64>,
    /// Sent as `Retry-After`, as the HTTP date that lies so far ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_date_s: Option<f64>,
    /// Sent as `Retry-After`, word for word: `"-1"`, `"soon"`. With several of the three, as many headers are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_text: Option<String>,
    /// Whether the call takes effect before the error is answered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub processed: bool,
    /// Which operations it strikes; every one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// One kind of unreadable answer and how often it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GarbleRule {
    /// `not_json`, `wrong_shape` or `truncated`.
    pub how: Garbling,
    /// The share of calls that get it.
    pub rate: Range,
    /// Which operations it strikes; every one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
}

/// A list that is eventually consistent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingLag {
    /// The share of bookings that show late.
    pub rate: Range,
    /// How late. What shows later than the auditor's horizon is reported until it shows.
    pub lag: Latency,
    /// Whether look-ups by key are late, too. Without idempotency that would be a provider that nobody can use.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub look_ups: bool,
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
    /// In place of the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub garbled: Option<Vec<GarbleRule>>,
    /// In place of the provider's, for bookings that are made within.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_lag: Option<ListingLag>,
}

impl Default for Provider {
    /// Answers within 10 to 50 ms and never fails.
    fn default() -> Self {
        Self {
            latency: Latency::UniformMs([10.0, 50.0]),
            errors: Vec::new(),
            hang_rate: Range::fixed(0.0),
            processed_but_unanswered: Range::fixed(0.0),
            garbled: Vec::new(),
            listing_lag: None,
            idempotent: true,
            tombstones: true,
            windows: Vec::new(),
            healed_from_s: None,
            seed: None,
        }
    }
}

impl Provider {
    /// Leaves out what `keeps` says no to: each error, garbled answer and window by its number, each share and mode by its key.
    pub fn thin(&mut self, keeps: &dyn Fn(&str) -> bool) {
        fn pick<T>(list: &mut Vec<T>, key: &str, keeps: &dyn Fn(&str) -> bool) {
            let mut number = 0_usize..;
            list.retain(|_| keeps(&format!("{key}[{}]", number.next().unwrap_or_default())));
        }
        pick(&mut self.errors, "errors", keeps);
        pick(&mut self.garbled, "garbled", keeps);
        pick(&mut self.windows, "windows", keeps);
        for (key, share) in [
            ("hang_rate", &mut self.hang_rate),
            (
                "processed_but_unanswered",
                &mut self.processed_but_unanswered,
            ),
        ] {
            if !keeps(key) {
                *share = Range::fixed(0.0);
            }
        }
        self.listing_lag = self.listing_lag.filter(|_| keeps("listing_lag"));
        // A mode that is a fault: left out, the provider is as good as it can be.
        self.idempotent |= !keeps("idempotent");
        self.tombstones |= !keeps("tombstones");
    }

    /// Draws whatever is open.
    pub fn draw(&mut self, chance: &Chance) {
        let mut rng = chance.named("settings").rng();
        fix(&mut self.hang_rate, &mut rng);
        fix(&mut self.processed_but_unanswered, &mut rng);
        self.errors
            .iter_mut()
            .for_each(|rule| fix(&mut rule.rate, &mut rng));
        let garbled = self.garbled.iter_mut().map(|rule| &mut rule.rate);
        garbled
            .chain(self.listing_lag.as_mut().map(|lag| &mut lag.rate))
            .for_each(|share| fix(share, &mut rng));
        if let Some(healed_from) = &mut self.healed_from_s {
            fix(healed_from, &mut chance.named("healed_from_s").rng());
        }
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
            let garbled = window.garbled.iter_mut().flatten();
            garbled
                .map(|rule| &mut rule.rate)
                .chain(window.listing_lag.as_mut().map(|lag| &mut lag.rate))
                .for_each(|share| fix(share, &mut rng));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "32 bits of the stream are a seed, and TOML keeps them"
        )]
        self.seed
            .get_or_insert_with(|| chance.named("seed").seed() as u32);
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
        for rule in self.every_error() {
            rule.check().map_err(&place)?;
        }
        for lag in self.every_lag() {
            lag.lag
                .check()
                .map_err(|error| place(format!("listing_lag.lag: {error}")))?;
            if lag.look_ups && !self.idempotent {
                return Err(place(
                    "listing_lag.look_ups: found true with idempotent = false, where nobody can tell a lost booking from a late one; expected one of the two"
                        .to_owned(),
                ));
            }
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

    fn every_error(&self) -> impl Iterator<Item = &ErrorRule> {
        let windows = self.windows.iter();
        let within = windows.flat_map(|window| window.errors.iter().flatten());
        self.errors.iter().chain(within)
    }

    fn every_lag(&self) -> impl Iterator<Item = &ListingLag> {
        let within = self.windows.iter().filter_map(|it| it.listing_lag.as_ref());
        self.listing_lag.iter().chain(within)
    }

    fn shares(&mut self) -> Vec<&mut Range> {
        let mut all = vec![&mut self.hang_rate, &mut self.processed_but_unanswered];
        all.extend(self.errors.iter_mut().map(|rule| &mut rule.rate));
        all.extend(self.garbled.iter_mut().map(|rule| &mut rule.rate));
        all.extend(self.listing_lag.as_mut().map(|lag| &mut lag.rate));
        for window in &mut self.windows {
            let garbled = window.garbled.iter_mut().flatten();
            all.extend(garbled.map(|rule| &mut rule.rate));
            all.extend(window.listing_lag.as_mut().map(|lag| &mut lag.rate));
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
    /// Refuses waits that are no spans of time, and texts that no header can carry.
    fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("retry_after_s", self.retry_after_s),
            ("retry_after_date_s", self.retry_after_date_s),
        ] {
            if value.is_some_and(|value| !(0.0..=1e9).contains(&value)) {
                return Err(format!(
                    "errors: found {key} = {}, expected 0 to 1000000000 seconds; retry_after_text takes any text",
                    value.unwrap_or_default()
                ));
            }
        }
        match &self.retry_after_text {
            Some(text) if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Err(format!(
                "errors: found retry_after_text = {text:?}, expected printable ASCII"
            )),
            _ => Ok(()),
        }
    }
}

fn fix(range: &mut Range, rng: &mut ChaCha8Rng) {
    *range = Range::fixed(range.draw(rng));
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
    fn a_healed_provider_fails_no_more() {
        let provider = parse(
            "errors = [{ status = 503, rate = 1 }]\nhang_rate = 0.5\nhealed_from_s = 25\nwindows = [{ from_s = 1, to_s = 90, hang_rate = 1 }]",
        );
        provider.check("acme").unwrap();
        let behaviour = provider.behaviour(Timestamp::default());
        // Where windows overlap, the last one wins.
        let last = behaviour.windows.last().unwrap();
        assert_eq!((behaviour.windows.len(), last.from.as_secs()), (2, 25));
        assert!(last.to > 1_000_000 * last.from);
        assert_eq!(
            (last.errors.as_deref(), last.hang_rate),
            (Some(&[][..]), Some(0.0))
        );
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
                "garbled = [{ how = \"truncated\", rate = [0.1, 1.5] }]",
                "providers.acme.garbled[0].rate",
            ),
            (
                "listing_lag = { rate = 2, lag = { fixed_ms = 9 } }",
                "providers.acme.listing_lag.rate",
            ),
            (
                "listing_lag = { rate = 0.5, lag = { fixed_ms = 9 }, look_ups = true }\nidempotent = false",
                "providers.acme.listing_lag.look_ups",
            ),
            (
                "errors = [{ status = 429, rate = 1, retry_after_s = -1 }]",
                "providers.acme.errors: found retry_after_s",
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
