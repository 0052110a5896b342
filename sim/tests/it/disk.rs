//! SQLite on the simulated disk: what was committed survives what it must survive, and the tester sees what must not.

use std::time::Duration;

use rehearsal_core::time::Timestamp;
use rehearsal_sim::{
    child,
    disk::{self, Disk, Fault, Loss, Operation},
    interpose,
};
use rusqlite::{Connection, ErrorCode, config::DbConfig};

const LIMIT: Duration = Duration::from_mins(1);
const HOST: &str = "db";
const MODELS: [Loss; 6] = [
    Loss::Nothing,
    Loss::Everything,
    Loss::Prefix,
    Loss::Subset,
    Loss::Torn { sector: 512 },
    Loss::Torn { sector: 4096 },
];

/// Runs `body` in a simulated child over empty disks.
fn simulated(seed: u64, body: impl FnOnce(&Disk) -> Vec<u8>) -> Vec<u8> {
    child::run(LIMIT, || {
        interpose::enter(seed, Timestamp::from_secs(1_800_000_000));
        let disk = Disk::new(seed);
        disk::register(&disk);
        body(&disk)
    })
    .expect("the body ends well")
}

fn open(synchronous: &str) -> Connection {
    let connection = Connection::open(Disk::path(HOST, "app.sqlite")).expect("it opens");
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .expect("known to SQLite");
    connection.busy_timeout(Duration::ZERO).expect("no waiting");
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .expect("a mode");
    assert_eq!(mode, "wal");
    connection
        .execute_batch(&format!(
            "PRAGMA synchronous = {synchronous};
             CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
        ))
        .expect("the schema");
    connection
}

fn insert(connection: &Connection, id: i64) -> rusqlite::Result<usize> {
    let text = format!(
        "{id} {}",
        "x".repeat(usize::try_from(id % 7).expect("small") * 700)
    );
    connection.execute("INSERT INTO t VALUES (?1, ?2)", (id, text))
}

fn ids(connection: &Connection) -> Vec<i64> {
    let mut statement = connection
        .prepare("SELECT id FROM t ORDER BY id")
        .expect("prepared");
    let ids = statement.query_map([], |row| row.get(0)).expect("rows");
    ids.collect::<Result<_, _>>().expect("whole rows")
}

fn assert_integrity(connection: &Connection) {
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a verdict");
    assert_eq!(verdict, "ok");
}

#[test]
fn committed_transactions_survive_a_power_loss_under_every_model() {
    simulated(1, |disk| {
        for (model, draw) in MODELS
            .into_iter()
            .flat_map(|model| (0..20).map(move |draw| (model, draw)))
        {
            disk.wipe(HOST);
            disk.start(HOST);
            let connection = open("FULL");
            for id in 0..30 {
                insert(&connection, id).expect("committed");
            }
            connection.execute_batch("BEGIN").expect("begun");
            insert(&connection, 1_000).expect("not committed");
            disk.power_loss(HOST, model, draw);
            connection
                .execute_batch("COMMIT")
                .expect_err("the handle is dead");
            drop(connection);
            disk.start(HOST);
            let connection = open("FULL");
            assert_integrity(&connection);
            assert_eq!(
                ids(&connection),
                (0..30).collect::<Vec<_>>(),
                "{model:?} {draw}"
            );
        }
        Vec::new()
    });
}

#[test]
fn with_synchronous_normal_the_disk_shows_the_loss() {
    simulated(1, |disk| {
        let connection = open("NORMAL");
        for id in 0..30 {
            insert(&connection, id).expect("committed");
        }
        disk.power_loss(HOST, Loss::Everything, 0);
        drop(connection);
        disk.start(HOST);
        let connection = open("NORMAL");
        assert_integrity(&connection);
        assert!(ids(&connection).len() < 30, "nothing was synced");
        assert!(disk.counters(HOST).lost_writes > 0);
        Vec::new()
    });
}

#[test]
fn with_synchronous_normal_a_killed_process_loses_nothing() {
    simulated(1, |disk| {
        for id in 0..30 {
            let connection = open("NORMAL");
            insert(&connection, id).expect("committed");
            disk.kill(HOST);
            drop(connection);
            disk.start(HOST);
        }
        let connection = open("NORMAL");
        assert_integrity(&connection);
        assert_eq!(ids(&connection), (0..30).collect::<Vec<_>>());
        assert_eq!(disk.counters(HOST).lost_writes, 0);
        Vec::new()
    });
}

#[test]
fn a_power_cut_at_any_operation_keeps_what_was_acknowledged() {
    simulated(1, |disk| {
        let workload = || -> Vec<i64> {
            let Ok(connection) = Connection::open(Disk::path(HOST, "app.sqlite")) else {
                return Vec::new();
            };
            let setup = connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 8;
                 CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT NOT NULL);",
            );
            if setup.is_err() {
                return Vec::new();
            }
            (0..12)
                .filter(|id| insert(&connection, *id).is_ok())
                .collect()
        };
        assert_eq!(workload().len(), 12);
        let all = disk.operation_index(HOST);
        assert!(all > 60, "{all} operations, with checkpoints among them");
        for (index, model) in (0..all).flat_map(|index| MODELS.map(|model| (index, model))) {
            disk.wipe(HOST);
            disk.start(HOST);
            disk.cut_power_at(HOST, disk.operation_index(HOST) + index, model, index);
            let acknowledged = workload();
            assert!(!disk.is_on(HOST), "the cut came at {index}");
            disk.start(HOST);
            let connection = open("FULL");
            assert_integrity(&connection);
            let found = ids(&connection);
            assert!(
                acknowledged.iter().all(|id| found.contains(id)),
                "{index} {model:?}: {acknowledged:?} were acknowledged, {found:?} are there"
            );
            assert!(
                found.len() <= acknowledged.len() + 1,
                "at most the one in flight besides"
            );
        }
        Vec::new()
    });
}

