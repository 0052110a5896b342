//! The state machine against the table in its module doc: every cell, and random walks.
//!
//! The one invariant: the table that people read is the one that is tested.
//! It deliberately has no second copy of the table.

use std::slice::from_ref;

use proptest::prelude::*;
use rehearsal_core::{
    appointment::{Appointment, State},
    command::Command,
    event::Event,
    invariant,
    outbox::Kind,
    rejection::Rejection,
};

use crate::sample::{booked, exhausted, reference, refused, row, step, submission};

const SOURCE: &str = include_str!("../../src/appointment.rs");

/// Row by row: the cells of the doc's table, its head first.
fn table() -> Vec<Vec<&'static str>> {
    SOURCE
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"))
        .filter(|line| !line.starts_with('-'))
        .map(|line| {
            line.trim_end_matches('|')
                .split('|')
                .map(str::trim)
                .collect()
        })
        .collect()
}

fn cell(command: &str, column: &str) -> &'static str {
    let table = table();
    let at = table[0].iter().position(|it| *it == column).expect(column);
    table
        .iter()
        .find(|cells| cells[0] == command)
        .expect(command)[at]
}

/// The column that a row belongs to.
fn column(row: Option<&Appointment>) -> String {
    let Some(row) = row else { return "INIT".into() };
    let star = row.state != State::Cancelled && row.cancel_queued();
    format!(
        "{}{}",
        row.state.as_str().to_uppercase(),
        if star { "*" } else { "" }
    )
}

/// What a command does, in the table's words; the row after it.
fn observe(row: Option<Appointment>, command: &Command) -> (String, Option<Appointment>) {
    let before = row.clone();
    let (after, decision) = match step(row, command) {
        Ok(done) => done,
        Err(rejection) => {
            let word = match rejection {
                Rejection::AlreadyExists => "exists",
                Rejection::NotFound => "not found",
                Rejection::Conflict { .. } => "conflict",
                Rejection::IllegalTransition { .. } => "illegal",
                other => panic!("{other:?}"),
            };
            return (word.into(), before);
        }
    };
    let moved = column(before.as_ref()) != column(Some(&after));
    let mut words = match (moved, decision.events.is_empty()) {
        (true, false) => column(Some(&after)),
        (false, false) => "noted".into(),
        (false, true) => "-".into(),
        (true, true) => panic!("the row changed without an event"),
    };
    for entry in &decision.enqueue {
        words.push_str(" + ");
        words.push_str(entry.kind.as_str());
    }
    (words, Some(after))
}

/// Every command of the table, by its name there.
fn commands() -> Vec<(&'static str, Command)> {
    let attempts = 1;
    let proven = |text| Command::ProvenBooked {
        reference: reference(text),
    };
    vec![
        ("accept", Command::Accept(submission())),
        ("cancel", Command::Cancel),
        ("booked", booked("b-1")),
        ("booked elsewhere", booked("b-2")),
        ("refused", refused()),
        ("exhausted", exhausted()),
        ("abandoned", Command::Abandoned { attempts }),
        (
            "cancel acknowledged",
            Command::CancelAcknowledged { attempts },
        ),
        (
            "cancel dead-lettered",
            Command::CancelDeadLettered { attempts },
        ),
        ("proven booked", proven("b-1")),
        ("proven elsewhere", proven("b-2")),
    ]
}

