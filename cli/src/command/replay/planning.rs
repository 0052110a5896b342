//! A capture as a plan: read once into memory where it is small, else twice, so that its answers are never in memory together.
//!
//! **Invariant**: both ways make the same plan. A file that changes between two readings is refused.

use std::{collections::BTreeSet, fs, path::Path, slice};

use rehearsal_replay::{
    capture::{self, Capture, Exchange, Origin, Record, can_be_read_again, open_all},
    plan::{self, Plan, Planner},
    reproduce::subset,
    rules::Rules,
};

use super::spool::{Reread, Spool};
use crate::{
    artifact::Artifacts,
    flags::{replay::ReplayFlags, value::Target},
    printer::Printer,
    problem::Problem,
};

/// A capture of at most so many bytes on disk is read into memory; a compressed one grows tenfold there.
const SMALL: u64 = 32 << 20;

/// Progress is told once for so many exchanges.
const TOLD: u64 = 50_000;

/// The plan of the capture asked for, and where requests are read again that had no room in memory.
///
/// # Errors
/// A capture that cannot be used or changes while it is read, or a disk that has no room.
pub(super) fn planned(
    flags: &ReplayFlags,
    rules: &Rules,
    printer: Printer,
) -> Result<(Plan, Option<Reread>), Problem> {
    let large = size(&flags.capture) > SMALL;
    let paths = slice::from_ref(&flags.capture);
    if large && can_be_read_again(paths)? {
        // A simulated side reads no real file.
        let spool = match flags.candidate {
            Target::Url(_) => Some(Spool::new(Artifacts::new(&flags.out)?.folder())?),
            Target::Sim => None,
        };
        if let Some(planned) = streamed(flags, rules, spool, printer)? {
            return Ok(planned);
        }
    }
    Ok((plan::plan(captured(flags)?, rules, flags.pace), None))
}

/// The capture asked for, whole in memory.
fn captured(flags: &ReplayFlags) -> Result<Capture, Problem> {
    Ok(capture::load_all(
        slice::from_ref(&flags.capture),
        &flags.reading.options(flags.strict),
    )?)
}

/// Bytes of a file, or of all files in a folder.
fn size(path: &Path) -> u64 {
    let Ok(about) = fs::metadata(path) else {
        return 0;
    };
    if !about.is_dir() {
        return about.len();
    }
    let files = fs::read_dir(path).into_iter().flatten().flatten();
    files.map(|file| size(&file.path())).sum()
}

/// The plan of a capture that is read twice; nothing where only a whole capture will do.
fn streamed(
    flags: &ReplayFlags,
    rules: &Rules,
    spool: Option<Spool>,
    printer: Printer,
) -> Result<Option<(Plan, Option<Reread>)>, Problem> {
    let reread = spool.as_ref().map(Spool::reread);
    let mut planner = match spool {
        Some(spool) => Planner::spilling(rules, flags.pace, Box::new(spool)),
        None => Planner::new(rules, flags.pace),
    };
    let before = walk(flags, "reading the capture", printer, |exchange| {
        planner.expect(&exchange);
        Ok(())
    })?;
    let Some(before) = before else {
        return Ok(None);
    };
    let after = walk(flags, "planning", printer, |exchange| {
        let added = planner.add(exchange);
        added.map_err(|error| no_room(flags, &error))
    })?;
    printer.overwrite("");
    if after.is_none_or(|after| after.sha256 != before.sha256) {
        return Err(Problem::usage(format!(
            "{}: changed while it was read",
            flags.capture.display()
        )));
    }
    let plan = planner.plan(&before);
    Ok(Some((
        plan.map_err(|error| no_room(flags, &error))?,
        reread,
    )))
}

/// The exchanges that stand at `wanted`, as a capture of their own.
///
/// # Errors
/// A capture that cannot be used any more.
pub(super) fn part(
    flags: &ReplayFlags,
    wanted: &BTreeSet<u64>,
    printer: Printer,
) -> Result<Capture, Problem> {
    if size(&flags.capture) > SMALL {
        let mut exchanges = Vec::new();
        let origin = walk(flags, "reading the capture", printer, |exchange| {
            if wanted.contains(&exchange.seq) {
                exchanges.push(exchange);
            }
            Ok(())
        })?;
        printer.overwrite("");
        if let Some(origin) = origin {
            return Ok(Capture {
                sha256: origin.sha256,
                format: origin.format,
                exchanges,
                skipped: Vec::new(),
            });
        }
    }
    let wanted: Vec<u64> = wanted.iter().copied().collect();
    Ok(subset(&captured(flags)?, &wanted))
}

