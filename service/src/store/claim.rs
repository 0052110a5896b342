//! Leases entries to a worker.
//!
//! **Invariant**: never more than the asked number for each destination, never an appointment's entry before its older ones are settled,
//! and no high-water mark: what is claimable is a property of the row alone, so an entry that was committed late is not skipped.
//! It deliberately knows nothing of breakers: the limits say what may be called.

use std::{sync::LazyLock, time::Duration};

use rehearsal_core::{
    identity::{ProviderName, WorkerId},
    outbox::{self, EntryState, MAX_LEASE, MAX_WAIT},
    time::Timestamp,
};
use rusqlite::{Connection, Params, params};

use super::{
    enact::update_entry,
    request::{Claimed, Claims},
    row::{ENTRY_WIDTH, appointment, appointment_columns, entry, entry_columns, optional_time},
};

/// The oldest open entry of an appointment goes first.
macro_rules! unblocked {
    () => {
        "NOT EXISTS (SELECT 1 FROM outbox older WHERE older.appointment_id = o.appointment_id \
         AND older.tenant = o.tenant AND older.id < o.id AND older.wake_at IS NOT NULL)"
    };
}

macro_rules! select_claimable {
    ($which:literal) => {
        concat!(
            "SELECT ",
            entry_columns!(),
            ", ",
            appointment_columns!(),
            " FROM outbox o JOIN appointments a ON a.id = o.appointment_id AND a.tenant = o.tenant \
             WHERE o.destination = ?1 AND ",
            $which,
            " AND ",
            unblocked!(),
            " ORDER BY o.wake_at, o.id LIMIT ?3"
        )
    };
}

/// Due, or its lease is over.
const DUE: &str = select_claimable!("o.wake_at <= ?2");
/// Leased, or put off, for longer than there is a lease or a wait: the clock has jumped back since, and the entry counts as due. ?2 is the end of
/// the longest lease and ?4 that of the longest wait.
const FROM_THE_FUTURE: &str =
    select_claimable!("o.wake_at > ?2 AND (o.state = 'leased' OR o.wake_at > ?4)");

/// When each destination that was asked for may next have something to claim, in their order; it may lie in the past.
pub(super) struct Dues(Vec<Option<Timestamp>>);

impl Dues {
    /// The earliest of all.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.0.iter().copied().flatten().min()
    }

    /// Whether there may be something to claim now.
    pub(super) fn any(&self, now: Timestamp) -> bool {
        self.first().is_some_and(|due| due <= now)
    }
}

/// See [`super::Request::Claim`]; `dues` is what [`dues`] just said of the same destinations, and says which of them are worth a look.
pub(super) fn claim(
    database: &Connection,
    worker: WorkerId,
    now: Timestamp,
    lease: Duration,
    limits: &[(ProviderName, u32)],
    mut dues: Dues,
) -> rusqlite::Result<Claims> {
    let mut claimed = Vec::new();
    for ((destination, limit), due) in limits.iter().zip(&mut dues.0) {
        if due.is_none_or(|due| due > now) {
            continue;
        }
        let name = destination.as_str();
        let mut found = candidates(database, DUE, params![name, now.as_micros(), limit])?;
        if found.is_empty() {
            let (lease, wait) = (now.plus(MAX_LEASE), now.plus(MAX_WAIT));
            let future = params![name, lease.as_micros(), limit, wait.as_micros()];
            found = candidates(database, FROM_THE_FUTURE, future)?;
        }
        for mut one in found {
            debug_assert!(outbox::claimable(&one.entry, now));
            one.entry = outbox::claim(&one.entry, worker, now, lease);
            update_entry(database, &one.entry, None, None)?;
            claimed.push(one);
        }
        *due = next_due(database, [destination].into_iter(), now)?[0];
    }
    let next_due = dues.first();
    Ok(Claims {
        claimed,
        next_due,
        now,
    })
}

fn candidates(
    database: &Connection,
    sql: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<Claimed>> {
    database
        .prepare_cached(sql)?
        .query_map(params, |row| {
            let entry = entry(row)?;
            Ok(Claimed {
                rescued: entry.state == EntryState::Leased,
                entry,
                appointment: appointment(row, ENTRY_WIDTH)?,
            })
        })?
        .collect()
}

/// When something of each of the asked destinations may be claimable.
pub(super) fn dues(
    database: &Connection,
    limits: &[(ProviderName, u32)],
    now: Timestamp,
) -> rusqlite::Result<Dues> {
    let mut dues = Vec::with_capacity(limits.len());
    for some in limits.chunks(AT_ONCE) {
        let destinations = some.iter().map(|(destination, _)| destination);
        dues.extend(next_due(database, destinations, now)?);
    }
    Ok(Dues(dues))
}

/// Destinations that one statement asks about: a worker asks at each commit of any process, so that it is one look in one snapshot.
const AT_ONCE: usize = 8;

/// The statement for each number of destinations up to [`AT_ONCE`], which stand in ?4 and on; a column each.
static NEXT_DUE: LazyLock<[String; AT_ONCE]> = LazyLock::new(|| {
    std::array::from_fn(|at| {
        let one = |destination: usize| {
            // The first that will be due; now, when it is not yet and one from the future counts as due. What waits behind another does neither.
            format!(
                "(SELECT CASE WHEN o.wake_at > ?1 AND EXISTS (SELECT 1 FROM outbox o WHERE o.destination = ?{destination} \
                 AND o.wake_at > ?2 AND (o.state = 'leased' OR o.wake_at > ?3) AND {unblocked}) THEN ?1 ELSE o.wake_at END \
                 FROM outbox o WHERE o.destination = ?{destination} AND o.wake_at IS NOT NULL AND {unblocked} \
                 ORDER BY o.wake_at, o.id LIMIT 1)",
                unblocked = unblocked!()
            )
        };
        let all: Vec<String> = (4..=at + 4).map(one).collect();
        format!("SELECT {}", all.join(", "))
    })
});

/// As [`dues`], of at least one destination and at most [`AT_ONCE`].
fn next_due<'a>(
    database: &Connection,
    destinations: impl ExactSizeIterator<Item = &'a ProviderName>,
    now: Timestamp,
) -> rusqlite::Result<Vec<Option<Timestamp>>> {
    let count = destinations.len();
    let mut statement = database.prepare_cached(&NEXT_DUE[count - 1])?;
    statement.raw_bind_parameter(1, now.as_micros())?;
    statement.raw_bind_parameter(2, now.plus(MAX_LEASE).as_micros())?;
    statement.raw_bind_parameter(3, now.plus(MAX_WAIT).as_micros())?;
    for (at, destination) in destinations.enumerate() {
        statement.raw_bind_parameter(at + 4, destination.as_str())?;
    }
    let mut rows = statement.raw_query();
    let row = rows.next()?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    (0..count).map(|at| optional_time(row, at)).collect()
}
