//! `rehearsal serve`: the reference service on the real machine.
//!
//! **Invariant**: without authentication it listens on loopback and nowhere else.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use rehearsal_core::identity::ProviderName;
use rehearsal_host::real::RealMachine;
use rehearsal_service::{
    ServiceError,
    config::Config,
    journal::LineJournal,
    store::{SqliteStore, StoreError, ThreadStore},
};

use super::real::{bind, runtime, until_signal};
use crate::{
    exit::Exit,
    flags::{service::ServeFlags, value::ProviderAddress},
    printer::Printer,
    problem::Problem,
};

/// Serves until a signal.
///
/// # Errors
/// A setting that is refused, a database that cannot be opened, an address that is taken.
pub(super) fn serve(flags: ServeFlags, printer: Printer) -> Result<Exit, Problem> {
    if !flags.listen.ip().is_loopback() {
        let message = format!(
            "--listen: found {}, expected a loopback address: there is no authentication yet",
            flags.listen
        );
        return Err(Problem::usage(message)
            .hint("127.0.0.1:8080, with a gateway in front of it that authenticates"));
    }
    let mut config = Config::new(&flags.listen.to_string(), addresses(flags.providers)?);
    config.roles = flags.role.into();
    config
        .check()
        .map_err(|error| Problem::usage(format!("configuration: {error}")))?;
    let store = open(&flags.database)?;
    runtime()?.block_on(async {
        let host = RealMachine::host();
        let listener = bind(&host, flags.listen).await?;
        printer.warn(&format!(
            "no authentication: whoever can reach {} can use it",
            listener.address()
        ));
        let store = Arc::new(ThreadStore::start(store));
        let journal = Arc::new(LineJournal::new(io::stderr()));
        until_signal(|shutdown| async move {
            rehearsal_service::run_on(host, listener, config, store, journal, shutdown.asked())
                .await
                .map_err(|error| match error {
                    ServiceError::Config(_) => Problem::usage(error.to_string()),
                    ServiceError::Listen { .. } => Problem::infrastructure(error.to_string()),
                })
        })
        .await
    })
}

/// Providers by name; a name that comes twice is refused.
pub(super) fn addresses(
    providers: Vec<ProviderAddress>,
) -> Result<BTreeMap<ProviderName, String>, Problem> {
    let mut addresses = BTreeMap::new();
    for ProviderAddress { name, url } in providers {
        let shown = name.to_string();
        if addresses.insert(name, url).is_some() {
            return Err(Problem::usage(format!(
                "--provider: found {shown} twice, expected each provider once"
            )));
        }
    }
    Ok(addresses)
}

fn open(database: &Path) -> Result<SqliteStore, Problem> {
    let name = database.display();
    let Some(path) = database.to_str() else {
        return Err(Problem::usage(format!(
            "--database: found {name}, expected a path in UTF-8"
        )));
    };
    let folder = database
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(Problem::usage(format!(
            "--database: found {name}, expected a path in a folder that exists"
        )));
    }
    SqliteStore::open(path).map_err(|error| {
        let message = format!("--database {name}: {error}");
        match error {
            StoreError::Busy => Problem::infrastructure(message),
            _ => Problem::usage(message),
        }
    })
}
