//! Both sides running: the same replay over real sockets.
//!
//! **Invariant**: both sides are replayed at once, from one plan. The first Ctrl-C ends the sending, and what is judged then says so.

use std::time::Duration;

use futures_util::future::{OptionFuture, join3};
use rehearsal_host::real::RealMachine;
use rehearsal_replay::{
    judge::judge,
    rules::Side,
    run::{Observations, Progress, Target, side},
};

use super::{Rendered, Replay, rendered, told};
use crate::{
    command::real::{Shutdown, runtime, until_signal},
    exit::Exit,
    printer::Printer,
    problem::Problem,
    progress::Watch,
};

/// A replay that takes no longer than this is not worth a progress line.
const QUIET: Duration = Duration::from_secs(2);
/// A progress line is written at most this often.
const EVERY: Duration = Duration::from_millis(100);

/// Where the services run.
pub(super) struct Urls<'u> {
    pub(super) legacy: &'u str,
    pub(super) candidate: &'u str,
    /// A second instance of legacy.
    pub(super) secondary: Option<&'u str>,
}

/// Replays against the services at these URLs.
///
/// # Errors
/// When no runtime can be started, or Ctrl-C was pressed twice.
pub(super) fn replay(
    replay: &Replay,
    urls: &Urls<'_>,
    printer: Printer,
) -> Result<Rendered, Problem> {
    let mut report = None;
    let exit = runtime()?.block_on(until_signal(|shutdown| {
        let report = &mut report;
        async move {
            let one = observe(replay, "legacy", urls.legacy, shutdown.clone(), printer);
            let other = observe(
                replay,
                "candidate",
                urls.candidate,
                shutdown.clone(),
                printer,
            );
            let third: OptionFuture<_> = urls
                .secondary
                .map(|url| observe(replay, "secondary", url, shutdown, printer))
                .into();
            let (legacy, candidate, secondary) = join3(one, other, third).await;
            *report = Some(rendered(&judge(
                &replay.plan,
                &legacy,
                &candidate,
                secondary.as_ref(),
                &replay.rules,
                &replay.gate,
            )));
            Ok(())
        }
    }))?;
    printer.overwrite("");
    let interrupted = Problem {
        exit,
        ..Problem::infrastructure("interrupted before anything was judged")
    };
    report.filter(|_| exit == Exit::Pass).ok_or(interrupted)
}

async fn observe(
    replay: &Replay,
    name: &'static str,
    url: &str,
    shutdown: Shutdown,
    printer: Printer,
) -> Observations {
    let target = Target {
        side: match name {
            "candidate" => Side::Candidate,
            _ => Side::Legacy,
        },
        url: url.to_owned(),
    };
    let (watch, mut shown) = (Watch::start(), QUIET);
    let tell = move |progress: Progress| {
        let now = watch.elapsed();
        if now >= shown {
            shown = now + EVERY;
            printer.overwrite(&told(name, progress));
        }
    };
    side(
        &RealMachine::host(),
        &target,
        &replay.plan,
        &replay.rules,
        &replay.options,
        shutdown.asked(),
        tell,
    )
    .await
}
