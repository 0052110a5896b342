//! A look at the store from its own side: what it leases again and what settles of such leases do, in the order of commit, and how right the clock is
//! by which it does, into the trace.
//!
//! **Invariant**: it passes every request and every reply on as they are. Nothing is written about an entry that is leased once: there is no
//! other lease that could be overtaken; nor about a clock that is as right as before. It judges nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_core::time::Timestamp;
use rehearsal_service::store::{Reply, Request, Store, StoreError, Verdict};

use super::event::Event;
use crate::{engine::EPOCH, trace::HostRecorder};

/// A clock that is off by so much more or less than before is told of, in microseconds: less is rounding.
const TOLD_US: i64 = 1_000;

/// What is remembered of the store. Clones share it: it outlives the store's process, as the entries do.
#[derive(Clone, Debug, Default)]
pub(super) struct Epochs(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The newest epoch of each entry, and whether it is not the first.
    epochs: BTreeMap<i64, (u64, bool)>,
    /// By how much its clock was ahead when that was last written.
    ahead_us: i64,
}

/// A store whose leases are watched.
struct Watched {
    store: Arc<dyn Store>,
    epochs: Epochs,
    recorder: HostRecorder<Event>,
}

/// Watches `store` on behalf of `recorder`'s host.
pub(super) fn watched(
    store: Arc<dyn Store>,
    epochs: &Epochs,
    recorder: &HostRecorder<Event>,
) -> Arc<dyn Store> {
    Arc::new(Watched {
        store,
        epochs: epochs.clone(),
        recorder: recorder.clone(),
    })
}

impl Watched {
    fn read_clock(&self, now: Timestamp) {
        let elapsed = EPOCH.plus(self.recorder.elapsed());
        let ahead_us = now.as_micros() - elapsed.as_micros();
        let mut known = self.epochs.0.lock().unwrap_or_else(PoisonError::into_inner);
        if (ahead_us - known.ahead_us).abs() >= TOLD_US {
            known.ahead_us = ahead_us;
            self.recorder.record(Event::StoreClock { ahead_us });
        }
    }

    fn note(&self, held: &[(i64, u64)], reply: &Reply) {
        let mut known = self.epochs.0.lock().unwrap_or_else(PoisonError::into_inner);
        let epochs = &mut known.epochs;
        match reply {
            Reply::Claims(claims) => {
                for claimed in &claims.claimed {
                    let (entry, epoch) = (claimed.entry.id, claimed.entry.lease_epoch);
                    let before = epochs.get(&entry).map(|(before, _)| *before);
                    epochs.insert(entry, (epoch, before.is_some()));
                    if let Some(before) = before {
                        self.recorder.record(Event::Leased {
                            entry,
                            before,
                            epoch,
                        });
                    }
                }
            }
            Reply::Settled(settled) => {
                for (one, (entry, epoch)) in settled.iter().zip(held) {
                    if epochs.get(entry).is_some_and(|(_, again)| *again) {
                        let took_effect =
                            matches!(one.verdict, Verdict::Applied { .. } | Verdict::Refused(_));
                        self.recorder.record(Event::Settled {
                            entry: *entry,
                            epoch: *epoch,
                            took_effect,
                        });
                    }
                }
            }
            _ => {}
        }
    }
}

impl Store for Watched {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        let held: Vec<(i64, u64)> = match &request {
            Request::Claim { now, .. } => {
                self.read_clock(*now);
                Vec::new()
            }
            Request::Settle { settlements, now } => {
                self.read_clock(*now);
                let held = settlements.iter().map(|one| (one.entry_id, one.epoch));
                held.collect()
            }
            _ => return self.store.call(request),
        };
        async move {
            let reply = self.store.call(request).await?;
            self.note(&held, &reply);
            Ok(reply)
        }
        .boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
