//! `rehearsal legacy`: the legacy model on the real machine.
//!
//! **Invariant**: its log is as it was, names and all: that is one of its defects, and it is on stderr for whoever wants to see it.

use std::sync::Arc;

use rehearsal_host::real::RealMachine;
use rehearsal_mocks::legacy::{self, LegacyConfig, Rows};

use super::{
    real::{bind, runtime, until_signal},
    serve::addresses,
};
use crate::{exit::Exit, flags::service::LegacyFlags, printer::Printer, problem::Problem};

/// Serves until a signal.
///
/// # Errors
/// An address that is taken.
pub(super) fn legacy(flags: LegacyFlags, printer: Printer) -> Result<Exit, Problem> {
    let providers = addresses(flags.providers)?
        .into_iter()
        .map(|(name, url)| (name.to_string(), url))
        .collect();
    let config = LegacyConfig {
        timeout: flags.timeout,
        ..LegacyConfig::new(flags.listen.to_string(), providers)
    };
    runtime()?.block_on(async {
        let host = RealMachine::host();
        let listener = bind(&host, flags.listen).await?;
        printer.talk(&format!("  legacy    http://{}", listener.address()));
        let out = printer;
        let journal = Arc::new(move |line: &str| out.talk(line));
        until_signal(|shutdown| async move {
            legacy::serve(
                host,
                listener,
                config,
                Rows::new(),
                journal,
                shutdown.asked(),
            )
            .await;
            Ok(())
        })
        .await
    })
}
