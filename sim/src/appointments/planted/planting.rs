//! Where a defect is put in: one function for each thing that a service is given.
//!
//! **Invariant**: without a defect each of these returns what it got. It knows where a defect goes, not what it does.

use std::sync::Arc;

use rehearsal_host::Host;
use rehearsal_service::{
    Config, Journal,
    circuit_breaker::Breakers,
    store::{Durability, SqliteStore, Store, StoreError},
};

use super::{
    Defect,
    accepting::Accepting,
    auditing::Auditing,
    circuit_breaker,
    defect::Seam,
    journal::{Defective, Noting, Patients},
    leasing::Leasing,
    setting,
    settling::Settling,
    sidecar::Sidecar,
};
use crate::appointments::tables::Tables;

/// The settings of one service host.
pub(in crate::appointments) fn config(tables: &Tables, config: Config) -> Config {
    match tables.defect() {
        Some(defect) => setting::spoil(defect, config),
        None => config,
    }
}

/// The circuit breakers before the providers.
pub(in crate::appointments) fn breakers(tables: &Tables) -> Breakers {
    circuit_breaker::breakers(tables.defect())
}

/// Opens the database at `path`.
pub(in crate::appointments) fn open(
    defect: Option<Defect>,
    path: &str,
) -> Result<SqliteStore, StoreError> {
    match defect {
        Some(Defect::SynchronousNormal) => SqliteStore::open_with(path, Durability::Normal),
        _ => SqliteStore::open(path),
    }
}

/// The store of the host that holds the database, which is the file at `path`.
pub(in crate::appointments) fn store(
    tables: &Tables,
    host: &Host,
    path: &str,
    store: Arc<dyn Store>,
) -> Arc<dyn Store> {
    let Some(defect) = tables.defect() else {
        return store;
    };
    match defect {
        Defect::AcknowledgeBeforeCommit
        | Defect::NoUniqueIndex
        | Defect::FirstKeyWins
        | Defect::ForgottenCancel
        | Defect::StaleReads
        | Defect::BlindSearch
        | Defect::BlockingAccept => Arc::new(Accepting::new(defect, host.clone(), path, store)),
        Defect::LeaseShorterThanTimeout
        | Defect::CrashAfterSendResends
        | Defect::ExhaustedAtRescue
        | Defect::HighWaterMark
        | Defect::MixedUpDetails
        | Defect::TwoClaimers => {
            let policy = tables.service.delivery();
            Arc::new(Leasing::new(defect, policy, store))
        }
        Defect::StaleSettle
        | Defect::AttemptAsFence
        | Defect::RetryDelayZero
        | Defect::ForgottenDoubt
        | Defect::EndlessRefund
        | Defect::RefundForgotten
        | Defect::GivesUpWithoutCompensation
        | Defect::RedriveOfConfirmed => Arc::new(Settling::new(defect, store)),
        Defect::AuditorRepairsInFlight
        | Defect::UnreportedDeadLetters
        | Defect::FindingsOutlive => Arc::new(Auditing::new(defect, store)),
        _ => store,
    }
}

/// The machine of a service host with these settings.
pub(in crate::appointments) fn host(tables: &Tables, host: Host, config: &Config) -> Host {
    match tables.defect() {
        Some(defect) if defect.seam() == Seam::Provider => Host::new(Sidecar {
            host,
            defect,
            providers: config
                .providers
                .values()
                .map(|url| url.trim_start_matches("http://").to_owned())
                .collect(),
            timeout: config.policy.attempt_timeout,
        }),
        _ => host,
    }
}

/// The log of a service host, and the store as it reaches it.
pub(in crate::appointments) fn journal(
    tables: &Tables,
    journal: Arc<dyn Journal>,
    store: Arc<dyn Store>,
) -> (Arc<dyn Journal>, Arc<dyn Store>) {
    match tables.defect() {
        Some(defect) if defect.seam() == Seam::Journal => {
            let patients = Patients::default();
            let noting = Noting {
                patients: patients.clone(),
                store,
            };
            let journal = Defective {
                defect,
                patients,
                journal,
            };
            (Arc::new(journal), Arc::new(noting))
        }
        _ => (journal, store),
    }
}
