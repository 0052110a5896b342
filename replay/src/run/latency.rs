//! Latencies of one side: from the intended time (what a client of an open system feels) and from the real sending (what the service took).
//!
//! **Invariant**: one slow answer delays no measurement of another: each counts from its own intended time, so nothing is omitted.

use hdrhistogram::Histogram;

/// Microseconds up to an hour, to three digits.
const HIGHEST_US: u64 = 3_600_000_000;

/// Three distributions, in microseconds.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Latency {
    response: Distribution,
    service: Distribution,
    late: Distribution,
}

/// A histogram and the exact largest value, which a histogram rounds.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(from = "Counts", into = "Counts")]
struct Distribution {
    histogram: Histogram<u64>,
    max_us: u64,
}

/// A [`Distribution`] as it is written: how many values each bucket in use has, told by one of them.
#[derive(serde::Serialize, serde::Deserialize)]
struct Counts {
    buckets: Vec<(u64, u64)>,
    max_us: u64,
}

impl From<Distribution> for Counts {
    fn from(distribution: Distribution) -> Self {
        let buckets = distribution.histogram.iter_recorded();
        Self {
            buckets: buckets
                .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
                .collect(),
            max_us: distribution.max_us,
        }
    }
}

impl From<Counts> for Distribution {
    fn from(counts: Counts) -> Self {
        let mut distribution = Self::new();
        for (value, count) in counts.buckets {
            distribution.histogram.saturating_record_n(value, count);
        }
        Self {
            max_us: counts.max_us,
            ..distribution
        }
    }
}

/// What a report says about a histogram, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Percentiles {
    /// How many values.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

/// How well a run kept to its intended times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Punctuality {
    /// Requests that were sent.
    pub sent: u64,
    /// Of those, the ones that left more than [`LATE_NS`] after their time.
    pub late: u64,
    /// Late ones that waited for an earlier request of their entity or session, or for a value of an earlier answer.
    pub waited: u64,
    /// Late ones that waited because as many requests as allowed were under way: from there on the load was that of a closed loop.
    pub held_back: u64,
    /// The median time from the intended sending to the end of the first tenth of the requests, in milliseconds.
    pub first_ms: u64,
    /// And of the last tenth. Where it is much longer, a queue has grown: the target answers fewer requests a second than it was sent.
    pub last_ms: u64,
}

/// A request that leaves later than this after its time is late: ten times the error that a punctual sender may have.
pub const LATE_NS: u64 = 10_000_000;

/// A queue has grown when answers at the end take so many times as long as those at the beginning,
const GROWN: u64 = 3;
/// and so many milliseconds longer: below that, a few slow answers do it.
const GROWN_MS: u64 = 250;

/// With a larger share of late requests, the intended load was not offered.
const LATE_SHARE: f64 = 0.01;

impl Punctuality {
    /// The share of late requests.
    pub fn late_share(&self) -> f64 {
        self.late as f64 / self.sent.max(1) as f64
    }

    /// Whether the target fell behind: answers took ever longer.
    pub fn fell_behind(&self) -> bool {
        self.last_ms > GROWN * self.first_ms && self.last_ms > self.first_ms + GROWN_MS
    }

    /// Whether the intended load was offered.
    pub fn kept_up(&self) -> bool {
        self.late_share() <= LATE_SHARE && self.held_back == 0
    }
}

impl Latency {
    /// Nothing recorded.
    pub fn new() -> Self {
        Self {
            response: Distribution::new(),
            service: Distribution::new(),
            late: Distribution::new(),
        }
    }

    /// Records one answer: intended, sent and answered, in nanoseconds from the same start.
    pub fn record(&mut self, intended_ns: u64, sent_ns: u64, answered_ns: u64) {
        self.response.record(intended_ns, answered_ns);
        self.service.record(sent_ns, answered_ns);
    }

    /// Records one sending: how late it was.
    pub fn record_sending(&mut self, intended_ns: u64, sent_ns: u64) {
        self.late.record(intended_ns, sent_ns);
    }

    /// From the intended time to the answer.
    pub fn response(&self) -> Percentiles {
        self.response.percentiles()
    }

    /// From the sending to the answer.
    pub fn service(&self) -> Percentiles {
        self.service.percentiles()
    }

    /// From the intended time to the sending.
    pub fn late(&self) -> Percentiles {
        self.late.percentiles()
    }
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Distribution {
    fn new() -> Self {
        Self {
            histogram: Histogram::new_with_bounds(1, HIGHEST_US, 3)
                .expect("the bounds are constants that fit"),
            max_us: 0,
        }
    }

    fn record(&mut self, from_ns: u64, to_ns: u64) {
        let us = to_ns.saturating_sub(from_ns) / 1_000;
        self.max_us = self.max_us.max(us);
        self.histogram.saturating_record(us);
    }

    fn percentiles(&self) -> Percentiles {
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile: f64| ms(self.histogram.value_at_quantile(quantile).min(self.max_us));
        Percentiles {
            count: self.histogram.len(),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: ms(self.max_us),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_request_in_a_hundred_is_kept_up_and_more_are_not() {
        let check = |late, held_back, expect| {
            let kept = Punctuality {
                sent: 1_000,
                late,
                held_back,
                ..Punctuality::default()
            };
            assert_eq!(kept.kept_up(), expect, "{kept:?}");
        };
        check(10, 0, true);
        check(11, 0, false);
        check(1, 1, false);
        assert!(Punctuality::default().kept_up());
    }

    #[test]
    fn answers_that_take_ever_longer_are_a_target_that_fell_behind() {
        let check = |first_ms, last_ms, expect| {
            let kept = Punctuality {
                first_ms,
                last_ms,
                ..Punctuality::default()
            };
            assert_eq!(kept.fell_behind(), expect, "{kept:?}");
        };
        check(10, 6_000, true);
        check(10, 30, false);
        check(2_000, 2_300, false);
        check(0, 251, true);
        check(0, 250, false);
    }

    #[test]
    fn waiting_to_be_sent_counts_as_latency() {
        let mut latency = Latency::new();
        for request in 0..100u64 {
            // One a millisecond is intended; all are sent after a stall of a second, and answered in 2 ms.
            let intended = request * 1_000_000;
            let sent = 1_000_000_000;
            latency.record_sending(intended, sent);
            latency.record(intended, sent, sent + 2_000_000);
        }
        assert!(latency.response().p50 > 940.0);
        assert!((latency.service().p99 - 2.0).abs() < 0.01);
        assert!(latency.late().max >= 999.0);
        assert_eq!(latency.response().count, 100);
    }
}
