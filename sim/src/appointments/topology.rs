//! `[topology]`: which hosts there are.
//!
//! **Invariant**: names are a function of the table alone, so a fault's target means the same in every run.

use serde::{Deserialize, Serialize};

/// How the service is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// API, worker and auditor in one process over their own database: host `service`.
    #[default]
    Embedded,
    /// Each role on hosts of its own (`api-1`, `worker-1`, `auditor`), over one database host (`database`).
    Cluster,
}

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Topology {
    /// How the service is laid out.
    pub layout: Layout,
    /// Hosts that answer clients; 1 when embedded.
    pub api: u32,
    /// Hosts that deliver; 1 when embedded.
    pub workers: u32,
    /// Hosts that send requests.
    pub clients: u32,
    /// Whether the auditor runs.
    pub auditor: bool,
    /// How often the auditor compares the two sides, in seconds.
    pub audit_every_s: f64,
    /// What changed more recently than this is not audited yet, in seconds.
    pub audit_horizon_s: f64,
}

/// Most hosts of one kind: a run polls them all.
const MOST_HOSTS: u32 = 32;

impl Default for Topology {
    /// One of each, embedded, audited every 30 s.
    fn default() -> Self {
        Self {
            layout: Layout::Embedded,
            api: 1,
            workers: 1,
            clients: 1,
            auditor: true,
            audit_every_s: 30.0,
            audit_horizon_s: 15.0,
        }
    }
}

impl Topology {
    /// Refuses a deployment that cannot be.
    ///
    /// # Errors
    /// A sentence that names the key, what was found and what was expected.
    pub fn check(&self) -> Result<(), String> {
        for (key, count) in [
            ("api", self.api),
            ("workers", self.workers),
            ("clients", self.clients),
        ] {
            let most = if self.layout == Layout::Embedded && key != "clients" {
                1
            } else {
                MOST_HOSTS
            };
            if !(1..=most).contains(&count) {
                let layout = if most == 1 {
                    " with layout = \"embedded\""
                } else {
                    ""
                };
                return Err(format!(
                    "topology.{key}: found {count}, expected 1 to {most}{layout}"
                ));
            }
        }
        for (key, value) in [
            ("audit_every_s", self.audit_every_s),
            ("audit_horizon_s", self.audit_horizon_s),
        ] {
            if !(0.1..=86_400.0).contains(&value) {
                return Err(format!(
                    "topology.{key}: found {value}, expected 0.1 to 86400 seconds"
                ));
            }
        }
        Ok(())
    }

    /// The hosts that run the service, in boot order.
    pub fn service_hosts(&self) -> Vec<String> {
        match self.layout {
            Layout::Embedded => vec!["service".to_owned()],
            Layout::Cluster => {
                let api = (1..=self.api).map(|n| format!("api-{n}"));
                let workers = (1..=self.workers).map(|n| format!("worker-{n}"));
                api.chain(workers)
                    .chain(self.auditor.then(|| "auditor".to_owned()))
                    .collect()
            }
        }
    }

    /// The hosts that answer clients.
    pub fn api_hosts(&self) -> Vec<String> {
        match self.layout {
            Layout::Embedded => vec!["service".to_owned()],
            Layout::Cluster => (1..=self.api).map(|n| format!("api-{n}")).collect(),
        }
    }

    /// The host that holds the database.
    pub fn database_host(&self) -> &'static str {
        match self.layout {
            Layout::Embedded => "service",
            Layout::Cluster => "database",
        }
    }

    /// The hosts that send requests.
    pub fn client_hosts(&self) -> Vec<String> {
        (1..=self.clients).map(|n| format!("client-{n}")).collect()
    }
}
