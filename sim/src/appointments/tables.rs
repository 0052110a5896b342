//! The tables of a scenario that belong to the appointment service.
//!
//! **Invariant**: an omitted table has sane defaults, an unknown key is refused. It draws nothing.

use std::collections::BTreeMap;

use rehearsal_core::identity::ProviderName;
use rehearsal_service::config::Config;
use serde::{Deserialize, Serialize, de::MapAccess};

use super::{
    database::Database,
    logs::Logs,
    planted::{Defect, Planted},
    policy::Service,
    provider::Provider,
    topology::{Layout, Topology},
    workload::Workload,
};
use crate::system;

/// All of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tables {
    /// Which hosts there are.
    pub topology: Topology,
    /// What clients ask for.
    pub workload: Workload,
    /// The providers, by name: at `provider-NAME`.
    pub providers: BTreeMap<String, Provider>,
    /// What the cluster's database does worse than it could.
    #[serde(skip_serializing_if = "Database::is_healthy")]
    pub database: Database,
    /// The service's settings.
    pub service: Service,
    /// What logs have to hold.
    pub logs: Logs,
    /// What is wrong with the service on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planted: Option<Planted>,
}

/// Most providers: each is a host.
const MOST_PROVIDERS: usize = 16;

impl Default for Tables {
    /// One embedded service and one healthy provider, `acme`.
    fn default() -> Self {
        Self {
            topology: Topology::default(),
            workload: Workload::default(),
            providers: BTreeMap::from([("acme".to_owned(), Provider::default())]),
            database: Database::default(),
            service: Service::default(),
            logs: Logs::default(),
            planted: None,
        }
    }
}

impl Tables {
    /// What is wrong with the service on purpose.
    pub fn defect(&self) -> Option<Defect> {
        self.planted.map(|planted| planted.defect)
    }

    /// The host of the provider `name`.
    pub fn provider_host(name: &str) -> String {
        format!("provider-{name}")
    }
}

