//! Delivery: what each outcome leads to, and whole deliveries against a provider that misbehaves at will.
//!
//! The one invariant: however calls fail, a delivery ends, and nothing is sent while an earlier send may still land.
//! It deliberately waits for nothing: time is a number.

use std::time::Duration;

use proptest::prelude::*;
use rehearsal_core::{
    appointment::Certainty,
    command::Command,
    delivery::{
        AfterResolve, FirstStep, Next, Outcome, Policy, Resolution, abandon, after_resolve, defer,
        first_step, next, rescue, settle,
    },
    identity::WorkerId,
    invariant::{attempts_within, lease_fenced},
    outbox::{Entry, EntryState, MAX_WAIT, claim, claimable, mark_sent},
    time::Timestamp,
};

use crate::sample::{NOW, booked, booking, cancelling, held, reference, refused, row};

const HALF: f64 = 0.5;

fn after(entry: &Entry, outcome: &Outcome) -> Next {
    next(entry, outcome, NOW, HALF, &Policy::default())
}

fn unknown(answered: bool) -> Outcome {
    Outcome::Unknown {
        cause: "timeout".into(),
        answered,
    }
}

fn throttled(seconds: u64) -> Outcome {
    Outcome::Throttled {
        retry_after: Some(Duration::from_secs(seconds)),
    }
}

fn not_sent() -> Outcome {
    Outcome::NotSent {
        cause: "refused".into(),
    }
}

/// The entry after its attempt ended as `outcome`.
fn settled(entry: &Entry, outcome: &Outcome) -> Entry {
    settle(entry, &after(entry, outcome), NOW, NOW)
}

fn sent(entry: &Entry) -> Entry {
    let mut entry = held(entry);
    mark_sent(&mut entry, NOW);
    entry
}

#[test]
fn definitive_answers_settle() {
    let accepted = Outcome::Accepted {
        reference: Some(reference("b-1")),
    };
    let rejected = Outcome::Rejected {
        code: "full".into(),
    };
    let entry = sent(&booking());
    let expect = Command::Booked {
        reference: reference("b-1"),
        attempts: 1,
    };
    assert_eq!(after(&entry, &accepted), Next::Settle(expect));
    assert_eq!(after(&entry, &rejected), Next::Settle(refused()));
    assert_eq!(settled(&entry, &rejected).state, EntryState::Done);

    let entry = sent(&cancelling());
    let acknowledged = Command::CancelAcknowledged { attempts: 1 };
    assert_eq!(after(&entry, &accepted), Next::Settle(acknowledged));
    assert!(matches!(
        after(&entry, &rejected),
        Next::DeadLetter {
            command: Command::CancelDeadLettered { attempts: 1 },
            ..
        }
    ));
}

#[test]
fn a_booking_without_a_reference_is_looked_up() {
    let entry = settled(&sent(&booking()), &Outcome::Accepted { reference: None });
    assert!(entry.uncertain && entry.answered);
    assert_eq!(entry.state, EntryState::Ready);
}

#[test]
fn an_unknown_outcome_starts_with_a_look_up() {
    let entry = settled(&sent(&booking()), &unknown(false));
    assert_eq!(entry.attempt, 1);
    assert_eq!(entry.last_sent_at, Some(NOW));
    assert_eq!(
        first_step(&held(&entry), &row(&[])),
        FirstStep::ResolveFirst
    );
}

#[test]
fn a_rescued_lease_starts_with_a_look_up() {
    let lost = held(&booking());
    let later = NOW.plus(Duration::from_secs(11));
    assert!(claimable(&lost, later) && !claimable(&lost, NOW));
    let rescued = claim(&lost, WorkerId(2), later, Duration::from_secs(10));
    assert_eq!(first_step(&rescued, &row(&[])), FirstStep::ResolveFirst);
    assert_eq!((rescued.attempt, rescued.lease_epoch), (2, 2));
    // The lost worker may have sent as late as its lease allowed.
    assert_eq!(rescued.last_sent_at, lost.lease_until);
}

#[test]
fn nothing_found_is_no_proof_while_the_send_may_still_land() {
    let policy = Policy::default();
    let check = |answered: bool, seconds: u64, expect: AfterResolve| {
        let entry = held(&settled(&sent(&booking()), &unknown(answered)));
        let now = NOW.plus(Duration::from_secs(seconds));
        let found = after_resolve(&entry, &Resolution::Absent, now, &policy);
        assert_eq!(found, expect, "answered {answered}, after {seconds} s");
    };
    let landed = NOW.plus(Duration::from_micros(10_000_001));
    check(false, 0, AfterResolve::WaitUntil(landed));
    check(false, 10, AfterResolve::WaitUntil(landed));
    check(false, 11, AfterResolve::Send);
    check(true, 0, AfterResolve::Send);
}

