//! Defects of settling: whose settle counts, and what it makes of an entry.
//!
//! **Invariant**: everything but the defect is the store's own work; what a decorator remembers dies with its process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_core::{
    command::Command,
    delivery::Next,
    identity::ProviderName,
    outbox::{Entry, EntryState, Kind},
    time::Timestamp,
};
use rehearsal_service::store::{Claimed, Reply, Request, Settlement, Store, StoreError};

use super::Defect;

/// An entry is put back to work this long after it was settled.
const REDRIVEN_AFTER: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Settling {
    defect: Defect,
    store: Arc<dyn Store>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// What was claimed, by entry and epoch.
    claimed: BTreeMap<(i64, u64), Claimed>,
    redriven: Vec<(Timestamp, Claimed)>,
}

impl Settling {
    pub(super) fn new(defect: Defect, store: Arc<dyn Store>) -> Self {
        Self {
            defect,
            store,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(&self, request: Request) -> Result<Reply, StoreError> {
        match request {
            Request::Claim {
                now, ref limits, ..
            } => {
                let limits = limits.clone();
                let mut reply = self.store.call(request).await?;
                if let Reply::Claims(claims) = &mut reply {
                    self.memory().note(&claims.claimed);
                    self.memory().redrive(now, &limits, &mut claims.claimed);
                }
                Ok(reply)
            }
            Request::Settle {
                mut settlements,
                now,
            } => {
                self.unfence(&mut settlements).await?;
                for one in &mut settlements {
                    self.spoil(one, now);
                }
                self.store.call(Request::Settle { settlements, now }).await
            }
            other => self.store.call(other).await,
        }
    }

    /// Gives settlements of older leases the epoch of the present one, where the defect takes them.
    async fn unfence(&self, settlements: &mut [Settlement]) -> Result<(), StoreError> {
        let by_attempt = self.defect == Defect::AttemptAsFence;
        if !by_attempt && self.defect != Defect::StaleSettle {
            return Ok(());
        }
        let Reply::Dump(dump) = self.store.call(Request::Dump).await? else {
            return Err(StoreError::Protocol);
        };
        let memory = self.memory();
        for one in settlements {
            let held = memory.claimed.get(&(one.entry_id, one.epoch));
            let passes = |entry: &&Entry| {
                entry.id == one.entry_id
                    && entry.state == EntryState::Leased
                    && (!by_attempt || held.is_some_and(|held| held.entry.attempt == entry.attempt))
            };
            if let Some(entry) = dump.outbox.iter().find(passes) {
                one.epoch = entry.lease_epoch;
            }
        }
        Ok(())
    }

    fn spoil(&self, one: &mut Settlement, now: Timestamp) {
        match (self.defect, &mut one.next) {
            (Defect::RetryDelayZero, Next::Retry { due_at, .. }) => *due_at = one.decided_by,
            (Defect::ForgottenDoubt, Next::Retry { uncertain, .. }) => *uncertain = false,
            (Defect::EndlessRefund, Next::Retry { refund, .. }) => *refund = true,
            (Defect::RefundForgotten, Next::Retry { refund, .. }) => *refund = false,
            (
                Defect::GivesUpWithoutCompensation,
                Next::DeadLetter {
                    command: Command::Exhausted { attempts, .. },
                    ..
                },
            ) => {
                one.next = Next::Settle(Command::Refused {
                    code: "gave_up".to_owned(),
                    attempts: *attempts,
                });
            }
            (Defect::RedriveOfConfirmed, Next::Settle(Command::Booked { .. })) => {
                let mut memory = self.memory();
                let held = memory.claimed.get(&(one.entry_id, one.epoch)).cloned();
                memory.redriven.extend(
                    held.filter(|held| held.entry.attempt > 1)
                        .map(|held| (now, held)),
                );
            }
            _ => {}
        }
    }
}

impl Memory {
    fn note(&mut self, claimed: &[Claimed]) {
        for one in claimed {
            let key = (one.entry.id, one.entry.lease_epoch);
            self.claimed.insert(key, one.clone());
        }
    }

    /// Adds settled entries to a claim, as new ones.
    fn redrive(
        &mut self,
        now: Timestamp,
        limits: &[(ProviderName, u32)],
        claimed: &mut Vec<Claimed>,
    ) {
        let room = |claimed: &[Claimed], name: &ProviderName| {
            let taken = claimed.iter().filter(|it| it.entry.destination == *name);
            let taken = taken.count();
            limits
                .iter()
                .any(|(free, limit)| free == name && taken < *limit as usize)
        };
        let due: Vec<_> = self
            .redriven
            .extract_if(.., |(since, one)| {
                now.since(*since) >= REDRIVEN_AFTER && room(claimed, &one.entry.destination)
            })
            .collect();
        for (_, mut one) in due {
            let entry = &mut one.entry;
            (entry.attempt, entry.uncertain, entry.last_sent_at) = (1, false, None);
            one.rescued = false;
            if entry.kind == Kind::Book {
                claimed.push(one);
            }
        }
    }
}

impl Store for Settling {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        self.handle(request).boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