#[test]
fn a_rollback_journal_survives_power_cuts_too() {
    simulated(1, |disk| {
        let workload = || -> Vec<i64> {
            let Ok(connection) = Connection::open(Disk::path(HOST, "app.sqlite")) else {
                return Vec::new();
            };
            let setup = connection.execute_batch(
                "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA;
                 CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT NOT NULL);",
            );
            if setup.is_err() {
                return Vec::new();
            }
            (0..4)
                .filter(|id| insert(&connection, *id).is_ok())
                .collect()
        };
        assert_eq!(workload().len(), 4);
        for (index, model) in
            (0..disk.operation_index(HOST)).flat_map(|index| MODELS.map(|model| (index, model)))
        {
            disk.wipe(HOST);
            disk.start(HOST);
            disk.cut_power_at(HOST, disk.operation_index(HOST) + index, model, index);
            let acknowledged = workload();
            disk.start(HOST);
            let connection = open("FULL");
            assert_integrity(&connection);
            let found = ids(&connection);
            assert!(
                acknowledged.iter().all(|id| found.contains(id)),
                "{index} {model:?}: {acknowledged:?} were acknowledged, {found:?} are there"
            );
        }
        Vec::new()
    });
}

#[test]
fn two_connections_see_each_other_and_one_writes_at_a_time() {
    simulated(1, |disk| {
        let (one, two) = (open("FULL"), open("FULL"));
        insert(&one, 1).expect("committed");
        assert_eq!(ids(&two), [1]);
        one.execute_batch("BEGIN IMMEDIATE").expect("begun");
        let busy = insert(&two, 2).expect_err("the other one writes");
        assert_eq!(busy.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        insert(&one, 3).expect("within");
        assert_eq!(ids(&two), [1], "not committed yet");
        one.execute_batch("COMMIT").expect("committed");
        insert(&two, 2).expect("free again");
        assert_eq!(ids(&one), [1, 2, 3]);
        assert!(disk.counters(HOST).busy > 0);
        drop(one);
        insert(&two, 4).expect("the other one is gone");
        drop(two);
        let again = open("FULL");
        assert_eq!(ids(&again), [1, 2, 3, 4]);
        assert_integrity(&again);
        assert_eq!(disk.sleeps(), 0);
        Vec::new()
    });
}

#[test]
fn hosts_do_not_share_files() {
    simulated(1, |disk| {
        let here = open("FULL");
        insert(&here, 1).expect("committed");
        let there = Connection::open(Disk::path("other", "app.sqlite")).expect("it opens");
        assert!(
            there.prepare("SELECT * FROM t").is_err(),
            "no such table there"
        );
        disk.wipe("other");
        assert_eq!(ids(&here), [1]);
        assert!(Connection::open("relative.sqlite").is_err(), "no host");
        Vec::new()
    });
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_seed_others() {
    let digest = |seed| {
        simulated(seed, |disk| {
            let connection = open("FULL");
            for id in 0..20 {
                insert(&connection, id).expect("committed");
            }
            let time: String = connection
                .query_row("SELECT datetime('now') || random()", [], |row| row.get(0))
                .expect("a time");
            assert!(time.starts_with("2027-01-15 08:00:00"), "{time}");
            [&disk.digest(HOST), time.as_bytes()].concat()
        })
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1)[..32], digest(2)[..32], "the WAL's salt differs");
}

#[test]
fn disk_errors_reach_the_program_and_leave_the_database_whole() {
    simulated(1, |disk| {
        let connection = open("FULL");
        insert(&connection, 1).expect("committed");
        disk.inject(
            HOST,
            Fault::Fail {
                operation: Operation::Sync,
                skip: 0,
                count: 1,
            },
        );
        assert!(insert(&connection, 2).is_err(), "the sync fails");
        disk.heal(HOST);
        disk.inject(HOST, Fault::Capacity { bytes: 40_000 });
        let full = (10..60)
            .find_map(|id| insert(&connection, id).err())
            .expect("40 kB are soon full");
        assert_eq!(full.sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert!(disk.counters(HOST).faulted >= 2);
        disk.heal(HOST);
        insert(&connection, 100).expect("room again");
        assert_integrity(&connection);
        let found = ids(&connection);
        assert!(found.contains(&1) && found.contains(&100));
        Vec::new()
    });
}

#[test]
fn large_sorts_and_vacuum_work_on_nameless_temporary_files() {
    simulated(1, |disk| {
        let connection = open("FULL");
        connection
            .execute_batch("PRAGMA temp_store = FILE; PRAGMA cache_size = 4; BEGIN")
            .expect("set");
        for id in 0..2_000 {
            insert(&connection, id).expect("inserted");
        }
        connection
            .execute_batch("COMMIT; CREATE INDEX by_text ON t (text); VACUUM;")
            .expect("done");
        assert_integrity(&connection);
        let names: Vec<String> = disk.files(HOST).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["app.sqlite", "app.sqlite-wal"]);
        Vec::new()
    });
}
