//! The outbox worker: claims what is due, delivers it concurrently, settles it.
//!
//! **Invariant**: it claims no more than may start at once (free slots of lanes whose breaker lets calls through), and a delivery that
//! panics costs neither its slot nor the loop.
//! It deliberately keeps no queue of its own: the database is the only queue, and a claim that was never settled comes back by its lease.

mod claim_time;
mod delivery;
mod lane;
mod probe;
mod settler;

use std::{
    collections::BTreeMap, future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc,
    time::Duration,
};

use futures_util::future::{Either, FutureExt, select};
use rehearsal_core::{
    delivery::Policy,
    identity::{ProviderName, WorkerId},
    log::Evt,
    outbox::Entry,
};
use tokio::sync::{Notify, mpsc, watch};

pub(crate) use self::lane::{LaneStatus, Lanes};
use self::{
    claim_time::{ClaimTime, StoreClock},
    delivery::Attempt,
    lane::Slot,
    settler::{Ended, Settler},
};
use crate::{
    config::Config,
    journal::Telemetry,
    metrics::Counter,
    provider::Provider,
    store::{Claimed, StoreAccess},
};

/// The shortest sleep between two claims: hosts' timers have this resolution.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// How much rarer the worker looks by itself when the store tells it of new work: a notification may be lost.
const RARER_WHEN_TOLD: u32 = 10;

/// See the module.
pub(crate) struct Worker {
    id: WorkerId,
    telemetry: Telemetry,
    store: StoreAccess,
    lanes: Arc<Lanes>,
    providers: BTreeMap<ProviderName, Provider>,
    policy: Policy,
    claim_batch: u32,
    poll_every: Duration,
    drain: Duration,
    ended: mpsc::Sender<Ended>,
    stopping: watch::Receiver<bool>,
}

/// What wakes a worker, and what it shares with whoever reports on it.
pub(crate) struct Surroundings {
    pub(crate) telemetry: Telemetry,
    pub(crate) store: StoreAccess,
    pub(crate) lanes: Arc<Lanes>,
    /// Rung by the API after an accept, by full lanes that have room again, and by the settler.
    pub(crate) wake: Arc<Notify>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Works until `stopping`, then lets what has started finish.
pub(crate) async fn run(
    config: &Config,
    providers: BTreeMap<ProviderName, Provider>,
    around: Surroundings,
) {
    let slots = config.bulkhead as usize * config.providers.len().max(1);
    let (ended, settling) = mpsc::channel(slots);
    let settled = Arc::new(Notify::new());
    let host = around.telemetry.host.clone();
    host.spawn(
        Settler {
            telemetry: around.telemetry.clone(),
            store: around.store.clone(),
            ended: settling,
            wake: around.wake.clone(),
            settled: settled.clone(),
        }
        .run(),
    );
    let worker = Arc::new(Worker {
        id: WorkerId(host.entropy()),
        telemetry: around.telemetry,
        store: around.store,
        lanes: around.lanes,
        providers,
        policy: config.policy.clone(),
        claim_batch: config.claim_batch,
        poll_every: config.poll_every,
        drain: config.drain,
        ended,
        stopping: around.stopping,
    });
    let event = worker
        .telemetry
        .event(Evt::Started, "the worker claims")
        .with("role", "worker")
        .with("worker", worker.id.to_string());
    worker.telemetry.log(event);
    worker.claim_until_stopped(&around.wake).await;
    worker.finish(&settled).await;
}

impl Worker {
    async fn claim_until_stopped(self: &Arc<Self>, wake: &Notify) {
        let mut stopping = self.stopping.clone();
        let mut stop = pin!(async move {
            // An error means that whoever could stop us is gone: stop as well.
            let _ = stopping.wait_for(|stop| *stop).await;
        });
        let mut clock = StoreClock::unheard(&self.telemetry.host);
        loop {
            let sleep = self.claim(&mut clock).await;
            let told = async {
                match self.store.changed() {
                    Some(changed) => changed.await,
                    None => std::future::pending().await,
                }
            };
            let rung = first(wake.notified(), told);
            let woken = pin!(first(rung, self.telemetry.host.sleep(sleep)));
            if let Either::Left(_) = select(stop.as_mut(), woken).await {
                return;
            }
        }
    }

