//! Looks at a deployment from outside: its open database, and everything that is to be seen of it at the end.
//!
//! **Invariant**: a look changes nothing and waits for nothing; a database that is closed says nothing. It judges nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::FutureExt;
use rehearsal_mocks::provider::Ledger;
use rehearsal_service::store::{Dump, InlineStore, Reply, Request, Store};

use super::{database::Faults, event::Event};

/// The database that is open at present, for a look from outside. Empty while its host is down.
pub(super) type Open = Arc<Mutex<Option<Arc<InlineStore>>>>;

/// What the end of a run writes into its trace, each time it is called.
pub(super) fn snapshot(
    open: Open,
    ledgers: BTreeMap<String, Ledger>,
    faults: Option<Arc<Faults>>,
) -> Box<dyn FnMut() -> Vec<Event>> {
    Box::new(move || {
        let Dump {
            appointments,
            outbox,
            transitions,
            findings,
        } = dump(&open).unwrap_or_default();
        let mut events: Vec<Event> = appointments
            .into_iter()
            .map(|row| Event::Row(Box::new(row)))
            .collect();
        events.extend(
            outbox
                .into_iter()
                .map(|entry| Event::Outbox(Box::new(entry))),
        );
        events.extend(
            transitions
                .into_iter()
                .map(|step| Event::Transition(Box::new(step))),
        );
        events.extend(
            findings
                .into_iter()
                .map(|finding| Event::Finding(Box::new(finding))),
        );
        // A closed database was not checked, and is not said to be whole.
        events.extend(lock(&open).as_ref().map(|store| Event::Integrity {
            problems: store.problems(),
        }));
        let delayed = faults.as_ref().and_then(|faults| faults.summary());
        events.extend(delayed.map(Event::Database));
        for (provider, ledger) in &ledgers {
            events.extend(ledger.views().into_iter().map(|view| Event::View {
                provider: provider.clone(),
                view,
            }));
        }
        events
    })
}

/// Everything in the open database; `None` while it is closed or does not answer.
pub(super) fn dump(open: &Open) -> Option<Dump> {
    match ask(open, Request::Dump)? {
        Reply::Dump(dump) => Some(dump),
        _ => None,
    }
}

/// One request to the open database, from outside.
pub(super) fn ask(open: &Open, request: Request) -> Option<Reply> {
    let store = lock(open).clone()?;
    store.call(request).now_or_never()?.ok()
}

/// A poisoned cell is used as it is: whoever panicked ended the run.
pub(super) fn lock<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}
