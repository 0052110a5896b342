//! All sides running: the same replay over real sockets.
//!
//! **Invariant**: all sides are replayed at once, from one plan. The first Ctrl-C (or SIGTERM) ends the sending, and what is judged then says so;
//! the second one ends the process. When the sending is over the first one does.

use std::{fmt::Write as _, fs, future::Future, io, pin::pin, sync::Arc, thread, time::Duration};

use futures_util::future::select;
use rehearsal_host::{
    real::{RealMachine, raise_descriptor_limit, trusted_roots},
    tls::{Tls, Trust},
};
use rehearsal_replay::{
    judge::judge_timed,
    overlap::{Spans, Watch},
    plan::Pace,
    rules::Side,
    run::{
        Journal as RunInput, Known, Observations, Options, Protocol, Run, Target, Time, Transport,
        entries,
    },
};
use sha2::{Digest, Sha256};
use tokio::{runtime::Builder, sync::oneshot};

use super::{
    Rendered, Replay,
    board::Board,
    deciding::{self, Watched},
    journal::Journal,
    rendered,
};
use crate::{
    artifact::Artifacts,
    command::real::{Shutdown, runtime, unless_signal, until_signal},
    exit::Exit,
    flags::{
        capture::ReadingFlags,
        replay::{LiveFlags, ReplayFlags},
    },
    interrupt::Interrupt,
    printer::Printer,
    problem::Problem,
};

/// Where the services run.
pub(super) struct Urls<'u> {
    pub(super) legacy: &'u str,
    pub(super) candidate: &'u str,
    /// A second instance of legacy.
    pub(super) secondary: Option<&'u str>,
}

impl Urls<'_> {
    /// The runs of a replay, in the order of their numbers in its journal.
    fn runs(&self) -> Vec<(&'static str, Side, &str)> {
        let secondary = self.secondary.map(|url| ("secondary", Side::Legacy, url));
        [
            ("legacy", Side::Legacy, self.legacy),
            ("candidate", Side::Candidate, self.candidate),
        ]
        .into_iter()
        .chain(secondary)
        .collect()
    }
}

/// How the services are spoken to.
///
/// # Errors
/// Certificates that cannot be used.
pub(super) fn transport(flags: &LiveFlags, urls: &Urls<'_>) -> Result<Transport, Problem> {
    let secure = urls
        .runs()
        .iter()
        .any(|(_, _, url)| url.starts_with("https://"));
    let protocol = if flags.http2 {
        Protocol::Http2
    } else {
        Protocol::Http1
    };
    let tls = if secure {
        let (trust, named) = match &flags.ca {
            _ if flags.insecure => (Trust::Anyone, String::new()),
            Some(file) => {
                let bytes = fs::read(file).map_err(|error| Problem::unreadable(file, &error))?;
                let named = format!("--ca {}: ", file.display());
                let trust = Trust::from_pem(&bytes)
                    .map_err(|error| Problem::usage(format!("{named}{error}")))?;
                (trust, named)
            }
            None => (Trust::Roots(trusted_roots()), "this machine: ".to_owned()),
        };
        let offered: &[&str] = if flags.http2 {
            &["h2", "http/1.1"]
        } else {
            &["http/1.1"]
        };
        let tls =
            Tls::new(trust, offered).map_err(|error| Problem::usage(format!("{named}{error}")))?;
        Some(tls)
    } else {
        None
    };
    Ok(Transport { protocol, tls })
}

