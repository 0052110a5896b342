//! While a worker's breaker is open the worker calls nobody, half-open it probes a little, and nobody else calls at all.
//!
//! Each worker process has breakers of its own, one a provider: the log tells their states, and when each call started.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rehearsal_core::{breaker::BreakerPolicy, log::Evt, time::Timestamp};
use rehearsal_mocks::provider::{Operation, ProviderEvent};

use crate::{
    appointments::{
        event::Event,
        history::{Trace, extra, given},
    },
    oracle::{Findings, Oracle},
};

pub(super) const ORACLE: Oracle<Event> = Oracle {
    name: "breaker_respected",
    property: "no call starts while its worker's breaker is open, a half-open one lets few probes through, and every call was started by a worker",
    check,
};

/// A breaker as the log tells it.
#[derive(Default)]
enum Breaker<'a> {
    #[default]
    Closed,
    Open {
        /// By the world's clock: a breaker measures by its host's monotonic one.
        since_us: u64,
        /// By the worker's own clock: on a busy real machine the world hears of it late.
        since: Timestamp,
    },
    HalfOpen {
        /// Appointment and kind of the probes under way.
        probes: BTreeSet<(&'a str, &'a str)>,
    },
}

/// How much earlier than its shortest time an open breaker may begin to probe: clocks round.
const ROUNDING: Duration = Duration::from_millis(2);

fn check(trace: &Trace) -> Findings {
    let mut findings = Findings::default();
    let (policy, bounded) = given(trace).map_or((BreakerPolicy::default(), true), |tables| {
        let breaker = tables.service.breaker();
        // A probe that outlives its lease makes room for another, so that their number has no bound of its own.
        let bounded = breaker.probe_lease >= tables.service.delivery().attempt_timeout * 2;
        (breaker, bounded)
    });
    // Up to a fifth of the time is taken off, so that workers part.
    let shortest = policy.open_for.mul_f64(0.8).saturating_sub(ROUNDING);
    let mut breakers: BTreeMap<(&str, u32, &str), Breaker<'_>> = BTreeMap::new();
    let mut started: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut arrived: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for (entry, event) in trace.system() {
        let log = match event {
            Event::Log(log) => log,
            Event::Provider(ProviderEvent::Called {
                op: op @ (Operation::Book | Operation::Cancel),
                key,
                ..
            }) => {
                let call = (key.as_str(), op.as_str());
                let count = arrived.entry(call).or_default();
                *count += 1;
                let most = started.get(&call).copied().unwrap_or(0);
                let wrong = (*count > most).then(|| {
                    format!(
                        "{key}: {} {count} reached the provider, workers had started {most}",
                        op.as_str()
                    )
                });
                findings.examine(entry.at_us, wrong);
                continue;
            }
            _ => continue,
        };
        let breaker = breakers
            .entry((&entry.host, entry.boot, extra(log, "provider")))
            .or_default();
        let id = log.appointment_id.as_ref().map_or("", |id| id.as_str());
        let call = (id, extra(log, "kind"));
        match log.evt {
            Evt::BreakerOpened => {
                *breaker = Breaker::Open {
                    since_us: entry.at_us,
                    since: log.time,
                };
            }
            Evt::BreakerClosed => *breaker = Breaker::Closed,
            Evt::BreakerHalfOpen => {
                let early = match breaker {
                    Breaker::Open { since_us, since } => {
                        Duration::from_micros(entry.at_us - *since_us) < shortest
                            && log.time.since(*since) < shortest
                    }
                    Breaker::Closed | Breaker::HalfOpen { .. } => true,
                };
                findings.examine(
                    entry.at_us,
                    early.then(|| {
                        format!(
                            "{}: the breaker of {} began to probe too early",
                            entry.host,
                            extra(log, "provider")
                        )
                    }),
                );
                *breaker = Breaker::HalfOpen {
                    probes: BTreeSet::new(),
                };
            }
            Evt::AttemptStarted | Evt::ResolveStarted | Evt::ProbeStarted => {
                if log.evt == Evt::AttemptStarted {
                    *started.entry(call).or_default() += 1;
                }
                findings.examine(
                    entry.at_us,
                    start(breaker, call, bounded.then_some(policy.probes)).map(|wrong| {
                        let what = if id.is_empty() { "a probe" } else { id };
                        format!("{what}: {wrong}")
                    }),
                );
            }
            Evt::ProviderAnswered
            | Evt::ProviderError
            | Evt::ProviderTimeout
            | Evt::Resolved
            | Evt::Probed => {
                if let Breaker::HalfOpen { probes } = breaker {
                    probes.remove(&call);
                }
            }
            _ => {}
        }
    }
    findings
}

