//! What every store has to do, run against each way to reach SQLite. `beside` is a second handle on the same database.

use std::{sync::Arc, time::Duration};

use rehearsal_core::{
    appointment::{Details, State},
    command::{Command, NewAppointment},
    delivery::{self, Next},
    idempotency::{Stored, fingerprint},
    identity::{AppointmentId, ProviderName, Reference, RequestId, Tenant, WorkerId},
    outbox::{EntryState, Kind},
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

fn accept_is_fresh_then_replayed_byte_for_byte(bench: &Bench) {
    let first = new("a-1", "r-1");
    assert!(matches!(bench.accept(&first, 0), AcceptReply::Fresh(events) if events.len() == 1));
    let AcceptReply::Replay(stored) = bench.accept(&first, 60) else {
        panic!("not replayed");
    };
    assert_eq!(
        (stored.status, stored.body.as_str()),
        (202, "the answer to r-1")
    );
    let dump = bench.dump();
    assert_eq!((dump.appointments.len(), dump.outbox.len()), (1, 1));
    assert_eq!(dump.appointments[0].created_at, at(0));
    assert_eq!(dump.transitions[0].to.as_deref(), Some("pending"));
}

fn used_keys_and_ids_are_refused(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let mut other = new("a-1", "r-1");
    other.details.patient_name = "Bob".into();
    let reused = AcceptReply::Rejected(Rejection::KeyReused);
    // In flight, and after it is settled: 422 both times.
    assert_eq!(bench.accept(&other, 1), reused);
    let claimed = bench.claim(1, 1, 1).remove(0);
    bench.settle(&claimed, booked(&claimed), 2);
    assert_eq!(bench.accept(&other, 3), reused);
    let taken = AcceptReply::Rejected(Rejection::AlreadyExists);
    assert_eq!(bench.accept(&new("a-1", "r-2"), 4), taken);
    // A refused request consumed nothing.
    assert!(matches!(
        bench.accept(&new("a-2", "r-2"), 5),
        AcceptReply::Fresh(_)
    ));
}

fn keys_of_tenants_never_meet(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let mut foreign = new("a-1", "r-1");
    foreign.tenant = Tenant::parse("other").unwrap();
    foreign.details.patient_name = "Bob".into();
    assert!(matches!(bench.accept(&foreign, 0), AcceptReply::Fresh(_)));
    let read = |tenant: &str| {
        let request = Request::Find {
            tenant: Tenant::parse(tenant).unwrap(),
            request_id: RequestId::parse("r-1").unwrap(),
        };
        match bench.call(request) {
            Reply::Appointment(row) => row.map(|row| row.details.patient_name),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read("other").as_deref(), Some("Bob"));
    assert_eq!(read("default").as_deref(), Some("Alice"));
    assert_eq!(read("nobody"), None);
}

fn concurrent_duplicates_make_one_row(bench: &Bench) {
    let same = new("a-1", "r-1");
    let one_call = async |store: &Arc<dyn Store>| loop {
        match store.call(accept(&same, at(0))).await {
            Err(StoreError::Busy) => tokio::task::yield_now().await,
            reply => break reply.unwrap(),
        }
    };
    let replies = bench.runtime.block_on(async {
        let calls = (0..16).map(|n| {
            one_call(if n % 2 == 0 {
                &bench.store
            } else {
                &bench.beside
            })
        });
        futures_util::future::join_all(calls).await
    });
    let fresh = replies
        .iter()
        .filter(|reply| matches!(reply, Reply::Accepted(AcceptReply::Fresh(_))))
        .count();
    let replayed = replies
        .iter()
        .filter(|reply| matches!(reply, Reply::Accepted(AcceptReply::Replay(_))))
        .count();
    assert_eq!((fresh, replayed), (1, 15));
    let dump = bench.dump();
    assert_eq!((dump.appointments.len(), dump.outbox.len()), (1, 1));
}

fn claims_respect_order_limits_and_due_times(bench: &Bench) {
    for (second, name) in ["c", "b", "a", "d"].iter().enumerate() {
        let mut one = new(name, &format!("r-{name}"));
        if *name == "d" {
            one.provider = provider("zeta");
        }
        bench.accept(&one, i64::try_from(second).unwrap());
    }
    let names = |claimed: &[Claimed]| -> Vec<String> {
        claimed.iter().map(|it| it.entry.key.clone()).collect()
    };
    let first = bench.claim(1, 3, 2);
    assert_eq!(names(&first), ["c", "b"]);
    assert_eq!((first[0].entry.attempt, first[0].entry.lease_epoch), (1, 1));
    assert_eq!(first[0].entry.lease_until, Some(at(13)));
    assert_eq!(
        names(&bench.claim_with(2, 3, &[("acme", 9), ("zeta", 9)])),
        ["a", "d"]
    );
    assert!(
        bench
            .claim_with(3, 3, &[("acme", 9), ("zeta", 9)])
            .is_empty()
    );
    // Put off: not claimable before its time, and the attempt is refunded.
    bench.settle(&first[0], retry(&first[0], 8), 4);
    assert!(bench.claim(3, 7, 9).is_empty());
    let again = bench.claim(3, 8, 9).remove(0);
    assert_eq!((again.entry.attempt, again.entry.lease_epoch), (1, 2));
    assert!(!again.rescued && !again.entry.uncertain);
}

fn next_due_is_the_earliest_claimable_time(bench: &Bench) {
    let due = |now: i64| match bench.call(Request::Claim {
        worker: WorkerId(9),
        now: at(now),
        lease: LEASE,
        limits: vec![(provider("acme"), 1)],
    }) {
        Reply::Claims(claims) => claims.next_due,
        other => panic!("{other:?}"),
    };
    assert_eq!(due(0), None);
    bench.accept(&new("a-1", "r-1"), 1);
    // Claimed: claimable again when its lease is over. A cancel that waits behind it does not count.
    assert_eq!(due(1), Some(at(11)));
    bench.cancel("a-1", 2).unwrap();
    assert_eq!(due(3), Some(at(11)));
}

fn expired_leases_are_rescued_and_uncertain(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let lost = bench.claim(1, 0, 1).remove(0);
    assert!(bench.claim(2, 9, 1).is_empty());
    let rescued = bench.claim(2, 10, 1).remove(0);
    assert!(rescued.rescued && rescued.entry.uncertain);
    assert_eq!((rescued.entry.attempt, rescued.entry.lease_epoch), (2, 2));
    assert_eq!(rescued.entry.last_sent_at, Some(at(10)));
    // The clock jumps back by an hour: a lease from the future counts as over.
    assert_eq!(bench.claim(3, -3600, 1).len(), 1);
    // The first holder wakes up: its settle is stale and changes nothing.
    let before = bench.dump();
    assert_eq!(bench.settle(&lost, booked(&lost), 11), Verdict::Stale);
    assert_eq!(bench.settle(&rescued, booked(&rescued), 11), Verdict::Stale);
    assert_eq!(bench.dump(), before);
}

fn settles_are_fenced_and_repeatable(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let claimed = bench.claim(1, 0, 1).remove(0);
    let Verdict::Applied { events, follow_up } = bench.settle(&claimed, booked(&claimed), 1) else {
        panic!("not applied");
    };
    assert_eq!((events.len(), follow_up), (1, false));
    // The answer was lost and the settle is sent again; another result of the same lease is not a repetition.
    assert_eq!(
        bench.settle(&claimed, booked(&claimed), 2),
        Verdict::Repeated
    );
    assert_eq!(
        bench.settle(&claimed, retry(&claimed, 9), 2),
        Verdict::Stale
    );
    let dump = bench.dump();
    assert_eq!(dump.appointments[0].state, State::Confirmed);
    assert_eq!(dump.appointments[0].version, 2);
    assert_eq!(dump.outbox[0].state, EntryState::Done);
    assert_eq!(dump.transitions.len(), 2);
    assert!(bench.claim(2, 100, 9).is_empty());
}

fn a_batch_settles_row_by_row(bench: &Bench) {
    for name in ["a", "b"] {
        bench.accept(&new(name, &format!("r-{name}")), 0);
    }
    let claimed = bench.claim(1, 0, 2);
    let settlement = |one: &Claimed, epoch| Settlement {
        entry_id: one.entry.id,
        epoch,
        next: booked(one),
    };
    let reply = bench.call(Request::Settle {
        settlements: vec![settlement(&claimed[0], 7), settlement(&claimed[1], 1)],
        now: at(1),
    });
    let Reply::Settled(settled) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(settled[0].verdict, Verdict::Stale);
    assert!(matches!(settled[1].verdict, Verdict::Applied { .. }));
}

fn an_appointments_entries_go_in_order(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    assert_eq!(bench.cancel("a-1", 0), Ok(1));
    assert_eq!(bench.cancel("a-1", 0), Ok(0));
    assert_eq!(bench.cancel("none", 0), Err(Rejection::NotFound));
    let book = bench.claim(1, 1, 9);
    assert_eq!((book.len(), book[0].entry.kind), (1, Kind::Book));
    let verdict = bench.settle(&book[0], booked(&book[0]), 2);
    assert!(
        matches!(
            verdict,
            Verdict::Applied {
                follow_up: true,
                ..
            }
        ),
        "{verdict:?}"
    );
    let cancel = bench.claim(1, 2, 9);
    assert_eq!((cancel.len(), cancel[0].entry.kind), (1, Kind::Cancel));
    assert_eq!(cancel[0].entry.generation, 1);
    let acknowledged = Next::Settle(Command::CancelAcknowledged { attempts: 1 });
    bench.settle(&cancel[0], acknowledged, 3);
    assert_eq!(bench.dump().appointments[0].state, State::Cancelled);
}

fn exhaustion_fails_compensates_and_dead_letters(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let book = bench.claim(1, 0, 1).remove(0);
    bench.settle(&book, given_up(&book), 1);
    let dump = bench.dump();
    assert_eq!(dump.appointments[0].state, State::Failed);
    assert_eq!(dump.outbox[0].state, EntryState::Dead);
    assert_eq!(dump.outbox[0].last_error.as_deref(), Some("answered 500"));
    let cancel = bench.claim(1, 1, 9).remove(0);
    assert_eq!(cancel.entry.kind, Kind::Cancel);
    bench.settle(&cancel, given_up(&cancel), 2);
    let Reply::DeadLetters(dead) = bench.call(Request::DeadLetters { after: 0, limit: 9 }) else {
        panic!("other reply");
    };
    assert_eq!(dead.len(), 2);
    assert_eq!(dead[1].dead_at, at(2));
    let Reply::Depths(depths) = bench.call(Request::Depths) else {
        panic!("other reply");
    };
    assert_eq!(
        (depths.len(), depths[0].state.as_str(), depths[0].entries),
        (1, "dead", 2)
    );
    assert_eq!(bench.dump().appointments[0].state, State::Failed);
}

fn redrive_resolves_first_and_is_moot_when_nothing_is_owed(bench: &Bench) {
    let redrive = |entry_id, now: i64| match bench.call(Request::Redrive {
        entry_id,
        now: at(now),
    }) {
        Reply::Redriven(redriven) => redriven,
        other => panic!("{other:?}"),
    };
    bench.accept(&new("a-1", "r-1"), 0);
    let book = bench.claim(1, 0, 1).remove(0);
    assert_eq!(redrive(book.entry.id, 1), Redriven::NotDead);
    bench.settle(&book, given_up(&book), 1);
    let cancel = bench.claim(1, 1, 9).remove(0);
    bench.settle(&cancel, given_up(&cancel), 2);
    assert_eq!(redrive(book.entry.id, 3), Redriven::Moot);
    assert_eq!(redrive(cancel.entry.id, 3), Redriven::Ready);
    let again = bench.claim(1, 3, 9).remove(0);
    assert_eq!((again.entry.attempt, again.entry.lease_epoch), (1, 2));
    assert!(again.entry.uncertain);
    // The stale settle of the first life is refused although its attempt number is the same.
    assert_eq!(bench.settle(&cancel, given_up(&cancel), 4), Verdict::Stale);
    bench.settle(
        &again,
        Next::Settle(Command::CancelAcknowledged { attempts: 1 }),
        4,
    );
    assert_eq!(redrive(cancel.entry.id, 5), Redriven::NotDead);
    assert_eq!(redrive(999, 5), Redriven::NotDead);
}

fn findings_are_counted_resolved_and_reopened(bench: &Bench) {
    let finding = Finding {
        kind: FindingKind::OrphanAtProvider,
        appointment_id: None,
        request_id: None,
        key: "k".into(),
        detail: "no row".into(),
    };
    let record = |seen: Vec<Finding>, since: Option<i64>, now: i64| {
        let reply = bench.call(Request::RecordFindings {
            provider: provider("acme"),
            seen,
            whole_sweep_since: since.map(at),
            now: at(now),
        });
        match reply {
            Reply::FindingsRecorded(sighted, resolved) => {
                (sighted.first().map(|it| it.sightings), resolved)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(record(vec![finding.clone()], None, 1), (Some(1), 0));
    assert_eq!(record(vec![finding.clone()], Some(2), 2), (Some(2), 0));
    // An incomplete sweep proves nothing; a whole one that no longer sees it resolves it.
    assert_eq!(record(vec![], None, 3), (None, 0));
    assert_eq!(record(vec![], Some(4), 4), (None, 1));
    assert_eq!(record(vec![finding], Some(5), 5), (Some(1), 0));
    let findings = bench.dump().findings;
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[0].resolved_at, Some(at(4)));
    assert_eq!(findings[0].resolved_by.as_deref(), Some("gone"));
    assert_eq!(findings[1].resolved_at, None);
}

fn repairs_need_the_version_they_were_made_for(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let book = bench.claim(1, 0, 1).remove(0);
    let refused = Next::Settle(Command::Refused {
        code: "no_slot".into(),
        attempts: 1,
    });
    bench.settle(&book, refused, 1);
    let repair = |version, repair| {
        let request = Request::Repair {
            tenant: Tenant::default(),
            id: AppointmentId::parse("a-1").unwrap(),
            version,
            repair,
            now: at(9),
        };
        match bench.call(request) {
            Reply::Repaired(events) => events.map(|events| events.len()),
            other => panic!("{other:?}"),
        }
    };
    let proof = Repair::ProveBooked {
        reference: Reference::parse("ref-9").unwrap(),
    };
    assert_eq!(repair(1, proof.clone()), None);
    assert_eq!(repair(2, proof.clone()), Some(1));
    assert_eq!(bench.dump().appointments[0].state, State::Confirmed);
    assert_eq!(repair(2, proof), None);
    assert_eq!(repair(3, Repair::None), None);
}

fn cancels_are_queued_once_by_repair(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let book = bench.claim(1, 0, 1).remove(0);
    let refused = Next::Settle(Command::Refused {
        code: "no_slot".into(),
        attempts: 1,
    });
    bench.settle(&book, refused, 1);
    let repair = |version| {
        bench.call(Request::Repair {
            tenant: Tenant::default(),
            id: AppointmentId::parse("a-1").unwrap(),
            version,
            repair: Repair::EnqueueCancel,
            now: at(9),
        })
    };
    assert!(matches!(repair(2), Reply::Repaired(Some(_))));
    assert_eq!(repair(3), Reply::Repaired(None));
    assert_eq!(bench.claim(1, 9, 9).len(), 1);
}

fn audit_pages_walk_the_keys_in_order(bench: &Bench) {
    for name in ["b", "a", "c", "d"] {
        bench.accept(&new(name, &format!("r-{name}")), 0);
    }
    let page = |after: Option<&str>, through: Option<&str>, limit| {
        let reply = bench.call(Request::AuditPage {
            provider: provider("acme"),
            after: after.map(Into::into),
            through: through.map(Into::into),
            limit,
        });
        let Reply::AuditRows(rows) = reply else {
            panic!("{reply:?}");
        };
        rows.into_iter()
            .map(|row| format!("{}{}", row.appointment.id, row.open.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, None, 9), ["a1", "b1", "c1", "d1"]);
    assert_eq!(page(Some("a"), Some("c"), 9), ["b1", "c1"]);
    assert_eq!(page(Some("a"), None, 1), ["b1"]);
    assert_eq!(page(Some("d"), None, 1), [""; 0]);
}

fn a_bad_row_fails_alone(bench: &Bench) {
    bench.accept(&new("bad", "r-bad"), 0);
    rusqlite::Connection::open(&bench.path)
        .unwrap()
        .execute("UPDATE appointments SET reference = ''", [])
        .unwrap();
    let read = Request::Read {
        tenant: Tenant::default(),
        id: AppointmentId::parse("bad").unwrap(),
    };
    let (bad, good) = bench.runtime.block_on(async {
        let good = new("good", "r-good");
        futures_util::future::join(
            bench.store.call(read),
            bench.store.call(accept(&good, at(0))),
        )
        .await
    });
    assert!(matches!(bad, Err(StoreError::Corrupt(_))), "{bad:?}");
    assert!(
        matches!(good, Ok(Reply::Accepted(AcceptReply::Fresh(_)))),
        "{good:?}"
    );
}

fn everything_survives_reopening(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let before = bench.dump();
    let mut reopened = SqliteStore::open(&bench.path).unwrap();
    assert_eq!(reopened.handle(Request::Dump), Ok(Reply::Dump(before)));
    rusqlite::Connection::open(&bench.path)
        .unwrap()
        .execute("INSERT INTO migrations (number) VALUES (99)", [])
        .unwrap();
    let refused = SqliteStore::open(&bench.path).unwrap_err();
    assert_eq!(
        refused,
        StoreError::Newer {
            found: 99,
            known: 1
        }
    );
}

macro_rules! conformance {
    ($($store:ident = $open:expr;)*) => { $(
        mod $store {
            use super::*;
            conformance!(@each $open;
                accept_is_fresh_then_replayed_byte_for_byte
                used_keys_and_ids_are_refused
                keys_of_tenants_never_meet
                concurrent_duplicates_make_one_row
                claims_respect_order_limits_and_due_times
                next_due_is_the_earliest_claimable_time
                expired_leases_are_rescued_and_uncertain
                settles_are_fenced_and_repeatable
                a_batch_settles_row_by_row
                an_appointments_entries_go_in_order
                exhaustion_fails_compensates_and_dead_letters
                redrive_resolves_first_and_is_moot_when_nothing_is_owed
                findings_are_counted_resolved_and_reopened
                repairs_need_the_version_they_were_made_for
                cancels_are_queued_once_by_repair
                audit_pages_walk_the_keys_in_order
                a_bad_row_fails_alone
                everything_survives_reopening
            );
        }
    )* };
    (@each $open:expr; $($case:ident)*) => { $(
        #[test]
        fn $case() {
            super::$case(&Bench::new($open));
        }
    )* };
}

conformance! {
    sqlite_inline = |store| Arc::new(InlineStore::new(store));
    sqlite_thread = |store| Arc::new(ThreadStore::start(store));
}
