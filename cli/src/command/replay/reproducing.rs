//! Reproducers on disk: `reproducers/NN-CLUSTER.jsonl` beside the results, each a capture that `rehearsal replay` takes.
//!
//! **Invariant**: how many trials a cluster has is counted and not timed, so the same inputs leave the same files.

use std::{path::Path, time::Duration};

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
    if rendered.suspects.is_empty() {
        return Ok(());
    }
    if flags.capture.as_os_str() == "-" {
        printer.talk("  reproducers  none: stdin cannot be read again, a file can");
        return Ok(());
    }
    let folder = Artifacts::new(&flags.out.join(FOLDER))?;
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
    let exporter = format!("a reproducer of: {}", suspect.fingerprint);
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
    use clap::Parser;

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
