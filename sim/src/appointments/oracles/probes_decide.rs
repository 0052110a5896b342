//! A half-open breaker is decided by its own probes: a result of a call from before it opened changes nothing.
//!
//! It goes by each worker process's own log. A line of an answer follows the breaker's own line at once, in the same turn of the process, so
//! the answer that decided is the next one of that breaker. What an answer was to the breaker is taken in the decision's favor wherever the
//! line leaves it open (a slow success counts as bad, a 429 as nothing): the bound is necessary, not sufficient.

use std::collections::BTreeMap;

use rehearsal_core::{
    breaker::BreakerPolicy,
    log::{Evt, LogEvent},
};
use serde_json::Value;

use crate::{
    appointments::{
        event::Event,
        history::{Trace, extra, given, logs},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "probes_decide",
    property: "a half-open breaker closes or opens again only after enough of its own probes were answered",
    check,
};

/// Appointment, kind and attempt: a clock that jumps may let one process begin another attempt before the last has ended. A probe of an idle
/// provider has none of these.
type Call<'a> = (&'a str, &'a str, u64);

/// A half-open breaker, as the log tells it.
#[derive(Default)]
struct HalfOpen<'a> {
    /// The calls that started since and have no answer yet.
    probes: Vec<Call<'a>>,
    /// Answers to them that may have been good, and that may have been bad.
    good: u32,
    bad: u32,
    /// What it became, and when; the answer that decided comes with the next line.
    decided: Option<(Evt, u64)>,
}

impl<'a> HalfOpen<'a> {
    /// Takes a line of its worker's log that is an answer.
    fn answer(&mut self, call: Call<'a>, event: &LogEvent) {
        let Some(place) = self.probes.iter().position(|probe| *probe == call) else {
            return;
        };
        self.probes.remove(place);
        let (good, bad) = worth(event);
        self.good += u32::from(good);
        self.bad += u32::from(bad);
    }

    /// What is wrong with what it became, if anything is.
    fn judge(&self, evt: Evt, policy: &BreakerPolicy) -> Option<String> {
        let (count, least, word, became) = if evt == Evt::BreakerClosed {
            (self.good, policy.probes_good, "well", "closed")
        } else {
            // The first of the bad ones after which the rest is too few.
            let least = policy.probes.saturating_sub(policy.probes_good) + 1;
            (self.bad, least, "badly", "opened again")
        };
        (count < least).then(|| {
            format!("it {became} after {count} of its probes were answered {word}, {least} decide")
        })
    }
}

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let policy =
        given(trace).map_or_else(BreakerPolicy::default, |tables| tables.service.breaker());
    let mut breakers: BTreeMap<(&str, u32, &str), HalfOpen<'_>> = BTreeMap::new();
    for (entry, event) in logs(trace) {
        let provider = extra(event, "provider");
        let place = (&*entry.host, entry.boot, provider);
        if event.evt == Evt::BreakerHalfOpen {
            breakers.insert(place, HalfOpen::default());
            continue;
        }
        let Some(breaker) = breakers.get_mut(&place) else {
            continue;
        };
        let id = event.appointment_id.as_ref().map_or("", |id| id.as_str());
        let attempt = event.extra.get("attempt").and_then(Value::as_u64);
        let call = (id, kind(event), attempt.unwrap_or_default());
        match event.evt {
            Evt::BreakerClosed | Evt::BreakerOpened => {
                breaker.decided = Some((event.evt, entry.at_us));
            }
            Evt::AttemptStarted | Evt::ResolveStarted | Evt::ProbeStarted => {
                breaker.probes.push(call);
            }
            Evt::ProviderAnswered
            | Evt::ProviderError
            | Evt::ProviderTimeout
            | Evt::Resolved
            | Evt::Probed => {
                breaker.answer(call, event);
                if let Some((evt, at_us)) = breaker.decided {
                    let wrong = breaker
                        .judge(evt, &policy)
                        .map(|wrong| format!("{}: the breaker of {provider}: {wrong}", entry.host));
                    findings.examine(at_us, wrong);
                    breakers.remove(&place);
                }
            }
            _ => {}
        }
    }
    findings.unless(given(trace).is_some(), "half-open breaker that was decided")
}

