//! What a service instance is told: roles, address, providers, and the limits it works under.
//!
//! **Invariant**: a [`Config`] that passed [`Config::check`] cannot lose or double a booking by its settings alone.
//! It deliberately reads no file, flag or environment: whoever builds it does.

use std::{collections::BTreeMap, time::Duration};

use rehearsal_core::{
    breaker::BreakerPolicy,
    delivery::{Policy, Unsafe},
    identity::ProviderName,
};

/// What an instance does. Every instance answers `/livez`, `/readyz` and `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Takes requests.
    pub api: bool,
    /// Delivers the outbox to the providers.
    pub worker: bool,
    /// Compares the rows with the providers' views.
    pub auditor: bool,
}

impl Roles {
    /// Everything in one process.
    pub const ALL: Self = Self {
        api: true,
        worker: true,
        auditor: true,
    };
    /// Requests alone.
    pub const API: Self = Self {
        api: true,
        worker: false,
        auditor: false,
    };
    /// Deliveries alone.
    pub const WORKER: Self = Self {
        api: false,
        worker: true,
        auditor: false,
    };
    /// Audits alone.
    pub const AUDITOR: Self = Self {
        api: false,
        worker: false,
        auditor: true,
    };
}

/// The settings of one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What it does.
    pub roles: Roles,
    /// Where it listens, `host:port`; port 0 lets the machine choose.
    pub listen: String,
    /// The providers and their base addresses, `http://host:port`.
    pub providers: BTreeMap<ProviderName, String>,
    /// Attempts, timeouts, leases.
    pub policy: Policy,
    /// When a provider's breaker opens and closes.
    pub breaker: BreakerPolicy,
    /// At most this many deliveries to one provider at once.
    pub bulkhead: u32,
    /// At most this many entries are claimed for one provider at once.
    pub claim_batch: u32,
    /// The worker looks for work at least this often; in one process with the API it is also woken at once.
    pub poll_every: Duration,
    /// How long after one audit sweep the next begins.
    pub audit_every: Duration,
    /// Rows that changed more recently than this are not audited.
    pub audit_horizon: Duration,
    /// At most this many bookings or rows are compared at once.
    pub audit_page: u32,
    /// How long a request waits in all for a busy database.
    pub store_patience: Duration,
    /// How long requests and deliveries get to finish on shutdown.
    pub drain: Duration,
}

/// A setting that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: found {found}, expected {expected}")]
pub struct ConfigError {
    /// The setting's name.
    pub setting: String,
    /// What it is.
    pub found: String,
    /// What it has to be.
    pub expected: String,
}

impl Config {
    /// All roles in one process on `listen`, everything else at its default.
    pub fn new(listen: &str, providers: BTreeMap<ProviderName, String>) -> Self {
        Self {
            roles: Roles::ALL,
            listen: listen.to_owned(),
            providers,
            policy: Policy::default(),
            breaker: BreakerPolicy::default(),
            bulkhead: 16,
            claim_batch: 16,
            poll_every: Duration::from_secs(1),
            audit_every: Duration::from_mins(1),
            audit_horizon: Duration::from_secs(30),
            audit_page: 500,
            store_patience: Duration::from_secs(1),
            drain: Duration::from_secs(10),
        }
    }

    /// Refuses settings that are incomplete, unbounded or unsafe.
    ///
    /// # Errors
    /// The first setting that is refused, with what it has to be.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.policy
            .check()
            .map_err(|it| unsafe_setting("policy", &it))?;
        self.breaker
            .check()
            .map_err(|it| unsafe_setting("breaker", &it))?;
        let roles = self.roles;
        let rules: [(&str, bool, String, &str); 10] = [
            (
                "roles",
                roles.api || roles.worker || roles.auditor,
                format!("{roles:?}"),
                "at least one role",
            ),
            (
                "listen",
                self.listen.contains(':'),
                format!("{:?}", self.listen),
                "host:port",
            ),
            (
                "providers",
                !self.providers.is_empty(),
                "none".to_owned(),
                "at least one",
            ),
            (
                "bulkhead",
                (1..=10_000).contains(&self.bulkhead),
                self.bulkhead.to_string(),
                "1 to 10000",
            ),
            (
                "claim_batch",
                (1..=1000).contains(&self.claim_batch),
                self.claim_batch.to_string(),
                "1 to 1000",
            ),
            (
                "poll_every",
                !self.poll_every.is_zero(),
                format!("{:?}", self.poll_every),
                "longer than zero",
            ),
            (
                "audit_every",
                !self.audit_every.is_zero(),
                format!("{:?}", self.audit_every),
                "longer than zero",
            ),
            (
                "audit_horizon",
                self.audit_horizon >= self.policy.in_flight_horizon,
                format!("{:?}", self.audit_horizon),
                "at least policy.in_flight_horizon: a younger booking may still be on its way",
            ),
            (
                "audit_page",
                (1..=10_000).contains(&self.audit_page),
                self.audit_page.to_string(),
                "1 to 10000",
            ),
            (
                "store_patience",
                self.store_patience < self.policy.settle_slack,
                format!("{:?}", self.store_patience),
                "less than policy.settle_slack: a settle that waits longer has lost its lease",
            ),
        ];
        if let Some((setting, _, found, expected)) = rules.into_iter().find(|(_, fine, ..)| !fine) {
            return Err(refused(setting, found, expected));
        }
        for (name, url) in &self.providers {
            let authority = url.strip_prefix("http://").unwrap_or_default();
            if authority.is_empty() || authority.contains(['/', '?', '#', ' ']) {
                let expected = "http://host:port without a path";
                return Err(refused(
                    &format!("providers.{name}"),
                    format!("{url:?}"),
                    expected,
                ));
            }
        }
        Ok(())
    }
}

fn refused(setting: &str, found: String, expected: &str) -> ConfigError {
    ConfigError {
        setting: setting.to_owned(),
        found,
        expected: expected.to_owned(),
    }
}

fn unsafe_setting(group: &str, found: &Unsafe) -> ConfigError {
    refused(
        &format!("{group}.{}", found.setting),
        "an unsafe value".to_owned(),
        found.rule,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let acme = ProviderName::parse("acme").unwrap();
        let providers = BTreeMap::from([(acme, "http://provider:80".to_owned())]);
        Config::new("127.0.0.1:0", providers)
    }

    fn check(change: impl FnOnce(&mut Config), setting: &str) {
        let mut config = config();
        change(&mut config);
        assert_eq!(config.check().unwrap_err().setting, setting);
    }

    #[test]
    fn the_defaults_are_safe() {
        assert_eq!(config().check(), Ok(()));
    }

    #[test]
    fn unsafe_settings_are_named() {
        check(|it| it.providers.clear(), "providers");
        check(|it| it.bulkhead = 0, "bulkhead");
        check(|it| it.listen = "here".into(), "listen");
        check(
            |it| it.policy.lease = it.policy.attempt_timeout,
            "policy.lease",
        );
        check(|it| it.breaker.probes = 0, "breaker.probes");
        check(
            |it| it.audit_horizon = Duration::from_secs(1),
            "audit_horizon",
        );
        check(
            |it| it.store_patience = it.policy.settle_slack,
            "store_patience",
        );
        for bad in ["https://x", "http://", "http://x/y", "x:80"] {
            check(
                |it| {
                    it.providers
                        .values_mut()
                        .for_each(|url| bad.clone_into(url));
                },
                "providers.acme",
            );
        }
    }
}
