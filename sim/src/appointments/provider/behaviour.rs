//! What the mock is to do, from a drawn table.
//!
//! **Invariant**: nothing is drawn or refused here; ranges that were not drawn count as their low end.

use std::time::Duration;

use rehearsal_core::time::Timestamp;
use rehearsal_mocks::provider::{self as mock, Behaviour};

use super::{ErrorRule, GarbleRule, ListingLag, Provider, Window};
use crate::range::{Latency, Range};

impl Provider {
    /// What the mock is to do, with a run that starts at `started_at`. Ranges that were not drawn count as their low end.
    pub fn behaviour(&self, started_at: Timestamp) -> Behaviour {
        Behaviour {
            seed: u64::from(self.seed.unwrap_or_default()),
            started_at,
            latency: latency(self.latency),
            errors: self.errors.iter().map(ErrorRule::mock).collect(),
            hang_rate: self.hang_rate.low,
            processed_but_unanswered: self.processed_but_unanswered.low,
            garbled: self.garbled.iter().map(GarbleRule::mock).collect(),
            listing_lag: self.listing_lag.map(ListingLag::mock),
            idempotent: self.idempotent,
            tombstones: self.tombstones,
            windows: self
                .windows
                .iter()
                .map(Window::mock)
                .chain(self.healed_from_s.map(healthy))
                .collect(),
        }
    }
}

impl ErrorRule {
    fn mock(&self) -> mock::ErrorRule {
        mock::ErrorRule {
            retry_after: self.retry_after_s.map(seconds),
            retry_after_date: self.retry_after_date_s.map(seconds),
            retry_after_text: self.retry_after_text.clone(),
            processed: self.processed,
            operations: self.operations.clone(),
            ..mock::ErrorRule::new(self.status, self.rate.low)
        }
    }
}

impl GarbleRule {
    fn mock(&self) -> mock::GarbleRule {
        mock::GarbleRule {
            how: self.how,
            rate: self.rate.low,
            operations: self.operations.clone(),
        }
    }
}

impl ListingLag {
    fn mock(self) -> mock::ListingLag {
        mock::ListingLag {
            rate: self.rate.low,
            lag: latency(self.lag),
            look_ups: self.look_ups,
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
            garbled: self
                .garbled
                .as_ref()
                .map(|rules| rules.iter().map(GarbleRule::mock).collect()),
            listing_lag: self.listing_lag.map(ListingLag::mock),
            ..mock::Window::new(seconds(self.from_s.low), seconds(self.to_s.low))
        }
    }
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

/// A century: longer than any run.
const FOR_EVER_S: f64 = 100.0 * 365.0 * 86_400.0;

/// What ends every failing: the last window wins. The latency stays, as it is the provider's nature.
fn healthy(from_s: Range) -> mock::Window {
    mock::Window {
        errors: Some(Vec::new()),
        hang_rate: Some(0.0),
        processed_but_unanswered: Some(0.0),
        garbled: Some(Vec::new()),
        listing_lag: Some(mock::ListingLag {
            rate: 0.0,
            lag: latency(Latency::FixedMs(0.0)),
            look_ups: false,
        }),
        ..mock::Window::new(seconds(from_s.low), seconds(FOR_EVER_S))
    }
}
