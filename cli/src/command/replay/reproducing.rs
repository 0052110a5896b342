//! Reproducers on disk: `reproducers/NN-CLUSTER.jsonl` beside the results, each a capture that `rehearsal replay` takes.
//!
//! **Invariant**: what is there is of the last replay. How many trials a cluster has is counted and not timed, so the same inputs leave the same files.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
    time::Duration,
};

use rehearsal_replay::{
    capture::{Capture, Exchange, Manifest, Writer},
    reproduce::{Reproducer, Suspect, inserted, lines, markdown, reduce, subset},
};

use super::{Rendered, planning};
use crate::{
    artifact::{Artifacts, plain},
    flags::{replay::ReplayFlags, value::Target},
    printer::Printer,
    problem::Problem,
};

/// The folder below the results.
const FOLDER: &str = "reproducers";
/// So many runs are spent on a cluster: enough to shrink a hundred requests to a few.
const TRIALS: u64 = 60;
/// What its first line says of who wrote it, before the cluster's fingerprint.
const EXPORTER: &str = "a reproducer of: ";
/// A first line is no longer than this.
const LINE: u64 = 64 << 10;
/// A file's name has so many characters of its cluster's.
const NAME: usize = 60;

/// Runs a part of the capture and says whether it shows a cluster of this fingerprint.
pub(super) type Trial<'t> = &'t mut dyn FnMut(Capture, &str) -> bool;

/// Makes and writes the reproducers of what was judged, and puts them into its reports. Without a `trial` nothing is run.
///
/// # Errors
/// When the capture cannot be read again, or the disk does not take a file.
pub(super) fn reproduce(
    flags: &ReplayFlags,
    rendered: &mut Rendered,
    mut trial: Option<Trial<'_>>,
    printer: Printer,
) -> Result<(), Problem> {
    let folder = flags.out.join(FOLDER);
    clear(&folder, &flags.capture)?;
    if rendered.suspects.is_empty() {
        return Ok(());
    }
    if flags.capture.as_os_str() == "-" {
        printer.talk("  reproducers  none: stdin cannot be read again, a file can");
        return Ok(());
    }
    let folder = Artifacts::new(&folder)?;
    let slices = rendered.suspects.iter().flat_map(|one| &one.slices);
    let wanted = slices.flatten().copied().collect();
    let capture = planning::part(flags, &wanted, printer)?;
    let mut reproducers = Vec::new();
    for (at, suspect) in rendered.suspects.iter().enumerate() {
        let total = rendered.suspects.len();
        printer.overwrite(&format!("  reproducing cluster {} of {total}", at + 1));
        let trials = if trial.is_some() { TRIALS } else { 0 };
        let reduced = reduce(suspect, trials, |requests| {
            let part = subset(&capture, requests);
            trial
                .as_mut()
                .is_some_and(|trial| trial(part, &suspect.fingerprint))
        });
        let name = name(at + 1, suspect);
        let kept = subset(&capture, &reduced.requests);
        folder.write(&name, &bytes(kept, suspect))?;
        let file = flags.out.join(FOLDER).join(&name);
        reproducers.push(Reproducer {
            fingerprint: suspect.fingerprint.clone(),
            command: command(flags, &file),
            file: file.display().to_string(),
            requests: reduced.requests.len() as u64,
            verified: reduced.verified,
            trials: reduced.trials,
        });
    }
    printer.overwrite("");
    rendered.json = inserted(&rendered.json, &reproducers);
    rendered.markdown.push_str(&markdown(&reproducers));
    rendered.human.push_str(&lines(&reproducers));
    Ok(())
}

/// Removes what an earlier replay left: its reproducers, and nothing else. The capture that is replayed may be one of them: then all stay.
///
/// # Errors
/// When one of them cannot be removed.
fn clear(folder: &Path, replayed: &Path) -> Result<(), Problem> {
    let real = |path: &Path| fs::canonicalize(path).ok();
    if real(replayed).is_some_and(|file| real(folder).is_some_and(|real| file.starts_with(real))) {
        return Ok(());
    }
    // Where there is no folder there is nothing to remove.
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = file.path();
        let numbered = path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
            && file
                .file_name()
                .to_string_lossy()
                .split_once('-')
                .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        if numbered && is_ours(&path) {
            fs::remove_file(&path).map_err(|error| {
                let path = path.display();
                Problem::infrastructure(format!("{path}: cannot be removed: {error}"))
            })?;
        }
    }
    Ok(())
}

/// Whether its first line says that it is a reproducer.
fn is_ours(path: &Path) -> bool {
    let mut line = String::new();
    let file = File::open(path).map(|file| BufReader::new(file.take(LINE)));
    let read = file.and_then(|mut file| file.read_line(&mut line));
    read.is_ok() && line.contains(&format!("\"exporter\":\"{EXPORTER}"))
}

/// `01-GET_things_id_value_name.jsonl`.
fn name(number: usize, suspect: &Suspect) -> String {
    let words: Vec<String> = plain(&suspect.fingerprint)
        .split('_')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let short: String = words.join("_").chars().take(NAME).collect();
    format!("{number:02}-{short}.jsonl")
}

fn bytes(capture: Capture, suspect: &Suspect) -> Vec<u8> {
    let exporter = format!("{EXPORTER}{}", suspect.fingerprint);
    let count = capture.exchanges.len() as u64;
    let manifest = Manifest::new(Some(exporter), Some(count));
    let renumbered = (0..).zip(capture.exchanges);
    let renumbered = renumbered.map(|(seq, exchange)| Exchange { seq, ..exchange });
    let written = Writer::plain(Vec::new(), &manifest).and_then(|mut writer| {
        for exchange in renumbered {
            writer.write(&exchange)?;
        }
        writer.finish()
    });
    written.expect("memory takes what is written to it")
}