    /// Claims and starts everything that may start now; how long to sleep until there may be more.
    async fn claim(self: &Arc<Self>, clock: &mut StoreClock) -> Duration {
        let host = &self.telemetry.host;
        loop {
            let (limits, reopens) = self.lanes.limits(self.claim_batch);
            if limits.is_empty() || *self.stopping.borrow() {
                return self.sleep(reopens.map(|at| at.saturating_sub(host.elapsed())));
            }
            let asked = host.elapsed();
            let claims = self
                .store
                .claim(self.id, host.now(), self.policy.lease, limits)
                .await;
            let claims = match claims {
                Ok(claims) => claims,
                Err(error) => {
                    self.telemetry.store_failed("claim", &error);
                    return self.poll_every;
                }
            };
            let time = clock.hear(host, asked, claims.now);
            let some = !claims.claimed.is_empty();
            for claimed in claims.claimed {
                self.start(claimed, time);
            }
            let due_now = claims.next_due.is_some_and(|due| due <= time.now(host));
            if !(some && due_now) {
                self.probe_idle().await;
                let due = claims.next_due.map(|due| due.since(time.now(host)));
                let reopens = reopens.map(|at| at.saturating_sub(host.elapsed()));
                return self.sleep([reopens, due].into_iter().flatten().min());
            }
        }
    }

    /// How long to sleep when there may be more in `next`.
    fn sleep(&self, next: Option<Duration>) -> Duration {
        let poll_every = match self.store.changed() {
            Some(_) => self.poll_every * RARER_WHEN_TOLD,
            None => self.poll_every,
        };
        next.map_or(poll_every, |next| next.min(poll_every))
            .max(SHORTEST_SLEEP)
    }

    fn start(self: &Arc<Self>, mut claimed: Claimed, time: ClaimTime) {
        time.doubt(&mut claimed.entry, claimed.rescued, self.policy.lease);
        if claimed.rescued {
            self.telemetry.metrics.count(Counter::LeaseExpired, &[]);
            self.log(
                &claimed.entry,
                Evt::LeaseExpired,
                "another worker's lease ran out",
            );
        }
        let Some(slot) = self.lanes.enter(&claimed.entry.destination) else {
            // Only a store that gives more than was asked for gets here; the lease runs out.
            self.log(
                &claimed.entry,
                Evt::WorkerError,
                "claimed without a free slot",
            );
            return;
        };
        self.telemetry
            .host
            .spawn(self.clone().deliver(claimed, time, slot));
    }

    async fn deliver(self: Arc<Self>, claimed: Claimed, time: ClaimTime, slot: Slot) {
        let attempt = Attempt {
            worker: &self,
            claimed: &claimed,
            time,
        };
        let run = AssertUnwindSafe(attempt.run()).catch_unwind().await;
        let next = run.unwrap_or_else(|_| {
            self.telemetry.metrics.count(Counter::WorkerPanics, &[]);
            self.log(&claimed.entry, Evt::WorkerError, "the delivery panicked");
            attempt.lost()
        });
        let ended = Ended {
            entry: claimed.entry,
            next,
            time,
            lease_over: time.over(self.policy.lease),
            slot,
        };
        // The settler outlives every delivery: it ends when the last sender is gone.
        let _ = self.ended.send(ended).await;
    }

    /// Waits for the deliveries under way, at most for the drain time.
    async fn finish(&self, settled: &Notify) {
        let done = async {
            while self.lanes.in_use() > 0 {
                settled.notified().await;
            }
        };
        let drained = self.telemetry.host.timeout(self.drain, done).await.is_ok();
        let event = self
            .telemetry
            .event(Evt::Stopping, "the worker has stopped claiming")
            .with("role", "worker")
            .with("drained", drained);
        self.telemetry.log(event);
    }

    fn log(&self, entry: &Entry, evt: Evt, message: &'static str) {
        self.telemetry
            .log(self.telemetry.about(entry, evt, message));
    }
}

/// Done as soon as either is.
async fn first(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    select(pin!(one), pin!(other)).await;
}
