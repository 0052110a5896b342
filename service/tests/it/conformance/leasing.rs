//! What workers ask: claim, settle, redrive.

use super::*;

pub(super) fn claims_respect_order_limits_and_due_times(bench: &Bench) {
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

pub(super) fn next_due_is_the_earliest_claimable_time(bench: &Bench) {
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

pub(super) fn expired_leases_are_rescued_and_uncertain(bench: &Bench) {
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

pub(super) fn what_was_put_off_by_a_clock_that_was_ahead_is_due(bench: &Bench) {
    const DAY: i64 = 86_400;
    let due = |now: i64| match bench.call(Request::Claim {
        worker: WorkerId(9),
        now: at(now),
        lease: LEASE,
        limits: vec![(provider("zeta"), 1), (provider("acme"), 0)],
    }) {
        Reply::Claims(claims) => (claims.next_due, claims.now),
        other => panic!("{other:?}"),
    };
    bench.accept(&new("a-1", "r-1"), 0);
    bench.cancel("a-1", DAY).unwrap();
    let claimed = bench.claim(1, DAY, 1).remove(0);
    bench.settle(&claimed, retry(&claimed, DAY + 5), DAY + 1);
    // An hour back it may be meant so; a day back it cannot be, and nobody waits for it.
    assert_eq!(due(DAY - 3600), (Some(at(DAY + 5)), at(DAY - 3600)));
    assert!(bench.claim(2, DAY - 3600, 1).is_empty());
    assert_eq!(due(1).0, Some(at(1)));
    let again = bench.claim(2, 1, 9);
    assert_eq!((again.len(), again[0].entry.kind), (1, Kind::Book));
    // The cancel that waits behind it comes from the future as well, and is not due before.
    assert_eq!(due(2).0, Some(at(11)));
}

pub(super) fn a_wait_is_by_the_stores_clock(bench: &Bench) {
    bench.accept(&new("a-1", "r-1"), 0);
    let claimed = bench.claim(1, 0, 1).remove(0);
    // Since the claim the store's clock has jumped ahead by an hour: what was decided by it as it was before is carried over.
    let request = |settlement| Request::Settle {
        settlements: vec![settlement],
        now: at(3601),
    };
    let settlement = Settlement {
        entry_id: claimed.entry.id,
        epoch: claimed.entry.lease_epoch,
        next: retry(&claimed, 8),
        decided_by: at(1),
    };
    let verdict = |settlement| match bench.call(request(settlement)) {
        Reply::Settled(mut settled) => settled.remove(0).verdict,
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        verdict(settlement.clone()),
        Verdict::Applied { .. }
    ));
    assert_eq!(bench.dump().outbox[0].due_at, at(3608));
    // Sent again later, it is still the same settlement.
    let later = Settlement {
        decided_by: at(2),
        ..settlement
    };
    assert_eq!(verdict(later), Verdict::Repeated);
    let endless = bench.claim(1, 3608, 1).remove(0);
    bench.settle(&endless, retry(&endless, 1_000_000), 3609);
    assert_eq!(bench.dump().outbox[0].due_at, at(3609).plus(MAX_WAIT));
}

pub(super) fn settles_are_fenced_and_repeatable(bench: &Bench) {
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

pub(super) fn a_batch_settles_row_by_row(bench: &Bench) {
    for name in ["a", "b"] {
        bench.accept(&new(name, &format!("r-{name}")), 0);
    }
    let claimed = bench.claim(1, 0, 2);
    let settlement = |one: &Claimed, epoch| Settlement {
        entry_id: one.entry.id,
        epoch,
        next: booked(one),
        decided_by: at(1),
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

pub(super) fn an_appointments_entries_go_in_order(bench: &Bench) {
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

pub(super) fn exhaustion_fails_compensates_and_dead_letters(bench: &Bench) {
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

pub(super) fn redrive_resolves_first_and_is_moot_when_nothing_is_owed(bench: &Bench) {
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