#[test]
fn a_clock_that_jumped_back_an_hour_delays_the_resend_by_two_horizons_at_most() {
    let policy = Policy::default();
    let mut entry = held(&settled(&sent(&booking()), &unknown(false)));
    entry.last_sent_at = Some(NOW.plus(Duration::from_hours(1)));
    let mut now = NOW;
    while let AfterResolve::WaitUntil(until) =
        after_resolve(&entry, &Resolution::Absent, now, &policy)
    {
        entry = held(&settle(
            &entry,
            &defer(&entry, until, "in flight"),
            NOW,
            NOW,
        ));
        now = until;
        assert!(now.since(NOW) < Duration::from_secs(21));
    }
}

#[test]
fn a_throttled_look_up_leaves_the_doubt() {
    let doubtful = held(&settled(&sent(&booking()), &unknown(false)));
    let back = settled(&doubtful, &throttled(5));
    assert!(back.uncertain && !back.answered);
    assert_eq!(back.last_sent_at, Some(NOW));
}

#[test]
fn look_ups_settle_what_they_find() {
    let entry = held(&settled(&sent(&booking()), &unknown(false)));
    let resolve = |resolution| after_resolve(&entry, &resolution, NOW, &Policy::default());
    let found = resolve(Resolution::Found {
        reference: reference("b-1"),
    });
    let AfterResolve::Settle(outcome) = found else {
        panic!("{found:?}")
    };
    assert_eq!(after(&entry, &outcome), Next::Settle(booked("b-1")));
    let code = "tombstoned".into();
    assert_eq!(
        resolve(Resolution::Tombstoned),
        AfterResolve::Settle(Outcome::Rejected { code })
    );
    let failed = resolve(Resolution::Failed {
        cause: "timeout".into(),
    });
    assert_eq!(failed, AfterResolve::Settle(unknown(false)));
    // A failed look-up sent nothing, so the time of the send stays.
    let later = settled(&entry, &unknown(false));
    assert_eq!((later.uncertain, later.last_sent_at), (true, Some(NOW)));
}

#[test]
fn not_sent_and_deferred_attempts_are_free() {
    for entry in [held(&booking()), held(&cancelling())] {
        let back = settled(&entry, &not_sent());
        assert_eq!((back.attempt, back.uncertain), (0, false));
        assert!(back.due_at > NOW);
        let until = NOW.plus(Duration::from_secs(5));
        let put_off = settle(&entry, &defer(&entry, until, "breaker open"), NOW, NOW);
        assert_eq!((put_off.attempt, put_off.due_at), (0, until));
        assert_eq!(put_off.lease_epoch, 1, "the fence never goes back");
    }
}

#[test]
fn refunds_do_not_last_forever() {
    let entry = held(&booking());
    let late = NOW.plus(Policy::default().give_up_after);
    let given_up = next(&entry, &not_sent(), late, HALF, &Policy::default());
    assert!(matches!(
        given_up,
        Next::DeadLetter {
            command: Command::Exhausted {
                certainty: Certainty::NotSent,
                ..
            },
            ..
        }
    ));
}

#[test]
fn retry_after_is_a_bounded_floor() {
    let wait = |outcome: &Outcome| settled(&sent(&booking()), outcome).due_at.since(NOW);
    assert_eq!(wait(&throttled(30)), Duration::from_secs(30));
    assert_eq!(wait(&throttled(86_400)), Duration::from_hours(1));
    assert_eq!(wait(&throttled(0)), Duration::from_millis(100));
    let unsaid = Outcome::Throttled { retry_after: None };
    assert_eq!(wait(&unsaid), Duration::from_millis(100));
    assert!(!settled(&sent(&booking()), &throttled(30)).uncertain);
}

#[test]
fn what_is_put_off_is_so_by_the_clock_that_is_asked_later() {
    // The clock jumped ahead by an hour between the claim and the settle: the wait and the send move with it.
    let entry = sent(&booking());
    let hour = Duration::from_hours(1);
    let (now, then) = (NOW.plus(Duration::from_secs(1)), NOW.plus(hour));
    let put_off = settle(&entry, &after(&entry, &throttled(30)), now, then);
    assert_eq!(put_off.due_at, then.plus(Duration::from_secs(29)));
    assert_eq!(
        put_off.last_sent_at,
        Some(then.minus(Duration::from_secs(1)))
    );
    // Nothing is put off for longer than the longest wait.
    let endless = defer(&entry, NOW.plus(hour * 24), "a day");
    let endless = settle(&entry, &endless, NOW, NOW);
    assert_eq!(endless.due_at, NOW.plus(MAX_WAIT));
    assert!(!claimable(&endless, NOW));
}

