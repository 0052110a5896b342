//! `rehearsal provider`: the mock provider on the real machine.
//!
//! **Invariant**: its faults are those of the simulated provider: it is the same code.

use std::{io, sync::Arc};

use rehearsal_core::time::Timestamp;
use rehearsal_host::real::RealMachine;
use rehearsal_mocks::provider::{self, Behaviour, ErrorRule, Latency, Ledger, ProviderEvent};
use serde::Serialize;

use super::real::{bind, runtime, until_signal};
use crate::{
    exit::Exit,
    flags::{service::ProviderFlags, value::ProviderMode},
    printer::Printer,
    problem::Problem,
};

/// A line of its log.
#[derive(Serialize)]
struct Line<'a> {
    time: f64,
    provider: &'a ProviderEvent,
}

/// Serves until a signal.
///
/// # Errors
/// An address that is taken.
pub(super) fn provider(flags: &ProviderFlags, printer: Printer) -> Result<Exit, Problem> {
    runtime()?.block_on(async {
        let host = RealMachine::host();
        let listener = bind(&host, flags.listen).await?;
        printer.talk(&format!(
            "  provider  http://{}  {}",
            listener.address(),
            described(flags)
        ));
        let (clock, out) = (host.clone(), printer);
        let journal = move |event: ProviderEvent| {
            let line = Line {
                time: clock.now().as_micros() as f64 / 1e6,
                provider: &event,
            };
            out.talk(&serde_json::to_string(&line).expect("an event is plain data"));
        };
        let behaviour = behaviour(flags, host.now());
        until_signal(|shutdown| async move {
            let ended = provider::serve(
                host,
                listener,
                behaviour,
                Ledger::new(),
                Arc::new(journal),
                shutdown.asked(),
            )
            .await;
            ended.map_err(|error| match error.kind() {
                io::ErrorKind::InvalidInput => Problem::usage(error.to_string()),
                _ => Problem::infrastructure(error.to_string()),
            })
        })
        .await
    })
}

fn behaviour(flags: &ProviderFlags, now: Timestamp) -> Behaviour {
    let share = |mode| if flags.mode == mode { 1.0 } else { 0.0 };
    let error_rate = flags.error_rate.max(share(ProviderMode::Outage));
    Behaviour {
        started_at: now,
        latency: Latency::Fixed(flags.delay),
        errors: if error_rate > 0.0 {
            vec![ErrorRule::new(flags.error_status, error_rate)]
        } else {
            Vec::new()
        },
        hang_rate: flags.hang_rate.max(share(ProviderMode::Timeout)),
        processed_but_unanswered: share(ProviderMode::Unanswered),
        idempotent: flags.mode != ProviderMode::NotIdempotent,
        ..Behaviour::healthy(flags.seed)
    }
}

fn described(flags: &ProviderFlags) -> String {
    let mode = match flags.mode {
        ProviderMode::Ok => "ok",
        ProviderMode::NotIdempotent => "not idempotent",
        ProviderMode::Unanswered => "never answers bookings and cancels",
        ProviderMode::Timeout => "answers nothing",
        ProviderMode::Outage => "answers errors only",
    };
    format!(
        "mode: {mode}; delay {:?}, errors {}, hangs {}",
        flags.delay, flags.error_rate, flags.hang_rate
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::flags::{Command, Flags};

    fn check(arguments: &[&str], expect: &Behaviour) {
        let line = ["rehearsal", "provider", "--seed", "3"]
            .iter()
            .chain(arguments);
        let Command::Provider(flags) = Flags::try_parse_from(line).expect("valid flags").command
        else {
            panic!("not a provider")
        };
        let now = expect.started_at;
        assert_eq!(behaviour(&flags, now), *expect, "{arguments:?}");
        expect.check().expect("a possible behaviour");
    }

    #[test]
    fn every_mode_is_a_behaviour() {
        let healthy = || Behaviour {
            started_at: Timestamp::from_secs(9),
            ..Behaviour::healthy(3)
        };
        check(&[], &healthy());
        check(
            &["--mode", "not-idempotent"],
            &Behaviour {
                idempotent: false,
                ..healthy()
            },
        );
        check(
            &["--mode", "unanswered"],
            &Behaviour {
                processed_but_unanswered: 1.0,
                ..healthy()
            },
        );
        check(
            &["--mode", "timeout"],
            &Behaviour {
                hang_rate: 1.0,
                ..healthy()
            },
        );
        let outage = Behaviour {
            errors: vec![ErrorRule::new(500, 1.0)],
            ..healthy()
        };
        check(&["--mode", "outage", "--error-status", "500"], &outage);
        let flaky = Behaviour {
            latency: Latency::Fixed(std::time::Duration::from_millis(200)),
            errors: vec![ErrorRule::new(503, 0.2)],
            hang_rate: 0.1,
            ..healthy()
        };
        check(
            &[
                "--delay",
                "200ms",
                "--error-rate",
                "0.2",
                "--hang-rate",
                "0.1",
            ],
            &flaky,
        );
    }
}
