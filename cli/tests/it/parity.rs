//! `rehearsal parity` on every kind of source: files, SQLite, listings, single rows over HTTP, and a PostgreSQL of its own.
//!
//! **Invariant**: whatever the source, the same rows give the same counts. Where PostgreSQL's binaries are missing, its test says that it was
//! skipped.

mod listing;

use std::{
    fs,
    io::Write,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{
    binary::{Desk, Ended, repository},
    real::Server,
};

fn row(number: u32) -> Value {
    json!({"id": format!("a-{number}"), "state": "confirmed", "attempts": number % 3, "name": "O'Hara \"q\" é"})
}

fn lines(rows: &[Value]) -> String {
    rows.iter()
        .fold(String::new(), |text, row| text + &row.to_string() + "\n")
}

fn parity(desk: &Desk, left: &str, right: &str, more: &[&str]) -> Ended {
    let arguments = [&["parity", left, right, "--format", "json"], more].concat();
    desk.run(&arguments)
}

/// matched, ignored, mismatched, only left, only right
fn counts(report: &Value) -> [u64; 5] {
    [
        "matched",
        "ignored",
        "mismatched",
        "only_left",
        "only_right",
    ]
    .map(|name| report["rows"][name].as_u64().expect("a count"))
}

#[test]
fn files_are_compared_and_the_one_changed_row_is_named() {
    let desk = Desk::new();
    let mut rows: Vec<Value> = (0..50).map(row).collect();
    desk.put("a.jsonl", lines(&rows));
    desk.put("a.json", Value::from(rows.clone()).to_string());
    rows.reverse();
    desk.put("b.jsonl", lines(&rows));
    let packed = Command::new("gzip")
        .args(["-k", "b.jsonl"])
        .current_dir(desk.path())
        .status();
    assert!(packed.expect("gzip is there").success());
    for left in ["a.jsonl", "a.json"] {
        let ended = parity(&desk, left, "b.jsonl.gz", &[]);
        assert_eq!(
            (ended.code, counts(&ended.json())),
            (0, [50, 0, 0, 0, 0]),
            "{ended:?}"
        );
    }
    rows[9]["state"] = json!("failed");
    desk.put("b.jsonl", lines(&rows));
    let ended = parity(&desk, "a.jsonl", "b.jsonl", &["--out", "o"]);
    let report = ended.json();
    assert_eq!((ended.code, counts(&report)), (1, [49, 0, 1, 0, 0]));
    assert_eq!(desk.get("o/parity.json"), ended.out);
    let row = &report["differences"][0];
    assert_eq!(
        (&row["key"], &row["right_row"]),
        (&json!("a-40"), &json!(10))
    );
    let field = &row["differences"][0];
    assert_eq!(
        (&field["path"], &field["left"], &field["right"]),
        (
            &json!("/state"),
            &json!("\"confirmed\""),
            &json!("\"failed\"")
        )
    );
    assert!(desk.get("o/parity_report.md").contains("a-40"));
    let human = desk.run(&["parity", "a.jsonl", "b.jsonl"]);
    insta::assert_snapshot!(human.out);
}

#[test]
fn a_service_database_is_shown_as_its_api_would() {
    let desk = Desk::new();
    let schema =
        fs::read_to_string(repository().join("service/src/store/schema.rs")).expect("the schema");
    let begin = schema.find("CREATE TABLE appointments").expect("the table");
    let end = begin + schema[begin..].find(';').expect("its end") + 1;
    let database = Connection::open(desk.path().join("v2.db")).expect("a database");
    database
        .execute_batch(&schema[begin..end])
        .expect("the schema");
    let insert = "INSERT INTO appointments VALUES (?1, 'default', ?2, 'acme', '2027-03-01T09:30:00Z', 'Ada', NULL, NULL, 'confirmed', 1, 1, 0, ?3, NULL, 1700000000000000, 1700000000000000, 3)";
    let mut legacy = Vec::new();
    for number in 0..30 {
        let names = [
            format!("a-{number}"),
            format!("r-{number}"),
            format!("v-{number}"),
        ];
        database.execute(insert, names).expect("a row");
        legacy.push(json!({"id": format!("a-{number}"), "request_id": format!("r-{number}"), "state": "confirmed", "provider": "acme",
            "time": "2027-03-01T09:30:00Z", "patient_name": "Ada", "reference": format!("bk-{number}"), "attempts": 1, "bookings": 1}));
    }
    drop(database);
    desk.put("legacy.jsonl", lines(&legacy));
    let rules = repository().join("scenarios/rules/legacy-to-v2.toml");
    let rules = ["--rules", rules.to_str().expect("a path")];
    let ended = parity(&desk, "legacy.jsonl", "v2.db", &rules);
    assert_eq!(
        (ended.code, counts(&ended.json())),
        (0, [30, 0, 0, 0, 0]),
        "{ended:?}"
    );
    assert_eq!(ended.json()["key"], "request_id");
    let query = "SELECT id, patient_name FROM appointments WHERE id <> 'a-7'";
    let ended = parity(
        &desk,
        "legacy.jsonl",
        "v2.db",
        &[
            "--key",
            "id",
            "--columns",
            "id,patient_name",
            "--right-query",
            query,
        ],
    );
    assert_eq!(
        (ended.code, counts(&ended.json())),
        (1, [29, 0, 0, 1, 0]),
        "{ended:?}"
    );
}

#[test]
fn a_rule_that_has_expired_forgives_nothing() {
    let desk = Desk::new();
    desk.put("a.jsonl", "{\"id\":1,\"n\":1}\n{\"id\":2,\"n\":1}\n");
    desk.put("b.jsonl", "{\"id\":1,\"n\":1}\n{\"id\":2,\"n\":2}\n");
    let rule = |expires: &str| {
        format!(
            "format = \"rehearsal.rules/1\"\nname = \"t\"\n[[rule]]\nid = \"n\"\nkind = \"ignore\"\nreason = \"r\"\nendpoint = \"state\"\nwhere = \"/n\"\nexpires = {expires}\n"
        )
    };
    desk.put("old.toml", rule("2020-01-31"));
    desk.put("new.toml", rule("9000-01-31"));
    let run = |rules: &str| parity(&desk, "a.jsonl", "b.jsonl", &["--rules", rules]);
    assert_eq!(counts(&run("new.toml").json()), [1, 1, 0, 0, 0]);
    let mut report = run("new.toml").json();
    let day = ["--rules", "old.toml", "--today", "2020-01-31"];
    let mut then = parity(&desk, "a.jsonl", "b.jsonl", &day).json();
    report["timing"] = Value::Null;
    then["timing"] = Value::Null;
    assert_eq!(then, report, "on its last day it still does");
    let ended = run("old.toml");
    assert_eq!(
        (ended.code, counts(&ended.json())),
        (1, [1, 0, 1, 0, 0]),
        "{ended:?}"
    );
}

#[test]
fn bad_input_is_named_and_nothing_is_written() {
    let desk = Desk::new();
    desk.put("a.jsonl", lines(&[row(1)]));
    desk.put("b.jsonl", lines(&[row(1)]));
    desk.put("bad.jsonl", "{\"id\":1}\n{\"id\":\n");
    desk.put("nameless.jsonl", "{\"x\":1}\n");
    let database = Connection::open(desk.path().join("a.db")).expect("a database");
    database
        .execute_batch("CREATE TABLE appts (id TEXT)")
        .expect("a table");
    drop(database);
    let check = |right: &str, more: &[&str], said: &str| {
        let ended = parity(&desk, "a.jsonl", right, more);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{ended:?}");
        assert!(ended.err.contains(said), "{}", ended.err);
    };
    check("none.jsonl", &[], "none.jsonl: cannot be read");
    check("bad.jsonl", &[], "bad.jsonl: row 2: found byte 6");
    check("nameless.jsonl", &[], "no field request_id or id");
    check("nameless.jsonl", &["--key", "id"], "no row with the key id");
    check(
        "a.db",
        &[],
        "found no table \"appointments\", expected one of: appts",
    );
    check(
        "a.db",
        &["--right-query", "DELETE FROM appts"],
        "expected a query that only reads",
    );
    check(
        "ftp://me:pass/word@h/x?token=word",
        &[],
        "ftp://h/x: found the scheme \"ftp\"",
    );
    check("http://me:word@127.0.0.1:1/x", &[], "found a user name");
    check("postgres://me:pass@word@h/x", &[], "more than one @");
    check("http://127.0.0.1:1/{id}", &[], "expected --ids FILE");
    check("b.jsonl", &["--key", "id,"], "found \"id,\"");
    check("a.jsonl", &[], "the same place on both sides");
    check("./a.jsonl", &[], "the same place on both sides");
    check(
        "b.jsonl",
        &["--columns", "name,zzz"],
        "found no row with the field \"zzz\" on either side",
    );
    assert!(!desk.path().join("results/parity.json").exists());
}

#[test]
fn two_running_services_are_compared_by_id() {
    let desk = Desk::new();
    let provider = Server::start(&desk, &["provider", "--listen", "127.0.0.1:0"]);
    let acme = format!("acme=http://{}", provider.address);
    let start = || {
        Server::start(
            &desk,
            &["legacy", "--listen", "127.0.0.1:0", "--provider", &acme],
        )
    };
    let (left, right) = (start(), start());
    for number in 1..=3 {
        let body = format!(
            r#"{{"id":"a-{number}","request_id":"r-{number}","provider":"acme","time":"2027-03-01T09:30:00Z","patient_name":"Ada"}}"#
        );
        assert_eq!(left.send("POST", "/appointments", &body).0, 200);
        if number < 3 {
            assert_eq!(right.send("POST", "/appointments", &body).0, 200);
        }
    }
    desk.put("ids.txt", "a-1\na-2\na-3\n");
    let urls =
        [&left, &right].map(|server| format!("http://{}/appointments/{{id}}", server.address));
    let columns = [
        "--ids",
        "ids.txt",
        "--key",
        "id",
        "--columns",
        "id,patient_name,time,state",
    ];
    let ended = parity(&desk, &urls[0], &urls[1], &columns);
    assert_eq!(
        (ended.code, counts(&ended.json())),
        (1, [2, 0, 0, 1, 0]),
        "{ended:?}"
    );
    drop(right);
    assert_eq!(parity(&desk, &urls[0], &urls[1], &columns).code, 4);
}

/// A PostgreSQL cluster in a folder, listening on a socket there and nowhere else. It is stopped when the test ends.
struct Cluster {
    folder: tempfile::TempDir,
    pg_ctl: PathBuf,
    user: u32,
}

/// PostgreSQL does not run as root; this user owns nothing.
const NOBODY: u32 = 65_534;

impl Cluster {
    /// `None` where PostgreSQL's binaries are not found.
    fn start() -> Option<Self> {
        let found = |name: &str| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|file| file.is_file())
        };
        let (initdb, pg_ctl) = (found("initdb")?, found("pg_ctl")?);
        let folder = tempfile::tempdir().expect("a folder");
        let root = Command::new("id")
            .arg("-u")
            .output()
            .expect("id is there")
            .stdout
            == b"0\n";
        if root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let user = if root { NOBODY } else { 0 };
        let cluster = Self {
            folder,
            pg_ctl,
            user,
        };
        cluster.run(
            &initdb,
            &[
                "-D",
                "data",
                "-U",
                "me",
                "-A",
                "trust",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ],
        );
        let socket = format!(
            "-k {} -c listen_addresses='' -c fsync=off",
            cluster.folder.path().display()
        );
        cluster.run(
            &cluster.pg_ctl,
            &["-D", "data", "-w", "-l", "log", "-o", &socket, "start"],
        );
        Some(cluster)
    }

    fn run(&self, program: &Path, arguments: &[&str]) {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if self.user != 0 {
            command.uid(self.user).gid(self.user);
        }
        let ended = command.output().expect("it starts");
        assert!(
            ended.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
    }

    fn url(&self) -> String {
        let socket = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://me@{socket}/postgres")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run(&self.pg_ctl, &["-D", "data", "-m", "immediate", "stop"]);
    }
}