#[test]
fn the_last_attempt_compensates_whatever_is_known() {
    let last = |entry: Entry| Entry {
        attempt: 8,
        ..sent(&entry)
    };
    let check = |entry: &Entry, outcome: &Outcome, certainty| {
        let attempts = 8;
        let Next::DeadLetter { command, .. } = after(entry, outcome) else {
            panic!("no attempt was left")
        };
        let expect = Command::Exhausted {
            certainty,
            attempts,
        };
        assert_eq!(command, expect);
    };
    check(&last(booking()), &unknown(true), Certainty::Unknown);
    check(&last(booking()), &throttled(1), Certainty::NotSent);
    let cancel = after(&last(cancelling()), &unknown(false));
    assert_eq!(
        settle(&sent(&cancelling()), &cancel, NOW, NOW).state,
        EntryState::Dead
    );
}

#[test]
fn the_last_attempt_lost_with_its_worker_is_exhausted_at_rescue() {
    let policy = Policy::default();
    let lost = Entry {
        attempt: 8,
        ..held(&booking())
    };
    assert!(matches!(
        rescue(&lost, &policy),
        Some(Next::DeadLetter {
            command: Command::Exhausted {
                certainty: Certainty::Unknown,
                attempts: 8
            },
            ..
        })
    ));
    // The claim that finds it out is no attempt.
    let given_up = rescue(&lost, &policy).expect("no attempt is left");
    let found_out = Entry {
        attempt: 9,
        ..lost.clone()
    };
    assert_eq!(settle(&found_out, &given_up, NOW, NOW).attempt, 8);
    // Nor is one that found it out and was lost before it could settle.
    let lost_again = Entry {
        attempt: 9,
        ..lost.clone()
    };
    let given_up = rescue(&lost_again, &policy).expect("no attempt is left");
    assert_eq!(settle(&lost_again, &given_up, NOW, NOW).attempt, 8);
    let one_left = Entry { attempt: 7, ..lost };
    assert_eq!(rescue(&one_left, &policy), None);
}

#[test]
fn a_booking_that_nobody_waits_for_is_abandoned() {
    let entry = held(&booking());
    let wanted = |commands: &[Command]| first_step(&entry, &row(commands));
    assert_eq!(wanted(&[]), FirstStep::Send);
    assert_eq!(wanted(&[Command::Cancel]), FirstStep::Abandon);
    assert_eq!(wanted(&[booked("b-1")]), FirstStep::Abandon);
    assert_eq!(wanted(&[refused()]), FirstStep::Abandon);
    let attempts = 0;
    assert_eq!(
        abandon(&entry),
        Next::Settle(Command::Abandoned { attempts })
    );
    let doubtful = Entry {
        uncertain: true,
        ..entry
    };
    let asked = first_step(&doubtful, &row(&[Command::Cancel]));
    assert_eq!(asked, FirstStep::ResolveFirst);
    let cancel = first_step(&held(&cancelling()), &row(&[refused(), Command::Cancel]));
    assert_eq!(cancel, FirstStep::Send);
}

#[test]
fn unsafe_policies_are_refused() {
    assert_eq!(Policy::default().check(), Ok(()));
    let check = |change: fn(&mut Policy), setting: &str| {
        let mut policy = Policy::default();
        change(&mut policy);
        assert_eq!(policy.check().unwrap_err().setting, setting);
    };
    check(|it| it.max_attempts = 0, "max_attempts");
    check(|it| it.lease = Duration::from_secs(6), "lease");
    check(|it| it.lease = Duration::from_mins(10), "lease");
    check(|it| it.backoff.base = Duration::ZERO, "backoff.base");
    check(|it| it.backoff.cap = Duration::ZERO, "backoff.cap");
    check(|it| it.attempt_timeout = Duration::ZERO, "attempt_timeout");
    check(
        |it| it.in_flight_horizon = Duration::ZERO,
        "in_flight_horizon",
    );
    check(|it| it.retry_after_cap = Duration::ZERO, "retry_after_cap");
    check(|it| it.give_up_after = Duration::ZERO, "give_up_after");
}

/// One call to the provider of the property below.
#[derive(Debug, Clone, Copy)]
enum Luck {
    Lost,
    LostButBooked,
    Error,
    ErrorButBooked,
    NotSent,
    Throttled,
    Crash,
    CrashButBooked,
    Fine,
}