fn start<'a>(
    breaker: &mut Breaker<'a>,
    call: (&'a str, &'a str),
    most: Option<u32>,
) -> Option<String> {
    match breaker {
        Breaker::Closed => None,
        Breaker::Open { since, .. } => Some(format!(
            "a call started while the breaker was open, since {since}"
        )),
        Breaker::HalfOpen { probes } => {
            probes.insert(call);
            let count = probes.len();
            most.filter(|most| count > *most as usize)
                .map(|most| format!("{count} probes at once, {most} are allowed"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{self, Story},
        *,
    };

    /// The clean story with lines of the service's log before its first attempt.
    fn with(lines: &[(u64, Evt)]) -> Story {
        let mut story = fixture::confirmed();
        let at = story
            .iter()
            .position(|(.., event)| fixture::is_log(event, Evt::AttemptStarted))
            .unwrap();
        let line = |(at_ms, evt): &(u64, Evt)| {
            let mut log = fixture::log(*evt);
            log.time = log.time.plus(Duration::from_millis(*at_ms));
            (*at_ms, "service", Event::Log(log))
        };
        let lines: Story = lines.iter().map(line).collect();
        story.splice(at..at, lines);
        story
    }

    #[test]
    fn a_call_through_an_open_breaker_is_caught() {
        fixture::catches(
            &ORACLE,
            &with(&[(15, Evt::BreakerOpened)]),
            "a-1: a call started while the breaker was open",
        );
    }

    #[test]
    fn a_breaker_that_probes_too_early_is_caught_and_a_patient_one_is_not() {
        fixture::catches(
            &ORACLE,
            &with(&[(10, Evt::BreakerOpened), (3_000, Evt::BreakerHalfOpen)]),
            "too early",
        );
        let patient = with(&[(10, Evt::BreakerOpened), (4_010, Evt::BreakerHalfOpen)]);
        assert_eq!(fixture::judge(&ORACLE, &patient).violations, []);
        let closed = with(&[
            (10, Evt::BreakerOpened),
            (4_010, Evt::BreakerHalfOpen),
            (4_020, Evt::BreakerClosed),
        ]);
        assert_eq!(fixture::judge(&ORACLE, &closed).violations, []);
    }

    #[test]
    fn a_crowd_of_probes_is_caught() {
        let mut bad = with(&[(10, Evt::BreakerOpened), (4_010, Evt::BreakerHalfOpen)]);
        let tables = |tables: &mut crate::appointments::tables::Tables| {
            tables.service.breaker.probe_lease_ms = Some(4_000.0);
        };
        for n in 2..=4 {
            let mut probe = fixture::log(Evt::AttemptStarted).with("kind", "book");
            probe.appointment_id =
                Some(rehearsal_core::identity::AppointmentId::parse(&format!("a-{n}")).unwrap());
            let at = bad
                .iter()
                .position(|(.., event)| fixture::is_log(event, Evt::AttemptStarted))
                .unwrap();
            bad.insert(at, (4_011, "service", Event::Log(probe)));
        }
        fixture::catches(
            &ORACLE,
            &fixture::given(bad, tables),
            "4 probes at once, 3 are allowed",
        );
    }

    #[test]
    fn a_call_that_no_worker_started_is_caught() {
        let mut bad = fixture::confirmed();
        bad.insert(
            6,
            (19, "provider-acme", fixture::called(Operation::Book, 0)),
        );
        fixture::catches(
            &ORACLE,
            &bad,
            "a-1: book 2 reached the provider, workers had started 1",
        );
    }
}
