//! What every store has to do, run against each way to reach SQLite. `beside` is a second handle on the same database.

mod accepting;
mod auditing;
mod leasing;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use rehearsal_core::{
    appointment::{Details, State},
    command::{Command, NewAppointment},
    delivery::{self, Next},
    idempotency::{Stored, fingerprint},
    identity::{AppointmentId, ProviderName, Reference, RequestId, Tenant, WorkerId},
    outbox::{EntryState, Kind, MAX_WAIT},
    reconcile::{Finding, FindingKind, Repair},
    rejection::Rejection,
    time::Timestamp,
};
use rehearsal_service::store::{
    AcceptReply, Claimed, Dump, InlineStore, Redriven, Reply, Request, Settlement, SqliteStore,
    Store, StoreError, ThreadStore, Verdict,
};

const LEASE: Duration = Duration::from_secs(10);

struct Bench {
    runtime: tokio::runtime::Runtime,
    store: Arc<dyn Store>,
    beside: Arc<dyn Store>,
    path: String,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new(open: fn(SqliteStore) -> Arc<dyn Store>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.sqlite").to_str().unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        Self {
            runtime,
            store: open(SqliteStore::open(&path).unwrap()),
            beside: open(SqliteStore::open(&path).unwrap()),
            path,
            _dir: dir,
        }
    }

    fn call(&self, request: Request) -> Reply {
        self.runtime.block_on(self.store.call(request)).unwrap()
    }

    fn accept(&self, new: &NewAppointment, now: i64) -> AcceptReply {
        match self.call(accept(new, at(now))) {
            Reply::Accepted(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn claim(&self, worker: u64, now: i64, limit: u32) -> Vec<Claimed> {
        self.claim_with(worker, now, &[("acme", limit)])
    }

    fn claim_with(&self, worker: u64, now: i64, limits: &[(&str, u32)]) -> Vec<Claimed> {
        let request = Request::Claim {
            worker: WorkerId(worker),
            now: at(now),
            lease: LEASE,
            limits: limits
                .iter()
                .map(|(name, limit)| (provider(name), *limit))
                .collect(),
        };
        match self.call(request) {
            Reply::Claims(claims) => claims.claimed,
            other => panic!("{other:?}"),
        }
    }

    fn settle(&self, claimed: &Claimed, next: Next, now: i64) -> Verdict {
        let settlement = Settlement {
            entry_id: claimed.entry.id,
            epoch: claimed.entry.lease_epoch,
            next,
            decided_by: at(now),
        };
        let request = Request::Settle {
            settlements: vec![settlement],
            now: at(now),
        };
        match self.call(request) {
            Reply::Settled(mut settled) => settled.remove(0).verdict,
            other => panic!("{other:?}"),
        }
    }

    fn dump(&self) -> Dump {
        match self.call(Request::Dump) {
            Reply::Dump(dump) => dump,
            other => panic!("{other:?}"),
        }
    }

    fn cancel(&self, id: &str, now: i64) -> Result<usize, Rejection> {
        let request = Request::Cancel {
            tenant: Tenant::default(),
            id: AppointmentId::parse(id).unwrap(),
            now: at(now),
        };
        match self.call(request) {
            Reply::Cancelled(reply) => reply.map(|(_, events)| events.len()),
            other => panic!("{other:?}"),
        }
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_900_000_000 + seconds)
}

fn provider(name: &str) -> ProviderName {
    ProviderName::parse(name).unwrap()
}

pub(crate) fn new(id: &str, request_id: &str) -> NewAppointment {
    NewAppointment {
        tenant: Tenant::default(),
        id: AppointmentId::parse(id).unwrap(),
        request_id: RequestId::parse(request_id).unwrap(),
        provider: provider("acme"),
        details: Details {
            time: "2030-01-31T09:30:00Z".into(),
            patient_name: "Alice".into(),
            email: Some("alice@example.org".into()),
            note: None,
        },
    }
}

pub(crate) fn accept(new: &NewAppointment, now: Timestamp) -> Request {
    Request::Accept {
        new: new.clone(),
        answer: Stored {
            fingerprint: fingerprint(new),
            status: 202,
            body: format!("the answer to {}", new.request_id),
        },
        now,
    }
}

fn booked(claimed: &Claimed) -> Next {
    Next::Settle(Command::Booked {
        reference: Reference::parse("ref-1").unwrap(),
        attempts: claimed.entry.attempt,
    })
}

fn retry(claimed: &Claimed, until: i64) -> Next {
    delivery::defer(&claimed.entry, at(until), "not now")
}

fn given_up(claimed: &Claimed) -> Next {
    let policy = delivery::Policy {
        max_attempts: 1,
        ..delivery::Policy::default()
    };
    let outcome = delivery::Outcome::Unknown {
        cause: "answered 500".into(),
        answered: true,
    };
    delivery::next(&claimed.entry, &outcome, at(0), 0.5, &policy)
}

macro_rules! conformance {
    ($($store:ident = $open:expr;)*) => { $(
        mod $store {
            use super::*;
            conformance!(@each $open;
                accepting::accept_is_fresh_then_replayed_byte_for_byte
                accepting::used_keys_and_ids_are_refused
                accepting::keys_of_tenants_never_meet
                accepting::concurrent_duplicates_make_one_row
                leasing::claims_respect_order_limits_and_due_times
                leasing::next_due_is_the_earliest_claimable_time
                leasing::what_was_put_off_by_a_clock_that_was_ahead_is_due
                leasing::a_wait_is_by_the_stores_clock
                leasing::expired_leases_are_rescued_and_uncertain
                leasing::settles_are_fenced_and_repeatable
                leasing::a_batch_settles_row_by_row
                leasing::an_appointments_entries_go_in_order
                leasing::exhaustion_fails_compensates_and_dead_letters
                leasing::redrive_resolves_first_and_is_moot_when_nothing_is_owed
                auditing::findings_are_counted_resolved_and_reopened
                auditing::a_finding_is_not_gone_because_its_row_looks_young
                auditing::repairs_need_the_version_they_were_made_for
                auditing::cancels_are_queued_once_by_repair
                auditing::audit_pages_walk_the_keys_in_order
                accepting::a_bad_row_fails_alone
                accepting::everything_survives_reopening
            );
        }
    )* };
    (@each $open:expr; $($group:ident::$case:ident)*) => { $(
        #[test]
        fn $case() {
            super::$group::$case(&Bench::new($open));
        }
    )* };
}

/// A store at the other end of a wire: everything goes through JSON both ways.
struct WireStore(InlineStore);

impl Store for WireStore {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply, StoreError>> {
        let sent = serde_json::to_string(&request).unwrap();
        let received: Request = serde_json::from_str(&sent).unwrap();
        assert_eq!(received, request);
        Box::pin(async move {
            let reply = self.0.call(received).await;
            serde_json::from_str(&serde_json::to_string(&reply).unwrap()).unwrap()
        })
    }
}

conformance! {
    sqlite_inline = |store| Arc::new(InlineStore::new(store));
    sqlite_thread = |store| Arc::new(ThreadStore::start(store));
    sqlite_over_a_wire = |store| Arc::new(WireStore(InlineStore::new(store)));
}

#[test]
fn a_new_file_has_small_pages_and_an_older_one_keeps_its_own() {
    let older =
        "PRAGMA page_size = 4096; CREATE TABLE migrations (number INTEGER PRIMARY KEY) STRICT";
    for (before, expected) in [("", 2048), (older, 4096)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.sqlite").to_str().unwrap().to_owned();
        let beside = rusqlite::Connection::open(&path).unwrap();
        beside.execute_batch(before).unwrap();
        let mut store = SqliteStore::open(&path).unwrap();
        let new = new("a-1", "r-1");
        assert!(store.handle(accept(&new, at(0))).is_ok());
        // A connection learns the size with the first page that it reads.
        beside.execute_batch("SELECT * FROM answers").unwrap();
        let size = beside.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0));
        assert_eq!(size, Ok(expected));
    }
}