/// Replays against the services at these URLs.
///
/// # Errors
/// When no runtime can be started, the journal is of another replay or cannot be written, or a signal came before the judgment was made.
///
/// The journal comes back where nothing is left to resume: to be removed once the results are written.
pub(super) fn replay(
    replay: Replay,
    urls: &Urls<'_>,
    transport: &Transport,
    flags: &ReplayFlags,
    artifacts: &Artifacts,
    printer: Printer,
) -> Result<(Rendered, Option<Journal>), Problem> {
    let identity = identity(&replay, urls, &flags.reading);
    let (journal, known) = if flags.live.resume {
        let (journal, known, cut) = Journal::resume(artifacts.folder(), &identity)?;
        printer.talk(&resumed(&known, cut, &journal));
        (journal, known)
    } else {
        (Journal::start(artifacts.folder(), &identity)?, Vec::new())
    };
    let interrupt = Interrupt::of_services()?;
    raise_descriptor_limit();
    let replay = Arc::new(replay);
    let names: Vec<&'static str> = urls.runs().iter().map(|(name, ..)| *name).collect();
    let last = replay.plan.requests.last().map_or(0, |last| last.at_ns);
    let board = Board::new(printer, &names, Duration::from_nanos(last));
    let noisy = urls.secondary.is_some();
    let watched = deciding::watched(&replay, &journal, &known, noisy)?;
    let mut observed = Vec::new();
    let runtime = runtime()?;
    runtime.block_on(until_signal(|shutdown| {
        let observed = &mut observed;
        let runs: Vec<_> = (0u8..)
            .zip(urls.runs())
            .map(|(number, (name, side, url))| {
                let target = Target {
                    side,
                    url: url.to_owned(),
                    transport: transport.clone(),
                };
                let known = known.iter().filter(|(run, _)| *run == number);
                let known = known.map(|(_, one)| *one).collect();
                let told = Told {
                    number,
                    board: board.clone(),
                    journal: journal.clone(),
                    watched: watched.clone(),
                };
                started(name, replay.clone(), target, known, told, shutdown.clone())
            })
            .collect();
        async move {
            for run in runs {
                observed.push(run?.await?);
            }
            Ok(())
        }
    }))?;
    drop((known, watched));
    board.clear();
    journal.written()?;
    if observed.len() < names.len() {
        return Err(interrupted("before anything was judged", &journal));
    }
    if interrupt.pressed() {
        printer.talk(&format!(
            "  interrupted  what was answered is in {} and is judged now; once more ends it at once",
            journal.path().display()
        ));
    }
    let judging = judged(replay, observed)?;
    let Some((rendered, stopped)) = runtime.block_on(unless_signal(judging))? else {
        return Err(interrupted("while it was judged", &journal));
    };
    journal.whole()?;
    if stopped {
        printer.talk(
            "  interrupted  what was answered is judged; the same command with --resume goes on",
        );
    }
    Ok((rendered, (!stopped).then_some(journal)))
}

/// What of an earlier replay is gone on with.
fn resumed(known: &[(u8, Known)], cut: u64, journal: &Journal) -> String {
    let mut told = if known.is_empty() {
        format!(
            "  resumed      nothing: {} knows of no earlier outcome, so all is sent",
            journal.path().display()
        )
    } else {
        let count = known.len();
        format!("  resumed      {count} outcomes of an earlier replay are kept")
    };
    if cut > 0 {
        let _ = write!(
            told,
            "; {cut} bytes behind them are no whole records, and what they told of is sent again"
        );
    }
    told
}

/// What an end before the judgment leaves.
fn interrupted(when: &str, journal: &Journal) -> Problem {
    Problem {
        exit: Exit::Interrupted,
        message: format!(
            "interrupted {when}: only {} was written",
            journal.path().display()
        ),
        hint: Some("the same command with --resume goes on from there".to_owned()),
    }
}

/// Judges in a thread of its own, so that a signal is heard meanwhile; says with it whether the run was stopped.
///
/// # Errors
/// When the operating system has no room for it.
#[expect(
    clippy::disallowed_methods,
    reason = "running services are on real machines: this process never simulates"
)]
fn judged(
    replay: Arc<Replay>,
    observed: Vec<(Observations, Spans)>,
) -> Result<impl Future<Output = Result<(Rendered, bool), Problem>>, Problem> {
    let (done, judging) = oneshot::channel();
    let judge = move || {
        let [(legacy, old), (candidate, new), more @ ..] = &observed[..] else {
            return;
        };
        let (plan, rules, gate) = (&replay.plan, &replay.rules, &replay.gate);
        let secondary = more.first().map(|(secondary, _)| secondary);
        let spans = Some([old, new]);
        let report = judge_timed(plan, [legacy, candidate], secondary, spans, rules, gate);
        let rendered = rendered(plan, &report, replay.reproduce);
        // Nobody waits any more after a signal.
        let _ = done.send((rendered, report.stopped));
    };
    thread::Builder::new()
        .name("judge".to_owned())
        .spawn(judge)
        .map_err(|error| Problem::infrastructure(format!("cannot start to judge: {error}")))?;
    Ok(async move {
        judging
            .await
            .map_err(|_| Problem::infrastructure("the judging ended without a verdict"))
    })
}

