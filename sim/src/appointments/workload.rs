//! `[workload]`: how many requests, when, and what becomes of them.
//!
//! **Invariant**: everything here is a size, a rate or a share; what a seed makes of it is the draw's work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::range::Range;

/// When requests come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrival {
    /// Independently, so many a second on average.
    PoissonPerS(f64),
    /// One after another at a fixed distance.
    EveryMs(f64),
    /// So many at once, again and again.
    Burst {
        /// How many at the same instant.
        size: u32,
        /// The distance between bursts.
        every_s: f64,
    },
}

/// The table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// How many appointments are asked for.
    pub requests: Range,
    /// When.
    pub arrival: Arrival,
    /// The share of requests that are sent again later, unchanged.
    pub duplicates: f64,
    /// The share of requests that are sent twice at the same instant.
    pub concurrent_duplicates: f64,
    /// The share of requests whose key is used again with another payload.
    pub conflicts: f64,
    /// The share of requests that their client cancels.
    pub cancels: f64,
    /// The share of requests whose appointment is read once.
    pub reads: f64,
    /// The share of requests that are followed by a call of what else the API offers (see [`super::operation::Endpoint`]).
    #[serde(skip_serializing_if = "is_zero")]
    pub probes: f64,
    /// The share of requests that are followed by an operator's redrive of an outbox entry; one that is not dead is refused.
    #[serde(skip_serializing_if = "is_zero")]
    pub redrives: f64,
    /// How long after its request a duplicate, conflict, cancel, read, probe or redrive follows, in seconds.
    pub follow_s: Range,
    /// A client waits this long for an answer.
    pub client_timeout_ms: f64,
    /// Relative shares of the providers, by name; equal when empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mix: BTreeMap<String, f64>,
}

/// Most requests of one run: its trace is kept in memory.
pub const MOST_REQUESTS: f64 = 200_000.0;

/// What is not asked for is not written: a run that does not use it has the trace that it always had.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

impl Default for Workload {
    /// 100 requests at 10 a second, none repeated.
    fn default() -> Self {
        Self {
            requests: Range::fixed(100.0),
            arrival: Arrival::PoissonPerS(10.0),
            duplicates: 0.0,
            concurrent_duplicates: 0.0,
            conflicts: 0.0,
            cancels: 0.0,
            reads: 0.0,
            probes: 0.0,
            redrives: 0.0,
            follow_s: Range {
                low: 0.05,
                high: 3.0,
            },
            client_timeout_ms: 10_000.0,
            mix: BTreeMap::new(),
        }
    }
}

impl Workload {
    /// Refuses a workload that cannot be drawn. `providers` are the names that `mix` may use.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self, providers: &[&str]) -> Result<(), String> {
        if !(self.requests.low >= 1.0 && self.requests.high <= MOST_REQUESTS) {
            let Range { low, high } = self.requests;
            return Err(format!(
                "workload.requests: found {low} to {high}, expected 1 to {MOST_REQUESTS}"
            ));
        }
        for (key, share) in [
            ("duplicates", self.duplicates),
            ("concurrent_duplicates", self.concurrent_duplicates),
            ("conflicts", self.conflicts),
            ("cancels", self.cancels),
            ("reads", self.reads),
            ("probes", self.probes),
            ("redrives", self.redrives),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!(
                    "workload.{key}: found {share}, expected a share from 0 to 1"
                ));
            }
        }
        if !(1.0..=600_000.0).contains(&self.client_timeout_ms) {
            return Err(format!(
                "workload.client_timeout_ms: found {}, expected 1 to 600000",
                self.client_timeout_ms
            ));
        }
        if self.follow_s.high > 3_600.0 {
            return Err(format!(
                "workload.follow_s: found up to {}, expected at most 3600",
                self.follow_s.high
            ));
        }
        self.check_arrival()?;
        self.check_mix(providers)
    }

    fn check_arrival(&self) -> Result<(), String> {
        match self.arrival {
            Arrival::PoissonPerS(rate) if !(1e-4..=1e5).contains(&rate) => Err(format!(
                "workload.arrival.poisson_per_s: found {rate}, expected 0.0001 to 100000"
            )),
            Arrival::EveryMs(every) if !(0.0..=3.6e6).contains(&every) => Err(format!(
                "workload.arrival.every_ms: found {every}, expected 0 to 3600000"
            )),
            Arrival::Burst { size, every_s }
                if size == 0 || !(0.001..=86_400.0).contains(&every_s) =>
            {
                Err(format!(
                    "workload.arrival.burst: found size {size} every {every_s} s, expected size 1 or more, every_s 0.001 to 86400"
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_mix(&self, providers: &[&str]) -> Result<(), String> {
        for (name, weight) in &self.mix {
            if !providers.contains(&name.as_str()) {
                return Err(format!(
                    "workload.mix.{name}: no such provider, expected one of {}",
                    providers.join(", ")
                ));
            }
            if !(weight.is_finite() && *weight >= 0.0) {
                return Err(format!(
                    "workload.mix.{name}: found {weight}, expected a number that is not negative"
                ));
            }
        }
        if !self.mix.is_empty() && self.mix.values().sum::<f64>() <= 0.0 {
            return Err("workload.mix: found no weight above 0, expected one at least".to_owned());
        }
        Ok(())
    }
}
