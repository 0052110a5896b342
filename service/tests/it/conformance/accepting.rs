//! What clients ask: accept, replay, refuse, and what stays of it.

use super::*;

pub(super) fn accept_is_fresh_then_replayed_byte_for_byte(bench: &Bench) {
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

pub(super) fn used_keys_and_ids_are_refused(bench: &Bench) {
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

pub(super) fn keys_of_tenants_never_meet(bench: &Bench) {
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

pub(super) fn concurrent_duplicates_make_one_row(bench: &Bench) {
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

pub(super) fn a_bad_row_fails_alone(bench: &Bench) {
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

pub(super) fn everything_survives_reopening(bench: &Bench) {
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