/// The command's name when the row's own booking is `b-2`: what was elsewhere is here, and the other way round.
fn seen_from(row: &Appointment, name: &'static str) -> &'static str {
    match name {
        _ if row.reference != Some(reference("b-2")) => name,
        "booked" => "booked elsewhere",
        "booked elsewhere" => "booked",
        "proven booked" => "proven elsewhere",
        "proven elsewhere" => "proven booked",
        _ => name,
    }
}

/// Every way into each column.
fn rows() -> Vec<Option<Appointment>> {
    let abandoned = Command::Abandoned { attempts: 0 };
    let acknowledged = Command::CancelAcknowledged { attempts: 1 };
    let proven = Command::ProvenBooked {
        reference: reference("b-1"),
    };
    let confirmed = booked("b-1");
    let cancel = Command::Cancel;
    vec![
        None,
        Some(row(&[])),
        Some(row(from_ref(&cancel))),
        Some(row(from_ref(&confirmed))),
        Some(row(&[refused(), proven])),
        Some(row(&[confirmed.clone(), cancel.clone()])),
        Some(row(&[cancel.clone(), confirmed.clone()])),
        Some(row(&[refused()])),
        Some(row(&[exhausted()])),
        Some(row(&[refused(), cancel.clone()])),
        Some(row(&[cancel.clone(), refused()])),
        Some(row(&[cancel.clone(), exhausted()])),
        Some(row(&[cancel.clone(), abandoned])),
        Some(row(&[exhausted(), acknowledged.clone()])),
        Some(row(&[cancel.clone(), acknowledged.clone()])),
        Some(row(&[confirmed, cancel, acknowledged])),
    ]
}

#[test]
fn every_cell_of_the_table_holds() {
    let mut checked = std::collections::BTreeSet::new();
    for before in rows() {
        for (name, command) in commands() {
            let column = column(before.as_ref());
            let (found, _) = observe(before.clone(), &command);
            assert_eq!(found, cell(name, &column), "{name} in {column}: {before:?}");
            checked.insert((name, column));
        }
    }
    let table = table();
    assert_eq!(checked.len(), (table.len() - 1) * (table[0].len() - 1));
}

#[test]
fn a_clients_cancel_is_a_new_generation_and_a_compensation_is_not() {
    let (_, decision) = step(Some(row(&[])), &Command::Cancel).unwrap();
    assert_eq!(decision.enqueue[0].generation, 1);
    assert_eq!(row(&[Command::Cancel]).generation, 1);
    let (failed, decision) = step(Some(row(&[])), &exhausted()).unwrap();
    assert_eq!((decision.enqueue[0].generation, failed.generation), (0, 0));
    assert_eq!(decision.enqueue[0].kind, Kind::Cancel);
    assert_eq!(decision.enqueue[0].key, "a-1");
}

#[test]
fn attempts_are_those_of_the_booking() {
    let cancelled = row(&[exhausted(), Command::CancelAcknowledged { attempts: 3 }]);
    assert_eq!((cancelled.state, cancelled.attempts), (State::Cancelled, 8));
}

#[test]
fn an_acknowledged_cancel_of_a_pending_row_takes_two_legal_steps() {
    let acknowledged = Command::CancelAcknowledged { attempts: 1 };
    let (_, decision) = step(Some(row(&[Command::Cancel])), &acknowledged).unwrap();
    let steps: Vec<_> = decision
        .events
        .iter()
        .filter_map(Event::transition)
        .collect();
    let expect = [
        (Some(State::Pending), State::Failed),
        (Some(State::Failed), State::Cancelled),
    ];
    assert_eq!(steps, expect);
}

proptest! {
    /// Any walk follows the table, breaks no invariant, and queues exactly the cancels that the table queues.
    #[test]
    fn walks_follow_the_table(picks in proptest::collection::vec(0_usize..11, 0..40)) {
        let all = commands();
        let mut now = Some(row(&[]));
        for pick in picks {
            let before = now.clone().unwrap();
            let (name, command) = &all[pick];
            let name = seen_from(&before, name);
            let expect = cell(name, &column(now.as_ref()));
            let (found, after) = observe(now, command);
            prop_assert_eq!(found, expect);
            let after = after.unwrap();
            let (_, events) = match step(Some(before.clone()), command) {
                Ok((row, decision)) => {
                    prop_assert_eq!(&row, &after);
                    (row, decision.events)
                }
                Err(_) => (before.clone(), Vec::new()),
            };
            prop_assert_eq!(after.version as usize, before.version as usize + events.len());
            for event in &events {
                if let Some((from, to)) = event.transition() {
                    prop_assert!(invariant::legal_transition(from, to));
                }
            }
            prop_assert!(invariant::confirmed_has_reference(&after));
            prop_assert!(invariant::failed_says_why(&after));
            prop_assert!(after.generation >= before.generation && after.generation <= 1);
            prop_assert!(after.updated_at >= after.created_at);
            prop_assert_eq!(before.cancel_requested && !after.cancel_requested, false);
            now = Some(after);
        }
    }
}
