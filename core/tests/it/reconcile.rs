//! Reconciliation: every line of its table, and what it leaves alone.
//!
//! The one invariant: a repair that the auditor is given is one that the state machine takes.
//! It deliberately compares kinds and repairs, not sentences.

use std::{slice::from_ref, time::Duration};

use rehearsal_core::{
    appointment::Appointment,
    command::Command,
    invariant::{
        cancel_is_under_way_or_reported, failed_is_compensated_or_reported, one_live_booking,
    },
    outbox::Entry,
    reconcile::{FindingKind, ProviderStatus, ProviderView, Repair, given_up, reconcile},
};

use crate::sample::{
    NOW, booked, booking, cancelling, exhausted, held, reference, refused, row, step,
};

const HORIZON: Duration = Duration::from_secs(30);

fn view(bookings: u32) -> ProviderView {
    ProviderView {
        key: "a-1".into(),
        reference: (bookings > 0).then(|| reference("b-1")),
        status: if bookings > 0 {
            ProviderStatus::Booked
        } else {
            ProviderStatus::Cancelled
        },
        bookings,
    }
}

fn found(
    row: Option<&Appointment>,
    open: &[Entry],
    dead: &[Entry],
    view: Option<&ProviderView>,
) -> Option<(FindingKind, Repair)> {
    let now = NOW.plus(HORIZON);
    let (finding, repair) = reconcile(row, open, dead, view, now, HORIZON)?;
    assert_eq!(finding.key, "a-1");
    assert_eq!(finding.appointment_id.as_ref(), row.map(|row| &row.id));
    Some((finding.kind, repair))
}

fn check(commands: &[Command], view: Option<&ProviderView>, expect: Option<(FindingKind, Repair)>) {
    let row = row(commands);
    assert_eq!(
        found(Some(&row), &[], &[], view),
        expect,
        "{row:?} {view:?}"
    );
    assert_eq!(found(Some(&row), &[held(&booking())], &[], view), None);
    let Some((kind, repair)) = expect else { return };
    let dead = found(Some(&row), &[], &[cancelling()], view);
    let waits = if repair == Repair::EnqueueCancel {
        Repair::None
    } else {
        repair.clone()
    };
    assert_eq!(
        dead,
        Some((kind, waits)),
        "a dead cancel waits for a person"
    );
    if let Repair::ProveBooked { reference } = repair {
        let (row, _) = step(Some(row), &Command::ProvenBooked { reference }).unwrap();
        assert_eq!(found(Some(&row), &[], &[], view), None);
    }
}

fn acknowledged() -> Command {
    Command::CancelAcknowledged { attempts: 1 }
}

#[test]
fn sides_that_agree_give_nothing() {
    check(&[booked("b-1")], Some(&view(1)), None);
    check(&[refused()], None, None);
    check(&[refused()], Some(&view(0)), None);
    check(&[exhausted(), acknowledged()], Some(&view(0)), None);
    check(&[exhausted(), acknowledged()], None, None);
    assert_eq!(found(None, &[], &[], None), None);
    assert_eq!(found(None, &[], &[], Some(&view(0))), None);
}

#[test]
fn every_line_of_the_table() {
    use FindingKind::{
        DuplicateAtProvider, FailedUncompensated, MissingAtProvider, NotCancelledAtProvider,
        ReferenceMismatch, UnconfirmedAtProvider,
    };
    let cancel = || Repair::EnqueueCancel;
    let reference = reference("b-1");
    let confirmed = booked("b-1");
    let asked = [confirmed.clone(), Command::Cancel];
    check(
        &[],
        Some(&view(1)),
        Some((UnconfirmedAtProvider, Repair::None)),
    );
    check(&[], None, Some((MissingAtProvider, Repair::None)));
    check(
        from_ref(&confirmed),
        Some(&view(2)),
        Some((DuplicateAtProvider, Repair::None)),
    );
    check(
        &[booked("b-2")],
        Some(&view(1)),
        Some((ReferenceMismatch, Repair::None)),
    );
    check(
        from_ref(&confirmed),
        None,
        Some((MissingAtProvider, Repair::None)),
    );
    check(
        &[confirmed],
        Some(&view(0)),
        Some((MissingAtProvider, Repair::None)),
    );
    check(&asked, Some(&view(0)), Some((MissingAtProvider, cancel())));
    check(
        &asked,
        Some(&view(1)),
        Some((NotCancelledAtProvider, cancel())),
    );
    let proved = Repair::ProveBooked { reference };
    check(
        &[refused()],
        Some(&view(1)),
        Some((UnconfirmedAtProvider, proved)),
    );
    for view in [None, Some(&view(0)), Some(&view(1))] {
        check(&[exhausted()], view, Some((FailedUncompensated, cancel())));
        check(
            &[refused(), Command::Cancel],
            view,
            Some((FailedUncompensated, cancel())),
        );
    }
    let zombie = [exhausted(), acknowledged()];
    check(
        &zombie,
        Some(&view(1)),
        Some((NotCancelledAtProvider, cancel())),
    );
}

