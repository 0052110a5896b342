//! `[service]`: the service's own settings, where a scenario wants others than the defaults.
//!
//! **Invariant**: an absent key means the service's own default, so a scenario states only what its question depends on.

use std::time::Duration;

use rehearsal_core::{breaker::BreakerPolicy, delivery::Policy};
use rehearsal_service::config::Config;
use serde::{Deserialize, Serialize};

use super::topology::Topology;
use crate::{chance::Chance, range::Whole};

/// The table. See [`Policy`] for what each setting means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// How long one call to a provider may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_timeout_ms: Option<f64>,
    /// Attempts before an entry is given up; a range is drawn once a seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<Whole>,
    /// The longest wait after the first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_base_ms: Option<f64>,
    /// The longest wait of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff_cap_ms: Option<f64>,
    /// How long a worker holds an entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<f64>,
    /// What a lease keeps for settling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle_slack_ms: Option<f64>,
    /// How long after a send the provider may still be working on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight_horizon_ms: Option<f64>,
    /// The longest Retry-After that is obeyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_cap_ms: Option<f64>,
    /// How long after queueing an entry is given up whatever the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub give_up_after_ms: Option<f64>,
    /// Calls to one provider at once, for each worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bulkhead: Option<u32>,
    /// How often an idle worker asks for work that nobody announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_every_ms: Option<f64>,
    /// The circuit breaker.
    pub breaker: Breaker,
}

/// `[service] breaker`. See [`BreakerPolicy`] for what each setting means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    /// How far back results count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<f64>,
    /// Fewer calls than this decide nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_calls: Option<u32>,
    /// Opens at this share of failed calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_rate: Option<f64>,
    /// Opens at this share of slow calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_rate: Option<f64>,
    /// A good call that took this long is slow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_after_ms: Option<f64>,
    /// Opens after this many connects failed in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consecutive_connect_failures: Option<u32>,
    /// How long it is open the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_for_ms: Option<f64>,
    /// The longest it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_cap_ms: Option<f64>,
    /// Probes of a half-open breaker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
    /// Good probes that close it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes_good: Option<u32>,
    /// How long the result of a probe is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe_lease_ms: Option<f64>,
}

impl Service {
    /// Draws whatever is open.
    pub fn draw(&mut self, chance: &Chance) {
        let attempts = self.max_attempts;
        self.max_attempts = attempts.map(|it| it.draw(&mut chance.named("max_attempts").rng()));
    }

    /// The delivery policy.
    pub fn delivery(&self) -> Policy {
        let mut policy = Policy::default();
        set(
            &mut policy.max_attempts,
            self.max_attempts.map(Whole::number),
        );
        set(&mut policy.attempt_timeout, ms(self.attempt_timeout_ms));
        set(&mut policy.backoff.base, ms(self.backoff_base_ms));
        set(&mut policy.backoff.cap, ms(self.backoff_cap_ms));
        set(&mut policy.lease, ms(self.lease_ms));
        set(&mut policy.settle_slack, ms(self.settle_slack_ms));
        set(&mut policy.in_flight_horizon, ms(self.in_flight_horizon_ms));
        set(&mut policy.retry_after_cap, ms(self.retry_after_cap_ms));
        set(&mut policy.give_up_after, ms(self.give_up_after_ms));
        policy
    }

    /// Calls to one provider at once, for each worker.
    pub fn bulkhead(&self) -> u32 {
        let service = || Config::new("", std::collections::BTreeMap::new());
        self.bulkhead.unwrap_or_else(|| service().bulkhead)
    }

    /// The breaker's policy.
    pub fn breaker(&self) -> BreakerPolicy {
        let mut policy = BreakerPolicy::default();
        let from = &self.breaker;
        set(&mut policy.window, ms(from.window_ms));
        set(&mut policy.min_calls, from.min_calls);
        set(&mut policy.failure_rate, from.failure_rate);
        set(&mut policy.slow_rate, from.slow_rate);
        set(&mut policy.slow_after, ms(from.slow_after_ms));
        set(
            &mut policy.consecutive_connect_failures,
            from.consecutive_connect_failures,
        );
        set(&mut policy.open_for, ms(from.open_for_ms));
        set(&mut policy.open_cap, ms(from.open_cap_ms));
        set(&mut policy.probes, from.probes);
        set(&mut policy.probes_good, from.probes_good);
        set(&mut policy.probe_lease, ms(from.probe_lease_ms));
        policy
    }

    /// `config` with these settings.
    pub fn configure(&self, config: Config, topology: &Topology) -> Config {
        let policy = self.delivery();
        let mut config = Config {
            // A settle that waited longer for a busy database has lost its lease.
            store_patience: config.store_patience.min(policy.settle_slack / 2),
            policy,
            breaker: self.breaker(),
            audit_every: Duration::from_secs_f64(topology.audit_every_s),
            audit_horizon: Duration::from_secs_f64(topology.audit_horizon_s),
            ..config
        };
        set(&mut config.bulkhead, self.bulkhead);
        set(&mut config.poll_every, ms(self.poll_every_ms));
        config
    }

    /// Refuses settings that are no numbers of milliseconds, and those that the service itself refuses.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        let breaker = &self.breaker;
        for (key, value) in [
            ("attempt_timeout_ms", self.attempt_timeout_ms),
            ("backoff_base_ms", self.backoff_base_ms),
            ("backoff_cap_ms", self.backoff_cap_ms),
            ("lease_ms", self.lease_ms),
            ("settle_slack_ms", self.settle_slack_ms),
            ("in_flight_horizon_ms", self.in_flight_horizon_ms),
            ("retry_after_cap_ms", self.retry_after_cap_ms),
            ("give_up_after_ms", self.give_up_after_ms),
            ("poll_every_ms", self.poll_every_ms),
            ("breaker.window_ms", breaker.window_ms),
            ("breaker.slow_after_ms", breaker.slow_after_ms),
            ("breaker.open_for_ms", breaker.open_for_ms),
            ("breaker.open_cap_ms", breaker.open_cap_ms),
            ("breaker.probe_lease_ms", breaker.probe_lease_ms),
        ] {
            if let Some(value) = value.filter(|value| !(1.0..=864e5).contains(value)) {
                return Err(format!(
                    "service.{key}: found {value}, expected 1 to 86400000 milliseconds"
                ));
            }
        }
        self.delivery()
            .check()
            .map_err(|unsafe_| format!("service.{}: expected {}", unsafe_.setting, unsafe_.rule))?;
        self.breaker().check().map_err(|unsafe_| {
            format!(
                "service.breaker.{}: expected {}",
                unsafe_.setting, unsafe_.rule
            )
        })
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn ms(ms: Option<f64>) -> Option<Duration> {
    Some(Duration::from_secs_f64(ms? / 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_table_is_the_services_own_policy() {
        let table: Service = toml::from_str("").unwrap();
        assert_eq!(table.delivery(), Policy::default());
        assert_eq!(table.breaker(), BreakerPolicy::default());
        table.check().unwrap();
    }

    #[test]
    fn unsafe_settings_are_refused_by_name() {
        let check = |text: &str| {
            toml::from_str::<Service>(text)
                .unwrap()
                .check()
                .unwrap_err()
        };
        assert!(
            check("lease_ms = 1000").starts_with("service.lease"),
            "shorter than two attempts"
        );
        assert!(check("attempt_timeout_ms = 0").starts_with("service.attempt_timeout_ms"));
        assert!(
            check("breaker = { failure_rate = 2 }").starts_with("service.breaker.failure_rate")
        );
        assert!(toml::from_str::<Service>("max_atempts = 1").is_err());
    }
}