impl system::Tables for Tables {
    const KEYS: &'static [&'static str] = &[
        "topology",
        "workload",
        "providers",
        "database",
        "service",
        "logs",
        "planted",
    ];

    fn read<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "topology" => self.topology = map.next_value()?,
            "workload" => self.workload = map.next_value()?,
            "providers" => self.providers = map.next_value()?,
            "database" => self.database = map.next_value()?,
            "service" => self.service = map.next_value()?,
            "logs" => self.logs = map.next_value()?,
            "planted" => self.planted = Some(map.next_value()?),
            other => unreachable!("{other} is none of our keys"),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        self.topology.check()?;
        if self.providers.is_empty() || self.providers.len() > MOST_PROVIDERS {
            return Err(format!(
                "providers: found {}, expected 1 to {MOST_PROVIDERS}",
                self.providers.len()
            ));
        }
        for (name, provider) in &self.providers {
            ProviderName::parse(name).map_err(|_| {
                format!("providers: found {name:?}, expected {}", ProviderName::RULE)
            })?;
            provider.check(name)?;
        }
        let names: Vec<&str> = self.providers.keys().map(String::as_str).collect();
        self.workload.check(&names)?;
        self.database
            .check(self.topology.layout == Layout::Cluster)?;
        self.service.check()?;
        // What is left is for the service itself to say: one that refuses its settings would be started again for ever.
        let name = ProviderName::parse(names[0]).expect("checked above");
        let some = Config::new("127.0.0.1:1", [(name, "http://127.0.0.1:1".into())].into());
        let config = self.service.configure(some, &self.topology);
        config.check().map_err(|refused| {
            let table = if refused.setting.starts_with("audit_") {
                "topology"
            } else {
                "service"
            };
            format!("{table}: the service refuses its settings: {refused}")
        })
    }

    fn thin(&mut self, keeps: &dyn Fn(&str) -> bool) {
        for (name, provider) in &mut self.providers {
            provider.thin(&|fault| keeps(&format!("providers.{name}.{fault}")));
        }
        self.database
            .thin(&|fault| keeps(&format!("database.{fault}")));
    }

    fn hosts(&self) -> Vec<String> {
        let providers = self.providers.keys().map(|name| Self::provider_host(name));
        let database = (self.topology.layout == Layout::Cluster)
            .then(|| self.topology.database_host().to_owned());
        providers
            .chain(database)
            .chain(self.topology.service_hosts())
            .collect()
    }

    fn disks(&self) -> Vec<String> {
        vec![self.topology.database_host().to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{scenario::Scenario, system::Tables as _};

    /// The design's own example of a scenario.
    const EXAMPLE: &str = r#"
format = "rehearsal.scenario/1"
name = "flaky_provider"
question = "Do intermittent 5xx end in exactly one confirmation?"
[topology]            # embedded | cluster; counts
layout = "cluster"
api = 1
workers = 2
[workload]            # ranges are drawn per seed; a capture may stand in for it
requests = 200
arrival = { poisson_per_s = 20 }
duplicates = 0.05
[providers.acme]
latency = { lognormal_ms = { p50 = 40, p95 = 150 } }
errors = [{ status = 503, rate = 0.2 }]
idempotent = false
[[faults]]
kind = "crash"        # kill | power_loss
target = "worker-*"
at_s = [2, 20]
down_s = [0.5, 3]
[slo]
success_rate = ">= 0.99"
api_p95_ms = "< 200"
[expect]
attempts_max = "> 1"
"#;

    fn parse(text: &str) -> Result<Scenario<Tables>, String> {
        Scenario::parse(Path::new("test.toml"), text).map_err(|refused| refused.message)
    }

    #[test]
    fn the_designs_example_is_a_scenario() {
        let scenario = parse(EXAMPLE).unwrap();
        assert_eq!(
            scenario.tables.hosts(),
            [
                "provider-acme",
                "database",
                "api-1",
                "worker-1",
                "worker-2",
                "auditor"
            ]
        );
        assert_eq!(scenario.faults.len(), 1);
        assert!(!scenario.tables.providers["acme"].idempotent);
    }

    #[test]
    fn a_mistake_is_named_with_its_place() {
        for (from, to, expect) in [
            ("workers = 2", "wokers = 2", "did you mean `workers`?"),
            (
                "workers = 2",
                "workers = 99",
                "topology.workers: found 99, expected 1 to 32",
            ),
            (
                "requests = 200",
                "requests = 0",
                "workload.requests: found 0 to 0",
            ),
            (
                "duplicates = 0.05",
                "duplicates = 5",
                "workload.duplicates: found 5",
            ),
            ("[workload]", "[wrokload]", "did you mean `workload`?"),
            (
                "[providers.acme]",
                "[providers.ACME]",
                "providers: found \"ACME\"",
            ),
            (
                "poisson_per_s = 20",
                "poisson_per_s = -1",
                "workload.arrival.poisson_per_s: found -1",
            ),
            (
                "rate = 0.2",
                "rate = 1.2",
                "providers.acme.errors[0].rate: found 1.2",
            ),
            (
                "[expect]",
                "[planted]\ndefect = \"two-claimer\"\n[expect]",
                "did you mean `two-claimers`?",
            ),
            (
                "workers = 2",
                "workers = 2\naudit_every_s = 4\naudit_horizon_s = 5",
                "topology: the service refuses its settings: audit_horizon",
            ),
            (
                "layout = \"cluster\"",
                "layout = \"embedded\"",
                "expected 1 to 1 with layout = \"embedded\"",
            ),
        ] {
            let text = EXAMPLE.replace(from, to);
            assert_ne!(text, EXAMPLE, "{from}");
            let message = parse(&text).unwrap_err();
            assert!(message.contains(expect), "{to}: {message}");
        }
    }

    #[test]
    fn tables_survive_a_plan() {
        let planted = format!("{EXAMPLE}\n[planted]\ndefect = \"two-claimers\"\n");
        assert_eq!(parse(EXAMPLE).unwrap().tables.defect(), None);
        let tables = parse(&planted).unwrap().tables;
        assert_eq!(tables.defect(), Some(Defect::TwoClaimers));
        let text = toml::to_string(&tables).unwrap();
        assert_eq!(toml::from_str::<Tables>(&text).unwrap(), tables, "{text}");
    }
}
