//! Defects of claiming: who gets an entry, for how long, and what they are told of earlier attempts.
//!
//! **Invariant**: everything but the defect is the store's own work; what a decorator remembers dies with its process.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use rehearsal_core::{
    delivery::Policy,
    identity::{ProviderName, WorkerId},
    time::Timestamp,
};
use rehearsal_service::store::{Claimed, Reply, Request, Store, StoreError};

use super::Defect;

/// A lease that ends before most providers answer.
const SHORT: Duration = Duration::from_millis(20);
/// Two claims within this are at the same time.
const AT_ONCE: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Leasing {
    defect: Defect,
    policy: Policy,
    store: Arc<dyn Store>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    mark: i64,
    seen: BTreeSet<i64>,
    recent: Vec<(Timestamp, WorkerId, Claimed)>,
}

impl Leasing {
    pub(super) fn new(defect: Defect, policy: Policy, store: Arc<dyn Store>) -> Self {
        Self {
            defect,
            policy,
            store,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn handle(&self, request: Request) -> Result<Reply, StoreError> {
        let Request::Claim {
            worker,
            now,
            mut lease,
            limits,
        } = request
        else {
            return self.store.call(request).await;
        };
        if self.defect == Defect::LeaseShorterThanTimeout {
            lease = SHORT;
        }
        let claim = Request::Claim {
            worker,
            now,
            lease,
            limits: limits.clone(),
        };
        let mut reply = self.store.call(claim).await?;
        if let Reply::Claims(claims) = &mut reply {
            self.spoil(worker, now, &limits, &mut claims.claimed);
        }
        Ok(reply)
    }

    fn spoil(
        &self,
        worker: WorkerId,
        now: Timestamp,
        limits: &[(ProviderName, u32)],
        claimed: &mut Vec<Claimed>,
    ) {
        match self.defect {
            Defect::CrashAfterSendResends => {
                for one in claimed.iter_mut().filter(|one| one.rescued) {
                    one.entry.uncertain = false;
                    one.entry.last_sent_at = None;
                }
            }
            Defect::ExhaustedAtRescue => {
                claimed.retain(|one| !one.rescued || one.entry.attempt <= self.policy.max_attempts);
            }
            Defect::HighWaterMark => {
                let mut memory = self.memory();
                claimed.retain(|one| memory.above_mark(one.entry.id));
            }
            Defect::MixedUpDetails => {
                if let [first, rest @ ..] = &mut claimed[..] {
                    for one in rest {
                        one.appointment
                            .details
                            .clone_from(&first.appointment.details);
                    }
                }
            }
            Defect::TwoClaimers => self.memory().share(worker, now, limits, claimed),
            _ => {}
        }
    }
}

impl Memory {
    fn above_mark(&mut self, id: i64) -> bool {
        if id > self.mark {
            self.mark = id;
            self.seen.insert(id);
        }
        self.seen.contains(&id)
    }

    /// Gives `worker` what others have just got, too.
    fn share(
        &mut self,
        worker: WorkerId,
        now: Timestamp,
        limits: &[(ProviderName, u32)],
        claimed: &mut Vec<Claimed>,
    ) {
        self.recent
            .retain(|(since, ..)| now.since(*since) < AT_ONCE);
        let own = claimed.clone();
        for (_, holder, one) in &self.recent {
            let room = limits.iter().any(|(name, limit)| {
                let taken = claimed.iter().filter(|it| it.entry.destination == *name);
                *name == one.entry.destination && taken.count() < *limit as usize
            });
            let is_ours = |it: &Claimed| it.entry.id == one.entry.id;
            if *holder != worker && room && !claimed.iter().any(is_ours) {
                claimed.push(one.clone());
            }
        }
        self.recent
            .extend(own.into_iter().map(|one| (now, worker, one)));
    }
}

impl Store for Leasing {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        self.handle(request).boxed()
    }

    fn changed(&self) -> Option<BoxFuture<'_, ()>> {
        self.store.changed()
    }
}
