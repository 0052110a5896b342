//! All sides running: the same replay over real sockets.
//!
//! **Invariant**: all sides are replayed at once, from one plan. The first Ctrl-C ends the sending, and what is judged then says so; the second
//! one ends the process.

use std::{fmt::Write as _, fs, future::Future, io, sync::Arc, thread, time::Duration};

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
        Entry, Journal as RunInput, Observations, Options, Protocol, Run, Target, Time, Transport,
    },
};
use sha2::{Digest, Sha256};
use tokio::{runtime::Builder, sync::oneshot};

use super::{Rendered, Replay, board::Board, journal::Journal, rendered};
use crate::{
    artifact::Artifacts,
    command::real::{Shutdown, runtime, until_signal},
    flags::replay::{LiveFlags, ReplayFlags},
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
/// When no runtime can be started, the journal is of another replay, or Ctrl-C was pressed twice.
pub(super) fn replay(
    replay: Replay,
    urls: &Urls<'_>,
    transport: &Transport,
    flags: &ReplayFlags,
    artifacts: &Artifacts,
    printer: Printer,
) -> Result<Rendered, Problem> {
    let identity = identity(&replay, urls);
    let (journal, known) = if flags.live.resume {
        Journal::resume(artifacts.folder(), &identity)?
    } else {
        (Journal::start(artifacts.folder(), &identity)?, Vec::new())
    };
    if !known.is_empty() {
        let count = known.len();
        printer.talk(&format!(
            "  resumed      {count} outcomes of an earlier replay are kept"
        ));
    }
    let _interrupt = Interrupt::listen()?;
    raise_descriptor_limit();
    let replay = Arc::new(replay);
    let names: Vec<&'static str> = urls.runs().iter().map(|(name, ..)| *name).collect();
    let last = replay.plan.requests.last().map_or(0, |last| last.at_ns);
    let board = Board::new(printer, &names, Duration::from_nanos(last));
    let mut observed = Vec::new();
    runtime()?.block_on(until_signal(|shutdown| {
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
                let known = known.map(|(_, entry)| entry.clone()).collect();
                let told = (number, board.clone(), journal.clone());
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
    board.clear();
    if let Some(failure) = journal.written() {
        printer.warn(&failure);
    }
    let [(legacy, old), (candidate, new), more @ ..] = &observed[..] else {
        return Err(Problem::infrastructure(
            "interrupted before anything was judged",
        ));
    };
    let (rules, gate) = (&replay.rules, &replay.gate);
    let report = judge_timed(
        &replay.plan,
        [legacy, candidate],
        more.first().map(|(secondary, _)| secondary),
        Some([old, new]),
        rules,
        gate,
    );
    if report.stopped {
        printer.talk(
            "  interrupted  what was answered is judged; the same command with --resume goes on",
        );
    } else {
        journal.finish();
    }
    Ok(rendered(&replay.plan, &report, replay.reproduce))
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
    known: Vec<Entry>,
    (number, board, journal): (u8, Board, Journal),
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
        };
        let mut recorder = journal.recorder(number);
        let mut spans = Spans::new(&replay.plan, &known);
        let mut watch = Watch::new(&replay.plan, &mut spans, &mut recorder);
        let input = RunInput {
            known,
            recorder: &mut watch,
        };
        let tell = move |progress| board.told(number.into(), progress);
        let observations = runtime.block_on(run.observe(input, shutdown.asked(), tell));
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
fn identity(replay: &Replay, urls: &Urls<'_>) -> String {
    let rules = Sha256::digest(format!("{:?}", replay.rules));
    let rules = rules.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let pace: Pace = replay.plan.pace;
    serde_json::json!({
        "format": "rehearsal.journal/3",
        "capture": replay.plan.source.sha256,
        "rules": rules,
        "pace": pace.to_string(),
        "targets": urls.runs().iter().map(|(_, _, url)| *url).collect::<Vec<_>>(),
    })
    .to_string()
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