/// The command line that replays a reproducer as the capture was replayed.
fn command(flags: &ReplayFlags, file: &Path) -> String {
    let mut words = vec!["rehearsal".to_owned(), "replay".to_owned()];
    let mut push = |word: &str| words.push(quoted(word));
    push(&file.display().to_string());
    let mut flag = |name: &str, value: &str| {
        push(name);
        push(value);
    };
    flag("--legacy", &flags.legacy.to_string());
    flag("--candidate", &flags.candidate.to_string());
    if let Some(rules) = &flags.rules {
        flag("--rules", &rules.display().to_string());
    }
    if let Some(defect) = flags.candidate_defect {
        flag("--candidate-defect", &defect.to_string());
    }
    if let Some(secondary) = &flags.secondary {
        flag("--secondary", secondary);
    }
    if let Some(today) = flags.today {
        flag("--today", &today.to_string());
    }
    let time = |time: Duration| format!("{}ms", time.as_millis());
    if flags.legacy == Target::Sim {
        flag("--seed", &flags.seed.to_string());
    } else {
        flag("--timeout", &time(flags.live.timeout));
        flag("--in-flight", &flags.live.in_flight.to_string());
        if let Some(file) = &flags.live.ca {
            flag("--ca", &file.display().to_string());
        }
    }
    flag("--pace", &flags.pace.to_string());
    flag("--settle", &time(flags.settle));
    flag("--out", &flags.out.join("reproduced").display().to_string());
    let switches = [
        ("--http2", flags.live.http2),
        ("--insecure", flags.live.insecure),
        ("--allow-writes", flags.allow_writes),
    ];
    for (name, _) in switches.iter().filter(|(_, on)| *on) {
        push(name);
    }
    words.join(" ")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || "-_./:=%+@,".contains(c);
    if !word.is_empty() && word.chars().all(simple) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;
    use rehearsal_replay::capture::Format;

    use super::*;
    use crate::flags::{Command, Flags};

    fn typed(line: &str) -> ReplayFlags {
        match Flags::try_parse_from(line.split(' '))
            .expect("flags")
            .command
        {
            Command::Replay(flags) => flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_command_says_all_that_the_outcome_depends_on() {
        let sides = "rehearsal replay c.gor --legacy http://old:1 --candidate http://new:2";
        let live = "--secondary http://other:3 --rules r.toml --today 2026-11-23 --timeout 7s --in-flight 3 \
                    --pace 100/s --settle 250ms --http2 --allow-writes";
        let simulated = "rehearsal replay c.gor --legacy sim --candidate sim --seed 7 --settle 1s \
                         --candidate-defect lose-cancel";
        for line in [
            format!("{sides} {live} --ca ca.pem"),
            format!("{sides} {live} --insecure"),
            simulated.to_owned(),
        ] {
            let before = typed(&line);
            let mut after = typed(&command(&before, Path::new("c.gor")));
            assert_eq!(after.out, Path::new("results/reproduced"));
            after.out.clone_from(&before.out);
            assert_eq!(format!("{after:?}"), format!("{before:?}"));
        }
    }

    #[test]
    fn an_earlier_replays_reproducers_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let suspect = Suspect {
            fingerprint: "GET /things value /a \"b\"".to_owned(),
            slices: Vec::new(),
        };
        let nothing = Capture {
            sha256: String::new(),
            format: Format::Rehearsal,
            exchanges: Vec::new(),
            skipped: Vec::new(),
        };
        let ours = bytes(nothing, &suspect);
        let other = br#"{"format":"rehearsal.capture/1","exporter":"me","exchanges":0}"#;
        for (name, content) in [
            ("01-GET_things.jsonl", &ours[..]),
            ("12-x.jsonl", &ours),
            ("01-mine.jsonl", other),
            ("02-torn.jsonl", b""),
            ("kept.jsonl", &ours),
            ("01-notes.txt", &ours),
        ] {
            fs::write(folder.path().join(name), content).expect("the disk has room");
        }
        let names = || {
            let left = fs::read_dir(folder.path()).expect("the folder").flatten();
            let name = |file: fs::DirEntry| file.file_name().to_string_lossy().into_owned();
            left.map(name).collect::<BTreeSet<String>>()
        };
        let all = names();
        clear(folder.path(), &folder.path().join("12-x.jsonl")).expect("nothing is removed");
        assert_eq!(names(), all, "one of them is being replayed");
        clear(folder.path(), Path::new("c.jsonl")).expect("they can be removed");
        let kept = [
            "01-mine.jsonl",
            "02-torn.jsonl",
            "kept.jsonl",
            "01-notes.txt",
        ];
        assert_eq!(names(), kept.map(str::to_owned).into());
        clear(&folder.path().join("none"), Path::new("c.jsonl"))
            .expect("there is nothing to remove");
    }

    #[test]
    fn names_and_words_are_safe() {
        let suspect = |fingerprint: &str| Suspect {
            fingerprint: fingerprint.to_owned(),
            slices: Vec::new(),
        };
        assert_eq!(
            name(3, &suspect("GET /things/{id} value /a/*/b")),
            "03-GET_things_id_value_a_b.jsonl"
        );
        assert_eq!(name(12, &suspect(&"x".repeat(500))).len(), 60 + 9);
        assert_eq!(quoted("a b'c"), "'a b'\\''c'");
        assert_eq!(quoted("http://h:80/a"), "http://h:80/a");
    }
}
