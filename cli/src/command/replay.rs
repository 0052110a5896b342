//! `rehearsal replay`: a capture against two sides, simulated or running, and a verdict on whether they are alike.
//!
//! **Invariant**: a running service is sent nothing that may change it unless that was allowed; and the files that are written are those of
//! a whole judgment.

mod board;
mod deciding;
mod journal;
mod judgments;
mod planning;
mod reproducing;
mod running;
mod simulated;
mod spool;

use std::{fs, path::Path};

use jiff::civil::Date;
use rehearsal_host::real::RealMachine;
use rehearsal_replay::{
    plan::{self, Plan},
    report::{Report, human, junit, markdown},
    reproduce::{Suspect, suspects},
    rules::Rules,
    run::{Options, Phase, Progress},
    verdict::{Gate, Verdict},
};

use self::judgments::Judgments;
use crate::{
    artifact::Artifacts,
    exit::Exit,
    flags::{
        replay::ReplayFlags,
        value::{Format, Target},
    },
    printer::Printer,
    problem::Problem,
    progress::Watch,
};

/// The rules that ship with the two simulated sides.
const SHIPPED_RULES: (&str, &str) = (
    "legacy-to-v2.toml",
    include_str!("../../../scenarios/rules/legacy-to-v2.toml"),
);

/// The names of what is written.
pub(super) const RESULT: &str = "replay.json";
const COMPARISON: &str = "compare_report.md";
const CASES: &str = "replay.junit.xml";

/// Methods that change nothing.
const READING: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// What both sides run, and how it is judged.
struct Replay {
    plan: Plan,
    rules: Rules,
    options: Options,
    gate: Gate,
    /// So many clusters are reproduced.
    reproduce: usize,
}

/// A report in its three forms.
#[derive(Debug)]
struct Rendered {
    exit: u8,
    json: String,
    human: String,
    markdown: String,
    junit: String,
    verdict: String,
    /// Whether the run came to its end and was judged: a look at the capture.
    judged: bool,
    /// Clusters that may be reproduced.
    suspects: Vec<Suspect>,
}

/// Replays, judges, prints and writes.
///
/// # Errors
/// A capture or rules that cannot be used, writes that were not allowed, or a machine that does not do its part.
pub(super) fn replay(flags: &ReplayFlags, printer: Printer) -> Result<Exit, Problem> {
    let watch = Watch::start();
    let (mut rules, rules_text) = rules(flags)?;
    rules.expire(flags.today.unwrap_or_else(today));
    let proof = judgments::proof(flags)?;
    // What flags alone show is said before a capture is read, which may take minutes.
    match (&flags.legacy, &flags.candidate) {
        (Target::Sim, Target::Sim) => check_simulated(flags)?,
        (Target::Url(_), Target::Url(_)) => {}
        _ => return Err(mixed()),
    }
    let (plan, reread) = planning::planned(flags, &rules, printer)?;
    let judgments = Judgments::read(flags, &plan.source.sha256, &rules_text)?;
    let gate = Gate {
        kind: flags.gate,
        limit: flags.limit,
        proof,
        earlier: judgments.earlier(),
        ..Gate::default()
    };
    let replay = Replay {
        plan,
        rules,
        options: Options {
            settle: flags.settle,
            deadline: flags.live.timeout,
            in_flight: flags.live.in_flight.get(),
            ..Options::default()
        },
        gate,
        reproduce: flags.reproduce,
    };
    let rendered = match (&flags.legacy, &flags.candidate) {
        (Target::Sim, Target::Sim) => {
            let artifacts = Artifacts::new(&flags.out)?;
            let (seed, defect) = (flags.seed, flags.candidate_defect);
            let shared = simulated::Shared::new(replay);
            let mut rendered = simulated::replay(&shared, seed, defect, printer)?;
            let pace = flags.pace;
            let mut trial = |part, fingerprint: &str| {
                let part = plan::plan(part, shared.rules(), pace);
                simulated::shows(&shared, part, seed, defect, fingerprint)
            };
            reproducing::reproduce(flags, &mut rendered, Some(&mut trial), printer)?;
            (artifacts, rendered, None)
        }
        (Target::Url(legacy), Target::Url(candidate)) => {
            check_writes(flags, &replay.plan)?;
            let urls = running::Urls {
                legacy,
                candidate,
                secondary: flags.secondary.as_deref(),
            };
            let transport = running::transport(&flags.live, &urls)?;
            let artifacts = Artifacts::new(&flags.out)?;
            let (mut rendered, journal) =
                running::replay(replay, &urls, &transport, flags, &artifacts, printer)?;
            reproducing::reproduce(flags, &mut rendered, None, printer)?;
            (artifacts, rendered, journal)
        }
        _ => return Err(mixed()),
    };
    if let Some(reread) = reread {
        reread.whole()?;
    }
    let (artifacts, rendered, journal) = rendered;
    let json = timed(&rendered.json, watch.elapsed_ms());
    artifacts.write(RESULT, json.as_bytes())?;
    artifacts.write(COMPARISON, rendered.markdown.as_bytes())?;
    artifacts.write(CASES, rendered.junit.as_bytes())?;
    judgments.add(&rendered, &artifacts)?;
    // What was sent is not sent again for want of a place for its results.
    if let Some(journal) = journal {
        journal.finish();
    }
    printer.data(match flags.format {
        Format::Human => &rendered.human,
        Format::Json => &json,
        Format::Markdown => &rendered.markdown,
    })?;
    printer.talk(&format!(
        "  results      {}, {}",
        flags.out.join(RESULT).display(),
        flags.out.join(COMPARISON).display()
    ));
    Ok(exit(rendered.exit))
}

