//! The composition root: the chosen roles of one instance, on one host, over one store, until shutdown.
//!
//! **Invariant**: when [`run`] returns, nothing of the instance is running any more, and every lease it still held has been settled or
//! will run out.
//! It deliberately reads no settings and opens no store: both come in, so that a simulated host is built like a real one.

use std::{collections::BTreeMap, future::Future, io, sync::Arc};

use futures_util::future::join3;
use rehearsal_core::{identity::ProviderName, log::Evt};
use rehearsal_host::{
    Host, Listener,
    serve::{ServerLimits, serve},
};
use tokio::sync::{Notify, watch};

use crate::{
    api::{self, Api},
    auditor::Auditor,
    circuit_breaker::{self, Breakers},
    config::{Config, ConfigError},
    journal::{Journal, Telemetry},
    provider::Provider,
    store::{Store, StoreAccess},
    worker::{self, Lanes, Surroundings},
};

/// Why an instance did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The caller's fault: a setting is refused.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The machine's fault: the address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the machine says.
        source: io::Error,
    },
}

/// Runs the configured roles until `shutdown`, then drains.
///
/// # Errors
/// Only before anything has started: an unsafe setting, or an address that is taken. A failing store or provider is waited for.
pub async fn run(
    host: Host,
    config: Config,
    store: Arc<dyn Store>,
    journal: Arc<dyn Journal>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServiceError> {
    config.check()?;
    let listener = bind(&host, &config).await?;
    run_on(host, listener, config, store, journal, shutdown).await
}

/// As [`run`], with circuit breakers of the caller's choice.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    host: Host,
    config: Config,
    store: Arc<dyn Store>,
    journal: Arc<dyn Journal>,
    breakers: Breakers,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServiceError> {
    config.check()?;
    let listener = bind(&host, &config).await?;
    compose(host, listener, config, store, journal, breakers, shutdown).await
}

async fn bind(host: &Host, config: &Config) -> Result<Listener, ServiceError> {
    let bound = host.bind(&config.listen).await;
    bound.map_err(|source| ServiceError::Listen {
        address: config.listen.clone(),
        source,
    })
}

/// As [`run`], on a listener that is bound already: for a caller that has to know the port before.
///
/// # Errors
/// [`ServiceError::Config`].
pub async fn run_on(
    host: Host,
    listener: Listener,
    config: Config,
    store: Arc<dyn Store>,
    journal: Arc<dyn Journal>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServiceError> {
    config.check()?;
    compose(
        host,
        listener,
        config,
        store,
        journal,
        circuit_breaker::breakers,
        shutdown,
    )
    .await
}

async fn compose(
    host: Host,
    listener: Listener,
    config: Config,
    store: Arc<dyn Store>,
    journal: Arc<dyn Journal>,
    breakers: Breakers,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServiceError> {
    let telemetry = Telemetry::new(host.clone(), journal);
    let store = StoreAccess::new(host.clone(), store, config.store_patience);
    let wake = Arc::new(Notify::new());
    let lanes = Arc::new(Lanes::new(
        telemetry.clone(),
        config.providers.keys(),
        &config.breaker,
        breakers,
        config.bulkhead,
        wake.clone(),
    ));
    let providers: BTreeMap<ProviderName, Provider> = config
        .providers
        .iter()
        .map(|(name, url)| {
            let client = Provider::new(&host, url, config.policy.attempt_timeout);
            (name.clone(), client)
        })
        .collect();
    let (stop, stopping) = watch::channel(false);
    let router = api::router(
        &config,
        Api::new(
            &config,
            telemetry.clone(),
            store.clone(),
            lanes.clone(),
            wake.clone(),
            stopping.clone(),
        ),
    );
    let event = telemetry
        .event(Evt::Started, "listening")
        .with("role", if config.roles.api { "api" } else { "status" })
        .with("address", listener.address());
    telemetry.log(event);

    let shutdown = async {
        shutdown.await;
        // Everyone listens by now, and readiness says so before the listener closes.
        let _ = stop.send(true);
    };
    let limits = ServerLimits {
        drain: config.drain,
        ..ServerLimits::default()
    };
    let serving = serve(host.clone(), listener, router, limits, shutdown);
    let working = async {
        if config.roles.worker {
            let around = Surroundings {
                telemetry: telemetry.clone(),
                store: store.clone(),
                lanes: lanes.clone(),
                wake: wake.clone(),
                stopping: stopping.clone(),
            };
            worker::run(&config, providers.clone(), around).await;
        }
    };
    let auditing = async {
        if config.roles.auditor {
            let auditor = Auditor {
                telemetry: telemetry.clone(),
                store: store.clone(),
                lanes: lanes.clone(),
                providers: providers.clone(),
                wake: wake.clone(),
                stopping: stopping.clone(),
            };
            auditor.run(&config).await;
        }
    };
    join3(serving, working, auditing).await;
    let event = telemetry.event(Evt::Stopping, "everything has stopped");
    telemetry.log(event);
    Ok(())
}