fn luck() -> impl Strategy<Value = Luck> {
    use Luck::{
        Crash, CrashButBooked, Error, ErrorButBooked, Fine, Lost, LostButBooked, NotSent, Throttled,
    };
    proptest::sample::select(vec![
        Lost,
        LostButBooked,
        Error,
        ErrorButBooked,
        NotSent,
        Throttled,
        Crash,
        CrashButBooked,
        Fine,
    ])
}

/// A provider that is not idempotent: each send that it processes books once more.
fn call(luck: Luck, bookings: &mut u32) -> Option<Outcome> {
    if matches!(
        luck,
        Luck::LostButBooked | Luck::ErrorButBooked | Luck::CrashButBooked | Luck::Fine
    ) {
        *bookings += 1;
    }
    match luck {
        Luck::Lost | Luck::LostButBooked => Some(unknown(false)),
        Luck::Error | Luck::ErrorButBooked => Some(unknown(true)),
        Luck::NotSent => Some(not_sent()),
        Luck::Throttled => Some(throttled(3)),
        Luck::Crash | Luck::CrashButBooked => None,
        Luck::Fine => Some(Outcome::Accepted {
            reference: Some(reference("b-1")),
        }),
    }
}

proptest! {
    /// Whatever the provider does, even a provider that is not idempotent books at most once; the delivery ends
    /// within its attempts, and ends confirmed if and only if it learned of the booking.
    #[test]
    fn deliveries_end_and_never_book_twice(
        script in proptest::collection::vec((luck(), 0.0..1.0_f64), 1..60),
    ) {
        let policy = Policy::default();
        let appointment = row(&[]);
        let mut entry = booking();
        let (mut bookings, mut refunds, mut now) = (0, 0, NOW);
        let mut turns = script.into_iter().chain(std::iter::repeat((Luck::Error, HALF)));
        let end = loop {
            now = now.max(entry.lease_until.unwrap_or(entry.due_at));
            prop_assert!(claimable(&entry, now));
            if let Some(end) = rescue(&entry, &policy) {
                break end;
            }
            let claimed = claim(&entry, WorkerId(entry.lease_epoch), now, policy.lease);
            prop_assert!(lease_fenced(&entry, &claimed));
            prop_assert!(attempts_within(&claimed, &policy));
            let (luck, jitter) = turns.next().unwrap();
            let end = turn(&claimed, &appointment, luck, jitter, now, &policy, &mut bookings);
            prop_assert!(bookings <= 1);
            match end {
                None => entry = claimed,
                Some(retry @ Next::Retry { refund, due_at, .. }) => {
                    prop_assert!(due_at > now);
                    refunds += u32::from(refund);
                    prop_assert!(refunds < 130, "no progress");
                    entry = settle(&claimed, &retry, now, now);
                }
                Some(end) => break end,
            }
        };
        let confirmed = matches!(end, Next::Settle(Command::Booked { .. }));
        let given_up = matches!(end, Next::DeadLetter { command: Command::Exhausted { .. }, .. });
        prop_assert!(confirmed != given_up, "{:?}", end);
        prop_assert!(!confirmed || bookings == 1);
        if let Next::DeadLetter { command: Command::Exhausted { certainty, .. }, .. } = end {
            prop_assert!(bookings == 0 || certainty == Certainty::Unknown);
        }
    }
}

/// One attempt as a worker makes it; `None` when the worker dies.
fn turn(
    claimed: &Entry,
    appointment: &rehearsal_core::appointment::Appointment,
    luck: Luck,
    jitter: f64,
    now: Timestamp,
    policy: &Policy,
    bookings: &mut u32,
) -> Option<Next> {
    let mut entry = claimed.clone();
    if first_step(&entry, appointment) == FirstStep::ResolveFirst {
        let resolution = match (luck, *bookings) {
            (Luck::Lost, _) => Resolution::Failed {
                cause: "timeout".into(),
            },
            (_, 0) => Resolution::Absent,
            _ => Resolution::Found {
                reference: reference("b-1"),
            },
        };
        match after_resolve(&entry, &resolution, now, policy) {
            AfterResolve::Settle(outcome) => {
                return Some(next(&entry, &outcome, now, jitter, policy));
            }
            AfterResolve::WaitUntil(until) => return Some(defer(&entry, until, "in flight")),
            AfterResolve::Send => {}
        }
    }
    mark_sent(&mut entry, now);
    let outcome = call(luck, bookings)?;
    Some(next(&entry, &outcome, now, jitter, policy))
}
