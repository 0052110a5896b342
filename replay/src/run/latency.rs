//! Latencies of one side: from the intended time (what a client of an open system feels) and from the real sending (what the service took).
//!
//! **Invariant**: one slow answer delays no measurement of another: each counts from its own intended time, so nothing is omitted.

use hdrhistogram::Histogram;

/// Microseconds up to an hour, to three digits.
const HIGHEST_US: u64 = 3_600_000_000;

/// Three histograms, in microseconds.
#[derive(Clone, Debug)]
pub struct Latency {
    response: Histogram<u64>,
    service: Histogram<u64>,
    late: Histogram<u64>,
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

impl Latency {
    pub(super) fn new() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, HIGHEST_US, 3).expect("the bounds are constants that fit")
        };
        Self {
            response: histogram(),
            service: histogram(),
            late: histogram(),
        }
    }

    /// Records one answer: intended, sent and answered, in nanoseconds from the same start.
    pub(super) fn record(&mut self, intended_ns: u64, sent_ns: u64, answered_ns: u64) {
        let us = |from: u64, to: u64| to.saturating_sub(from) / 1_000;
        self.response
            .saturating_record(us(intended_ns, answered_ns));
        self.service.saturating_record(us(sent_ns, answered_ns));
    }

    /// Records one sending: how late it was.
    pub(super) fn record_sending(&mut self, intended_ns: u64, sent_ns: u64) {
        self.late
            .saturating_record(sent_ns.saturating_sub(intended_ns) / 1_000);
    }

    /// From the intended time to the answer.
    pub fn response(&self) -> Percentiles {
        percentiles(&self.response)
    }

    /// From the sending to the answer.
    pub fn service(&self) -> Percentiles {
        percentiles(&self.service)
    }

    /// From the intended time to the sending.
    pub fn late(&self) -> Percentiles {
        percentiles(&self.late)
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let ms = |us: u64| us as f64 / 1_000.0;
    let at = |quantile: f64| ms(histogram.value_at_quantile(quantile).min(histogram.max()));
    Percentiles {
        count: histogram.len(),
        p50: at(0.50),
        p95: at(0.95),
        p99: at(0.99),
        max: ms(histogram.max()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