/// Who is told of a run.
struct Told {
    number: u8,
    board: Board,
    journal: Journal,
    watched: Option<Watched>,
}

/// Starts one run in a thread of its own: it waits for its own sockets only, and no other side's answers keep it from sending.
///
/// # Errors
/// When the operating system has no room for it.
#[expect(
    clippy::disallowed_methods,
    reason = "running services are on real machines: this process never simulates"
)]
fn started(
    name: &str,
    replay: Arc<Replay>,
    target: Target,
    known: Vec<Known>,
    told: Told,
    shutdown: Shutdown,
) -> Result<impl Future<Output = Result<(Observations, Spans), Problem>> + use<>, Problem> {
    let cannot_start = |error: io::Error| {
        Problem::infrastructure(format!("cannot start the replay of {name}: {error}"))
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot_start)?;
    let (done, observed) = oneshot::channel();
    let run = move || {
        let machine = RealMachine::host();
        let options = Options {
            time: Time::Real,
            ..replay.options
        };
        let run = Run {
            host: &machine,
            target: &target,
            plan: &replay.plan,
            rules: &replay.rules,
            options: &options,
            horizon: told.watched.as_ref().map(|watched| &*watched.horizon),
        };
        let heard = told.watched.as_ref().map(|watched| watched.heard.clone());
        let mut recorder = told.journal.recorder(told.number, heard);
        let archive = told.journal.archive();
        let mut spans = Spans::new(&replay.plan, entries(&known, &*archive));
        let mut watch = Watch::new(&replay.plan, &mut spans, &mut recorder);
        let input = RunInput {
            known,
            recorder: &mut watch,
        };
        let tell = |progress| told.board.told(told.number.into(), progress);
        // Without the journal there is nothing to judge, so a run without one is no use.
        let stop = async {
            let (asked, broken) = (pin!(shutdown.asked()), pin!(told.journal.clone().broken()));
            select(asked, broken).await;
        };
        let observations = runtime.block_on(run.observe(input, stop, tell));
        // Nobody waits any more once Ctrl-C was pressed twice.
        let _ = done.send((observations, spans));
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(cannot_start)?;
    Ok(async move {
        observed
            .await
            .map_err(|_| Problem::infrastructure("a run ended without its observations"))
    })
}

/// What has to be the same for a journal to be gone on with.
fn identity(replay: &Replay, urls: &Urls<'_>, reading: &ReadingFlags) -> String {
    let rules = Sha256::digest(format!("{:?}", replay.rules));
    let rules = rules.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let pace: Pace = replay.plan.pace;
    let mut identity = serde_json::json!({
        "format": "rehearsal.journal/4",
        "capture": replay.plan.source.sha256,
        "rules": rules,
        "pace": pace.to_string(),
        "targets": urls.runs().iter().map(|(_, _, url)| *url).collect::<Vec<_>>(),
    });
    // Only where one was typed: a journal of before these flags is gone on with.
    if !reading.typed().is_empty() {
        identity["reading"] = serde_json::json!(reading.typed());
    }
    identity.to_string()
}

/// The flags that speak of running services only, as they were typed.
pub(super) fn typed(flags: &LiveFlags, secondary: bool) -> Vec<&'static str> {
    [
        ("--secondary", secondary),
        ("--http2", flags.http2),
        ("--ca", flags.ca.is_some()),
        ("--insecure", flags.insecure),
        ("--resume", flags.resume),
    ]
    .into_iter()
    .filter_map(|(name, typed)| typed.then_some(name))
    .collect()
}