/// The rules asked for, and their text: a file's, or those that ship for two simulated sides, or none.
fn rules(flags: &ReplayFlags) -> Result<(Rules, String), Problem> {
    let simulated = (&flags.legacy, &flags.candidate) == (&Target::Sim, &Target::Sim);
    if let Some(defect) = flags.candidate_defect
        && !simulated
    {
        let message = format!(
            "--candidate-defect {defect}: found a running candidate, expected --legacy sim --candidate sim"
        );
        return Err(Problem::usage(message));
    }
    match &flags.rules {
        Some(file) => {
            let text = text(file)?;
            Ok((Rules::read(&file.to_string_lossy(), &text)?, text))
        }
        None if simulated => {
            let (name, text) = SHIPPED_RULES;
            Ok((Rules::read(name, text)?, text.to_owned()))
        }
        None => Ok((Rules::default(), String::new())),
    }
}

/// This machine's day, in UTC: what rules expire against unless a flag says otherwise.
fn today() -> Date {
    let now = RealMachine::host().now();
    let instant = jiff::Timestamp::from_microsecond(now.as_micros()).unwrap_or_default();
    jiff::tz::Offset::UTC.to_datetime(instant).date()
}

fn text(file: &Path) -> Result<String, Problem> {
    let bytes = fs::read(file).map_err(|error| Problem::unreadable(file, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let place = error.utf8_error().valid_up_to();
        Problem::usage(format!(
            "{}: byte {place}: found a byte that is not UTF-8, expected TOML",
            file.display()
        ))
    })
}

fn mixed() -> Problem {
    let message = "--legacy, --candidate: found one simulated and one running side, expected both sim or both URLs";
    Problem::usage(message).hint("`rehearsal legacy` and `rehearsal serve` run both sides for real")
}

/// Refuses flags that speak of running services.
fn check_simulated(flags: &ReplayFlags) -> Result<(), Problem> {
    let typed = running::typed(&flags.live, flags.secondary.is_some());
    let Some(name) = typed.first() else {
        return Ok(());
    };
    let message = format!("{name}: found two simulated sides, expected running ones");
    Err(Problem::usage(message).hint(
        "a simulated side always answers alike, over a network of its own: there is nothing to secure, resume or tell from noise",
    ))
}

fn check_writes(flags: &ReplayFlags, plan: &Plan) -> Result<(), Problem> {
    let writes = |planned: &&plan::Planned| !READING.contains(&&*planned.method);
    let count = plan.requests.iter().filter(writes).count();
    if count == 0 || flags.allow_writes {
        return Ok(());
    }
    let message = format!(
        "{}: found {count} requests that may change a running service",
        flags.capture.display()
    );
    Err(Problem::usage(message)
        .hint("--allow-writes sends them: to copies, never to what people use"))
}

/// What a judgment looks like. `timing` is filled in at the end, by [`timed`].
fn rendered(plan: &Plan, report: &Report, reproduce: usize) -> Rendered {
    Rendered {
        suspects: suspects(plan, &report.clusters, reproduce),
        exit: report.verdict.exit_code(),
        json: report.json(),
        human: human(report),
        markdown: markdown(report),
        junit: junit(report),
        verdict: report.verdict.name().to_owned(),
        judged: report.verdict != Verdict::Infrastructure && !report.stopped,
    }
}

/// The report's JSON with the real time that the whole command took. A report is written where no real clock is, so its last object,
/// `timing`, comes with a zero.
fn timed(json: &str, wall_ms: u64) -> String {
    const KEY: &str = "\"wall_ms\": 0";
    match json.rfind(KEY) {
        Some(at) => format!(
            "{}\"wall_ms\": {wall_ms}{}",
            &json[..at],
            &json[at + KEY.len()..]
        ),
        None => json.to_owned(),
    }
}

fn exit(code: u8) -> Exit {
    let verdicts = [
        Verdict::Pass,
        Verdict::Fail,
        Verdict::Inconclusive,
        Verdict::Infrastructure,
    ];
    verdicts
        .into_iter()
        .find(|verdict| verdict.exit_code() == code)
        .map_or(Exit::Infrastructure, Exit::from)
}

/// How far a simulated replay is, in a line.
fn told(progress: Progress) -> String {
    let doing = match progress.phase {
        Phase::Replay => "replaying against",
        Phase::Settle => "waiting for",
        Phase::State => "reading the final state of",
    };
    format!(
        "  {doing} {}: {} of {}, {} failed",
        progress.side.name(),
        progress.done,
        progress.total,
        progress.failed
    )
}
