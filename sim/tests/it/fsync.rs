//! A sync that fails, and what the store makes of it: nothing that was acknowledged before or after depends on it.

use std::time::Duration;

use rehearsal_core::time::Timestamp;
use rehearsal_service::store::SqliteStore;
use rehearsal_sim::{
    child,
    disk::{self, Disk, Fault, Loss, Operation},
    interpose,
};
use rusqlite::Connection;

const HOST: &str = "db";
/// Transactions of one run.
const INSERTS: i64 = 8;

/// What happens after the commit whose sync failed.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The process goes on with the same connection.
    GoesOn,
    /// It is killed and starts again: the operating system still shows what was never made durable.
    Restarts,
}

/// The store as the service opens it, and a connection of ours beside it, with a table for plain rows.
fn boot() -> Option<(SqliteStore, Connection)> {
    let path = Disk::path(HOST, "app.db");
    let store = SqliteStore::open(&path).ok()?;
    let connection = Connection::open(&path).ok()?;
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY);",
        )
        .ok()?;
    Some((store, connection))
}

/// The ids whose commit was acknowledged, with the `skip`-th sync failing.
fn acknowledged(disk: &Disk, skip: u64, then: Then) -> Vec<i64> {
    disk.wipe(HOST);
    disk.start(HOST);
    let (mut store, mut connection) = boot().expect("a healthy disk");
    disk.inject(
        HOST,
        Fault::Fail {
            operation: Operation::Sync,
            skip,
            count: 1,
        },
    );
    let mut acknowledged = Vec::new();
    for id in 0..INSERTS {
        let inserted = connection.execute("INSERT INTO t VALUES (?1)", [id]);
        if inserted.is_ok() {
            acknowledged.push(id);
        } else if let Then::Restarts = then {
            disk.kill(HOST);
            drop((store, connection));
            disk.start(HOST);
            (store, connection) = boot().expect("one sync failed, not more");
        }
    }
    disk.power_loss(HOST, Loss::Everything, 0);
    drop((store, connection));
    disk.start(HOST);
    acknowledged
}

fn check(then: Then) {
    let counted = child::run(Duration::from_mins(1), || {
        interpose::enter(1, Timestamp::from_secs(1_800_000_000));
        let disk = Disk::new(1);
        disk::register(&disk);
        let mut failed = 0;
        for skip in 0..12 {
            let acknowledged = acknowledged(&disk, skip, then);
            failed += u8::from(acknowledged.len() < 8);
            disk.heal(HOST);
            let (_store, connection) = boot().expect("a healthy disk");
            let mut statement = connection.prepare("SELECT id FROM t").expect("a table");
            let ids = statement.query_map([], |row| row.get(0)).expect("rows");
            let found: Vec<i64> = ids.collect::<Result<_, _>>().expect("whole rows");
            assert!(
                acknowledged.iter().all(|id| found.contains(id)),
                "sync {skip} failed, and it {then:?}: {acknowledged:?} were acknowledged, {found:?} are there"
            );
        }
        vec![failed]
    });
    assert!(counted.expect("it ends well")[0] >= 8, "commits did fail");
}

#[test]
fn a_failed_sync_costs_nothing_when_the_process_goes_on() {
    check(Then::GoesOn);
}

#[test]
fn a_failed_sync_costs_nothing_when_the_process_starts_again() {
    check(Then::Restarts);
}
