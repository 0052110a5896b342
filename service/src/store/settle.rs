//! Ends leases, and puts dead entries back to work.
//!
//! **Invariant**: only the lease's own epoch settles an entry, and settling the same lease again with the same result changes nothing and
//! says so. The entry, its appointment, the transitions and what they queue are one transaction.
//! It deliberately does not judge outcomes: it gets the core's `Next`, and feeds its command to the core's `decide`.

use rehearsal_core::{
    appointment::{Appointment, Decision, State, decide},
    command::Command,
    delivery::{self, Next},
    outbox::{Entry, EntryState, Kind, fence},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

use super::{
    enact::{enact, update_entry},
    request::{Redriven, Settled, Settlement, Verdict},
    row::{BARE_WIDTH, ENTRY_WIDTH, bare, bare_columns, entry, entry_columns},
};

struct Found {
    entry: Entry,
    /// Without its details: what becomes of a row does not depend on them, and they are never written again.
    appointment: Appointment,
    result_hash: Option<i64>,
}

/// See [`super::Request::Settle`].
pub(super) fn settle(
    database: &Connection,
    settlements: &[Settlement],
    now: Timestamp,
) -> rusqlite::Result<Vec<Settled>> {
    settlements
        .iter()
        .map(|one| {
            Ok(Settled {
                entry_id: one.entry_id,
                verdict: settle_one(database, one, now)?,
            })
        })
        .collect()
}

fn settle_one(
    database: &Connection,
    settlement: &Settlement,
    now: Timestamp,
) -> rusqlite::Result<Verdict> {
    let Some(found) = read(database, settlement.entry_id)? else {
        return Ok(Verdict::Stale);
    };
    let hash = result_hash(&settlement.next);
    if fence(&found.entry, settlement.epoch).is_err() {
        let repeated =
            found.entry.lease_epoch == settlement.epoch && found.result_hash == Some(hash);
        return Ok(if repeated {
            Verdict::Repeated
        } else {
            Verdict::Stale
        });
    }
    let settled = delivery::settle(&found.entry, &settlement.next, settlement.decided_by, now);
    let closed = settled.state != EntryState::Ready;
    let command = match &settlement.next {
        Next::Settle(command) | Next::DeadLetter { command, .. } => Some(command),
        Next::Retry { .. } => None,
    };
    let verdict = carry_out(database, found.appointment, command, now)?;
    let mut settled = settled;
    if let Verdict::Refused(rejection) = &verdict {
        settled.last_error = Some(rejection.code().to_owned());
    }
    update_entry(database, &settled, closed.then_some(now), Some(hash))?;
    Ok(verdict)
}

fn carry_out(
    database: &Connection,
    row: Appointment,
    command: Option<&Command>,
    now: Timestamp,
) -> rusqlite::Result<Verdict> {
    let decision = match command.map(|command| decide(Some(&row), command, now)) {
        None => Decision::default(),
        Some(Ok(decision)) => decision,
        Some(Err(rejection)) => return Ok(Verdict::Refused(rejection)),
    };
    let tenant = row.tenant.clone();
    // The row's own star: a cancel that was queued behind this entry is no longer blocked.
    let follow_up = command.is_none() || !decision.enqueue.is_empty() || row.cancel_queued();
    enact(database, Some(row), &decision, &tenant, now)?;
    Ok(Verdict::Applied {
        events: decision.events,
        follow_up,
    })
}

fn read(database: &Connection, entry_id: i64) -> rusqlite::Result<Option<Found>> {
    database
        .prepare_cached(concat!(
            "SELECT ",
            entry_columns!(),
            ", ",
            bare_columns!(),
            ", o.result_hash FROM outbox o JOIN appointments a ON a.id = o.appointment_id \
             AND a.tenant = o.tenant WHERE o.id = ?1"
        ))?
        .query_row([entry_id], |row| {
            Ok(Found {
                entry: entry(row)?,
                appointment: bare(row, ENTRY_WIDTH)?,
                result_hash: row.get(ENTRY_WIDTH + BARE_WIDTH)?,
            })
        })
        .optional()
}

/// FNV-1a over the result's JSON: enough to tell a re-sent settle from another one of the same lease.
fn result_hash(next: &Next) -> i64 {
    let bytes = serde_json::to_vec(next).expect("plain data always serializes");
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.cast_signed()
}

/// See [`super::Request::Redrive`].
pub(super) fn redrive(
    database: &Connection,
    entry_id: i64,
    now: Timestamp,
) -> rusqlite::Result<Redriven> {
    let Some(found) = read(database, entry_id)? else {
        return Ok(Redriven::NotDead);
    };
    if found.entry.state != EntryState::Dead {
        return Ok(Redriven::NotDead);
    }
    let wanted = match found.entry.kind {
        // A booking is dead only after its appointment failed, and a failed one is no longer booked.
        Kind::Book => found.appointment.state == State::Pending,
        Kind::Cancel => found.appointment.state != State::Cancelled,
    };
    if !wanted {
        return Ok(Redriven::Moot);
    }
    let mut entry = found.entry;
    entry.state = EntryState::Ready;
    entry.due_at = now;
    entry.attempt = 0;
    entry.uncertain = true;
    entry.answered = false;
    entry.enqueued_at = now;
    update_entry(database, &entry, None, None)?;
    Ok(Redriven::Ready)
}
