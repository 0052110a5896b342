//! A breaker that opened closes again: once its provider answers as many probes well as it wants, and at the latest before the run ends while
//! anything waits for it.
//!
//! It goes by each worker process's own log. A breaker that is not asked for a call stays open, which harms nobody: the next call is its probe.
//! Such a breaker is no case.

use std::collections::{BTreeMap, BTreeSet};

use rehearsal_core::{
    breaker::BreakerPolicy,
    log::Evt,
    outbox::{Entry as OutboxEntry, EntryState},
};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, extra, given, logs, outbox},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "breaker_recovers",
    property: "a breaker that opened closes once enough probes are answered well, and none is left open with work waiting for it",
    check,
};

/// A breaker that has opened, as the log tells it.
enum Breaker<'a> {
    Open {
        since_us: u64,
    },
    HalfOpen {
        since_us: u64,
        /// Appointment and kind of the calls that started since: an answer to an older call says nothing.
        probes: BTreeSet<(&'a str, &'a str)>,
        /// How many of them the provider has answered well.
        good: u32,
    },
    Closed {
        at_us: u64,
    },
}

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let policy =
        given(trace).map_or_else(BreakerPolicy::default, |tables| tables.service.breaker());
    let waiting: BTreeSet<&str> = outbox(trace)
        .filter(|(_, entry)| is_open(entry))
        .map(|(_, entry)| entry.destination.as_str())
        .collect();
    let mut breakers: BTreeMap<(&str, u32, &str), Breaker<'_>> = BTreeMap::new();
    let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
    for (entry, event) in logs(trace) {
        let boot = newest.entry(&entry.host).or_default();
        *boot = (*boot).max(entry.boot);
        let place = (&*entry.host, entry.boot, extra(event, "provider"));
        let since_us = entry.at_us;
        let changed = match event.evt {
            Evt::BreakerOpened => Breaker::Open { since_us },
            Evt::BreakerClosed => Breaker::Closed { at_us: since_us },
            Evt::BreakerHalfOpen => Breaker::HalfOpen {
                since_us,
                probes: BTreeSet::new(),
                good: 0,
            },
            evt => {
                if let Some(Breaker::HalfOpen { probes, good, .. }) = breakers.get_mut(&place) {
                    let id = event.appointment_id.as_ref().map_or("", |id| id.as_str());
                    let call = (id, extra(event, "kind"));
                    match evt {
                        Evt::AttemptStarted => {
                            probes.insert(call);
                        }
                        Evt::ProviderAnswered => *good += u32::from(probes.remove(&call)),
                        Evt::ProviderError | Evt::ProviderTimeout => {
                            probes.remove(&call);
                        }
                        _ => {}
                    }
                }
                continue;
            }
        };
        breakers.insert(place, changed);
    }
    for ((host, boot, provider), breaker) in breakers {
        // A process that died took its breakers with it.
        if newest.get(host) != Some(&boot) {
            continue;
        }
        match breaker {
            Breaker::Closed { at_us } => findings.examine(at_us, None),
            Breaker::HalfOpen { since_us, good, .. } if good > policy.probes_good => findings.examine(
                since_us,
                Some(format!(
                    "{host}: the breaker of {provider} is half-open at the end, and {good} probes were answered well since"
                )),
            ),
            Breaker::Open { since_us } | Breaker::HalfOpen { since_us, .. }
                if waiting.contains(provider) =>
            {
                findings.examine(
                    since_us,
                    Some(format!(
                        "{host}: the breaker of {provider} is not closed at the end, and work is waiting for it"
                    )),
                );
            }
            Breaker::Open { .. } | Breaker::HalfOpen { .. } => {}
        }
    }
    findings.unless(
        given(trace).is_some(),
        "breaker that opened and was asked again",
    )
}

fn is_open(entry: &OutboxEntry) -> bool {
    matches!(entry.state, EntryState::Ready | EntryState::Leased)
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    /// A breaker's life, at 30 ms and after.
    fn life(evts: &[Evt]) -> fixture::Story {
        let mut story = fixture::confirmed();
        let lines = (30..).zip(evts).map(|(at_ms, evt)| {
            let line = fixture::log(*evt).with("kind", "book");
            (at_ms, "service", Event::Log(line))
        });
        let at = story
            .iter()
            .position(|(at_ms, ..)| *at_ms > 30)
            .expect("it goes on");
        let lines: Vec<_> = lines.collect();
        story.splice(at..at, lines);
        story
    }

    #[test]
    fn a_breaker_that_stays_half_open_through_good_probes_is_caught() {
        use Evt::{
            AttemptStarted, BreakerClosed, BreakerHalfOpen, BreakerOpened, ProviderAnswered,
        };
        let probes = [AttemptStarted, ProviderAnswered].repeat(6);
        let stuck = [&[BreakerOpened, BreakerHalfOpen], &probes[..]].concat();
        let older = [
            &[BreakerOpened, BreakerHalfOpen],
            &[ProviderAnswered; 12][..],
        ]
        .concat();
        assert_eq!(fixture::judge(&ORACLE, &life(&older)).violations, []);
        fixture::catches(&ORACLE, &life(&stuck), "is half-open at the end");
        let closed = [&stuck[..], &[BreakerClosed]].concat();
        let findings = fixture::judge(&ORACLE, &life(&closed));
        assert_eq!((findings.checked, findings.violations.len()), (1, 0));
    }

    #[test]
    fn a_breaker_that_keeps_work_waiting_is_caught_and_an_idle_one_is_no_case() {
        let idle = life(&[Evt::BreakerOpened]);
        let findings = fixture::judge(&ORACLE, &idle);
        assert_eq!((findings.checked, findings.violations.len()), (0, 0));
        assert!(findings.not_applicable.is_some());
        let waiting = fixture::edit(idle, |event| {
            if let Event::Outbox(entry) = event {
                entry.state = EntryState::Ready;
            }
        });
        fixture::catches(&ORACLE, &waiting, "work is waiting for it");
    }
}