/// Walks through the capture's exchanges, each with its place; nothing if there is none, or if they do not come in order of time, into which only
/// a whole capture can be put.
fn walk(
    flags: &ReplayFlags,
    doing: &str,
    printer: Printer,
    mut each: impl FnMut(Exchange) -> Result<(), Problem>,
) -> Result<Option<Origin>, Problem> {
    let mut stream = open_all(
        slice::from_ref(&flags.capture),
        &flags.reading.options(flags.strict),
    )?;
    let mut skipped = Vec::new();
    let (mut count, mut last_ns) = (0, 0);
    for record in &mut stream {
        let mut exchange = match record? {
            Record::Exchange(exchange) => *exchange,
            Record::Skipped(one) => {
                skipped.push(one);
                continue;
            }
        };
        if exchange.ts_ns < last_ns {
            return Ok(None);
        }
        last_ns = exchange.ts_ns;
        exchange.seq = count;
        each(exchange)?;
        count += 1;
        if count % TOLD == 0 {
            printer.overwrite(&format!("  {doing}: {count} exchanges"));
        }
    }
    let origin = capture::origin(&stream.finish()?, skipped);
    Ok((count > 0).then_some(origin))
}

fn no_room(flags: &ReplayFlags, error: &std::io::Error) -> Problem {
    Problem::infrastructure(format!(
        "{}: the requests of the capture cannot be written there: {error}",
        flags.out.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use clap::Parser;
    use rehearsal_replay::capture::{Manifest, Writer};

    use super::*;
    use crate::flags::{Command, Flags};

    const SAMPLE: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../scenarios/captures/legacy-hour.jsonl.gz"
    );

    fn flags(capture: &Path) -> ReplayFlags {
        let capture = capture.display().to_string();
        let line = ["rehearsal", "replay", &capture, "--legacy", "http://a:1"];
        let line = line.into_iter().chain(["--candidate", "http://b:2"]);
        match Flags::try_parse_from(line).expect("flags").command {
            Command::Replay(flags) => flags,
            other => panic!("{other:?}"),
        }
    }

    fn printer() -> Printer {
        Printer::from_environment()
    }

    fn written(folder: &Path, exchanges: Vec<Exchange>) -> ReplayFlags {
        let path = folder.join("capture.jsonl");
        let manifest = Manifest::new(None, Some(exchanges.len() as u64));
        let file = File::create(&path).expect("a file");
        let mut writer = Writer::plain(file, &manifest).expect("the disk has room");
        for exchange in exchanges {
            writer.write(&exchange).expect("the disk has room");
        }
        writer.finish().expect("the disk has room");
        flags(&path)
    }

    #[test]
    fn a_capture_that_is_read_twice_has_the_same_plan() {
        let flags = flags(Path::new(SAMPLE));
        let rules = include_str!("../../../../scenarios/rules/legacy-to-v2.toml");
        let rules = Rules::read("legacy-to-v2.toml", rules).expect("the shipped rules");
        let twice = streamed(&flags, &rules, None, printer()).expect("it is a capture");
        let (twice, reread) = twice.expect("its exchanges come in order");
        let once = plan::plan(captured(&flags).expect("a capture"), &rules, flags.pace);
        assert!(reread.is_none());
        assert_eq!(format!("{twice:?}"), format!("{once:?}"));
        assert!(once.requests.len() > 10_000);
    }

    #[test]
    fn a_part_is_what_a_whole_capture_has_there() {
        let flags = flags(Path::new(SAMPLE));
        let whole = captured(&flags).expect("a capture");
        let wanted = BTreeSet::from([0, 7, 10_000]);
        let mut found = Vec::new();
        let origin = walk(&flags, "reading", printer(), |exchange| {
            if wanted.contains(&exchange.seq) {
                found.push(exchange);
            }
            Ok(())
        });
        let origin = origin.expect("a capture").expect("in order");
        assert_eq!(origin.sha256, whole.sha256);
        let part = part(&flags, &wanted, printer()).expect("a capture");
        assert_eq!(found, part.exchanges);
        assert_eq!(found[2], whole.exchanges[10_000]);
    }

    #[test]
    fn only_what_comes_in_order_is_read_twice() {
        let sample = captured(&flags(Path::new(SAMPLE))).expect("a capture");
        let few: Vec<Exchange> = sample.exchanges[..3].to_vec();
        let folder = tempfile::tempdir().expect("a folder");
        let rules = Rules::default();
        let none = written(folder.path(), Vec::new());
        let planned = streamed(&none, &rules, None, printer());
        assert!(
            planned.is_ok_and(|planned| planned.is_none()),
            "no exchange"
        );
        let told = super::planned(&none, &rules, printer()).expect_err("no exchange");
        assert!(told.message.contains("no exchange"), "{}", told.message);
        let ordered = written(folder.path(), few);
        let planned = streamed(&ordered, &rules, None, printer());
        assert!(planned.is_ok_and(|planned| planned.is_some()));
        // Later than the reading window can put right.
        let mut late = sample.exchanges;
        late.rotate_left(1);
        let late = written(folder.path(), late);
        let planned = streamed(&late, &rules, None, printer());
        assert!(planned.is_ok_and(|planned| planned.is_none()), "disorder");
    }
}