/// What a call was: an attempt's look-up and its booking are two calls.
fn kind(event: &LogEvent) -> &str {
    match event.evt {
        Evt::ResolveStarted | Evt::Resolved => "look-up",
        _ => extra(event, "kind"),
    }
}

/// Whether an answer may have counted as a good probe, and whether as a bad one.
fn worth(event: &LogEvent) -> (bool, bool) {
    match event.evt {
        // A definitive refusal is neither; a good one may have been slow.
        Evt::ProviderAnswered => {
            let good = extra(event, "outcome") == "accepted";
            (good, good)
        }
        // A duplicate that cannot be read was answered well, and is unknown to the delivery.
        Evt::ProviderError => (extra(event, "err").starts_with("answered 409"), true),
        // A look-up that fails may have been answered well, and not say enough.
        Evt::Resolved | Evt::Probed => (true, true),
        _ => (false, true),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};
    use crate::appointments::tables::Tables;

    /// A breaker's life, at 30 ms and after: what happened, and to which appointment.
    fn life(lines: &[(Evt, &str, &str)]) -> fixture::Story {
        let mut story = fixture::confirmed();
        let lines = (30..).zip(lines).map(|(at_ms, (evt, id, outcome))| {
            let mut line = fixture::log(*evt)
                .with("kind", "book")
                .with("outcome", *outcome);
            line.appointment_id = rehearsal_core::identity::AppointmentId::parse(id).ok();
            (at_ms, "service", Event::Log(line))
        });
        let at = story.iter().position(|(at_ms, ..)| *at_ms > 30).unwrap();
        let lines: Vec<_> = lines.collect();
        story.splice(at..at, lines);
        let two_of_two = |tables: &mut Tables| {
            tables.service.breaker.probes = Some(2);
            tables.service.breaker.probes_good = Some(2);
        };
        fixture::given(story, two_of_two)
    }

    const HALF_OPEN: (Evt, &str, &str) = (Evt::BreakerHalfOpen, "", "");

    fn started(id: &str) -> (Evt, &str, &str) {
        (Evt::AttemptStarted, id, "")
    }

    fn accepted(id: &str) -> (Evt, &str, &str) {
        (Evt::ProviderAnswered, id, "accepted")
    }

    fn timed_out(id: &str) -> (Evt, &str, &str) {
        (Evt::ProviderTimeout, id, "unknown")
    }

    #[test]
    fn a_breaker_that_an_older_call_closes_is_caught() {
        let closed = (Evt::BreakerClosed, "", "");
        let stray = [
            HALF_OPEN,
            started("b-1"),
            started("b-2"),
            accepted("b-1"),
            closed,
            accepted("b-0"),
        ];
        fixture::catches(
            &ORACLE,
            &life(&stray),
            "service: the breaker of acme: it closed after 1 of its probes were answered well, 2 decide",
        );
        let own = [
            HALF_OPEN,
            started("b-1"),
            started("b-2"),
            accepted("b-0"),
            accepted("b-1"),
            closed,
            accepted("b-2"),
        ];
        let findings = fixture::judge(&ORACLE, &life(&own));
        assert_eq!((findings.checked, findings.violations), (1, vec![]));
    }

    #[test]
    fn a_breaker_that_an_older_call_opens_is_caught() {
        let opened = (Evt::BreakerOpened, "", "");
        let stray = [HALF_OPEN, started("b-1"), opened, timed_out("b-0")];
        fixture::catches(
            &ORACLE,
            &life(&stray),
            "it opened again after 0 of its probes were answered badly, 1 decide",
        );
        let own = [HALF_OPEN, started("b-1"), opened, timed_out("b-1")];
        let findings = fixture::judge(&ORACLE, &life(&own));
        assert_eq!((findings.checked, findings.violations), (1, vec![]));
        let refused = [
            HALF_OPEN,
            started("b-1"),
            opened,
            (Evt::ProviderAnswered, "b-1", "rejected"),
        ];
        fixture::catches(&ORACLE, &life(&refused), "it opened again");
    }
}
