//! The hosts of one side: a service and its providers.
//!
//! **Invariant**: a side's hosts are named after it, so the two sides share no host, no ledger and no database.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_core::identity::ProviderName;
use rehearsal_host::Host;
use rehearsal_mocks::{
    legacy::{self, LegacyConfig, Rows},
    provider::{self, Behaviour, Latency, Ledger, ProviderEvent},
};
use rehearsal_replay::rules::Side;
use rehearsal_service::{
    config::Config,
    journal::Journal,
    store::{InlineStore, SqliteStore, Store},
};

use super::defect::{Defect, Defective};
use crate::{
    chance::Chance,
    engine::PORT,
    system::{Node, Storage},
};

/// What a side is built from.
pub(super) struct Stand<'a> {
    pub(super) side: Side,
    pub(super) providers: &'a BTreeSet<ProviderName>,
    pub(super) seed: u64,
    pub(super) storage: &'a Storage,
    /// How long after one sweep of the candidate's auditor the next begins; nothing for what the service does by itself.
    pub(super) audit_every: Option<Duration>,
}

struct Quiet;

impl Journal for Quiet {
    fn log(&self, _: rehearsal_core::log::LogEvent) {}
}

impl Stand<'_> {
    /// Its service's host.
    pub(super) fn name(&self) -> &'static str {
        match self.side {
            Side::Legacy => "legacy",
            Side::Candidate => "candidate",
        }
    }

    /// Where its service is reached.
    pub(super) fn address(&self) -> String {
        format!("{}:{PORT}", self.name())
    }

    fn provider_host(&self, provider: &ProviderName) -> String {
        format!("{}-provider-{provider}", self.name())
    }

    fn urls(&self) -> BTreeMap<ProviderName, String> {
        let url =
            |provider: &ProviderName| format!("http://{}:{PORT}", self.provider_host(provider));
        self.providers
            .iter()
            .map(|provider| (provider.clone(), url(provider)))
            .collect()
    }

    /// All of its hosts.
    pub(super) fn nodes(&self, defect: Option<Defect>) -> Vec<Node> {
        let mut nodes: Vec<Node> = self
            .providers
            .iter()
            .map(|provider| self.provider(provider))
            .collect();
        nodes.push(match self.side {
            Side::Legacy => self.legacy(),
            Side::Candidate => self.candidate(defect),
        });
        nodes
    }

    fn provider(&self, provider: &ProviderName) -> Node {
        let seed = Chance::new(self.seed)
            .named("provider")
            .named(provider)
            .seed();
        let latency = Latency::Lognormal {
            p50: Duration::from_millis(40),
            p95: Duration::from_millis(150),
        };
        let behaviour = Behaviour {
            latency,
            ..Behaviour::healthy(seed)
        };
        let ledger = Ledger::new();
        node(self.provider_host(provider), move |host| {
            let (behaviour, ledger) = (behaviour.clone(), ledger.clone());
            let journal = Arc::new(|_: ProviderEvent| {});
            async move {
                let behaviour = Behaviour {
                    started_at: host.now(),
                    ..behaviour
                };
                let ended = provider::run(
                    host,
                    &listen(),
                    behaviour,
                    ledger,
                    journal,
                    std::future::pending(),
                )
                .await;
                panic!("a provider that nobody stops ended: {ended:?}");
            }
            .boxed()
        })
    }

    fn legacy(&self) -> Node {
        let providers = self
            .urls()
            .into_iter()
            .map(|(name, url)| (name.to_string(), url))
            .collect();
        let config = LegacyConfig::new(listen(), providers);
        let rows = Rows::new();
        node(self.name().to_owned(), move |host| {
            let (config, rows) = (config.clone(), rows.clone());
            async move {
                let ended = legacy::run(
                    host,
                    config,
                    rows,
                    Arc::new(|_: &str| {}),
                    std::future::pending(),
                )
                .await;
                panic!("a service that nobody stops ended: {ended:?}");
            }
            .boxed()
        })
    }

    fn candidate(&self, defect: Option<Defect>) -> Node {
        let mut config = Config::new(&listen(), self.urls());
        config.audit_every = self.audit_every.unwrap_or(config.audit_every);
        let path = self.storage.path(self.name(), "appointments.db");
        if let Storage::Simulated(disk) = self.storage {
            disk.start(self.name());
        }
        node(self.name().to_owned(), move |host| {
            let (config, path) = (config.clone(), path.clone());
            async move {
                let store = InlineStore::new(
                    SqliteStore::open(&path).expect("a new database on an empty disk"),
                );
                let store: Arc<dyn Store> = match defect {
                    Some(defect) => Arc::new(Defective::new(store, defect)),
                    None => Arc::new(store),
                };
                let ended = rehearsal_service::run(
                    host,
                    config,
                    store,
                    Arc::new(Quiet),
                    std::future::pending(),
                )
                .await;
                panic!("a service that nobody stops ended: {ended:?}");
            }
            .boxed()
        })
    }
}

fn listen() -> String {
    format!("0.0.0.0:{PORT}")
}

fn node(name: String, main: impl Fn(Host) -> BoxFuture<'static, ()> + 'static) -> Node {
    Node {
        name,
        main: Box::new(move |host, _boot| main(host)),
    }
}
