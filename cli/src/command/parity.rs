//! `rehearsal parity`: the rows of two stores, compared by key under the rules of a replay.
//!
//! **Invariant**: both sides are read whole before anything is judged, nothing is written to either, and what is written under `--out` is a
//! whole result. The command decides nothing: the verdict is the comparison's.

mod http;
mod lines;
mod paging;
mod postgres;
mod source;
mod sqlite;

use std::{fs, thread};

use jiff::civil::Date;
use rehearsal_host::{Machine, real::RealMachine};
use rehearsal_replay::{
    json::{Json, parse},
    parity::{Columns, Detail, Key, ParityReport, Table, human, join, markdown},
    rules::{Rules, Side},
};

use self::source::{Next, Source, Want, open};
use crate::{
    artifact::Artifacts,
    exit::Exit,
    flags::{parity::ParityFlags, value::Format},
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
    progress::Watch,
};

/// The names of what is written.
const RESULT: &str = "parity.json";
const REPORT: &str = "parity_report.md";

/// Pairs of rows that are held at a time, once digests have settled the rest.
const BATCH: usize = 50_000;

/// Rows between two looks at the clock and at Ctrl-C.
const EVERY: u64 = 16_384;

/// Compares, prints and writes.
///
/// # Errors
/// A side or rules that cannot be used, a machine that does not do its part, or Ctrl-C.
#[expect(
    clippy::disallowed_methods,
    reason = "two stores are read at once; nothing is simulated here"
)]
pub(super) fn parity(flags: &ParityFlags, printer: Printer) -> Result<Exit, Problem> {
    let watch = Watch::start();
    let rules = rules(flags)?;
    let interrupt = Interrupt::listen()?;
    differ(flags)?;
    let mut left = open(Want::left(flags, &interrupt))?;
    let mut right = open(Want::right(flags, &interrupt))?;
    let key = key(flags, &mut *left, &mut *right)?;
    let columns = match flags.columns.as_slice() {
        [] => Columns::default(),
        names => Columns::only(names.to_vec()),
    };
    let artifacts = Artifacts::new(&flags.out)?;
    let mut tables =
        [Side::Legacy, Side::Candidate].map(|side| Table::new(side, &key, &columns, &rules));
    let [one, other] = &mut tables;
    // The sides are read side by side: each reader has its own digests and its own source, and nothing is decided until both are done.
    thread::scope(|scope| {
        let reading = scope.spawn(|| read(&mut *left, one, &interrupt, None));
        let ended = read(&mut *right, other, &interrupt, Some(printer));
        reading.join().expect("a reader does not panic").and(ended)
    })?;
    for (table, source) in tables.iter().zip([&left, &right]) {
        named(table, &key, source.name())?;
    }
    let [one, other] = &tables;
    if let Some(column) = flags
        .columns
        .iter()
        .find(|column| !one.met(column) && !other.met(column))
        && !(one.is_empty() && other.is_empty())
    {
        return Err(Problem::usage(format!(
            "--columns: found no row with the field {column:?} on either side, expected names of fields"
        )));
    }
    let joined = join(one, other, rules.rules.len());
    stopped(&interrupt)?;
    let mut detail = Detail::new(&joined, &rules);
    for batch in detail.batches(BATCH) {
        let (one, other) = thread::scope(|scope| {
            let picking = scope.spawn(|| left.pick(&batch.left));
            let other = right.pick(&batch.right);
            (picking.join().expect("a reader does not panic"), other)
        });
        detail.compare(&batch, &one?, &other?);
        stopped(&interrupt)?;
    }
    printer.overwrite("");
    let sources = [&left, &right].map(|source| source.name().to_owned());
    let mut report = detail.report([one, other], sources, joined.repeated(), &rules);
    report.timing.wall_ms = watch.elapsed_ms();
    finish(&report, flags, &artifacts, printer)
}

fn finish(
    report: &ParityReport,
    flags: &ParityFlags,
    artifacts: &Artifacts,
    printer: Printer,
) -> Result<Exit, Problem> {
    let json = serde_json::to_string_pretty(report).expect("a report is plain data") + "\n";
    let marked = markdown(report);
    artifacts.write(RESULT, json.as_bytes())?;
    artifacts.write(REPORT, marked.as_bytes())?;
    printer.data(&match flags.format {
        Format::Human => human(report),
        Format::Json => json,
        Format::Markdown => marked,
    })?;
    printer.talk(&format!(
        "  results     {}, {}",
        flags.out.join(RESULT).display(),
        flags.out.join(REPORT).display()
    ));
    Ok(report.verdict.into())
}