#[test]
fn a_postgres_table_is_compared() {
    let Some(cluster) = Cluster::start() else {
        // A test's own stderr is shown on demand; the line says why nothing was asserted.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: initdb and pg_ctl are not on the PATH"
        );
        return;
    };
    let desk = Desk::new();
    let url = cluster.url();
    let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("a connection");
    client
        .batch_execute("CREATE TABLE appointments (id text PRIMARY KEY, state text, attempts int, name text); \
            INSERT INTO appointments SELECT 'a-' || n, 'confirmed', n % 3, 'O''Hara \"q\" é' FROM generate_series(0, 4999) AS n")
        .expect("rows");
    let mut rows: Vec<Value> = (0..5000).map(row).collect();
    desk.put("a.jsonl", lines(&rows));
    let ended = parity(&desk, "a.jsonl", &url, &[]);
    assert_eq!(
        (ended.code, counts(&ended.json())),
        (0, [5000, 0, 0, 0, 0]),
        "{ended:?}"
    );
    rows[4711]["name"] = json!("else");
    desk.put("a.jsonl", lines(&rows));
    let query = "SELECT id, state, attempts, name FROM appointments WHERE id <> 'a-3'";
    let ended = parity(&desk, "a.jsonl", &url, &["--right-query", query]);
    let report = ended.json();
    assert_eq!(
        (ended.code, counts(&report)),
        (1, [4998, 0, 1, 1, 0]),
        "{report}"
    );
    assert_eq!(report["differences"][0]["key"], "a-4711");
    let ended = parity(&desk, "a.jsonl", &url, &["--right-table", "none"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended.err.contains("\"none\"") && ended.err.contains("does not exist"),
        "{}",
        ended.err
    );
    drop(client);
    drop(cluster);
    assert_eq!(
        parity(&desk, "a.jsonl", &url, &[]).code,
        4,
        "a database that is down is the infrastructure's fault"
    );
}