#[test]
fn a_cancelled_view_has_no_live_booking_whatever_it_counts() {
    let cancelled = ProviderView {
        status: ProviderStatus::Cancelled,
        ..view(1)
    };
    check(&[exhausted(), acknowledged()], Some(&cancelled), None);
    assert!(one_live_booking(&[view(1), cancelled]));
}

#[test]
fn a_booking_without_a_row_is_an_orphan() {
    let expect = Some((FindingKind::OrphanAtProvider, Repair::None));
    assert_eq!(found(None, &[], &[], Some(&view(1))), expect);
}

#[test]
fn young_rows_are_left_alone() {
    let row = row(&[exhausted()]);
    let almost = NOW.plus(HORIZON.checked_sub(Duration::from_micros(1)).unwrap());
    assert_eq!(reconcile(Some(&row), &[], &[], None, almost, HORIZON), None);
    // So are rows that a clock has written which was set right by a little since.
    let back = |by: Duration| reconcile(Some(&row), &[], &[], None, NOW.minus(by), HORIZON);
    assert_eq!(back(HORIZON), None);
    // Rows from a future that the clock jumped back from would be young for ever: they are as old as any, and what is open is left alone.
    assert!(back(HORIZON + Duration::from_micros(1)).is_some());
    assert!(back(Duration::from_hours(24)).is_some());
    let yesterday = NOW.minus(Duration::from_hours(24));
    let open = [held(&booking())];
    assert_eq!(
        reconcile(Some(&row), &open, &[], None, yesterday, HORIZON),
        None
    );
}

#[test]
fn a_failed_row_is_compensated_or_reported() {
    let failed = row(&[exhausted()]);
    assert!(!failed_is_compensated_or_reported(&failed, &[], &[]));
    assert!(!failed_is_compensated_or_reported(
        &failed,
        &[booking()],
        &[]
    ));
    assert!(failed_is_compensated_or_reported(
        &failed,
        &[cancelling()],
        &[]
    ));
    let now = NOW.plus(HORIZON);
    let (finding, _) = reconcile(Some(&failed), &[], &[], None, now, HORIZON).unwrap();
    assert!(failed_is_compensated_or_reported(&failed, &[], &[finding]));
    assert!(failed_is_compensated_or_reported(
        &row(&[refused()]),
        &[],
        &[]
    ));
    let both = row(&[refused(), Command::Cancel]);
    assert!(!failed_is_compensated_or_reported(&both, &[], &[]));
}

#[test]
fn one_live_booking_is_counted_by_key() {
    let other = ProviderView {
        key: "a-2".into(),
        ..view(1)
    };
    assert!(one_live_booking(&[view(1), other, view(0)]));
    assert!(!one_live_booking(&[view(1), view(1)]));
    assert!(!one_live_booking(&[view(2)]));
}

#[test]
fn a_dead_cancel_of_a_row_that_waits_for_it_is_told_without_the_provider() {
    let now = NOW.plus(HORIZON);
    let kind = |commands: &[Command], open: &[Entry], dead: &[Entry]| {
        given_up(&row(commands), open, dead, now, HORIZON).map(|finding| finding.kind)
    };
    let asked = [booked("b-1"), Command::Cancel];
    let dead = [cancelling()];
    assert_eq!(
        kind(&asked, &[], &dead),
        Some(FindingKind::NotCancelledAtProvider)
    );
    assert_eq!(
        kind(&[exhausted()], &[], &dead),
        Some(FindingKind::FailedUncompensated)
    );
    assert_eq!(kind(&asked, &[], &[]), None, "nothing was given up");
    assert_eq!(
        kind(&asked, &[cancelling()], &dead),
        None,
        "another goes on"
    );
    assert_eq!(kind(&[exhausted(), acknowledged()], &[], &dead), None);
    let young = given_up(&row(&asked), &[], &dead, NOW, HORIZON);
    assert_eq!(young, None);
    let yesterday = NOW.minus(Duration::from_hours(24));
    assert!(given_up(&row(&asked), &[], &dead, yesterday, HORIZON).is_some());
}

#[test]
fn a_clients_cancel_is_under_way_or_reported() {
    let confirmed = row(&[booked("b-1")]);
    let asked = row(&[booked("b-1"), Command::Cancel]);
    assert!(cancel_is_under_way_or_reported(&confirmed, &[], &[]));
    assert!(!cancel_is_under_way_or_reported(&asked, &[], &[]));
    assert!(cancel_is_under_way_or_reported(
        &asked,
        &[cancelling()],
        &[]
    ));
    let now = NOW.plus(HORIZON);
    let finding = given_up(&asked, &[], &[cancelling()], now, HORIZON).unwrap();
    assert!(cancel_is_under_way_or_reported(&asked, &[], &[finding]));
}