/// Refuses to compare a place with itself.
fn differ(flags: &ParityFlags) -> Result<(), Problem> {
    let file = |place: &str| fs::canonicalize(place).ok();
    let same = match (file(&flags.left), file(&flags.right)) {
        (Some(left), Some(right)) => left == right,
        _ => flags.left == flags.right,
    };
    let views = (&flags.left_table, &flags.left_query) != (&flags.right_table, &flags.right_query);
    if !same || views {
        return Ok(());
    }
    Err(Problem::usage(format!(
        "{}: found the same place on both sides, expected two: it agrees with itself",
        source::shown(&flags.left)
    )))
}

fn rules(flags: &ParityFlags) -> Result<Rules, Problem> {
    let Some(file) = &flags.rules else {
        return Ok(Rules::default());
    };
    let text = fs::read_to_string(file).map_err(|error| Problem::unreadable(file, &error))?;
    let mut rules = Rules::read(&file.to_string_lossy(), &text)?;
    let now = RealMachine::new().now().to_string();
    let machine = || now.get(..10).and_then(|day| day.parse::<Date>().ok());
    if let Some(today) = flags.today.or_else(machine) {
        rules.expire(today);
    }
    Ok(rules)
}

/// The key that was asked for, or the first usual one that the first rows of both sides have.
fn key(flags: &ParityFlags, left: &mut dyn Source, right: &mut dyn Source) -> Result<Key, Problem> {
    if let Some(key) = &flags.key {
        return Ok(key.clone());
    }
    let rows = [first(left)?, first(right)?];
    let rows = rows
        .each_ref()
        .map(|row| row.as_deref().and_then(|row| parse(row).ok()));
    let usual = Key::USUAL.into_iter().map(Key::of);
    let sides = [Side::Legacy, Side::Candidate];
    let mut found = usual.filter(|key| {
        let mut rows = rows.iter().zip(sides);
        rows.all(|(row, side)| row.as_ref().is_none_or(|row| key.is_in(side, row)))
    });
    found.next().ok_or_else(|| {
        let fields = |row: &Option<Json<'_>>| match row {
            Some(Json::Object(members)) => {
                let names: Vec<&str> = members.iter().map(|(key, _)| key.as_ref()).collect();
                names.join(", ")
            }
            _ => "no object".to_owned(),
        };
        Problem::usage(format!(
            "{}, {}: found no field request_id or id in the first rows of both, expected one that names a row\n  left:  {}\n  right: {}",
            left.name(),
            right.name(),
            fields(&rows[0]),
            fields(&rows[1])
        ))
        .hint("--key FIELD, or --key LEFT=RIGHT where the sides call it otherwise")
    })
}

fn first(source: &mut dyn Source) -> Result<Option<Vec<u8>>, Problem> {
    let mut first = None;
    source.scan(&mut |row| {
        first = Some(row.to_vec());
        Ok(Next::Stop)
    })?;
    Ok(first)
}

/// A source none of whose rows has the key was not compared with anything.
fn named(table: &Table<'_>, key: &Key, source: &str) -> Result<(), Problem> {
    if table.is_empty() || table.unkeyed() < table.len() {
        return Ok(());
    }
    Err(Problem::usage(format!(
        "{source}: found no row with the key {}, expected it in the rows: {} have none",
        key.text(),
        table.len()
    ))
    .hint("--key names other fields"))
}

fn read(
    source: &mut dyn Source,
    table: &mut Table<'_>,
    interrupt: &Interrupt,
    printer: Option<Printer>,
) -> Result<(), Problem> {
    let name = source.name().to_owned();
    source.scan(&mut |row| {
        table
            .push(row)
            .map_err(|bad| Problem::usage(format!("{name}: {bad}")))?;
        if table.len().is_multiple_of(EVERY) {
            stopped(interrupt)?;
            if let Some(printer) = printer {
                printer.overwrite(&format!("  reading {name}: {} rows", table.len()));
            }
        }
        Ok(Next::Row)
    })?;
    table.finish();
    Ok(())
}

fn stopped(interrupt: &Interrupt) -> Result<(), Problem> {
    if interrupt.pressed() {
        return Err(Problem {
            exit: Exit::Interrupted,
            ..Problem::infrastructure("interrupted before anything was judged")
        });
    }
    Ok(())
}
